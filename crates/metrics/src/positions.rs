//! Bit masks of where each symbol stands in a sequence: what the bit-parallel algorithms ask for at every step.

/// The number of a symbol that the sequence does not hold.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Where each symbol stands in a sequence.
///
/// Memory is linear in the sequence: a mask for every symbol of a long text would be quadratic. Masks of rare symbols are
/// put together when asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    words: usize,
    sequence: Vec<u32>,
    symbols: Vec<Places>,
    /// The position after this one that holds the same symbol.
    next: Vec<u32>,
    dense: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Places {
    /// The first position, [`UNKNOWN`] for a symbol that does not occur.
    first: u32,
    count: u32,
    /// Which mask in `dense` is the symbol's. A symbol that occurs more often than a mask has words gets one; there are
    /// at most 64 such symbols, so their masks take no more than a word for each position of the sequence.
    mask: u32,
}

const ABSENT: Places = Places { first: UNKNOWN, count: 0, mask: UNKNOWN };

impl Positions {
    /// Takes a sequence of symbols that are numbered below `symbols`.
    pub(crate) fn build(&mut self, sequence: &[u32], symbols: usize) {
        // Only what the sequence before had touched is reset: one text may have many lines and a large vocabulary.
        for &symbol in &self.sequence {
            if let Some(places) = self.symbols.get_mut(symbol as usize) {
                *places = ABSENT;
            }
        }
        self.symbols.resize(symbols, ABSENT);
        self.sequence.clear();
        self.sequence.extend_from_slice(sequence);
        self.words = sequence.len().div_ceil(64);
        self.next.clear();
        self.next.resize(sequence.len(), UNKNOWN);
        self.dense.clear();
        for (at, &symbol) in sequence.iter().enumerate().rev() {
            let places = &mut self.symbols[symbol as usize];
            self.next[at] = places.first;
            places.first = u32::try_from(at).unwrap_or(UNKNOWN);
            places.count += 1;
        }
        for &symbol in sequence {
            let places = self.symbols[symbol as usize];
            if places.count as usize > self.words && places.mask == UNKNOWN {
                let start = self.dense.len();
                self.symbols[symbol as usize].mask = u32::try_from(start / self.words).unwrap_or(UNKNOWN);
                self.dense.resize(start + self.words, 0);
                let mask = &mut self.dense[start..];
                for_each(places.first, &self.next, |at| mask[at / 64] |= 1 << (at % 64));
            }
        }
    }

    /// The sequence itself.
    pub(crate) fn sequence(&self) -> &[u32] {
        &self.sequence
    }

    /// How many words a mask has.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Whether the symbol occurs.
    pub(crate) fn contains(&self, symbol: u32) -> bool {
        self.places(symbol).first != UNKNOWN
    }

    fn places(&self, symbol: u32) -> Places {
        self.symbols.get(symbol as usize).copied().unwrap_or(ABSENT)
    }

    /// Hands the symbol's mask to `apply`. `zeros` is a mask of zeros to work in, and is one again afterwards.
    pub(crate) fn with_mask(&self, symbol: u32, zeros: &mut [u64], apply: impl FnOnce(&[u64])) {
        let places = self.places(symbol);
        if places.mask != UNKNOWN {
            let start = places.mask as usize * self.words;
            apply(&self.dense[start..start + self.words]);
            return;
        }
        for_each(places.first, &self.next, |at| zeros[at / 64] |= 1 << (at % 64));
        apply(zeros);
        for_each(places.first, &self.next, |at| zeros[at / 64] = 0);
    }
}

fn for_each(first: u32, next: &[u32], mut visit: impl FnMut(usize)) {
    let mut at = first;
    while at != UNKNOWN {
        visit(at as usize);
        at = next[at as usize];
    }
}
