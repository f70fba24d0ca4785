//! Answers that go round in circles.

/// Fewest rounds.
const ROUNDS: usize = 3;
/// Loops of words, from single ones to whole paragraphs. The longer a loop, the fewer places need a look.
const BY_WORDS: [Search; 5] = [
    Search { shortest: 1, longest: 16, fewest: 24 },
    Search { shortest: 17, longest: 32, fewest: ROUNDS * 17 },
    Search { shortest: 33, longest: 64, fewest: ROUNDS * 33 },
    Search { shortest: 65, longest: 128, fewest: ROUNDS * 65 },
    Search { shortest: 129, longest: 256, fewest: ROUNDS * 129 },
];
/// Loops of characters, where no spaces tell words apart.
const BY_CHARS: [Search; 4] = [
    Search { shortest: 1, longest: 64, fewest: 96 },
    Search { shortest: 65, longest: 128, fewest: ROUNDS * 65 },
    Search { shortest: 129, longest: 256, fewest: ROUNDS * 129 },
    Search { shortest: 257, longest: 512, fewest: ROUNDS * 257 },
];
/// Most words of a loop that are told.
const TOLD_WORDS: usize = 32;
/// Most characters of a loop without spaces that are told.
const TOLD_CHARS: usize = 64;

/// What a text says over and over, once; of long loops the beginning. Words without letters do not count: data may be full of zeros.
/// Numbers between words make them differ: the rows of a table are no loop.
pub(super) fn looped(text: &str) -> Option<String> {
    let words = words(text);
    if let Some(found) = BY_WORDS.iter().find_map(|search| search.first(&words, |a, b| a == b, |_| true)) {
        let (told, rest) = found.split_at(found.len().min(TOLD_WORDS));
        return Some(told.join(" ") + if rest.is_empty() { "" } else { " …" });
    }
    if !text.is_ascii() && text.chars().any(has_no_spaces) {
        let chars = text.chars().filter(|c| !c.is_whitespace());
        if let Some(found) = looped_chars(chars, |c| has_no_spaces(c) || is_emoji(c)) {
            return Some(found);
        }
    }
    // A word as long fills one of these pieces: where none is full of letters, words need not be looked for again.
    let is_full = |piece: &[u8]| !piece.iter().any(u8::is_ascii_whitespace);
    let fewest = BY_CHARS[0].fewest;
    if !text.as_bytes().chunks_exact(fewest / 2).any(is_full) {
        return None;
    }
    let long = text.split_whitespace().filter(|word| word.len() >= fewest);
    long.into_iter().find_map(|word| looped_chars(word.chars(), |c| c.is_alphabetic() || is_emoji(c)))
}

/// The words with letters in them, each with the numbers before it.
fn words(text: &str) -> Vec<&str> {
    if !text.is_ascii() {
        let has_digit = |word: &str| word.chars().any(char::is_numeric);
        return joined(text, text.split_whitespace(), |word| word.chars().any(char::is_alphabetic), has_digit);
    }
    // Most answers come here, and every answer is looked at: letters need not be decoded.
    let has_letter = |word: &str| word.bytes().any(|byte| byte.is_ascii_alphabetic());
    joined(text, text.split_ascii_whitespace(), has_letter, |word| word.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Words with letters, each from the first word with digits behind the one before.
fn joined<'a>(
    text: &'a str,
    words: impl Iterator<Item = &'a str>,
    has_letter: impl Fn(&str) -> bool,
    has_digit: impl Fn(&str) -> bool,
) -> Vec<&'a str> {
    let mut joined = Vec::with_capacity(text.len() / 4);
    let mut numbers = None;
    for word in words {
        // All words are parts of the text, so their addresses say where they stand in it.
        let at = word.as_ptr().addr() - text.as_ptr().addr();
        if has_letter(word) {
            joined.push(&text[numbers.take().unwrap_or(at)..at + word.len()]);
        } else if numbers.is_none() && has_digit(word) {
            numbers = Some(at);
        }
    }
    joined
}

/// The characters that stand in a row again and again, if some of them are letters. Marks of code and tables, and digits, are
/// part of no loop: data and rules of dashes repeat themselves.
fn looped_chars(chars: impl Iterator<Item = char>, is_letter: impl Fn(char) -> bool) -> Option<String> {
    let chars: Vec<char> = chars.collect();
    let is_prose = |c: char| !c.is_ascii() || c.is_alphabetic() || matches!(c, '.' | '!' | '?' | '\'');
    let first = |search: &Search| {
        search.first(&chars, |a, b| a == b && is_prose(*a), |found| found.iter().any(|c| is_letter(*c)))
    };
    let (told, rest) = BY_CHARS.iter().find_map(first).map(|found| found.split_at(found.len().min(TOLD_CHARS)))?;
    Some(told.iter().collect::<String>() + if rest.is_empty() { "" } else { "…" })
}

/// What is looked for in a row of words or characters.
struct Search {
    /// Fewest items of a loop.
    shortest: usize,
    /// Most items of a loop.
    longest: usize,
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
            let found =
                (self.shortest..=self.longest.min(at)).find_map(|length| self.around(items, &is_same, (at, length)));
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
        check(&format!("{long}q "), 10, Some(&format!("{long}q")));
        check(&format!("{long}q "), 2, None);
    }

    #[test]
    fn loops_of_paragraphs() {
        for words in [17, 18, 32, 33, 45, 64, 65, 100, 128, 129, 200, 256, 257] {
            let paragraph: String = (0..words).map(|i| format!("word{i} ")).collect();
            let others: String = (0..words).map(|i| format!("other{i} ")).collect();
            for (rounds, expected) in [(3, words <= 256), (4, words <= 256), (2, false)] {
                let text = format!("{others}{}{others}", paragraph.repeat(rounds));
                assert_eq!(looped(&text).is_some(), expected, "{rounds} × {words}");
            }
            if words > TOLD_WORDS && words <= 256 {
                assert!(looped(&paragraph.repeat(3)).unwrap().ends_with(" …"), "{words}");
            }
        }
        let sentence: String = ('一'..).take(100).collect::<String>() + "。";
        assert!(looped(&sentence.repeat(3)).is_some());
        assert_eq!(looped(&sentence.repeat(2)), None);
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
    fn rows_with_other_numbers_are_no_loop() {
        let check = |row: &dyn Fn(u32) -> String, expected: Option<&str>| {
            let text: String = (1..=30).map(row).collect();
            assert_eq!(looped(&text).as_deref(), expected, "{text}");
        };
        check(&|n| format!("| {n} cm | {}.90 EUR |\n", 3 + n), None);
        check(&|n| format!("| {n} см | {}.90 € |\n", 3 + n), None);
        check(&|n| format!("{} kg, ", 7 * n), None);
        check(&|n| format!("{{\"id\": {n}, \"name\": \"item {n}\"}}, "), None);
        check(&|n| format!("({n}, 'a', NULL, {}), ", 2 * n), None);
        check(&|n| format!("- {n} of 30 done\n"), None);
        // The same numbers are the same words.
        check(&|_| "| 5 cm | 3.90 EUR |\n".to_owned(), Some("5 cm 3.90 EUR"));
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
