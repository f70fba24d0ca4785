//! BLEU and chrF against numbers from `sacrebleu`, see `tests/fixtures/generate_sacrebleu.py`.

use llmops_metrics::bleu::{corpus_bleu, sentence_bleu, tokenize_13a};
use llmops_metrics::chrf::{ChrfKind, corpus_chrf, sentence_chrf};
use serde::Deserialize;

type Case = (String, Vec<String>);

#[derive(Deserialize)]
struct Fixture {
    sentences: Vec<(String, Vec<String>, f64, f64, f64)>,
    corpora: Vec<(Vec<Case>, f64, f64, f64)>,
    tokens: Vec<(String, String)>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/sacrebleu.json")).unwrap_or_else(|error| panic!("{error}"))
}

fn assert_close(ours: Option<f64>, expected: f64, context: &str) {
    let Some(ours) = ours else { panic!("no score for {context}") };
    assert!((ours - expected).abs() <= 1e-9, "{ours} instead of {expected} for {context}");
}

#[test]
fn tokens() {
    for (text, expected) in fixture().tokens {
        assert_eq!(tokenize_13a(&text), expected, "{text:?}");
    }
}

#[test]
fn sentences() {
    for (candidate, references, bleu, chrf, chrf_words) in fixture().sentences {
        let context = format!("{candidate:?} against {references:?}");
        assert_close(sentence_bleu(&candidate, &references), bleu, &format!("BLEU of {context}"));
        assert_close(sentence_chrf(ChrfKind::Chrf, &candidate, &references), chrf, &format!("chrF of {context}"));
        let ours = sentence_chrf(ChrfKind::ChrfPlusPlus, &candidate, &references);
        assert_close(ours, chrf_words, &format!("chrF++ of {context}"));
    }
    assert_eq!(sentence_bleu::<&str>("a", &[]), None);
    assert_eq!(sentence_chrf::<&str>(ChrfKind::Chrf, "a", &[]), None);
}

#[test]
fn corpora() {
    for (cases, bleu, chrf, chrf_words) in fixture().corpora {
        let pairs = || cases.iter().map(|(candidate, references)| (candidate.as_str(), &references[..]));
        let context = format!("corpus of {}", cases.len());
        assert_close(corpus_bleu(pairs()), bleu, &context);
        assert_close(corpus_chrf(ChrfKind::Chrf, pairs()), chrf, &context);
        assert_close(corpus_chrf(ChrfKind::ChrfPlusPlus, pairs()), chrf_words, &context);
    }
    assert_eq!(corpus_bleu::<&str>([]), None);
    assert_eq!(corpus_bleu::<&str>([("a", &[][..])]), None);
}
