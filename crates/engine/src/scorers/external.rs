//! Scorers of the user's own: a program that gets JSON on standard input, an endpoint that JSON is posted to.
//!
//! What a run names comes over the API, so a program is run only where the configuration of this process names it
//! ([`OwnScorers`]), and an endpoint that it does not name is called only at a public address. Secrets (environment,
//! headers) come from that configuration too: they are not in the run.

use std::sync::{Arc, Mutex, PoisonError};

use llmops_domain::run::MetricScore;
use llmops_domain::scoring::external::{CommandScorerSpec, HttpScorerSpec};
use llmops_domain::scoring::{ScorerSpec, ScoringSpec};
use llmops_providers::http_client::{Endpoint, HttpClient};
use llmops_providers::limiter::{Limiter, Outcome};
use llmops_providers::outbound::Outbound;
use llmops_providers::program::{Conversation, Program};
use llmops_providers::retry::Retry;
use llmops_providers::{ProviderError, Providers};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time;

use super::{ScoreError, Scored, beginning};
use crate::Error;

/// Longest answer of a program or endpoint.
const MAX_ANSWER: usize = 1 << 20;
/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 2_000;

/// The programs and endpoints that the configuration of this process names as scorers.
#[derive(Debug, Clone, Default)]
pub struct OwnScorers {
    commands: Vec<CommandScorerSpec>,
    endpoints: Vec<HttpScorerSpec>,
}

