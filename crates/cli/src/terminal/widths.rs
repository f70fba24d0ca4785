//! How wide the columns of a table are when not everything fits.

/// Least columns that a text is squeezed into: a short hash and a date stay whole.
const LEAST: usize = 12;
/// A longer text is prose, which is hard to read with a word a line.
const PROSE: usize = 24;
/// Longest word that is kept whole as long as there is room elsewhere: an answer's JSON is one word too.
const WORD: usize = 32;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Text: it may be broken.
    Text,
    /// Numbers: broken between words, such as a value and its interval, after the texts are.
    Number,
    /// Ids and names that commands take: they are there to be copied, and stay whole.
    Id,
}

/// What a column needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) content: Content,
    /// Its longest cell.
    pub(super) longest: usize,
    /// The longest word of its cells.
    pub(super) word: usize,
}

impl Need {
    /// The least width when words stay whole, and when they need not.
    fn least(self) -> [usize; 2] {
        match self.content {
            Content::Id => [self.longest; 2],
            Content::Number => [self.longest, self.word],
            Content::Text if self.longest > PROSE => [self.word.clamp(LEAST, WORD), LEAST],
            Content::Text => [self.word.min(WORD), self.word.min(LEAST)],
        }
    }
}

/// A width for each column, `room` together at most; none where ids would have to be broken. The widest columns give first.
pub(super) fn widths(needs: &[Need], room: usize) -> Option<Vec<usize>> {
    [0, 1].into_iter().find_map(|step| {
        let capped = |cap: usize| needs.iter().map(move |need| need.longest.min(need.least()[step].max(cap)));
        // Wider than the room is no use to anybody.
        let cap = (0..=room).rev().find(|cap| capped(*cap).sum::<usize>() <= room)?;
        Some(capped(cap).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(longest: usize) -> Need {
        Need { content: Content::Id, longest, word: longest }
    }

    fn number(longest: usize, word: usize) -> Need {
        Need { content: Content::Number, longest, word }
    }

    fn text(longest: usize, word: usize) -> Need {
        Need { content: Content::Text, longest, word }
    }

    #[test]
    fn texts_give_first_then_numbers_never_ids() {
        let check = |needs: &[Need], room, expected: Option<&[usize]>| {
            assert_eq!(widths(needs, room).as_deref(), expected, "{needs:?} in {room}");
        };
        let needs = [id(30), text(60, 9), text(20, 18), number(12, 5)];
        check(&needs, 200, Some(&[30, 60, 20, 12]));
        check(&needs, 122, Some(&[30, 60, 20, 12]));
        check(&needs, 100, Some(&[30, 38, 20, 12]));
        check(&needs, 72, Some(&[30, 12, 18, 12]));
        check(&needs, 70, Some(&[30, 14, 14, 12]));
        check(&needs, 66, Some(&[30, 12, 12, 12]));
        check(&needs, 59, Some(&[30, 12, 12, 5]));
        check(&needs, 58, None);
        check(&[text(500, 500), id(5)], 40, Some(&[35, 5]));
        check(&[text(500, 500), id(5)], 17, Some(&[12, 5]));
        check(&[], 0, Some(&[]));
    }
}
