//! Equality of numbers within a tolerance, as English, German, Indian, Swiss and other writers separate them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::score::indicator;

/// Where in the answer the number stands.
///
/// ```
/// use llmops_metrics::numeric_match::{NumberPosition, find_number};
///
/// let text = "3 boxes hold 75 eggs";
/// assert_eq!(find_number(text, NumberPosition::First), Some(3.0));
/// assert_eq!(find_number(text, NumberPosition::Last), Some(75.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberPosition {
    /// The answer is the number, with nothing around it but whitespace, a currency sign, a percent sign or a full stop.
    #[default]
    Whole,
    /// The first number in the text.
    First,
    /// The last number in the text, where worked solutions put their result.
    Last,
}

/// Whether the answer's number equals the expected one within a tolerance.
///
/// Equal means `|answer − expected| ≤ max(absolute, relative · |expected|)`.
///
/// ```
/// use llmops_metrics::numeric_match::{NumberPosition, NumericMatch};
///
/// let exact = NumericMatch::default();
/// assert_eq!(exact.score("1,234.50", 1234.5), 1.0);
///
/// let close = NumericMatch { position: NumberPosition::Last, relative: 0.01, ..NumericMatch::default() };
/// assert_eq!(close.score("4 boxes of 25 make about 99.5.", 100.0), 1.0);
/// assert_eq!(close.score("I do not know.", 100.0), 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NumericMatch {
    /// Where the number stands.
    pub position: NumberPosition,
    /// The largest accepted difference.
    pub absolute: f64,
    /// The largest accepted difference as a share of the expected number.
    pub relative: f64,
}

impl NumericMatch {
    /// `1.0` when a number is found and close enough, else `0.0`. An expected value or a tolerance that is not finite
    /// matches nothing.
    ///
    /// ```
    /// use llmops_metrics::numeric_match::NumericMatch;
    ///
    /// assert_eq!(NumericMatch { absolute: 0.5, ..NumericMatch::default() }.score("42.4", 42.0), 1.0);
    /// assert_eq!(NumericMatch::default().score("nan", f64::NAN), 0.0);
    /// ```
    pub fn score(&self, candidate: &str, expected: f64) -> f64 {
        indicator(find_number(candidate, self.position).is_some_and(|found| self.close(found, expected)))
    }

    /// Whether two numbers are equal within the tolerance.
    ///
    /// ```
    /// use llmops_metrics::numeric_match::NumericMatch;
    ///
    /// assert!(NumericMatch { relative: 0.1, ..NumericMatch::default() }.close(-9.5, -10.0));
    /// ```
    pub fn close(&self, found: f64, expected: f64) -> bool {
        let tolerance = self.absolute.max(self.relative * expected.abs());
        expected.is_finite() && tolerance.is_finite() && (found - expected).abs() <= tolerance
    }
}

/// What may be a number: optional sign, digits with single separators between them, exponent. Which of the separators belong
/// to it is decided in [`whole`].
static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[-+−－]?(?:[0-9]+(?:[.,'’٫٬，．\u{a0}\u{202f}\u{2009} ][0-9]+)*|[.٫．][0-9]+)(?:[eE][-+−]?[0-9]+)?")
        .ok()
});

/// What is read of a token that is no number as a whole: commas between groups of three, decimals after a point.
static PART: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[-+−－]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+\b|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+−]?[0-9]+)?").ok()
});

/// The zeros of all scripts that write decimal digits, but for ASCII's; nine digits follow each.
const ZEROS: [u32; 65] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136,
    0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0,
    0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// The number in a text; `None` when there is none or it is too large for a float.
///
/// Digits of any script count. A percent sign does not change the value. A minus directly after a letter or digit is a
/// dash: `3-4` holds 3 and 4. Separators are read as follows.
///
/// * Of two kinds, the last one stands before the decimals: `1,234.50` and `1.234,50` are the same number.
/// * A comma before exactly three digits, or several with groups as in `12,34,567`, separate thousands, and so do several
///   points, apostrophes and narrow or unbreakable spaces. Any other single comma stands before decimals: `3,90`, `0,125`.
/// * A single point stands before decimals, also before three digits.
/// * A plain space separates thousands where other than three decimals follow, or where the text is the number alone.
///
/// ```
/// use llmops_metrics::numeric_match::{find_number, NumberPosition};
///
/// assert_eq!(find_number("$1,250.00", NumberPosition::Whole), Some(1250.0));
/// assert_eq!(find_number("kostet 1.250,90 €", NumberPosition::Last), Some(1250.9));
/// assert_eq!(find_number("between 3-4", NumberPosition::Last), Some(4.0));
/// assert_eq!(find_number("12 apples", NumberPosition::Whole), None);
/// ```
pub fn find_number(text: &str, position: NumberPosition) -> Option<f64> {
    let text = ascii_digits(text);
    let tokens = TOKEN.as_ref()?.find_iter(&text);
    let numbers = |token: regex::Match<'_>| {
        let mut found = Vec::new();
        collect(&text, token.range(), &mut found);
        found
    };
    match position {
        NumberPosition::Whole => only(&text),
        NumberPosition::First => tokens.into_iter().flat_map(numbers).next(),
        NumberPosition::Last => tokens.flat_map(numbers).last(),
    }
}

