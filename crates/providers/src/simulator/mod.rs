//! The simulated provider: scripted answers, quality, latency and faults, all functions of the seed and the request.
//!
//! * **Answer.** The script's line whose input is the last user message, or the longest that is contained in it
//!   ([`Script::parse`]); without one, a paraphrase of the message, wrapped as `{"answer": …}` where a JSON
//!   `response_format` is asked for. `stop` and `max_tokens` are honoured.
//!   What a JSON schema or a demanded call of a tool (`tool_choice`) asks for is made to fit it, unless the script answers.
//! * **Quality.** A share of answers is made worse ([`Degradation`]). Judgements never are.
//! * **Judge.** A request that carries a candidate between the fences of `llmops_domain::judge` is answered with what it
//!   asks for: a rubric, claims, a checklist, the better of two answers, a revised score of a debate.
//!   `judge`, and `judges` for single models, make it biased, noisy, a liar, or break the format.
//! * **Tokens.** One per four characters, rounded up, and three more for each message read.
//! * **Latency.** Fixed, or log-normal around its median. Reported, not measured, where the call stays in the process.
//! * **Faults.** Drawn per attempt: the simulator counts how often it was asked the same, so that a retry can succeed.
//!
//! The same request is: the same model, roles and texts of all messages, `seed` parameter and, within the process, trial.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse, ToolCall, Usage};
use llmops_domain::config::providers::{SimulatedJudge, SimulatorConfig};

use crate::provider::{ChatProvider, ProviderError};

mod body;
mod containment;
mod degrade;
mod draw;
mod embeddings;
mod fault;
mod judge;
mod made;
mod paraphrase;
mod request_log;
mod script;
pub mod server;
mod wire;

pub use degrade::Degradation;
pub use draw::RequestKey;
pub use fault::Fault;
pub use script::{Script, ScriptError};

use draw::Purpose;

/// A simulated provider.
pub struct Simulator {
    config: SimulatorConfig,
    script: Script,
    /// How often each request was seen; kept only where faults are configured.
    seen: Option<Mutex<HashMap<RequestKey, u32>>>,
}

/// What the simulator would send.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedAnswer {
    /// The text; empty beside tool calls of a script without text.
    pub text: String,
    /// Tool calls of the script.
    pub tool_calls: Vec<ToolCall>,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: &'static str,
    /// Tokens.
    pub usage: Usage,
    /// How long it takes.
    pub latency: Duration,
    /// What goes wrong instead of or while sending it.
    pub fault: Option<Fault>,
    /// How it was made worse.
    pub degradation: Option<Degradation>,
    /// Whether it judges another answer.
    pub judgement: bool,
    /// The identity of the request.
    pub key: RequestKey,
}

/// Why there is no simulator.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The script's file cannot be read.
    #[error("cannot read the script {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The script has lines that cannot be used.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A knob is out of its range.
    #[error("{0}")]
    Knob(String),
}

impl Simulator {
    /// Makes a simulator and reads its script, whose path is relative to `project_dir`.
    ///
    /// # Errors
    /// A script that cannot be read, or a knob out of its range.
    pub fn load(config: SimulatorConfig, project_dir: &Path) -> Result<Self, SimulatorError> {
        let script = match &config.script {
            Some(path) => {
                let read = std::fs::read_to_string(project_dir.join(path));
                let text = read.map_err(|source| SimulatorError::Read { path: path.clone(), source })?;
                Script::parse(path, &text)?
            }
            None => Script::default(),
        };
        Self::new(config, script)
    }

    /// Makes a simulator with a script that is already read; the `script` of `config` is not looked at.
    ///
    /// # Errors
    /// A knob out of its range.
    pub fn new(config: SimulatorConfig, script: Script) -> Result<Self, SimulatorError> {
        if let Some(problem) = knob_problems(&config).into_iter().next() {
            return Err(SimulatorError::Knob(problem));
        }
        let faults = config.faults != llmops_domain::config::providers::FaultRates::default();
        Ok(Self { config, script, seen: faults.then(Mutex::default) })
    }

