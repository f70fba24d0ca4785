//! The events of a streamed answer, read from the bytes that the caller has.

use std::borrow::Cow;

/// One event: its name, and its data.
#[derive(Debug, Default)]
pub(super) struct Event<'a> {
    pub(super) name: &'a [u8],
    pub(super) data: Cow<'a, [u8]>,
}

/// Cuts a stream into its events. Lines end as the standard allows: with a line feed, a carriage return, or both.
pub(super) struct Events<'a>(pub(super) &'a [u8]);

impl<'a> Events<'a> {
    fn line(&mut self) -> &'a [u8] {
        let Some(end) = memchr::memchr2(b'\n', b'\r', self.0) else { return std::mem::take(&mut self.0) };
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        line
    }
}

impl<'a> Iterator for Events<'a> {
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
            } else if let Some(data) = value(line, b"data:") {
                if has_data {
                    let joined = event.data.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(data);
                } else {
                    (event.data, has_data) = (Cow::Borrowed(data), true);
                }
            } else if let Some(name) = value(line, b"event:") {
                event.name = name;
            }
        }
        has_data.then_some(event)
    }
}

fn value<'a>(line: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    Some(line.strip_prefix(field)?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_the_standard_allows() {
        let check = |stream: &str, expected: &[(&str, &str)]| {
            let events: Vec<Event<'_>> = Events(stream.as_bytes()).collect();
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
