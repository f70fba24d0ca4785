//! `llmops records`: what the gateway keeps of its calls.

mod table;
mod tail;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use llmops_api::Client;
use llmops_api::deployments::{ErasureQuery, SoftFailureQuery, SoftFailureRate};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::record::{CallOutcome, RecordFilter, RequestRecord};

use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};
use crate::times;

/// Records asked for at a time.
const PAGE: u32 = 500;
/// Records of one group of rows of a Parquet file, at least.
const GROUP: usize = 5_000;

/// What the gateway keeps of its calls.
#[derive(Debug, Subcommand)]
pub(crate) enum RecordsCommand {
    /// List records, newest first
    Query {
        #[command(flatten)]
        which: WhichArgs,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Follow new records until Ctrl-C
    Tail {
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Show one record with everything that is kept of it
    Show {
        /// The id, as the answer's x-llmops-request-id says it; or `latest`
        id: String,
    },
    /// Write records as JSON Lines or Parquet, newest first
    Export {
        #[command(flatten)]
        which: WhichArgs,
        /// The format; else the one that the file's ending tells, else JSON Lines
        #[arg(long, value_enum)]
        format: Option<ExportFormat>,
        /// The file; else standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show how many answers of a deployment failed softly, with the interval of their share
    SoftFailures {
        /// The deployment
        deployment: String,
        /// The environment
        #[arg(long, short, value_name = "NAME", default_value = "production")]
        environment: String,
        /// In the last 30m, 1h, 1d …; else the window of the deployment's alert
        #[arg(long, value_name = "DURATION")]
        window: Option<HumanDuration>,
    },
    /// Delete everything that is kept of a user's calls; in experiments, the user's name and attributes
    Erase {
        /// The end user, as the application names them
        #[arg(long, value_name = "ID")]
        user: String,
    },
}

/// What records are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A JSON object a line
    #[value(alias = "jsonl")]
    Ndjson,
    /// Apache Parquet
    Parquet,
}

/// Which records.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Calls of this deployment
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Calls in this environment
    #[arg(long, short, value_name = "NAME")]
    environment: Option<String>,
    /// Calls that this manifest answered: the beginning of its hash
    #[arg(long, value_name = "HASH")]
    manifest: Option<String>,
    /// Calls of this model
    #[arg(long, value_name = "PROVIDER/MODEL")]
    model: Option<String>,
    /// Calls for this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Calls in this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// ok, upstream_error, unavailable, cut, cancelled or refused
    #[arg(long, value_parser = outcome)]
    outcome: Option<CallOutcome>,
    /// Only calls with soft failures
    #[arg(long)]
    soft_failed: bool,
    /// At or after this time: how long ago (1h, 7d), a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    since: Option<jiff::Timestamp>,
    /// Before this time; a date is its beginning, in UTC
    #[arg(long, value_name = "TIME", value_parser = times::past)]
    until: Option<jiff::Timestamp>,
}

fn outcome(text: &str) -> Result<CallOutcome, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| "expected ok, upstream_error, unavailable, cut, cancelled or refused".to_owned())
}

impl From<WhichArgs> for RecordFilter {
    fn from(which: WhichArgs) -> Self {
        Self {
            deployment: which.deployment,
            environment: which.environment,
            manifest: which.manifest,
            model: which.model,
            user: which.user,
            session: which.session,
            outcome: which.outcome,
            soft_failed: which.soft_failed.then_some(true),
            start_time: which.since,
            end_time: which.until,
            ..Self::default()
        }
    }
}

