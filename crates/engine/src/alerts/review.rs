//! The review of a completed run: exactly one process does it, at the latest when the one that began it died.

use std::sync::Arc;
use std::time::Duration;

use llmops_domain::alert::{self, Lineage, Review};
use llmops_domain::compare::PairedEvidence;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::{EvaluationFilter, EvaluationRun, RunStatus};
use llmops_storage::{PendingReview, StoreError};

use super::{AlertManager, drift};
use crate::{Error, LlmOps, Services};

/// How long a review may take before another process does it.
const LEASE: Duration = Duration::from_mins(1);
/// Runs before that are looked at.
const HISTORY: u32 = 60;

/// Reviews a run that this process completed, unless another was faster. What fails is done later by the worker.
pub(crate) async fn review_run(services: &Arc<Services>, project: &ProjectId, run: &RunId) {
    if let Err(error) = review_claimed(services, Some((project, run))).await {
        tracing::warn!(%run, %error, "the run's numbers could not be looked at; trying again later");
    }
}

/// Reviews one run that waits for it. False: none does.
pub(super) async fn review_claimed(
    services: &Arc<Services>,
    only: Option<(&ProjectId, &RunId)>,
) -> Result<bool, Error> {
    let now = services.clock.now();
    let claimed = services.store.claim_review(only, &services.owner, LEASE, now).await?;
    let Some(claimed) = claimed else { return Ok(false) };
    review(services, &claimed).await?;
    services.store.finish_review(&claimed).await?;
    Ok(true)
}

async fn review(services: &Arc<Services>, claimed: &PendingReview) -> Result<(), Error> {
    let store = &services.store;
    let run = store.get_run(&claimed.project, claimed.run.as_str()).await?;
    let Some(lineage) = Lineage::of(&run) else { return Ok(()) };
    let history = history(services, &claimed.project, &run, &lineage).await?;
    let common = match history.first() {
        Some(before) => common(services, &claimed.project, before, &run).await?,
        None => None,
    };
    let open = store.open_alerts(&claimed.project, &lineage.scope()).await?;
    let options = &services.options.alerts;
    let found = alert::review(&Review {
        run: &run,
        lineage: &lineage,
        history: &history,
        common: common.as_ref(),
        open: &open,
        drift: &drift::detect(&run, &history, options.rules.anomaly_rate)?,
        rules: &options.rules,
        thresholds: &options.thresholds,
        category_min: options.rules.category_min.unwrap_or(options.category_min),
    });
    let alerts = AlertManager::new(services.clone(), claimed.project.clone());
    if !found.resolve.is_empty() {
        alerts.resolve_all(&found.resolve).await?;
    }
    if !found.raise.is_empty() {
        alerts.create_all(found.raise).await?;
    }
    Ok(())
}

/// Completed runs of the same lineage before it, newest first.
async fn history(
    services: &Services,
    project: &ProjectId,
    run: &EvaluationRun,
    lineage: &Lineage,
) -> Result<Vec<EvaluationRun>, Error> {
    let filter = EvaluationFilter {
        prompt_name: run.prompt_name.clone(),
        model_name: Some(run.model_name.clone()),
        dataset: Some(run.dataset.clone()),
        status: Some(RunStatus::Completed),
        before: Some(run.id.clone()),
        limit: Some(HISTORY),
        ..EvaluationFilter::default()
    };
    let mut runs = services.store.list_runs(project, &filter).await?;
    runs.retain(|earlier| Lineage::of(earlier).as_ref() == Some(lineage));
    Ok(runs)
}

/// What two runs say about the samples that both have, where their datasets are not the same. A version that was deleted
/// meanwhile cannot be compared with.
async fn common(
    services: &Arc<Services>,
    project: &ProjectId,
    before: &EvaluationRun,
    run: &EvaluationRun,
) -> Result<Option<PairedEvidence>, Error> {
    if before.spec.dataset_version == run.spec.dataset_version || before.results.is_none() {
        return Ok(None);
    }
    let evaluator = LlmOps { services: services.clone(), project: project.clone() }.evaluator();
    match evaluator.compare(before, run).await {
        Ok((comparison, _)) => Ok(comparison.paired),
        Err(Error::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
