//! Draws requests that a gateway answered, after their callers have their answers, and queues them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use llmops_domain::canary::pair::{SeenAnswer, prompt_hash};
use llmops_domain::canary::{
    Arm, BodyHandling, Canary, CanaryState, PairStatus, SeenCall, ShadowPair, ShadowTexts, SkipReason, StageEvidence,
};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{CanaryId, ProjectId, ReleaseId};
use llmops_domain::record::{BodyPolicy, CallOutcome, Door, RequestRecord};
use llmops_domain::redact::redact;
use llmops_domain::release::arm_of;
use llmops_domain::soft_failure::{SoftFailure, SoftFailureKind};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::Canaries;
use crate::jobs::Job;
use crate::{Error, Services};

/// How often what was drawn is written.
const FLUSH: Duration = Duration::from_millis(100);
/// Flushes between two looks at what was spent.
const LOOK_EVERY: u32 = 10;
/// Most pairs that wait in memory for the store.
const MOST_WAITING: u64 = 2_000;
/// Pairs that are judged from memory at a time.
const FROM_MEMORY: usize = 4;
/// Most pairs that wait in memory to be judged.
const MOST_IN_MEMORY: u64 = 256;
/// Pairs written at a time.
const BATCH: usize = 200;

type Key = (ProjectId, CanaryId);

/// A pair on its way to the store.
struct Drawn {
    project: ProjectId,
    canary: Arc<Canary>,
    pair: ShadowPair,
    /// Judged from memory, and never written before.
    from_memory: bool,
}

enum Message {
    Pair(Box<Drawn>),
    /// Hears whether nothing waits for the store any more.
    Flush(oneshot::Sender<bool>),
}

/// What is counted between two flushes.
#[derive(Default)]
struct Counts {
    skipped: BTreeMap<Key, BTreeMap<SkipReason, u64>>,
    stages: BTreeMap<(ProjectId, CanaryId, u64), StageEvidence>,
    /// What users of the experiments of releases saw.
    releases: BTreeMap<(ProjectId, ReleaseId), StageEvidence>,
    /// USD spent this hour, as of the last look.
    spent: BTreeMap<CanaryId, f64>,
}

struct Inner {
    services: Arc<Services>,
    counts: Mutex<Counts>,
    /// Pairs that wait for the store.
    waiting: AtomicU64,
    /// Pairs that are judged from memory or wait for it.
    in_memory: AtomicU64,
    places: Arc<Semaphore>,
}

/// Takes over what gateways saw. Clones share the task that writes.
#[derive(Clone)]
pub struct CanarySampler {
    inner: Arc<Inner>,
    sender: mpsc::UnboundedSender<Message>,
}

impl std::fmt::Debug for CanarySampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CanarySampler").field("waiting", &self.inner.waiting).finish_non_exhaustive()
    }
}

/// What the pairs of a user have in common. The user is named as in records.
pub fn cluster_of_user(user: &str) -> String {
    cluster("user", user)
}

fn cluster(kind: &str, name: &str) -> String {
    ContentHash::of_bytes(format!("{kind}\0{name}").as_bytes()).as_str()[..32].to_owned()
}

impl CanarySampler {
    /// Starts the task that writes.
    pub(crate) fn start(services: Arc<Services>) -> Self {
        let inner = Arc::new(Inner {
            services,
            counts: Mutex::default(),
            waiting: AtomicU64::new(0),
            in_memory: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(FROM_MEMORY)),
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(inner.clone(), receiver));
        Self { inner, sender }
    }

    /// Counts a call of a user to whom a release may show its candidate. It neither waits nor asks the store.
    pub fn count(&self, project: &ProjectId, record: &RequestRecord) {
        let Some((release, is_candidate)) = record.variant.as_deref().and_then(arm_of) else { return };
        let mut counts = self.inner.counts();
        let seen = counts.releases.entry((project.clone(), release)).or_default();
        count(if is_candidate { &mut seen.candidate } else { &mut seen.production }, record);
    }

