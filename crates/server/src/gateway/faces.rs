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
    known: HashMap<(ProjectId, String, String), Vec<Face>>,
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

/// Who answered, as the provider names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    model: String,
    fingerprint: Option<String>,
}

impl std::fmt::Display for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fingerprint {
            Some(fingerprint) => write!(f, "{} ({fingerprint})", self.model),
            None => f.write_str(&self.model),
        }
    }
}

impl Face {
    fn of(record: &RequestRecord) -> Option<Self> {
        Some(Self { model: record.model_answered.clone()?, fingerprint: record.fingerprint.clone() })
    }

    /// Whether it is one of those that are known. Providers leave the fingerprint out as they please, which says nothing: the
    /// same model without one is the same.
    fn is_among(&self, known: &[Self]) -> bool {
        let mut alike = known.iter().filter(|known| known.model == self.model).peekable();
        let is_there = alike.peek().is_some();
        let mut fingerprints = alike.filter_map(|known| known.fingerprint.as_ref()).peekable();
        is_there
            && match &self.fingerprint {
                Some(fingerprint) => fingerprints.peek().is_none() || fingerprints.any(|known| known == fingerprint),
                None => true,
            }
    }
}

/// What is new about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    /// The one before, where this process knows one; the records may.
    before: Option<Face>,
    now: Face,
    /// The version of the model that the manifest pins, where another one answered.
    missed: Option<String>,
}

/// The pinned version, where the name of the model that answered is that of another one. A provider that says the name that it was
/// asked by says nothing about versions.
fn missed(record: &RequestRecord, face: &Face, pinned: Option<&str>) -> Option<String> {
    let letters = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
    let pinned = pinned.filter(|pinned| !letters(pinned).is_empty())?;
    let asked = record.model.split_once('/').map_or(&*record.model, |(_, model)| model);
    let is_there = letters(&face.model).to_lowercase().contains(&letters(pinned).to_lowercase());
    (face.model != asked && !is_there).then(|| pinned.to_owned())
}

impl Faces {
    /// What is new where a manifest answers with a face that was not seen before. The very first one is what is known from then on.
    /// `pinned`: the version of the model that the manifest names.
    pub(super) fn changed(
        &mut self,
        project: &ProjectId,
        record: &RequestRecord,
        pinned: Option<&str>,
    ) -> Option<News> {
        let manifest = record.manifest.as_ref().filter(|_| !record.cached)?;
        let mark = mark(project, record);
        if self.familiar.contains(&mark) {
            return None;
        }
        if self.familiar.len() >= MOST_FAMILIAR {
            self.familiar.clear();
        }
        self.familiar.insert(mark);
        let now = Face::of(record)?;
        let missed = missed(record, &now, pinned);
        let key = (project.clone(), manifest.as_str().to_owned(), record.model.clone());
        if let Some(known) = self.known.get_mut(&key) {
            if now.is_among(known) {
                // Others are measured by the first fingerprint that was seen.
                let alike = known.iter_mut().filter(|face| face.model == now.model && face.fingerprint.is_none());
                alike.for_each(|face| face.fingerprint.clone_from(&now.fingerprint));
                return None;
            }
            if known.len() >= MOST_FACES {
                return None;
            }
            let before = known.last().cloned();
            known.push(now.clone());
            return Some(News { before, now, missed });
        }
        if self.known.len() < MOST_WATCHED {
            self.known.insert(key, vec![now.clone()]);
        }
        // What answered before this process began stands in the records.
        Some(News { before: None, now, missed })
    }
}

/// Channels are told of one answering model behind a manifest once in a cooldown, whatever its fingerprints, and of another
/// one at once.
fn keys(record: &RequestRecord, what: &str, now: &Face) -> AlertKeys {
    let manifest = record.manifest.as_ref().map(ContentHash::short);
    let scope = json!([record.deployment.as_deref().unwrap_or_default(), record.environment]);
    AlertKeys::new("deployment", &scope, &json!([what, manifest, record.model_answered]), &json!(now.to_string()))
}

