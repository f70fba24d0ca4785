//! `llmops db`: the store itself: its tables, copies of it, what is old in it.
//!
//! These commands work on the database and not through the API: a server would have to be there first.

mod files;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use llmops_domain::scorecard::format;
use llmops_storage::{Backup, Store, StoreError, StoreOptions};
use serde_json::json;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column};

/// The store itself. Server and workers may go on meanwhile, but for `import`.
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the tables up to date; servers do it when they start
    Migrate(MigrateArgs),
    /// Copy a SQLite store into a file while it is in use, and look the copy through
    Backup(BackupArgs),
    /// Write everything as JSON lines, a file for each table
    Export(ExportArgs),
    /// Fill an empty store with what `export` wrote: SQLite or PostgreSQL, whatever it came from
    Import(ImportArgs),
    /// Delete what is older than `operations.retention` allows; servers do it all the time
    Prune(PruneArgs),
}

/// Options of `db migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Options of `db backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist
    file: PathBuf,
}

/// Options of `db export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The folder to write; it must not exist, or be empty
    folder: PathBuf,
}

/// Options of `db import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder that `export` wrote
    folder: PathBuf,
}

/// Options of `db prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Only tell what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: DbCommand) -> Outcome {
    if context.global.server.is_some() {
        return Err(Failure::usage("this works on the store, not through a server")
            .hint("leave --server out and name the server's store: --database postgres://… or sqlite:PATH"));
    }
    let project = Project::find(&context.global, &context.ui)?;
    match command {
        DbCommand::Migrate(args) => migrate(context, &project, &args).await,
        DbCommand::Backup(args) => backup(context, &project, &args.file).await,
        DbCommand::Export(args) => files::export(context, &open(context, &project).await?, &args.folder).await,
        DbCommand::Import(args) => files::import(context, &open(context, &project).await?, &args.folder).await,
        DbCommand::Prune(args) => prune(context, &project, args.dry_run).await,
    }
}

async fn open(context: &Context, project: &Project) -> Outcome<Store> {
    project.store(&context.global, StoreOptions::default()).await
}

fn failed(what: &'static str) -> impl Fn(StoreError) -> Failure {
    move |error| {
        let kind = match &error {
            StoreError::Conflict(_) | StoreError::Invalid(_) => Kind::Usage,
            _ => Kind::Undecided,
        };
        Failure::because(kind, what, &error)
    }
}

async fn migrate(context: &Context, project: &Project, args: &MigrateArgs) -> Outcome {
    let url = project.database(&context.global);
    let plan = Store::plan(&url).await.map_err(failed("cannot read the store"))?;
    if !args.dry_run && !plan.pending.is_empty() {
        open(context, project).await?.close().await;
    }
    let pending: Vec<_> =
        plan.pending.iter().map(|(version, name)| json!({"version": version, "name": name})).collect();
    let answer = json!({"schema": plan.applied, "migrations": pending, "applied": !args.dry_run});
    context.show(&answer, || {
        if plan.pending.is_empty() {
            return format!("The tables are up to date (schema {}).", plan.applied);
        }
        let said = if args.dry_run { "would be applied" } else { "applied" };
        let names: Vec<String> = plan.pending.iter().map(|(_, name)| format!("  {name}")).collect();
        format!(
            "{} {said}, from schema {}:\n{}",
            format::count(names.len() as u64, "migration"),
            plan.applied,
            names.join("\n")
        )
    })
}

async fn backup(context: &Context, project: &Project, file: &Path) -> Outcome {
    let store = open(context, project).await?;
    if !store.is_sqlite() {
        return Err(Failure::usage("PostgreSQL has better tools for its copies").hint(
            "pg_dump --format=custom --file=FILE, and pg_restore for the way back; `llmops db export DIR` writes what both \
             databases read",
        ));
    }
    // What is half done is not to be taken for a copy.
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = file.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    if file.exists() {
        return Err(Failure::usage(format!("{} exists already", file.display())).hint("name another file"));
    }
    let Backup { schema, bytes } = match store.back_up(&partial).await {
        Ok(backup) => backup,
        Err(error) => {
            // There may be nothing to remove.
            let _ = std::fs::remove_file(&partial);
            return Err(failed("the store could not be copied")(error));
        }
    };
    std::fs::File::open(&partial)
        .and_then(|copy| copy.sync_all())
        .and_then(|()| std::fs::rename(&partial, file))
        .map_err(|e| Failure::because(Kind::Undecided, format!("cannot write {}", file.display()), &e))?;
    let shown = file.display().to_string();
    context.show(&json!({"file": shown, "bytes": bytes, "schema": schema, "integrity": "ok"}), || {
        format!(
            "{shown}: {bytes} bytes, schema {schema}, looked through: every page, index and reference is in order.\n\
             To go back to it: stop server and workers, put it in the place of the store, and remove the store's -wal and -shm."
        )
    })
}

async fn prune(context: &Context, project: &Project, is_dry_run: bool) -> Outcome {
    let ops = project.open(&context.global).await?;
    let config = &project.config.operations.retention;
    let fail = |e: llmops::Error| Failure::because(Kind::Undecided, "what is old could not be deleted", &e);
    let pruned = if is_dry_run {
        ops.prune(config, true).await.map_err(fail)?
    } else {
        ops.prune_alone(config).await.map_err(fail)?.ok_or_else(|| {
            Failure::new(Kind::Undecided, "another process is at it").hint("`--dry-run` tells what is left")
        })?
    };
    context.show(&pruned, || {
        let columns = [
            Column::text("kind"),
            Column::text("table"),
            Column::text("older than (UTC)"),
            Column::number(if is_dry_run { "rows to delete" } else { "rows deleted" }),
        ];
        let rows = pruned.iter().map(|pruned| {
            vec![
                Cell::from(pruned.kind),
                Cell::from(pruned.table),
                Cell::from(pruned.before.strftime("%Y-%m-%d %H:%M").to_string()),
                Cell::from(pruned.rows.to_string()),
            ]
        });
        terminal::table(context.ui.out, &columns, rows.collect())
    })
}
