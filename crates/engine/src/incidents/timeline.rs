//! What happened around an incident.

use jiff::{SignedDuration, Timestamp};
use llmops_domain::access::AuditRecord;
use llmops_domain::alert::{Alert, AlertFilter};
use llmops_domain::feedback::{FeedbackFilter, Sentiment};
use llmops_domain::incident::{Impact, Incident, Timeline, TimelineEntry, TimelineKind};
use llmops_domain::traffic::TrafficSums;
use llmops_storage::{AuditFilter, CallsOf};

use super::Incidents;
use super::entries::{Complaints, concerns, hour_of_calls, told, what_changed};
use crate::Error;
use crate::evaluator::share;

/// How long before an incident its timeline begins: what broke it was often changed the day before.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// Most changes, alerts and complaints with words of a timeline.
const MOST_ENTRIES: u32 = 200;
/// Most changes of the deployment itself in a timeline.
const MOST_OWN_CHANGES: u32 = 1_000;

impl Incidents {
    /// What happened around an incident, from a day before it on: changes, alerts, calls by the hour, complaints, notes.
    pub async fn timeline(&self, which: &str) -> Result<Timeline, Error> {
        let incident = self.get(which).await?;
        Ok(with_notes(self.without_notes(incident).await?))
    }

    /// The timeline of an incident, its notes left out: until it is closed, more of them may come.
    pub(super) async fn without_notes(&self, incident: Incident) -> Result<Timeline, Error> {
        let from = begins(&incident);
        // What happened in the moment of the end belongs to it.
        let end = incident.closed_at.unwrap_or_else(|| self.services.clock.now());
        let until = end.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        let mut entries = self.changes(&incident, from, until).await?;
        entries.extend(self.alerts(&incident, from, until).await?);
        let of = calls_of(&incident, from, until);
        let mut sums = TrafficSums::default();
        for hour in self.services.store.calls_by_hour(&self.project, of).await? {
            sums.add(&hour.sums);
            entries.push(hour_of_calls(&hour));
        }
        let complaints = self.complaints(&incident, from, until).await?;
        entries.extend(told(&complaints));
        let impact = Impact {
            calls: sums.calls,
            refused: sums.refused,
            cancelled: sums.cancelled,
            failed: share(sums.failed, sums.counted())?,
            soft_failed: share(sums.soft_failed, sums.answered)?,
            complaints: complaints.total,
        };
        Ok(Timeline { incident, from, entries, impact })
    }

    /// What was changed in the project: first of all the deployment itself and its canaries, then as much else as fits.
    async fn changes(
        &self,
        incident: &Incident,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<TimelineEntry>, Error> {
        let all = AuditFilter { start_time: Some(from), end_time: Some(until), ..AuditFilter::default() };
        let target = Some(format!("{} in {}", incident.deployment, incident.environment));
        let store = &self.services.store;
        let own = AuditFilter { target: target.clone(), ..all.clone() };
        let mut changes = store.list_audit(&self.project, &own, MOST_OWN_CHANGES).await?;
        // One more than is shown tells whether any are left out.
        let others = store.list_audit(&self.project, &all, MOST_ENTRIES + 1).await?;
        let is_cut = others.len() > MOST_ENTRIES as usize;
        let others = others.into_iter().take(MOST_ENTRIES as usize);
        changes.extend(others.filter(|change| target.as_ref() != Some(&change.target)));
        let entry = |change: AuditRecord| TimelineEntry {
            at: change.at,
            kind: TimelineKind::Change,
            text: what_changed(&change),
            by: Some(change.actor),
        };
        // What llmops puts into a new registry by itself is no change of anybody's.
        let mut entries: Vec<_> = changes.into_iter().filter(|change| change.actor != "llmops").map(entry).collect();
        entries.extend(is_cut.then(|| TimelineEntry {
            at: from,
            kind: TimelineKind::Change,
            text: format!("earlier changes of other things are left out: there were more than {MOST_ENTRIES} changes"),
            by: None,
        }));
        Ok(entries)
    }

    /// Alerts that were raised meanwhile: those of the deployment, and those of nothing that is deployed, such as evaluations.
    async fn alerts(
        &self,
        incident: &Incident,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<TimelineEntry>, Error> {
        let most = MOST_ENTRIES as usize;
        let mut filter = AlertFilter {
            start_time: Some(from),
            end_time: Some(until),
            limit: Some(MOST_ENTRIES),
            ..AlertFilter::default()
        };
        let mut found: Vec<Alert> = Vec::new();
        loop {
            let page = self.services.store.list_alerts(&self.project, &filter).await?;
            let is_last = page.len() < most;
            filter.before = page.last().map(|alert| alert.id.clone());
            found.extend(page.into_iter().filter(|alert| concerns(alert, incident)));
            if is_last || found.len() > most {
                break;
            }
        }
        let is_cut = found.len() > most;
        found.truncate(most);
        let mut entries: Vec<_> = found
            .into_iter()
            .map(|alert| TimelineEntry {
                at: alert.created_at,
                kind: TimelineKind::Alert,
                text: format!("{} alert: {}", alert.severity, alert.message),
                by: None,
            })
            .collect();
        entries.extend(is_cut.then(|| TimelineEntry {
            at: from,
            kind: TimelineKind::Alert,
            text: format!("earlier alerts are left out: there were more than {MOST_ENTRIES}"),
            by: None,
        }));
        Ok(entries)
    }

    /// What users found bad of the deployment in the incident's environment: all of it is counted.
    pub(super) async fn complaints(
        &self,
        incident: &Incident,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Complaints, Error> {
        let mut filter = FeedbackFilter {
            deployment: Some(incident.deployment.clone()),
            sentiment: Some(Sentiment::Negative),
            start_time: Some(from),
            end_time: Some(until),
            ..FeedbackFilter::default()
        };
        let mut found = Complaints::default();
        loop {
            let page = self.services.store.list_feedback(&self.project, &filter, MOST_ENTRIES).await?;
            let is_last = page.len() < MOST_ENTRIES as usize;
            filter.cursor = page.last().map(|feedback| feedback.id.to_string());
            for feedback in page {
                let environment = feedback.context.as_ref().and_then(|context| context.environment.as_deref());
                if environment == Some(incident.environment.as_str()) {
                    found.add(feedback, MOST_ENTRIES as usize);
                }
            }
            if is_last {
                return Ok(found);
            }
        }
    }
}

/// When the timeline of an incident begins.
pub(super) fn begins(incident: &Incident) -> Timestamp {
    incident.opened_at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN)
}

/// A timeline with the incident's notes, in order.
pub(super) fn with_notes(mut timeline: Timeline) -> Timeline {
    timeline.entries.extend(timeline.incident.notes.iter().map(|note| TimelineEntry {
        at: note.at,
        kind: TimelineKind::Note,
        text: note.text.clone(),
        by: Some(note.by.clone()),
    }));
    timeline.entries.sort_by(|a, b| (a.at, a.kind, &a.text).cmp(&(b.at, b.kind, &b.text)));
    timeline
}

pub(super) fn calls_of(incident: &Incident, from: Timestamp, until: Timestamp) -> CallsOf<'_> {
    CallsOf { deployment: &incident.deployment, environment: &incident.environment, manifest: None, from, until }
}
