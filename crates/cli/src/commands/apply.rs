//! `llmops apply`: brings a project folder to the server: prompts, datasets, schedules of suites, experiments.
//!
//! The plan comes first. What somebody edited on the server since the folder was applied last is named, and left alone
//! without `--force`. Deployments are moved with `llmops deploy`: what answers live traffic is no matter of a folder.

mod pieces;

use clap::Args;
use llmops_api::Client;
use llmops_api::applied::PutApplied;
use llmops_api::page::{Page, PageQuery};
use llmops_domain::apply::{AppliedPiece, Step};
use llmops_domain::scorecard::format;
use serde::Serialize;

use self::pieces::Piece;
use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Tone};

/// Bring the project folder to the server: prompts/, datasets, suites that run by themselves, experiments/.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 1 when something was edited elsewhere since, and nothing is done then.")]
pub(crate) struct ApplyArgs {
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
    /// Overwrite what was edited elsewhere since
    #[arg(long)]
    force: bool,
}

/// A line of the plan.
#[derive(Debug, Serialize)]
struct Line<'a> {
    kind: &'static str,
    name: &'a str,
    step: Step,
    /// What a reader should know.
    note: Option<&'a str>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &ApplyArgs) -> Outcome {
    let project = Project::require(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    let applied = all_applied(&client).await?;
    let pieces = pieces::all(context, &client, &project, &applied).await?;
    let plan: Vec<(&Piece, Step)> = pieces.iter().map(|piece| (piece, piece.step())).collect();
    let edited = plan.iter().filter(|(_, step)| *step == Step::EditedElsewhere).count();
    let lines: Vec<Line<'_>> = plan
        .iter()
        .map(|(piece, step)| Line {
            kind: piece.kind.as_str(),
            name: &piece.name,
            step: *step,
            note: piece.note.as_deref(),
        })
        .collect();
    context.show(&lines, || table(context, &lines))?;
    if edited > 0 && !args.force {
        let what = format::count(edited as u64, "piece");
        return Err(Failure::new(
            Kind::No,
            format!("{what} edited elsewhere since the folder was applied last; nothing was done"),
        )
        .hint("bring the edits into the folder, or overwrite them with --force"));
    }
    if args.dry_run {
        return Ok(());
    }
    let mut done = 0;
    for (piece, step) in &plan {
        if *step != Step::Unchanged {
            pieces::bring(context, &client, &project, piece).await.map_err(|mut failure| {
                failure.chain.insert(0, format!("{} `{}` was not applied", piece.kind, piece.name));
                failure
            })?;
            done += 1;
        }
        let known = applied.iter().find(|known| known.kind == piece.kind && known.name == piece.name);
        if known.map(|known| &known.hash) != piece.folder.as_ref() && (piece.folder.is_some() || known.is_some()) {
            let put = PutApplied { kind: piece.kind, name: piece.name.clone(), hash: piece.folder.clone() };
            client.put_applied(&put).await?;
        }
    }
    context.note(&match done {
        0 => "nothing to do: the server has everything".to_owned(),
        done => format!("{} applied", format::count(done, "change")),
    });
    Ok(())
}

async fn all_applied(client: &Client) -> Outcome<Vec<AppliedPiece>> {
    Ok(Page::all(|cursor| async move { client.list_applied(&PageQuery::largest(cursor)).await }).await?)
}

fn table(context: &Context, lines: &[Line<'_>]) -> String {
    if lines.is_empty() {
        return "There is nothing to apply: no file in prompts/ or experiments/, no dataset, no suite.".to_owned();
    }
    let columns = [Column::text("kind"), Column::id("name"), Column::text("plan"), Column::text("")];
    let rows = lines.iter().map(|line| {
        let (tone, step) = match line.step {
            Step::Unchanged => (Tone::Faint, "unchanged"),
            Step::Create => (Tone::Good, "create"),
            Step::Change => (Tone::Good, "change"),
            Step::Remove => (Tone::Warn, "remove"),
            Step::EditedElsewhere => (Tone::Bad, "edited elsewhere"),
        };
        vec![
            Cell::from(line.kind),
            Cell::toned(Tone::Strong, line.name),
            Cell::toned(tone, step),
            Cell::toned(Tone::Faint, line.note.unwrap_or_default()),
        ]
    });
    terminal::table(context.ui.out, &columns, rows.collect())
}
