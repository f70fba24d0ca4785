//! Answers that the gateway makes itself.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use jiff::Timestamp;
use llmops_domain::chat::Usage;
use llmops_domain::record::Door;
use serde_json::json;

use crate::arrive::Arrived;
use crate::asked::Asked;
use crate::body::GatewayBody;
use crate::error::GatewayError;
use crate::recorder::CallWatch;

/// Any answer of the gateway.
pub(crate) type Answer = Response<GatewayBody>;

pub(crate) fn refuse(error: GatewayError, mut watch: CallWatch, door: Door) -> Answer {
    watch.with(|call| {
        call.status = error.status.as_u16();
        call.outcome = call.outcome.or(Some(error.outcome()));
        call.error = call.error.take().or_else(|| Some(error.message.clone()));
    });
    error.into_response(door)
}

/// The prepared answer of a deployment's safe mode.
pub(crate) fn fixed(asked: &Asked<'_>, text: &str, watch: CallWatch) -> Answer {
    let id = watch.id().to_owned();
    Arrived::made(asked, text, &id, Usage::default()).hand_on(tokio::time::Instant::now(), watch)
}

/// A deployment in a list of models. `anthropic`: for a client of Anthropic's.
pub(crate) fn model_object(name: &str, created: Timestamp, anthropic: bool) -> serde_json::Value {
    if anthropic {
        let created_at = created.strftime("%FT%TZ").to_string();
        return json!({"type": "model", "id": name, "display_name": name, "created_at": created_at});
    }
    json!({"id": name, "object": "model", "created": created.as_second(), "owned_by": "llmops"})
}

pub(crate) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut response = Response::new(GatewayBody::whole(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(crate) fn with_header(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
