//! Providers as the gateway sees them: where a request goes and which headers it needs, without modelling it.
//!
//! A gateway forwards bytes where both sides speak one format. What it needs to know of a provider then is the address of
//! a model's door, the headers with the provider's key, and the names that the manifest's parameters have there. Where the
//! formats differ, an [`Upstream`] writes requests and reads answers in its own.

use std::sync::Arc;

use llmops_domain::chat::ChatRequest;
use llmops_domain::config::providers::{ProviderConfig, RemoteConfig};
use serde_json::{Map, Value};

use crate::beside::Whole;
use crate::http_client::{Endpoint, HttpClient};
use crate::kinds::{self, Kind, Wire};
use crate::provider::ProviderError;
use crate::stream::{Events, Piece, StreamReader};
use crate::translate::AsWritten;
use crate::{anthropic, gemini, odd, openai, remote};

/// The wire format of a provider on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A chat answer, in the provider's own format.
    Chat,
    /// The same as a stream.
    Stream,
    /// Embeddings.
    Embeddings,
}

/// A provider on the network.
#[derive(Clone)]
pub struct Upstream {
    client: Arc<HttpClient>,
    kind: &'static Kind,
    config: RemoteConfig,
    dialect: Dialect,
}

impl Upstream {
    /// Of a configured provider; `None` for those that are not on the network: programs, files, the simulator.
    pub(crate) fn new(client: Arc<HttpClient>, config: &ProviderConfig) -> Option<Self> {
        let (kind, config) = kinds::remote(config)?;
        let dialect = match kind.wire {
            Wire::OpenAi => Dialect::OpenAi,
            Wire::Anthropic => Dialect::Anthropic,
            Wire::Gemini => Dialect::Gemini,
        };
        Some(Self { client, kind, config: config.clone(), dialect })
    }

    /// The wire format.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The client that reaches it.
    pub fn client(&self) -> &Arc<HttpClient> {
        &self.client
    }

    /// Where requests for a model go, with the provider's key among the headers.
    ///
    /// # Errors
    /// `Config` when address or key are missing, or the provider has no such door.
    pub fn endpoint(&self, purpose: Purpose, model: &str) -> Result<Endpoint, ProviderError> {
        match (self.dialect, purpose) {
            (Dialect::OpenAi, Purpose::Chat | Purpose::Stream) => self.openai(model, &["chat", "completions"]),
            (Dialect::OpenAi, Purpose::Embeddings) => self.openai(model, &["embeddings"]),
            (Dialect::Anthropic, Purpose::Chat | Purpose::Stream) => anthropic::endpoint(self.kind, &self.config),
            (Dialect::Gemini, Purpose::Chat) => gemini::endpoint(self.kind, &self.config, model, gemini::Method::Whole),
            (Dialect::Gemini, Purpose::Stream) => {
                gemini::endpoint(self.kind, &self.config, model, gemini::Method::Stream)
            }
            (Dialect::Anthropic | Dialect::Gemini, Purpose::Embeddings) => {
                Err(ProviderError::Config("embeddings are not translated for this provider".to_owned()))
            }
        }
    }

    fn openai(&self, model: &str, path: &[&str]) -> Result<Endpoint, ProviderError> {
        let url = openai::url(self.kind, &self.config, model, path)?;
        remote::endpoint(self.kind, &self.config, &url)
    }

    /// The fields that parameters, tools and response format of `request` become for this provider, by name.
    ///
    /// # Errors
    /// `Config` when a parameter has no JSON form.
    pub fn settings(&self, request: &ChatRequest) -> Result<Map<String, Value>, ProviderError> {
        match self.dialect {
            Dialect::OpenAi => openai::settings(self.kind, request),
            Dialect::Anthropic => Ok(anthropic::settings(request)),
            Dialect::Gemini => Ok(gemini::settings(request)),
        }
    }

    /// Whether a model counts as a reasoning model, which refuses some of OpenAI's fields and wants others; nothing where the
    /// provider has no rules for such models.
    pub fn reasons(&self, model: &str) -> Option<bool> {
        self.kind.reasoning_rules.then(|| kinds::is_reasoning_model(model))
    }

    /// A whole request in this provider's format. What is known as it was written is said so to Anthropic and Gemini.
    ///
    /// # Errors
    /// `Config` when a parameter has no JSON form, or the format cannot say something of the request.
    pub fn body(
        &self,
        request: &ChatRequest,
        as_written: &AsWritten<'_>,
        stream: bool,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut body: Value = match self.dialect {
            // Gemini says in its address whether it streams.
            Dialect::Gemini => return gemini::body(request, as_written),
            Dialect::Anthropic => return anthropic::body(request, as_written, stream),
            Dialect::OpenAi => serde_json::from_slice(&openai::body(self.kind, request)?)
                .map_err(|error| ProviderError::Config(format!("the request cannot be written as JSON: {error}")))?,
        };
        if stream {
            body["stream"] = true.into();
            body["stream_options"] = serde_json::json!({"include_usage": true});
        }
        Ok(body.to_string().into_bytes())
    }

    /// Reads a whole answer. `endpoint` names the other side in errors.
    ///
    /// # Errors
    /// `Format` when it is not what the format promises; `Status` for an error inside a success.
    pub fn answer(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Whole, ProviderError> {
        match self.dialect {
            Dialect::OpenAi => openai::read(endpoint, body, 0.0),
            Dialect::Anthropic => anthropic::read(endpoint, body, 0.0),
            Dialect::Gemini => gemini::read(endpoint, body, 0.0),
        }
    }

    /// The error that a whole success is, if it is one.
    pub fn error_instead(&self, endpoint: &Endpoint, body: &[u8]) -> Option<ProviderError> {
        match self.answer(endpoint, body) {
            Ok(_) => None,
            Err(error @ ProviderError::Status { .. }) => Some(error),
            // Embeddings are no answer either; what has an error says so, in whichever of the shapes.
            Err(_) => {
                let fitting = odd::fitting(body)?;
                let mut read: Value = serde_json::from_str(&fitting).ok()?;
                let error = Some(read["error"].take()).filter(|error| !error.is_null())?;
                Some(openai::embedded_error(endpoint, &error, fitting.as_bytes()))
            }
        }
    }

    /// The error that a stream begins with, if it does: nothing of an answer is lost when somebody else is asked.
    pub fn failure(&self, endpoint: &Endpoint, beginning: &[u8]) -> Option<ProviderError> {
        let mut reader = self.reader();
        for event in Events::default().push(beginning) {
            let pieces = reader.read_event(&event);
            let says_nothing = |piece: &Piece| {
                matches!(
                    piece,
                    Piece::Model(_) | Piece::Fingerprint(_) | Piece::Usage(_) | Piece::Finish(_) | Piece::Error(_)
                )
            };
            if !pieces.iter().all(says_nothing) {
                return None;
            }
            if pieces.iter().any(|piece| matches!(piece, Piece::Error(_))) {
                // Plain words are an error, too.
                let fitting = odd::fitting(&event.data);
                let read = fitting.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
                let error = read.map(|mut read| read["error"].take()).unwrap_or_default();
                let words = fitting.as_deref().map_or(&*event.data, str::as_bytes);
                return Some(openai::embedded_error(endpoint, &error, words));
            }
            if pieces.iter().any(|piece| matches!(piece, Piece::Finish(_))) {
                return None;
            }
        }
        None
    }

    /// Reads a streamed answer.
    pub fn reader(&self) -> StreamReader {
        StreamReader::new(self.dialect)
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("kind", &self.kind.name).finish_non_exhaustive()
    }
}
