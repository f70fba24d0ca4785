//! Who answers behind a manifest: another model, or another `system_fingerprint`, than before is told.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use llmops::LlmOps;
use llmops_domain::alert::{AlertDraft, AlertKeys, AlertType, Severity};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{RecordFilter, RequestRecord};
use serde_json::{Map, json};

/// Answering models and fingerprints that are remembered of one manifest.
const MOST_FACES: usize = 64;
/// Manifests that are remembered.
const MOST_WATCHED: usize = 10_000;
/// Marks that are remembered.
const MOST_FAMILIAR: usize = 100_000;

/// Which models and fingerprints answered behind which manifests.
#[derive(Default)]
pub(super) struct Faces {
    /// The faces of a manifest in the order in which they were first seen.
    known: HashMap<(ProjectId, String, String), Vec<String>>,
    /// Marks of calls that had nothing new: nearly all calls do, and there are thousands a second.
    familiar: HashSet<u64>,
}

/// What tells the faces of a call apart, in one number.
fn mark(project: &ProjectId, record: &RequestRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    let manifest = record.manifest.as_ref().map(ContentHash::as_str);
    (project, manifest, &record.model, &record.model_answered, &record.fingerprint).hash(&mut hasher);
    hasher.finish()
}

/// The model that answered, as the provider names it.
fn face(record: &RequestRecord) -> Option<String> {
    let model = record.model_answered.as_deref()?;
    Some(match &record.fingerprint {
        Some(fingerprint) => format!("{model} ({fingerprint})"),
        None => model.to_owned(),
    })
}

impl Faces {
    /// The last known face and the new one, where a manifest answers with one that was not seen before. The very first one
    /// is what is known from then on.
    pub(super) fn changed(&mut self, project: &ProjectId, record: &RequestRecord) -> Option<(Option<String>, String)> {
        let manifest = record.manifest.as_ref().filter(|_| !record.cached)?;
        let mark = mark(project, record);
        if self.familiar.contains(&mark) {
            return None;
        }
        if self.familiar.len() >= MOST_FAMILIAR {
            self.familiar.clear();
        }
        self.familiar.insert(mark);
        let now = face(record)?;
        let key = (project.clone(), manifest.as_str().to_owned(), record.model.clone());
        if let Some(known) = self.known.get_mut(&key) {
            if known.contains(&now) || known.len() >= MOST_FACES {
                return None;
            }
            let before = known.last().cloned();
            known.push(now.clone());
            return Some((before, now));
        }
        if self.known.len() < MOST_WATCHED {
            self.known.insert(key, vec![now.clone()]);
        }
        // What answered before this process began stands in the records.
        Some((None, now))
    }
}

/// Channels are told of one answering model behind a manifest once in a cooldown, whatever its fingerprints, and of another
/// one at once.
fn keys(record: &RequestRecord, now: &str) -> AlertKeys {
    let manifest = record.manifest.as_ref().map(ContentHash::short);
    let scope = json!([record.deployment.as_deref().unwrap_or_default(), record.environment]);
    AlertKeys::new("deployment", &scope, &json!(["model", manifest, record.model_answered]), &json!(now))
}

/// Raises the alert, unless records know this face already.
pub(super) async fn tell(ops: LlmOps, record: RequestRecord, before: Option<String>, now: String) {
    let before = if let Some(before) = before {
        before
    } else {
        let filter = RecordFilter {
            manifest: record.manifest.as_ref().map(ToString::to_string),
            model: Some(record.model.clone()),
            cursor: Some(record.id.clone()),
            ..RecordFilter::default()
        };
        let earlier = match ops.records().list(&filter, 20).await {
            Ok(earlier) => earlier,
            Err(error) => {
                tracing::warn!(%error, "whether {now} answers a manifest for the first time could not be looked up");
                return;
            }
        };
        let mut faces = earlier.iter().filter_map(face);
        match faces.next() {
            Some(last) if last != now && !faces.any(|face| face == now) => last,
            _ => return,
        }
    };
    let deployment = record.deployment.clone().unwrap_or_default();
    let manifest = record.manifest.as_ref().map(|hash| hash.short().to_owned()).unwrap_or_default();
    let message = format!("{deployment}: the model behind the manifest {manifest} changed from {before} to {now}");
    let keys = keys(&record, &now);
    let metadata = json!({"manifest": record.manifest, "model": record.model, "before": before, "now": now,
        "record": record.id, "environment": record.environment});
    let draft = AlertDraft {
        kind: AlertType::Anomaly,
        severity: Severity::Warning,
        message,
        source: "deployment".to_owned(),
        source_id: Some(deployment),
        metric: None,
        threshold: None,
        actual_value: None,
        metadata: if let serde_json::Value::Object(fields) = metadata { fields } else { Map::new() },
        keys,
    };
    if let Err(error) = ops.alerts().create_all(vec![draft]).await {
        tracing::warn!(%error, "an alert about a changed model could not be raised");
    }
    evaluate(&ops, &record).await;
}

