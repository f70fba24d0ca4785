//! `llmops compare`: what changed from one run to another.

use clap::Args;

use super::Context;
use crate::failure::Outcome;
use crate::project::Project;
use crate::terminal;

/// Compare two runs.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The run before: an id, `latest` or `baseline`
    before: String,
    /// The run after
    after: String,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &CompareArgs) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.reader(&context.global).await?;
    let comparison = client.compare_runs(&args.before, &args.after).await?;
    context.show(&comparison, || terminal::comparison(context.ui.out, &comparison))
}
