//! Thoughts without a signature, which Anthropic's clients hand back: those of a model of somebody else's, as they were translated.
//! Anthropic refuses a request that has them.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::request::Fields;

/// A body in Anthropic's format without the thoughts that nobody signed. Most have none, which a look at their bytes tells.
pub(crate) fn without_unsigned(body: Bytes) -> Bytes {
    const WRITTEN: [&[u8]; 2] = [br#""signature":"""#, br#""signature": """#];
    if WRITTEN.iter().all(|unsigned| memchr::memmem::find(&body, unsigned).is_none()) {
        return body;
    }
    edited(&body).map_or(body, Bytes::from)
}

fn edited(body: &[u8]) -> Option<String> {
    let fields = Fields::parse(body).ok()?;
    let messages: Vec<&RawValue> = fields.read("messages").ok()??;
    let messages: Vec<String> = messages.iter().filter_map(|message| message_without(message.get())).collect();
    Some(fields.with("messages", &format!("[{}]", messages.join(","))))
}

/// A message without such thoughts; nothing where it had nothing else.
fn message_without(message: &str) -> Option<String> {
    let Some((fields, blocks)) = blocks(message) else { return Some(message.to_owned()) };
    let kept: Vec<&str> = blocks.iter().map(|block| block.get()).filter(|block| !is_unsigned(block)).collect();
    if kept.len() == blocks.len() {
        return Some(message.to_owned());
    }
    (!kept.is_empty()).then(|| fields.with("content", &format!("[{}]", kept.join(","))))
}

fn blocks(message: &str) -> Option<(Fields<'_>, Vec<&RawValue>)> {
    let fields = Fields::parse(message.as_bytes()).ok()?;
    let blocks = fields.read("content").ok()??;
    Some((fields, blocks))
}

fn is_unsigned(block: &str) -> bool {
    #[derive(Deserialize)]
    struct Block {
        #[serde(rename = "type")]
        kind: String,
        signature: String,
    }
    serde_json::from_str::<Block>(block).is_ok_and(|block| block.kind == "thinking" && block.signature.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_that_nobody_signed_are_left_out() {
        let check = |messages: &str, expected: &str| {
            let body = |messages: &str| format!(r#"{{"model":"m","messages":[{messages}],"x":1.0}}"#);
            let found = without_unsigned(Bytes::from(body(messages)));
            assert_eq!(found, body(expected), "{messages}");
        };
        let said = |blocks: &str| format!(r#"{{"role":"assistant","content":[{blocks}]}}"#);
        let (unsigned, text) =
            (r#"{"type":"thinking","thinking":"hm","signature":""}"#, r#"{"type":"text","text":"a"}"#);
        let user = r#"{"role": "user", "content": "hi"}"#;
        check(&format!("{user},{}", said(&format!("{unsigned},{text}"))), &format!("{user},{}", said(text)));
        check(&format!("{user},{}", said(&unsigned.replace(':', ": "))), user);
        for same in [r#"{"type":"thinking","thinking":"hm","signature":"s"}"#, r#"{"type":"x","signature":""}"#] {
            let message = said(&format!("{same},{text}"));
            check(&format!("{user},{message}"), &format!("{user},{message}"));
        }
        // Whoever reads it says what is wrong with it.
        check(r#"{"content": 3, "signature":""}"#, r#"{"content": 3, "signature":""}"#);
    }
}
