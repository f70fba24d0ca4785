//! Observations of experiments: what a unit counts with.

use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::exact::ExactSum;
use llmops_stats::unit_sums::UnitValue;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_kind() {
        let cluster = |values: &[f64]| {
            let mut cluster = Cluster::default();
            values.iter().for_each(|value| cluster.add(*value));
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
