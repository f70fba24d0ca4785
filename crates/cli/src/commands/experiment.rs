//! `llmops experiment`: plan experiments, run them, assign units, and say what they found.

mod analyze;
mod ask;
mod assign;
mod manage;
mod record;
mod report;
mod simulate;

use clap::{Args, Subcommand, ValueEnum};
use llmops::plan_experiment;
use llmops_api::workbench::{PlanExperiment, PlannedExperiment};
use llmops_domain::scorecard::format;
use llmops_stats::power::ProportionMethod;
use serde::Serialize;

use super::Context;
use crate::failure::{Failure, Outcome};
use crate::terminal;

/// A/B tests of prompts and models.
#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentCommand {
    /// Make an experiment: from a file, of two prompts, or of several models
    Create(manage::CreateArgs),
    /// List experiments, newest first
    List(manage::ListArgs),
    /// Show an experiment
    Show {
        /// The experiment: an id, the beginning of one, or a key
        experiment: String,
    },
    /// Change an experiment: a draft in every way, a running one in its split, and its coverage upwards
    Update(manage::UpdateArgs),
    /// Start a draft, or resume what is paused
    Start {
        /// The experiment: an id, the beginning of one, or a key
        experiment: String,
    },
    /// Pause: no unit is added, and those that are in keep their variant
    Pause {
        /// The experiment: an id, the beginning of one, or a key
        experiment: String,
    },
    /// Go on after a pause
    Resume {
        /// The experiment: an id, the beginning of one, or a key
        experiment: String,
    },
    /// End an experiment, with a winner or without
    Complete(manage::CompleteArgs),
    /// Give an experiment up
    Cancel {
        /// The experiment: an id, the beginning of one, or a key
        experiment: String,
    },
    /// Tell who gets which variant: of an experiment, or by hash alone
    Assign(assign::AssignArgs),
    /// How many units each variant needs for an effect to be found
    Power(PowerArgs),
    /// Record one value of one metric
    Record(record::RecordArgs),
    /// Record observations from a file
    Import(record::ImportArgs),
    /// What an experiment found so far
    Results(record::ResultsArgs),
    /// Ask what the results cannot tell: another kind of a metric, a part of the units, a stretch of time
    Ask(Box<ask::AskArgs>),
    /// What observations from anywhere allow to say
    Analyze(Box<analyze::AnalyzeArgs>),
    /// Write what was found as one HTML file
    Report(Box<report::ReportArgs>),
    /// What the rules do on your own past data: false winners, and winners found
    Simulate(simulate::SimulateArgs),
}

/// How many units each variant needs for an effect to be found.
#[derive(Debug, Args)]
pub(crate) struct PowerArgs {
    /// The rate of today, between 0 and 1; with --mean-sd the mean of today, which changes nothing
    #[arg(long, value_name = "RATE", required_unless_present = "mean_sd", allow_negative_numbers = true)]
    baseline: Option<f64>,
    /// The smallest change worth finding, in the unit of the baseline: 0.05 is from 60 % to 65 %
    #[arg(long, value_name = "CHANGE", allow_negative_numbers = true)]
    mde: f64,
    /// How often a change is found where there is none
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, allow_negative_numbers = true)]
    alpha: f64,
    /// How often a change of this size is found
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, allow_negative_numbers = true)]
    power: f64,
    /// The formula, for rates
    #[arg(long, value_enum, default_value_t = Formula::Arcsine, conflicts_with = "mean_sd")]
    method: Formula,
    /// Plan for a mean with this standard deviation instead of a rate
    #[arg(long, value_name = "SD", allow_negative_numbers = true)]
    mean_sd: Option<f64>,
    /// Variants of the same size, the control among them. With more than two, each comparison with the control is planned at
    /// --alpha shared by all of them, as the results are corrected
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=100))]
    variants: u32,
    /// Units a day, all variants together: tells how many days it takes
    #[arg(long, value_name = "PER_DAY", value_parser = clap::value_parser!(u64).range(1..))]
    traffic: Option<u64>,
}

