//! The `providers` section: who answers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::HumanDuration;

/// One provider. Models are named `NAME/model`, where `NAME` is its key in the section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ProviderConfig {
    /// OpenAI, or anything that speaks its wire format (set `base_url`).
    Openai(RemoteConfig),
    /// Azure OpenAI: `base_url` names the resource, the model is the deployment.
    Azure(RemoteConfig),
    /// Mistral.
    Mistral(RemoteConfig),
    /// Groq.
    Groq(RemoteConfig),
    /// OpenRouter.
    Openrouter(RemoteConfig),
    /// DeepSeek.
    Deepseek(RemoteConfig),
    /// Together AI.
    Together(RemoteConfig),
    /// Fireworks AI.
    Fireworks(RemoteConfig),
    /// xAI.
    Xai(RemoteConfig),
    /// Cohere, by its OpenAI-compatible endpoint.
    Cohere(RemoteConfig),
    /// A vLLM server.
    Vllm(RemoteConfig),
    /// An Ollama server.
    Ollama(RemoteConfig),
    /// Anthropic's Messages API.
    Anthropic(RemoteConfig),
    /// Google's Gemini API.
    Gemini(RemoteConfig),
    /// The user's own application over HTTP.
    Http(HttpConfig),
    /// The user's own program: prompt on standard input, answer on standard output.
    Command(CommandConfig),
    /// Answers that are already in a file.
    Outputs(OutputsConfig),
    /// The built-in simulated provider.
    Simulator(SimulatorConfig),
}

/// How hard a provider is pushed and how long it may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CallLimits {
    /// Most calls at a time. The number in use adapts below it to what the provider bears.
    #[schemars(range(min = 1, max = 4096))]
    pub max_concurrency: u32,
    /// A call that takes longer has failed.
    pub timeout: HumanDuration,
    /// How often a failed call is tried again (never after 400, 401, 403, 404).
    #[schemars(range(min = 0, max = 20))]
    pub retries: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { max_concurrency: 16, timeout: HumanDuration::from_secs(60), retries: 3 }
    }
}

/// A model provider on the network.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RemoteConfig {
    /// Secret key, usually `"${OPENAI_API_KEY}"`.
    #[serde(skip_serializing)]
    pub api_key: Option<String>,
    /// Where the API lives, up to and with the version (`https://api.openai.com/v1`).
    pub base_url: Option<String>,
    /// More request headers.
    #[serde(skip_serializing)]
    pub headers: BTreeMap<String, String>,
    /// OpenAI organisation.
    pub organization: Option<String>,
    /// OpenAI project.
    pub project: Option<String>,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// Concurrency, timeout, retries.
    #[serde(flatten)]
    pub limits: CallLimits,
}

/// The user's own application over HTTP.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpConfig {
    /// Where requests go.
    pub url: String,
    /// Request method.
    #[serde(default = "post")]
    pub method: String,
    /// Request headers.
    #[serde(default, skip_serializing)]
    pub headers: BTreeMap<String, String>,
    /// Template of the body, over `input`, `prompt` (the last user message, as the prompt renders it), `messages`, `system`,
    /// `model`, `parameters` and the sample's variables.
    #[serde(default = "default_body")]
    pub body: String,
    /// JSON path of the answer in the response; absent: the whole body is the answer.
    #[serde(default)]
    pub answer: Option<String>,
    /// Concurrency, timeout, retries.
    #[serde(flatten)]
    pub limits: CallLimits,
}

/// Shows what may be written to a file: keys, headers and variables are secret.
fn debug_without_secrets<T: Serialize>(value: &T, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    f.write_str(&serde_json::to_string(value).map_err(|_| std::fmt::Error)?)
}

impl std::fmt::Debug for RemoteConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug_without_secrets(self, f)
    }
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug_without_secrets(self, f)
    }
}

impl std::fmt::Debug for CommandConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug_without_secrets(self, f)
    }
}

fn post() -> String {
    "POST".to_owned()
}

