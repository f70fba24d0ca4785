//! Small hash tables whose buffers survive from one text to the next.
//!
//! A text has some hundred tokens, so building a `HashMap<String, _>` for each would cost more than scoring it. Here
//! the keys live in one arena, the slots in one vector, and both are cleared and filled again.

use crate::positions::UNKNOWN;

/// Multiplier of the hash: the golden ratio in 64 bits, which spreads neighbouring keys.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Open addressing from hash to entry number, at most half full.
#[derive(Clone, Debug, Default)]
struct Slots {
    slots: Vec<u32>,
}

impl Slots {
    /// Empties the table and makes room for `capacity` entries.
    fn reset(&mut self, capacity: usize) {
        let size = (capacity.max(4) * 2).next_power_of_two();
        self.slots.clear();
        self.slots.resize(size, UNKNOWN);
    }

    /// The entry with this hash that `equal` accepts, or the free slot where it belongs.
    fn find(&self, hash: u64, equal: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        // Multiplication leaves its best bits on top.
        let mut slot = usize::try_from(hash >> 32).unwrap_or(0) & mask;
        loop {
            match self.slots[slot] {
                UNKNOWN => return Err(slot),
                entry if equal(entry) => return Ok(entry),
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

/// Entry numbers are 32 bits wide. A text would need four billion different tokens to run out of them; the excess
/// would count as unknown.
fn number(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(UNKNOWN)
}

fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(SPREAD);
    let bytes = product.to_le_bytes();
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(&bytes[..8]);
    high.copy_from_slice(&bytes[8..]);
    u64::from_le_bytes(low) ^ u64::from_le_bytes(high)
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = SPREAD ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    let tail = chunks.remainder().iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    mix(hash, tail)
}

/// Numbers the distinct tokens of a text from 0 in order of appearance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    slots: Slots,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    start: usize,
    end: usize,
}

impl Vocabulary {
    /// Forgets all tokens and makes room for `capacity` of them.
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.slots.reset(capacity);
        self.bytes.clear();
        self.entries.clear();
    }

    /// How many distinct tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, hash: u64, token: &[u8]) -> Result<u32, usize> {
        self.slots.find(hash, |entry| {
            let entry = self.entries[entry as usize];
            entry.hash == hash && &self.bytes[entry.start..entry.end] == token
        })
    }

    /// The token's number, a new one at its first appearance.
    pub(crate) fn intern(&mut self, token: &[u8]) -> u32 {
        let hash = hash_bytes(token);
        match self.find(hash, token) {
            Ok(entry) => entry,
            Err(slot) => {
                let entry = number(self.entries.len());
                self.slots.slots[slot] = entry;
                let start = self.bytes.len();
                self.bytes.extend_from_slice(token);
                self.entries.push(Entry { hash, start, end: self.bytes.len() });
                entry
            }
        }
    }

    /// The token's number, [`UNKNOWN`] when it never appeared.
    pub(crate) fn get(&self, token: &[u8]) -> u32 {
        if self.entries.is_empty() {
            return UNKNOWN;
        }
        self.find(hash_bytes(token), token).unwrap_or(UNKNOWN)
    }
}

/// Numbers the distinct n-grams of one length. An n-gram is the pair of its first n − 1 symbols, as a number in the
/// table before, and its last symbol, so that a key has 64 bits at any length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ngrams {
    slots: Slots,
    keys: Vec<u64>,
}

impl Ngrams {
    /// Forgets all n-grams and makes room for `capacity` of them.
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.slots.reset(capacity);
        self.keys.clear();
    }

    /// How many distinct n-grams there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    fn key(prefix: u32, last: u32) -> u64 {
        u64::from(prefix) << 32 | u64::from(last)
    }

    /// The n-gram's number, a new one at its first appearance.
    pub(crate) fn intern(&mut self, prefix: u32, last: u32) -> u32 {
        let key = Self::key(prefix, last);
        match self.slots.find(mix(SPREAD, key), |entry| self.keys[entry as usize] == key) {
            Ok(entry) => entry,
            Err(slot) => {
                let entry = number(self.keys.len());
                self.slots.slots[slot] = entry;
                self.keys.push(key);
                entry
            }
        }
    }

    /// The n-gram's number, [`UNKNOWN`] when it never occurred.
    pub(crate) fn get(&self, prefix: u32, last: u32) -> u32 {
        if prefix == UNKNOWN || last == UNKNOWN || self.keys.is_empty() {
            return UNKNOWN;
        }
        let key = Self::key(prefix, last);
        self.slots.find(mix(SPREAD, key), |entry| self.keys[entry as usize] == key).unwrap_or(UNKNOWN)
    }
}

/// Counts of the n-grams of one or more references, for n from 1 to some order.
#[derive(Clone, Debug)]
pub(crate) struct NgramCounts {
    orders: Vec<(Ngrams, Vec<usize>)>,
}

/// How many n-grams of one order two texts have, and have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    pub(crate) candidate: usize,
    pub(crate) common: usize,
}

impl NgramCounts {
    /// Counts the n-grams of symbol sequences up to `max_order`; of each n-gram, the largest count in any sequence.
    pub(crate) fn new<S: AsRef<[u32]>>(sequences: &[S], max_order: usize) -> Self {
        let capacity = sequences.iter().map(|sequence| sequence.as_ref().len()).sum();
        let mut orders = vec![(Ngrams::default(), Vec::new()); max_order];
        let mut counts: Vec<usize> = Vec::new();
        for (order, (table, most)) in orders.iter_mut().enumerate() {
            table.reset(capacity);
            most.reserve(capacity.saturating_sub(order));
        }
        for sequence in sequences {
            let sequence = sequence.as_ref();
            let mut grams = vec![0; sequence.len()];
            for (shift, (table, most)) in orders.iter_mut().enumerate() {
                grams.truncate(sequence.len().saturating_sub(shift));
                counts.clear();
                for (gram, &last) in grams.iter_mut().zip(sequence.iter().skip(shift)) {
                    *gram = table.intern(*gram, last);
                    counts.resize(counts.len().max(*gram as usize + 1), 0);
                    counts[*gram as usize] += 1;
                }
                most.resize(table.len(), 0);
                for (most, &count) in most.iter_mut().zip(&counts) {
                    *most = count.max(*most);
                }
            }
        }
        Self { orders }
    }

    /// Compares a candidate with the references, order by order. Each n-gram is common as often as on both sides.
    pub(crate) fn compare(&self, candidate: &[u32]) -> impl Iterator<Item = Overlap> {
        let mut grams = vec![0; candidate.len()];
        self.orders.iter().enumerate().map(move |(shift, (table, counts))| {
            grams.truncate(candidate.len().saturating_sub(shift));
            let mut left = counts.clone();
            let mut common = 0;
            for (gram, &last) in grams.iter_mut().zip(candidate.iter().skip(shift)) {
                *gram = table.get(*gram, last);
                if let Some(left) = left.get_mut(*gram as usize).filter(|left| **left > 0) {
                    *left -= 1;
                    common += 1;
                }
            }
            Overlap { candidate: grams.len(), common }
        })
    }
}
