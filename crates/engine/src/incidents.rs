//! Incidents: opened when something is wrong with a deployment, closed with what is to be learnt from it.

mod entries;
mod inputs;
mod measures;
mod timeline;

use std::sync::Arc;

use llmops_api::incidents::{CloseIncident, ClosedIncident, OpenIncident, OpenedIncident};
use llmops_domain::dataset::DatasetType;
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::event::Event;
use llmops_domain::id::{IncidentId, ProjectId};
use llmops_domain::incident::{Incident, IncidentFilter, IncidentNote, Measure, post_mortem};
use llmops_storage::StoreError;

use self::inputs::Inputs;
use self::timeline::with_notes;
use crate::{Error, LlmOps, Services};

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
        let title = checked("title", request.title.clone())?;
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
            left_out: 0,
            post_mortem: None,
        };
        self.services.store.open_incident(&self.project, &incident).await?;
        self.publish(&incident, "opened").await?;
        let (failed, notices) = self.take_measures(&mut incident, request).await;
        let (measures, notes) = (std::mem::take(&mut incident.measures), std::mem::take(&mut incident.notes));
        if !measures.is_empty() || !notes.is_empty() {
            let write = |incident: &mut Incident| {
                incident.measures = measures;
                incident.notes.extend(notes);
            };
            incident = self.services.store.change_incident(&self.project, &incident.id, write).await?;
        }
        Ok(OpenedIncident { incident, failed, notices })
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
        let Inputs { samples, without_text, left_out, .. } = self.failing_inputs(&incident, now).await?;
        let count = samples.len() as u64;
        incident.left_out = left_out;
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
        Ok(ClosedIncident { timeline, samples: count, with_answer, without_text, left_out, safe_mode })
    }
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
