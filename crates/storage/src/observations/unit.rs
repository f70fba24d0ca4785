//! What a unit counts with.

use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::exact::ExactSum;
use llmops_stats::unit_sums::UnitValue;

use crate::StoreError;

/// The observations of one metric of one unit: one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cluster {
    /// How many.
    pub n: u64,
    /// Their sum.
    pub sum: ExactSum,
}

impl Cluster {
    /// Adds an observation.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum.add(value);
    }

    fn mean(&self) -> f64 {
        self.sum.mean(self.n)
    }
}

/// The value with which a unit enters the sums of a metric, from its clusters by the names of metrics: its mean; its sum for
/// counts; numerator and denominator of ratios. Nothing where it was not observed.
pub fn unit_value(metric: &MetricSpec, of: impl Fn(&str) -> Option<Cluster>) -> Option<UnitValue> {
    let own = of(&metric.name).filter(|cluster| cluster.n > 0);
    let named = |name: &Option<String>| name.as_deref().and_then(&of).filter(|cluster| cluster.n > 0);
    let (value, second) = match metric.kind() {
        MetricKind::Ratio => {
            let below = match &metric.denominator {
                Some(_) => named(&metric.denominator).map(|cluster| cluster.sum.value()),
                // Without another metric, the ratio is that of the sum to the number of observations.
                None => own.map(|cluster| cluster.n as f64),
            };
            if own.is_none() && below.is_none() {
                return None;
            }
            (own.map_or(0.0, |cluster| cluster.sum.value()), Some(below.unwrap_or(0.0)))
        }
        MetricKind::Count => (own?.sum.value(), named(&metric.covariate).map(|cluster| cluster.mean())),
        _ => (own?.mean(), named(&metric.covariate).map(|cluster| cluster.mean())),
    };
    let value = metric.cap.map_or(value, |cap| value.min(cap));
    let value = metric.floor.map_or(value, |floor| value.max(floor));
    Some(UnitValue { value, second })
}

/// A unit as it is stored: when it was first seen and its clusters, by the hashes of the metrics' names.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct UnitState {
    pub(super) first: i64,
    pub(super) clusters: Vec<(u64, Cluster)>,
}

/// Bytes of a cluster: hash, count, two words of the sum.
const CLUSTER: usize = 32;

/// FNV-1a, 64 bits: the name of a metric in the state of a unit.
pub(super) fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

impl UnitState {
    /// Whether anything was observed that counts.
    pub(super) fn is_observed(&self) -> bool {
        !self.clusters.is_empty()
    }

    pub(super) fn cluster(&self, hash: u64) -> Option<Cluster> {
        self.clusters.iter().find(|(known, _)| *known == hash).map(|(_, cluster)| *cluster)
    }

    pub(super) fn add(&mut self, hash: u64, value: f64, at: i64) {
        self.first = if self.clusters.is_empty() { at } else { self.first.min(at) };
        if let Some((_, cluster)) = self.clusters.iter_mut().find(|(known, _)| *known == hash) {
            cluster.add(value);
        } else {
            let mut cluster = Cluster::default();
            cluster.add(value);
            self.clusters.push((hash, cluster));
        }
    }

    /// Puts the value of an observation in the place of the one that it had before.
    pub(super) fn replace(&mut self, hash: u64, before: f64, value: f64) {
        if let Some((_, cluster)) = self.clusters.iter_mut().find(|(known, _)| *known == hash) {
            cluster.sum.add(-before);
            cluster.sum.add(value);
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + CLUSTER * self.clusters.len());
        bytes.extend(self.first.to_le_bytes());
        for (hash, cluster) in &self.clusters {
            let (high, low) = cluster.sum.into();
            bytes.extend(hash.to_le_bytes());
            bytes.extend(cluster.n.to_le_bytes());
            bytes.extend(high.to_le_bytes());
            bytes.extend(low.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::Corrupt("the state of a unit has no such length".to_owned());
        let word = |at: usize| -> Result<[u8; 8], StoreError> {
            bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).ok_or_else(damaged)
        };
        let first = i64::from_le_bytes(word(0)?);
        if !(bytes.len() - 8).is_multiple_of(CLUSTER) {
            return Err(damaged());
        }
        let clusters = (8..bytes.len()).step_by(CLUSTER).map(|at| {
            let sum = (f64::from_le_bytes(word(at + 16)?), f64::from_le_bytes(word(at + 24)?)).into();
            Ok((u64::from_le_bytes(word(at)?), Cluster { n: u64::from_le_bytes(word(at + 8)?), sum }))
        });
        Ok(Self { first, clusters: clusters.collect::<Result<_, StoreError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive() {
        let mut state = UnitState::default();
        state.add(name_hash("a"), 0.1, 50);
        state.add(name_hash("b"), -3.0, 20);
        state.add(name_hash("a"), 0.2, 90);
        assert_eq!((state.first, state.cluster(name_hash("a")).unwrap().n), (20, 2));
        assert_eq!(UnitState::from_bytes(&state.to_bytes()).unwrap(), state);
        assert!(UnitState::from_bytes(&[0; 9]).is_err());
    }

    #[test]
    fn values_by_kind() {
        let cluster = |values: &[f64]| {
            let mut cluster = Cluster::default();
            for value in values {
                cluster.add(*value);
            }
            cluster
        };
        let check = |metric: &str, expected: Option<(f64, Option<f64>)>| {
            let metric: MetricSpec = serde_json::from_str(metric).unwrap();
            let value = unit_value(&metric, |name| match name {
                "m" => Some(cluster(&[0.1, 0.1, 0.1])),
                "d" => Some(cluster(&[4.0, 2.0])),
                _ => None,
            });
            assert_eq!(value.map(|v| (v.value, v.second)), expected, "{}", metric.name);
        };
        check(r#"{"name": "m"}"#, Some((0.1, None)));
        check(r#"{"name": "m", "kind": "count", "cap": 0.25}"#, Some((0.25, None)));
        check(r#"{"name": "m", "covariate": "d"}"#, Some((0.1, Some(3.0))));
        check(r#"{"name": "d", "kind": "ratio"}"#, Some((6.0, Some(2.0))));
        check(r#"{"name": "x", "denominator": "d"}"#, Some((0.0, Some(6.0))));
        check(r#"{"name": "x"}"#, None);
    }
}
