//! Replacing what should not be kept: e-mail addresses, phone numbers, numbers of cards, accounts (IBAN) and US social
//! security, keys, and values behind names such as `password`.
//!
//! Patterns find candidates; a card number must also pass Luhn's check, an IBAN its own, and a phone number must have as many
//! digits as they have (ITU-T E.164) and look like one. What is replaced leaves its kind behind, `[email]`, so that a text stays
//! readable.

mod numbers;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::de::IgnoredAny;

use crate::hash::ContentHash;
use numbers::{FEWEST_DIGITS, is_card_number, names_phone};

/// All kinds but numbers in one expression: the text is read once. The groups are tried in this order at each place.
///
/// Letters, digits and the edges of words are ASCII's where it says `(?-u:…)`. What an edge is in Unicode would be told one
/// character at a time, a hundred times slower, and between `カード` and `4111` there is none.
static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        // Keys of well-known shapes, and bearer tokens.
        r"(?P<key>(?-u:\b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}\b",
        r"|\bllmops_[A-Za-z0-9_-]{16,}\b",
        r"|\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{30,}\b",
        r"|\bxox[abprs]-[A-Za-z0-9-]{10,}\b",
        r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b",
        r"|\bglpat-[A-Za-z0-9_-]{20,}|\bnpm_[A-Za-z0-9]{36}\b|\bhf_[A-Za-z0-9]{30,}\b",
        r"|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\b(?:SK|AC)[0-9a-f]{32}\b",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+)",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----)",
        // The value behind a name that says what it is, and behind the scheme of an `Authorization` header.
        r"|(?-u:(?i:password|passwd|passphrase|pwd|secret|token|(?:api|access|account|private|secret|auth)[_-]?key)",
        r#"["']?\s{0,3}(?::=|=>|[:=])\s{0,3}["']?(?P<value>[!#-&(-+\--9<-\[\]-z|~]{6,})"#,
        r"|\b(?i:bearer|basic)\s{1,3}(?P<credentials>[A-Za-z0-9._~+/=-]{16,}))",
        r"|(?P<iban>(?-u:\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b))",
        r"|(?P<email>[\p{L}\p{N}._%+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,})",
    ))
    .ok()
});

/// The text with everything personal or secret that is found in it replaced by its kind. JSON stays JSON: its strings are
/// looked at as what they say, for in `"\n4111…"` the `n` is no letter before the number.
///
/// ```
/// use llmops_domain::redact::redact;
///
/// assert_eq!(redact("Write to ana@example.org or +49 30 1234567."), "Write to [email] or [phone].");
/// assert_eq!(redact(r#"{"to": "me:\nana@example.org"}"#), r#"{"to": "me:\n[email]"}"#);
/// ```
pub fn redact(text: &str) -> Cow<'_, str> {
    if !text.contains('\\')
        && let unchanged @ Cow::Borrowed(_) = in_text(text)
    {
        return unchanged;
    }
    if is_json(text) { Cow::Owned(in_json(text)) } else { in_text(text) }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn in_text(text: &str) -> Cow<'_, str> {
    in_field(text, false)
}

/// As [`in_text`]; whether the field that holds the text is one for telephone numbers.
fn in_field(text: &str, is_phone: bool) -> Cow<'_, str> {
    let Some(pattern) = PATTERN.as_ref() else { return Cow::Borrowed(text) };
    let (mut out, mut done) = (None::<String>, 0);
    for found in pattern.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        numbers::replace(text, done..whole.start(), is_phone, &mut out);
        out.get_or_insert_with(|| text[..whole.start()].to_owned()).push_str(&instead(&found));
        done = whole.end();
    }
    numbers::replace(text, done..text.len(), is_phone, &mut out);
    out.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// What stands in the place of a match.
