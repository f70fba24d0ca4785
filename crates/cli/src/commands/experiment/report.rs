//! `llmops experiment report`: results as one HTML file.

use std::path::PathBuf;

use clap::Args;
use llmops_domain::experiment::report;

use super::super::{Context, write_file};
use super::analyze::{AnalyzeArgs, analysis};
use crate::failure::Outcome;

/// Write the results as one HTML file.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    source: AnalyzeArgs,
    /// The file to write
    #[arg(long, value_name = "FILE", required = true)]
    html: PathBuf,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: &ReportArgs) -> Outcome {
    let result = analysis(&args.source)?;
    write_file(&args.html, &report::render(&result))?;
    context.note(&format!("wrote {}", args.html.display()));
    Ok(())
}
