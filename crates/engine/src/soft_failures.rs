//! What happens to answers of deployments after their callers have them: slow checks, counts of soft failures by the
//! minute, and alerts when their rate is too high or changes.

mod checks;
mod rate;
mod undecided;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use llmops_api::deployments::SoftFailureRate;
use llmops_domain::alert::{AlertDraft, AlertKeys, AlertType, Severity};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::deployment::Deployment;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallOutcome, Door, RequestRecord};
use llmops_domain::soft_failure::{GuardConfig, HttpCheck, JudgeCheck, SoftFailureKind};
use llmops_domain::streaks::Streaks;
use llmops_storage::MinuteCalls;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::alerts::AlertManager;
use crate::{Error, Services};
use rate::Finding;

/// How often counts are written and looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often rates are looked at, in intervals.
const LOOK_EVERY: u32 = 6;
/// Slow checks at a time.
const CHECKS: usize = 16;
/// Slow checks that may wait; beyond them answers go unchecked.
const WAITING_CHECKS: usize = 1024;
/// Minutes that counts are kept: five weeks.
const KEPT_MINUTES: i64 = 5 * 7 * 24 * 60;

/// The slow checks that look at one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowChecks {
    /// The endpoint, where it was drawn.
    pub http: Option<HttpCheck>,
    /// The judge, where it was drawn.
    pub judge: Option<JudgeCheck>,
}

impl SlowChecks {
    /// Which they are.
    fn kinds(&self) -> Vec<SoftFailureKind> {
        let http = self.http.as_ref().map(|_| SoftFailureKind::HttpCheck);
        http.into_iter().chain(self.judge.as_ref().map(|_| SoftFailureKind::Judge)).collect()
    }
}

/// Calls by minute, then by project, deployment and environment, in their order. Those of a record are not copied to be looked
/// up: there are thousands a second.
type Counts = BTreeMap<i64, Vec<MinuteCalls>>;

/// What all that looks at answers in this process shares.
#[derive(Clone)]
pub(crate) struct GuardState {
    /// Counts that are not in the store yet.
    counts: Arc<Mutex<Counts>>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Answers in a row that a check could not look at.
    blind: Arc<Mutex<Streaks>>,
}

impl Default for GuardState {
    fn default() -> Self {
        let (running, waiting) = (Semaphore::new(CHECKS), Semaphore::new(WAITING_CHECKS));
        Self { counts: Arc::default(), blind: Arc::default(), running: Arc::new(running), waiting: Arc::new(waiting) }
    }
}

/// Looks at answers after their callers have them. All of one process share everything.
#[derive(Clone)]
pub struct Guards {
    services: Arc<Services>,
    state: GuardState,
}

impl std::fmt::Debug for Guards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guards")
    }
}

fn minute_of(record: &RequestRecord) -> i64 {
    record.at.as_second().div_euclid(60)
}

