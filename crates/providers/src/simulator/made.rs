//! What fits a JSON Schema: answers in a demanded form, and arguments of demanded calls of tools.

use std::cell::Cell;

use llmops_domain::chat::{ChatRequest, FunctionCall, ToolCall};
use serde_json::{Map, Value, json};

/// Depth from which on only what is required is made, so that schemas that name themselves come to an end.
const SHALLOW: usize = 6;
/// Depth at which nothing is made any more.
const DEEPEST: usize = 32;
/// Most values that are made of one schema.
const MOST_VALUES: u32 = 10_000;
/// Most items that a list is given for its `minItems`.
const MOST_ITEMS: u64 = 100;
/// Most characters that a text is given for its `minLength`.
const MOST_CHARS: usize = 10_000;

/// The schema of the answer, where one is asked for.
pub(super) fn answer_schema(request: &ChatRequest) -> Option<&Value> {
    let format = request.response_format.as_ref()?;
    (format.get("type")?.as_str()? == "json_schema").then(|| format.pointer("/json_schema/schema"))?
}

/// The call of a tool that the request demands: of the named one, else of the first.
pub(super) fn demanded_call(request: &ChatRequest, text: &str) -> Option<ToolCall> {
    let choice = request.parameters.extra_body.get("tool_choice")?;
    let named = choice.pointer("/function/name").and_then(Value::as_str);
    if named.is_none() && choice.as_str() != Some("required") {
        return None;
    }
    let functions = || request.tools.iter().filter_map(|tool| tool.get("function"));
    let name_of = |function: &Value| function.get("name").and_then(Value::as_str).map(str::to_owned);
    let function = functions().find(|function| named.is_none() || name_of(function).as_deref() == named)?;
    let arguments = function.get("parameters").map_or_else(|| json!({}), |schema| instance(schema, text));
    let function = FunctionCall { name: name_of(function)?, arguments: arguments.to_string() };
    Some(ToolCall { id: "call_0".to_owned(), kind: "function".to_owned(), function })
}

/// A value that fits a schema. Texts are `text` where nothing else is asked of them; patterns are not looked at.
pub(super) fn instance(schema: &Value, text: &str) -> Value {
    Maker { root: schema, text, left: Cell::new(MOST_VALUES) }.make(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    text: &'a str,
    /// Values that may still be made.
    left: Cell<u32>,
}

impl Maker<'_> {
    fn make(&self, schema: &Value, depth: usize) -> Value {
        let Some(left) = self.left.get().checked_sub(1).filter(|_| depth <= DEEPEST) else { return Value::Null };
        self.left.set(left);
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.make(target, depth + 1));
        }
        let first = |key: &str| schema.get(key)?.as_array()?.first().cloned();
        if let Some(given) = schema.get("const").cloned().or_else(|| first("enum")) {
            return given;
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(key).and_then(Value::as_array) {
                let ends = |branch: &&Value| depth > SHALLOW && kind(branch) == "null";
                let branch = branches.iter().find(ends).or_else(|| branches.first());
                return branch.map_or(Value::Null, |branch| self.make(branch, depth + 1));
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(schema, parts, depth);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.list(schema, depth),
            "integer" => number(schema, true),
            "number" => number(schema, false),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => self.string(schema).into(),
        }
    }

    fn all_of(&self, schema: &Value, parts: &[Value], depth: usize) -> Value {
        let mut all = if schema.get("properties").is_some() { self.object(schema, depth) } else { Value::Null };
        for part in parts.iter().map(|part| self.make(part, depth + 1)) {
            match (&mut all, part) {
                (Value::Object(all), Value::Object(part)) => all.extend(part),
                (all, part) => *all = part,
            }
        }
        all
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let wanted = properties.filter(|(name, _)| depth <= SHALLOW || required.contains(&name.as_str()));
        let mut made: Map<String, Value> = wanted.map(|(name, of)| (name.clone(), self.make(of, depth + 1))).collect();
        for name in required {
            made.entry(name).or_insert_with(|| self.text.into());
        }
        Value::Object(made)
    }

    fn list(&self, schema: &Value, depth: usize) -> Value {
        let places = schema.get("prefixItems").and_then(Value::as_array);
        let mut items: Vec<Value> = places.into_iter().flatten().map(|place| self.make(place, depth + 1)).collect();
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(MOST_ITEMS);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(MOST_ITEMS);
        let wanted = least.max(u64::from(depth <= SHALLOW)).min(most);
        let of = schema.get("items").unwrap_or(&Value::Null);
        while (items.len() as u64) < wanted {
            items.push(self.make(of, depth + 1));
        }
        items.into()
    }

    fn string(&self, schema: &Value) -> String {
        let of_format = match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2026-01-31",
            Some("time") => "12:00:00Z",
            Some("date-time") => "2026-01-31T12:00:00Z",
            Some("duration") => "P1D",
            Some("email") => "someone@example.com",
            Some("hostname") => "example.com",
            Some("uri") => "https://example.com/",
            Some("uuid") => "00000000-0000-4000-8000-000000000000",
            Some("ipv4") => "192.0.2.1",
            Some("ipv6") => "2001:db8::1",
            _ => self.text,
        };
        let limit = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
        let mut made: String = of_format.chars().take(limit("maxLength").unwrap_or(usize::MAX)).collect();
        let missing = limit("minLength").unwrap_or(0).min(MOST_CHARS).saturating_sub(made.chars().count());
        made.extend(std::iter::repeat_n('.', missing));
        made
    }
}

