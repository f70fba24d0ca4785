//! What follows from feedback: joined with records that came later, told to experiments and to the review queue.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use llmops_domain::experiment::observation::Observation;
use llmops_domain::experiment::{Experiment, Unit};
use llmops_domain::feedback::{Feedback, FeedbackContext, Opinion, Sentiment, Thumb};
use llmops_domain::record::RequestRecord;
use llmops_domain::review::{NewReviewItem, ReviewReason, answer_text, asked};
use llmops_storage::StoreError;
use serde_json::Value;

use super::{Contexts, FeedbackManager};
use crate::review::ReviewQueue;
use crate::{Error, LlmOps, Services};

/// How long feedback waits for its record.
const WAIT: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Seconds by which the clocks of replicas may differ.
const SKEW: i64 = 10;
/// Answers joined, and feedback settled, at a time.
const BATCH: u32 = 200;
/// Characters of a comment that the review queue shows.
const EXCERPT: usize = 200;

impl Services {
    /// Joins feedback with records that came meanwhile, in all projects. True: there may be more of it.
    pub(crate) async fn join_feedback(self: &Arc<Self>) -> Result<bool, Error> {
        let since = self.clock.now().checked_sub(WAIT).unwrap_or(Timestamp::MIN);
        let found = self.store.feedback_to_join(since, BATCH).await?;
        let is_full = found.len() >= BATCH as usize;
        for (project, subject, record) in found {
            let manager = FeedbackManager::new(self.clone(), project);
            let mut contexts = Contexts::new(&manager);
            let context = contexts.of_record(record).await?;
            let hides_users = contexts.hides_users(&context).await?;
            self.store.join_feedback(&manager.project, &subject, &context, hides_users).await?;
        }
        Ok(is_full)
    }

    /// Joins feedback whose records came meanwhile, and does what follows from all that is joined, in all projects.
    /// Answers with the number of pieces of feedback that were settled.
    pub(crate) async fn settle_feedback(self: &Arc<Self>) -> Result<usize, Error> {
        self.join_feedback().await?;
        let mut settled = 0;
        loop {
            let page = self.store.unsettled_feedback(BATCH).await?;
            for (project, feedback) in &page {
                let manager = FeedbackManager::new(self.clone(), project.clone());
                match manager.settle(feedback).await {
                    Ok(()) => {}
                    Err(error) if error.is_temporary() => return Err(error),
                    // It comes first again next time, and shall not keep all others waiting.
                    Err(error) => {
                        tracing::error!(%project, feedback = %feedback.id, %error, "nothing follows from a piece of feedback");
                    }
                }
                self.store.settle_feedback(project, std::slice::from_ref(&feedback.id)).await?;
            }
            settled += page.len();
            if page.len() < BATCH as usize {
                return Ok(settled);
            }
        }
    }
}

impl FeedbackManager {
    async fn settle(&self, feedback: &Feedback) -> Result<(), Error> {
        let Some(context) = &feedback.context else { return Ok(()) };
        let is_bad = feedback.sentiment == Some(Sentiment::Negative) || feedback.body.correction.is_some();
        if context.variant.is_none() && !is_bad {
            return Ok(());
        }
        let record = self.services.store.find_record(&self.project, &context.request_id).await?;
        self.observe(feedback, context, record.as_ref().map_or(feedback.at, |record| record.at)).await?;
        // Erased meanwhile: nobody shall look at it any more.
        if let Some(record) = record.filter(|_| is_bad) {
            self.queue(feedback, &record).await?;
        }
        Ok(())
    }

