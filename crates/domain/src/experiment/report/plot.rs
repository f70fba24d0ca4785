//! The plots of a report.

use std::fmt::Write as _;

use super::{field, tone};
use crate::experiment::result::{Bounds, Comparison, ExperimentResult, signed};

/// Width of a plot in its own units.
const WIDTH: f64 = 980.0;
/// Where names end and the plane begins.
const LEFT: f64 = 230.0;
const RIGHT: f64 = WIDTH - 40.0;
/// Height of one comparison.
const ROW: f64 = 30.0;
/// Colours of treatments over time.
const COLOURS: [&str; 6] = ["#3b6ea5", "#b4642d", "#3f8f5f", "#8a5aa8", "#a83f5b", "#6b6b2f"];

/// What is drawn of a comparison: the estimate with the always-valid interval, else with the one for one look.
fn drawn(c: &Comparison) -> Option<(f64, Bounds)> {
    let valid = c.always_valid.as_ref().and_then(|v| Some((v.effect, v.interval?)));
    valid.or_else(|| c.fixed.as_ref().and_then(|f| Some((f.effect, f.interval?))))
}

/// A linear scale.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// From the least to the largest of the values and 0, with some air.
    fn around(values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Self {
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let air = if high > low { (high - low) * 0.06 } else { 1.0 };
        Self { low: low - air, high: high + air, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values within, about five of them.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil();
        let ticks = (0..12).map(|i| (first + f64::from(i)) * step).take_while(|t| *t <= self.high);
        // Without the noise of the last binary digits around 0.
        ticks.map(|t| if t.abs() < step * 1e-6 { 0.0 } else { t }).collect()
    }
}

/// A forest plot: a panel for each metric, in the metric's own unit.
pub(super) fn forest(out: &mut String, result: &ExperimentResult) {
    let mut rest = result.comparisons.as_slice();
    out.push_str("<div class=\"card plot\">\n");
    while let Some(first) = rest.first() {
        let n = rest.iter().take_while(|c| c.metric == first.metric).count();
        panel(out, &rest[..n], first.metric == result.target_metric);
        rest = &rest[n..];
    }
    out.push_str("</div>\n");
}

fn panel(out: &mut String, comparisons: &[Comparison], is_target: bool) {
    let values = comparisons.iter().filter_map(drawn).flat_map(|(_, b)| [b.low, b.high]);
    let scale = Scale::around(values, (LEFT, RIGHT));
    let height = 26.0 + ROW * comparisons.len() as f64 + 26.0;
    let Some(first) = comparisons.first() else { return };
    let estimand = first.always_valid.as_ref().map_or("", |v| v.estimand.as_str());
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Differences on {0}\">\n\
         <text class=\"name\" x=\"0\" y=\"16\" font-weight=\"600\">{0}</text><text x=\"{LEFT}\" y=\"16\">{1}{2}</text>\n",
        field(&first.metric),
        field(estimand),
        if is_target { " · target" } else { "" },
    );
    let bottom = height - 24.0;
    for tick in scale.ticks() {
        let x = scale.at(tick);
        let class = if tick == 0.0 { "zero" } else { "axis" };
        let top = if tick == 0.0 { 24.0 } else { bottom - 4.0 };
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height - 8.0,
            signed(tick, 3)
        );
    }
    for (i, c) in comparisons.iter().enumerate() {
        let y = 26.0 + ROW * (i as f64 + 0.5);
        let _ = write!(
            out,
            "<g class=\"{}\"><text class=\"name\" x=\"12\" y=\"{:.1}\">{}</text>",
            tone(c),
            y + 4.0,
            field(&c.variant)
        );
        match drawn(c) {
            Some((effect, b)) => {
                let (low, high, x) = (scale.at(b.low), scale.at(b.high), scale.at(effect));
                let _ = write!(
                    out,
                    "<line class=\"range\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y}\" y2=\"{y}\"/>\
                     <circle class=\"point\" cx=\"{x:.1}\" cy=\"{y}\" r=\"5\"><title>{} [{}, {}]</title></circle>",
                    signed(effect, 3),
                    signed(b.low, 3),
                    signed(b.high, 3)
                );
            }
            None => {
                let _ = write!(out, "<text x=\"{LEFT}\" y=\"{:.1}\">too few units for an interval</text>", y + 4.0);
            }
        }
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
}

