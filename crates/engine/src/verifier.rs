//! The verifier: which of several models answers best at the moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use llmops_domain::id::ProjectId;
use llmops_domain::record::CallAttempt;
use llmops_domain::run::{EvaluationFilter, RunStatus};
use llmops_domain::verifier::{ModelScore, ModelStatus, ScoreSource, select_best};

use crate::{Error, Services};

/// Models that a list has at most.
const MOST_MODELS: usize = 500;
/// Runs whose models are listed.
const RUNS: u32 = 200;

/// Knows scores and health of models. [`ProjectVerifier`] is the one that comes with llmops; `LlmOps::set_verifier`
/// takes another.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Score, health and price of models, in the order given.
    async fn status(&self, project: &ProjectId, models: &[String]) -> Result<Vec<ModelStatus>, Error>;

    /// The healthy one with the best score; ties go to the quicker, then to the cheaper one.
    ///
    /// # Errors
    /// When no candidate is healthy.
    async fn select_best_provider(&self, project: &ProjectId, candidates: &[String]) -> Result<String, Error> {
        let status = self.status(project, candidates).await?;
        select_best(&status)
            .map(|best| best.model.clone())
            .ok_or_else(|| Error::NoHealthyProvider { candidates: candidates.to_vec() })
    }
}

/// Scores from the latest completed runs and from people, health from this process's calls, prices from the table.
pub(crate) struct ProjectVerifier {
    services: Arc<Services>,
}

impl ProjectVerifier {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self { services }
    }
}

#[async_trait]
impl Verifier for ProjectVerifier {
    async fn status(&self, project: &ProjectId, models: &[String]) -> Result<Vec<ModelStatus>, Error> {
        let services = &*self.services;
        let mut status = Vec::with_capacity(models.len());
        for model in models {
            let health = services.providers.health().of(model);
            // A model whose provider is not configured cannot be called at all.
            let target = services.providers.resolve(model).ok();
            status.push(ModelStatus {
                model: model.clone(),
                healthy: target.is_some() && health.is_healthy(),
                score: score(services, project, model).await?,
                price: target.and_then(|target| target.price()).map(Into::into),
                health,
            });
        }
        Ok(status)
    }
}

/// What a person set, else what the latest completed run measured.
async fn score(services: &Services, project: &ProjectId, model: &str) -> Result<Option<ModelScore>, Error> {
    if let Some(set) = services.store.get_model_score(project, model).await? {
        return Ok(Some(set));
    }
    let filter = EvaluationFilter {
        model_name: Some(model.to_owned()),
        status: Some(RunStatus::Completed),
        limit: Some(1),
        ..EvaluationFilter::default()
    };
    let latest = services.store.list_runs(project, &filter).await?.pop();
    Ok(latest.and_then(|run| {
        let results = run.results?;
        let overall = results.overall.unwrap_or(results.pass_rate);
        Some(ModelScore {
            model: model.to_owned(),
            score: overall.value,
            source: ScoreSource::Run,
            run: Some(run.id.0),
            n: Some(overall.n),
            interval: Some([overall.lower, overall.upper]),
            at: run.end_time.unwrap_or(run.created_at),
        })
    }))
}

/// A project's view of its models: scores, health, the best of several.
#[derive(Debug, Clone)]
pub struct Models {
    services: Arc<Services>,
    project: ProjectId,
}

impl Models {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// The models that the project's runs and scores and the price table know, with all that is known of them.
    pub async fn list(&self) -> Result<Vec<ModelStatus>, Error> {
        let Services { store, providers, .. } = &*self.services;
        let mut models: BTreeSet<String> = providers.priced().map(str::to_owned).collect();
        models.extend(store.list_model_scores(&self.project).await?.into_iter().map(|score| score.model));
        let filter = EvaluationFilter { limit: Some(RUNS), ..EvaluationFilter::default() };
        models.extend(store.list_runs(&self.project, &filter).await?.into_iter().map(|run| run.model_name));
        let models: Vec<String> = models.into_iter().take(MOST_MODELS).collect();
        self.status(&models).await
    }

    /// Score, health and price of these models.
    pub async fn status(&self, models: &[String]) -> Result<Vec<ModelStatus>, Error> {
        self.services.verifier().status(&self.project, models).await
    }

    /// The healthy one with the best score; ties go to the quicker, then to the cheaper one.
    ///
    /// # Errors
    /// When no candidate is healthy, or there is none.
    pub async fn select_best_provider(&self, candidates: &[String]) -> Result<String, Error> {
        self.services.verifier().select_best_provider(&self.project, candidates).await
    }

    /// Asks each model for a word, to see that it answers; the health follows.
    pub async fn probe(&self, models: &[String]) -> Result<Vec<ModelStatus>, Error> {
        let providers = &self.services.providers;
        let targets = models.iter().map(|model| providers.resolve(model)).collect::<Result<Vec<_>, _>>()?;
        // How the probes fared stands in the health book.
        futures::future::join_all(targets.iter().map(|target| providers.check(target))).await;
        self.status(models).await
    }

    /// Probes these models again and again, with `interval` between the ends and the beginnings, for ever.
    pub async fn keep_probing(&self, models: &[String], interval: std::time::Duration) {
        loop {
            if let Err(error) = self.probe(models).await {
                tracing::warn!(%error, "cannot probe models");
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Notes what an attempt of the gateway tells of a model's health. Errors of the request itself say nothing, and neither
    /// do callers that left.
    pub fn note(&self, attempt: &CallAttempt) {
        let call = match attempt.status {
            Some(status) if status < 400 => Ok(attempt.ms),
            Some(status @ (401 | 403 | 408 | 429 | 500..)) => Err(format!("answered {status}")),
            Some(_) => return,
            None => match &attempt.error {
                Some(error) if !attempt.is_given_up() => Err(error.clone()),
                _ => return,
            },
        };
        self.services.providers.health().note(&attempt.model, call, self.services.clock.now());
    }

    /// Sets a model's score by hand, in place of what runs measure.
    pub async fn set_score(&self, model: &str, score: f64) -> Result<ModelScore, Error> {
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::invalid(format!("the score is {score}: expected 0 to 1")));
        }
        self.services.providers.resolve(model)?;
        let at = self.services.clock.now();
        let (source, model) = (ScoreSource::User, model.to_owned());
        let score = ModelScore { model, score, source, run: None, n: None, interval: None, at };
        self.services.store.put_model_score(&self.project, &score).await?;
        Ok(score)
    }

    /// Forgets a score that was set by hand.
    pub async fn clear_score(&self, model: &str) -> Result<(), Error> {
        Ok(self.services.store.delete_model_score(&self.project, model).await?)
    }
}
