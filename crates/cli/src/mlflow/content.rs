//! What of a run is logged, and under which names.

use std::collections::BTreeMap;

use llmops_domain::gate::ReferenceScores;
use llmops_domain::prompt::PromptVersion;
use llmops_domain::run::{EvaluationRun, RunStatus};
use llmops_domain::scorecard;
use llmops_domain::scoring::ScorerSpec;
use serde_json::Value;

use super::{DATASET_TAG, RUN_TAG};

/// The overall score.
const OVERALL: &str = "overall_score";
/// Before the name of a category.
const CATEGORY: &str = "cat_";
/// Most bytes of a parameter that MLflow keeps.
const MAX_PARAM: usize = 6000;
/// Most bytes of a tag.
const MAX_TAG: usize = 5000;

/// A run in MLflow's terms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) name: String,
    /// Milliseconds since 1970.
    pub(super) start: i64,
    pub(super) end: i64,
    /// Whether it completed.
    pub(super) finished: bool,
    pub(super) params: BTreeMap<String, String>,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) tags: BTreeMap<String, String>,
    /// Files by name.
    pub(super) artifacts: Vec<(String, String)>,
}

impl Content {
    /// What is logged of a run that has ended.
    pub(super) fn of(run: &EvaluationRun, prompt: Option<&PromptVersion>) -> Self {
        let millis = |time: Option<jiff::Timestamp>| time.unwrap_or(run.created_at).as_millisecond();
        Self {
            name: run.name.clone(),
            start: millis(run.start_time),
            end: millis(run.end_time),
            finished: run.status == RunStatus::Completed,
            params: params(run),
            metrics: metrics(run),
            tags: tags(run),
            artifacts: artifacts(run, prompt),
        }
    }
}

