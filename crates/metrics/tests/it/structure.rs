//! Numbers, JSON fields, lists, languages, tool calls, conversations, as tables.

use llmops_metrics::Check;
use llmops_metrics::conversation::{ConversationChecks, Message, Role};
use llmops_metrics::json_fields::JsonFields;
use llmops_metrics::json_valid::Wrapping;
use llmops_metrics::language::{LanguageMatch, detect_language};
use llmops_metrics::numeric_match::{NumberPosition, NumericMatch, find_number};
use llmops_metrics::semantic_list::{list_items, match_lists};
use llmops_metrics::tool_call::{ArgumentMatch, CallOrder, ToolCall, ToolCallMatch};
use llmops_metrics::trajectory::{TrajectoryLimits, TrajectoryMode, trajectory_match};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn numbers_in_text() {
    use NumberPosition::{First, Last, Whole};
    let cases = [
        ("42", Whole, Some(42.0)),
        (" -3.5\n", Whole, Some(-3.5)),
        ("−7", Whole, Some(-7.0)),
        ("$1,234.50", Whole, Some(1234.5)),
        ("-$5", Whole, Some(-5.0)),
        ("12 %", Whole, Some(12.0)),
        ("1e3", Whole, Some(1000.0)),
        (".5", Whole, Some(0.5)),
        ("42.", Whole, Some(42.0)),
        ("42 apples", Whole, None),
        ("1 2", Whole, None),
        ("", Whole, None),
        ("none", First, None),
        ("from 3 to 4", First, Some(3.0)),
        ("from 3 to 4", Last, Some(4.0)),
        ("3-4", Last, Some(4.0)),
        ("costs -4", Last, Some(-4.0)),
        ("1,2345", First, Some(1.2345)),
        ("1,234,567.", Last, Some(1_234_567.0)),
        ("1e999", First, None),
        ("the answer is 1e999 or 2", Last, Some(2.0)),
    ];
    for (text, position, expected) in cases {
        assert_eq!(find_number(text, position), expected, "{text:?} {position:?}");
    }
    let tolerances = [(0.0, 0.0, 1.0, 1.0, true), (0.0, 0.0, 1.1, 1.0, false), (0.2, 0.0, 1.1, 1.0, true)];
    for (absolute, relative, found, expected, close) in tolerances {
        let matcher = NumericMatch { absolute, relative, ..NumericMatch::default() };
        assert_eq!(matcher.close(found, expected), close);
    }
    let endless = NumericMatch { absolute: f64::INFINITY, ..NumericMatch::default() };
    assert_eq!(endless.score("1", 2.0), 0.0);
}

#[test]
fn numbers_as_other_languages_write_them() {
    use NumberPosition::{First, Last, Whole};
    let cases = [
        // Decimal commas, with points, spaces and apostrophes between thousands.
        ("Die Lieferung kostet 3,90 €.", Last, Some(3.9)),
        ("3,90€", Whole, Some(3.9)),
        ("0,5", Last, Some(0.5)),
        ("-0,125", Last, Some(-0.125)),
        ("1234,567", Last, Some(1234.567)),
        ("1.234,50 €", Whole, Some(1234.5)),
        ("macht 1.234.567,89 Euro", Last, Some(1_234_567.89)),
        ("1.234.567", Last, Some(1_234_567.0)),
        ("CHF 1'234.50", Last, Some(1234.5)),
        ("1’234’567", Last, Some(1_234_567.0)),
        ("1\u{202f}234,50 €", Last, Some(1234.5)),
        ("1\u{a0}234\u{a0}567", Last, Some(1_234_567.0)),
        ("en tout 1 234,50 €", Last, Some(1234.5)),
        ("1 234 567", Whole, Some(1_234_567.0)),
        ("1,5e3", Last, Some(1500.0)),
        ("₹12,34,567.50", Whole, Some(1_234_567.5)),
        ("1,00,000", Last, Some(100_000.0)),
        // What could be both is read as English does.
        ("1,234", Last, Some(1234.0)),
        ("1.234", Last, Some(1.234)),
        ("1,234.567", Last, Some(1234.567)),
        // Lists, dates and lengths are several numbers.
        ("1,2,3", First, Some(1.0)),
        ("1,2,3", Last, Some(3.0)),
        ("1, 2", Last, Some(2.0)),
        ("100 200 300", First, Some(100.0)),
        ("100 200 300", Last, Some(300.0)),
        ("12\u{a0}34", Last, Some(34.0)),
        ("für 2 Stück 3,50", Last, Some(3.5)),
        ("2 7,50", First, Some(2.0)),
        ("5'10", Last, Some(10.0)),
        ("24.12.2026", First, Some(24.12)),
        ("3 250,000", Last, Some(250_000.0)),
        // Digits of other scripts.
        ("١٥", Whole, Some(15.0)),
        ("السعر ١٬٢٣٤٫٥٠", Last, Some(1234.5)),
        ("１，２３４円", First, Some(1234.0)),
        ("１５．５％", Whole, Some(15.5)),
        ("कुल १२,३४,५६७", Last, Some(1_234_567.0)),
        ("𝟗𝟗", Whole, Some(99.0)),
    ];
    for (text, position, expected) in cases {
        assert_eq!(find_number(text, position), expected, "{text:?} {position:?}");
    }
}

