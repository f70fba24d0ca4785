//! `llmops baseline`: the runs that gates compare with.

use clap::Subcommand;
use llmops_api::runs::PromoteBaseline;

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::mlflow::MlflowArgs;
use crate::project::Project;
use crate::terminal;

/// The run that gates compare with.
#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Make a run the baseline of its dataset (tags it env=production)
    Promote {
        /// The run: an id or `latest`
        run: String,
        /// Even if the run is not completed
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        mlflow: MlflowArgs,
    },
    /// List the baseline of every dataset
    List,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: BaselineCommand) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    match command {
        BaselineCommand::Promote { run, force, mlflow } => {
            let baseline =
                client.promote_baseline(&PromoteBaseline { run, force }).await.map_err(Failure::of_unfinished)?;
            if let Some(mlflow) = mlflow.of(&project) {
                mlflow.promote(context, &client, &baseline.run).await?;
            }
            context.show(&baseline, || {
                format!("{} is the baseline of `{}` now: gates compare with it", baseline.run.id, baseline.dataset)
            })
        }
        BaselineCommand::List => {
            let baselines = client.list_baselines().await?;
            context.show(&baselines, || {
                if baselines.items.is_empty() {
                    return "There is no baseline yet. `llmops baseline promote latest` makes the newest run one."
                        .into();
                }
                let runs: Vec<_> = baselines.items.iter().map(|b| b.run.clone()).collect();
                terminal::runs(context.ui.out, &runs)
            })
        }
    }
}
