//! Scorers that compare an answer with the expected one piece by piece: numbers, JSON fields; and its form.

use llmops_domain::dataset::Sample;
use llmops_domain::run::MetricScore;
use llmops_domain::scoring::ScorerSpec;
use llmops_domain::scoring::compare::{self as spec, LanguageSpec, ListMatchSpec};
use llmops_metrics::bleu::BleuCounts;
use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
use llmops_metrics::json_fields::{FieldMatch, JsonFields, JsonFieldsScore};
use llmops_metrics::language::{LanguageMatch, detect_language};
use llmops_metrics::length::{Length, LengthUnit};
use llmops_metrics::numeric_match::{NumberPosition, NumericMatch, find_number};
use serde_json::{Value, json};

use super::list::list_score;
use super::{ScoreError, shorten};
use crate::Error;

/// Wrong fields that a reason names.
const NAMED_FIELDS: usize = 10;

/// A compiled scorer of this kind.
pub(super) enum CompareScorer {
    Bleu,
    Chrf(ChrfKind),
    Numeric(NumericMatch),
    JsonFields(JsonFields),
    List(ListMatchSpec),
    /// Without languages: that of the sample's input.
    Language(Option<LanguageMatch>),
    Length(Length),
}

impl CompareScorer {
    /// Compiles the options; `None` where the scorer is of another kind.
    pub(super) fn compile(name: &str, spec: &ScorerSpec) -> Result<Option<Self>, Error> {
        Ok(Some(match spec {
            ScorerSpec::Bleu {} => Self::Bleu,
            ScorerSpec::Chrf(spec) => Self::Chrf(if spec.plus_plus { ChrfKind::ChrfPlusPlus } else { ChrfKind::Chrf }),
            ScorerSpec::NumericMatch(spec) => Self::Numeric(NumericMatch {
                position: match spec.position {
                    spec::NumberPosition::Whole => NumberPosition::Whole,
                    spec::NumberPosition::First => NumberPosition::First,
                    spec::NumberPosition::Last => NumberPosition::Last,
                },
                absolute: tolerance(name, spec.absolute)?,
                relative: tolerance(name, spec.relative)?,
            }),
            ScorerSpec::JsonFields(spec) => Self::JsonFields(JsonFields {
                wrapping: super::text::wrapping(spec.allow_fences),
                numbers: NumericMatch {
                    absolute: tolerance(name, spec.absolute)?,
                    relative: tolerance(name, spec.relative)?,
                    ..NumericMatch::default()
                },
                lenient_strings: spec.lenient_strings,
                allow_extra: spec.allow_extra,
                ignore: spec.ignore.clone(),
            }),
            ScorerSpec::ListMatch(spec) => Self::List(spec.clone()),
            ScorerSpec::Language(spec) => Self::Language(language(name, spec)?),
            ScorerSpec::Length(spec) => Self::Length(Length {
                unit: match spec.unit {
                    spec::LengthUnit::Characters => LengthUnit::Characters,
                    spec::LengthUnit::Bytes => LengthUnit::Bytes,
                    spec::LengthUnit::Words => LengthUnit::Words,
                    spec::LengthUnit::Lines => LengthUnit::Lines,
                },
                min: spec.min.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
                max: spec.max.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            }),
            _ => return Ok(None),
        }))
    }

    /// Scores an answer; `Ok(None)` where the sample has no expected output to compare with.
    pub(super) fn score(&self, name: &str, output: &str, sample: &Sample) -> Result<Option<MetricScore>, ScoreError> {
        let references = sample.expected_output.as_slice();
        Ok(match self {
            Self::Bleu => BleuCounts::new(output, references).map(|counts| plain(counts.sentence_score())),
            Self::Chrf(kind) => ChrfCounts::new(*kind, output, references).map(|counts| plain(counts.score())),
            Self::Numeric(numeric) => best(references, |reference| numeric_score(name, *numeric, output, reference))?,
            Self::JsonFields(fields) => best(references, |reference| {
                let expected: Value = serde_json::from_str(reference).map_err(|error| {
                    let message = format!("the expected output of `{}` is no JSON: {error}", sample.id);
                    ScoreError::new(format!("{name}: expected output is no JSON"), message)
                })?;
                Ok(fields_score(&fields.score(output, &expected)))
            })?,
            Self::List(list) => list_score(list, output, references),
            Self::Language(accepted) => Some(language_score(name, accepted.as_ref(), output, sample)?),
            Self::Length(length) => {
                let found = length.unit.count(output);
                let score = length.score(output);
                let unit = format!("{:?}", length.unit).to_lowercase();
                Some(MetricScore { reason: (score < 1.0).then(|| format!("{found} {unit}")), ..plain(score) })
            }
        })
    }
}

