//! `llmops.yaml`: one section a file.

pub mod alerts;
mod automatic;
pub mod channels;
mod check;
pub mod datasets;
mod default;
pub mod duration;
pub mod operations;
pub mod outbound;
pub mod providers;
pub mod queue;
mod resolve;
pub mod scoring;
pub mod server;
pub mod suites;
pub mod targets;
pub mod telemetry;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gate::GateConfig;
use crate::yaml::{Document, Problem, Schema, Unset};

pub use alerts::AlertsConfig;
pub use automatic::Automatic;
pub use channels::ChannelConfig;
pub use datasets::{CategoryConfig, DatasetConfig};
pub use default::DEFAULT_YAML;
pub use operations::OperationsConfig;
pub use outbound::OutboundConfig;
pub use providers::{Price, ProviderConfig};
pub use queue::QueueConfig;
pub use resolve::{MetricFile, MetricFileKind, NothingToScore, ResolvedScoring, SuiteError};
pub use scoring::ScoringConfig;
pub use server::ServerConfig;
pub use suites::SuiteConfig;
pub use targets::TargetConfig;
pub use telemetry::TelemetryConfig;

/// Names of metrics, providers, targets, datasets and suites.
const NAME_PATTERN: &str = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$";
/// The pattern in words.
const NAME_RULE: &str = "A name has 1 to 128 letters, digits, `_`, `-` and `.`, the last two not first.";

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<Config>);

/// The whole of `llmops.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "llmops.yaml", description = "Configuration of an llmops project")]
#[serde(default)]
pub struct Config {
    /// Version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The project's name: letters, digits, `_`, `-` and `.`.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub project: String,
    /// Who answers, by name. A model is named `NAME/model` everywhere.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN, "description": NAME_RULE}))]
    pub providers: IndexMap<String, ProviderConfig>,
    /// USD per million tokens, by `provider/model`.
    pub prices: BTreeMap<String, Price>,
    /// What is evaluated, by name.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN, "description": NAME_RULE}))]
    pub targets: IndexMap<String, TargetConfig>,
    /// Files that hold samples, by name.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN, "description": NAME_RULE}))]
    pub datasets: IndexMap<String, DatasetConfig>,
    /// How answers are scored.
    pub scoring: ScoringConfig,
    /// Which target is evaluated on which dataset, by name. Absent: the only target on the only dataset.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN, "description": NAME_RULE}))]
    pub suites: IndexMap<String, SuiteConfig>,
    /// The rules a run must meet.
    pub gate: GateConfig,
    /// What the server does by itself.
    pub operations: OperationsConfig,
    /// Where llmops may send requests that users ask for.
    pub outbound: OutboundConfig,
    /// What raises alerts.
    pub alerts: AlertsConfig,
    /// Who is told of alerts, by name.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN, "description": NAME_RULE}))]
    pub channels: IndexMap<String, ChannelConfig>,
    /// Work in the background.
    pub queue: QueueConfig,
    /// How `llmops serve` is reached.
    pub server: ServerConfig,
    /// Where traces are sent.
    pub telemetry: TelemetryConfig,
    /// Environment variables that providers name and that are not set, by provider. Such a provider cannot be called.
    #[serde(skip)]
    pub unset_variables: BTreeMap<String, Vec<String>>,
    /// The same of channels. Nothing is sent to such a channel.
    #[serde(skip)]
    pub unset_channels: BTreeMap<String, Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: 1,
            project: "default".to_owned(),
            providers: IndexMap::new(),
            prices: BTreeMap::new(),
            targets: IndexMap::new(),
            datasets: IndexMap::new(),
            scoring: ScoringConfig::default(),
            suites: IndexMap::new(),
            gate: GateConfig::default(),
            operations: OperationsConfig::default(),
            outbound: OutboundConfig::default(),
            alerts: AlertsConfig::default(),
            channels: IndexMap::new(),
            queue: QueueConfig::default(),
            server: ServerConfig::default(),
            telemetry: TelemetryConfig::default(),
            unset_variables: BTreeMap::new(),
            unset_channels: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads `llmops.yaml`, expanding `${NAME}` by `env`. With the configuration come warnings: what is allowed and
    /// probably not meant.
    ///
    /// # Errors
    /// With every mistake of the file, by line. Values of environment variables are never among the texts.
    pub fn parse(
        text: &str,
        file: &str,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut document = Document::parse_with_env(text, file, &env)?;
        let unset_variables = take_unset_keys(&mut document);
        let unset_channels = take_unset_channels(&mut document);
        let may_wait = |pointer: &str| name_in("providers", pointer).or_else(|| name_in("channels", pointer)).is_some();
        let unset = document.unset.iter().filter(|unset| !may_wait(&unset.pointer));
        let mut errors: Vec<Problem> = unset.map(|unset| document.unset_problem(unset)).collect();
        let mut config: Self = match document.decode(&SCHEMA) {
            Ok(config) if errors.is_empty() => config,
            decoded => {
                errors.extend(decoded.err().into_iter().flatten());
                let others = check::beside(&document, &errors);
                errors.extend(others);
                errors.sort_by_key(|p| (p.line, p.column));
                errors.dedup();
                return Err(errors);
            }
        };
        config.unset_variables = unset_variables;
        config.unset_channels = unset_channels;
        let findings = check::check(&document, &config);
        if findings.errors.is_empty() { Ok((config, findings.warnings)) } else { Err(findings.errors) }
    }

