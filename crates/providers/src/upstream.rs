//! Providers as the gateway sees them: where a request goes and which headers it needs, without modelling it.
//!
//! A gateway forwards bytes. What it needs to know of a provider is the wire format, the address of a model's door, the
//! headers with the provider's key, and the names that the manifest's parameters have there.

use std::sync::Arc;

use llmops_domain::chat::ChatRequest;
use llmops_domain::config::providers::{ProviderConfig, RemoteConfig};
use serde_json::{Map, Value};

use crate::http_client::{Endpoint, HttpClient};
use crate::kinds::{self, Kind, Wire};
use crate::provider::ProviderError;
use crate::{anthropic, openai, remote};

/// The wire format of a provider that bytes are forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A chat answer, in the provider's own format.
    Chat,
    /// Embeddings.
    Embeddings,
}

/// A provider on the network that bytes can be forwarded to.
#[derive(Clone)]
pub struct Upstream {
    client: Arc<HttpClient>,
    kind: &'static Kind,
    config: RemoteConfig,
    dialect: Dialect,
}

impl Upstream {
    /// Of a configured provider; `None` for those that cannot be forwarded to: programs, files, other wire formats.
    pub(crate) fn new(client: Arc<HttpClient>, config: &ProviderConfig) -> Option<Self> {
        let (kind, config) = kinds::remote(config)?;
        let dialect = match kind.wire {
            Wire::OpenAi => Dialect::OpenAi,
            Wire::Anthropic => Dialect::Anthropic,
            Wire::Gemini => return None,
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
            (Dialect::OpenAi, Purpose::Chat) => self.openai(model, &["chat", "completions"]),
            (Dialect::OpenAi, Purpose::Embeddings) => self.openai(model, &["embeddings"]),
            (Dialect::Anthropic, Purpose::Chat) => anthropic::endpoint(self.kind, &self.config),
            (Dialect::Anthropic, Purpose::Embeddings) => {
                Err(ProviderError::Config("this provider has no embeddings".to_owned()))
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
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("kind", &self.kind.name).finish_non_exhaustive()
    }
}