/// Runs the schedule that the deployment names for this case.
async fn evaluate(ops: &LlmOps, record: &RequestRecord) {
    let Some(name) = &record.deployment else { return };
    let deployment = match ops.deployments().get(name, record.environment.as_deref()).await {
        Ok(deployment) => deployment,
        Err(error) => {
            tracing::warn!(%error, "whether something runs when the model of {name} changes could not be looked up");
            return;
        }
    };
    let Some(schedule) = deployment.settings.when_model_changes else { return };
    match ops.schedules().run_now(&schedule).await {
        Ok(firing) => tracing::info!(schedule, status = ?firing.status, "runs because the model of {name} changed"),
        Err(error) => tracing::warn!(schedule, %error, "did not run when the model of {name} changed"),
    }
}

#[cfg(test)]
mod tests {
    use llmops_api::deployments::Deploy;
    use llmops_api::schedules::ScheduleSpec;
    use llmops_domain::alert::AlertFilter;
    use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, DeploymentSettings};

    use super::*;

    fn record(manifest: &str, fingerprint: &str) -> RequestRecord {
        serde_json::from_value(json!({"id": format!("req_{fingerprint}"), "at": "2026-01-01T00:00:00Z", "door": "chat",
            "model": "sim/small", "stream": false, "deployment": "bot", "environment": DEFAULT_ENVIRONMENT,
            "manifest": manifest, "total_ms": 1.0, "status": 200, "outcome": "ok", "attempts": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
            "model_answered": "small-2026", "fingerprint": fingerprint}))
        .unwrap()
    }

    #[test]
    fn another_fingerprint_is_told_once() {
        let (mut faces, project) = (Faces::default(), ProjectId::default_project());
        let manifest = "a".repeat(64);
        let mut changed = |fingerprint: &str| faces.changed(&project, &record(&manifest, fingerprint));
        assert_eq!(changed("fp_1"), Some((None, "small-2026 (fp_1)".to_owned())), "records are asked");
        assert_eq!(changed("fp_1"), None);
        assert_eq!(changed("fp_2"), Some((Some("small-2026 (fp_1)".to_owned()), "small-2026 (fp_2)".to_owned())));
        assert_eq!(changed("fp_1"), None, "both are known");
        for (before, now) in [(2, 3), (3, 4), (4, 5), (5, 6)] {
            let told = (Some(format!("small-2026 (fp_{before})")), format!("small-2026 (fp_{now})"));
            assert_eq!(changed(&format!("fp_{now}")), Some(told), "the one that came last");
        }
    }

    #[test]
    fn another_model_is_another_topic() {
        let manifest = "a".repeat(64);
        let keys = |model: &str, fingerprint: &str| {
            let record = RequestRecord { model_answered: Some(model.to_owned()), ..record(&manifest, fingerprint) };
            super::keys(&record, &face(&record).unwrap())
        };
        let (first, second, other) = (keys("m-1", "fp_1"), keys("m-1", "fp_2"), keys("m-2", "fp_1"));
        assert!(first.topic == second.topic && first.fingerprint != second.fingerprint);
        assert!(other.topic != first.topic && other.scope == first.scope);
    }

    #[tokio::test]
    async fn a_change_raises_an_alert_and_runs_the_schedule_of_the_deployment() {
        let ops = LlmOps::in_memory().await.unwrap();
        let spec: ScheduleSpec = serde_json::from_value(json!({"name": "look", "every": "24h", "paused": true,
            "task": {"kind": "rehearsal", "deployment": "bot"}}))
        .unwrap();
        let settings =
            DeploymentSettings { when_model_changes: Some("look".to_owned()), ..DeploymentSettings::default() };
        let model = Some("sim/small".to_owned());
        let deploy = Deploy { model, settings: Some(settings), ..Deploy::default() };
        let deployed = ops.deployments().deploy("bot", deploy).await.unwrap();
        ops.schedules().put(spec).await.unwrap();
        let record = record(deployed.deployment.manifest.as_str(), "fp_2");
        tell(ops.clone(), record, Some("small-2026 (fp_1)".to_owned()), "small-2026 (fp_2)".to_owned()).await;
        let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        assert!(alerts[0].message.contains("changed from small-2026 (fp_1) to small-2026 (fp_2)"), "{alerts:?}");
        assert_eq!(ops.schedules().firings("look", None, 10).await.unwrap().len(), 1);
    }
}
