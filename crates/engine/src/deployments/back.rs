//! Ways back: to a manifest that was live before, and to the safe mode. Both take candidates away that users see.

use jiff::Timestamp;
use llmops_api::deployments::{Deployed, Rollback, SafeModeSwitched, SwitchSafeMode};
use llmops_domain::canary::{AbortCause, Canary, CanaryState};
use llmops_domain::deployment::{
    self, DEFAULT_ENVIRONMENT, Deployment, DeploymentAction, DeploymentSettings, RollbackError,
};
use llmops_domain::gate;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::RunId;

use super::Deployments;
use super::change::interruption;
use crate::Error;
use crate::evaluator::BASELINE_TAG;

impl Deployments {
    /// Points a deployment to a manifest that was live before: the one before the present one, or the one named. It answers
    /// everybody: an experiment assigns nobody any more, and a canary that shows users its candidate is aborted with it. Where
    /// nothing else was ever live, that is the way back.
    pub async fn rollback(&self, name: &str, request: Rollback) -> Result<Deployed, Error> {
        let before = self.get(name, request.environment.as_deref()).await?;
        let exposing = self.canaries().exposing(name, &before.environment).await?;
        let history = self.services.store.deployment_history(&self.project, name, &before.environment).await?;
        let target =
            match deployment::rollback_target(&history, request.to.as_deref()) {
                // Then the way back is from the variants, or from the candidate, to what is live.
                Err(
                    RollbackError::NothingEarlier | RollbackError::OnlyLater { .. } | RollbackError::AlreadyLive(_),
                ) if before.settings.experiment.is_some() || exposing.is_some() => before.manifest.clone(),
                found => found.map_err(|error| Error::Conflict {
                    message: format!("cannot roll back {name} in {}: {error}", before.environment),
                    hint: Some(way_on(&before, &error)),
                })?,
            };
        let (hash, manifest) = self.services.store.get_manifest(&self.project, target.as_str()).await?;
        if let Some(why) = self.never_renders(&manifest).await? {
            return Err(Error::Conflict {
                message: format!("cannot roll back {name} in {} to {}: {why}", before.environment, hash.short()),
                hint: Some(format!("llmops history {name} lists what was live; --to HASH takes another one")),
            });
        }
        let previous = before.manifest.clone();
        let mut notices = self.notices(Some(&previous), &manifest).await?;
        let release = self.releases().that_routes(&before).await?;
        match (&release, &before.settings.experiment) {
            (Some(release), _) => notices.push(interruption(release)),
            (None, Some(key)) => notices.push(format!(
                "the experiment {key} assigns nobody any more: settings with `experiment: {key}` let it again"
            )),
            (None, None) => {}
        }
        if hash != previous {
            notices.push(format!("{} takes {} again", command(&before, &previous), previous.short()));
        }
        let settings = DeploymentSettings { experiment: None, ..before.settings.clone() };
        let next = Deployment { manifest: hash, settings, ..before };
        let step = (DeploymentAction::Rollback, Some(previous.clone()), request.reason);
        let (deployment, aborted) = self.change_without_candidate(next, step).await?;
        if let Some(canary) = &aborted {
            self.canaries().keep_losses(canary).await;
            notices.push(taken_away(canary, &deployment));
        }
        self.interrupt(release).await;
        notices.extend(self.baseline_after_rollback(&deployment, &previous).await?);
        Ok(Deployed { deployment, manifest, previous: Some(previous), changed: true, notices, approval: None })
    }

    /// What the next gate compares with: what is live again, as far as a run of it passed its gate, however long ago.
    async fn baseline_after_rollback(
        &self,
        deployment: &Deployment,
        previous: &ContentHash,
    ) -> Result<Option<String>, Error> {
        if deployment.environment != DEFAULT_ENVIRONMENT || deployment.manifest == *previous {
            return Ok(None);
        }
        let Some(theirs) = self.ever_passing(previous).await? else { return Ok(None) };
        match self.ever_passing(&deployment.manifest).await? {
            Some(own) => {
                let now = self.services.clock.now();
                self.services.store.tag_run(&self.project, &own, BASELINE_TAG, now).await?;
                Ok(Some(format!("the baseline of the next gate is the run {own} of what is live again")))
            }
            None => Ok(Some(format!(
                "the baseline of the next gate may still be the run {} of what was taken back, as no run of {} passed its gate: \
                 llmops baseline promote RUN names another",
                theirs,
                deployment.manifest.short()
            ))),
        }
    }

    /// The run by which a manifest passed its gate, however long ago.
    async fn ever_passing(&self, manifest: &ContentHash) -> Result<Option<RunId>, Error> {
        let gated = self.gated_runs(manifest).await?;
        Ok(gate::passing(&gated, Timestamp::MIN).ok().map(|passing| passing.run.clone()))
    }

