//! Providers: `openai:gpt-4o-mini` becomes the account `openai` and the model `openai/gpt-4o-mini`.

use llmops_domain::redact;
use serde_json::{Map, Value, json};

use super::Reader;
use super::prompts::template;
use crate::import::as_text;

/// A model to ask.
pub(super) struct Model {
    pub(super) label: String,
    /// As `provider/model`.
    pub(super) id: String,
    pub(super) parameters: Map<String, Value>,
}

/// Providers by promptfoo's prefix: our kind, and the words between prefix and model that are passed over.
const KINDS: [(&str, &str, &[&str]); 17] = [
    ("openai", "openai", &["chat", "responses"]),
    ("azure", "azure", &["chat", "responses"]),
    ("azureopenai", "azure", &["chat"]),
    ("anthropic", "anthropic", &["messages"]),
    ("google", "gemini", &[]),
    ("palm", "gemini", &[]),
    ("vertex", "gemini", &[]),
    ("mistral", "mistral", &[]),
    ("groq", "groq", &[]),
    ("openrouter", "openrouter", &[]),
    ("deepseek", "deepseek", &[]),
    ("togetherai", "together", &[]),
    ("fireworks", "fireworks", &[]),
    ("xai", "xai", &[]),
    ("cohere", "cohere", &[]),
    ("ollama", "ollama", &["chat"]),
    ("vllm", "vllm", &["chat"]),
];
/// The variable that usually holds a kind's key.
const KEYS: [(&str, &str); 12] = [
    ("openai", "OPENAI_API_KEY"),
    ("azure", "AZURE_API_KEY"),
    ("anthropic", "ANTHROPIC_API_KEY"),
    ("gemini", "GOOGLE_API_KEY"),
    ("mistral", "MISTRAL_API_KEY"),
    ("groq", "GROQ_API_KEY"),
    ("openrouter", "OPENROUTER_API_KEY"),
    ("deepseek", "DEEPSEEK_API_KEY"),
    ("together", "TOGETHER_API_KEY"),
    ("fireworks", "FIREWORKS_API_KEY"),
    ("xai", "XAI_API_KEY"),
    ("cohere", "COHERE_API_KEY"),
];
/// Sampling parameters by promptfoo's name and ours.
const PARAMETERS: [(&str, &str); 9] = [
    ("temperature", "temperature"),
    ("max_tokens", "max_tokens"),
    ("max_completion_tokens", "max_tokens"),
    ("maxOutputTokens", "max_tokens"),
    ("top_p", "top_p"),
    ("stop", "stop"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
];

/// Options of a provider without a counterpart, and why.
const UNUSED: [(&str, &str); 4] = [
    ("prompts", "every prompt is sent to every model"),
    ("transform", "`post_processing` of a prompt changes answers before they are scored"),
    ("delay", "`max_concurrency` and `retries` of a provider say how hard it is asked"),
    ("inputs", "its meaning is not known here"),
];

impl Reader {
    /// The models, and the `providers` section that they need.
    pub(super) fn providers(&mut self, value: &Value) -> (Vec<Model>, Map<String, Value>) {
        let items = match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items.clone(),
            other => vec![other.clone()],
        };
        let (mut models, mut accounts) = (Vec::new(), Map::new());
        for (at, item) in items.iter().enumerate() {
            let place = format!("providers[{at}]");
            let (id, options) = id_and_options(item);
            if let Some(model) = self.model(&place, &id, &options, &mut accounts) {
                models.push(model);
            } else {
                let own = "kinds `http` and `command` ask your own endpoint or program";
                let id = self.imported.without_secrets(&place, &id);
                self.imported.note(place, format!("not carried over: `{id}` has no counterpart here; {own}"));
            }
        }
        if models.is_empty() {
            self.imported.note("providers", "none could be carried over: the simulator `sim` stands in");
            accounts.insert("sim".to_owned(), json!({"kind": "simulator"}));
            models.push(Model { label: "sim".to_owned(), id: "sim/model".to_owned(), parameters: Map::new() });
        }
        (models, accounts)
    }

    fn model(
        &mut self,
        place: &str,
        id: &str,
        options: &Map<String, Value>,
        accounts: &mut Map<String, Value>,
    ) -> Option<Model> {
        let config = options.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        let (kind, name) = split_id(id)?;
        let account = match kind {
            // What goes in comes out again.
            "echo" => json!({"kind": "command", "run": ["cat"]}),
            // promptfoo hands the prompt over as the first argument.
            "exec" => {
                let name = self.imported.without_secrets(place, name);
                json!({"kind": "command", "run": ["sh", "-c", format!("{name} \"$(cat)\"")]})
            }
            "http" => self.endpoint(place, id, &config),
            _ => self.remote(place, kind, &config),
        };
        let known_account = accounts.iter().find(|(_, known)| **known == account).map(|(name, _)| name.clone());
        let account_name = known_account.unwrap_or_else(|| self.imported.name("provider", kind));
        accounts.insert(account_name.clone(), account);
        let mut parameters = Map::new();
        for (theirs, ours) in PARAMETERS {
            if let Some(value) = config.get(theirs) {
                parameters.insert(ours.to_owned(), value.clone());
            }
        }
        self.unused(place, &config, kind);
        for (key, why) in UNUSED.iter().filter(|(key, _)| options.contains_key(*key)) {
            self.imported.note(format!("{place}.{key}"), format!("not carried over: {why}"));
        }
        let model = if matches!(kind, "echo" | "exec" | "http") { kind } else { name };
        let label = options.get("label").map_or_else(|| model.to_owned(), as_text);
        Some(Model { label, id: format!("{account_name}/{model}"), parameters })
    }

    /// An endpoint of the user's own.
    fn endpoint(&mut self, place: &str, id: &str, config: &Map<String, Value>) -> Value {
        let url = config.get("url").map_or_else(|| id.to_owned(), as_text);
        let body = config.get("body").map_or_else(|| "{{ prompt }}".to_owned(), as_text);
        // Inside JSON the text must be written as JSON, with its own quotes.
        let quoted = ["\"{{prompt}}\"", "\"{{ prompt }}\""];
        let body = quoted.iter().fold(template(&body), |body, theirs| body.replace(theirs, "{{ prompt | tojson }}"));
        let url = self.without_secrets(&format!("{place}.config.url"), &url);
        let body = self.without_secrets(&format!("{place}.config.body"), &body);
        let mut endpoint = json!({"kind": "http", "url": url, "body": body});
        if let Some(method) = config.get("method") {
            endpoint["method"] = method.clone();
        }
        if let Some(headers) = self.headers(place, config) {
            endpoint["headers"] = headers;
        }
        if let Some(transform) = config.get("transformResponse").or_else(|| config.get("responseParser")) {
            match as_text(transform).strip_prefix("json").filter(|path| is_json_path(path)) {
                Some(path) => endpoint["answer"] = format!("${path}").into(),
                None => self.imported.note(
                    format!("{place}.config.transformResponse"),
                    format!("not carried over: `{}` is a program; `answer` takes a JSON path", as_text(transform)),
                ),
            }
        }
        endpoint
    }

    /// The account of a provider on the network.
    fn remote(&mut self, place: &str, kind: &str, config: &Map<String, Value>) -> Value {
        let mut account = json!({"kind": kind});
        let usual = KEYS.iter().find(|(of, _)| *of == kind).map(|(_, key)| (*key).to_owned());
        let named = config.get("apiKeyEnvar").map(as_text).or(usual);
        let key = match config.get("apiKey").map(as_text) {
            Some(text) if text.contains("{{") => Some(variables(&text)),
            // A key in the file stays there: what is made here can be committed.
            _ => named.map(|name| format!("${{{name}}}")),
        };
        if let Some(key) = key {
            account["api_key"] = key.into();
        }
        match (config.get("apiBaseUrl").map(as_text), config.get("apiHost").map(as_text)) {
            (Some(url), _) => {
                account["base_url"] = self.without_secrets(&format!("{place}.config.apiBaseUrl"), &url).into();
            }
            (None, Some(host)) => {
                account["base_url"] =
                    self.without_secrets(&format!("{place}.config.apiHost"), &format!("https://{host}/v1")).into();
            }
            (None, None) => {}
        }
        for (theirs, ours) in [("organization", "organization"), ("apiVersion", "api_version")] {
            if let Some(value) = config.get(theirs) {
                account[ours] = as_text(value).into();
            }
        }
        if let Some(headers) = self.headers(place, config) {
            account["headers"] = headers;
        }
        account
    }

    /// The headers, but for the secrets in them: these stay in promptfoo's file, as keys do.
    fn headers(&mut self, place: &str, config: &Map<String, Value>) -> Option<Value> {
        let headers = config.get("headers").and_then(Value::as_object)?;
        let mut ours = Map::new();
        for (name, value) in headers {
            let written = as_text(value);
            let place = format!("{place}.config.headers.{name}");
            let is_secret = redact::names_secret(name) && !written.contains("{{");
            let text = if is_secret {
                self.imported.withheld(&place, name, &written)
            } else {
                self.without_secrets(&place, &written)
            };
            ours.insert(name.clone(), text.into());
        }
        Some(Value::Object(ours))
    }

    /// An address, or what else has variables of the environment, without its secrets.
    fn without_secrets(&mut self, place: &str, written: &str) -> String {
        variables(&self.imported.without_secrets(place, written))
    }

    /// Notes the options that nothing was made of.
    fn unused(&mut self, place: &str, config: &Map<String, Value>, kind: &str) {
        let used = ["apiKey", "apiKeyEnvar", "apiBaseUrl", "apiHost", "organization", "apiVersion", "headers"];
        let of_endpoints = ["url", "method", "body", "transformResponse", "responseParser"];
        for key in config.keys() {
            let is_used = PARAMETERS.iter().any(|(theirs, _)| theirs == key)
                || used.contains(&key.as_str())
                || (kind == "http" && of_endpoints.contains(&key.as_str()));
            if !is_used {
                let what = match key.as_str() {
                    "response_format" | "tools" => "not carried over: it stands in the prompt's file here",
                    _ => "not carried over",
                };
                self.imported.note(format!("{place}.config.{key}"), what);
            }
        }
    }
}

