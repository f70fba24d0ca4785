//! `llmops score`: score outputs that exist already.

mod lines;
mod metrics;
mod neural;
mod pool;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use llmops_domain::run::Estimate;
use llmops_domain::scorecard::format;
use llmops_stats::bounded::{self, Range};
use llmops_stats::moments::Moments;
use serde::{Serialize, Serializer};

use self::metrics::{Corpus, Scorer};
use self::neural::{Neural, NeuralArgs};
use self::pool::{Done, Pool};
use super::{Context, json};
use crate::failure::{Failure, Kind, Outcome};
use crate::output_file::OutputFile;
use crate::terminal::{Cell, Column, Look, table};

/// Problems that are kept; the others are counted.
const MAX_PROBLEMS: usize = 1000;
/// Level of the intervals.
const LEVEL: f64 = 0.95;
const EXAMPLE: &str = r#"a line is {"id": "a1", "output": "…", "reference": "…" or ["…", "…"]}"#;

/// Score outputs that exist already against references.
#[derive(Debug, Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct ScoreArgs {
    /// What to compute, separated by commas: exact_match, token_f1, levenshtein, rouge_1, rouge_2, rouge_l, rouge_lsum,
    /// bleu, chrf, chrf++, bertscore, bertscore_precision, bertscore_recall, embedding_similarity, json_valid, refusal
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    metrics: Vec<String>,
    /// The pairs, as JSON Lines; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,
    /// Where the lines go; else to standard output, and the summary to standard error
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Stem words for ROUGE (Porter)
    #[arg(long)]
    stem: bool,
    #[command(flatten, next_help_heading = "Embeddings")]
    neural: NeuralArgs,
}

const LONG_HELP: &str = "\
Reads a JSON object a line, {\"id\", \"output\", \"reference\"}, and writes {\"id\", \"scores\": {METRIC: SCORE}} for each, in \
the same order. An id is a text or a number and is given back as it is; it may occur more than once, each line is \
scored by itself. A reference is a text or a list of texts, of which the best match counts for each metric; BLEU counts \
the n-grams of all of them together, as sacrebleu does. Other fields are left alone, blank lines are skipped.

When a line is wrong, every mistake is told with its line, the exit code is 1 and the file of --output is not touched. \
Without --output, lines are written as they are scored, up to about the first mistake.

Metrics, all from 0 to 1 (BERTScore rescaled by --baseline may be below 0):
  exact_match              1 when output and reference are equal but for white space around them
  token_f1                 F-measure of words, normalised as for SQuAD
  levenshtein              1 − edit distance / length of the longer text
  rouge_1 rouge_2 rouge_l rouge_lsum
                           F-measure, as rouge_score
  bleu                     as sacrebleu.sentence_bleu divided by 100
  chrf chrf++              as sacrebleu.sentence_chrf divided by 100
  bertscore bertscore_precision bertscore_recall
                           F-measure, precision and recall of matched token embeddings, as bert_score
  embedding_similarity     cosine of the mean token embeddings
  json_valid               1 when the output is JSON; needs no reference
  refusal                  1 when the output declines to answer; needs no reference

A model is a folder with config.json, tokenizer.json and model.safetensors (BERT, RoBERTa, DistilBERT, MiniLM and their \
relatives), or its name on the Hugging Face hub: it is taken from the hub's cache, or downloaded into it first (HF_HOME, \
HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN count as they do for the hub's own programs). Embeddings of references \
are kept in .llmops/embeddings of the project, else in the user's cache, so that the next time takes half as long; \
scoring.embedding_cache_mb limits them.

The summary has the mean of each metric with its 95 % interval, and BLEU, chrF and chrF++ of the corpus as a whole.";

/// Where pairs come from.
struct Source {
    name: String,
    /// In bytes, where it is known.
    size: Option<u64>,
    read: Box<dyn Read + Send>,
}

impl Source {
    fn open(path: &Path) -> Outcome<Self> {
        if path == Path::new("-") {
            return Ok(Self { name: "standard input".to_owned(), size: None, read: Box::new(io::stdin()) });
        }
        let name = path.display().to_string();
        let open = || {
            let file = File::open(path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))
            } else {
                Ok((file, about))
            }
        };
        let (file, about) = open().map_err(|e| Failure::because(Kind::Usage, format!("cannot read {name}"), &e))?;
        Ok(Self { name, size: about.is_file().then_some(about.len()), read: Box::new(file) })
    }
}

