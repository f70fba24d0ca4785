//! Schemas of the OpenAPI document in HTML.

use std::fmt::Write as _;

use serde_json::Value;

use super::{escape, prose};

/// How deep types within types are written out.
const DEPTH: u32 = 4;

/// A named schema: what it is, its fields or its variants.
pub(super) fn show(out: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    let _ = write!(out, "<article id=\"schema-{name}\"><h3>{name}</h3><p>{}</p>", prose(&schema["description"]));
    let variants = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
    match variants {
        Some(variants) => {
            for variant in variants {
                let _ = write!(out, "<h4>{}</h4><p>{}</p>", name_of(variant), prose(&variant["description"]));
                fields(out, variant);
            }
        }
        None if schema["properties"].is_object() => fields(out, schema),
        None => {
            let _ = write!(out, "<p>{}</p>", name_of(schema));
        }
    }
    *out += "</article>";
}

fn fields(out: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = |name: &str| schema["required"].as_array().is_some_and(|list| list.iter().any(|r| r == name));
    *out += "<table>";
    for (name, field) in properties {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(name),
            if required(name) { "required" } else { "" },
            name_of(field),
            prose(&field["description"])
        );
    }
    *out += "</table>";
}

/// The type of a value: a link where it has a name.
pub(super) fn name_of(schema: &Value) -> String {
    named(schema, DEPTH)
}

fn named(schema: &Value, depth: u32) -> String {
    if depth == 0 {
        return "…".to_owned();
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escape(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for (key, joint) in [("oneOf", " | "), ("anyOf", " | "), ("allOf", " &amp; ")] {
        if let Some(variants) = schema[key].as_array() {
            let names: Vec<String> = variants.iter().map(|variant| named(variant, depth - 1)).collect();
            return names.join(joint);
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|v| format!("<code>{}</code>", escape(&plain(v)))).collect();
        return values.join(" | ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let names: Vec<String> = types.into_iter().map(|name| one(name, schema, depth)).collect();
    names.join(" | ")
}

fn one(name: &str, schema: &Value, depth: u32) -> String {
    match name {
        "array" => format!("list of {}", named(&schema["items"], depth - 1)),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map to {}", named(&schema["additionalProperties"], depth - 1))
        }
        "object" => match schema["properties"].as_object() {
            Some(properties) if !properties.is_empty() => {
                let fields = properties.iter().map(|(name, field)| {
                    let constant = field["enum"].as_array().filter(|values| values.len() == 1);
                    constant.map_or_else(
                        || escape(name),
                        |values| format!("{}: {}", escape(name), escape(&plain(&values[0]))),
                    )
                });
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            _ => "object".to_owned(),
        },
        _ => match schema["format"].as_str().filter(|_| name != "null") {
            Some(format) => format!("{} ({})", escape(name), escape(format)),
            None => escape(name),
        },
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_named() {
        let check = |schema: Value, expected: &str| assert_eq!(name_of(&schema), expected, "{schema}");
        check(json!({"type": "string"}), "string");
        check(json!({"type": ["integer", "null"], "format": "int64"}), "integer (int64) | null");
        check(json!({"type": "array", "items": {"$ref": "#/c/s/Run"}}), "list of <a href=\"#schema-Run\">Run</a>");
        check(json!({"oneOf": [{"type": "null"}, {"type": "number"}]}), "null | number");
        check(json!({"type": "string", "enum": ["a", "<b>"]}), "<code>a</code> | <code>&lt;b&gt;</code>");
        check(json!({"type": "object", "additionalProperties": {"type": "number"}}), "map to number");
        check(json!({}), "any");
        let mut deep = json!({"type": "string"});
        for _ in 0..10 {
            deep = json!({"type": "array", "items": deep});
        }
        check(deep, "list of list of list of list of …");
    }
}
