//! `/v1/traces`: spans of applications that call models themselves, over OTLP/HTTP. Those of model calls become request
//! records; all others are accepted and left out.

mod json;
mod protobuf;

use std::io::Read as _;

use crate::routes::{Routes, routes};
use axum::body::Bytes;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::read::MultiGzDecoder;
use llmops_api::error::ErrorResponse;
use llmops_api::{ErrorBody, ErrorCode};

use crate::ApiError;
use crate::api::bad_request;
use crate::extract::Editor;

const PROTOBUF: &str = "application/x-protobuf";
/// Largest request when it is unpacked.
const MOST_BYTES: u64 = 64 << 20;

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(traces))
}

/// Takes spans by OpenTelemetry's protocol, as protobuf or JSON, packed with gzip or not. Spans of model calls (`gen_ai.*`)
/// become request records; one that is sent twice is stored once.
#[utoipa::path(post, path = "/v1/traces", operation_id = "export_traces", tag = "records",
    request_body(content(
        (serde_json::Value = "application/json"),
        (Vec<u8> = "application/x-protobuf"),
    )),
    responses((status = 200, description = "Taken", body = serde_json::Value), (status = 400, body = ErrorResponse),
        (status = 413, body = ErrorResponse), (status = 415, body = ErrorResponse)))]
async fn traces(Editor(ops): Editor, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json";
    if !is_json && kind != PROTOBUF {
        let message = format!("`{kind}` is no format of OTLP over HTTP: expected application/json or {PROTOBUF}");
        return Err(ErrorBody::new(ErrorCode::UnsupportedMediaType, message).into());
    }
    let body = unpacked(&headers, body)?;
    let spans = if is_json { json::spans(&body) } else { protobuf::spans(&body) };
    let spans = spans.map_err(|message| bad_request(format!("the spans cannot be read: {message}")))?;
    let (mut good, mut refused) = (Vec::with_capacity(spans.len()), Vec::new());
    for span in spans {
        match span {
            Ok(span) => good.push(span),
            Err(message) => refused.push(format!("a span cannot be read: {message}")),
        }
    }
    let not_taken = ops.records().take_in(&good).await?;
    refused.extend(not_taken.iter().map(ToString::to_string));
    let refused = Refused::of(&refused);
    Ok(if is_json {
        (StatusCode::OK, axum::Json(json::answer(refused.as_ref()))).into_response()
    } else {
        (StatusCode::OK, [(CONTENT_TYPE, PROTOBUF)], protobuf::answer(refused.as_ref())).into_response()
    })
}

/// Spans that were not taken, which `partialSuccess` tells; without it everything was taken.
struct Refused {
    spans: usize,
    message: String,
}

impl Refused {
    fn of(messages: &[String]) -> Option<Self> {
        let first = messages.first()?;
        let message = if messages.len() == 1 { first.clone() } else { format!("{first} (the first of several)") };
        Some(Self { spans: messages.len(), message })
    }
}

fn unpacked(headers: &HeaderMap, body: Bytes) -> Result<Bytes, ApiError> {
    match headers.get(CONTENT_ENCODING).map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(body),
        Some(b"gzip") => {
            let mut unpacked = Vec::new();
            let read = MultiGzDecoder::new(&*body).take(MOST_BYTES + 1).read_to_end(&mut unpacked);
            read.map_err(|error| bad_request(format!("the body is no gzip: {error}")))?;
            if unpacked.len() as u64 > MOST_BYTES {
                let message = format!("the body is larger than {} MB unpacked", MOST_BYTES >> 20);
                return Err(ErrorBody::new(ErrorCode::TooLarge, message).into());
            }
            Ok(unpacked.into())
        }
        Some(_) => {
            let message = "content-encoding: expected gzip, or none";
            Err(ErrorBody::new(ErrorCode::UnsupportedMediaType, message).into())
        }
    }
}