fn instead(found: &Captures<'_>) -> String {
    if let Some(value) = found.name("value").or_else(|| found.name("credentials")) {
        let before = &found[0][..found[0].len() - value.len()];
        return before.to_owned() + &if is_secret(value.as_str()) { "[key]".into() } else { in_text(value.as_str()) };
    }
    match ["key", "iban", "email"].into_iter().find(|kind| found.name(kind).is_some()) {
        // What follows may be a number of another kind.
        Some("iban") if !is_iban(&found[0]) => found[0][..4].to_owned() + &in_text(&found[0][4..]),
        Some(kind) => format!("[{kind}]"),
        None => found[0].to_owned(),
    }
}

/// Replaces in the strings of a JSON text, and what is between them only where it is a number.
fn in_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut before) = (text, "");
    while let Some(start) = rest.find('"') {
        let (between, from) = rest.split_at(start);
        let (string, behind) = from.split_at(end_of_string(from));
        // A number that is replaced becomes a string.
        in_numbers(between, &mut out);
        let is_value = between.trim() == ":";
        if is_value && names_value(before) && is_secret(string.trim_matches('"')) {
            out.push_str("\"[key]\"");
        } else {
            out.push_str(&in_string(string, is_value && names_phone(before.trim_matches('"'))));
        }
        (before, rest) = (string, behind);
    }
    in_numbers(rest, &mut out);
    out
}

/// Whether a JSON string, given with its quotes, is the name of a field whose value is a secret. As in texts, where the value
/// stands beside it.
fn names_value(name: &str) -> bool {
    let probe = format!("{}: Aa1-Aa1-Aa1", name.trim_matches('"'));
    matches!(in_text(&probe), Cow::Owned(found) if found.ends_with(": [key]"))
}

/// Replaces card numbers among what stands between JSON's strings. The digits of a fraction or an exponent are none, and what is
/// replaced becomes a string.
fn in_numbers(between: &str, out: &mut String) {
    if between.bytes().filter(u8::is_ascii_digit).count() < FEWEST_DIGITS {
        return out.push_str(between);
    }
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let mut rest = between;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (number, behind) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        out.push_str(before);
        let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(if is_whole && is_card_number(number) { "\"[card]\"" } else { number });
        rest = behind;
    }
    out.push_str(rest);
}

/// Where a JSON string ends that the text begins with.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Replaces in a JSON string, given with its quotes. What a string holds may be JSON itself, as the arguments of a call are.
fn in_string(string: &str, is_phone: bool) -> Cow<'_, str> {
    if !string.contains('\\') {
        return in_field(string, is_phone);
    }
    let Ok(said) = serde_json::from_str::<String>(string) else { return in_field(string, is_phone) };
    match redact(&said) {
        Cow::Owned(redacted) if redacted != said => Cow::Owned(serde_json::Value::from(redacted).to_string()),
        _ => Cow::Borrowed(string),
    }
}

/// The value of a label with what is found in it replaced; the label's name says what the value may be.
///
/// ```
/// use llmops_domain::redact::redact_label;
///
/// assert_eq!(redact_label("mail", "ana@example.org"), "[email]");
/// assert_eq!(redact_label("order_id", "0123456789"), "0123456789");
/// ```
pub fn redact_label(name: &str, value: &str) -> String {
    let before = format!("{name}: ");
    let redacted = in_text(&format!("{before}{value}")).into_owned();
    // Where the name itself holds something, it cannot say what the value is.
    redacted.strip_prefix(&before).map_or_else(|| in_text(value).into_owned(), str::to_owned)
}

/// What tells things apart, such as the id of a session: its SHA-256 where something is found in it, for two of them must not
/// become one.
pub fn redact_id(id: String) -> String {
    let is_found = matches!(in_text(&id), Cow::Owned(redacted) if redacted != id);
    if is_found { ContentHash::of_bytes(id.as_bytes()).to_string() } else { id }
}

/// What stands for what was replaced.
pub const PLACEHOLDERS: [&str; 6] = ["[key]", "[email]", "[card]", "[phone]", "[iban]", "[ssn]"];

/// Whether something in the text was replaced.
pub fn has_placeholder(text: &str) -> bool {
    PLACEHOLDERS.iter().any(|placeholder| text.contains(placeholder))
}

