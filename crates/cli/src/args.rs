//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    alert, apply, audit, baseline, canary, compare, dataset, db, deployment, doctor, eval, experiment, feedback, gate,
    import, incident, init, judge, key, mcp, project, prompt, provider, records, release, review, run, schedule,
    schema, score, serve, simulate, worker,
};
use crate::failure::Failure;

/// Quality of LLM applications: versioned prompts, datasets, evaluation, a gate for CI.
#[derive(Debug, Parser)]
#[command(name = "llmops", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 yes, 1 the answer is no, 2 written wrong, 3 could not decide, 4 waits for a person or evidence."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command, for which a variable of the environment that is empty is as good as absent: that is how CI systems pass on what
/// was never set.
pub(crate) fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    // `--limit -1` is a limit that is too small, and no option `-1`.
    let takes = |arg: &clap::Arg| arg.get_action().takes_values();
    command
        .mut_args(|arg| if takes(&arg) { arg.allow_negative_numbers(true) } else { arg })
        .mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// What was typed wrong, as any other failure: for programs that read `--json`.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let (message, rest) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
    let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message));
    let rest: Vec<&str> = rest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if rest.is_empty() { failure } else { failure.hint(rest.join("; ")) }
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// The configuration file; else llmops.yaml here or in a folder above
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// Work on this llmops server instead of the project's own store
    // Its address may hold a password.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "LLMOPS_SERVER",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) server: Option<String>,
    /// Key for the server
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "LLMOPS_API_KEY",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) api_key: Option<String>,
    /// The store: sqlite:PATH or postgres://…; else .llmops/llmops.db beside the configuration
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "LLMOPS_DATABASE_URL",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) database: Option<String>,
    /// Print JSON for machines
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// No progress bars, no notes
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a project to start from: llmops.yaml, a prompt, a dataset, a simulated model
    Init(init::InitArgs),
    /// Make a project of promptfoo's, Langfuse's or TensorZero's files
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Evaluate a target on a dataset
    Eval(eval::EvalArgs),
    /// Decide whether a run is good enough
    Gate(gate::GateArgs),
    /// Runs that were made
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Compare two runs
    Compare(compare::CompareArgs),
    /// The run that gates compare with
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// Versioned prompts
    #[command(subcommand)]
    Prompt(prompt::PromptCommand),
    /// Versioned datasets
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// What is wrong, and who is told of it
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Model providers of the configuration
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Check the installation: configuration, files, server, store, queue, providers, channels, disk …
    Doctor(doctor::DoctorArgs),
    /// Score outputs that exist already against references
    Score(score::ScoreArgs),
    /// The models that judge, compared with people
    #[command(subcommand)]
    Judge(judge::JudgeCommand),
    /// A/B tests of prompts and models
    #[command(subcommand)]
    Experiment(experiment::ExperimentCommand),
    /// Point a deployment to a manifest: what answers live traffic
    Deploy(deployment::DeployArgs),
    /// Go back to what answered before
    Rollback(deployment::RollbackArgs),
    /// What was live; without a name, what is
    History(deployment::HistoryArgs),
    /// Check that every earlier manifest could take over
    Rehearse(deployment::RehearseArgs),
    /// Let the prepared strict manifest, or a fixed answer, answer instead
    SafeMode(deployment::SafeModeArgs),
    /// A candidate beside what is live: unseen, judged, then promoted or aborted
    #[command(subcommand)]
    Canary(canary::CanaryCommand),
    /// What the gateway keeps of its calls
    #[command(subcommand)]
    Records(records::RecordsCommand),
    /// What people say of answers
    #[command(subcommand)]
    Feedback(feedback::FeedbackCommand),
    /// Answers that a person should look at, and what becomes of them
    #[command(subcommand)]
    Review(review::ReviewCommand),
    /// Walk a manifest to production, step by step
    Release(release::ReleaseArgs),
    /// Promotions that wait for a second key
    #[command(subcommand)]
    Approval(release::ApprovalCommand),
    /// Something is wrong with a deployment: freeze it, look into it, learn from it
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// A simulated model provider that speaks OpenAI's wire format
    Simulate(simulate::SimulateArgs),
    /// Bring the project folder to a server
    Apply(apply::ApplyArgs),
    /// Serve the API
    Serve(serve::ServeArgs),
    /// Serve the Model Context Protocol: tools for assistants
    Mcp(mcp::McpArgs),
    /// Runs that start by themselves
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Work on runs that a server queued, beside it or on other machines
    Worker(worker::WorkerArgs),
    /// Keys of the API
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Projects: tenants, whose rows are apart
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// The record of changes
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The store itself: migrate, back up, export, import, prune
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Print JSON Schemas and the OpenAPI document
    Schema(schema::SchemaArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
