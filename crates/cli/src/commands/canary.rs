//! `llmops canary`: a candidate beside what is live, unseen at first, and what became of it.

mod replay;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures::StreamExt as _;
use llmops_api::canaries::{CanaryQuery, ChangeCanary, DecisionQuery, PairQuery, StartCanary};
use llmops_api::deployments::EnvironmentQuery;
use llmops_api::page::{MAX_PAGE, Page};
use llmops_api::{Client, ErrorCode};
use llmops_domain::canary::{Canary, CanaryState, LoggedDecision, PairVerdict, SECOND_KEY, policy};
use llmops_domain::chat::Parameters;
use tokio::io::AsyncWriteExt as _;

use super::deployment::named_manifest;
use super::{Context, More};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, read_text};

/// A candidate beside what is live: unseen, judged, then promoted or aborted.
#[derive(Debug, Subcommand)]
pub(crate) enum CanaryCommand {
    /// Put a candidate beside a deployment
    Start(Box<StartArgs>),
    /// How it stands: wins, losses, bounds against the policy's limits, when it would conclude
    Status(NameArgs),
    /// List canaries, newest first
    List(ListArgs),
    /// Take the candidate out of traffic until it is resumed
    Pause(ChangeArgs),
    /// Go on after a pause
    Resume(ChangeArgs),
    /// Start a draft
    Begin(ChangeArgs),
    /// Let a candidate on that has proved itself; with another key than the one that started it
    Approve(ChangeArgs),
    /// Point the deployment to the candidate now, whatever the numbers say
    Promote(ChangeArgs),
    /// End it at once: the candidate answers nobody any more
    Abort(AbortArgs),
    /// List the pairs, in the order of time
    Pairs(PairsArgs),
    /// The log of decisions, with the numbers that each was made from
    Decisions(DecisionsArgs),
    /// Make every logged decision again, and show where anything else comes out
    Replay(replay::ReplayArgs),
    /// Write the settled pairs as NDJSON
    Export(ExportArgs),
}

/// Put a candidate beside a deployment.
#[derive(Debug, Args)]
#[command(after_help = "\
A manifest:         llmops canary start support-bot --candidate candidate.json --policy canary.yaml
A prompt's version: llmops canary start support-bot --prompt support-bot@1.3.0 --policy canary.yaml
Another model:      llmops canary start support-bot --model openai/gpt-4o-mini --policy canary.yaml
`llmops schema canary-policy` describes the policy; only its judge has no default.")]
pub(crate) struct StartArgs {
    /// The deployment
    name: String,
    /// The candidate: a manifest as a JSON file, or the beginning of a stored one's hash
    #[arg(long, value_name = "FILE|HASH", required_unless_present_any = ["prompt", "model"], conflicts_with_all = ["prompt", "model"])]
    candidate: Option<String>,
    /// The candidate's prompt: NAME, NAME@VERSION or NAME@HASH; else the one that is live
    #[arg(long, value_name = "PROMPT")]
    prompt: Option<String>,
    /// The candidate's model; else the one that is live
    #[arg(long, value_name = "PROVIDER/MODEL")]
    model: Option<String>,
    /// The policy, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The environment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
    /// Only write decisions down: expose, promote and roll back nothing
    #[arg(long)]
    dry_run: bool,
    /// Only make it; `llmops canary begin` starts it
    #[arg(long)]
    draft: bool,
}

/// Which canary.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The canary: its deployment, its id, or the beginning of one
    name: String,
    /// The environment, where it is named by its deployment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
}

/// Which canary, and why.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    which: NameArgs,
    /// Why, for the record of changes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// End it at once.