/// Where keys of well-known shapes stand in a text.
pub fn keys(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    let all = PATTERN.iter().flat_map(move |pattern| pattern.captures_iter(text));
    all.filter_map(|found| found.name("key").map(|key| key.range()))
}

/// Ends of the words in names of headers, parameters and fields that hold secrets.
const SECRETS: [&str; 15] = [
    "auth",
    "authorization",
    "authentication",
    "key",
    "token",
    "secret",
    "cookie",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "credential",
    "bearer",
    "signature",
    "sig",
];

/// Whether a header, parameter or field of this name holds a secret.
///
/// ```
/// use llmops_domain::redact::names_secret;
///
/// assert!(["Authorization", "x-goog-api-key", "accessToken", "APIKEY", "set-cookie"].into_iter().all(names_secret));
/// assert!(!["accept", "author", "keywords", "x-title"].into_iter().any(names_secret));
/// ```
pub fn names_secret(name: &str) -> bool {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (was_small && c.is_uppercase()) {
            words.push(String::new());
        }
        was_small = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.iter().any(|word| SECRETS.iter().any(|secret| word.strip_suffix('s').unwrap_or(word).ends_with(secret)))
}

/// Whether what stands behind `password:` looks like one, and not like a word of a sentence or a number: letters with digits, or a
/// long mixture.
fn is_secret(value: &str) -> bool {
    let has = |is: fn(&u8) -> bool| value.bytes().any(|byte| is(&byte));
    let (letter, digit) = (has(u8::is_ascii_alphabetic), has(u8::is_ascii_digit));
    let is_long = value.len() >= 20 && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    ((letter && digit) || is_long) && value.parse::<f64>().is_err()
}