impl OwnScorers {
    /// Those of a configuration.
    pub fn of<'a>(metrics: impl IntoIterator<Item = &'a ScorerSpec>) -> Self {
        let mut own = Self::default();
        for scorer in metrics {
            match scorer {
                ScorerSpec::Command(command) => own.commands.push(command.clone()),
                ScorerSpec::Http(http) => own.endpoints.push(http.clone()),
                _ => {}
            }
        }
        own
    }

    /// Refuses what could not be kept: secrets of a run whose scorer is not configured here.
    pub(crate) fn check(&self, scoring: &ScoringSpec) -> Result<(), Error> {
        for (name, metric) in &scoring.metrics {
            match &metric.scorer {
                ScorerSpec::Command(command) => {
                    self.command(name, command)?;
                }
                ScorerSpec::Http(http) if !http.headers.is_empty() && self.endpoint(http).is_none() => {
                    return Err(Error::invalid(format!(
                        "metric `{name}`: a run cannot bring headers, which are secret"
                    ))
                    .with_hint("name the endpoint with its headers in the llmops.yaml of this process"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn endpoint(&self, wanted: &HttpScorerSpec) -> Option<&HttpScorerSpec> {
        self.endpoints.iter().find(|own| own.url == wanted.url)
    }

    fn command(&self, name: &str, wanted: &CommandScorerSpec) -> Result<&CommandScorerSpec, Error> {
        self.commands.iter().find(|own| own.is_same_program(wanted)).ok_or_else(|| {
            let program = wanted.run.first().map_or("", String::as_str);
            Error::invalid(format!("metric `{name}`: the program `{program}` is not run here")).with_hint(
                "only programs that the llmops.yaml of this process names under scoring.metrics, with the same \
                 arguments, are run",
            )
        })
    }
}

/// A compiled scorer of this kind.
#[expect(clippy::large_enum_variant, reason = "there is one a metric, behind a box")]
pub(super) enum ExternalScorer {
    Command(Command),
    Http(Box<Http>),
}

pub(super) struct Command {
    program: Program,
    spec: CommandScorerSpec,
    places: Semaphore,
    /// Programs that wait for the next line.
    idle: Mutex<Vec<Conversation>>,
}

pub(super) struct Http {
    client: Arc<HttpClient>,
    endpoint: Endpoint,
    spec: HttpScorerSpec,
    limiter: Limiter,
    retry: Retry,
    /// Sends where an endpoint may be that no configuration of ours names.
    guarded: Option<Outbound>,
}

impl ExternalScorer {
    /// Compiles the options; `None` where the scorer is of another kind.
    pub(super) fn compile(
        name: &str,
        spec: &ScorerSpec,
        own: &OwnScorers,
        providers: &Providers,
        outbound: &Outbound,
    ) -> Result<Option<Self>, Error> {
        let wrong = |error: ProviderError| Error::invalid(format!("metric `{name}`: {error}"));
        Ok(Some(match spec {
            ScorerSpec::Command(wanted) => {
                let env = &own.command(name, wanted)?.env;
                let program = Program::new(&wanted.run, env, wanted.cwd.as_deref(), providers.project_dir());
                let places = usize::try_from(wanted.max_concurrency).unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
                Self::Command(Command {
                    program: program.map_err(wrong)?,
                    spec: wanted.clone(),
                    places: Semaphore::new(places),
                    idle: Mutex::default(),
                })
            }
            ScorerSpec::Http(wanted) => {
                let own = own.endpoint(wanted);
                let mut endpoint = Endpoint::new(&wanted.url).map_err(wrong)?;
                for (header, value) in own.iter().flat_map(|own| &own.headers) {
                    endpoint = endpoint.secret_header(header, value, value).map_err(wrong)?;
                }
                Self::Http(Box::new(Http {
                    client: providers.http_client(),
                    endpoint,
                    limiter: Limiter::new(wanted.max_concurrency.max(1)),
                    retry: Retry::new(wanted.retries, u64::from(wanted.retries)),
                    spec: wanted.clone(),
                    guarded: own.is_none().then(|| outbound.clone()),
                }))
            }
            _ => return Ok(None),
        }))
    }

    /// Scores an answer.
    pub(super) async fn score(&self, name: &str, scored: Scored<'_>) -> Result<MetricScore, ScoreError> {
        let question = question(scored).to_string().into_bytes();
        let (who, answer) = match self {
            Self::Command(command) => (format!("`{}`", command.program.name()), command.ask(question).await),
            Self::Http(http) => (http.endpoint.name(), http.ask(question).await),
        };
        let answer = answer.map_err(|error| failed(name, &error))?;
        read(&answer).map_err(|(reason, message)| {
            ScoreError::new(format!("{name}: {reason}"), format!("{who} as `{name}` gave no score: {message}"))
        })
    }
}

fn failed(name: &str, error: &ProviderError) -> ScoreError {
    let what = error.reason();
    let what = what.strip_prefix("provider: ").unwrap_or(&what);
    ScoreError {
        reason: format!("{name}: {what}"),
        message: format!("the scorer `{name}` failed: {error}"),
        unavailable: error.is_unavailable(),
    }
}

/// What a program or endpoint is told.
fn question(scored: Scored<'_>) -> Value {
    let sample = scored.sample;
    json!({
        "id": sample.id,
        "trial": scored.trial,
        "category": sample.category,
        "input": sample.input,
        "messages": sample.messages,
        "output": scored.output,
        "expected_output": sample.expected_output,
        "reference": sample.expected_output.first(),
        "context": sample.context,
        "variables": sample.variables,
        "metadata": sample.metadata,
        "tool_calls": scored.response.tool_calls,
        "latency_ms": scored.response.latency_ms,
        "cost": scored.cost.unwrap_or_default(),
    })
}

impl Command {
    async fn ask(&self, question: Vec<u8>) -> Result<Vec<u8>, ProviderError> {
        let _place = self.places.acquire().await;
        let asking = async {
            if !self.spec.persistent {
                return self.program.run(&question, &[], MAX_ANSWER).await;
            }
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            // One that waited for the next line may have ended meanwhile, which says nothing about this answer.
            let (mut program, is_new) = match idle {
                Some(program) => (program, false),
                None => (self.program.converse()?, true),
            };
            let mut answer = program.ask(&question, MAX_ANSWER).await;
            if answer.is_err() && !is_new {
                program = self.program.converse()?;
                answer = program.ask(&question, MAX_ANSWER).await;
            }
            if answer.is_ok() {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(program);
            }
            answer
        };
        // A program that is late is killed as its conversation is dropped.
        let after = self.spec.timeout.0;
        time::timeout(after, asking).await.unwrap_or(Err(ProviderError::Timeout { after }))
    }
}

impl Http {
    async fn ask(&self, question: Vec<u8>) -> Result<Vec<u8>, ProviderError> {
        let after = self.spec.timeout.0;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let permit = self.limiter.acquire().await;
            let result = if let Some(outbound) = &self.guarded {
                outbound.post_json(&self.endpoint, question.clone(), after).await
            } else {
                let sending = self.client.post_json(&self.endpoint, question.clone());
                time::timeout(after, sending).await.unwrap_or(Err(ProviderError::Timeout { after }))
            };
            permit.finish(Outcome::of(&result));
            let error = match result {
                Ok(reply) if reply.body.len() > MAX_ANSWER => {
                    return Err(ProviderError::TooLarge { endpoint: self.endpoint.name(), limit: MAX_ANSWER });
                }
                Ok(reply) => return Ok(reply.body.to_vec()),
                Err(error) => error,
            };
            let Some(delay) = self.retry.delay(&error, attempts) else { return Err(error) };
            time::sleep(delay).await;
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    score: Option<Value>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    detail: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

/// Reads an answer. Errors: a short reason to count by, and the whole story. Nothing is ever guessed.
fn read(answer: &[u8]) -> Result<MetricScore, (&'static str, String)> {
    let unreadable = |message: String| ("unreadable answer", message);
    let shown = || beginning(&String::from_utf8_lossy(&answer[..answer.len().min(1000)]), 200);
    if answer.iter().all(u8::is_ascii_whitespace) {
        return Err(unreadable("it answered with nothing; expected {\"score\": 0.8, \"reason\": \"…\"}".to_owned()));
    }
    let read: Answer = serde_json::from_slice(answer).map_err(|error| {
        unreadable(format!("expected {{\"score\": 0.8, \"reason\": \"…\"}} ({error}), got: {}", shown()))
    })?;
    if let Some(error) = read.error.filter(|error| !error.is_null()) {
        let error = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        return Err(("no score", beginning(&error, MAX_REASON)));
    }
    let score = match read.score {
        Some(Value::Bool(yes)) => f64::from(u8::from(yes)),
        Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
        Some(other) => return Err(unreadable(format!("`score` is {other}: expected a number from 0 to 1"))),
        None => return Err(unreadable(format!("it has no `score`: {}", shown()))),
    };
    if !(0.0..=1.0).contains(&score) {
        return Err(("out of range", format!("`score` is {score}: expected a number from 0 to 1")));
    }
    let reason = read.reason.filter(|reason| !reason.trim().is_empty()).map(|reason| beginning(&reason, MAX_REASON));
    Ok(MetricScore { score, reason, detail: read.detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_or_refused() {
        let check = |answer: &str, expected: Result<f64, &str>| {
            let read = read(answer.as_bytes());
            assert_eq!(read.map(|s| s.score).map_err(|(reason, _)| reason), expected, "{answer}");
        };
        check(r#"{"score": 0.25, "reason": "so", "detail": [1]}"#, Ok(0.25));
        check("{\"score\": 1}\n", Ok(1.0));
        check(r#"{"score": true, "other": 1}"#, Ok(1.0));
        check(r#"{"score": false, "error": null}"#, Ok(0.0));
        check("", Err("unreadable answer"));
        check(" \n", Err("unreadable answer"));
        check("0.5", Err("unreadable answer"));
        check("{}", Err("unreadable answer"));
        check(r#"{"score": null}"#, Err("unreadable answer"));
        check(r#"{"score": "0.5"}"#, Err("unreadable answer"));
        check(r#"{"score": NaN}"#, Err("unreadable answer"));
        check(r#"{"score": 1.5}"#, Err("out of range"));
        check(r#"{"score": -0.1}"#, Err("out of range"));
        check(r#"{"score": 1e999}"#, Err("unreadable answer"));
        check(r#"{"error": "no model"}"#, Err("no score"));
        check("{\"score\": 1} {\"score\": 0}", Err("unreadable answer"));
    }
}
