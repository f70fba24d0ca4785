//! What a judge is asked, and how its request is read back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use semver::Version;
use serde_json::Value;

use super::answer::JudgeAnswer;
use super::builtin::JudgePromptKind;
use super::fence::{
    ARGUMENT_TAG, AXES_TAG, CANDIDATE_TAG, CONTEXT_TAG, FIRST_TAG, ITEMS_TAG, METRIC_TAG, OWN_TAG, QUESTION_TAG,
    REFERENCE_TAG, SECOND_TAG, fence, fenced, find_nonce, nonce,
};
use super::metric::JudgedMetric;
use super::{axis, one_line};
use crate::chat::{Message, Parameters};
use crate::hash::ContentHash;
use crate::prompt::PromptVersion;
use crate::render::{CompiledPrompt, Extra, RenderError};

/// What a judge looks at.
#[derive(Debug, Clone, Copy)]
pub struct JudgeInput<'a> {
    /// What was asked: the input, or the conversation as text.
    pub question: &'a str,
    /// The answer to judge; of two, the one shown first.
    pub candidate: &'a str,
    /// Good answers; may be empty.
    pub references: &'a [String],
    /// Passages the answer should rest on; may be empty.
    pub context: &'a [String],
}

/// What a judge is to do with it.
#[derive(Debug, Clone, Copy)]
pub enum JudgeTask<'a> {
    /// Score these axes: `name`, or `name: what it means`.
    Rubric(&'a [String]),
    /// Score a metric, or list the claims it counts.
    Metric(JudgedMetric),
    /// Answer these questions with yes and no.
    Checklist(&'a [String]),
    /// Compare the candidate, shown first, with this answer, shown second.
    Pairwise(&'a str),
    /// Score these axes again, knowing these statements.
    Debate {
        /// The axes.
        rubric: &'a [String],
        /// What the judge said in the round before.
        own: &'a JudgeAnswer,
        /// What the others said.
        others: &'a [&'a JudgeAnswer],
    },
}

impl JudgeTask<'_> {
    /// The prompt that asks for it.
    pub fn kind(&self) -> JudgePromptKind {
        match self {
            Self::Rubric(_) => JudgePromptKind::Rubric,
            Self::Metric(metric) => JudgePromptKind::Metric(*metric),
            Self::Checklist(_) => JudgePromptKind::Checklist,
            Self::Pairwise(_) => JudgePromptKind::Pairwise,
            Self::Debate { .. } => JudgePromptKind::Debate,
        }
    }
}

/// A judge's prompt that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgePromptError {
    /// It does not compile.
    #[error("the prompt {label} cannot be used: {error}")]
    Compile {
        /// Its name and version.
        label: String,
        /// Why.
        error: RenderError,
    },
    /// It does not show the judge what it judges.
    #[error("the prompt {label} does not use {}, without which the judge cannot judge", braces(.missing))]
    Unused {
        /// Its name and version.
        label: String,
        /// The placeholders it lacks.
        missing: Vec<&'static str>,
    },
    /// It requires what judges of this kind are not given.
    #[error("the prompt {label} requires {}; this judge is given {}", braces(.unknown), braces(.given))]
    Unknown {
        /// Its name and version.
        label: String,
        /// The variables that nobody fills.
        unknown: Vec<String>,
        /// What there is.
        given: Vec<&'static str>,
    },
}

fn braces(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("{{{{ {} }}}}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A judge's prompt, checked and compiled.
#[derive(Debug, Clone)]
pub struct JudgePrompt {
    name: String,
    version: Version,
    hash: ContentHash,
    parameters: Parameters,
    compiled: CompiledPrompt,
}

impl JudgePrompt {
    /// Checks and compiles a version from the registry for what the judge is asked to do.
    ///
    /// # Errors
    /// When it does not compile, does not use what the judge must see, or requires what judges are not given.
    pub fn compile(kind: JudgePromptKind, version: &PromptVersion) -> Result<Self, JudgePromptError> {
        let label = format!("{}@{}", version.name, version.version);
        let compiled = CompiledPrompt::compile(&version.body)
            .map_err(|error| JudgePromptError::Compile { label: label.clone(), error })?;
        let missing: Vec<&str> = kind.needs().iter().copied().filter(|name| !compiled.uses(name)).collect();
        if !missing.is_empty() {
            return Err(JudgePromptError::Unused { label, missing });
        }
        let given = kind.supplies();
        let open = version.body.variables.iter().filter(|v| v.required && v.default.is_none());
        let unknown: Vec<String> =
            open.map(|v| v.name.clone()).filter(|name| !given.contains(&name.as_str())).collect();
        if !unknown.is_empty() {
            return Err(JudgePromptError::Unknown { label, unknown, given: given.to_vec() });
        }
        Ok(Self {
            name: version.name.clone(),
            version: version.version.clone(),
            hash: version.hash.clone(),
            parameters: version.body.parameters.clone(),
            compiled,
        })
    }

    /// `NAME@VERSION`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The content hash: every score leads back to it.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// The sampling parameters that the prompt names.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The judge's answer after the prompt's own post-processing; as it came where that fails.
    pub fn clean<'a>(&self, answer: &'a str) -> std::borrow::Cow<'a, str> {
        self.compiled.post_processor().apply(answer).unwrap_or(std::borrow::Cow::Borrowed(answer))
    }

    /// The messages that ask a judge.
    ///
    /// # Errors
    /// When the texts together are longer than a prompt may be.
    pub fn messages(&self, input: &JudgeInput<'_>, task: &JudgeTask<'_>) -> Result<Vec<Message>, RenderError> {
        self.compiled.render(values(input, task), Extra::Ignore)
    }
}

