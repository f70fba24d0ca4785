//! Checks of a guard that cannot decide: a rate of soft failures says little while nobody looks. They are told when it goes on,
//! and so is that they look again.

use llmops_domain::alert::{AlertDraft, AlertKeys, AlertType, Severity};
use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use llmops_domain::soft_failure::SoftFailureKind;
use llmops_domain::streaks::{TOLD_AFTER, Word};
use serde_json::json;

use super::Guards;
use super::checks::Said;
use crate::alerts::AlertManager;

/// Most characters of a reason in the alert.
const MOST_CHARS: usize = 500;

/// Counts which checks could look at an answer, and tells of those that cannot, or can again.
pub(super) async fn note(guards: &Guards, project: &ProjectId, record: &RequestRecord, said: &Said) {
    let (Some(deployment), Some(environment)) = (&record.deployment, &record.environment) else { return };
    let decided = said.decided.iter().map(|kind| (*kind, None));
    let undecided = said.undecided.iter().map(|(kind, why)| (*kind, Some(why)));
    for (kind, why) in decided.chain(undecided) {
        let word = {
            let mut blind = guards.state.blind.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            blind.noted(&(project, deployment, environment, kind.as_str()), why.is_some())
        };
        let Some(word) = word else { continue };
        let alerts = AlertManager::new(guards.services.clone(), project.clone());
        let draft = draft((deployment, environment), kind, why.map_or("", String::as_str));
        let told = match word {
            Word::Failing => alerts.create(draft).await.map(drop),
            Word::Recovered => alerts.recovered(&draft).await.map(drop),
        };
        if let Err(error) = told {
            tracing::warn!(%error, "it could not be told whether a check of the guard decides");
        }
    }
}

fn draft((name, environment): (&String, &String), kind: SoftFailureKind, why: &str) -> AlertDraft {
    let why: String = why.chars().take(MOST_CHARS).collect();
    let check = kind.as_str();
    let metadata = json!({"environment": environment, "check": check});
    AlertDraft {
        kind: AlertType::Threshold,
        severity: Severity::Warning,
        message: format!(
            "{name} in {environment}: the guard's check {check} could not look at the last {TOLD_AFTER} answers, which count \
             neither as good nor as soft failures of it: {why}"
        ),
        source: "deployment".to_owned(),
        source_id: Some(name.clone()),
        metric: Some("undecided_in_a_row".to_owned()),
        threshold: Some(f64::from(TOLD_AFTER)),
        actual_value: Some(f64::from(TOLD_AFTER)),
        metadata: metadata.as_object().cloned().unwrap_or_default(),
        keys: AlertKeys::new(
            "deployment",
            &json!([name, environment]),
            &json!(["undecided", name, environment]),
            &json!(check),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use llmops_domain::alert::AlertFilter;

    use super::*;
    use crate::LlmOps;

    #[tokio::test]
    async fn checks_that_cannot_decide_are_told_and_resolved() {
        let ops = LlmOps::in_memory().await.unwrap();
        let guards = Guards::new(Arc::clone(&ops.services));
        let record: RequestRecord = serde_json::from_value(json!({"id": "req_1", "at": "2026-01-01T00:00:00Z",
            "door": "chat", "model": "sim/small", "stream": false, "deployment": "bot", "environment": "production",
            "total_ms": 1.0, "status": 200, "outcome": "ok", "attempts": [],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0}}))
        .unwrap();
        let cannot = Said {
            undecided: vec![(SoftFailureKind::Judge, "not the wanted JSON".to_owned())],
            decided: vec![SoftFailureKind::HttpCheck],
            found: Vec::new(),
        };
        let can = Said { decided: vec![SoftFailureKind::Judge], ..Said::default() };
        let alerts = async || ops.alerts().list(&AlertFilter::default()).await.unwrap();
        for _ in 1..TOLD_AFTER {
            note(&guards, ops.project(), &record, &cannot).await;
        }
        assert_eq!(alerts().await.len(), 0);
        note(&guards, ops.project(), &record, &cannot).await;
        note(&guards, ops.project(), &record, &cannot).await;
        let told = alerts().await;
        assert!(told.len() == 1 && told[0].message.contains("check judge could not look"), "{told:?}");
        note(&guards, ops.project(), &record, &can).await;
        assert!(alerts().await[0].resolved_at.is_some());
    }
}
