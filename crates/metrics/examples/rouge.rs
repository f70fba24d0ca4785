//! ROUGE over pairs from standard input: `cargo run --release -p llmops-metrics --example rouge -- [--stem] [--time]`.
//!
//! Each input line is a JSON array `[candidate, reference]`. Each output line is a JSON array of `[precision, recall,
//! f1]` for ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum. With `--time` the only output is the number of pairs scored in a
//! second, the pairs taken round and round.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use llmops_metrics::rouge::{Rouge, RougeScratch};

fn main() -> Result<(), Box<dyn Error>> {
    let rouge = Rouge::usual().stemmed(std::env::args().any(|argument| argument == "--stem"));
    let mut scratch = RougeScratch::default();
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in io::stdin().lock().lines() {
        pairs.push(serde_json::from_str(&line?)?);
    }
    let mut output = io::BufWriter::new(io::stdout().lock());
    if std::env::args().any(|argument| argument == "--time") {
        let start = Instant::now();
        let mut scored = 0_u64;
        while start.elapsed() < Duration::from_secs(2) {
            for (candidate, reference) in &pairs {
                std::hint::black_box(rouge.score_pair(&mut scratch, candidate, reference));
            }
            scored += pairs.len() as u64;
        }
        writeln!(output, "{}", scored as f64 / start.elapsed().as_secs_f64())?;
        return Ok(());
    }
    for (candidate, reference) in &pairs {
        let scores = rouge.score_pair(&mut scratch, candidate, reference);
        let rows: Vec<[f64; 3]> = scores.iter().map(|score| [score.precision, score.recall, score.f1]).collect();
        serde_json::to_writer(&mut output, &rows)?;
        writeln!(output)?;
    }
    Ok(())
}
