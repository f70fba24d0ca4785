//! Chat-model clients, the simulated provider, prices and limits.
//!
//! [`Providers`] holds the providers of a project by name. A model is named `provider/model`; [`Providers::resolve`] finds
//! it, and [`Providers::chat`] asks it with everything around: the concurrency that the provider bears ([`limiter`]), the
//! time a call may take, retries ([`retry`]) and the cost by the price table.
//!
//! | module | provider |
//! | --- | --- |
//! | [`openai`] | OpenAI and everything that speaks its format: a row of a table with a few quirks each |
//! | [`anthropic`], [`gemini`] | translated from and to OpenAI's format |
//! | [`http_app`] | the user's own application over HTTP |
//! | [`command`] | the user's own program |
//! | [`outputs`] | answers that are already in a file |
//! | [`simulator`] | simulated answers, in process and as a server |
//!
//! Streamed answers of all formats are read into the same pieces by [`stream`]; [`upstream`] is how a gateway sees providers.
//!
//! [`program`] and [`http_client`] also serve whoever else runs a program or calls an endpoint of the user's; [`outbound`]
//! tells which addresses may be called for somebody who is not trusted. [`turns`] makes the connections of a busy thread cheap.
//!
//! Nothing here reads the environment; secrets are never part of a message.
//!
//! ```
//! # use std::{collections::BTreeMap, path::Path};
//! use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role};
//! use llmops_domain::config::providers::{ProviderConfig, SimulatorConfig};
//! use llmops_providers::Providers;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), llmops_providers::ProviderError> {
//! let configs = BTreeMap::from([("sim".to_owned(), ProviderConfig::Simulator(SimulatorConfig::default()))]);
//! let providers = Providers::new(&configs, &BTreeMap::new(), Path::new("."))?;
//! let target = providers.resolve("sim/small")?;
//! let request = ChatRequest {
//!     model: target.model().to_owned(),
//!     messages: vec![Message::text(Role::User, "What do I need?")],
//!     parameters: Parameters::default(),
//!     tools: Vec::new(),
//!     response_format: None,
//!     origin: RequestOrigin::default(),
//! };
//! let answer = providers.chat(&target, &request).await?;
//! assert!(answer.response.text.ends_with("What do you require."));
//! # Ok(()) }
//! ```

pub mod anthropic;
pub mod beside;
pub mod command;
pub mod connector;
mod excerpt;
pub mod gemini;
pub mod health;
pub mod http_app;
pub mod http_client;
mod kinds;
pub mod limiter;
pub mod odd;
pub mod openai;
pub mod outbound;
pub mod outputs;
mod pool;
pub mod program;
pub mod provider;
pub mod reasoning;
pub mod registry;
mod remote;
pub mod retry;
pub mod secrets;
pub mod simulator;
pub mod stream;
#[cfg(test)]
mod test_support;
mod text;
pub mod translate;
pub mod turns;
pub mod upstream;
pub mod usage;

pub use connector::ProxySettings;
pub use health::HealthBook;
pub use provider::{ChatProvider, ProviderError};
pub use registry::{Answer, Providers, Target};
