//! Alerts about experiments: a winner, a wrong split, a broken guardrail.

use serde_json::{Map, Value, json};

use super::{Alert, AlertDraft, AlertType, Severity};
use crate::experiment::result::{Comparison, Conclusion, ExperimentResult, GuardrailState};
use crate::hash::ContentHash;
use crate::id::AlertId;

/// A split is wrong at this p-value.
const MISMATCH: f64 = 0.001;

/// What a look at an experiment's results leads to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExperimentReview {
    /// What is new.
    pub raise: Vec<AlertDraft>,
    /// Open alerts whose cause is gone.
    pub resolve: Vec<AlertId>,
}

/// An experiment as alerts name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExperimentRef<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl ExperimentRef<'_> {
    /// What all alerts of one experiment share.
    pub fn scope(self) -> ContentHash {
        self.alert(Severity::Info, "", String::new(), Value::Null).keys.scope
    }

    /// Compares what the results say with the open alerts of the experiment: what is said already is not said again, and
    /// what does not hold any more is resolved. Without results (the experiment is over) everything is.
    pub fn review(self, results: Option<&ExperimentResult>, open: &[Alert]) -> ExperimentReview {
        let drafts = results.map(|results| self.drafts(results)).unwrap_or_default();
        // Alerts that people wrote about an experiment are theirs to resolve.
        let ours = |alert: &&Alert| alert.metadata.contains_key("rule");
        let resolve = open.iter().filter(ours).filter(|alert| {
            let lasts = |draft: &AlertDraft| draft.keys.fingerprint == alert.fingerprint;
            !drafts.iter().any(lasts)
        });
        let resolve = resolve.map(|alert| alert.id.clone()).collect();
        let is_open = |draft: &AlertDraft| open.iter().any(|alert| alert.fingerprint == draft.keys.fingerprint);
        ExperimentReview { raise: drafts.into_iter().filter(|draft| !is_open(draft)).collect(), resolve }
    }

    fn drafts(self, results: &ExperimentResult) -> Vec<AlertDraft> {
        let mut drafts = Vec::new();
        if let Some(ratio) = results.sample_ratio.as_ref().filter(|ratio| ratio.mismatch) {
            let counts: Vec<(String, u64)> = ratio.observed.iter().map(|(name, n)| (name.clone(), *n)).collect();
            drafts.push(self.sample_ratio_mismatch(ratio.p_value.min(ratio.chi_squared_p), MISMATCH, &counts));
        }
        // Data that cannot be trusted break no guardrail.
        if results.conclusion == Conclusion::Blocked {
            return drafts;
        }
        drafts.extend(self.won(results));
        for comparison in &results.comparisons {
            if let Some(rule) = comparison.guardrail.as_ref().filter(|rule| rule.state == GuardrailState::Violated) {
                drafts.push(self.guardrail(&comparison.variant, &comparison.metric, rule.margin, rule.harm));
            }
        }
        drafts
    }

    fn won(self, results: &ExperimentResult) -> Option<AlertDraft> {
        let winner = results.winner.as_deref()?;
        let mut target = results.comparisons.iter().filter(|c| c.metric == results.target_metric);
        let numbers = |c: &Comparison| Some((c.difference?, [c.interval?.low, c.interval?.high]));
        let (effect, interval) = if winner == results.control {
            // Beside the best of the others, seen from the control.
            let (effect, [low, high]) = target.next().and_then(numbers)?;
            (-effect, [-high, -low])
        } else {
            target.find(|c| c.variant == winner).and_then(numbers)?
        };
        Some(self.winner(winner, &results.target_metric, effect, interval))
    }

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

    /// A guardrail is broken: `metric` in `variant` is worse by `actual`, and at most `limit` is allowed.
    pub fn guardrail(self, variant: &str, metric: &str, limit: f64, actual: f64) -> AlertDraft {
        let message = format!(
            "experiment {}: the guardrail {metric} of {variant} is broken: worse by {actual:.4}, at most {limit:.4} is allowed",
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
