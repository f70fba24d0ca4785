//! Answers that the gateway makes itself.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use llmops_domain::record::{CallOutcome, Door};
use serde_json::json;

use crate::body::GatewayBody;
use crate::error::GatewayError;
use crate::recorder::CallWatch;

/// Any answer of the gateway.
pub(crate) type Answer = Response<GatewayBody>;

pub(crate) fn refuse(error: GatewayError, mut watch: CallWatch, door: Door) -> Answer {
    watch.with(|call| {
        call.status = error.status.as_u16();
        call.outcome = call.outcome.or(Some(CallOutcome::Refused));
        call.error = call.error.take().or_else(|| Some(error.message.clone()));
    });
    error.into_response(door)
}

pub(crate) fn model_object(name: &str) -> serde_json::Value {
    json!({"id": name, "object": "model", "created": 0, "owned_by": "llmops"})
}

pub(crate) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Answer {
    typed(status, Bytes::from(body.to_string()), "application/json")
}

pub(crate) fn typed(status: StatusCode, body: Bytes, kind: &'static str) -> Answer {
    let mut response = Response::new(GatewayBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if kind == "text/event-stream" {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

pub(crate) fn with_header(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
