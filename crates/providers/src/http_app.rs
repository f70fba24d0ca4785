//! The user's own application over HTTP: a templated request, the answer at a path of the response.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use llmops_domain::chat::{ChatRequest, ChatResponse, Role};
use llmops_domain::config::providers::HttpConfig;
use llmops_domain::json_path::JsonPath;
use llmops_domain::template::Template;
use serde_json::{Value, json};

use crate::http_client::{Endpoint, HttpClient, Reply};
use crate::provider::{ChatProvider, ProviderError};
use crate::remote;

/// An application that answers.
///
/// The body is a template over `input` (the sample's input, else the last user message), `prompt` (the text of the last user
/// message, as the prompt renders it), `messages`, `system` (the system messages, joined), `model`, `parameters` and the
/// sample's variables. Where the answer is JSON but no text, it is taken as JSON.
pub struct HttpApp {
    client: Arc<HttpClient>,
    endpoint: Endpoint,
    method: Method,
    body: Template,
    /// The path as it is written, for messages, and compiled.
    answer: Option<(String, JsonPath)>,
}

impl HttpApp {
    /// Compiles the configuration.
    ///
    /// # Errors
    /// `Config` for an address, method, header, template or path that cannot be used.
    pub fn new(client: Arc<HttpClient>, config: &HttpConfig) -> Result<Self, ProviderError> {
        let invalid = |what: &str, error: &dyn std::fmt::Display| ProviderError::Config(format!("`{what}`: {error}"));
        let url = remote::expanded(&config.url, "url")?.unwrap_or_default();
        let mut endpoint = Endpoint::new(url)?;
        for (name, value) in &config.headers {
            if let Some(value) = remote::expanded(value, &format!("headers.{name}"))? {
                endpoint = endpoint.secret_header(name, value, value)?;
            }
        }
        let method = config.method.to_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| invalid("method", &error))?;
        let body = Template::compile(&config.body).map_err(|error| invalid("body", &error))?;
        let answer = match &config.answer {
            Some(path) => Some((path.clone(), path.parse().map_err(|error| invalid("answer", &error))?)),
            None => None,
        };
        Ok(Self { client, endpoint, method, body, answer })
    }

    fn body(&self, request: &ChatRequest) -> Result<Vec<u8>, ProviderError> {
        if matches!(self.method, Method::GET | Method::HEAD) {
            return Ok(Vec::new());
        }
        let mut variables: BTreeMap<String, Value> = request.origin.variables.clone();
        let input = variables.get("input").cloned().unwrap_or_else(|| request.last_user_text().into());
        let system: Vec<_> = request
            .messages
            .iter()
            .filter(|message| matches!(message.role, Role::System | Role::Developer))
            .map(llmops_domain::chat::Message::as_text)
            .collect();
        let own = [
            ("input", input),
            ("prompt", request.last_user_text().into()),
            ("messages", json!(request.messages)),
            ("system", system.join("\n\n").into()),
            ("model", json!(request.model)),
            ("parameters", json!(request.parameters)),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let rendered = self.body.render(&variables);
        rendered
            .map(String::into_bytes)
            .map_err(|error| ProviderError::Config(format!("the `body` of the request cannot be rendered: {error}")))
    }

    fn text(&self, reply: &Reply) -> Result<String, ProviderError> {
        let Some((written, path)) = &self.answer else {
            return std::str::from_utf8(&reply.body)
                .map(str::to_owned)
                .map_err(|_| self.endpoint.format_error("the answer is not UTF-8", &reply.body));
        };
        let document: Value = self.endpoint.parse(&reply.body)?;
        match path.select(&document) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Null) | None => {
                Err(self.endpoint.format_error(format!("there is nothing at the `answer` path {written}"), &reply.body))
            }
            Some(other) => Ok(other.to_string()),
        }
    }
}

#[async_trait]
impl ChatProvider for HttpApp {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let reply = self.client.send(self.method.clone(), &self.endpoint, self.body(request)?).await?;
        Ok(ChatResponse {
            text: self.text(&reply)?,
            model: request.model.clone(),
            latency_ms: reply.latency_ms,
            ..ChatResponse::default()
        })
    }

    /// The application may be another version next time.
    fn cacheable(&self) -> bool {
        false
    }
}