#[test]
fn json_field_by_field() {
    let strict = JsonFields::default();
    let lenient = JsonFields {
        wrapping: Wrapping::Fence,
        numbers: NumericMatch { relative: 0.01, ..NumericMatch::default() },
        lenient_strings: true,
        allow_extra: true,
        ignore: vec!["/at".into()],
    };
    let cases = [
        (r#"{"a": 1}"#, json!({"a": 1}), 1.0, 1.0),
        (r#"{"a": 1, "b": {"c": 2, "d": 3}}"#, json!({"a": 1}), 1.0 / 3.0, 1.0),
        (r#"{"a": 1.0}"#, json!({"a": 1}), 1.0, 1.0),
        (r#"{"a": 1.001}"#, json!({"a": 1}), 0.0, 1.0),
        (r#"{"a": 9007199254740993}"#, json!({"a": 9_007_199_254_740_992_u64}), 0.0, 1.0),
        (r#"{"a": "X  y"}"#, json!({"a": "x Y "}), 0.0, 1.0),
        (r#"{"a": "1"}"#, json!({"a": 1}), 0.0, 0.0),
        (r#"{"a": [1, 2]}"#, json!({"a": [1, 2, 3]}), 2.0 / 3.0, 2.0 / 3.0),
        (r#"{"a": []}"#, json!({"a": [1, 2]}), 0.0, 0.0),
        (r#"{"a": 5}"#, json!({"a": {"b": 1, "c": 2}, "d": 1}), 0.0, 0.0),
        ("{}", json!({}), 1.0, 1.0),
        (r#"{"a": 1}"#, json!({}), 0.0, 1.0),
        ("[]", json!({}), 0.0, 0.0),
        ("```json\n{\"at\": 2, \"a\": null}\n```", json!({"at": 1, "a": null}), 0.0, 1.0),
        ("nothing", json!({"a": 1, "b": 2}), 0.0, 0.0),
        ("nothing", json!({"at": 1}), 0.0, 0.0),
        ("null", Value::Null, 1.0, 1.0),
    ];
    for (candidate, expected, when_strict, when_lenient) in cases {
        assert_eq!(strict.score(candidate, &expected).score, when_strict, "{candidate} {expected}");
        assert_eq!(lenient.score(candidate, &expected).score, when_lenient, "{candidate} {expected}");
    }
    let fields = strict.score(r#"{"x/y": {"~": 1}, "z": 0}"#, &json!({"x/y": {"~": 2}})).fields;
    let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["/x~1y/~0", "/z"]);
}

#[test]
fn lists() {
    let cases: [(&str, &[&str]); 8] = [
        ("- a\n- b", &["a", "b"]),
        ("* a\n\n* b c\n", &["a", "b c"]),
        ("Sure:\n1) a\n2) b\nDone.", &["a", "b"]),
        ("a\nb", &["a", "b"]),
        ("a; b, c", &["a", "b", "c"]),
        ("```json\n[\"a, b\", {\"c\": 1}]\n```", &["a, b", "{\"c\":1}"]),
        ("-", &["-"]),
        ("10 green bottles", &["10 green bottles"]),
    ];
    for (text, expected) in cases {
        assert_eq!(list_items(text), expected, "{text:?}");
    }
    // Greedy by order would give `ab` to the first item and leave the second without a partner.
    let shares = |a: &str, b: &str| f64::from(u8::from(a.chars().any(|letter| b.contains(letter))));
    let matched = match_lists(&["ab", "b"], &["b", "a"], 1.0, shares);
    assert_eq!(matched.pairs, [(0, 1), (1, 0)]);
    assert_eq!(match_lists::<&str, &str>(&[], &[], 0.5, shares).score.f1, 1.0);
    assert_eq!(match_lists(&["a"], &[] as &[&str], 0.5, shares).score.f1, 0.0);
    assert_eq!(match_lists(&["a"], &["a"], 0.5, |_, _| f64::NAN).score.f1, 0.0);
}

#[test]
fn languages() {
    let cases = [
        ("The quick brown fox jumps over the lazy dog and runs away.", "en"),
        ("Wo ist meine Bestellung geblieben, und wann kommt sie an?", "de"),
        ("Où est ma commande et quand est-ce qu'elle arrivera ?", "fr"),
        ("¿Dónde está mi pedido y cuándo llegará a mi casa?", "es"),
        ("Где мой заказ и когда он будет доставлен?", "ru"),
        ("我的订单在哪里？什么时候到？", "zh"),
        ("私の注文はどこですか。いつ届きますか。", "ja"),
        ("제 주문은 어디에 있나요?", "ko"),
        ("أين طلبي ومتى سيصل؟", "ar"),
    ];
    for (text, code) in cases {
        let detected = detect_language(text).unwrap();
        assert_eq!(detected.code, code, "{text}");
        assert!((0.0..=1.0).contains(&detected.confidence));
        assert_eq!(LanguageMatch::new(&[code, "eo"]).unwrap().score(text), 1.0);
    }
    assert_eq!(LanguageMatch::new(&["DEU"]).unwrap(), LanguageMatch::new(&["de"]).unwrap());
    assert_eq!(detect_language("42 – 17 = 25"), None);
}

fn calls(names: &[(&str, u32)]) -> Vec<ToolCall> {
    names.iter().map(|(name, id)| ToolCall::new(*name, json!({"id": id}))).collect()
}

#[test]
fn tool_calls() {
    let same = ToolCallMatch::default();
    let any = ToolCallMatch { order: CallOrder::Any, ..same.clone() };
    let names = ToolCallMatch { arguments: ArgumentMatch::Ignore, ..same.clone() };
    let (a, b, c) = (("a", 1), ("b", 1), ("c", 1));
    let cases = [
        (&[a, b][..], &[a, b][..], [1.0, 1.0, 1.0]),
        (&[b, a], &[a, b], [0.5, 1.0, 0.5]),
        (&[a, c, b], &[a, b], [0.8, 0.8, 0.8]),
        (&[("a", 2), b], &[a, b], [0.5, 0.5, 1.0]),
        (&[a, a], &[a], [2.0 / 3.0; 3]),
        (&[], &[a], [0.0; 3]),
        (&[a], &[], [0.0; 3]),
        (&[], &[], [1.0; 3]),
    ];
    for (made, expected, f1) in cases {
        let (made, expected) = (calls(made), calls(expected));
        for (matcher, f1) in [&same, &any, &names].into_iter().zip(f1) {
            let score = matcher.score(&made, &expected).f1;
            assert!((score - f1).abs() < 1e-12, "{made:?} {expected:?} {matcher:?} {score}");
        }
    }
    let subset = ToolCallMatch { arguments: ArgumentMatch::Subset, ..same.clone() };
    let with = |arguments: Value| ToolCall::new("a", arguments);
    assert!(subset.matches(&with(json!({"x": 1})), &with(Value::Null)));
    assert!(same.matches(&with(json!({})), &with(Value::Null)));
    assert!(!same.matches(&with(json!({"x": 1})), &with(Value::Null)));
}

#[test]
fn trajectories() {
    use TrajectoryMode::{Strict, Subset, Superset, Unordered};
    let (a, b, c) = (("a", 1), ("b", 1), ("c", 1));
    let cases = [
        (&[a, b][..], &[a, b][..], [1.0, 1.0, 1.0, 1.0]),
        (&[b, a], &[a, b], [0.0, 1.0, 1.0, 1.0]),
        (&[a], &[a, b], [0.0, 0.0, 1.0, 0.0]),
        (&[a, c, b], &[a, b], [0.0, 0.0, 0.0, 1.0]),
        (&[], &[a], [0.0, 0.0, 1.0, 0.0]),
        (&[a], &[], [0.0, 0.0, 0.0, 1.0]),
        (&[], &[], [1.0, 1.0, 1.0, 1.0]),
    ];
    for (made, expected, scores) in cases {
        for (mode, score) in [Strict, Unordered, Subset, Superset].into_iter().zip(scores) {
            let ours = trajectory_match(&calls(made), &calls(expected), mode, &ToolCallMatch::default());
            assert_eq!(ours, score, "{made:?} {expected:?} {mode:?}");
        }
    }
    let limits = TrajectoryLimits {
        max_calls: Some(1),
        required: vec!["z".into()],
        forbidden: vec!["a".into()],
        max_repeats: Some(1),
    };
    let details: Vec<String> = limits.check(&calls(&[a, a])).into_iter().map(|check| check.detail).collect();
    assert_eq!(details, ["2 of at most 1", "missing: z", "called: a", "a: 2 of at most 1"]);
    assert_eq!(Check::share_passed(&limits.check(&[])), Some(0.75));
}

#[test]
fn conversations() {
    let says = |role, content| Message { role, content };
    let conversation = [
        says(Role::System, "Be brief."),
        says(Role::User, "Hello"),
        says(Role::Assistant, "Hello! How can I help?"),
        says(Role::User, "Where is order 7?"),
        says(Role::Assistant, " "),
        says(Role::Tool, "on its way"),
        says(Role::Assistant, "Order 7 is on its way."),
        says(Role::User, "When will it come?"),
        says(Role::Assistant, "Order 7 is on its way!"),
    ];
    let none = ConversationChecks::default();
    let cases = [
        (ConversationChecks { min_turns: Some(3), max_turns: Some(3), ..none.clone() }, 2, ""),
        (ConversationChecks { max_turns: Some(2), ..none.clone() }, 0, "3 of at most 2"),
        (ConversationChecks { answered: true, ..none.clone() }, 1, ""),
        (ConversationChecks { max_similarity: Some(0.9), ..none.clone() }, 0, "similarity up to 0.95"),
        (ConversationChecks { mentions: vec!["HELP".into(), "order 7".into()], ..none.clone() }, 1, ""),
        (
            ConversationChecks { mentions: vec!["order 7".into(), "help".into()], ..none.clone() },
            0,
            "not said, or too early: help",
        ),
        (ConversationChecks { forbidden: vec!["brief".into()], ..none.clone() }, 1, ""),
        (ConversationChecks { forbidden: vec!["WAY".into()], ..none.clone() }, 0, "said: WAY"),
    ];
    for (checks, passed, detail) in cases {
        let outcome = checks.check(&conversation);
        assert_eq!(outcome.iter().filter(|check| check.passed).count(), passed, "{outcome:?}");
        assert!(outcome.iter().any(|check| detail.is_empty() || check.detail == detail), "{outcome:?}");
    }
    let unanswered = ConversationChecks { answered: true, mentions: vec!["x".into()], ..none };
    let outcome = unanswered.check(&conversation[..5]);
    assert_eq!((outcome[0].passed, outcome[0].detail.as_str()), (false, "turn 2 has no answer"));
    assert!(!outcome[1].passed);
    assert!(!unanswered.check(&[])[1].passed);
}

/// The size of a largest matching by trying every partner, or none, item by item.
fn best(item: usize, items: usize, used: u8, linked: &dyn Fn(usize, usize) -> bool) -> usize {
    if item == items {
        return 0;
    }
    let free = (0..5).filter(|&other| used >> other & 1 == 0 && linked(item, other));
    let with = free.map(|other| 1 + best(item + 1, items, used | 1 << other, linked)).max().unwrap_or(0);
    with.max(best(item + 1, items, used, linked))
}

proptest! {
    #[test]
    fn a_matching_is_as_large_as_any(edges in proptest::collection::vec(0_u8..32, 0..6)) {
        let items: Vec<String> = (0..edges.len()).map(|item| item.to_string()).collect();
        let others: Vec<String> = (0..5).map(|other: usize| other.to_string()).collect();
        let linked = |item: usize, other: usize| edges[item] >> other & 1 == 1;
        let similar = |a: &str, b: &str| f64::from(u8::from(linked(a.parse().unwrap(), b.parse().unwrap())));
        let found = match_lists(&items, &others, 1.0, similar).pairs;
        prop_assert_eq!(found.len(), best(0, items.len(), 0, &linked));
        prop_assert!(found.iter().all(|&(item, other)| linked(item, other)));
    }

    #[test]
    fn numbers_are_finite(text in ".{0,30}|[-+0-9.,eE% $]{0,20}") {
        for position in [NumberPosition::Whole, NumberPosition::First, NumberPosition::Last] {
            prop_assert!(find_number(&text, position).is_none_or(f64::is_finite));
        }
        prop_assert!(list_items(&text).iter().all(|item| !item.is_empty()));
    }
}
