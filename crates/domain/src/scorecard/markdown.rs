//! The scorecard of a pull request, in GitHub's Markdown.
//!
//! What people and models wrote is put in as text: Markdown, HTML, `@mentions`, `#123` references and links in it do
//! nothing. The result stays under [`MAX_LENGTH`] by showing shorter excerpts, then fewer samples, then fewer rows.

use std::fmt::Write as _;

use super::Row;
use super::format::{self, short_block, short_line, truncate};
use crate::gate::{GateReport, SampleNote, Verdict};

/// Longest scorecard, in UTF-16 code units. GitHub refuses comments of more than 65,536.
pub const MAX_LENGTH: usize = 60_000;

/// Longest name, message or reason shown.
const MAX_FIELD: usize = 300;

/// The invisible first line by which the comment of `key` is found again. Characters other than ASCII letters, digits,
/// `.`, `_`, `/` and `-` become `-`.
pub fn marker(key: &str) -> String {
    let mut safe = String::new();
    for c in truncate(key, 120).chars() {
        let c = if c.is_ascii_alphanumeric() || "._/-".contains(c) { c } else { '-' };
        // Two hyphens would end an HTML comment early.
        if c != '-' || !safe.ends_with('-') {
            safe.push(c);
        }
    }
    format!("<!-- llmops:scorecard {} -->", safe.trim_matches('-'))
}

/// Writes the scorecard. Its first line is the [`marker`] of `TARGET/DATASET`.
pub fn render(report: &GateReport) -> String {
    page_of(report, &format!("{}/{}", report.run.spec.target, report.run.dataset))
}

/// Writes the scorecard of a project. Its first line is the [`marker`] of `PROJECT/TARGET/DATASET`, which tells the scorecards of
/// one pull request apart: a repository may hold several projects whose targets and datasets have the same names.
pub fn render_for(project: &str, report: &GateReport) -> String {
    page_of(report, &format!("{project}/{}/{}", report.run.spec.target, report.run.dataset))
}

fn page_of(report: &GateReport, key: &str) -> String {
    let mut text = String::new();
    for detail in Detail::LEVELS {
        text = page(report, key, detail);
        if text.encode_utf16().count() <= MAX_LENGTH {
            break;
        }
    }
    text
}

/// How much is shown.
#[derive(Clone, Copy)]
struct Detail {
    /// Rows of a table or items of a list.
    rows: usize,
    /// Samples.
    samples: usize,
    /// Characters of an excerpt of an input or output; 0 leaves them out.
    excerpt: usize,
}

impl Detail {
    const LEVELS: [Self; 5] = [
        Self { rows: 200, samples: 20, excerpt: 1200 },
        Self { rows: 100, samples: 20, excerpt: 400 },
        Self { rows: 60, samples: 20, excerpt: 120 },
        Self { rows: 20, samples: 10, excerpt: 0 },
        // At most about 55 fields of MAX_FIELD characters, each of which may grow fivefold by escaping.
        Self { rows: 6, samples: 3, excerpt: 0 },
    ];
}

fn page(report: &GateReport, key: &str, detail: Detail) -> String {
    let verdict = report.verdict;
    let mut out = format!(
        "{}\n## {} {} · {}\n\n",
        marker(key),
        format::verdict_symbol(verdict),
        format::verdict_word(verdict),
        inline(&super::subject(report)),
    );
    summary(&mut out, report);
    category_table(&mut out, report, detail);
    unmet(&mut out, report, detail);
    bullets(&mut out, "Evidence", super::evidence(report).iter().map(String::as_str), detail);
    samples(&mut out, report, detail);
    errors(&mut out, report, detail);
    bullets(&mut out, "Notices", super::notices(report).into_iter(), detail);
    footer(&mut out, report);
    out
}

fn summary(out: &mut String, report: &GateReport) {
    let overall = super::overall_row(report);
    let current = overall.current.map_or_else(|| format::NONE.to_owned(), |e| format::estimate(&e));
    let _ = write!(out, "**{}** Overall **{current}**", super::headline(report));
    match overall.baseline {
        Some(baseline) => {
            let _ = write!(out, ", baseline {}", format::estimate(&baseline));
        }
        None => out.push_str(", no baseline"),
    }
    if let Some(change) = overall.change {
        let _ = write!(out, ", change {}", format::change(change, overall.interval));
    }
    if let Some(results) = &report.run.results {
        let _ = write!(out, ". {}", super::passed_text(results));
    }
    out.push_str(".\n\n");
}

