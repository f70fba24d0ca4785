//! Similarity by edit distance.

use std::collections::HashMap;

use crate::positions::{Positions, UNKNOWN};
use crate::score::best_of;

/// `1 − distance / length of the longer text` for the best reference; `None` without references.
///
/// Lengths and edits are counted in Unicode scalar values; two empty texts are equal (1). Symmetric.
///
/// ```
/// use llmops_metrics::levenshtein::levenshtein;
///
/// assert_eq!(levenshtein("kitten", &["sitting"]), Some(1.0 - 3.0 / 7.0));
/// assert_eq!(levenshtein("", &[""]), Some(1.0));
/// ```
pub fn levenshtein<S: AsRef<str>>(candidate: &str, references: &[S]) -> Option<f64> {
    best_of(references, |reference| {
        let longer = candidate.chars().count().max(reference.chars().count());
        if longer == 0 { 1.0 } else { 1.0 - distance(candidate, reference) as f64 / longer as f64 }
    })
}

/// The Levenshtein distance: the least number of insertions, deletions and substitutions of Unicode scalar values that
/// turn one text into the other.
///
/// Bit-parallel (Myers 1999; blocks as in Hyyrö 2003): time is the product of the lengths divided by 64, after common
/// ends are cut off, and memory is linear. Two texts of 10,000 characters take some milliseconds.
///
/// ```
/// use llmops_metrics::levenshtein::distance;
///
/// assert_eq!(distance("naïve", "naive"), 1);
/// ```
pub fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let (left, right) = without_common_ends(&left, &right);
    // The shorter text makes the column: it may then fit one machine word.
    let (column, text) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    if column.is_empty() { text.len() } else { bit_parallel(column, text) }
}

fn without_common_ends<'t>(left: &'t [char], right: &'t [char]) -> (&'t [char], &'t [char]) {
    let prefix = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let (left, right) = (&left[prefix..], &right[prefix..]);
    let suffix = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    (&left[..left.len() - suffix], &right[..right.len() - suffix])
}

/// Numbers characters in order of appearance; ASCII without hashing.
struct Alphabet {
    ascii: [u32; 128],
    others: HashMap<char, u32>,
    len: u32,
}

impl Alphabet {
    fn intern(&mut self, character: char) -> u32 {
        let entry = match self.ascii.get_mut(character as usize) {
            Some(entry) => entry,
            None => self.others.entry(character).or_insert(UNKNOWN),
        };
        if *entry == UNKNOWN {
            *entry = self.len;
            self.len += 1;
        }
        *entry
    }

    fn get(&self, character: char) -> u32 {
        match self.ascii.get(character as usize) {
            Some(&entry) => entry,
            None => self.others.get(&character).copied().unwrap_or(UNKNOWN),
        }
    }
}

/// Vertical differences of one column of the distance table: +1 where `positive`, −1 where `negative`, else 0.
#[derive(Clone, Copy)]
struct Differences {
    positive: u64,
    negative: u64,
}

fn bit_parallel(column: &[char], text: &[char]) -> usize {
    let mut alphabet = Alphabet { ascii: [UNKNOWN; 128], others: HashMap::new(), len: 0 };
    let sequence: Vec<u32> = column.iter().map(|&character| alphabet.intern(character)).collect();
    let mut positions = Positions::default();
    positions.build(&sequence, alphabet.len as usize);
    let mut differences = vec![Differences { positive: u64::MAX, negative: 0 }; positions.words()];
    let mut zeros = vec![0; positions.words()];
    let bottom = 1 << ((column.len() - 1) % 64);
    let mut distance = column.len();
    for &character in text {
        positions.with_mask(alphabet.get(character), &mut zeros, |mask| {
            let (rises, falls) = advance(&mut differences, mask, bottom);
            distance = distance + usize::from(rises) - usize::from(falls);
        });
    }
    distance
}

/// Moves the column one character on, and says whether the distance at its bottom row rises or falls.
fn advance(differences: &mut [Differences], mask: &[u64], bottom: u64) -> (bool, bool) {
    // Horizontal differences that enter the block from above; the top row of the table counts up.
    let (mut rises, mut falls) = (1, 0);
    let mut at_bottom = (false, false);
    for (block, &matches) in differences.iter_mut().zip(mask) {
        let Differences { positive, negative } = *block;
        let equal = matches | falls;
        let diagonal = ((equal & positive).wrapping_add(positive) ^ positive) | equal | negative;
        let up = negative | !(diagonal | positive);
        let down = positive & diagonal;
        at_bottom = (up & bottom != 0, down & bottom != 0);
        let (up_in, down_in) = (up << 1 | rises, down << 1 | falls);
        (rises, falls) = (up >> 63, down >> 63);
        *block = Differences { positive: down_in | !(diagonal | up_in), negative: up_in & diagonal };
    }
    at_bottom
}