    /// Takes over a call that is over. It neither waits nor asks the store.
    pub fn offer(&self, project: &ProjectId, record: &RequestRecord, seen: SeenCall) {
        let canary = seen.canary.clone();
        if let CanaryState::Exposing { stage } = canary.state {
            self.inner.count_arm((project.clone(), canary.id.clone(), stage as u64), &canary, record);
        }
        let by_candidate = record.manifest.as_ref() == Some(&canary.candidate);
        if by_candidate || record.door == Door::Embeddings {
            return;
        }
        let hash = ContentHash::of_bytes(&seen.request);
        if !canary.draws(hash.as_str()) {
            return;
        }
        match self.inner.pair(&canary, record, seen) {
            Ok((pair, from_memory)) => {
                let count = if from_memory { &self.inner.in_memory } else { &self.inner.waiting };
                count.fetch_add(1, Ordering::Relaxed);
                let drawn = Drawn { project: project.clone(), canary, pair, from_memory };
                // The task ends with the last sampler only.
                if self.sender.send(Message::Pair(Box::new(drawn))).is_err() {
                    tracing::error!("a drawn request is lost: nobody writes any more");
                }
            }
            Err(reason) => self.inner.skip((project.clone(), canary.id.clone()), reason),
        }
    }

    /// Waits until everything that was drawn is in the store, as far as the store is there.
    pub async fn flush(&self) {
        flush(&self.sender).await;
    }

    /// Brings everything that was drawn into the store, for as long as a sampler lives.
    pub(crate) fn holder(&self) -> impl Fn() -> Option<BoxFuture<'static, bool>> + Send + Sync + use<> {
        let sender = self.sender.downgrade();
        move || {
            let sender = sender.upgrade()?;
            Some(async move { flush(&sender).await }.boxed())
        }
    }
}

async fn flush(sender: &mpsc::UnboundedSender<Message>) -> bool {
    let (done, waiting) = oneshot::channel();
    // An error means that the task is gone, and so is what it had.
    sender.send(Message::Flush(done)).is_err() || waiting.await.unwrap_or(true)
}

impl Inner {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skip(&self, key: Key, reason: SkipReason) {
        *self.counts().skipped.entry(key).or_default().entry(reason).or_default() += 1;
    }

    /// The pair that a call makes, and whether it is judged from memory; or why it makes none.
    fn pair(&self, canary: &Canary, record: &RequestRecord, seen: SeenCall) -> Result<(ShadowPair, bool), SkipReason> {
        if record.manifest.as_ref() != Some(&canary.production) {
            return Err(SkipReason::OtherManifest);
        }
        if record.outcome != CallOutcome::Ok || (seen.answer.is_empty() && !seen.calls_tools) {
            return Err(SkipReason::NoAnswer);
        }
        if record.cached {
            return Err(SkipReason::Cached);
        }
        if asks_for_several(&seen.request) {
            return Err(SkipReason::SeveralAnswers);
        }
        let texts = ShadowTexts::read(&seen.request, seen.variables, &seen.answer).ok_or(SkipReason::Unreadable)?;
        let allow = &canary.policy.allow;
        if !allow.tools && (seen.calls_tools || texts.has_tools()) {
            return Err(SkipReason::Tools);
        }
        if !allow.redacted && is_redacted(&texts) {
            return Err(SkipReason::Redacted);
        }
        let spent = self.counts().spent.get(&canary.id).copied().unwrap_or(0.0);
        if spent >= canary.policy.budget.per_hour {
            return Err(SkipReason::HourlyBudget);
        }
        // Where records may hold no texts, the queue may not either.
        let from_memory = canary.policy.bodies == BodyHandling::Hashed
            || matches!(seen.record_bodies, BodyPolicy::Hashed | BodyPolicy::None);
        let (count, most) = if from_memory { (&self.in_memory, MOST_IN_MEMORY) } else { (&self.waiting, MOST_WAITING) };
        if count.load(Ordering::Relaxed) >= most {
            return Err(SkipReason::Busy);
        }
        let soft_failures = kinds(&record.soft_failures);
        let named = |kind: &str, name: &Option<String>| name.as_ref().map(|name| cluster(kind, name));
        let pair = ShadowPair {
            id: record.id.clone(),
            at: record.at,
            cluster: named("user", &record.user)
                .or_else(|| named("session", &record.session))
                .unwrap_or_else(|| cluster("request", &record.id)),
            prompt_hash: prompt_hash(texts.question().as_bytes()),
            status: PairStatus::Waiting,
            number: None,
            production: SeenAnswer {
                model: record.model.clone(),
                latency_ms: record.total_ms,
                cost: record.cost,
                usage_estimated: record.usage_estimated,
                chars: seen.answer.chars().count() as u64,
                soft_failures,
            },
            candidate: None,
            verdict: None,
            flipped: false,
            production_score: None,
            candidate_score: None,
            reasons: Vec::new(),
            error: None,
            judge_cost: 0.0,
            texts: Some(texts),
        };
        Ok((pair, from_memory))
    }

