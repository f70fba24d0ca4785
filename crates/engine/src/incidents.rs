//! Incidents: opened when something is wrong with a deployment, closed with what is to be learnt from it.

mod entries;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use llmops_api::deployments::{Rollback, SwitchSafeMode};
use llmops_api::incidents::{CloseIncident, ClosedIncident, OpenIncident, OpenedIncident};
use llmops_domain::alert::AlertFilter;
use llmops_domain::dataset::{DatasetType, Sample};
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::event::Event;
use llmops_domain::experiment::ExperimentStatus;
use llmops_domain::feedback::{Feedback, FeedbackFilter, Sentiment};
use llmops_domain::id::{IncidentId, ProjectId};
use llmops_domain::incident::{
    Impact, Incident, IncidentFilter, IncidentNote, Measure, Timeline, TimelineEntry, TimelineKind, post_mortem,
};
use llmops_domain::record::RequestRecord;
use llmops_domain::review::{answer_text, asked};
use llmops_domain::traffic::TrafficSums;
use llmops_storage::{AuditFilter, CallsOf, StoreError};
use serde_json::json;

use self::entries::{hour_of_calls, told};
use crate::evaluator::share;
use crate::{Error, LlmOps, Services};

/// How long before an incident its timeline begins: what broke it was often changed the day before.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// Most changes, alerts and complaints of a timeline.
const MOST_ENTRIES: u32 = 200;
/// Most changes of the deployment itself in a timeline.
const MOST_OWN_CHANGES: u32 = 1_000;
/// Most failing inputs that become samples.
const MOST_SAMPLES: u32 = 500;
/// Longest title, note and resolution, in characters.
const MAX_TEXT: usize = 4_000;

/// The incidents of a project: open, get, list, note, timeline, close.
#[derive(Debug, Clone)]
pub struct Incidents {
    services: Arc<Services>,
    project: ProjectId,
}

impl LlmOps {
    /// The incidents.
    pub fn incidents(&self) -> Incidents {
        Incidents { services: self.services.clone(), project: self.project.clone() }
    }
}

impl Incidents {
    fn ops(&self) -> LlmOps {
        LlmOps { services: self.services.clone(), project: self.project.clone() }
    }

    /// Opens an incident: from now on nothing is promoted to the deployment. Then does what shall be done at once; what
    /// cannot be done is told, and the incident is open all the same.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a deployment; [`Error::Conflict`] when one is open already.
    pub async fn open(&self, request: OpenIncident) -> Result<OpenedIncident, Error> {
        let title = checked("title", request.title)?;
        if request.safe_mode && request.rollback {
            return Err(Error::invalid("safe_mode and rollback exclude each other: which of them shall answer?"));
        }
        let deployment = self.ops().deployments().get(&request.deployment, request.environment.as_deref()).await?;
        let now = self.services.clock.now();
        let mut incident = Incident {
            id: IncidentId::new(now.as_millisecond(), self.services.clock.random()),
            deployment: deployment.name.clone(),
            environment: deployment.environment.clone(),
            title,
            opened_at: now,
            opened_by: self.services.store.actor().name.clone(),
            measures: Vec::new(),
            notes: Vec::new(),
            closed_at: None,
            closed_by: None,
            resolution: None,
            dataset: None,
            post_mortem: None,
        };
        self.services.store.open_incident(&self.project, &incident).await?;
        self.publish(&incident, "opened").await?;
        let mut failed = Vec::new();
        if request.safe_mode {
            match self.safe_mode(&incident, request.answer).await {
                Ok(measure) => incident.measures.push(measure),
                Err(error) => failed.push(format!("the safe mode is not on: {error}")),
            }
        }
        if request.rollback {
            match self.rollback(&incident).await {
                Ok(measure) => incident.measures.push(measure),
                Err(error) => failed.push(format!("nothing was rolled back: {error}")),
            }
        }
        match Box::pin(self.pause_experiment(&incident)).await {
            Ok(measure) => incident.measures.extend(measure),
            Err(error) => failed.push(format!("the experiment of a release goes on: {error}")),
        }
        if !incident.measures.is_empty() {
            let measures = std::mem::take(&mut incident.measures);
            let write = |incident: &mut Incident| incident.measures = measures;
            incident = self.services.store.change_incident(&self.project, &incident.id, write).await?;
        }
        Ok(OpenedIncident { incident, failed })
    }

