//! What an assignment costs: `cargo bench -p llmops-domain`. At most 300 ns.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::sync::atomic::{AtomicUsize, Ordering};

use divan::{Bencher, black_box};
use jiff::Timestamp;
use llmops_domain::experiment::assignment::{Assigner, Splitter};
use llmops_domain::experiment::{Experiment, ExperimentSpec};
use llmops_domain::id::ExperimentId;
use serde_json::json;

fn main() {
    divan::main();
}

fn units() -> Vec<String> {
    (0..1024).map(|i| format!("7f3c9a2b-user-{i:06}")).collect()
}

/// The hash and its ranges alone.
#[divan::bench]
fn splitter(bencher: Bencher<'_, '_>) {
    let splitter = Splitter::new("button-colour", &[0.25; 4], 0.8);
    let (units, next) = (units(), AtomicUsize::new(0));
    bencher.bench(|| {
        let unit = &units[next.fetch_add(1, Ordering::Relaxed) % units.len()];
        black_box(splitter.variant(black_box(unit)))
    });
}

/// A whole decision: holdout, namespace, audience, and a split that was changed once.
#[divan::bench]
fn decision(bencher: Bencher<'_, '_>) {
    let spec = json!({
        "name": "e", "variants": [{}, {}], "coverage": 0.5, "audience": {"country": {"$in": ["DE", "FR"]}},
        "holdout": {"name": "h", "share": 0.05}, "namespace": {"name": "n", "range": [0.0, 0.9]},
    });
    let spec: ExperimentSpec = serde_json::from_value(spec).unwrap();
    let running = Experiment::draft(ExperimentId::from("exp_1"), spec.checked().unwrap(), Timestamp::UNIX_EPOCH)
        .start(Timestamp::UNIX_EPOCH)
        .unwrap();
    let mut wider = running.spec.clone();
    wider.coverage = 0.8;
    let assigner = Assigner::new(&running.revise(wider, Timestamp::UNIX_EPOCH).unwrap());
    let attributes = json!({"country": "FR", "plan": "pro"}).as_object().cloned().unwrap();
    let (units, next) = (units(), AtomicUsize::new(0));
    bencher.bench(|| {
        let unit = &units[next.fetch_add(1, Ordering::Relaxed) % units.len()];
        black_box(assigner.decide(black_box(unit), &attributes))
    });
}
