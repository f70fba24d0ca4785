//! Feedback as training data: conversations with good answers, pairs of a better and a worse one, hard questions.
//!
//! What is exported is walked through twice: once to decide what is kept and to count the rest, once to hand it over, so that
//! memory holds ids and signatures, never texts.

mod hard_examples;

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use llmops_api::feedback::{ExportCounts, ExportFormat, ExportQuery, MAX_EXAMPLES};
use llmops_domain::chat::{Message, Role};
use llmops_domain::dataset::Sample;
use llmops_domain::feedback::{Feedback, FeedbackFilter, Sentiment};
use llmops_domain::hash::ContentHash;
use llmops_domain::near_duplicates::NearDuplicates;
use llmops_domain::redact::{has_placeholder, redact};
use llmops_domain::render::CompiledTarget;
use llmops_domain::review::{Asked, ReviewFilter, ReviewItem, ReviewReason, ReviewStatus, answer_text, asked};
use llmops_storage::StoreError;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::FeedbackManager;
use crate::{Error, LlmOps};

/// Most examples of an export where the caller names no number.
const DEFAULT_LIMIT: u32 = 10_000;
/// Feedback and items read at a time.
const PAGE: u32 = 200;
/// Lines that may wait for a reader who is slow.
const WAITING: usize = 64;

/// A question with what is known of its answers.
struct Example {
    /// What tells it from others in both passes.
    key: String,
    asked: Asked,
    manifest: Option<ContentHash>,
    /// The good answer.
    good: Option<String>,
    /// The bad answer.
    bad: Option<String>,
    /// What was said, for the plain format.
    feedback: Option<Box<Feedback>>,
}

/// What became of an example.
enum Kept {
    Yes,
    /// Left out, and counted here.
    No(fn(&mut ExportCounts) -> &mut u64),
}

/// Decides which examples are kept.
struct Sieve<'a> {
    query: &'a ExportQuery,
    seen: NearDuplicates,
}

impl Sieve<'_> {
    fn judge(&mut self, example: &Example) -> Kept {
        if example.asked.input.is_empty() && example.asked.messages.is_empty() {
            return Kept::No(|counts| &mut counts.without_text);
        }
        let complete = match self.query.format {
            ExportFormat::OpenaiFt => example.good.is_some(),
            ExportFormat::Preference => example.good.is_some() && example.bad.is_some() && example.good != example.bad,
            ExportFormat::Jsonl => true,
        };
        if !complete {
            return Kept::No(|counts| &mut counts.without_answer);
        }
        let text = all_text(example);
        if redact(&text) != text.as_str() {
            return Kept::No(|counts| &mut counts.secrets);
        }
        if !self.query.redacted && has_placeholder(&text) {
            return Kept::No(|counts| &mut counts.redacted);
        }
        // The same question with two answers teaches twice in the formats with answers, and not in a list of words.
        if !self.seen.insert(&text) {
            return Kept::No(|counts| &mut counts.duplicates);
        }
        Kept::Yes
    }
}

