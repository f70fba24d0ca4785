//! `llmops experiment analyze`: what observations from anywhere allow to say.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use llmops::analysis::file::{Collector, FileError};
use llmops::analysis::{Horizon, Plan, analyse};
use llmops::observation_rows::{ReadError, Rows};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::experiment::result::ExperimentResult;
use llmops_domain::experiment::{
    AnalysisPlan, Basis, Correction, Direction, Guardrail, MetricKind, MetricSpec, TestChoice, split,
};

use super::super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::terminal;

/// Problems that are told one by one.
const MAX_PROBLEMS: usize = 100;

/// Analyse observations of an experiment that may have run anywhere.
#[derive(Debug, Args)]
#[command(after_long_help = LONG_HELP)]
pub(crate) struct AnalyzeArgs {
    /// The observations: CSV with the header unit,variant,metric,value[,at], or JSON Lines; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The variant that the others are compared with
    #[arg(long, value_name = "VARIANT")]
    control: Option<String>,
    /// The metric that decides; further ones, separated by commas, are shown beside it
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    metric: Vec<String>,
    /// The kind of the metric: binary, continuous, count, ordinal, latency, cost, ratio; or NAME=KIND
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Which way is better: higher or lower; or NAME=lower
    #[arg(long, value_name = "WAY")]
    direction: Vec<String>,
    /// The test for one look at the data, instead of the one for this kind
    #[arg(long, value_name = "TEST")]
    test: Option<TestChoice>,
    /// The quantile that is compared, such as 0.95: of the latencies, or of the metric that decides where there is none; or NAME=Q
    #[arg(long, value_name = "Q")]
    quantile: Vec<String>,
    /// A column or metric from before the experiment that takes variance out (CUPED) of the metric that decides
    #[arg(long, value_name = "NAME")]
    covariate: Option<String>,
    /// The metric below the line of a ratio, else the number of observations; or NAME=METRIC where there are several ratios
    #[arg(long, value_name = "METRIC")]
    denominator: Vec<String>,
    /// Unit values of the metric that decides above this count as this; or NAME=VALUE
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    cap: Vec<String>,
    /// Unit values of the metric that decides below this count as this; or NAME=VALUE
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    floor: Vec<String>,
    /// Unit values of the metric that decides above this quantile of all units count as the quantile; or NAME=Q
    #[arg(long, value_name = "Q")]
    winsorize: Vec<String>,
    /// A metric that may not become worse than so much: latency=5 or latency=5%
    #[arg(long, value_name = "METRIC=MARGIN")]
    guardrail: Vec<String>,
    /// The split as it was meant, A=0.7,B=0.3; else equal shares
    #[arg(long, value_name = "VARIANT=SHARE", value_delimiter = ',')]
    split: Vec<String>,
    /// Columns by which results are also shown
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    segment: Vec<String>,
    /// What a conclusion rests on: always-valid, or fixed-horizon together with --planned-n
    #[arg(long, value_name = "BASIS", default_value = "always-valid", value_parser = basis)]
    basis: Basis,
    /// Units of each variant that were planned for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    planned_n: Option<u64>,
    /// The chance of a false conclusion that is accepted
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    alpha: f64,
    /// Correction for several comparisons: holm, bh or none
    #[arg(long, value_name = "NAME", default_value = "holm", value_parser = correction)]
    correction: Correction,
    /// Units that each variant needs before a winner is named
    #[arg(long, value_name = "N", default_value_t = 100)]
    min_samples: u64,
    /// How long it must have run before a winner is named, where the rows have times
    #[arg(long, value_name = "TIME", default_value = "7d")]
    min_duration: HumanDuration,
    /// The smallest effect worth finding
    #[arg(long, value_name = "CHANGE")]
    minimum_effect: Option<f64>,
}

const LONG_HELP: &str = "\
A row is one observation. The rows of a unit are one cluster: a unit counts with its mean (kind count: its sum), however \
often it was observed. A unit seen in several variants is left out and named.

The test follows from the kind: two-proportion z for binary, Fisher's where a cell of the table expects fewer than 5; \
Welch's on unit means for continuous, count and cost, adjusted where there is a covariate; Mann-Whitney for ordinal; the \
difference of a quantile (0.95) for latency; the delta method for ratio. Without --kind, a metric of zeros and ones is \
binary, names with latency or cost are that, all others continuous.

p-values and intervals are given for one look at the data and for any number of looks (always valid). The basis decides \
which of them a winner rests on.

Tests: z-test, z-test-unpooled, fisher, chi-squared, chi-squared-yates, welch, student, mann-whitney, quantile, delta.";