/// The messages that ask a judge with the built-in prompt.
///
/// # Errors
/// When the texts together are longer than a prompt may be.
pub fn judge_messages(input: &JudgeInput<'_>, task: &JudgeTask<'_>) -> Result<Vec<Message>, RenderError> {
    type Compiled = Vec<(JudgePromptKind, Result<CompiledPrompt, RenderError>)>;
    static PROMPTS: LazyLock<Compiled> = LazyLock::new(|| {
        JudgePromptKind::ALL.map(|kind| (kind, CompiledPrompt::compile(&kind.builtin().body))).into_iter().collect()
    });
    let (_, prompt) = PROMPTS.iter().find(|(kind, _)| *kind == task.kind()).ok_or(RenderError::Nothing)?;
    prompt.as_ref().map_err(Clone::clone)?.render(values(input, task), Extra::Ignore)
}

/// The values of a judge's prompt, each between its fences.
fn values(input: &JudgeInput<'_>, task: &JudgeTask<'_>) -> BTreeMap<String, Value> {
    let nonce = nonce_of(input, task);
    let put = |tag: &str, text: &str| fence(tag, &nonce, text);
    let context = input.context.join("\n\n");
    let mut values = BTreeMap::from([
        ("question", put(QUESTION_TAG, input.question)),
        ("context", if context.is_empty() { String::new() } else { put(CONTEXT_TAG, &context) }),
        ("references", input.references.iter().map(|reference| put(REFERENCE_TAG, reference)).collect()),
        ("candidate", put(CANDIDATE_TAG, input.candidate)),
        ("form", form(task)),
    ]);
    match task {
        JudgeTask::Rubric(rubric) => drop(values.insert("axes", put(AXES_TAG, &axes(rubric)))),
        JudgeTask::Metric(metric) => drop(values.insert("metric", put(METRIC_TAG, metric.name()))),
        JudgeTask::Checklist(items) => {
            let lines = (1..).zip(*items).map(|(number, item)| format!("{number}. {}", one_line(item)));
            values.insert("items", put(ITEMS_TAG, &lines.collect::<Vec<_>>().join("\n")));
        }
        JudgeTask::Pairwise(second) => {
            values.insert("first", put(FIRST_TAG, input.candidate));
            values.insert("second", put(SECOND_TAG, second));
        }
        JudgeTask::Debate { rubric, own, others } => {
            values.insert("axes", put(AXES_TAG, &axes(rubric)));
            values.insert("own", put(OWN_TAG, &argument(own)));
            values.insert("arguments", others.iter().map(|other| put(ARGUMENT_TAG, &argument(other))).collect());
        }
    }
    values.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

/// A candidate cannot know a nonce that depends on all that is judged beside it.
fn nonce_of(input: &JudgeInput<'_>, task: &JudgeTask<'_>) -> String {
    match task {
        JudgeTask::Pairwise(second) => nonce(&[input.question, input.candidate, second]),
        JudgeTask::Debate { own, others, .. } => {
            let said = others.iter().map(|other| argument(other));
            let texts: Vec<String> = [input.question.to_owned(), input.candidate.to_owned(), argument(own)]
                .into_iter()
                .chain(said)
                .collect();
            nonce(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        }
        _ => nonce(&[input.question, input.candidate]),
    }
}

fn axes(rubric: &[String]) -> String {
    let lines = rubric.iter().map(|entry| {
        let (name, meaning) = axis(entry);
        format!("{name}: {}", one_line(meaning))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A judge's statement for the others: the score first, then each axis and the words.
fn argument(answer: &JudgeAnswer) -> String {
    let mut text = format!("overall: {}", answer.overall);
    for (name, axis) in &answer.axes {
        let reason = axis.reason.as_deref().map(|reason| format!(", {}", one_line(reason))).unwrap_or_default();
        let _ = write!(text, "\n{name}: {}{reason}", axis.score);
    }
    if let Some(reason) = &answer.reason {
        let _ = write!(text, "\n{}", one_line(reason));
    }
    text
}

/// The JSON that is asked for.
fn form(task: &JudgeTask<'_>) -> String {
    match task {
        JudgeTask::Rubric(rubric) | JudgeTask::Debate { rubric, .. } => {
            let mut text = "{".to_owned();
            for entry in *rubric {
                let _ = write!(text, "{}: {{\"score\": 0.0, \"reason\": \"…\"}}, ", Value::from(axis(entry).0));
            }
            text + "\"overall\": 0.0}"
        }
        JudgeTask::Metric(JudgedMetric::Hallucination) => {
            "{\"claims\": [{\"claim\": \"…\", \"invented\": false, \"reason\": \"…\"}]}".to_owned()
        }
        JudgeTask::Metric(metric) if metric.is_by_claims() => {
            "{\"claims\": [{\"claim\": \"…\", \"supported\": true, \"reason\": \"…\"}]}".to_owned()
        }
        JudgeTask::Metric(_) => "{\"score\": 0.0, \"reason\": \"…\"}".to_owned(),
        JudgeTask::Checklist(_) => {
            "{\"items\": [{\"item\": 1, \"answer\": \"yes\", \"reason\": \"…\"}, {\"item\": 2, …}]}".to_owned()
        }
        JudgeTask::Pairwise(_) => "{\"winner\": \"first\", \"reason\": \"…\"}".to_owned(),
    }
}

/// What a judge's request asks about, as far as it can be answered without a model.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeRequest {
    /// What was asked.
    pub question: String,
    /// The answer to judge; of two, the one shown first.
    pub candidate: String,
    /// Good answers.
    pub references: Vec<String>,
    /// Passages the answer should rest on.
    pub context: Option<String>,
    /// What is to be done.
    pub task: AskedTask,
}

/// What a judge's request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum AskedTask {
    /// Scores of these axes.
    Rubric(Vec<String>),
    /// A judged metric.
    Metric(JudgedMetric),
    /// Yes or no to so many items.
    Checklist(Vec<String>),
    /// The better of the candidate, shown first, and this answer, shown second.
    Pairwise(String),
    /// Scores of these axes, after a round in which the judge and the others gave these.
    Debate {
        /// The axes.
        rubric: Vec<String>,
        /// Overall scores of the other judges.
        others: Vec<f64>,
    },
}

/// Reads the last user message of a judge's request; nothing where the text is no such request. This is how the
/// simulator knows that it is asked to judge, by a prompt of llmops or by one of the user's own.
pub fn parse_judge_request(text: &str) -> Option<JudgeRequest> {
    let nonce = find_nonce(text, CANDIDATE_TAG).or_else(|| find_nonce(text, FIRST_TAG))?;
    let all = |tag: &str| fenced(text, tag, nonce);
    let rubric = || {
        let axes = all(AXES_TAG).next().unwrap_or_default();
        axes.lines().map(|line| axis(line).0.to_owned()).collect::<Vec<_>>()
    };
    let others: Vec<f64> = all(ARGUMENT_TAG).filter_map(|text| overall_of(&text)).collect();
    let metric = all(METRIC_TAG).next().and_then(|text| JudgedMetric::from_name(&text));
    let task = if let Some(second) = all(SECOND_TAG).next() {
        AskedTask::Pairwise(second)
    } else if !others.is_empty() {
        AskedTask::Debate { rubric: rubric(), others }
    } else if let Some(metric) = metric {
        AskedTask::Metric(metric)
    } else if let Some(items) = all(ITEMS_TAG).next() {
        AskedTask::Checklist(items.lines().map(|line| line.split_once(". ").map_or(line, |l| l.1).to_owned()).collect())
    } else {
        AskedTask::Rubric(rubric())
    };
    Some(JudgeRequest {
        question: all(QUESTION_TAG).next().unwrap_or_default(),
        candidate: all(CANDIDATE_TAG).next().or_else(|| all(FIRST_TAG).next())?,
        references: all(REFERENCE_TAG).collect(),
        context: all(CONTEXT_TAG).next(),
        task,
    })
}

fn overall_of(argument: &str) -> Option<f64> {
    argument.lines().next()?.strip_prefix("overall: ")?.parse().ok()
}