/// Everything of an example that would be exported, as one text.
fn all_text(example: &Example) -> String {
    let messages = example.asked.messages.iter().map(|message| message.as_text().into_owned());
    let said = example.feedback.as_ref().map(|feedback| {
        [feedback.body.comment.clone(), feedback.body.label.clone()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n")
    });
    let variables = example.asked.variables.values().map(ToString::to_string);
    let parts: Vec<String> = messages
        .chain(variables)
        .chain([example.asked.input.clone()])
        .chain(example.good.clone())
        .chain(example.bad.clone())
        .chain(said)
        .collect();
    parts.join("\n")
}

/// Lines of an export, as they are made.
pub type ExportLines = mpsc::Receiver<Result<String, Error>>;

impl FeedbackManager {
    /// Exports feedback: counts first, then lines of JSON. Near-duplicates, secrets and what lacks a text are left out and
    /// counted.
    ///
    /// # Errors
    /// When the query is wrong or the store is unavailable.
    pub async fn export(&self, query: ExportQuery) -> Result<(ExportCounts, ExportLines), Error> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_EXAMPLES).contains(&limit) {
            return Err(Error::invalid(format!("limit is {limit}: expected 1 to {MAX_EXAMPLES}")));
        }
        let query = ExportQuery { limit: Some(limit), end_time: Some(self.until(&query)), ..query };
        let (mut counts, mut kept) = (ExportCounts::default(), HashSet::new());
        let mut sieve = Sieve { query: &query, seen: NearDuplicates::default() };
        let mut walk = Walk::new(self, query.clone());
        while counts.examples < u64::from(limit) {
            let Some(example) = walk.next().await? else { break };
            counts.considered += 1;
            match sieve.judge(&example) {
                Kept::Yes => {
                    counts.examples += 1;
                    kept.insert(example.key);
                }
                Kept::No(counter) => *counter(&mut counts) += 1,
            }
        }
        let (sender, lines) = mpsc::channel(WAITING);
        let manager = self.clone();
        tokio::spawn(async move {
            if let Err(error) = manager.hand_over(query, kept, &sender).await {
                // Nobody listens any more: fine.
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok((counts, lines))
    }

    /// The second pass: the lines of what is kept.
    async fn hand_over(
        &self,
        query: ExportQuery,
        mut kept: HashSet<String>,
        sender: &mpsc::Sender<Result<String, Error>>,
    ) -> Result<(), Error> {
        let mut targets = Targets { manager: self, compiled: BTreeMap::new() };
        let mut walk = Walk::new(self, query.clone());
        while !kept.is_empty() {
            let Some(example) = walk.next().await? else { break };
            if kept.remove(&example.key) {
                let line = targets.line(&query, example).await?;
                if sender.send(Ok(line)).await.is_err() {
                    // Who has gone wants no more.
                    break;
                }
            }
        }
        Ok(())
    }

    /// Both passes see the same feedback: what comes meanwhile is for the next export.
    fn until(&self, query: &ExportQuery) -> Timestamp {
        query.end_time.unwrap_or_else(|| self.services.clock.now())
    }

    /// The example of a piece of feedback; nothing where it makes none in this format, or its answer had its turn.
    async fn example(
        &self,
        query: &ExportQuery,
        feedback: Feedback,
        requests: &mut HashSet<String>,
    ) -> Result<Option<Example>, Error> {
        let body = &feedback.body;
        let good = feedback.sentiment == Some(Sentiment::Positive);
        let wanted = match query.format {
            ExportFormat::OpenaiFt => good || body.correction.is_some(),
            ExportFormat::Preference => body.correction.is_some(),
            ExportFormat::Jsonl => true,
        };
        if !wanted || (query.format != ExportFormat::Jsonl && !requests.insert(body.subject())) {
            return Ok(None);
        }
        let record = match &feedback.context {
            Some(context) => match self.services.store.get_record(&self.project, &context.request_id).await {
                Ok(record) => Some(record),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let output = record.as_ref().and_then(|record| answer_text(record)).map(str::to_owned);
        let question = record.as_ref().and_then(|record| asked(record).ok()).unwrap_or_default();
        let (best, worst) = match &body.correction {
            Some(correction) => (Some(correction.clone()), output),
            None if good => (output, None),
            None => (None, output),
        };
        Ok(Some(Example {
            key: feedback.id.to_string(),
            asked: question,
            manifest: record.and_then(|record| record.manifest),
            good: best,
            bad: worst,
            feedback: (query.format == ExportFormat::Jsonl).then(|| Box::new(feedback)),
        }))
    }
}

/// All examples: those of feedback, newest first, then those of the review queue.
struct Walk<'a> {
    manager: &'a FeedbackManager,
    query: ExportQuery,
    /// Where the feedback is that comes next; nothing behind its end.
    feedback: Option<FeedbackFilter>,
    reviews: Option<ReviewFilter>,
    said: std::vec::IntoIter<Feedback>,
    items: std::vec::IntoIter<ReviewItem>,
    /// Answers that had their turn.
    requests: HashSet<String>,
}

impl<'a> Walk<'a> {
    fn new(manager: &'a FeedbackManager, query: ExportQuery) -> Self {
        let feedback = FeedbackFilter {
            deployment: query.deployment.clone(),
            start_time: query.start_time,
            end_time: query.end_time,
            ..FeedbackFilter::default()
        };
        // The plain format is a list of what was said, and nobody says anything in the queue.
        let has_reviews = query.format != ExportFormat::Jsonl;
        let reviews = ReviewFilter { deployment: query.deployment.clone(), ..ReviewFilter::default() };
        Self {
            manager,
            query,
            feedback: Some(feedback),
            reviews: has_reviews.then_some(reviews),
            said: Vec::new().into_iter(),
            items: Vec::new().into_iter(),
            requests: HashSet::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Example>, Error> {
        loop {
            if let Some(feedback) = self.said.next() {
                let found = self.manager.example(&self.query, feedback, &mut self.requests).await?;
                if found.is_some() {
                    return Ok(found);
                }
            } else if let Some(filter) = &mut self.feedback {
                let page = self.manager.list(filter, PAGE).await?;
                filter.cursor = page.last().map(|last| last.id.to_string());
                if page.is_empty() {
                    self.feedback = None;
                }
                self.said = page.into_iter();
            } else if let Some(item) = self.items.next() {
                let found = if is_within(&self.query, item.created_at) { of_review(item) } else { None };
                if found.is_some() {
                    return Ok(found);
                }
            } else if let Some(filter) = &mut self.reviews {
                let page = self.manager.services.store.list_reviews(&self.manager.project, filter, PAGE).await?;
                filter.cursor = page.last().map(|last| last.id.to_string());
                if page.is_empty() {
                    self.reviews = None;
                }
                self.items = page.into_iter();
            } else {
                return Ok(None);
            }
        }
    }
}

fn is_within(query: &ExportQuery, at: Timestamp) -> bool {
    query.start_time.is_none_or(|start| at >= start) && query.end_time.is_none_or(|end| at < end)
}

/// The example of a decided item, or of a lost comparison, which a judge decided.
fn of_review(item: ReviewItem) -> Option<Example> {
    let lost = item.item.reason == ReviewReason::ShadowLoss && item.status != ReviewStatus::Dismissed;
    let decided = item.decision.as_ref().and_then(|decision| decision.answer.clone());
    let good = match (decided, lost) {
        (Some(answer), _) => Some(answer),
        (None, true) => item.item.suggestion.clone(),
        (None, false) => return None,
    };
    let sample = item.decision.and_then(|decision| decision.sample);
    let input = sample.map_or(item.item.input, |sample| sample.input);
    Some(Example {
        key: item.id.to_string(),
        asked: Asked { input, messages: item.item.messages, variables: item.item.variables },
        manifest: item.item.manifest,
        bad: item.item.output.filter(|output| Some(output) != good.as_ref()),
        good,
        feedback: None,
    })
}

/// The manifests of examples, compiled once.
struct Targets<'a> {
    manager: &'a FeedbackManager,
    compiled: BTreeMap<ContentHash, Option<CompiledTarget>>,
}

impl Targets<'_> {
    async fn line(&mut self, query: &ExportQuery, example: Example) -> Result<String, Error> {
        let said = |text: &Option<String>| Message::text(Role::Assistant, text.clone().unwrap_or_default());
        let (good, bad) = (said(&example.good), said(&example.bad));
        let value = match query.format {
            ExportFormat::Jsonl => json!({
                "feedback": example.feedback, "input": example.asked.input, "messages": example.asked.messages,
                "variables": example.asked.variables, "output": example.bad.or(example.good),
            }),
            ExportFormat::OpenaiFt => {
                let mut messages = self.messages(&example).await?;
                messages.push(good);
                json!({"messages": plain(&messages)})
            }
            ExportFormat::Preference => {
                let prompt = self.messages(&example).await?;
                json!({"prompt": plain(&prompt), "chosen": plain(&[good]), "rejected": plain(&[bad])})
            }
        };
        Ok(value.to_string())
    }

    /// The conversation as the model saw it: with the deployment's own messages, where the manifest can still be rendered.
    async fn messages(&mut self, example: &Example) -> Result<Vec<Message>, Error> {
        let Asked { input, messages, variables } = &example.asked;
        let mut bare = messages.clone();
        bare.extend((!input.is_empty()).then(|| Message::text(Role::User, input.clone())));
        let Some(manifest) = &example.manifest else { return Ok(bare) };
        if !self.compiled.contains_key(manifest) {
            let target = self.compile(manifest).await?;
            self.compiled.insert(manifest.clone(), target);
        }
        let Some(Some(target)) = self.compiled.get(manifest) else { return Ok(bare) };
        let sample = Sample {
            id: example.key.clone(),
            input: input.clone(),
            messages: messages.clone(),
            variables: variables.clone(),
            ..Sample::default()
        };
        Ok(target.request_for_sample(&sample, 0).map_or(bare, |request| request.messages))
    }

    async fn compile(&self, hash: &ContentHash) -> Result<Option<CompiledTarget>, Error> {
        let ops = LlmOps { services: self.manager.services.clone(), project: self.manager.project.clone() };
        let deployments = ops.deployments();
        let found = match deployments.manifest(hash.as_str()).await {
            Ok((_, manifest)) => deployments.compiled(manifest).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(target) => Ok(Some(target)),
            Err(Error::NotFound { .. } | Error::Invalid { .. } | Error::Store(StoreError::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Messages with the fields that trainers take.
fn plain(messages: &[Message]) -> Vec<Value> {
    messages
        .iter()
        .map(|message| {
            let mut value = json!({"role": message.role.as_str(), "content": message.content});
            if !message.tool_calls.is_empty() {
                value["tool_calls"] = json!(message.tool_calls);
            }
            if let Some(id) = &message.tool_call_id {
                value["tool_call_id"] = json!(id);
            }
            value
        })
        .collect()
}
