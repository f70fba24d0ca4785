//! What a request says about the answer that it wants, and how much it says.

use serde::Deserialize;
use serde_json::Value;

/// What a request says about the answer that it wants.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asks {
    /// Names of the tools that it offers; absent where they have no names, or nobody called one.
    pub(crate) tools: Option<Vec<String>>,
    pub(crate) response_format: Option<Value>,
}

/// Reads what a request wants. Most want nothing, which a look at its bytes tells.
pub(crate) fn asks(request: &[u8], with_tools: bool) -> Asks {
    #[derive(Deserialize)]
    struct Wants {
        tools: Option<Vec<Value>>,
        /// Tools in the words of 2023.
        functions: Option<Vec<Value>>,
        #[serde(default)]
        response_format: Option<Value>,
    }
    if !with_tools && !names_json(request) {
        return Asks::default();
    }
    let Ok(wants) = serde_json::from_slice::<Wants>(request) else { return Asks::default() };
    // OpenAI's and Anthropic's places of a name, then Gemini's.
    let name = |tool: &Value| {
        let of_openai = tool.pointer("/function/name").or_else(|| tool.pointer("/custom/name"));
        of_openai.or_else(|| tool.get("name"))?.as_str().map(str::to_owned)
    };
    let declared = |tool: &Value| tool.get("functionDeclarations").and_then(Value::as_array).cloned();
    let tools: Vec<Value> = wants.tools.into_iter().chain(wants.functions).flatten().collect();
    let mut names: Vec<String> = tools.iter().filter_map(name).collect();
    names.extend(tools.iter().filter_map(declared).flatten().filter_map(|function| name(&function)));
    let is_known = with_tools && (tools.is_empty() || !names.is_empty());
    Asks { tools: is_known.then_some(names), response_format: wants.response_format }
}

/// Whether a request names one of the formats of an answer that is JSON.
fn names_json(request: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"\"json_";
    let mut found = memchr::memmem::find_iter(request, BEGINNING).map(|at| &request[at + BEGINNING.len()..]);
    found.any(|rest| rest.starts_with(b"schema\"") || rest.starts_with(b"object\""))
}

/// Characters of the texts in a request, to estimate tokens by.
pub(crate) fn prompt_chars(request: &[u8]) -> usize {
    fn texts(value: &Value) -> usize {
        match value {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.iter().map(texts).sum(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| matches!(&***name, "content" | "text" | "input" | "parts"))
                .map(|(_, v)| texts(v))
                .sum(),
            _ => 0,
        }
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(request) else { return 0 };
    ["messages", "system", "input", "contents"].iter().filter_map(|name| fields.get(*name)).map(texts).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_a_request_says() {
        let request = r#"{"model": "mmm", "messages": [{"role": "user", "content": "abcd"}, {"role": "user", "content":
            [{"type": "text", "text": "ef"}]}]}"#;
        assert_eq!(prompt_chars(request.as_bytes()), 6);
        let offered = asks(br#"{"tools": [{"function": {"name": "f"}}, {"name": "g"}]}"#, true);
        assert_eq!(offered.tools.unwrap(), ["f", "g"]);
        let check = |request: &str, expected: Option<&[&str]>| {
            let found = asks(request.as_bytes(), true).tools;
            assert_eq!(found, expected.map(|names| names.iter().copied().map(str::to_owned).collect()), "{request}");
        };
        check("{}", Some(&[]));
        check(r#"{"tools": null}"#, Some(&[]));
        check(r#"{"functions": [{"name": "f"}]}"#, Some(&["f"]));
        check(r#"{"tools": [{"type": "custom", "custom": {"name": "f"}}]}"#, Some(&["f"]));
        check(r#"{"tools": [{"type": "mcp"}]}"#, None);
        check("no JSON", None);
        for kind in ["json_schema", "json_object"] {
            let format =
                asks(format!(r#"{{"response_format": {{"type": "{kind}"}}}}"#).as_bytes(), false).response_format;
            assert_eq!(format.unwrap()["type"], kind);
        }
        // Most requests want nothing, and are not read a second time.
        assert_eq!(asks(br#"{"response_format": {"type": "text"}}"#, false), Asks::default());
    }
}
