//! Prompt files: what they mean, and what their mistakes read like.

use llmops_domain::prompt_file;

const FULL: &str = r####"
name: code-review
version: 1.0.0
description: Reviews a change
author: dana
tags: [review]
change: First version
variables:
  - {name: language, type: string, required: true}
  - {name: focus_area, type: string, required: true, default: bugs}
  - {name: code, type: string, required: true, description: the code, validation: ".+"}
system: You are a careful reviewer.
examples: [{input: "x = = 1", output: "Syntax error in line 1."}]
content: "Review this {{language}} code for {{focus_area}}: {{code}}"
model: openai/gpt-4o-mini
parameters: {temperature: 0.2, top_p: 1, max_tokens: 800, stop: ["###"]}
response_format: null
post_processing: [trim, strip_fences]
"####;

fn check(text: &str) -> String {
    match prompt_file::parse(text, "p.yaml") {
        Ok(spec) => format!("{} {:?}", spec.name, spec.version.map(|v| v.to_string())),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

fn check_with(from: &str, to: &str) -> String {
    assert!(FULL.contains(from), "{from}");
    check(&FULL.replacen(from, to, 1))
}

#[test]
fn the_documented_example() {
    insta::assert_snapshot!(check(FULL), @r#"code-review Some("1.0.0")"#);
    insta::assert_snapshot!(check("name: a\nmessages: [{role: user, content: 'Hi {{input}} ${HOME}'}]"), @"a None");
    insta::assert_snapshot!(check("name: a\nsystem: Be kind."), @"a None");
}

#[test]
fn mistakes() {
    insta::assert_snapshot!(check_with("content:", "contents:"), @"p.yaml:14:1: contents: unknown key; did you mean content?");
    insta::assert_snapshot!(check_with("name: code-review", "name: code review"), @"p.yaml:2:7: name: `code review` does not fit; the prompt's name: at most 128 letters, digits, `.`, `_`, `/` and `-`, a letter or digit first");
    insta::assert_snapshot!(check_with("name: code-review\n", ""), @"p.yaml:2:1: the key `name` is missing; name: the prompt's name: at most 128 letters, digits, `.`, `_`, `/` and `-`, a letter or digit first");
    insta::assert_snapshot!(check_with("version: 1.0.0", "version: 1.0"), @"p.yaml:3:10: version: expected text, not `1.0`; put it in quotes");
    insta::assert_snapshot!(check_with("version: 1.0.0", "version: v1"), @"p.yaml:3:10: version: `v1` does not fit; semantic version, such as 1.0.0");
    insta::assert_snapshot!(check_with("type: string, required: true}", "type: text, requird: true}"), @"
    p.yaml:9:28: variables[0].type: unknown value `text`; expected one of string, int, float, bool, array, object
    p.yaml:9:34: variables[0].requird: unknown key; did you mean required?
    ");
    insta::assert_snapshot!(check_with("[trim, strip_fences]", "[strip, {jsonpath: a}, {json_path: 3}]"), @"
    p.yaml:18:19: post_processing[0]: unknown value `strip`; expected one of trim, strip_fences
    p.yaml:18:27: post_processing[1].jsonpath: unknown key; did you mean json_path?
    p.yaml:18:53: post_processing[2].json_path: expected text, not `3`; put it in quotes
    ");
    insta::assert_snapshot!(check_with("[trim, strip_fences]", "[{regex: '(a'}]"), @"p.yaml:18:19: post_processing[0]: `(a` is no regular expression: unclosed group");
    insta::assert_snapshot!(check_with("validation: \".+\"", "validation: 7"), @"p.yaml:11:83: variables[2].validation: expected text or a list, not `7`; put it in quotes");
    insta::assert_snapshot!(check_with("temperature: 0.2", "temperature: 3"), @"p.yaml:16:27: parameters.temperature: must be from 0 to 2, not `3`");
    insta::assert_snapshot!(check_with("model: openai/gpt-4o-mini", "model: gpt-4o-mini"), @"p.yaml:15:8: model: `gpt-4o-mini` names no provider; write provider/model");
    insta::assert_snapshot!(check_with("tags: [review]", "tags: review"), @"p.yaml:6:7: tags: expected a list, not `review`");
    insta::assert_snapshot!(check_with("tags: [review]", "tags:"), @"p.yaml:6:5: tags: expected a list, not nothing");
}

#[test]
fn what_is_checked_together() {
    let text = "
name: a
messages: [{role: usr, content: x}, {role: user}]
";
    insta::assert_snapshot!(check(text), @"p.yaml:3:19: messages[0].role: unknown value `usr`; did you mean user?");
    let text = "
name: a
content: 'one {{ b '
messages: [{role: user, content: '{{ input }}'}]
variables:
  - {name: b, type: int, default: many}
  - {name: b}
  - {name: c, validation: '(', default: x}
  - {name: d, validation: [x, y], default: z}
  - {name: e-f}
post_processing: [{json_path: '$..['}]
";
    insta::assert_snapshot!(check(text), @r#"
    p.yaml:3:10: content: line 1, near `b`: unexpected end of input, expected end of variable block
    p.yaml:4:11: messages: the prompt has `content` too: write either of them
    p.yaml:6:35: variables[0].default: "many" is no int (a whole number)
    p.yaml:7:12: variables[1].name: `b` is declared twice
    p.yaml:8:27: variables[2].validation: `(` is no regular expression: unclosed group
    p.yaml:9:44: variables[3].default: "z" is none of "x", "y"
    p.yaml:10:12: variables[4].name: `e-f` cannot be used in a template: write letters, digits and `_`, no digit first
    p.yaml:11:19: post_processing[0]: `$..[` is no JSON path: a name is missing behind `.`; write one like `$.answer`, `$.items[0].text` or `$['a name']`
    "#);
    // What makes no sense is told with what cannot be read.
    let text = "
name: code review
version: 1
content: 'one {{ b '
messages: [{role: user, content: '{{ input }}'}]
variables:
  - {name: 1a}
  - {name: b, type: int, default: x}
  - {name: b}
tags: t
";
    insta::assert_snapshot!(check(text), @r#"
    p.yaml:2:7: name: `code review` does not fit; the prompt's name: at most 128 letters, digits, `.`, `_`, `/` and `-`, a letter or digit first
    p.yaml:3:10: version: expected text, not `1`; put it in quotes
    p.yaml:4:10: content: line 1, near `b`: unexpected end of input, expected end of variable block
    p.yaml:5:11: messages: the prompt has `content` too: write either of them
    p.yaml:7:12: variables[0].name: `1a` cannot be used in a template: write letters, digits and `_`, no digit first
    p.yaml:8:35: variables[1].default: "x" is no int (a whole number)
    p.yaml:9:12: variables[2].name: `b` is declared twice
    p.yaml:10:7: tags: expected a list, not `t`
    "#);
}

#[test]
fn every_property_has_a_description() {
    fn visit(schema: &serde_json::Value, missing: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
            let bare = properties.iter().filter(|(_, p)| p.get("description").is_none() && p.get("$ref").is_none());
            missing.extend(bare.map(|(name, _)| name.clone()));
        }
        match schema {
            serde_json::Value::Object(map) => map.values().for_each(|value| visit(value, missing)),
            serde_json::Value::Array(items) => items.iter().for_each(|item| visit(item, missing)),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    visit(prompt_file::json_schema(), &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}
