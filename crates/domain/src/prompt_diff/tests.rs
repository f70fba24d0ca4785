use serde_json::json;

use super::*;

fn version(version: &str, body: Value) -> PromptVersion {
    let mut whole =
        json!({"name": "review", "version": version, "hash": "0".repeat(64), "created_at": "2026-11-03T15:40:52Z"});
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn compare(old: Value, new: Value) -> PromptDiff {
    diff(&version("1.0.0", old), &version("1.1.0", new))
}

#[test]
fn everything_that_differs_is_shown() {
    let old = json!({
        "system": "You are a careful reviewer.\nBe brief.",
        "content": "Review this {{language}} code for {{focus}}:\n{{code}}",
        "variables": [{"name": "language"}, {"name": "focus", "default": "bugs"}, {"name": "code", "required": true}],
        "model": "openai/gpt-4o-mini", "parameters": {"temperature": 0.2, "stop": ["###"]},
        "examples": [{"input": "a", "output": "b"}],
    });
    let new = json!({
        "system": "You are a strict reviewer.\nBe brief.",
        "messages": [{"role": "user", "content": "Review this {{language}} code:\n{{code}}"}, {"role": "assistant", "content": "{"}],
        "variables": [
            {"name": "language", "validation": ["Go", "Rust"], "description": "the language"},
            {"name": "code", "required": true},
            {"name": "depth", "type": "int"},
        ],
        "model": "openai/gpt-4o", "parameters": {"temperature": 0.0, "max_tokens": 5, "stop": ["###"]},
        "response_format": {"type": "json_object"}, "post_processing": ["trim", {"json_path": "$.a"}],
        "examples": [{"input": "a", "output": "b"}],
    });
    let diff = compare(old, new);
    insta::assert_snapshot!(diff.to_string(), @r#"
    --- review@1.0.0
    +++ review@1.1.0
    @@ -1,6 +1,8 @@
     [system]
    -You are a careful reviewer.
    +You are a strict reviewer.
     Be brief.
     [user]
    -Review this {{language}} code for {{focus}}:
    +Review this {{language}} code:
     {{code}}
    +[assistant]
    +{
    variables:
    - language (string)
    + language (string, validation ["Go","Rust"]): the language
    - focus (string, default "bugs")
    + depth (int)
    configuration:
    - model: "openai/gpt-4o-mini"
    + model: "openai/gpt-4o"
    + parameters.max_tokens: 5
    - parameters.temperature: 0.2
    + parameters.temperature: 0.0
    + post_processing: ["trim",{"json_path":"$.a"}]
    + response_format: {"type":"json_object"}
    "#);
    // Changed words are marked within their lines.
    let first = serde_json::to_string(&diff.text[0].lines[1..3]).unwrap();
    insta::assert_snapshot!(first, @r#"[{"kind":"removed","parts":[{"text":"You are a ","changed":false},{"text":"careful","changed":true},{"text":" reviewer.","changed":false}]},{"kind":"added","parts":[{"text":"You are a ","changed":false},{"text":"strict","changed":true},{"text":" reviewer.","changed":false}]}]"#);
    assert!(!diff.identical);
}

#[test]
fn identical_versions_have_no_differences() {
    let body = json!({"content": "x\n", "variables": [{"name": "a"}]});
    insta::assert_snapshot!(compare(body.clone(), body).to_string(), @r#"
    --- review@1.0.0
    +++ review@1.1.0
    identical
    "#);
    assert!(compare(json!({}), json!({})).identical);
}

#[test]
fn odd_texts_are_compared() {
    insta::assert_snapshot!(compare(json!({"content": "a\n\nb\r\n"}), json!({"content": "a\nb\n\n"})).to_string(), @r#"
    --- review@1.0.0
    +++ review@1.1.0
    @@ -1,5 +1,5 @@
     [user]
     a
    +b
     
    -b
    "#);
    let parts = |text: &str| json!({"messages": [{"role": "user", "name": "zoë", "content": [{"type": "text", "text": text}]}]});
    insta::assert_snapshot!(compare(parts("old"), parts("new")).to_string(), @r#"
    --- review@1.0.0
    +++ review@1.1.0
    @@ -2,6 +2,6 @@
     [
       {
         "type": "text",
    -    "text": "old"
    +    "text": "new"
       }
     ]
    "#);
    let swapped = compare(json!({"content": "x"}), json!({"messages": [{"role": "user", "content": "x"}]}));
    assert!(!swapped.identical && swapped.text.is_empty(), "the same words in another form");
}

#[test]
fn long_texts_are_compared_in_reasonable_time() {
    let long = |n: u32| (0..20_000_u32).map(|i| (i.wrapping_mul(n) % 7919).to_string()).collect::<Vec<_>>().join("\n");
    let diff = compare(json!({"content": long(31)}), json!({"content": long(37)}));
    assert!(!diff.text.is_empty());
}

proptest::proptest! {
    #[test]
    fn diff_rebuilds_both_texts(old in "([ab]{1,2} ?|\n|é){0,30}", new in "([ab]{1,2} ?|\n|é){0,30}") {
        let found = compare(json!({"content": old.clone()}), json!({"content": new.clone()}));
        proptest::prop_assert_eq!(found.identical, old == new);
        proptest::prop_assert_eq!(found.text.is_empty(), old == new);
        // Lines of one side, in the order shown, are lines of that text in that order.
        for (text, other) in [(&old, LineKind::Added), (&new, LineKind::Removed)] {
            let whole = format!("[user]\n{text}\n");
            let mut rest = whole.split('\n');
            for line in found.text.iter().flat_map(|h| &h.lines).filter(|l| l.kind != other) {
                let shown: String = line.parts.iter().map(|p| p.text.as_str()).collect();
                proptest::prop_assert!(rest.any(|l| l == shown), "{} not in {}", shown, whole);
            }
        }
    }
}