/// `openai:x`, `{id: openai:x, …}` or `{openai:x: {…}}`.
fn id_and_options(item: &Value) -> (String, Map<String, Value>) {
    match item {
        Value::Object(map) => match (map.get("id"), map.iter().next()) {
            (Some(id), _) => (as_text(id), map.clone()),
            (None, Some((id, options))) if map.len() == 1 => {
                (id.clone(), options.as_object().cloned().unwrap_or_default())
            }
            _ => (item.to_string(), Map::new()),
        },
        other => (as_text(other), Map::new()),
    }
}

/// Our kind and the model of an id.
fn split_id(id: &str) -> Option<(&'static str, &str)> {
    if id == "echo" {
        return Some(("echo", "echo"));
    }
    if let Some(command) = id.strip_prefix("exec:") {
        return Some(("exec", command.trim()));
    }
    if id == "http" || id == "https" || id.starts_with("http://") || id.starts_with("https://") {
        return Some(("http", id));
    }
    let (prefix, rest) = id.split_once(':')?;
    let (_, kind, between) = KINDS.iter().find(|(theirs, ..)| *theirs == prefix)?;
    let model = between.iter().find_map(|word| rest.strip_prefix(word)?.strip_prefix(':')).unwrap_or(rest);
    // Embeddings, images, speech and assistants answer no chat.
    let others =
        ["embedding", "embeddings", "image", "completion", "moderation", "realtime", "assistant", "transcription"];
    let is_other = model.split_once(':').is_some_and(|(word, _)| others.contains(&word));
    (!model.is_empty() && !is_other).then_some((kind, model))
}