    /// What the simulator sends when it is asked `request` for the time number `attempt` (from 0).
    pub fn answer(&self, request: &ChatRequest, attempt: u32) -> SimulatedAnswer {
        self.answer_to(RequestKey::new(self.config.seed, request), request, attempt)
    }

    /// [`Simulator::answer`] with the attempt counted by the simulator itself. Gives the attempt back too.
    pub fn next_answer(&self, request: &ChatRequest) -> (SimulatedAnswer, u32) {
        let key = RequestKey::new(self.config.seed, request);
        let attempt = self.seen.as_ref().map_or(0, |seen| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.entry(key).or_default();
            *count += 1;
            *count - 1
        });
        (self.answer_to(key, request, attempt), attempt)
    }

    /// How long a simulated 429 asks to be left alone.
    pub fn retry_after(&self) -> Duration {
        self.config.retry_after.0
    }

    /// The models that the script names, sorted. Every other name is answered too.
    pub fn models(&self) -> Vec<&str> {
        self.script.models()
    }

    fn answer_to(&self, key: RequestKey, request: &ChatRequest, attempt: u32) -> SimulatedAnswer {
        let message = request.last_user_text();
        let judgement = judge::answer(self.character(&request.model), key, &message, |question| {
            self.script.find(request, question).map(|line| line.answer.clone())
        });
        let mut answer = SimulatedAnswer {
            text: String::new(),
            tool_calls: Vec::new(),
            finish_reason: "stop",
            usage: Usage::default(),
            latency: self.latency(key, attempt),
            fault: Fault::draw(&self.config.faults, key, attempt),
            degradation: None,
            judgement: judgement.is_some(),
            key,
        };
        if let Some(text) = judgement {
            answer.text = text;
        } else {
            self.write(key, request, &message, &mut answer);
        }
        answer.usage = Usage::new(
            request.messages.iter().map(|m| tokens(&m.as_text()) + 3).sum(),
            tokens(&answer.text) + answer.tool_calls.iter().map(|call| tokens(&call.function.arguments)).sum::<u64>(),
        );
        answer
    }

    fn character(&self, model: &str) -> &SimulatedJudge {
        self.config.judges.get(model).unwrap_or(&self.config.judge)
    }

    fn write(&self, key: RequestKey, request: &ChatRequest, message: &str, answer: &mut SimulatedAnswer) {
        answer.degradation = degrade::draw(key, self.config.quality);
        if let Some(line) = self.script.find(request, message) {
            answer.text.clone_from(&line.answer);
            answer.tool_calls.clone_from(&line.tool_calls);
        } else {
            let said = paraphrase::paraphrase(key, message);
            if let Some(call) = made::demanded_call(request, &said) {
                answer.tool_calls.push(call);
            } else if let Some(schema) = made::answer_schema(request) {
                answer.text = made::instance(schema, &said).to_string();
            } else if wants_json(request) {
                answer.text = serde_json::json!({ "answer": said }).to_string();
            } else {
                answer.text = said;
            }
        }
        if let Some(degradation) = answer.degradation {
            answer.text = degrade::apply(degradation, key, &self.script, &answer.text);
            answer.tool_calls.clear();
            if degradation == Degradation::Truncated {
                answer.finish_reason = "length";
            }
        }
        if !answer.tool_calls.is_empty() {
            answer.finish_reason = "tool_calls";
        }
        shorten(request, answer);
    }

    fn latency(&self, key: RequestKey, attempt: u32) -> Duration {
        let Some(median) = self.config.latency.map(|latency| latency.0).filter(|latency| !latency.is_zero()) else {
            return Duration::ZERO;
        };
        if self.config.latency_sigma <= 0.0 {
            return median;
        }
        // Box–Muller; 1 − u keeps the logarithm finite.
        let radius = (-2.0 * (1.0 - key.unit(Purpose::Latency, attempt)).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * key.unit(Purpose::LatencyAngle, attempt)).cos();
        let seconds = median.as_secs_f64() * (self.config.latency_sigma * normal).exp();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[async_trait]
impl ChatProvider for Simulator {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let (answer, _) = self.next_answer(request);
        if !answer.latency.is_zero() {
            tokio::time::sleep(answer.latency).await;
        }
        if let Some(fault) = answer.fault {
            return match fault.error(self.retry_after()) {
                Some(error) => Err(error),
                None => std::future::pending().await,
            };
        }
        Ok(ChatResponse {
            text: answer.text,
            tool_calls: answer.tool_calls,
            finish_reason: Some(answer.finish_reason.to_owned()),
            model: request.model.clone(),
            usage: answer.usage,
            latency_ms: answer.latency.as_secs_f64() * 1000.0,
        })
    }

    /// It is cheaper to ask again, and its knobs are no part of a request.
    fn cacheable(&self) -> bool {
        false
    }
}

