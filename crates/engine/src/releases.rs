//! Releases: one manifest walks gate, staging, experiment, approval and production. It stops where a person must decide, and
//! goes on from there whenever it is asked to.

mod experiment;
mod watch;

use std::sync::Arc;

use jiff::Timestamp;
use llmops_api::canaries::{ChangeCanary, StartCanary};
use llmops_api::deployments::Deploy;
use llmops_api::observations::ResultsQuery;
use llmops_api::releases::{StartRelease, WaiveStep};
use llmops_domain::approval::is_same;
use llmops_domain::chat::Parameters;
use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment};
use llmops_domain::event::Event;
use llmops_domain::id::{ProjectId, ReleaseId};
use llmops_domain::release::{
    CANDIDATE, CONTROL, Evidence, Release, ReleaseEvent, ReleaseEventKind, ReleaseFilter, ReleaseStatus, ReleaseStep,
    Verdict, Winner, gate_command, next_step,
};
use llmops_stats::proportion::{Rate, wilson};
use llmops_storage::{CallsOf, StoreError};

use experiment::Ending;

use crate::{Deployments, Error, LlmOps, Services};

/// The environment of the second step.
const STAGING: &str = "staging";

/// The releases of a project: start, get, list, advance, waive, approve, cancel.
#[derive(Debug, Clone)]
pub struct Releases {
    services: Arc<Services>,
    project: ProjectId,
}

impl LlmOps {
    /// The releases.
    pub fn releases(&self) -> Releases {
        Releases { services: self.services.clone(), project: self.project.clone() }
    }
}

impl Releases {
    fn ops(&self) -> LlmOps {
        LlmOps { services: self.services.clone(), project: self.project.clone() }
    }

    fn deployments(&self) -> Deployments {
        self.ops().deployments()
    }

    /// Begins a release, and walks as far as it can.
    ///
    /// # Errors
    /// [`Error::Conflict`] when one of this deployment is on its way, or the manifest is live already; what a deployment
    /// refuses.
    pub async fn start(&self, name: &str, request: StartRelease) -> Result<Release, Error> {
        if self.services.store.find_open_release(&self.project, name).await?.is_some() {
            return Err(Error::Conflict {
                message: format!("a release of {name} is on its way"),
                hint: Some(format!("llmops release {name} goes on with it; --cancel gives it up")),
            });
        }
        if let Some(policy) = &request.policy {
            crate::canary::check_policy(policy)?;
        }
        let live = self.live(name).await?;
        let deploy = Deploy {
            manifest: request.manifest,
            manifest_hash: request.manifest_hash,
            prompt: request.prompt,
            model: request.model,
            ..Deploy::default()
        };
        let (manifest, label) = Box::pin(self.deployments().prepared(name, deploy, live.as_ref())).await?;
        if live.is_some_and(|deployment| deployment.manifest == manifest) {
            return Err(Error::Conflict {
                message: format!("{label} ({}) is live at {name} already", manifest.short()),
                hint: None,
            });
        }
        let (now, actor) = (self.services.clock.now(), self.services.store.actor());
        let release = Release {
            id: ReleaseId::new(now.as_millisecond(), self.services.clock.random()),
            deployment: name.to_owned(),
            manifest,
            label,
            status: ReleaseStatus::Open,
            step: ReleaseStep::Gate,
            waiting: None,
            policy: request.policy,
            canary: None,
            experiment: None,
            stopped: None,
            waived: None,
            approved_by: None,
            approved_key: None,
            approved_over: None,
            revision: 0,
            created_at: now,
            created_by: actor.name.clone(),
            created_key: actor.key.clone(),
            history: Vec::new(),
        };
        let release = self.put(release, ReleaseStep::Gate, (ReleaseEventKind::Begun, "")).await?;
        self.walk(release).await
    }

    /// The release of a deployment that is on its way; or any, by its id.
    pub async fn find(&self, which: &str) -> Result<Release, Error> {
        let missing = match self.get(which).await {
            Err(missing @ Error::NotFound { .. }) => missing,
            found => return found,
        };
        match self.services.store.get_release(&self.project, which).await {
            Err(StoreError::NotFound { .. }) => Err(missing),
            found => Ok(found?),
        }
    }

    /// The release of a deployment that is on its way.
    pub async fn get(&self, name: &str) -> Result<Release, Error> {
        let open = self.services.store.find_open_release(&self.project, name).await?;
        open.ok_or_else(|| {
            Error::not_found("open release", name)
                .with_hint(format!("llmops release {name} --prompt NAME@VERSION --model PROVIDER/MODEL begins one"))
        })
    }