fn basis(text: &str) -> Result<Basis, String> {
    match text.replace('_', "-").as_str() {
        "always-valid" => Ok(Basis::AlwaysValid),
        "fixed-horizon" => Ok(Basis::FixedHorizon),
        _ => Err("expected always-valid or fixed-horizon".to_owned()),
    }
}

fn correction(text: &str) -> Result<Correction, String> {
    match text {
        "holm" => Ok(Correction::Holm),
        "bh" => Ok(Correction::Bh),
        "none" => Ok(Correction::None),
        _ => Err("expected holm, bh or none".to_owned()),
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: &AnalyzeArgs) -> Outcome {
    let result = analysis(args)?;
    context.show(&result, || terminal::experiment_result(context.ui.out, &result))
}

/// Reads the file and analyses it.
pub(super) fn analysis(args: &AnalyzeArgs) -> Outcome<ExperimentResult> {
    check(args)?;
    let shown = args.file.display().to_string();
    let weights = split_of(&args.split)?;
    let variants = weights.iter().map(|(name, _)| name.clone()).collect();
    let mut rows = Collector::new(variants, args.segment.clone(), args.covariate.clone());
    read(&args.file, &shown, &["unit", "variant", "metric", "value"], &mut rows)?;
    let unfit = |error: FileError| unfit(&shown, args, &error);
    let variants = rows.variants().map_err(unfit)?.to_vec();
    let metrics = metrics(args, &rows)?;
    let observed = rows.observed(&metrics).map_err(unfit)?;
    let weights =
        if weights.is_empty() { split::equal(variants.len()) } else { weights.into_iter().map(|w| w.1).collect() };
    let plan = Plan {
        name: shown.clone(),
        control: control(args, &variants)?,
        retired: (0..weights.len()).filter(|variant| weights[*variant] == 0.0).collect(),
        weights,
        variants,
        target: metrics[0].name.clone(),
        metrics,
        rules: AnalysisPlan {
            basis: args.basis,
            alpha: args.alpha,
            correction: args.correction,
            min_samples: Some(args.min_samples),
            min_duration: args.min_duration,
            planned_n: args.planned_n,
            units_per_day: None,
            segments: args.segment.clone(),
            counts_from: None,
        },
        min_samples: args.min_samples,
        test: args.test,
        elapsed: rows.elapsed(),
        horizon: Horizon::Unknown,
        bayes: true,
        now: llmops_domain::clock::now(),
    };
    Ok(analyse(&plan, &observed))
}

fn check(args: &AnalyzeArgs) -> Outcome {
    let inside = |value: f64| value > 0.0 && value < 1.0;
    let mut problems = Vec::new();
    if !inside(args.alpha) {
        problems.push(format!("--alpha is {}: expected a share between 0 and 1", args.alpha));
    }
    let is_winsor = |value: f64| (0.5..=1.0).contains(&value);
    for (option, given, is_fit, expected) in [
        ("--quantile", &args.quantile, &inside as &dyn Fn(f64) -> bool, "a share between 0 and 1, such as 0.95"),
        ("--winsorize", &args.winsorize, &is_winsor, "a share between 0.5 and 1, such as 0.99"),
        ("--cap", &args.cap, &f64::is_finite, "a number"),
        ("--floor", &args.floor, &f64::is_finite, "a number"),
    ] {
        for text in given {
            let value = text.rsplit_once('=').map_or(text.as_str(), |(_, value)| value);
            if !value.parse::<f64>().is_ok_and(is_fit) {
                problems.push(format!("{option} is {value}: expected {expected}"));
            }
        }
    }
    if let Some(value) = args.minimum_effect.filter(|value| !value.is_finite()) {
        problems.push(format!("--minimum-effect is {value}: expected a number"));
    }
    if args.basis == Basis::FixedHorizon && args.planned_n.is_none() {
        problems.push("--basis fixed-horizon needs --planned-n, the units of each variant at the one look".to_owned());
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::usage("this cannot be analysed").problems(problems)) }
}

/// Reads a file with these columns.
pub(super) fn read(path: &Path, shown: &str, needed: &[&str], rows: &mut Collector) -> Outcome {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(|e| Failure::because(Kind::Usage, format!("cannot read {shown}"), &e))?)
    };
    let broken = |error: ReadError| match error {
        ReadError::Io(e) => Failure::because(Kind::Undecided, format!("cannot read {shown}"), &e),
        other => Failure::new(Kind::No, format!("{shown}: {other}")),
    };
    let mut reader = Rows::new(input, needed).map_err(broken)?;
    let (mut problems, mut bad, mut told_in_all) = (Vec::new(), 0_u64, 0);
    while let Some(row) = reader.next_row().map_err(broken)? {
        let told = match row {
            Err(row) => row.problems.iter().map(|problem| format!("line {}: {problem}", row.line)).collect(),
            Ok(row) => {
                let line = row.line;
                let added = rows.add(row);
                added
                    .err()
                    .map(|(field, message)| format!("line {line}: {field}: {message}"))
                    .into_iter()
                    .collect::<Vec<_>>()
            }
        };
        bad += u64::from(!told.is_empty());
        told_in_all += told.len();
        problems.extend(told.into_iter().take(MAX_PROBLEMS.saturating_sub(problems.len())));
    }
    if bad == 0 {
        return Ok(());
    }
    let more = told_in_all - problems.len();
    if more > 0 {
        problems.push(format!("… and {more} more"));
    }
    let lines = if bad == 1 { "a line is wrong".to_owned() } else { format!("{bad} lines are wrong") };
    Err(Failure::new(Kind::No, format!("{shown}: {lines}, so nothing was analysed")).problems(problems))
}