fn plain(score: f64) -> MetricScore {
    MetricScore { score, reason: None, detail: None }
}

/// A tolerance that can be used; the schema's limits do not hold for what comes over the API.
pub(super) fn tolerance(name: &str, value: f64) -> Result<f64, Error> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(Error::invalid(format!("metric `{name}`: a tolerance of {value}: expected a number of at least 0")))
    }
}

fn language(name: &str, spec: &LanguageSpec) -> Result<Option<LanguageMatch>, Error> {
    if spec.languages.is_empty() {
        return Ok(None);
    }
    let accepted = LanguageMatch::new(&spec.languages);
    accepted.map(Some).map_err(|error| Error::invalid(format!("metric `{name}`: {error}")))
}

/// The best score over the expected outputs. One that cannot be compared with counts only where none can.
fn best(
    references: &[String],
    mut score: impl FnMut(&str) -> Result<MetricScore, ScoreError>,
) -> Result<Option<MetricScore>, ScoreError> {
    let mut best: Option<MetricScore> = None;
    let mut failed = None;
    for reference in references {
        match score(reference) {
            Ok(score) if best.as_ref().is_none_or(|best| score.score > best.score) => best = Some(score),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    match (best, failed) {
        (None, Some(error)) => Err(error),
        (best, _) => Ok(best),
    }
}

fn numeric_score(name: &str, numeric: NumericMatch, output: &str, reference: &str) -> Result<MetricScore, ScoreError> {
    let whole = find_number(reference, NumberPosition::Whole);
    let expected = whole.or_else(|| find_number(reference, numeric.position)).ok_or_else(|| {
        let message = format!("the expected output `{}` holds no number", shorten(reference));
        ScoreError::new(format!("{name}: no number expected"), message)
    })?;
    let found = find_number(output, numeric.position);
    let score = numeric.score(output, expected);
    let reason = match found {
        _ if score == 1.0 => None,
        None => Some(format!("no number found, {expected} expected")),
        Some(found) => Some(format!("{found} found, {expected} expected")),
    };
    Ok(MetricScore { score, reason, detail: Some(json!({"found": found, "expected": expected})) })
}

fn fields_score(result: &JsonFieldsScore) -> MetricScore {
    let wrong: Vec<&FieldMatch> = result.fields.iter().filter(|field| !field.matches).collect();
    let path = |field: &&FieldMatch| if field.path.is_empty() { "(the whole)".to_owned() } else { field.path.clone() };
    let named: Vec<String> = wrong.iter().take(NAMED_FIELDS).map(path).collect();
    let more = wrong.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reason = (!wrong.is_empty()).then(|| format!("wrong: {}{more}", named.join(", ")));
    let detail = json!({
        "fields": result.fields.len(),
        "wrong": wrong.iter().take(NAMED_FIELDS).map(|field| json!({
            "path": field.path, "expected": field.expected, "found": field.found,
        })).collect::<Vec<_>>(),
    });
    MetricScore { score: result.score, reason, detail: Some(detail) }
}

fn language_score(
    name: &str,
    accepted: Option<&LanguageMatch>,
    output: &str,
    sample: &Sample,
) -> Result<MetricScore, ScoreError> {
    let found = detect_language(output);
    let right = if let Some(accepted) = accepted {
        accepted.score(output)
    } else {
        let asked = super::asked(sample);
        let expected = detect_language(&asked).ok_or_else(|| {
            let message = format!("the language of the input of `{}` cannot be told", sample.id);
            ScoreError::new(format!("{name}: no language in the input"), message)
        })?;
        f64::from(u8::from(found.is_some_and(|found| found.code == expected.code)))
    };
    let reason = match found {
        _ if right == 1.0 => None,
        None => Some("it has no words of which the language could be told".to_owned()),
        Some(found) => Some(format!("it is written in `{}`", found.code)),
    };
    let detail = found.map(|found| json!({"language": found.code, "confidence": found.confidence}));
    Ok(MetricScore { score: right, reason, detail })
}
