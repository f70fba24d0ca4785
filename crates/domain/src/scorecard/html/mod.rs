//! A report in one HTML file: no script, no request, light and dark, readable on a telephone.

mod chart;
mod samples;

use std::fmt::Write as _;

use super::Row;
use super::format::{self, short_block};
use crate::gate::{Check, GateReport, Verdict};
use crate::html::{self, escape, field};
use crate::run::{Estimate, RunResults};
use crate::scoring::MetricSpec;

/// Longest list of flips or reasons shown.
const MAX_ITEMS: usize = 100;

/// Writes the report.
pub fn render(report: &GateReport) -> String {
    let subject = field(&super::subject(report));
    let word = format::verdict_word(report.verdict);
    let mut out = html::head(&format!("{word} · {subject}"), &[include_str!("report.css")]);
    header(&mut out, report, &subject);
    out.push_str("<main>\n");
    categories(&mut out, report);
    checks(&mut out, report);
    list(&mut out, "Evidence", "", super::evidence(report).iter().map(String::as_str));
    samples::samples(&mut out, report);
    samples::flips(&mut out, report);
    if let Some(results) = &report.run.results {
        metrics(&mut out, report, results);
        let hint = "How often each reason kept an answer from passing. An answer can fail for several.";
        counts(&mut out, "Why answers failed", hint, &results.failure_reasons);
        let hint = "Answers that could not be given or judged. They count neither as passed nor as failed.";
        counts(&mut out, "Not scored", hint, &results.error_reasons);
    }
    list(&mut out, "Notices", "", super::notices(report).into_iter());
    origin(&mut out, report);
    out.push_str("</main>\n<footer>Intervals are 95 % intervals; differences are paired by sample.</footer>\n");
    out.push_str("</div>\n</body>\n</html>\n");
    out
}

fn header(out: &mut String, report: &GateReport, subject: &str) {
    let run = &report.run;
    let ended = run.end_time.or(run.start_time).unwrap_or(run.created_at);
    let _ = write!(
        out,
        "<header>\n<div class=\"brand\"><b>llmops</b><time datetime=\"{ended}\">{}</time></div>\n\
         <div class=\"badge verdict {}\">{}{}</div>\n<h1>{subject}</h1>\n<p class=\"lead\">{}",
        ended.strftime("%-d %B %Y, %H:%M UTC"),
        report.verdict.as_str(),
        icon(report.verdict),
        format::verdict_word(report.verdict),
        super::headline(report),
    );
    let notable = super::unmet(report);
    if let Some(first) = notable.first() {
        let _ = write!(out, " {}", field(&first.message));
    }
    out.push_str("</p>\n<dl class=\"stats\">\n");
    let overall = super::overall_row(report);
    let mut sub: Vec<String> = overall
        .current
        .filter(format::has_interval)
        .map(|e| format!("95 % interval {}", format::interval([e.lower, e.upper])))
        .into_iter()
        .collect();
    sub.extend(overall.baseline.map(|b| format!("baseline {}", format::number(b.value))));
    sub.extend(overall.change.map(|c| format!("change {}", format::signed(c))));
    stat(
        out,
        "Overall score",
        &format::optional(overall.current.map(|e| e.value)),
        &sub.join(" · ").replace(' ', "\u{a0}").replace("·\u{a0}", "· "),
    );
    if let Some(results) = &run.results {
        let rate = Some(results.pass_rate).filter(|r| r.n > 0 && r.value.is_finite());
        let passed = format!("{} of {}", results.passed_samples, format::count(results.total_samples, "sample"));
        stat(out, "Passed", &rate.map_or_else(|| format::NONE.to_owned(), |r| format::percent(r.value)), &passed);
        stat(out, "Errored", &results.errored_samples.to_string(), "not scored");
        let spend = &results.spend;
        let latency = results.latency.map(|l| format!("median {}", format::millis(l.p50_ms))).unwrap_or_default();
        stat(out, "Cost", &format::spent_in_all(spend).0, &latency);
    }
    out.push_str("</dl>\n</header>\n");
}

fn stat(out: &mut String, label: &str, value: &str, sub: &str) {
    let _ = writeln!(
        out,
        "<div><dt>{label}</dt><dd class=\"big\">{}</dd><dd class=\"sub\">{}</dd></div>",
        escape(value),
        escape(sub)
    );
}

