//! ROUGE against numbers from `rouge_score`, see `tests/fixtures/generate_rouge.py`.

use llmops_metrics::Prf;
use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};

type Scores = Vec<[f64; 3]>;

fn assert_close(ours: &[Prf], expected: &Scores, context: &str) {
    assert_eq!(ours.len(), expected.len());
    for (kind, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        for (a, b) in [ours.precision, ours.recall, ours.f1].iter().zip(expected) {
            assert!((a - b).abs() <= 1e-9, "kind {kind}: {ours:?} instead of {expected:?} for {context}");
        }
    }
}

#[test]
fn equals_the_reference_implementation() {
    let cases: Vec<(String, String, Scores, Scores)> =
        serde_json::from_str(include_str!("../fixtures/rouge.json")).unwrap();
    assert!(cases.len() > 200);
    let mut scratch = RougeScratch::default();
    for (candidate, reference, plain, stemmed) in &cases {
        let context = format!("{candidate:?} against {reference:?}");
        for (stem, expected) in [(false, plain), (true, stemmed)] {
            let rouge = Rouge::usual().stemmed(stem);
            assert_close(&rouge.score_pair(&mut scratch, candidate, reference), expected, &context);
            let prepared = rouge.prepare(reference);
            assert_close(&rouge.score_prepared(&mut scratch, candidate, &prepared), expected, &context);
        }
    }
}

#[test]
fn longer_ngrams_and_repeated_kinds() {
    let rouge = Rouge::new(vec![RougeKind::N(3), RougeKind::N(0), RougeKind::N(9), RougeKind::N(3)]);
    let scores = rouge.score("a b c d x", &["z a b c d"]).unwrap();
    let recall: Vec<f64> = scores.iter().map(|score| score.recall).collect();
    assert_eq!(recall, [2.0 / 3.0, 0.8, 0.0, 2.0 / 3.0]);
}

#[test]
fn each_kind_takes_its_own_best_reference() {
    let rouge = Rouge::new(vec![RougeKind::N(1), RougeKind::L]);
    let scores = rouge.score("a b c", &["c b a", "a b"]).unwrap();
    assert_eq!((scores[0].f1, scores[1].f1), (1.0, 0.8));
}

#[test]
fn a_reference_prepared_for_other_kinds_gives_zero() {
    let reference = Rouge::new(vec![RougeKind::N(1)]).prepare("a b\nc d");
    let scores = Rouge::usual().score_prepared(&mut RougeScratch::default(), "a b", &reference);
    assert_eq!((scores[0].recall, scores[1], scores[2]), (0.5, Prf::ZERO, Prf::ZERO));
}

/// Long lines are read out in blocks; the result must not depend on it.
#[test]
fn huge_texts_are_fast_and_bounded() {
    let text = |seed: usize| -> String { (0..20_000).map(|at| (at * seed % 997).to_string() + " ").collect() };
    let (long, other) = (text(7), text(11));
    let rouge = Rouge::new(vec![RougeKind::L, RougeKind::Lsum]);
    let mut scratch = RougeScratch::default();
    // The last line of one word turns the comparison line by line on, and adds nothing else.
    let scores = rouge.score_pair(&mut scratch, &format!("{long}\nzz"), &format!("{other}\nzz"));
    assert!((scores[0].f1 - scores[1].f1).abs() < 1e-4, "{scores:?}");
    let same = "the ".repeat(20_000);
    assert_eq!(rouge.score_pair(&mut scratch, &same, &same)[0].f1, 1.0);
}
