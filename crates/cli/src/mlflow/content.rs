//! What of a run is logged, and under which names.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use llmops_domain::gate::ReferenceScores;
use llmops_domain::hash::ContentHash;
use llmops_domain::prompt::PromptVersion;
use llmops_domain::run::{EvaluationRun, RunStatus};
use llmops_domain::scorecard;
use llmops_domain::scoring::ScorerSpec;
use regex::Regex;
use serde_json::Value;

use super::{DATASET_TAG, RUN_TAG};

/// The overall score.
const OVERALL: &str = "overall_score";
/// Before the name of a category.
const CATEGORY: &str = "cat_";
/// Most bytes of a name, which is a file's in a folder; MLflow takes 250 characters.
const MAX_NAME: usize = 250;
/// Digits of the hash in a name that had to be changed.
const NAME_HASH: usize = 8;
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

/// The scores of a run that gates can compare with. Metrics of the categories that are named have these names, however they
/// had to be written in MLflow; others have the names that they have there.
pub(super) fn reference<'a>(
    source: &str,
    metrics: &BTreeMap<String, f64>,
    categories: impl IntoIterator<Item = &'a str>,
) -> Option<ReferenceScores> {
    let in_range = |value: &f64| (0.0..=1.0).contains(value);
    let overall = metrics.get(OVERALL).copied().filter(in_range);
    let names: BTreeMap<String, &str> =
        categories.into_iter().map(|name| (allowed(&format!("{CATEGORY}{name}")), name)).collect();
    let category = |(metric, value): (&String, &f64)| {
        let there = metric.strip_prefix(CATEGORY)?;
        Some((names.get(metric).copied().unwrap_or(there).to_owned(), *value))
    };
    let categories: BTreeMap<String, f64> =
        metrics.iter().filter_map(category).filter(|(_, value)| in_range(value)).collect();
    if overall.is_none() && categories.is_empty() {
        return None;
    }
    Some(ReferenceScores { source: source.to_owned(), overall, categories })
}

/// A name that MLflow takes, and a folder can hold: letters and digits of any script, `_`, `-`, `.` and spaces. MLflow's own
/// `:` and `/` mean something in file systems. What had to be changed ends with a part of the name's hash, so that different
/// names stay different.
fn allowed(name: &str) -> String {
    let written: String = name.chars().map(|c| if is_word(c) || "-. ".contains(c) { c } else { '_' }).collect();
    // Nothing but dots is a folder, and nothing at all is no name.
    if written == name && name.len() <= MAX_NAME && !name.chars().all(|c| c == '.') {
        return written;
    }
    let hash = ContentHash::of_bytes(name.as_bytes());
    let end = &hash.as_str()[..NAME_HASH];
    format!("{}_{end}", cut(&written, MAX_NAME - NAME_HASH - 1))
}

/// Whether Python's `\w` has it, by which MLflow tells names. Marks such as vowel signs are none of it, though Unicode counts
/// many of them as alphabetic.
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}_]$").ok());
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    WORD.as_ref().is_some_and(|word| word.is_match(c.encode_utf8(&mut [0; 4])))
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
        let check = |name: &str, expected: &str| {
            let written = allowed(name);
            let hash = ContentHash::of_bytes(name.as_bytes());
            let shown =
                if written == name { &*written } else { written.strip_suffix(&hash.as_str()[..NAME_HASH]).unwrap() };
            assert_eq!(shown.trim_end_matches('_'), expected.trim_end_matches('_'), "{name}");
            assert!(written.len() <= MAX_NAME && !written.chars().all(|c| c == '.'), "{written}");
        };
        check("factual_accuracy", "factual_accuracy");
        check("größe", "größe");
        check("退货", "退货");
        check("tone & style", "tone _ style_");
        check("tone / style", "tone _ style_");
        check("../../etc", ".._.._etc_");
        check("..", ".._");
        check("", "_");
        // A vowel sign, a superscript that is a number, and a picture.
        check("खाता", "ख_त__");
        check("m²", "m²");
        check("🍰", "__");
        check(&"é".repeat(200), &"é".repeat(120));
    }

    #[test]
    fn categories_are_found_by_their_own_names_and_stay_apart() {
        let categories = ["desserts", "退货", "物流", "🍰", "🍕", "tone & style", "tone / style", "खाता", ".."];
        let scores = categories.iter().zip(1_u32..).map(|(name, n)| (*name, f64::from(n) / 10.0));
        let logged: BTreeMap<String, f64> =
            scores.clone().map(|(name, score)| (allowed(&format!("{CATEGORY}{name}")), score)).collect();
        assert_eq!(logged.len(), categories.len());
        let found = reference("there", &logged, categories).unwrap();
        assert_eq!(found.categories, scores.map(|(name, score)| (name.to_owned(), score)).collect());
        // What another tool logged has the name that it gave.
        let other = reference("there", &[("cat_物流".to_owned(), 0.5)].into(), ["退货"]).unwrap();
        assert_eq!(other.categories, [("物流".to_owned(), 0.5)].into());
    }

    #[test]
    fn a_reference_needs_scores_between_0_and_1() {
        let of = |metrics: &[(&str, f64)]| {
            reference("there", &metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(), [])
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