    /// Switches the safe mode on or off, and changes what it answers with. A canary that shows users its candidate is paused by it,
    /// so that they do not get it back unseen.
    pub async fn safe_mode(&self, name: &str, request: SwitchSafeMode) -> Result<SafeModeSwitched, Error> {
        let before = self.get(name, request.environment.as_deref()).await?;
        let mut next = Deployment { safe_mode: request.on, ..before.clone() };
        if let Some(answer) = request.answer {
            next.settings.safe_mode.answer = Some(answer);
            next.settings.safe_mode.manifest = None;
        }
        if request.on && !next.settings.safe_mode.is_prepared() {
            return Err(Error::Conflict {
                message: format!("{name} has no safe mode prepared"),
                hint: Some("name a fixed answer: llmops safe-mode NAME on --answer TEXT".to_owned()),
            });
        }
        if next == before {
            return Ok(SafeModeSwitched { deployment: next, notices: Vec::new() });
        }
        let action = match (before.safe_mode, request.on) {
            (_, true) => DeploymentAction::SafeModeOn,
            (true, false) => DeploymentAction::SafeModeOff,
            (false, false) => DeploymentAction::Configure,
        };
        let (deployment, paused) =
            self.change_without_candidate(next, (action, Some(before.manifest), request.reason)).await?;
        let mut notices: Vec<String> = paused.iter().map(|canary| taken_away(canary, &deployment)).collect();
        if request.on
            && let Some(key) = self.assigning(&deployment).await?
        {
            let candidate = self.releases().that_routes(&deployment).await?;
            let way = candidate.map_or_else(
                || format!("llmops rollback {name}, or settings without it, end that"),
                |release| format!("llmops release {} --cancel ends that", release.deployment),
            );
            notices.push(format!(
                "the experiment {key} goes on: its variants answer again once the safe mode is off; {way}"
            ));
        }
        Ok(SafeModeSwitched { deployment, notices })
    }

    /// Changes a deployment so that from the same moment on no user is answered by the candidate of a canary: a rollback ends the
    /// canary, the safe mode pauses it. Answers with the canary as it is since.
    async fn change_without_candidate(
        &self,
        next: Deployment,
        (action, from, reason): (DeploymentAction, Option<ContentHash>, Option<String>),
    ) -> Result<(Deployment, Option<Canary>), Error> {
        let now = self.services.clock.now();
        let what = match action {
            DeploymentAction::Rollback => "a rollback",
            _ => "the safe mode",
        };
        let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let note = format!("{what} took its candidate away from users{why}");
        let step = |canary: &Canary| {
            let to = match action {
                DeploymentAction::Rollback => CanaryState::Aborted { cause: AbortCause::Person },
                DeploymentAction::SafeModeOn => canary.state.paused(),
                _ => return None,
            };
            canary.moved(to, now).ok().map(|moved| Canary { note: Some(note.clone()), ..moved })
        };
        let (next, change) = self.dated(next, (action, from, reason));
        let taken = self.services.store.change_deployment_and_canary(&self.project, (&next, &change), step).await?;
        self.announce(&next, change).await?;
        if let Some(canary) = &taken {
            self.canaries().tell(canary).await?;
        }
        Ok((next, taken))
    }

    fn canaries(&self) -> super::Canaries {
        super::Canaries::new(self.services.clone(), self.project.clone())
    }
}

/// What became of a canary whose candidate users saw, for people.
fn taken_away(canary: &Canary, deployment: &Deployment) -> String {
    let (id, name, candidate) = (&canary.id, &canary.deployment, canary.candidate.short());
    match canary.state {
        CanaryState::Paused { .. } => format!(
            "the canary {id} showed users its candidate {candidate}, and is paused: llmops canary resume {name} shows it again once \
             the safe mode is off, llmops canary abort {name} ends it"
        ),
        _ if deployment.manifest == canary.production => {
            format!(
                "the canary {id} showed users its candidate {candidate}, and is aborted: what is live answers everybody"
            )
        }
        _ => format!(
            "the canary {id} showed users its candidate {candidate}, and is aborted; if nothing but the candidate was wrong, \
             llmops rollback {name} --to {} brings back what was live beside it",
            canary.production.short()
        ),
    }
}

/// The command that takes a manifest.
fn command(of: &Deployment, manifest: &ContentHash) -> String {
    let (name, environment) = (&of.name, &of.environment);
    let place =
        if environment == DEFAULT_ENVIRONMENT { String::new() } else { format!(" --environment {environment}") };
    format!("llmops rollback {name}{place} --to {}", manifest.short())
}

/// What helps who cannot go back.
fn way_on(of: &Deployment, error: &RollbackError) -> String {
    match error {
        RollbackError::OnlyLater { later, .. } if !later.is_empty() => {
            format!("{} takes the one that was live last", command(of, &later[0]))
        }
        _ => format!("llmops history {} lists what was live", of.name),
    }
}
