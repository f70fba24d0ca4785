//! The gateway: what an application's OpenAI or Anthropic client talks to instead of the provider.
//!
//! A request's `model` names a deployment, whose manifest decides the answer, or a model as `provider/model`, which is
//! forwarded. Bytes are forwarded, not re-modelled: of a request only the top level is read, and its values are handed on
//! as they were written; of an answer nothing is changed but that it is unpacked and the provider's key is covered.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`snapshot`] | the immutable picture of deployments and providers that requests are answered from |
//! | `request`, `asked` | the top level of a request, and what callers tell llmops |
//! | [`assign`] | the variant of an experiment that a caller gets |
//! | [`limits`] | what keys and deployments may still spend |
//! | `serve`, `direct` | a call to a deployment: its candidates, guard and cache; a call that names a model |
//! | `arrive` | from one candidate to an answer in the caller's format |
//! | `rewrite` | the body that goes to a provider of the caller's format |
//! | `messages`, `typed` | requests said in another format |
//! | `call`, `attempts` | attempts: retries before the first byte, each of them noted |
//! | `incoming`, `unpack` | the provider's answer as it is read: unpacked, without its key |
//! | `body`, `write` | the answer on its way to the caller, watched, and translated where the formats differ |
//! | `cache` | answers that are kept for equal requests |
//! | `canary` | who is answered by a candidate, and what is handed over to compare |
//! | `post` | the manifest's steps for answers, applied to whole ones |
//! | `reply` | answers that the gateway makes itself |
//! | `answer` | what an answer says, read when the caller has it |
//! | [`recorder`] | from a finished call to its request record, off the path |
//! | [`gateway`] | the doors |
//!
//! The hot path takes no lock and asks no store. Who may call is asked from a [`Gatekeeper`]; records leave through a
//! channel.

mod answer;
mod arrive;
mod asked;
pub mod assign;
mod attempts;
mod bodies;
mod body;
mod cache;
mod call;
mod canary;
mod captured;
mod direct;
mod error;
pub mod gateway;
mod incoming;
mod json;
pub mod limits;
mod messages;
mod post;
pub mod recorder;
mod reply;
mod request;
mod rewrite;
mod serve;
pub mod snapshot;
mod told;
mod typed;
mod unpack;
mod write;

pub use assign::{Assign, BoxFuture, Subject};
pub use body::GatewayBody;
pub use gateway::{Caller, Gatekeeper, Gateway};
pub use limits::{Ledger, Limiter, LocalLedger};
pub use recorder::{Ended, Recorded, Recorder, Recordings};
pub use snapshot::{Rankable, Snapshot, SnapshotError};