fn default_body() -> String {
    "{\"input\": {{ input | tojson }}}".to_owned()
}

/// The user's own program.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandConfig {
    /// Program and arguments.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// More environment variables.
    #[serde(default, skip_serializing)]
    pub env: BTreeMap<String, String>,
    /// Working directory, relative to the project folder.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Concurrency, timeout, retries.
    #[serde(flatten)]
    pub limits: CallLimits,
}

/// Answers that are already in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputsConfig {
    /// JSONL with lines `{"id": …, "output": …}`, relative to the project folder.
    pub path: String,
}

/// The built-in simulated provider. Everything is a function of the seed and the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SimulatorConfig {
    /// JSONL with lines `{"input": …, "answer": …}`, relative to the project folder. Absent: answers by rule.
    pub script: Option<String>,
    /// Seed.
    pub seed: u64,
    /// Share of answers that are good; the others are wrong, truncated, refused, empty or malformed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: f64,
    /// Time to answer: a fixed duration, or the median where `latency_sigma` is set. Absent: none.
    pub latency: Option<HumanDuration>,
    /// Spread of a log-normal latency around `latency` (σ of the logarithm; 0: fixed).
    #[schemars(range(min = 0.0, max = 5.0))]
    pub latency_sigma: f64,
    /// Faults by kind and share.
    pub faults: FaultRates,
    /// How long a simulated 429 asks to be left alone.
    pub retry_after: HumanDuration,
    /// How it judges when it is asked to judge another answer.
    pub judge: SimulatedJudge,
    /// How single models judge, by name, such as `{liar: {mode: liar}}` for `NAME/liar`. They take nothing from `judge`.
    pub judges: BTreeMap<String, SimulatedJudge>,
    /// Concurrency, timeout, retries.
    #[serde(flatten)]
    pub limits: CallLimits,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            script: None,
            seed: 0,
            quality: 1.0,
            latency: None,
            latency_sigma: 0.0,
            faults: FaultRates::default(),
            retry_after: HumanDuration::from_secs(1),
            judge: SimulatedJudge::default(),
            judges: BTreeMap::new(),
            limits: CallLimits::default(),
        }
    }
}

/// The character of a simulated judge. Without any key it is honest: its score is how much of the reference (or of the
/// context) the candidate has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedJudge {
    /// Whether it is honest.
    pub mode: JudgeMode,
    /// Added to every score, which then keeps to 0 … 1; from -1 to 1.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub bias: f64,
    /// Half the width of an even spread around every score, drawn from the seed and the request.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub noise: f64,
    /// The score it gives whatever it reads. Absent: an honest judge scores, a liar turns its score upside down.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: Option<f64>,
    /// Share of comparisons in which the answer shown first wins whatever it says.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub position_bias: f64,
    /// In a debate, how far it moves to the median of the others' scores in each round: 0 holds on to what it found, 1
    /// takes theirs.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sway: f64,
}

/// How a simulated judge answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JudgeMode {
    /// What it finds.
    #[default]
    Honest,
    /// The opposite of what it finds: `1 − score`, or `score` where that is given; the worse of two answers; yes for no.
    Liar,
    /// Prose without the JSON that it is asked for.
    Broken,
}

/// Shares of requests that meet a fault, each from 0 to 1, together at most 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRates {
    /// 429 with Retry-After.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate_limit: f64,
    /// 500.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub server_error: f64,
    /// No answer, ever.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hang: f64,
    /// The connection is cut in the middle of the answer.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cut: f64,
    /// A 200 whose body is not JSON.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub garbage: f64,
    /// The connection is closed before any answer.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub reset: f64,
    /// The answer comes one byte at a time, five a second.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub drip: f64,
}

/// USD per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For tokens read.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// For tokens written.
    #[schemars(range(min = 0.0))]
    pub output: f64,
    /// For tokens read that the provider had in its cache; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cached_input: Option<f64>,
    /// For tokens read that the provider put into its cache; absent: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cache_write: Option<f64>,
}
