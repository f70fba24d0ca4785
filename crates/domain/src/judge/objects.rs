//! JSON objects in a judge's prose.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What a text has in braces.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The outermost JSON objects, in order.
    pub(super) objects: Vec<Map<String, Value>>,
    /// What begins with a brace and is no JSON object, to its closing brace or to the end of the text; not what stands within
    /// such.
    pub(super) broken: Vec<&'a str>,
}

/// Looks for the JSON objects in a text. An object with a key twice is broken: which value is meant is not said.
pub(super) fn find(text: &str) -> Found<'_> {
    let mut found = Found::default();
    let mut rest = text;
    // How much of the text is left behind the last broken one.
    let mut left = text.len();
    while let Some(start) = rest.find('{') {
        let candidate = &rest[start..];
        let mut stream = serde_json::Deserializer::from_str(candidate).into_iter::<Strict>();
        rest = if let Some(Ok(Strict(Value::Object(object)))) = stream.next() {
            found.objects.push(object);
            &candidate[stream.byte_offset()..]
        } else {
            if candidate.len() <= left {
                let broken = to_closing_brace(candidate);
                left = candidate.len() - broken.len();
                found.broken.push(broken);
            }
            &candidate[1..]
        };
    }
    found
}

/// To the brace that closes the first one, whatever stands between them: in broken JSON nobody knows what is a text.
fn to_closing_brace(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return &text[..=at],
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// JSON without a key twice in an object.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members).map(Self)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = members.next_entry::<String, Strict>()? {
            if let Some(twice) = object.insert(key, value) {
                return Err(A::Error::custom(format!("a key stands twice: {twice}")));
            }
        }
        Ok(Value::Object(object))
    }
}
