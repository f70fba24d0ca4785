//! `llmops run`: runs that were made.

mod results;

use clap::Subcommand;
use llmops_api::runs::{GetRunQuery, ResultQuery, RunQuery};
use llmops_domain::run::{ResultStatus, RunStatus};

use super::{Context, More};
use crate::failure::Outcome;
use crate::project::Project;
use crate::terminal;

/// Runs that were made.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List runs, newest first
    List {
        /// Runs on this dataset
        #[arg(long, value_name = "NAME")]
        dataset: Option<String>,
        /// Runs of this prompt
        #[arg(long, value_name = "NAME")]
        prompt: Option<String>,
        /// Runs of this model
        #[arg(long, value_name = "PROVIDER/MODEL")]
        model: Option<String>,
        /// pending, running (interrupted ones, too), completed, failed or cancelled
        #[arg(long)]
        status: Option<RunStatus>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show a run, or one sample of it; `run results` writes all samples
    Show {
        /// The run: an id, `latest` or `baseline`
        run: String,
        /// The sample, with everything that is known of it
        #[arg(long, value_name = "ID")]
        sample: Option<String>,
        /// List the samples that failed, worst first
        #[arg(long, conflicts_with = "sample")]
        failed: bool,
        /// List the samples that errored
        #[arg(long, conflicts_with_all = ["sample", "failed"])]
        errored: bool,
        /// How many samples
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    Results(results::ResultsArgs),
    /// Stop a run so that it can be resumed
    Cancel {
        /// The run
        run: String,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: RunCommand) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.reader(&context.global).await?;
    match command {
        RunCommand::List { dataset, prompt, model, status, limit } => {
            let query = RunQuery { dataset, prompt, model, status, limit: Some(limit), ..RunQuery::default() };
            let page = client.list_runs(&query).await?;
            context.show_page(&page, More::ByLimit, || terminal::runs(context.ui.out, &page.items))?;
            if let Some(run) = page.items.iter().find(|run| run.interrupted) {
                context.note(&format!("nobody works on {}: `llmops eval --resume={}` goes on with it", run.id, run.id));
            }
            Ok(())
        }
        RunCommand::Show { run, sample: Some(sample), .. } => {
            let run = client.get_run(&run, &GetRunQuery::default()).await?;
            let trials = client.get_sample_results(run.id.as_str(), &sample).await?;
            let version = run.spec.dataset_version.as_str();
            let asked = client.get_sample(&run.spec.dataset, version, &sample).await?.sample;
            let shown = serde_json::json!({"sample": asked, "trials": trials.items});
            context.show(&shown, || terminal::sample(context.ui.out, &run.spec.scoring, &asked, &trials.items))
        }
        RunCommand::Show { run, failed, errored, limit, .. } if failed || errored => {
            let status = if failed { ResultStatus::Failed } else { ResultStatus::Errored };
            let query = ResultQuery { status: Some(status), limit: Some(limit), ..ResultQuery::default() };
            let page = client.list_results(&run, &query).await?;
            context.show_page(&page, More::ByLimit, || terminal::results(context.ui.out, &page.items))
        }
        RunCommand::Show { run, .. } => {
            let run = client.get_run(&run, &GetRunQuery::default()).await?;
            context.show(&run, || terminal::run(context.ui.out, &run))
        }
        RunCommand::Results(args) => results::run(&client, context, &args).await,
        RunCommand::Cancel { run } => {
            let run = client.cancel_run(&run).await?;
            context.show(&run, || {
                format!("{} is {}: {} of {} trials are done", run.id, run.status, run.progress.done, run.progress.total)
            })
        }
    }
}
