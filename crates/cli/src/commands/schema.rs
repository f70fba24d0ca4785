//! `llmops schema`: the formats for machines.

use clap::{Args, CommandFactory, ValueEnum};
use llmops_domain::config::Config;
use llmops_domain::prompt_file;

use super::{Context, json};
use crate::args::Cli;
use crate::failure::Outcome;

/// Print JSON Schemas and the OpenAPI document.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Of what
    #[arg(value_enum, default_value_t = Of::Config)]
    of: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// llmops.yaml
    Config,
    /// prompts/*.yaml
    Prompt,
    /// An experiment's file
    Experiment,
    /// A canary's policy
    CanaryPolicy,
    /// scores.json
    Scores,
    /// The HTTP API
    Openapi,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: &SchemaArgs) -> Outcome {
    let text = match args.of {
        Of::Config => json(Config::json_schema())?,
        Of::Prompt => json(&prompt_file::json_schema())?,
        Of::Experiment => json(llmops_domain::experiment::file::json_schema())?,
        Of::CanaryPolicy => json(llmops_domain::canary::policy::json_schema())?,
        Of::Scores => json(&llmops_domain::scorecard::scores_json_schema())?,
        Of::Openapi => json(&llmops_server::openapi())?,
    };
    context.print(&text)
}

/// Prints a completion script.
pub(crate) fn completions(context: &Context, shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "llmops", &mut script);
    context.print(&String::from_utf8_lossy(&script))
}
