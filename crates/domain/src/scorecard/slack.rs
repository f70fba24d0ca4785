//! The scorecard as blocks of a Slack message.

use serde_json::{Value, json};

use super::{Row, format};
use crate::gate::{GateReport, Verdict};

/// Categories that are shown; Slack takes ten fields in a section.
const ROWS: usize = 10;
/// Checks that are shown.
const CHECKS: usize = 5;
/// Most characters of Slack's headers.
const HEADER: usize = 150;
/// Most characters of a sentence, and of a name; escaping may make five of one, and Slack takes 3,000 in a section.
const MESSAGE: usize = 110;
const FACT: usize = 40;

/// A message for an incoming webhook: `text` for notifications, `blocks` for the window.
pub fn render(report: &GateReport) -> Value {
    let title =
        format!("{} {} · {}", symbol(report.verdict), format::verdict_word(report.verdict), super::subject(report));
    let overall = super::overall_row(report);
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": format::truncate(&title, HEADER), "emoji": true}}),
        json!({"type": "section", "text": {"type": "mrkdwn", "text": summary(report, &overall)}}),
    ];
    let rows = super::category_rows(report);
    if !rows.is_empty() {
        let fields: Vec<Value> =
            rows.iter().take(ROWS).map(|row| json!({"type": "mrkdwn", "text": field(row)})).collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let unmet = super::unmet(report);
    if !unmet.is_empty() {
        let line = |message: &str| format!("• {}", short(message, MESSAGE));
        let lines: Vec<String> = unmet.iter().take(CHECKS).map(|check| line(&check.message)).collect();
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": lines.join("\n")}}));
    }
    let mut facts: Vec<String> =
        super::facts(report).into_iter().map(|(name, value)| format!("{name} `{}`", short(&value, FACT))).collect();
    let hidden = rows.len().saturating_sub(ROWS);
    if hidden > 0 {
        facts.push(format!("{hidden} more categories are not shown"));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": facts.join(" · ")}]}));
    json!({"text": short(&title, MESSAGE), "blocks": blocks})
}

fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => ":white_check_mark:",
        Verdict::Fail => ":x:",
        Verdict::Inconclusive => ":grey_question:",
    }
}

fn summary(report: &GateReport, overall: &Row<'_>) -> String {
    let current = overall.current.map_or_else(|| format::NONE.to_owned(), |e| format::estimate(&e));
    let mut text = format!("{} Overall *{current}*", short(&super::headline(report), MESSAGE));
    if let Some(baseline) = overall.baseline {
        text.push_str(&format!(", baseline {}", format::number(baseline.value)));
    }
    if let Some(results) = &report.run.results {
        text.push_str(&format!(". {}.", super::passed_text(results)));
    }
    text
}

/// A category: its score, what it was, how sure that is.
fn field(row: &Row<'_>) -> String {
    let status = row.status().map_or("", symbol);
    let current = row.current.map_or_else(|| format::NONE.to_owned(), |e| format::estimate(&e));
    let mut text = format!("{status} *{}*\n{current}", short(row.label(), FACT));
    if let Some(change) = row.change {
        text.push_str(&format!("\nchange {}", format::change(change, row.interval)));
    }
    text
}

/// A text on one line that is not too long.
fn short(text: &str, most: usize) -> String {
    escape(&format::short_line(text, most))
}

/// Slack gives these three a meaning, such as `<!channel>`.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
