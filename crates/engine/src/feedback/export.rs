//! Feedback as training data: conversations with good answers, pairs of a better and a worse one, hard questions.
//!
//! What is exported is walked through twice: once to decide what is kept and to count the rest, once to hand it over, so that
//! memory holds ids and signatures, never texts.

mod hard_examples;
mod walk;

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use llmops_api::feedback::{ExportCounts, ExportFormat, ExportQuery, MAX_EXAMPLES};
use llmops_domain::chat::{Message, Role};
use llmops_domain::deployment::SystemMerge;
use llmops_domain::feedback::Feedback;
use llmops_domain::hash::ContentHash;
use llmops_domain::near_duplicates::NearDuplicates;
use llmops_domain::redact::{has_placeholder, redact};
use llmops_domain::render::CompiledTarget;
use llmops_domain::review::Asked;
use llmops_storage::StoreError;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::walk::Walk;
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
    /// The deployment that was called, and its environment.
    deployment: Option<(String, String)>,
    /// The tools that the caller offered.
    tools: Vec<Value>,
    /// What the model said, or called.
    output: Option<String>,
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
        let is_foreign = self.query.format != ExportFormat::Jsonl && example.asked.messages.iter().any(is_foreign);
        if example.asked.input.is_empty() && example.asked.messages.is_empty() || is_foreign {
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
        let written = everything(example);
        if redact(&written) != written.as_str() {
            return Kept::No(|counts| &mut counts.secrets);
        }
        if !self.query.redacted && has_placeholder(&written) {
            return Kept::No(|counts| &mut counts.redacted);
        }
        let text = all_text(example);
        // The same question with two answers teaches twice in the formats with answers, and not in a list of words.
        if !self.seen.insert(&text) {
            return Kept::No(|counts| &mut counts.duplicates);
        }
        Kept::Yes
    }
}

/// Whether a message has a part that OpenAI's format has not, such as Anthropic's `tool_result`.
fn is_foreign(message: &Message) -> bool {
    const KNOWN: [&str; 5] = ["text", "image_url", "input_audio", "file", "refusal"];
    let has = |part: &Value| part.get("type").and_then(Value::as_str).is_some_and(|kind| KNOWN.contains(&kind));
    message.content.as_array().is_some_and(|parts| !parts.iter().all(has))
}

/// Everything of an example that callers and users wrote, and models answered, as JSON: what is personal may be anywhere, in
/// the arguments of a call or in the name of a user. The deployment's own messages are its author's business.
fn everything(example: &Example) -> String {
    let Asked { input, messages, variables } = &example.asked;
    json!({
        "feedback": example.feedback, "input": input, "messages": messages, "variables": variables,
        "output": example.output, "good": example.good, "bad": example.bad,
    })
    .to_string()
}

/// The words of an example as one text, for near-duplicates.
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
        let mut targets = Targets { manager: self, compiled: BTreeMap::new(), merges: BTreeMap::new() };
        let mut walk = Walk::new(self, query.clone()).with_tools();
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
}

/// The manifests of examples, compiled once.
struct Targets<'a> {
    manager: &'a FeedbackManager,
    compiled: BTreeMap<ContentHash, Option<CompiledTarget>>,
    /// What deployments do with a caller's system message.
    merges: BTreeMap<(String, String), SystemMerge>,
}

impl Targets<'_> {
    async fn line(&mut self, query: &ExportQuery, example: Example) -> Result<String, Error> {
        let said = |text: &Option<String>| Message::text(Role::Assistant, text.clone().unwrap_or_default());
        let (good, bad) = (said(&example.good), said(&example.bad));
        let value = match query.format {
            ExportFormat::Jsonl => json!({
                "feedback": example.feedback, "input": example.asked.input, "messages": example.asked.messages,
                "variables": example.asked.variables, "output": example.output,
            }),
            ExportFormat::OpenaiFt => {
                let mut messages = self.messages(&example).await?;
                messages.push(good);
                self.with_tools(json!({"messages": plain(&messages)}), example)
            }
            ExportFormat::Preference => {
                let prompt = self.messages(&example).await?;
                let pair = json!({"prompt": plain(&prompt), "chosen": plain(&[good]), "rejected": plain(&[bad])});
                self.with_tools(pair, example)
            }
        };
        Ok(value.to_string())
    }

    /// The line with the tools that the model could call: the manifest's, or else the caller's. Whoever trains with calls needs
    /// to know what was called.
    fn with_tools(&self, mut line: Value, example: Example) -> Value {
        let target = example.manifest.as_ref().and_then(|manifest| self.compiled.get(manifest)?.as_ref());
        let own = target.map(|target| target.manifest().tools.clone()).filter(|tools| !tools.is_empty());
        let tools = own.unwrap_or(example.tools);
        if !tools.is_empty() {
            line["tools"] = tools.into();
        }
        line
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
        let merge = self.merge(example.deployment.as_ref()).await?;
        let Some(Some(target)) = self.compiled.get(manifest) else { return Ok(bare) };
        let framed = target.messages_for_call(variables.clone(), bare.clone(), merge);
        let mut framed = framed.unwrap_or(bare);
        // Trainers take no message without words.
        framed.retain(|message| message.role != Role::User || message.content.as_str() != Some(""));
        Ok(framed)
    }

    async fn merge(&mut self, deployment: Option<&(String, String)>) -> Result<SystemMerge, Error> {
        let Some(place) = deployment else { return Ok(SystemMerge::default()) };
        if let Some(known) = self.merges.get(place) {
            return Ok(*known);
        }
        let FeedbackManager { services, project } = self.manager;
        let found = services.store.find_deployment(project, &place.0, &place.1).await?;
        let merge = found.map_or_else(SystemMerge::default, |deployment| deployment.settings.merge);
        self.merges.insert(place.clone(), merge);
        Ok(merge)
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

/// Messages with the fields and the roles that trainers take: what `developer` says to newer models is their system message.
fn plain(messages: &[Message]) -> Vec<Value> {
    messages
        .iter()
        .map(|message| {
            let role = if message.role == Role::Developer { Role::System } else { message.role };
            let mut value = json!({"role": role.as_str(), "content": message.content});
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
