//! `Canaries`: candidates that answer live traffic unseen, and the policies that decide on them.
//!
//! | module | what it does |
//! | --- | --- |
//! | `sampler` | draws requests that a gateway answered, and queues them |
//! | `shadow` | asks the candidate and the judge, and settles the pair |
//! | [`measure`] | from sums to bounds, pure |
//! | [`replay`] | makes logged decisions again, pure |
//! | `steps` | decides, and does what was decided, once for all processes |

pub mod measure;
pub mod replay;
mod sampler;
mod shadow;
mod steps;

use std::sync::Arc;

use llmops_api::canaries::{CanaryReport, ChangeCanary, StartCanary, StartedCanary};
use llmops_api::deployments::Deploy;
use llmops_domain::access::Actor;
use llmops_domain::canary::{
    AbortCause, Canary, CanaryPolicy, CanaryState, Exposure, LiveCanary, LoggedDecision, ShadowPair, decide,
};
use llmops_domain::dataset::DatasetType;
use llmops_domain::deployment::{DEFAULT_ENVIRONMENT, Deployment};
use llmops_domain::event::Event;
use llmops_domain::id::{CanaryId, ProjectId};
use llmops_storage::{CanaryStep, Change, PairFilter, StoreError};

use crate::cache::ResponseCache;
use crate::scorers::PairJudge;
use crate::{Deployments, Error, PromptRegistry, Services};

pub(crate) use steps::tick;

pub use sampler::{CanarySampler, cluster_of_user};

/// Manages canaries: start, get, list, pause, resume, approve, promote, abort.
#[derive(Debug, Clone)]
pub struct Canaries {
    services: Arc<Services>,
    project: ProjectId,
}

/// Who somebody is, for the rule that two must agree: the key, else the name.
fn identity(actor: &Actor) -> String {
    actor.key.as_ref().map_or_else(|| actor.name.clone(), |key| key.as_str().to_owned())
}

impl Canaries {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Of llmops itself: what it changes is recorded as done by `canary`.
    pub(crate) fn by_itself(services: &Arc<Services>, project: ProjectId) -> Self {
        let mut own = (**services).clone();
        own.store = own.store.acting_as(Arc::new(Actor::part("canary")));
        Self { services: Arc::new(own), project }
    }

    fn prompts(&self) -> PromptRegistry {
        PromptRegistry::new(self.services.clone(), self.project.clone())
    }

    fn deployments(&self) -> Deployments {
        Deployments::new(self.services.clone(), self.project.clone(), self.prompts())
    }

