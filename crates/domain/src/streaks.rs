//! Failures in a row: told once when there are many, and once when they are over.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Failures in a row that are told. Where half of all tries fail, few rows are as long.
pub const TOLD_AFTER: u32 = 10;
/// Those that are remembered whose tries are counted.
const MOST_WATCHED: usize = 10_000;

/// How many tries failed in a row, by whose they are.
#[derive(Debug, Default)]
pub struct Streaks(HashMap<u64, u32>);

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// [`TOLD_AFTER`] failed in a row.
    Failing,
    /// One did not fail after that; or the first one since the process began, which knows nothing of what was before.
    Recovered,
}

impl Streaks {
    /// Counts a try of somebody.
    ///
    /// ```
    /// use llmops_domain::streaks::{Streaks, TOLD_AFTER, Word};
    ///
    /// let mut streaks = Streaks::default();
    /// for _ in 1..TOLD_AFTER {
    ///     assert_eq!(streaks.noted(&"bot", true), None);
    /// }
    /// assert_eq!(streaks.noted(&"bot", true), Some(Word::Failing));
    /// assert_eq!(streaks.noted(&"bot", false), Some(Word::Recovered));
    /// ```
    pub fn noted(&mut self, whose: &impl Hash, is_failure: bool) -> Option<Word> {
        let mut hasher = DefaultHasher::new();
        whose.hash(&mut hasher);
        let mark = hasher.finish();
        let is_new = !self.0.contains_key(&mark);
        if is_new && self.0.len() >= MOST_WATCHED {
            return None;
        }
        let streak = self.0.entry(mark).or_default();
        if is_failure {
            *streak = streak.saturating_add(1);
            return (*streak == TOLD_AFTER).then_some(Word::Failing);
        }
        let before = std::mem::take(streak);
        (is_new || before >= TOLD_AFTER).then_some(Word::Recovered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_once() {
        let mut streaks = Streaks::default();
        let mut note = |is_failure: bool| streaks.noted(&("a", 1), is_failure);
        assert_eq!(note(false), Some(Word::Recovered), "what was before this process may be over");
        assert_eq!(note(false), None);
        for _ in 1..TOLD_AFTER {
            assert_eq!(note(true), None);
        }
        assert_eq!(note(true), Some(Word::Failing));
        assert_eq!(note(true), None);
        assert_eq!(note(false), Some(Word::Recovered));
        for is_failure in [true, false].into_iter().cycle().take(40) {
            assert_eq!(note(is_failure), None);
        }
    }

    #[test]
    fn each_has_a_row_of_its_own_and_memory_has_an_end() {
        let mut streaks = Streaks::default();
        for whose in 0..MOST_WATCHED + 5 {
            assert_eq!(streaks.noted(&whose, true), None);
        }
        assert_eq!(streaks.0.len(), MOST_WATCHED);
        let told = (1..TOLD_AFTER).filter_map(|_| streaks.noted(&3_usize, true)).collect::<Vec<_>>();
        assert_eq!(told, [Word::Failing]);
    }
}
