//! The look at experiments in the background: whatever process takes it, each experiment is looked at once in an interval.

use std::sync::Arc;

use llmops_api::observations::ResultsQuery;
use llmops_domain::access::Actor;
use llmops_domain::alert::ExperimentRef;
use llmops_domain::experiment::Experiment;
use llmops_domain::experiment::result::{Conclusion, ExperimentResult, OneLook};
use llmops_storage::{StoreError, StoredExperiment};

use super::ExperimentManager;
use crate::alerts::AlertManager;
use crate::analysis::{Horizon, Known, Observed, Plan, adaptive, analyse};
use crate::aside::compute;
use crate::{Error, LlmOps, Services};

/// Experiments of one call: whoever calls has other work too.
const MOST: usize = 16;
/// How often the one look is tried to be kept while somebody else changes the experiment.
const LOOK_TRIES: usize = 5;
/// Earlier experiments that are searched for what is known of a metric.
const EARLIER: u32 = 50;

/// Looks at the experiments whose time has come. What is wrong with one of them does not keep the others waiting.
pub(crate) async fn review_due(services: &Arc<Services>) -> Result<(), Error> {
    let interval = services.options.experiments.review_interval;
    for _ in 0..MOST {
        let now = services.clock.now();
        let next = now.checked_add(interval).unwrap_or(jiff::Timestamp::MAX);
        let Some((project, stored)) = services.store.claim_experiment_review(next, now).await? else { return Ok(()) };
        let manager = LlmOps { services: services.clone(), project }.experiments();
        match manager.review(&stored).await {
            Ok(()) => {}
            Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(experiment = %stored.experiment.id, %error, "the experiment could not be looked at");
            }
        }
    }
    Ok(())
}

async fn analysed(plan: Plan, observed: &Arc<Observed>) -> Result<ExperimentResult, Error> {
    let observed = observed.clone();
    compute(move || analyse(&plan, &observed)).await
}

impl ExperimentManager {
    async fn review(&self, stored: &StoredExperiment) -> Result<(), Error> {
        let experiment = &stored.experiment;
        if experiment.status.is_final() {
            self.tell_alerts(experiment, None).await?;
            return Ok(self.services.store.end_experiment_reviews(&stored.key).await?);
        }
        if experiment.spec.metrics.is_empty() {
            return Ok(());
        }
        let (plan, observed) = self.observed(stored, &ResultsQuery::default()).await?;
        let observed = Arc::new(observed);
        let results = self.judge(experiment, Plan { bayes: false, ..plan.clone() }, &observed).await?;
        self.tell_alerts(experiment, Some(&results)).await?;
        let ops = LlmOps { services: self.services.clone(), project: self.project.clone() };
        Box::pin(ops.releases().judged(experiment, &results)).await?;
        // Nobody is moved on the ground of data that cannot be trusted.
        if results.conclusion != Conclusion::Blocked {
            self.follow(experiment, &plan, &observed).await?;
        }
        Ok(())
    }

    /// What the data allow to say. The one look of a fixed horizon is taken by whoever first sees that it is due, and kept, so that
    /// later ones change nothing.
    pub(crate) async fn judge(
        &self,
        experiment: &Experiment,
        plan: Plan,
        observed: &Arc<Observed>,
    ) -> Result<ExperimentResult, Error> {
        let results = analysed(plan.clone(), observed).await?;
        let Some(look) = OneLook::of(&results).filter(|_| plan.horizon == Horizon::Ahead) else { return Ok(results) };
        let store = self.services.store.acting_as(Arc::new(Actor::part("experiments")));
        let mut current = experiment.clone();
        for _ in 0..LOOK_TRIES {
            if let Some(taken) = current.one_look {
                return analysed(Plan { horizon: Horizon::Taken(Box::new(taken)), ..plan }, observed).await;
            }
            // Over without a look: everything is as it was at the end.
            let Some(next) = current.looked(&look) else { return Ok(results) };
            match store.update_experiment(&self.project, &next).await {
                // Somebody changed it meanwhile, or looked.
                Err(StoreError::Conflict(_)) => current = self.get(experiment.id.as_str()).await?,
                done => {
                    done?;
                    self.services.experiments.refresh().await?;
                    self.tell(&next).await?;
                    return analysed(Plan { horizon: Horizon::Taken(Box::new(look)), ..plan }, observed).await;
                }
            }
        }
        let message = format!("experiment `{}` is being changed all the time: ask again", experiment.id);
        Err(Error::Conflict { message, hint: None })
    }

    /// Lets the shares follow the data, where the experiment is adaptive and a step is due.
    async fn follow(&self, experiment: &Experiment, plan: &Plan, observed: &Arc<Observed>) -> Result<(), Error> {
        let (Some(rule), now) = (&experiment.spec.adaptive, self.services.clock.now()) else { return Ok(()) };
        let present = experiment.allocations.len().saturating_sub(1);
        if !experiment.is_step_due(adaptive::units_since(plan, observed, present), now) {
            return Ok(());
        }
        let (plan, observed, rule) = (plan.clone(), observed.clone(), rule.clone());
        let next = compute(move || adaptive::next_shares(&plan, &observed, &rule)).await?;
        let Some(next) = next.and_then(|(shares, step)| experiment.reallocate(&shares, step, now)) else {
            return Ok(());
        };
        let store = self.services.store.acting_as(Arc::new(Actor::part("experiments")));
        match store.update_experiment(&self.project, &next).await {
            // Somebody changed it meanwhile: the next look sees what holds then.
            Err(StoreError::Conflict(_)) => return Ok(()),
            done => done?,
        }
        tracing::info!(experiment = %next.id, shares = ?next.spec.weights(), "the shares follow the data");
        self.services.experiments.refresh().await?;
        self.tell(&next).await
    }

    /// Raises what is new and resolves what is well again.
    async fn tell_alerts(&self, experiment: &Experiment, results: Option<&ExperimentResult>) -> Result<(), Error> {
        let named = ExperimentRef { id: experiment.id.as_str(), name: &experiment.spec.name };
        let open = self.services.store.open_alerts(&self.project, &named.scope()).await?;
        let found = named.review(results, &open);
        let alerts = AlertManager::new(self.services.clone(), self.project.clone());
        if !found.resolve.is_empty() {
            alerts.resolve_all(&found.resolve).await?;
        }
        if !found.raise.is_empty() {
            alerts.create_all(found.raise).await?;
        }
        Ok(())
    }

    /// What the newest earlier experiment with the same target metric tells of how far it scatters.
    pub(super) async fn earlier(&self, experiment: &Experiment) -> Result<Option<Known>, Error> {
        let Some(metric) = experiment.spec.target_metric.as_deref().and_then(|name| experiment.spec.metric(name))
        else {
            return Ok(None);
        };
        if !crate::analysis::needs_known(&experiment.spec) {
            return Ok(None);
        }
        let alike = |other: &Experiment| {
            let same = other.spec.metric(&metric.name).filter(|theirs| theirs.kind() == metric.kind());
            other.id != experiment.id && other.start_time.is_some() && same.is_some()
        };
        let all = self.services.store.list_experiments(&self.project, None, None, EARLIER).await?;
        for other in all.iter().filter(|other| alike(other)) {
            let stored = self.stored(other.id.as_str()).await?;
            if let Some(known) = self.known_of(&stored, metric).await? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }
}
