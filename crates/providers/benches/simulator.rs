//! The cost of one simulated answer in the process.

#![expect(clippy::expect_used, reason = "a benchmark stops where it cannot start")]

use std::collections::BTreeMap;
use std::path::Path;

use divan::{Bencher, black_box};
use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role};
use llmops_domain::config::providers::{ProviderConfig, SimulatorConfig};
use llmops_providers::Providers;
use llmops_providers::simulator::{Script, Simulator};

fn main() {
    divan::main();
}

fn script(lines: usize) -> Script {
    let line = |i| format!("{{\"input\": \"What is the meaning of number {i}?\", \"answer\": \"It means {i}.\"}}");
    Script::parse("script", &(0..lines).map(line).collect::<Vec<_>>().join("\n")).expect("the script is well formed")
}

fn request(text: &str) -> ChatRequest {
    ChatRequest {
        model: "m".to_owned(),
        messages: vec![Message::text(Role::System, "You are a careful assistant."), Message::text(Role::User, text)],
        parameters: Parameters::default(),
        tools: Vec::new(),
        response_format: None,
        origin: RequestOrigin::default(),
    }
}

const EXACT: &str = "What is the meaning of number 77?";

#[divan::bench(args = [100, 100_000])]
fn exact(bencher: Bencher<'_, '_>, lines: usize) {
    let simulator = Simulator::new(SimulatorConfig::default(), script(lines)).expect("the knobs are in range");
    let request = request(EXACT);
    bencher.bench_local(|| simulator.answer(black_box(&request), 0));
}

#[divan::bench(args = [100, 100_000])]
fn contained(bencher: Bencher<'_, '_>, lines: usize) {
    let simulator = Simulator::new(SimulatorConfig::default(), script(lines)).expect("the knobs are in range");
    let request = request(&format!("{} {EXACT} Answer briefly.", "Some context that is of no use. ".repeat(30)));
    bencher.bench_local(|| simulator.answer(black_box(&request), 0));
}

#[divan::bench]
fn paraphrase(bencher: Bencher<'_, '_>) {
    let simulator = Simulator::new(SimulatorConfig::default(), Script::default()).expect("the knobs are in range");
    let request = request(EXACT);
    bencher.bench_local(|| simulator.answer(black_box(&request), 0));
}

/// With everything around it: limiter, timeout, retries, cost.
#[divan::bench]
fn through_the_registry(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
    let configs = BTreeMap::from([("sim".to_owned(), ProviderConfig::Simulator(SimulatorConfig::default()))]);
    let providers = Providers::new(&configs, &BTreeMap::new(), Path::new(".")).expect("the knobs are in range");
    let target = providers.resolve("sim/m").expect("the provider exists");
    let request = request(EXACT);
    bencher.bench_local(|| runtime.block_on(target.chat(black_box(&request))));
}

#[divan::bench(sample_count = 5)]
fn load_100_000_lines(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| script(black_box(100_000)));
}
