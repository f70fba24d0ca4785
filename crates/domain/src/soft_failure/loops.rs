//! Answers that go round in circles.

/// Most words of a loop.
const MOST_WORDS: usize = 16;
/// Fewest words of a loop with all of its rounds.
const FEWEST_WORDS: usize = 24;
/// Most characters of a loop, where no spaces tell words apart.
const MOST_CHARS: usize = 64;
/// Fewest characters of such a loop with all of its rounds.
const FEWEST_CHARS: usize = 96;
/// Fewest rounds.
const ROUNDS: usize = 3;

/// What a text says over and over, once. Words without letters do not count: data may be full of zeros.
pub(super) fn looped(text: &str) -> Option<String> {
    let words = words(text);
    let by_words = Search { most: MOST_WORDS, fewest: FEWEST_WORDS };
    if let Some(found) = by_words.first(&words, |a, b| a == b, |_| true) {
        return Some(found.join(" "));
    }
    if !text.is_ascii() && text.chars().any(has_no_spaces) {
        let chars = text.chars().filter(|c| !c.is_whitespace());
        if let Some(found) = looped_chars(chars, |c| has_no_spaces(c) || is_emoji(c)) {
            return Some(found);
        }
    }
    // A word as long fills one of these pieces: where none is full of letters, words need not be looked for again.
    let is_full = |piece: &[u8]| !piece.iter().any(u8::is_ascii_whitespace);
    if !text.as_bytes().chunks_exact(FEWEST_CHARS / 2).any(is_full) {
        return None;
    }
    let long = text.split_whitespace().filter(|word| word.len() >= FEWEST_CHARS);
    long.into_iter().find_map(|word| looped_chars(word.chars(), |c| c.is_alphabetic() || is_emoji(c)))
}

/// The words with letters in them.
fn words(text: &str) -> Vec<&str> {
    if !text.is_ascii() {
        return text.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).collect();
    }
    // Most answers come here, and every answer is looked at: letters need not be decoded.
    let mut words = Vec::with_capacity(text.len() / 4);
    words.extend(text.split_ascii_whitespace().filter(|word| word.bytes().any(|byte| byte.is_ascii_alphabetic())));
    words
}

/// The characters that stand in a row again and again, if some of them are letters. Marks of code and tables, and digits, are
/// part of no loop: data and rules of dashes repeat themselves.
fn looped_chars(chars: impl Iterator<Item = char>, is_letter: impl Fn(char) -> bool) -> Option<String> {
    let chars: Vec<char> = chars.collect();
    let is_prose = |c: char| !c.is_ascii() || c.is_alphabetic() || matches!(c, '.' | '!' | '?' | '\'');
    let by_chars = Search { most: MOST_CHARS, fewest: FEWEST_CHARS };
    let found = by_chars.first(&chars, |a, b| a == b && is_prose(*a), |found| found.iter().any(|c| is_letter(*c)))?;
    Some(found.iter().collect())
}

/// What is looked for in a row of words or characters.
struct Search {
    /// Most items of a loop.
    most: usize,
    /// Fewest items of all rounds.
    fewest: usize,
}

impl Search {
    /// The first loop that is accepted. Every loop covers one of the places that are this far apart, so the items in between
    /// are compared only where something was found.
    fn first<'a, T>(
        &self,
        items: &'a [T],
        is_same: impl Fn(&T, &T) -> bool,
        accepts: impl Fn(&[T]) -> bool,
    ) -> Option<&'a [T]> {
        let step = self.fewest - self.fewest / ROUNDS;
        for at in (step..items.len()).step_by(step) {
            let found = (1..=self.most.min(at)).find_map(|length| self.around(items, &is_same, (at, length)));
            if let Some(found) = found.filter(|found| accepts(found)) {
                return Some(found);
            }
        }
        None
    }

    /// The loop of this length around a place.
    fn around<'a, T>(
        &self,
        items: &'a [T],
        is_same: impl Fn(&T, &T) -> bool,
        (at, length): (usize, usize),
    ) -> Option<&'a [T]> {
        let repeats = |i: &usize| is_same(&items[*i], &items[*i - length]);
        if !repeats(&at) {
            return None;
        }
        let enough = self.fewest.max(ROUNDS * length);
        let before = (length..at).rev().take(enough).take_while(repeats).count();
        let after = (at + 1..items.len()).take(enough).take_while(repeats).count();
        let start = at - before - length;
        (before + 1 + after + length >= enough).then(|| &items[start..start + length])
    }
}

/// Letters of scripts that are written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
fn has_no_spaces(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(round: &str, times: usize, expected: Option<&str>) {
        assert_eq!(looped(&round.repeat(times)).as_deref(), expected, "{round} × {times}");
    }

    #[test]
    fn loops_of_words() {
        check("ha ", 24, Some("ha"));
        check("ha ", 23, None);
        check("yes no maybe ", 8, Some("yes no maybe"));
        check("yes no maybe ", 7, None);
        check("one two three four five ", 30, Some("one two three four five"));
        check("I am sorry but I cannot do that, ", 3, Some("I am sorry but I cannot do that,"));
        check("I am sorry but I cannot do that, ", 2, None);
        let line = "Your parcel is on its way and will be with you today. Really.\n";
        check(line, 3, Some(line.trim()));
        check(line, 2, None);
        let long = "a b c d e f g h i j k l m n o p ";
        check(long, 3, Some(long.trim()));
        check(&format!("{long}q "), 10, None);
    }

    #[test]
    fn loops_behind_and_before_other_words() {
        let others: String = (0..100).map(|i| format!("w{i}x ")).collect();
        for shift in 0..20 {
            let shifted = others.split(' ').skip(shift).collect::<Vec<_>>().join(" ");
            let found = looped(&format!("{shifted}{}{others}", "on and on we go ".repeat(5)));
            assert_eq!(found.map(|found| found.split(' ').count()), Some(5), "{shift}");
        }
    }

    #[test]
    fn loops_without_spaces() {
        check("a", 3000, Some("a"));
        check("a", 95, None);
        check("😀", 100, Some("😀"));
        check("我不知道。", 20, Some("我不知道。"));
        check("我不知道。\n", 20, Some("我不知道。"));
        check("我不知道。", 19, None);
        check("すみません、わかりません。", 9, Some("すみません、わかりません。"));
        check("ขอโทษครับ", 20, Some("ขอโทษครับ"));
    }

    #[test]
    fn data_is_no_loop() {
        check("0, ", 40, None);
        check("| 1 | 2 |\n", 40, None);
        check("-", 500, None);
        check("─", 500, None);
        check("0", 500, None);
        check(r#"{"ok":true},"#, 40, None);
        check(r#"{"状态":"好"},"#, 40, None);
        check(".", 500, None);
        check("", 1, None);
    }
}
