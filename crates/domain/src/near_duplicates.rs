//! Near-duplicates: texts that say the same in almost the same words.
//!
//! `MinHash` (Broder 1997) over three words in a row: 64 hashes estimate the Jaccard similarity of two texts to about ± 0.06;
//! bands of four hashes find candidates without comparing all with all. Words are lower-cased letters and digits; a
//! Chinese, Japanese or Korean character is a word of its own.

use std::collections::HashMap;

/// Hashes of a signature.
const HASHES: usize = 64;
/// Hashes of a band: texts of a similarity of one half share a band as often as not.
const BAND: usize = 4;
/// Texts at least this similar are duplicates.
pub const NEAR: f64 = 0.8;
/// Words that are hashed together.
const SHINGLE: usize = 3;

type Signature = [u32; HASHES];

/// The texts that were seen: 256 bytes a text, and its bands.
#[derive(Debug, Default)]
pub struct NearDuplicates {
    signatures: Vec<Signature>,
    bands: HashMap<(usize, u64), Vec<usize>>,
}

impl NearDuplicates {
    /// Takes up a text, unless one that is almost the same was there. True: it is new.
    ///
    /// ```
    /// use llmops_domain::near_duplicates::NearDuplicates;
    ///
    /// let mut seen = NearDuplicates::default();
    /// assert!(seen.insert("Delivery costs 4.90 euros, and is free for orders of 60 euros or more."));
    /// assert!(!seen.insert("delivery costs 4.90 euros and is free for orders of 60 euros or more"));
    /// assert!(seen.insert("We open at nine."));
    /// ```
    pub fn insert(&mut self, text: &str) -> bool {
        let signature = signature(text);
        let bands: Vec<(usize, u64)> = signature.chunks(BAND).map(hash_of).enumerate().collect();
        let candidates = bands.iter().filter_map(|band| self.bands.get(band)).flatten();
        if candidates.into_iter().any(|place| similarity(&self.signatures[*place], &signature) >= NEAR) {
            return false;
        }
        for band in bands {
            self.bands.entry(band).or_default().push(self.signatures.len());
        }
        self.signatures.push(signature);
        true
    }
}

/// The share of hashes that two signatures have in common, which estimates the Jaccard similarity.
fn similarity(a: &Signature, b: &Signature) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / HASHES as f64
}

fn signature(text: &str) -> Signature {
    let words = words(text);
    let mut signature = [u32::MAX; HASHES];
    let mut add = |shingle: &[String]| {
        let base = shingle.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            word.bytes()
                .chain([0])
                .fold(hash, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        });
        for (slot, seed) in signature.iter_mut().zip(1_u64..) {
            *slot = (*slot).min(high(mix(base ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
    };
    if words.len() < SHINGLE {
        // Of few words, all of them together.
        add(&words);
    } else {
        words.windows(SHINGLE).for_each(add);
    }
    signature
}

/// The finisher of `SplitMix64`: every bit depends on every other.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn high(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX)
}

fn hash_of(band: &[u32]) -> u64 {
    band.iter().fold(0, |hash, part| mix(hash ^ u64::from(*part)).wrapping_add(1))
}

/// The words of a text, lower-cased.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if is_ideograph(c) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            words.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.push(c);
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0x2_0000..=0x3_134F)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "You can return an order within thirty days after delivery, and we pay the postage for it as long as \
                        the plant is in the pot that it came in and has not been repotted in the meantime.";

    #[track_caller]
    fn check(first: &str, second: &str, is_new: bool) {
        let mut seen = NearDuplicates::default();
        assert!(seen.insert(first));
        assert_eq!(seen.insert(second), is_new, "{first} / {second}");
    }

    #[test]
    fn what_is_near() {
        check(LONG, LONG, false);
        check(LONG, &LONG.to_uppercase(), false);
        check(LONG, &format!("{LONG} Thanks!"), false);
        let other = LONG.replace("thirty days", "two weeks").replace("pay the postage", "keep half of the price");
        check(LONG, &other, true);
        check("Yes.", "yes", false);
        check("Yes.", "No.", true);
        check("", " … ", false);
        check("", "Yes.", true);
        check("配送料は490円です", "配送料は490円です。", false);
        check("配送料は490円です", "営業時間は九時からです", true);
    }

    #[test]
    fn the_similarity_of_halves_is_estimated() {
        let text = |from: u32| (from..from + 200).map(|i| format!("w{i} ")).collect::<String>();
        // 100 of 300 words are shared: 98 of 298 shingles.
        let found = similarity(&signature(&text(0)), &signature(&text(100)));
        assert!((found - 98.0 / 298.0).abs() < 0.15, "{found}");
    }

    #[test]
    fn many_different_texts_are_all_new() {
        let mut seen = NearDuplicates::default();
        let text = |i: u32| format!("Order {i} of customer {} came on day {} in box {}", i * 7, i % 31, i * 13);
        assert_eq!((0..2000).filter(|i| seen.insert(&text(*i))).count(), 2000);
        assert_eq!((0..2000).filter(|i| seen.insert(&text(*i))).count(), 0);
    }
}
