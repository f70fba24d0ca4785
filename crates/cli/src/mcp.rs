//! The Model Context Protocol: JSON-RPC messages about tools, over whatever carries them.
//!
//! Tools are rows of a table (`tools`): a row is an operation of the API, so that what an assistant may do is what its
//! key's role may do.

mod tools;

use llmops_api::Client;
use llmops_domain::access::Role;
use serde_json::{Value, json};

use self::tools::{TOOLS, Tool};
use crate::commands::{Context, eval};
use crate::project::Project;

/// Versions of the protocol that are spoken, the newest first.
const VERSIONS: [&str; 3] = ["2025-06-18", "2025-03-26", "2024-11-05"];
/// Longest text of a tool's answer, in bytes: what is longer fills an assistant's window with nothing else.
const MAX_TEXT: usize = 100_000;

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

const INSTRUCTIONS: &str = "llmops keeps versioned prompts, evaluation runs with their scores, the gate that decides \
    whether a run is good enough, deployments of live traffic and records of its calls. Numbers come with n and a 95 % \
    interval: do not call a difference real whose interval reaches 0. `rollback` changes what answers users.";

/// What answers messages.
pub(crate) struct Server<'a> {
    pub(crate) client: Client,
    pub(crate) project: &'a Project,
    pub(crate) context: &'a Context,
    /// What the caller may do.
    pub(crate) role: Role,
}

/// Why a call came to nothing, for the assistant to read.
struct Refused(String);

impl Server<'_> {
    /// The answer to a message, or the answers to a batch of them; none to notifications.
    pub(crate) async fn answer(&self, text: &str) -> Option<Value> {
        match serde_json::from_str(text) {
            Ok(Value::Array(batch)) if !batch.is_empty() => {
                let mut answers = Vec::new();
                for message in &batch {
                    answers.extend(self.answer_one(message).await);
                }
                (!answers.is_empty()).then_some(Value::Array(answers))
            }
            Ok(message) => self.answer_one(&message).await,
            Err(error) => Some(failure(&Value::Null, PARSE_ERROR, &format!("no JSON: {error}"))),
        }
    }

    async fn answer_one(&self, message: &Value) -> Option<Value> {
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            // An answer to a question that was never asked here.
            let is_answer = message.get("result").is_some() || message.get("error").is_some();
            return (!is_answer).then(|| failure(&Value::Null, INVALID_REQUEST, "expected one JSON-RPC request"));
        };
        let id = message.get("id").filter(|id| !id.is_null())?;
        let params = message.get("params").unwrap_or(&Value::Null);
        Some(match method {
            "initialize" => success(id, &initialized(params)),
            "ping" => success(id, &json!({})),
            "tools/list" => success(id, &json!({"tools": self.tools().map(Tool::describe).collect::<Vec<_>>()})),
            "tools/call" => self.called(id, params).await,
            other => failure(id, METHOD_NOT_FOUND, &format!("there is no method `{other}`")),
        })
    }

    /// The tools that the role may use.
    fn tools(&self) -> impl Iterator<Item = &'static Tool> {
        let evaluates = self.project.has_config;
        TOOLS.iter().filter(move |tool| tool.role <= self.role && (evaluates || tool.name != tools::EVALUATE))
    }

    async fn called(&self, id: &Value, params: &Value) -> Value {
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(tool) = self.tools().find(|tool| tool.name == name) else {
            let known: Vec<&str> = self.tools().map(|tool| tool.name).collect();
            let role = self.role.as_str();
            let message = format!("there is no tool `{name}` for the role {role}; there are: {}", known.join(", "));
            return failure(id, INVALID_PARAMS, &message);
        };
        let none = json!({});
        let arguments = params.get("arguments").filter(|value| value.is_object()).unwrap_or(&none);
        if let Err(problem) = tool.check(arguments) {
            return failure(id, INVALID_PARAMS, &problem);
        }
        match self.call(tool, arguments).await {
            Ok(value) => {
                let text = serde_json::to_string_pretty(&value).unwrap_or_default();
                let structured = if value.is_object() { value } else { json!({"value": value}) };
                let mut result = json!({"content": [{"type": "text", "text": cut(text)}], "isError": false});
                result["structuredContent"] = structured;
                success(id, &result)
            }
            Err(Refused(why)) => success(id, &json!({"content": [{"type": "text", "text": why}], "isError": true})),
        }
    }

    async fn call(&self, tool: &Tool, arguments: &Value) -> Result<Value, Refused> {
        if tool.name == tools::EVALUATE {
            let suite = arguments.get("suite").and_then(Value::as_str).map(str::to_owned);
            let run = eval::begin(&self.client, self.context, self.project, suite).await;
            let run = run.map_err(|failure| Refused(failure.chain.join(": ")))?;
            return serde_json::to_value(run).map_err(|e| Refused(e.to_string()));
        }
        let (path, mut body) = tool.request(arguments);
        if tool.name == tools::GATE {
            // The rules are the project's, as `llmops gate` takes them.
            body["config"] = serde_json::to_value(&self.project.config.gate).unwrap_or_default();
        }
        let body = if tool.method == http::Method::GET { None } else { Some(body) };
        self.client.request(tool.method.clone(), &path, body.as_ref()).await.map_err(|error| {
            let hint = match &error {
                llmops_api::ClientError::Api(body) => body.hint.clone().map(|hint| format!(" ({hint})")),
                _ => None,
            };
            Refused(format!("{error}{}", hint.unwrap_or_default()))
        })
    }
}

fn initialized(params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let version = VERSIONS.iter().find(|version| **version == asked).unwrap_or(&VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": false}},
        "serverInfo": {"name": "llmops", "title": "llmops", "version": env!("CARGO_PKG_VERSION")},
        "instructions": INSTRUCTIONS,
    })
}

fn success(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn failure(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n… (cut: ask for a smaller page with `limit`)");
    }
    text
}
