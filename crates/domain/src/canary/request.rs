//! From a caller's request to what the candidate is asked: the same conversation with the candidate's prompt around it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::pair::ShadowTexts;
use crate::chat::{ChatRequest, Message, Parameters, Role, functions};
use crate::deployment::DeploymentSettings;
use crate::render::{CompiledTarget, RenderError};

/// Members of a message that every provider is translated from; others are left out, as a translation would.
const KNOWN: [&str; 5] = ["role", "content", "name", "tool_calls", "tool_call_id"];

impl ShadowTexts {
    /// Reads a request in OpenAI's or Anthropic's format; none where it has no messages that can be read. Functions, as
    /// tools were called once, are tools.
    pub fn read(body: &[u8], variables: BTreeMap<String, Value>, answer: &str) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let mut messages: Vec<Message> = fields
            .get("system")
            .map(text_of)
            .filter(|text| !text.is_empty())
            .map(|text| Message::text(Role::System, text))
            .into_iter()
            .collect();
        for message in functions::as_tool_calls(fields.get("messages")?.as_array()?).iter() {
            messages.push(read_message(message)?);
        }
        let number = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_f64());
        let whole = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_u64());
        let stop = fields.get("stop").or_else(|| fields.get("stop_sequences"));
        let parameters = Parameters {
            temperature: number(&["temperature"]),
            top_p: number(&["top_p"]),
            max_tokens: whole(&["max_tokens", "max_completion_tokens"]).and_then(|n| u32::try_from(n).ok()),
            stop: match stop {
                Some(Value::String(one)) => vec![one.clone()],
                Some(Value::Array(all)) => all.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect(),
                _ => Vec::new(),
            },
            seed: fields.get("seed").and_then(Value::as_i64),
            presence_penalty: number(&["presence_penalty"]),
            frequency_penalty: number(&["frequency_penalty"]),
            extra_body: BTreeMap::new(),
        };
        Some(Self {
            messages,
            variables,
            parameters,
            tools: functions::offered(&fields).collect(),
            response_format: fields.get("response_format").filter(|value| !value.is_null()).cloned(),
            production_answer: answer.to_owned(),
            candidate_answer: None,
        })
    }

    /// Whether tools are offered, or were used before.
    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty() || self.messages.iter().any(|m| !m.tool_calls.is_empty() || m.role == Role::Tool)
    }
}

/// The text of a text, or of a list of text blocks.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect::<Vec<_>>().join("\n\n")
        }
        _ => String::new(),
    }
}

fn read_message(message: &Value) -> Option<Message> {
    let mut fields = message.as_object()?.clone();
    fields.retain(|name, value| KNOWN.contains(&name.as_str()) && !value.is_null());
    if let Some(Value::Array(blocks)) = fields.get("content")
        && !blocks.is_empty()
        && blocks.iter().all(|block| block.get("type").is_some_and(|kind| kind == "text"))
    {
        let text = text_of(fields.get("content")?);
        fields.insert("content".to_owned(), Value::String(text));
    }
    serde_json::from_value(Value::Object(fields)).ok()
}

