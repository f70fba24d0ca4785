//! What the configuration means: the suite to run, the scorers with their weights, the provider of a model.

use serde_json::Value;

use super::{Config, ProviderConfig, SuiteConfig};
use crate::scoring::{BaselineSpec, BertscoreSpec, DEFAULT_WEIGHTS, JudgeSpec, MetricSpec, ScorerSpec, ScoringSpec};
use crate::suggest;

/// Name of the suite that runs when none is named.
const DEFAULT_SUITE: &str = "default";

/// A suite that cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// No suite of this name.
    #[error("no suite `{name}`; {hint}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// What to write instead.
        hint: String,
    },
    /// No suite was named, and the file does not tell which one to take.
    #[error("several suites and none named `default`: name one of {0}")]
    Ambiguous(String),
    /// No suites, and not exactly one target and one dataset.
    #[error("no suite: add `suites: {{default: {{target: …, dataset: …}}}}` to the configuration")]
    None,
}

/// No metric with a weight is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no metric with a weight can be computed here: {0}")]
pub struct NothingToScore(pub String);

/// The scorers of a run and what had to be decided to get them.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedScoring {
    /// The scorers.
    pub spec: ScoringSpec,
    /// What the user should know: metrics that were left out, weights that were scaled.
    pub notices: Vec<String>,
}

/// A file that a metric names, whose content takes its place before the metric is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricFile {
    /// The metric.
    pub metric: String,
    /// The file, relative to the project folder.
    pub path: String,
    /// What it holds.
    pub kind: MetricFileKind,
}

/// What a [`MetricFile`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricFileKind {
    /// A JSON Schema.
    JsonSchema,
    /// Baselines of BERTScore.
    Baseline,
}

/// Splits `provider/model` at the first slash; none when a part is missing.
pub(super) fn split_model(model: &str) -> Option<(&str, &str)> {
    model.split_once('/').filter(|(provider, name)| !provider.trim().is_empty() && !name.trim().is_empty())
}

impl Config {
    /// The suite of a name. Without name: the suite `default`, else the only one, else the only target on the only
    /// dataset.
    ///
    /// # Errors
    /// When there is no such suite, or several and none was named.
    pub fn suite(&self, name: Option<&str>) -> Result<(String, SuiteConfig), SuiteError> {
        let name = name.unwrap_or(DEFAULT_SUITE);
        if let Some(suite) = self.suites.get(name) {
            return Ok((name.to_owned(), suite.clone()));
        }
        let names = || self.suites.keys().map(String::as_str);
        if name != DEFAULT_SUITE {
            let hint = match names().next() {
                Some(_) => suggest::hint(name, names()),
                None => {
                    "the configuration has no suites: without a name, its only target and dataset are taken".to_owned()
                }
            };
            return Err(SuiteError::Unknown { name: name.to_owned(), hint });
        }
        match (self.suites.len(), self.targets.len(), self.datasets.len()) {
            (1, _, _) => {}
            (0, 1, 1) => {
                let (target, dataset) = (self.targets.keys().next(), self.datasets.keys().next());
                let (target, dataset) = (target.cloned().unwrap_or_default(), dataset.cloned().unwrap_or_default());
                let suite = SuiteConfig { target, dataset, repeat: 1, limit: None, schedule: None, timezone: None };
                return Ok((DEFAULT_SUITE.to_owned(), suite));
            }
            (0, _, _) => return Err(SuiteError::None),
            _ => return Err(SuiteError::Ambiguous(names().collect::<Vec<_>>().join(", "))),
        }
        self.suites.iter().next().map(|(name, suite)| (name.clone(), suite.clone())).ok_or(SuiteError::None)
    }

