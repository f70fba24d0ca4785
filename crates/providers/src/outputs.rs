//! Answers that are already in a file: JSONL with lines `{"id": …, "output": …}`.
//!
//! Only a hash and the position of every line are kept (about 32 bytes a line), so that a million outputs cost
//! little memory. The file must not change while it is in use.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse};
use serde_json::value::RawValue;

use crate::provider::{ChatProvider, ProviderError};

/// Errors that are shown of one file.
const MAX_SHOWN: usize = 20;

/// The outputs in a file.
pub struct Outputs {
    path: String,
    file: Mutex<File>,
    index: HashMap<u64, Span>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Span {
    offset: u64,
    length: usize,
    line: usize,
}

struct Line {
    id: String,
    output: String,
}

impl Outputs {
    /// Indexes the file at `path`, relative to `project_dir`.
    ///
    /// # Errors
    /// `Config` with every line that cannot be used: not JSON, no `id`, no `output`, an `id` that occurred before.
    pub fn load(path: &str, project_dir: &Path) -> Result<Self, ProviderError> {
        let unreadable =
            |error: std::io::Error| ProviderError::Config(format!("cannot read the outputs {path}: {error}"));
        let file = File::open(project_dir.join(path)).map_err(unreadable)?;
        let again = file.try_clone().map_err(unreadable)?;
        let mut outputs =
            Self { path: path.to_owned(), file: Mutex::new(again), index: HashMap::new(), hasher: RandomState::new() };
        let spans = outputs.scan(BufReader::with_capacity(1 << 16, file)).map_err(unreadable)?;
        outputs.index = spans?;
        Ok(outputs)
    }

    /// The outer result is about reading, the inner one about the content.
    fn scan(&self, mut reader: impl BufRead) -> std::io::Result<Result<HashMap<u64, Span>, ProviderError>> {
        let mut index: HashMap<u64, Span> = HashMap::new();
        let mut problems = Problems::new(&self.path);
        let mut raw = Vec::new();
        let mut offset = 0;
        for line in 1.. {
            raw.clear();
            let length = reader.read_until(b'\n', &mut raw)?;
            if length == 0 {
                break;
            }
            match parse(&raw) {
                Ok(None) => {}
                Ok(Some(parsed)) => {
                    let span = Span { offset, length, line };
                    if let Some(earlier) = index.insert(self.hasher.hash_one(&parsed.id), span) {
                        problems.add(line, &format!("the id `{}` is on line {} too", parsed.id, earlier.line));
                    }
                }
                Err(problem) => problems.add(line, &problem),
            }
            offset += length as u64;
        }
        Ok(problems.into_result().map(|()| index))
    }

    /// The output of a sample.
    fn get(&self, id: &str) -> Result<String, ProviderError> {
        let missing = || ProviderError::OutputNotFound { id: id.to_owned(), path: self.path.clone() };
        let span = self.index.get(&self.hasher.hash_one(id)).ok_or_else(missing)?;
        let changed = |why: &str| ProviderError::Config(format!("{} changed while it was in use: {why}", self.path));
        let mut raw = vec![0; span.length];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let read = file.seek(SeekFrom::Start(span.offset)).and_then(|_| file.read_exact(&mut raw));
            read.map_err(|error| changed(&error.to_string()))?;
        }
        match parse(&raw) {
            Ok(Some(line)) if line.id == id => Ok(line.output),
            _ => Err(changed(&format!("line {} is another one now", span.line))),
        }
    }

    /// The number of outputs.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether the file has no output.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

#[async_trait]
impl ChatProvider for Outputs {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let started = Instant::now();
        let id = request.origin.sample_id.as_deref().ok_or_else(|| {
            ProviderError::Config(format!("{} answers samples by their id, and this request is about none", self.path))
        })?;
        Ok(ChatResponse {
            text: self.get(id)?,
            model: request.model.clone(),
            latency_ms: started.elapsed().as_secs_f64() * 1000.0,
            ..ChatResponse::default()
        })
    }

    /// The file may be another one next time.
    fn cacheable(&self) -> bool {
        false
    }

