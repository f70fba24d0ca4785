//! Decides, and does what was decided. Processes meet at the canary's revision: of several that decide the same, one
//! writes its step, and the others find it written.

use std::sync::Arc;

use llmops_api::deployments::{Deploy, Deployed};
use llmops_domain::alert::{AlertDraft, AlertType, Severity};
use llmops_domain::canary::{
    Action, Canary, CanaryState, Decision, Evidence, LoggedDecision, PairVerdict, Phase, SECOND_KEY, ShadowPair,
    Situation, decide,
};
use llmops_domain::dataset::{DatasetType, Sample};
use llmops_storage::{CanaryStep, CanarySums, Change, PairFilter, StoreError};
use serde_json::json;

use super::Canaries;
use super::measure::{measure, measure_stage};
use crate::jobs::Job;
use crate::{Error, Services};

/// Requests between two entries of the log while nothing changes.
const LOG_EVERY: u64 = 25;
/// Causes of warnings that end by themselves, or with the canary.
const LOSS_RATE: &str = "loss_rate";
pub(super) const JUDGE: &str = "judge";
/// What is warned of while a canary runs.
pub(super) const WARNINGS: [&str; 2] = [LOSS_RATE, JUDGE];
/// Pairs that are read at a time.
const PAGE: u32 = 200;
/// Waiting pairs that are queued again at a time.
const RECOVERED: u32 = 500;

impl Canaries {
    /// What a decision is made from.
    pub(super) async fn situation(&self, canary: &Canary, sums: &CanarySums) -> Result<Situation, Error> {
        let now = self.services.clock.now();
        let seconds = |span: jiff::SignedDuration| u64::try_from(span.as_secs()).unwrap_or(0);
        let phase = match canary.state {
            CanaryState::Exposing { stage } => {
                let seen = sums.stages.get(&(stage as u64)).cloned().unwrap_or_default();
                Phase::Exposure {
                    stage,
                    seconds: seconds(now.duration_since(canary.since)),
                    requests: seen.candidate.requests,
                    guardrails: measure_stage(&canary.policy.guardrails, &seen),
                }
            }
            _ => Phase::Shadow,
        };
        let evidence = &sums.evidence;
        Ok(Situation {
            phase,
            asked: evidence.asked,
            pairs: evidence.pairs(),
            wins: evidence.wins,
            losses: evidence.losses,
            ties: evidence.ties,
            unjudged: evidence.unjudged,
            elapsed_seconds: seconds(canary.elapsed(now)),
            spent: evidence.spent,
            production_changed: canary.state.is_under_way() && self.unchanged(canary).await?.is_none(),
            measures: measure(&canary.policy, evidence),
        })
    }

    /// Decides on a canary. `settled`: what its pairs added up to with one that was settled just now; then the log may want
    /// the decision even if nothing follows from it. Absent: nothing was settled, and the present sums count.
    pub(crate) async fn decide(&self, canary: &Canary, settled: Option<Evidence>) -> Result<Action, Error> {
        let mut sums = self.services.store.canary_sums(&self.project, &canary.id, self.services.clock.now()).await?;
        // Other pairs may be settled meanwhile; with the sums of its own number each pair is looked at exactly once.
        let is_logged = settled.as_ref().is_some_and(|evidence| evidence.asked.is_multiple_of(LOG_EVERY));
        sums.evidence = settled.unwrap_or(sums.evidence);
        let situation = self.situation(canary, &sums).await?;
        let decision = decide(&canary.policy, &situation);
        let action = decision.action;
        let is_held = self.held(canary, action).await?.is_some();
        let acted = !canary.dry_run && !is_held;
        let logged = LoggedDecision { number: 0, at: self.services.clock.now(), acted, situation, decision };
        if !action.is_hold() && !is_held {
            match self.act(canary, logged).await {
                // Somebody else was faster, or a person: what they wrote holds.
                Err(Error::Store(StoreError::Conflict(_))) => {}
                other => other?,
            }
            return Ok(action);
        }
        // One settled pair brought the count to this number, so one process writes it down.
        if is_logged {
            self.services.store.log_canary_decision(&self.project, &canary.id, &logged).await?;
            if action == Action::Warn {
                self.alert(canary, Severity::Warning, LOSS_RATE, &logged.decision).await?;
            } else {
                self.is_well(canary, LOSS_RATE).await?;
            }
        }
        Ok(action)
    }

    /// Why what was decided waits: an incident keeps its deployment as it is, or an experiment assigns its users, so that no
    /// further ones see the candidate. It is done once that is over.
    pub(super) async fn held(&self, canary: &Canary, action: Action) -> Result<Option<String>, Error> {
        if canary.dry_run || !canary.state.is_under_way() {
            return Ok(None);
        }
        let may = match action {
            Action::Expose(_) => self.may_expose(canary).await,
            Action::Promote => self.deployments().refuse_in_an_incident(&canary.deployment, &canary.environment).await,
            _ => return Ok(None),
        };
        match may {
            Ok(()) => Ok(None),
            Err(Error::Conflict { message, .. }) => Ok(Some(message)),
            Err(error) => Err(error),
        }
    }

