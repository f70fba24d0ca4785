//! Embeddings that can be compared: texts with words in common are near each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::draw::bits_of;
use super::tokens;

/// Numbers of a vector where none are asked for.
const DIMENSIONS: usize = 256;
/// Most of them.
const MOST_DIMENSIONS: usize = 4096;
/// Most texts of a request, as at OpenAI.
const MOST_TEXTS: usize = 2048;

/// A request in OpenAI's format.
#[derive(Deserialize)]
pub(super) struct Incoming {
    model: String,
    input: Value,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default)]
    encoding_format: Option<String>,
}

/// The answer to a request, or what is wrong with it.
pub(super) fn answer(body: &[u8]) -> Result<Bytes, String> {
    let incoming: Incoming =
        serde_json::from_slice(body).map_err(|error| format!("the request cannot be read: {error}"))?;
    let dimensions = incoming.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(format!("`dimensions` is {dimensions}; it must lie between 1 and {MOST_DIMENSIONS}"));
    }
    let texts = texts(&incoming.input)?;
    let is_packed = incoming.encoding_format.as_deref() == Some("base64");
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, dimensions);
            let embedding = if is_packed {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let read: u64 = texts.iter().map(|text| tokens(text)).sum();
    let usage = json!({"prompt_tokens": read, "total_tokens": read});
    let answer = json!({"object": "list", "data": data, "model": incoming.model, "usage": usage});
    Ok(Bytes::from(answer.to_string()))
}

/// One text or several. Lists of numbers are texts too: tokens, which stand for words here.
fn texts(input: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("`input` must be a text or a list of 1 to {MOST_TEXTS} texts");
    let tokens = |items: &[Value]| {
        let words: Option<Vec<String>> = items.iter().map(|item| item.as_u64().map(|n| n.to_string())).collect();
        words.filter(|words| !words.is_empty()).map(|words| words.join(" "))
    };
    let one = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => tokens(items),
        _ => None,
    };
    match input {
        Value::Array(items) if items.iter().any(Value::is_number) => tokens(items).map(|text| vec![text]),
        Value::Array(items) if (1..=MOST_TEXTS).contains(&items.len()) => items.iter().map(one).collect(),
        Value::String(text) => Some(vec![text.clone()]),
        _ => None,
    }
    .ok_or_else(wrong)
}

/// A vector of length 1: every word adds to or takes from one of its numbers.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let bits = bits_of(&word.to_lowercase());
        let at = usize::try_from((bits >> 1) % dimensions as u64).unwrap_or(0);
        vector[at] += if bits & 1 == 0 { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length == 0.0 {
        vector[0] = 1.0;
        return vector;
    }
    for number in &mut vector {
        *number /= length;
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(one: &str, other: &str) -> f32 {
        vector(one, DIMENSIONS).iter().zip(vector(other, DIMENSIONS)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_with_the_same_words_are_near() {
        assert!((dot("Where is my parcel?", "where is MY parcel") - 1.0).abs() < 1e-6);
        assert!(dot("Where is my parcel?", "My parcel is late") > dot("Where is my parcel?", "Refund the price") + 0.3);
        assert!((dot("", "…") - 1.0).abs() < 1e-6);
    }

    #[test]
    fn requests_are_answered_in_openais_format() {
        let ask = |body: Value| answer(body.to_string().as_bytes()).map(|body| serde_json::from_slice(&body).unwrap());
        let check = |input: Value, count: usize| {
            let answered: Value = ask(json!({"model": "m", "input": input, "dimensions": 8})).unwrap();
            assert_eq!(answered["data"].as_array().unwrap().len(), count, "{input}");
            assert_eq!(answered["data"][0]["embedding"].as_array().unwrap().len(), 8);
        };
        check(json!("a"), 1);
        check(json!(["a", "b"]), 2);
        check(json!([1, 2, 3]), 1);
        check(json!([[1], [2, 3]]), 2);
        let packed: Value = ask(json!({"model": "m", "input": "a b", "encoding_format": "base64"})).unwrap();
        let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let unpacked: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        assert_eq!(unpacked, vector("a b", DIMENSIONS));
        for wrong in [json!([]), json!({}), json!([null]), json!([-1])] {
            assert!(ask(json!({"model": "m", "input": wrong})).unwrap_err().starts_with("`input` must be"), "{wrong}");
        }
        assert!(
            ask(json!({"model": "m", "input": "a", "dimensions": 0})).unwrap_err().starts_with("`dimensions` is 0")
        );
    }
}