/// The check of ISO 13616: the number, its first four characters behind the rest and letters as 10 to 35, leaves 1 of 97.
fn is_iban(text: &str) -> bool {
    let plain: Vec<u32> = text.chars().filter_map(|c| c.to_digit(36)).collect();
    let turned = plain.iter().skip(4).chain(plain.iter().take(4));
    let rest = turned.fold(0, |rest, &n| if n > 9 { (rest * 100 + n) % 97 } else { (rest * 10 + n) % 97 });
    (15..=34).contains(&plain.len()) && rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text), expected);
    }

    #[test]
    fn what_is_replaced() {
        check("ana.maría+x@müller-söhne.de, b@c.io", "[email], [email]");
        check("call +1 (415) 555-0132 or 415-555-0132", "call [phone] or [phone]");
        check("0049 30 901820", "[phone]");
        check("card 4111 1111 1111 1111 exp 12/29", "card [card] exp 12/29");
        check("5500-0000-0000-0004", "[card]");
        check("key sk-proj-abcdefghijklmnop1234 and ghp_0123456789abcdefghijklmnopqrstuv", "key [key] and [key]");
        check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[key]");
        check("-----BEGIN PRIVATE KEY-----\nMIIé\n-----END PRIVATE KEY-----", "[key]");
    }

    #[test]
    fn cards_as_people_type_them() {
        for (text, expected) in [
            ("4111111111111111 12/29", "[card] 12/29"),
            ("4111 1111 1111 1111 12/29 123", "[card] 12/29 123"),
            ("5555555555554444 123", "[card] 123"),
            ("12 4111 1111 1111 1111", "12 [card]"),
            ("Nr4711 4111111111111111", "Nr4711 [card]"),
            ("4111.1111.1111.1111", "[card]"),
            ("4111/1111/1111/1111", "[card]"),
            ("4111_1111_1111_1111", "[card]"),
            ("4111–1111–1111–1111", "[card]"),
            ("3782 822463 10005 01/27", "[card] 01/27"),
            ("５１０５１０５１０５１０５１００", "[card]"),
            ("٤١١١ ١١١١ ١١١١ ١١١١", "[card]"),
            ("2026-11-28 4111111111111111", "2026-11-28 [card]"),
            (r#"{"card": "4111111111111111 12/29"}"#, r#"{"card": "[card] 12/29"}"#),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn phones_within_a_country() {
        for (text, expected) in [
            ("0171 2345678", "[phone]"),
            ("ruf 01712345678 an", "ruf [phone] an"),
            ("030/1234567.", "[phone]."),
            ("(030) 1234567", "[phone]"),
            ("(030 1234567)", "([phone])"),
            ("Tel. 06 12 34 56 78", "Tel. [phone]"),
            ("06.12.34.56.78", "[phone]"),
            ("tel: 090-1234-5678", "tel: [phone]"),
            ("電話は090-1234-5678です", "電話は[phone]です"),
            ("電話は０９０－１２３４－５６７８です", "電話は[phone]です"),
            ("phone: 07700 900123", "phone: [phone]"),
            ("020 7946 0958", "[phone]"),
            ("8 (912) 345-67-89", "[phone]"),
            ("(11) 91234-5678", "[phone]"),
            ("98765 43210", "[phone]"),
            ("138 0013 8000", "[phone]"),
            ("我的号码是13800138000", "我的号码是[phone]"),
            ("0049301234567", "[phone]"),
            ("my phone number is 5551234", "my phone number is [phone]"),
            ("Handy: 612 345 678", "Handy: [phone]"),
            ("٠١٠١ ٢٣٤٥٦٧٨", "[phone]"),
            ("01.02.2026 030 1234567", "01.02.2026 [phone]"),
            (r#"{"phone": "612345678", "to": "a\nb"}"#, r#"{"phone": "[phone]", "to": "a\nb"}"#),
            ("12 123-45-6789", "12 [ssn]"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn labels_and_ids() {
        for (name, value, expected) in [
            ("mail", "ana@example.org", "[email]"),
            ("phone", "612345678", "[phone]"),
            ("order", "0123456789", "0123456789"),
            ("ana@example.org", "4111111111111111", "[card]"),
            ("api_key", "abc123def", "[key]"),
            ("team", "ünï", "ünï"),
        ] {
            assert_eq!(redact_label(name, value), expected, "{name}");
        }
        for id in ["s-1", "", "550e8400-e29b-41d4-a716-446655440000", "1764360000123"] {
            assert_eq!(redact_id(id.to_owned()), id);
        }
        assert_eq!(redact_id("ana@example.org".to_owned()), ContentHash::of_bytes(b"ana@example.org").as_str());
    }

    #[test]
    fn numbers_that_are_no_phones() {
        for text in [
            "order 0123456789, invoice no. 01712345678",
            "Bestellnummer: 0171 2345678, Rechnung 030/1234567",
            "注文番号は0901234567",
            "ISBN 0306406152 and 0306406152",
            "SKU-0171-2345678, #0171234567, /orders/0171234567, 0171-234567-AB, 0171234567.pdf",
            "01.02.2026 12:30, 28/11/2026, 2026-11-28 12, 2026-11-28T12:05:09.12345678Z, 12:05:09.12345678",
            "1764360000, 1764360000123, 13800138000, 20261128, 100000000",
            "1 234 567.00 EUR, 12 345 678, $1.234.567, 98.765.432,10, 0.12345678, 09.12345678",
            "192.168.100.200, 010.020.030.040, 10.0.0.1:8080, v1.22.333.4444, 1.2.3-20261128",
            "05 10 15 20 25 30 35 40, 100 200 300 400, 12345 67890, 10115 10117 10119",
            "hotel 12345678, the cells 12345678 and 23456789",
            "a1b2c3d4-0412-1234-8a9b-0123456789ab, 550e8400-e29b-41d4-a716-446655440000",
            "52.520008, 13.404954; 0x0123456789; 1e0123456789",
            "(2026) 12345678, (1) 23456789",
            "0000 0000 0000 0000, 0000000012",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn secrets_of_many_makers() {
        for key in [
            "glpat-abcdefghijklmnopqrst",
            "npm_abcdefghijklmnopqrstuvwxyz0123456789",
            "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
            "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789abcdefg",
            "SK0123456789abcdef0123456789abcdef",
            "llmops_a-secret-of-sixteen-characters-or-more",
        ] {
            check(&format!("alpha {key} omega"), "alpha [key] omega");
        }
        check("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY x", "aws_secret_access_key=[key] x");
        check("AccountKey=abcd1234abcd1234abcd1234abcd1234abcd1234abcd1234==;x", "AccountKey=[key];x");
        check("Authorization: Bearer abcdef0123456789abcdef0123456789", "Authorization: Bearer [key]");
        check("password: hunter2secret, ok", "password: [key], ok");
        check("my SSN is 123-45-6789.", "my SSN is [ssn].");
        check("my IBAN is DE89 3704 0044 0532 0130 00", "my IBAN is [iban]");
        check("token: ana@example.org, AB12 4111 1111 1111 1111", "token: [email], AB12 [card]");
        check("GB82WEST12345698765432!", "[iban]!");
        check(r#"{"password": "hunter2secret", "n": 1}"#, r#"{"password": "[key]", "n": 1}"#);
        check(
            r#"{"a": "\n", "api_key": "k4711-abc", "token": "none"}"#,
            r#"{"a": "\n", "api_key": "[key]", "token": "none"}"#,
        );
    }

    #[test]
    fn what_is_replaced_between_letters_of_any_script() {
        check("カード4111111111111111です", "カード[card]です");
        check("電話+81-90-1234-5678まで", "電話[phone]まで");
        check("鍵sk-proj-abcdefghijklmnop1234。", "鍵[key]。");
        check("+٩٦٦ ٥٠ ١٢٣ ٤٥٦٧ و ٠٥٠-١٢٣-٤٥٦٧", "[phone] و [phone]");
    }

    #[test]
    fn json_stays_json() {
        check(
            r#"{"a": "to:\nana@example.org", "n": 4111111111111111, "b": "\n4111 1111 1111 1111"}"#,
            r#"{"a": "to:\n[email]", "n": "[card]", "b": "\n[card]"}"#,
        );
        check(r#"["\nsk-proj-abcdefghijklmnop1234", "\u30c94111111111111111"]"#, r#"["\n[key]", "ド[card]"]"#);
        // What nothing is replaced in stays as it was written.
        check(
            r#"{"a": "\n", "p": [0.4111111111111111, -4111111111111111, 4111111111111111.5, 4111111111111111e2]}"#,
            r#"{"a": "\n", "p": [0.4111111111111111, -4111111111111111, 4111111111111111.5, 4111111111111111e2]}"#,
        );
        check(r#"{"p": [0.4111111111111111, 4111111111111111]}"#, r#"{"p": [0.4111111111111111, "[card]"]}"#);
        check(r#"{ "a":"x\/y \u00e9 \" \\" , "n":1.0}"#, r#"{ "a":"x\/y \u00e9 \" \\" , "n":1.0}"#);
        let arguments = serde_json::json!({"to": "you\nana@example.org"}).to_string();
        let redacted = redact(&serde_json::json!([{"arguments": arguments}]).to_string()).into_owned();
        let read: serde_json::Value = serde_json::from_str(&redacted).unwrap();
        assert_eq!(read[0]["arguments"], r#"{"to":"you\n[email]"}"#);
        // Not JSON, though it begins like it.
        check(r#"[1] mail:\ ana@example.org, "4111111111111111""#, r#"[1] mail:\ [email], "[card]""#);
    }

    #[test]
    fn the_pattern_compiles() {
        assert!(PATTERN.is_some());
    }

    #[test]
    fn what_is_left_alone() {
        for text in [
            "",
            "Order 12345 of 2026-11-26 costs 4.90, free from 60.",
            "4111 1111 1111 1112",
            "0000 0000 0000 0000",
            "version 1.2.3, build 20261126",
            "a@b, @name, sk-short",
            "π ≈ 3.14159265358979",
            "Your password: please reset it. Token: unlimited. secret: 12345678",
            "The bearer of good news was here: basic understanding",
            "DE89 3704 0044 0532 0130 02",
            "666-12-3456, 123-00-4567, 2026-11-28",
            r#"{"max_tokens": 100, "token": 1.5e10, "secret": true, "password": {"type": "string"}}"#,
        ] {
            check(text, text);
        }
    }
}
