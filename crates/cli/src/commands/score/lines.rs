//! Pairs as lines: reading them in chunks of bounded size, and what a line must be.

use std::io::{self, BufRead, BufReader, Read};

use llmops_domain::suggest;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Longest line that is read, in bytes.
pub(super) const MAX_LINE: usize = 8 << 20;
/// What is read at once, and about what one chunk holds, in bytes.
const CHUNK: usize = 64 << 10;

/// Neighbouring lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Number of the first line, from 1.
    pub(super) first: u64,
    /// The lines with their ends; `None` for one that is longer than [`MAX_LINE`].
    pub(super) lines: Vec<Option<Vec<u8>>>,
    /// Bytes of the input up to the end of this chunk.
    pub(super) position: u64,
}

/// Cuts an input into chunks. One ends where the next read might wait, so that what comes slowly is scored as it comes.
pub(super) struct Chunks<R> {
    input: BufReader<R>,
    line: u64,
    position: u64,
}

impl<R: Read> Chunks<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(CHUNK, input), line: 1, position: 0 }
    }

    fn chunk(&mut self) -> io::Result<Chunk> {
        let (first, start) = (self.line, self.position);
        let mut lines = Vec::new();
        while lines.is_empty() || (!self.input.buffer().is_empty() && self.position - start < CHUNK as u64) {
            let mut line = Vec::new();
            let read = self.input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let mut rest = 0;
            if read > MAX_LINE && line.last() != Some(&b'\n') {
                line = Vec::new();
                rest = self.input.skip_until(b'\n')?;
            }
            self.position += (read + rest) as u64;
            self.line += 1;
            lines.push(Some(line).filter(|line| !line.is_empty()));
        }
        Ok(Chunk { first, lines, position: self.position })
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = io::Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.chunk();
        if chunk.as_ref().is_ok_and(|chunk| chunk.lines.is_empty()) { None } else { Some(chunk) }
    }
}

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    /// A text or a number, as JSON, just as it was given.
    pub(super) id: &'a str,
    pub(super) output: String,
    pub(super) references: Vec<String>,
}

/// The fields as they stand in the line; fields of other names are the user's own business.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    reference: Option<&'a RawValue>,
}

const FIELDS: [&str; 3] = ["id", "output", "reference"];

/// Reads a line; `None` for a blank one. Errors: everything that is wrong with it.
pub(super) fn parse(line: &[u8], is_first: bool, needs_reference: bool) -> Result<Option<Pair<'_>>, Vec<String>> {
    let text = std::str::from_utf8(line).map_err(|e| vec![format!("byte {} is not UTF-8", e.valid_up_to() + 1)])?;
    let text = if is_first { text.trim_start_matches('\u{feff}') } else { text }.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.starts_with('{') {
        return Err(vec!["expected a JSON object {\"id\", \"output\", \"reference\"}".to_owned()]);
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|e| vec![not_json(&e)])?;
    let missing = |name: &str| match misspelt(text, name) {
        Some(written) => format!("{name}: missing; is `{written}` meant?"),
        None => format!("{name}: missing"),
    };
    let id = fields.id.ok_or_else(|| missing("id")).and_then(|raw| id(raw.get()));
    let output = fields.output.ok_or_else(|| missing("output")).and_then(|raw| output(raw.get()));
    let references = match fields.reference {
        Some(raw) => references(raw.get()),
        None if needs_reference => Err(missing("reference")),
        None => Ok(Vec::new()),
    };
    let references = references.and_then(|list| {
        let lacking = list.is_empty() && needs_reference;
        if lacking { Err("reference: the list is empty, expected at least one text".to_owned()) } else { Ok(list) }
    });
    match (id, output, references) {
        (Ok(id), Ok(output), Ok(references)) => Ok(Some(Pair { id, output, references })),
        (id, output, references) => Err([id.err(), output.err(), references.err()].into_iter().flatten().collect()),
    }
}

fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The position names a line of its own, which is always 1 here.
    let message = text.split(" at line ").next().unwrap_or_default();
    if error.is_data() { message.to_owned() } else { format!("not JSON: {message} (column {})", error.column()) }
}

/// The field that may be a misspelling of `name`.
fn misspelt(text: &str, name: &str) -> Option<String> {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
    let candidates = fields.keys().map(String::as_str).filter(|field| !FIELDS.contains(field));
    suggest::nearest(name, candidates).map(str::to_owned)
}

fn id(raw: &str) -> Result<&str, String> {
    let is_number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    // A text is decoded for its errors only.
    if is_number {
        Ok(raw)
    } else if raw.starts_with('"') {
        text("id", raw).map(|_| raw)
    } else {
        Err(format!("id: expected a text or a number, found {}", kind(raw)))
    }
}

fn output(raw: &str) -> Result<String, String> {
    if raw.starts_with('"') {
        text("output", raw)
    } else {
        Err(format!("output: expected a text, found {}", kind(raw)))
    }
}

