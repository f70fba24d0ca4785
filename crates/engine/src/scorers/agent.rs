//! Scorers that look at the tools an answer called, and at the conversation it ends.

use llmops_domain::chat::{self, Role};
use llmops_domain::dataset::Sample;
use llmops_domain::run::MetricScore;
use llmops_domain::scoring::ScorerSpec;
use llmops_domain::scoring::agent::{self as spec, EXPECTED_TOOL_CALLS, ExpectedCall, TrajectorySpec};
use llmops_metrics::conversation::{self, ConversationChecks};
use llmops_metrics::json_fields::JsonFields;
use llmops_metrics::json_valid::{Wrapping, unwrap_json};
use llmops_metrics::numeric_match::NumericMatch;
use llmops_metrics::tool_call::{ArgumentMatch, CallOrder, ToolCall, ToolCallMatch};
use llmops_metrics::trajectory::{TrajectoryLimits, TrajectoryMode, trajectory_match};
use llmops_metrics::{Check, Prf};
use serde_json::{Value, json};

use super::compare::tolerance;
use super::list::share;
use super::{ScoreError, Scored};
use crate::Error;

/// A compiled scorer of this kind.
pub(super) enum AgentScorer {
    ToolCall { matcher: ToolCallMatch, calls: Option<Vec<ToolCall>>, score: llmops_domain::scoring::compare::ListScore },
    Trajectory { spec: TrajectorySpec, limits: TrajectoryLimits, calls: Option<Vec<ToolCall>> },
    Conversation(ConversationChecks),
}

impl AgentScorer {
    /// Compiles the options; `None` where the scorer is of another kind.
    pub(super) fn compile(name: &str, spec: &ScorerSpec) -> Result<Option<Self>, Error> {
        Ok(Some(match spec {
            ScorerSpec::ToolCall(spec) => Self::ToolCall {
                matcher: ToolCallMatch {
                    arguments: arguments(spec.arguments),
                    order: match spec.order {
                        spec::CallOrder::Same => CallOrder::Same,
                        spec::CallOrder::Any => CallOrder::Any,
                    },
                    values: JsonFields {
                        lenient_strings: spec.lenient_strings,
                        numbers: NumericMatch { absolute: tolerance(name, spec.absolute)?, ..NumericMatch::default() },
                        ..JsonFields::default()
                    },
                },
                calls: spec.calls.as_deref().map(expected_calls),
                score: spec.score,
            },
            ScorerSpec::Trajectory(spec) => {
                if spec.is_empty() {
                    return Err(Error::invalid(format!("metric `{name}`: nothing is checked")));
                }
                let calls = spec.calls.as_deref().map(expected_calls);
                Self::Trajectory { limits: limits(spec), spec: spec.clone(), calls }
            }
            ScorerSpec::Conversation(spec) => {
                if spec.is_empty() {
                    return Err(Error::invalid(format!("metric `{name}`: nothing is checked")));
                }
                Self::Conversation(ConversationChecks {
                    min_turns: spec.min_turns.map(count),
                    max_turns: spec.max_turns.map(count),
                    answered: spec.answered,
                    max_similarity: spec.max_similarity,
                    mentions: spec.mentions.clone(),
                    forbidden: spec.forbidden.clone(),
                })
            }
            _ => return Ok(None),
        }))
    }

