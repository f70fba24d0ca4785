//! The writer of request records, with a store that comes and goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use llmops::LlmOps;
use llmops::domain::alert::AlertFilter;
use llmops::domain::chat::Usage;
use llmops::domain::deployment::DeploymentSettings;
use llmops::domain::hash::ContentHash;
use llmops::domain::id::ProjectId;
use llmops::domain::limits::Account;
use llmops::domain::record::{CallOutcome, Door, RecordFilter, RequestRecord};
use llmops::domain::soft_failure::{GuardConfig, SoftFailure, SoftFailureKind};
use llmops::spending::RedisSpending;
use llmops::{Options, SpendingBook};
use llmops_api::deployments::Deploy;
use llmops_storage::Store;
use llmops_testing::on_backends;
use serde_json::json;

use crate::scripted::{Scripted, append, installation, installation_with, right};

fn record(number: u32) -> RequestRecord {
    RequestRecord {
        id: format!("req_{number:018}"),
        at: Timestamp::from_second(1_800_000_000).unwrap(),
        door: Door::Chat,
        key: None,
        deployment: None,
        environment: None,
        manifest: None,
        variant: None,
        model: "test/m".to_owned(),
        model_answered: None,
        fingerprint: None,
        stream: false,
        user: None,
        session: None,
        trace_id: None,
        tags: BTreeMap::new(),
        usage: Usage::default(),
        usage_estimated: false,
        cost: None,
        first_byte_ms: None,
        total_ms: 1.0,
        status: 200,
        outcome: CallOutcome::Ok,
        error: None,
        finish_reason: None,
        guard: Vec::new(),
        cached: false,
        safe_mode: false,
        soft_failures: Vec::new(),
        undecided: Vec::new(),
        attempts: Vec::new(),
        request_body: None,
        response_body: None,
    }
}

#[tokio::test]
async fn every_record_is_stored_once() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let writer = ops.record_writer(None);
        for number in 0..5_000 {
            writer.submit(&ProjectId::default_project(), &record(number));
        }
        writer.flush().await;
        assert_eq!((writer.counts().written(), writer.counts().lost()), (5_000, 0));
        let newest = ops.records().list(&RecordFilter::default(), 1).await.unwrap();
        assert_eq!(newest[0], record(4_999));
    })
    .await;
}

#[tokio::test]
async fn rates_have_the_calls_that_were_just_counted() {
    let ops = LlmOps::in_memory().await.unwrap();
    let deploy = Deploy { model: Some("sim/small".to_owned()), ..Deploy::default() };
    let manifest = Some(ops.deployments().deploy("bot", deploy).await.unwrap().deployment.manifest);
    let (deployment, environment) = (Some("bot".to_owned()), Some("production".to_owned()));
    let record = RequestRecord { deployment, environment, manifest, at: llmops::domain::clock::now(), ..record(1) };
    let gateways = ops.guards();
    gateways.count(&ProjectId::default_project(), &RequestRecord { manifest: None, safe_mode: true, ..record.clone() });
    for _ in 0..3 {
        gateways.count(&ProjectId::default_project(), &record);
    }
    let rate = ops.deployments().soft_failures("bot", None, None).await.unwrap();
    assert_eq!((rate.calls, rate.soft_failed), (3, 0));
}

#[tokio::test]
async fn alerts_of_soft_failures_end_when_the_rate_is_well() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let guard = json!({"alert": {"rate": 0.05, "window": "2m", "min_calls": 20}});
        let settings: DeploymentSettings = serde_json::from_value(json!({"guard": guard})).unwrap();
        let deploy = Deploy { model: Some("test/m".to_owned()), settings: Some(settings), ..Deploy::default() };
        ops.deployments().deploy("bot", deploy).await.unwrap();
        let now = llmops::domain::clock::now();
        let (deployment, environment) = (Some("bot".to_owned()), Some("production".to_owned()));
        let manifest = Some(ContentHash::of_bytes(b"m"));
        let good = RequestRecord { deployment, environment, manifest, at: now, ..record(1) };
        let failure = SoftFailure { kind: SoftFailureKind::Empty, detail: "no text".to_owned() };
        let bad = RequestRecord { soft_failures: vec![failure], ..good.clone() };
        let guards = ops.guards();
        let look = async |record: &RequestRecord, times: u32| {
            for _ in 0..times {
                guards.count(&ProjectId::default_project(), record);
            }
            guards.flush().await;
            guards.review().await.unwrap();
            let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
            (alerts.len(), alerts.iter().filter(|alert| alert.resolved_at.is_none()).count())
        };
        assert_eq!(look(&bad, 30).await, (1, 1));
        assert_eq!(look(&good, 300).await, (1, 1), "9.1 % of 330 are too many still");
        assert_eq!(look(&good, 600).await, (1, 0), "3.2 % of 930 are not, and getting well is no news");
    })
    .await;
}

