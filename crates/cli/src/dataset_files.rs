//! Files with samples: JSON Lines, JSON, CSV, Parquet. Each is read record by record, in constant memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use llmops::table_lines::Lines;
use llmops_domain::dataset_lines::{LineProblem, Record};
use parquet::record::{Field, Row};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

/// Longest line that is read.
const MAX_LINE: u64 = 8 << 20;
/// What some editors begin files with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The format of a file with samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line
    Jsonl,
    /// A JSON list of objects
    Json,
    /// Comma-separated values with a header
    Csv,
    /// Apache Parquet
    Parquet,
}

/// Why a file cannot be read to its end. What is wrong with single records is the validator's to tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The ending tells nothing.
    #[error("the ending does not tell what it is: expected .jsonl, .ndjson, .json, .csv or .parquet")]
    UnknownFormat,
    /// The file cannot be opened or read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line without end.
    #[error("line {0} is longer than {MAX_LINE} bytes")]
    LongLine(u64),
    /// A line that is no text.
    #[error("line {line} is no UTF-8 text, from its byte {byte} on: save the file as UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        line: u64,
        /// Of the line, counted from 1.
        byte: usize,
    },
    /// Not JSON, or no list of objects.
    #[error("not a JSON list of objects: {0}")]
    Json(#[from] serde_json::Error),
    /// The names of a table's columns.
    #[error("its header cannot be read: {0}")]
    Header(&'static str),
    /// A table of one column whose name looks like several.
    #[error(
        "its header is one column, `{header}`: the cells are separated by {separator}, and CSV has commas between them"
    )]
    OtherSeparator {
        /// The header.
        header: String,
        /// What separates the cells.
        separator: &'static str,
    },
    /// Not Parquet.
    #[error("not Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl Format {
    /// The format that a file's ending tells.
    pub(crate) fn of(path: &Path) -> Result<Self, ReadError> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        Ok(match ending.as_str() {
            "jsonl" | "ndjson" => Self::Jsonl,
            "json" => Self::Json,
            "csv" => Self::Csv,
            "parquet" => Self::Parquet,
            _ => return Err(ReadError::UnknownFormat),
        })
    }
}