    /// Scores an answer.
    pub(super) fn score(&self, name: &str, scored: Scored<'_>) -> Result<MetricScore, ScoreError> {
        match self {
            Self::ToolCall { matcher, calls, score } => {
                let expected = expected(name, calls.as_deref(), scored.sample)?;
                let made = made_calls(scored);
                let result = matcher.score(&made, &expected);
                let value = share(*score, result);
                let Prf { precision, recall, f1 } = result;
                Ok(MetricScore {
                    score: value,
                    reason: (value < 1.0).then(|| format!("called {}, expected {}", said(&made), said(&expected))),
                    detail: Some(json!({"precision": precision, "recall": recall, "f1": f1, "calls": made})),
                })
            }
            Self::Trajectory { spec, limits, calls } => {
                let made = made_calls(scored);
                let mut checks = limits.check(&made);
                if let Some(mode) = spec.mode {
                    let expected = expected(name, calls.as_deref(), scored.sample)?;
                    let matcher = ToolCallMatch { arguments: arguments(spec.arguments), ..ToolCallMatch::default() };
                    let holds = trajectory_match(&made, &expected, trajectory_mode(mode), &matcher) == 1.0;
                    checks.push(Check::new(
                        "path",
                        holds,
                        format!("called {}, expected {}", said(&made), said(&expected)),
                    ));
                }
                Ok(of_checks(&checks))
            }
            Self::Conversation(conversation) => Ok(of_checks(&check_conversation(conversation, scored))),
        }
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn arguments(spec: spec::ArgumentMatch) -> ArgumentMatch {
    match spec {
        spec::ArgumentMatch::Exact => ArgumentMatch::Exact,
        spec::ArgumentMatch::Subset => ArgumentMatch::Subset,
        spec::ArgumentMatch::Ignore => ArgumentMatch::Ignore,
    }
}

fn trajectory_mode(spec: spec::TrajectoryMode) -> TrajectoryMode {
    match spec {
        spec::TrajectoryMode::Strict => TrajectoryMode::Strict,
        spec::TrajectoryMode::Unordered => TrajectoryMode::Unordered,
        spec::TrajectoryMode::Subset => TrajectoryMode::Subset,
        spec::TrajectoryMode::Superset => TrajectoryMode::Superset,
    }
}

fn limits(spec: &TrajectorySpec) -> TrajectoryLimits {
    TrajectoryLimits {
        max_calls: spec.max_calls.map(count),
        required: spec.required.clone(),
        forbidden: spec.forbidden.clone(),
        max_repeats: spec.max_repeats.map(count),
    }
}

fn expected_calls(calls: &[ExpectedCall]) -> Vec<ToolCall> {
    let call = |call: &ExpectedCall| match call {
        ExpectedCall::Name(name) => ToolCall::new(name, Value::Null),
        ExpectedCall::Call { name, arguments } => ToolCall::new(name, arguments.clone()),
    };
    calls.iter().map(call).collect()
}

/// The calls that are expected of an answer: the metric's own, else the sample's.
fn expected(name: &str, own: Option<&[ToolCall]>, sample: &Sample) -> Result<Vec<ToolCall>, ScoreError> {
    if let Some(own) = own {
        return Ok(own.to_vec());
    }
    let wrong = |why: &str| {
        let message = format!("the sample `{}` {why} `{EXPECTED_TOOL_CALLS}`, which `{name}` compares with", sample.id);
        ScoreError::new(format!("{name}: no expected tool calls"), message)
    };
    let written = sample.metadata.get(EXPECTED_TOOL_CALLS).ok_or_else(|| wrong("has no"))?;
    calls_in(written).ok_or_else(|| wrong("has no list of calls (names, or {name, arguments}) as"))
}

/// The calls that an answer made. Applications and programs that answer with text may write them as JSON: a list of calls,
/// or a map with `tool_calls`.
fn made_calls(scored: Scored<'_>) -> Vec<ToolCall> {
    if !scored.response.tool_calls.is_empty() {
        return scored.response.tool_calls.iter().map(made_call).collect();
    }
    let text = unwrap_json(scored.output, Wrapping::Fence);
    if !text.starts_with(['[', '{']) {
        return Vec::new();
    }
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    calls_in(document.get("tool_calls").unwrap_or(&document)).unwrap_or_default()
}

fn made_call(call: &chat::ToolCall) -> ToolCall {
    ToolCall::new(&call.function.name, parsed(&call.function.arguments))
}

/// Arguments as models write them: JSON as text. What is no JSON stays text and equals nothing but itself.
fn parsed(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Null;
    }
    serde_json::from_str(arguments).unwrap_or_else(|_| Value::from(arguments))
}

/// A list of calls: names, `{name, arguments}`, or as providers write them, `{function: {name, arguments}}`.
fn calls_in(value: &Value) -> Option<Vec<ToolCall>> {
    let call = |item: &Value| {
        if let Value::String(name) = item {
            return Some(ToolCall::new(name, Value::Null));
        }
        let call = item.get("function").unwrap_or(item);
        let arguments = match call.get("arguments").or_else(|| call.get("args")) {
            Some(Value::String(text)) => parsed(text),
            Some(other) => other.clone(),
            None => Value::Null,
        };
        Some(ToolCall::new(call.get("name")?.as_str()?, arguments))
    };
    value.as_array()?.iter().map(call).collect()
}

fn said(calls: &[ToolCall]) -> String {
    let call = |call: &ToolCall| match &call.arguments {
        Value::Null => format!("{}()", call.name),
        arguments => format!("{}({arguments})", call.name),
    };
    if calls.is_empty() { "nothing".to_owned() } else { calls.iter().map(call).collect::<Vec<_>>().join(", ") }
}

fn check_conversation(checks: &ConversationChecks, scored: Scored<'_>) -> Vec<Check> {
    let sample = scored.sample;
    let texts: Vec<_> = sample.messages.iter().map(|message| (role(message.role), message.as_text())).collect();
    let mut messages: Vec<conversation::Message<'_>> =
        texts.iter().map(|(role, text)| conversation::Message { role: *role, content: text }).collect();
    if !sample.input.is_empty() {
        messages.push(conversation::Message { role: conversation::Role::User, content: &sample.input });
    }
    messages.push(conversation::Message { role: conversation::Role::Assistant, content: scored.output });
    checks.check(&messages)
}

fn role(role: Role) -> conversation::Role {
    match role {
        Role::System | Role::Developer => conversation::Role::System,
        Role::User => conversation::Role::User,
        Role::Assistant => conversation::Role::Assistant,
        Role::Tool => conversation::Role::Tool,
    }
}

fn of_checks(checks: &[Check]) -> MetricScore {
    let failed: Vec<String> =
        checks
            .iter()
            .filter(|check| !check.passed)
            .map(|check| {
                if check.detail.is_empty() {
                    check.name.to_owned()
                } else {
                    format!("{}: {}", check.name, check.detail)
                }
            })
            .collect();
    let detail: Vec<Value> =
        checks.iter().map(|c| json!({"check": c.name, "passed": c.passed, "detail": c.detail})).collect();
    MetricScore {
        score: Check::share_passed(checks).unwrap_or(1.0),
        reason: (!failed.is_empty()).then(|| failed.join("; ")),
        detail: Some(json!({"checks": detail})),
    }
}
