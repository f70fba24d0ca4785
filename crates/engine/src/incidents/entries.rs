//! Entries of an incident's timeline that say many things in one line.

use std::collections::BTreeMap;

use llmops_domain::feedback::Feedback;
use llmops_domain::incident::{TimelineEntry, TimelineKind};
use llmops_storage::HourOfCalls;

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

/// What users said, the newest first: one by one, and thumbs without words, of which there may be hundreds, in one line an hour.
pub(super) fn told(complaints: &[Feedback]) -> Vec<TimelineEntry> {
    let entry = |at, text| TimelineEntry { at, kind: TimelineKind::Feedback, text, by: None };
    let (mut entries, mut silent) = (Vec::new(), BTreeMap::<i64, Vec<&Feedback>>::new());
    for feedback in complaints {
        let (body, subject) = (&feedback.body, feedback.body.subject());
        match body.comment.as_ref().or(body.label.as_ref()) {
            Some(words) => {
                entries.push(entry(feedback.at, format!("a user found the answer to {subject} bad: {words}")));
            }
            None => silent.entry(feedback.at.as_second().div_euclid(3600)).or_default().push(feedback),
        }
    }
    entries.extend(silent.into_values().filter_map(|thumbs| match &thumbs[..] {
        [only] => Some(entry(only.at, format!("a user found the answer to {} bad", only.body.subject()))),
        [.., first] => {
            Some(entry(first.at, format!("within the hour users found {} answers bad, without words", thumbs.len())))
        }
        [] => None,
    }));
    entries
}