fn unfit(shown: &str, args: &AnalyzeArgs, error: &FileError) -> Failure {
    let failure = Failure::new(Kind::No, format!("{shown}: {error}"));
    match error {
        FileError::Variant { .. } | FileError::Metric { .. } | FileError::Column { .. } => {
            Failure { kind: Kind::Usage, ..failure }
        }
        FileError::OneVariant(_) if args.split.is_empty() => {
            failure.hint("a row names its variant in the column `variant`")
        }
        _ => failure,
    }
}

fn control(args: &AnalyzeArgs, variants: &[String]) -> Outcome<usize> {
    let Some(asked) = &args.control else {
        // The usual name needs no option.
        let usual = variants.iter().position(|variant| variant.eq_ignore_ascii_case("control"));
        return usual.ok_or_else(|| {
            Failure::usage("which variant is the control?")
                .hint(format!("add --control {}", variants.join(" or --control ")))
        });
    };
    variants.iter().position(|variant| variant == asked).ok_or_else(|| {
        let hint = llmops_domain::suggest::hint(asked, variants.iter().map(String::as_str));
        Failure::usage(format!("there is no variant `{asked}` to be the control")).hint(hint)
    })
}

fn split_of(shares: &[String]) -> Outcome<Vec<(String, f64)>> {
    let pair = |text: &String| {
        let (name, share) = text.rsplit_once('=')?;
        Some((name.to_owned(), share.trim_end_matches('%').parse::<f64>().ok()?))
    };
    let wrong =
        |text: &String| Failure::usage(format!("--split: `{text}` is no VARIANT=SHARE")).hint("--split A=0.7,B=0.3");
    let pairs: Vec<(String, f64)> =
        shares.iter().map(|text| pair(text).ok_or_else(|| wrong(text))).collect::<Outcome<_>>()?;
    if pairs.is_empty() {
        return Ok(pairs);
    }
    let weights: Vec<f64> = pairs.iter().map(|(_, share)| *share).collect();
    let weights = split::fractions(&weights).map_err(|e| Failure::usage(format!("--split: {e}")))?;
    Ok(pairs.into_iter().zip(weights).map(|((name, _), weight)| (name, weight)).collect())
}

/// What an option says of this metric, as a number; [`check`] has refused what is none.
fn number(options: &[String], metric: &str, is_meant: bool) -> Option<f64> {
    named(options, metric, is_meant)?.parse().ok()
}

/// `NAME=WORD` for a metric, `WORD` for the one that is meant without a name.
fn named<'a>(options: &'a [String], metric: &str, is_meant: bool) -> Option<&'a str> {
    let of = |text: &'a String| match text.rsplit_once('=') {
        Some((name, word)) => (name == metric).then_some(word),
        None => is_meant.then_some(text.as_str()),
    };
    options.iter().rev().find_map(of)
}