/// `{{env.NAME}}` and `{{ env.NAME }}` as `${NAME}`.
fn variables(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        if let Some((inside, tail)) = after.split_once("}}") {
            let name = inside.trim().strip_prefix("env.").map(str::trim);
            out.push_str(&name.map_or_else(|| format!("{{{{{inside}}}}}"), |name| format!("${{{name}}}")));
            rest = tail;
        } else {
            out.push_str("{{");
            rest = after;
        }
    }
    out + rest
}

/// Whether an expression after `json` is a path: `.choices[0].message.content`.
fn is_json_path(path: &str) -> bool {
    path.starts_with(['.', '[']) && path.chars().all(|c| c.is_ascii_alphanumeric() || "._[]'\"-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_kind_and_model() {
        let check = |id: &str, expected: Option<(&str, &str)>| assert_eq!(split_id(id), expected, "{id}");
        check("openai:gpt-4o-mini", Some(("openai", "gpt-4o-mini")));
        check("openai:chat:gpt-4o", Some(("openai", "gpt-4o")));
        check("openai:embedding:text-embedding-3-small", None);
        check("anthropic:messages:claude-3-5-sonnet-20241022", Some(("anthropic", "claude-3-5-sonnet-20241022")));
        check("ollama:chat:llama3:8b", Some(("ollama", "llama3:8b")));
        check("openrouter:meta-llama/llama-3", Some(("openrouter", "meta-llama/llama-3")));
        check("https://api.example.com/chat", Some(("http", "https://api.example.com/chat")));
        check("exec: python bot.py", Some(("exec", "python bot.py")));
        check("file://provider.py", None);
        check("bedrock:x", None);
        check("openai:", None);
    }

    #[test]
    fn variables_of_the_environment_are_named_our_way() {
        let check = |text: &str, expected: &str| assert_eq!(variables(text), expected);
        check("Bearer {{env.TOKEN}}", "Bearer ${TOKEN}");
        check("{{ env.A }}{{b}}{{", "${A}{{b}}{{");
    }
}
