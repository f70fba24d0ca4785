//! Texts of answers, read from JSON as leniently as providers write them.
//!
//! JSON can write half of a surrogate pair, which no Rust text can hold, and streams that are cut by UTF-16 units write a
//! character as two such halves in two pieces. So texts are read as bytes, and halves are put together before the bytes
//! become text; a half that stays alone becomes U+FFFD.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::translate::compact;

/// A text, or content parts of which those of type `text` count.
#[derive(Debug, Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text that came whole.
    pub(crate) fn into_string(self) -> String {
        to_string(self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or a list of content parts")
    }

    fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<Vec<u8>, E> {
        Ok(text.to_vec())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Vec<u8>, A::Error> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            text: Option<Text>,
        }
        let mut text = Vec::new();
        while let Some(part) = parts.next_element::<Part>()? {
            if matches!(part.kind.as_str(), "text" | "output_text") {
                text.extend(part.text.unwrap_or_default().0);
            }
        }
        Ok(text)
    }
}

/// Arguments of a call: JSON inside a text, as the format has them, or the JSON itself.
#[derive(Debug, Default)]
pub(crate) struct Arguments(pub(crate) Text);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            return serde_json::from_str(raw.get()).map(Self).map_err(de::Error::custom);
        }
        Ok(Self(Text(compact(&raw).into_bytes())))
    }
}

/// Puts characters together whose halves come in two pieces of a text.
#[derive(Debug, Default)]
pub(crate) struct Halves {
    /// The first half of a character that the last piece ended with.
    first: Option<u32>,
}

impl Halves {
    /// The next piece. A half at its end is held back: the second one begins the piece after it, or it is lost.
    pub(crate) fn join(&mut self, piece: Text) -> String {
        let mut bytes = piece.0;
        if bytes.is_empty() {
            return String::new();
        }
        let mut text = String::new();
        if let Some(first) = self.first.take() {
            let second = half(&bytes).filter(|half| *half >= SECOND);
            let whole =
                second.and_then(|second| char::from_u32(0x1_0000 + ((first - FIRST) << 10) + (second - SECOND)));
            text.push(whole.unwrap_or(char::REPLACEMENT_CHARACTER));
            bytes.drain(..if whole.is_some() { HALF_BYTES } else { 0 });
        }
        let end = bytes.len().saturating_sub(HALF_BYTES);
        self.first = half(&bytes[end..]).filter(|half| *half < SECOND);
        if self.first.is_some() {
            bytes.truncate(end);
        }
        let rest = to_string(bytes);
        if text.is_empty() { rest } else { text + &rest }
    }
}

/// Where the first halves of surrogate pairs begin, and the second ones.
const FIRST: u32 = 0xD800;
const SECOND: u32 = 0xDC00;
/// Bytes of a half, and of U+FFFD.
const HALF_BYTES: usize = 3;

/// The half of a surrogate pair at the beginning of these bytes, as serde hands it over: in the manner of UTF-8.
fn half(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, ..] => {
            Some(0xD000 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F))
        }
        _ => None,
    }
}

fn to_string(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut bytes = error.into_bytes();
        for at in 0..bytes.len() {
            if half(&bytes[at..]).is_some() {
                bytes[at..at + HALF_BYTES].copy_from_slice("\u{FFFD}".as_bytes());
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_texts_become_texts() {
        let check = |pieces: &[&str], expected: &[&str]| {
            let mut halves = Halves::default();
            let read = |piece: &&str| halves.join(serde_json::from_str(piece).unwrap());
            assert_eq!(pieces.iter().map(read).collect::<Vec<_>>(), expected, "{pieces:?}");
        };
        check(&[r#""a""#, r#""\ud83d\ude00é""#], &["a", "😀é"]);
        check(&[r#""A\ud83d""#, r#""\ude00B""#], &["A", "😀B"]);
        check(&[r#""\ud83d""#, r#""""#, r#""\ude00""#], &["", "", "😀"]);
        check(&[r#""\ud83d""#, r#""b""#, r#""c""#], &["", "\u{FFFD}b", "c"]);
        check(&[r#""\ud83d""#, r#""\ud83d""#, r#""\ude00""#], &["", "\u{FFFD}", "😀"]);
        check(&[r#""\ude00""#, r#""a\ud83db""#], &["\u{FFFD}", "a\u{FFFD}b"]);
        check(
            &[r#"[{"type":"text","text":"a\ud83d"},{"type":"x"}]"#, r#"[{"type":"text","text":"\ude00"}]"#],
            &["a", "😀"],
        );
    }

    #[test]
    fn arguments_are_text_or_json() {
        let check = |json: &str, expected: &str| {
            assert_eq!(serde_json::from_str::<Arguments>(json).unwrap().0.into_string(), expected, "{json}");
        };
        check(r#""{\"a\": 1}""#, r#"{"a": 1}"#);
        check(r#"{"a": [1,  "b \" c"]}"#, r#"{"a":[1,"b \" c"]}"#);
        check(r#""{\"a\":\"\ud800\"}""#, "{\"a\":\"\u{FFFD}\"}");
    }
}
