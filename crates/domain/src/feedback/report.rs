//! The report on feedback: by prompt version, beside the period before, with what complaints are about. As Markdown, as one
//! HTML file, and as a message for Slack.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::topics::Topics;
use crate::html::field;
use crate::run::Estimate;
use crate::scorecard::format::{self, short_line};

/// Longest name or text shown.
const MAX_FIELD: usize = 300;
/// Prompt versions and topics that a message shows.
const SLACK_ROWS: usize = 10;
/// Most characters of a section of a Slack message.
const SLACK_TEXT: usize = 2900;

/// What was said of the answers of one prompt version, beside the period before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PromptFeedback {
    /// The prompt, as `NAME@VERSION`; `all` for everything together.
    pub name: String,
    /// Answers that anything was said of.
    pub requests: u64,
    /// The same in the period before.
    pub requests_before: u64,
    /// Share of thumbs up.
    pub thumbs_up: Option<Estimate>,
    /// The same in the period before.
    pub thumbs_up_before: Option<Estimate>,
    /// The difference, with Newcombe's interval; `n` is that of both periods.
    pub change: Option<Estimate>,
    /// Mean rating, as a share of the scale.
    pub rating: Option<Estimate>,
    /// Share of these answers that were corrected.
    pub corrected: Option<Estimate>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedbackReport {
    /// The project.
    pub project: String,
    /// The deployment; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The first day, UTC.
    pub first_day: String,
    /// The last day.
    pub last_day: String,
    /// The first day of the period before, which is as long.
    pub before_first_day: String,
    /// Everything together.
    pub total: PromptFeedback,
    /// By prompt version, the most answers first.
    pub prompts: Vec<PromptFeedback>,
    /// What negative feedback is about.
    pub topics: Topics,
    /// Items of the review queue that nobody has decided on.
    pub open_reviews: u64,
}

impl FeedbackReport {
    fn title(&self) -> String {
        let of = self.deployment.as_deref().map(|name| format!(" on {name}")).unwrap_or_default();
        format!("Feedback{of}, {} to {}", self.first_day, self.last_day)
    }

    fn rows(&self) -> impl Iterator<Item = &PromptFeedback> {
        self.prompts.iter().chain([&self.total])
    }

    fn foot(&self) -> String {
        format!(
            "{} wait in the review queue. Compared with the period from {}; intervals are those of 95 %, and each answer \
             counts once.",
            format::count(self.open_reviews, "answer"),
            self.before_first_day
        )
    }

    /// How topics were found, and of how many texts.
    fn method(&self) -> String {
        let topics = &self.topics;
        format!("{} by {}; {} stand alone", format::count(topics.texts, "text"), topics.method, topics.alone)
    }
}

fn estimate(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(estimate) => format!("{} (n={})", format::estimate(&estimate), estimate.n),
        None => "–".to_owned(),
    }
}

fn change(change: Option<Estimate>) -> String {
    change.map_or_else(|| "–".to_owned(), |c| format::change(c.value, Some([c.lower, c.upper])))
}

/// A cell of a Markdown table: foreign text on one line, with nothing that Markdown or HTML would take for its own.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in short_line(text, MAX_FIELD).chars() {
        if "\\`*_{}[]<>#|!&@~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The report as Markdown.
pub fn markdown(report: &FeedbackReport) -> String {
    let mut out = format!("# {}\n\n", cell(&report.title()));
    out += "| prompt | answers (before) | thumbs up | change | rating | corrected |\n";
    out += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for row in report.rows() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            out,
            "| {} | {} ({}) | {} | {} | {} | {} |",
            cell(&row.name),
            row.requests,
            row.requests_before,
            estimate(row.thumbs_up),
            change(row.change),
            estimate(row.rating),
            estimate(row.corrected)
        );
    }
    let _ = write!(out, "\n## What complaints are about\n\n{}.\n\n", cell(&report.method()));
    for topic in &report.topics.topics {
        let _ = writeln!(out, "- **{}** ({})", cell(&topic.label), topic.count);
        for example in &topic.examples {
            let _ = writeln!(out, "  - {}", cell(example));
        }
    }
    let _ = write!(out, "\n{}\n", report.foot());
    out
}

