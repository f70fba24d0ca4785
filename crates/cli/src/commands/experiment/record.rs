//! `llmops experiment record`, `import` and `results`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use jiff::Timestamp;
use llmops_api::observations::{ImportObservationsQuery, RecordedObservations, ResultsQuery};
use llmops_domain::experiment::observation::{Observation, read_time};
use llmops_domain::scorecard::format;

use super::super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal;

/// Bytes of a file that are sent at once.
const CHUNK: usize = 1 << 18;

/// What does not count.
const BEFORE: &str = "before the unit was exposed or the experiment began";

/// Record one value of one metric.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The experiment: its id or key
    experiment: String,
    /// The metric
    #[arg(long, value_name = "NAME")]
    metric: String,
    /// The value
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    value: f64,
    /// The unit, such as the user; else the observation is a unit of its own
    #[arg(long, value_name = "UNIT", required_unless_present = "variant")]
    unit: Option<String>,
    /// The variant; else the one that the unit is assigned to
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// When it was observed; else now
    #[arg(long, value_name = "TIME", value_parser = read_time)]
    at: Option<Timestamp>,
    /// The same key again is the same observation
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// Record observations from a file.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The experiment: its id or key
    experiment: String,
    /// CSV with the header unit,variant,metric,value[,at], or JSON Lines. A file of the same name again counts nothing twice: lines
    /// that were added are recorded, and mended values take the place of those before (with a time, a mended line is another one)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take lines without unit, each as a unit of its own
    #[arg(long)]
    no_units: bool,
}

/// What an experiment found so far.
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// The experiment: its id or key
    experiment: String,
    /// Also by day of entry, or by segment
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    by: Vec<By>,
}

/// What results are also shown by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Segment,
}

/// Runs `record`.
pub(crate) async fn record(context: &Context, args: &RecordArgs) -> Outcome {
    let observation = Observation {
        unit: args.unit.clone(),
        variant: args.variant.clone(),
        metric: args.metric.clone(),
        value: args.value,
        at: args.at,
        idempotency_key: args.key.clone(),
    };
    if let Some(problem) = observation.problems().first() {
        return Err(Failure::usage(format!("--{problem}")));
    }
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    let recorded = client.record_metric(&args.experiment, &observation).await?;
    context.show(&recorded, || match (recorded.accepted, recorded.early) {
        (0, _) => "it was recorded before".to_owned(),
        (_, 0) => "recorded".to_owned(),
        _ => format!("recorded, and it does not count: it lies {BEFORE}"),
    })
}

/// Runs `import`.
pub(crate) async fn import(context: &Context, args: &ImportArgs) -> Outcome {
    let shown = args.file.display().to_string();
    let unreadable = |e: &std::io::Error| Failure::because(Kind::Usage, format!("cannot read {shown}"), e);
    let content = std::fs::read(&args.file).map_err(|e| unreadable(&e))?;
    // Lines are known by the file's name and what they say: mended or longer, the file counts nothing twice.
    let source = args.file.file_name().unwrap_or(args.file.as_os_str()).to_string_lossy().into_owned();
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    let content = bytes::Bytes::from(content);
    let parts: Vec<_> =
        (0..content.len()).step_by(CHUNK).map(|at| Ok(content.slice(at..content.len().min(at + CHUNK)))).collect();
    let query = ImportObservationsQuery { source: Some(source), no_units: args.no_units };
    let recorded = client.import_observations(&args.experiment, &query, futures::stream::iter(parts).boxed()).await?;
    context.show(&recorded, || told(&recorded))?;
    if recorded.refused == 0 {
        return Ok(());
    }
    let problems = recorded.problems.iter().map(|problem| {
        let line = problem.line.map_or_else(String::new, |line| format!("line {line}: "));
        let field = problem.field.as_ref().map_or_else(String::new, |field| format!("{field}: "));
        format!("{line}{field}{}", problem.message)
    });
    Err(Failure::new(Kind::No, format!("{shown}: {} refused", format::count(recorded.refused, "line")))
        .problems(problems)
        .hint("mend them and import the file again"))
}

fn told(recorded: &RecordedObservations) -> String {
    let RecordedObservations { accepted, duplicates, replaced, early, .. } = recorded;
    let parts = [
        (*early, format!("{early} of them before the unit was exposed or the experiment began, which do not count")),
        (*duplicates, format!("{duplicates} were recorded before")),
        (*replaced, format!("{replaced} of them with another value, which counts from now on")),
    ];
    let more = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text);
    let all: Vec<String> =
        std::iter::once(format!("{} recorded", format::count(*accepted, "observation"))).chain(more).collect();
    all.join(", ")
}

/// Runs `results`.
pub(crate) async fn results(context: &Context, args: &ResultsArgs) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    let query = ResultsQuery { by_segment: args.by.contains(&By::Segment), by_day: args.by.contains(&By::Day) };
    let result = client.experiment_results(&args.experiment, &query).await?;
    context.show(&result, || terminal::experiment_result(context.ui.out, &result))
}
