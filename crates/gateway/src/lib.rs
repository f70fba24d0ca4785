//! The gateway: what an application's OpenAI or Anthropic client talks to instead of the provider.
//!
//! A request's `model` names a deployment, whose manifest decides the answer, or a model as `provider/model`, which is
//! forwarded. Bytes are forwarded, not re-modelled: of a request only the top level is read, and its values are handed on
//! as they were written; of an answer nothing is changed at all.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`snapshot`] | the immutable picture of deployments and providers that requests are answered from |
//! | `request` | the top level of a request, and what callers tell llmops |
//! | `rewrite` | the body that goes to the provider |
//! | `call` | attempts: retries and fallbacks before the first byte |
//! | `body` | the answer on its way to the caller, watched |
//! | `reply` | answers that the gateway makes itself |
//! | `answer` | what an answer says, read when the caller has it |
//! | [`recorder`] | from a finished call to its request record, off the path |
//! | [`gateway`] | the doors |
//!
//! The hot path takes no lock and asks no store. Who may call is asked from a [`Gatekeeper`]; records leave through a
//! channel.

mod answer;
mod body;
mod call;
mod error;
pub mod gateway;
mod local;
pub mod recorder;
mod reply;
mod request;
mod rewrite;
pub mod snapshot;

pub use body::GatewayBody;
pub use gateway::{Caller, Gatekeeper, Gateway};
pub use recorder::{Recorded, Recorder};
pub use snapshot::{Snapshot, SnapshotError};