fn categories(out: &mut String, report: &GateReport) {
    let rows = super::category_rows(report);
    let overall = super::overall_row(report);
    open(out, "Scores by category", "");
    chart::chart(out, &rows, &overall, report.baseline.is_some());
    out.push_str("<div class=\"card scroll gap\" tabindex=\"0\" role=\"region\" aria-label=\"Scores by category\">\n<table>\n<thead><tr><th scope=\"col\">Category</th>");
    for title in ["Weight", "Samples", "Baseline", "Current", "Change"] {
        let _ = write!(out, "<th scope=\"col\" class=\"num\">{title}</th>");
    }
    out.push_str("<th scope=\"col\">Limit</th><th scope=\"col\">Status</th></tr></thead>\n<tbody>\n");
    for row in rows.iter().chain([&overall]) {
        table_row(out, row);
    }
    out.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn table_row(out: &mut String, row: &Row<'_>) {
    let mut samples = row.samples.to_string();
    for (n, what) in [(row.failed, "failed"), (row.errored, "errored")] {
        if n > 0 {
            let _ = write!(samples, "<span class=\"under\">{n} {what}</span>");
        }
    }
    let change = row.change.map_or_else(
        || format::NONE.to_owned(),
        |c| {
            let ends = row.interval.map(|i| format!("<span class=\"ci\">{}</span>", format::signed_interval(i)));
            format!("{}{}", format::signed(c), ends.unwrap_or_default())
        },
    );
    let _ = writeln!(
        out,
        "<tr{}><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{samples}</td>\
         <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{change}</td><td class=\"nowrap\">{}</td><td>{}</td></tr>",
        if row.weight.is_none() && row.name == super::OVERALL { " class=\"total\"" } else { "" },
        field(row.label()),
        row.weight.map_or_else(String::new, format::percent),
        format::optional(row.baseline.map(|e| e.value)),
        row.current.map_or_else(|| format::NONE.to_owned(), |e| with_interval(&e)),
        row.limits(),
        row.status().map_or_else(|| format::NONE.to_owned(), badge),
    );
}

fn with_interval(of: &Estimate) -> String {
    if format::has_interval(of) {
        let ends = format::interval([of.lower, of.upper]);
        format!("{}<span class=\"ci\">{ends}</span>", format::number(of.value))
    } else {
        format::number(of.value)
    }
}

fn checks(out: &mut String, report: &GateReport) {
    if report.checks.is_empty() {
        return;
    }
    open(out, "Checks", "");
    out.push_str("<div class=\"card\">\n");
    let unmet = super::unmet(report);
    check_list(out, &unmet);
    let passed: Vec<&Check> = report.checks.iter().filter(|c| c.status == Verdict::Pass).collect();
    if unmet.is_empty() {
        check_list(out, &passed);
    } else if !passed.is_empty() {
        let _ = writeln!(
            out,
            "<details class=\"rest\"><summary>{} passed</summary>",
            format::count(passed.len() as u64, "check")
        );
        check_list(out, &passed);
        out.push_str("</details>\n");
    }
    out.push_str("</div>\n</section>\n");
}

fn check_list(out: &mut String, checks: &[&Check]) {
    if checks.is_empty() {
        return;
    }
    out.push_str("<ul class=\"checks\">\n");
    for check in checks {
        let _ = writeln!(
            out,
            "<li>{}<p>{} <code>{}</code></p></li>",
            badge(check.status),
            field(&check.message),
            field(&check.name)
        );
    }
    out.push_str("</ul>\n");
}

fn metrics(out: &mut String, report: &GateReport, results: &RunResults) {
    if results.metric_details.is_empty() {
        return;
    }
    let before = report.baseline.as_ref().and_then(|b| b.results.as_ref());
    open(out, "Metrics", "Means over every scored answer. Only weighted metrics enter the score.");
    out.push_str("<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Metrics\">\n<table>\n");
    out.push_str("<thead><tr><th scope=\"col\">Metric</th>");
    for title in ["Weight", "Passes at", "Samples", "Baseline", "Current", "Change"] {
        let _ = write!(out, "<th scope=\"col\" class=\"num\">{title}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let scoring = &report.run.spec.scoring;
    for (name, value) in &results.metric_details {
        let spec = scoring.metrics.get(name);
        let weight = spec.and_then(|s| s.weight);
        let threshold = spec.filter(|s| s.scorer.is_score()).map(|s| s.threshold.unwrap_or(scoring.pass_threshold));
        let baseline = before.and_then(|b| b.metric_scores.get(name)).copied();
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            field(name),
            weight.map_or_else(|| format::NONE.to_owned(), format::percent),
            threshold.map_or_else(|| format::NONE.to_owned(), |t| format!("≥ {}", format::limit(t))),
            value.n,
            baseline.map_or_else(|| format::NONE.to_owned(), |b| super::metric_value(spec, b)),
            metric_cell(spec, value),
            baseline.map_or_else(|| format::NONE.to_owned(), |b| super::metric_change(spec, value.value - b)),
        );
    }
    out.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn metric_cell(spec: Option<&MetricSpec>, value: &Estimate) -> String {
    let ends = super::metric_interval(spec, value).map(|ends| format!("<span class=\"ci\">{ends}</span>"));
    format!("{}{}", super::metric_value(spec, value.value), ends.unwrap_or_default())
}

fn counts(out: &mut String, title: &str, hint: &str, reasons: &std::collections::BTreeMap<String, u64>) {
    if reasons.is_empty() {
        return;
    }
    let mut sorted: Vec<(&String, u64)> = reasons.iter().map(|(k, v)| (k, *v)).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let most = sorted.first().map_or(1, |(_, n)| (*n).max(1));
    open(out, title, hint);
    out.push_str("<div class=\"card\">\n");
    for (reason, n) in sorted.iter().take(MAX_ITEMS) {
        let _ = writeln!(
            out,
            "<div class=\"count\"><span class=\"name\">{}</span><svg aria-hidden=\"true\"><rect class=\"t-bar\" \
             width=\"{:.2}%\" height=\"10\" rx=\"3\"/></svg><span class=\"num\">{n}</span></div>",
            field(reason),
            *n as f64 / most as f64 * 100.0
        );
    }
    out.push_str("</div>\n");
    more(out, sorted.len());
    out.push_str("</section>\n");
}

fn list<'a>(out: &mut String, title: &str, hint: &str, lines: impl Iterator<Item = &'a str>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    open(out, title, hint);
    out.push_str("<ul class=\"plain card\">\n");
    for line in lines.take(MAX_ITEMS) {
        let _ = writeln!(out, "<li>{}</li>", field(line));
    }
    out.push_str("</ul>\n</section>\n");
}

fn origin(out: &mut String, report: &GateReport) {
    open(out, "Where these numbers come from", "");
    out.push_str("<dl class=\"facts card\">\n");
    for (label, value) in super::facts(report) {
        let _ = writeln!(out, "<div><dt>{}</dt><dd class=\"mono\">{}</dd></div>", capitalised(label), field(&value));
    }
    out.push_str("</dl>\n");
    let steps = super::next_steps(report);
    if !steps.is_empty() {
        out.push_str("<pre class=\"next card\">");
        for (command, what) in steps {
            let _ = writeln!(out, "{}  <i># {what}</i>", field(&command));
        }
        out.push_str("</pre>\n");
    }
    out.push_str("</section>\n");
}

fn capitalised(label: &str) -> String {
    let mut chars = label.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn open(out: &mut String, title: &str, hint: &str) {
    let _ = writeln!(out, "<section>\n<h2>{title}</h2>\n<p class=\"hint\">{hint}</p>");
}

fn more(out: &mut String, all: usize) {
    if all > MAX_ITEMS {
        let _ = writeln!(out, "<p class=\"hint\">… and {} more.</p>", all - MAX_ITEMS);
    }
}

fn badge(status: Verdict) -> String {
    format!("<span class=\"badge {0}\">{1}{0}</span>", status.as_str(), icon(status))
}

/// A drawn sign: a check mark, a cross, a question mark. The word stands beside it.
fn icon(status: Verdict) -> &'static str {
    match status {
        Verdict::Pass => {
            "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\"><path d=\"M3 8.5 6.5 12 13 4.5\"/></svg>"
        }
        Verdict::Fail => {
            "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" \
             stroke-linecap=\"round\"><path d=\"M4 4l8 8M12 4l-8 8\"/></svg>"
        }
        Verdict::Inconclusive => {
            "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" \
             stroke-linecap=\"round\"><path d=\"M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9.1 8 9.8M8 12.6v.1\"/></svg>"
        }
    }
}

/// Foreign text of several lines.
fn block(text: &str, max: usize) -> String {
    escape(&short_block(text, max))
}
