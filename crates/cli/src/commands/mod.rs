//! The commands, one file each.

pub(crate) mod alert;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod baseline;
pub(crate) mod canary;
pub(crate) mod compare;
pub(crate) mod dataset;
pub(crate) mod db;
pub(crate) mod deployment;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod experiment;
pub(crate) mod feedback;
pub(crate) mod gate;
pub(crate) mod import;
pub(crate) mod incident;
pub(crate) mod init;
pub(crate) mod judge;
pub(crate) mod key;
pub(crate) mod mcp;
mod model_version;
pub(crate) mod project;
pub(crate) mod prompt;
pub(crate) mod provider;
pub(crate) mod records;
pub(crate) mod release;
pub(crate) mod review;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod score;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod worker;

use std::io::Write;

use llmops_api::Page;
use serde::Serialize;

use crate::args::{Cli, Command, GlobalArgs};
use crate::failure::{Failure, Kind, Outcome};
use crate::output_file::OutputFile;
use crate::terminal::Ui;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) global: GlobalArgs,
    pub(crate) ui: Ui,
}

/// How to see the items behind those of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum More {
    /// By `--cursor`.
    ByCursor,
    /// By a larger `--limit`.
    ByLimit,
    /// The command has no way.
    Hidden,
}

impl Context {
    /// Prints `value` as JSON where `--json` was given, else what `text` makes of it.
    pub(crate) fn show<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Outcome {
        let text = if self.global.json { json(value)? } else { text() };
        self.print(&text)
    }

    /// Prints a page as [`Self::show`] does, and says so where there are more items.
    pub(crate) fn show_page<T: Serialize>(&self, page: &Page<T>, more: More, text: impl FnOnce() -> String) -> Outcome {
        self.show(page, || {
            let more = page.next_cursor.as_ref().map(|cursor| match more {
                More::ByCursor => format!("more: --cursor {cursor}\n"),
                More::ByLimit => "more: a larger --limit shows them\n".to_owned(),
                More::Hidden => format!("more: only the first {} are shown\n", page.items.len()),
            });
            text() + &more.unwrap_or_default()
        })
    }

    /// Prints text to standard output, with a line feed at its end.
    pub(crate) fn print(&self, text: &str) -> Outcome {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.ui
            .print(&format!("{text}{end}"))
            .map_err(|e| Failure::because(Kind::Undecided, "cannot write to standard output", &e))
    }

    /// Tells something on standard error, unless told to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.global.quiet {
            self.ui.note(&format!("{text}\n"));
        }
    }
}

/// Readable JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string_pretty(value).map_err(|e| Failure::because(Kind::Undecided, "no JSON form", &e))
}

/// Removes the scores of an older run, whose verdict would be taken for that of a run without results.
pub(crate) fn remove_stale(context: &Context, path: &std::path::Path) {
    // A device or a pipe keeps nothing, and is not ours to remove.
    if path.is_file() && std::fs::remove_file(path).is_ok() {
        context.note(&format!("removed {}: it was about an older run", path.display()));
    }
}

/// Writes a file by way of a temporary one beside it, so that nobody ever reads half of it; a device as it is.
pub(crate) fn write_file(path: &std::path::Path, text: &str) -> Outcome {
    let write = || {
        let mut output = OutputFile::open(Some(path))?;
        output.writer().write_all(text.as_bytes())?;
        output.finish()
    };
    write().map_err(|e| Failure::because(Kind::Undecided, format!("cannot write {}", path.display()), &e))
}

/// Runs the command that was typed.
pub(crate) async fn run(cli: Cli, ui: Ui) -> Outcome {
    let context = Context { global: cli.global, ui };
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Import(command) => import::run(&context, &command),
        Command::Eval(args) => eval::run(&context, &args).await,
        Command::Gate(args) => gate::run(&context, &args).await,
        Command::Run(command) => run::run(&context, command).await,
        Command::Compare(args) => compare::run(&context, &args).await,
        Command::Baseline(command) => baseline::run(&context, command).await,
        Command::Key(command) => key::run(&context, command).await,
        Command::Project(command) => project::run(&context, command).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Prompt(command) => prompt::run(&context, command).await,
        Command::Dataset(command) => dataset::run(&context, command).await,
        Command::Alert(command) => alert::run(&context, command).await,
        Command::Provider(command) => provider::run(&context, command).await,
        Command::Doctor(args) => doctor::run(&context, &args).await,
        Command::Score(args) => score::run(&context, &args).await,
        Command::Judge(command) => judge::run(&context, command).await,
        Command::Experiment(command) => experiment::run(&context, command).await,
        Command::Deploy(args) => deployment::deploy(&context, args).await,
        Command::Rollback(args) => deployment::rollback(&context, args).await,
        Command::History(args) => deployment::history(&context, args).await,
        Command::Rehearse(args) => deployment::rehearse(&context, args).await,
        Command::SafeMode(args) => deployment::safe_mode(&context, args).await,
        Command::Canary(command) => canary::run(&context, command).await,
        Command::Records(command) => records::run(&context, command).await,
        Command::Feedback(command) => feedback::run(&context, command).await,
        Command::Review(command) => review::run(&context, command).await,
        Command::Release(args) => release::run(&context, args).await,
        Command::Approval(command) => release::approval(&context, command).await,
        Command::Incident(command) => incident::run(&context, command).await,
        Command::Simulate(args) => simulate::run(&context, args).await,
        Command::Apply(args) => apply::run(&context, &args).await,
        Command::Mcp(args) => mcp::run(context, &args).await,
        Command::Serve(args) => serve::run(&context, &args).await,
        Command::Schedule(command) => schedule::run(&context, command).await,
        Command::Worker(args) => worker::run(&context, &args).await,
        Command::Db(command) => db::run(&context, command).await,
        Command::Schema(args) => schema::run(&context, &args),
        Command::Completions { shell } => schema::completions(&context, shell),
    }
}
