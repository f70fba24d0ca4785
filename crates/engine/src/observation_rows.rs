//! Observations in a file or a request's body: CSV with a header, or a JSON object a line.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use llmops_domain::experiment::observation::{Observation, ObservationProblem, read_time, read_value};
use llmops_domain::hash::ContentHash;
use llmops_domain::suggest;
use serde_json::Value;

use crate::table_lines::Lines;

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Names of fields, in the order of a table.
pub const FIELDS: [&str; 6] = ["unit", "variant", "metric", "value", "at", "idempotency_key"];

/// How files begin that are no text, and what they are.
const BINARY: [(&[u8], &str); 4] =
    [(b"PAR1", "Parquet"), (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "Zstandard"), (b"PK\x03\x04", "a ZIP archive")];
/// What other tools call the unit.
const UNITS: [&str; 7] = ["user", "user_id", "userid", "unit_id", "id", "session", "session_id"];

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
    /// The header lacks columns.
    #[error("the header lacks {0}")]
    Header(String),
    /// No text.
    #[error(
        "it is {0}, which is not read: expected CSV with the header unit,variant,metric,value[,at], or a JSON object a line"
    )]
    Binary(&'static str),
    /// Nothing at all.
    #[error("it is empty: expected the header unit,variant,metric,value[,at], or a JSON object a line")]
    Empty,
}

/// Reads rows one after the other, in memory for one.
pub struct Rows<R> {
    lines: Lines<R>,
    /// What each column of a table is; nothing for JSON lines.
    columns: Option<Vec<Column>>,
    /// Whether a JSON line must name its unit.
    needs_unit: bool,
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
    /// Looks at the beginning: JSON begins with a brace. `needed` are the columns that a table must have. With `unit` among them,
    /// JSON lines must have it, too: under another name, each line would count as a unit of its own.
    ///
    /// # Errors
    /// [`ReadError`] when it is empty or the header lacks a column.
    pub fn new(input: R, needed: &[&str]) -> Result<Self, ReadError> {
        let mut lines = Lines::new(input, MAX_LINE);
        let needs_unit = needed.contains(&FIELDS[0]);
        let (line, text) = loop {
            let Some((line, text)) = lines.next_line()? else { return Err(ReadError::Empty) };
            let text = text.ok_or_else(|| ReadError::Header(format!("an end: it is longer than {MAX_LINE} bytes")))?;
            let text = text.strip_prefix("\u{feff}".as_bytes()).map_or_else(|| text.clone(), <[u8]>::to_vec);
            if !text.trim_ascii().is_empty() {
                break (line, text);
            }
        };
        if let Some((_, what)) = BINARY.iter().find(|(magic, _)| text.starts_with(magic)) {
            return Err(ReadError::Binary(what));
        }
        if text.trim_ascii_start().starts_with(b"{") {
            lines.give_back((line, Some(text)));
            return Ok(Self { lines, columns: None, needs_unit });
        }
        let header = lines.record((line, &text), |_| true)?;
        let header = header.ok_or_else(|| ReadError::Header("a quote: a quoted name does not end".to_owned()))?;
        let name = |cell: Vec<u8>| String::from_utf8(cell).map(|name| name.trim().to_owned());
        let header = header.into_iter().map(name).collect::<Result<Vec<_>, _>>();
        let header = header.map_err(|_| ReadError::Header("names that can be read: it is not UTF-8".to_owned()))?;
        Ok(Self { lines, columns: Some(columns(&header, needed)?), needs_unit })
    }

    /// The next row; `None` at the end. A line that cannot be read is a row that is refused, and those behind it are read.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn next_row(&mut self) -> Result<Option<Result<Row, BadRow>>, ReadError> {
        let Some((line, text)) = self.lines.next_line()? else { return Ok(None) };
        let bad =
            |message: String| Ok(Some(Err(BadRow { line, problems: vec![ObservationProblem::new("line", message)] })));
        let Some(text) = text else { return bad(format!("it is longer than {MAX_LINE} bytes")) };
        let Some(columns) = &self.columns else {
            return Ok(Some(row_of_json(line, text.trim_ascii(), self.needs_unit)));
        };
        // Line ends are for texts beside the observation: in its own cells they tell that a quote is missing.
        let fits = |cells: &[Vec<u8>]| {
            let holds =
                |(column, cell): (&Column, &Vec<u8>)| matches!(column, Column::Other(_)) || !cell.contains(&b'\n');
            cells.len() == columns.len() && columns.iter().zip(cells).all(holds)
        };
        let Some(cells) = self.lines.record((line, &text), fits)? else {
            return bad("a quoted cell does not end in it: is a quote missing?".to_owned());
        };
        match cells.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>() {
            Ok(cells) => Ok(Some(row_of_cells(line, &cells, columns))),
            Err(_) => bad("it is not UTF-8".to_owned()),
        }
    }
}

/// Keys for lines without one, so that a text that comes again counts nothing twice, also where lines were added or mended since: of
/// a source's name, what a line is about, and how many lines before it are about the same. The value is no part of it: one that was
/// mended takes the place of the one before.
#[derive(Debug)]
pub struct LineKeys {
    source: String,
    /// How many lines were about the same, by the beginning of its hash.
    seen: HashMap<u64, u32>,
}

