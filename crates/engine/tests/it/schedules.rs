//! Schedules: one firing across replicas, policies, what people do with them. The clock is the test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use llmops::domain::alert::AlertFilter;
use llmops::domain::config::duration::HumanDuration;
use llmops::domain::deployment::DeploymentSettings;
use llmops::domain::run::{EvaluationFilter, RunStatus};
use llmops::domain::schedule::{Missed, Overlap};
use llmops::jobs::{Queue, StoredQueue, Worker, WorkerOptions};
use llmops::{Clock, Error, LlmOps, Options};
use llmops_api::deployments::Deploy;
use llmops_api::schedules::{Firing, FiringStatus, Origin, ScheduleSpec, ScheduledTask};
use llmops_storage::Store;
use llmops_testing::on_backends;

use crate::scripted::{Scripted, add_samples, exact, providers, right, run};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

#[derive(Debug, Default)]
struct FakeClock {
    millis: AtomicI64,
    random: AtomicU64,
}

impl FakeClock {
    /// It is so many seconds after the start now.
    fn set(&self, seconds: i64) {
        self.millis.store(seconds * 1000, Ordering::SeqCst);
    }

    /// A little time passes: far too little to bring the next minute, enough for what is tried again.
    fn pass(&self) {
        self.millis.fetch_add(10, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(START * 1000 + self.millis.load(Ordering::SeqCst)).unwrap()
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(1, Ordering::SeqCst)
    }
}

fn installation(store: &Store, provider: &Arc<Scripted>, clock: &Arc<FakeClock>) -> LlmOps {
    let queue: Arc<dyn Queue> = Arc::new(StoredQueue(store.clone()));
    let options = Options { queue: Some(queue), ..Options::default() };
    LlmOps::with_clock(store.clone(), providers(provider), options, clock.clone())
}

fn every_minute(name: &str) -> ScheduleSpec {
    ScheduleSpec {
        name: name.to_owned(),
        origin: Origin::Api,
        paused: false,
        cron: Some("* * * * *".to_owned()),
        every: None,
        timezone: "UTC".to_owned(),
        jitter: HumanDuration::from_secs(0),
        overlap: Overlap::Skip,
        missed: Missed::Skip,
        run: Some(run("m", exact())),
        task: None,
    }
}

fn start(ops: &LlmOps) -> Worker {
    ops.start_worker(WorkerOptions { concurrency: 4, poll: Duration::from_millis(10) })
}

fn rehearsal(deployment: &str) -> ScheduledTask {
    ScheduledTask::Rehearsal { deployment: deployment.to_owned(), environment: None }
}

async fn stop(worker: Worker) {
    worker.stop(Duration::from_secs(10)).await;
}

/// Waits until no firing of the schedule is due and no run runs.
async fn settled(ops: &LlmOps, clock: &FakeClock, name: &str) -> Vec<Firing> {
    loop {
        let firings = ops.schedules().firings(name, None, 100).await.unwrap();
        let running = EvaluationFilter { status: Some(RunStatus::Running), ..EvaluationFilter::default() };
        if firings.iter().all(|f| f.status != FiringStatus::Due)
            && ops.evaluator().list_runs(&running).await.unwrap().is_empty()
        {
            return firings;
        }
        clock.pass();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn shown(firings: &[Firing]) -> Vec<(i64, &'static str)> {
    firings.iter().rev().map(|f| (f.fire_at.as_second() - START, f.status.as_str())).collect()
}

#[tokio::test]
async fn of_many_replicas_one_fires() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::new(right), Arc::new(FakeClock::default()));
        let replicas: Vec<LlmOps> = (0..3).map(|_| installation(store, &provider, &clock)).collect();
        add_samples(&replicas[0], 2).await;
        for i in 0..10 {
            replicas[0].schedules().put(every_minute(&format!("s{i}"))).await.unwrap();
        }
        let workers: Vec<Worker> = replicas.iter().map(start).collect();
        for minute in 1..=3 {
            clock.set(minute * 60 + 1);
            futures::future::try_join_all(replicas.iter().map(LlmOps::tick)).await.unwrap();
            for i in 0..10 {
                settled(&replicas[0], &clock, &format!("s{i}")).await;
            }
        }
        for i in 0..10 {
            let firings = replicas[1].schedules().firings(&format!("s{i}"), None, 100).await.unwrap();
            assert_eq!(shown(&firings), [(60, "started"), (120, "started"), (180, "started")]);
        }
        let all = EvaluationFilter { limit: Some(1000), ..EvaluationFilter::default() };
        let runs = replicas[2].evaluator().list_runs(&all).await.unwrap();
        assert_eq!(runs.len(), 30);
        assert!(runs.iter().all(|run| run.status == RunStatus::Completed && run.tags["schedule"].starts_with('s')));
        for worker in workers {
            stop(worker).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_firing_that_is_delivered_twice_makes_one_run() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::new(right), Arc::new(FakeClock::default()));
        let ops = installation(store, &provider, &clock);
        add_samples(&ops, 2).await;
        ops.schedules().put(every_minute("s")).await.unwrap();
        clock.set(61);
        ops.tick().await.unwrap();
        // A worker takes the job and dies; another one finds it when the lease has ended. In the meantime the firing is found
        // as one whose job was lost.
        let taken = store.take_job("dead", Duration::from_secs(30), clock.now()).await.unwrap().unwrap();
        assert!(taken.name.starts_with("fire/default/s/"), "{}", taken.name);
        clock.set(92);
        ops.tick().await.unwrap();
        let worker = start(&ops);
        assert_eq!(shown(&settled(&ops, &clock, "s").await), [(60, "started")]);
        stop(worker).await;
        assert_eq!(ops.evaluator().list_runs(&EvaluationFilter::default()).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_not_over_skips_or_queues_the_next() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::slow(right, Duration::from_millis(300)), Arc::new(FakeClock::default()));
        let ops = installation(store, &provider, &clock);
        add_samples(&ops, 1).await;
        let nocache = llmops_api::runs::CreateRun { cache: false, ..run("m", exact()) };
        let skip = ScheduleSpec { run: Some(nocache.clone()), ..every_minute("skip") };
        let queue = ScheduleSpec { overlap: Overlap::Queue, run: Some(nocache), ..every_minute("queue") };
        ops.schedules().put(skip).await.unwrap();
        ops.schedules().put(queue).await.unwrap();
        clock.set(60);
        ops.tick().await.unwrap();
        let worker = start(&ops);
        while ops.evaluator().list_runs(&EvaluationFilter::default()).await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        clock.set(120);
        ops.tick().await.unwrap();
        assert_eq!(shown(&settled(&ops, &clock, "skip").await), [(60, "started"), (120, "skipped")]);
        assert_eq!(shown(&settled(&ops, &clock, "queue").await), [(60, "started"), (120, "started")]);
        stop(worker).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_missed_is_left_out_or_made_up_for() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::new(right), Arc::new(FakeClock::default()));
        let ops = installation(store, &provider, &clock);
        add_samples(&ops, 2).await;
        ops.schedules().put(every_minute("skip")).await.unwrap();
        let once = ScheduleSpec { missed: Missed::RunOnce, overlap: Overlap::Queue, ..every_minute("once") };
        ops.schedules().put(once).await.unwrap();
        clock.set(3541);
        ops.tick().await.unwrap();
        let worker = start(&ops);
        assert_eq!(shown(&settled(&ops, &clock, "skip").await), [(3480, "missed"), (3540, "started")]);
        assert_eq!(shown(&settled(&ops, &clock, "once").await), [(3480, "started"), (3540, "started")]);
        stop(worker).await;
    })
    .await;
}