fn params(run: &EvaluationRun) -> BTreeMap<String, String> {
    let manifest = &run.spec.manifest;
    let mut params: BTreeMap<String, Option<String>> = [
        ("model", Some(run.model_name.clone())),
        ("model_version", manifest.model_version.clone()),
        ("prompt_name", run.prompt_name.clone()),
        ("prompt_version", run.prompt_version.clone()),
        ("prompt_hash", manifest.prompt_hash.as_ref().map(ToString::to_string)),
        ("retriever_index_version", manifest.retriever_index_version.clone()),
        ("manifest", Some(run.spec.manifest_id.to_string())),
        ("target", Some(run.spec.target.clone())),
        ("suite", run.spec.suite.clone()),
        ("dataset", Some(run.dataset.clone())),
        ("dataset_version", Some(run.spec.dataset_version.to_string())),
        ("repeat", Some(run.spec.repeat.to_string())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Ok(Value::Object(parameters)) = serde_json::to_value(&manifest.parameters) {
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_null()) {
            params.insert(name, Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    if let Some(metric) = judge_model(run) {
        params.insert("judge_model".to_owned(), Some(metric));
    }
    let params = params.into_iter().filter_map(|(name, value)| Some((allowed(&name), cut(&value?, MAX_PARAM))));
    params.collect()
}

/// The model of the first judge.
fn judge_model(run: &EvaluationRun) -> Option<String> {
    let summary = run.results.as_ref()?.judges.values().next()?;
    summary.judges.first().cloned()
}

fn metrics(run: &EvaluationRun) -> BTreeMap<String, f64> {
    let Some(results) = &run.results else { return BTreeMap::new() };
    let mut metrics: BTreeMap<String, f64> = BTreeMap::new();
    for (name, value) in &results.metric_scores {
        metrics.insert(allowed(name), *value);
        if run.spec.scoring.metrics.get(name).is_some_and(|m| matches!(m.scorer, ScorerSpec::Hallucination(_))) {
            metrics.insert("hallucination_rate".to_owned(), 1.0 - value);
        }
    }
    if let Some(overall) = &results.overall {
        metrics.insert(OVERALL.to_owned(), overall.value);
        metrics.insert(format!("{OVERALL}_lower"), overall.lower);
        metrics.insert(format!("{OVERALL}_upper"), overall.upper);
    }
    for (name, category) in &results.categories {
        if let Some(score) = &category.score {
            metrics.insert(allowed(&format!("{CATEGORY}{name}")), score.value);
        }
    }
    metrics.insert("pass_rate".to_owned(), results.pass_rate.value);
    metrics.insert("total_examples".to_owned(), results.total_samples as f64);
    metrics.insert("errored".to_owned(), results.errored_trials as f64);
    if let Some(latency) = &results.latency {
        metrics.insert("p50_latency_ms".to_owned(), latency.p50_ms);
        metrics.insert("p95_latency_ms".to_owned(), latency.p95_ms);
    }
    let asked = run.progress.done.saturating_sub(results.spend.cached);
    if asked > 0 {
        metrics.insert("cost_per_request".to_owned(), results.spend.target_cost / asked as f64);
    }
    metrics.insert("judge_cost".to_owned(), results.spend.judge_cost);
    metrics.retain(|_, value| value.is_finite());
    metrics
}

fn tags(run: &EvaluationRun) -> BTreeMap<String, String> {
    let mut tags: BTreeMap<String, String> = [
        ("mlflow.runName", run.name.clone()),
        ("mlflow.source.name", "llmops eval".to_owned()),
        ("mlflow.source.type", "LOCAL".to_owned()),
        (RUN_TAG, run.id.to_string()),
        (DATASET_TAG, run.dataset.clone()),
        ("llmops.manifest", run.spec.manifest_id.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let known =
        [("commit", "mlflow.source.git.commit"), ("branch", "mlflow.source.git.branch"), ("author", "mlflow.user")];
    for (ours, theirs) in known {
        if let Some(value) = run.metadata.get(ours).and_then(Value::as_str) {
            tags.insert(theirs.to_owned(), value.to_owned());
        }
    }
    for (name, value) in &run.tags {
        tags.insert(allowed(name), value.clone());
    }
    tags.into_iter().map(|(name, value)| (name, cut(&value, MAX_TAG))).collect()
}

fn artifacts(run: &EvaluationRun, prompt: Option<&PromptVersion>) -> Vec<(String, String)> {
    let pretty = |value: serde_json::Result<Value>| {
        value.and_then(|value| serde_json::to_string_pretty(&value)).map(|text| text + "\n").ok()
    };
    let scores = scorecard::scores(run).and_then(|scores| pretty(serde_json::to_value(scores)));
    let files = [
        ("scores.json", scores),
        ("manifest.json", pretty(serde_json::to_value(&run.spec.manifest))),
        ("scoring.json", pretty(serde_json::to_value(&run.spec.scoring))),
        ("prompt_template.txt", prompt.map(template)),
    ];
    files.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?))).collect()
}

/// The prompt as people read it: its text, or its messages by role.
fn template(prompt: &PromptVersion) -> String {
    let body = &prompt.body;
    let mut text = String::new();
    if let Some(system) = &body.system {
        text.push_str(&format!("[system]\n{system}\n\n"));
    }
    if let Some(content) = &body.content {
        text.push_str(content);
    }
    for message in &body.messages {
        text.push_str(&format!("[{}]\n{}\n\n", message.role.as_str(), message.as_text()));
    }
    text.trim_end().to_owned() + "\n"
}

/// The scores of a run that gates can compare with.
pub(super) fn reference(source: &str, metrics: &BTreeMap<String, f64>) -> Option<ReferenceScores> {
    let in_range = |value: &f64| (0.0..=1.0).contains(value);
    let overall = metrics.get(OVERALL).copied().filter(in_range);
    let categories: BTreeMap<String, f64> = metrics
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(CATEGORY)?.to_owned(), *value)))
        .filter(|(_, value)| in_range(value))
        .collect();
    if overall.is_none() && categories.is_empty() {
        return None;
    }
    Some(ReferenceScores { source: source.to_owned(), overall, categories })
}

/// A name that MLflow takes: letters, digits, `_`, `-`, `.`, space, `:` and `/`; nothing that a folder cannot hold.
fn allowed(name: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    let name: String = name.chars().map(|c| if is_allowed(c) { c } else { '_' }).take(250).collect();
    // Nothing but dots is a folder, and nothing at all is no name.
    if name.chars().all(|c| c == '.') { format!("_{name}") } else { name }
}

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_mlflow_takes() {
        let check = |name: &str, expected: &str| assert_eq!(allowed(name), expected);
        check("factual_accuracy", "factual_accuracy");
        check("tone & style", "tone _ style");
        check("../../etc", ".._.._etc");
        check("..", "_..");
        check("größe", "gr__e");
        check("", "_");
    }

    #[test]
    fn a_reference_needs_scores_between_0_and_1() {
        let of = |metrics: &[(&str, f64)]| {
            reference("there", &metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
        };
        assert_eq!(of(&[("mean_rating", 4.2)]), None);
        assert_eq!(of(&[("overall_score", 87.0), ("cat_tone", f64::NAN)]), None);
        let found = of(&[("overall_score", 0.87), ("cat_tone", 0.9), ("rouge_l", 0.4)]).unwrap();
        assert_eq!(found.overall, Some(0.87));
        assert_eq!(found.categories, [("tone".to_owned(), 0.9)].into());
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
