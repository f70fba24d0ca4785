//! `llmops feedback`: what people say of answers.

mod output;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use llmops_api::Client;
use llmops_api::feedback::{FeedbackSummary, FeedbackSummaryRow, ReceivedFeedback, SummaryBy, SummaryQuery};
use llmops_domain::feedback::{Feedback, FeedbackFilter, Sentiment, Thumb};
use llmops_domain::record::CallOutcome;
use llmops_domain::run::Estimate;
use llmops_domain::scorecard::format;
use serde_json::{Map, Value, json};

use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_text};
use crate::terminal::{self, Cell, Column, Tone};
use crate::times;

/// Pieces of feedback sent at a time.
const BATCH: usize = 500;

/// What people say of answers.
#[derive(Debug, Subcommand)]
pub(crate) enum FeedbackCommand {
    /// Say how an answer was, or send a file of such words
    Add(Box<AddArgs>),
    /// List feedback, newest first
    List(ListArgs),
    /// Sum feedback up, with numbers of answers and intervals
    Summary(SummaryArgs),
    /// Write feedback as training data; near-duplicates and secrets stay out
    Export(output::ExportArgs),
    /// Make a dataset of the questions whose answers were found bad
    HardExamples(output::HardArgs),
    /// The last week by prompt version, and what complaints are about
    Report(output::ReportArgs),
}

/// What is said.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The request's id, as the answer's x-llmops-request-id says it; or `latest`: the newest answered call
    #[arg(required_unless_present_any = ["trace", "file"], conflicts_with = "file")]
    request: Option<String>,
    /// Instead: the id of the trace that the request belongs to
    #[arg(long, value_name = "ID", conflicts_with_all = ["request", "file"])]
    trace: Option<String>,
    /// Up or down
    #[arg(long, value_enum)]
    thumb: Option<ThumbArg>,
    /// A rating and its scale, such as 4/5
    #[arg(long, value_name = "VALUE/SCALE", value_parser = rating)]
    rating: Option<Value>,
    /// A word of your choice
    #[arg(long, value_name = "WORD")]
    label: Option<String>,
    /// What the person wrote
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The answer as it should have been
    #[arg(long, value_name = "TEXT")]
    correction: Option<String>,
    /// What the application noticed, such as copied=true; repeatable
    #[arg(long = "signal", value_name = "NAME=VALUE")]
    signals: Vec<String>,
    /// The same key again is the same feedback
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A file with a JSON object a line: {"request_id": …, "thumb": "up", …}
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ThumbArg {
    Up,
    Down,
}

fn rating(text: &str) -> Result<Value, String> {
    let expected = || format!("`{text}` is no rating: expected VALUE/SCALE, such as 4/5");
    let (value, scale) = text.split_once('/').ok_or_else(expected)?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    Ok(json!({"value": number(value).ok_or_else(expected)?, "scale": number(scale).ok_or_else(expected)?}))
}

/// Which feedback is listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// On answers of this deployment
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// On the answer to this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// negative, neutral or positive
    #[arg(long, value_parser = sentiment)]
    sentiment: Option<Sentiment>,
    /// Only feedback with a correction
    #[arg(long)]
    corrected: bool,
    /// At or after this time: how long ago (1h, 7d), a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    since: Option<jiff::Timestamp>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Where the list before ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

fn sentiment(text: &str) -> Result<Sentiment, String> {
    serde_json::from_value(json!(text)).map_err(|_| "expected negative, neutral or positive".to_owned())
}

/// What is summed up, by what.
#[derive(Debug, Args)]
pub(crate) struct SummaryArgs {
    /// all, day, prompt, manifest, variant, deployment, model or tag
    #[arg(long, default_value = "prompt", value_parser = by)]
    by: SummaryBy,
    /// Only answers of this deployment
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// From the day of this time on; else the last 30 days
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    since: Option<jiff::Timestamp>,
    /// Up to the day of this time; else today
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    until: Option<jiff::Timestamp>,
}