    fn count_arm(&self, key: (ProjectId, CanaryId, u64), canary: &Canary, record: &RequestRecord) {
        let mut counts = self.counts();
        let stage = counts.stages.entry(key).or_default();
        let arm = match &record.manifest {
            Some(manifest) if *manifest == canary.candidate => &mut stage.candidate,
            Some(manifest) if *manifest == canary.production => &mut stage.production,
            _ => return,
        };
        count(arm, record);
    }
}

/// Adds a call to the arm whose users it is of.
fn count(arm: &mut Arm, record: &RequestRecord) {
    if record.outcome.is_failure() {
        arm.merge(&Arm { requests: 1, errors: 1, ..Arm::default() });
    }
    if record.outcome != CallOutcome::Ok {
        return;
    }
    arm.requests += 1;
    arm.soft_failures += u64::from(!record.soft_failures.is_empty());
    arm.latency.add(record.total_ms);
    if let Some(cost) = record.cost.filter(|_| !record.usage_estimated) {
        arm.priced += 1;
        arm.cost += cost;
        arm.cost_squares += cost * cost;
    }
}

/// The kinds of soft failures, each once.
pub(super) fn kinds<'a>(found: impl IntoIterator<Item = &'a SoftFailure>) -> Vec<SoftFailureKind> {
    let kinds: BTreeSet<SoftFailureKind> = found.into_iter().map(|failure| failure.kind).collect();
    kinds.into_iter().collect()
}

/// Whether a request wants more answers than one.
fn asks_for_several(request: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Wants {
        #[serde(default)]
        n: Option<f64>,
    }
    serde_json::from_slice::<Wants>(request).is_ok_and(|wants| wants.n.is_some_and(|n| n > 1.0))
}

/// Whether records would redact something of what the candidate would be asked: messages, variables and tools, and the
/// answer too. What cannot be written as JSON is taken for redacted.
fn is_redacted(texts: &ShadowTexts) -> bool {
    serde_json::to_string(texts).map_or(true, |text| redact(&text) != text)
}

