//! `llmops experiment report`: results as one HTML file.

use std::path::PathBuf;

use clap::Args;
use llmops_api::observations::ResultsQuery;
use llmops_domain::experiment::report;

use super::super::{Context, write_file};
use super::analyze::{AnalyzeArgs, analysis};
use crate::failure::Outcome;
use crate::project::Project;

/// Write the results as one HTML file.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    source: AnalyzeArgs,
    /// The file to write
    #[arg(long, value_name = "FILE", required = true)]
    html: PathBuf,
}

/// Runs the command. What names a file is analysed; anything else is an experiment.
pub(crate) async fn run(context: &Context, args: &ReportArgs) -> Outcome {
    let file = &args.source.file;
    let result = if file.exists() || file.extension().is_some() {
        analysis(&args.source)?
    } else {
        let client = Project::find(&context.global, &context.ui)?.client(&context.global).await?;
        let query = ResultsQuery { by_segment: true, by_day: true };
        client.experiment_results(&file.to_string_lossy(), &query).await?
    };
    write_file(&args.html, &report::render(&result))?;
    context.note(&format!("wrote {}", args.html.display()));
    Ok(())
}