    /// Puts a candidate beside what a deployment answers with.
    pub async fn start(&self, mut request: StartCanary) -> Result<StartedCanary, Error> {
        check_policy(&request.policy)?;
        let environment = request.environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        let deployments = self.deployments();
        let deployment = deployments.get(&request.deployment, Some(&environment)).await?;
        // A canary is no way around the second key that the deployment asks for.
        request.policy.promote.approval |= deployment.settings.require_approval;
        let candidate = Deploy {
            manifest: request.manifest,
            manifest_hash: request.manifest_hash,
            prompt: request.prompt,
            model: request.model,
            parameters: request.parameters,
            ..Deploy::default()
        };
        let (candidate, manifest, mut notices) = deployments.candidate(candidate, &deployment).await?;
        if candidate == deployment.manifest {
            return Err(Error::Conflict {
                message: format!(
                    "the candidate {} is what {} answers with already",
                    candidate.short(),
                    deployment.name
                ),
                hint: Some("change the prompt, the model or a parameter".to_owned()),
            });
        }
        let (_, live) = deployments.manifest(deployment.manifest.as_str()).await?;
        let cache = ResponseCache::new(self.services.store.clone(), self.project.clone(), false);
        PairJudge::load(&self.services, &self.prompts(), &cache, &request.policy.judge).await?;
        notices.extend(self.notices(&request.policy, [&manifest.model, &live.model, &request.policy.judge.model]));
        notices.extend(self.unreviewed_losses(&request.policy).await?);
        if let Some(key) = deployments.assigning(&deployment).await?.filter(|_| !request.policy.exposures().is_empty())
        {
            notices.push(format!(
                "the experiment {key} assigns the users: until it ends the candidate answers unseen, and no stage begins"
            ));
        }
        let clock = &self.services.clock;
        let now = clock.now();
        let canary = Canary {
            id: CanaryId::new(now.as_millisecond(), clock.random()),
            deployment: deployment.name,
            environment,
            candidate,
            candidate_model: manifest.model,
            production: deployment.manifest,
            production_model: live.model,
            policy: request.policy,
            dry_run: request.dry_run,
            state: if request.draft { CanaryState::Draft } else { CanaryState::Shadowing },
            since: now,
            active_seconds: 0,
            started_by: Some(identity(self.services.store.actor())),
            approved_by: None,
            note: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        self.services.store.create_canary(&self.project, &canary).await?;
        self.tell(&canary).await?;
        Ok(StartedCanary { canary, notices })
    }

    /// What a person should know before it runs.
    fn notices(&self, policy: &CanaryPolicy, models: [&String; 3]) -> Vec<String> {
        let mut notices = Vec::new();
        for model in models {
            if self.services.providers.resolve(model).is_ok_and(|target| target.price().is_none()) {
                notices
                    .push(format!("{model} has no price: its calls count as free, and the budget does not limit them"));
            }
        }
        notices.sort();
        notices.dedup();
        if *models[0] == policy.judge.model {
            notices.push(format!(
                "{} judges its own answers, which judges tend to prefer: another model in judge.model is a fairer judge",
                models[0]
            ));
        }
        if policy.losses_into("").is_none() {
            notices.push(
                "prompts are not kept, so lost pairs do not become samples; `bodies: keep` in the policy lets them"
                    .to_owned(),
            );
        }
        if self.services.options.queue.is_none() {
            notices.push("this process has no queue: pairs wait until a server or worker answers them".to_owned());
        }
        notices
    }

    /// Told where lost pairs go among samples that people chose.
    async fn unreviewed_losses(&self, policy: &CanaryPolicy) -> Result<Option<String>, Error> {
        let Some(name) = &policy.losses else { return Ok(None) };
        match self.services.store.get_dataset(&self.project, name).await {
            Ok(dataset) if dataset.kind == DatasetType::Golden => Ok(Some(format!(
                "lost pairs go into the golden dataset {name}, with production's answers, which no person looked at"
            ))),
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A canary by its id, the beginning of its id, or its deployment.
    pub async fn get(&self, name: &str, environment: Option<&str>) -> Result<Canary, Error> {
        let environment = environment.unwrap_or(DEFAULT_ENVIRONMENT);
        self.services.store.get_canary(&self.project, name, environment).await.map_err(|error| match error {
            StoreError::NotFound { .. } => Error::not_found("canary", name)
                .with_hint("llmops canary list shows them; llmops canary start NAME --candidate … begins one"),
            other => other.into(),
        })
    }

    /// Canaries, newest first.
    pub async fn list(&self, status: Option<&str>, before: Option<&str>, limit: u32) -> Result<Vec<Canary>, Error> {
        Ok(self.services.store.list_canaries(&self.project, status, before, limit).await?)
    }

    /// How a canary stands, with the decision that its sums lead to now.
    pub async fn report(&self, name: &str, environment: Option<&str>) -> Result<CanaryReport, Error> {
        let canary = self.get(name, environment).await?;
        let sums = self.services.store.canary_sums(&self.project, &canary.id, self.services.clock.now()).await?;
        let situation = self.situation(&canary, &sums).await?;
        let decision = decide(&canary.policy, &situation);
        Ok(CanaryReport {
            evidence: sums.evidence,
            spent_this_hour: sums.spent_this_hour,
            waiting: sums.waiting,
            skipped: sums.skipped,
            stages: sums.stages,
            situation,
            held: self.held(&canary, decision.action).await?,
            decision,
            canary,
        })
    }

    /// Pairs by id, which is the order of time.
    pub async fn pairs(&self, canary: &Canary, filter: &PairFilter, limit: u32) -> Result<Vec<ShadowPair>, Error> {
        Ok(self.services.store.list_shadow_pairs(&self.project, &canary.id, filter, limit).await?)
    }

    /// The log of decisions after a number, in order.
    pub async fn decisions(&self, canary: &Canary, after: u64, limit: u32) -> Result<Vec<LoggedDecision>, Error> {
        Ok(self.services.store.list_canary_decisions(&self.project, &canary.id, after, limit).await?)
    }

    /// Starts a draft.
    pub async fn begin(&self, name: &str, change: ChangeCanary) -> Result<Canary, Error> {
        let canary = self.get(name, change.environment.as_deref()).await?;
        self.by_hand(canary, CanaryState::Shadowing, change.reason, "canary.started").await
    }

    /// Takes the candidate out of traffic until it is resumed.
    pub async fn pause(&self, name: &str, change: ChangeCanary) -> Result<Canary, Error> {
        let canary = self.get(name, change.environment.as_deref()).await?;
        let paused = canary.state.paused();
        self.by_hand(canary, paused, change.reason, "canary.paused").await
    }

    /// Goes on after a pause, at the stage that it was paused at.
    pub async fn resume(&self, name: &str, change: ChangeCanary) -> Result<Canary, Error> {
        let canary = self.get(name, change.environment.as_deref()).await?;
        let resumed = canary.state.resumed();
        self.by_hand(canary, resumed, change.reason, "canary.resumed").await
    }

    /// Ends it at once: the candidate answers nobody any more.
    pub async fn abort(&self, name: &str, change: ChangeCanary) -> Result<Canary, Error> {
        let canary = self.get(name, change.environment.as_deref()).await?;
        self.keep_losses(&canary).await;
        let aborted = CanaryState::Aborted { cause: AbortCause::Person };
        self.by_hand(canary, aborted, change.reason, "canary.aborted").await
    }

    /// Lets a candidate go on that has proved itself and waits.
    pub async fn approve(&self, name: &str, change: ChangeCanary) -> Result<Canary, Error> {
        let canary = self.get(name, change.environment.as_deref()).await?;
        if canary.state != CanaryState::AwaitingApproval {
            return Err(Error::Conflict {
                message: format!(
                    "the canary of {} does not wait for an approval: it is {}",
                    canary.place(),
                    canary.state.as_str()
                ),
                hint: Some(format!("llmops canary status {}", canary.deployment)),
            });
        }
        let exposed = !canary.policy.exposures().is_empty();
        let next = if exposed { CanaryState::Exposing { stage: 0 } } else { CanaryState::Promoting };
        self.let_on(canary, next, change.reason, "canary.approved").await
    }

    /// Points the deployment to the candidate now, whatever the policy says. Where it asks for an approval, this is one.
    pub async fn promote(&self, name: &str, change: ChangeCanary) -> Result<Canary, Error> {
        let canary = self.get(name, change.environment.as_deref()).await?;
        if canary.dry_run {
            return Err(Error::Conflict {
                message: "a dry run promotes nothing".to_owned(),
                hint: Some("abort it, and start it without --dry-run".to_owned()),
            });
        }
        self.let_on(canary, CanaryState::Promoting, change.reason, "canary.promoted_by_hand").await
    }

    /// Exposes, or promotes, what a person let on.
    async fn let_on(
        &self,
        canary: Canary,
        next: CanaryState,
        reason: Option<String>,
        action: &'static str,
    ) -> Result<Canary, Error> {
        let who = identity(self.services.store.actor());
        if canary.policy.promote.approval && canary.started_by.as_ref() == Some(&who) {
            let message = "the policy asks for the approval of somebody else: use another key than the one that started \
                           the canary";
            return Err(Error::Forbidden(message.to_owned()));
        }
        if next == CanaryState::Promoting {
            // Where nothing can be promoted, nothing is changed either.
            self.deployments().refuse_in_an_incident(&canary.deployment, &canary.environment).await?;
        }
        let approved = Canary { approved_by: Some(who), ..canary };
        let moved = self.by_hand(approved, next, reason, action).await?;
        if moved.state == CanaryState::Promoting { self.finish_promotion(moved).await } else { Ok(moved) }
    }

    /// A step that a person takes.
    async fn by_hand(
        &self,
        canary: Canary,
        to: CanaryState,
        reason: Option<String>,
        action: &'static str,
    ) -> Result<Canary, Error> {
        let mut next = canary.moved(to, self.services.clock.now()).map_err(|error| conflict(&error))?;
        if matches!(next.state, CanaryState::Exposing { .. }) {
            self.may_expose(&canary).await?;
        }
        next.note.clone_from(&reason);
        let audit = Change::new(action, canary.place())
            .before(serde_json::json!({"canary": canary.id, "state": canary.state}))
            .after(serde_json::json!({"canary": next.id, "state": next.state, "reason": reason}));
        let step = CanaryStep { canary: &next, decision: None, audit: Some(audit) };
        self.services.store.step_canary(&self.project, step).await?;
        self.tell(&next).await?;
        Ok(next)
    }

    /// Refuses to show users the candidate during an incident, in safe mode, and those whom an experiment assigns.
    async fn may_expose(&self, canary: &Canary) -> Result<(), Error> {
        let (name, environment) = (&canary.deployment, &canary.environment);
        self.deployments().refuse_in_an_incident(name, environment).await?;
        let Some(deployment) = self.services.store.find_deployment(&self.project, name, environment).await? else {
            return Ok(());
        };
        if deployment.safe_mode {
            return Err(Error::Conflict {
                message: format!("the safe mode of {name} in {environment} is on: no user sees a candidate"),
                hint: Some(format!("llmops safe-mode {name} off")),
            });
        }
        match self.deployments().assigning(&deployment).await? {
            None => Ok(()),
            Some(key) => Err(Error::Conflict {
                message: format!(
                    "the experiment {key} assigns the users of {name} in {environment}: none of them sees a candidate"
                ),
                hint: Some(format!(
                    "llmops experiment complete {key}, or settings without it; or wait for its release"
                )),
            }),
        }
    }

    /// The canary of a deployment that shows users its candidate, where there is one.
    pub(crate) async fn exposing(&self, name: &str, environment: &str) -> Result<Option<Canary>, Error> {
        match self.services.store.get_canary(&self.project, name, environment).await {
            Ok(canary) => Ok(Some(canary).filter(|canary| matches!(canary.state, CanaryState::Exposing { .. }))),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells those who watch the project. What was warned of while it ran ends with the canary.
    pub(crate) async fn tell(&self, canary: &Canary) -> Result<(), Error> {
        if canary.state.is_final() {
            for cause in steps::WARNINGS {
                self.is_well(canary, cause).await?;
            }
        }
        let news = Event::Canary {
            canary: canary.id.to_string(),
            deployment: canary.deployment.clone(),
            environment: canary.environment.clone(),
            status: canary.state.as_str().to_owned(),
            candidate: canary.candidate.to_string(),
            note: canary.note.clone(),
        };
        self.services.events.publish(&self.project, news).await?;
        Ok(())
    }

    /// The canary of each deployment that gateways must know: its candidate too, where users see it.
    pub(crate) async fn live(services: &Arc<Services>) -> Result<Vec<(ProjectId, LiveCanary)>, Error> {
        let mut live = Vec::new();
        for (project, canary) in services.store.live_canaries().await? {
            let one = Self::new(services.clone(), project.clone());
            match one.live_canary(canary).await {
                Ok(Some(canary)) => live.push((project, canary)),
                Ok(None) => {}
                Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
                Err(error) => tracing::error!(%error, "a canary cannot be served"),
            }
        }
        Ok(live)
    }

    async fn live_canary(&self, canary: Canary) -> Result<Option<LiveCanary>, Error> {
        let exposure = match canary.state {
            CanaryState::Shadowing => None,
            CanaryState::Exposing { stage } => match canary.policy.exposures().get(stage) {
                None => return Ok(None),
                Some(share) => {
                    let deployments = self.deployments();
                    let (_, manifest) = deployments.manifest(canary.candidate.as_str()).await?;
                    let prompt = deployments.prompt_body(&manifest).await?;
                    Some(Exposure { share: *share, manifest, prompt })
                }
            },
            _ => return Ok(None),
        };
        Ok(Some(LiveCanary { canary: Arc::new(canary), exposure }))
    }

    /// The deployment, if it still answers with what the candidate is compared with.
    async fn unchanged(&self, canary: &Canary) -> Result<Option<Deployment>, Error> {
        let found = self.services.store.find_deployment(&self.project, &canary.deployment, &canary.environment).await?;
        Ok(found.filter(|deployment| deployment.manifest == canary.production))
    }
}

fn conflict(error: &llmops_domain::canary::InvalidCanaryStep) -> Error {
    Error::Conflict { message: error.to_string(), hint: None }
}

pub(crate) fn check_policy(policy: &CanaryPolicy) -> Result<(), Error> {
    let problems = policy.all_problems();
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        problems.into_iter().map(|(field, message)| format!("policy.{field}: {message}")).collect();
    Err(Error::invalid(lines.join("\n")))
}
