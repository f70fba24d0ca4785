//! The API in this process: the client's transport over the server's router.

use axum::Router;
use axum::body::Body as RouterBody;
use http_body_util::BodyExt;
use llmops_api::Client;
use llmops_api::client::{Body, LocalService};
use tower::ServiceExt;

/// A client that calls `router` without a network.
pub(crate) fn client(router: Router) -> Client {
    let service = router
        .into_service::<RouterBody>()
        .map_request(|request: http::Request<Body>| request.map(RouterBody::new))
        .map_response(|response| response.map(|body| body.map_err(std::io::Error::other).boxed_unsync()));
    Client::local(LocalService::new(service))
}