/// How units are counted for rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Formula {
    /// Cohen's h
    Arcsine,
    /// The z-test with the pooled variance
    Pooled,
    /// The z-test with both variances
    Unpooled,
    /// The pooled one with the continuity correction, for Fisher's test
    Continuity,
}

impl Formula {
    fn method(self) -> ProportionMethod {
        match self {
            Self::Arcsine => ProportionMethod::Arcsine,
            Self::Pooled => ProportionMethod::Pooled,
            Self::Unpooled => ProportionMethod::Unpooled,
            Self::Continuity => ProportionMethod::Continuity,
        }
    }
}

/// How the size was found.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum Method {
    Rates(ProportionMethod),
    /// Of two means.
    Means(&'static str),
}

/// The size of an experiment, and what it follows from.
#[derive(Debug, Serialize)]
struct Plan {
    n_per_variant: u64,
    n_total: u64,
    variants: u32,
    method: Method,
    alpha: f64,
    power: f64,
    baseline: Option<f64>,
    mde: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_sd: Option<f64>,
    /// Where the traffic is known.
    days: Option<u64>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ExperimentCommand) -> Outcome {
    use manage::Step;
    match command {
        ExperimentCommand::Create(args) => manage::create(context, &args).await,
        ExperimentCommand::List(args) => manage::list(context, &args).await,
        ExperimentCommand::Show { experiment } => manage::step(context, Step::Show, &experiment).await,
        ExperimentCommand::Update(args) => manage::update(context, &args).await,
        ExperimentCommand::Start { experiment } => manage::step(context, Step::Start, &experiment).await,
        ExperimentCommand::Pause { experiment } => manage::step(context, Step::Pause, &experiment).await,
        ExperimentCommand::Resume { experiment } => manage::step(context, Step::Resume, &experiment).await,
        ExperimentCommand::Complete(args) => manage::complete(context, &args).await,
        ExperimentCommand::Cancel { experiment } => manage::step(context, Step::Cancel, &experiment).await,
        ExperimentCommand::Assign(args) => assign::run(context, &args).await,
        ExperimentCommand::Power(args) => power(context, &args),
        ExperimentCommand::Record(args) => record::record(context, &args).await,
        ExperimentCommand::Import(args) => record::import(context, &args).await,
        ExperimentCommand::Results(args) => record::results(context, &args).await,
        ExperimentCommand::Ask(args) => ask::run(context, &args).await,
        ExperimentCommand::Analyze(args) => analyze::run(context, &args),
        ExperimentCommand::Report(args) => report::run(context, &args).await,
        ExperimentCommand::Simulate(args) => simulate::run(context, &args),
    }
}

fn power(context: &Context, args: &PowerArgs) -> Outcome {
    let plan = plan(args)?;
    context.show(&plan, || {
        let mut facts = vec![
            ("per variant", plan.n_per_variant.to_string()),
            (if plan.variants == 2 { "both variants" } else { "all variants" }, plan.n_total.to_string()),
            ("effect", effect(&plan)),
            ("method", method(&plan)),
            ("alpha, power", errors(&plan)),
            ("basis", "one look (fixed-horizon); any number of looks takes about twice as many".to_owned()),
        ];
        if let Some((days, traffic)) = plan.days.zip(args.traffic) {
            facts.insert(2, ("duration", format!("{} at {traffic} a day", format::count(days, "day"))));
        }
        terminal::pairs(context.ui.out, facts)
    })
}

fn errors(plan: &Plan) -> String {
    let shared = match plan.variants {
        2 => String::new(),
        variants => format!(" shared by {} comparisons", variants - 1),
    };
    format!("{} two-sided{shared}, {}", plan.alpha, plan.power)
}