/// The difference on the target metric over time, with the confidence sequence as a band.
pub(super) fn cumulative(out: &mut String, result: &ExperimentResult) {
    const HEIGHT: f64 = 320.0;
    let (left, right, top, bottom) = (70.0, WIDTH - 20.0, 16.0, HEIGHT - 34.0);
    let of_target = |slice: &'_ crate::experiment::result::Slice, variant: &str| {
        slice.comparisons.iter().find(|c| c.metric == result.target_metric && c.variant == variant).and_then(drawn)
    };
    let variants: Vec<&str> =
        result.comparisons.iter().filter(|c| c.metric == result.target_metric).map(|c| c.variant.as_str()).collect();
    let all = result.cumulative.iter().flat_map(|slice| variants.iter().filter_map(move |v| of_target(slice, v)));
    // The first days are so wide that they would hide all others: the estimates and the later half set the scale.
    let half = result.cumulative.len() / 2;
    let late =
        result.cumulative[half..].iter().flat_map(|slice| variants.iter().filter_map(move |v| of_target(slice, v)));
    let values = late.flat_map(|(_, b)| [b.low, b.high]).chain(all.map(|(effect, _)| effect));
    let scale = Scale::around(values, (bottom, top));
    let count = (result.cumulative.len() - 1).max(1) as f64;
    let x = |i: usize| left + i as f64 / count * (right - left);
    let _ = writeln!(
        out,
        "<div class=\"card plot\">\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Difference over time\">\n\
         <defs><clipPath id=\"plane\"><rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/></clipPath></defs>",
        right - left,
        bottom - top
    );
    levels(out, &scale, (left, right));
    let every = (result.cumulative.len() / 8).max(1);
    for (i, slice) in result.cumulative.iter().enumerate().filter(|(i, _)| i % every == 0) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(i).clamp(left + 20.0, right - 20.0),
            HEIGHT - 12.0,
            field(slice.name.get(5..).unwrap_or(&slice.name))
        );
    }
    for (variant, colour) in variants.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<(f64, f64, Bounds)> = result
            .cumulative
            .iter()
            .enumerate()
            .filter_map(|(i, slice)| of_target(slice, variant).map(|(effect, b)| (x(i), effect, b)))
            .collect();
        let join = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            points.map(|(x, y)| format!("{x:.1},{:.1}", scale.at(y))).collect::<Vec<_>>().join(" ")
        };
        let upper = points.iter().map(|(x, _, b)| (*x, b.high));
        let lower = points.iter().rev().map(|(x, _, b)| (*x, b.low));
        let _ = writeln!(
            out,
            "<g clip-path=\"url(#plane)\"><polygon class=\"band\" fill=\"{colour}\" points=\"{}\"/>\
             <polyline class=\"line\" stroke=\"{colour}\" points=\"{}\"/></g>",
            join(&mut upper.chain(lower)),
            join(&mut points.iter().map(|(x, effect, _)| (*x, *effect))),
        );
    }
    out.push_str("</svg>\n<ul class=\"legend\">\n");
    for (variant, colour) in variants.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            out,
            "<li><svg viewBox=\"0 0 26 14\"><line x1=\"0\" x2=\"26\" y1=\"7\" y2=\"7\" stroke=\"{colour}\" \
             stroke-width=\"3\"/></svg>{}</li>",
            field(variant)
        );
    }
    out.push_str("</ul>\n</div>\n</section>\n");
}

/// The scale at the left of the plane, with the line at 0 across it.
fn levels(out: &mut String, scale: &Scale, (left, right): (f64, f64)) {
    for tick in scale.ticks() {
        let (y, class) = (scale.at(tick), if tick == 0.0 { "zero" } else { "axis" });
        let end = if tick == 0.0 { right } else { left };
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{:.1}\" x2=\"{end:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 5.0,
            left - 9.0,
            y + 4.0,
            signed(tick, 3)
        );
    }
}