async fn run(inner: Arc<Inner>, mut receiver: mpsc::UnboundedReceiver<Message>) {
    let mut ticks = tokio::time::interval(FLUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn: Vec<Drawn> = Vec::new();
    let mut round = 0_u32;
    loop {
        let message = tokio::select! {
            message = receiver.recv() => message,
            _ = ticks.tick() => {
                inner.write(&mut drawn).await;
                if round.is_multiple_of(LOOK_EVERY) {
                    inner.write_counts().await;
                    inner.look_at_spending().await;
                }
                round = round.wrapping_add(1);
                continue;
            }
        };
        match message {
            Some(Message::Pair(pair)) if pair.from_memory => inner.judge_from_memory(*pair),
            Some(Message::Pair(pair)) => drawn.push(*pair),
            Some(Message::Flush(done)) => {
                inner.write(&mut drawn).await;
                inner.write_counts().await;
                // Who stopped waiting does not hear it.
                let _ = done.send(drawn.is_empty());
            }
            None => break,
        }
    }
    inner.write(&mut drawn).await;
    inner.write_counts().await;
}

impl Inner {
    /// Writes what was drawn, and queues it. What the store cannot take now stays.
    async fn write(&self, drawn: &mut Vec<Drawn>) {
        while !drawn.is_empty() {
            let (project, canary) = (drawn[0].project.clone(), drawn[0].canary.id.clone());
            let same = drawn.iter().take(BATCH).take_while(|d| d.project == project && d.canary.id == canary).count();
            let pairs: Vec<ShadowPair> = drawn[..same].iter().map(|d| d.pair.clone()).collect();
            if let Err(error) = self.services.store.put_shadow_pairs(&project, &canary, &pairs).await {
                tracing::warn!(%canary, %error, "drawn requests wait for the store");
                return;
            }
            for pair in pairs {
                let job = Job::Shadow { canary: canary.clone(), pair: pair.id };
                if let Err(error) = self.services.push_job(&project, &job, None).await {
                    // It waits in the store, and waiting pairs are found.
                    tracing::warn!(%canary, %error, "a pair waits until the queue can be reached");
                }
            }
            drawn.drain(..same);
            self.waiting.fetch_sub(same as u64, Ordering::Relaxed);
        }
    }

    async fn write_counts(&self) {
        let Counts { skipped, stages, releases, .. } = {
            let mut counts = self.counts();
            let spent = counts.spent.clone();
            std::mem::replace(&mut *counts, Counts { spent, ..Counts::default() })
        };
        let store = &self.services.store;
        for ((project, canary), reasons) in skipped {
            if let Err(error) = store.skip_shadow_requests(&project, &canary, &reasons).await {
                tracing::debug!(%canary, %error, "requests that make no pair are counted later");
                let mut counts = self.counts();
                let waiting = counts.skipped.entry((project, canary)).or_default();
                for (reason, n) in reasons {
                    *waiting.entry(reason).or_default() += n;
                }
            }
        }
        for ((project, canary, stage), seen) in stages {
            if let Err(error) = store.merge_canary_stage(&project, &canary, stage, &seen).await {
                tracing::debug!(%canary, %error, "what users saw is counted later");
                self.counts().stages.entry((project, canary, stage)).or_default().merge(&seen);
            }
        }
        for ((project, release), seen) in releases {
            if let Err(error) = store.merge_release_arms(&project, &release, &seen).await {
                tracing::debug!(%release, %error, "what users saw is counted later");
                self.counts().releases.entry((project, release)).or_default().merge(&seen);
            }
        }
    }

    async fn look_at_spending(&self) {
        if let Ok(spent) = self.services.store.canary_spending(self.services.clock.now()).await {
            self.counts().spent = spent;
        }
    }

    /// Judges a pair whose texts may not be written, in this process.
    fn judge_from_memory(self: &Arc<Self>, drawn: Drawn) {
        let inner = self.clone();
        tokio::spawn(async move {
            let place = inner.places.clone().acquire_owned().await;
            let canaries = Canaries::by_itself(&inner.services, drawn.project.clone());
            let done = match place {
                Ok(_place) => canaries.settle_from_memory(&drawn.canary.id, drawn.pair).await,
                Err(_) => Err(Error::Internal("the places for pairs are gone".to_owned())),
            };
            let left_out = done.unwrap_or_else(|error| {
                let temporary = error.is_temporary();
                tracing::warn!(canary = %drawn.canary.id, temporary, %error, "a pair from memory could not be judged");
                Some(SkipReason::Busy)
            });
            if let Some(reason) = left_out {
                inner.skip((drawn.project, drawn.canary.id.clone()), reason);
            }
            inner.in_memory.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