    /// The scorers of a run. Without `metrics`, the default ones; where these have no judge, the other weights are scaled
    /// to sum to 1.
    ///
    /// # Errors
    /// When no metric has a weight.
    pub fn scoring_spec(&self) -> Result<ResolvedScoring, NothingToScore> {
        let mut notices = Vec::new();
        let mut metrics = if self.scoring.metrics.is_empty() {
            notices.push(
                "no metrics are configured: the defaults are bertscore 0.30, rouge_l 0.20, judge 0.50".to_owned(),
            );
            self.default_metrics(&mut notices)
        } else {
            self.scoring.metrics.clone()
        };
        metrics.retain(|name, metric| {
            let keep = self.operations.enable_debate_evaluation || metric.scorer.kind() != "debate";
            if !keep {
                notices.push(format!("`{name}` is left out: operations.enable_debate_evaluation is false"));
            }
            keep
        });
        let sum: f64 = metrics.values().filter_map(|metric| metric.weight).sum();
        if sum <= 0.0 {
            return Err(NothingToScore(notices.join("; ")));
        }
        if (sum - 1.0).abs() > 1e-9 {
            for metric in metrics.values_mut() {
                metric.weight = metric.weight.map(|weight| weight / sum);
            }
            let weights = metrics.iter().filter_map(|(name, m)| Some(format!("{name} {:.3}", m.weight?)));
            let weights: Vec<String> = weights.collect();
            notices.push(format!("the weights left were scaled to sum to 1: {}", weights.join(", ")));
        }
        let scoring = &self.scoring;
        let spec = ScoringSpec {
            metrics,
            pass_threshold: scoring.pass_threshold,
            max_error_rate: scoring.max_error_rate,
            max_judge_cost: scoring.max_judge_cost,
        };
        Ok(ResolvedScoring { spec, notices })
    }

    fn default_metrics(&self, notices: &mut Vec<String>) -> indexmap::IndexMap<String, MetricSpec> {
        let judge = self.scoring.judge_model.clone().or_else(|| {
            let simulator = |provider: &ProviderConfig| matches!(provider, ProviderConfig::Simulator(_));
            let (name, _) = self.providers.iter().find(|(_, provider)| simulator(provider))?;
            Some(format!("{name}/judge"))
        });
        let mut metrics = indexmap::IndexMap::new();
        for (name, weight) in DEFAULT_WEIGHTS {
            let scorer = match (name, &judge) {
                ("bertscore", _) => ScorerSpec::Bertscore(BertscoreSpec::default()),
                ("rouge_l", _) => ScorerSpec::RougeL { stem: false },
                (_, Some(model)) => ScorerSpec::Judge(JudgeSpec::with_model(model)),
                (_, None) => {
                    notices.push("`judge` is left out: name its model in `scoring.judge_model`".to_owned());
                    continue;
                }
            };
            metrics.insert(name.to_owned(), MetricSpec { weight: Some(weight), threshold: None, scorer });
        }
        metrics
    }

    /// The files that metrics name, for the caller to read.
    pub fn metric_files(&self) -> Vec<MetricFile> {
        let files = self.scoring.metrics.iter().filter_map(|(metric, spec)| {
            let (path, kind) = match &spec.scorer {
                ScorerSpec::JsonSchema { schema: Value::String(path), .. } => (path, MetricFileKind::JsonSchema),
                ScorerSpec::Bertscore(BertscoreSpec { baseline: Some(BaselineSpec::File(path)), .. }) => {
                    (path, MetricFileKind::Baseline)
                }
                _ => return None,
            };
            Some(MetricFile { metric: metric.clone(), path: path.clone(), kind })
        });
        files.collect()
    }

    /// Puts baselines, one row of precision, recall and F1 for each layer, in the place of the file's path.
    pub fn set_baseline(&mut self, metric: &str, layers: Vec<[f64; 3]>) {
        if let Some(MetricSpec { scorer: ScorerSpec::Bertscore(spec), .. }) = self.scoring.metrics.get_mut(metric) {
            spec.baseline = Some(BaselineSpec::Layers(layers));
        }
    }

    /// Puts the content of a schema file in the place of its path.
    ///
    /// # Errors
    /// With the reason when the content is no JSON Schema.
    pub fn set_schema(&mut self, metric: &str, content: Value) -> Result<(), String> {
        compile_schema(&content)?;
        if let Some(MetricSpec { scorer: ScorerSpec::JsonSchema { schema, .. }, .. }) =
            self.scoring.metrics.get_mut(metric)
        {
            *schema = content;
        }
        Ok(())
    }
}

/// Whether a value is a JSON Schema that can be used.
pub(super) fn compile_schema(schema: &Value) -> Result<(), String> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err("a JSON Schema is a map".to_owned());
    }
    jsonschema::validator_for(schema).map(|_| ()).map_err(|error| error.to_string())
}
