//! The review of a completed run: exactly one process does it, at the latest when the one that began it died.

use std::sync::Arc;
use std::time::Duration;

use llmops_domain::alert::{self, Lineage, Review};
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::{EvaluationFilter, EvaluationRun, RunStatus};
use llmops_storage::PendingReview;

use super::{AlertManager, drift};
use crate::{Error, Services};

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
    let history = history(services, &claimed.project, &run).await?;
    let open = store.open_alerts(&claimed.project, &Lineage::of(&run).scope()).await?;
    let options = &services.options.alerts;
    let found = alert::review(&Review {
        run: &run,
        history: &history,
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

/// Completed runs of the same lineage before it, newest first. A quick look at some samples is no run to compare with.
async fn history(services: &Services, project: &ProjectId, run: &EvaluationRun) -> Result<Vec<EvaluationRun>, Error> {
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
    runs.retain(|earlier| Lineage::of(earlier) == Lineage::of(run) && earlier.spec.limit == run.spec.limit);
    Ok(runs)
}
