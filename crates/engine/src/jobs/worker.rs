//! Workers: take jobs and do them, find runs that nobody works on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::{Job, Queue, QueueError, TakenJob};
use crate::canary::Canaries;
use crate::evaluator::Joined;
use crate::schedules::{Fired, TURN};
use crate::telemetry::{Span, SpanId, SpanKind, TraceContext};
use crate::{Error, LlmOps};

/// Failures in a row after which a run that cannot be worked on anywhere is failed: about two minutes.
const GIVE_UP_AFTER: u32 = 10;
/// First pause after a failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often feedback is looked after.
const TEND_EVERY: Duration = Duration::from_secs(2);

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Jobs at a time, at least 1. A run that is worked on here takes the place of one.
    pub concurrency: usize,
    /// How often an idle worker looks for jobs that other processes queued.
    pub poll: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { concurrency: 4, poll: Duration::from_millis(250) }
    }
}

/// A worker that runs in this process until it is stopped.
#[derive(Debug)]
pub struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Takes no more jobs, lets answers on their way reach the disk, gives unfinished runs back to other workers, and returns
    /// when that is done, at the latest after `patience`. What is cut off then is taken over when its lease ends.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            tracing::warn!("the worker did not end in time: its runs go on elsewhere when their leases end");
            self.task.abort();
        }
    }
}

impl LlmOps {
    /// Starts to work on queued jobs of all projects. Without a queue in the [`Options`](crate::Options) there is nothing to do.
    pub fn start_worker(&self, options: WorkerOptions) -> Worker {
        let (stop, stopped) = watch::channel(false);
        let shared = Shared { ops: self.clone(), options, stopped };
        Worker { stop, task: tokio::spawn(work(Arc::new(shared))) }
    }

    /// Queues running runs that nobody works on: after a crash of everything, or a loss of the queue. Answers with their number.
    pub async fn recover_runs(&self) -> Result<usize, Error> {
        let services = &self.services;
        let orphans = services.store.orphaned_runs(services.clock.now()).await?;
        for (project, run) in &orphans {
            services.push_job(project, &Job::Run { run: run.clone() }, None).await?;
        }
        Ok(orphans.len())
    }
}

struct Shared {
    ops: LlmOps,
    options: WorkerOptions,
    stopped: watch::Receiver<bool>,
}

/// What becomes of a job that was taken.
enum Next {
    /// It is done.
    Done,
    /// It is to be taken again, after a while.
    Again(Duration),
}

impl Shared {
    /// Sleeps, unless the worker is stopped meanwhile.
    async fn pause(&self, time: Duration) {
        let mut stopped = self.stopped.clone();
        // The sender lives as long as the worker.
        let _ = tokio::time::timeout(time, stopped.wait_for(|stop| *stop)).await;
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }
}

async fn work(shared: Arc<Shared>) {
    let Some(queue) = shared.ops.services.options.queue.clone() else { return };
    let recovery = tokio::spawn(recover(shared.clone()));
    let schedules = tokio::spawn(tick(shared.clone()));
    let feedback = tokio::spawn(tend_feedback(shared.clone()));
    let canaries = tokio::spawn(look_after_candidates(shared.clone()));
    let mut jobs = JoinSet::new();
    take_jobs(&shared, &queue, &mut jobs).await;
    while jobs.join_next().await.is_some() {}
    shared.ops.evaluator().leave_runs().await;
    // They look whether the worker was stopped. What one of them has begun, such as a decision and its alert, it ends.
    for watching in [recovery, schedules, feedback, canaries] {
        if let Err(error) = watching.await {
            tracing::error!(%error, "a task of the worker broke off");
        }
    }
}

