//! `llmops experiment simulate`: what the rules do on your own past data.

use std::path::PathBuf;

use clap::Args;
use llmops::analysis::file::Collector;
use llmops::analysis::simulate::{Share, Simulated, Simulation, simulate};
use llmops::analysis::{Horizon, Plan};
use llmops_domain::experiment::{AnalysisPlan, MetricKind, MetricSpec};

use super::super::Context;
use super::analyze::read;
use crate::failure::{Failure, Outcome};
use crate::terminal;

/// Simulate experiments on your own past data.
#[derive(Debug, Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct SimulateArgs {
    /// Past observations: CSV with the header unit,metric,value, or JSON Lines; variants are not looked at
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The metric
    #[arg(long, value_name = "NAME")]
    metric: String,
    /// Its kind: binary, continuous, count or cost; else it follows from the values
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// What the treatment adds to the mean; 0 compares the same with the same
    #[arg(long, value_name = "CHANGE", default_value_t = 0.0, allow_negative_numbers = true)]
    effect: f64,
    /// How many experiments
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    experiments: u64,
    /// Units of each, both variants together
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    units: u64,
    /// How often each is looked at
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    looks: u64,
    /// The treatment's share of the units
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    split: f64,
    /// The chance of a false conclusion that is accepted
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    alpha: f64,
    /// The same seed draws the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

const LONG_HELP: &str = "\
Draws units from the file with replacement, splits them (evenly, or as --split says), and looks at each experiment as often as you say. Without \
--effect both variants are the same (A/A), so every declared winner is a false one: their share should be at most alpha. \
Beside it stands what the usual test for one look declares when it is looked at as often. With --effect (A/B) the share of \
experiments that find it is their power.";

/// Runs the command.
pub(crate) fn run(context: &Context, args: &SimulateArgs) -> Outcome {
    if !(args.alpha > 0.0 && args.alpha < 1.0) {
        return Err(Failure::usage(format!("--alpha is {}: expected a share between 0 and 1", args.alpha)));
    }
    if !(args.split > 0.0 && args.split < 1.0) {
        return Err(Failure::usage(format!("--split is {}: expected a share between 0 and 1", args.split)));
    }
    let shown = args.file.display().to_string();
    let mut rows = Collector::of_past();
    read(&args.file, &shown, &["unit", "metric", "value"], &mut rows)?;
    let mut metric = MetricSpec::named(&args.metric);
    if let Some(word) = &args.kind {
        let kind = serde_json::from_value(serde_json::Value::from(word.to_lowercase()));
        let wrong = |_| {
            Failure::usage(format!("--kind: `{word}` is not known")).hint("expected binary, continuous, count or cost")
        };
        metric.kind = Some(kind.map_err(wrong)?);
    } else if rows.is_binary(&args.metric) {
        metric.kind = Some(MetricKind::Binary);
    }
    let past = rows.unit_values(&metric);
    if past.is_empty() {
        let hint = llmops_domain::suggest::hint(&args.metric, rows.metrics().iter().map(String::as_str));
        return Err(Failure::usage(format!("{shown}: there is no metric `{}`", args.metric)).hint(hint));
    }
    let plan = Plan {
        name: shown.clone(),
        variants: vec!["control".to_owned(), "treatment".to_owned()],
        control: 0,
        weights: vec![1.0 - args.split, args.split],
        retired: Vec::new(),
        target: metric.name.clone(),
        metrics: vec![metric],
        rules: AnalysisPlan { alpha: args.alpha, ..AnalysisPlan::default() },
        min_samples: 100,
        test: None,
        elapsed: None,
        horizon: Horizon::Unknown,
        bayes: false,
        now: llmops_domain::clock::now(),
    };
    let simulation = Simulation {
        experiments: args.experiments,
        units: args.units,
        looks: args.looks,
        effect: args.effect,
        seed: args.seed,
    };
    let result = simulate(&plan, &past, &simulation).map_err(|e| Failure::usage(format!("{shown}: {e}")))?;
    context.show(&result, || table(context, args, &result))
}

fn table(context: &Context, args: &SimulateArgs, result: &Simulated) -> String {
    let share = |share: Share| {
        format!(
            "{} of {} ({:.1} %, 95 % interval {:.1} to {:.1} %)",
            share.n,
            result.experiments,
            share.share * 100.0,
            share.low * 100.0,
            share.high * 100.0
        )
    };
    let what = if args.effect == 0.0 {
        "A/A: both variants are the same".to_owned()
    } else {
        format!("A/B: the treatment adds {}", args.effect)
    };
    let mut facts = vec![
        ("experiments", format!("{what}; {} units each, {} looks", result.units, result.looks)),
        ("drawn from", format!("{} units", result.past_units)),
    ];
    if args.effect == 0.0 {
        facts.push(("false winners", share(result.declared)));
    } else {
        facts.push(("treatment won", share(result.treatment_won)));
        facts.push(("control won", share(result.control_won)));
    }
    facts.push(("test for one look", share(result.naive)));
    if let Some(units) = result.median_units {
        facts.push(("declared after", format!("{units} units (median of those declared)")));
    }
    terminal::pairs(context.ui.out, facts)
}
