//! Options of the scorers that are the user's own: a program, an endpoint.
//!
//! Both get a JSON object and answer with another:
//!
//! ```json
//! {"id": "s1", "trial": 0, "category": "…", "input": "…", "messages": [], "output": "the answer", "expected_output": ["…"],
//!  "context": ["…"], "variables": {}, "metadata": {}, "tool_calls": [], "latency_ms": 812.5, "cost": 0.0004}
//! {"score": 0.8, "reason": "why, for people", "detail": {"anything": "else"}}
//! ```
//!
//! `score` is a number from 0 to 1, or `true` or `false`. `{"error": "…"}` instead says that there is no score.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ScorerSpec;
use crate::config::duration::HumanDuration;

/// A scorer that is a program of the user's.
#[derive(Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct CommandScorerSpec {
    /// Program and arguments. It gets a JSON object on standard input and writes `{"score": 0.8, "reason": "…"}`.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// More environment variables. Their values are not stored with runs.
    #[serde(default, skip_serializing)]
    pub env: BTreeMap<String, String>,
    /// Working directory, relative to the project folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The program stays, and answers a line with a line, instead of being started for each answer.
    #[serde(default)]
    pub persistent: bool,
    /// A program that takes longer for an answer is stopped, and the sample is errored.
    #[serde(default = "command_timeout")]
    #[schema(value_type = String)]
    pub timeout: HumanDuration,
    /// Most programs at a time.
    #[serde(default = "command_concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrency: u32,
}

/// A scorer that is an endpoint of the user's.
#[derive(Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct HttpScorerSpec {
    /// Where a JSON object is posted to; the answer is `{"score": 0.8, "reason": "…"}`.
    pub url: String,
    /// Request headers. Their values are not stored with runs.
    #[serde(default, skip_serializing)]
    pub headers: BTreeMap<String, String>,
    /// A request that takes longer has failed.
    #[serde(default = "http_timeout")]
    #[schema(value_type = String)]
    pub timeout: HumanDuration,
    /// How often a failed request is sent again (never after 400, 401, 403, 404).
    #[serde(default = "http_retries")]
    #[schemars(range(max = 20))]
    pub retries: u32,
    /// Most requests at a time.
    #[serde(default = "http_concurrency")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_concurrency: u32,
}

fn command_timeout() -> HumanDuration {
    HumanDuration::from_secs(60)
}

fn command_concurrency() -> u32 {
    4
}

fn http_timeout() -> HumanDuration {
    HumanDuration::from_secs(30)
}

fn http_retries() -> u32 {
    3
}

fn http_concurrency() -> u32 {
    16
}

impl ScorerSpec {
    /// Drops what may be secret: runs are stored, and secrets are not.
    pub fn forget_secrets(&mut self) {
        match self {
            Self::Command(command) => command.env.clear(),
            Self::Http(http) => http.headers.clear(),
            _ => {}
        }
    }
}

impl CommandScorerSpec {
    /// Whether both run the same program in the same place.
    pub fn is_same_program(&self, other: &Self) -> bool {
        (&self.run, &self.cwd) == (&other.run, &other.cwd)
    }
}

/// Without values that may be secret.
impl std::fmt::Debug for CommandScorerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// Without values that may be secret.
impl std::fmt::Debug for HttpScorerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}