/// Whether two paths lead to one file, by whatever links. Devices are written to as they are.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &ScoreArgs) -> Outcome {
    let scorer = Scorer::new(&args.metrics, args.stem)?;
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if output.is_some_and(|output| is_same_file(&args.input, output)) {
        let shown = args.input.display();
        return Err(Failure::usage(format!("{shown} is what is read: name another file with --output")));
    }
    let source = Source::open(&args.input)?;
    let neural = Neural::load(context, &args.neural, scorer.metrics(), &args.input).await?;
    let scorer = Arc::new(scorer.with(neural));
    let cannot_write = |e: io::Error| {
        let shown = output.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        Failure::because(Kind::Undecided, format!("cannot write {shown}"), &e)
    };
    let mut target = OutputFile::open(output).map_err(cannot_write)?;
    let work = Work {
        bar: progress_bar(context, &source, output.is_none()),
        name: source.name,
        scorer: Arc::clone(&scorer),
        writer: target.writer(),
    };
    let bar = work.bar.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    // Not tokio's: it would wait for a thread that is stuck in reading a terminal.
    std::thread::spawn(move || {
        // Nobody listens any more when the user has stopped it.
        let _ = tell.send(work.run(source.read));
    });
    let ended = tokio::select! {
        ended = told => ended.unwrap_or_else(|_| Err(Failure::new(Kind::Undecided, "the thread that writes has died"))),
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Kind::Undecided, "stopped")),
    };
    bar.finish_and_clear();
    let Some(tally) = ended? else { return Ok(()) };
    target.finish().map_err(cannot_write)?;
    report(context, output, &tally.summary(&scorer)?)
}

fn report(context: &Context, output: Option<&Path>, summary: &Summary) -> Outcome {
    match output {
        Some(path) => {
            context.show(summary, || summary.table(context.ui.out))?;
            context.note(&format!("wrote {}", path.display()));
        }
        None if context.global.json => context.note(&json(summary)?),
        None => context.note(summary.table(context.ui.err).trim_end()),
    }
    Ok(())
}

