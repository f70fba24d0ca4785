//! Reading verdicts: claims, checklists, the better of two answers, a single score.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JudgedMetric;
use super::answer::{AxisScore, JudgeFormatError, axis_score, cut, member, only_object, reason};

/// Most claims that are read of one answer.
const MAX_CLAIMS: usize = 500;
/// Longest claim that is kept, in characters.
const MAX_CLAIM_CHARS: usize = 1_000;

/// One claim of an answer, and what the judge decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The claim.
    pub claim: String,
    /// Whether it speaks for the answer: supported, or not invented.
    pub holds: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One item of a checklist, answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemAnswer {
    /// The item, as it stands in the checklist.
    pub item: String,
    /// Whether the answer meets it.
    pub yes: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The better of two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Winner {
    /// The one shown first.
    First,
    /// The one shown second.
    Second,
    /// Neither.
    Tie,
}

/// Reads one score: `{"score": 0.8, "reason": "…"}`.
///
/// # Errors
/// When there is no such object, or the score is no number from 0 to 1.
pub fn parse_score(text: &str) -> Result<AxisScore, JudgeFormatError> {
    let object = only_object(text, "score", |_| true, "`score`")?;
    axis_score("score", &Value::Object(object))
}

/// Reads the claims of an answer: `{"claims": [{"claim": "…", "supported": true, "reason": "…"}]}`, for
/// hallucinations with `invented` in the place of `supported`. An empty list is an answer.
///
/// # Errors
/// When there is no such list, or a claim has no text or no clear verdict.
pub fn parse_claims(text: &str, metric: JudgedMetric) -> Result<Vec<Claim>, JudgeFormatError> {
    let (key, good) = match metric {
        JudgedMetric::Hallucination => ("invented", false),
        _ => ("supported", true),
    };
    let list = list(text, "claims")?;
    if list.len() > MAX_CLAIMS {
        return Err(JudgeFormatError::Verdict(format!("lists {} claims; at most {MAX_CLAIMS} are read", list.len())));
    }
    let read = |(number, value): (usize, &Value)| {
        let lacks = |what: &str| JudgeFormatError::Verdict(format!("lacks {what} of claim {number}"));
        let object = value.as_object().ok_or_else(|| lacks("the members"))?;
        let claim = member(object, "claim").and_then(Value::as_str).map(str::trim).filter(|claim| !claim.is_empty());
        let claim = cut(claim.ok_or_else(|| lacks("the text"))?, MAX_CLAIM_CHARS);
        let verdict =
            member(object, key).and_then(yes_or_no).ok_or_else(|| lacks(&format!("`{key}` (true or false)")))?;
        Ok(Claim { claim, holds: verdict == good, reason: reason(object) })
    };
    (1..).zip(&list).map(read).collect()
}

/// Reads the answers to a checklist: `{"items": [{"item": 1, "answer": "yes", "reason": "…"}]}`. Every item must be
/// answered once.
///
/// # Errors
/// When there is no such list, or an item is not answered, answered twice, or with neither yes nor no.
pub fn parse_items(text: &str, items: &[String]) -> Result<Vec<ItemAnswer>, JudgeFormatError> {
    let mut answers: BTreeMap<usize, (bool, Option<String>)> = BTreeMap::new();
    for value in list(text, "items")? {
        let object = value.as_object().ok_or_else(|| JudgeFormatError::Verdict("has an item that is no map".into()))?;
        let number = member(object, "item").and_then(number).filter(|number| (1..=items.len()).contains(number));
        let number = number.ok_or_else(|| {
            let found = member(object, "item").map(ToString::to_string).unwrap_or_default();
            JudgeFormatError::Verdict(format!("names the item {}: there are 1 to {}", cut(&found, 40), items.len()))
        })?;
        let answer = member(object, "answer")
            .and_then(yes_or_no)
            .ok_or_else(|| JudgeFormatError::Verdict(format!("has neither yes nor no for item {number}")))?;
        if answers.insert(number, (answer, reason(object))).is_some() {
            return Err(JudgeFormatError::Verdict(format!("has item {number} twice")));
        }
    }
    let missing: Vec<String> =
        (1..=items.len()).filter(|number| !answers.contains_key(number)).map(|number| number.to_string()).collect();
    if !missing.is_empty() {
        return Err(JudgeFormatError::Verdict(format!("lacks the items {}", missing.join(", "))));
    }
    let answers = items.iter().zip(answers.into_values());
    Ok(answers.map(|(item, (yes, reason))| ItemAnswer { item: item.clone(), yes, reason }).collect())
}

/// Reads the better of two answers: `{"winner": "first", "reason": "…"}`.
///
/// # Errors
/// When there is no such object, or the winner is neither `first`, `second` nor `tie`.
pub fn parse_winner(text: &str) -> Result<(Winner, Option<String>), JudgeFormatError> {
    let object = only_object(text, "winner", |_| true, "`winner`")?;
    let found = member(&object, "winner").cloned().unwrap_or_default();
    let winner = match found.as_str().map(|word| word.trim().to_lowercase()).as_deref() {
        Some("first" | "1") => Winner::First,
        Some("second" | "2") => Winner::Second,
        Some("tie") => Winner::Tie,
        _ => {
            let found = cut(&found.to_string(), 40);
            return Err(JudgeFormatError::Verdict(format!(
                "names the winner {found}: first, second and tie are known"
            )));
        }
    };
    Ok((winner, reason(&object)))
}

fn list(text: &str, key: &str) -> Result<Vec<Value>, JudgeFormatError> {
    let object = only_object(text, key, Value::is_array, &format!("the list `{key}`"))?;
    Ok(member(&object, key).and_then(Value::as_array).cloned().unwrap_or_default())
}

fn yes_or_no(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        Value::String(word) => match word.trim().to_lowercase().as_str() {
            "yes" | "true" => Some(true),
            "no" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn number(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    usize::try_from(number).ok()
}