    /// The JSON Schema of `llmops.yaml`.
    pub fn json_schema() -> &'static Value {
        SCHEMA.as_json()
    }
}

/// Variables that are not set in providers are no mistake until that provider is called: they are noted, and keys
/// made of them (or of variables that are set and empty, as CI sets secrets it withholds) are taken out.
fn take_unset_keys(document: &mut Document) -> BTreeMap<String, Vec<String>> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for unset in &document.unset {
        if let Some(name) = name_in("providers", &unset.pointer) {
            missing.entry(name).or_default().push(unset.variable.clone());
        }
    }
    for (pointer, variables) in &document.expanded {
        let is_empty = document.value.pointer(pointer).and_then(Value::as_str).is_some_and(str::is_empty);
        if let Some(name) = name_in("providers", pointer).filter(|_| is_empty && pointer.ends_with("/api_key")) {
            missing.entry(name).or_default().extend(variables.iter().cloned());
        }
    }
    for (name, variables) in &mut missing {
        variables.sort();
        variables.dedup();
        let key = document.value.get_mut("providers").and_then(|p| p.get_mut(name)).and_then(|p| p.get_mut("api_key"));
        if let Some(key) = key.filter(|key| key.as_str().is_some_and(|text| text.is_empty() || text.contains("${"))) {
            *key = Value::Null;
        }
    }
    missing
}

/// Variables that are not set in channels, or set and empty, are no mistake either: `llmops eval` does without them.
fn take_unset_channels(document: &mut Document) -> BTreeMap<String, Vec<String>> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (pointer, variables) in &document.expanded {
        let is_empty = document.value.pointer(pointer).and_then(Value::as_str).is_some_and(str::is_empty);
        if is_empty && name_in("channels", pointer).is_some() {
            let unset = |variable: &String| Unset { pointer: pointer.clone(), variable: variable.clone() };
            document.unset.extend(variables.iter().map(unset));
        }
    }
    for unset in &document.unset {
        if let Some(name) = name_in("channels", &unset.pointer) {
            missing.entry(name).or_default().push(unset.variable.clone());
        }
    }
    missing
}

/// The name below a section that a pointer goes through.
fn name_in(section: &str, pointer: &str) -> Option<String> {
    // Names hold no characters that a pointer escapes.
    let name = pointer.strip_prefix('/')?.strip_prefix(section)?.strip_prefix('/')?.split('/').next()?;
    Some(name.to_owned())
}
