//! Server-sent events: cut out of a stream while it comes, or out of one that has come whole. Lines end in LF, CR or both.

use std::borrow::Cow;

use bytes::Bytes;

use crate::http_client::MAX_RESPONSE_BYTES;

/// Longest event that is waited for: as much as a whole answer may have.
const MAX_EVENT: usize = MAX_RESPONSE_BYTES;

/// The value of a line, if it is of this field.
fn value<'a>(line: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(field)? {
        [] => Some(&[]),
        [b':', value @ ..] => Some(value.strip_prefix(b" ").unwrap_or(value)),
        _ => None,
    }
}

/// The bytes without the mark of Unicode that they may begin with.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes)
}

/// An event of a stream that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEvent {
    /// Whether its name says that it is an error.
    pub is_error: bool,
    /// Its data.
    pub data: Bytes,
}

/// What the name of an event says.
#[derive(Debug, Default, PartialEq, Eq)]
enum Name {
    Error,
    /// Its data says what it is.
    #[default]
    Other,
}

/// Cuts a stream of server-sent events into its events. Lines end in LF, CR or both.
#[derive(Debug, Default)]
pub struct Events {
    /// The line under way.
    line: Vec<u8>,
    /// The data of the event under way; absent before its first `data` line.
    data: Option<Vec<u8>>,
    /// Of the event under way.
    name: Name,
    has_begun: bool,
    /// Whether the last byte was a CR: an LF after it belongs to the same line end.
    after_return: bool,
    is_too_large: bool,
}

impl Events {
    /// Adds bytes as they came; answers with all events that are complete. Comments and events without data are
    /// left out.
    ///
    /// ```
    /// use llmops_providers::stream::Events;
    ///
    /// let mut events = Events::default();
    /// assert!(events.push(b": ping\n\ndata: {\"a\"").is_empty());
    /// let complete = events.push(b":1}\r\n\r\ndata: [DONE]\n\n");
    /// assert_eq!(complete[0].data, "{\"a\":1}");
    /// assert_eq!(complete[1].data, "[DONE]");
    /// ```
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SentEvent> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let is_second_half = at == 0 && rest[0] == b'\n' && self.after_return;
            self.after_return = rest[at] == b'\r';
            if !is_second_half {
                self.add(&rest[..at]);
                events.extend(self.end_line());
            }
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            self.after_return = false;
            self.add(rest);
        }
        events
    }

    /// A last event that no empty line ended.
    pub fn finish(&mut self) -> Option<SentEvent> {
        let event = self.end_line();
        event.or_else(|| self.end_event())
    }

    /// Why nothing comes any more: an event is larger than any answer may be.
    pub fn failure(&self) -> Option<String> {
        self.is_too_large.then(|| format!("the model provider sent an event of more than {} MB", MAX_EVENT >> 20))
    }

    fn add(&mut self, bytes: &[u8]) {
        let size = self.line.len() + self.data.as_ref().map_or(0, Vec::len) + bytes.len();
        self.is_too_large |= size > MAX_EVENT;
        if self.is_too_large {
            (self.line, self.data) = (Vec::new(), None);
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_event(&mut self) -> Option<SentEvent> {
        let is_error = std::mem::take(&mut self.name) == Name::Error;
        self.data.take().map(|data| SentEvent { is_error, data: data.into() })
    }

    /// Reads the line under way. An empty one ends the event.
    fn end_line(&mut self) -> Option<SentEvent> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = if is_first { without_mark(&self.line) } else { &self.line };
        if line.is_empty() {
            self.line.clear();
            return self.end_event();
        }
        if let Some(name) = value(line, b"event") {
            self.name = if name.trim_ascii() == b"error" { Name::Error } else { Name::Other };
        }
        if let Some(value) = value(line, b"data") {
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        self.line.clear();
        None
    }
}

/// An event of a stream that has come whole.
#[derive(Debug, Default)]
pub struct Event<'a> {
    /// Its name; empty where it has none.
    pub name: &'a [u8],
    /// Its data.
    pub data: Cow<'a, [u8]>,
}

/// The events of a stream that has come whole. Those without data are left out; nothing is copied but data of several lines.
#[derive(Debug)]
pub struct WholeEvents<'a>(&'a [u8]);

impl<'a> WholeEvents<'a> {
    /// The events in `stream`.
    pub fn new(stream: &'a [u8]) -> Self {
        Self(without_mark(stream))
    }

