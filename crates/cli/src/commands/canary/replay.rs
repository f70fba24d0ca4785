//! `llmops canary replay`: every logged decision made again.

use std::path::{Path, PathBuf};

use clap::Args;
use futures::StreamExt as _;
use llmops::canary::replay::{Replayed, replay};
use llmops_api::Client;
use llmops_api::deployments::EnvironmentQuery;
use llmops_domain::canary::{LoggedDecision, ShadowPair, ShadowRow};
use serde::de::DeserializeOwned;

use super::{NameArgs, client, log, read_policy};
use crate::commands::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::read_text;
use crate::terminal::{self, Cell, Column, Tone};

/// Make every logged decision again.
#[derive(Debug, Args)]
#[command(after_help = "\
Of a canary:     llmops canary replay support-bot
With new rules:  llmops canary replay support-bot --policy stricter.yaml
From files:      llmops canary decisions support-bot --json > log.json; llmops canary export support-bot -o pairs.ndjson
                 llmops canary replay --log log.json --pairs pairs.ndjson --policy canary.yaml")]
pub(crate) struct ReplayArgs {
    /// The canary: its deployment, its id, or the beginning of one
    #[arg(required_unless_present = "log")]
    name: Option<String>,
    /// The environment, where it is named by its deployment
    #[arg(long, short, value_name = "NAME", default_value = "production")]
    environment: String,
    /// The log as `llmops canary decisions --json` writes it, instead of a canary
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    log: Option<PathBuf>,
    /// The pairs as `llmops canary export` writes them
    #[arg(long, value_name = "FILE", requires = "log")]
    pairs: Option<PathBuf>,
    /// The policy to decide by; else the canary's own, which a log does not have: --log needs it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Runs the command. The answer is no where anything else comes out.
pub(super) async fn run(context: &Context, args: ReplayArgs) -> Outcome {
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let replayed = match (&args.log, args.name) {
        (None, Some(name)) => {
            let which = NameArgs { name, environment: args.environment };
            let client = client(context).await?;
            let query = EnvironmentQuery { environment: Some(which.environment.clone()) };
            let canary = client.get_canary(&which.name, &query).await?.canary;
            let pairs = fetch_pairs(&client, &which, &query).await?;
            replay(&policy.unwrap_or(canary.policy), &log(&client, &which).await?, &pairs)
        }
        (file, _) => {
            let file = file.as_deref().unwrap_or(Path::new(""));
            let log: Vec<LoggedDecision> = serde_json::from_str(&read_text(file)?)
                .map_err(|e| Failure::usage(format!("{}: no log of decisions: {e}", file.display())))?;
            let pairs = args.pairs.as_deref().map(|path| rows(&read_text(path)?, path)).transpose()?;
            let policy = policy.ok_or_else(|| {
                Failure::usage("a log does not have the policy that it was made by")
                    .hint("--policy FILE; `llmops canary status NAME --json` has it, as canary.policy")
            })?;
            replay(&policy, &log, &pairs.unwrap_or_default())
        }
    };
    context.show(&replayed, || shown(context, &replayed))?;
    let differing = replayed.iter().filter(|decision| !decision.differences.is_empty()).count();
    if differing == 0 {
        return Ok(());
    }
    Err(Failure::new(Kind::No, format!("{differing} of {} decisions come out differently", replayed.len())))
}

async fn fetch_pairs(client: &Client, which: &NameArgs, query: &EnvironmentQuery) -> Outcome<Vec<ShadowPair>> {
    let mut pieces = client.export_canary(&which.name, query).await?;
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        let failed = |e: std::io::Error| Failure::because(Kind::Undecided, "the export broke off", &e);
        text.extend_from_slice(&piece.map_err(failed)?);
    }
    rows(&String::from_utf8_lossy(&text), Path::new("the export"))
}

fn rows(text: &str, path: &Path) -> Outcome<Vec<ShadowPair>> {
    let read = |(i, line): (usize, &str)| -> Outcome<ShadowPair> {
        Ok(parse::<ShadowRow>(line)
            .map_err(|e| Failure::usage(format!("{}:{}: no row of a canary's export: {e}", path.display(), i + 1)))?
            .into_pair())
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(read).collect()
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(line)
}

fn shown(context: &Context, replayed: &[Replayed]) -> String {
    const COLUMNS: [Column; 5] = [
        Column::number("#"),
        Column::number("asked"),
        Column::text("logged"),
        Column::text("again"),
        Column::text("differences"),
    ];
    if replayed.is_empty() {
        return "The log is empty: nothing was decided yet.".to_owned();
    }
    let rows = replayed.iter().map(|decision| {
        let same = decision.differences.is_empty();
        let source = if decision.from_pairs { "none, and the pairs add up to its numbers" } else { "none" };
        vec![
            decision.number.to_string().into(),
            decision.asked.to_string().into(),
            decision.logged.describe().into(),
            Cell::toned(if same { Tone::Good } else { Tone::Bad }, decision.again.describe()),
            if same { source.into() } else { decision.differences.join("; ").into() },
        ]
    });
    terminal::table(context.ui.out, &COLUMNS, rows.collect())
}
