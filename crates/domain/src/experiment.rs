//! Experiments: variants that share live traffic, and what is measured to tell which is best.
//!
//! An [`ExperimentSpec`] is what people write; [`ExperimentSpec::checked`] completes and checks it. An [`Experiment`] is
//! a spec with its life: `draft → running ⇄ paused → completed | cancelled` (see [`lifecycle`]).

pub mod adaptive;
pub mod assignment;
pub mod check;
pub mod choice;
pub mod condition;
pub mod file;
pub mod lifecycle;
pub mod metric;
pub mod observation;
pub mod plan;
pub mod question;
pub mod report;
pub mod result;
pub mod split;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use adaptive::{Adaptive, AdaptiveStep};
pub use check::{InvalidExperiment, SpecProblem};
pub use choice::TestChoice;
pub use metric::{Direction, Guardrail, MetricKind, MetricSpec};
pub use plan::{AnalysisPlan, Basis, Correction};
pub use question::{AskedQuestion, Question, QuestionStatus};

use crate::id::ExperimentId;

/// One of the things that are compared: a prompt and version, a model, or a whole manifest, plus parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Unique in its experiment. Absent: made from the name, else `control`, `treatment`, `variant-3` …
    #[serde(default)]
    pub id: String,
    /// A name for people; the id when absent.
    #[serde(default)]
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The prompt it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_name: Option<String>,
    /// The prompt's version or hash. Absent: the version that is active when the experiment starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// The model, as `provider/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// Id of a whole manifest, instead of prompt and model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Sampling parameters, or whatever the application reads.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub parameters: Map<String, Value>,
    /// The value of the feature flag in this variant (OpenFeature): a boolean, text, number or object. Absent: an object of
    /// prompt, model, manifest and parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Whether it is what the others are compared with. Exactly one is; absent everywhere: the first.
    #[serde(default)]
    pub is_control: bool,
}

/// Who is assigned: the same unit always sees the same variant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The user: OpenFeature's `targetingKey`, else the attribute `user`, `user_id` or `id`.
    #[default]
    User,
    /// The session: the attribute `session`, else `session_id`.
    Session,
    /// Any attribute of the context: `{attribute: organisation}`.
    Attribute(String),
}

/// Mutual exclusion: experiments of one namespace with ranges that do not overlap share no unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// The namespace's name.
    pub name: String,
    /// The part of all units that may take part: from (inclusive) and to (exclusive), between 0 and 1.
    pub range: [f64; 2],
}

impl Namespace {
    /// Whether some unit belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.name == other.name && self.range[0] < other.range[1] && other.range[0] < self.range[1]
    }
}

/// Units that take part in no experiment with this holdout, to measure what all of them together bring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Holdout {
    /// The holdout's name: experiments that name the same one leave out the same units.
    pub name: String,
    /// Share of units left out, from 0 to below 1.
    pub share: f64,
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &f64) -> bool {
    *value == 1.0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An experiment as people write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSpec {
    /// A name for people.
    pub name: String,
    /// The key that feature-flag clients ask for; the name when absent. Of experiments that are running or paused, one has
    /// it.
    #[serde(default)]
    pub key: String,
    /// What is tested and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Two or more variants, exactly one of them control.
    pub variants: Vec<Variant>,
    /// Share of each variant, by variant id: fractions that sum to 1 or percentages that sum to 100. Absent: equal shares.
    #[serde(default)]
    pub traffic_split: BTreeMap<String, f64>,
    /// Share of the units that take part, from 0 to 1. Raising it moves nobody.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub coverage: f64,
    /// Who is assigned: `user`, `session` or `{attribute: NAME}`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: Unit,
    /// Whether a unit keeps its variant when the split changes.
    #[serde(default = "yes")]
    pub sticky: bool,
    /// What the hash of a unit begins with; the experiment's id when absent. Experiments with one seed assign alike.
    #[serde(default)]
    pub seed: String,
    /// Condition on attributes that a unit must meet, such as `{"country": {"$in": ["DE", "FR"]}}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub audience: Map<String, Value>,
    /// Mutual exclusion with other experiments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Units that take part in no experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<Holdout>,
    /// What is measured: names, or names with kind, direction, caps and so on.
    #[serde(default, deserialize_with = "metric::named_or_full")]
    #[schemars(with = "Vec<metric::Entry>")]
    pub metrics: Vec<MetricSpec>,
    /// The metric that decides; the first that is no guardrail when absent.
    #[serde(default)]
    pub target_metric: Option<String>,
    /// How the results are judged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub analysis: AnalysisPlan,
    /// Lets better variants get more of the traffic while it runs; absent: the split stays as it is. The results then rest on
    /// reweighted data, and are less precise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// Anything else worth keeping.
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
}

impl Default for ExperimentSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            key: String::new(),
            description: None,
            variants: Vec::new(),
            traffic_split: BTreeMap::new(),
            coverage: 1.0,
            unit: Unit::User,
            sticky: true,
            seed: String::new(),
            audience: Map::new(),
            namespace: None,
            holdout: None,
            metrics: Vec::new(),
            target_metric: None,
            analysis: AnalysisPlan::default(),
            adaptive: None,
            metadata: BTreeMap::new(),
        }
    }
}

