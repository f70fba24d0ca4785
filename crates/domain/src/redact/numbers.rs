//! Numbers that lead to somebody: of cards, of telephones, of US social security.
//!
//! A run of digits and of what stands between their groups is read once, and its groups are looked at from the left: a card
//! number may have an expiry date or a security code behind it, and a telephone number a date before it. National telephone
//! numbers look like much else. They are told by a word before them, or by a trunk prefix or a grouping that nothing else has.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Digits of the shortest card numbers.
pub(super) const FEWEST_DIGITS: usize = 13;
/// Digits of card numbers.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = FEWEST_DIGITS..=19;
/// How card numbers are written in groups, the longest first.
const CARD_LAYOUTS: [&[usize]; 8] =
    [&[4, 4, 4, 4, 3], &[6, 13], &[4, 4, 4, 4], &[8, 8], &[4, 6, 5], &[4, 6, 4], &[4, 4, 5], &[4, 4, 4, 1]];
/// Digits of the shortest numbers that are looked at.
const FEWEST_OF_RUN: usize = 7;
/// Most characters between two digits of a number.
const MOST_BETWEEN: usize = 3;
/// How much of the text before a number is looked at, in characters.
const NEAR: usize = 48;
/// The zeros of scripts that have digits of their own.
const ZEROS: [char; 17] = ['0', '٠', '۰', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '๐', '໐', '༠', '၀', '０'];

/// A word that says that a telephone number follows.
static IS_PHONE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:(?:^|[^\p{L}])(?:tel|tél|tlf|ph|phone|telephone|cellphone|smartphone|mobile|mob|mobil|mobiltelefon|",
        r"handy|handynummer|mobilnummer|rufnummer|cell|fax|whatsapp|sms|telefon(?:nummer|nr)?|téléphone|portable|telefono|",
        r"teléfono|telefone|celular|móvil|cellulare|telefoon|puhelin|τηλ|τηλέφωνο|телефон|тел|моб|мобильный|",
        r"[a-z]+[_-](?:tel|phone|mobile|fax)|(?:tel|phone|mobile|fax)[_-]?(?:no|nr|number))",
        r"(?:[^\p{L}\p{Nd}\n][^\p{Nd}\n]{0,20})?|(?:电话|電話|手机|手機|携帯|휴대폰|핸드폰|전화|هاتف|جوال|موبايل|טלפון|फोन|मोबाइल|โทร)",
        r"[^\p{Nd}\n]{0,20})$"
    ))
    .ok()
});

/// A word that says that another number follows.
static IS_OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:(?:^|[^\p{L}])(?:orders?|invoice|ref|reference|ticket|case|isbn|issn|sku|ean|gtin|upc|id|account|acct|article|",
        r"item|part|serial|build|version|tracking|parcel|customer|contract|bestell\p{L}*|auftrag\p{L}*|rechnung\p{L}*|kunden\p{L}*|",
        r"artikel\p{L}*|sendung\p{L}*|vertrag\p{L}*|commande|facture|pedido|factura|ordine|fattura|заказ\p{L}*|счёт|счет)",
        r"(?:[ _-]?(?:number|numbers|no|nr|num|nummer|id|code|n°|№))?|注文番号|注文|订单号?|訂單號?|编号|編號|주문(?:번호)?)",
        r"[^\p{L}\p{N}\n]{0,4}(?:(?:is|was|lautet|est|は|是)[: ]{0,2})?$"
    ))
    .ok()
});

/// What stands around a run.
#[derive(Debug, Clone, Copy, Default)]
struct Place<'a> {
    /// The text before it.
    before: &'a str,
    /// The text behind it.
    after: &'a str,
    /// Whether the field that holds it is one for telephone numbers.
    is_phone: bool,
}

/// Whether a field of this name holds telephone numbers.
pub(super) fn names_phone(name: &str) -> bool {
    IS_PHONE.as_ref().is_some_and(|word| word.is_match(name))
        && !IS_OTHER.as_ref().is_some_and(|word| word.is_match(name))
}