async fn take_jobs(shared: &Arc<Shared>, queue: &Arc<dyn Queue>, jobs: &mut JoinSet<()>) {
    let services = &shared.ops.services;
    let places = Arc::new(Semaphore::new(shared.options.concurrency.max(1)));
    let mut stopped = shared.stopped.clone();
    let mut pause = FIRST_PAUSE;
    loop {
        let place = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            place = places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        while jobs.try_join_next().is_some() {}
        match queue.take(&services.owner, services.options.lease, services.clock.now()).await {
            Ok(Some(job)) => {
                pause = FIRST_PAUSE;
                jobs.spawn(handle(shared.clone(), queue.clone(), job, place));
            }
            Ok(None) => {
                pause = FIRST_PAUSE;
                drop(place);
                tokio::select! {
                    () = shared.pause(shared.options.poll) => {}
                    () = services.job_pushed.notified() => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no jobs can be taken");
                drop(place);
                shared.pause(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Does a job, keeps it meanwhile, and tells the queue what became of it. What cannot be told is told by the lease's end.
async fn handle(shared: Arc<Shared>, queue: Arc<dyn Queue>, job: TakenJob, place: OwnedSemaphorePermit) {
    let services = &shared.ops.services;
    let started = services.clock.now();
    let next = tokio::select! {
        next = perform(&shared, &job, place) => next,
        () = keep(&shared, &queue, &job) => {
            tracing::warn!(job = job.name, "the job was given to another worker");
            return;
        }
    };
    trace(&shared, &job, started, next.as_ref().err());
    let after = |pause: Duration| services.clock.now().checked_add(pause).unwrap_or(jiff::Timestamp::MAX);
    let told = match next {
        Ok(Next::Done) => queue.finish(&job).await,
        Ok(Next::Again(pause)) => queue.put_back(&job, after(pause), None).await,
        Err(error) => {
            tracing::warn!(job = job.name, failures = job.failures + 1, %error, "the job failed and is tried again");
            queue.put_back(&job, after(backoff(job.failures)), Some(&error.to_string())).await
        }
    };
    if let Err(error) = told {
        tracing::warn!(job = job.name, %error, "the queue could not be told what became of a job");
    }
}

/// Tells of a job that was taken.
fn trace(shared: &Shared, job: &TakenJob, start: jiff::Timestamp, failure: Option<&Error>) {
    let (services, kind) = (&shared.ops.services, job.name.split('/').next().unwrap_or_default());
    services.options.telemetry.record(Span {
        context: TraceContext::of(&format!("{} {}", job.name, job.attempt)),
        id: SpanId::new(services.clock.random()),
        name: format!("job {kind}"),
        kind: SpanKind::Internal,
        start,
        end: services.clock.now(),
        attributes: vec![
            ("llmops.job", job.name.as_str().into()),
            ("llmops.project", job.project.as_str().into()),
            ("llmops.attempt", job.attempt.into()),
        ],
        error: failure.map(ToString::to_string),
    });
}

fn backoff(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(LONGEST_PAUSE)
}

/// Renews the lease on a job until it is lost.
async fn keep(shared: &Shared, queue: &Arc<dyn Queue>, job: &TakenJob) {
    let services = &shared.ops.services;
    loop {
        tokio::time::sleep(services.options.lease / 3).await;
        match queue.renew(job, services.options.lease, services.clock.now()).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(job = job.name, %error, "could not renew the lease on a job"),
        }
    }
}

async fn perform(shared: &Shared, job: &TakenJob, place: OwnedSemaphorePermit) -> Result<Next, Error> {
    let work: Job = serde_json::from_str(&job.body).map_err(|e| QueueError::Damaged(format!("{}: {e}", job.name)))?;
    let ops = shared.ops.for_project(job.project.clone());
    match work {
        Job::Run { run } => match ops.evaluator().join_run(&run, place).await {
            Ok(Joined::Ended) => Ok(Next::Done),
            Ok(Joined::Here) => Ok(Next::Again(Duration::ZERO)),
            Ok(Joined::Nothing) => Ok(Next::Again(idle(shared))),
            Err(error) if job.failures >= GIVE_UP_AFTER && !error.is_temporary() => {
                ops.evaluator().give_up(&run, &error).await?;
                Ok(Next::Done)
            }
            Err(error) => Err(error),
        },
        Job::Fire { schedule, fire_at } => Ok(match ops.schedules().fire(&schedule, fire_at).await? {
            Fired::Settled => Next::Done,
            Fired::NotYet => Next::Again(TURN),
        }),
        Job::Answer { question } => ops.experiments().answer(&question).await.map(|()| Next::Done),
        Job::Shadow { canary, pair } => {
            Canaries::by_itself(&ops.services, job.project.clone()).work_on_pair(&canary, &pair).await?;
            Ok(Next::Done)
        }
    }
}

/// How long a run that has nothing for this worker is left alone. A lease may end any time, and other workers shall see it.
fn idle(shared: &Shared) -> Duration {
    (shared.ops.services.options.lease / 4).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

/// Looks for schedules whose time has come.
async fn tick(shared: Arc<Shared>) {
    while !shared.is_stopped() {
        if let Err(error) = shared.ops.tick().await {
            tracing::warn!(%error, "could not look for schedules that are due");
        }
        shared.pause(shared.options.poll).await;
    }
}

/// Joins late feedback with its records, and fills the review queue.
async fn tend_feedback(shared: Arc<Shared>) {
    while !shared.is_stopped() {
        if let Err(error) = shared.ops.tend_feedback().await {
            tracing::warn!(%error, "could not look after feedback");
        }
        shared.pause(TEND_EVERY).await;
    }
}

/// Does what time alone decides of canaries and releases.
async fn look_after_candidates(shared: Arc<Shared>) {
    while !shared.is_stopped() {
        if let Err(error) = shared.ops.look_after_candidates().await {
            tracing::warn!(%error, "could not look after canaries and releases");
        }
        shared.pause(Duration::from_secs(1)).await;
    }
}

async fn recover(shared: Arc<Shared>) {
    let every = shared.ops.services.options.lease.clamp(Duration::from_secs(1), Duration::from_secs(30));
    while !shared.is_stopped() {
        match shared.ops.recover_runs().await {
            Ok(0) => {}
            Ok(runs) => tracing::info!(runs, "runs that nobody worked on are queued"),
            Err(error) => tracing::warn!(%error, "could not look for runs that nobody works on"),
        }
        if let Err(error) = shared.ops.recover_questions().await {
            tracing::warn!(%error, "could not look for questions that nobody answers");
        }
        shared.pause(every).await;
    }
}
