//! Benchmarks: `cargo bench -p llmops-metrics`.

use divan::{Bencher, black_box, counter::ItemsCount};
use llmops_metrics::levenshtein::distance;
use llmops_metrics::rouge::{Rouge, RougeScratch};
use llmops_metrics::token_f1::token_prf;

fn main() {
    divan::main();
}

/// Sentences of `tokens` words from a small vocabulary, so that pairs have something in common; the same every time.
fn pairs(count: usize, tokens: usize) -> Vec<(String, String)> {
    const SYLLABLES: [&str; 12] = ["or", "der", "ship", "re", "fund", "ing", "can", "cel", "ation", "pol", "icy", "ed"];
    let mut state: u64 = 7;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % below).unwrap_or(0)
    };
    let vocabulary: Vec<String> = (0..400).map(|_| (0..=next(3)).map(|_| SYLLABLES[next(12)]).collect()).collect();
    let mut text = || (0..tokens).map(|_| vocabulary[next(400)].as_str()).collect::<Vec<_>>().join(" ");
    (0..count).map(|_| (text(), text())).collect()
}

/// All four types, 80 tokens a side; an item is a pair.
#[divan::bench(args = [false, true])]
fn rouge_80_tokens(bencher: Bencher<'_, '_>, stem: bool) {
    let pairs = pairs(100, 80);
    let rouge = Rouge::usual().stemmed(stem);
    let mut scratch = RougeScratch::default();
    bencher.counter(ItemsCount::new(pairs.len())).bench_local(|| {
        for (candidate, reference) in &pairs {
            black_box(rouge.score_pair(&mut scratch, candidate, reference));
        }
    });
}

/// All four types against one prepared reference.
#[divan::bench]
fn rouge_80_tokens_prepared(bencher: Bencher<'_, '_>) {
    let pairs = pairs(100, 80);
    let rouge = Rouge::usual();
    let mut scratch = RougeScratch::default();
    let reference = rouge.prepare(&pairs[0].1);
    bencher.counter(ItemsCount::new(pairs.len())).bench_local(|| {
        for (candidate, _) in &pairs {
            black_box(rouge.score_prepared(&mut scratch, candidate, &reference));
        }
    });
}

#[divan::bench]
fn token_f1_80_tokens(bencher: Bencher<'_, '_>) {
    let pairs = pairs(1, 80);
    bencher.bench_local(|| token_prf(black_box(&pairs[0].0), black_box(&pairs[0].1)));
}

#[divan::bench(args = [80, 2000])]
fn levenshtein_tokens(bencher: Bencher<'_, '_>, tokens: usize) {
    let pairs = pairs(1, tokens);
    bencher.bench_local(|| distance(black_box(&pairs[0].0), black_box(&pairs[0].1)));
}

/// Whether an answer is a refusal: one without hints, in English and German, and one that begins like a refusal.
#[divan::bench(args = [0, 1, 2])]
fn refusals(bencher: Bencher<'_, '_>, which: usize) {
    let answers = [
        "Your parcel left the warehouse on Monday and will arrive within three working days. ",
        "Ihr Paket hat das Lager am Montag verlassen und kommt in drei Werktagen für Sie an. ",
        "I can't say when exactly: your parcel left the warehouse on Monday, so wait a few days. ",
    ];
    let answer = answers[which].repeat(12);
    bencher.bench_local(|| black_box(llmops_metrics::refusal::refusal_rule(black_box(&answer))));
}
