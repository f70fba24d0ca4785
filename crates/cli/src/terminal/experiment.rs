//! Results of an experiment.

use std::collections::BTreeMap;

use llmops_domain::experiment::Basis;
use llmops_domain::experiment::result::{
    self, Bounds, Comparison, Conclusion, ExperimentResult, GuardrailState, Slice,
};

use super::gate::section;
use super::text::wrap;
use super::{Cell, Column, Look, Tone, table};

/// Segments or days that are listed.
const MAX_SLICES: usize = 40;

const VARIANTS: [Column; 6] = [
    Column::text("metric"),
    Column::text("variant"),
    Column::number("units"),
    Column::number("observations"),
    Column::number("mean"),
    Column::number("interval"),
];
const COMPARISONS: [Column; 7] = [
    Column::text("metric"),
    Column::text("variant"),
    Column::number("difference"),
    Column::number("lift"),
    Column::number("always valid"),
    Column::number("p"),
    Column::text("one look"),
];

/// Everything that was found.
pub(crate) fn experiment_result(look: Look, result: &ExperimentResult) -> String {
    let mut out = headline(look, result);
    section(&mut out, look, "Variants", true);
    out += &table(look, &VARIANTS, variants(result));
    section(&mut out, look, &format!("Beside {}", result.control), true);
    out += &table(look, &COMPARISONS, result.comparisons.iter().map(comparison).collect());
    for (metric, estimand) in ranked(result) {
        let meant = if estimand.starts_with("probability") {
            ": how often a unit of the variant is above one of the control, ties counted half, less one half"
        } else {
            ""
        };
        let text = format!("note: {metric}: the difference is of ranks, not of the means above ({estimand}){meant}");
        out += &wrap(&text, look.prose(), "  ");
    }
    let notices = result.comparisons.iter().filter_map(|c| c.notice.as_ref()).chain(&result.notices);
    for notice in notices {
        out += &wrap(&format!("note: {notice}"), look.prose(), "  ");
    }
    let lacking = !result.missing.is_empty();
    section(&mut out, look, "What is missing", lacking);
    for missing in &result.missing {
        out += &wrap(&format!("{}: {}", missing.what, missing.message), look.prose(), "  ");
    }
    for (title, slices) in [("By segment", &result.segments), ("By day of entry", &result.days)] {
        section(&mut out, look, title, !slices.is_empty());
        if !slices.is_empty() {
            out += &table(look, &SLICES, slices.iter().take(MAX_SLICES).flat_map(|s| slice(result, s)).collect());
        }
    }
    out += &wrap(&footnote(result), look.prose(), "  ");
    out
}

/// The metrics whose differences are of ranks, and what these are.
fn ranked(result: &ExperimentResult) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    for comparison in &result.comparisons {
        let estimand = match result.basis {
            Basis::AlwaysValid => comparison.always_valid.as_ref().map(|valid| valid.estimand.as_str()),
            Basis::FixedHorizon => comparison.fixed.as_ref().map(|fixed| fixed.estimand.as_str()),
        };
        let of_ranks = estimand.filter(|estimand| !estimand.starts_with("difference of"));
        found.extend(of_ranks.map(|estimand| (comparison.metric.as_str(), estimand)));
    }
    found
}

fn headline(look: Look, result: &ExperimentResult) -> String {
    let (tone, word) = match (result.conclusion, &result.winner) {
        (Conclusion::Winner, Some(winner)) => (Tone::Good, format!("winner: {winner}")),
        (Conclusion::Blocked, _) => (Tone::Bad, "no conclusion: the data cannot be trusted".to_owned()),
        _ => (Tone::Plain, "no winner yet".to_owned()),
    };
    let mut out = format!(
        "{}  (confidence {}, significance {})\n",
        look.paint(tone, &word),
        if result.confidence > 0.99995 { "> 0.9999".to_owned() } else { number(result.confidence) },
        number(result.significance)
    );
    out += &wrap(&result.recommendation, look.prose(), "");
    out
}

