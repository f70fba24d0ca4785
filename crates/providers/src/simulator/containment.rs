//! Which of many texts are contained in a message.
//!
//! The texts are sorted. Those that are a prefix of what follows a position of the message are found from the greatest
//! text that is not after it: each is that text or one of its prefixes, and every text knows its longest proper prefix
//! among the others. One binary search a position therefore answers for a hundred thousand texts, in little memory.

/// Sorted, distinct, non-empty texts.
#[derive(Debug, Default)]
pub(super) struct ContainmentIndex {
    texts: Vec<Box<str>>,
    /// The longest other text that is a prefix of this one.
    parents: Vec<Option<usize>>,
    starts: Starts,
}

impl ContainmentIndex {
    /// Indexes `texts`, which must be sorted, distinct and not empty.
    pub(super) fn new(texts: Vec<Box<str>>) -> Self {
        let mut parents = Vec::with_capacity(texts.len());
        let mut chain: Vec<usize> = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            while chain.last().is_some_and(|last| !text.starts_with(&*texts[*last])) {
                chain.pop();
            }
            parents.push(chain.last().copied());
            chain.push(i);
        }
        let starts = Starts::new(&texts);
        Self { texts, parents, starts }
    }

    /// The text equal to `message`.
    pub(super) fn exact(&self, message: &str) -> Option<usize> {
        self.texts.binary_search_by(|text| (**text).cmp(message)).ok()
    }

    /// The longest text in `message` that `accept` turns into something; the first in the message among equally long.
    pub(super) fn longest<T>(&self, message: &str, accept: impl Fn(usize) -> Option<T>) -> Option<T> {
        let mut best = None;
        let mut best_len = 0;
        for start in 0..message.len() {
            let rest = &message.as_bytes()[start..];
            if rest.len() <= best_len {
                break;
            }
            if !self.starts.may_begin(rest) {
                continue;
            }
            let after = self.texts.partition_point(|text| text.as_bytes() <= rest);
            let mut candidate = after.checked_sub(1);
            while let Some(i) = candidate.filter(|i| self.texts[*i].len() > best_len) {
                if rest.starts_with(self.texts[i].as_bytes())
                    && let Some(found) = accept(i)
                {
                    best = Some(found);
                    best_len = self.texts[i].len();
                }
                candidate = self.parents[i];
            }
        }
        best
    }
}

/// A small filter over the first bytes of all texts: most positions of a message begin none of them.
#[derive(Debug)]
struct Starts {
    width: usize,
    bits: Vec<u64>,
}

impl Default for Starts {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Starts {
    const BITS: u32 = 16;

    fn new(texts: &[Box<str>]) -> Self {
        let width = texts.iter().map(|text| text.len()).min().unwrap_or(0).min(4);
        let mut starts = Self { width, bits: vec![0; 1 << (Self::BITS - 6)] };
        for text in texts {
            let slot = starts.slot(text.as_bytes());
            starts.bits[slot / 64] |= 1 << (slot % 64);
        }
        starts
    }

    fn may_begin(&self, rest: &[u8]) -> bool {
        if rest.len() < self.width {
            return false;
        }
        let slot = self.slot(rest);
        self.bits[slot / 64] >> (slot % 64) & 1 == 1
    }

    fn slot(&self, bytes: &[u8]) -> usize {
        let value = bytes[..self.width].iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        (value.wrapping_mul(0x9e37_79b1) >> (32 - Self::BITS)) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(texts: &[&str]) -> ContainmentIndex {
        let mut sorted: Vec<Box<str>> = texts.iter().map(|t| Box::from(*t)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        ContainmentIndex::new(sorted)
    }

    fn found(texts: &[&str], message: &str) -> Option<String> {
        let index = index(texts);
        index.longest(message, |i| Some(index.texts[i].to_string()))
    }

    #[test]
    fn finds_the_longest() {
        let texts = ["refund", "a refund", "a", "refunds for students", "über"];
        assert_eq!(found(&texts, "May I get a refund?").as_deref(), Some("a refund"));
        assert_eq!(found(&texts, "refunds for student").as_deref(), Some("refund"));
        assert_eq!(found(&texts, "nüber").as_deref(), Some("über"));
        assert_eq!(found(&texts, "xyz"), None);
        assert_eq!(found(&[], "xyz"), None);
        assert_eq!(found(&texts, ""), None);
    }

    #[test]
    fn what_is_not_accepted_gives_way_to_shorter_ones() {
        let index = index(&["abc", "ab", "bcd"]);
        let at = |text| index.exact(text).unwrap();
        let (abc, bcd) = (at("abc"), at("bcd"));
        let accept = |i| (i != abc && i != bcd).then_some(i);
        assert_eq!(index.longest("xabcd", accept), Some(at("ab")));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_search(
            texts in prop::collection::vec("[abé]{1,5}", 0..12),
            message in "[abcé]{0,20}",
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let plain = texts.iter().filter(|t| message.contains(**t)).map(|t| t.len()).max();
            prop_assert_eq!(found(&texts, &message).map(|t| t.len()), plain);
        }
    }
}
