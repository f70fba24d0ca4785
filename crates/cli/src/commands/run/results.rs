//! `llmops run results`: what became of every sample, as lines of JSON or as a table.

mod table;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use llmops_api::datasets::SampleAt;
use llmops_api::page::PageQuery;
use llmops_api::runs::{GetRunQuery, ResultQuery};
use llmops_api::{Client, ClientError};
use llmops_domain::chat::ToolCall;
use llmops_domain::dataset::Sample;
use llmops_domain::run::{EvaluationRun, Outcome as What, ResultOrder, ResultStatus, SampleResult};
use parquet::errors::ParquetError;
use serde::Serialize;
use serde_json::Value;

use self::table::{Columns, Metrics, Row, cell};
use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::output_file::OutputFile;
use crate::parquet_file::ParquetFile;

/// Results and samples asked for at a time.
const PAGE: u32 = 500;
/// Rows of one group of a Parquet file.
const GROUP: usize = 5_000;

/// Write the result of every sample and trial, with what was asked and expected
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// The run: an id, `latest` or `baseline`
    run: String,
    /// The file, .jsonl, .csv or .parquet; else standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How it is written; else as the file's ending says, and lines of JSON on standard output
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only results with this status
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only results of this category
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line
    #[value(alias = "ndjson")]
    Jsonl,
    /// A table with a column for each metric; text that spreadsheets would compute has an apostrophe before it
    Csv,
    /// The same table as Apache Parquet
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Passed,
    Failed,
    Errored,
}

/// Why writing ended early.
enum Stop {
    Asking(ClientError),
    Output(io::Error),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Asking(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<csv::Error> for Stop {
    fn from(error: csv::Error) -> Self {
        Self::Output(error.into())
    }
}

impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        Self::Output(io::Error::other(error))
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

/// Runs the command.
pub(super) async fn run(client: &Client, context: &Context, args: &ResultsArgs) -> Outcome {
    let format = match args.format {
        Some(format) => format,
        None => args.output.as_deref().map_or(Ok(Format::Jsonl), format_of)?,
    };
    if format == Format::Parquet && args.output.is_none() {
        return Err(Failure::usage("a Parquet file has to be read back and forth: name it with --output FILE"));
    }
    let run = client.get_run(&args.run, &GetRunQuery::default()).await?;
    let place = args.output.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
    match write(client, &run, args, format).await {
        Ok(results) => {
            if let Some(path) = &args.output {
                context.note(&format!("wrote {}", path.display()));
                if context.global.json {
                    return context.show(&serde_json::json!({"file": path, "results": results}), String::new);
                }
            }
            Ok(())
        }
        Err(Stop::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Output(e)) => Err(Failure::because(Kind::Undecided, format!("cannot write {place}"), &e)),
        Err(Stop::Asking(error)) => Err(error.into()),
    }
}

fn format_of(path: &Path) -> Outcome<Format> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
        Some("csv") => Ok(Format::Csv),
        Some("parquet") => Ok(Format::Parquet),
        _ => Err(Failure::usage(format!("{}: how shall it be written?", path.display()))
            .hint("the ending decides: .jsonl, .csv or .parquet; else say --format")),
    }
}

/// Writes what is asked for, in the order of the dataset, and says how many results that were.
async fn write(client: &Client, run: &EvaluationRun, args: &ResultsArgs, format: Format) -> Result<u64, Stop> {
    let mut file = OutputFile::open(args.output.as_deref())?;
    let mut out = Lines::new(BufWriter::new(file.writer()), format, run)?;
    let mut samples = Samples::of(client, run);
    let mut query = ResultQuery {
        category: args.category.clone(),
        status: args.status.map(|status| match status {
            Status::Passed => ResultStatus::Passed,
            Status::Failed => ResultStatus::Failed,
            Status::Errored => ResultStatus::Errored,
        }),
        order: Some(ResultOrder::Ordinal),
        limit: Some(PAGE),
        ..ResultQuery::default()
    };
    let mut count = 0;
    loop {
        let page = client.list_results(run.id.as_str(), &query).await?;
        for result in &page.items {
            out.add(&Line::of(result, samples.find(result.ordinal).await?))?;
            count += 1;
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    out.finish()?;
    file.finish()?;
    Ok(count)
}

/// The samples of a run's dataset version, read once from the first to the last.
struct Samples<'a> {
    client: &'a Client,
    run: &'a EvaluationRun,
    read: VecDeque<SampleAt>,
    query: PageQuery,
    is_at_end: bool,
}

impl<'a> Samples<'a> {
    fn of(client: &'a Client, run: &'a EvaluationRun) -> Self {
        let query = PageQuery { cursor: None, limit: Some(PAGE) };
        Self { client, run, read: VecDeque::new(), query, is_at_end: false }
    }

    /// The sample at a position, which may not be before the last one that was asked for.
    async fn find(&mut self, ordinal: u64) -> Result<Option<&Sample>, ClientError> {
        loop {
            while self.read.front().is_some_and(|sample| sample.ordinal < ordinal) {
                self.read.pop_front();
            }
            if !self.read.is_empty() || self.is_at_end {
                break;
            }
            let spec = &self.run.spec;
            let page = self.client.list_samples(&spec.dataset, spec.dataset_version.as_str(), &self.query).await?;
            self.read.extend(page.items);
            self.query.cursor = page.next_cursor;
            self.is_at_end = self.query.cursor.is_none();
        }
        Ok(self.read.front().filter(|sample| sample.ordinal == ordinal).map(|at| &at.sample))
    }
}

/// A result with its sample.
#[derive(Serialize)]
struct Line<'a> {
    sample_id: &'a str,
    category: &'a str,
    trial: u32,
    input: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variables: BTreeMap<&'a str, &'a Value>,
    expected_output: &'a [String],
    output: &'a str,
    #[serde(skip_serializing_if = "<[ToolCall]>::is_empty")]
    tool_calls: &'a [ToolCall],
    status: &'static str,
    composite: Option<f64>,
    scores: BTreeMap<&'a str, f64>,
    reasons: BTreeMap<&'a str, &'a str>,
    failures: &'a [String],
    error: Option<&'a str>,
    latency_ms: f64,
    cost: f64,
    judge_cost: f64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cached: bool,
}

