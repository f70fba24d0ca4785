//! Tools of Anthropic's format, said in OpenAI's.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::GatewayError;
use crate::request::Fields;

/// What is read of a tool. Hints, such as examples of its input, are left out.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: Option<String>,
    /// As it was written: numbers of any size.
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

/// A tool of OpenAI's.
#[derive(Serialize)]
pub(super) struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    parameters: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The caller's tools. Those that Anthropic runs itself, or whose schema only its models know, have no counterpart.
pub(super) fn read<'a>(fields: &Fields<'a>) -> Result<Vec<Tool<'a>>, GatewayError> {
    let read: Vec<Read<'a>> = fields.read("tools")?.unwrap_or_default();
    read.into_iter().enumerate().map(|(at, tool)| said(at, tool)).collect()
}

fn said(at: usize, tool: Read<'_>) -> Result<Tool<'_>, GatewayError> {
    let wrong = |what: String| GatewayError::bad_request(format!("tools[{at}]: {what}")).at("tools");
    if let Some(kind) = tool.kind.filter(|kind| kind != "custom") {
        let what = format!("a tool of the type `{kind}` cannot be said to the model provider behind this name");
        return Err(wrong(what));
    }
    let parameters = tool.input_schema.ok_or_else(|| wrong("`input_schema` is missing".to_owned()))?;
    let is_strict = || serde_json::from_str(parameters.get()).is_ok_and(|schema| is_strict(&schema));
    let strict = tool.strict.filter(|strict| *strict && is_strict());
    let function = Function { name: tool.name, description: tool.description, parameters, strict };
    Ok(Tool { kind: "function", function })
}

/// Whether a schema is one that OpenAI can hold a model to: every field of its objects is required, and there are no others.
pub(super) fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let is_object =
                fields.get("type").is_some_and(|kind| kind == "object") || fields.contains_key("properties");
            let required = fields.get("required").and_then(Value::as_array);
            let has_all = |properties: &serde_json::Map<String, Value>| {
                properties.keys().all(|name| required.is_some_and(|all| all.iter().any(|one| one == name)))
            };
            let properties = fields.get("properties").and_then(Value::as_object);
            let is_closed = fields.get("additionalProperties").is_some_and(|more| more == false);
            let fits = !is_object || (is_closed && properties.is_none_or(has_all));
            fits && fields.iter().filter(|(name, _)| *name != "properties").all(|(_, value)| is_strict(value))
                && properties.is_none_or(|properties| properties.values().all(is_strict))
        }
        Value::Array(items) => items.iter().all(is_strict),
        _ => true,
    }
}