impl Place<'_> {
    /// The nearest of what is before.
    fn near(&self) -> &str {
        let from = self.before.char_indices().rev().nth(NEAR - 1).map_or(0, |(at, _)| at);
        &self.before[from..]
    }

    fn names_other(&self) -> bool {
        self.has_words() && IS_OTHER.as_ref().is_some_and(|word| word.is_match(self.near()))
    }

    /// Whether there is anything that could say what the number is.
    fn has_words(&self) -> bool {
        self.near().contains(char::is_alphabetic)
    }

    fn names_phone(&self) -> bool {
        self.is_phone || (self.has_words() && IS_PHONE.as_ref().is_some_and(|word| word.is_match(self.near())))
    }

    /// Whether the run is a part of something longer: an id, a path, a time, an amount.
    fn is_part(&self) -> bool {
        let (mut before, mut after) = (self.before.chars().rev(), self.after.chars());
        let is_joined = match before.next() {
            Some(':') => before.next().is_some_and(char::is_numeric),
            Some(c) => matches!(c, '-' | '/' | '\\' | '#' | '_' | '.' | ',' | '=' | '&' | '@' | '$' | '€' | '£' | '¥'),
            None => false,
        };
        let goes_on = match after.next() {
            Some('-' | '_' | '/' | '.' | ',' | ':' | '@') => after.next().is_some_and(char::is_alphanumeric),
            Some(c) => c == '%',
            None => false,
        };
        is_joined || goes_on
    }

    /// Whether Chinese or Japanese stands next to it.
    fn is_in_han(&self) -> bool {
        let is_han = |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}');
        self.before.chars().rev().take(12).any(is_han) || self.after.chars().take(4).any(is_han)
    }
}

/// Digits without anything between them.
#[derive(Debug)]
struct Group {
    /// Where they stand in the run.
    at: Range<usize>,
    /// Their values, 0 to 9.
    digits: Vec<u8>,
}

struct Run<'a> {
    text: &'a str,
    place: Place<'a>,
    groups: Vec<Group>,
}

/// Copies a part of a text into `out` with the numbers in it replaced. As long as nothing was replaced, nothing is copied: then
/// `out` is none, and stands for the text until the part.
pub(super) fn replace(text: &str, part: Range<usize>, is_phone: bool, out: &mut Option<String>) {
    let (mut done, mut at) = (part.start, part.start);
    while let Some(digit) = next_digit(text, at..part.end) {
        if !is_begin(text, digit) {
            // The rest of a word; what comes behind it may be a number.
            let is_digit = |byte: &&u8| byte.is_ascii_digit();
            at = digit + text.as_bytes()[digit..part.end].iter().take_while(is_digit).count();
            continue;
        }
        let run = run_of(text, digit, part.clone());
        at = run.end;
        if run.len() < FEWEST_OF_RUN
            || text[run.clone()].chars().filter(|c| value(*c).is_some()).count() < FEWEST_OF_RUN
        {
            continue;
        }
        let place = Place { before: &text[..run.start], after: &text[run.end..], is_phone };
        let new = replaced(&text[run.clone()], place);
        if new != text[run.clone()] {
            let out = out.get_or_insert_with(|| text[..part.start].to_owned());
            out.push_str(&text[done..run.start]);
            out.push_str(&new);
            done = run.end;
        }
    }
    if let Some(out) = out {
        out.push_str(&text[done..part.end]);
    }
}

/// Where the next digit stands. Lead bytes of other scripts' digits are 0xD9 and above.
fn next_digit(text: &str, part: Range<usize>) -> Option<usize> {
    let mut at = part.start;
    while let Some(found) = text.as_bytes()[at..part.end].iter().position(|b| b.is_ascii_digit() || *b >= 0xD9) {
        at += found;
        let c = text[at..].chars().next()?;
        if value(c).is_some() {
            return Some(at);
        }
        at += c.len_utf8();
    }
    None
}

/// Whether a number can begin here: not within a word, as those of code are.
fn is_begin(text: &str, digit: usize) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !text.as_bytes()[digit].is_ascii_digit() || !text.as_bytes()[..digit].last().is_some_and(is_word)
}