fn footnote(result: &ExperimentResult) -> String {
    let basis = match result.basis {
        Basis::AlwaysValid => "p is always valid: it may be looked at at any time",
        Basis::FixedHorizon => "p is for the one look that was planned",
    };
    let ratio = result.sample_ratio.as_ref().map_or_else(String::new, |ratio| {
        format!("; split as it should be: p = {} ({})", number(ratio.p_value), ratio.counted)
    });
    format!("{basis}, corrected, against alpha {}{ratio}.", result.alpha)
}

fn variants(result: &ExperimentResult) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let names = metric_names(result);
    for metric in names {
        for (variant, found) in &result.variant_results {
            let Some(summary) = found.metrics.get(metric) else { continue };
            let value = summary.quantile.map_or(summary.mean, |q| Some(q.value));
            let interval = summary.quantile.map_or(summary.interval, |q| q.interval);
            let label =
                summary.quantile.map_or_else(|| metric.to_owned(), |q| format!("{metric} (p{})", number(q.q * 100.0)));
            rows.push(vec![
                label.into(),
                variant.as_str().into(),
                summary.units.to_string().into(),
                summary.observations.to_string().into(),
                value.map_or_else(|| "–".to_owned(), number).into(),
                bounds(interval).into(),
            ]);
        }
    }
    rows
}

/// The target first.
fn metric_names(result: &ExperimentResult) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for comparison in &result.comparisons {
        if !names.contains(&comparison.metric.as_str()) {
            names.push(&comparison.metric);
        }
    }
    names
}

fn comparison(c: &Comparison) -> Vec<Cell> {
    let tone = match (c.significant, c.better, c.guardrail.as_ref().map(|g| g.state)) {
        (_, _, Some(GuardrailState::Violated)) | (true, Some(false), _) => Tone::Bad,
        (true, Some(true), _) => Tone::Good,
        _ => Tone::Plain,
    };
    let once = c
        .fixed
        .as_ref()
        .map_or_else(|| "–".to_owned(), |fixed| format!("{}, p = {}", fixed.test, number(fixed.p_value)));
    vec![
        c.metric.as_str().into(),
        c.variant.as_str().into(),
        Cell::toned(tone, c.difference.map_or_else(|| "–".to_owned(), signed)),
        c.lift.map_or_else(|| "–".to_owned(), |lift| format!("{:+.1} %", lift.value * 100.0).replace('-', "−")).into(),
        bounds(c.always_valid.as_ref().and_then(|valid| valid.interval)).into(),
        Cell::toned(tone, c.p_value_corrected.map_or_else(|| "–".to_owned(), number)),
        once.into(),
    ]
}

const SLICES: [Column; 6] = [
    Column::text(""),
    Column::text("variant"),
    Column::number("units"),
    Column::number("difference"),
    Column::number("always valid"),
    Column::number("p"),
];

fn slice(result: &ExperimentResult, slice: &Slice) -> Vec<Vec<Cell>> {
    let of_target = slice.comparisons.iter().filter(|c| c.metric == result.target_metric);
    of_target
        .map(|c| {
            vec![
                slice.name.as_str().into(),
                c.variant.as_str().into(),
                c.units.to_string().into(),
                c.difference.map_or_else(|| "–".to_owned(), signed).into(),
                bounds(c.interval).into(),
                c.p_value_corrected.map_or_else(|| "–".to_owned(), number).into(),
            ]
        })
        .collect()
}

fn bounds(bounds: Option<Bounds>) -> String {
    bounds.map_or_else(|| "–".to_owned(), |b| format!("[{}, {}]", number(b.low), number(b.high)))
}

fn signed(value: f64) -> String {
    result::signed(value, 4)
}

fn number(value: f64) -> String {
    result::significant(value, 4)
}