#[derive(Debug, Args)]
pub(crate) struct AbortArgs {
    /// The canary: its deployment, its id, or the beginning of one
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// All that are not over
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// The environment, where it is named by its deployment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
    /// Why, for the record of changes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// List canaries.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// draft, shadowing, exposing, paused, awaiting_approval, promoting, promoted, concluded or aborted
    #[arg(long)]
    status: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

/// List the pairs.
#[derive(Debug, Args)]
pub(crate) struct PairsArgs {
    #[command(flatten)]
    which: NameArgs,
    /// win, loss or tie
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    verdict: Option<PairVerdict>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

/// The log of decisions.
#[derive(Debug, Args)]
pub(crate) struct DecisionsArgs {
    #[command(flatten)]
    which: NameArgs,
}

/// Write the settled pairs.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    which: NameArgs,
    /// The file; else standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn verdict(text: &str) -> Result<PairVerdict, String> {
    [PairVerdict::Win, PairVerdict::Loss, PairVerdict::Tie]
        .into_iter()
        .find(|verdict| verdict.as_str() == text)
        .ok_or_else(|| format!("`{text}` is no verdict: expected win, loss or tie"))
}

async fn client(context: &Context) -> Outcome<Client> {
    Project::find(&context.global, &context.ui)?.client(&context.global).await
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: CanaryCommand) -> Outcome {
    match command {
        CanaryCommand::Start(args) => start(context, *args).await,
        CanaryCommand::Status(args) => status(context, args).await,
        CanaryCommand::List(args) => list(context, args).await,
        CanaryCommand::Pause(args) => change(context, "pause", args).await,
        CanaryCommand::Resume(args) => change(context, "resume", args).await,
        CanaryCommand::Begin(args) => change(context, "begin", args).await,
        CanaryCommand::Approve(args) => change(context, "approve", args).await,
        CanaryCommand::Promote(args) => change(context, "promote", args).await,
        CanaryCommand::Abort(args) => abort(context, args).await,
        CanaryCommand::Pairs(args) => pairs(context, args).await,
        CanaryCommand::Decisions(args) => decisions(context, args).await,
        CanaryCommand::Replay(args) => replay::run(context, args).await,
        CanaryCommand::Export(args) => export(context, args).await,
    }
}

/// A policy file, with all its mistakes at once.
pub(super) fn read_policy(path: &std::path::Path) -> Outcome<policy::CanaryPolicy> {
    let shown = path.display().to_string();
    policy::parse(&read_text(path)?, &shown).map_err(|problems| Failure::of_file(Kind::Usage, &shown, &problems))
}

async fn start(context: &Context, args: StartArgs) -> Outcome {
    let policy = read_policy(&args.policy)?;
    let (manifest, manifest_hash) = args.candidate.as_deref().map(named_manifest).transpose()?.unwrap_or_default();
    let request = StartCanary {
        deployment: args.name,
        environment: Some(args.environment),
        manifest,
        manifest_hash,
        prompt: args.prompt,
        model: args.model,
        parameters: Parameters::default(),
        policy,
        dry_run: args.dry_run,
        draft: args.draft,
    };
    let started = client(context).await?.start_canary(&request).await?;
    context.show(&started, || show::started(&started))
}

async fn status(context: &Context, args: NameArgs) -> Outcome {
    let query = EnvironmentQuery { environment: Some(args.environment) };
    let report = client(context).await?.get_canary(&args.name, &query).await?;
    context.show(&report, || show::report(context, &report))
}

async fn list(context: &Context, args: ListArgs) -> Outcome {
    let query = CanaryQuery { status: args.status, cursor: None, limit: Some(args.limit) };
    let page = client(context).await?.list_canaries(&query).await?;
    context.show_page(&page, More::ByLimit, || show::list(context, &page.items))
}

async fn change(context: &Context, step: &str, args: ChangeArgs) -> Outcome {
    let change = ChangeCanary { environment: Some(args.which.environment), reason: args.reason };
    let changed = client(context).await?.change_canary(&args.which.name, step, &change).await;
    let canary = changed.map_err(|error| match error.code() {
        // Written right, and not possible now.
        Some(ErrorCode::Conflict) => Failure { kind: Kind::No, ..error.into() },
        _ => error.into(),
    })?;
    context.show(&canary, || show::changed(&canary))?;
    match canary.state {
        // It was let on, and could not be promoted: why is its note.
        CanaryState::Paused { .. } if matches!(step, "promote" | "approve") => {
            let waits = canary.note.as_deref().is_some_and(|note| note.starts_with(SECOND_KEY));
            let kind = if waits { Kind::Waits } else { Kind::No };
            Err(Failure::new(kind, format!("the candidate of {} is not promoted", canary.place())))
        }
        _ => Ok(()),
    }
}

async fn abort(context: &Context, args: AbortArgs) -> Outcome {
    let client = client(context).await?;
    let change = ChangeCanary { environment: Some(args.environment), reason: args.reason };
    let names: Vec<String> = match args.name {
        Some(name) => vec![name],
        None => all(&client).await?.into_iter().filter(|c| !c.state.is_final()).map(|c| c.id.0).collect(),
    };
    let mut aborted = Vec::new();
    for name in names {
        aborted.push(client.change_canary(&name, "abort", &change).await?);
    }
    context.show(&aborted, || match aborted.as_slice() {
        [] => "No canary is under way: nothing to abort.".to_owned(),
        some => some.iter().map(show::changed).collect::<Vec<_>>().join("\n"),
    })
}

async fn all(client: &Client) -> Outcome<Vec<Canary>> {
    let all = Page::all(|cursor| async move {
        client.list_canaries(&CanaryQuery { status: None, cursor, limit: Some(MAX_PAGE) }).await
    });
    Ok(all.await?)
}

async fn pairs(context: &Context, args: PairsArgs) -> Outcome {
    let query = PairQuery {
        environment: Some(args.which.environment),
        verdict: args.verdict,
        limit: Some(args.limit),
        ..PairQuery::default()
    };
    let page = client(context).await?.list_canary_pairs(&args.which.name, &query).await?;
    context.show(&page, || show::pairs(context, &page.items))
}

/// The whole log of a canary.
async fn log(client: &Client, which: &NameArgs) -> Outcome<Vec<LoggedDecision>> {
    let all = Page::all(|cursor| async move {
        let query = DecisionQuery { environment: Some(which.environment.clone()), cursor, limit: Some(MAX_PAGE) };
        client.list_canary_decisions(&which.name, &query).await
    });
    Ok(all.await?)
}

async fn decisions(context: &Context, args: DecisionsArgs) -> Outcome {
    let log = log(&client(context).await?, &args.which).await?;
    context.show(&log, || show::decisions(context, &log))
}

async fn export(context: &Context, args: ExportArgs) -> Outcome {
    let query = EnvironmentQuery { environment: Some(args.which.environment) };
    let mut rows = client(context).await?.export_canary(&args.which.name, &query).await?;
    let failed = |e: std::io::Error| Failure::because(Kind::Undecided, "the export broke off", &e);
    let mut out: Box<dyn tokio::io::AsyncWrite + Unpin> = match &args.output {
        Some(path) => Box::new(tokio::fs::File::create(path).await.map_err(failed)?),
        None => Box::new(tokio::io::stdout()),
    };
    while let Some(piece) = rows.next().await {
        out.write_all(&piece.map_err(failed)?).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)
}
