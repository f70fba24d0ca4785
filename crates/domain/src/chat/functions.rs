//! Functions, as tools were called once in OpenAI's format, said in today's words.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// What a request offers to be called: its tools, and its functions as tools.
pub(crate) fn offered(request: &Map<String, Value>) -> impl Iterator<Item = Value> {
    let list = |name: &str| request.get(name).and_then(Value::as_array).into_iter().flatten();
    let functions = list("functions").map(|function| json!({"type": "function", "function": function}));
    list("tools").cloned().chain(functions)
}

/// Messages whose calls of functions are calls of tools. These have ids, by which an answer is told to belong to its call.
pub(crate) fn as_tool_calls(messages: &[Value]) -> Cow<'_, [Value]> {
    let calls = |message: &Value| message.get("function_call").is_some_and(Value::is_object);
    let answers = |message: &Value| message["role"] == "function";
    if !messages.iter().any(|message| calls(message) || answers(message)) {
        return Cow::Borrowed(messages);
    }
    let mut called = 0;
    let mut messages = messages.to_vec();
    for message in &mut messages {
        let (is_call, is_answer) = (calls(message), answers(message));
        let Some(fields) = message.as_object_mut() else { continue };
        if is_call && let Some(function) = fields.remove("function_call") {
            called += 1;
            let call = json!([{"id": format!("call_{called}"), "type": "function", "function": function}]);
            fields.insert("tool_calls".to_owned(), call);
        } else if is_answer {
            fields.remove("name");
            fields.insert("role".to_owned(), "tool".into());
            fields.insert("tool_call_id".to_owned(), format!("call_{called}").into());
        }
    }
    Cow::Owned(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_tools() {
        let request = json!({"tools": [{"type": "function", "function": {"name": "a"}}], "functions": [{"name": "b"}]});
        let tools: Vec<Value> = offered(request.as_object().unwrap()).collect();
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        assert_eq!(tools, [tool("a"), tool("b")]);
        let user = json!({"role": "user", "content": "Hi"});
        let messages = [
            user.clone(),
            json!({"role": "assistant", "content": null, "function_call": {"name": "b", "arguments": "{}"}}),
            json!({"role": "function", "name": "b", "content": "42"}),
            json!({"role": "assistant", "content": "It is 42.", "function_call": null}),
        ];
        let call = json!([{"id": "call_1", "type": "function", "function": {"name": "b", "arguments": "{}"}}]);
        let expected = [
            user,
            json!({"role": "assistant", "content": null, "tool_calls": call}),
            json!({"role": "tool", "content": "42", "tool_call_id": "call_1"}),
            messages[3].clone(),
        ];
        assert_eq!(*as_tool_calls(&messages), expected);
        assert!(matches!(as_tool_calls(&expected), Cow::Borrowed(_)));
    }
}