/// What the candidate is asked. The caller's system messages and parameters count as far as the deployment lets them, just
/// as they did when production answered.
///
/// # Errors
/// When the caller's variables do not suit the candidate's prompt, or a template fails.
pub fn candidate_request(
    target: &CompiledTarget,
    texts: &ShadowTexts,
    settings: &DeploymentSettings,
) -> Result<ChatRequest, RenderError> {
    let messages = target.messages_for_call(texts.variables.clone(), texts.messages.clone(), settings.merge)?;
    let bare = target.bare_request();
    let allowed = |name: &str| settings.allow_override.iter().any(|allowed| allowed == name);
    let parameters = target.parameters_for_call(&texts.parameters, allowed);
    let tools = if bare.tools.is_empty() || allowed("tools") && !texts.tools.is_empty() {
        texts.tools.clone()
    } else {
        bare.tools.clone()
    };
    let response_format = match &texts.response_format {
        Some(format) if bare.response_format.is_none() || allowed("response_format") => Some(format.clone()),
        _ => bare.response_format.clone(),
    };
    Ok(ChatRequest { messages, parameters, tools, response_format, ..bare })
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::deployment::SystemMerge;
    use crate::manifest::Manifest;
    use crate::prompt::PromptBody;

    fn read(body: &str) -> Option<ShadowTexts> {
        ShadowTexts::read(body.as_bytes(), BTreeMap::new(), "yes")
    }

    fn target(system: Option<&str>) -> CompiledTarget {
        let mut manifest =
            Manifest::resolve(None, "sim/new", &Parameters { temperature: Some(0.5), ..Parameters::default() });
        manifest.system = system.map(str::to_owned);
        CompiledTarget::compile(manifest, None).unwrap()
    }

    fn said(request: &ChatRequest) -> String {
        request.messages.iter().map(|m| format!("{}: {}", m.role.as_str(), m.as_text())).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn both_formats_are_read() {
        let openai = read(
            r#"{"model": "bot", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content":
            [{"type": "text", "text": "Hi"}], "unknown": 1}], "max_completion_tokens": 5, "stop": "END"}"#,
        );
        let anthropic = read(
            r#"{"model": "bot", "system": [{"type": "text", "text": "Be kind."}], "messages": [{"role": "user",
            "content": "Hi"}], "max_tokens": 5, "stop_sequences": ["END"]}"#,
        );
        assert_eq!(openai, anthropic);
        let texts = openai.unwrap();
        assert_eq!(texts.question(), "system: Be kind.\n\nuser: Hi");
        assert_eq!((texts.parameters.max_tokens, texts.parameters.stop.len()), (Some(5), 1));
        assert!(!texts.has_tools());
        for unreadable in ["", "[]", r#"{"input": "x"}"#, r#"{"messages": [{"role": "judge"}]}"#, r#"{"messages": 3}"#]
        {
            assert_eq!(read(unreadable), None, "{unreadable}");
        }
        assert!(read(r#"{"messages": [], "tools": [{"type": "function"}]}"#).unwrap().has_tools());
        let functions = read(r#"{"messages": [], "functions": [{"name": "pay"}]}"#).unwrap();
        assert_eq!(functions.tools, [serde_json::json!({"type": "function", "function": {"name": "pay"}})]);
        let called = r#"{"messages": [{"role": "assistant", "content": null, "function_call": {"name": "pay", "arguments": "{}"}},
            {"role": "function", "name": "pay", "content": "done"}]}"#;
        let called = read(called).unwrap().messages;
        assert_eq!((&*called[0].tool_calls[0].id, called[1].tool_call_id.as_deref()), ("call_1", Some("call_1")));
        assert!(read(r#"{"messages": [{"role": "tool", "content": "4", "tool_call_id": "c"}]}"#).unwrap().has_tools());
    }

    #[test]
    fn the_candidates_prompt_stands_around_the_conversation() {
        let texts = read(
            r#"{"messages": [{"role": "system", "content": "Theirs."}, {"role": "user", "content": "Hi"}],
            "temperature": 1, "top_p": 0.3}"#,
        )
        .unwrap();
        let mut settings = DeploymentSettings::default();
        let request = candidate_request(&target(Some("Ours.")), &texts, &settings).unwrap();
        assert_eq!(said(&request), "system: Ours. | system: Theirs. | user: Hi");
        assert_eq!((request.parameters.temperature, request.parameters.top_p), (Some(0.5), Some(0.3)));
        settings.merge = SystemMerge::Replace;
        settings.allow_override = vec!["temperature".to_owned()];
        let request = candidate_request(&target(Some("Ours.")), &texts, &settings).unwrap();
        assert_eq!(said(&request), "system: Ours. | user: Hi");
        assert_eq!(request.parameters.temperature, Some(1.0));
        let request = candidate_request(&target(None), &texts, &settings).unwrap();
        assert_eq!(said(&request), "system: Theirs. | user: Hi");
    }

    #[test]
    fn who_decides_a_parameter() {
        let check = |ours: &str, prompt: Option<&str>, theirs: &str, allowed: &[&str], expected: &str| {
            let read = |text: &str| serde_json::from_str::<Parameters>(text).unwrap();
            let body = prompt.map(|text| PromptBody { parameters: read(text), ..PromptBody::default() });
            let target = CompiledTarget::compile(Manifest::resolve(None, "sim/m", &read(ours)), body.as_ref()).unwrap();
            let merged = target.parameters_for_call(&read(theirs), |name| allowed.contains(&name));
            assert_eq!(serde_json::to_string(&merged).unwrap(), expected, "{ours} {prompt:?} {theirs} {allowed:?}");
        };
        check("{}", None, "{}", &[], r#"{"temperature":0.0}"#);
        check("{}", None, r#"{"temperature":0.9}"#, &[], r#"{"temperature":0.9}"#);
        check("{}", Some("{}"), r#"{"temperature":0.9}"#, &[], r#"{"temperature":0.9}"#);
        check("{}", Some("{}"), r#"{"top_p":0.9}"#, &[], r#"{"top_p":0.9}"#);
        check("{}", Some(r#"{"temperature":0.0}"#), r#"{"temperature":0.9}"#, &[], r#"{"temperature":0.0}"#);
        check(r#"{"temperature":0.3}"#, Some("{}"), r#"{"temperature":0.9}"#, &[], r#"{"temperature":0.3}"#);
        check(r#"{"temperature":0.3}"#, None, r#"{"temperature":0.9}"#, &["temperature"], r#"{"temperature":0.9}"#);
        let (ours, theirs) = (r#"{"temperature":0.3,"seed":1}"#, r#"{"stop":["A"],"seed":2}"#);
        check(ours, None, theirs, &["top_p"], r#"{"temperature":0.3,"stop":["A"],"seed":1}"#);
        check(ours, None, theirs, &["seed", "stop"], r#"{"temperature":0.3,"stop":["A"],"seed":2}"#);
        check(ours, None, r#"{"extra_body":{"x":1}}"#, &["x"], r#"{"temperature":0.3,"seed":1,"extra_body":{"x":1}}"#);
    }
}