/// The type that a schema asks for, or that its other keys mean.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

/// 1, or what lies nearest to it within the limits.
fn number(schema: &Value, is_whole: bool) -> Value {
    let at = |key: &str| schema.get(key).and_then(Value::as_f64);
    let step = at("multipleOf").filter(|step| *step > 0.0).unwrap_or(1.0);
    let above = at("exclusiveMinimum").map(|limit| match at("exclusiveMaximum").or(at("maximum")) {
        Some(end) if !is_whole && end <= limit + step => f64::midpoint(limit, end),
        _ => limit + step,
    });
    let below = at("exclusiveMaximum").map(|limit| match at("exclusiveMinimum").or(at("minimum")) {
        Some(begin) if !is_whole && begin >= limit - step => f64::midpoint(limit, begin),
        _ => limit - step,
    });
    let least = [at("minimum"), above].into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
    let most = [at("maximum"), below].into_iter().flatten().fold(f64::INFINITY, f64::min);
    let mut number = 1.0_f64.min(most).max(least);
    if is_whole || at("multipleOf").is_some() {
        // No negative zero.
        number = (number / step).ceil() * step + 0.0;
    }
    let whole = if is_whole { serde_json::from_str(&format!("{number:.0}")).ok() } else { None };
    whole.unwrap_or_else(|| json!(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a helper takes `json!` values as they are written")]
    fn check(schema: Value, expected: Value) {
        assert_eq!(instance(&schema, "said"), expected, "{schema}");
    }

    #[test]
    fn values_fit_their_schemas() {
        check(
            json!({"type": "object", "properties": {"city": {"type": "string"}, "tone": {"enum": ["kind", "terse"]},
                "days": {"type": "array", "items": {"type": "integer", "minimum": 3}}, "sure": {"type": "boolean"}},
                "required": ["city", "other"]}),
            json!({"city": "said", "tone": "kind", "days": [3], "sure": true, "other": "said"}),
        );
        check(json!({"type": ["null", "string"], "maxLength": 2}), json!("sa"));
        check(json!({"type": "string", "minLength": 6}), json!("said.."));
        check(json!({"type": "string", "format": "date"}), json!("2026-01-31"));
        check(json!({"const": {"a": 1}}), json!({"a": 1}));
        check(json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), Value::Null);
        check(
            json!({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}),
            json!({"a": 1, "b": 2}),
        );
        check(json!({"type": "array", "items": {"const": 0}, "minItems": 3}), json!([0, 0, 0]));
        check(json!({"type": "array", "maxItems": 0}), json!([]));
        check(json!({"prefixItems": [{"const": 1}, {"const": 2}], "type": "array"}), json!([1, 2]));
        check(json!(true), json!("said"));
    }

    #[test]
    fn numbers_keep_their_limits() {
        check(json!({"type": "integer"}), json!(1));
        check(json!({"type": "integer", "maximum": -3}), json!(-3));
        check(json!({"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5}), json!(10));
        check(json!({"type": "number", "minimum": 0, "maximum": 0.5}), json!(0.5));
        check(json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}), json!(0.5));
    }

    #[test]
    fn schemas_that_name_themselves_come_to_an_end() {
        let list = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["v"],
            "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}});
        assert_eq!(instance(&list, "")["next"]["v"], 1);
        instance(&json!({"$ref": "#"}), "");
        let both = json!({"$ref": "#"});
        instance(&json!({"type": "object", "properties": {"a": both, "b": both}, "required": ["a", "b"]}), "");
    }
}