#[tokio::test]
async fn people_pause_resume_fire_and_remove() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::new(right), Arc::new(FakeClock::default()));
        let ops = installation(store, &provider, &clock);
        add_samples(&ops, 2).await;
        let schedules = ops.schedules();
        let made = schedules.put(every_minute("s")).await.unwrap();
        assert_eq!(made.next_at.unwrap().as_second() - START, 60);
        assert_eq!(schedules.put(every_minute("s")).await.unwrap(), made, "the same again changes nothing");
        assert_eq!(schedules.pause("s").await.unwrap().next_at, None);
        clock.set(600);
        ops.tick().await.unwrap();
        assert_eq!(schedules.firings("s", None, 10).await.unwrap(), []);
        assert_eq!(schedules.resume("s").await.unwrap().next_at.unwrap().as_second() - START, 660);
        let worker = start(&ops);
        schedules.run_now("s").await.unwrap();
        assert_eq!(shown(&settled(&ops, &clock, "s").await), [(600, "started")]);
        stop(worker).await;
        let ahead = schedules.preview("s", 3).await.unwrap().firings;
        assert_eq!(ahead.iter().map(|t| t.as_second() - START).collect::<Vec<_>>(), [660, 720, 780]);
        schedules.remove("s").await.unwrap();
        assert!(matches!(schedules.get("s").await, Err(Error::Store(_))));
        assert!(schedules.run_now("s").await.is_err());
        assert_eq!(ops.evaluator().list_runs(&EvaluationFilter::default()).await.unwrap().len(), 1, "runs stay");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_run_is_refused_when_it_is_made_and_told_when_it_fails() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::new(right), Arc::new(FakeClock::default()));
        let ops = installation(store, &provider, &clock);
        add_samples(&ops, 2).await;
        let schedules = ops.schedules();
        let wrong = |change: fn(&mut ScheduleSpec)| {
            let mut spec = every_minute("s");
            change(&mut spec);
            spec
        };
        for spec in [
            wrong(|s| s.cron = Some("61 * * * *".to_owned())),
            wrong(|s| s.cron = None),
            wrong(|s| s.every = Some(HumanDuration::from_secs(60))),
            wrong(|s| s.timezone = "Mars".to_owned()),
            wrong(|s| s.name = "../x".to_owned()),
            wrong(|s| s.name = String::new()),
            wrong(|s| s.run.as_mut().unwrap().dataset = "nothing".to_owned()),
            wrong(|s| s.run.as_mut().unwrap().target.model = Some("nobody/m".to_owned())),
            wrong(|s| s.run = None),
            wrong(|s| s.task = Some(rehearsal("nothing"))),
        ] {
            let refused = schedules.put(spec.clone()).await;
            assert!(refused.is_err(), "{spec:?}");
        }
        assert_eq!(schedules.list(None, 10).await.unwrap(), []);
        schedules.put(every_minute("s")).await.unwrap();
        clock.set(61);
        let none = llmops_providers::registry::Providers::new(
            &std::collections::BTreeMap::new(),
            &std::collections::BTreeMap::new(),
            std::path::Path::new("."),
        )
        .unwrap();
        let queue: Arc<dyn Queue> = Arc::new(StoredQueue((**store).clone()));
        let options = Options { queue: Some(queue), ..Options::default() };
        let unable = LlmOps::with_clock((**store).clone(), none, options, clock.clone());
        unable.tick().await.unwrap();
        let worker = start(&unable);
        let firings = settled(&unable, &clock, "s").await;
        assert_eq!(shown(&firings), [(60, "failed")]);
        assert!(firings[0].note.as_ref().unwrap().contains("test"), "{firings:?}");
        stop(worker).await;
    })
    .await;
}