/// Where an experiment stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExperimentStatus {
    /// Being written; everything may change.
    #[default]
    Draft,
    /// Units are assigned.
    Running,
    /// No unit is added; those that are in keep their variant.
    Paused,
    /// Over, with a winner or without.
    Completed,
    /// Given up.
    Cancelled,
}

/// A split and coverage, and since when they hold. The position in [`Experiment::allocations`] is the *epoch*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Allocation {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Share of each variant, in the order of the variants; they sum to 1.
    pub weights: Vec<f64>,
    /// Share of the units that take part.
    pub coverage: f64,
    /// Why the shares changed by themselves; absent where a person set them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<AdaptiveStep>,
}

/// A stretch of time in which the experiment was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    /// When it was paused.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When it went on or ended; null while it lasts.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Experiment {
    /// The id.
    pub id: ExperimentId,
    /// What it is: complete and checked.
    #[serde(flatten)]
    pub spec: ExperimentSpec,
    /// Where it stands.
    pub status: ExperimentStatus,
    /// When it was first started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// When it was completed or cancelled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Id of the variant that won, once completed with one.
    pub winner: Option<String>,
    /// Every split and coverage since the start, oldest first; empty in a draft.
    #[serde(default)]
    pub allocations: Vec<Allocation>,
    /// When it was paused.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// What a reader should know: a split changed while running, a prompt that is not registered …
    #[serde(default)]
    pub notices: Vec<String>,
    /// What the one look found, once it was taken: on the basis `fixed_horizon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_look: Option<result::OneLook>,
    /// Rises with every change.
    pub revision: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl ExperimentSpec {
    /// Position of the variant with this id, else with this name.
    pub fn variant_index(&self, name: &str) -> Option<usize> {
        let by_id = self.variants.iter().position(|v| v.id == name);
        by_id.or_else(|| self.variants.iter().position(|v| v.name == name))
    }

    /// Position of the control; the first variant where none is marked.
    pub fn control_index(&self) -> usize {
        self.variants.iter().position(|v| v.is_control).unwrap_or(0)
    }

    /// The declaration of a metric.
    pub fn metric(&self, name: &str) -> Option<&MetricSpec> {
        self.metrics.iter().find(|m| m.name == name)
    }

    /// Shares in the order of the variants; equal where the split is empty.
    pub fn weights(&self) -> Vec<f64> {
        if self.traffic_split.is_empty() {
            return split::equal(self.variants.len());
        }
        self.variants.iter().map(|v| self.traffic_split.get(&v.id).copied().unwrap_or(0.0)).collect()
    }
}

impl Variant {
    /// The value of the feature flag: the declared one, else an object of what the variant names.
    pub fn flag_value(&self) -> Value {
        if let Some(value) = &self.value {
            return value.clone();
        }
        let named = [
            ("prompt_name", &self.prompt_name),
            ("prompt_version", &self.prompt_version),
            ("model_name", &self.model_name),
            ("manifest", &self.manifest),
        ];
        let mut object: Map<String, Value> =
            named.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text.clone()?.into()))).collect();
        if !self.parameters.is_empty() {
            object.insert("parameters".to_owned(), Value::Object(self.parameters.clone()));
        }
        if object.is_empty() { Value::String(self.id.clone()) } else { Value::Object(object) }
    }
}
