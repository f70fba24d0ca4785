//! Entries of an incident's timeline: what changed, what came of calls, what users said.

use std::collections::BTreeMap;

use llmops_domain::access::AuditRecord;
use llmops_domain::alert::Alert;
use llmops_domain::feedback::Feedback;
use llmops_domain::hash::ContentHash;
use llmops_domain::incident::{Incident, TimelineEntry, TimelineKind, complaint};
use llmops_storage::HourOfCalls;
use serde_json::Value;

/// What came of the calls of an hour.
pub(super) fn hour_of_calls(hour: &HourOfCalls) -> TimelineEntry {
    let sums = &hour.sums;
    let mut text =
        format!("in this hour {} calls, {} failed, {} failed by content", sums.calls, sums.failed, sums.soft_failed);
    for (count, what) in [(sums.refused, "refused"), (sums.cancelled, "left by their callers")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    TimelineEntry { at: hour.at, kind: TimelineKind::Calls, text, by: None }
}

/// What users found bad.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// All of it.
    pub(super) total: u64,
    /// What they were about, the newest first, with the right answers where users gave them.
    pub(super) requests: Vec<(String, Option<String>)>,
    /// The newest of those with words.
    worded: Vec<Feedback>,
    /// How many more have words.
    left_out: u64,
    /// Those without words, by the hour: how many, and the first.
    silent: BTreeMap<i64, (u64, Feedback)>,
}

impl Complaints {
    /// Adds one that is older than those before; of those with words, the newest `most` are kept.
    pub(super) fn add(&mut self, mut feedback: Feedback, most: usize) {
        self.total += 1;
        if let Some(context) = &feedback.context {
            self.requests.push((context.request_id.clone(), feedback.body.correction.take()));
        }
        if words(&feedback).is_none() {
            let hour = feedback.at.as_second().div_euclid(3600);
            let count = self.silent.get(&hour).map_or(0, |(count, _)| *count);
            self.silent.insert(hour, (count + 1, feedback));
        } else if self.worded.len() < most {
            self.worded.push(feedback);
        } else {
            self.left_out += 1;
        }
    }
}

fn words(feedback: &Feedback) -> Option<&String> {
    feedback.body.comment.as_ref().or(feedback.body.label.as_ref())
}

/// What users said: one by one, and thumbs without words, of which there may be hundreds, in one line an hour.
pub(super) fn told(complaints: &Complaints) -> Vec<TimelineEntry> {
    let entry = |at, text| TimelineEntry { at, kind: TimelineKind::Feedback, text, by: None };
    let worded = complaints.worded.iter().filter_map(|feedback| {
        let words = words(feedback)?;
        Some(entry(feedback.at, complaint(&feedback.body.subject(), words)))
    });
    let mut entries: Vec<_> = worded.collect();
    if let Some(oldest) = complaints.worded.last().filter(|_| complaints.left_out > 0) {
        let text = format!("before this, {} more complaints with words: llmops feedback list", complaints.left_out);
        entries.push(entry(oldest.at, text));
    }
    entries.extend(complaints.silent.values().map(|(count, first)| match count {
        1 => entry(first.at, format!("a user found the answer to {} bad", first.body.subject())),
        _ => entry(first.at, format!("within the hour users found {count} answers bad, without words")),
    }));
    entries
}

/// Whether an alert may have to do with an incident: it is about its deployment, or about none.
pub(super) fn concerns(alert: &Alert, incident: &Incident) -> bool {
    let said = |key: &str| alert.metadata.get(key).and_then(Value::as_str);
    let of_source = matches!(alert.source.as_str(), "deployment" | "rehearsal").then_some(alert.source_id.as_deref());
    let deployment = said("deployment").or(of_source.flatten());
    deployment.is_none_or(|name| name == incident.deployment)
        && (deployment.is_none() || said("environment").is_none_or(|place| place == incident.environment))
}

/// A change in words: what it was, and why.
pub(super) fn what_changed(change: &AuditRecord) -> String {
    let after = |key: &str| change.after.get(key).and_then(Value::as_str);
    let text = match change.action.split_once('.') {
        Some(("deployment", "moved")) => of_deployment(change),
        Some(("release", "moved")) => of_release(change),
        Some(("canary", _)) => of_canary(change),
        _ => format!("{}: {}", change.action.replace(['.', '_'], " "), change.target),
    };
    match after("reason").filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{text} ({reason})"),
        None => text,
    }
}

/// The beginning of a hash, as people know it.
fn short(value: Option<&Value>) -> Option<String> {
    let hash: ContentHash = serde_json::from_value(value?.clone()).ok()?;
    Some(hash.short().to_owned())
}