fn progress_bar(context: &Context, source: &Source, prints_lines: bool) -> ProgressBar {
    // Lines and a bar would overwrite each other on one terminal.
    let hidden = context.global.quiet || (prints_lines && io::IsTerminal::is_terminal(&io::stdout()));
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
    let bar = ProgressBar::with_draw_target(source.size, target);
    let template =
        if source.size.is_some() { "{prefix} {bar:30} {percent}% {msg} {eta}" } else { "{prefix} {spinner} {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_prefix(format::one_line(&source.name));
    bar
}

/// Everything that the writing thread needs.
struct Work {
    name: String,
    scorer: Arc<Scorer>,
    writer: Box<dyn Write + Send>,
    bar: ProgressBar,
}

impl Work {
    /// Scores every pair and writes its line. `None` when whoever reads the lines went away.
    fn run(mut self, input: Box<dyn Read + Send>) -> Outcome<Option<Tally>> {
        let mut tally = Tally::new(self.scorer.metrics().len());
        let mut mistakes = Mistakes::default();
        let mut pool = Pool::start(input, &self.scorer);
        let started = Instant::now();
        while let Some(done) = pool.next() {
            let done = done.map_err(|e| Failure::because(Kind::Undecided, format!("cannot read {}", self.name), &e))?;
            self.bar.set_position(done.position);
            mistakes.add(&self.name, &done.problems);
            if mistakes.count > 0 {
                pool.only_check();
                continue;
            }
            tally.add(&done)?;
            self.bar
                .set_message(format!("{:.0} pairs/s", tally.pairs as f64 / started.elapsed().as_secs_f64().max(1e-3)));
            match self.writer.write_all(&done.lines).and_then(|()| self.writer.flush()) {
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
                written => written.map_err(|e| Failure::because(Kind::Undecided, "cannot write the scores", &e))?,
            }
        }
        if mistakes.count > 0 {
            return Err(mistakes.failure(&self.name));
        }
        if tally.pairs == 0 {
            return Err(
                Failure::new(Kind::No, format!("{} is empty: there is no pair to score", self.name)).hint(EXAMPLE)
            );
        }
        Ok(Some(tally))
    }
}

#[derive(Default)]
struct Mistakes {
    count: usize,
    told: Vec<String>,
}

impl Mistakes {
    fn add(&mut self, name: &str, problems: &[(u64, String)]) {
        self.count += problems.len();
        let room = MAX_PROBLEMS.saturating_sub(self.told.len());
        self.told.extend(problems.iter().take(room).map(|(line, problem)| format!("{name}:{line}: {problem}")));
    }

    fn failure(self, name: &str) -> Failure {
        let first =
            if self.count > self.told.len() { format!("; the first {} are", self.told.len()) } else { String::new() };
        let what = format::count(self.count as u64, "mistake");
        Failure::new(Kind::No, format!("{name} has {what}{first}")).problems(self.told).hint(EXAMPLE)
    }
}

/// What is known of all pairs together. Its size does not depend on their number.
struct Tally {
    pairs: u64,
    moments: Vec<Moments>,
    corpus: Corpus,
}

impl Tally {
    fn new(metrics: usize) -> Self {
        Self { pairs: 0, moments: vec![Moments::new(); metrics], corpus: Corpus::default() }
    }

    /// Adds score by score, so that the sums do not depend on where the input was cut.
    fn add(&mut self, done: &Done) -> Outcome {
        self.pairs += done.pairs;
        self.corpus += done.corpus;
        for scores in done.scores.chunks(self.moments.len().max(1)) {
            for (moments, score) in self.moments.iter_mut().zip(scores) {
                moments.push(*score).map_err(|e| Failure::because(Kind::Undecided, "a score is no number", &e))?;
            }
        }
        Ok(())
    }

    fn summary(&self, scorer: &Scorer) -> Outcome<Summary> {
        let mut metrics = Vec::new();
        for ((name, metric), moments) in scorer.metrics().iter().zip(&self.moments) {
            let mean = moments
                .mean_estimate(LEVEL)
                .map_err(|e| Failure::because(Kind::Undecided, format!("{name} has no mean"), &e))?;
            // Scores lie in [0, 1], and so does their mean; rescaled ones have no lower end.
            let is_rescaled = scorer.neural().is_rescaled() && metric.part().is_some();
            let lowest = if is_rescaled { f64::MIN } else { 0.0 };
            let ranged = (!is_rescaled && mean.n > 1).then(|| bounded::mean(&mean, Range::UNIT, LEVEL));
            let mean = ranged.and_then(Result::ok).unwrap_or(mean);
            let ends = mean.interval.map_or([mean.value; 2], |i| [i.low.clamp(lowest, 1.0), i.high.clamp(lowest, 1.0)]);
            let estimate = Estimate { value: mean.value, n: mean.n, lower: ends[0], upper: ends[1] };
            metrics.push((*name, MetricSummary { mean: estimate, corpus: self.corpus.score(*metric) }));
        }
        Ok(Summary { pairs: self.pairs, metrics })
    }
}

#[derive(Serialize)]
struct Summary {
    pairs: u64,
    #[serde(serialize_with = "as_object")]
    metrics: Vec<(&'static str, MetricSummary)>,
}

#[derive(Serialize)]
struct MetricSummary {
    #[serde(flatten)]
    mean: Estimate,
    /// The score of the corpus as a whole, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    corpus: Option<f64>,
}

fn as_object<S: Serializer>(metrics: &[(&'static str, MetricSummary)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, summary)| (name, summary)))
}

impl Summary {
    fn table(&self, look: Look) -> String {
        let columns =
            [Column::text("metric"), Column::number("mean"), Column::number("n"), Column::text("95 % interval")];
        let row = |name: String, value: f64, interval: String| {
            vec![Cell::from(name), format::number(value).into(), self.pairs.to_string().into(), interval.into()]
        };
        let mut rows = Vec::new();
        for (name, MetricSummary { mean, .. }) in &self.metrics {
            let interval = if format::has_interval(mean) {
                format::interval([mean.lower, mean.upper])
            } else {
                format::NONE.to_owned()
            };
            rows.push(row((*name).to_owned(), mean.value, interval));
        }
        for (name, summary) in &self.metrics {
            rows.extend(
                summary.corpus.map(|score| row(format!("{name} of the corpus"), score, format::NONE.to_owned())),
            );
        }
        table(look, &columns, rows)
    }
}