    /// Does what was decided.
    async fn act(&self, canary: &Canary, logged: LoggedDecision) -> Result<(), Error> {
        let to = match logged.decision.action {
            Action::Hold | Action::Warn => return Ok(()),
            Action::Abort(cause) => CanaryState::Aborted { cause },
            _ if canary.dry_run => CanaryState::Concluded,
            Action::Expose(stage) => CanaryState::Exposing { stage },
            Action::AskApproval => CanaryState::AwaitingApproval,
            Action::Promote => CanaryState::Promoting,
        };
        let now = self.services.clock.now();
        let mut next = canary.moved(to, now).map_err(|error| super::conflict(&error))?;
        next.note = Some(logged.decision.message.clone());
        if next.state.is_final() || next.state == CanaryState::Promoting {
            self.keep_losses(canary).await;
        }
        let audit = Change::new("canary.decided", canary.place())
            .before(json!({"canary": canary.id, "state": canary.state}))
            .after(json!({"canary": next.id, "state": next.state, "reason": next.note, "dry_run": next.dry_run}));
        let step = CanaryStep { canary: &next, decision: Some(&logged), audit: Some(audit) };
        self.services.store.step_canary(&self.project, step).await?;
        self.tell(&next).await?;
        let decision = &logged.decision;
        match decision.action {
            Action::Abort(cause) => {
                let critical = cause.is_critical() && !canary.dry_run;
                let severity = if critical { Severity::Critical } else { Severity::Warning };
                self.alert(canary, severity, "aborted", decision).await
            }
            Action::AskApproval => self.alert(canary, Severity::Warning, "approval", decision).await,
            Action::Promote if !canary.dry_run => self.finish_promotion(next).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Points the deployment to the candidate. It may be done again: a process that died in between left it half done.
    pub(super) async fn finish_promotion(&self, canary: Canary) -> Result<Canary, Error> {
        let reason = format!("canary {}: {}", canary.id, canary.note.as_deref().unwrap_or("promoted by hand"));
        let request = Deploy {
            environment: Some(canary.environment.clone()),
            manifest_hash: Some(canary.candidate.as_str().to_owned()),
            reason: Some(reason),
            ..Deploy::default()
        };
        let now = self.services.clock.now();
        // A second key has allowed it already where the policy asked for one.
        let approved = canary.policy.promote.approval && canary.approved_by.is_some();
        let deploy = async |request| {
            if approved {
                self.deployments().deploy_approved(&canary.deployment, request).await
            } else {
                self.deployments().deploy(&canary.deployment, request).await
            }
        };
        let mut deployed = deploy(request.clone()).await;
        // Whoever was quicker may be the worker that finishes this same promotion: then there is nothing left to change.
        if matches!(deployed, Err(Error::Store(StoreError::Conflict(_)))) {
            deployed = deploy(request).await;
        }
        let (to, note) = match deployed {
            Ok(Deployed { approval: Some(approval), .. }) => {
                let note = format!("{SECOND_KEY}: llmops approval approve {}", approval.id);
                (CanaryState::Paused { stage: None }, Some(note))
            }
            Ok(_) => (CanaryState::Promoted, canary.note.clone()),
            Err(
                error @ (Error::Conflict { .. } | Error::Invalid { .. } | Error::NotFound { .. } | Error::Forbidden(_)),
            ) => (CanaryState::Paused { stage: None }, Some(format!("it could not be promoted: {error}"))),
            Err(error) => return Err(error),
        };
        let mut next = canary.moved(to, now).map_err(|error| super::conflict(&error))?;
        next.note = note;
        let audit = Change::new("canary.finished", canary.place())
            .after(json!({"canary": next.id, "state": next.state, "note": next.note}));
        let step = CanaryStep { canary: &next, decision: None, audit: Some(audit) };
        match self.services.store.step_canary(&self.project, step).await {
            // Another process finished it.
            Err(StoreError::Conflict(_)) => return self.get(canary.id.as_str(), None).await,
            done => done?,
        }
        self.tell(&next).await?;
        let (severity, cause) = match next.state {
            CanaryState::Promoted => (Severity::Info, "promoted"),
            _ => (Severity::Warning, "refused"),
        };
        let message = format!("canary of {}: {cause}: {}", next.place(), next.note.as_deref().unwrap_or_default());
        self.raise(&next, severity, cause, message).await?;
        Ok(next)
    }

    async fn alert(&self, canary: &Canary, severity: Severity, cause: &str, decision: &Decision) -> Result<(), Error> {
        let word = decision.action.describe();
        let dry = if canary.dry_run { " (dry run)" } else { "" };
        let message = format!("canary of {}{dry}: {word}: {}", canary.place(), decision.message);
        self.raise(canary, severity, cause, message).await
    }

    /// What was warned of is well again, or over.
    pub(super) async fn is_well(&self, canary: &Canary, cause: &str) -> Result<(), Error> {
        let draft = draft(canary, Severity::Warning, cause, "");
        crate::AlertManager::new(self.services.clone(), self.project.clone()).recovered(&draft).await?;
        Ok(())
    }

    pub(super) async fn raise(
        &self,
        canary: &Canary,
        severity: Severity,
        cause: &str,
        message: String,
    ) -> Result<(), Error> {
        let mut draft = draft(canary, severity, cause, &message);
        draft.metadata.insert("deployment".to_owned(), canary.deployment.clone().into());
        draft.metadata.insert("environment".to_owned(), canary.environment.clone().into());
        draft.metadata.insert("candidate".to_owned(), canary.candidate.as_str().into());
        draft.metadata.insert("rule".to_owned(), cause.into());
        crate::AlertManager::new(self.services.clone(), self.project.clone()).create(draft).await?;
        Ok(())
    }

    /// Puts lost pairs into the policy's dataset. What fails is told, and stops nothing: an abort must not wait.
    pub(crate) async fn keep_losses(&self, canary: &Canary) {
        if let Err(error) = self.losses(canary).await {
            tracing::warn!(canary = %canary.id, %error, "the lost pairs could not be put into a dataset");
        }
    }

    async fn losses(&self, canary: &Canary) -> Result<(), Error> {
        let Some(dataset) = canary.policy.losses_into(&canary.deployment) else { return Ok(()) };
        let mut filter = PairFilter { verdict: Some(PairVerdict::Loss), ..PairFilter::default() };
        let mut samples = Vec::new();
        loop {
            let page = self.pairs(canary, &filter, PAGE).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id.clone());
            samples.extend(page.iter().filter_map(|pair| sample_of(canary, pair)));
        }
        if !samples.is_empty() {
            let about = format!(
                "Questions that a candidate for {} answered worse; no person looked at the answers, which are those of production",
                canary.deployment
            );
            crate::DatasetManager::new(self.services.clone(), self.project.clone())
                .add_questions(&dataset, (DatasetType::Regression, &about), samples)
                .await?;
        }
        Ok(())
    }
}

fn draft(canary: &Canary, severity: Severity, cause: &str, message: &str) -> AlertDraft {
    let message: String = message.chars().take(4000).collect();
    AlertDraft::new(AlertType::Experiment, severity, "canary", message)
        .about(canary.id.as_str(), None)
        .keyed(Some(cause))
}

/// A lost pair as a sample: production's answer was the better one.
fn sample_of(canary: &Canary, pair: &ShadowPair) -> Option<Sample> {
    let texts = pair.texts.as_ref()?;
    let (last, before) = texts.messages.split_last()?;
    let input = last.as_text().into_owned();
    if input.trim().is_empty() || texts.production_answer.trim().is_empty() {
        return None;
    }
    Some(Sample {
        id: format!("lost-{}", pair.id),
        input,
        messages: before.to_vec(),
        variables: texts.variables.clone(),
        expected_output: vec![texts.production_answer.clone()],
        source: Some("canary".to_owned()),
        metadata: [
            ("canary".to_owned(), json!(canary.id)),
            ("request".to_owned(), json!(pair.id)),
            ("production".to_owned(), json!(canary.production)),
            ("candidate".to_owned(), json!(canary.candidate)),
            ("candidate_answer".to_owned(), json!(texts.candidate_answer)),
            ("reasons".to_owned(), json!(pair.reasons)),
        ]
        .into_iter()
        .collect(),
        ..Sample::default()
    })
}

/// Looks after all canaries: what time alone decides, promotions that a process left half done, and pairs that nobody
/// answers any more.
pub(crate) async fn tick(services: &Arc<Services>) -> Result<(), Error> {
    for (project, canary) in services.store.live_canaries().await? {
        let one = Canaries::by_itself(services, project);
        let done = if canary.state == CanaryState::Promoting {
            one.finish_promotion(canary.clone()).await.map(drop)
        } else {
            one.decide(&canary, None).await.map(drop)
        };
        if let Err(error) = done {
            tracing::warn!(canary = %canary.id, %error, "could not look after a canary");
        }
    }
    let now = services.clock.now();
    let before = now.checked_sub(services.options.lease).unwrap_or(now);
    for (project, canary, pair) in services.store.waiting_shadow_pairs(before, RECOVERED).await? {
        services.push_job(&project, &Job::Shadow { canary, pair }, None).await?;
    }
    Ok(())
}
