//! Alerts about experiments.

use serde_json::{Map, Value, json};

use super::{AlertDraft, AlertType, Severity};

/// An experiment as alerts name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExperimentRef<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl ExperimentRef<'_> {
    fn alert(self, severity: Severity, cause: &str, message: String, evidence: Value) -> AlertDraft {
        let mut draft = AlertDraft::new(AlertType::Experiment, severity, "experiment", message)
            .about(self.id, None)
            .keyed(Some(cause));
        draft.metadata = if let Value::Object(evidence) = evidence { evidence } else { Map::new() };
        draft.metadata.insert("experiment_name".to_owned(), self.name.into());
        draft.metadata.insert("rule".to_owned(), cause.into());
        draft
    }

    /// A variant won: `effect` is the difference of `metric` against the control with its interval.
    pub fn winner(self, variant: &str, metric: &str, effect: f64, interval: [f64; 2]) -> AlertDraft {
        let message = format!(
            "experiment {}: {variant} wins on {metric} by {effect:.4} ({:.4} to {:.4})",
            self.name, interval[0], interval[1]
        );
        let evidence = json!({"variant": variant, "effect": effect, "interval": interval});
        let mut draft = self.alert(Severity::Info, &format!("winner/{variant}"), message, evidence);
        draft.metric = Some(metric.to_owned());
        draft.measured(None, Some(effect))
    }

    /// The variants have not the shares of units that they should have: nothing can be concluded.
    pub fn sample_ratio_mismatch(self, p_value: f64, limit: f64, counts: &[(String, u64)]) -> AlertDraft {
        let shown: Vec<String> = counts.iter().map(|(variant, count)| format!("{variant} {count}")).collect();
        let message = format!(
            "experiment {}: sample ratio mismatch, p {p_value:.2e} ({}): its results cannot be trusted",
            self.name,
            shown.join(", ")
        );
        let evidence = json!({"p_value": p_value, "counts": counts});
        self.alert(Severity::Critical, "sample_ratio_mismatch", message, evidence).measured(Some(limit), Some(p_value))
    }

    /// A guardrail is broken: `actual` of `metric` in `variant` is beyond `limit`.
    pub fn guardrail(self, variant: &str, metric: &str, limit: f64, actual: f64) -> AlertDraft {
        let message = format!(
            "experiment {}: the guardrail {metric} of {variant} is broken: {actual:.4}, limit {limit:.4}",
            self.name
        );
        let cause = format!("guardrail/{metric}/{variant}");
        let mut draft = self.alert(Severity::Critical, &cause, message, json!({"variant": variant}));
        draft.metric = Some(metric.to_owned());
        draft.measured(Some(limit), Some(actual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart() {
        let experiment = ExperimentRef { id: "experiment_1", name: "tone" };
        let counts = [("control".to_owned(), 900), ("treatment".to_owned(), 100)];
        let drafts = [
            experiment.winner("treatment", "thumbs", 0.05, [0.01, 0.09]),
            experiment.sample_ratio_mismatch(1e-9, 0.001, &counts),
            experiment.guardrail("treatment", "latency", 1.25, 1.4),
            experiment.guardrail("control", "latency", 1.25, 1.4),
        ];
        for (i, one) in drafts.iter().enumerate() {
            assert!(drafts[..i].iter().all(|other| other.keys.topic != one.keys.topic), "{one:?}");
            assert_eq!(one.keys.scope, drafts[0].keys.scope);
        }
        insta::assert_snapshot!(drafts[1].message, @"experiment tone: sample ratio mismatch, p 1.00e-9 (control 900, treatment 100): its results cannot be trusted");
        let again = experiment.guardrail("control", "latency", 1.25, 1.5);
        assert_eq!(again.keys, drafts[3].keys, "other numbers, the same cause");
    }
}
