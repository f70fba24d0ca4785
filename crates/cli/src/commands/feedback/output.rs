//! What is made of feedback: training data, hard examples, reports.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use llmops_api::Client;
use llmops_api::feedback::{ExportCounts, ExportFormat, ExportQuery, HardExamples, ReportQuery, SendReport};
use llmops_domain::feedback;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::times;

/// What is exported.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// jsonl: feedback with question and answer. openai-ft: conversations for fine-tuning. preference: chosen and rejected
    #[arg(long, value_enum, default_value = "jsonl")]
    format: FormatArg,
    /// Only answers of this deployment
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Said at or after this time: how long ago (1h, 7d), a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    since: Option<jiff::Timestamp>,
    /// Most examples
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Also examples in which [email], [phone], [card], [iban], [ssn] or [key] stands for what was replaced
    #[arg(long)]
    redacted: bool,
    /// The file; else standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    Jsonl,
    OpenaiFt,
    Preference,
}

/// The dataset of hard examples.
#[derive(Debug, Args)]
pub(crate) struct HardArgs {
    /// The dataset, which is made where there is none
    #[arg(default_value = "hard-examples")]
    dataset: String,
    /// Only answers of this deployment
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Said at or after this time: how long ago (1h, 7d), a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    since: Option<jiff::Timestamp>,
    /// Most samples
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

/// What is reported, and where to.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Only answers of this deployment
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// How many days; they are compared with as many before
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// The embedding model that groups complaints; else the one of the configuration, else words
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Send it to this channel of the configuration
    #[arg(long, value_name = "CHANNEL")]
    send: Option<String>,
    /// Write it to a file, too: .md, .html or .json; repeatable
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
}

/// `llmops feedback export`
pub(super) async fn export(context: &Context, client: &Client, args: ExportArgs) -> Outcome {
    let query = ExportQuery {
        format: match args.format {
            FormatArg::Jsonl => ExportFormat::Jsonl,
            FormatArg::OpenaiFt => ExportFormat::OpenaiFt,
            FormatArg::Preference => ExportFormat::Preference,
        },
        deployment: args.deployment,
        start_time: args.since,
        end_time: None,
        limit: Some(args.limit),
        redacted: args.redacted,
    };
    let (counts, mut lines) = client.export_feedback(&query).await?;
    let shown = args.output.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
    let fail = |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot write {shown}"), &e);
    let mut out: Box<dyn AsyncWrite + Unpin> = match &args.output {
        Some(path) => Box::new(tokio::io::BufWriter::new(tokio::fs::File::create(path).await.map_err(fail)?)),
        None => Box::new(tokio::io::stdout()),
    };
    while let Some(chunk) = lines.next().await {
        let chunk = chunk.map_err(|e| Failure::because(Kind::Undecided, "the export broke off", &e))?;
        out.write_all(&chunk).await.map_err(fail)?;
    }
    out.flush().await.map_err(fail)?;
    context.note(&told(&counts));
    if context.global.json && args.output.is_some() {
        return context.show(&serde_json::json!({"file": args.output, "counts": counts}), String::new);
    }
    Ok(())
}

/// What was exported and what was not, in a sentence.
fn told(counts: &ExportCounts) -> String {
    let parts = [
        (counts.duplicates, "near-duplicates"),
        (counts.secrets, "with secrets"),
        (counts.redacted, "with something replaced (--redacted takes them)"),
        (counts.without_text, "without a text of the question"),
        (counts.without_answer, "without an answer to learn from"),
    ];
    let left: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let left = if left.is_empty() { String::new() } else { format!("; left out: {}", left.join(", ")) };
    format!("{} examples{left}", counts.examples)
}

/// `llmops feedback hard-examples`
pub(super) async fn hard_examples(context: &Context, client: &Client, args: HardArgs) -> Outcome {
    let request =
        HardExamples { dataset: args.dataset, deployment: args.deployment, start_time: args.since, limit: args.limit };
    let made = client.make_hard_examples(&request).await?;
    context.show(&made, || {
        let version = &made.dataset.version;
        let (name, hash, n) = (&version.dataset, version.version.short(), version.sample_count);
        format!("{name}@{hash} has {n} samples; {}", told(&made.counts))
    })
}

/// How a report is written to a file.
type ReportWriter = fn(&feedback::FeedbackReport) -> String;

/// `llmops feedback report`
pub(super) async fn report(context: &Context, client: &Client, args: ReportArgs) -> Outcome {
    let mut writers: Vec<(PathBuf, ReportWriter)> = Vec::new();
    for path in args.output {
        let writer: ReportWriter = match path.extension().and_then(|e| e.to_str()) {
            Some("md") => feedback::markdown,
            Some("html") => feedback::html,
            Some("json") => |report: &feedback::FeedbackReport| super::super::json(report).unwrap_or_default(),
            _ => return Err(Failure::usage(format!("{}: expected .md, .html or .json", path.display()))),
        };
        writers.push((path, writer));
    }
    let query = ReportQuery { deployment: args.deployment, days: Some(args.days), end_time: None, model: args.model };
    let report = match &args.send {
        Some(channel) => {
            let request = SendReport { channel: channel.clone(), report: query };
            let report = client.send_feedback_report(&request).await?;
            context.note(&format!("sent to {channel}"));
            report
        }
        None => client.feedback_report(&query).await?,
    };
    for (path, writer) in writers {
        super::super::write_file(&path, &writer(&report))?;
        context.note(&format!("wrote {}", path.display()));
    }
    context.show(&report, || feedback::markdown(&report))
}
