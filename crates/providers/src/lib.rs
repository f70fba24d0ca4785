//! Chat-model clients, the simulated provider, prices and limits.

pub mod anthropic;
pub mod command;
pub mod connector;
mod excerpt;
pub mod gemini;
pub mod http_app;
pub mod http_client;
mod kinds;
pub mod limiter;
pub mod openai;
pub mod outputs;
pub mod provider;
pub mod registry;
mod remote;
pub mod retry;
pub mod simulator;
#[cfg(test)]
mod test_support;
mod translate;

pub use connector::ProxySettings;
pub use provider::{ChatProvider, ProviderError};
pub use registry::{Answer, Providers, Target};
