//! What the tests store.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use llmops_domain::chat::{Parameters, Usage};
use llmops_domain::dataset::{DatasetType, DatasetVersion, Sample};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::manifest::Manifest;
use llmops_domain::record::RequestRecord;
use llmops_domain::run::{EvaluationRun, MetricScore, Outcome, Progress, RunSpec, RunStatus, SampleResult};
use llmops_domain::scoring::ScoringSpec;
use llmops_storage::{Pace, RecordRow, RunKey, Store};
use llmops_testing::TestStore;

pub(crate) fn project() -> ProjectId {
    ProjectId::default_project()
}

/// Runs a statement of SQL behind the store's back.
pub(crate) async fn execute(store: &TestStore, sql: &'static str) {
    store.execute(sql).await;
}

/// `seconds` behind an arbitrary time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn sample(id: &str, input: &str, category: Option<&str>) -> (Sample, ContentHash) {
    let category = category.map(str::to_owned);
    let sample = Sample { id: id.to_owned(), input: input.to_owned(), category, ..Sample::default() };
    let hash = sample.hash().unwrap();
    (sample, hash)
}

/// Imports samples written `id input` and answers with the version and whether it is new.
pub(crate) async fn import(store: &Store, name: &str, lines: &[(&str, &str)]) -> (DatasetVersion, bool) {
    let samples: Vec<_> = lines.iter().map(|(id, input)| sample(id, input, None)).collect();
    let mut import = store.begin_import(&project(), name, DatasetType::Golden, None).await.unwrap();
    import.push(&samples).await.unwrap();
    import.finish().await.unwrap()
}

pub(crate) fn run(id: &str) -> EvaluationRun {
    let manifest = Manifest::resolve(None, "sim/small", &Parameters::default());
    EvaluationRun {
        id: RunId(id.to_owned()),
        name: "nightly".to_owned(),
        description: None,
        dataset: "golden".to_owned(),
        prompt_name: Some("support-bot".to_owned()),
        prompt_version: Some("1.0.0".to_owned()),
        model_name: "sim/small".to_owned(),
        metrics: vec!["rouge_l".to_owned()],
        status: RunStatus::Pending,
        interrupted: false,
        error: None,
        tags: BTreeMap::new(),
        metadata: BTreeMap::from([("commit".to_owned(), serde_json::json!("abc"))]),
        spec: RunSpec {
            suite: Some("default".to_owned()),
            target: "support-bot".to_owned(),
            manifest_id: manifest.id().unwrap(),
            manifest,
            dataset: "golden".to_owned(),
            dataset_version: ContentHash::of_bytes(b"golden"),
            category_weights: BTreeMap::new(),
            scoring: ScoringSpec {
                metrics: IndexMap::new(),
                pass_threshold: 0.7,
                max_error_rate: 0.02,
                max_judge_cost: None,
            },
            repeat: 2,
            limit: None,
            only: None,
            cache: true,
            notices: Vec::new(),
        },
        results: None,
        gate: None,
        progress: Progress { total: 20, ..Progress::default() },
        start_time: None,
        end_time: None,
        created_at: at(0),
    }
}

/// A run of 10 samples and 2 trials in shards of 6 pairs.
pub(crate) async fn stored_run(store: &Store, id: &str) -> RunKey {
    store.create_run(&project(), &run(id), &[(0, 6), (6, 12), (12, 18), (18, 20)]).await.unwrap()
}

pub(crate) fn scored(ordinal: u64, trial: u32, composite: f64) -> SampleResult {
    let passed = composite >= 0.7;
    result(
        ordinal,
        trial,
        Outcome::Scored {
            scores: BTreeMap::from([(
                "rouge_l".to_owned(),
                MetricScore { score: composite, reason: Some("because".to_owned()), detail: None },
            )]),
            composite: Some(composite),
            passed,
            failures: if passed { Vec::new() } else { vec!["rouge_l < 0.7".to_owned()] },
            unscored: BTreeMap::new(),
        },
    )
}

pub(crate) fn errored(ordinal: u64, trial: u32) -> SampleResult {
    result(ordinal, trial, Outcome::Errored { reason: "provider: 500".to_owned(), message: "boom".to_owned() })
}

fn result(ordinal: u64, trial: u32, outcome: Outcome) -> SampleResult {
    SampleResult {
        ordinal,
        trial,
        sample_id: format!("s{ordinal:03}"),
        category: if ordinal.is_multiple_of(2) { "even".to_owned() } else { "odd".to_owned() },
        outcome,
        output: format!("answer {ordinal}.{trial}"),
        tool_calls: Vec::new(),
        finish_reason: Some("stop".to_owned()),
        latency_ms: 12.5,
        cost: 0.25,
        judge_cost: 0.25,
        usage: Usage::new(7, 3),
        cached: false,
    }
}

/// Stores request records as gateways do.
pub(crate) async fn append(store: &Store, records: &[(ProjectId, RequestRecord)]) {
    let rows: Vec<_> = records.iter().map(|(project, record)| RecordRow::new(project, record).unwrap()).collect();
    store.append_record_rows(&rows, Pace::Quick).await.unwrap();
}
