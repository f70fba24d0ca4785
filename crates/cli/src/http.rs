//! The client for other HTTP than model calls: the llmops server, GitHub.

use crate::failure::{Failure, Kind, Outcome};

/// A client that verifies certificates with the system's store.
pub(crate) fn client() -> Outcome<reqwest::Client> {
    // Installing it twice is no error that matters: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("llmops/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Failure::because(Kind::Undecided, "cannot set up HTTP", &e))
}
