//! The engine's own cost: samples through the in-process simulator with two cheap scorers, over SQLite on disk.
//!
//! `cargo bench -p llmops`; the time per item is the cost of one sample. `scripts/bench/engine.py` measures the whole
//! command with its CPU time and memory.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use llmops::domain::config::providers::{ProviderConfig, SimulatorConfig};
use llmops::domain::dataset::Sample;
use llmops::evaluator::RunRef;
use llmops::{LlmOps, Options};
use llmops_api::runs::CreateRun;
use llmops_providers::Providers;
use llmops_storage::Store;
use tokio::runtime::Runtime;

const SAMPLES: usize = 20_000;

fn main() {
    divan::main();
}

async fn installation(folder: &Path) -> LlmOps {
    let simulator = ProviderConfig::Simulator(SimulatorConfig::default());
    let providers = BTreeMap::from([("sim".to_owned(), simulator)]);
    let providers = Providers::new(&providers, &BTreeMap::new(), folder).unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.join("bench.db").display())).await.unwrap();
    let ops = LlmOps::new(store, providers, Options::default());
    let samples = (0..SAMPLES).map(|i| Sample {
        id: format!("s{i}"),
        input: format!("How long does parcel number {i} take to arrive in the north?"),
        expected_output: vec![format!("Parcel {i} takes about {} working days to arrive.", i % 9)],
        category: Some(format!("c{}", i % 5)),
        ..Sample::default()
    });
    ops.datasets().add_samples("bench", samples.collect()).await.unwrap();
    ops
}

fn request() -> CreateRun {
    serde_json::from_value(serde_json::json!({
        "target": {"name": "bench", "model": "sim/any"},
        "dataset": "bench",
        "scoring": {
            "metrics": {
                "exact_match": {"kind": "exact_match", "weight": 0.5},
                "rouge_l": {"kind": "rouge_l", "weight": 0.5},
            },
            "pass_threshold": 0.7,
            "max_error_rate": 0.02,
        },
    }))
    .unwrap()
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn evaluate(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ops = runtime.block_on(installation(folder.path()));
    bencher.counter(ItemsCount::new(SAMPLES)).bench(|| {
        runtime.block_on(async {
            let run = ops.evaluator().create_run(request()).await.unwrap();
            let id = RunRef::Id(run.id.0);
            let done = ops.evaluator().wait(&id, Duration::from_mins(2)).await.unwrap();
            assert_eq!(done.results.unwrap().total_samples, SAMPLES as u64);
        });
    });
}
