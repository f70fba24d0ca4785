//! Deployments whose calls fail one after the other are told, and so is their recovery.

use llmops::LlmOps;
use llmops_domain::alert::{AlertDraft, AlertKeys, AlertType, Severity};
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallOutcome, RequestRecord};
use llmops_domain::streaks::{Streaks, TOLD_AFTER, Word};
use serde_json::{Map, json};

/// Most characters of an error in the alert.
const MOST_CHARS: usize = 500;

/// Counts a call. What says nothing of the deployment (refused requests, callers who left) ends no row.
pub(super) fn noted(streaks: &mut Streaks, project: &ProjectId, record: &RequestRecord) -> Option<Word> {
    let (Some(deployment), Some(environment)) = (&record.deployment, &record.environment) else { return None };
    if !record.outcome.counts() {
        return None;
    }
    streaks.noted(&(project, deployment, environment), record.outcome != CallOutcome::Ok)
}

/// Raises the alert, or resolves it.
pub(super) async fn tell(ops: LlmOps, record: RequestRecord, word: Word) {
    let draft = draft(&record);
    let told = match word {
        Word::Failing => ops.alerts().create(draft).await.map(drop),
        Word::Recovered => ops.alerts().recovered(&draft).await.map(drop),
    };
    if let Err(error) = told {
        tracing::warn!(%error, "it could not be told whether the calls of a deployment fail");
    }
}

fn draft(record: &RequestRecord) -> AlertDraft {
    let name = record.deployment.clone().unwrap_or_default();
    let environment = record.environment.clone().unwrap_or_default();
    let why: String = record.error.as_deref().unwrap_or("no word of why").chars().take(MOST_CHARS).collect();
    let scope = json!([name, environment]);
    let metadata = json!({"environment": environment, "manifest": record.manifest, "record": record.id});
    AlertDraft {
        kind: AlertType::Threshold,
        severity: Severity::Critical,
        message: format!("{name} in {environment}: the last {TOLD_AFTER} calls failed: {why}"),
        source: "deployment".to_owned(),
        source_id: Some(name.clone()),
        metric: Some("failures_in_a_row".to_owned()),
        threshold: Some(f64::from(TOLD_AFTER)),
        actual_value: Some(f64::from(TOLD_AFTER)),
        metadata: if let serde_json::Value::Object(fields) = metadata { fields } else { Map::new() },
        keys: AlertKeys::new("deployment", &scope, &json!(["failing", name, environment]), &json!("in_a_row")),
    }
}

#[cfg(test)]
mod tests {
    use llmops_domain::alert::AlertFilter;

    use super::*;

    fn record(outcome: &str) -> RequestRecord {
        serde_json::from_value(
            json!({"id": "req_1", "at": "2026-01-01T00:00:00Z", "door": "chat", "model": "sim/small",
            "stream": false, "deployment": "bot", "environment": "production", "total_ms": 1.0, "status": 400,
            "outcome": outcome, "attempts": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0},
            "error": "the deployment's prompt cannot be rendered: customer: it is required and has no value"}),
        )
        .unwrap()
    }

    #[test]
    fn calls_that_say_nothing_of_the_deployment_end_no_row() {
        let (mut streaks, project) = (Streaks::default(), ProjectId::default_project());
        let mut note = |outcome: &str| noted(&mut streaks, &project, &record(outcome));
        for outcome in ["unavailable", "upstream_error", "cut"].into_iter().cycle().take(9) {
            assert_eq!(note(outcome), None);
        }
        assert_eq!(note("refused"), None);
        assert_eq!(note("unavailable"), Some(Word::Failing));
        assert_eq!(note("ok"), Some(Word::Recovered));
    }

    #[tokio::test]
    async fn the_alert_names_the_cause_and_is_resolved() {
        let ops = LlmOps::in_memory().await.unwrap();
        tell(ops.clone(), record("unavailable"), Word::Failing).await;
        let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        assert!(alerts[0].message.contains("the last 10 calls failed: the deployment's prompt"), "{alerts:?}");
        tell(ops.clone(), record("ok"), Word::Recovered).await;
        let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        assert!(alerts[0].resolved_at.is_some());
    }
}