fn category_table(out: &mut String, report: &GateReport, detail: Detail) {
    let rows = super::category_rows(report);
    out.push_str("| Category | Baseline | Current (95 %) | Change (95 %) | Limit | Status |\n");
    out.push_str("| :--- | ---: | ---: | ---: | :--- | :--- |\n");
    for row in rows.iter().take(detail.rows) {
        table_row(out, row, &code(row.label()));
    }
    table_row(out, &super::overall_row(report), "**overall**");
    more(out, rows.len(), detail.rows, "categories");
    out.push('\n');
}

fn table_row(out: &mut String, row: &Row<'_>, name: &str) {
    let _ = writeln!(
        out,
        "| {name} | {} | {} | {} | {} | {} |",
        format::optional(row.baseline.map(|e| e.value)),
        row.current.map_or_else(|| format::NONE.to_owned(), |e| format::estimate(&e)),
        row.change.map_or_else(|| format::NONE.to_owned(), |c| format::change(c, row.interval)),
        row.limits(),
        row.status().map_or_else(|| format::NONE.to_owned(), status),
    );
}

fn status(verdict: Verdict) -> String {
    format!("{} {}", format::verdict_symbol(verdict), verdict.as_str())
}

/// Lines about what is not shown.
fn more(out: &mut String, all: usize, shown: usize, noun: &str) {
    if all > shown {
        let _ = writeln!(out, "\n*… and {} more {noun}.*", all - shown);
    }
}

fn unmet(out: &mut String, report: &GateReport, detail: Detail) {
    let checks = super::unmet(report);
    if checks.is_empty() {
        return;
    }
    out.push_str("### Checks that did not pass\n\n");
    for check in checks.iter().take(detail.rows) {
        let symbol = format::verdict_symbol(check.status);
        let _ = writeln!(out, "- {symbol} {}: {}", code(&check.name), inline(&check.message));
    }
    more(out, checks.len(), detail.rows, "checks");
    out.push('\n');
}

fn bullets<'a>(out: &mut String, title: &str, lines: impl Iterator<Item = &'a str>, detail: Detail) {
    let lines: Vec<&str> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "### {title}\n");
    for line in lines.iter().take(detail.rows) {
        let _ = writeln!(out, "- {}", inline(line));
    }
    more(out, lines.len(), detail.rows, "lines");
    out.push('\n');
}

fn samples(out: &mut String, report: &GateReport, detail: Detail) {
    if report.samples.is_empty() {
        return;
    }
    out.push_str("### Worst samples\n\n| Sample | Category | Before → after | Why |\n| :--- | :--- | ---: | :--- |\n");
    for note in report.samples.iter().take(detail.samples) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            code(&note.sample_id),
            code(super::category_label(&note.category)),
            before_after(note),
            inline(&note.reasons.join("; ")),
        );
    }
    more(out, report.samples.len(), detail.samples, "samples");
    out.push('\n');
    if detail.excerpt > 0 {
        let shown = report.samples.len().min(detail.samples) as u64;
        let _ =
            writeln!(out, "<details>\n<summary>Inputs and outputs of {}</summary>\n", format::count(shown, "sample"));
        for note in report.samples.iter().take(detail.samples) {
            let _ = writeln!(out, "**{}**\n", code(&note.sample_id));
            excerpt(out, "input", Some(&note.input), detail.excerpt);
            excerpt(out, "expected", note.expected.as_deref(), detail.excerpt);
            excerpt(out, "output", Some(&note.output), detail.excerpt);
            excerpt(out, "baseline's output", note.baseline_output.as_deref(), detail.excerpt);
        }
        out.push_str("</details>\n\n");
    }
}

fn before_after(note: &SampleNote) -> String {
    let after = note.composite.map_or_else(|| "errored".to_owned(), format::number);
    note.baseline_composite.map_or_else(|| after.clone(), |before| format!("{} → {after}", format::number(before)))
}