    fn answers(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

/// Reads a line; `None` for a blank one.
fn parse(raw: &[u8]) -> Result<Option<Line>, String> {
    let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(None);
    }
    let fields: HashMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|_| "not a JSON object {\"id\": …, \"output\": …}".to_owned())?;
    let id = fields.get("id").map_or("null", |value| value.get());
    let id = match serde_json::from_str(id) {
        Ok(serde_json::Value::String(id)) if !id.is_empty() => id,
        Ok(serde_json::Value::Number(id)) => id.to_string(),
        _ => return Err("`id` is missing or neither text nor a number".to_owned()),
    };
    let Some(output) = fields.get("output").map(|value| value.get()).filter(|output| *output != "null") else {
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        return Err(format!("`output` is missing or null; the line has {}", names.join(", ")));
    };
    // Structured outputs are compared as the JSON they are.
    let output = serde_json::from_str(output).unwrap_or_else(|_| output.to_owned());
    Ok(Some(Line { id, output }))
}

struct Problems<'a> {
    path: &'a str,
    count: usize,
    shown: Vec<String>,
}

impl<'a> Problems<'a> {
    fn new(path: &'a str) -> Self {
        Self { path, count: 0, shown: Vec::new() }
    }

    fn add(&mut self, line: usize, problem: &str) {
        self.count += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(format!("{}:{line}: {problem}", self.path));
        }
    }

    fn into_result(mut self) -> Result<(), ProviderError> {
        if self.count == 0 {
            return Ok(());
        }
        if self.count > self.shown.len() {
            self.shown.push(format!("… and {} more", self.count - self.shown.len()));
        }
        Err(ProviderError::Config(self.shown.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::user;

    fn load(content: &[u8]) -> Result<Outputs, ProviderError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("o.jsonl"), content).unwrap();
        Outputs::load("o.jsonl", dir.path())
    }

    #[tokio::test]
    async fn answers_by_id() {
        let content = "\u{feff}{\"id\": \"a\", \"output\": \"één\\n\", \"reference\": \"x\"}\r\n\n{\"id\": 2, \"output\": {\"k\": [1]}}\n{\"output\": \"\", \"id\": \"last\"}";
        let outputs = load(content.as_bytes()).unwrap();
        assert_eq!(outputs.len(), 3);
        for (id, expected) in [("last", ""), ("a", "één\n"), ("2", "{\"k\": [1]}")] {
            let mut request = user("x");
            request.origin.sample_id = Some(id.to_owned());
            assert_eq!(outputs.chat(&request).await.unwrap().text, expected);
        }
        let mut request = user("x");
        assert!(matches!(outputs.chat(&request).await, Err(ProviderError::Config(_))));
        request.origin.sample_id = Some("b".to_owned());
        insta::assert_snapshot!(outputs.chat(&request).await.unwrap_err(), @"o.jsonl has no output for the sample `b`");
    }

    #[test]
    fn names_every_bad_line() {
        let content = b"{\"id\": \"a\", \"output\": \"x\"}\n{\"id\": \"a\", \"output\": \"y\"}\nnope\n{\"id\": \"b\", \"text\": \"y\"}\n{\"output\": \"y\"}\n\xff\n{\"id\":\"c\",\"output\":null}";
        insta::assert_snapshot!(load(content).err().unwrap(), @"
        o.jsonl:2: the id `a` is on line 1 too
        o.jsonl:3: not a JSON object {\"id\": …, \"output\": …}
        o.jsonl:4: `output` is missing or null; the line has id, text
        o.jsonl:5: `id` is missing or neither text nor a number
        o.jsonl:6: not UTF-8
        o.jsonl:7: `output` is missing or null; the line has id, output
        ");
        let many = "x\n".repeat(1000);
        assert!(load(many.as_bytes()).err().unwrap().to_string().ends_with("… and 980 more"));
        assert!(load(b"").unwrap().is_empty());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Outputs::load("none.jsonl", Path::new("/nowhere")).err().unwrap();
        assert!(error.to_string().starts_with("cannot read the outputs none.jsonl: "), "{error}");
    }
}