#[tokio::test]
async fn each_slow_check_is_drawn_for_itself() {
    let ops = LlmOps::in_memory().await.unwrap();
    let guards = ops.guards();
    let check = |http: Option<f64>, judge: Option<f64>, expected: [bool; 2]| {
        let http = http.map(|sampling| json!({"url": "http://127.0.0.1:9/check", "sampling": sampling}));
        let judge = judge.map(|sampling| json!({"model": "sim/judge", "sampling": sampling}));
        let mut guard = json!({});
        for (name, value) in [("http", http), ("judge", judge)] {
            if let Some(value) = value {
                guard[name] = value;
            }
        }
        let guard: GuardConfig = serde_json::from_value(guard).unwrap();
        let answered = RequestRecord { manifest: Some(ContentHash::of_bytes(b"m")), ..record(1) };
        let drawn = guards.drawn(&guard, &answered);
        let found = drawn.map_or([false, false], |slow| [slow.http.is_some(), slow.judge.is_some()]);
        assert_eq!(found, expected, "{guard:?}");
    };
    check(Some(1.0), Some(0.0), [true, false]);
    check(Some(0.0), Some(1.0), [false, true]);
    check(Some(1.0), Some(1.0), [true, true]);
    check(Some(0.0), None, [false, false]);
    check(None, None, [false, false]);
}

