//! OTLP's protobuf, as far as spans are looked at: a reader of the wire format, and the numbers of the fields.

use llmops_domain::genai_span::Span;
use serde_json::{Map, Value};

use super::Refused;

/// How deep values may be nested.
const DEEPEST: usize = 16;

/// A field's value on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wire<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of one message, one after the other.
struct Message<'a>(&'a [u8]);

type Read<T> = Result<T, String>;

impl<'a> Message<'a> {
    fn number(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or("it ends in the middle of a number")?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number has more than 64 bits".to_owned())
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends in the middle of a field")?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Read<u64> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.take(N)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// The next field's number and value.
    fn next(&mut self) -> Read<Option<(u64, Wire<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.number()?),
            1 => Wire::Fixed(self.fixed::<8>()?),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| "a field is too long".to_owned())?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed(self.fixed::<4>()?),
            other => return Err(format!("there is no wire type {other}")),
        };
        Ok(Some((tag >> 3, value)))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn any_value(bytes: &[u8], depth: usize) -> Read<Value> {
    if depth > DEEPEST {
        return Err(format!("values are nested deeper than {DEEPEST}"));
    }
    let mut value = Value::Null;
    let mut message = Message(bytes);
    while let Some((field, wire)) = message.next()? {
        value = match (field, wire) {
            (1, Wire::Bytes(bytes)) => text(bytes).into(),
            (2, Wire::Number(number)) => (number != 0).into(),
            (3, Wire::Number(number)) => number.cast_signed().into(),
            (4, Wire::Fixed(bits)) => f64::from_bits(bits).into(),
            (5, Wire::Bytes(bytes)) => {
                let mut values = Vec::new();
                let mut list = Message(bytes);
                while let Some((field, wire)) = list.next()? {
                    if let (1, Wire::Bytes(bytes)) = (field, wire) {
                        values.push(any_value(bytes, depth + 1)?);
                    }
                }
                values.into()
            }
            (6, Wire::Bytes(bytes)) => {
                let mut pairs = Map::new();
                attributes(bytes, 1, depth + 1, &mut pairs)?;
                pairs.into()
            }
            (7, Wire::Bytes(bytes)) => hex(bytes).into(),
            _ => value,
        };
    }
    Ok(value)
}

/// Adds the key-value pairs of a message's field.
fn attributes(bytes: &[u8], field: u64, depth: usize, to: &mut Map<String, Value>) -> Read<()> {
    let mut message = Message(bytes);
    while let Some((number, wire)) = message.next()? {
        let Wire::Bytes(pair) = wire else { continue };
        if number != field {
            continue;
        }
        let (mut key, mut value) = (String::new(), Value::Null);
        let mut pair = Message(pair);
        while let Some((field, wire)) = pair.next()? {
            match (field, wire) {
                (1, Wire::Bytes(bytes)) => key = text(bytes),
                (2, Wire::Bytes(bytes)) => value = any_value(bytes, depth)?,
                _ => {}
            }
        }
        to.insert(key, value);
    }
    Ok(())
}

fn span(bytes: &[u8], resource: &Map<String, Value>) -> Read<Span> {
    let mut span = Span { attributes: resource.clone(), ..Span::default() };
    let mut message = Message(bytes);
    while let Some((field, wire)) = message.next()? {
        match (field, wire) {
            (1, Wire::Bytes(bytes)) => span.trace_id = hex(bytes),
            (2, Wire::Bytes(bytes)) => span.span_id = hex(bytes),
            (7, Wire::Fixed(time)) => span.start = time,
            (8, Wire::Fixed(time)) => span.end = time,
            (11, Wire::Bytes(event)) => attributes(event, 3, 0, &mut span.attributes)?,
            (15, Wire::Bytes(bytes)) => span.error = status(bytes)?,
            _ => {}
        }
    }
    // Its own attributes have the last word.
    attributes(bytes, 9, 0, &mut span.attributes)?;
    Ok(span)
}

/// What went wrong; nothing where nothing did.
fn status(bytes: &[u8]) -> Read<Option<String>> {
    let (mut said, mut is_error) = (String::new(), false);
    let mut message = Message(bytes);
    while let Some((field, wire)) = message.next()? {
        match (field, wire) {
            (2, Wire::Bytes(bytes)) => said = text(bytes),
            (3, Wire::Number(code)) => is_error = code == 2,
            _ => {}
        }
    }
    if said.is_empty() {
        "the span ended with an error".clone_into(&mut said);
    }
    Ok(is_error.then_some(said))
}

/// The spans of a request, each of them or what is wrong with it.
pub(super) fn spans(body: &[u8]) -> Read<Vec<Read<Span>>> {
    let mut spans = Vec::new();
    let mut request = Message(body);
    while let Some((field, wire)) = request.next()? {
        let (1, Wire::Bytes(resource_spans)) = (field, wire) else { continue };
        let mut resource = Map::new();
        let mut parts = Message(resource_spans);
        while let Some((field, wire)) = parts.next()? {
            if let (1, Wire::Bytes(bytes)) = (field, wire) {
                attributes(bytes, 1, 0, &mut resource)?;
            }
        }
        let mut parts = Message(resource_spans);
        while let Some((field, wire)) = parts.next()? {
            let (2, Wire::Bytes(scope)) = (field, wire) else { continue };
            let mut scope = Message(scope);
            while let Some((field, wire)) = scope.next()? {
                if let (2, Wire::Bytes(bytes)) = (field, wire) {
                    spans.push(span(bytes, &resource));
                }
            }
        }
    }
    Ok(spans)
}