    async fn safe_mode(&self, incident: &Incident, answer: Option<String>) -> Result<Measure, Error> {
        let switch = SwitchSafeMode {
            environment: Some(incident.environment.clone()),
            on: true,
            answer,
            reason: Some(format!("incident {}", incident.id)),
        };
        self.ops().deployments().safe_mode(&incident.deployment, switch).await?;
        Ok(Measure::SafeMode)
    }

    async fn rollback(&self, incident: &Incident) -> Result<Measure, Error> {
        let rollback = Rollback {
            environment: Some(incident.environment.clone()),
            to: None,
            reason: Some(format!("incident {}", incident.id)),
        };
        let done = self.ops().deployments().rollback(&incident.deployment, rollback).await?;
        let from = done.previous.map(|hash| hash.short().to_owned()).unwrap_or_default();
        Ok(Measure::Rollback { from, to: done.deployment.manifest.short().to_owned() })
    }

    /// Pauses the experiment by which a release gives its candidate to users, if one runs. A rollback has ended it already.
    async fn pause_experiment(&self, incident: &Incident) -> Result<Option<Measure>, Error> {
        let ops = self.ops();
        let live = ops.deployments().get(&incident.deployment, Some(&incident.environment)).await?;
        let is_of_release = ops.releases().that_routes(&live).await?.is_some();
        let Some(id) = live.settings.experiment.filter(|_| is_of_release) else { return Ok(None) };
        if ops.experiments().get(&id).await?.status != ExperimentStatus::Running {
            return Ok(None);
        }
        let paused = ops.experiments().pause(&id).await?;
        Ok(Some(Measure::ExperimentPaused { experiment: paused.spec.key }))
    }

    /// Lets an experiment go on that was paused when the incident was opened, unless it ended meanwhile.
    async fn resume_experiment(&self, key: &str) -> Result<(), Error> {
        let experiments = self.ops().experiments();
        if experiments.get(key).await?.status == ExperimentStatus::Paused {
            experiments.resume(key).await?;
        }
        Ok(())
    }

    async fn publish(&self, incident: &Incident, action: &str) -> Result<(), Error> {
        let event = Event::Incident {
            incident: incident.id.to_string(),
            deployment: incident.deployment.clone(),
            environment: incident.environment.clone(),
            action: action.to_owned(),
        };
        self.services.events.publish(&self.project, event).await?;
        Ok(())
    }

    /// One incident: by its id, a beginning of it, or the name of the deployment: the open one, else the last.
    pub async fn get(&self, which: &str) -> Result<Incident, Error> {
        match self.services.store.get_incident(&self.project, which).await {
            Err(StoreError::NotFound { .. }) => {}
            found => return Ok(found?),
        }
        let (name, environment) = which.split_once('@').unwrap_or((which, DEFAULT_ENVIRONMENT));
        if let Some(open) = self.services.store.find_open_incident(&self.project, name, environment).await? {
            return Ok(open);
        }
        let all = IncidentFilter {
            deployment: Some(name.to_owned()),
            environment: Some(environment.to_owned()),
            ..IncidentFilter::default()
        };
        let newest = self.services.store.list_incidents(&self.project, &all, 1).await?.pop();
        newest.ok_or_else(|| Error::not_found("incident", which).with_hint("llmops incident list shows all of them"))
    }

    /// Incidents, the newest first.
    pub async fn list(&self, filter: &IncidentFilter, limit: u32) -> Result<Vec<Incident>, Error> {
        Ok(self.services.store.list_incidents(&self.project, filter, limit).await?)
    }

    /// Writes something down.
    pub async fn note(&self, which: &str, text: &str) -> Result<Incident, Error> {
        let text = checked("text", Some(text.to_owned()))?.ok_or_else(|| Error::invalid("the note is empty"))?;
        let incident = self.get(which).await?;
        let by = self.services.store.actor().name.clone();
        let note = IncidentNote { at: self.services.clock.now(), by, text };
        let write = |incident: &mut Incident| incident.notes.push(note);
        Ok(self.services.store.change_incident(&self.project, &incident.id, write).await?)
    }

    /// What happened around an incident, from a day before it on: changes, alerts, calls by the hour, complaints, notes.
    pub async fn timeline(&self, which: &str) -> Result<Timeline, Error> {
        let incident = self.get(which).await?;
        Ok(with_notes(self.without_notes(incident).await?))
    }

