//! Labels as people keep them in tables: reading records with any of the usual headers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::HumanLabel;
use crate::dataset_lines::Record;
use crate::suggest;
use crate::yaml::shorten;

/// The rater of a label that names none.
pub(super) const ANYBODY: &str = "human";

const SAMPLE: &[&str] = &["sample_id", "sample", "id", "example_id", "item", "item_id"];
const LABEL: &[&str] = &[
    "label",
    "score",
    "rating",
    "human_score",
    "human_label",
    "human",
    "value",
    "verdict",
    "grade",
    "correct",
    "passed",
    "pass",
];
const RATER: &[&str] = &["rater", "rater_id", "annotator", "annotator_id", "reviewer", "labeler", "labeller", "user"];
const TRIAL: &[&str] = &["trial"];
const YES: &[&str] = &["pass", "passed", "yes", "y", "true", "t", "good", "correct", "ok", "right", "accept", "up"];
const NO: &[&str] = &["fail", "failed", "no", "n", "false", "f", "bad", "incorrect", "wrong", "reject", "down"];

/// The ends of the scale that people used, such as 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelScale {
    /// The worst.
    pub low: f64,
    /// The best.
    pub high: f64,
}

impl Default for LabelScale {
    fn default() -> Self {
        Self { low: 0.0, high: 1.0 }
    }
}

impl std::str::FromStr for LabelScale {
    type Err = String;

    /// Reads `1-5`, `1..5` or `1:5`; a single number is the upper end of a scale from 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no scale: write the worst and the best score, such as 1-5");
        let text = text.trim();
        let split = text.split_once("..").or_else(|| text.split_once(':')).or_else(|| {
            // A minus at the start belongs to the number.
            let at = text.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
            Some((&text[..at], &text[at + 1..]))
        });
        let (low, high) = split.unwrap_or(("0", text));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(wrong);
        let (low, high) = (number(low)?, number(high)?);
        if low < high { Ok(Self { low, high }) } else { Err(wrong()) }
    }
}

/// Labels that are being read.
#[derive(Debug, Default)]
pub struct Labels {
    scale: LabelScale,
    read: Vec<HumanLabel>,
    problems: Vec<(u64, String)>,
    /// Where each (sample, trial, rater) was seen first.
    seen: BTreeMap<(String, u32, String), u64>,
}

impl Labels {
    /// Labels on this scale.
    pub fn on(scale: LabelScale) -> Self {
        Self { scale, ..Self::default() }
    }

    /// Reads the record on a line. What is wrong is kept, with the line.
    pub fn add(&mut self, line: u64, record: Record<'_>) {
        match self.read(record) {
            Ok(label) => {
                let key = (label.sample_id.clone(), label.trial, label.rater.clone());
                if let Some(first) = self.seen.insert(key, line) {
                    let (sample, rater) = (shorten(&label.sample_id), shorten(&label.rater));
                    let message = format!("`{rater}` labels `{sample}` twice; the first time on line {first}");
                    self.problems.push((line, message));
                }
                self.read.push(label);
            }
            Err(problems) => self.problems.extend(problems.into_iter().map(|problem| (line, problem))),
        }
    }

    /// The labels.
    ///
    /// # Errors
    /// Everything that was wrong, with its line.
    pub fn finish(self) -> Result<Vec<HumanLabel>, Vec<(u64, String)>> {
        if self.problems.is_empty() { Ok(self.read) } else { Err(self.problems) }
    }

    fn read(&self, record: Record<'_>) -> Result<HumanLabel, Vec<String>> {
        let fields = fields(record).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut keep = |result: Result<Option<Value>, String>| {
            result.unwrap_or_else(|problem| {
                problems.push(problem);
                None
            })
        };
        let sample = keep(take(&fields, SAMPLE, true));
        let label = keep(take(&fields, LABEL, true));
        let rater = keep(take(&fields, RATER, false));
        let trial = keep(take(&fields, TRIAL, false));
        let score = label.and_then(|label| match self.score(&label) {
            Ok(score) => Some(score),
            Err(problem) => {
                problems.push(problem);
                None
            }
        });
        let trial = match trial.as_ref().map(text) {
            None => 0,
            Some(text) => text.parse().unwrap_or_else(|_| {
                problems.push(format!("trial: `{}` is no number from 0", shorten(&text)));
                0
            }),
        };
        match (sample, score) {
            (Some(sample), Some(score)) if problems.is_empty() => Ok(HumanLabel {
                sample_id: text(&sample),
                trial,
                rater: rater.as_ref().map_or_else(|| ANYBODY.to_owned(), text),
                score,
            }),
            _ => Err(problems),
        }
    }