/// The metrics with everything that was said about them, the one that decides first.
fn metrics(args: &AnalyzeArgs, rows: &Collector) -> Outcome<Vec<MetricSpec>> {
    let mut names = args.metric.clone();
    if names.is_empty() {
        let below = |text: &String| text.rsplit_once('=').map_or(text.clone(), |(_, metric)| metric.to_owned());
        let inputs: Vec<String> = args.denominator.iter().map(below).chain(args.covariate.clone()).collect();
        let mut there = rows.metrics().iter().filter(|name| !inputs.contains(name));
        if let (Some(only), None) = (there.next(), there.next()) {
            names.push(only.clone());
        } else {
            let hint = format!("add --metric with one of {}", rows.metrics().join(", "));
            return Err(Failure::usage("which metric decides?").hint(hint));
        }
    }
    for text in &args.guardrail {
        let (name, _) = text.rsplit_once('=').unwrap_or((text, ""));
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    is_named(args, &names)?;
    let mut metrics: Vec<MetricSpec> =
        names.iter().enumerate().map(|(i, name)| metric(args, rows, name, i == 0)).collect::<Outcome<_>>()?;
    by_kind(args, &mut metrics)?;
    for MetricSpec { name, floor, cap, .. } in &metrics {
        if let (Some(floor), Some(cap)) = (floor, cap)
            && floor > cap
        {
            let message = format!("--floor of `{name}` is {floor}: expected at most --cap, which is {cap}");
            return Err(Failure::usage(message));
        }
    }
    Ok(metrics)
}

/// Refuses what is said of a metric that is not analysed.
fn is_named(args: &AnalyzeArgs, names: &[String]) -> Outcome {
    let options = [
        ("--kind", &args.kind),
        ("--direction", &args.direction),
        ("--quantile", &args.quantile),
        ("--denominator", &args.denominator),
        ("--cap", &args.cap),
        ("--floor", &args.floor),
        ("--winsorize", &args.winsorize),
    ];
    for (option, given) in options {
        let named = given.iter().filter_map(|text| text.rsplit_once('=').map(|(name, _)| name));
        if let Some(other) = named.into_iter().find(|name| !names.iter().any(|known| known == name)) {
            let hint = llmops_domain::suggest::hint(other, names.iter().map(String::as_str));
            return Err(Failure::usage(format!("{option}: `{other}` is none of the metrics")).hint(hint));
        }
    }
    Ok(())
}

/// What belongs to metrics of a kind, wherever they stand: the denominator to ratios, the quantile to latencies.
fn by_kind(args: &AnalyzeArgs, metrics: &mut [MetricSpec]) -> Outcome {
    let has = |kind: MetricKind| metrics.iter().any(|metric| metric.kind() == kind);
    let (has_ratio, has_latency) = (has(MetricKind::Ratio), has(MetricKind::Latency));
    for (i, metric) in metrics.iter_mut().enumerate() {
        let is_latency = metric.kind() == MetricKind::Latency;
        metric.quantile = number(&args.quantile, &metric.name, if has_latency { is_latency } else { i == 0 });
        let below = named(&args.denominator, &metric.name, metric.kind() == MetricKind::Ratio);
        if let Some(below) = below.filter(|_| metric.kind() != MetricKind::Ratio) {
            let message = format!("--denominator: `{}` is no ratio, so nothing is divided by `{below}`", metric.name);
            return Err(Failure::usage(message).hint(format!("--kind {}=ratio", metric.name)));
        }
        metric.denominator = below.map(str::to_owned);
    }
    match args.denominator.iter().find(|text| !text.contains('=')) {
        Some(below) if !has_ratio => {
            let name = metrics.first().map_or("NAME", |metric| metric.name.as_str());
            let message = format!("--denominator {below}: no metric is a ratio, so nothing is divided by it");
            Err(Failure::usage(message).hint(format!("--kind {name}=ratio")))
        }
        _ => Ok(()),
    }
}

fn metric(args: &AnalyzeArgs, rows: &Collector, name: &str, is_first: bool) -> Outcome<MetricSpec> {
    let wrong = |option: &str, word: &str, expected: &str| {
        Failure::usage(format!("{option}: `{word}` is not known")).hint(format!("expected {expected}"))
    };
    let mut spec = MetricSpec::named(name);
    if let Some(word) = named(&args.kind, name, is_first) {
        let expected = "binary, continuous, count, ordinal, latency, cost or ratio";
        let kind = serde_json::from_value(serde_json::Value::from(word.to_lowercase()));
        spec.kind = Some(kind.map_err(|_| wrong("--kind", word, expected))?);
    }
    if let Some(word) = named(&args.direction, name, is_first) {
        let way = serde_json::from_value::<Direction>(serde_json::Value::from(word.to_lowercase()));
        spec.direction = Some(way.map_err(|_| wrong("--direction", word, "higher or lower"))?);
    }
    if let Some(word) = named(&args.guardrail, name, false) {
        let margin =
            word.trim_end_matches('%').parse::<f64>().ok().filter(|margin| *margin >= 0.0 && margin.is_finite());
        let margin =
            margin.ok_or_else(|| wrong("--guardrail", word, "METRIC=MARGIN, such as latency=20 or latency=5%"))?;
        let relative = word.ends_with('%');
        spec.guardrail = Some(Guardrail { margin: if relative { margin / 100.0 } else { margin }, relative });
    }
    spec.cap = number(&args.cap, name, is_first);
    spec.floor = number(&args.floor, name, is_first);
    spec.winsorize = number(&args.winsorize, name, is_first);
    if is_first {
        spec.covariate.clone_from(&args.covariate);
        spec.minimum_effect = args.minimum_effect;
    }
    if spec.kind.is_none() && spec.kind() == MetricKind::Continuous && rows.is_binary(name) {
        spec.kind = Some(MetricKind::Binary);
    }
    Ok(spec)
}