fn excerpt(out: &mut String, label: &str, text: Option<&str>, max: usize) {
    match text {
        Some(text) if text.trim().is_empty() => {
            let _ = writeln!(out, "{label}: *empty*\n");
        }
        Some(text) => {
            let _ = writeln!(out, "{label}:\n<pre>{}</pre>\n", preformatted(text, max));
        }
        None => {}
    }
}

fn errors(out: &mut String, report: &GateReport, detail: Detail) {
    let Some(results) = report.run.results.as_ref().filter(|r| !r.error_reasons.is_empty()) else { return };
    let mut reasons: Vec<(&String, &u64)> = results.error_reasons.iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let _ = writeln!(
        out,
        "### Not scored\n\n{} could not be answered or judged. They count neither as passed nor as failed.\n",
        format::count(results.errored_trials, "answer")
    );
    out.push_str("| Reason | Answers |\n| :--- | ---: |\n");
    for (reason, n) in reasons.iter().take(detail.rows) {
        let _ = writeln!(out, "| {} | {n} |", inline(reason));
    }
    more(out, reasons.len(), detail.rows, "reasons");
    out.push('\n');
}

fn footer(out: &mut String, report: &GateReport) {
    let steps = super::next_steps(report);
    if !steps.is_empty() {
        out.push_str("### Next\n\n```sh\n");
        for (command, what) in &steps {
            // A code block shows its text as it is; only a line of backticks could end it, and ids are one line.
            let _ = writeln!(out, "{}  # {what}", short_line(command, MAX_FIELD));
        }
        out.push_str("```\n\n");
    }
    let facts: Vec<String> =
        super::facts(report).iter().map(|(label, value)| format!("{label} {}", code(value))).collect();
    let _ = writeln!(out, "<sub>{}</sub>", facts.join(" · "));
}

/// Foreign text within a line, as literal text.
fn inline(text: &str) -> String {
    escape(&short_line(text, MAX_FIELD), Place::Inline)
}

/// A foreign name in monospace.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(&short_line(text, MAX_FIELD), Place::Inline))
}

/// Foreign text of several lines for a `<pre>` element, inside which no Markdown is read.
fn preformatted(text: &str, max: usize) -> String {
    escape(&short_block(text, max), Place::Pre)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Inline,
    Pre,
}

/// Makes every character literal. A zero-width space after `@`, `#` and in `://` keeps GitHub from notifying people and
/// linking issues, which it does on the text after all escapes are resolved.
fn escape(text: &str, place: Place) -> String {
    const GAP: char = '\u{200b}';
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let names = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut previous = '\n';
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map_or('\n', |(_, c)| *c);
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' => out.push_str("&#124;"),
            '`' => out.push_str("&#96;"),
            // Bots read commands such as `/approve` at the beginning of a line.
            '/' if previous == '\n' => out.push_str("&#47;"),
            // Within a word an underscore marks nothing up, and names stay legible.
            '_' if previous.is_alphanumeric() && next.is_alphanumeric() => out.push(c),
            '\\' | '*' | '_' | '[' | ']' | '#' | '~' | '$' | '!' if place == Place::Inline => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        let rest = &text[at + c.len_utf8()..];
        let before = previous;
        let acts = match c {
            // `NAME@VERSION` notifies nobody: what precedes a mention is not a letter or digit of ASCII.
            '@' => names(next) && !(before.is_ascii_alphanumeric() || before == '_'),
            '#' => names(next),
            ':' => rest.starts_with("//"),
            '-' => next.is_ascii_digit() && ends_with_ignoring_case(&text[..at], "gh"),
            'w' | 'W' => next == '.' && ends_with_ignoring_case(&text[..at], "ww"),
            _ => false,
        };
        if acts {
            out.push(GAP);
        }
        previous = c;
    }
    out
}

fn ends_with_ignoring_case(text: &str, end: &str) -> bool {
    text.len().checked_sub(end.len()).and_then(|at| text.get(at..)).is_some_and(|t| t.eq_ignore_ascii_case(end))
}
