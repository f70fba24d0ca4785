//! Options of judges that a request may have wrong: the configuration's schema is not in between here.

use llmops_domain::judge::axis;
use llmops_domain::scoring::{JudgeCall, ScorerSpec};

use crate::Error;

/// Most models of a panel or debate.
const MAX_MODELS: usize = 16;
/// Most axes of a rubric.
const MAX_AXES: usize = 32;
/// Most items of a checklist.
const MAX_ITEMS: usize = 100;
/// Most rounds of a debate.
const MAX_ROUNDS: u32 = 10;
/// Most retries of a broken answer.
const MAX_RETRIES: u32 = 10;

/// Checks the options of a scorer that asks models.
///
/// # Errors
/// [`Error::Invalid`] that names the metric, the key and what was expected.
pub(crate) fn check(name: &str, scorer: &ScorerSpec) -> Result<(), Error> {
    let wrong = |key: &str, found: String, expected: &str| {
        Err(Error::invalid(format!("metric `{name}`, key `{key}`: {found}: expected {expected}")))
    };
    if let Some(rubric) = scorer.rubric() {
        let names: Vec<&str> = rubric.iter().map(|entry| axis(entry).0).collect();
        if names.is_empty() || names.len() > MAX_AXES || names.iter().any(|name| name.is_empty()) {
            return wrong("rubric", format!("{} axes", names.len()), "1 to 32 axes, each with a name");
        }
        if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return wrong("rubric", format!("`{}` is there twice", twice.1), "each axis once");
        }
    }
    if let Some(call) = call_of(scorer) {
        if !(0.0..=2.0).contains(&call.temperature) {
            return wrong("temperature", call.temperature.to_string(), "0 to 2");
        }
        if call.retries > MAX_RETRIES {
            return wrong("retries", call.retries.to_string(), "0 to 10");
        }
    }
    let models = scorer.judge_models().len();
    if matches!(scorer, ScorerSpec::Panel(_) | ScorerSpec::Debate(_)) && !(2..=MAX_MODELS).contains(&models) {
        return wrong("models", format!("{models} models"), "2 to 16");
    }
    match scorer {
        ScorerSpec::Panel(spec) if !(0.0..=1.0).contains(&spec.cutoff) => {
            wrong("cutoff", spec.cutoff.to_string(), "0 to 1")
        }
        ScorerSpec::Debate(spec) if !(1..=MAX_ROUNDS).contains(&spec.rounds) => {
            wrong("rounds", spec.rounds.to_string(), "1 to 10")
        }
        ScorerSpec::Debate(spec) if !(0.0..=1.0).contains(&spec.epsilon) => {
            wrong("epsilon", spec.epsilon.to_string(), "0 to 1")
        }
        ScorerSpec::Checklist(spec) => {
            if spec.items.is_empty() || spec.items.len() > MAX_ITEMS {
                return wrong("items", format!("{} items", spec.items.len()), "1 to 100");
            }
            let bad = spec
                .items
                .iter()
                .find(|item| item.text().trim().is_empty() || !item.weight().is_finite() || item.weight() <= 0.0);
            match bad {
                Some(item) => wrong(
                    "items",
                    format!("`{}` with weight {}", item.text(), item.weight()),
                    "a question and a weight above 0",
                ),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn call_of(scorer: &ScorerSpec) -> Option<&JudgeCall> {
    match scorer {
        ScorerSpec::Judge(spec) => Some(&spec.call),
        ScorerSpec::Checklist(spec) => Some(&spec.call),
        ScorerSpec::Pairwise(spec) => Some(&spec.call),
        ScorerSpec::Panel(spec) => Some(&spec.call),
        ScorerSpec::Debate(spec) => Some(&spec.call),
        other => other.judged_metric().map(|(_, spec)| &spec.call),
    }
}