    fn score(&self, label: &Value) -> Result<f64, String> {
        if let Value::Bool(yes) = label {
            return Ok(f64::from(u8::from(*yes)));
        }
        let written = text(label);
        let LabelScale { low, high } = self.scale;
        if let Ok(number) = written.parse::<f64>() {
            if (low..=high).contains(&number) {
                return Ok((number - low) / (high - low));
            }
            let hint =
                if self.scale == LabelScale::default() { "; name another scale, such as --scale 1-5" } else { "" };
            return Err(format!("label: {} is not between {low} and {high}{hint}", shorten(&written)));
        }
        let word = written.to_lowercase();
        match (YES.contains(&word.as_str()), NO.contains(&word.as_str())) {
            (true, _) => Ok(1.0),
            (_, true) => Ok(0.0),
            _ => Err(format!("label: `{}` is no score and none of pass, fail, yes, no, good, bad", shorten(&written))),
        }
    }
}

fn fields(record: Record<'_>) -> Result<Map<String, Value>, String> {
    match record {
        Record::Line(line) => serde_json::from_str(line.trim_start_matches('\u{feff}')).map_err(|error| {
            format!("no JSON object: {}", error.to_string().split(" at line ").next().unwrap_or_default())
        }),
        Record::Object(Value::Object(fields)) => Ok(fields),
        Record::Object(_) => Err("no JSON object".to_owned()),
        Record::Wrong(problem) => Err(problem.to_string()),
        Record::Row(cells) => {
            let filled = cells.iter().filter(|(_, cell)| !cell.trim().is_empty());
            Ok(filled.map(|(name, cell)| ((*name).to_owned(), Value::from(cell.trim()))).collect())
        }
    }
}

/// The one field that has one of these names, in any case, with spaces or hyphens for underscores.
fn take(fields: &Map<String, Value>, names: &[&str], needed: bool) -> Result<Option<Value>, String> {
    let plain = |name: &str| name.trim().trim_start_matches('\u{feff}').to_lowercase().replace([' ', '-'], "_");
    for name in names {
        if let Some((_, value)) = fields.iter().find(|(key, value)| plain(key) == *name && !value.is_null()) {
            return Ok(Some(value.clone()));
        }
    }
    if !needed {
        return Ok(None);
    }
    let near = suggest::nearest(names[0], fields.keys().map(String::as_str));
    let near = near.map(|near| format!("; is `{}` meant?", shorten(near))).unwrap_or_default();
    Err(format!("{}: missing (or {}){near}", names[0], names[1..4].join(", ")))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scale: &str, rows: &[&[(&str, &str)]]) -> String {
        let mut labels = Labels::on(scale.parse().unwrap());
        for (line, row) in (2..).zip(rows) {
            labels.add(line, Record::Row(row));
        }
        match labels.finish() {
            Ok(labels) => labels
                .iter()
                .map(|l| format!("{}/{} {} {}", l.sample_id, l.trial, l.rater, l.score))
                .collect::<Vec<_>>()
                .join(" | "),
            Err(problems) => problems.iter().map(|(line, p)| format!("{line}: {p}")).collect::<Vec<_>>().join(" | "),
        }
    }

    #[test]
    fn headers_and_scales() {
        let check = |scale: &str, row: &[(&str, &str)], expected: &str| assert_eq!(read(scale, &[row]), expected);
        check("1", &[("sample_id", "a"), ("label", "pass"), ("rater", "ann")], "a/0 ann 1");
        check("1", &[("ID", "7"), ("Human Score", " 0.25 "), ("notes", "x")], "7/0 human 0.25");
        check("1-5", &[("\u{feff}sample", "é"), ("rating", "4"), ("annotator", ""), ("trial", "2")], "é/2 human 0.75");
        check("-1..1", &[("id", "a"), ("score", "0")], "a/0 human 0.5");
        check(
            "1",
            &[("id", "a"), ("score", "4")],
            "2: label: 4 is not between 0 and 1; name another scale, such as --scale 1-5",
        );
        check(
            "1",
            &[("id", "a"), ("score", "NaN")],
            "2: label: NaN is not between 0 and 1; name another scale, such as --scale 1-5",
        );
        check(
            "1",
            &[("id", "a"), ("label", "meh")],
            "2: label: `meh` is no score and none of pass, fail, yes, no, good, bad",
        );
        check(
            "1",
            &[("sampel_id", "a"), ("trial", "x")],
            "2: sample_id: missing (or sample, id, example_id); is `sampel_id` meant? | 2: label: missing (or score, rating, human_score) | 2: trial: `x` is no number from 0",
        );
    }

    #[test]
    fn nobody_labels_twice() {
        let row = |rater| [("id", "a"), ("label", "no"), ("rater", rater)];
        assert_eq!(read("1", &[&row("x"), &row("y")]), "a/0 x 0 | a/0 y 0");
        assert_eq!(read("1", &[&row("x"), &row("x")]), "3: `x` labels `a` twice; the first time on line 2");
    }

    #[test]
    fn scales() {
        for (text, expected) in [
            ("1-5", Some((1.0, 5.0))),
            ("10", Some((0.0, 10.0))),
            ("-5--1", Some((-5.0, -1.0))),
            ("5-1", None),
            ("x", None),
            ("1-inf", None),
        ] {
            let scale: Result<LabelScale, _> = text.parse();
            assert_eq!(scale.ok().map(|s| (s.low, s.high)), expected, "{text}");
        }
    }
}
