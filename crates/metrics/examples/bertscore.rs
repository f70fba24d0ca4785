//! BERTScore over pairs: `cargo run --release -p llmops-metrics --features bertscore --example bertscore -- DIRECTORY
//! [--layer N] [--idf] [--time]`.
//!
//! Each line of standard input is a JSON array `[candidate, reference]`, each line of output a JSON array `[precision,
//! recall, f1, embedding similarity]`. With `--time` the only output is the number of pairs scored in a second.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use llmops_metrics::bertscore::{BertScore, Idf};
use llmops_metrics::embedding_similarity::cosine;
use llmops_metrics::encoder::Encoder;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().position(|argument| argument == flag);
    let directory = arguments.first().ok_or("the model's directory is missing")?;
    let layer = given("--layer").and_then(|at| arguments.get(at + 1)).map(|layer| layer.parse()).transpose()?;
    let encoder = Encoder::load(directory.as_ref(), layer)?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in io::stdin().lock().lines() {
        pairs.push(serde_json::from_str(&line?)?);
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let mut score = BertScore::default();
    if given("--idf").is_some() {
        let references: Vec<&str> = pairs.iter().map(|(_, reference)| *reference).collect();
        score.idf = Some(Idf::new(&encoder, &references)?);
    }
    let mut output = io::BufWriter::new(io::stdout().lock());
    let start = Instant::now();
    let scores = score.score_pairs(&encoder, &pairs)?;
    if given("--time").is_some() {
        writeln!(output, "{}", pairs.len() as f64 / start.elapsed().as_secs_f64())?;
        return Ok(());
    }
    for ((candidate, reference), score) in pairs.iter().zip(scores) {
        let embeddings = encoder.embed(&[candidate, reference])?;
        let similarity = cosine(&embeddings[0], &embeddings[1]);
        serde_json::to_writer(&mut output, &[score.precision, score.recall, score.f1, similarity])?;
        writeln!(output)?;
    }
    Ok(())
}
