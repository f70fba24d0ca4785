//! JUnit XML, as GitHub, GitLab and Jenkins read it.
//!
//! One test suite holds the gate's checks, and one per category the samples worth reporting. The `tests` of a category
//! count all its samples, although only those that did not pass are written as cases. What failed in a run that the
//! gate passes is *skipped*: the verdict decides whether a build is red, not a single sample within the limits.

use std::fmt::Write as _;

use super::format::{self, clean, short_block, short_line};
use crate::gate::{Check, GateReport, SampleNote, Verdict};
use crate::run::CategoryResult;

/// Longest input, expected or actual output written.
const MAX_TEXT: usize = 8_000;
/// Longest name or message in an attribute.
const MAX_ATTRIBUTE: usize = 500;

/// Writes the report.
pub fn render(report: &GateReport) -> String {
    let suites: Vec<Suite> = std::iter::once(gate_suite(report)).chain(category_suites(report)).collect();
    let total = |get: fn(&Suite) -> u64| suites.iter().map(get).sum::<u64>();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        attribute(&format!("llmops: {}", super::subject(report))),
        total(|s| s.tests),
        total(|s| s.failures),
        total(|s| s.errors),
        total(|s| s.skipped),
        seconds(report),
    );
    for suite in &suites {
        suite.write(&mut out, report);
    }
    out.push_str("</testsuites>\n");
    out
}

struct Suite {
    name: String,
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
    properties: Vec<(&'static str, String)>,
    /// The cases, as XML.
    cases: String,
}

impl Suite {
    fn write(&self, out: &mut String, report: &GateReport) {
        let ended = report.run.end_time.or(report.run.start_time).unwrap_or(report.run.created_at);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0.000\" \
             timestamp=\"{}\">",
            attribute(&self.name),
            self.tests,
            self.failures,
            self.errors,
            self.skipped,
            ended.strftime("%Y-%m-%dT%H:%M:%S"),
        );
        if !self.properties.is_empty() {
            out.push_str("    <properties>\n");
            for (name, value) in &self.properties {
                let _ = writeln!(out, "      <property name=\"{name}\" value=\"{}\"/>", attribute(value));
            }
            out.push_str("    </properties>\n");
        }
        out.push_str(&self.cases);
        out.push_str("  </testsuite>\n");
    }
}

fn gate_suite(report: &GateReport) -> Suite {
    let mut cases = String::new();
    for check in &report.checks {
        check_case(&mut cases, check);
    }
    let with = |status| report.checks.iter().filter(|c| c.status == status).count() as u64;
    Suite {
        name: "gate".to_owned(),
        tests: report.checks.len() as u64,
        failures: with(Verdict::Fail),
        errors: with(Verdict::Inconclusive),
        skipped: 0,
        properties: std::iter::once(("verdict", report.verdict.as_str().to_owned()))
            .chain(super::facts(report))
            .chain(super::evidence(report).into_iter().map(|line| ("evidence", line)))
            .chain(super::notices(report).into_iter().map(|line| ("notice", line.to_owned())))
            .collect(),
        cases,
    }
}

fn check_case(out: &mut String, check: &Check) {
    let name = attribute(&check.name);
    let open = format!("    <testcase name=\"{name}\" classname=\"gate\" time=\"0.000\"");
    let element = match check.status {
        Verdict::Pass => {
            let _ = writeln!(out, "{open}/>");
            return;
        }
        Verdict::Fail => "failure",
        Verdict::Inconclusive => "error",
    };
    let numbers = [("baseline", check.baseline), ("current", check.current)];
    let mut body: Vec<String> =
        numbers.iter().filter_map(|(name, v)| Some(format!("{name}: {}", format::number((*v)?)))).collect();
    // What was decided on: it may be of fewer samples than the two above.
    body.extend(check.change.map(|change| format!("change: {}", format::signed(change))));
    body.extend(super::limit_text(check).map(|limit| format!("limit: {limit}")));
    body.extend(check.interval.map(|i| format!("95 % interval: {}", format::signed_interval(i))));
    body.extend(check.n.map(|n| format!("samples: {n}")));
    let _ = writeln!(
        out,
        "{open}>\n      <{element} message=\"{}\" type=\"{}\">{}</{element}>\n    </testcase>",
        attribute(&check.message),
        check.status.as_str(),
        text(&body.join("\n")),
    );
}

