//! What is wrong with a file, and where.

use serde::{Deserialize, Serialize};

/// One mistake in a file: where it is, what was expected, how to fix it.
///
/// Shown as `llmops.yaml:12:5: gate.overal_min: unknown key; did you mean overall_min?`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = FileProblem)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line from 1; 0 when it is about the whole file.
    pub line: u64,
    /// Column from 1, in characters; 0 when it is about the whole line.
    pub column: u64,
    /// The field, as a dotted path; empty when it is about the text itself.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// How to fix it, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Writes a JSON pointer as people write paths: `/scoring/metrics/judge/rubric/0` is `scoring.metrics.judge.rubric[0]`.
pub(super) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let key = unescape(segment);
        if key.bytes().all(|b| b.is_ascii_digit()) && !key.is_empty() {
            path.extend(["[", key.as_str(), "]"]);
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        let quote = if key.contains(['.', ' ', '[', '"']) || key.is_empty() { "\"" } else { "" };
        path.extend([quote, shorten(&key).as_str(), quote]);
    }
    path
}

/// A key as a segment of a JSON pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key that a segment of a JSON pointer stands for.
pub(super) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// At most 60 characters of a text, on one line and without control characters.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