impl LineKeys {
    /// For the lines of one text. Lines of sources with other names are others, though they say the same.
    pub fn new(source: String) -> Self {
        Self { source, seen: HashMap::new() }
    }

    /// The key of a row, where it needs one: with a key of its own, or a unit and a time, it is told apart already.
    pub fn key(&mut self, row: &Row) -> Option<String> {
        let Row { observation: o, others, .. } = row;
        if o.idempotency_key.is_some() || (o.unit.is_some() && o.at.is_some()) {
            return None;
        }
        let at = o.at.map(jiff::Timestamp::as_microsecond);
        let said = serde_json::json!([self.source, o.unit, o.variant, o.metric, at, others]).to_string();
        let hash = ContentHash::of_bytes(said.as_bytes());
        // 128 bits in the key; 64 do to count, where a chance meeting changes nothing but the number.
        let short = &hash.as_str()[..32];
        let seen = self.seen.entry(u64::from_str_radix(&short[..16], 16).unwrap_or_default()).or_default();
        *seen += 1;
        Some(format!("line/{short}/{seen}"))
    }
}

fn columns(header: &[String], needed: &[&str]) -> Result<Vec<Column>, ReadError> {
    let column = |name: &str| {
        let folded = name.to_lowercase();
        FIELDS.iter().position(|field| *field == folded).map_or_else(|| Column::Other(name.to_owned()), Column::Field)
    };
    let columns: Vec<Column> = header.iter().map(|name| column(name)).collect();
    let others = columns.iter().filter_map(|column| match column {
        Column::Other(name) => Some(name.as_str()),
        Column::Field(_) => None,
    });
    let others: Vec<&str> = others.collect();
    let lacking: Vec<String> = needed
        .iter()
        .filter(|field| !columns.iter().any(|c| matches!(c, Column::Field(i) if FIELDS[*i] == **field)))
        .map(|field| match meant(field, others.iter().copied()) {
            Some(near) => format!("`{field}` (is `{near}` meant?)"),
            None => format!("`{field}`"),
        })
        .collect();
    if !lacking.is_empty() {
        return Err(ReadError::Header(format!(
            "{}: expected the columns unit,variant,metric,value[,at], there are {}",
            lacking.join(", "),
            header.join(",")
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

/// The name that is likely to stand for a field.
fn meant<'a>(field: &str, mut names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let is_unit = |name: &str| field == FIELDS[0] && UNITS.contains(&name.to_lowercase().as_str());
    suggest::nearest(field, names.clone()).or_else(|| names.find(|name| is_unit(name)))
}

fn row_of_cells(line: u64, record: &[String], columns: &[Column]) -> Result<Row, BadRow> {
    let mut problems = Vec::new();
    if record.len() != columns.len() {
        let message = format!("the line has {} cells, the header {}", record.len(), columns.len());
        return Err(BadRow { line, problems: vec![ObservationProblem::new("line", message)] });
    }
    let mut fields: [Option<&str>; 6] = [None; 6];
    let mut others = BTreeMap::new();
    for (cell, column) in record.iter().zip(columns) {
        match column {
            Column::Field(field) => fields[*field] = Some(cell.as_str()).filter(|cell| !cell.trim().is_empty()),
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

fn row_of_json(line: u64, text: &[u8], needs_unit: bool) -> Result<Row, BadRow> {
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
    let is_blurred = |n: &serde_json::Number| n.is_f64() && n.as_f64().is_some_and(|n| n.abs() >= 9e15);
    let mut text_of = |field: &'static str| match object.get(field) {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        // Beyond 64 bits the last digits are not read, and two ids would be one.
        Some(Value::Number(number)) if is_blurred(number) => {
            let message = "it has more than 64 bits, which are not read whole: write it in quotes";
            problems.push(ObservationProblem::new(field, message));
            None
        }
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
        let near = meant(field, others.keys().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; is `{near}` meant?"));
        ObservationProblem::new(field, format!("missing{hint}"))
    };
    if metric.is_none() {
        problems.push(missing("metric"));
    }
    if needs_unit && unit.is_none() && problems.iter().all(|problem| problem.field != "unit") {
        problems.push(missing("unit"));
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
            "the header lacks `unit` (is `user` meant?), `value` (is `vlaue` meant?): expected the columns unit,variant,metric,value[,at], there are user,variant,metric,vlaue",
        ]
        "#);
        assert!(told("")[0].starts_with("it is empty"));
        assert!(told("unit,variant,metric,value,unit\n")[0].contains("twice"));
        assert!(told("PAR1\u{15}\u{4}")[0].starts_with("it is Parquet, which is not read: expected CSV"));
        assert_eq!(told("\u{feff}Unit,Variant,Metric,Value\nu,A,m,1\n").len(), 1);
    }

    #[test]
    fn a_line_that_cannot_be_read_takes_no_other_with_it() {
        let check = |text: &[u8], expected: &[&str]| {
            let mut rows = Rows::new(text, &FIELDS[..4]).unwrap();
            let rows = std::iter::from_fn(|| rows.next_row().unwrap()).map(|row| match row {
                Ok(row) => format!("{}: {}", row.line, row.observation.unit.unwrap()),
                Err(bad) => format!("{}: {}", bad.line, bad.problems[0]),
            });
            assert_eq!(rows.collect::<Vec<_>>(), expected);
        };
        let open = "3: line: a quoted cell does not end in it: is a quote missing?";
        check(b"unit,variant,metric,value\na,A,m,1\nb,\"A,m,1\nc,A,m,1\nd,A,m,1\n", &["2: a", open, "4: c", "5: d"]);
        // The quote of another line would make a unit of all between.
        check(
            b"unit,variant,metric,value\na,A,m,1\n\"b,A,m,1\nc,A,m,1\n\"d\",A,m,1\n",
            &["2: a", open, "4: c", "5: d"],
        );
        check(b"unit,variant,metric,value,note\na,A,m,1,\"two\nlines\"\nb,A,m,1,x\n", &["2: a", "4: b"]);
        check(
            b"unit,variant,metric,value\na,A,m,1\n\xff,A,m,1\nc,A,m,1\n",
            &["2: a", "3: line: it is not UTF-8", "4: c"],
        );
        let long = format!("unit,variant,metric,value\n{},A,m,1\nc,A,m,1\n", "u".repeat(MAX_LINE));
        check(long.as_bytes(), &["2: line: it is longer than 1048576 bytes", "3: c"]);
        let row = |unit: &str| format!("{{\"unit\":\"{unit}\",\"variant\":\"A\",\"metric\":\"m\",\"value\":1}}\n");
        let json = [row("a"), row(&"u".repeat(MAX_LINE)), row("c")].concat();
        check(json.as_bytes(), &["1: a", "2: line: it is longer than 1048576 bytes", "3: c"]);
        let id = r#"{"unit": 12345678901234567890123, "variant": "A", "metric": "m", "value": 1}"#;
        check(id.as_bytes(), &["1: unit: it has more than 64 bits, which are not read whole: write it in quotes"]);
    }

    #[test]
    fn lines_have_keys_that_stay() {
        let keys = |source: &str, text: &str| {
            let mut keys = LineKeys::new(source.to_owned());
            let rows = read(text).unwrap();
            rows.into_iter().map(|row| keys.key(&row.unwrap())).collect::<Vec<_>>()
        };
        let before = keys("a.csv", "unit,variant,metric,value\nu,A,m,1\nu,A,m,1\nv,A,m,2\n");
        let after = keys("a.csv", "unit,variant,metric,value\r\nw,A,m,7\r\nu,A,m,1\r\nv,A,m,2\r\nu,A,m,1.0\r\n");
        assert_eq!([&before[0], &before[1], &before[2]], [&after[1], &after[3], &after[2]]);
        assert_ne!(before[0], before[1], "an equal line is another observation");
        assert_ne!(before, keys("b.csv", "unit,variant,metric,value\nu,A,m,1\nu,A,m,1\nv,A,m,2\n"));
        assert_eq!(keys("a.csv", "unit,variant,metric,value,at\nu,A,m,1,2026-11-26\n"), [None]);
        let own = r#"{"unit": "u", "variant": "A", "metric": "m", "value": 1, "idempotency_key": "k"}"#;
        assert_eq!(keys("a.csv", own), [None]);
        let mended = keys("a.csv", "unit,variant,metric,value\nu,A,m,9\nu,A,m,1\nv,A,m,0\n");
        assert_eq!(before, mended, "a value that was mended is of the same observation");
        let nameless = r#"{"variant": "A", "metric": "m", "value": 1, "at": "2026-11-26"}"#;
        let mut rows = Rows::new(nameless.as_bytes(), &FIELDS[2..4]).unwrap();
        let row = rows.next_row().unwrap().unwrap().unwrap();
        assert!(LineKeys::new("a.csv".to_owned()).key(&row).is_some(), "without unit, the time tells nothing apart");
    }

    #[test]
    fn lines() {
        insta::assert_debug_snapshot!(told("{\"unit\": 7, \"variant\": \"A\", \"metric\": \"m\", \"value\": 1, \"plan\": \"pro\"}\n\n\
             {\"unit\": \"u\", \"variant\": \"A\", \"metric\": \"m\", \"vlaue\": 1}\n[1]\n{\"unit\": \"u\"\n\
             {\"unit\": [], \"variant\": \"A\", \"metric\": \"m\", \"value\": \"1\"}\n\
             {\"User\": \"u\", \"variant\": \"A\", \"metric\": \"m\", \"value\": 1}\n"), @r#"
        [
            "1: Some(\"7\") Some(\"A\") m 1 None {\"plan\": \"pro\"}",
            "3: value: missing; is `vlaue` meant?",
            "4: line: it is no JSON object",
            "5: line: it is no JSON: EOF while parsing an object at line 1 column 12",
            "6: unit: expected a text",
            "6: value: expected a number, true or false",
            "7: unit: missing; is `User` meant?",
        ]
        "#);
    }
}
