//! JSON that strict readers refuse, and that providers send nevertheless: numbers of tokens with a fraction of zero, keys that
//! come twice, halves of characters, a field of another kind than the format says.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http_client::Endpoint;
use crate::provider::ProviderError;

/// An answer, or one event of it, with everything left out or rewritten that a strict reader would refuse all for; nothing
/// where it is no JSON object.
pub fn fitting(json: &[u8]) -> Option<String> {
    let mut object = match value(json)? {
        Value::Object(object) => object,
        // Gemini's compatible door wraps errors in a list.
        Value::Array(list) => match list.into_iter().next()? {
            Value::Object(object) => object,
            _ => return None,
        },
        _ => return None,
    };
    // The flat errors of some servers.
    if object.get("object").is_some_and(|kind| kind == "error") && !object.contains_key("error") {
        let message = object.remove("message").unwrap_or_default();
        object.insert("error".to_owned(), message);
    }
    fit(&mut object);
    // A message's content may be a text, an answer's is a list.
    let only_lists =
        |object: &mut Map<String, Value>| object.retain(|name, field| name != "content" || field.is_array());
    only_lists(&mut object);
    if let Some(Value::Object(message)) = object.get_mut("message") {
        only_lists(message);
    }
    Some(Value::Object(object).to_string())
}

/// One event of an answer as a type: as it is, or else as much of it as fits.
pub(crate) fn event<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok().or_else(|| serde_json::from_str(&fitting(json)?).ok())
}

/// The same of a whole answer.
///
/// # Errors
/// `Format` when not even that can be read.
pub(crate) fn answer<T: DeserializeOwned>(endpoint: &Endpoint, body: &[u8]) -> Result<T, ProviderError> {
    endpoint.parse(body).or_else(|error| {
        let fitting = fitting(body).and_then(|fitting| serde_json::from_str(&fitting).ok());
        fitting.ok_or(error)
    })
}

/// Any JSON. Of a key that comes twice the last one counts.
pub fn value(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json)
        .or_else(|_| serde_json::from_str(&without_half_characters(&String::from_utf8_lossy(json))))
        .ok()
}

fn fit(object: &mut Map<String, Value>) {
    object.retain(|name, field| match name.as_str() {
        "model" | "system_fingerprint" | "finish_reason" | "stop_reason" | "type" | "id" | "name" | "refusal"
        | "text" | "thinking" | "signature" | "data" | "mimeType" | "reasoning" | "reasoning_content"
        | "transcript" | "partial_json" | "modelVersion" | "finishReason" | "thoughtSignature" => field.is_string(),
        "index"
        | "prompt_tokens"
        | "completion_tokens"
        | "input_tokens"
        | "output_tokens"
        | "cache_creation_input_tokens"
        | "cache_read_input_tokens"
        | "cached_tokens"
        | "cache_write_tokens"
        | "reasoning_tokens"
        | "prompt_cache_hit_tokens"
        | "promptTokenCount"
        | "candidatesTokenCount"
        | "thoughtsTokenCount"
        | "cachedContentTokenCount" => make_whole(field),
        "choices" | "tool_calls" | "candidates" | "parts" => fit_all(field),
        "content" if field.is_array() => fit_all(field),
        "content" if field.is_object() => field.as_object_mut().map(fit).is_some(),
        "message"
        | "delta"
        | "function"
        | "custom"
        | "function_call"
        | "audio"
        | "usage"
        | "usageMetadata"
        | "promptFeedback"
        | "functionCall"
        | "inlineData"
        | "x_groq"
        | "content_block"
        | "prompt_tokens_details"
        | "completion_tokens_details" => field.as_object_mut().map(fit).is_some(),
        _ => true,
    });
}

fn fit_all(list: &mut Value) -> bool {
    let Some(items) = list.as_array_mut() else { return false };
    items.retain_mut(|item| item.as_object_mut().map(fit).is_some());
    true
}

/// Whether it is a count, if need be without its fraction of zero.
fn make_whole(number: &mut Value) -> bool {
    if let Some(float) = number.as_f64().filter(|float| !number.is_u64() && float.fract() == 0.0)
        && let Ok(whole) = format!("{float:.0}").parse::<u64>()
    {
        *number = whole.into();
    }
    number.is_u64()
}

/// The text with every escape that is half of a surrogate pair replaced by U+FFFD.
fn without_half_characters(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut rest, mut copied) = (json, 0);
    while let Some(at) = rest.find('\\') {
        let here = json.len() - rest.len() + at;
        let length = match (unit(&json[here..]), json.get(here + 6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str(&json[copied..here]);
                out.push_str("\\ufffd");
                copied = here + 6;
                6
            }
            // A backslash and what it escapes, which may be a backslash.
            _ => 1 + json[here + 1..].chars().next().map_or(0, char::len_utf8),
        };
        rest = &json[here + length..];
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The UTF-16 unit of an escape `\uXXXX` at the beginning of a text.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_characters() {
        let check = |json: &str, expected: &str| assert_eq!(without_half_characters(json), expected, "{json}");
        check(r"a\ud83d\ude00b", r"a\ud83d\ude00b");
        check(r"a\ud83db\n", r"a\ufffdb\n");
        check(r"\ude00\ud83d", r"\ufffd\ufffd");
        check(r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00");
        check(r"\\ud83d\é\u", r"\\ud83d\é\u");
        check("é\\", "é\\");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let check = |json: &str, expected: Option<&str>| {
            let fitting = fitting(json.as_bytes());
            assert_eq!(fitting.as_deref(), expected, "{json}");
        };
        check(r#"{"model": 3, "model": "m"}"#, Some(r#"{"model":"m"}"#));
        check(
            r#"{"usage": {"prompt_tokens": 3.0, "completion_tokens": 1.5}}"#,
            Some(r#"{"usage":{"prompt_tokens":3}}"#),
        );
        check(r#"{"usage": {"prompt_tokens": -1}}"#, Some(r#"{"usage":{}}"#));
        check(r#"{"message": "m", "content": "c", "choices": [1, {"index": "0"}]}"#, Some(r#"{"choices":[{}]}"#));
        check(r#"[{"error": "e"}]"#, Some(r#"{"error":"e"}"#));
        check(r#"{"object": "error", "message": "e"}"#, Some(r#"{"object":"error","error":"e"}"#));
        check(
            r#"{"candidates": [{"content": {"parts": [{"text": 3}]}}], "usageMetadata": {"promptTokenCount": 3.0}}"#,
            Some(r#"{"candidates":[{"content":{"parts":[{}]}}],"usageMetadata":{"promptTokenCount":3}}"#),
        );
        check("[1]", None);
        check("{", None);
    }
}