/// The digits from here on, with what may stand between them and before the first one.
fn run_of(text: &str, digit: usize, part: Range<usize>) -> Range<usize> {
    let (mut end, mut between) = (digit, 0);
    for (at, c) in text[digit..part.end].char_indices() {
        if value(c).is_some() {
            (end, between) = (digit + at + c.len_utf8(), 0);
        } else if is_between(c) && between < MOST_BETWEEN {
            between += 1;
        } else {
            break;
        }
    }
    let before = text[part.start..digit].trim_end_matches(['+', '＋', '(', '（']);
    part.start + before.len()..end
}

/// What may stand between the digits of a number.
fn is_between(c: char) -> bool {
    matches!(
        c,
        ' ' | '.'
            | '/'
            | '('
            | ')'
            | '_'
            | '-'
            | '\u{a0}'
            | '\u{2007}'
            | '\u{2009}'
            | '\u{200a}'
            | '\u{202f}'
            | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{3000}' | '\u{30fc}' | '（' | '）' | '．' | '／' | '－'
    )
}

/// A run of digits and what is between them, with the numbers that are found in it replaced by their kinds.
fn replaced(text: &str, place: Place<'_>) -> String {
    let run = Run::read(text, place);
    let mut out = String::with_capacity(text.len());
    let (mut done, mut at, mut is_apart) = (0, 0, true);
    while at < run.groups.len() {
        if let Some(end) = run.date(at) {
            (at, is_apart) = (end, true);
        } else if let Some((kind, end)) = run.found(at, is_apart) {
            let span = run.span(at, end);
            out.push_str(&text[done..span.start]);
            out.push_str(kind);
            (done, at, is_apart) = (span.end, end, true);
        } else {
            (at, is_apart) = (at + 1, false);
        }
    }
    out.push_str(&text[done..]);
    out
}

/// What a digit is worth, in any script.
fn value(c: char) -> Option<u8> {
    if c.is_ascii_digit() {
        return Some(c as u8 - b'0');
    }
    let above = |zero: &char| (c as u32).checked_sub(*zero as u32).filter(|value| *value < 10);
    ZEROS.iter().find_map(above).and_then(|value| u8::try_from(value).ok())
}

impl<'a> Run<'a> {
    fn read(text: &'a str, place: Place<'a>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (at, c) in text.char_indices() {
            let Some(digit) = value(c) else { continue };
            let end = at + c.len_utf8();
            match groups.last_mut().filter(|group| group.at.end == at) {
                Some(group) => {
                    group.at.end = end;
                    group.digits.push(digit);
                }
                None => groups.push(Group { at: at..end, digits: vec![digit] }),
            }
        }
        // Digits that a letter follows are a part of a word.
        let is_word = place.after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if is_word && text.ends_with(|c: char| c.is_ascii_digit()) {
            groups.pop();
        }
        Self { text, place, groups }
    }