    /// Tells the experiment that the answer took part in, at this time, where it measures what was said.
    async fn observe(&self, feedback: &Feedback, context: &FeedbackContext, at: Timestamp) -> Result<(), Error> {
        let Some(both) = &context.variant else { return Ok(()) };
        let ops = LlmOps { services: self.services.clone(), project: self.project.clone() };
        let experiments = ops.experiments();
        let Some((experiment, variant)) = self.took_part(both, at).await? else { return Ok(()) };
        let name = experiment.id.as_str();
        let measured = |metric: &str| {
            let names = |m: &llmops_domain::experiment::MetricSpec| {
                m.name == metric || m.covariate.as_deref() == Some(metric) || m.denominator.as_deref() == Some(metric)
            };
            experiment.spec.metrics.iter().any(names)
        };
        // What is thought of the answer by now, whichever word is settled first.
        let opinion = self.services.store.opinion(&self.project, &feedback.subject()).await?.unwrap_or_default();
        for (metric, value) in values(&opinion, feedback).into_iter().filter(|(metric, _)| measured(metric)) {
            let observation = Observation {
                unit: Some(unit(&experiment.spec.unit, context)),
                variant: Some(variant.clone()),
                metric,
                value,
                at: Some(feedback.at),
                idempotency_key: Some(format!("feedback/{}", context.request_id)),
            };
            match experiments.record_last_word(name, observation).await {
                Ok(_) => {}
                Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
                // Cancelled, or over and unknown: nobody asks for it any more.
                Err(error @ Error::Conflict { .. }) => {
                    tracing::debug!(experiment = name, %error, "feedback is no observation");
                }
                Err(error) => tracing::warn!(experiment = name, %error, "feedback is no observation"),
            }
        }
        Ok(())
    }

