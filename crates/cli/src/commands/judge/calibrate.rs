//! `llmops judge calibrate`: a judge compared with people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use llmops_api::judges::CalibrateJudge;
use llmops_domain::calibration::{Corrected, HumanLabel, JudgeCalibration, LabelScale, Labels};
use llmops_domain::run::Estimate;
use llmops_domain::scorecard::format;

use crate::commands::Context;
use crate::dataset_files::{self, Format, ReadError};
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;
use crate::terminal::{self, Cell, Column, Look, table};

/// Compare a judge with people, and correct the run's overall score by what is found
#[derive(Debug, Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct CalibrateArgs {
    /// What people said, as CSV or JSON Lines: sample_id, label, and if there are several raters, rater
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// The run whose answers were labelled: an id, the beginning of one, `latest` or `baseline`
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
    /// The judged metric, where the run has several
    #[arg(long, value_name = "METRIC")]
    metric: Option<String>,
    /// A score passes at or above this; else the metric's own threshold counts
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
    /// The scale of the labels, worst to best, such as 1-5
    #[arg(long, value_name = "SCALE", default_value = "0-1", allow_hyphen_values = true)]
    scale: LabelScale,
}

const LONG_HELP: &str = "\
A label is about one answer of the run: pass or fail (yes, no, good, bad, true, false …) or a score on --scale. The header \
may also say sample or id; score, rating, human_label or verdict; annotator or reviewer. A column `trial` tells which \
of several trials was labelled (from 0). Other columns are left alone. Label samples drawn at random: a correction from \
chosen ones is biased.

What comes out is kept with the hash of the judge (model, prompt, options): gate.require_judge_kappa asks for it. The \
run's overall score is corrected by prediction-powered inference, from the labels on some samples and the judge's scores \
on all.

Cohen's kappa compares the judge with the people's majority; Fleiss' kappa and Krippendorff's alpha take the judge as one \
rater among them, and the people alone where there are several.";

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &CalibrateArgs) -> Outcome {
    let labels = read_labels(&args.labels, args.scale)?;
    let project = Project::find(&context.global, &context.ui)?;
    let client = project.client(&context.global).await?;
    let request =
        CalibrateJudge { run: args.run.clone(), metric: args.metric.clone(), threshold: args.threshold, labels };
    let calibration = client.calibrate_judge(&request).await?;
    context.show(&calibration, || describe(context.ui.out, &calibration))
}

/// Reads a file of labels, telling every mistake.
fn read_labels(path: &Path, scale: LabelScale) -> Outcome<Vec<HumanLabel>> {
    let shown = path.display().to_string();
    let cannot = |e: &ReadError| Failure::because(Kind::Usage, format!("cannot read {shown}"), e);
    let format = Format::of(path).map_err(|e| cannot(&e))?;
    let mut labels = Labels::on(scale);
    let read = dataset_files::read::<ReadError>(path, format, |line, record| {
        labels.add(line, record);
        Ok(())
    });
    read.map_err(|e| cannot(&e))?;
    let labels = labels.finish().map_err(|problems| {
        let told = problems.iter().map(|(line, problem)| format!("{shown}:{line}: {problem}"));
        let what = format::count(problems.len() as u64, "mistake");
        Failure::new(Kind::No, format!("{shown} has {what}")).problems(told)
    })?;
    if labels.is_empty() {
        return Err(Failure::new(Kind::No, format!("{shown} has no labels"))
            .hint("a line is sample_id,label or sample_id,label,rater"));
    }
    Ok(labels)
}

/// A calibration as people read it.
pub(crate) fn describe(look: Look, calibration: &JudgeCalibration) -> String {
    let c = calibration;
    let mut out = terminal::pairs(
        look,
        vec![
            ("calibration", c.id.to_string()),
            ("judge", format!("{} ({})", c.judge.model, c.judge.hash.short())),
            ("metric", format!("{} of {}", c.metric, c.run)),
            ("labels", format!("{} by {} on {}", c.labels, people(c.raters), format::count(c.samples, "answer"))),
            ("passes at", format::number(c.threshold)),
        ],
    );
    out += "\n";
    out += &agreement(look, c);
    out += "\n";
    let m = &c.confusion;
    let columns = [Column::text(""), Column::number("judge: pass"), Column::number("judge: fail")];
    let row = |name: &str, counts: [u64; 2]| {
        vec![Cell::from(name.to_owned()), counts[0].to_string().into(), counts[1].to_string().into()]
    };
    let rows = vec![
        row("people: pass", [m.both_pass, m.people_pass_only]),
        row("people: fail", [m.judge_passes_only, m.both_fail]),
    ];
    out += &table(look, &columns, rows);
    out += "\n";
    out += &bias(look, c);
    out += "\n";
    out += &corrected(look, c);
    for notice in &c.notices {
        let _ = writeln!(out, "\n{notice}");
    }
    out
}

fn people(count: u64) -> String {
    if count == 1 { "1 person".to_owned() } else { format!("{count} people") }
}

fn estimate_row(name: &str, estimate: &Estimate, value: String) -> Vec<Cell> {
    let interval = if format::has_interval(estimate) {
        format::interval([estimate.lower, estimate.upper])
    } else {
        format::NONE.to_owned()
    };
    vec![Cell::from(name.to_owned()), value.into(), interval.into(), estimate.n.to_string().into()]
}

fn agreement(look: Look, c: &JudgeCalibration) -> String {
    let columns =
        [Column::text("agreement"), Column::number("value"), Column::text("95 % interval"), Column::number("n")];
    let a = &c.agreement;
    let rows = [
        ("Cohen's kappa", a.cohen_kappa),
        ("Fleiss' kappa", a.fleiss_kappa),
        ("… people alone", a.fleiss_kappa_people),
        ("Krippendorff's alpha", a.krippendorff_alpha),
        ("… people alone", a.krippendorff_alpha_people),
        ("Spearman's rho", a.spearman),
        ("same verdict", a.accuracy),
    ];
    let rows = rows
        .iter()
        .filter_map(|(name, found)| found.as_ref().map(|found| estimate_row(name, found, format::number(found.value))));
    table(look, &columns, rows.collect())
}

fn bias(look: Look, c: &JudgeCalibration) -> String {
    let columns =
        [Column::text("judge − people"), Column::number("mean"), Column::text("95 % interval"), Column::number("n")];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    if c.category_bias.len() > 1 {
        rows.extend(c.category_bias.iter().map(|(name, bias)| estimate_row(name, bias, format::signed(bias.value))));
    }
    rows.push(estimate_row("all", &c.bias, format::signed(c.bias.value)));
    table(look, &columns, rows)
}

fn corrected(look: Look, c: &JudgeCalibration) -> String {
    let columns =
        [Column::text("mean"), Column::text("as judged"), Column::text("corrected"), Column::number("labelled")];
    let row = |name: &str, corrected: &Corrected| {
        vec![
            Cell::from(name.to_owned()),
            format::estimate(&corrected.raw).into(),
            format::estimate(&corrected.corrected).into(),
            corrected.labelled.to_string().into(),
        ]
    };
    let mut rows = vec![row(&c.metric, &c.metric_mean)];
    rows.extend(c.overall.as_ref().map(|overall| row("overall", overall)));
    table(look, &columns, rows)
}
