//! The gateway's doors: told from the paths of the API before a router looks at them, because a call costs little more than
//! what a router does for it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::http::Method;
use llmops_gateway::Gateway;

use crate::metrics::http::{RouteMeter, meters};

/// Prefix of the path of one model.
const MODEL: &str = "/v1/models/";
/// The paths. OTLP has one below /v1, too, which is not among them.
const DOORS: [(&str, Method); 5] = [
    ("/v1/chat/completions", Method::POST),
    ("/v1/embeddings", Method::POST),
    ("/v1/messages", Method::POST),
    ("/v1/models", Method::GET),
    ("/v1/models/{model}", Method::GET),
];

/// A gateway and the meters of its doors.
#[derive(Debug)]
pub(crate) struct Doors {
    gateway: Gateway,
    meters: [Arc<RouteMeter>; DOORS.len()],
}

impl Doors {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self { gateway, meters: DOORS.map(|(path, method)| meters().route(path, &method)) }
    }

    /// The number of the door at a path, if there is one.
    pub(crate) fn at(path: &str) -> Option<usize> {
        if !path.starts_with("/v1/") {
            return None;
        }
        let is_model = || path.strip_prefix(MODEL).is_some_and(|model| !model.is_empty() && !model.contains('/'));
        DOORS.iter().position(|(door, _)| *door == path).or_else(|| is_model().then_some(DOORS.len() - 1))
    }

    /// Answers at a door.
    pub(crate) async fn answer(&self, door: usize, request: Request<Incoming>) -> Response {
        let started = Instant::now();
        let answer = pin!(self.gateway.handle(request)).await;
        self.meters[door].note(answer.status(), started.elapsed());
        answer.map(Body::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_by_their_paths() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(Doors::at(path).map(|door| DOORS[door].0), expected, "{path}");
        };
        check("/v1/chat/completions", Some("/v1/chat/completions"));
        check("/v1/models", Some("/v1/models"));
        check("/v1/models/bot", Some("/v1/models/{model}"));
        for other in
            ["/", "/v1/", "/v1/traces", "/v1/models/", "/v1/models/a/b", "/v1/chat/completions/", "/api/v1/models"]
        {
            check(other, None);
        }
        // The path that the metrics show is no model.
        check("/v1/models/{model}", Some("/v1/models/{model}"));
    }
}
