//! Longest common subsequences, 64 reference tokens at a time.
//!
//! One column of the table of LCS lengths is a bit vector in which a 0 at row i says that the length grows from row
//! i − 1 to row i (Crochemore et al. 2001, Hyyrö 2004). A candidate token advances the column with one addition per 64
//! rows, and the length is the number of zeros.

use crate::positions::Positions;

/// Columns are kept for reading out the subsequence up to this many words (8 MiB); above it they are computed again in
/// blocks from checkpoints, so that two huge lines do not need a table of their product.
const MAX_COLUMN_WORDS: usize = 1 << 20;

/// Advances a column by one candidate token. `zeros` is a mask of zeros to work in.
fn advance(column: &mut [u64], zeros: &mut [u64], reference: &Positions, token: u32) {
    if reference.contains(token) {
        reference.with_mask(token, zeros, |mask| add(column, mask));
    }
}

fn add(column: &mut [u64], mask: &[u64]) {
    let mut carry = false;
    for (rows, &matches) in column.iter_mut().zip(mask) {
        let (sum, over) = rows.overflowing_add(*rows & matches);
        let (sum, over_again) = sum.overflowing_add(u64::from(carry));
        carry = over || over_again;
        *rows = sum | (*rows & !matches);
    }
}

/// Buffers of the computation.
#[derive(Clone, Debug, Default)]
pub(super) struct Lcs {
    column: Vec<u64>,
    mask: Vec<u64>,
    columns: Vec<u64>,
    checkpoints: Vec<u64>,
}

impl Lcs {
    fn start(&mut self, words: usize) {
        self.column.clear();
        self.column.resize(words, u64::MAX);
        self.mask.clear();
        self.mask.resize(words, 0);
    }

    /// The length of the longest common subsequence.
    pub(super) fn length(&mut self, reference: &Positions, candidate: &[u32]) -> usize {
        self.start(reference.words());
        for &token in candidate {
            advance(&mut self.column, &mut self.mask, reference, token);
        }
        self.column.iter().map(|rows| rows.count_zeros() as usize).sum()
    }

    /// Sets in `union` the reference positions of one longest common subsequence: the one that is found from the end
    /// by taking every match, and else going back in the candidate where that keeps more than going back in the
    /// reference does. Which one it is matters, since the union is taken over several candidates.
    pub(super) fn mark(&mut self, reference: &Positions, candidate: &[u32], union: &mut [u64]) {
        let words = reference.words();
        if !candidate.iter().any(|&token| reference.contains(token)) {
            return;
        }
        let block = if candidate.len().saturating_mul(words) <= MAX_COLUMN_WORDS {
            candidate.len()
        } else {
            candidate.len().isqrt() + 1
        };
        self.checkpoints.clear();
        self.start(words);
        for tokens in candidate.chunks(block) {
            self.checkpoints.extend_from_slice(&self.column);
            if tokens.len() == block && block < candidate.len() {
                for &token in tokens {
                    advance(&mut self.column, &mut self.mask, reference, token);
                }
            }
        }
        let mut row = reference.sequence().len();
        for (index, tokens) in candidate.chunks(block).enumerate().rev() {
            self.column.copy_from_slice(&self.checkpoints[index * words..(index + 1) * words]);
            self.columns.clear();
            for &token in tokens {
                advance(&mut self.column, &mut self.mask, reference, token);
                self.columns.extend_from_slice(&self.column);
            }
            row = read_back(&self.columns, reference, tokens, row, union);
        }
    }
}

/// Walks back through a block of columns from `row`, marks the matches, and returns the row that is left.
fn read_back(columns: &[u64], reference: &Positions, candidate: &[u32], mut row: usize, union: &mut [u64]) -> usize {
    for (column, &token) in columns.chunks_exact(reference.words().max(1)).zip(candidate).rev() {
        while row > 0 {
            let at = row - 1;
            if reference.sequence()[at] == token {
                union[at / 64] |= 1 << (at % 64);
                row -= 1;
                break;
            }
            let grows = column[at / 64] >> (at % 64) & 1 == 0;
            if grows {
                break;
            }
            row -= 1;
        }
    }
    row
}
