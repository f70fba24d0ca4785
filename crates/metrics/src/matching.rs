//! Largest one-to-one matching of two sets.

use std::collections::VecDeque;

/// As many pairs (left, right) as possible in which `right` is among the partners of `left`, each side used once; in the
/// order of `left`. Augmenting paths (Kuhn), searched breadth first so that a long chain of moves needs no stack.
pub(crate) fn largest_matching(partners: &[Vec<usize>], rights: usize) -> Vec<(usize, usize)> {
    let mut search = Search { partners, right_of: vec![None; partners.len()], left_of: vec![None; rights] };
    for left in 0..partners.len() {
        search.augment(left);
    }
    search.right_of.iter().enumerate().filter_map(|(left, right)| Some((left, (*right)?))).collect()
}

struct Search<'p> {
    partners: &'p [Vec<usize>],
    right_of: Vec<Option<usize>>,
    left_of: Vec<Option<usize>>,
}

impl Search<'_> {
    /// Finds a partner for `start`, moving others to another partner where that is needed.
    fn augment(&mut self, start: usize) {
        let mut reached_from: Vec<Option<usize>> = vec![None; self.left_of.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(left) = queue.pop_front() {
            for &right in &self.partners[left] {
                if reached_from[right].is_some() {
                    continue;
                }
                reached_from[right] = Some(left);
                match self.left_of[right] {
                    Some(holder) => queue.push_back(holder),
                    None => return self.flip(right, &reached_from),
                }
            }
        }
    }

    /// Gives `free` to the one it was reached from, that one's old partner to the one before, and so on.
    fn flip(&mut self, free: usize, reached_from: &[Option<usize>]) {
        let mut right = free;
        while let Some(left) = reached_from[right] {
            self.left_of[right] = Some(left);
            match self.right_of[left].replace(right) {
                Some(given_up) => right = given_up,
                None => return,
            }
        }
    }
}
