//! Reading a judge's answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::axis;
use super::objects::{Found, find};

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 2_000;
/// The key of the overall score.
const OVERALL: &str = "overall";

/// What a judge said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgeAnswer {
    /// Score and reason of each axis.
    pub axes: BTreeMap<String, AxisScore>,
    /// The overall score, 0 to 1: the judge's own, else the mean of the axes.
    pub overall: f64,
    /// Why, where the judge gave a reason for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a judge said of one axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AxisScore {
    /// The score, 0 to 1.
    pub score: f64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An answer that cannot be used. It is asked for again, and then the sample is errored: a score is never guessed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JudgeFormatError {
    /// Longer than [`MAX_ANSWER_BYTES`].
    #[error("the judge's answer has {0} bytes; at most {MAX_ANSWER_BYTES} are read")]
    TooLong(usize),
    /// No JSON object in it.
    #[error("the judge's answer has no JSON object in it: {excerpt}")]
    NoJson {
        /// The beginning of the answer.
        excerpt: String,
    },
    /// No object has all axes.
    #[error("the judge's answer lacks a score for {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A score that is no number.
    #[error("the judge's score for {axis} is no number: {found}")]
    NoNumber {
        /// The axis, or `overall`.
        axis: String,
        /// What stands there.
        found: String,
    },
    /// A score below 0 or above 1. It is not rescaled: whether 8 meant 0.8 is a guess.
    #[error("the judge's score for {axis} is {value}: scores go from 0 to 1")]
    OutOfRange {
        /// The axis, or `overall`.
        axis: String,
        /// The score.
        value: f64,
    },
    /// The model stopped at its limit of tokens: what it would have said next is not known.
    #[error("the judge's answer ends at the limit of its tokens (max_tokens)")]
    CutOff,
    /// Several scores of which it is not clear which one is meant.
    #[error("the judge's answer has {0}: it is not clear which one is meant")]
    Ambiguous(&'static str),
    /// A verdict that is missing or unclear.
    #[error("the judge's answer {0}")]
    Verdict(String),
}

impl JudgeFormatError {
    /// A short stable reason to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "judge: answer too long",
            Self::NoJson { .. } => "judge: no JSON",
            Self::Missing(_) => "judge: missing axis",
            Self::NoNumber { .. } => "judge: no number",
            Self::OutOfRange { .. } => "judge: out of range",
            Self::CutOff => "judge: answer cut off",
            Self::Ambiguous(_) | Self::Verdict(_) => "judge: unclear verdict",
        }
    }
}

/// Reads a judge's answer: the JSON object in it that has all axes, with prose, Markdown fences and other JSON around it or
/// not. Each axis is a number or `{"score": …, "reason": …}`; a number may be written as text (`"0.8"`, as some models do),
/// for that can mean one thing only. Names may differ in case, blanks and hyphens. The object may stand inside another, as in
/// `{"scores": {…}}`.
///
/// A judge may quote the candidate, and the candidate may ask for a score: where the answer has several such objects that
/// differ, or one that is broken, nobody can say which one is the verdict.
///
/// # Errors
/// When there is no such object, it is not clear which one is meant, or one of its scores is no number from 0 to 1.
pub fn parse_answer(text: &str, rubric: &[String]) -> Result<JudgeAnswer, JudgeFormatError> {
    let names: Vec<&str> = rubric.iter().map(|entry| axis(entry).0).collect();
    let found = objects(text, if names.is_empty() { &[OVERALL] } else { &names[..] })?;
    let complete = wanted(&found.objects, |object| missing(object, &names).is_empty());
    let Some((last, others)) = complete.split_last() else {
        return Err(found
            .objects
            .last()
            .map_or_else(|| no_json(text), |o| JudgeFormatError::Missing(missing(o, &names))));
    };
    let answer = read(last, &names)?;
    let scores = |of: &JudgeAnswer| (of.overall, of.axes.values().map(|axis| axis.score).collect::<Vec<_>>());
    if others.iter().all(|other| read(other, &names).is_ok_and(|other| scores(&other) == scores(&answer))) {
        Ok(answer)
    } else {
        Err(JudgeFormatError::Ambiguous("several scores"))
    }
}

