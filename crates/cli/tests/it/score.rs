//! `llmops score`: outputs that somebody else made.

use std::io::Write;
use std::process::Stdio;

use crate::project::{Project, workspace};

const PAIRS: &str = r#"{"id": "a", "output": "The cat sat on the mat.", "reference": "The cat sat on a mat."}
{"id": 2, "output": "", "reference": ["", "nothing"], "model": "ignored"}

{"id": "a", "output": "猫が座った", "reference": ["犬", "猫が座る"]}
"#;

const EXPECTED: &str = r#"{"id":"a","scores":{"rouge_l":0.8333333333333334,"exact_match":0.0,"levenshtein":0.8695652173913043}}
{"id":2,"scores":{"rouge_l":0.0,"exact_match":1.0,"levenshtein":1.0}}
{"id":"a","scores":{"rouge_l":0.0,"exact_match":0.0,"levenshtein":0.6}}
"#;

const METRICS: [&str; 3] = ["score", "--metrics", "rouge_l,exact_match,levenshtein"];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&METRICS[..], more].concat()
}

#[test]
fn lines_keep_their_order_and_ids() {
    let project =
        Project::new(&[("pairs.jsonl", PAIRS), ("dos.jsonl", &format!("\u{feff}{}", PAIRS.replace('\n', "\r\n")))]);
    let said = project.expect(0, &args(&["--input", "pairs.jsonl"]));
    assert_eq!(said.out, EXPECTED);
    insta::assert_snapshot!(said.err, @"
    metric        mean  n  95 % interval
    ─────────────────────────────────────
    rouge_l      0.278  3  [0.00, 1.00]
    exact_match  0.333  3  [0.00, 1.00]
    levenshtein  0.823  3  [0.05, 1.00]
    ");
    assert_eq!(project.expect(0, &args(&["--input", "dos.jsonl", "--quiet"])).out, EXPECTED);
    project.expect(0, &args(&["--input", "pairs.jsonl", "--output", "scores.jsonl"]));
    assert_eq!(project.read("scores.jsonl"), EXPECTED);
    let same = project.expect(2, &args(&["--input", "pairs.jsonl", "--output", "./pairs.jsonl"]));
    assert!(same.err.contains("is what is read") && project.read("pairs.jsonl") == PAIRS, "{}", same.err);
}

#[test]
fn the_summary_is_json_beside_a_file() {
    let project = Project::new(&[("pairs.jsonl", PAIRS)]);
    let said =
        project.expect(0, &["score", "--metrics", "bleu,json_valid", "-i", "pairs.jsonl", "-o", "s.jsonl", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(summary["pairs"], 3);
    assert_eq!(summary["metrics"]["bleu"]["n"], 3);
    assert!(summary["metrics"]["bleu"]["corpus"].as_f64().is_some_and(|score| score > 0.0 && score < 1.0));
    let invalid = &summary["metrics"]["json_valid"];
    assert_eq!(invalid["value"], 0.0);
    // None of three: at most 71 of a hundred.
    assert!(invalid["upper"].as_f64().is_some_and(|upper| (upper - 0.7076).abs() < 1e-4), "{invalid}");
}

#[test]
fn a_dash_reads_standard_input() {
    let project = Project::new(&[]);
    let mut command = project.command(&args(&["--input", "-", "--output", "-"]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PAIRS.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), EXPECTED);
}

#[test]
fn mistakes_are_told_together_and_nothing_is_written() {
    let good = "{\"id\": 1, \"output\": \"a\", \"reference\": \"a\"}\n".repeat(5000);
    let bad = "{\"id\": 1, \"outptu\": \"a\", \"reference\": 5}\n[]\n";
    let project = Project::new(&[("bad.jsonl", &format!("{good}{bad}{good}{{\n")), ("scores.jsonl", "as it was")]);
    let said = project.expect(1, &args(&["--input", "bad.jsonl", "--output", "scores.jsonl"]));
    insta::assert_snapshot!(said.err, @r#"
    error: bad.jsonl has 4 mistakes
      - bad.jsonl:5001: output: missing; is `outptu` meant?
      - bad.jsonl:5001: reference: expected a text or a list of texts, found a number
      - bad.jsonl:5002: expected a JSON object {"id", "output", "reference"}
      - bad.jsonl:10003: not JSON: EOF while parsing an object (column 1)
      hint: a line is {"id": "a1", "output": "…", "reference": "…" or ["…", "…"]}
    "#);
    assert_eq!(said.out, "");
    assert_eq!(project.read("scores.jsonl"), "as it was");
    assert_eq!(std::fs::read_dir(project.path("")).unwrap().count(), 2, "a temporary file lies around");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let project = Project::new(&[("pairs.jsonl", PAIRS), ("empty.jsonl", "\u{feff}\r\n\n"), ("folder/file", "")]);
    let check = |code, metrics: &str, paths: &[&str], expected: &str| {
        let said = project.expect(code, &[&["score", "--metrics", metrics], paths].concat());
        assert!(said.err.contains(expected), "`{expected}` is missing in:\n{}", said.err);
        assert_eq!(said.out, "");
    };
    check(2, "rougel", &["--input", "pairs.jsonl"], "did you mean rouge_l?");
    check(2, "bertscore", &["--input", "pairs.jsonl", "--model", "models/none/here"], "no folder `models/none/here`");
    check(2, "bertscore", &["--input", "pairs.jsonl", "--model", "none"], "the hub may not be asked");
    check(2, "bertscore", &["--input", "-", "--idf"], "reads the input twice");
    check(2, "bleu", &["--input", "pairs.jsonl", "--layer", "3"], "--layer has no effect");
    check(2, "bleu", &["--input", "nowhere.jsonl"], "cannot read nowhere.jsonl");
    check(2, "bleu", &["--input", "folder"], "it is a folder");
    check(3, "bleu", &["--input", "pairs.jsonl", "--output", "folder"], "it is a folder");
    check(
        3,
        "bleu",
        &["--input", "pairs.jsonl", "--output", "nowhere/scores.jsonl"],
        "cannot write nowhere/scores.jsonl",
    );
    check(1, "bleu", &["--input", "empty.jsonl", "--output", "s.jsonl"], "empty.jsonl is empty");
    assert!(!project.path("s.jsonl").exists());
}

#[test]
fn stems_are_for_rouge() {
    let project = Project::new(&[("p.jsonl", "{\"id\": 1, \"output\": \"running\", \"reference\": \"runs\"}\n")]);
    let check = |more: &[&str], expected: &str| {
        let said = project.expect(0, &[&["score", "--metrics", "rouge_1", "--input", "p.jsonl"], more].concat());
        assert_eq!(said.out, format!("{{\"id\":1,\"scores\":{{\"rouge_1\":{expected}}}}}\n"));
    };
    check(&[], "0.0");
    check(&["--stem"], "1.0");
}

/// Scores of a tiny random model equal those of `bert_score`, which the fixture holds.
#[test]
fn bertscore_equals_the_reference() {
    let encoders = workspace().join("crates/metrics/tests/fixtures/encoders");
    let fixture = std::fs::read_to_string(encoders.join("roberta/scores.json")).unwrap();
    let fixture: serde_json::Value = serde_json::from_str(&fixture).unwrap();
    let pairs = fixture["pairs"].as_array().unwrap();
    let lines: String = pairs
        .iter()
        .enumerate()
        .map(|(id, pair)| serde_json::json!({"id": id, "output": pair[0], "reference": pair[1]}).to_string() + "\n")
        .collect();
    let project = Project::new(&[("pairs.jsonl", &lines)]);
    let model = encoders.join("roberta").display().to_string();
    let metrics = "bertscore_precision,bertscore_recall,bertscore,embedding_similarity";
    let check = |more: &[&str], expected: &serde_json::Value| {
        let args = [&["score", "--metrics", metrics, "--input", "pairs.jsonl", "--model", &model], more].concat();
        let said = project.expect(0, &args);
        for (line, (expected, cosine)) in
            said.out.lines().zip(expected.as_array().unwrap().iter().zip(fixture["cosines"].as_array().unwrap()))
        {
            let scores: serde_json::Value = serde_json::from_str(line).unwrap();
            let names = ["bertscore_precision", "bertscore_recall", "bertscore"];
            let expected =
                names.into_iter().zip(expected.as_array().unwrap()).chain([("embedding_similarity", cosine)]);
            for (name, expected) in expected {
                let (ours, expected) = (scores["scores"][name].as_f64().unwrap(), expected.as_f64().unwrap());
                assert!((ours - expected).abs() < 1e-4, "{name}: {ours} instead of {expected}: {line}");
            }
        }
        assert_eq!(said.out.lines().count(), pairs.len());
        said.out
    };
    let first = check(&["--layer", "1"], &fixture["layers"]["1"]);
    assert_eq!(check(&["--layer", "1"], &fixture["layers"]["1"]), first, "embeddings that were kept say the same");
    check(&["--idf"], &fixture["idf"]);
    let kept = project.path("cache/llmops/embeddings");
    assert!(std::fs::read_dir(kept).unwrap().count() > 3, "embeddings of references are kept");
}

#[test]
fn the_configuration_names_the_model_and_the_best_reference_counts() {
    let encoders = workspace().join("crates/metrics/tests/fixtures/encoders");
    let config = format!("scoring: {{metrics: {{bertscore: {{weight: 1, model: '{}/bert'}}}}}}\n", encoders.display());
    let pair = r#"{"id": 1, "output": "the cat", "reference": ["7", "the cat"]}"#;
    let project = Project::new(&[
        ("llmops.yaml", &config),
        ("pairs.jsonl", &format!("{pair}\n")),
        ("baseline.tsv", "LAYER,P,R,F\n0,0,0,0\n1,0,0,0\n2,0.5,0.5,0.5\n"),
    ]);
    let score = |more: &[&str]| {
        let said = project.expect(0, &[&["score", "--metrics", "bertscore", "-i", "pairs.jsonl"], more].concat());
        let line: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        line["scores"]["bertscore"].as_f64().unwrap()
    };
    assert!((score(&[]) - 1.0).abs() < 1e-6);
    assert!((score(&["--baseline", "baseline.tsv"]) - 1.0).abs() < 1e-6);
    assert!(project.path(".llmops/embeddings").is_dir());
    project.write("pairs.jsonl", &pair.replace(r#""7", "the cat""#, r#""""#));
    assert!((score(&["--baseline", "baseline.tsv"]) + 1.0).abs() < 1e-6, "an empty text is less alike than chance");
    let said =
        project.expect(2, &["score", "--metrics", "bertscore", "-i", "pairs.jsonl", "--baseline", "pairs.jsonl"]);
    assert!(said.err.contains("no line for layer 2"), "{}", said.err);
}

#[test]
fn the_help_says_the_ranges() {
    let help = Project::new(&[]).expect(0, &["score", "--help"]).out;
    let metrics = help.split("Metrics, ").nth(1).unwrap_or_default();
    insta::assert_snapshot!(metrics, @"
    all from 0 to 1 (BERTScore rescaled by --baseline may be below 0):
      exact_match              1 when output and reference are equal but for white space around them
      token_f1                 F-measure of words, normalised as for SQuAD
      levenshtein              1 − edit distance / length of the longer text
      rouge_1 rouge_2 rouge_l rouge_lsum
                               F-measure, as rouge_score
      bleu                     as sacrebleu.sentence_bleu divided by 100
      chrf chrf++              as sacrebleu.sentence_chrf divided by 100
      bertscore bertscore_precision bertscore_recall
                               F-measure, precision and recall of matched token embeddings, as
                               bert_score
      embedding_similarity     cosine of the mean token embeddings
      json_valid               1 when the output is JSON; needs no reference
      refusal                  1 when the output declines to answer; needs no reference

    A model is a folder with config.json, tokenizer.json and model.safetensors (BERT, RoBERTa,
    DistilBERT, MiniLM and their relatives), or its name on the Hugging Face hub: it is taken from the
    hub's cache, or downloaded into it first (HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE and
    HF_TOKEN count as they do for the hub's own programs). Embeddings of references are kept in
    .llmops/embeddings of the project, else in the user's cache, so that the next time takes half as
    long; scoring.embedding_cache_mb limits them.

    The summary has the mean of each metric with its 95 % interval, and BLEU, chrF and chrF++ of the
    corpus as a whole.
    ");
}

#[cfg(unix)]
#[test]
fn a_device_is_written_to_and_a_link_followed() {
    let project = Project::new(&[("pairs.jsonl", PAIRS), ("real.jsonl", "")]);
    std::os::unix::fs::symlink("real.jsonl", project.path("link.jsonl")).unwrap();
    project.expect(0, &args(&["--input", "pairs.jsonl", "--output", "/dev/null"]));
    project.expect(0, &args(&["--input", "pairs.jsonl", "--output", "link.jsonl"]));
    assert_eq!(project.read("real.jsonl"), EXPECTED);
    assert!(project.path("link.jsonl").is_symlink());
}
