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
pub(super) struct Vocabulary {
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
    pub(super) fn reset(&mut self, capacity: usize) {
        self.slots.reset(capacity);
        self.bytes.clear();
        self.entries.clear();
    }

    /// How many distinct tokens there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, hash: u64, token: &[u8]) -> Result<u32, usize> {
        self.slots.find(hash, |entry| {
            let entry = self.entries[entry as usize];
            entry.hash == hash && &self.bytes[entry.start..entry.end] == token
        })
    }

    /// The token's number, a new one at its first appearance.
    pub(super) fn intern(&mut self, token: &[u8]) -> u32 {
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
    pub(super) fn get(&self, token: &[u8]) -> u32 {
        if self.entries.is_empty() {
            return UNKNOWN;
        }
        self.find(hash_bytes(token), token).unwrap_or(UNKNOWN)
    }
}

/// Numbers the distinct n-grams of one length and counts them. An n-gram is the pair of its first n − 1 tokens, as a
/// number in the table before, and its last token, so that a key has 64 bits at any length.
#[derive(Clone, Debug, Default)]
pub(super) struct Ngrams {
    slots: Slots,
    keys: Vec<u64>,
    /// How often each n-gram occurs.
    pub(super) counts: Vec<u32>,
}

impl Ngrams {
    /// Forgets all n-grams and makes room for `capacity` of them.
    pub(super) fn reset(&mut self, capacity: usize) {
        self.slots.reset(capacity);
        self.keys.clear();
        self.counts.clear();
    }

    fn key(prefix: u32, last: u32) -> u64 {
        u64::from(prefix) << 32 | u64::from(last)
    }

    /// Counts one occurrence and returns the n-gram's number.
    pub(super) fn add(&mut self, prefix: u32, last: u32) -> u32 {
        let key = Self::key(prefix, last);
        let entry = match self.slots.find(mix(SPREAD, key), |entry| self.keys[entry as usize] == key) {
            Ok(entry) => entry,
            Err(slot) => {
                let entry = number(self.keys.len());
                self.slots.slots[slot] = entry;
                self.keys.push(key);
                self.counts.push(0);
                entry
            }
        };
        self.counts[entry as usize] += 1;
        entry
    }

    /// The n-gram's number, [`UNKNOWN`] when it never occurred.
    pub(super) fn get(&self, prefix: u32, last: u32) -> u32 {
        if prefix == UNKNOWN || last == UNKNOWN || self.keys.is_empty() {
            return UNKNOWN;
        }
        let key = Self::key(prefix, last);
        self.slots.find(mix(SPREAD, key), |entry| self.keys[entry as usize] == key).unwrap_or(UNKNOWN)
    }
}