/// Calls `each` with the number (line of JSONL and CSV, position from 1 elsewhere) and content of every record, until it
/// answers with an error of its own.
pub(crate) fn read<E: From<ReadError>>(
    path: &Path,
    format: Format,
    mut each: impl FnMut(u64, Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let open = || File::open(path).map_err(ReadError::Io);
    match format {
        Format::Jsonl => read_lines(BufReader::with_capacity(1 << 16, open()?), &mut each),
        Format::Json => read_list(BufReader::with_capacity(1 << 16, open()?), &mut each),
        Format::Csv => read_csv(BufReader::with_capacity(1 << 16, open()?), &mut each),
        Format::Parquet => read_parquet(open()?, &mut each),
    }
}

type Each<'a, E> = &'a mut dyn FnMut(u64, Record<'_>) -> Result<(), E>;

fn read_lines<E: From<ReadError>>(mut file: impl BufRead, each: Each<'_, E>) -> Result<(), E> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = file.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(ReadError::Io)?;
        if read == 0 {
            return Ok(());
        }
        if line.len() as u64 > MAX_LINE {
            return Err(ReadError::LongLine(number).into());
        }
        let text = std::str::from_utf8(&line)
            .map_err(|error| ReadError::NotUtf8 { line: number, byte: error.valid_up_to() + 1 })?;
        let text = if number == 1 { text.trim_start_matches(BYTE_ORDER_MARK) } else { text };
        if !text.trim().is_empty() {
            each(number, Record::Line(text.trim()))?;
        }
    }
    Ok(())
}

fn read_csv<E: From<ReadError>>(file: impl Read, each: Each<'_, E>) -> Result<(), E> {
    let mut lines = Lines::new(file, usize::try_from(MAX_LINE).unwrap_or(usize::MAX));
    let Some((line, text)) = lines.next_line().map_err(ReadError::Io)? else { return Ok(()) };
    let text = text.ok_or(ReadError::LongLine(line))?;
    let text = text.strip_prefix(BYTE_ORDER_MARK.encode_utf8(&mut [0; 4]).as_bytes()).unwrap_or(&text);
    let cells = lines.record((line, text), |_| true).map_err(ReadError::Io)?;
    let cells = cells.ok_or(ReadError::Header("a quoted name does not end"))?;
    let header = texts(cells).ok_or(ReadError::Header("it is not UTF-8"))?;
    let names: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    if let [only] = names[..]
        && let Some((_, separator)) = [(';', "`;`"), ('\t', "tabs")].into_iter().find(|(c, _)| only.contains(*c))
    {
        return Err(ReadError::OtherSeparator { header: only.chars().take(60).collect(), separator }.into());
    }
    while let Some((line, text)) = lines.next_line().map_err(ReadError::Io)? {
        let fits = |cells: &[Vec<u8>]| cells.len() == names.len();
        let cells = match &text {
            None => Err(format!("the line is longer than {MAX_LINE} bytes")),
            Some(text) => match lines.record((line, text), fits).map_err(ReadError::Io)? {
                None => Err("a quoted cell does not end: is a quote missing?".to_owned()),
                Some(cells) if !fits(&cells) => {
                    Err(format!("the line has {} cells, the header {}", cells.len(), names.len()))
                }
                Some(cells) => texts(cells).ok_or_else(|| "the line is not UTF-8".to_owned()),
            },
        };
        match cells {
            Ok(cells) => {
                let row: Vec<(&str, &str)> = names.iter().copied().zip(cells.iter().map(String::as_str)).collect();
                each(line, Record::Row(&row))?;
            }
            // A line that cannot be read takes no other with it.
            Err(why) => each(line, Record::Wrong(LineProblem::new("", why)))?,
        }
    }
    Ok(())
}

/// Cells as text; nothing where one is none.
fn texts(cells: Vec<Vec<u8>>) -> Option<Vec<String>> {
    cells.into_iter().map(|cell| String::from_utf8(cell).ok()).collect()
}

fn read_parquet<E: From<ReadError>>(file: File, each: Each<'_, E>) -> Result<(), E> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(file).map_err(ReadError::Parquet)?;
    let rows = reader.get_row_iter(None).map_err(ReadError::Parquet)?;
    for (number, row) in (1..).zip(rows) {
        let row = row.map_err(ReadError::Parquet)?;
        // JSON has no such numbers: they would be gone.
        let record = match row.get_column_iter().find(|(_, field)| holds_no_number(field)) {
            Some((name, field)) => Record::Wrong(LineProblem::new(name, format!("expected a number, not {field}"))),
            None => Record::Object(row.to_json_value()),
        };
        each(number, record)?;
    }
    Ok(())
}

/// Whether a field is or holds NaN or an infinity.
fn holds_no_number(field: &Field) -> bool {
    let row = |row: &Row| row.get_column_iter().any(|(_, field)| holds_no_number(field));
    match field {
        Field::Float16(number) => !number.is_finite(),
        Field::Float(number) => !number.is_finite(),
        Field::Double(number) => !number.is_finite(),
        Field::Group(group) => row(group),
        Field::ListInternal(list) => list.elements().iter().any(holds_no_number),
        Field::MapInternal(map) => {
            map.entries().iter().any(|(key, value)| holds_no_number(key) || holds_no_number(value))
        }
        _ => false,
    }
}

/// Reads a JSON list element by element; serde's own list would hold all of it.
fn read_list<E: From<ReadError>>(mut file: impl BufRead, each: Each<'_, E>) -> Result<(), E> {
    let mark = BYTE_ORDER_MARK.encode_utf8(&mut [0; 4]).len();
    if file.fill_buf().map_err(ReadError::Io)?.starts_with(BYTE_ORDER_MARK.encode_utf8(&mut [0; 4]).as_bytes()) {
        file.consume(mark);
    }
    let mut failure = None;
    let mut deserializer = serde_json::Deserializer::from_reader(file);
    let read = Elements { each, failure: &mut failure }.deserialize(&mut deserializer);
    match failure {
        Some(failure) => Err(failure),
        None => read.and_then(|()| deserializer.end()).map_err(|e| ReadError::Json(e).into()),
    }
}

struct Elements<'a, E> {
    each: Each<'a, E>,
    failure: &'a mut Option<E>,
}