    /// Releases, the newest first.
    pub async fn list(&self, filter: &ReleaseFilter, limit: u32) -> Result<Vec<Release>, Error> {
        Ok(self.services.store.list_releases(&self.project, filter, limit).await?)
    }

    /// Goes on as far as it can.
    pub async fn advance(&self, name: &str) -> Result<Release, Error> {
        self.walk(self.get(name).await?).await
    }

    /// Lets the present step pass without its evidence, by a person who says why, and goes on.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the release is at another step, or production asks for the gate anyway; [`Error::Invalid`] without a
    /// reason, or for approval and production.
    pub async fn waive(&self, name: &str, request: WaiveStep) -> Result<Release, Error> {
        let mut release = self.get(name).await?;
        if request.reason.trim().is_empty() {
            return Err(Error::invalid("a step is let pass with a reason").with_hint("--reason TEXT"));
        }
        if matches!(request.step, ReleaseStep::Approval | ReleaseStep::Production) {
            return Err(Error::invalid(format!("the step {} cannot be let pass", request.step.as_str())));
        }
        if request.step != release.step {
            return Err(Error::Conflict {
                message: format!("the release of {name} is at the step {}", release.step.as_str()),
                hint: None,
            });
        }
        let live = self.live(name).await?;
        if request.step == ReleaseStep::Gate && live.is_some_and(|live| live.settings.require_gate) {
            return Err(Error::Conflict {
                message: format!("{name} takes no manifest to production without a passing run (require_gate)"),
                hint: Some(format!(
                    "evaluate exactly this manifest, then gate it: {}",
                    gate_command(&release.manifest)
                )),
            });
        }
        release.waived = Some(request.step);
        let release = self.put(release, request.step, (ReleaseEventKind::Waived, &request.reason)).await?;
        self.walk(release).await
    }

    /// Allows it, and goes on. Where the deployment asks for a second key, who began the release may not.
    ///
    /// # Errors
    /// [`Error::Conflict`] before the step of approval, and during an incident; [`Error::Forbidden`] for who began it.
    pub async fn approve(&self, name: &str) -> Result<Release, Error> {
        let mut release = self.get(name).await?;
        if release.step != ReleaseStep::Approval {
            return Err(Error::Conflict {
                message: format!(
                    "the release of {name} is at the step {}: there is nothing to allow yet",
                    release.step.as_str()
                ),
                hint: release.waiting,
            });
        }
        let actor = self.services.store.actor();
        if self.needs_second_key(name).await? && is_same(&release.created_by, release.created_key.as_ref(), actor) {
            return Err(Error::Forbidden(format!(
                "{} began this release, and somebody else has to allow it",
                actor.name
            )));
        }
        // Said now and carried out later, it would hold for something that nobody has seen yet.
        self.deployments().refuse_in_an_incident(name, DEFAULT_ENVIRONMENT).await?;
        release.approved_by = Some(actor.name.clone());
        release.approved_key.clone_from(&actor.key);
        release.approved_over = self.live(name).await?.map(|live| live.manifest);
        let release = self.put(release, ReleaseStep::Approval, (ReleaseEventKind::Approved, "")).await?;
        self.walk(release).await
    }

    /// Gives a release up: its experiment is cancelled, and what is live stays live.
    pub async fn cancel(&self, name: &str, reason: &str) -> Result<Release, Error> {
        let mut release = self.get(name).await?;
        self.end_canary(&release).await?;
        self.end_experiment(&release, Ending::GivenUp).await?;
        release.status = ReleaseStatus::Cancelled;
        release.waiting = None;
        let step = release.step;
        self.put(release, step, (ReleaseEventKind::Cancelled, reason.trim())).await
    }

    /// Does what each step needs, looks whether it passes, and goes on until one does not.
    async fn walk(&self, mut release: Release) -> Result<Release, Error> {
        while release.status == ReleaseStatus::Open {
            release = Box::pin(self.watch(release)).await?;
            release = self.withdrawn(release).await?;
            let step = release.step;
            let begun = (release.canary.clone(), release.experiment.clone());
            // Each is a whole use case: boxed, so that they do not lie on the stack of whoever walks.
            let blocked = Box::pin(self.prepare(&mut release)).await?;
            let known = Evidence { blocked, ..Box::pin(self.evidence(&release)).await? };
            if let Some(why) = known.lost.clone() {
                release = Box::pin(self.stop(release, why, Ending::Lost)).await?;
                continue;
            }
            match next_step(&release, &known) {
                Verdict::Wait(why) => {
                    if release.waiting.as_ref() == Some(&why)
                        && begun == (release.canary.clone(), release.experiment.clone())
                    {
                        return Ok(release);
                    }
                    release.waiting = Some(why.clone());
                    return self.put(release, step, (ReleaseEventKind::Waits, &why)).await;
                }
                Verdict::Pass(why) => {
                    Box::pin(self.pass(&mut release)).await?;
                    release.waiting = None;
                    match step.next() {
                        Some(next) => release.step = next,
                        None => release.status = ReleaseStatus::Released,
                    }
                    release = self.put(release, step, (ReleaseEventKind::Passed, &why)).await?;
                }
            }
        }
        Ok(release)
    }