fn category_suites(report: &GateReport) -> Vec<Suite> {
    let results = report.run.results.as_ref();
    let green = report.verdict == Verdict::Pass;
    results
        .iter()
        .flat_map(|r| &r.categories)
        .map(|(name, category)| {
            let notes: Vec<&SampleNote> = report.samples.iter().filter(|s| s.category == *name).collect();
            let errors = errored_samples(category, &notes, report.run.spec.repeat);
            let (failures, skipped) = if green { (0, category.failed) } else { (category.failed, 0) };
            let mut cases = String::new();
            for note in &notes {
                sample_case(&mut cases, note, green);
            }
            let label = super::category_label(name);
            let hidden = (category.failed + errors).saturating_sub(notes.len() as u64);
            if hidden > 0 {
                let _ = writeln!(
                    cases,
                    "    <system-out>{}</system-out>",
                    text(&format!(
                        "{hidden} more did not pass and {} not listed: llmops run show {}",
                        if hidden == 1 { "is" } else { "are" },
                        format::shell_word(report.run.id.as_str())
                    ))
                );
            }
            Suite {
                name: format!("samples: {label}"),
                tests: category.samples.max(notes.len() as u64),
                failures,
                errors,
                skipped,
                properties: category_properties(category, errors),
                cases,
            }
        })
        .collect()
}

/// Samples of the category of which some trial has no usable answer and none failed. Where runs of several trials did not count
/// them, the samples reported are what is known.
fn errored_samples(category: &CategoryResult, notes: &[&SampleNote], repeat: u32) -> u64 {
    let known = if repeat <= 1 { Some(category.errored) } else { category.errored_samples };
    known.unwrap_or_else(|| notes.iter().filter(|n| n.composite.is_none()).count() as u64)
}

fn category_properties(category: &CategoryResult, errors: u64) -> Vec<(&'static str, String)> {
    let passed = category.samples.saturating_sub(category.failed).saturating_sub(errors);
    let mut properties = vec![("samples", category.samples.to_string()), ("passed", passed.to_string())];
    properties.extend(category.score.map(|s| ("score", format::estimate(&s))));
    properties.extend(category.pass_rate.map(|p| ("pass rate", format::percent(p.value))));
    properties
}

fn sample_case(out: &mut String, note: &SampleNote, green: bool) {
    let why = if note.reasons.is_empty() { "did not pass".to_owned() } else { note.reasons.join("; ") };
    let _ = writeln!(
        out,
        "    <testcase name=\"{}\" classname=\"samples.{}\" time=\"0.000\">",
        attribute(&note.sample_id),
        attribute(super::category_label(&note.category)),
    );
    match (note.composite, green) {
        (None, _) => element(out, "error", "errored", &why, note),
        (Some(_), false) => element(out, "failure", "failed", &why, note),
        (Some(_), true) => {
            let message = format!("did not pass, within the gate's limits: {why}");
            let _ = writeln!(out, "      <skipped message=\"{}\"/>", attribute(&message));
        }
    }
    out.push_str("    </testcase>\n");
}

fn element(out: &mut String, name: &str, kind: &str, why: &str, note: &SampleNote) {
    let mut body = String::new();
    if let (Some(before), Some(after)) = (note.baseline_composite, note.composite) {
        let _ = writeln!(body, "score: {} → {}\n", format::number(before), format::number(after));
    }
    let _ = write!(body, "input:\n{}", short_block(&note.input, MAX_TEXT));
    if let Some(expected) = &note.expected {
        let _ = write!(body, "\n\nexpected:\n{}", short_block(expected, MAX_TEXT));
    }
    let _ = write!(body, "\n\noutput:\n{}", short_block(&note.output, MAX_TEXT));
    let _ = writeln!(out, "      <{name} message=\"{}\" type=\"{kind}\">{}</{name}>", attribute(why), text(&body));
}

fn seconds(report: &GateReport) -> f64 {
    let run = &report.run;
    run.start_time.zip(run.end_time).map_or(0.0, |(start, end)| end.duration_since(start).as_secs_f64().max(0.0))
}

fn attribute(value: &str) -> String {
    escape(&short_line(value, MAX_ATTRIBUTE))
}

fn text(value: &str) -> String {
    escape(&clean(value))
}

/// Escapes what XML marks up with. Control characters, which XML 1.0 forbids even as references, are gone by then.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            _ => out.push(c),
        }
    }
    out
}