fn push_number(mut number: usize, to: &mut Vec<u8>) {
    while number > 0x7F {
        to.push(0x80 | (number & 0x7F).to_le_bytes()[0]);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

/// The field `number` of a message, below 16.
fn push_bytes(number: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push((number << 3) | 2);
    push_number(bytes.len(), to);
    to.extend_from_slice(bytes);
}

/// The answer to a request: an empty message where everything was taken.
pub(super) fn answer(refused: Option<&Refused>) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Some(Refused { spans, message }) = refused {
        // `rejected_spans` is a number in field 1, `error_message` a text in field 2.
        let mut partial_success = vec![1 << 3];
        push_number(*spans, &mut partial_success);
        push_bytes(2, message.as_bytes(), &mut partial_success);
        push_bytes(1, &partial_success, &mut answer);
    }
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
        [&[(field << 3) | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn pair(key: &str, value: &[u8]) -> Vec<u8> {
        [bytes(1, key.as_bytes()), bytes(2, value)].concat()
    }

    #[test]
    fn spans_with_values_of_all_kinds() {
        let list = bytes(5, &[bytes(1, &bytes(1, b"x")), bytes(1, &[0x18, 1])].concat());
        let map = bytes(6, &bytes(1, &pair("y", &[0x18, 2])));
        let negative = [&[0x18][..], &[0xFF; 9], &[1]].concat();
        let half = [&[0x21][..], &0.5_f64.to_le_bytes()].concat();
        let one = [
            bytes(1, &[0x4B; 16]),
            bytes(2, &[7; 8]),
            [&[0x39][..], &5_u64.to_le_bytes()].concat(),
            [&[0x41][..], &9_u64.to_le_bytes()].concat(),
            bytes(9, &pair("i", &[0x18, 7])),
            bytes(9, &pair("m", &negative)),
            bytes(9, &pair("d", &half)),
            bytes(9, &pair("b", &[0x10, 1])),
            bytes(9, &pair("a", &list)),
            bytes(9, &pair("k", &map)),
            bytes(11, &bytes(3, &pair("gen_ai.prompt", &bytes(1, b"hi")))),
            bytes(15, &[bytes(2, b"broken"), vec![0x18, 2]].concat()),
        ]
        .concat();
        // Longer than 127 bytes: the lengths have two bytes.
        let long = |field: u8, content: &[u8]| {
            let length = u8::try_from(content.len() & 0x7F).unwrap() | 0x80;
            [&[(field << 3) | 2, length, u8::try_from(content.len() >> 7).unwrap()], content].concat()
        };
        let resource = bytes(1, &bytes(1, &pair("service.name", &bytes(1, b"shop"))));
        let body = long(1, &[resource, long(2, &long(2, &one))].concat());
        let spans: Vec<Span> = spans(&body).unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(spans.len(), 1);
        assert_eq!((&*spans[0].trace_id, &*spans[0].span_id), ("4b".repeat(16).as_str(), "0707070707070707"));
        assert_eq!((spans[0].start, spans[0].end, spans[0].error.as_deref()), (5, 9, Some("broken")));
        let expected = json!({"service.name": "shop", "gen_ai.prompt": "hi", "i": 7, "m": -1, "d": 0.5, "b": true,
            "a": ["x", 1], "k": {"y": 2}});
        assert_eq!(Value::Object(spans[0].attributes.clone()), expected);
    }

    #[test]
    fn what_cannot_be_read() {
        assert_eq!(spans(b""), Ok(Vec::new()));
        for wrong in [&b"\x0A"[..], b"\x0A\x05ab", b"\x0B", &[0xFF; 11]] {
            assert!(spans(wrong).is_err(), "{wrong:?}");
        }
        let deep = (0..20).fold(vec![0x10, 1], |inner, _| bytes(5, &bytes(1, &inner)));
        assert!(any_value(&deep, 0).unwrap_err().contains("deeper"));
    }

    #[test]
    fn a_wrong_span_is_one_span() {
        let good = bytes(2, &bytes(1, &[0x4B; 16]));
        let wrong = bytes(2, &[0x0F]);
        let body = bytes(1, &bytes(2, &[good.clone(), wrong, good].concat()));
        assert_eq!(spans(&body).unwrap().iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn what_was_refused_is_told() {
        assert_eq!(answer(None), b"");
        let message = "m".repeat(200);
        let told = answer(Some(&Refused { spans: 300, message: message.clone() }));
        let mut outer = Message(&told);
        let Ok(Some((1, Wire::Bytes(inner)))) = outer.next() else { panic!("{told:?}") };
        let mut inner = Message(inner);
        assert_eq!(inner.next(), Ok(Some((1, Wire::Number(300)))));
        assert_eq!(inner.next(), Ok(Some((2, Wire::Bytes(message.as_bytes())))));
        assert_eq!((inner.next(), outer.next()), (Ok(None), Ok(None)));
    }
}
