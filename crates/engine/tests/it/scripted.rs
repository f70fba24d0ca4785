//! A provider whose answers the test decides, and an installation around it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use llmops::domain::chat::{ChatRequest, ChatResponse, Usage};
use llmops::domain::config::providers::{CallLimits, Price};
use llmops::domain::dataset::Sample;
use llmops::domain::id::ProjectId;
use llmops::domain::record::RequestRecord;
use llmops::domain::run::EvaluationRun;
use llmops::domain::scoring::{MetricSpec, ScorerSpec, ScoringSpec};
use llmops::evaluator::RunRef;
use llmops::{LlmOps, Options};
use llmops_api::runs::{CreateRun, TargetSpec};
use llmops_providers::provider::{ChatProvider, ProviderError};
use llmops_providers::registry::Providers;
use llmops_storage::{Pace, RecordRow, Store};

type Answer = dyn Fn(&ChatRequest) -> String + Send + Sync;
type Fails = dyn Fn(&ChatRequest) -> bool + Send + Sync;

/// Answers as the test says, counts what it was asked, and can be down.
pub(crate) struct Scripted {
    answer: Box<Answer>,
    fails: Box<Fails>,
    pub(crate) asked: Mutex<HashMap<String, u32>>,
    pub(crate) down: AtomicBool,
    pause: Duration,
}

impl Scripted {
    pub(crate) fn new(answer: impl Fn(&ChatRequest) -> String + Send + Sync + 'static) -> Arc<Self> {
        Self::slow(answer, Duration::ZERO)
    }

    /// The same, taking its time for each answer.
    pub(crate) fn slow(answer: impl Fn(&ChatRequest) -> String + Send + Sync + 'static, pause: Duration) -> Arc<Self> {
        Arc::new(Self { pause, ..Self::made(answer, |_| false) })
    }

    /// The same, out of reach for the requests of which `fails` is true.
    pub(crate) fn failing(
        answer: impl Fn(&ChatRequest) -> String + Send + Sync + 'static,
        fails: impl Fn(&ChatRequest) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self::made(answer, fails))
    }

    fn made(
        answer: impl Fn(&ChatRequest) -> String + Send + Sync + 'static,
        fails: impl Fn(&ChatRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (asked, down, pause) = (Mutex::default(), AtomicBool::new(false), Duration::ZERO);
        Self { answer: Box::new(answer), fails: Box::new(fails), asked, down, pause }
    }

    /// How often it was asked in all.
    pub(crate) fn calls(&self) -> u32 {
        self.asked.lock().unwrap().values().sum()
    }
}

#[async_trait]
impl ChatProvider for Scripted {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        if self.down.load(Ordering::SeqCst) || (self.fails)(request) {
            return Err(ProviderError::Status {
                endpoint: "scripted".to_owned(),
                code: 503,
                message: "down".to_owned(),
                retry_after: None,
                should_retry: None,
            });
        }
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        *self.asked.lock().unwrap().entry(request.last_user_text().into_owned()).or_default() += 1;
        let text = (self.answer)(request);
        let usage = Usage::new(1000, 1000);
        let model = request.model.clone();
        Ok(ChatResponse { text, tool_calls: Vec::new(), finish_reason: None, model, usage, latency_ms: 5.0 })
    }
}

/// An installation with the provider `test` (one dollar per thousand tokens read, two per thousand written).
pub(crate) fn installation(store: &Store, provider: &Arc<Scripted>) -> LlmOps {
    installation_with(store, provider, Options::default())
}

/// The same, with options.
pub(crate) fn installation_with(store: &Store, provider: &Arc<Scripted>, options: Options) -> LlmOps {
    LlmOps::new(store.clone(), providers(provider), options)
}

/// The provider `test`.
pub(crate) fn providers(provider: &Arc<Scripted>) -> Providers {
    let price = Price { input: 1000.0, output: 2000.0, ..Price::default() };
    // The last has no provider here: applications call it, and send their spans.
    let priced = ["test/priced", "test/judge", "openai/gpt-4o"];
    let prices = priced.into_iter().map(|name| (name.to_owned(), price)).collect();
    let limits = CallLimits { retries: 0, ..CallLimits::default() };
    Providers::new(&BTreeMap::new(), &prices, Path::new(".")).unwrap().with_provider("test", provider.clone(), &limits)
}

/// `count` samples in the categories `a` and `b`; sample `i` asks `question i?` and expects `answer i`.
pub(crate) async fn add_samples(ops: &LlmOps, count: usize) {
    let samples = (0..count).map(|i| Sample {
        id: format!("s{i:04}"),
        input: format!("question {i}?"),
        expected_output: vec![format!("answer {i}")],
        category: Some(if i % 2 == 0 { "a" } else { "b" }.to_owned()),
        ..Sample::default()
    });
    ops.datasets().add_samples("golden", samples.collect()).await.unwrap();
}

/// The right answer to `question i?`.
pub(crate) fn right(request: &ChatRequest) -> String {
    request.last_user_text().replace("question", "answer").replace('?', "")
}

/// Exact match alone.
pub(crate) fn exact() -> ScoringSpec {
    scoring([("exact_match", 1.0, ScorerSpec::ExactMatch { ignore_case: false, keep_whitespace: false })])
}

pub(crate) fn scoring<const N: usize>(metrics: [(&str, f64, ScorerSpec); N]) -> ScoringSpec {
    let spec = |(name, weight, scorer): (&str, f64, ScorerSpec)| {
        (name.to_owned(), MetricSpec { weight: Some(weight), threshold: None, scorer })
    };
    let metrics: IndexMap<String, MetricSpec> = metrics.into_iter().map(spec).collect();
    ScoringSpec { metrics, pass_threshold: 0.7, max_error_rate: 0.02, max_judge_cost: None }
}

/// A run of `test/MODEL` on the samples.
pub(crate) fn run(model: &str, scoring: ScoringSpec) -> CreateRun {
    CreateRun {
        name: None,
        description: None,
        suite: None,
        target: TargetSpec { name: "t".to_owned(), model: Some(format!("test/{model}")), ..TargetSpec::default() },
        dataset: "golden".to_owned(),
        category_weights: BTreeMap::new(),
        scoring,
        repeat: 1,
        limit: None,
        only: None,
        cache: true,
        start: true,
        tags: BTreeMap::new(),
        metadata: BTreeMap::new(),
        notices: Vec::new(),
    }
}

/// Creates the run and waits for its end.
pub(crate) async fn finish(ops: &LlmOps, request: CreateRun) -> EvaluationRun {
    let run = ops.evaluator().create_run(request).await.unwrap();
    wait(ops, &run).await
}

pub(crate) async fn wait(ops: &LlmOps, run: &EvaluationRun) -> EvaluationRun {
    let id = RunRef::Id(run.id.0.clone());
    ops.evaluator().wait(&id, std::time::Duration::from_mins(1)).await.unwrap()
}

/// Stores request records as gateways do.
pub(crate) async fn append(store: &Store, records: &[(ProjectId, RequestRecord)]) {
    let rows: Vec<_> = records.iter().map(|(project, record)| RecordRow::new(project, record).unwrap()).collect();
    store.append_record_rows(&rows, Pace::Quick).await.unwrap();
}