fn effect(plan: &Plan) -> String {
    match (plan.mean_sd, plan.baseline) {
        (Some(sd), _) => format!("a difference of {} at a standard deviation of {sd}", plan.mde),
        // Without the noise of the last binary digits.
        (None, Some(baseline)) => format!("from {baseline} to {}", ((baseline + plan.mde) * 1e9).round() / 1e9),
        (None, None) => plan.mde.to_string(),
    }
}

fn method(plan: &Plan) -> String {
    match plan.method {
        Method::Rates(ProportionMethod::Arcsine) => "two rates, arcsine (Cohen's h)",
        Method::Rates(ProportionMethod::Pooled) => "two rates, z-test, pooled variance",
        Method::Rates(ProportionMethod::Unpooled) => "two rates, z-test, unpooled variance",
        Method::Rates(ProportionMethod::Continuity) => "two rates, z-test, pooled variance, continuity correction",
        Method::Means(_) => "two means, t-test",
    }
    .to_owned()
}

fn plan(args: &PowerArgs) -> Outcome<Plan> {
    check(args)?;
    let rates = args.method.method();
    let request = PlanExperiment {
        baseline: args.baseline,
        effect: args.mde,
        sd: args.mean_sd,
        alpha: Some(args.alpha),
        power: Some(args.power),
        units_per_day: args.traffic,
        variants: Some(args.variants),
    };
    let PlannedExperiment { n_per_variant, n_total, days } = plan_experiment(&request, rates)
        .map_err(|e| Failure::usage(e.to_string()).hint("a larger --mde needs fewer units"))?;
    Ok(Plan {
        n_per_variant,
        n_total,
        variants: args.variants,
        method: if args.mean_sd.is_some() { Method::Means("t_test") } else { Method::Rates(rates) },
        alpha: args.alpha,
        power: args.power,
        baseline: args.baseline,
        mde: args.mde,
        mean_sd: args.mean_sd,
        days,
    })
}

/// Refuses what has no answer, all of it at once.
fn check(args: &PowerArgs) -> Outcome {
    let inside = |value: f64| value > 0.0 && value < 1.0;
    let mut problems = Vec::new();
    for (name, value) in [("--alpha", args.alpha), ("--power", args.power)] {
        if !inside(value) {
            problems.push(format!("{name} is {value}: expected a share between 0 and 1"));
        }
    }
    if inside(args.alpha) && inside(args.power) && args.power <= args.alpha {
        problems.push(format!("--power is {}: expected more than --alpha, which is {}", args.power, args.alpha));
    }
    if args.mde == 0.0 || !args.mde.is_finite() {
        problems.push(format!("--mde is {}: expected a change, up or down", args.mde));
    }
    let mut hint = "llmops experiment power --baseline 0.6 --mde 0.05 plans for a change from 60 % to 65 %";
    match (args.mean_sd, args.baseline) {
        (Some(sd), baseline) => {
            hint = "llmops experiment power --mean-sd 12 --mde 0.5 plans for a mean that moves by 0.5";
            if !(sd > 0.0 && sd.is_finite()) {
                problems.push(format!("--mean-sd is {sd}: expected a number above 0"));
            }
            if let Some(baseline) = baseline.filter(|b| !b.is_finite()) {
                problems.push(format!("--baseline is {baseline}: expected a number"));
            }
        }
        (None, Some(baseline)) if !inside(baseline) => {
            problems.push(format!("--baseline is {baseline}: expected a rate between 0 and 1"));
            hint = "60 % is 0.6; a mean is planned for with --mean-sd";
        }
        (None, Some(baseline)) if !(-1e-12..=1.0 + 1e-12).contains(&(baseline + args.mde)) && args.mde.is_finite() => {
            let changed = baseline + args.mde;
            problems.push(format!("--baseline and --mde make {changed}: expected a rate between 0 and 1"));
            hint = "--mde is a difference of rates: from 60 % to 65 % is 0.05";
        }
        _ => {}
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::usage("no experiment can be planned with these numbers").problems(problems).hint(hint))
}