    fn line(&mut self) -> &'a [u8] {
        let Some(end) = memchr::memchr2(b'\n', b'\r', self.0) else { return std::mem::take(&mut self.0) };
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        line
    }
}

impl<'a> Iterator for WholeEvents<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut event = Event::default();
        let mut has_data = false;
        while !self.0.is_empty() {
            let line = self.line();
            if line.is_empty() {
                if has_data {
                    return Some(event);
                }
                event = Event::default();
            } else if let Some(data) = value(line, b"data") {
                if has_data {
                    let joined = event.data.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(data);
                } else {
                    (event.data, has_data) = (Cow::Borrowed(data), true);
                }
            } else if let Some(name) = value(line, b"event") {
                event.name = name;
            }
        }
        has_data.then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(events: &[SentEvent]) -> Vec<&str> {
        events.iter().map(|event| std::str::from_utf8(&event.data).unwrap()).collect()
    }

    #[test]
    fn events_come_in_any_pieces() {
        let stream = "event: a\ndata: {\"x\":1}\n\n: comment\n\ndata: one\ndata: two\r\n\r\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let all: Vec<SentEvent> = stream.as_bytes().chunks(size).flat_map(|piece| events.push(piece)).collect();
            assert_eq!(data(&all), ["{\"x\":1}", "one\ntwo", "[DONE]"], "{size}");
            assert!(all.iter().all(|event| !event.is_error));
        }
        let mut events = Events::default();
        assert!(events.push(b"data: last").is_empty());
        assert_eq!(events.finish().unwrap().data, "last");
    }

    #[test]
    fn errors_are_known_by_their_name() {
        let mut events = Events::default();
        let all = events.push(b"event: error\ndata: a\n\ndata: b\n\nevent:error\n\ndata: c\nevent: error \n\n");
        let all: Vec<_> = all.iter().map(|event| (&*event.data, event.is_error)).collect();
        assert_eq!(all, [(&b"a"[..], true), (&b"b"[..], false), (&b"c"[..], true)]);
        assert!(events.push(b"event: error\ndata: d").is_empty());
        assert!(events.finish().unwrap().is_error);
    }

    #[test]
    fn lines_end_in_many_ways() {
        let check = |stream: &str| {
            for size in 1..stream.len() {
                let mut events = Events::default();
                let all: Vec<SentEvent> = stream.as_bytes().chunks(size).flat_map(|piece| events.push(piece)).collect();
                assert_eq!(data(&all), ["one", "two\nthree"], "{stream:?} by {size}");
                assert_eq!((events.finish(), events.failure()), (None, None));
            }
        };
        let stream = ": hi\nevent: x\ndata: one\n\ndata\u{A0}: y\ndata:two\ndata: three\nid: 1\n\n";
        check(stream);
        check(&stream.replace('\n', "\r\n"));
        check(&stream.replace('\n', "\r"));
        check(&format!("\u{FEFF}{}", stream.replace(": hi\nevent: x\n", "")));
        check(&format!("\u{FEFF}\n\n{stream}"));
        let mut events = Events::default();
        assert_eq!(data(&events.push(b"data: now\r\r")), ["now"], "nothing is waited for");
    }

    #[test]
    fn an_endless_event_is_a_failure() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1 << 20];
        let mut pushed = events.push(b"data: ");
        pushed.extend((0..MAX_EVENT >> 20).flat_map(|_| events.push(&piece)));
        pushed.extend(events.push(b"\n\ndata: small\n\n"));
        assert!(pushed.is_empty());
        assert_eq!(events.failure().unwrap(), "the model provider sent an event of more than 32 MB");
    }

    #[test]
    fn lines_end_as_the_standard_allows() {
        let check = |stream: &str, expected: &[(&str, &str)]| {
            let events: Vec<Event<'_>> = WholeEvents::new(stream.as_bytes()).collect();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let found: Vec<_> = events.iter().map(|event| (text(event.name), text(&event.data))).collect();
            let expected: Vec<_> =
                expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
            assert_eq!(found, expected, "{stream:?}");
        };
        check("", &[]);
        check(": ping\n\ndata: 1\n\ndata:2", &[("", "1"), ("", "2")]);
        check("event: a\rdata: 1\r\rdata: 2\r\r", &[("a", "1"), ("", "2")]);
        check("event: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata: 3\r\n\r\n", &[("a", "1\n2"), ("", "3")]);
        check("event: a\n\ndata: 1\n\n", &[("", "1")]);
    }
}
