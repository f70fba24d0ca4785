//! Silences: alerts that are kept and told to nobody, for a time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AlertDraft, AlertType, Severity};

/// Which alerts: those that fit everything that is named. The empty matcher fits all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// Of one of these types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<AlertType>,
    /// Of one of these severities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<Severity>,
    /// About this: `evaluation`, `experiment` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which of those: a run, an experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// About this metric or category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// About runs of this prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// About runs of this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// About runs on this dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Of this cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl Matcher {
    /// Whether it names nothing, and so fits every alert.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the alert fits.
    pub fn fits(&self, alert: &AlertDraft) -> bool {
        let said = |name: &str| alert.metadata.get(name).and_then(Value::as_str);
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        (self.types.is_empty() || self.types.contains(&alert.kind))
            && (self.severities.is_empty() || self.severities.contains(&alert.severity))
            && is(&self.source, Some(&alert.source))
            && is(&self.source_id, alert.source_id.as_deref())
            && is(&self.metric, alert.metric.as_deref())
            && is(&self.prompt, said("prompt_name"))
            && is(&self.model, said("model_name"))
            && is(&self.dataset, said("dataset"))
            && is(&self.fingerprint, Some(alert.keys.fingerprint.as_str()))
    }
}

/// Alerts that fit are kept, and no channel is told, until it ends: of those that are still open then, channels are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Silence {
    /// The id.
    pub id: String,
    /// Which alerts.
    pub matcher: Matcher,
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Timestamp,
    /// Why.
    pub comment: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl Silence {
    /// Whether it is in force and the alert fits.
    pub fn covers(&self, alert: &AlertDraft, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at && self.matcher.fits(alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_what_it_names() {
        let mut alert = AlertDraft::new(AlertType::Regression, Severity::Critical, "evaluation", "worse")
            .about("run_1", Some("tone"));
        alert.metadata.insert("prompt_name".to_owned(), "bot".into());
        let check = |matcher: serde_json::Value, expected: bool| {
            let matcher: Matcher = serde_json::from_value(matcher).unwrap();
            assert_eq!(matcher.fits(&alert), expected, "{matcher:?}");
        };
        check(serde_json::json!({}), true);
        check(serde_json::json!({"types": ["regression", "anomaly"], "severities": ["critical"]}), true);
        check(serde_json::json!({"types": ["anomaly"]}), false);
        check(serde_json::json!({"severities": ["info"]}), false);
        check(
            serde_json::json!({"source": "evaluation", "source_id": "run_1", "metric": "tone", "prompt": "bot"}),
            true,
        );
        check(serde_json::json!({"metric": "pass_rate"}), false);
        check(serde_json::json!({"model": "sim/x"}), false);
        check(serde_json::json!({"fingerprint": alert.keys.fingerprint}), true);
    }
}