/// Raises the alerts, unless records know this face already.
pub(super) async fn tell(ops: LlmOps, record: RequestRecord, news: News) {
    let News { before, now, missed } = news;
    let before = if let Some(before) = before {
        Some(before)
    } else {
        let earlier = match earlier(&ops, &record).await {
            Ok(earlier) => earlier,
            Err(error) => {
                tracing::warn!(%error, "whether {now} answers a manifest for the first time could not be looked up");
                return;
            }
        };
        if now.is_among(&earlier) {
            return;
        }
        earlier.into_iter().find(|face| face.model != now.model || face.fingerprint.is_some())
    };
    let deployment = record.deployment.clone().unwrap_or_default();
    let manifest = record.manifest.as_ref().map(|hash| hash.short().to_owned()).unwrap_or_default();
    let mut drafts = Vec::new();
    if let Some(before) = &before {
        let message = format!("{deployment}: the model behind the manifest {manifest} changed from {before} to {now}");
        drafts.push(draft(&record, message, keys(&record, "model", &now), (Some(before), &now)));
    }
    if let Some(pinned) = &missed {
        let message = format!(
            "{deployment}: the manifest {manifest} names the version {pinned} of {}, and {} answered: name the model with its \
             version, where the provider takes that",
            record.model, now.model
        );
        drafts.push(draft(&record, message, keys(&record, "model_version", &now), (None, &now)));
    }
    if drafts.is_empty() {
        return;
    }
    if let Err(error) = ops.alerts().create_all(drafts).await {
        tracing::warn!(%error, "an alert about the model behind a manifest could not be raised");
    }
    if before.is_some() {
        evaluate(&ops, &record).await;
    }
}

/// Who answered before, behind the same manifest at the same place, by the last records: the newest first.
async fn earlier(ops: &LlmOps, record: &RequestRecord) -> Result<Vec<Face>, llmops::Error> {
    let filter = RecordFilter {
        manifest: record.manifest.as_ref().map(ToString::to_string),
        model: Some(record.model.clone()),
        cursor: Some(record.id.clone()),
        ..RecordFilter::default()
    };
    let earlier = ops.records().list(&filter, 20).await?;
    Ok(earlier.iter().filter_map(Face::of).collect())
}