    /// The release without an approval that does not hold any more.
    async fn withdrawn(&self, mut release: Release) -> Result<Release, Error> {
        if release.approved_by.is_none() {
            return Ok(release);
        }
        let live = self.live(&release.deployment).await?;
        let second_key = live.as_ref().is_some_and(|live| live.settings.require_approval);
        match release.withdraw(live.as_ref().map(|live| &live.manifest), second_key) {
            None => Ok(release),
            Some(why) => self.put(release, ReleaseStep::Approval, (ReleaseEventKind::Waits, &why)).await,
        }
    }

    /// What a step needs before it can be looked at, or what stands in its way. Doing it twice changes nothing.
    async fn prepare(&self, release: &mut Release) -> Result<Option<String>, Error> {
        match release.step {
            step if release.waived == Some(step) => Ok(None),
            ReleaseStep::Staging if release.canary.is_some() => Ok(None),
            ReleaseStep::Staging => self.enter_staging(release).await,
            ReleaseStep::Experiment if release.experiment.is_none() => self.enter_experiment(release).await,
            ReleaseStep::Approval => self.frozen(&release.deployment).await,
            ReleaseStep::Production => self.deploy(release, DEFAULT_ENVIRONMENT).await,
            _ => Ok(None),
        }
    }

    /// What follows from a step that passed.
    async fn pass(&self, release: &mut Release) -> Result<(), Error> {
        if release.step == ReleaseStep::Approval {
            let is_waived = release.waived == Some(ReleaseStep::Experiment);
            self.end_experiment(release, if is_waived { Ending::Undecided } else { Ending::Won }).await?;
        }
        Ok(())
    }

    /// Puts the manifest beside what answers in staging, where a policy says how to compare them; else it answers there.
    async fn enter_staging(&self, release: &mut Release) -> Result<Option<String>, Error> {
        let there = self.services.store.find_deployment(&self.project, &release.deployment, STAGING).await?;
        let (Some(policy), Some(there)) = (&release.policy, there) else {
            return self.deploy(release, STAGING).await;
        };
        if there.manifest == release.manifest {
            return Ok(None);
        }
        let canaries = self.ops().canaries();
        let request = StartCanary {
            deployment: release.deployment.clone(),
            environment: Some(STAGING.to_owned()),
            manifest: None,
            manifest_hash: Some(release.manifest.to_string()),
            prompt: None,
            model: None,
            parameters: Parameters::default(),
            policy: (**policy).clone(),
            dry_run: false,
            draft: false,
        };
        release.canary = Some(match canaries.start(request).await {
            Ok(started) => started.canary.id.0,
            Err(conflict @ Error::Conflict { .. }) => {
                // A process that ended between starting it and writing that down has left it.
                let known = canaries.get(&release.deployment, Some(STAGING)).await?;
                if known.candidate != release.manifest || known.state.is_final() {
                    return Err(conflict);
                }
                known.id.0
            }
            Err(error) => return Err(error),
        });
        Ok(None)
    }

    async fn end_canary(&self, release: &Release) -> Result<(), Error> {
        let Some(id) = &release.canary else { return Ok(()) };
        let canaries = self.ops().canaries();
        if canaries.get(id, None).await?.state.is_final() {
            return Ok(());
        }
        let reason = Some(format!("the release {} was given up", release.id));
        canaries.abort(id, ChangeCanary { environment: None, reason }).await.map(drop)
    }

