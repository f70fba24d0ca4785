//! The tools: each is an operation of the API with some of its parameters.

use http::Method;
use llmops_domain::access::Role;
use serde_json::{Map, Value, json};

/// The tool that evaluates the project in the folder, which no single operation of the API does.
pub(super) const EVALUATE: &str = "evaluate";
/// The tool whose rules come from the project.
pub(super) const GATE: &str = "gate_run";
/// Items of a list where no number is asked for.
const PAGE: u32 = 20;

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `{name}` in the path.
    Path,
    /// The query; in requests with a body, a field of it.
    Field,
}

/// A parameter of a tool.
#[derive(Debug)]
struct Param {
    name: &'static str,
    /// A type of JSON Schema.
    kind: &'static str,
    required: bool,
    place: Place,
    description: &'static str,
}

/// A tool that an assistant may call.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    description: &'static str,
    /// The weakest role that may call it.
    pub(super) role: Role,
    pub(super) method: Method,
    path: &'static str,
    params: &'static [Param],
}

const fn path(name: &'static str, description: &'static str) -> Param {
    Param { name, kind: "string", required: true, place: Place::Path, description }
}

const fn field(name: &'static str, kind: &'static str, description: &'static str) -> Param {
    Param { name, kind, required: false, place: Place::Field, description }
}

const LIMIT: Param = field("limit", "integer", "Items on the page, 1 to 100; 20 where it is left out");
const CURSOR: Param = field("cursor", "string", "`next_cursor` of the page before");
const ENVIRONMENT: Param = field("environment", "string", "The environment; production where it is left out");
const RUN: Param = path("run", "An id, the beginning of one, `latest` or `baseline`");

const fn read(name: &'static str, path: &'static str, description: &'static str, params: &'static [Param]) -> Tool {
    Tool { name, description, role: Role::Viewer, method: Method::GET, path, params }
}

