//! Retries and limits, with the clock in hand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse, Usage};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::config::providers::CallLimits;
use llmops_providers::{Answer, ChatProvider, ProviderError, Providers};
use tokio::time::Instant;

use crate::support::user;

/// Answers from a list, the last again and again, and keeps the times of calls.
struct Scripted {
    results: Mutex<VecDeque<Result<(), ProviderError>>>,
    calls: Mutex<Vec<Duration>>,
    started: Instant,
}

#[async_trait]
impl ChatProvider for Scripted {
    async fn chat(&self, _: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        self.calls.lock().unwrap().push(self.started.elapsed());
        let mut results = self.results.lock().unwrap();
        let result = if results.len() > 1 { results.pop_front().unwrap() } else { results[0].clone() };
        result.map(|()| answered())
    }
}

fn answered() -> ChatResponse {
    ChatResponse {
        text: "ok".to_owned(),
        tool_calls: Vec::new(),
        finish_reason: None,
        model: String::new(),
        usage: Usage::default(),
        latency_ms: 0.0,
    }
}

fn status(code: u16, retry_after: Option<u64>) -> Result<(), ProviderError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(ProviderError::Status {
        endpoint: "x".to_owned(),
        code,
        message: String::new(),
        retry_after,
        should_retry: None,
    })
}

fn with(provider: Arc<dyn ChatProvider>, max_concurrency: u32, retries: u32) -> Providers {
    let limits = CallLimits { max_concurrency, timeout: HumanDuration::from_secs(10), retries };
    let none = std::collections::BTreeMap::new();
    let empty = Providers::new(&none, &std::collections::BTreeMap::new(), std::path::Path::new("")).unwrap();
    empty.with_provider("p", provider, &limits)
}

async fn play(results: Vec<Result<(), ProviderError>>) -> (Result<Answer, ProviderError>, Vec<Duration>) {
    let calls = Mutex::default();
    let scripted = Arc::new(Scripted { results: Mutex::new(results.into()), calls, started: Instant::now() });
    let providers = with(scripted.clone(), 4, 3);
    let result = providers.chat(&providers.resolve("p/m").unwrap(), &user("x")).await;
    let calls = scripted.calls.lock().unwrap().clone();
    (result, calls)
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let (result, calls) = play(vec![status(429, Some(30)), status(503, Some(5)), Ok(())]).await;
    assert_eq!(result.unwrap().attempts, 3);
    let waits: Vec<Duration> = calls.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    for (waited, asked) in waits.iter().zip([30, 5]) {
        let asked = Duration::from_secs(asked);
        assert!(*waited >= asked && *waited < asked + Duration::from_millis(260), "{waited:?} for {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_end() {
    let (result, calls) = play(vec![status(500, None)]).await;
    assert_eq!((result.unwrap_err().reason().as_str(), calls.len()), ("provider: 500", 4));
    assert!(calls[3] < Duration::from_secs(2), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_is_not_waited_for() {
    let (result, calls) = play(vec![status(429, Some(86_400)), Ok(())]).await;
    assert_eq!((result.unwrap_err().reason().as_str(), calls.len()), ("provider: 429", 1));
}

#[tokio::test(start_paused = true)]
async fn a_provider_knows_best_whether_to_ask_it_again() {
    for (code, said, expected) in [(500, false, 1), (429, false, 1), (400, true, 2)] {
        let Err(ProviderError::Status { endpoint, code, message, retry_after, .. }) = status(code, None) else {
            panic!()
        };
        let told = ProviderError::Status { endpoint, code, message, retry_after, should_retry: Some(said) };
        let (result, calls) = play(vec![Err(told), Ok(())]).await;
        assert_eq!((result.is_ok(), calls.len()), (said, expected), "{code} {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn final_errors_are_final() {
    for code in [400, 401, 403, 404, 405, 413, 422] {
        let (result, calls) = play(vec![status(code, Some(0)), Ok(())]).await;
        assert_eq!((result.is_err(), calls.len()), (true, 1), "{code}");
    }
}

/// Bears `capacity` calls at a time and refuses more with 429.
struct Capacity {
    bears: usize,
    running: AtomicUsize,
    refused: AtomicUsize,
}

#[async_trait]
impl ChatProvider for Capacity {
    async fn chat(&self, _: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst);
        let result = if running >= self.bears {
            self.refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            status(429, None)
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        result.map(|()| answered())
    }
}

#[tokio::test(start_paused = true)]
async fn the_concurrency_settles_near_what_the_provider_bears() {
    let capacity = Arc::new(Capacity { bears: 10, running: AtomicUsize::new(0), refused: AtomicUsize::new(0) });
    let providers = Arc::new(with(capacity.clone(), 64, 20));
    let target = providers.resolve("p/m").unwrap();
    let started = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..2000 {
        let target = target.clone();
        calls.spawn(async move { target.chat(&user(&i.to_string())).await.map(|_| target.concurrency().unwrap()) });
    }
    let mut limits = Vec::new();
    while let Some(call) = calls.join_next().await {
        limits.push(call.unwrap().expect("every call succeeds in the end"));
    }
    // 2000 calls of 100 ms, ten at a time, take 20 s at best.
    assert!(started.elapsed() < Duration::from_secs(35), "{:?}", started.elapsed());
    let refused = capacity.refused.load(Ordering::SeqCst);
    assert!(refused < 300, "{refused} refusals");
    assert!(limits[500..].iter().all(|limit| *limit <= 24), "{limits:?}");
}

/// Never answers, and counts the calls that were dropped.
struct Silent(Arc<AtomicUsize>);

struct CountDrop(Arc<AtomicUsize>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ChatProvider for Silent {
    async fn chat(&self, _: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let _guard = CountDrop(self.0.clone());
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_cancelled_and_tried_again() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let providers = with(Arc::new(Silent(dropped.clone())), 1, 2);
    let started = Instant::now();
    let error = providers.chat(&providers.resolve("p/m").unwrap(), &user("x")).await.unwrap_err();
    assert_eq!(error, ProviderError::Timeout { after: Duration::from_secs(10) });
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    assert!((30..=31).contains(&started.elapsed().as_secs()));
}