#[tokio::test]
async fn rehearsals_run_by_themselves_and_say_what_could_not_take_over() {
    on_backends(async |store| {
        let (provider, clock) = (Scripted::new(right), Arc::new(FakeClock::default()));
        let ops = installation(store, &provider, &clock);
        let deploy = |model: &str| Deploy { model: Some(format!("test/{model}")), ..Deploy::default() };
        ops.deployments().deploy("bot", deploy("one")).await.unwrap();
        let spec = ScheduleSpec { run: None, task: Some(rehearsal("bot")), ..every_minute("quarterly") };
        ops.schedules().put(spec).await.unwrap();
        let worker = start(&ops);
        clock.set(61);
        ops.tick().await.unwrap();
        let firings = settled(&ops, &clock, "quarterly").await;
        assert_eq!(firings[0].note.as_deref(), Some("all 1 manifests that were live could take over"));
        // From now on a field is required that the first manifest lacks.
        let settings = DeploymentSettings { required_fields: vec!["model_version".to_owned()], ..Default::default() };
        let strict = Deploy { model_version: Some("1".to_owned()), settings: Some(settings), ..deploy("two") };
        ops.deployments().deploy("bot", strict).await.unwrap();
        clock.set(121);
        ops.tick().await.unwrap();
        let firings = settled(&ops, &clock, "quarterly").await;
        assert!(firings[0].note.as_deref().unwrap().starts_with("1 of the 2 manifests"), "{firings:?}");
        let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        assert_eq!((alerts.len(), alerts[0].source.as_str()), (1, "rehearsal"));
        stop(worker).await;
    })
    .await;
}