    /// The experiment and the variant that gave an answer, by the record's `EXPERIMENT/VARIANT` and its time: of several with one key,
    /// which follow each other, the one that ran then. Keys and ids of variants may have slashes themselves.
    async fn took_part(&self, both: &str, at: Timestamp) -> Result<Option<(Experiment, String)>, Error> {
        for (slash, _) in both.match_indices('/').filter(|_| !both.contains('\0')) {
            let (name, variant) = (&both[..slash], &both[slash + 1..]);
            if name.starts_with("exp_") {
                match self.services.store.get_experiment(&self.project, name).await {
                    Ok(stored) if stored.experiment.id.as_str() == name => {
                        return Ok(Some((stored.experiment, variant.to_owned())));
                    }
                    Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Ambiguous { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let mut known = self.services.store.started_experiments(&self.project, name).await?;
            known.retain(|experiment| experiment.spec.variant_index(variant).is_some());
            // Clocks differ a little. What had begun already is likelier than what had not.
            let skews = [(0, 0), (0, SKEW), (SKEW, 0)]
                .map(|(a, b)| (SignedDuration::from_secs(a), SignedDuration::from_secs(b)));
            let ran = |skew: &(SignedDuration, SignedDuration)| {
                known.iter().position(|experiment| ran_at(experiment, at, *skew))
            };
            if let Some(found) = skews.iter().find_map(ran) {
                return Ok(Some((known.swap_remove(found), variant.to_owned())));
            }
        }
        Ok(None)
    }

    /// Puts the answer into the review queue: it was found bad, or corrected.
    async fn queue(&self, feedback: &Feedback, record: &RequestRecord) -> Result<(), Error> {
        let correction = feedback.body.correction.clone();
        let reason = if correction.is_some() { ReviewReason::Correction } else { ReviewReason::LowRating };
        let item = NewReviewItem { suggestion: correction, ..review_item(reason, record, detail(feedback)) };
        ReviewQueue::new(self.services.clone(), self.project.clone()).add(item).await?;
        Ok(())
    }
}

/// Whether an experiment assigned callers at this time, or so long before its start and after its end.
fn ran_at(experiment: &Experiment, at: Timestamp, (before, after): (SignedDuration, SignedDuration)) -> bool {
    let has_begun = experiment.start_time.is_some_and(|start| start.duration_since(at) <= before);
    has_begun && experiment.end_time.is_none_or(|end| at.duration_since(end) <= after)
}

/// The unit that was assigned, as far as the record tells.
fn unit(kind: &Unit, context: &FeedbackContext) -> String {
    let (user, session) = (context.user.as_ref(), context.session.as_ref());
    let named = match kind {
        Unit::User => None,
        Unit::Session => session,
        Unit::Attribute(name) => context.tags.get(name),
    };
    named.or(user).or(session).unwrap_or(&context.request_id).clone()
}

/// An item of the review queue about the answer of a record.
pub(crate) fn review_item(reason: ReviewReason, record: &RequestRecord, detail: String) -> NewReviewItem {
    let asked = asked(record).unwrap_or_default();
    NewReviewItem {
        request_id: Some(record.id.clone()),
        deployment: record.deployment.clone(),
        manifest: record.manifest.clone(),
        user: record.user.clone(),
        input: asked.input,
        messages: asked.messages,
        variables: asked.variables,
        output: answer_text(record).map(str::to_owned),
        ..NewReviewItem::new(reason, format!("request/{}", record.id), detail)
    }
}

/// What was said, in a few words.
fn detail(feedback: &Feedback) -> String {
    let body = &feedback.body;
    let mut parts = Vec::new();
    match body.thumb {
        Some(Thumb::Down) => parts.push("a thumb down".to_owned()),
        Some(Thumb::Up) => parts.push("a thumb up".to_owned()),
        None => {}
    }
    if let Some(rating) = body.rating {
        parts.push(format!("rated {} of {}", rating.value, rating.scale));
    }
    parts.extend(body.label.clone());
    if body.correction.is_some() {
        parts.push("a correction".to_owned());
    }
    if let Some(comment) = &body.comment {
        let excerpt: String = comment.chars().take(EXCERPT).collect();
        let more = if comment.chars().count() > EXCERPT { "…" } else { "" };
        parts.push(format!("“{excerpt}{more}”"));
    }
    parts.join(", ")
}

/// What is thought of an answer in numbers, by the names of metrics: `feedback_thumb` (1 up, 0 down), `feedback_rating` (a share
/// of the scale), `feedback_correction` (1 or 0), and `feedback_NAME` for each signal that is a number or true or false.
fn values(opinion: &Opinion, feedback: &Feedback) -> Vec<(String, f64)> {
    let number = |is_true: bool| if is_true { 1.0 } else { 0.0 };
    let mut values = Vec::new();
    if let Some((_, thumb)) = opinion.thumb {
        values.push(("feedback_thumb".to_owned(), number(thumb == Thumb::Up)));
    }
    if let Some((_, share)) = opinion.rating {
        values.push(("feedback_rating".to_owned(), share));
    }
    values.push(("feedback_correction".to_owned(), number(opinion.corrected)));
    for (name, signal) in &feedback.body.signals {
        let number = match signal {
            Value::Bool(is_true) => Some(number(*is_true)),
            other => other.as_f64(),
        };
        values.extend(number.map(|number| (format!("feedback_{name}"), number)));
    }
    values
}

#[cfg(test)]
mod tests {
    use llmops_domain::feedback::{self, FeedbackBody};
    use serde_json::json;

    use super::*;

    #[test]
    fn feedback_in_words_and_numbers() {
        let body: FeedbackBody = feedback::read(&json!({"request_id": "r", "thumb": "down",
            "rating": {"value": 2, "scale": 5}, "label": "price", "comment": "x".repeat(300), "correction": "4.90",
            "signals": {"copied": true, "latency_ms": 840, "browser": "text"}}))
        .unwrap();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let feedback = Feedback { id: "fb_1".into(), at, sentiment: body.sentiment(), body, context: None };
        let expected = format!("a thumb down, rated 2 of 5, price, a correction, “{}…”", "x".repeat(200));
        assert_eq!(detail(&feedback), expected);
        let values = values(&Opinion::default().with(&feedback), &feedback);
        let named: Vec<(&str, f64)> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            named,
            [
                ("feedback_thumb", 0.0),
                ("feedback_rating", 0.4),
                ("feedback_correction", 1.0),
                ("feedback_copied", 1.0),
                ("feedback_latency_ms", 840.0),
            ]
        );
    }
}