impl<'de, E> DeserializeSeed<'de> for Elements<'_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, E> Visitor<'de> for Elements<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of samples")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for number in 1.. {
            let Some(value) = list.next_element::<Value>()? else { break };
            if let Err(failure) = (self.each)(number, Record::Object(value)) {
                *self.failure = Some(failure);
                return Err(serde::de::Error::custom("stopped by the caller"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use llmops_domain::dataset_lines;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    /// A file with an input and a score for each sample.
    fn parquet(scores: &[f64]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let schema = parse_message_type("message m { required binary input (UTF8); required double score; }").unwrap();
        let mut writer = SerializedFileWriter::new(file.reopen().unwrap(), Arc::new(schema), Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let inputs: Vec<ByteArray> = (0..scores.len()).map(|n| format!("question {n}").as_str().into()).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&inputs, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(scores, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        file
    }

    /// What is read of a table, a line each: its number, and the input or what is wrong.
    #[track_caller]
    fn check(table: &[u8], expected: &[&str]) {
        let mut found = Vec::new();
        let read = read_csv::<ReadError>(table, &mut |line, record| {
            found.push(match dataset_lines::read(record) {
                Ok(reading) => format!("{line} {}", reading.sample.input),
                Err(problems) => format!("{line} {}", problems[0]),
            });
            Ok(())
        });
        assert!(read.is_ok());
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(table));
    }

    #[test]
    fn records_begin_in_lines() {
        check(b"id,input\n1,x\n2,y\n", &["2 x", "3 y"]);
        check(b"id,input\r\n1,x\r\n2,y\r\n3,z", &["2 x", "3 y", "4 z"]);
        check(b"id,input\r1,x\r2,y", &["2 x", "3 y"]);
        check("\u{feff}id,input\r\n1,x\r\n".as_bytes(), &["2 x"]);
        check("\u{feff}\"id\",input\r\n1,x\r\n".as_bytes(), &["2 x"]);
        check(b"id,input\r\n\r\n\r\n1,x\r\n\r\n2,y\r\n", &["4 x", "6 y"]);
        check(b"id,input\n1,\"x\n\ny\"\n2,z\n", &["2 x\n\ny", "5 z"]);
        check(b"id,input,\"a\r\nb\"\r\n1,\"x\r\ny\",\r\n2,z,\r\n", &["3 x\ny", "5 z"]);
        check(b"", &[]);
    }

    #[test]
    fn a_line_that_cannot_be_read_takes_no_other_with_it() {
        let open = "3 a quoted cell does not end: is a quote missing?";
        check(b"id,input\n1,x\n2,\"y\n3,z\n", &["2 x", open, "4 z"]);
        check(
            b"id,input\n1,x\n2\n3,z,z\n4,y\n",
            &["2 x", "3 the line has 1 cells, the header 2", "4 the line has 3 cells, the header 2", "5 y"],
        );
        check(b"id,input\n1,\xff\n2,y\n", &["2 the line is not UTF-8", "3 y"]);
    }

    #[test]
    fn numbers_that_are_none_are_mistakes() {
        let file = parquet(&[0.1, f64::NAN, f64::NEG_INFINITY]);
        let mut found = Vec::new();
        let read = read::<ReadError>(file.path(), Format::Parquet, |row, record| {
            found.push(match dataset_lines::read(record) {
                Ok(reading) => format!("{row} {}", reading.sample.metadata["score"]),
                Err(problems) => format!("{row} {}", problems[0]),
            });
            Ok(())
        });
        assert!(read.is_ok());
        assert_eq!(found, ["1 0.1", "2 score: expected a number, not NaN", "3 score: expected a number, not -inf"]);
    }
}
