use serde_json::json;

use super::*;
use crate::dataset::Sample;
use crate::manifest::Manifest;

fn prompt(body: Value) -> Result<CompiledPrompt, RenderError> {
    CompiledPrompt::compile(&serde_json::from_value(body).unwrap())
}

fn values(values: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(values).unwrap()
}

/// Messages as `role: content` lines, or the error.
fn show(messages: Result<Vec<Message>, RenderError>) -> String {
    match messages {
        Err(error) => format!("error: {error}"),
        Ok(messages) => messages
            .iter()
            .map(|m| {
                let role = serde_json::to_value(m.role).unwrap();
                let text = m.content.as_str().map_or_else(|| m.content.to_string(), str::to_owned);
                format!("{}: {text}", role.as_str().unwrap())
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

fn render(body: Value, given: Value) -> String {
    show(prompt(body).and_then(|p| p.render(values(given), Extra::Refuse)))
}

fn review() -> Value {
    json!({
        "system": "You review {{language}}.",
        "examples": [{"input": "x = = 1", "output": "Syntax error."}],
        "variables": [
            {"name": "language", "required": true},
            {"name": "focus_area", "required": true, "default": "bugs"},
            {"name": "code", "required": true, "validation": ".+"},
            {"name": "lines", "type": "int"}
        ],
        "content": "Review this {{language}} code for {{focus_area}}: {{code}}{% if lines %} ({{lines}} lines){% endif %}"
    })
}

#[test]
fn a_prompt_renders_in_order() {
    insta::assert_snapshot!(render(review(), json!({"language": "Go", "code": "a\n{{b}}", "lines": "3"})), @r#"
    system: You review Go.
    user: x = = 1
    assistant: Syntax error.
    user: Review this Go code for bugs: a
    {{b}} (3 lines)
    "#);
    let chat = json!({"messages": [
        {"role": "system", "content": "Be kind to {{name}}."},
        {"role": "user", "content": [{"type": "text", "text": "Hi {{name}}"}, {"type": "image_url", "image_url": {"url": "{{url}}", "detail": 3}}]},
        {"role": "assistant", "content": "Hello"},
    ], "variables": [{"name": "name"}, {"name": "url"}]});
    insta::assert_snapshot!(render(chat, json!({"name": "Zoë", "url": "http://x"})), @r#"
    system: Be kind to Zoë.
    user: [{"type":"text","text":"Hi Zoë"},{"type":"image_url","image_url":{"url":"http://x","detail":3}}]
    assistant: Hello
    "#);
}

#[test]
fn values_are_checked_all_at_once() {
    insta::assert_snapshot!(render(review(), json!({"langauge": "Go", "code": "", "lines": "3.5"})), @r#"
    error: language: it is required and has no value
    code: "" does not match `.+`
    lines: "3.5" is no int (a whole number)
    langauge: the prompt has no such variable: did you mean `language`?
    "#);
    insta::assert_snapshot!(render(review(), json!({"language": null, "code": "x", "focus_area": null, "zzz": 1})), @r#"
    error: language: it is required and has no value
    zzz: the prompt has no such variable: it has language, focus_area, code, lines
    "#);
    insta::assert_snapshot!(render(json!({"content": "x"}), json!({"a": 1})), @"error: a: the prompt has no variables");
    insta::assert_snapshot!(render(json!({"content": "{{x}}", "variables": [{"name": "x"}]}), json!({})), @r#"error: content: line 1, near `x`: `x` has no value: give one, or write `x | default("…")`"#);
    insta::assert_snapshot!(render(json!({"content": "{{ langauge }} {{other}}", "variables": [{"name": "language"}]}), json!({"other": 1})), @r#"
    error: langauge: the prompt uses it, but does not declare it under `variables`: did you mean `language`?
    other: the prompt uses it, but does not declare it under `variables`: add {name: other, type: string} to them
    "#);
    insta::assert_snapshot!(render(json!({}), json!({})), @"error: nothing to send: there is no prompt text, no input and no message");
}

#[test]
fn a_prompt_answers_all_its_problems() {
    let body = json!({
        "system": "{{ a",
        "content": "x",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "{% include 'x' %}"}]}],
        "variables": [{"name": "a"}, {"name": "a"}, {"name": "1", "type": "int", "default": "x"}],
        "post_processing": ["trim", {"json_path": "x"}],
    });
    insta::assert_snapshot!(show(prompt(body).map(|_| Vec::new())), @r#"
    error: messages: the prompt has `content` too: write either of them
    system: line 1, near `a`: unexpected end of input, expected end of variable block
    messages[0].content[0].text: line 1, near `{% include 'x' %}`: the tag `include` cannot be used in a prompt: only if, for, set, raw and comments are allowed
    variables[1].name: `a` is declared twice
    variables[2].name: `1` cannot be used in a template: write letters, digits and `_`, no digit first
    variables[2].default: "x" is no int (a whole number)
    post_processing[1]: `x` is no JSON path: it must begin with `$`; write one like `$.answer`, `$.items[0].text` or `$['a name']`
    "#);
}

#[test]
fn pushing_warns() {
    let body = json!({
        "content": "{{ input }} {{ context }} {{ langauge }}",
        "examples": [{"input": "{{ input }}", "output": "{{"}],
        "variables": [{"name": "language"}, {"name": "input"}],
    });
    insta::assert_snapshot!(prompt(body).unwrap().push_warnings().join("\n"), @r#"
    rendering will fail: `langauge`: the prompt uses it, but does not declare it under `variables`: did you mean `language`?
    variable `language` is declared, but nothing uses it
    examples[0] has `{{ … }}` in it: examples are sent as they are written
    "#);
    insta::assert_snapshot!(prompt(json!({})).unwrap().push_warnings().join("\n"), @"the prompt is empty: only the input is sent");
    assert_eq!(prompt(review()).unwrap().push_warnings(), [""; 0]);
}

fn target(manifest: Value, body: Option<Value>) -> CompiledTarget {
    let mut whole = json!({"model": "openrouter/meta/llama"});
    whole.as_object_mut().unwrap().extend(manifest.as_object().unwrap().clone());
    let manifest: Manifest = serde_json::from_value(whole).unwrap();
    let body: Option<PromptBody> = body.map(|b| serde_json::from_value(b).unwrap());
    CompiledTarget::compile(manifest, body.as_ref()).unwrap()
}

#[track_caller]
fn check_sample(body: Option<Value>, sample: Value, expected: &str) {
    let mut whole = json!({"id": "s1"});
    whole.as_object_mut().unwrap().extend(sample.as_object().unwrap().clone());
    let sample: Sample = serde_json::from_value(whole).unwrap();
    let system = json!({"system": body.as_ref().map_or(json!("S"), |b| b["system"].clone())});
    let request = target(system, body).request_for_sample(&sample, 0);
    assert_eq!(show(request.map(|r| r.messages)), expected);
}

#[test]
fn samples_reach_a_prompt_as_variables() {
    let turns = json!([{"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}]);
    let content = |text: &str| Some(json!({"content": text}));
    // Without a prompt.
    check_sample(None, json!({"input": "q"}), "system: S\nuser: q");
    check_sample(None, json!({"input": "q", "messages": turns}), "system: S\nuser: u1\nassistant: a1\nuser: q");
    check_sample(None, json!({"messages": turns}), "system: S\nuser: u1\nassistant: a1");
    check_sample(None, json!({"input": "{{x}}", "variables": {"x": 1}}), "system: S\nuser: {{x}}");
    // The template uses the input, or does not.
    check_sample(content("Q: {{input}}"), json!({"input": "q"}), "user: Q: q");
    check_sample(content("Do it."), json!({"input": "q"}), "user: Do it.\nuser: q");
    check_sample(content("Do it."), json!({"messages": turns}), "user: u1\nassistant: a1\nuser: Do it.");
    check_sample(
        content("Q: {{input}}"),
        json!({"input": "q", "messages": turns}),
        "user: u1\nassistant: a1\nuser: Q: q",
    );
    check_sample(Some(json!({"system": "Answer: {{input}}"})), json!({"input": "q"}), "system: Answer: q");
    // Without an input, what the user says last is the input.
    let asked = json!([{"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}, {"role": "user", "content": "u2"}]);
    check_sample(content("Q: {{input}}"), json!({"messages": asked}), "user: u1\nassistant: a1\nuser: Q: u2");
    check_sample(content("Do it."), json!({"messages": asked}), "user: Do it.\nuser: u1\nassistant: a1\nuser: u2");
    check_sample(None, json!({"messages": asked}), "system: S\nuser: u1\nassistant: a1\nuser: u2");
    let parts = json!([{"role": "user", "content": [{"type": "text", "text": "look"}]}]);
    check_sample(content("{{input}}"), json!({"messages": parts}), "user: [{\"type\":\"text\",\"text\":\"look\"}]");
    check_sample(None, json!({"messages": parts}), "system: S\nuser: [{\"type\":\"text\",\"text\":\"look\"}]");
    // Context is joined by blank lines, and empty where there is none.
    check_sample(content("{{context}}|{{input}}"), json!({"input": "q", "context": ["a", "b"]}), "user: a\n\nb|q");
    check_sample(content("{{context}}|{{input}}"), json!({"input": "q"}), "user: |q");
    // The conversation goes before the last user message, not before an example.
    let prefilled =
        json!({"messages": [{"role": "user", "content": "{{input}}"}, {"role": "assistant", "content": "{"}]});
    check_sample(
        Some(prefilled),
        json!({"input": "q", "messages": turns}),
        "user: u1\nassistant: a1\nuser: q\nassistant: {",
    );
    // Own variables, with fields before variables of the same name.
    let own = json!({"content": "{{x}} {{input}}", "variables": [{"name": "x", "type": "int"}]});
    check_sample(
        Some(own.clone()),
        json!({"input": "q", "variables": {"x": "7", "input": "other", "more": 1}}),
        "user: 7 q",
    );
    check_sample(Some(own.clone()), json!({"variables": {"x": 7, "input": "other"}}), "user: 7 other");
    check_sample(
        Some(own),
        json!({"input": "q", "variables": {"x": "seven"}}),
        "error: x: \"seven\" is no int (a whole number)",
    );
    // A declared context decides by its declaration when there is none.
    let declared = |more: Value| {
        let mut variable = json!({"name": "context"});
        variable.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(json!({"content": "{{context}}", "variables": [variable]}))
    };
    check_sample(declared(json!({"default": "none"})), json!({}), "user: none");
    check_sample(declared(json!({"required": true})), json!({}), "error: context: it is required and has no value");
}

#[test]
fn a_template_wraps_what_the_user_said_last() {
    let turns = json!([{"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}]);
    let content = |text: &str| Some(json!({"content": text}));
    // Where others spoke after that, a template wraps it where it stands, as it did in the round before.
    check_sample(content("Q: {{input}}"), json!({"messages": turns}), "user: Q: u1\nassistant: a1");
    let tools = json!([
        {"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}, {"role": "user", "content": "u2"},
        {"role": "assistant", "content": "calls"}, {"role": "tool", "content": "42", "tool_call_id": "c"},
    ]);
    check_sample(
        content("Q: {{input}}"),
        json!({"messages": tools}),
        "user: u1\nassistant: a1\nuser: Q: u2\nassistant: calls\ntool: 42",
    );
    check_sample(
        None,
        json!({"messages": tools}),
        "system: S\nuser: u1\nassistant: a1\nuser: u2\nassistant: calls\ntool: 42",
    );
    let after = json!({"messages": [{"role": "user", "content": "{{input}}"}, {"role": "assistant", "content": "{"}]});
    check_sample(
        Some(after),
        json!({"messages": tools}),
        "user: u1\nassistant: a1\nuser: u2\nassistant: calls\ntool: 42\nassistant: {",
    );
    let silent = json!([{"role": "assistant", "content": "Hello"}]);
    check_sample(content("{{ input }}"), json!({"messages": silent}), "assistant: Hello");
}

#[test]
fn nothing_to_send_is_an_error() {
    let sample = Sample { id: "s".into(), ..Sample::default() };
    let error = target(json!({}), None).request_for_sample(&sample, 0).unwrap_err();
    assert_eq!(error, RenderError::Nothing);
}

#[test]
fn the_manifest_wins_over_the_prompt() {
    let body = json!({
        "system": "old", "examples": [{"input": "old", "output": "old"}], "content": "{{input}}",
        "parameters": {"temperature": 1.0, "stop": ["old"]}, "response_format": {"type": "json_object"}, "tools": [{}],
        "post_processing": [{"json_path": "$.old"}],
    });
    let manifest = json!({
        "system": "new {{input}}", "examples": [{"input": "i", "output": "{{o}}"}], "parameters": {"temperature": 0.0},
        "stop": ["###"], "tools": [{"type": "function"}], "post_processing": ["trim"],
    });
    let target = target(manifest, Some(body));
    let sample = Sample {
        id: "s1".into(),
        input: "q".into(),
        variables: values(json!({"language": "Go"})),
        ..Sample::default()
    };
    let request = target.request_for_sample(&sample, 2).unwrap();
    assert_eq!((target.provider(), target.model()), ("openrouter", "meta/llama"));
    assert_eq!(target.post_processor().apply(" x ").unwrap(), "x");
    insta::assert_snapshot!(serde_json::to_string_pretty(&request).unwrap(), @r####"
    {
      "model": "meta/llama",
      "messages": [
        {
          "role": "system",
          "content": "new q"
        },
        {
          "role": "user",
          "content": "i"
        },
        {
          "role": "assistant",
          "content": "{{o}}"
        },
        {
          "role": "user",
          "content": "q"
        }
      ],
      "parameters": {
        "temperature": 0.0,
        "stop": [
          "###"
        ]
      },
      "tools": [
        {
          "type": "function"
        }
      ],
      "origin": {
        "sample_id": "s1",
        "trial": 2,
        "variables": {
          "context": "",
          "input": "q",
          "language": "Go"
        }
      }
    }
    "####);
}

proptest::proptest! {
    #[test]
    fn an_input_arrives_as_it_is(input in r"(\{\{|\}\}|\{%|%\}|\{#|\PC|\n| |input){1,40}") {
        let sample = Sample { id: "s".into(), input: input.clone(), ..Sample::default() };
        for body in [None, Some(json!({"content": "{{input}}"})), Some(json!({"system": "x"}))] {
            let request = target(json!({}), body).request_for_sample(&sample, 0).unwrap();
            proptest::prop_assert_eq!(request.last_user_text(), input.as_str());
        }
    }
}

/// A live call: its own messages with `…` where the caller's conversation stands, `-` in front where its last message
/// was taken as the input.
fn live(body: Value, given: Value, last_user: Option<&str>) -> String {
    let target = CompiledTarget::compile(
        Manifest::resolve(None, "sim/m", &crate::chat::Parameters::default()),
        Some(&serde_json::from_value(body).unwrap()),
    );
    let target = target.unwrap();
    let taken = last_user.is_some() && target.wraps(&values(given.clone()));
    match target.frame_for_call(values(given), last_user, true) {
        Err(error) => format!("error: {error}"),
        Ok(frame) => {
            let mut messages = frame.messages;
            messages.insert(frame.conversation_at, Message::text(Role::Tool, if taken { "-…" } else { "…" }));
            show(Ok(messages))
        }
    }
}

#[test]
fn a_live_conversation_follows_the_prompt_or_is_wrapped_by_it() {
    insta::assert_snapshot!(live(json!({}), json!({}), Some("hi")), @"tool: …");
    let instructions =
        json!({"content": "Answer in {{language}}.", "variables": [{"name": "language", "default": "Go"}]});
    insta::assert_snapshot!(live(instructions.clone(), json!({}), Some("hi")), @r"
    user: Answer in Go.
    tool: …
    ");
    insta::assert_snapshot!(live(instructions.clone(), json!({"input": "own"}), Some("hi")), @r"
    user: Answer in Go.
    tool: …
    user: own
    ");
    let wrapper = json!({"content": "Q: {{input}} ({{context}})"});
    insta::assert_snapshot!(live(wrapper.clone(), json!({"context": "c"}), Some("hi")), @r"
    tool: -…
    user: Q: hi (c)
    ");
    insta::assert_snapshot!(live(wrapper, json!({"input": "own"}), Some("hi")), @r"
    tool: …
    user: Q: own ()
    ");
    insta::assert_snapshot!(live(instructions, json!({"language": 3, "more": 1}), None), @r"
    user: Answer in 3.
    tool: …
    ");
}

/// Rounds of tools: the question is wrapped where it stands, and nothing is asked again.
#[test]
fn calls_of_tools_stay_behind_the_wrapped_question() {
    let call = |body: Value, said: Value| {
        let target = target(json!({}), Some(body));
        let theirs = serde_json::from_value(said).unwrap();
        show(target.messages_for_call(BTreeMap::new(), theirs, crate::deployment::SystemMerge::Keep))
    };
    let rounds = json!([
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "content": "sun", "tool_call_id": "c"},
    ]);
    assert_eq!(call(json!({"content": "Q: {{input}}"}), rounds.clone()), "user: Q: Rain?\nassistant: null\ntool: sun");
    assert_eq!(
        call(json!({"content": "Be kind."}), rounds.clone()),
        "user: Be kind.\nuser: Rain?\nassistant: null\ntool: sun"
    );
    assert_eq!(call(json!({}), rounds), "user: Rain?\nassistant: null\ntool: sun");
    let silent = json!([{"role": "assistant", "content": "Hello"}]);
    assert_eq!(call(json!({"content": " {{input}}"}), silent), "assistant: Hello");
}

/// Where others speak and the user does not, nothing is asked in the user's name. What is said in parts is said.
#[test]
fn a_template_without_an_input_is_left_out() {
    let silent = json!([{"role": "assistant", "content": "Hello"}]);
    let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    let said = |parts: Value| json!([{"role": "user", "content": parts}]);
    let check = |body: Value, conversation: &Value, expected: &str| {
        let target = target(json!({}), Some(body.clone()));
        let theirs: Vec<Message> = serde_json::from_value(conversation.clone()).unwrap();
        let merge = crate::deployment::SystemMerge::Keep;
        let live = show(target.messages_for_call(BTreeMap::new(), theirs.clone(), merge));
        let sample = Sample { id: "s".into(), messages: theirs, ..Sample::default() };
        let evaluated = show(target.request_for_sample(&sample, 0).map(|request| request.messages));
        assert_eq!((&*live, &*evaluated), (expected, expected), "{body} {conversation}");
    };
    let content = |text: &str| json!({"content": text});
    let wrapper = content("Q: {{input}}");
    check(wrapper.clone(), &silent, "assistant: Hello");
    check(wrapper.clone(), &json!([{"role": "tool", "content": "42", "tool_call_id": "c"}]), "tool: 42");
    check(content("{% if input %}Q: {{input}}{% else %}Go on.{% endif %}"), &silent, "user: Go on.\nassistant: Hello");
    let system = json!({"messages": [{"role": "system", "content": "Of {{input}}."}]});
    check(system, &silent, "system: Of .\nassistant: Hello");
    let several = json!({"messages": [
        {"role": "user", "content": "Be kind."}, {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "text", "text": "Q: {{input}}"}]},
    ]});
    check(several, &silent, "user: Be kind.\nassistant: Yes.\nassistant: Hello");
    let default = json!({"content": "Q: {{input}}", "variables": [{"name": "input", "default": "What now?"}]});
    check(default, &silent, "user: Q: What now?\nassistant: Hello");
    let theirs = serde_json::from_value(silent.clone()).unwrap();
    let variables = [("input".to_owned(), json!("q"))].into();
    let given = Sample { id: "s".into(), messages: theirs, variables, ..Sample::default() };
    let given = target(json!({}), Some(wrapper.clone())).request_for_sample(&given, 0);
    assert_eq!(show(given.map(|request| request.messages)), "assistant: Hello\nuser: Q: q");

    let text = |text: &str| json!({"type": "text", "text": text});
    let parts = |parts: &[&Value]| format!("user: {}", json!(parts));
    let (question, rest) = (text("Q: Where"), text("?"));
    check(wrapper.clone(), &said(json!([text("Where"), text("?")])), &parts(&[&question, &rest]));
    check(wrapper.clone(), &said(json!([image, text("Where")])), &parts(&[&image, &question]));
    check(wrapper.clone(), &said(json!([image])), &parts(&[&text("Q: "), &image]));
    check(content("Be kind."), &said(json!([image])), &format!("user: Be kind.\nuser: [{image}]"));
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "x"});
    check(wrapper, &said(json!([text("And?"), result])), &format!("user: [{},{result}]", text("And?")));
}