impl Guards {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        let state = services.guard_state.clone();
        Self { services, state }
    }

    /// Counts a call of a deployment.
    pub fn count(&self, project: &ProjectId, record: &RequestRecord) {
        let (Some(deployment), Some(environment)) = (&record.deployment, &record.environment) else { return };
        // What no manifest answered, the safe mode's fixed answer, says nothing of what is deployed.
        if record.outcome != CallOutcome::Ok || record.cached || record.manifest.is_none() {
            return;
        }
        self.add(
            project,
            (deployment, environment, minute_of(record)),
            (1, u64::from(!record.soft_failures.is_empty())),
        );
    }

    /// Adds calls, and how many of them failed, to those of a deployment, an environment and a minute.
    fn add(
        &self,
        project: &ProjectId,
        (deployment, environment, minute): (&str, &str, i64),
        (calls, soft_failed): (u64, u64),
    ) {
        let mut counts = self.state.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(minute).or_default();
        let key = (project, deployment, environment);
        let found = counts.binary_search_by(|c| (&c.project, &*c.deployment, &*c.environment).cmp(&key));
        let at = found.unwrap_or_else(|place| {
            let (project, deployment, environment) = (project.clone(), deployment.to_owned(), environment.to_owned());
            counts.insert(place, MinuteCalls { project, deployment, environment, minute, calls: 0, soft_failed: 0 });
            place
        });
        counts[at].calls += calls;
        counts[at].soft_failed += soft_failed;
    }

    /// The slow checks that want to look at a call, each drawn for itself; none where none does. What has no answer is not looked
    /// at.
    pub fn drawn(&self, guard: &GuardConfig, record: &RequestRecord) -> Option<SlowChecks> {
        let is_answer =
            record.outcome == CallOutcome::Ok && record.manifest.is_some() && record.door != Door::Embeddings;
        if !is_answer || record.cached {
            return None;
        }
        let drawn = |share: f64| (self.services.clock.random() as f64) < share * u64::MAX as f64;
        let http = guard.http.as_ref().filter(|check| drawn(check.sampling)).cloned();
        let judge = guard.judge.as_ref().filter(|check| drawn(check.sampling)).cloned();
        (http.is_some() || judge.is_some()).then_some(SlowChecks { http, judge })
    }

    /// Lets the slow checks look at a call, in the background, and hands the record on. `(record, request, answer)`: what is
    /// kept of the call, the provider's request and the answer's text.
    pub fn look(
        &self,
        slow: SlowChecks,
        project: ProjectId,
        (mut record, request, answer): (RequestRecord, Bytes, String),
        then: impl FnOnce(ProjectId, RequestRecord) + Send + 'static,
    ) {
        let Ok(place) = self.state.waiting.clone().try_acquire_owned() else {
            tracing::warn!("answers come faster than the guard's slow checks look at them: this one goes unchecked");
            record.undecided = slow.kinds();
            then(project, record);
            return;
        };
        let guards = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let Ok(_running) = guards.state.running.acquire().await else { return };
            let deployment = record.deployment.clone().unwrap_or_default();
            let said = checks::run(&guards.services, &slow, (deployment.as_str(), &request, answer.as_str())).await;
            undecided::note(&guards, &project, &record, &said).await;
            let checks::Said { found, undecided, .. } = said;
            record.undecided = undecided.into_iter().map(|(kind, _)| kind).collect();
            if record.soft_failures.is_empty() && !found.is_empty() {
                // It was counted as a call already.
                let environment = record.environment.as_deref().unwrap_or_default();
                guards.add(&project, (&deployment, environment, minute_of(&record)), (0, 1));
            }
            record.soft_failures.extend(found);
            then(project, record);
        });
    }

    /// Writes the counts.
    pub async fn flush(&self) {
        let counts = std::mem::take(&mut *self.state.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return;
        }
        let counts: Vec<MinuteCalls> = counts.into_values().flatten().collect();
        if let Err(error) = self.services.store.add_calls(&counts).await {
            tracing::warn!(%error, "counts of calls wait for the store");
            for known in counts {
                let slot = (&*known.deployment, &*known.environment, known.minute);
                self.add(&known.project, slot, (known.calls, known.soft_failed));
            }
        }
    }

    /// Writes counts and looks at rates, again and again.
    pub async fn watch(self) {
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.flush().await;
            round = round.wrapping_add(1);
            if !round.is_multiple_of(LOOK_EVERY) {
                continue;
            }
            if let Err(error) = self.review().await {
                tracing::warn!(%error, "the rates of soft failures could not be looked at");
            }
        }
    }

    /// Looks at the rates of all deployments, raises alerts, and resolves those whose rate is well again.
    pub async fn review(&self) -> Result<(), Error> {
        let now = self.services.clock.now();
        let minute = now.as_second().div_euclid(60);
        self.services.store.forget_calls(minute - KEPT_MINUTES).await?;
        for (project, deployment) in self.services.store.all_deployments().await? {
            let config = &deployment.settings.guard.alert;
            let window = minutes(config.window);
            let count = async |from: i64, to: i64| {
                let (name, environment) = (&deployment.name, &deployment.environment);
                self.services.store.count_calls(&project, name, environment, from..to).await
            };
            let recent = count(minute + 1 - window, minute + 1).await?;
            if recent.0 == 0 {
                continue;
            }
            // What was usual: the six windows before.
            let before = count(minute + 1 - 7 * window, minute + 1 - window).await?;
            let alerts = AlertManager::new(self.services.clone(), project.clone());
            let is_well = |is_drift: &bool| rate::is_well(config, recent, before, *is_drift);
            let well: Vec<ContentHash> = [false, true]
                .into_iter()
                .filter(is_well)
                .map(|is_drift| keys(&deployment, is_drift).fingerprint)
                .collect();
            alerts.resolve_causes(&keys(&deployment, false).scope, &well).await?;
            if recent.0 < config.min_calls {
                continue;
            }
            let findings = rate::review(config, recent, before);
            if !findings.is_empty() {
                let drafts = findings.iter().map(|finding| draft(&deployment, finding)).collect();
                alerts.create_all(drafts).await?;
            }
        }
        Ok(())
    }

    /// The rate of a deployment's soft failures in the last `window`, with its interval.
    pub async fn rate(
        &self,
        project: &ProjectId,
        deployment: &Deployment,
        window: Option<HumanDuration>,
    ) -> Result<SoftFailureRate, Error> {
        self.flush().await;
        let window = window.unwrap_or(deployment.settings.guard.alert.window);
        let minutes = i64::try_from(window.0.as_secs().div_ceil(60)).unwrap_or(i64::MAX);
        if !(1..=KEPT_MINUTES).contains(&minutes) {
            let message = format!("window: counts are kept for 35d, by the minute: expected 1m to 35d, not {window}");
            return Err(Error::invalid(message));
        }
        let window = HumanDuration::from_secs(minutes.unsigned_abs() * 60);
        let to = self.services.clock.now().as_second().div_euclid(60) + 1;
        let (name, environment) = (&deployment.name, &deployment.environment);
        let span = to - minutes..to;
        let (calls, failed) = self.services.store.count_calls(project, name, environment, span).await?;
        Ok(rate::rate(calls, failed, window))
    }
}