fn by(text: &str) -> Result<SummaryBy, String> {
    serde_json::from_value(json!(text))
        .map_err(|_| "expected all, day, prompt, manifest, variant, deployment, model or tag".to_owned())
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: FeedbackCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    match command {
        FeedbackCommand::Add(args) => add(context, &client, *args).await,
        FeedbackCommand::List(args) => {
            let filter = FeedbackFilter {
                deployment: args.deployment,
                request_id: args.request,
                sentiment: args.sentiment,
                corrected: args.corrected.then_some(true),
                start_time: args.since,
                end_time: None,
                cursor: args.cursor,
                limit: Some(args.limit),
            };
            let page = client.list_feedback(&filter).await?;
            context.show_page(&page, More::ByCursor, || list(context, &page.items))
        }
        FeedbackCommand::Summary(args) => {
            let query =
                SummaryQuery { by: args.by, deployment: args.deployment, start_time: args.since, end_time: args.until };
            let summary = client.feedback_summary(&query).await?;
            context.show(&summary, || summed(context, &summary))
        }
        FeedbackCommand::Export(args) => output::export(context, &client, args).await,
        FeedbackCommand::HardExamples(args) => output::hard_examples(context, &client, args).await,
        FeedbackCommand::Report(args) => output::report(context, &client, args).await,
    }
}

async fn add(context: &Context, client: &Client, args: AddArgs) -> Outcome {
    if let Some(file) = &args.file {
        return send_file(context, client, file).await;
    }
    let mut body = Map::new();
    match args.request.as_deref() {
        Some("latest") => {
            let newest = super::records::newest(client, Some(CallOutcome::Ok)).await?;
            body.insert("request_id".to_owned(), json!(newest.id));
        }
        Some(request) => {
            body.insert("request_id".to_owned(), json!(request));
        }
        None => {
            body.insert("trace_id".to_owned(), json!(args.trace));
        }
    }
    let thumb = args.thumb.map(|thumb| if thumb == ThumbArg::Up { Thumb::Up } else { Thumb::Down });
    let parts = [
        ("thumb", json!(thumb)),
        ("rating", json!(args.rating)),
        ("label", json!(args.label)),
        ("comment", json!(args.comment)),
        ("correction", json!(args.correction)),
        ("idempotency_key", json!(args.key)),
        ("signals", read_signals(&args.signals)?),
    ];
    body.extend(parts.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)));
    let received = client.submit_feedback(&body.into()).await?;
    context.show(&received, || told(&received))
}

fn read_signals(pairs: &[String]) -> Outcome<Value> {
    if pairs.is_empty() {
        return Ok(Value::Null);
    }
    let mut signals = Map::new();
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--signal {pair}: expected NAME=VALUE, such as copied=true")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        signals.insert(name.to_owned(), value);
    }
    Ok(signals.into())
}

/// Sends a file in batches. What is wrong with single lines is told at the end, and the other lines are taken.
async fn send_file(context: &Context, client: &Client, file: &Path) -> Outcome {
    let text = read_text(file)?;
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut all, mut lines, mut values) = (ReceivedFeedback::default(), Vec::new(), Vec::new());
    let mut mistakes = Vec::new();
    for (number, line) in (1_u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => {
                lines.push(number);
                values.push(value);
            }
            Err(error) => mistakes.push(format!("{}:{number}: not JSON: {error}", file.display())),
        }
    }
    for (values, lines) in values.chunks(BATCH).zip(lines.chunks(BATCH)) {
        let received = client.submit_feedback(&Value::Array(values.to_vec())).await?;
        all.accepted += received.accepted;
        all.duplicates += received.duplicates;
        all.refused += received.refused;
        all.ids.extend(received.ids);
        for mut problem in received.problems {
            let place = problem.line.and_then(|line| usize::try_from(line).ok()).and_then(|line| line.checked_sub(1));
            problem.line = place.and_then(|place| lines.get(place).copied());
            let field = problem.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
            let line = problem.line.unwrap_or(0);
            mistakes.push(format!("{}:{line}: {field}{}", file.display(), problem.message));
            all.problems.push(problem);
        }
    }
    context.show(&all, || told(&all))?;
    if mistakes.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Kind::No, "some lines were refused; the others were taken").problems(mistakes))
}