/// All tools.
pub(super) static TOOLS: [Tool; 19] = [
    read("list_prompts", "/api/v1/prompts", "The active version of every prompt.", &[LIMIT, CURSOR]),
    read(
        "get_prompt",
        "/api/v1/prompts/{name}/versions/{version}",
        "One version of a prompt: its texts, variables, model, parameters.",
        &[path("name", "The prompt"), path("version", "A number, 12 or more hex digits of its hash, or `active`")],
    ),
    read(
        "list_prompt_versions",
        "/api/v1/prompts/{name}/versions",
        "All versions of a prompt, the newest first.",
        &[path("name", "The prompt")],
    ),
    Tool {
        name: "render_prompt",
        description: "The messages that a prompt's version makes of values for its variables. Nothing is sent to a model.",
        role: Role::Viewer,
        method: Method::POST,
        path: "/api/v1/prompts/{name}/versions/{version}/render",
        params: &[
            path("name", "The prompt"),
            path("version", "A number, a hash, or `active`"),
            field("variables", "object", "Values by variable"),
        ],
    },
    read(
        "compare_prompts",
        "/api/v1/prompts/{name}/compare",
        "What differs between two versions of a prompt.",
        &[
            path("name", "The prompt"),
            field("from", "string", "The older version"),
            field("to", "string", "The newer version"),
        ],
    ),
    read("list_datasets", "/api/v1/datasets", "All datasets.", &[LIMIT, CURSOR]),
    Tool {
        name: EVALUATE,
        description: "Evaluates the project in this folder as `llmops eval` does: pushes its prompts and data, and \
            starts a run. Answers with the run at once; `get_run` with wait_ms waits for its end.",
        role: Role::Editor,
        method: Method::POST,
        path: "",
        params: &[field("suite", "string", "The suite; the default one where it is left out")],
    },
    read(
        "list_runs",
        "/api/v1/runs",
        "Evaluation runs with their results, the newest first.",
        &[
            field("dataset", "string", "Runs on this dataset"),
            field("prompt", "string", "Runs of this prompt"),
            field("status", "string", "pending, running, completed, failed or cancelled"),
            LIMIT,
            CURSOR,
        ],
    ),
    read(
        "get_run",
        "/api/v1/runs/{run}",
        "One run: overall score and categories with n and interval, metrics, cost, reasons of failures.",
        &[RUN, field("wait_ms", "integer", "How long to wait for its end, up to 30,000 milliseconds")],
    ),
    read(
        "list_run_results",
        "/api/v1/runs/{run}/results",
        "Results of a run's samples, the worst first: answers, scores, what failed.",
        &[
            RUN,
            field("status", "string", "passed, failed or errored"),
            field("category", "string", "Only this category"),
            LIMIT,
            CURSOR,
        ],
    ),
    read(
        "compare_runs",
        "/api/v1/runs/{run}/compare/{other}",
        "What changed from one run to another: metrics, categories, samples that flipped, paired statistics.",
        &[RUN, path("other", "The later run: an id or `latest`")],
    ),
    Tool {
        name: GATE,
        description: "Decides whether a run is good enough by the project's rules: pass, fail or inconclusive, with the \
            evidence of every check.",
        role: Role::Viewer,
        method: Method::POST,
        path: "/api/v1/runs/{run}/gate",
        params: &[
            RUN,
            field("baseline", "string", "The run to compare with; the dataset's baseline where it is left out"),
        ],
    },
    read("list_deployments", "/api/v1/deployments", "What answers live traffic, by deployment.", &[LIMIT, CURSOR]),
    read(
        "deployment_history",
        "/api/v1/deployments/{name}/history",
        "Every change of a deployment, the newest first: who, when, why.",
        &[path("name", "The deployment"), ENVIRONMENT],
    ),
    Tool {
        name: "rollback",
        description: "Points a deployment to a manifest that was live before. This changes what answers users, within \
            a second.",
        role: Role::Operator,
        method: Method::POST,
        path: "/api/v1/deployments/{name}/rollback",
        params: &[
            path("name", "The deployment"),
            ENVIRONMENT,
            field(
                "to",
                "string",
                "The beginning of the manifest's hash; the one before the present one where it is left out",
            ),
            field("reason", "string", "Why; it is kept in the history"),
        ],
    },
    read(
        "list_records",
        "/api/v1/records",
        "What the gateway keeps of live calls: tokens, cost, latency, outcome, soft failures; bodies where they are kept.",
        &[
            field("deployment", "string", "Calls of this deployment"),
            field("outcome", "string", "How the calls ended"),
            field(
                "soft_failed",
                "boolean",
                "Only calls that succeeded by protocol and failed by content, or only others",
            ),
            field("start_time", "string", "Calls since then, RFC 3339"),
            field("end_time", "string", "Calls before then"),
            LIMIT,
            CURSOR,
        ],
    ),
    read("get_record", "/api/v1/records/{id}", "One live call.", &[path("id", "The request's id")]),
    read(
        "list_alerts",
        "/api/v1/alerts",
        "What is wrong: regressions, thresholds, drift.",
        &[
            field("severities", "string", "info, warning, critical, separated by commas"),
            field("unacked", "boolean", "Only those that nobody has seen"),
            LIMIT,
            CURSOR,
        ],
    ),
    read(
        "experiment_results",
        "/api/v1/experiments/{experiment}/results",
        "What an A/B test allows to say so far: intervals that hold at every look, winner, guardrails, recommendation.",
        &[path("experiment", "Its id or key")],
    ),
];

impl Tool {
    /// The tool as the protocol lists it.
    pub(super) fn describe(&self) -> Value {
        let properties: Map<String, Value> = self
            .params
            .iter()
            .map(|param| (param.name.to_owned(), json!({"type": param.kind, "description": param.description})))
            .collect();
        let required: Vec<&str> = self.params.iter().filter(|param| param.required).map(|param| param.name).collect();
        let reads = self.role == Role::Viewer;
        json!({
            "name": self.name,
            "description": self.description,
            "inputSchema": {
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            },
            "annotations": {
                "readOnlyHint": reads, "destructiveHint": self.role >= Role::Operator, "idempotentHint": reads,
                "openWorldHint": self.name == EVALUATE,
            },
        })
    }

