//! The `scoring` section: metrics, weights, thresholds.

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::scoring::{DEFAULT_MAX_ERROR_RATE, DEFAULT_PASS_THRESHOLD, MetricSpec};

/// How answers are scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScoringConfig {
    /// Metrics by name. The weights sum to 1; a metric without weight is reported only. Absent: bertscore 0.30,
    /// rouge_l 0.20, judge 0.50.
    #[serde(deserialize_with = "metrics", skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(schema_with = "metrics_schema")]
    pub metrics: IndexMap<String, MetricSpec>,
    /// What a trial must reach in every metric with a weight to pass, where the metric has no `threshold` of its own.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub pass_threshold: f64,
    /// Share of (sample, trial) pairs that may error before the run is failed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_error_rate: f64,
    /// USD that judges may spend in a run. Absent: no limit.
    #[schemars(range(min = 0.0))]
    pub max_judge_cost: Option<f64>,
    /// Model of the judge when `metrics` is absent, as `provider/model`. Absent: a simulator's `judge`, where one is
    /// configured.
    pub judge_model: Option<String>,
    /// Megabytes on disk for embeddings of expected outputs, which BERTScore and embedding similarity use again from run
    /// to run; 0 keeps none.
    pub embedding_cache_mb: u64,
}

impl Default for ScoringConfig {
    fn default() -> Self {
        Self {
            metrics: IndexMap::new(),
            pass_threshold: DEFAULT_PASS_THRESHOLD,
            max_error_rate: DEFAULT_MAX_ERROR_RATE,
            max_judge_cost: None,
            judge_model: None,
            embedding_cache_mb: 1024,
        }
    }
}

/// Reads metrics; one without `kind` is of the kind of its name.
fn metrics<'de, D: Deserializer<'de>>(d: D) -> Result<IndexMap<String, MetricSpec>, D::Error> {
    IndexMap::<String, Map<String, Value>>::deserialize(d)?
        .into_iter()
        .map(|(name, mut options)| {
            options.entry("kind").or_insert_with(|| Value::String(name.clone()));
            let metric = MetricSpec::deserialize(Value::Object(options))
                .map_err(|error| serde::de::Error::custom(format!("{name}: {error}")))?;
            Ok((name, metric))
        })
        .collect()
}

/// Metrics with a scorer's name are that scorer and may leave `kind` out; other names need it.
fn metrics_schema(generator: &mut SchemaGenerator) -> Schema {
    let any_kind = generator.subschema_for::<MetricSpec>();
    let root = schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<MetricSpec>();
    let strict = crate::yaml::strict(root.to_value());
    let branches = strict.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties: Map<String, Value> = branches.into_iter().filter_map(optional_kind).collect();
    schemars::json_schema!({
        "type": "object",
        "properties": properties,
        "additionalProperties": any_kind,
        "propertyNames": {"pattern": super::NAME_PATTERN, "description": super::NAME_RULE},
    })
}

/// A scorer's branch with its name, `kind` no longer required.
fn optional_kind(mut branch: Value) -> Option<(String, Value)> {
    let name = branch.pointer("/properties/kind/const")?.as_str()?.to_owned();
    if let Some(required) = branch.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|key| key != "kind");
    }
    if branch.get("required") == Some(&json!([])) {
        branch.as_object_mut()?.remove("required");
    }
    Some((name, branch))
}
