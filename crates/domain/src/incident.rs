//! An incident: something is wrong with a deployment, and people look into it. While it is open, nobody promotes anything to
//! the deployment; what happened is put in one timeline, and its end is written down.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::IncidentId;
use crate::run::Estimate;
use crate::scorecard::format::{self, short_line};

/// Longest text of the timeline that a post-mortem shows.
const MAX_TEXT: usize = 300;

/// What was done at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "measure", rename_all = "snake_case")]
#[schema(as = IncidentMeasure)]
pub enum Measure {
    /// The safe mode was switched on.
    SafeMode,
    /// An earlier manifest answers again.
    Rollback {
        /// The manifest that was live.
        from: String,
        /// The manifest that is live since.
        to: String,
    },
    /// The experiment of a release was paused: no further users see its candidate.
    ExperimentPaused {
        /// The experiment's key.
        experiment: String,
    },
    /// A canary that showed users its candidate was aborted: what is live answers them.
    CanaryAborted {
        /// The canary's id.
        canary: String,
    },
    /// A canary that showed users its candidate was paused: what is live, or its safe mode, answers them.
    CanaryPaused {
        /// The canary's id.
        canary: String,
    },
}

/// Which incidents are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct IncidentFilter {
    /// Of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// In this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Open ones, or closed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// What somebody wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IncidentNote {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The deployment.
    pub deployment: String,
    /// Its environment.
    pub environment: String,
    /// What is wrong, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// Who opened it.
    pub opened_by: String,
    /// What was done at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
    /// What people wrote down, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<IncidentNote>,
    /// When it was closed; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// Who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// How it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// The dataset of inputs that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Calls that failed and whose inputs are not in the dataset, as it would have got too large.
    #[serde(default)]
    pub left_out: u64,
    /// The draft of the post-mortem, in Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_mortem: Option<String>,
}

impl Incident {
    /// What it is called.
    pub fn name(&self) -> String {
        let what = self.title.clone().unwrap_or_else(|| "incident".to_owned());
        format!("{}: {what}", self.deployment)
    }
}

/// What stands before the subject of a complaint.
const COMPLAINT: &str = "a user found the answer to ";
/// What stands behind it, and before the words.
const WORDS: &str = " bad: ";

/// A complaint with words, as timelines tell it.
pub fn complaint(subject: &str, words: &str) -> String {
    format!("{COMPLAINT}{subject}{WORDS}{words}")
}

/// The subject of a complaint with words in a line of a post-mortem, and where it ends.
fn subject_of(line: &str) -> Option<(String, usize)> {
    let from = line.find(COMPLAINT)? + COMPLAINT.len();
    let end = from + line[from..].find(WORDS)?;
    Some((line[from..end].replace('\\', ""), end))
}

impl Incident {
    /// The answers whose complaints the post-mortem repeats: ids of requests, or `trace:` and a trace's.
    pub fn subjects_of_complaints(&self) -> BTreeSet<String> {
        let lines = self.post_mortem.iter().flat_map(|text| text.lines());
        lines.filter_map(subject_of).map(|(subject, _)| subject).collect()
    }

    /// Takes the words of complaints about these answers out of the post-mortem; that there were complaints stays. Answers
    /// whether there were such words.
    pub fn forget_complaints(&mut self, subjects: &BTreeSet<String>) -> bool {
        let Some(text) = &self.post_mortem else { return false };
        let (mut kept, mut is_changed) = (String::with_capacity(text.len()), false);
        for line in text.lines() {
            if let Some((_, end)) = subject_of(line).filter(|(subject, _)| subjects.contains(subject)) {
                is_changed = true;
                kept.push_str(&line[..end]);
                kept.push_str(" bad |  |");
            } else {
                kept.push_str(line);
            }
            kept.push('\n');
        }
        self.post_mortem = Some(kept);
        is_changed
    }
}

