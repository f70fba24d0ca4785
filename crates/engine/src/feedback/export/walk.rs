//! The examples that feedback and the review queue hold, one after the other.

use std::collections::HashSet;

use jiff::Timestamp;
use llmops_api::feedback::{ExportFormat, ExportQuery};
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::feedback::{Feedback, FeedbackFilter, Sentiment};
use llmops_domain::record::RequestRecord;
use llmops_domain::review::{
    Asked, ReviewAction, ReviewFilter, ReviewItem, ReviewReason, ReviewStatus, answer_in_words, answer_text, asked,
    offered_tools,
};
use serde_json::Value;

use super::{Example, FeedbackManager, PAGE};
use crate::Error;

/// All examples, each kind newest first: decisions of the review queue, then feedback on answers that nobody decided on, then
/// comparisons that a judge decided, of answers that nobody said anything against.
pub(super) struct Walk<'a> {
    manager: &'a FeedbackManager,
    query: ExportQuery,
    /// Whether examples are to have the tools that were offered: only lines for training have them.
    with_tools: bool,
    /// Where the decisions are that come next; nothing behind their end.
    decided: Option<ReviewFilter>,
    feedback: Option<FeedbackFilter>,
    lost: Option<ReviewFilter>,
    said: std::vec::IntoIter<Feedback>,
    items: std::vec::IntoIter<ReviewItem>,
    /// Answers that had their turn.
    requests: HashSet<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(manager: &'a FeedbackManager, query: ExportQuery) -> Self {
        let feedback = FeedbackFilter {
            deployment: query.deployment.clone(),
            start_time: query.start_time,
            end_time: query.end_time,
            ..FeedbackFilter::default()
        };
        // The plain format is a list of what was said, and nobody says anything in the queue.
        let has_reviews = query.format != ExportFormat::Jsonl;
        let decided = ReviewFilter { deployment: query.deployment.clone(), ..ReviewFilter::default() };
        let lost = ReviewFilter {
            status: Some(ReviewStatus::Open),
            reason: Some(ReviewReason::ShadowLoss),
            ..decided.clone()
        };
        Self {
            manager,
            with_tools: false,
            decided: has_reviews.then_some(decided),
            feedback: Some(feedback),
            // That an answer was better than another does not make it good: nobody looked at it.
            lost: (query.format == ExportFormat::Preference).then_some(lost),
            query,
            said: Vec::new().into_iter(),
            items: Vec::new().into_iter(),
            requests: HashSet::new(),
        }
    }

    /// The same with the tools that were offered, where the format has them.
    pub(super) fn with_tools(self) -> Self {
        Self { with_tools: self.query.format != ExportFormat::Jsonl, ..self }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Example>, Error> {
        loop {
            let found = if let Some(item) = self.items.next() {
                if self.decided.is_some() { self.of_decision(item).await? } else { self.of_loss(item).await? }
            } else if let Some(filter) = &mut self.decided {
                let page = self.manager.reviews(filter).await?;
                if page.is_empty() {
                    self.decided = None;
                }
                self.items = page.into_iter();
                None
            } else if let Some(feedback) = self.said.next() {
                self.of_feedback(feedback).await?
            } else if let Some(filter) = &mut self.feedback {
                let page = self.manager.list(filter, PAGE).await?;
                filter.cursor = page.last().map(|last| last.id.to_string());
                if page.is_empty() {
                    self.feedback = None;
                }
                self.said = page.into_iter();
                None
            } else if let Some(filter) = &mut self.lost {
                let page = self.manager.reviews(filter).await?;
                if page.is_empty() {
                    self.lost = None;
                }
                self.items = page.into_iter();
                None
            } else {
                return Ok(None);
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The example of an item that somebody decided on. A decision is the last word on its answer, also where nothing is to be
    /// learnt by it; only a comparison without a decision for an answer says nothing of the answer that users saw.
    async fn of_decision(&mut self, item: ReviewItem) -> Result<Option<Example>, Error> {
        let Some(decision) = item.decision.as_ref().filter(|_| item.status != ReviewStatus::Open) else {
            return Ok(None);
        };
        let answer = decision.answer.clone();
        if answer.is_some() || item.item.reason != ReviewReason::ShadowLoss {
            self.requests.extend(item.item.request_id.clone());
        }
        let Some(answer) = answer.filter(|_| is_within(&self.query, item.created_at)) else { return Ok(None) };
        // What the model answered may be a call, which is no text to learn.
        let is_own = decision.action == ReviewAction::Accept && item.item.output.as_ref() == Some(&answer);
        let record = self.record(item.item.request_id.as_deref()).await?;
        let output = item.item.output.clone();
        let words =
            if item.item.reason == ReviewReason::ShadowLoss { output } else { in_words(record.as_ref(), output) };
        let good = if is_own { words.clone() } else { Some(answer) };
        Ok(Some(self.of_item(item, record.as_ref(), good, words)))
    }

    /// The example of a comparison that a judge decided. What people say of the answer that won counts more.
    async fn of_loss(&mut self, item: ReviewItem) -> Result<Option<Example>, Error> {
        if !is_within(&self.query, item.created_at) {
            return Ok(None);
        }
        if let Some(request) = &item.item.request_id {
            let opinion = self.manager.services.store.opinion(&self.manager.project, request).await?;
            let is_bad = opinion.is_some_and(|opinion| opinion.sentiment() == Some(Sentiment::Negative));
            if is_bad || self.requests.contains(request) {
                return Ok(None);
            }
        }
        let record = self.record(item.item.request_id.as_deref()).await?;
        let good = in_words(record.as_ref(), item.item.suggestion.clone());
        let bad = item.item.output.clone();
        Ok(Some(self.of_item(item, record.as_ref(), good, bad)))
    }

    /// The example of a piece of feedback; nothing where it makes none in this format, or its answer had its turn.
    async fn of_feedback(&mut self, feedback: Feedback) -> Result<Option<Example>, Error> {
        let (manager, body) = (self.manager, &feedback.body);
        let good = feedback.sentiment == Some(Sentiment::Positive);
        let wanted = match self.query.format {
            ExportFormat::OpenaiFt => good || body.correction.is_some(),
            ExportFormat::Preference => body.correction.is_some(),
            ExportFormat::Jsonl => true,
        };
        let subject = feedback.subject();
        let is_plain = self.query.format == ExportFormat::Jsonl;
        if !wanted || (!is_plain && self.requests.contains(&subject)) {
            return Ok(None);
        }
        if !is_plain && body.correction.is_none() {
            // Whoever praised an answer may have thought better of it.
            let opinion = manager.services.store.opinion(&manager.project, &subject).await?;
            if opinion.is_some_and(|opinion| opinion.sentiment() != Some(Sentiment::Positive)) {
                return Ok(None);
            }
        }
        if !is_plain {
            self.requests.insert(subject);
        }
        let record = self.record(feedback.context.as_ref().map(|context| &*context.request_id)).await?;
        let words = record.as_ref().and_then(answer_in_words).map(str::to_owned);
        let (best, worst) = match &body.correction {
            Some(correction) => (Some(correction.clone()), words),
            None if good => (words, None),
            None => (None, words),
        };
        Ok(Some(Example {
            key: feedback.id.to_string(),
            asked: record.as_ref().and_then(|record| asked(record).ok()).unwrap_or_default(),
            deployment: record.as_ref().and_then(|record| record.deployment.clone().zip(record.environment.clone())),
            tools: self.tools(record.as_ref()),
            output: record.as_ref().and_then(answer_text).map(str::to_owned),
            manifest: record.and_then(|record| record.manifest),
            good: best,
            bad: worst,
            feedback: is_plain.then(|| Box::new(feedback)),
        }))
    }
}

impl Walk<'_> {
    async fn record(&self, request: Option<&str>) -> Result<Option<RequestRecord>, Error> {
        let Some(request) = request else { return Ok(None) };
        Ok(self.manager.services.store.find_record(&self.manager.project, request).await?)
    }

    fn tools(&self, record: Option<&RequestRecord>) -> Vec<Value> {
        record.filter(|_| self.with_tools).map(offered_tools).unwrap_or_default()
    }

    /// The example of an item of the queue, about the answer of a record, with its good answer and its bad one.
    fn of_item(
        &self,
        item: ReviewItem,
        record: Option<&RequestRecord>,
        good: Option<String>,
        bad: Option<String>,
    ) -> Example {
        let sample = item.decision.and_then(|decision| decision.sample);
        let input = sample.map_or(item.item.input, |sample| sample.input);
        Example {
            key: item.id.to_string(),
            asked: Asked { input, messages: item.item.messages, variables: item.item.variables },
            manifest: item.item.manifest,
            deployment: item.item.deployment.map(|name| (name, DEFAULT_ENVIRONMENT.to_owned())),
            tools: self.tools(record),
            output: item.item.output,
            bad: bad.filter(|bad| Some(bad) != good.as_ref()),
            good,
            feedback: None,
        }
    }
}

impl FeedbackManager {
    /// The next page of items.
    async fn reviews(&self, filter: &mut ReviewFilter) -> Result<Vec<ReviewItem>, Error> {
        let page = self.services.store.list_reviews(&self.project, filter, PAGE).await?;
        filter.cursor = page.last().map(|last| last.id.to_string());
        Ok(page)
    }
}

/// What a request was answered, where those are words and no calls as far as its record says.
fn in_words(record: Option<&RequestRecord>, answer: Option<String>) -> Option<String> {
    let is_call = record.is_some_and(|record| answer_text(record).is_some() && answer_in_words(record).is_none());
    answer.filter(|_| !is_call)
}

fn is_within(query: &ExportQuery, at: Timestamp) -> bool {
    query.start_time.is_none_or(|start| at >= start) && query.end_time.is_none_or(|end| at < end)
}
