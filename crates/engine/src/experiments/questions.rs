//! Questions that sums cannot answer: kept, answered from the observations by whichever worker takes them, and fetched by id.

use std::collections::HashSet;

use llmops_domain::experiment::condition::Condition;
use llmops_domain::experiment::result::{Conclusion, ExperimentResult, Missing};
use llmops_domain::experiment::{
    AskedQuestion, Experiment, ExperimentSpec, ExperimentStatus, Question, QuestionStatus,
};
use llmops_domain::id::QuestionId;
use llmops_storage::observations::{ObservedExperiment, RowChoice};
use llmops_storage::{StoreError, StoredExperiment};
use serde_json::{Map, Value};

use super::ExperimentManager;
use crate::analysis::{Plan, analyse};
use crate::aside::compute;
use crate::jobs::Job;
use crate::{Error, LlmOps};

/// Questions that are queued again at a time, where their jobs were lost.
const BATCH: u32 = 100;

impl ExperimentManager {
    /// Keeps a question and has it answered in the background: by the workers, or in this process where there is no queue.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] with everything that is wrong with the question; [`Error::Conflict`] for a draft.
    pub async fn ask(&self, experiment: &str, question: Question) -> Result<AskedQuestion, Error> {
        let stored = self.measured(experiment).await?;
        if stored.experiment.status == ExperimentStatus::Draft {
            let message = format!("experiment `{}` is a draft: nothing was observed yet", stored.experiment.id);
            return Err(Error::Conflict { message, hint: Some("start it first".to_owned()) });
        }
        reading(&stored, &question)?;
        let now = self.services.clock.now();
        let asked = AskedQuestion {
            id: QuestionId::new(now.as_millisecond(), self.services.clock.random()),
            experiment: stored.experiment.id.clone(),
            question,
            status: QuestionStatus::Open,
            asked_at: now,
            answered_at: None,
            observations: 0,
            error: None,
            result: None,
        };
        self.services.store.create_question(&stored.key, &asked).await?;
        if self.services.options.queue.is_none() {
            let (manager, id) = (self.clone(), asked.id.clone());
            tokio::spawn(async move {
                if let Err(error) = manager.answer(&id).await {
                    tracing::warn!(question = %id, %error, "the question could not be answered");
                }
            });
        } else if let Err(error) =
            self.services.push_job(&self.project, &Job::Answer { question: asked.id.clone() }, None).await
        {
            tracing::warn!(question = %asked.id, %error, "the question waits until the queue can be reached");
        }
        Ok(asked)
    }

    /// A question with its answer, once there is one.
    pub async fn question(&self, experiment: &str, id: &str) -> Result<AskedQuestion, Error> {
        let stored = self.measured(experiment).await?;
        match self.services.store.get_question(&self.project, id).await {
            Ok(asked) if asked.experiment == stored.experiment.id => Ok(asked),
            Ok(_) | Err(StoreError::NotFound { .. }) => Err(Error::not_found("question", id)
                .with_hint(format!("llmops experiment ask {experiment} --list shows what was asked"))),
            Err(error) => Err(error.into()),
        }
    }