    /// Whether the arguments are the tool's.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(super) fn check(&self, arguments: &Value) -> Result<(), String> {
        let given = arguments.as_object().into_iter().flatten();
        for (name, value) in given {
            let Some(param) = self.params.iter().find(|param| param.name == name) else {
                let known: Vec<&str> = self.params.iter().map(|param| param.name).collect();
                return Err(format!("`{}` has no argument `{name}`; it has: {}", self.name, known.join(", ")));
            };
            let fits = match param.kind {
                "integer" => value.as_u64().is_some(),
                "boolean" => value.is_boolean(),
                "object" => value.is_object(),
                _ => value.is_string(),
            };
            if !fits && (param.required || !value.is_null()) {
                return Err(format!("the argument `{name}` is {value}: expected {}", param.kind));
            }
        }
        let missing = self.params.iter().find(|param| {
            param.required && arguments.get(param.name).and_then(Value::as_str).is_none_or(str::is_empty)
        });
        missing.map_or(Ok(()), |param| Err(format!("the argument `{}` is missing: {}", param.name, param.description)))
    }

    /// Path with query, and body.
    pub(super) fn request(&self, arguments: &Value) -> (String, Value) {
        let mut path = self.path.to_owned();
        let mut fields = Map::new();
        for param in self.params {
            let value = arguments.get(param.name).filter(|value| !value.is_null());
            match (param.place, value) {
                (Place::Path, value) => {
                    let text = value.and_then(Value::as_str).unwrap_or_default();
                    path = path.replace(&format!("{{{}}}", param.name), &llmops_api::client::segment(text));
                }
                (Place::Field, Some(value)) => drop(fields.insert(param.name.to_owned(), value.clone())),
                (Place::Field, None) if param.name == "limit" => drop(fields.insert("limit".to_owned(), PAGE.into())),
                (Place::Field, None) => {}
            }
        }
        if self.method != Method::GET {
            return (path, Value::Object(fields));
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let query: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", llmops_api::client::segment(&text(value))))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        (path + &query, Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> &'static Tool {
        TOOLS.iter().find(|tool| tool.name == name).unwrap()
    }

    #[test]
    fn names_are_there_once_and_paths_name_their_parameters() {
        let mut names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
        for tool in &TOOLS {
            let in_path = tool.path.matches('{').count();
            let params = tool.params.iter().filter(|param| param.place == Place::Path);
            assert_eq!(params.clone().count(), in_path, "{}", tool.name);
            assert!(params.clone().all(|param| tool.path.contains(&format!("{{{}}}", param.name))), "{}", tool.name);
        }
    }

    #[test]
    fn arguments_become_requests() {
        let check = |name: &str, arguments: Value, path: &str, body: Value| {
            assert_eq!(tool(name).check(&arguments), Ok(()));
            assert_eq!(tool(name).request(&arguments), (path.to_owned(), body));
        };
        check("get_run", json!({"run": "latest"}), "/api/v1/runs/latest", Value::Null);
        check("get_run", json!({"run": "../keys", "wait_ms": 5}), "/api/v1/runs/..%2Fkeys?wait_ms=5", Value::Null);
        check("list_runs", json!({"dataset": "a b&c"}), "/api/v1/runs?dataset=a%20b%26c&limit=20", Value::Null);
        let to = json!({"to": "abcd", "reason": "bad answers"});
        let arguments = json!({"name": "bot", "to": "abcd", "reason": "bad answers"});
        check("rollback", arguments, "/api/v1/deployments/bot/rollback", to);
    }

    #[test]
    fn wrong_arguments_are_named() {
        let check = |name: &str, arguments: Value, expected: &str| {
            let said = tool(name).check(&arguments).unwrap_err();
            assert!(said.contains(expected), "{said}");
        };
        check("get_run", json!({}), "`run` is missing");
        check("get_run", json!({"run": ""}), "`run` is missing");
        check("get_run", json!({"run": 7}), "expected string");
        check("get_run", json!({"run": "latest", "wait": 1}), "no argument `wait`");
        check("list_runs", json!({"limit": "ten"}), "expected integer");
    }
}