/// The number that a text is, with nothing around it that says more.
fn only(text: &str) -> Option<f64> {
    let token = TOKEN.as_ref()?.find(text)?;
    let (before, after) = (text.get(..token.start())?.trim(), text.get(token.end()..)?.trim());
    let is_currency = |mark: &str| matches!(mark, "" | "$" | "€" | "£" | "¥" | "￥" | "₹" | "₩" | "₽" | "₺" | "₪");
    let negative = before.starts_with('-') && before.len() > 1;
    let is_alone = is_currency(if negative { before.get(1..)? } else { before })
        && (is_currency(after) || matches!(after, "%" | "٪" | "％" | "." | "。" | "%."));
    let value = value(text, token.start(), &whole(token.as_str(), true)?)?;
    is_alone.then_some(if negative { -value } else { value })
}

/// The text with the digits of all scripts as those of ASCII.
fn ascii_digits(text: &str) -> Cow<'_, str> {
    let digit = |c: char| {
        let code = u32::from(c);
        let zero = ZEROS.get(ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?)?;
        char::from_digit(code - zero, 10)
    };
    if text.chars().any(|c| digit(c).is_some()) {
        text.chars().map(|c| digit(c).unwrap_or(c)).collect::<String>().into()
    } else {
        text.into()
    }
}

/// Adds the numbers of a token: itself, or where its separators do not make one number, those between its spaces, else those
/// that English would read.
fn collect(text: &str, range: Range<usize>, found: &mut Vec<f64>) {
    let Some(token) = text.get(range.clone()) else { return };
    if let Some(digits) = whole(token, false) {
        return found.extend(value(text, range.start, &digits));
    }
    if token.contains(is_space) {
        let mut start = range.start;
        for part in token.split(is_space) {
            collect(text, start..start + part.len(), found);
            start += part.len() + token.get(start - range.start + part.len()..).map_or(0, first_len);
        }
        return;
    }
    let parts = PART.as_ref().into_iter().flat_map(|part| part.find_iter(token));
    found.extend(parts.filter_map(|part| value(text, range.start + part.start(), &part.as_str().replace(',', ""))));
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// A token that is one number, without its separators and with a point before its decimals.
fn whole(token: &str, is_alone: bool) -> Option<String> {
    let signed = token.starts_with(['-', '+', '−', '－']);
    let (sign, rest) = token.split_at(if signed { first_len(token) } else { 0 });
    let (digits, exponent) = rest.split_at(rest.find(['e', 'E']).unwrap_or(rest.len()));
    let groups: Vec<&str> = digits.split(|c: char| !c.is_ascii_digit()).collect();
    let separators: Vec<char> = digits.chars().filter(|c| !c.is_ascii_digit()).collect();
    let (integer, decimals) = match (separators.as_slice(), groups.as_slice()) {
        ([], [all]) => ((*all).to_owned(), ""),
        ([mark], [before, after]) if decimal(*mark, before, after) => ((*before).to_owned(), *after),
        ([.., mark], [before @ .., after])
            if separators.iter().filter(|c| *c == mark).count() == 1 && before.len() > 1 =>
        {
            // Behind a plain space, `250,000` is a number of its own.
            let is_decimal = match mark {
                ',' => after.len() != 3 || separators.first() != Some(&' '),
                mark => matches!(mark, '.' | '．' | '٫'),
            };
            (thousands(&separators, before).filter(|_| is_decimal)?, *after)
        }
        ([first, ..], all) => {
            // Words of three digits may well be numbers of their own.
            let may = is_alone || *first != ' ';
            (thousands(&separators, all).filter(|_| may)?, "")
        }
        _ => return None,
    };
    let point = if decimals.is_empty() { "" } else { "." };
    Some(format!("{sign}{integer}{point}{decimals}{exponent}"))
}

/// Whether the only separator of a number stands before its decimals.
fn decimal(mark: char, before: &str, after: &str) -> bool {
    let may_be_thousands = after.len() == 3 && (1..=3).contains(&before.len()) && !before.starts_with('0');
    match mark {
        '.' | '．' | '٫' => true,
        ',' => !may_be_thousands,
        _ => false,
    }
}

/// The groups as one number, where one kind of separator between them may separate thousands: groups of three, or in commas,
/// as India writes, of two before the last three.
fn thousands(separators: &[char], groups: &[&str]) -> Option<String> {
    let (first, rest) = groups.split_first()?;
    let mark = separators.first()?;
    let is_one_kind = separators.iter().take(rest.len()).all(|c| c == mark) && *mark != '٫';
    let begins = !first.starts_with('0');
    let (last, between) = rest.split_last()?;
    let of_three = (1..=3).contains(&first.len()) && rest.iter().all(|group| group.len() == 3);
    let of_two = *mark == ','
        && (1..=2).contains(&first.len())
        && last.len() == 3
        && !between.is_empty()
        && between.iter().all(|group| group.len() == 2);
    (is_one_kind && begins && (of_three || of_two)).then(|| groups.concat())
}

/// The value of digits that begin at `start` of the text.
fn value(text: &str, start: usize, digits: &str) -> Option<f64> {
    let before = text.get(..start).and_then(|before| before.chars().next_back());
    let dash = before.is_some_and(char::is_alphanumeric);
    let digits = digits.replace(['−', '－'], "-").replace(['٫', '．'], ".");
    let digits = if dash { digits.trim_start_matches(['-', '+']) } else { &digits };
    digits.parse::<f64>().ok().filter(|value| value.is_finite())
}
