//! The metrics that compare or match text, as tables.

use llmops_metrics::contains::{Contains, Quantifier};
use llmops_metrics::exact_match::{ExactMatch, exact_match};
use llmops_metrics::json_schema::JsonSchema;
use llmops_metrics::json_valid::{Wrapping, json_valid, unwrap_json};
use llmops_metrics::length::{Length, LengthUnit};
use llmops_metrics::levenshtein::{distance, levenshtein};
use llmops_metrics::regex_match::{PatternError, RegexMatch, RegexOptions};
use llmops_metrics::token_f1::{normalise, token_f1, token_prf};
use serde_json::json;

#[test]
fn exact() {
    let plain = ExactMatch::default();
    let normalised = ExactMatch::normalised();
    let cases = [
        ("a", "a", true, true),
        ("", "", true, true),
        ("a", "A", false, true),
        (" a\t", "a", false, true),
        ("a\u{1c}b", "a b", false, true),
        ("a  b", "a b", false, true),
        ("e\u{301}", "é", false, true),
        ("STRASSE", "straße", false, false),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", false, true),
        ("a", "b", false, false),
    ];
    for (candidate, reference, when_plain, when_normalised) in cases {
        assert_eq!(plain.matches(candidate, reference), when_plain, "{candidate:?} {reference:?}");
        assert_eq!(normalised.matches(candidate, reference), when_normalised, "{candidate:?} {reference:?}");
    }
    assert!(ExactMatch { trim: true, ..plain }.matches(" a b ", "a b"));
    assert!(ExactMatch { trim: true, ignore_case: true, ..plain }.matches(" A", "a"));
    assert!(!ExactMatch { trim: true, ..plain }.matches("a  b", "a b"));
    assert_eq!(exact_match::<&str>("a", &[]), None);
}

