//! The users who see a release's candidate are watched: where it breaks a guardrail, or loses its experiment beyond chance, nobody
//! gets it any more.

use std::sync::Arc;

use llmops_domain::access::Actor;
use llmops_domain::alert::{AlertDraft, AlertType, Severity};
use llmops_domain::canary::broken;
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::experiment::Experiment;
use llmops_domain::experiment::result::{Comparison, Conclusion, ExperimentResult};
use llmops_domain::id::ProjectId;
use llmops_domain::release::{
    CANDIDATE, Evidence, Release, ReleaseEventKind, ReleaseStatus, ReleaseStep, Verdict, next_step,
};
use llmops_storage::StoreError;

use super::Releases;
use super::experiment::Ending;
use crate::canary::measure::measure_stage;
use crate::{AlertManager, Error, LlmOps, Services};

impl LlmOps {
    /// Does what time alone decides of canaries, and takes candidates of releases away that do harm among users, in all projects.
    /// Workers do it all the time.
    pub async fn look_after_candidates(&self) -> Result<(), Error> {
        let canaries = crate::canary::tick(&self.services).await;
        tick(&self.services).await.and(canaries)
    }
}

/// Looks after the releases of all projects that show users their candidate.
async fn tick(services: &Arc<Services>) -> Result<(), Error> {
    for (project, release) in services.store.open_releases().await? {
        let id = release.id.clone();
        if let Err(error) = Box::pin(Releases::by_itself(services, project).watch(release)).await {
            tracing::warn!(release = %id, %error, "could not look after a release");
        }
    }
    Ok(())
}

impl Releases {
    /// Of llmops itself: what it changes is recorded as done by `release`.
    fn by_itself(services: &Arc<Services>, project: ProjectId) -> Self {
        let mut own = (**services).clone();
        own.store = own.store.acting_as(Arc::new(Actor::part("release")));
        Self { services: Arc::new(own), project }
    }

    /// Takes the candidate of a release away from users where it breaks a guardrail among them.
    pub(super) async fn watch(&self, release: Release) -> Result<Release, Error> {
        if !is_exposing(&release) {
            return Ok(release);
        }
        // Where something else became live, nobody sees it any more.
        if !self.is_routed(&release).await? {
            return Ok(release);
        }
        if release.stopped.is_some() {
            // A process that ended in between has left it with the users.
            let own = Self::by_itself(&self.services, self.project.clone());
            Box::pin(own.take_away(&release, Ending::GivenUp)).await?;
            return Ok(release);
        }
        let arms = self.services.store.release_arms(&self.project, &release.id).await?;
        let Some((guardrail, numbers)) = broken(&measure_stage(&release.guardrails(), &arms)) else {
            return Ok(release);
        };
        let why = format!("the candidate breaks the guardrail {guardrail} in the experiment: {numbers}");
        Box::pin(self.stop(release, why, Ending::GivenUp)).await
    }

    /// Ends the experiment of a release early where what is live is better beyond chance. Whoever just looked at an experiment
    /// says so.
    pub(crate) async fn judged(&self, experiment: &Experiment, results: &ExperimentResult) -> Result<(), Error> {
        let Some(why) = loses(results).filter(|_| experiment.status.is_live()) else { return Ok(()) };
        let owner = self.services.store.open_releases().await?.into_iter().find(|(project, release)| {
            *project == self.project && release.experiment.as_deref() == Some(experiment.id.as_str())
        });
        match owner {
            Some((_, release)) if is_exposing(&release) && release.stopped.is_none() => {
                Box::pin(self.stop(release, why, Ending::Lost)).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Writes down why, and takes the candidate away; of several processes that find the same, one does.
    pub(super) async fn stop(&self, mut release: Release, why: String, ending: Ending) -> Result<Release, Error> {
        let own = Self::by_itself(&self.services, self.project.clone());
        release.stopped = Some(why);
        if let Verdict::Wait(text) = next_step(&release, &Evidence::default()) {
            release.waiting = Some(text);
        }
        let (step, why) = (release.step, release.stopped.clone().unwrap_or_default());
        let release = match own.put(release.clone(), step, (ReleaseEventKind::Stopped, &why)).await {
            Ok(stopped) => stopped,
            Err(Error::Store(StoreError::Conflict(_))) => {
                return Ok(self.services.store.get_release(&self.project, release.id.as_str()).await?);
            }
            Err(error) => return Err(error),
        };
        own.take_away(&release, ending).await?;
        Ok(release)
    }

    async fn take_away(&self, release: &Release, ending: Ending) -> Result<(), Error> {
        Box::pin(self.end_experiment(release, ending)).await?;
        let name = &release.deployment;
        let message = format!(
            "release of {name}: {}; nobody gets the candidate any more: llmops release {name} --cancel, or --waive experiment \
             with a reason",
            release.stopped.as_deref().unwrap_or_default()
        );
        let message: String = message.chars().take(4000).collect();
        let mut draft = AlertDraft::new(AlertType::Experiment, Severity::Critical, "release", message)
            .about(release.id.as_str(), None)
            .keyed(Some("stopped"));
        draft.metadata.insert("deployment".to_owned(), name.clone().into());
        draft.metadata.insert("environment".to_owned(), DEFAULT_ENVIRONMENT.into());
        draft.metadata.insert("candidate".to_owned(), release.manifest.as_str().into());
        AlertManager::new(self.services.clone(), self.project.clone()).create(draft).await?;
        Ok(())
    }
}

/// Whether users may see the candidate by the release's experiment.
pub(super) fn is_exposing(release: &Release) -> bool {
    release.status == ReleaseStatus::Open
        && release.step == ReleaseStep::Experiment
        && release.experiment.is_some()
        && release.waived != Some(ReleaseStep::Experiment)
}

/// Why the candidate has lost: it is worse on the target metric, on the basis that holds at every look. How long the experiment
/// has run does not matter here: to name a winner takes every day of the week, to spare users a loser does not.
pub(super) fn loses(results: &ExperimentResult) -> Option<String> {
    if results.conclusion == Conclusion::Blocked {
        return None;
    }
    let is_lost = |c: &&Comparison| {
        c.metric == results.target_metric && c.variant == CANDIDATE && c.significant && c.better == Some(false)
    };
    let lost = results.comparisons.iter().find(is_lost)?;
    let interval = lost.interval.as_ref().map(|bounds| format!(" ({:.3} to {:.3})", bounds.low, bounds.high));
    Some(format!(
        "what is live is ahead beyond chance in the experiment: {} of the candidate differs by {:.3}{}; p = {:.1e}, n = {}",
        lost.metric,
        lost.difference.unwrap_or_default(),
        interval.unwrap_or_default(),
        lost.p_value_corrected.unwrap_or(1.0),
        lost.units
    ))
}