/// What an entry of the timeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    /// A change of configuration.
    Change,
    /// An alert.
    Alert,
    /// Calls of an hour.
    Calls,
    /// A bad word of a user.
    Feedback,
    /// A note of somebody who looked into it, or its beginning or end.
    Note,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TimelineEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it is.
    pub kind: TimelineKind,
    /// What happened.
    pub text: String,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What an incident meant for users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Impact {
    /// Calls of the deployment from the beginning of the timeline on.
    pub calls: u64,
    /// Of these, calls that the gateway refused: wrong, or over a limit. They are in no share.
    #[serde(default)]
    pub refused: u64,
    /// Of these, calls whose callers left before the end. They are in no share.
    #[serde(default)]
    pub cancelled: u64,
    /// Share of the others that failed, with Wilson's interval.
    pub failed: Option<Estimate>,
    /// Share of answers that failed a check of their content.
    pub soft_failed: Option<Estimate>,
    /// Answers that users found bad.
    pub complaints: u64,
}

/// What happened around an incident, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Timeline {
    /// The incident.
    pub incident: Incident,
    /// From when on.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// What happened, oldest first.
    pub entries: Vec<TimelineEntry>,
    /// What it meant for users.
    pub impact: Impact,
}

/// Text of others on one line, as text and nothing else.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in short_line(text, MAX_TEXT).chars() {
        if "\\`*_{}[]<>#|~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The draft of a post-mortem: the facts that are known, and the questions that people have to answer.