    /// What stands before a group.
    fn gap(&self, group: usize) -> &'a str {
        let from = if group == 0 { 0 } else { self.groups[group - 1].at.end };
        &self.text[from..self.groups[group].at.start]
    }

    fn digits(&self, groups: Range<usize>) -> Vec<u8> {
        self.groups[groups].iter().flat_map(|group| group.digits.iter().copied()).collect()
    }

    fn lengths(&self, groups: Range<usize>) -> Vec<usize> {
        self.groups[groups].iter().map(|group| group.digits.len()).collect()
    }

    fn number(&self, group: usize) -> u32 {
        self.groups[group].digits.iter().take(8).fold(0, |number, digit| 10 * number + u32::from(*digit))
    }

    /// Where the groups stand, with the marks that belong to a telephone number.
    fn span(&self, at: usize, end: usize) -> Range<usize> {
        let (mut from, to) = (self.groups[at].at.start, self.groups[end - 1].at.end);
        let is_closed = self.text[from..to].contains([')', '）']);
        while let Some(mark) = self.text[..from].chars().next_back() {
            if !(matches!(mark, '+' | '＋') || (is_closed && matches!(mark, '(' | '（'))) {
                break;
            }
            from -= mark.len_utf8();
        }
        from..to
    }

    /// Where a date with a year of four digits ends that begins with this group.
    fn date(&self, at: usize) -> Option<usize> {
        let end = at + 3;
        if end > self.groups.len() || self.is_plus(at) || self.gap(at + 1) != self.gap(at + 2) {
            return None;
        }
        let is_short = |i: usize| self.groups[i].digits.len() <= 2;
        let (year, others) = match self.lengths(at..end)[..] {
            [4, ..] if is_short(at + 1) && is_short(at + 2) => (at, [at + 1, at + 2]),
            [.., 4] if is_short(at) && is_short(at + 1) => (at + 2, [at, at + 1]),
            _ => return None,
        };
        let [first, second] = others.map(|group| self.number(group));
        let is_day = (1..=31).contains(&first.max(second)) && (1..=12).contains(&first.min(second));
        (matches!(self.gap(at + 1), "-" | "." | "/") && (1900..2100).contains(&self.number(year)) && is_day)
            .then_some(end)
    }

    /// The number that begins with this group: its kind, and the group behind it.
    fn found(&self, at: usize, is_apart: bool) -> Option<(&'static str, usize)> {
        if self.is_plus(at) {
            return self.longest(at, 8..=15).map(|end| ("[phone]", end));
        }
        if let Some(end) = self.card(at) {
            return Some(("[card]", end));
        }
        if let Some(end) = self.social_security(at) {
            return Some(("[ssn]", end));
        }
        self.phone(at, is_apart).map(|end| ("[phone]", end))
    }

    fn is_plus(&self, at: usize) -> bool {
        self.gap(at).trim_end_matches(['(', '（']).ends_with(['+', '＋'])
    }

    /// The end of as many groups as have so many digits together, before any date.
    fn longest(&self, at: usize, digits: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let (mut count, mut found) = (0, None);
        for end in at + 1..=self.groups.len() {
            let is_over = end - 1 > at && (self.gap(end - 1).contains('_') || self.date(end - 1).is_some());
            count += self.groups[end - 1].digits.len();
            if is_over || count > *digits.end() {
                break;
            }
            found = digits.contains(&count).then_some(end).or(found);
        }
        found
    }

    fn card(&self, at: usize) -> Option<usize> {
        let all = self.groups.len();
        // Whatever the groups, where nothing else is there.
        let is_plain = |group: usize| matches!(self.gap(group), " " | "-");
        if at == 0 && (1..all).all(is_plain) && is_card(&self.digits(0..all)) {
            return Some(all);
        }
        let is_uniform = |end: usize| (at + 2..end).all(|group| self.gap(group) == self.gap(at + 1));
        let fits = |end: usize| {
            let digits = self.digits(at..end);
            is_of_issuer(&digits) && is_card(&digits)
        };
        for layout in CARD_LAYOUTS {
            let end = at + layout.len();
            if end <= all && self.lengths(at..end) == layout && is_uniform(end) && fits(end) {
                return Some(end);
            }
        }
        // Digits of a fraction are none.
        (!(at > 0 && self.gap(at) == ".") && fits(at + 1)).then_some(at + 1)
    }

    fn social_security(&self, at: usize) -> Option<usize> {
        let end = at + 3;
        if end > self.groups.len() || self.gap(at + 1) != "-" || self.gap(at + 2) != "-" {
            return None;
        }
        let [area, group, serial] = [at, at + 1, at + 2].map(|group| self.number(group));
        let is_one = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
        (self.lengths(at..end) == [3, 2, 4] && is_one).then_some(end)
    }

    fn phone(&self, at: usize, is_apart: bool) -> Option<usize> {
        let first = &self.groups[at].digits[..];
        if is_apart
            && matches!(first, [0, 0, 1..=9, ..])
            && let Some(end) = self.longest(at, 10..=17)
            && (end > at + 1 || !self.place.names_other())
        {
            return Some(end);
        }
        if self.is_american(at) {
            return Some(at + 3);
        }
        if at == 0 && self.place.names_phone() && !self.place.names_other() {
            return self.longest(at, 7..=15);
        }
        let end = (at + 1..self.groups.len()).find(|group| self.date(*group).is_some()).unwrap_or(self.groups.len());
        let is_one = is_apart && !self.has_marks(at, end) && self.is_national(at, end);
        (is_one && !(at == 0 && self.place.is_part()) && !self.place.names_other()).then_some(end)
    }

    /// Three, three and four digits, as in North America.
    fn is_american(&self, at: usize) -> bool {
        at + 3 <= self.groups.len()
            && self.lengths(at..at + 3) == [3, 3, 4]
            && matches!(self.gap(at + 1), " " | "." | "-" | ") " | ")-" | ").")
            && matches!(self.gap(at + 2), " " | "." | "-")
    }

    fn has_marks(&self, at: usize, end: usize) -> bool {
        (at + 1..end).any(|group| self.gap(group).contains('_'))
    }

    /// Whether groups that stand for themselves are written as telephone numbers are within a country.
    fn is_national(&self, at: usize, end: usize) -> bool {
        let (digits, lengths) = (self.digits(at..end), self.lengths(at..end));
        let is_in_brackets = lengths.len() > 1
            && self.text[..self.groups[at].at.start].ends_with(['(', '（'])
            && self.gap(at + 1).starts_with([')', '）']);
        let is_dotted = (at + 1..end).all(|group| self.gap(group) == ".");
        match (&digits[..], &lengths[..]) {
            ([0, 1..=9, ..], [10 | 11]) => !is_isbn(&digits),
            ([0, 1..=9, ..], [_]) => false,
            // A trunk prefix. Tables of small numbers, addresses and fractions are none.
            ([0, 1..=9, ..], [2..=6, rest @ ..]) => {
                let is_pairs = lengths.iter().all(|length| *length == 2);
                let is_address = is_dotted && lengths.len() == 4 && lengths.iter().all(|length| *length <= 3);
                let is_fraction = is_dotted && lengths.len() == 2;
                (9..=12).contains(&digits.len())
                    && rest.iter().all(|length| (2..=8).contains(length))
                    && (!is_pairs || lengths.len() == 5)
                    && !is_address
                    && !is_fraction
            }
            // As in Brazil; a year may stand in brackets, too.
            (_, [2..=5, rest @ ..]) if is_in_brackets => {
                (9..=12).contains(&digits.len())
                    && rest.len() <= 2
                    && rest.iter().all(|length| (3..=8).contains(length))
                    && !(1900..2100).contains(&self.number(at))
            }
            // Russia, India, China.
            ([7 | 8, ..], [1, 3, 3, 2, 2]) | ([6..=9, ..], [5, 5]) | ([1, 3..=9, ..], [3, 4, 4]) => !is_dotted,
            ([1, 3..=9, ..], [11]) => self.place.is_in_han(),
            _ => false,
        }
    }
}

/// Whether card numbers begin so (ISO/IEC 7812): those of banks and of travel, and of some national systems.
fn is_of_issuer(digits: &[u8]) -> bool {
    matches!(digits, [2..=6, ..] | [8, 1, ..] | [9, 7, 9, 2, ..])
}

/// Luhn's check, as card numbers pass it (ISO/IEC 7812-1, annex B).
fn is_card(digits: &[u8]) -> bool {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let from_right = digits.iter().rev().map(|digit| u32::from(*digit)).enumerate();
    let sum: u32 = from_right.map(|(i, digit)| if i % 2 == 1 { doubled(digit) } else { digit }).sum();
    CARD_DIGITS.contains(&digits.len()) && sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// Whether a number without anything between its digits is a card's.
pub(super) fn is_card_number(text: &str) -> bool {
    is_card(&text.chars().filter_map(value).collect::<Vec<_>>())
}

/// The check of ISBNs of ten digits.
fn is_isbn(digits: &[u8]) -> bool {
    let sum: usize = digits.iter().enumerate().map(|(i, digit)| (10 - i.min(10)) * usize::from(*digit)).sum();
    digits.len() == 10 && sum.is_multiple_of(11)
}