fn references(raw: &str) -> Result<Vec<String>, String> {
    if raw.starts_with('"') {
        return Ok(vec![text("reference", raw)?]);
    }
    let expected = "reference: expected a text or a list of texts";
    if !raw.starts_with('[') {
        return Err(format!("{expected}, found {}", kind(raw)));
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|e| format!("{expected}: {}", not_json(&e)))?;
    let item = |item: &&RawValue| match item.get() {
        raw if raw.starts_with('"') => text("reference", raw),
        raw => Err(format!("{expected}, found {} in the list", kind(raw))),
    };
    items.iter().map(item).collect()
}

fn text(field: &str, raw: &str) -> Result<String, String> {
    serde_json::from_str(raw).map_err(|e| format!("{field}: {}", not_json(&e)))
}

/// What a JSON value is, in words.
fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(line: &str) -> String {
        match parse(line.as_bytes(), true, true) {
            Ok(None) => "blank".to_owned(),
            Ok(Some(pair)) => format!("{} {:?} {:?}", pair.id, pair.output, pair.references),
            Err(problems) => problems.join(" | "),
        }
    }

    #[test]
    fn lines_are_pairs_or_told_all_their_mistakes() {
        let check = |line: &str, expected: &str| assert_eq!(said(line), expected, "{line}");
        check(r#"{"id": "a", "output": "x", "reference": "y"}"#, r#""a" "x" ["y"]"#);
        check("{\"id\":1,\"output\":\"\",\"reference\":[\"\",\"z\"]}\r\n", r#"1 "" ["", "z"]"#);
        check(
            "\u{feff}{\"reference\":\"é\",\"output\":\"日本\",\"id\":\"\\u00e9\",\"model\":{}}",
            r#""\u00e9" "日本" ["é"]"#,
        );
        check(
            r#"{"id":123456789012345678901234567890,"output":"","reference":""}"#,
            r#"123456789012345678901234567890 "" [""]"#,
        );
        check(" \t\r\n", "blank");
        check("{}", "id: missing | output: missing | reference: missing");
        check(
            r#"{"ID":1,"outptu":"","refrence":""}"#,
            "id: missing; is `ID` meant? | output: missing; is `outptu` meant? | reference: missing; is `refrence` meant?",
        );
        check(r#"{"id":null,"output":null,"reference":null}"#, "id: missing | output: missing | reference: missing");
        check(
            r#"{"id":[],"output":5,"reference":{}}"#,
            "id: expected a text or a number, found a list | output: expected a text, found a number | reference: expected a text or a list of texts, found an object",
        );
        check(
            r#"{"id":1,"output":"","reference":["a",null]}"#,
            "reference: expected a text or a list of texts, found null in the list",
        );
        check(r#"{"id":1,"output":"","reference":[]}"#, "reference: the list is empty, expected at least one text");
        check(r#"{"id":1,"id":2,"output":"","reference":""}"#, "duplicate field `id`");
        check(r#"{"id":"\ud800","output":"","reference":""}"#, "id: not JSON: unexpected end of hex escape (column 8)");
        check(r#"{"id":1"#, "not JSON: EOF while parsing an object (column 7)");
        check("[1]", "expected a JSON object {\"id\", \"output\", \"reference\"}");
        check("{} {}", "not JSON: trailing characters (column 4)");
        assert_eq!(parse(b"{\"id\xff", true, true).unwrap_err(), ["byte 5 is not UTF-8"]);
    }

    #[test]
    fn a_reference_is_needed_by_some_metrics_only() {
        let pair = parse(br#"{"id": 1, "output": "x", "reference": []}"#, false, false).unwrap().unwrap();
        assert_eq!(pair.references, Vec::<String>::new());
        assert!(parse(br#"{"id": 1, "output": "x"}"#, false, false).is_ok());
    }

    #[test]
    fn a_line_without_end_is_skipped() {
        let long = "x".repeat(MAX_LINE);
        let input = format!("a\n{long}x\n{long}\nb");
        let chunks: Vec<Chunk> = Chunks::new(input.as_bytes()).map(Result::unwrap).collect();
        let lengths: Vec<_> = chunks.iter().flat_map(|c| &c.lines).map(|line| line.as_ref().map(Vec::len)).collect();
        assert_eq!(lengths, [Some(2), None, Some(MAX_LINE + 1), Some(1)]);
        assert_eq!(chunks.last().map(|chunk| chunk.position), Some(input.len() as u64));
    }

    proptest! {
        // Hundreds of kilobytes a case: fewer cases will do.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn chunks_are_the_input(lengths in prop::collection::vec(0_usize..9000, 0..40)) {
            let input: String = lengths.iter().map(|length| "x".repeat(*length) + "\n").collect();
            let (mut read, mut next) = (Vec::new(), 1);
            for chunk in Chunks::new(input.as_bytes()) {
                let chunk = chunk.unwrap();
                prop_assert_eq!(chunk.first, next);
                next += chunk.lines.len() as u64;
                for line in chunk.lines.into_iter().flatten() {
                    read.extend_from_slice(&line);
                }
                prop_assert_eq!(chunk.position, read.len() as u64);
            }
            prop_assert!(read == input.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line, true, true);
        }
    }
}