#[tokio::test]
async fn what_comes_too_fast_goes_by_way_of_files() {
    on_backends(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let ops = installation(store, &Scripted::new(right));
        let writer = ops.record_writer(Some(folder.path().to_owned()));
        // Nothing is written before the first pause, and 8,000 may wait.
        for number in 0..12_000 {
            writer.submit(&ProjectId::default_project(), &record(number));
        }
        writer.flush().await;
        assert_eq!(writer.counts().spilled(), 4_000);
        while writer.counts().written() < 12_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        writer.flush().await;
        assert_eq!((writer.counts().written(), writer.counts().lost()), (12_000, 0));
        assert_eq!(writer.counts().waiting(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left to store");
        assert_eq!(ops.records().get(&record(11_999).id).await.unwrap(), record(11_999));
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_process_put_aside_is_stored() {
    on_backends(async |store| {
        let folder = tempfile::tempdir().unwrap();
        // A process of an earlier boot, with a line that the disk lost a part of.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let owner = format!("{}/00000000:1:0", host.trim());
        let line = |number| serde_json::json!({"project": "default", "record": record(number)}).to_string();
        let text = format!("{}\n{}\n{}", line(1), line(2), &line(3)[..40]);
        let name: String = owner.bytes().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(folder.path().join(format!("records-{name}-0000000007.ndjson")), text).unwrap();

        let ops = installation(store, &Scripted::new(right));
        let writer = ops.record_writer(Some(folder.path().to_owned()));
        while writer.counts().written() < 2 {
            tokio::task::yield_now().await;
        }
        writer.flush().await;
        let stored = ops.records().list(&RecordFilter::default(), 10).await.unwrap();
        assert_eq!(stored, [record(2), record(1)]);
        assert_eq!((writer.counts().lost(), writer.counts().waiting()), (1, 0), "what cannot be read is told");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and stays where somebody can look at it");
    })
    .await;
}

#[tokio::test]
async fn records_that_a_store_out_of_order_refuses_are_kept() {
    on_backends(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let ops = installation(store, &Scripted::new(right));
        store.execute("ALTER TABLE request_records RENAME TO elsewhere").await;
        let writer = ops.record_writer(Some(folder.path().to_owned()));
        for number in 0..10 {
            writer.submit(&ProjectId::default_project(), &record(number));
        }
        writer.flush().await;
        let counts = writer.counts();
        assert_eq!((counts.spilled(), counts.waiting(), counts.lost()), (10, 10, 0), "they wait in a file");
        store.execute("ALTER TABLE elsewhere RENAME TO request_records").await;
        while counts.written() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(ops.records().list(&RecordFilter::default(), 20).await.unwrap().len(), 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_erased_with_its_user() {
    on_backends(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let ops = installation(store, &Scripted::new(right));
        let of = |number, user: &str| RequestRecord { user: Some(user.to_owned()), ..record(number) };
        let writer = ops.record_writer(Some(folder.path().to_owned()));
        let submit = |record| writer.submit(&ProjectId::default_project(), &record);
        // In a file, because the store took nothing for a while, and in memory.
        store.execute("ALTER TABLE request_records RENAME TO elsewhere").await;
        for number in 0..10 {
            submit(of(number, "ana"));
        }
        writer.flush().await;
        assert_eq!(writer.counts().waiting(), 10);
        submit(of(20, "ana"));
        let early = ops.records().erase_user("ana").await.unwrap_err();
        assert!(early.to_string().contains("nothing was erased"), "{early}");
        store.execute("ALTER TABLE elsewhere RENAME TO request_records").await;
        submit(of(30, "ben"));
        submit(of(31, "ana"));
        let words = serde_json::json!({"request_id": record(31).id, "thumb": "down", "comment": "no"});
        ops.feedback().submit(&words).await.unwrap();
        let erased = ops.records().erase_user("ana").await.unwrap();
        assert_eq!((erased.records, erased.feedback), (12, 1), "what was said of the answer goes with it");
        writer.flush().await;
        assert_eq!((writer.counts().waiting(), writer.counts().lost()), (0, 0));
        assert_eq!(ops.records().list(&RecordFilter::default(), 50).await.unwrap(), [of(30, "ben")]);
        drop(writer);
        assert_eq!(ops.records().erase_user("ben").await.unwrap().records, 1, "a writer that is gone has nothing");
    })
    .await;
}

static BOOKS: AtomicU32 = AtomicU32::new(0);

/// What is left of a limit of 10 USD, or of 1,000 of anything else, in the month that holds the records, after they were written.
async fn left(ops: &LlmOps, spender: &str, what: &str) -> u64 {
    let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
    let account = Account {
        project: ProjectId::default_project(),
        spender: spender.to_owned(),
        what: what.to_owned(),
        start: second("2027-01-01T00:00:00Z"),
        end: second("2027-02-01T00:00:00Z"),
    };
    let most = if what.starts_with("cost") { 10_000_000 } else { 1_000 };
    let granted = ops.spending().lease(&account, most, 0, most).await.unwrap();
    assert_eq!(ops.spending().lease(&account, most, 0, most).await.unwrap(), 0, "it counts from there on");
    granted
}

async fn budgets_count_from_the_beginning(store: &Store, book: Option<Arc<dyn SpendingBook>>) {
    let ops = installation_with(store, &Scripted::new(right), Options { spending: book, ..Options::default() });
    let spent = |number, days: i64, outcome| RequestRecord {
        at: Timestamp::from_second(1_800_000_000 + 86_400 * days).unwrap(),
        key: Some("key_a".to_owned()),
        deployment: Some("bot".to_owned()),
        environment: Some("staging".to_owned()),
        usage: Usage::new(30, 10),
        cost: Some(1.25),
        outcome,
        ..record(number)
    };
    // One of the month before, one that the limit itself refused, and one of another key.
    let refused = RequestRecord { cost: None, usage: Usage::default(), ..spent(4, 0, CallOutcome::Refused) };
    let other = RequestRecord { key: Some("key_b".to_owned()), ..spent(5, 0, CallOutcome::Ok) };
    let all =
        [spent(1, -30, CallOutcome::Ok), spent(2, 0, CallOutcome::Ok), spent(3, 1, CallOutcome::Cut), refused, other];
    let all: Vec<_> = all.into_iter().map(|record| (ProjectId::default_project(), record)).collect();
    append(ops.store(), &all).await;
    assert_eq!(left(&ops, "key/key_a", "cost/month").await, 7_500_000);
    assert_eq!(left(&ops, "key/key_a", "tokens/month").await, 1_000 - 80);
    assert_eq!(left(&ops, "key/key_a", "requests/month").await, 1_000 - 2);
    assert_eq!(left(&ops, "key/key_b", "cost/month").await, 8_750_000);
    assert_eq!(left(&ops, "deployment/bot@staging", "cost/month").await, 6_250_000);
    assert_eq!(left(&ops, "deployment/bot@staging", "requests/month").await, 1_000 - 3);
    assert_eq!(left(&ops, "deployment/bot@production", "cost/month").await, 10_000_000);
}

#[tokio::test]
async fn a_budget_counts_from_the_beginning_of_its_month() {
    on_backends(async |store| budgets_count_from_the_beginning(store, None).await).await;
    let url = std::env::var("LLMOPS_TEST_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    on_backends(async |store| {
        let number = BOOKS.fetch_add(1, Ordering::SeqCst);
        let name = format!("llmops-test-budgets-{}-{number}", std::process::id());
        let book = RedisSpending::connect(&url, &name).await.unwrap();
        budgets_count_from_the_beginning(store, Some(Arc::new(book))).await;
    })
    .await;
}