    /// The questions about an experiment, newest first.
    pub async fn questions(
        &self,
        experiment: &str,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AskedQuestion>, Error> {
        let stored = self.measured(experiment).await?;
        Ok(self.services.store.list_questions(&stored.key, before, limit).await?)
    }

    /// Answers an open question. Doing so twice does no harm.
    pub(crate) async fn answer(&self, id: &QuestionId) -> Result<(), Error> {
        let mut asked = match self.services.store.get_question(&self.project, id.as_str()).await {
            Ok(asked) if asked.status == QuestionStatus::Open => asked,
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match self.answer_to(&asked).await {
            Ok((result, observations)) => {
                asked.status = QuestionStatus::Answered;
                asked.observations = observations;
                asked.result = Some(result);
            }
            // What may pass is tried again.
            Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
            Err(error) => {
                asked.status = QuestionStatus::Failed;
                asked.error = Some(error.to_string());
            }
        }
        asked.answered_at = Some(self.services.clock.now());
        Ok(self.services.store.settle_question(&self.project, &asked).await?)
    }

    async fn answer_to(&self, asked: &AskedQuestion) -> Result<(ExperimentResult, u64), Error> {
        self.services.experiments.exposures.flush().await;
        let stored = self.stored(asked.experiment.as_str()).await?;
        let question = &asked.question;
        let (spec, observed) = reading(&stored, question)?;
        let condition = Condition::parse(&question.condition).unwrap_or_default();
        let segments = spec.analysis.segments.clone();
        let segments_of = move |stored: &str| {
            let kept: Map<String, Value> = serde_json::from_str(stored).unwrap_or_default();
            let shown = || kept.iter().filter(|(name, _)| segments.contains(name));
            condition
                .holds(&kept)
                .then(|| Value::Object(shown().map(|(n, v)| (n.clone(), v.clone())).collect()).to_string())
        };
        let choice = choice(question, &spec);
        let (sums, observations) = self.services.store.recompute_sums(&observed, &choice, segments_of).await?;
        // All units that were exposed are known only for all of them.
        let is_part = question.from.is_some() || question.to.is_some() || !question.condition.is_empty();
        let exposures = if is_part { Vec::new() } else { self.services.store.exposure_counts(&stored.key).await? };
        let experiment = Experiment { spec, one_look: None, ..stored.experiment };
        let (plan, seen) = self.read_sums(&experiment, sums, exposures).await?;
        let plan = Plan { test: question.test, ..plan };
        Ok((exploratory(compute(move || analyse(&plan, &seen)).await?), observations))
    }
}

impl LlmOps {
    /// Queues questions whose job was lost. Workers do it all the time.
    pub(crate) async fn recover_questions(&self) -> Result<(), Error> {
        for (project, question) in self.services.store.open_questions(BATCH).await? {
            self.services.push_job(&project, &Job::Answer { question }, None).await?;
        }
        Ok(())
    }
}

/// The experiment as the question reads it, and what is to be summed.
fn reading(stored: &StoredExperiment, question: &Question) -> Result<(ExperimentSpec, ObservedExperiment), Error> {
    let declared = ObservedExperiment::new(stored.key.clone(), &stored.experiment);
    let spec = question.reads(&stored.experiment, &declared.names()).map_err(|invalid| match Error::from(invalid) {
        Error::Invalid { problems, .. } => {
            Error::Invalid { message: "the question cannot be answered".to_owned(), problems, hint: None }
        }
        other => other,
    })?;
    let read = Experiment { spec: spec.clone(), ..stored.experiment.clone() };
    Ok((spec, ObservedExperiment::new(stored.key.clone(), &read)))
}

fn choice(question: &Question, spec: &ExperimentSpec) -> RowChoice {
    let compared: HashSet<&str> = spec.metrics.iter().map(|metric| metric.name.as_str()).collect();
    let covariates = spec.metrics.iter().filter_map(|metric| metric.covariate.as_deref());
    RowChoice {
        from: question.from.map(jiff::Timestamp::as_microsecond),
        to: question.to.map(jiff::Timestamp::as_microsecond),
        always: covariates.filter(|name| !compared.contains(name)).map(str::to_owned).collect(),
    }
}

/// An answer to a question that was asked after a look at the data names no winner.
fn exploratory(mut result: ExperimentResult) -> ExperimentResult {
    let message = "this question was not declared before the start, so its answer is a hint for another experiment";
    if result.conclusion == Conclusion::Winner {
        result.conclusion = Conclusion::Undecided;
    }
    result.winner = None;
    result.forecast = None;
    if result.conclusion != Conclusion::Blocked {
        "Do not decide on this alone: it was asked after the start, so it finds something by chance more often than its \
         p-values say. Declare it in the next experiment."
            .clone_into(&mut result.recommendation);
    }
    result.missing.insert(0, Missing { what: "declared".to_owned(), message: message.to_owned() });
    result
}
