//! How numbers and foreign text are written for people, the same in every scorecard.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use crate::gate::Verdict;
use crate::run::{Estimate, Spend};

/// What stands where there is no number.
pub const NONE: &str = "–";

/// An interval narrower than this is written with three decimals instead of two.
const NARROW: f64 = 0.02;

/// A score with three decimals: `0.872`; [`NONE`] where it is not finite.
pub fn number(value: f64) -> String {
    decimals(value, 3)
}

/// A number that may be missing.
pub fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), number)
}

/// A change with its sign: `+0.012`, `−0.081`, `0.000`.
pub fn signed(value: f64) -> String {
    plus(&decimals(value, 3))
}

/// An interval: `[0.84, 0.90]`.
pub fn interval(ends: [f64; 2]) -> String {
    let places = places(ends);
    format!("[{}, {}]", decimals(ends[0], places), decimals(ends[1], places))
}

/// An interval of a change, with signs: `[−0.12, +0.03]`.
pub fn signed_interval(ends: [f64; 2]) -> String {
    let places = places(ends);
    format!("[{}, {}]", plus(&decimals(ends[0], places)), plus(&decimals(ends[1], places)))
}

/// A value with its 95 % interval: `0.872 [0.84, 0.90]`; the value alone where fewer than two observations give none.
pub fn estimate(value: &Estimate) -> String {
    if has_interval(value) {
        format!("{} {}", number(value.value), interval([value.lower, value.upper]))
    } else {
        number(value.value)
    }
}

/// A change with its interval, where there is one: `−0.081 [−0.10, −0.06]`.
pub fn change(value: f64, ends: Option<[f64; 2]>) -> String {
    ends.map_or_else(|| signed(value), |ends| format!("{} {}", signed(value), signed_interval(ends)))
}

/// Whether the estimate has an interval worth writing.
pub fn has_interval(value: &Estimate) -> bool {
    value.n >= 2 && value.lower.is_finite() && value.upper.is_finite()
}

/// A configured limit as a person wrote it: `0.05`.
pub fn limit(value: f64) -> String {
    if value.is_finite() { minus(((value * 1e4).round() / 1e4 + 0.0).to_string()) } else { NONE.to_owned() }
}

/// A share as a percentage: `95.0 %`. Only all is `100.0 %`, and only none is `0.0 %`.
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        NONE.to_owned()
    } else if share < 1.0 && share > 0.9995 {
        "> 99.9 %".to_owned()
    } else if share > 0.0 && share < 0.0005 {
        "< 0.1 %".to_owned()
    } else {
        format!("{} %", decimals(share * 100.0, 1))
    }
}

/// US dollars: `$0`, `$0.0031`, `$12.40`.
pub fn money(usd: f64) -> String {
    if !usd.is_finite() {
        NONE.to_owned()
    } else if usd <= 0.0 {
        "$0".to_owned()
    } else if usd < 0.0001 {
        "< $0.0001".to_owned()
    } else if usd < 1.0 {
        format!("${usd:.4}")
    } else {
        format!("${usd:.2}")
    }
}

/// US dollars that were spent, where not everything has a price: `unknown`, `at least $1.20`.
pub fn spent(usd: f64, is_unpriced: bool) -> String {
    if !is_unpriced {
        money(usd)
    } else if usd > 0.0 {
        format!("at least {}", money(usd))
    } else {
        "unknown".to_owned()
    }
}

/// What a run cost in all, and its judges of that.
pub fn spent_in_all(spend: &Spend) -> (String, String) {
    let is_unpriced = spend.target_unpriced || spend.judges_unpriced;
    (spent(spend.target_cost + spend.judge_cost, is_unpriced), spent(spend.judge_cost, spend.judges_unpriced))
}

/// Milliseconds: `840 ms`, `2.4 s`.
pub fn millis(ms: f64) -> String {
    if !ms.is_finite() {
        NONE.to_owned()
    } else if ms < 1.0 {
        format!("{ms:.2} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// A p-value: `p = 0.034`, `p < 0.001`.
pub fn p_value(p: f64) -> String {
    if !p.is_finite() {
        format!("p {NONE}")
    } else if p < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p:.3}")
    }
}

/// `1 sample`, `2 samples`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// The verdict's sign. It never stands without [`verdict_word`].
pub fn verdict_symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "⚠️",
    }
}

/// The verdict's word.
pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Inconclusive => "INCONCLUSIVE",
    }
}

/// At most `max` characters. What is longer is cut between two grapheme clusters and ends in `…`.
///
/// ```
/// # use llmops_domain::scorecard::format::truncate;
/// assert_eq!(truncate("naïve 👩‍👩‍👧 family", 9), "naïve …");
/// ```
pub fn truncate(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    let room = max.saturating_sub(1);
    let mut used = 0;
    let mut out = String::new();
    for cluster in text.graphemes(true) {
        used += cluster.chars().count();
        if used > room {
            // A single cluster of endless combining marks must not make the text vanish.
            if out.is_empty() {
                out = cluster.chars().take(room).collect();
            }
            break;
        }
        out.push_str(cluster);
    }
    if max > 0 {
        out.push('…');
    }
    out
}

/// Foreign text that is safe to show: line ends become `\n`, other control characters become visible pictures (`␛`),
/// and characters that reorder the text around them are dropped.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\n' | '\t' => out.push(c),
            '\u{2028}' | '\u{2029}' | '\u{85}' => out.push('\n'),
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ => out.push(c),
        }
    }
    out
}

