//! Results as one HTML file: no script, no request, light and dark, readable on a telephone. Plots are SVG.

mod plot;

use std::fmt::Write as _;

use super::result::{Bounds, Comparison, Conclusion, ExperimentResult, GuardrailState, signed, significant};
use crate::html::{self, field};

/// Writes the report.
pub fn render(result: &ExperimentResult) -> String {
    let subject = field(&result.experiment);
    let styles = [include_str!("../scorecard/html/report.css"), include_str!("report/report.css")];
    let mut out = html::head(&format!("{subject} · experiment"), &styles);
    header(&mut out, result, &subject);
    out.push_str("<main>\n");
    section(
        &mut out,
        "Differences",
        &format!(
            "Each variant beside {}: the estimate with an interval that holds at every look at the data. Where it leaves the \
             line at 0 out, the difference is beyond chance.",
            field(&result.control)
        ),
    );
    plot::forest(&mut out, result);
    comparisons(&mut out, result);
    if result.cumulative.len() > 1 {
        let hint = "The difference on the target metric of all units that had entered by the end of each day.";
        section(&mut out, "Over time", hint);
        plot::cumulative(&mut out, result);
    }
    variants(&mut out, result);
    slices(&mut out, result);
    list(&mut out, "What is missing for a winner", result.missing.iter().map(|m| m.message.clone()).collect());
    let mut notices: Vec<String> = result.comparisons.iter().filter_map(|c| c.notice.clone()).collect();
    notices.extend(result.notices.iter().cloned());
    list(&mut out, "Notices", notices);
    out.push_str("</main>\n");
    let _ = write!(out, "<footer>{}</footer>\n</div>\n</body>\n</html>\n", footnote(result));
    out
}

fn header(out: &mut String, result: &ExperimentResult, subject: &str) {
    let (class, word) = match (result.conclusion, &result.winner) {
        (Conclusion::Winner, Some(winner)) => ("pass", format!("Winner: {}", field(winner))),
        (Conclusion::Blocked, _) => ("fail", "No conclusion".to_owned()),
        _ => ("inconclusive", "No winner yet".to_owned()),
    };
    let _ = write!(
        out,
        "<header>\n<div class=\"brand\"><b>llmops</b><time datetime=\"{0}\">{1}</time></div>\n\
         <div class=\"badge verdict {class}\">{word}</div>\n<h1>{subject}</h1>\n<p class=\"lead\">{2}</p>\n\
         <dl class=\"stats\">\n",
        result.computed_at,
        result.computed_at.strftime("%-d %B %Y, %H:%M UTC"),
        field(&result.recommendation),
    );
    let p = |c: &&Comparison| c.p_value_corrected.unwrap_or(1.0);
    let target =
        result.comparisons.iter().filter(|c| c.metric == result.target_metric).min_by(|a, b| p(a).total_cmp(&p(b)));
    let lift = target.and_then(|c| c.lift).map_or_else(|| "–".to_owned(), |l| percent(l.value));
    let ratio = result.sample_ratio.as_ref().map_or_else(
        || ("–".to_owned(), "split not known".to_owned()),
        |r| (if r.mismatch { "broken" } else { "fine" }.to_owned(), format!("p = {}", significant(r.p_value, 2))),
    );
    let stats = [
        (
            "Target metric",
            field(&result.target_metric),
            format!("{lift} in {}", target.map_or_else(String::new, |c| field(&c.variant))),
        ),
        ("Confidence", percent_of(result.confidence), format!("significance {}", significant(result.significance, 2))),
        ("Units", result.total_samples.to_string(), format!("{} variants", result.variant_results.len())),
        ("Split", ratio.0, ratio.1),
    ];
    for (label, big, sub) in stats {
        let _ = writeln!(out, "<div><dt>{label}</dt><dd class=\"big\">{big}</dd><dd class=\"sub\">{sub}</dd></div>");
    }
    out.push_str("</dl>\n</header>\n");
}

fn percent(share: f64) -> String {
    format!("{} %", signed(share * 100.0, 3))
}

fn percent_of(share: f64) -> String {
    // Never rounded up to certainty.
    let percent = (share * 1000.0).floor() / 10.0;
    format!("{percent} %")
}

fn section(out: &mut String, title: &str, hint: &str) {
    let _ = writeln!(out, "<section>\n<h2>{title}</h2>\n<p class=\"hint\">{hint}</p>");
}

fn bounds(bounds: Option<Bounds>) -> String {
    bounds.map_or_else(|| "–".to_owned(), |b| format!("[{}, {}]", significant(b.low, 3), significant(b.high, 3)))
}

