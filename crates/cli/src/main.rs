//! The llmops command.

mod args;
mod commands;
mod dataset_files;
mod examples;
mod failure;
mod github;
mod http;
mod import;
mod local;
mod log;
mod mcp;
mod memory;
mod mlflow;
mod models;
mod output_file;
mod parquet_file;
mod project;
mod queue;
mod suites;
mod telemetry;
mod terminal;
mod times;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::failure::{Failure, Kind};
use crate::terminal::Ui;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longest that threads may take to end when the command has.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let typed = examples::with_examples(args::without_empty_variables(Cli::command())).try_get_matches();
    let cli = match typed.and_then(|typed| Cli::from_arg_matches(&typed)) {
        Ok(cli) => cli,
        Err(error) if is_mistake(&error) && asks_for_json() => {
            return end(&Ui::from_env(), true, &args::failure(&error));
        }
        Err(error) => error.exit(),
    };
    let ui = Ui::from_env();
    let json = cli.global.json;
    // Servers and workers begin theirs when they know how it is to be written.
    if !matches!(cli.command, Command::Serve(_) | Command::Worker(_)) {
        log::of_command();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(&ui, json, &Failure::because(Kind::Undecided, "cannot start", &error)),
    };
    let outcome = runtime.block_on(commands::run(cli, ui));
    // What a command needed it has waited for; threads that it left behind, such as a server's, do not keep the process.
    runtime.shutdown_timeout(LAST_MOMENTS);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&ui, json, &failure),
    }
}

/// Whether something was typed wrong; else help or the version was asked for, or nothing was typed at all.
fn is_mistake(error: &clap::Error) -> bool {
    error.use_stderr() && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// Whether `--json` was typed: what was typed wrong is no command that could be asked.
fn asks_for_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

fn end(ui: &Ui, json: bool, failure: &Failure) -> ExitCode {
    if json {
        let (message, causes) = failure.chain.split_first().map_or(("", &[][..]), |(m, c)| (m.as_str(), c));
        let body = serde_json::json!({"error": {
            "message": message, "causes": causes, "hint": failure.hint, "problems": failure.problems,
        }});
        ui.note(&format!("{body}\n"));
    } else {
        let (chain, hint) = (&failure.chain, failure.hint.as_deref());
        ui.note(&match failure.kind {
            Kind::Waits => terminal::waits(ui.err, chain, hint),
            _ => terminal::error(ui.err, chain, hint, &failure.problems),
        });
    }
    ExitCode::from(failure.kind.code())
}
