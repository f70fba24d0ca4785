//! Observations in a file or a request's body: CSV with a header, or a JSON object a line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use llmops_domain::experiment::observation::{Observation, ObservationProblem, read_time, read_value};
use llmops_domain::suggest;
use serde_json::Value;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;
/// Names of fields, in the order of a table.
pub const FIELDS: [&str; 6] = ["unit", "variant", "metric", "value", "at", "idempotency_key"];

/// A row that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Line, from 1.
    pub line: u64,
    /// What it says.
    pub observation: Observation,
    /// Fields of other names, as text: segments, covariates.
    pub others: BTreeMap<String, String>,
}

/// A row that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Line, from 1.
    pub line: u64,
    /// Everything that is wrong with it.
    pub problems: Vec<ObservationProblem>,
}

/// Why reading cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source broke off.
    #[error("cannot read on: {0}")]
    Io(#[from] io::Error),
    /// Not a table.
    #[error("line {line}: {message}")]
    Csv {
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// The header lacks columns.
    #[error("the header lacks {0}")]
    Header(String),
    /// Nothing at all.
    #[error("it is empty: expected the header unit,variant,metric,value[,at], or a JSON object a line")]
    Empty,
}

/// Reads rows one after the other, in memory for one.
pub enum Rows<R> {
    /// A table.
    Csv {
        /// The reader.
        reader: Box<csv::Reader<BufReader<R>>>,
        /// What each column is.
        columns: Vec<Column>,
    },
    /// JSON lines.
    Lines {
        /// The input.
        input: BufReader<R>,
        /// Lines read.
        line: u64,
    },
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// One of [`FIELDS`].
    Field(usize),
    /// Something else, by name.
    Other(String),
}

impl<R: Read> Rows<R> {
    /// Looks at the beginning: JSON begins with a brace. `needed` are the columns that a table must have.
    ///
    /// # Errors
    /// [`ReadError`] when it is empty or the header lacks a column.
    pub fn new(input: R, needed: &[&str]) -> Result<Self, ReadError> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let start = loop {
            let buffer = input.fill_buf()?;
            if buffer.is_empty() {
                return Err(ReadError::Empty);
            }
            let mark = buffer.strip_prefix("\u{feff}".as_bytes()).map_or(0, |_| 3);
            if let Some(i) = buffer[mark..].iter().position(|byte| !byte.is_ascii_whitespace()) {
                break (buffer[mark + i], mark);
            }
            // Blank lines before a table do no harm; they are skipped by the table's reader too.
            let n = buffer.len();
            input.consume(n);
        };
        input.consume(start.1);
        if start.0 == b'{' {
            return Ok(Self::Lines { input, line: 0 });
        }
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::Headers)
            .buffer_capacity(1 << 16)
            .from_reader(input);
        let header = reader.headers().map_err(|e| csv_error(&e))?.clone();
        let columns = columns(&header, needed)?;
        Ok(Self::Csv { reader: Box::new(reader), columns })
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`] when nothing behind can be read either.
    pub fn next_row(&mut self) -> Result<Option<Result<Row, BadRow>>, ReadError> {
        match self {
            Self::Csv { reader, columns } => {
                let mut record = csv::StringRecord::new();
                if !reader.read_record(&mut record).map_err(|e| csv_error(&e))? {
                    return Ok(None);
                }
                let line = record.position().map_or(0, csv::Position::line);
                Ok(Some(row_of_cells(line, &record, columns)))
            }
            Self::Lines { input, line } => loop {
                let mut text = Vec::new();
                *line += 1;
                if input.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut text)? == 0 {
                    return Ok(None);
                }
                if text.len() as u64 > MAX_LINE {
                    let message = format!("it is longer than {MAX_LINE} bytes");
                    return Err(ReadError::Csv { line: *line, message });
                }
                if !text.trim_ascii().is_empty() {
                    return Ok(Some(row_of_json(*line, text.trim_ascii())));
                }
            },
        }
    }
}

fn csv_error(error: &csv::Error) -> ReadError {
    let line = error.position().map_or(1, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        csv::ErrorKind::Io(e) => return ReadError::Io(io::Error::new(e.kind(), e.to_string())),
        _ => format!("it is no table: {error}"),
    };
    ReadError::Csv { line, message }
}

fn columns(header: &csv::StringRecord, needed: &[&str]) -> Result<Vec<Column>, ReadError> {
    let column = |name: &str| {
        let folded = name.to_lowercase();
        FIELDS.iter().position(|field| *field == folded).map_or_else(|| Column::Other(name.to_owned()), Column::Field)
    };
    let columns: Vec<Column> = header.iter().map(column).collect();
    let others = columns.iter().filter_map(|column| match column {
        Column::Other(name) => Some(name.as_str()),
        Column::Field(_) => None,
    });
    let others: Vec<&str> = others.collect();
    let lacking: Vec<String> = needed
        .iter()
        .filter(|field| !columns.iter().any(|c| matches!(c, Column::Field(i) if FIELDS[*i] == **field)))
        .map(|field| match suggest::nearest(field, others.iter().copied()) {
            Some(near) => format!("`{field}` (is `{near}` meant?)"),
            None => format!("`{field}`"),
        })
        .collect();
    if !lacking.is_empty() {
        return Err(ReadError::Header(format!(
            "{}: expected the columns unit,variant,metric,value[,at], there are {}",
            lacking.join(", "),
            if header.is_empty() { "none".to_owned() } else { header.iter().collect::<Vec<_>>().join(",") }
        )));
    }
    for (i, column) in columns.iter().enumerate() {
        if let Column::Field(field) = column
            && columns[..i].contains(column)
        {
            return Err(ReadError::Header(format!("one meaning: the column `{}` is there twice", FIELDS[*field])));
        }
    }
    Ok(columns)
}

fn row_of_cells(line: u64, record: &csv::StringRecord, columns: &[Column]) -> Result<Row, BadRow> {
    let mut problems = Vec::new();
    if record.len() != columns.len() {
        let message = format!("the line has {} cells, the header {}", record.len(), columns.len());
        return Err(BadRow { line, problems: vec![ObservationProblem::new("line", message)] });
    }
    let mut fields: [Option<&str>; 6] = [None; 6];
    let mut others = BTreeMap::new();
    for (cell, column) in record.iter().zip(columns) {
        match column {
            Column::Field(field) => fields[*field] = Some(cell).filter(|cell| !cell.trim().is_empty()),
            Column::Other(name) => {
                others.insert(name.clone(), cell.trim().to_owned());
            }
        }
    }
    let needed = |field: usize, problems: &mut Vec<_>| {
        let text = fields[field];
        if text.is_none() {
            problems.push(ObservationProblem::new(FIELDS[field], "it is empty"));
        }
        text.unwrap_or_default()
    };
    let metric = needed(2, &mut problems).trim().to_owned();
    let value = needed(3, &mut problems);
    let value = if value.is_empty() { Ok(0.0) } else { read_value(value) };
    let at = fields[4].map(read_time).transpose();
    problems.extend(value.as_ref().err().map(|message| ObservationProblem::new("value", message)));
    problems.extend(at.as_ref().err().map(|message| ObservationProblem::new("at", message)));
    // A column that is there is meant to be filled.
    for field in [0, 1] {
        if columns.contains(&Column::Field(field)) && fields[field].is_none() {
            problems.push(ObservationProblem::new(FIELDS[field], "it is empty"));
        }
    }
    let text = |field: usize| fields[field].map(|text| text.trim().to_owned());
    let observation = Observation {
        unit: text(0),
        variant: text(1),
        metric,
        value: value.unwrap_or_default(),
        at: at.unwrap_or_default(),
        idempotency_key: text(5),
    };
    checked(Row { line, observation, others }, problems)
}

/// Adds what the observation itself finds wrong, once for each field.
fn checked(row: Row, mut problems: Vec<ObservationProblem>) -> Result<Row, BadRow> {
    for problem in row.observation.problems() {
        if problems.iter().all(|known| known.field != problem.field) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(row) } else { Err(BadRow { line: row.line, problems }) }
}

fn row_of_json(line: u64, text: &[u8]) -> Result<Row, BadRow> {
    let bad = |field, message: String| BadRow { line, problems: vec![ObservationProblem::new(field, message)] };
    let value: Value = serde_json::from_slice(text).map_err(|e| bad("line", format!("it is no JSON: {e}")))?;
    let Value::Object(mut object) = value else {
        return Err(bad("line", "it is no JSON object".to_owned()));
    };
    let mut others = BTreeMap::new();
    object.retain(|name, value| {
        let known = FIELDS.contains(&name.as_str());
        if !known {
            others.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        known && !value.is_null()
    });
    let mut problems = Vec::new();
    let mut text_of = |field: &'static str| match object.get(field) {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        // Ids are often numbers.
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => {
            problems.push(ObservationProblem::new(field, "expected a text"));
            None
        }
    };
    let (unit, variant, metric, key) =
        (text_of("unit"), text_of("variant"), text_of("metric"), text_of("idempotency_key"));
    let at = text_of("at").map(|text| read_time(&text)).transpose();
    problems.extend(at.as_ref().err().map(|message| ObservationProblem::new("at", message)));
    let missing = |field: &'static str| {
        let near = suggest::nearest(field, others.keys().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; is `{near}` meant?"));
        ObservationProblem::new(field, format!("missing{hint}"))
    };
    if metric.is_none() {
        problems.push(missing("metric"));
    }
    let value = match object.get("value") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::Bool(value)) => Some(f64::from(u8::from(*value))),
        Some(_) => None,
        None => {
            problems.push(missing("value"));
            Some(0.0)
        }
    };
    if value.is_none() {
        problems.push(ObservationProblem::new("value", "expected a number, true or false"));
    }
    let observation = Observation {
        unit,
        variant,
        metric: metric.unwrap_or_default(),
        value: value.unwrap_or_default(),
        at: at.unwrap_or_default(),
        idempotency_key: key,
    };
    checked(Row { line, observation, others }, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Result<Row, BadRow>>, ReadError> {
        let mut rows = Rows::new(text.as_bytes(), &FIELDS[..4])?;
        std::iter::from_fn(|| rows.next_row().transpose()).collect()
    }

    fn told(text: &str) -> Vec<String> {
        match read(text) {
            Err(error) => vec![error.to_string()],
            Ok(rows) => rows
                .into_iter()
                .flat_map(|row| match row {
                    Ok(Row { line, observation: o, others }) => {
                        vec![format!(
                            "{line}: {:?} {:?} {} {} {:?} {others:?}",
                            o.unit, o.variant, o.metric, o.value, o.at
                        )]
                    }
                    Err(bad) => bad.problems.iter().map(|problem| format!("{}: {problem}", bad.line)).collect(),
                })
                .collect(),
        }
    }

    #[test]
    fn tables() {
        insta::assert_debug_snapshot!(told("unit,variant,metric,value,at,country\nü1,A,quality,0.5,2026-11-26,DE\n\
             u2,B,quality,true,,\nu3,B,quality,NaN,later,FR\n,B,quality,,,\nu4,B\n"), @r#"
        [
            "2: Some(\"ü1\") Some(\"A\") quality 0.5 Some(2026-11-26T00:00:00Z) {\"country\": \"DE\"}",
            "3: Some(\"u2\") Some(\"B\") quality 1 None {\"country\": \"\"}",
            "4: value: NaN is no number to calculate with: expected a finite one",
            "4: at: `later` is no time: expected RFC 3339 such as 2026-11-26T15:04:05Z, or a date such as 2026-11-26",
            "5: value: it is empty",
            "5: unit: it is empty",
            "6: line: the line has 2 cells, the header 6",
        ]
        "#);
    }

    #[test]
    fn headers() {
        insta::assert_debug_snapshot!(told("user,variant,metric,vlaue\nu,A,m,1\n"), @r#"
        [
            "the header lacks `unit`, `value` (is `vlaue` meant?): expected the columns unit,variant,metric,value[,at], there are user,variant,metric,vlaue",
        ]
        "#);
        assert!(told("")[0].starts_with("it is empty"));
        assert!(told("unit,variant,metric,value,unit\n")[0].contains("twice"));
        assert_eq!(told("\u{feff}Unit,Variant,Metric,Value\nu,A,m,1\n").len(), 1);
    }

    #[test]
    fn lines() {
        insta::assert_debug_snapshot!(told("{\"unit\": 7, \"variant\": \"A\", \"metric\": \"m\", \"value\": 1, \"plan\": \"pro\"}\n\n\
             {\"unit\": \"u\", \"variant\": \"A\", \"metric\": \"m\", \"vlaue\": 1}\n[1]\n{\"unit\": \"u\"\n\
             {\"unit\": [], \"variant\": \"A\", \"metric\": \"m\", \"value\": \"1\"}\n"), @r#"
        [
            "1: Some(\"7\") Some(\"A\") m 1 None {\"plan\": \"pro\"}",
            "3: value: missing; is `vlaue` meant?",
            "4: line: it is no JSON object",
            "5: line: it is no JSON: EOF while parsing an object at line 1 column 12",
            "6: unit: expected a text",
            "6: value: expected a number, true or false",
        ]
        "#);
    }
}