fn comparisons(out: &mut String, result: &ExperimentResult) {
    out.push_str(
        "<div class=\"card scroll\"><table><thead><tr><th>Metric</th><th>Variant</th><th class=\"n\">Difference</th>\
         <th class=\"n\">Lift</th><th class=\"n\">Always valid</th><th class=\"n\">p, corrected</th>\
         <th class=\"n\">Chance to win</th><th>Guardrail</th><th>One look</th></tr></thead><tbody>\n",
    );
    for c in &result.comparisons {
        let (class, guardrail) = match c.guardrail.as_ref().map(|g| g.state) {
            None => ("", "–"),
            Some(GuardrailState::Holds) => ("pass", "holds"),
            Some(GuardrailState::Open) => ("inconclusive", "open"),
            Some(GuardrailState::Violated) => ("fail", "violated"),
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n {}\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td><span class=\"{class}\">{guardrail}</span></td>\
             <td class=\"wrap\">{}</td></tr>",
            field(&c.metric),
            field(&c.variant),
            tone(c),
            c.difference.map_or_else(|| "–".to_owned(), |d| signed(d, 3)),
            c.lift.map_or_else(|| "–".to_owned(), |l| percent(l.value)),
            bounds(c.always_valid.as_ref().and_then(|v| v.interval)),
            c.p_value_corrected.map_or_else(|| "–".to_owned(), |p| significant(p, 2)),
            c.bayes.as_ref().map_or_else(|| "–".to_owned(), |b| percent_of(b.chance_to_win)),
            c.fixed
                .as_ref()
                .map_or_else(|| "–".to_owned(), |f| format!("{}, p = {}", f.test, significant(f.p_value, 2))),
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

/// The class of a difference.
fn tone(c: &Comparison) -> &'static str {
    match (c.significant, c.better) {
        (true, Some(true)) => "good",
        (true, Some(false)) => "bad",
        _ => "",
    }
}

fn variants(out: &mut String, result: &ExperimentResult) {
    section(out, "Variants", "A unit counts once, however often it was observed. Intervals of means are for one look.");
    out.push_str(
        "<div class=\"card scroll\"><table><thead><tr><th>Metric</th><th>Variant</th><th class=\"n\">Units</th>\
         <th class=\"n\">Observations</th><th class=\"n\">Mean</th><th class=\"n\">Interval</th>\
         <th class=\"n\">Spread</th><th class=\"n\">Min</th><th class=\"n\">Max</th></tr></thead><tbody>\n",
    );
    let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| significant(value, 4));
    let mut names: Vec<&str> = Vec::new();
    for comparison in &result.comparisons {
        if !names.contains(&comparison.metric.as_str()) {
            names.push(&comparison.metric);
        }
    }
    for name in names {
        for (variant, found) in &result.variant_results {
            let Some(m) = found.metrics.get(name) else { continue };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                field(name),
                field(variant),
                if found.is_control { " <span class=\"sub\">control</span>" } else { "" },
                m.units,
                m.observations,
                optional(m.mean),
                bounds(m.interval),
                optional(m.sd),
                optional(m.min),
                optional(m.max),
            );
        }
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

fn slices(out: &mut String, result: &ExperimentResult) {
    if result.segments.is_empty() {
        return;
    }
    section(out, "By segment", "On the target metric; p-values are corrected over all segments, variants and metrics.");
    out.push_str(
        "<div class=\"card scroll\"><table><thead><tr><th>Segment</th><th>Variant</th><th class=\"n\">Units</th>\
         <th class=\"n\">Difference</th><th class=\"n\">Interval</th><th class=\"n\">p, corrected</th></tr></thead><tbody>\n",
    );
    for slice in &result.segments {
        for c in slice.comparisons.iter().filter(|c| c.metric == result.target_metric) {
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n {}\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td></tr>",
                field(&slice.name),
                field(&c.variant),
                c.units,
                tone(c),
                c.difference.map_or_else(|| "–".to_owned(), |d| signed(d, 3)),
                bounds(c.interval),
                c.p_value_corrected.map_or_else(|| "–".to_owned(), |p| significant(p, 2)),
            );
        }
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

fn list(out: &mut String, title: &str, items: Vec<String>) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "<section>\n<h2>{title}</h2>\n<ul>");
    for item in items {
        let _ = writeln!(out, "<li>{}</li>", field(&item));
    }
    out.push_str("</ul>\n</section>\n");
}

fn footnote(result: &ExperimentResult) -> String {
    let basis = match result.basis {
        super::Basis::AlwaysValid => "Decisions rest on p-values and intervals that are valid at every look",
        super::Basis::FixedHorizon => "Decisions rest on the one look that was planned",
    };
    format!("{basis}, against alpha {}.", result.alpha)
}