/// Knobs that are out of their range.
pub(crate) fn knob_problems(config: &SimulatorConfig) -> Vec<String> {
    let faults = &config.faults;
    let shares = [
        ("quality", config.quality),
        ("faults.rate_limit", faults.rate_limit),
        ("faults.server_error", faults.server_error),
        ("faults.hang", faults.hang),
        ("faults.cut", faults.cut),
        ("faults.garbage", faults.garbage),
        ("faults.reset", faults.reset),
        ("faults.drip", faults.drip),
    ];
    let mut problems: Vec<String> = shares
        .iter()
        .filter(|(_, share)| !(0.0..=1.0).contains(share))
        .map(|(name, share)| format!("`{name}` is {share}; it must lie between 0 and 1"))
        .collect();
    let sum: f64 = shares[1..].iter().map(|(_, share)| share).sum();
    if sum > 1.0 + 1e-9 {
        problems.push(format!("the shares of `faults` sum to {sum}; together they must be at most 1"));
    }
    if !(0.0..=5.0).contains(&config.latency_sigma) {
        problems.push(format!("`latency_sigma` is {}; it must lie between 0 and 5", config.latency_sigma));
    }
    problems.extend(character_problems("judge", &config.judge));
    for (model, character) in &config.judges {
        problems.extend(character_problems(&format!("judges.{model}"), character));
    }
    problems
}

fn character_problems(at: &str, judge: &SimulatedJudge) -> Vec<String> {
    let knobs = [
        ("bias", judge.bias, -1.0),
        ("noise", judge.noise, 0.0),
        ("score", judge.score.unwrap_or(0.0), 0.0),
        ("position_bias", judge.position_bias, 0.0),
        ("sway", judge.sway, 0.0),
    ];
    let out = knobs.into_iter().filter(|(_, value, least)| !(*least..=1.0).contains(value));
    out.map(|(name, value, least)| format!("`{at}.{name}` is {value}; it must lie between {least} and 1")).collect()
}

fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

fn wants_json(request: &ChatRequest) -> bool {
    let kind = request.response_format.as_ref().and_then(|format| format.get("type")?.as_str());
    matches!(kind, Some("json_object" | "json_schema"))
}

/// Ends the text before the first stop sequence and at the token limit.
fn shorten(request: &ChatRequest, answer: &mut SimulatedAnswer) {
    let stops = request.parameters.stop.iter().filter(|stop| !stop.is_empty());
    if let Some(at) = stops.filter_map(|stop| answer.text.find(stop.as_str())).min() {
        answer.text.truncate(at);
    }
    let Some(max) = request.parameters.max_tokens else { return };
    let chars = usize::try_from(max).unwrap_or(usize::MAX).saturating_mul(4);
    // A text of no more bytes cannot have more characters.
    if answer.text.len() <= chars {
        return;
    }
    if let Some((at, _)) = answer.text.char_indices().nth(chars) {
        answer.text.truncate(at);
        answer.finish_reason = "length";
    }
}
