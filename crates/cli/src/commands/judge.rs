//! `llmops judge`: the judges in use, and how they compare with people.

mod calibrate;
mod list;

use clap::Subcommand;
use llmops_api::judges::CalibrationQuery;
use llmops_domain::calibration::JudgeCalibration;
use llmops_domain::scorecard::format;

use self::calibrate::CalibrateArgs;
use super::{Context, More};
use crate::failure::Outcome;
use crate::project::Project;
use crate::terminal::{Cell, Column, Look, table};

/// Judges, and how far they agree with people.
#[derive(Debug, Subcommand)]
pub(crate) enum JudgeCommand {
    /// List the judges of the configuration with their models and prompts
    List,
    /// Compare a judge with people, and correct the run's overall score by what is found
    Calibrate(CalibrateArgs),
    /// List calibrations, newest first, or show one
    Calibrations {
        /// The calibration to show
        id: Option<String>,
        /// Only those of this run
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: JudgeCommand) -> Outcome {
    match command {
        JudgeCommand::List => list::run(context).await,
        JudgeCommand::Calibrate(args) => calibrate::run(context, &args).await,
        JudgeCommand::Calibrations { id, run } => calibrations(context, id.as_deref(), run).await,
    }
}

async fn calibrations(context: &Context, id: Option<&str>, run: Option<String>) -> Outcome {
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    if let Some(id) = id {
        let calibration = client.get_calibration(id).await?;
        return context.show(&calibration, || calibrate::describe(context.ui.out, &calibration));
    }
    let page = client.list_calibrations(&CalibrationQuery { run, ..CalibrationQuery::default() }).await?;
    context.show_page(&page, More::Hidden, || calibrations_table(context.ui.out, &page.items))
}

fn calibrations_table(look: Look, calibrations: &[JudgeCalibration]) -> String {
    if calibrations.is_empty() {
        return "No judge was compared with people yet: `llmops judge calibrate --labels labels.csv`.\n".to_owned();
    }
    let columns = [
        Column::id("calibration"),
        Column::text("judge"),
        Column::text("metric"),
        Column::id("run").optional(),
        Column::text("Cohen's kappa"),
        Column::number("answers"),
    ];
    let row = |c: &JudgeCalibration| -> Vec<Cell> {
        let kappa = c.agreement.cohen_kappa.as_ref().map_or_else(|| format::NONE.to_owned(), format::estimate);
        vec![
            c.id.to_string().into(),
            format!("{} ({})", c.judge.model, c.judge.hash.short()).into(),
            c.metric.clone().into(),
            c.run.to_string().into(),
            kappa.into(),
            c.samples.to_string().into(),
        ]
    };
    table(look, &columns, calibrations.iter().map(row).collect())
}