fn of_deployment(change: &AuditRecord) -> String {
    let (was, is) = (short(change.before.get("manifest")), short(change.after.get("manifest")).unwrap_or_default());
    let target = &change.target;
    let instead = was.filter(|was| *was != is).map(|was| format!(", instead of {was}")).unwrap_or_default();
    let mut text = match change.after.get("action").and_then(Value::as_str) {
        Some("rollback") => format!("rollback of {target}: {is} answers again{instead}"),
        Some("safe_mode_on") => format!("safe mode of {target} is on"),
        Some("safe_mode_off") => format!("safe mode of {target} is off: {is} answers again"),
        Some("configure") => format!("settings of {target}"),
        _ => format!("{target} answers with {is}{instead}"),
    };
    let settings = |side: &Value| side.get("settings").and_then(Value::as_object).cloned().unwrap_or_default();
    let before = settings(&change.before);
    let changed = settings(&change.after).into_iter().map(|(name, value)| match before.get(&name) {
        Some(was) => format!("{name}: {was} → {value}"),
        None => format!("{name}: {value}"),
    });
    let changed: Vec<String> = changed.collect();
    if !changed.is_empty() {
        text += &format!("; {}", changed.join(", "));
    }
    text
}

fn of_release(change: &AuditRecord) -> String {
    let said = |key: &str| change.after.get("event").and_then(|event| event.get(key)).and_then(Value::as_str);
    let step = said("step").or_else(|| change.after.get("step").and_then(Value::as_str)).unwrap_or_default();
    let mut text = format!("release {}: step {step}", change.target);
    if let Some(kind) = said("kind") {
        text += &format!(" {kind}");
    }
    if let Some(why) = said("text").filter(|why| !why.is_empty()) {
        text += &format!(": {why}");
    }
    text
}

fn of_canary(change: &AuditRecord) -> String {
    let id = change.after.get("canary").and_then(Value::as_str).unwrap_or_default();
    let state = |side: &Value| {
        let state = side.get("state")?;
        let status = state.get("status")?.as_str()?;
        let stage = state.get("stage").and_then(Value::as_u64).map(|stage| format!(" (stage {})", stage + 1));
        Some(format!("{status}{}", stage.unwrap_or_default()))
    };
    let moved = match (state(&change.before), state(&change.after)) {
        (Some(was), Some(is)) => format!("{was} → {is}"),
        (None, Some(is)) => is,
        _ => match short(change.after.get("candidate")) {
            Some(candidate) => format!("created with the candidate {candidate}"),
            None => change.action.replace(['.', '_'], " "),
        },
    };
    format!("canary {id} of {}: {moved}", change.target)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_say_what_changed() {
        let [a, b] = ["a", "b"].map(|text| ContentHash::of_bytes(text.as_bytes()));
        let check = |action: &str, target: &str, before: Value, after: Value, expected: &str| {
            let change = AuditRecord {
                id: 1,
                at: jiff::Timestamp::UNIX_EPOCH,
                actor: "dana".to_owned(),
                key: None,
                action: action.to_owned(),
                target: target.to_owned(),
                before,
                after,
                request_id: None,
            };
            let expected = expected.replace('A', a.short()).replace('B', b.short());
            assert_eq!(what_changed(&change), expected);
        };
        let moved = |before: Value, after: Value, expected: &str| {
            check("deployment.moved", "bot in production", before, after, expected);
        };
        moved(Value::Null, json!({"manifest": a, "action": "deploy"}), "bot in production answers with A");
        moved(
            json!({"manifest": a}),
            json!({"manifest": b, "action": "deploy", "reason": "cheaper"}),
            "bot in production answers with B, instead of A (cheaper)",
        );
        moved(
            json!({"manifest": b}),
            json!({"manifest": a, "action": "rollback", "reason": null}),
            "rollback of bot in production: A answers again, instead of B",
        );
        moved(
            json!({"manifest": a, "settings": {"retries": 1}}),
            json!({"manifest": a, "settings": {"retries": 3}, "action": "configure"}),
            "settings of bot in production; retries: 1 → 3",
        );
        moved(
            json!({"manifest": a, "safe_mode": false}),
            json!({"manifest": a, "safe_mode": true, "action": "safe_mode_on"}),
            "safe mode of bot in production is on",
        );
        let event = json!({"step": "gate", "kind": "passed", "text": "the run r passed the gate"});
        check(
            "release.moved",
            "rel_1 of bot",
            Value::Null,
            json!({"step": "staging", "event": event}),
            "release rel_1 of bot: step gate passed: the run r passed the gate",
        );
        check(
            "canary.decided",
            "bot in production",
            json!({"state": {"status": "shadowing"}}),
            json!({"canary": "canary_1", "state": {"status": "exposing", "stage": 0}, "reason": "it wins"}),
            "canary canary_1 of bot in production: shadowing → exposing (stage 1) (it wins)",
        );
        check("prompt.created", "bot@1.0.0", Value::Null, json!({}), "prompt created: bot@1.0.0");
    }
}
