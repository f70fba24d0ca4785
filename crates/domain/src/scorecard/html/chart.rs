//! The chart of scores by category: bars from 0 to 1 with their intervals, the baseline and the limit.
//!
//! Every position is a percentage of the drawing's width, so that the text beside it keeps its size on every screen.

use std::fmt::Write as _;

use super::{escape, field, format};
use crate::gate::Verdict;
use crate::scorecard::Row;

/// Writes the chart with its legend. The table that follows it holds the same numbers.
pub(super) fn chart(out: &mut String, rows: &[Row<'_>], overall: &Row<'_>, baseline: bool) {
    out.push_str("<div class=\"card chart\">\n");
    legend(out, baseline);
    for row in rows {
        bar(out, row, "");
    }
    bar(out, overall, " total");
    out.push_str("<div class=\"bar-row axis\"><span class=\"name\"></span><span class=\"plot\">");
    out.push_str("<svg class=\"ticks\" aria-hidden=\"true\">");
    for (at, anchor) in [(0, "start"), (25, "middle"), (50, "middle"), (75, "middle"), (100, "end")] {
        let label = format::limit(f64::from(at) / 100.0);
        let _ = write!(out, "<text x=\"{at}%\" y=\"13\" text-anchor=\"{anchor}\">{label}</text>");
    }
    out.push_str("</svg></span><span class=\"value\"></span></div>\n</div>\n");
}

fn legend(out: &mut String, baseline: bool) {
    let mut entries = vec![
        ("<rect class=\"t-bar\" y=\"2\" width=\"26\" height=\"10\" rx=\"2\"/>", "score"),
        ("<path class=\"t-ci\" fill=\"none\" d=\"M2 7H24M2 3v8M24 3v8\"/>", "95 % interval"),
    ];
    if baseline {
        entries.push(("<path class=\"t-base\" d=\"M13 0v14\"/>", "baseline"));
    }
    entries.push(("<path class=\"t-limit\" d=\"M13 0v14\"/>", "limit"));
    out.push_str("<ul class=\"legend\">\n");
    for (drawing, label) in entries {
        let _ = writeln!(out, "<li><svg aria-hidden=\"true\">{drawing}</svg>{label}</li>");
    }
    out.push_str("</ul>\n");
}

fn bar(out: &mut String, row: &Row<'_>, class: &str) {
    let tone = match row.status() {
        Some(Verdict::Fail) => " bad",
        Some(Verdict::Inconclusive) => " unsure",
        _ => "",
    };
    let _ = write!(
        out,
        "<div class=\"bar-row{class}\"><span class=\"name\">{}</span><span class=\"plot\"><svg class=\"track{tone}\" \
         role=\"img\" aria-label=\"{}\"><rect class=\"t-bg\" y=\"6\" width=\"100%\" height=\"18\" rx=\"3\"/>",
        field(row.label()),
        escape(&description(row)),
    );
    if let Some(current) = row.current.filter(|c| c.value.is_finite()) {
        let _ =
            write!(out, "<rect class=\"t-bar{tone}\" y=\"6\" width=\"{}\" height=\"18\" rx=\"3\"/>", at(current.value));
        if format::has_interval(&current) {
            let (low, high) = (at(current.lower), at(current.upper));
            let _ = write!(
                out,
                "<g class=\"t-ci\"><line x1=\"{low}\" x2=\"{high}\" y1=\"15\" y2=\"15\"/><line x1=\"{low}\" \
                 x2=\"{low}\" y1=\"11\" y2=\"19\"/><line x1=\"{high}\" x2=\"{high}\" y1=\"11\" y2=\"19\"/></g>"
            );
        }
    }
    for (class, value) in [("t-limit", row.floor()), ("t-base", row.baseline.map(|b| b.value))] {
        if let Some(x) = value.filter(|v| v.is_finite()).map(at) {
            let _ = write!(out, "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"2\" y2=\"28\"/>");
        }
    }
    let value = row.current.map_or_else(|| format::NONE.to_owned(), |c| format::number(c.value));
    let interval = row.current.filter(format::has_interval).map(|c| format::interval([c.lower, c.upper]));
    let _ = writeln!(
        out,
        "</svg></span><span class=\"value\">{value} <span>{}</span></span></div>",
        interval.unwrap_or_default()
    );
}

/// A position between 0 and 1 as a percentage; what lies outside stands at the end.
fn at(value: f64) -> String {
    format!("{:.2}%", value.clamp(0.0, 1.0) * 100.0)
}

fn description(row: &Row<'_>) -> String {
    let mut text = format!("{}: ", format::short_line(row.label(), 200));
    match row.current {
        Some(current) => text += &format::number(current.value),
        None => text += "no score",
    }
    if let Some(current) = row.current.filter(format::has_interval) {
        let _ = write!(text, ", 95 % interval {} to {}", format::number(current.lower), format::number(current.upper));
    }
    if let Some(baseline) = row.baseline {
        let _ = write!(text, ", baseline {}", format::number(baseline.value));
    }
    if let Some(floor) = row.floor() {
        let _ = write!(text, ", limit {}", format::number(floor));
    }
    if let Some(status) = row.status() {
        let _ = write!(text, ", {}", status.as_str());
    }
    text
}
