//! Files with samples: JSON Lines, JSON, CSV, Parquet. Each is read record by record, in constant memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use llmops_domain::dataset_lines::Record;
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
    /// Not CSV.
    #[error("not CSV: {0}")]
    Csv(#[from] csv::Error),
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
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(file);
    let header = reader.headers().map_err(ReadError::Csv)?.clone();
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches(BYTE_ORDER_MARK).trim()).collect();
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(ReadError::Csv)? {
        let line = row.position().map_or(0, csv::Position::line);
        let cells: Vec<(&str, &str)> = names.iter().copied().zip(row.iter()).collect();
        each(line, Record::Row(&cells))?;
    }
    Ok(())
}

fn read_parquet<E: From<ReadError>>(file: File, each: Each<'_, E>) -> Result<(), E> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(file).map_err(ReadError::Parquet)?;
    let rows = reader.get_row_iter(None).map_err(ReadError::Parquet)?;
    for (number, row) in (1..).zip(rows) {
        each(number, Record::Object(row.map_err(ReadError::Parquet)?.to_json_value()))?;
    }
    Ok(())
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