fn draft(
    record: &RequestRecord,
    message: String,
    keys: AlertKeys,
    (before, now): (Option<&Face>, &Face),
) -> AlertDraft {
    let metadata = json!({"manifest": record.manifest, "model": record.model, "before": before.map(ToString::to_string),
        "now": now.to_string(), "record": record.id, "environment": record.environment});
    AlertDraft {
        kind: AlertType::Anomaly,
        severity: Severity::Warning,
        message,
        source: "deployment".to_owned(),
        source_id: record.deployment.clone(),
        metric: None,
        threshold: None,
        actual_value: None,
        metadata: if let serde_json::Value::Object(fields) = metadata { fields } else { Map::new() },
        keys,
    }
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

    fn face(model: &str, fingerprint: Option<&str>) -> Face {
        Face { model: model.to_owned(), fingerprint: fingerprint.map(str::to_owned) }
    }

    fn small(fingerprint: &str) -> Face {
        face("small-2026", Some(fingerprint))
    }

    #[test]
    fn another_fingerprint_is_told_once() {
        let (mut faces, project) = (Faces::default(), ProjectId::default_project());
        let manifest = "a".repeat(64);
        let mut changed = |fingerprint: &str| faces.changed(&project, &record(&manifest, fingerprint), None);
        let news = |before: Option<Face>, now: Face| Some(News { before, now, missed: None });
        assert_eq!(changed("fp_1"), news(None, small("fp_1")), "records are asked");
        assert_eq!(changed("fp_1"), None);
        assert_eq!(changed("fp_2"), news(Some(small("fp_1")), small("fp_2")));
        assert_eq!(changed("fp_1"), None, "both are known");
        for (before, now) in [(2, 3), (3, 4), (4, 5), (5, 6)] {
            let told = news(Some(small(&format!("fp_{before}"))), small(&format!("fp_{now}")));
            assert_eq!(changed(&format!("fp_{now}")), told, "the one that came last");
        }
    }

    #[test]
    fn no_fingerprint_is_no_change() {
        let manifest = "a".repeat(64);
        let check = |seen: &[Option<&str>], expected: &[bool]| {
            let (mut faces, project) = (Faces::default(), ProjectId::default_project());
            let changed = seen.iter().map(|fingerprint| {
                let fingerprint = fingerprint.map(str::to_owned);
                let record = RequestRecord { fingerprint, ..record(&manifest, "x") };
                faces.changed(&project, &record, None).is_some_and(|news| news.before.is_some())
            });
            assert_eq!(changed.collect::<Vec<_>>(), expected, "{seen:?}");
        };
        check(&[Some("fp_1"), None, Some("fp_1")], &[false, false, false]);
        check(&[None, Some("fp_1"), None], &[false, false, false]);
        check(&[None, Some("fp_1"), Some("fp_2")], &[false, false, true]);
        check(&[Some("fp_1"), None, Some("fp_2")], &[false, false, true]);
        assert!(face("m", None).is_among(&[face("m", Some("fp_1"))]));
        assert!(!face("n", None).is_among(&[face("m", Some("fp_1"))]) && !face("m", None).is_among(&[]));
    }

    #[test]
    fn a_pinned_version_that_did_not_answer() {
        let check = |asked: &str, pinned: Option<&str>, answered: &str, expected: bool| {
            let record = RequestRecord { model: asked.to_owned(), ..record(&"a".repeat(64), "fp_1") };
            let missed = missed(&record, &face(answered, None), pinned);
            assert_eq!(missed.as_deref(), pinned.filter(|_| expected), "{asked} {pinned:?} {answered}");
        };
        check("openai/gpt", None, "gpt-2026-01-01", false);
        check("openai/gpt", Some("2026-01-01"), "gpt-2026-01-01", false);
        check("openai/gpt", Some("2024-07-18"), "gpt-2026-01-01", true);
        check("anthropic/claude", Some("2025-05-14"), "Claude-20250514", false);
        check("openai/gpt-2026-01-01", Some("2026-01-01"), "gpt-2026-01-01", false);
        check("local/gpt", Some("2026-01-01"), "gpt", false);
        check("local/gpt", Some("-"), "other", false);
    }

    #[test]
    fn another_model_is_another_topic() {
        let manifest = "a".repeat(64);
        let keys = |model: &str, fingerprint: &str| {
            let record = RequestRecord { model_answered: Some(model.to_owned()), ..record(&manifest, fingerprint) };
            super::keys(&record, "model", &Face::of(&record).unwrap())
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
        let mut news = News { before: Some(small("fp_1")), now: small("fp_2"), missed: None };
        tell(ops.clone(), record.clone(), news.clone()).await;
        let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        assert!(alerts[0].message.contains("changed from small-2026 (fp_1) to small-2026 (fp_2)"), "{alerts:?}");
        assert_eq!(ops.schedules().firings("look", None, 10).await.unwrap().len(), 1);
        // What was never another one changes nothing, and may be another than the manifest names.
        (news.before, news.missed) = (None, Some("2024-07-18".to_owned()));
        tell(ops.clone(), record, news).await;
        let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        let told = "names the version 2024-07-18 of sim/small, and small-2026 answered";
        assert!(alerts.len() == 2 && alerts.iter().any(|alert| alert.message.contains(told)), "{alerts:?}");
        assert_eq!(ops.schedules().firings("look", None, 10).await.unwrap().len(), 1);
    }
}