    /// Lets it answer in an environment; or says who has to allow that.
    async fn deploy(&self, release: &Release, environment: &str) -> Result<Option<String>, Error> {
        let name = &release.deployment;
        let request = Deploy {
            environment: Some(environment.to_owned()),
            manifest_hash: Some(release.manifest.to_string()),
            reason: Some(format!("release {}", release.id)),
            ..Deploy::default()
        };
        let deployed = if environment == DEFAULT_ENVIRONMENT {
            // The release has its own step for the second key of production.
            self.deployments().deploy_over(name, request, release.approved_over.as_ref()).await
        } else {
            self.deployments().deploy(name, request).await
        };
        let deployed = match deployed {
            Ok(deployed) => deployed,
            Err(Error::Conflict { message, hint }) => {
                let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                return Ok(Some(format!("{message}{hint}; then llmops release {name}")));
            }
            Err(error) => return Err(error),
        };
        Ok(deployed.approval.map(|approval| {
            let id = &approval.id;
            format!("{environment} asks for a second key: llmops approval approve {id}, then llmops release {name}")
        }))
    }

    async fn evidence(&self, release: &Release) -> Result<Evidence, Error> {
        let mut known = Evidence::default();
        match release.step {
            ReleaseStep::Gate => {
                let settings = self.live(&release.deployment).await?.map(|live| live.settings).unwrap_or_default();
                match self.deployments().passing_run(&release.manifest, &settings).await? {
                    Ok(run) => known.passing_run = Some(run.0),
                    Err(why) => known.unpassed = Some(why),
                }
            }
            ReleaseStep::Staging => self.staging(release, &mut known).await?,
            ReleaseStep::Experiment => {
                let Some(id) = &release.experiment else { return Ok(Evidence { is_first: true, ..known }) };
                known.interrupted = !self.is_routed(release).await?;
                let results = self.ops().experiments().get_results(id, &ResultsQuery::default()).await?;
                let may_stop = !known.interrupted && release.stopped.is_none() && watch::is_exposing(release);
                known.lost = watch::loses(&results).filter(|_| may_stop);
                known.winner = match results.winner.as_deref() {
                    Some(CANDIDATE) => Some(Winner::Candidate),
                    Some(CONTROL) => Some(Winner::Control),
                    _ => None,
                };
                known.recommendation = Some(results.recommendation);
                let arms = self.services.store.release_arms(&self.project, &release.id).await?;
                known.exposed_requests = arms.candidate.requests;
            }
            ReleaseStep::Approval => {
                known.second_key = self.needs_second_key(&release.deployment).await?;
                known.interrupted = release.experiment.is_some() && !self.is_routed(release).await?;
            }
            ReleaseStep::Production => {}
        }
        Ok(known)
    }

    async fn staging(&self, release: &Release, known: &mut Evidence) -> Result<(), Error> {
        if let Some(id) = &release.canary {
            known.canary = Some(self.ops().canaries().get(id, None).await?.state);
            return Ok(());
        }
        let of = CallsOf {
            deployment: &release.deployment,
            environment: STAGING,
            manifest: Some(release.manifest.as_str()),
            from: release.created_at,
            until: Timestamp::MAX,
        };
        for hour in self.services.store.calls_by_hour(&self.project, of).await? {
            known.staging_calls += hour.sums.counted();
            // A call whose content failed did not fail by protocol.
            known.staging_failures += hour.sums.failed + hour.sums.soft_failed;
        }
        known.staging_failures = known.staging_failures.min(known.staging_calls);
        if known.staging_calls > 0 {
            let rate = wilson(Rate::new(known.staging_failures, known.staging_calls)?, 0.95)?;
            known.staging_upper = rate.interval.map(|interval| interval.high);
        }
        Ok(())
    }

    async fn live(&self, name: &str) -> Result<Option<Deployment>, Error> {
        Ok(self.services.store.find_deployment(&self.project, name, DEFAULT_ENVIRONMENT).await?)
    }

    async fn needs_second_key(&self, name: &str) -> Result<bool, Error> {
        Ok(self.live(name).await?.is_some_and(|live| live.settings.require_approval))
    }

    async fn put(
        &self,
        mut release: Release,
        step: ReleaseStep,
        (kind, text): (ReleaseEventKind, &str),
    ) -> Result<Release, Error> {
        release.revision += 1;
        release.history.push(ReleaseEvent {
            at: self.services.clock.now(),
            step,
            kind,
            by: self.services.store.actor().name.clone(),
            text: text.to_owned(),
        });
        self.services.store.put_release(&self.project, &release).await?;
        let news = Event::Release {
            release: release.id.0.clone(),
            deployment: release.deployment.clone(),
            status: release.status.as_str().to_owned(),
            step: release.step.as_str().to_owned(),
            waiting: release.waiting.clone(),
        };
        self.services.events.publish(&self.project, news).await?;
        Ok(release)
    }
}