/// The JSON object in a judge's answer that has the member `key`, as `is_wanted` wants it; it may stand inside another. It may
/// stand there twice, but not with another value of `key`.
pub(super) fn only_object(
    text: &str,
    key: &str,
    is_wanted: impl Fn(&Value) -> bool,
    what: &str,
) -> Result<Map<String, Value>, JudgeFormatError> {
    let found = objects(text, &[key])?;
    let complete = wanted(&found.objects, |object| member(object, key).is_some_and(&is_wanted));
    let Some((last, others)) = complete.split_last() else {
        let lacks = || JudgeFormatError::Verdict(format!("lacks {what}"));
        return Err(if found.objects.is_empty() { no_json(text) } else { lacks() });
    };
    if others.iter().any(|other| member(other, key) != member(last, key)) {
        return Err(JudgeFormatError::Ambiguous("several verdicts"));
    }
    Ok((*last).clone())
}

/// The objects in an answer, unless one that is broken holds one of the `keys`.
fn objects<'a>(text: &'a str, keys: &[&str]) -> Result<Found<'a>, JudgeFormatError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(JudgeFormatError::TooLong(text.len()));
    }
    let found = find(text);
    let holds = |broken: &str| {
        let broken = letters(broken);
        broken.contains(':') && keys.iter().any(|key| broken.contains(&letters(key)))
    };
    if !found.broken.iter().any(|broken| holds(broken)) {
        Ok(found)
    } else if found.objects.is_empty() {
        Err(no_json(text))
    } else {
        Err(JudgeFormatError::Ambiguous("JSON that is broken"))
    }
}

fn no_json(text: &str) -> JudgeFormatError {
    JudgeFormatError::NoJson { excerpt: cut(text.trim(), 80) }
}

/// The objects that are wanted, in order; of one that is not, those that it holds.
fn wanted(objects: &[Map<String, Value>], is_wanted: impl Fn(&Map<String, Value>) -> bool) -> Vec<&Map<String, Value>> {
    let mut wanted = Vec::new();
    for object in objects {
        if is_wanted(object) {
            wanted.push(object);
        } else {
            wanted.extend(object.values().filter_map(Value::as_object).filter(|inner| is_wanted(inner)));
        }
    }
    wanted
}

/// Names of the axes the object lacks. Without any axis the overall score must be there.
fn missing(object: &Map<String, Value>, names: &[&str]) -> Vec<String> {
    let wanted: &[&str] = if names.is_empty() { &[OVERALL] } else { names };
    wanted.iter().filter(|name| member(object, name).is_none()).map(|&name| name.to_owned()).collect()
}

fn read(object: &Map<String, Value>, names: &[&str]) -> Result<JudgeAnswer, JudgeFormatError> {
    let mut axes = BTreeMap::new();
    for name in names {
        axes.insert((*name).to_owned(), axis_score(name, member(object, name).unwrap_or(&Value::Null))?);
    }
    let overall = match member(object, OVERALL).filter(|v| !v.is_null()) {
        Some(value) => axis_score(OVERALL, value)?.score,
        None => axes.values().map(|axis| axis.score).sum::<f64>() / axes.len() as f64,
    };
    Ok(JudgeAnswer { axes, overall, reason: reason(object) })
}

/// A name however it is written.
fn letters(text: &str) -> String {
    text.trim().to_lowercase().replace([' ', '-'], "_")
}

/// A member by name; exactly, else by its letters.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        let wanted = letters(name);
        object.iter().find(|(key, _)| letters(key) == wanted).map(|(_, value)| value)
    })
}

pub(super) fn axis_score(axis: &str, value: &Value) -> Result<AxisScore, JudgeFormatError> {
    let (number, reason) = match value {
        Value::Object(object) => (member(object, "score").unwrap_or(&Value::Null), reason(object)),
        other => (other, None),
    };
    let score = match number {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    };
    match score.filter(|s| s.is_finite()) {
        None => Err(JudgeFormatError::NoNumber { axis: axis.to_owned(), found: cut(&number.to_string(), 40) }),
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(JudgeFormatError::OutOfRange { axis: axis.to_owned(), value })
        }
        // Plus zero turns −0 into 0.
        Some(score) => Ok(AxisScore { score: score + 0.0, reason }),
    }
}

/// The judge's words, under any of the names that models give them.
pub(super) fn reason(object: &Map<String, Value>) -> Option<String> {
    let words = ["reason", "reasoning", "explanation", "rationale"].iter().find_map(|name| member(object, name))?;
    words.as_str().filter(|r| !r.trim().is_empty()).map(|r| cut(r.trim(), MAX_REASON_CHARS))
}

pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
