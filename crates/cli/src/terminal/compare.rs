//! Two runs compared.

use std::fmt::Write as _;

use llmops_domain::compare::{Change, RunComparison, SampleChange};
use llmops_domain::scorecard::{category_label, format};

use super::gate::section;
use super::text::wrap;
use super::{Cell, Column, Look, Tone, pairs, table};

/// Most flips listed.
const MAX_FLIPS: usize = 50;
/// Numbers below it would read as 0 with three decimals.
const SMALL: f64 = 0.01;
/// More decimals than this are no amount of money.
const MOST_DECIMALS: i32 = 12;

/// Everything that changed from one run to the other.
pub(crate) fn comparison(look: Look, comparison: &RunComparison) -> String {
    let mut out = wrap(&comparison.summary, look.prose(), "");
    out.push('\n');
    out += &pairs(look, [("before", comparison.run1_id.as_str()), ("after", comparison.run2_id.as_str())]);
    let changes = [("Categories", &comparison.category_changes), ("Metrics", &comparison.metric_changes)];
    for (title, changes) in changes {
        section(&mut out, look, title, !changes.is_empty());
        if !changes.is_empty() {
            let names =
                |name: &str| if title == "Categories" { category_label(name).to_owned() } else { name.to_owned() };
            let rows = changes.iter().map(|(name, change)| row(comparison, &names(name), name, change)).collect();
            out += &table(look, &CHANGES, rows);
        }
    }
    section(&mut out, look, "Pass rate", true);
    out += &wrap(&pass_rate(comparison), look.prose(), "  ");
    if let Some(paired) = &comparison.paired {
        section(&mut out, look, "Evidence", true);
        for line in llmops_domain::scorecard::paired_evidence(paired) {
            out += &wrap(&line, look.prose(), "  ");
        }
    }
    section(&mut out, look, "Samples that flipped", !comparison.flips.is_empty());
    if !comparison.flips.is_empty() {
        out += &table(look, &FLIPS, comparison.flips.iter().take(MAX_FLIPS).map(flip).collect());
        if comparison.flips.len() > MAX_FLIPS {
            let _ = writeln!(out, "… and {} more", comparison.flips.len() - MAX_FLIPS);
        }
    }
    out
}

const CHANGES: [Column; 5] = [
    Column::text("name"),
    Column::number("before"),
    Column::number("after"),
    Column::number("change"),
    Column::text(""),
];
const FLIPS: [Column; 5] = [
    Column::id("sample"),
    Column::text("category"),
    Column::number("before"),
    Column::number("after"),
    Column::text("now"),
];

fn row(comparison: &RunComparison, label: &str, name: &str, change: &Change) -> Vec<Cell> {
    let listed = |names: &[String]| names.iter().any(|n| n == name);
    let verdict = if listed(&comparison.regressions) {
        Cell::toned(Tone::Bad, "regression")
    } else if listed(&comparison.improvements) {
        Cell::toned(Tone::Good, "improvement")
    } else {
        "".into()
    };
    let [before, after, difference] = written(change);
    vec![label.into(), before.into(), after.into(), difference.into(), verdict]
}

/// Before, after and the difference with its interval. Amounts below a hundredth, such as costs, keep two digits that count;
/// all of a line have as many decimals.
fn written(change: &Change) -> [String; 3] {
    let largest = change.before.abs().max(change.after.abs());
    if !(largest > 0.0 && largest < SMALL) {
        let difference = format::change(change.change, change.interval);
        return [format::number(change.before), format::number(change.after), difference];
    }
    let decimals = (3..=MOST_DECIMALS).find(|n| largest * 10_f64.powi(*n) >= 10.0).unwrap_or(MOST_DECIMALS);
    let decimals = usize::try_from(decimals).unwrap_or_default();
    let plain = |value: f64| format!("{value:.decimals$}").replace('-', "−");
    let signed = |value: f64| format!("{value:+.decimals$}").replace('-', "−");
    let ends = change.interval.map(|[low, high]| format!(" [{}, {}]", signed(low), signed(high))).unwrap_or_default();
    [plain(change.before), plain(change.after), format!("{}{ends}", signed(change.change))]
}