/// [`clean`] text on one line: runs of white space become one space.
pub fn one_line(text: &str) -> String {
    let cleaned = clean(text);
    let mut out = String::with_capacity(cleaned.len());
    for word in cleaned.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// [`one_line`] cut to `max` characters, at a cost that does not grow with the text.
pub fn short_line(text: &str, max: usize) -> String {
    shortened(text, max, one_line)
}

/// [`clean`] text cut to `max` characters, at a cost that does not grow with the text.
pub fn short_block(text: &str, max: usize) -> String {
    shortened(text, max, clean)
}

fn shortened(text: &str, max: usize, make: fn(&str) -> String) -> String {
    // Room for runs of white space that become one space.
    let end = text.char_indices().nth(max.saturating_mul(8) + 64).map(|(at, _)| at);
    let mut out = make(&text[..end.unwrap_or(text.len())]);
    if end.is_some() {
        out.push('…');
    }
    truncate(&out, max)
}

/// A word for a POSIX shell, quoted where it must be. The text is put on one line first.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", one_line(text).replace('\'', r"'\''")))
}

fn places(ends: [f64; 2]) -> usize {
    if (ends[1] - ends[0]).abs() < NARROW { 3 } else { 2 }
}

fn decimals(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{value:.places$}");
    // Rounding must not leave a minus before zeroes.
    if text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.')) { text.replace('-', "") } else { minus(text) }
}

fn minus(text: String) -> String {
    if text.starts_with('-') { text.replacen('-', "−", 1) } else { text }
}

fn plus(text: &str) -> String {
    let zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
    if zero || text.starts_with('−') || text == NONE { text.to_owned() } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_read_well() {
        let shown = [
            number(0.8724),
            number(-0.0001),
            number(f64::NAN),
            signed(0.012),
            signed(-0.081),
            signed(-0.0),
            signed(f64::INFINITY),
            interval([0.84, 0.9]),
            interval([0.8401, 0.8449]),
            signed_interval([-0.123, 0.03]),
            signed_interval([-0.004, 0.001]),
            estimate(&Estimate { value: 0.872, n: 20, lower: 0.84, upper: 0.90 }),
            estimate(&Estimate::exact(1.0, 1)),
            limit(0.05),
            limit(0.1 + 0.2),
            percent(0.95),
            percent(1.0),
            percent(0.99999),
            percent(0.0),
            percent(0.0001),
            money(0.0),
            money(0.003_12),
            money(12.4),
            money(1e-9),
            millis(0.25),
            millis(840.2),
            millis(2400.0),
            p_value(0.0341),
            p_value(1e-9),
            p_value(f64::NAN),
            count(1, "sample"),
            count(0, "sample"),
        ];
        insta::assert_snapshot!(shown.join(" | "), @"0.872 | 0.000 | – | +0.012 | −0.081 | 0.000 | – | [0.84, 0.90] | [0.840, 0.845] | [−0.12, +0.03] | [−0.004, +0.001] | 0.872 [0.84, 0.90] | 1.000 | 0.05 | 0.3 | 95.0 % | 100.0 % | > 99.9 % | 0.0 % | < 0.1 % | $0 | $0.0031 | $12.40 | < $0.0001 | 0.25 ms | 840 ms | 2.4 s | p = 0.034 | p < 0.001 | p – | 1 sample | 0 samples");
    }

    #[test]
    fn text_is_cut_between_graphemes() {
        let check = |text: &str, max, expected: &str| assert_eq!(truncate(text, max), expected, "{text:?} at {max}");
        check("", 0, "");
        check("abc", 3, "abc");
        check("abcd", 3, "ab…");
        check("abcd", 1, "…");
        check("abcd", 0, "");
        check("👩‍👩‍👧👩‍👩‍👧", 6, "👩‍👩‍👧…");
        check("e\u{301}e\u{301}e\u{301}", 4, "e\u{301}…");
        check(&format!("z{}", "\u{301}".repeat(100)), 5, "z\u{301}\u{301}\u{301}…");
        check("日本語のテキスト", 4, "日本語…");
    }

    #[test]
    fn foreign_text_is_made_safe() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text), expected, "{text:?}");
        check("a\r\nb\rc\u{2028}d", "a\nb\nc\nd");
        check("\u{1b}[31mred\u{1b}[0m\u{0}\u{7f}", "␛[31mred␛[0m␀␡");
        check("user\u{202e}txt.exe\u{2066}", "usertxt.exe");
        check("\u{9b}31m", "\u{fffd}31m");
        assert_eq!(one_line("  a\n\n b\tc \u{3000}d "), "a b c d");
        assert_eq!(short_line(&format!("a{}b", " \n".repeat(1_000)), 10), "a…");
        assert_eq!(short_line(&"ab ".repeat(1_000_000), 8), "ab ab a…");
        assert_eq!(short_block("a\n\nb", 10), "a\n\nb");
    }

    #[test]
    fn shell_words_are_quoted() {
        let check = |text: &str, expected: &str| assert_eq!(shell_word(text), expected, "{text:?}");
        check("f001", "f001");
        check("", "''");
        check("a b", "'a b'");
        check("$(rm -rf ~)", "'$(rm -rf ~)'");
        check("it's\n--x", r"'it'\''s --x'");
    }

    proptest! {
        #[test]
        fn truncation_never_exceeds_its_limit(text in "\\PC{0,60}", max in 0_usize..40) {
            let cut = truncate(&text, max);
            prop_assert!(cut.chars().count() <= max);
            prop_assert!(text.starts_with(cut.trim_end_matches('…')) || text.contains('…'));
        }

        #[test]
        fn shell_words_survive_the_shell(text in "[^'\\x00-\\x20\\x7f-\\x9f\\u{2028}\\u{2029}\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}\\s]{1,20}") {
            let quoted = shell_word(&text);
            prop_assert_eq!(quoted.trim_matches('\''), text.as_str());
        }

        #[test]
        fn clean_text_has_no_controls(text in any::<String>()) {
            prop_assert!(clean(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        }
    }
}
