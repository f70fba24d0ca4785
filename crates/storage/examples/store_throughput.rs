//! Prints how fast the store opens, imports samples and writes results.
//!
//! `cargo run --release -p llmops-storage --example store_throughput [URL] [ROWS]`; the default is a temporary SQLite file and
//! 200,000 rows. A database that is named should be empty.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use indexmap::IndexMap;
use llmops_domain::chat::{Parameters, Usage};
use llmops_domain::dataset::{DatasetType, Sample};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::manifest::Manifest;
use llmops_domain::run::{EvaluationRun, MetricScore, Outcome, Progress, RunSpec, RunStatus, SampleResult};
use llmops_domain::scoring::ScoringSpec;
use llmops_storage::{RunKey, Store, VersionSelector};

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let directory = tempfile::tempdir()?;
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| format!("sqlite:{}", directory.path().join("test.db").display()));
    let rows: u64 = arguments.next().map_or(Ok(200_000), |rows| rows.parse())?;

    let start = Instant::now();
    let store = Store::open(&url).await?;
    say(&format!("open, fresh      {:>10.1} ms", start.elapsed().as_secs_f64() * 1e3));
    let start = Instant::now();
    let again = Store::open(&url).await?;
    say(&format!("open, existing   {:>10.1} ms", start.elapsed().as_secs_f64() * 1e3));
    again.close().await;

    import(&store, rows).await?;
    for (batch, lanes) in [(1, 64), (16, 64), (256, 8)] {
        let id = format!("run_{batch}");
        let run = store.create_run(&ProjectId::default_project(), &run(&id, rows)?, &[(0, rows)]).await?;
        submit(&store, &run, (batch, lanes), rows).await?;
    }
    read(&store, rows).await?;
    cache(&store, rows / 4).await
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn say(line: &str) {
    println!("{line}");
}

fn rate(what: &str, rows: u64, time: Duration) {
    say(&format!("{what:<24} {:>9.0} rows/s", rows as f64 / time.as_secs_f64()));
}

async fn import(store: &Store, rows: u64) -> Done {
    let samples = (0..rows).map(|i| {
        let input =
            format!("Question {i}: what would a customer like to know about order {i}, and who answers it best?");
        let expected_output = vec![format!("The answer to question {i}, in a sentence of some length, with a reason.")];
        let sample = Sample { id: format!("s{i:07}"), input, expected_output, ..Sample::default() };
        let hash = sample.hash()?;
        Ok((sample, hash))
    });
    let samples: Vec<(Sample, ContentHash)> = samples.collect::<Result<_, serde_json::Error>>()?;
    let mut import = store.begin_import(&ProjectId::default_project(), "d", DatasetType::Golden, None).await?;
    let start = Instant::now();
    for batch in samples.chunks(1000) {
        import.push(batch).await?;
    }
    import.finish().await?;
    rate("import", rows, start.elapsed());

    let stored = store.get_dataset_version(&ProjectId::default_project(), "d", &VersionSelector::Latest).await?;
    let start = Instant::now();
    let mut next = 0;
    while next < rows {
        next += store.stream_samples(stored.key, next, 1000).await?.len() as u64;
    }
    rate("stream samples", rows, start.elapsed());
    Ok(())
}

async fn submit(store: &Store, run: &RunKey, (batch, lanes): (u64, usize), rows: u64) -> Done {
    let writer = store.result_writer();
    let start = Instant::now();
    let mut submits = stream::iter(0..rows / batch)
        .map(|i| {
            let writer = writer.clone();
            let results = (i * batch..(i + 1) * batch).map(result).collect();
            async move {
                let start = Instant::now();
                writer.submit(run, results).await.map(|()| start.elapsed())
            }
        })
        .buffer_unordered(lanes);
    let mut waits = Vec::new();
    while let Some(wait) = submits.next().await {
        waits.push(wait?);
    }
    rate(&format!("submit {batch} x {lanes}"), rows / batch * batch, start.elapsed());
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1e3;
    say(&format!("    waits p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms", at(50), at(99), at(100)));
    Ok(())
}

async fn read(store: &Store, rows: u64) -> Done {
    let project = ProjectId::default_project();
    let (one, other) =
        (store.run_key(&project, &"run_16".into()).await?, store.run_key(&project, &"run_256".into()).await?);
    let start = Instant::now();
    let mut after = None;
    loop {
        let page = store.stream_measured(&one, after, 2000).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.ordinal, last.trial));
    }
    rate("stream measured", rows, start.elapsed());
    let start = Instant::now();
    let mut cursor: Option<String> = None;
    loop {
        cursor = store.paired(&one, &other, cursor.as_deref(), 2000).await?.next;
        if cursor.is_none() {
            break;
        }
    }
    rate("paired", rows, start.elapsed());
    Ok(())
}

async fn cache(store: &Store, rows: u64) -> Done {
    let project = ProjectId::default_project();
    let start = Instant::now();
    for i in 0..rows {
        let key = ContentHash::of_bytes(&i.to_be_bytes());
        store
            .cache_put(&project, &key, format!("An answer of some length, to question {i}, as a provider gave it."))
            .await;
    }
    store.close().await;
    rate("cache", rows, start.elapsed());
    Ok(())
}

fn result(ordinal: u64) -> SampleResult {
    let score = |score| MetricScore { score, reason: None, detail: None };
    let scores = BTreeMap::from([("exact_match".to_owned(), score(1.0)), ("rouge_l".to_owned(), score(0.873_915_22))]);
    SampleResult {
        ordinal,
        trial: 0,
        sample_id: format!("s{ordinal:07}"),
        category: "factual_accuracy".to_owned(),
        outcome: Outcome::Scored {
            scores,
            composite: Some(0.91),
            passed: true,
            failures: Vec::new(),
            unscored: BTreeMap::new(),
        },
        output: "The answer that the model gave, about as long as answers are in support: two sentences or three. \
                 They say what to do, and why it helps, and whom to ask when it does not."
            .to_owned(),
        tool_calls: Vec::new(),
        finish_reason: Some("stop".to_owned()),
        latency_ms: 312.251,
        cost: 0.000_132,
        judge_cost: 0.0,
        usage: Usage::new(211, 47),
        cached: false,
    }
}

fn run(id: &str, total: u64) -> Result<EvaluationRun, Box<dyn Error>> {
    let manifest = Manifest::resolve(None, "sim/small", &Parameters::default());
    Ok(EvaluationRun {
        id: RunId(id.to_owned()),
        name: id.to_owned(),
        description: None,
        dataset: "d".to_owned(),
        prompt_name: None,
        prompt_version: None,
        model_name: "sim/small".to_owned(),
        metrics: Vec::new(),
        status: RunStatus::Pending,
        interrupted: false,
        error: None,
        tags: BTreeMap::new(),
        metadata: BTreeMap::new(),
        spec: RunSpec {
            suite: None,
            target: "t".to_owned(),
            manifest_id: manifest.id()?,
            manifest,
            dataset: "d".to_owned(),
            dataset_version: ContentHash::of_bytes(b"d"),
            category_weights: BTreeMap::new(),
            scoring: ScoringSpec {
                metrics: IndexMap::new(),
                pass_threshold: 0.7,
                max_error_rate: 0.02,
                max_judge_cost: None,
            },
            repeat: 1,
            limit: None,
            only: None,
            cache: false,
            notices: Vec::new(),
        },
        results: None,
        gate: None,
        progress: Progress { total, ..Progress::default() },
        start_time: None,
        end_time: None,
        created_at: llmops_domain::clock::now(),
    })
}