impl<'a> Line<'a> {
    fn of(result: &'a SampleResult, sample: Option<&'a Sample>) -> Self {
        let none: &[String] = &[];
        let (status, scored, failures, error) = match &result.outcome {
            What::Scored { scores, passed, failures, .. } => {
                (if *passed { "passed" } else { "failed" }, Some(scores), failures.as_slice(), None)
            }
            What::Errored { message, .. } => ("errored", None, none, Some(message.as_str())),
        };
        let scored = || scored.into_iter().flatten();
        let asked = sample.and_then(|sample| sample.messages.last()).map(|message| message.as_text().into_owned());
        let input = sample.map(|sample| sample.input.clone()).filter(|input| !input.is_empty());
        Self {
            sample_id: &result.sample_id,
            category: &result.category,
            trial: result.trial,
            input: input.or(asked).unwrap_or_default(),
            variables: sample.into_iter().flat_map(|s| &s.variables).map(|(name, value)| (&**name, value)).collect(),
            expected_output: sample.map_or(none, |sample| &sample.expected_output),
            output: &result.output,
            tool_calls: &result.tool_calls,
            status,
            composite: result.outcome.composite(),
            scores: scored().map(|(name, score)| (&**name, score.score)).collect(),
            reasons: scored().filter_map(|(name, score)| Some((&**name, score.reason.as_deref()?))).collect(),
            failures,
            error,
            latency_ms: result.latency_ms,
            cost: result.cost,
            judge_cost: result.judge_cost,
            prompt_tokens: result.usage.prompt_tokens,
            completion_tokens: result.usage.completion_tokens,
            cached: result.cached,
        }
    }
}

/// Where lines go.
enum Lines<W: Write + Send> {
    Json(W),
    Table(Box<csv::Writer<W>>, Metrics, Columns),
    Parquet(Box<Groups<W>>, Metrics),
}

impl<W: Write + Send> Lines<W> {
    fn new(out: W, format: Format, run: &EvaluationRun) -> Result<Self, Stop> {
        let metrics = Metrics::of(run);
        Ok(match format {
            Format::Jsonl => Self::Json(out),
            Format::Csv => {
                let (mut table, columns) = (csv::Writer::from_writer(out), metrics.columns());
                table.write_record(columns.iter().map(|(name, _)| name))?;
                Self::Table(Box::new(table), metrics, columns)
            }
            Format::Parquet => {
                let file = ParquetFile::new(out, metrics.columns())?;
                Self::Parquet(Box::new(Groups { file, waiting: Vec::new() }), metrics)
            }
        })
    }

    fn add(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        match self {
            Self::Json(out) => {
                serde_json::to_writer(&mut *out, line)?;
                out.write_all(b"\n")?;
            }
            Self::Table(table, metrics, columns) => {
                let row = metrics.row(line)?;
                table.write_record(columns.iter().map(|(_, read)| cell(read, &row)))?;
            }
            Self::Parquet(groups, metrics) => groups.add(metrics.row(line)?)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Stop> {
        match self {
            Self::Json(mut out) => out.flush()?,
            Self::Table(mut table, ..) => table.flush()?,
            Self::Parquet(groups, _) => groups.finish()?,
        }
        Ok(())
    }
}

/// Rows that wait until they are a group.
struct Groups<W: Write + Send> {
    file: ParquetFile<W, Row>,
    waiting: Vec<Row>,
}

impl<W: Write + Send> Groups<W> {
    fn add(&mut self, row: Row) -> Result<(), Stop> {
        self.waiting.push(row);
        if self.waiting.len() >= GROUP {
            self.file.write(&self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Stop> {
        self.file.write(&self.waiting)?;
        Ok(self.file.finish()?)
    }
}
