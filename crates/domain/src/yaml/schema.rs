//! The JSON Schema of a Rust type, made strict: unknown keys are errors, and every branch of a tagged enum is a whole
//! object of its own. Editors complete such schemas well, and mistakes can be told apart by branch.

use serde_json::{Map, Value, json};

/// A JSON Schema with its compiled form.
pub struct Schema {
    root: Value,
    validator: Result<jsonschema::Validator, String>,
}

impl Schema {
    /// The strict schema of a type.
    pub fn of<T: schemars::JsonSchema>() -> Self {
        Self::new(strict(schemars::schema_for!(T).to_value()))
    }

    /// Compiles a schema as it stands.
    pub fn new(root: Value) -> Self {
        let validator = jsonschema::validator_for(&root).map_err(|error| error.to_string());
        Self { root, validator }
    }

    /// The schema as JSON.
    pub fn as_json(&self) -> &Value {
        &self.root
    }

    pub(super) fn validator(&self) -> Result<&jsonschema::Validator, &str> {
        self.validator.as_ref().map_err(String::as_str)
    }

    /// The node that a `$ref` stands for, or the node itself.
    pub(super) fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node.get("$ref").and_then(Value::as_str).and_then(|r| self.root.pointer(r.trim_start_matches('#'))) {
            Some(target) => target,
            None => node,
        }
    }
}

/// Makes a generated schema strict.
pub(crate) fn strict(mut root: Value) -> Value {
    let definitions = root.get("$defs").cloned().unwrap_or_default();
    close(&mut root, &definitions);
    drop_unused(&mut root);
    root
}

fn close(node: &mut Value, definitions: &Value) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| close(item, definitions)),
        Value::Object(map) => {
            if map.contains_key("properties") {
                inline_reference(map, definitions);
                distribute(map, definitions);
            }
            if map.get("properties").is_some_and(Value::is_object) {
                map.entry("additionalProperties").or_insert(Value::Bool(false));
                describe_tag(map);
            }
            if map.get("format").and_then(Value::as_str) == Some("uint32") {
                map.entry("maximum").or_insert(json!(u32::MAX));
            }
            map.values_mut().for_each(|value| close(value, definitions));
        }
        _ => {}
    }
}

/// `{properties, $ref}` (a tag beside a struct) becomes one object.
fn inline_reference(map: &mut Map<String, Value>, definitions: &Value) {
    let Some(target) = map.get("$ref").and_then(Value::as_str).and_then(|r| definition(r, definitions)) else { return };
    map.remove("$ref");
    merge(map, &target);
}

/// `{properties, oneOf: […]}` (a struct with a flattened enum) becomes `oneOf` of whole objects.
fn distribute(map: &mut Map<String, Value>, definitions: &Value) {
    let Some(Value::Array(mut branches)) = map.remove("oneOf") else { return };
    let mut shared = Map::new();
    for key in ["properties", "required"] {
        if let Some(value) = map.remove(key) {
            shared.insert(key.to_owned(), value);
        }
    }
    for branch in branches.iter_mut().filter_map(Value::as_object_mut) {
        inline_reference(branch, definitions);
        merge(branch, &shared);
    }
    map.insert("oneOf".to_owned(), Value::Array(branches));
}

fn definition(reference: &str, definitions: &Value) -> Option<Map<String, Value>> {
    definitions.get(reference.strip_prefix("#/$defs/")?)?.as_object().cloned()
}

/// Adds the properties and required keys of `from` behind those of `into`.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    if let Some(Value::Object(properties)) = from.get("properties") {
        let target = into.entry("properties").or_insert_with(|| json!({}));
        for (key, value) in properties {
            if let Some(target) = target.as_object_mut() {
                target.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    if let Some(Value::Array(required)) = from.get("required") {
        let target = into.entry("required").or_insert_with(|| json!([]));
        if let Some(target) = target.as_array_mut() {
            target.extend(required.iter().cloned());
        }
    }
}

/// A tag's description is that of the branch it chooses; so is that of an only property, which is a tag with a value.
fn describe_tag(map: &mut Map<String, Value>) {
    let description = map.get("description").cloned();
    let Some(Value::Object(properties)) = map.get_mut("properties") else { return };
    let is_only = properties.len() == 1;
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        if (is_only || property.contains_key("const"))
            && !property.contains_key("description")
            && let Some(description) = &description
        {
            property.insert("description".to_owned(), description.clone());
        }
    }
}

fn drop_unused(root: &mut Value) {
    // A definition may be named only by another unused one: a few rounds settle that.
    for _ in 0..8 {
        let text = root.to_string();
        let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) else { return };
        let before = definitions.len();
        definitions.retain(|name, _| text.contains(&format!("\"#/$defs/{name}\"")));
        if definitions.len() == before {
            return;
        }
    }
}
