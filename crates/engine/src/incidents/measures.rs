//! What is done at once when an incident is opened, and undone when it is closed.

use llmops_api::deployments::{Rollback, SwitchSafeMode};
use llmops_api::incidents::OpenIncident;
use llmops_domain::canary::{Canary, CanaryState};
use llmops_domain::experiment::ExperimentStatus;
use llmops_domain::incident::{Incident, IncidentNote, Measure};

use super::Incidents;
use crate::Error;

impl Incidents {
    /// Does what shall be done at once, and writes into the incident what was. Answers with what could not be done, and with what a
    /// person should know.
    pub(super) async fn take_measures(
        &self,
        incident: &mut Incident,
        request: OpenIncident,
    ) -> (Vec<String>, Vec<String>) {
        let (mut failed, mut notices) = (Vec::new(), Vec::new());
        let unknown = |error| format!("whether a canary shows users its candidate is not known: {error}");
        let exposing = self.ops().canaries().exposing(&incident.deployment, &incident.environment).await;
        let exposing = exposing.unwrap_or_else(|error: Error| {
            failed.push(unknown(error));
            None
        });
        if request.safe_mode {
            match self.safe_mode(incident, request.answer).await {
                Ok((measure, told)) => {
                    incident.measures.push(measure);
                    notices.extend(told);
                }
                Err(error) => failed.push(format!("the safe mode is not on: {error}")),
            }
        }
        if request.rollback {
            match self.rollback(incident).await {
                Ok((measure, told)) => {
                    incident.measures.push(measure);
                    notices.extend(told);
                }
                Err(error) => failed.push(format!("nothing was rolled back: {error}")),
            }
        }
        match Box::pin(self.pause_experiment(incident)).await {
            Ok(measure) => {
                notices.extend(measure.iter().map(|_| {
                    let name = &incident.deployment;
                    format!(
                        "users who are in the experiment of the release keep its candidate: llmops release {name} --cancel takes \
                         it away"
                    )
                }));
                incident.measures.extend(measure);
            }
            Err(error) => failed.push(format!("the experiment of a release goes on: {error}")),
        }
        if let Some(canary) = exposing
            && let Err(error) = self.tell_of_canary(incident, &canary, &mut notices).await
        {
            failed.push(unknown(error));
        }
        (failed, notices)
    }

    /// What became of the canary that showed users its candidate when the incident was opened. Where it still does, that stands in
    /// the timeline.
    async fn tell_of_canary(
        &self,
        incident: &mut Incident,
        canary: &Canary,
        notices: &mut Vec<String>,
    ) -> Result<(), Error> {
        let id = canary.id.to_string();
        match self.ops().canaries().get(&id, None).await?.state {
            CanaryState::Aborted { .. } => incident.measures.push(Measure::CanaryAborted { canary: id }),
            CanaryState::Paused { .. } => incident.measures.push(Measure::CanaryPaused { canary: id }),
            CanaryState::Exposing { stage } => {
                let share = canary.policy.exposures().get(stage).map(ToString::to_string).unwrap_or_default();
                let (name, candidate) = (&canary.deployment, canary.candidate.short());
                let text = format!(
                    "the canary {id} shows its candidate {candidate} to {share} of the users, and goes on doing so: llmops canary \
                     abort {name} takes it away"
                );
                notices.push(text.clone());
                incident.notes.push(IncidentNote { at: incident.opened_at, by: "llmops".to_owned(), text });
            }
            _ => {}
        }
        Ok(())
    }

    async fn safe_mode(&self, incident: &Incident, answer: Option<String>) -> Result<(Measure, Vec<String>), Error> {
        let switch = SwitchSafeMode {
            environment: Some(incident.environment.clone()),
            on: true,
            answer,
            reason: Some(format!("incident {}", incident.id)),
        };
        let switched = self.ops().deployments().safe_mode(&incident.deployment, switch).await?;
        Ok((Measure::SafeMode, switched.notices))
    }

    async fn rollback(&self, incident: &Incident) -> Result<(Measure, Vec<String>), Error> {
        let rollback = Rollback {
            environment: Some(incident.environment.clone()),
            to: None,
            reason: Some(format!("incident {}", incident.id)),
        };
        let done = self.ops().deployments().rollback(&incident.deployment, rollback).await?;
        let from = done.previous.map(|hash| hash.short().to_owned()).unwrap_or_default();
        let measure = Measure::Rollback { from, to: done.deployment.manifest.short().to_owned() };
        Ok((measure, done.notices))
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
    pub(super) async fn resume_experiment(&self, key: &str) -> Result<(), Error> {
        let experiments = self.ops().experiments();
        if experiments.get(key).await?.status == ExperimentStatus::Paused {
            experiments.resume(key).await?;
        }
        Ok(())
    }
}