#[test]
fn containing() {
    type Case = (&'static str, &'static [&'static str], Quantifier, bool, Option<f64>);
    use Quantifier::{All, Any};
    let cases: [Case; 7] = [
        ("abc", &["b"], Any, false, Some(1.0)),
        ("abc", &["x", "c"], Any, false, Some(1.0)),
        ("abc", &["x", "c"], All, false, Some(0.0)),
        ("abc", &["B"], Any, false, Some(0.0)),
        ("aBc", &["Bc", "AB"], All, true, Some(1.0)),
        ("", &["a"], Any, false, Some(0.0)),
        ("a", &[], All, false, None),
    ];
    for (candidate, strings, quantifier, ignore_case, expected) in cases {
        assert_eq!(
            Contains { quantifier, ignore_case }.score(candidate, strings),
            expected,
            "{candidate:?} {strings:?}"
        );
    }
}

#[test]
fn regex() {
    let full = RegexOptions { full: true, ..RegexOptions::default() };
    let cases = [
        ("b", RegexOptions::default(), "abc", 1.0),
        ("^b", RegexOptions::default(), "abc", 0.0),
        ("a|ab", full, "ab", 1.0),
        ("a|ab", full, "ab\n", 0.0),
        ("(?x) a b # a comment", full, "ab", 1.0),
        ("A", RegexOptions { ignore_case: true, ..full }, "a", 1.0),
        ("a.b", full, "a\nb", 0.0),
        ("a.b", RegexOptions { dot_matches_newline: true, ..full }, "a\nb", 1.0),
        (r"\d+", full, "٣٤", 1.0),
    ];
    for (pattern, options, candidate, expected) in cases {
        assert_eq!(RegexMatch::with_options(pattern, options).unwrap().score(candidate), expected, "{pattern:?}");
    }
    for pattern in ["(", "a)(b", r"(a)\1", "(?=a)", r"\w{1000}{1000}"] {
        assert!(matches!(RegexMatch::with_options(pattern, full), Err(PatternError::Invalid(_))), "{pattern:?}");
    }
    assert_eq!(RegexMatch::new(&"a".repeat(20_000)).unwrap_err(), PatternError::TooLong(20_000));
}

#[test]
fn json_and_fences() {
    let cases = [
        ("{}", "{}", 1.0),
        (" [1, 2]\n", "[1, 2]", 1.0),
        ("null", "null", 1.0),
        ("", "", 0.0),
        ("{\"a\": 1,}", "{\"a\": 1,}", 0.0),
        ("NaN", "NaN", 0.0),
        ("```json\n{\"a\": 1}\n```", "{\"a\": 1}", 1.0),
        ("```\n1\n```\n", "1", 1.0),
        ("````JSON\n1\n````", "1", 1.0),
        ("~~~\n1\n~~~", "1", 1.0),
        ("``\n1\n``", "``\n1\n``", 0.0),
        ("```json\n1", "```json\n1", 0.0),
        ("```json", "```json", 0.0),
        ("Here it is:\n```json\n1\n```", "Here it is:\n```json\n1\n```", 0.0),
        ("```json\n1\n```\nDone.", "```json\n1\n```\nDone.", 0.0),
        ("```json\n\"a```\"\n```", "\"a```\"", 1.0),
        ("```\n```", "", 0.0),
    ];
    for (candidate, inside, valid) in cases {
        assert_eq!(unwrap_json(candidate, Wrapping::Fence), inside, "{candidate:?}");
        assert_eq!(json_valid(candidate, Wrapping::Fence), valid, "{candidate:?}");
    }
    assert_eq!(json_valid("1 2", Wrapping::None), 0.0);
    assert_eq!(json_valid(&"[".repeat(1_000_000), Wrapping::None), 0.0);
}

#[test]
fn schema() {
    let schema = JsonSchema::new(&json!({
        "type": "object",
        "properties": {"id": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["id"],
        "additionalProperties": false,
    }))
    .unwrap();
    let cases = [
        (r#"{"id": 1}"#, None),
        (r#"{"id": 1, "tags": ["a"]}"#, None),
        (r#"{"id": 1, "tags": [2]}"#, Some("/tags/0: 2 is not of type \"string\"")),
        ("{}", Some("\"id\" is a required property")),
        ("[]", Some("[] is not of type \"object\"")),
        ("nope", Some("not JSON: expected ident at line 1 column 2")),
    ];
    for (candidate, error) in cases {
        let checked = schema.check(candidate, Wrapping::None);
        assert_eq!(checked.as_ref().err().map(ToString::to_string).as_deref(), error, "{candidate}");
        assert_eq!(schema.score(candidate, Wrapping::None), f64::from(u8::from(checked.is_ok())));
    }
    for unusable in [json!({"type": 3}), json!({"pattern": "("}), json!({"$ref": "https://example.com/schema.json"})] {
        assert!(JsonSchema::new(&unusable).is_err(), "{unusable}");
    }
    let catastrophic = JsonSchema::new(&json!({"pattern": "^(a+)+(?=b)$"})).unwrap();
    assert_eq!(catastrophic.score(&format!("\"{}!\"", "a".repeat(40)), Wrapping::None), 0.0);
}

#[test]
fn edit_distance() {
    let cases = [
        ("", "", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("👍🏽", "👍", 1),
        ("日本語", "日本", 1),
        ("abcdef", "abcdef", 0),
        ("ab", "ba", 2),
    ];
    for (left, right, expected) in cases {
        assert_eq!(distance(left, right), expected, "{left:?} {right:?}");
        assert_eq!(distance(right, left), expected, "{right:?} {left:?}");
    }
    assert_eq!(levenshtein("abc", &["xyz", "abd"]), Some(1.0 - 1.0 / 3.0));
    assert_eq!(levenshtein::<&str>("abc", &[]), None);
}

#[test]
fn long_texts_have_an_edit_distance() {
    let left: String = (0..10_000_u32).map(|at| char::from_u32(0x61 + at * 7919 % 23).unwrap()).collect();
    let right: String = (0..10_000_u32).map(|at| char::from_u32(0x61 + at * 7907 % 23).unwrap()).collect();
    assert_eq!(distance(&left, &format!("x{left}y")), 2);
    assert!(distance(&left, &right) <= 10_000);
}

#[test]
fn token_overlap() {
    let cases = [
        ("the cat", "a cat", 1.0, 1.0),
        ("", "", 1.0, 1.0),
        ("the", "", 1.0, 1.0),
        ("cat", "", 0.0, 0.0),
        ("", "cat", 0.0, 0.0),
        ("cat cat", "cat", 0.5, 1.0),
        ("cat dog", "dog bird cat fish", 1.0, 0.5),
        ("Don't!", "dont", 1.0, 1.0),
        ("theatre", "atre", 0.0, 0.0),
    ];
    for (candidate, reference, precision, recall) in cases {
        let score = token_prf(candidate, reference);
        assert_eq!((score.precision, score.recall), (precision, recall), "{candidate:?} {reference:?}");
    }
    assert_eq!(token_f1("x", &["y", "x"]), Some(1.0));
    assert_eq!(token_f1::<&str>("x", &[]), None);
    let normalised = [
        ("The U.S.A.  is\u{a0}an  example", "usa is example"),
        ("the—cat", "—cat"),
        ("x—the—y", "x— —y"),
        ("cat—the", "cat—"),
        ("a_n the_b", "theb"),
        ("A  AN  THE", ""),
        ("élan a été", "élan été"),
    ];
    for (text, expected) in normalised {
        assert_eq!(normalise(text), expected, "{text:?}");
    }
}

#[test]
fn lengths() {
    let within = |unit, min, max| Length { unit, min, max };
    let cases = [
        (within(LengthUnit::Characters, None, None), "", 1.0),
        (within(LengthUnit::Characters, Some(2), Some(2)), "né", 1.0),
        (within(LengthUnit::Bytes, Some(2), Some(2)), "né", 0.0),
        (within(LengthUnit::Words, None, Some(1)), "two words", 0.0),
        (within(LengthUnit::Lines, Some(2), None), "one\ntwo", 1.0),
        (within(LengthUnit::Lines, Some(3), Some(2)), "a\nb\nc", 0.0),
    ];
    for (limits, candidate, expected) in cases {
        assert_eq!(limits.score(candidate), expected, "{limits:?} {candidate:?}");
    }
}