    /// The timeline of an incident, its notes left out: until it is closed, more of them may come.
    async fn without_notes(&self, incident: Incident) -> Result<Timeline, Error> {
        let from = incident.opened_at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
        // What happened in the moment of the end belongs to it.
        let end = incident.closed_at.unwrap_or_else(|| self.services.clock.now());
        let until = end.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
        let mut entries = self.changes(&incident, from, until).await?;
        entries.extend(self.alerts(from, until).await?);
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
            complaints: complaints.len() as u64,
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
        let entry = |change: llmops_domain::access::AuditRecord| {
            let why = change.after.get("reason").and_then(serde_json::Value::as_str);
            let why = why.map(|reason| format!(" ({reason})")).unwrap_or_default();
            // A release moves often: to which step is what tells the moves apart.
            let step = change.after.get("step").and_then(serde_json::Value::as_str);
            let step = step.map(|step| format!(": step {step}")).unwrap_or_default();
            TimelineEntry {
                at: change.at,
                kind: TimelineKind::Change,
                text: format!("{} {}{step}{why}", change.action, change.target),
                by: Some(change.actor),
            }
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

    async fn alerts(&self, from: Timestamp, until: Timestamp) -> Result<Vec<TimelineEntry>, Error> {
        let filter = AlertFilter {
            start_time: Some(from),
            end_time: Some(until),
            limit: Some(MOST_ENTRIES),
            ..AlertFilter::default()
        };
        let alerts = self.services.store.list_alerts(&self.project, &filter).await?;
        let entry = |alert: llmops_domain::alert::Alert| TimelineEntry {
            at: alert.created_at,
            kind: TimelineKind::Alert,
            text: format!("{} alert: {}", alert.severity, alert.message),
            by: None,
        };
        Ok(alerts.into_iter().map(entry).collect())
    }

    /// What users found bad of the deployment in the incident's environment, the newest first.
    async fn complaints(&self, incident: &Incident, from: Timestamp, until: Timestamp) -> Result<Vec<Feedback>, Error> {
        let mut filter = FeedbackFilter {
            deployment: Some(incident.deployment.clone()),
            sentiment: Some(Sentiment::Negative),
            start_time: Some(from),
            end_time: Some(until),
            ..FeedbackFilter::default()
        };
        let is_of_it = |feedback: &Feedback| {
            let environment = feedback.context.as_ref().and_then(|context| context.environment.as_deref());
            environment == Some(incident.environment.as_str())
        };
        let most = MOST_ENTRIES as usize;
        let mut found = Vec::new();
        loop {
            let page = self.services.store.list_feedback(&self.project, &filter, MOST_ENTRIES).await?;
            let is_last = page.len() < most;
            filter.cursor = page.last().map(|feedback| feedback.id.to_string());
            found.extend(page.into_iter().filter(is_of_it));
            if is_last || found.len() >= most {
                found.truncate(most);
                return Ok(found);
            }
        }
    }

    /// Closes an incident: promotions are possible again, the inputs that failed become a regression dataset, and a draft of
    /// the post-mortem is kept with it.
    pub async fn close(&self, which: &str, request: CloseIncident) -> Result<ClosedIncident, Error> {
        let mut incident = self.get(which).await?;
        if incident.closed_at.is_some() {
            return Err(Error::Conflict { message: format!("the incident {} is closed", incident.id), hint: None });
        }
        let id = incident.id.clone();
        incident.resolution = checked("resolution", request.resolution)?;
        let now = self.services.clock.now();
        let (samples, without_text) = self.failing_inputs(&incident, now).await?;
        let count = samples.len() as u64;
        let with_answer = samples.iter().filter(|sample| !sample.expected_output.is_empty()).count() as u64;
        if !samples.is_empty() {
            let name = request.dataset.unwrap_or_else(|| incident.id.as_str().replace('_', "-"));
            let about = format!("Inputs that failed in {}", incident.name());
            self.ops().datasets().add_questions(&name, (DatasetType::Regression, &about), samples).await?;
            incident.dataset = Some(name);
        }
        incident.closed_at = Some(now);
        incident.closed_by = Some(self.services.store.actor().name.clone());
        let mut timeline = self.without_notes(incident).await?;
        let end = |open: &mut Incident| {
            // What others wrote down meanwhile belongs to it.
            timeline.incident.measures.clone_from(&open.measures);
            timeline.incident.notes.clone_from(&open.notes);
            timeline = with_notes(timeline.clone());
            timeline.incident.post_mortem = Some(post_mortem(&timeline));
            open.clone_from(&timeline.incident);
        };
        self.services.store.change_incident(&self.project, &id, end).await?;
        self.publish(&timeline.incident, "closed").await?;
        for measure in &timeline.incident.measures {
            if let Measure::ExperimentPaused { experiment } = measure
                && let Err(error) = Box::pin(self.resume_experiment(experiment)).await
            {
                tracing::warn!(%experiment, %error, "an experiment does not go on after an incident");
            }
        }
        let (name, environment) = (&timeline.incident.deployment, &timeline.incident.environment);
        let deployment = self.services.store.find_deployment(&self.project, name, environment).await?;
        let safe_mode = deployment.is_some_and(|deployment| deployment.safe_mode);
        Ok(ClosedIncident { timeline, samples: count, with_answer, without_text, safe_mode })
    }

    /// The inputs of calls that failed or that users found bad since the incident's timeline began, each question once.
    async fn failing_inputs(&self, incident: &Incident, now: Timestamp) -> Result<(Vec<Sample>, u64), Error> {
        let from = incident.opened_at.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
        let store = &self.services.store;
        let mut records = store.failed_calls(&self.project, calls_of(incident, from, now), MOST_SAMPLES).await?;
        let mut corrections = BTreeMap::<String, String>::new();
        for feedback in self.complaints(incident, from, now).await? {
            let Some(context) = feedback.context else { continue };
            if let Some(correction) = feedback.body.correction {
                // Complaints come newest first: the last word counts.
                corrections.entry(context.request_id.clone()).or_insert(correction);
            }
            if records.iter().any(|record| record.id == context.request_id) {
                continue;
            }
            records.extend(store.find_record(&self.project, &context.request_id).await?);
        }
        let (mut samples, mut questions, mut without_text) = (Vec::<Sample>::new(), BTreeMap::new(), 0);
        for record in records {
            let Some(sample) = failing(&record, corrections.get(&record.id)) else {
                without_text += 1;
                continue;
            };
            let Ok(question) = sample.question_hash() else { continue };
            match questions.entry(question) {
                Entry::Vacant(place) => {
                    place.insert(samples.len());
                    samples.push(sample);
                }
                // The right answer to another call with the same question is the right one here too.
                Entry::Occupied(place) if samples[*place.get()].expected_output.is_empty() => {
                    samples[*place.get()].expected_output = sample.expected_output;
                }
                Entry::Occupied(_) => {}
            }
        }
        Ok((samples, without_text))
    }
}

/// A timeline with the incident's notes, in order.
fn with_notes(mut timeline: Timeline) -> Timeline {
    timeline.entries.extend(timeline.incident.notes.iter().map(|note| TimelineEntry {
        at: note.at,
        kind: TimelineKind::Note,
        text: note.text.clone(),
        by: Some(note.by.clone()),
    }));
    timeline.entries.sort_by(|a, b| (a.at, a.kind, &a.text).cmp(&(b.at, b.kind, &b.text)));
    timeline
}

fn calls_of(incident: &Incident, from: Timestamp, until: Timestamp) -> CallsOf<'_> {
    CallsOf { deployment: &incident.deployment, environment: &incident.environment, manifest: None, from, until }
}

/// The input of a call as a sample; nothing where its text was not kept.
fn failing(record: &RequestRecord, correction: Option<&String>) -> Option<Sample> {
    let question = asked(record).ok()?;
    let failures: Vec<&str> = record.soft_failures.iter().map(|failure| failure.detail.as_str()).collect();
    let facts = [
        ("request_id", json!(record.id)),
        ("manifest", json!(record.manifest)),
        ("outcome", json!(record.outcome)),
        ("error", json!(record.error)),
        ("failures", if failures.is_empty() { serde_json::Value::Null } else { json!(failures) }),
        ("bad_answer", json!(answer_text(record))),
    ];
    Some(Sample {
        id: record.id.replace('_', "-"),
        input: question.input,
        messages: question.messages,
        variables: question.variables,
        expected_output: correction.cloned().into_iter().collect(),
        source: Some("incident".to_owned()),
        metadata: facts.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name.to_owned(), v)).collect(),
        ..Sample::default()
    })
}

/// A text of bounded length; blank is none.
fn checked(field: &str, text: Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let length = text.chars().count();
    if length > MAX_TEXT {
        return Err(Error::invalid(format!("{field} has {length} characters: {MAX_TEXT} at most")));
    }
    Ok(Some(text))
}
