//! The manifest's steps for answers, applied to the text in the body of a whole answer. All else of it stays as it was written.

use bytes::Bytes;
use llmops_domain::post_process::{PostProcessError, PostProcessor};
use llmops_domain::record::Door;
use llmops_providers::odd;
use llmops_providers::stream::without_mark;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::request::Fields;

/// A part of a body as it is now; nothing where it stays.
type Edited = Result<Option<String>, PostProcessError>;

/// The body with the steps applied to its texts; nothing where they change nothing.
///
/// # Errors
/// A step that the answer does not fit: the body stays as it is.
pub(crate) fn process(steps: &PostProcessor, door: Door, body: &[u8]) -> Result<Option<Bytes>, PostProcessError> {
    let Ok(body) = std::str::from_utf8(without_mark(body)) else { return Ok(None) };
    let content = |object: &str| field(object, "content", |content| text(steps, content));
    let edited = match door {
        Door::Embeddings => None,
        Door::Messages => content(body)?,
        Door::Chat => field(body, "choices", |choices| items(choices, |choice| field(choice, "message", content)))?,
    };
    Ok(edited.map(Bytes::from))
}

/// An object with one of its fields edited.
fn field(object: &str, name: &str, edit: impl Fn(&str) -> Edited) -> Edited {
    let Ok(fields) = Fields::parse(object.as_bytes()) else { return Ok(None) };
    let Some(edited) = fields.get(name).map(|value| edit(value.get())).transpose()?.flatten() else { return Ok(None) };
    Ok(Some(fields.with(name, &edited)))
}

/// A list with its items edited.
fn items(list: &str, edit: impl Fn(&str) -> Edited) -> Edited {
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(list) else { return Ok(None) };
    let edited = all.iter().map(|item| edit(item.get())).collect::<Result<Vec<_>, _>>()?;
    if edited.iter().all(Option::is_none) {
        return Ok(None);
    }
    let written: Vec<&str> = all.iter().zip(&edited).map(|(item, new)| new.as_deref().unwrap_or(item.get())).collect();
    Ok(Some(format!("[{}]", written.join(","))))
}

/// A content: a text, or parts whose texts are one text. An empty one has nothing to apply steps to.
fn text(steps: &PostProcessor, content: &str) -> Edited {
    let changed = |text: &str| match steps.apply(text) {
        _ if text.is_empty() => Ok(None),
        Ok(new) if new == text => Ok(None),
        Ok(new) => Ok(Some(new.into_owned())),
        Err(error) => Err(error),
    };
    if let Some(text) = string(content) {
        return Ok(changed(&text)?.map(|new| serde_json::Value::from(new).to_string()));
    }
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(content) else { return Ok(None) };
    let texts: Vec<Option<String>> = parts.iter().map(|part| text_of(part.get())).collect();
    let Some(new) = changed(&texts.iter().flatten().cloned().collect::<String>())? else { return Ok(None) };
    let first = texts.iter().position(Option::is_some);
    let mut written = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        if Some(at) == first {
            let with_new = |_: &str| Ok(Some(serde_json::Value::from(&*new).to_string()));
            written.extend(field(part.get(), "text", with_new)?);
        } else if texts[at].is_none() {
            written.push(part.get().to_owned());
        }
    }
    Ok(Some(format!("[{}]", written.join(","))))
}

/// The text of a part that is one.
fn text_of(part: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        text: &'a RawValue,
    }
    serde_json::from_str::<Part<'_>>(part)
        .ok()
        .filter(|part| part.kind == "text")
        .and_then(|part| string(part.text.get()))
}

/// What a JSON string says, also where half of a character is in it.
fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok().or_else(|| match odd::value(json.as_bytes()) {
        Some(serde_json::Value::String(text)) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &str, door: Door, body: &str, expected: Result<&str, &str>) {
        let steps = PostProcessor::compile(&serde_json::from_str::<Vec<_>>(steps).unwrap()).unwrap();
        let found = process(&steps, door, body.as_bytes());
        let found = found.map(|found| found.map_or(body.to_owned(), |new| String::from_utf8(new.to_vec()).unwrap()));
        let found = found.map_err(|error| error.soft_failure().kind.as_str());
        assert_eq!(found.as_deref().map_err(|kind| *kind), expected, "{body}");
    }

    #[test]
    fn answers_of_openais_format() {
        let check = |content: &str, expected: &str| {
            let body = |content: &str| {
                format!(
                    r#"{{"id":"a","choices":[{{"index":0,"message":{{"role":"assistant","content":{content}}},"x":1.0}}]}}"#
                )
            };
            check(r#"["trim", "strip_fences"]"#, Door::Chat, &body(content), Ok(&body(expected)));
        };
        check(r#"" a\u00e9 ""#, r#""aé""#);
        check(r#""```json\n{\"a\": 1}\n```""#, r#""{\"a\": 1}""#);
        check(r#""a""#, r#""a""#);
        check(r#""a\u00e9""#, r#""a\u00e9""#);
        check(r#"" a\ud83d ""#, r#""a�""#);
        check(r#""a\ud83d""#, r#""a\ud83d""#);
        check("null", "null");
        check(r#""""#, r#""""#);
        check(
            r#"[{"type":"text","text":" a"},{"type":"x"},{"type":"text","text":"b "}]"#,
            r#"[{"type":"text","text":"ab"},{"type":"x"}]"#,
        );
    }

    #[test]
    fn answers_of_anthropics_format() {
        let trim = r#"["trim"]"#;
        check(
            trim,
            Door::Messages,
            r#"{"content":[{"type":"thinking","thinking":" t"},{"type":"text","text":" a "},{"type":"tool_use","input":{}}]}"#,
            Ok(
                r#"{"content":[{"type":"thinking","thinking":" t"},{"type":"text","text":"a"},{"type":"tool_use","input":{}}]}"#,
            ),
        );
        check(
            trim,
            Door::Messages,
            r#"{"content":[{"type":"tool_use","input":{}}]}"#,
            Ok(r#"{"content":[{"type":"tool_use","input":{}}]}"#),
        );
        check(trim, Door::Messages, "no JSON", Ok("no JSON"));
    }

    #[test]
    fn answers_that_do_not_fit() {
        let check = |steps: &str, content: &str, expected: &str| {
            let body = format!(r#"{{"choices":[{{"message":{{"content":{content}}}}}]}}"#);
            check(steps, Door::Chat, &body, Err(expected));
        };
        check(r#"[{"json_path": "$.a"}]"#, r#""no""#, "not_json");
        check(r#"[{"json_path": "$.a"}]"#, r#""{}""#, "off_schema");
        check(r#"[{"regex": "x"}]"#, r#""no""#, "required_missing");
    }
}