fn told(received: &ReceivedFeedback) -> String {
    let mut parts = vec![format!("{} taken", received.accepted)];
    if received.duplicates > 0 {
        parts.push(format!("{} known already", received.duplicates));
    }
    if received.refused > 0 {
        parts.push(format!("{} refused", received.refused));
    }
    let ids = if let [only] = &received.ids[..] { format!(" ({only})") } else { String::new() };
    format!("feedback: {}{ids}", parts.join(", "))
}

const COLUMNS: [Column; 6] = [
    Column::text("when (UTC)"),
    Column::id("feedback"),
    Column::id("request"),
    Column::text("prompt").optional(),
    Column::text("verdict"),
    Column::text("words"),
];

fn list(context: &Context, feedback: &[Feedback]) -> String {
    if feedback.is_empty() {
        return "There is no such feedback. POST /api/v1/feedback takes it, and so does `llmops feedback add`."
            .to_owned();
    }
    terminal::table(context.ui.out, &COLUMNS, feedback.iter().map(row).collect())
}

fn row(feedback: &Feedback) -> Vec<Cell> {
    let body = &feedback.body;
    let tone = match feedback.sentiment {
        Some(Sentiment::Positive) => Tone::Good,
        Some(Sentiment::Negative) => Tone::Bad,
        _ => Tone::Plain,
    };
    let thumb = body.thumb.map(|thumb| if thumb == Thumb::Up { "up" } else { "down" }.to_owned());
    let rating = body.rating.map(|rating| format!("{}/{}", rating.value, rating.scale));
    let verdict: Vec<String> = [thumb, rating, body.label.clone()].into_iter().flatten().collect();
    let corrected = body.correction.as_ref().map(|text| format!("→ {text}"));
    let mut words: Vec<String> = [body.comment.clone(), corrected].into_iter().flatten().collect();
    words.extend(body.signals.iter().map(|(name, value)| format!("{name}={value}")));
    let context = feedback.context.as_ref();
    vec![
        feedback.at.strftime("%m-%d %H:%M:%S").to_string().into(),
        feedback.id.as_str().into(),
        feedback.body.subject().into(),
        match context {
            Some(context) => context.prompt.clone().unwrap_or_else(|| "–".to_owned()).into(),
            None => Cell::toned(Tone::Warn, "no record"),
        },
        Cell::toned(tone, verdict.join(", ")),
        words.join(" ").chars().take(200).collect::<String>().into(),
    ]
}

fn summed(context: &Context, summary: &FeedbackSummary) -> String {
    let (first, last) = (&summary.first_day, &summary.last_day);
    let unjoined = if summary.unjoined == 0 {
        String::new()
    } else {
        let of = format!("{} of the {} answers", summary.unjoined, summary.requests);
        format!("{of} have no record: wrong ids, or records that are still to come (llmops feedback list)\n")
    };
    if summary.rows.is_empty() && summary.requests == 0 {
        return format!("Nothing was said of answers from {first} to {last}.");
    }
    if summary.rows.is_empty() {
        let (n, by) = (summary.requests, summary.by.as_str());
        return format!("Of {n} answers something was said from {first} to {last}, and none has a {by}.\n{unjoined}");
    }
    let columns = [
        Column::text(summary.by.as_str()),
        Column::number("answers"),
        Column::number("thumbs up"),
        Column::number("rating"),
        Column::number("corrected"),
        Column::number("comments"),
    ];
    let rows = summary.rows.iter().map(|row| summary_row(summary.by, row)).collect();
    let foot = format!("{first} to {last}, with 95 % intervals; each answer counts once\n{unjoined}");
    terminal::table(context.ui.out, &columns, rows) + &foot
}

fn summary_row(by: SummaryBy, row: &FeedbackSummaryRow) -> Vec<Cell> {
    // The beginning of a hash is enough for every command.
    let name = match by {
        SummaryBy::Manifest => row.name.get(..12).unwrap_or(&row.name),
        _ => row.name.as_str(),
    };
    let estimate = |estimate: Option<Estimate>| match estimate {
        Some(estimate) => format!("{} n={}", format::estimate(&estimate), estimate.n),
        None => "–".to_owned(),
    };
    vec![
        Cell::toned(Tone::Strong, name),
        row.requests.to_string().into(),
        estimate(row.thumbs_up).into(),
        estimate(row.rating).into(),
        estimate(row.corrected).into(),
        row.comments.to_string().into(),
    ]
}