fn describe_rate(rate: &SoftFailureRate) -> String {
    match (rate.rate, rate.interval) {
        (Some(share), Some([low, high])) => format!(
            "{:.1} % of {} answers in the last {} failed softly (95 % interval {:.1} to {:.1} %)",
            share * 100.0,
            rate.calls,
            rate.window,
            low * 100.0,
            high * 100.0
        ),
        _ => format!("No answers in the last {}. `--window 1d` looks further back.", rate.window),
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: RecordsCommand) -> Outcome {
    let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
    match command {
        RecordsCommand::SoftFailures { deployment, environment, window } => {
            let query = SoftFailureQuery { environment: Some(environment), window };
            let rate = client.soft_failure_rate(&deployment, &query).await?;
            context.show(&rate, || describe_rate(&rate))
        }
        RecordsCommand::Query { which, limit } => {
            let records = client.list_records(&RecordFilter { limit: Some(limit), ..which.into() }).await?;
            context.show_page(&records, More::ByLimit, || list(context, &records.items))
        }
        RecordsCommand::Tail { which } => tail::run(context, &client, which.into()).await,
        RecordsCommand::Show { id } => {
            let record = if id == "latest" { newest(&client, None).await? } else { client.get_record(&id).await? };
            context.print(&super::json(&record)?)
        }
        RecordsCommand::Export { which, format, output } => {
            let is_parquet = output.as_ref().is_some_and(|path| path.extension().is_some_and(|e| e == "parquet"));
            match (format, output) {
                (Some(ExportFormat::Parquet), None) => {
                    Err(Failure::usage("a Parquet file has to be read back and forth: name it with --output FILE"))
                }
                (Some(ExportFormat::Parquet), Some(path)) => parquet(context, &client, which.into(), path).await,
                (None, Some(path)) if is_parquet => parquet(context, &client, which.into(), path).await,
                (_, output) => export(context, &client, which.into(), output).await,
            }
        }
        RecordsCommand::Erase { user } => {
            let erased = client.erase_records(&ErasureQuery { user }).await?;
            context.show(&erased, || {
                let (records, feedback, items) = (erased.records, erased.feedback, erased.review_items);
                let mut text = format!(
                    "deleted: {records} records, {feedback} pieces of feedback, {items} items of the review queue, {} pairs of \
                     canaries, {} samples, the words in {} post-mortems",
                    erased.shadow_pairs, erased.samples, erased.post_mortems
                );
                if !erased.datasets_left.is_empty() {
                    text += &format!(
                        "\nearlier versions of these datasets, and runs on them, still have what was asked: {}",
                        erased.datasets_left.join(", ")
                    );
                }
                text
            })
        }
    }
}

/// The newest record, of all or of those that ended so.
pub(super) async fn newest(client: &Client, outcome: Option<CallOutcome>) -> Outcome<RequestRecord> {
    let query = RecordFilter { limit: Some(1), outcome, ..RecordFilter::default() };
    client.list_records(&query).await?.items.pop().ok_or_else(|| {
        Failure::usage(if outcome == Some(CallOutcome::Ok) {
            "no call was answered yet"
        } else {
            "there is no call yet"
        })
        .hint("point an OpenAI client at `llmops serve` to make one")
    })
}

const COLUMNS: [Column; 8] = [
    Column::text("when (UTC)"),
    Column::id("record"),
    Column::text("deployment"),
    Column::text("model").optional(),
    Column::text("ended"),
    Column::number("first ms").optional(),
    Column::number("ms"),
    Column::number("tokens").optional(),
];

fn list(context: &Context, records: &[RequestRecord]) -> String {
    if records.is_empty() {
        return "There are no such records. Point an OpenAI client at `llmops serve` to make some.".to_owned();
    }
    terminal::table(context.ui.out, &COLUMNS, records.iter().map(row).collect())
}

fn row(record: &RequestRecord) -> Vec<Cell> {
    let tokens = record.usage.prompt_tokens.saturating_add(record.usage.completion_tokens);
    let estimated = if record.usage_estimated { "~" } else { "" };
    vec![
        record.at.strftime("%m-%d %H:%M:%S").to_string().into(),
        (&record.id).into(),
        record.deployment.as_deref().unwrap_or("–").into(),
        (&record.model).into(),
        ended(record),
        record.first_byte_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default().into(),
        format!("{:.1}", record.total_ms).into(),
        format!("{estimated}{tokens}").into(),
    ]
}

fn ended(record: &RequestRecord) -> Cell {
    if let Some(first) = record.soft_failures.first() {
        let kind = serde_json::to_value(first.kind).ok().and_then(|v| v.as_str().map(str::to_owned));
        return Cell::toned(Tone::Warn, format!("ok, but {}", kind.unwrap_or_default()));
    }
    if let Some(check) = record.undecided.first() {
        return Cell::toned(Tone::Warn, format!("ok, {} undecided", check.as_str()));
    }
    let status = record.status;
    match record.outcome {
        CallOutcome::Ok if record.safe_mode => Cell::toned(Tone::Warn, "ok, in safe mode"),
        CallOutcome::Ok => Cell::toned(Tone::Good, "ok"),
        CallOutcome::UpstreamError => Cell::toned(Tone::Bad, format!("provider {status}")),
        CallOutcome::Unavailable => Cell::toned(Tone::Bad, "unavailable"),
        CallOutcome::Cut => Cell::toned(Tone::Bad, "cut"),
        CallOutcome::Cancelled => Cell::toned(Tone::Plain, "cancelled"),
        CallOutcome::Refused => Cell::toned(Tone::Warn, format!("refused {status}")),
    }
}

async fn export(context: &Context, client: &Client, mut filter: RecordFilter, output: Option<PathBuf>) -> Outcome {
    let fail = |e: std::io::Error| Failure::because(Kind::Undecided, "cannot write the records", &e);
    let mut file = output.as_ref().map(std::fs::File::create).transpose().map_err(fail)?.map(std::io::BufWriter::new);
    filter.limit = Some(PAGE);
    let mut count = 0;
    loop {
        let page = client.list_records(&filter).await?;
        for record in &page.items {
            let text =
                serde_json::to_string(record).map_err(|e| Failure::because(Kind::Undecided, "no JSON form", &e))?;
            match &mut file {
                Some(file) => writeln!(file, "{text}").map_err(fail)?,
                None => context.print(&text)?,
            }
            count += 1;
        }
        let Some(cursor) = page.next_cursor else { break };
        filter.cursor = Some(cursor);
    }
    if let Some(file) = &mut file {
        file.flush().map_err(fail)?;
    }
    context.note(&format!("{count} records"));
    Ok(())
}

/// Writes a Parquet file, group by group.
async fn parquet(context: &Context, client: &Client, mut filter: RecordFilter, path: PathBuf) -> Outcome {
    let fail =
        |e: &dyn std::error::Error| Failure::because(Kind::Undecided, format!("cannot write {}", path.display()), e);
    let file = std::fs::File::create(&path).map_err(|e| fail(&e))?;
    let mut table = table::begin(std::io::BufWriter::new(file)).map_err(|e| fail(&e))?;
    filter.limit = Some(PAGE);
    let (mut count, mut group) = (0, Vec::new());
    loop {
        let page = client.list_records(&filter).await?;
        count += page.items.len();
        group.extend(page.items);
        if group.len() >= GROUP || page.next_cursor.is_none() {
            table.write(&group).map_err(|e| fail(&e))?;
            group.clear();
        }
        let Some(cursor) = page.next_cursor else { break };
        filter.cursor = Some(cursor);
    }
    table.finish().map_err(|e| fail(&e))?;
    context.note(&format!("{count} records"));
    Ok(())
}