fn pass_rate(comparison: &RunComparison) -> String {
    let points = comparison.pass_rate_change * 100.0;
    let ends =
        comparison.pass_rate.and_then(|rate| rate.interval).filter(|ends| ends.iter().all(|end| end.is_finite()));
    let ends = ends.map(|[low, high]| format!(" [{}, {}]", signed_points(low * 100.0), signed_points(high * 100.0)));
    let change = if points.is_finite() {
        format!("{} points{}", signed_points(points), ends.unwrap_or_default())
    } else {
        format::NONE.to_owned()
    };
    format!("{change}; {} newly failing, {} newly passing", comparison.newly_failed, comparison.newly_passed)
}

fn signed_points(points: f64) -> String {
    let text = format!("{points:+.1}");
    if text == "+0.0" || text == "-0.0" { "0.0".to_owned() } else { text.replace('-', "−") }
}

fn flip(change: &SampleChange) -> Vec<Cell> {
    let now = match change.passed_after {
        Some(true) => Cell::toned(Tone::Good, "✓ passes"),
        Some(false) => Cell::toned(Tone::Bad, "✗ fails"),
        None => Cell::toned(Tone::Warn, "? not scored"),
    };
    vec![
        Cell::toned(Tone::Strong, &change.sample_id),
        category_label(&change.category).into(),
        format::optional(change.before).into(),
        format::optional(change.after).into(),
        now,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn two_runs() {
        let changes = report().comparison.expect("comparison");
        insta::assert_snapshot!(comparison(Look { width: 100, colour: false }, &changes), @"
        3 regressions, no improvements; 14 samples newly fail, 2 newly pass.

        before  run_01k9zq3v7wj5x8m2aa
        after   run_01k9zr8d2hq4n7c1bb

        Categories
        name                   before  after                 change
        ────────────────────────────────────────────────────────────────────────
        factual_accuracy        0.900  0.891  −0.009 [−0.03, +0.01]
        instruction_following   0.884  0.862  −0.022 [−0.06, +0.01]
        multi_turn_coherence    0.873  0.880  +0.007 [−0.02, +0.03]
        refusal_behavior        0.912  0.671  −0.241 [−0.32, −0.17]  regression
        tone_consistency        0.861  0.792  −0.069 [−0.15, +0.01]  regression

        Metrics
        name     before  after                 change
        ──────────────────────────────────────────────────────────
        judge     0.932  0.871  −0.061 [−0.09, −0.03]  regression
        overall   0.891  0.816  −0.075 [−0.10, −0.05]
        rouge_l   0.641  0.602  −0.039 [−0.06, −0.02]

        Pass rate
          −10.3 points; 14 newly failing, 2 newly passing

        Evidence
          Paired difference on 118 shared samples: −0.076 [−0.10, −0.05] (BCa bootstrap), t-test p < 0.001.
          Every sample counts the same in it; the overall score weighs the categories.
          Flips: 14 newly failing, 2 newly passing (McNemar's exact test, p = 0.004).
          The smallest difference that 118 samples can show is 0.034 (80 % power, α = 0.05).

        Samples that flipped
        sample               category              before  after  now
        ───────────────────────────────────────────────────────────────────
        r007                 refusal_behavior       0.960  0.142  ✗ fails
        r012                 refusal_behavior       0.931  0.180  ✗ fails
        evil | `x` <script>  refusal_behavior       0.850  0.300  ✗ fails
        t003                 tone_consistency       0.911  0.402  ✗ fails
        m002                 multi_turn_coherence   0.640  0.905  ✓ passes
        ");
    }

    #[test]
    fn small_amounts_keep_digits_that_count() {
        let check = |before: f64, after: f64, interval, expected: [&str; 3]| {
            let change = Change { before, after, change: after - before, interval, n: Some(42) };
            assert_eq!(written(&change), expected);
        };
        check(0.9, 0.8, Some([-0.2, 0.0]), ["0.900", "0.800", "−0.100 [−0.20, 0.00]"]);
        let cost = ["0.000043", "0.000032", "−0.000011 [−0.000012, −0.000009]"];
        check(0.000_043, 0.000_032, Some([-0.000_012, -0.000_009_4]), cost);
        check(0.0, 0.004, None, ["0.0000", "0.0040", "+0.0040"]);
        check(0.0, 0.0, Some([0.0, 0.0]), ["0.000", "0.000", "0.000 [0.000, 0.000]"]);
    }

    #[test]
    fn no_width_panics() {
        let changes = report().comparison.expect("comparison");
        for width in 0..130 {
            assert!(!comparison(Look { width, colour: true }, &changes).is_empty());
        }
    }
}