/// The report as one HTML file: no script, no request.
pub fn html(report: &FeedbackReport) -> String {
    let title = field(&report.title());
    let mut out = crate::html::head(&title, &[include_str!("../scorecard/html/report.css")]);
    let _ = write!(
        out,
        "<main>\n<h1>{title}</h1>\n<table>\n<tr><th>prompt</th><th>answers</th><th>before</th><th>thumbs up</th>\
         <th>change</th><th>rating</th><th>corrected</th></tr>\n"
    );
    for row in report.rows() {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            field(&row.name),
            row.requests,
            row.requests_before,
            estimate(row.thumbs_up),
            change(row.change),
            estimate(row.rating),
            estimate(row.corrected)
        );
    }
    let _ = write!(out, "</table>\n<h2>What complaints are about</h2>\n<p>{}.</p>\n<ul>\n", field(&report.method()));
    for topic in &report.topics.topics {
        let _ = write!(out, "<li><strong>{}</strong> ({})<ul>", field(&topic.label), topic.count);
        for example in &topic.examples {
            let _ = write!(out, "<li>{}</li>", field(example));
        }
        out += "</ul></li>\n";
    }
    let _ = write!(out, "</ul>\n<p>{}</p>\n</main>\n</div>\n</body>\n</html>\n", field(&report.foot()));
    out
}

fn plain(text: &str) -> String {
    crate::scorecard::slack::escape(&short_line(text, MAX_FIELD))
}

/// The report in the shape of Slack's incoming webhooks.
pub fn slack(report: &FeedbackReport) -> Value {
    let mut rows = String::new();
    for row in [&report.total].into_iter().chain(report.prompts.iter().take(SLACK_ROWS)) {
        let _ = writeln!(
            rows,
            "*{}*  {}, thumbs up {}, change {}",
            plain(&row.name),
            format::count(row.requests, "answer"),
            estimate(row.thumbs_up),
            change(row.change)
        );
    }
    let mut topics = format!("*What complaints are about* ({})\n", plain(&report.method()));
    for topic in report.topics.topics.iter().take(SLACK_ROWS) {
        let _ = writeln!(topics, "• {} ({})", plain(&topic.label), topic.count);
    }
    let section = |text: &str| {
        let text: String = text.chars().take(SLACK_TEXT).collect();
        json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
    };
    let title: String = report.title().chars().take(150).collect();
    json!({"text": plain(&title), "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": false}},
        section(&rows),
        section(&topics),
        {"type": "context", "elements": [{"type": "mrkdwn", "text": plain(&report.foot())}]},
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::topics::Topic;

    fn report() -> FeedbackReport {
        let part = |value, n, lower, upper| Some(Estimate { value, n, lower, upper });
        let row = |name: &str| PromptFeedback {
            name: name.to_owned(),
            requests: 40,
            requests_before: 30,
            thumbs_up: part(0.75, 40, 0.598, 0.858),
            thumbs_up_before: part(0.9, 30, 0.744, 0.965),
            change: part(-0.15, 70, -0.308, 0.036),
            rating: None,
            corrected: part(0.1, 40, 0.04, 0.23),
        };
        let topic = Topic {
            label: "delivery, price".to_owned(),
            count: 4,
            examples: vec!["<b>wrong</b> price | again\n@all".to_owned()],
        };
        let topics = Topics { method: "words (TF-IDF)".to_owned(), texts: 7, topics: vec![topic], alone: 3 };
        FeedbackReport {
            project: "default".to_owned(),
            deployment: Some("bot".to_owned()),
            first_day: "2026-11-20".to_owned(),
            last_day: "2026-11-26".to_owned(),
            before_first_day: "2026-11-13".to_owned(),
            total: row("all"),
            prompts: vec![row("bot@1.0.0")],
            topics,
            open_reviews: 1,
        }
    }

    #[test]
    fn markdown_has_numbers_with_intervals() {
        let text = markdown(&report());
        for expected in [
            "# Feedback on bot, 2026-11-20 to 2026-11-26\n",
            "| bot\\@1.0.0 | 40 (30) | 0.750 [0.60, 0.86] (n=40) | ",
            "| all | 40 (30) | ",
            "−0.150",
            "- **delivery, price** (4)\n  - \\<b\\>wrong\\</b\\> price \\| again \\@all\n",
            "7 texts by words",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn foreign_text_is_text_everywhere() {
        let page = html(&report());
        assert!(page.contains("&lt;b&gt;wrong&lt;/b&gt; price | again") && !page.contains("<b>wrong"));
        let message = slack(&report()).to_string();
        assert!(message.contains("delivery, price (4)") && !message.contains("<b>"), "{message}");
        let mut long = report();
        long.prompts =
            (0..500).map(|_| PromptFeedback { name: "<!channel>".repeat(50), ..long.total.clone() }).collect();
        let message = slack(&long);
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.iter().all(|b| b["text"]["text"].as_str().is_none_or(|t| t.chars().count() <= 3000)));
        assert!(!message.to_string().contains("<!channel>"));
    }
}
