//! What an experiment measures.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What kind of number a metric is. It decides the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// 0 or 1: solved, clicked, thumbs up.
    Binary,
    /// Any number: a score, a length.
    Continuous,
    /// A whole number from 0: messages, retries.
    Count,
    /// A rank or rating, where only the order counts.
    Ordinal,
    /// A duration with a heavy tail.
    Latency,
    /// An amount with a heavy tail.
    Cost,
    /// One metric divided by another: tokens per message.
    Ratio,
}

impl MetricKind {
    /// What is expected of a value that is none of this kind.
    pub fn refuses(self, value: f64) -> Option<&'static str> {
        match self {
            Self::Binary if !(0.0..=1.0).contains(&value) => Some("a binary metric has 0 or 1, or a share of them"),
            Self::Count if value < 0.0 || value.fract() != 0.0 => Some("a count is a whole number from 0"),
            _ => None,
        }
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Larger values are better.
    Higher,
    /// Smaller values are better.
    Lower,
}

/// A metric that may not become worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// How much worse it may be at most (the non-inferiority margin), 0 or more.
    pub margin: f64,
    /// Whether the margin is a share of the control's mean (0.02 is 2 %) and not an amount.
    #[serde(default)]
    pub relative: bool,
}

/// A metric, and how it is treated. Names are never pooled: two names are two metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExperimentMetric)]
pub struct MetricSpec {
    /// The name that observations carry.
    pub name: String,
    /// What kind of number it is. Absent: `latency` and `cost` where the name says so, else `continuous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MetricKind>,
    /// Which way is better. Absent: lower for latency and cost, else higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Values above count as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
    /// Values below count as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// Unit means above this quantile (0.5 to 1) of all units count as the quantile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winsorize: Option<f64>,
    /// Name of the pre-period metric that reduces the variance (CUPED). It is recorded like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covariate: Option<String>,
    /// For ratios: the name of the metric below the line. The metric's own values are above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<String>,
    /// For latencies: the quantile that is compared, such as 0.95. Absent: the mean or the rank test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// The metric may not become worse than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
    /// The smallest effect worth finding, in the metric's own unit: what the plan must be able to find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_effect: Option<f64>,
    /// The mean of today (of binary metrics the rate): what the plan is checked with at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// The standard deviation between units of today, which the plan is checked with at the start. Absent: that of an earlier
    /// experiment with this metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
}

impl MetricSpec {
    /// A metric by its name alone.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The kind: the declared one, else what the name says.
    pub fn kind(&self) -> MetricKind {
        let name_says = |words: &[&str]| {
            let mut parts = self.name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            parts.any(|part| words.contains(&part.as_str()))
        };
        match self.kind {
            Some(kind) => kind,
            None if self.denominator.is_some() => MetricKind::Ratio,
            None if name_says(&["latency", "duration"]) => MetricKind::Latency,
            None if name_says(&["cost"]) => MetricKind::Cost,
            None => MetricKind::Continuous,
        }
    }

    /// The direction: the declared one, else lower for latency and cost.
    pub fn direction(&self) -> Direction {
        self.direction.unwrap_or(match self.kind() {
            MetricKind::Latency | MetricKind::Cost => Direction::Lower,
            _ => Direction::Higher,
        })
    }
}

/// A metric in a file: its name, or everything about it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of the schema; reading is done by hand for the sake of the messages")]
pub(crate) enum Entry {
    /// Its name alone.
    Name(String),
    /// Everything about it.
    Full(MetricSpec),
}

struct Read(MetricSpec);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct NameOrMap;

        impl<'de> Visitor<'de> for NameOrMap {
            type Value = Read;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a metric's name, or a map with `name`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Read, E> {
                Ok(Read(MetricSpec::named(name)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read, A::Error> {
                MetricSpec::deserialize(MapAccessDeserializer::new(map)).map(Read)
            }
        }

        d.deserialize_any(NameOrMap)
    }
}

/// Reads a list of metrics of which each is a name or a map.
pub(super) fn named_or_full<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<MetricSpec>, D::Error> {
    Ok(Vec::<Read>::deserialize(d)?.into_iter().map(|read| read.0).collect())
}