pub fn post_mortem(timeline: &Timeline) -> String {
    let Timeline { incident, impact, .. } = timeline;
    let mut out = format!("# Post-mortem: {}\n\n", plain(&incident.name()));
    let mut fact = |name: &str, value: String| {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "- **{name}**: {value}");
    };
    fact("incident", incident.id.to_string());
    fact("deployment", format!("{} in {}", plain(&incident.deployment), plain(&incident.environment)));
    fact("opened", format!("{} by {}", minute(incident.opened_at), plain(&incident.opened_by)));
    if let (Some(at), Some(by)) = (incident.closed_at, &incident.closed_by) {
        let minutes = at.duration_since(incident.opened_at).as_secs() / 60;
        fact("closed", format!("{} by {}, after {minutes} minutes", minute(at), plain(by)));
    }
    for measure in &incident.measures {
        fact(
            "done at once",
            match measure {
                Measure::SafeMode => "safe mode".to_owned(),
                Measure::Rollback { from, to } => format!("rollback from {} to {}", plain(from), plain(to)),
                Measure::ExperimentPaused { experiment } => format!("pause of the experiment {}", plain(experiment)),
                Measure::CanaryAborted { canary } => format!("end of the canary {}", plain(canary)),
                Measure::CanaryPaused { canary } => format!("pause of the canary {}", plain(canary)),
            },
        );
    }
    if let Some(resolution) = &incident.resolution {
        fact("resolution", plain(resolution));
    }
    let share = |estimate: Option<Estimate>| match estimate {
        Some(e) => format!("{} (n={})", format::estimate(&e), e.n),
        None => "–".to_owned(),
    };
    let aside = match (impact.refused, impact.cancelled) {
        (0, 0) => String::new(),
        (refused, cancelled) => {
            format!(" ({refused} refused and {cancelled} left by their callers, which are in no share)")
        }
    };
    let _ = write!(
        out,
        "\n## Impact\n\n{} since {}{aside}. Failed: {}. Failed by content: {}. {} by users.\n",
        format::count(impact.calls, "call"),
        minute(timeline.from),
        share(impact.failed),
        share(impact.soft_failed),
        format::count(impact.complaints, "complaint")
    );
    out += "\n## Timeline\n\n| when (UTC) | what | by |\n| --- | --- | --- |\n";
    for entry in &timeline.entries {
        let by = entry.by.as_deref().unwrap_or_default();
        let _ = writeln!(out, "| {} | {} | {} |", entry.at.strftime("%m-%d %H:%M:%S"), plain(&entry.text), plain(by));
    }
    out += "\n## Cause\n\nWhat changed shortly before the first failures, and why did nobody see it coming?\n";
    out += "\n## What helped, what did not\n\nHow was it noticed, and how could it have been noticed earlier?\n";
    out += "\n## What we change\n\n";
    if let Some(dataset) = &incident.dataset {
        let _ = writeln!(
            out,
            "- [ ] Write the right answers into the dataset `{}` (inputs that failed{}), and evaluate it in a suite.",
            dataset.replace('`', ""),
            match incident.left_out {
                0 => String::new(),
                more => format!("; those of {} are left out", format::count(more, "more failing call")),
            }
        );
    }
    out += "- [ ] …\n";
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_out_and_complaints_stay() {
        let line = |text: &str| format!("| 01-15 08:01:00 | {} |  |\n", plain(text));
        let (theirs, other) = (complaint("req_a_1", "no | \"bad: \"\nat all"), complaint("trace:b", "req_a_1 bad: no"));
        let all = |first: &str| format!("# Post-mortem\n\n{}{}\n- [ ] …\n", line(first), line(&other));
        let mut incident: Incident = serde_json::from_value(serde_json::json!({"id": "inc_1", "deployment": "bot",
            "environment": "production", "opened_at": "2027-01-15T08:00:00Z", "opened_by": "dana",
            "post_mortem": all(&theirs)}))
        .unwrap();
        let subjects = BTreeSet::from(["req_a_1".to_owned(), "trace:b".to_owned()]);
        assert_eq!(incident.subjects_of_complaints(), subjects);
        assert!(!incident.forget_complaints(&BTreeSet::from(["req_2".to_owned()])));
        assert_eq!(incident.post_mortem, Some(all(&theirs)));
        assert!(incident.forget_complaints(&BTreeSet::from(["req_a_1".to_owned()])));
        assert_eq!(incident.post_mortem, Some(all("a user found the answer to req_a_1 bad")));
    }

    #[test]
    fn a_draft_has_the_facts_and_the_questions() {
        let at = |minute: i64| Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap();
        let entry = |minute, kind, text: &str, by: Option<&str>| TimelineEntry {
            at: at(minute),
            kind,
            text: text.to_owned(),
            by: by.map(str::to_owned),
        };
        let incident = Incident {
            id: "inc_1".into(),
            deployment: "bot".to_owned(),
            environment: "production".to_owned(),
            title: Some("wrong | prices".to_owned()),
            opened_at: at(10),
            opened_by: "dana".to_owned(),
            measures: vec![Measure::Rollback { from: "aaaa".to_owned(), to: "bbbb".to_owned() }],
            notes: Vec::new(),
            closed_at: Some(at(55)),
            closed_by: Some("ben".to_owned()),
            resolution: Some("rolled back".to_owned()),
            dataset: Some("incident-1".to_owned()),
            left_out: 190,
            post_mortem: None,
        };
        let timeline = Timeline {
            incident,
            from: at(0),
            entries: vec![
                entry(1, TimelineKind::Change, "deployment.moved bot in production", Some("ci")),
                entry(5, TimelineKind::Calls, "60 calls, 12 failed\n<b>", None),
            ],
            impact: Impact {
                calls: 63,
                refused: 2,
                cancelled: 1,
                failed: Some(Estimate { value: 0.2, n: 60, lower: 0.118, upper: 0.317 }),
                soft_failed: None,
                complaints: 1,
            },
        };
        let text = post_mortem(&timeline);
        for expected in [
            "# Post-mortem: bot: wrong \\| prices\n",
            "- **closed**: 2027-01-15 08:55 UTC by ben, after 45 minutes\n",
            "- **done at once**: rollback from aaaa to bbbb\n",
            "63 calls since 2027-01-15 08:00 UTC (2 refused and 1 left by their callers, which are in no share). Failed: 0.200 [0.12, 0.32] (n=60). Failed by content: –. 1 complaint by",
            "| 01-15 08:01:00 | deployment.moved bot in production | ci |\n",
            "60 calls, 12 failed \\<b\\>",
            "- [ ] Write the right answers into the dataset `incident-1` (inputs that failed; those of 190 more failing calls are left out)",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }
}