/// Whole minutes of a window of alerts, at least one: of counts that are kept, six windows before are compared with it.
fn minutes(window: HumanDuration) -> i64 {
    i64::try_from(window.0.as_secs().div_ceil(60)).unwrap_or(i64::MAX).clamp(1, KEPT_MINUTES / 7)
}

fn draft(deployment: &Deployment, finding: &Finding) -> AlertDraft {
    let (name, environment) = (&deployment.name, &deployment.environment);
    let metadata = json!({"environment": environment, "calls": finding.calls, "soft_failed": finding.failed,
        "interval": finding.interval, "before": finding.before, "manifest": deployment.manifest});
    AlertDraft {
        kind: if finding.is_drift { AlertType::Anomaly } else { AlertType::Threshold },
        severity: Severity::Warning,
        message: format!("{name} in {environment}: {}", finding.message),
        source: "deployment".to_owned(),
        source_id: Some(name.clone()),
        metric: Some("soft_failure_rate".to_owned()),
        threshold: finding.threshold,
        actual_value: Some(finding.rate),
        metadata: metadata.as_object().cloned().unwrap_or_default(),
        keys: keys(deployment, finding.is_drift),
    }
}

fn keys(deployment: &Deployment, is_drift: bool) -> AlertKeys {
    let (name, environment) = (&deployment.name, &deployment.environment);
    AlertKeys::new(
        "deployment",
        &json!([name, environment]),
        &json!(["soft_failures", name, environment]),
        &json!(if is_drift { "drift" } else { "rate" }),
    )
}
