//! `/ofrep/v1/evaluate/flags`: OpenFeature's remote evaluation protocol.
//!
//! A flag is an experiment, asked for by its key; its value is the variant's. A unit that takes no part is served the control's
//! value with the reason `DEFAULT` (or `DISABLED` while the experiment is paused, and when it ended without a winner) and is not
//! counted. Evaluating counts the unit's exposure, in bulk too: the protocol does not tell which values are used.

use crate::routes::{Routes, routes};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use llmops::LlmOps;
use llmops::experiments::{Assigned, Flag, Flags};
use llmops_api::ErrorBody;
use llmops_api::experiments::AssignmentReason;
use llmops_domain::experiment::Unit;
use llmops_domain::hash::ContentHash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::extract::{Caller, Path};
use crate::{ApiError, etag};

/// Most bytes of a targeting key.
const LONGEST_KEY: usize = 1024;

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(evaluate)).routes(routes!(evaluate_all))
}

/// Keys of experiments may have slashes, and providers do not encode them.
pub(crate) fn slashed() -> axum::Router<LlmOps> {
    axum::Router::new().route("/ofrep/v1/evaluate/flags/{key}/{*rest}", axum::routing::post(evaluate_slashed))
}

/// What a flag is evaluated for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct EvaluationRequest {
    /// `targetingKey` names the unit; the other members are its attributes.
    #[expect(dead_code, reason = "the shape of the document; reading is done by hand for the sake of the error codes")]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    context: Option<Map<String, Value>>,
}

/// OpenFeature's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum FlagErrorCode {
    ParseError,
    TargetingKeyMissing,
    InvalidContext,
    FlagNotFound,
    General,
}

/// A flag that could not be evaluated.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct FlagError {
    /// The flag; null for a bulk request as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Which kind of error it is.
    error_code: FlagErrorCode,
    /// What went wrong and how to mend it.
    error_details: String,
    /// The same as the rest of the API tells it, for the status of the answer.
    #[serde(skip)]
    cause: Option<Box<ErrorBody>>,
}

/// A flag's value for a unit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FlagValue {
    /// The flag: the key of an experiment.
    key: String,
    /// A boolean, text, number or object.
    value: Value,
    /// `SPLIT`, `STATIC` (the winner of what is over), `DEFAULT` or `DISABLED`.
    reason: &'static str,
    /// Id of the variant.
    variant: String,
    /// What is known beside the value.
    metadata: FlagMetadata,
}

/// What is known beside the value.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FlagMetadata {
    /// Id of the experiment.
    experiment: String,
    /// Its status.
    status: String,
    /// Whether the unit takes part: only then do its observations count.
    included: bool,
    /// Why it has the variant, or takes no part.
    assignment: AssignmentReason,
}

/// A flag of a bulk evaluation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum BulkFlag {
    Value(FlagValue),
    Error(FlagError),
}

/// All flags.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BulkAnswer {
    /// Each flag with its value or its error.
    flags: Vec<BulkFlag>,
}

impl FlagError {
    fn new(code: FlagErrorCode, details: impl Into<String>) -> Self {
        Self { key: None, error_code: code, error_details: details.into(), cause: None }
    }

    fn of(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

impl From<llmops::Error> for FlagError {
    fn from(error: llmops::Error) -> Self {
        let ApiError(body) = error.into();
        Self { cause: Some(Box::new(body.clone())), ..Self::new(FlagErrorCode::General, body.message) }
    }
}

impl IntoResponse for FlagError {
    fn into_response(self) -> Response {
        let status = match self.error_code {
            FlagErrorCode::FlagNotFound => StatusCode::NOT_FOUND,
            FlagErrorCode::General => {
                self.cause.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, |cause| cause.code.status())
            }
            FlagErrorCode::ParseError | FlagErrorCode::TargetingKeyMissing | FlagErrorCode::InvalidContext => {
                StatusCode::BAD_REQUEST
            }
        };
        let retry_after = self.cause.as_ref().and_then(|cause| cause.retry_after);
        let mut response = (status, axum::Json(self)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The context of a request. An empty body has an empty one.
fn read_context(body: &[u8]) -> Result<Map<String, Value>, FlagError> {
    let wrong = |details: String| FlagError::new(FlagErrorCode::ParseError, details);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| wrong(format!("the body is no JSON: {e}")))?;
    let Value::Object(mut request) = value else {
        return Err(wrong("the body is no JSON object: expected {\"context\": {\"targetingKey\": \"…\"}}".to_owned()));
    };
    let invalid = |details: &str| Err(FlagError::new(FlagErrorCode::InvalidContext, details));
    let context = match request.remove("context") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(context)) => context,
        Some(_) => return invalid("`context` is no object: expected {\"targetingKey\": \"…\", …}"),
    };
    match context.get("targetingKey") {
        Some(Value::String(key)) if key.len() > LONGEST_KEY => {
            invalid("`targetingKey` is longer than 1024 bytes: expected a short id")
        }
        Some(Value::String(key)) if key.contains('\0') => invalid("`targetingKey` contains a NUL character: remove it"),
        None | Some(Value::Null | Value::String(_)) => Ok(context),
        Some(_) => invalid("`targetingKey` is no text: expected a string"),
    }
}

/// The error for a context that does not name the flag's unit.
fn no_unit(flag: &Flag) -> FlagError {
    match &flag.experiment.spec.unit {
        Unit::User => {
            FlagError::new(FlagErrorCode::TargetingKeyMissing, "the context has no `targetingKey`, or an empty one")
        }
        Unit::Session => {
            FlagError::new(FlagErrorCode::InvalidContext, "the context has no `session`, or one that is no short text")
        }
        Unit::Attribute(name) => FlagError::new(
            FlagErrorCode::InvalidContext,
            format!("the context has no `{name}`, or one that is no short text or whole number"),
        ),
    }
}

fn reason_of(reason: AssignmentReason) -> &'static str {
    match reason {
        AssignmentReason::Split | AssignmentReason::Sticky => "SPLIT",
        AssignmentReason::Winner => "STATIC",
        AssignmentReason::Paused | AssignmentReason::NotRunning => "DISABLED",
        AssignmentReason::NoUnit
        | AssignmentReason::Audience
        | AssignmentReason::Namespace
        | AssignmentReason::Holdout
        | AssignmentReason::Coverage => "DEFAULT",
    }
}

fn flag_value(flag: &Flag, assigned: Assigned) -> FlagValue {
    let experiment = &flag.experiment;
    let variant = &experiment.spec.variants[assigned.variant.unwrap_or_else(|| experiment.spec.control_index())];
    FlagValue {
        key: experiment.spec.key.clone(),
        value: variant.flag_value(),
        reason: reason_of(assigned.reason),
        variant: variant.id.clone(),
        metadata: FlagMetadata {
            experiment: experiment.id.0.clone(),
            status: experiment.status.to_string(),
            included: assigned.is_included(),
            assignment: assigned.reason,
        },
    }
}

async fn evaluate_flag(ops: &LlmOps, flag: &Flag, context: &Map<String, Value>) -> Result<FlagValue, FlagError> {
    let unit = flag.assigner.unit_of(context);
    let assigned = ops.experiments().evaluate(flag, unit.as_deref(), context).await?;
    if assigned.reason == AssignmentReason::NoUnit {
        return Err(no_unit(flag));
    }
    Ok(flag_value(flag, assigned))
}

/// Changes when a flag, the context or an answer does.
fn tag_of<T: Serialize>(flags: &Flags, context: &Map<String, Value>, answer: &T) -> String {
    let hash = ContentHash::of_json(&(flags.fingerprint(), context, answer));
    hash.map_or_else(|_| String::new(), |hash| format!("\"{}\"", &hash.as_str()[..32]))
}

/// The answer with its ETag, or 304 when the client has it.
fn answer<T: Serialize>(headers: &HeaderMap, tag: &str, answer: &T) -> Response {
    let mut response = if etag::is_known(headers, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        axum::Json(answer).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// One flag.
#[utoipa::path(post, path = "/ofrep/v1/evaluate/flags/{key}", operation_id = "evaluate_flag", tag = "flags",
    params(("key" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that is known")),
    request_body = EvaluationRequest,
    responses((status = 200, body = FlagValue), (status = 304), (status = 400, body = FlagError),
        (status = 404, body = FlagError), (status = 500, body = FlagError), (status = 503, body = FlagError)))]
async fn evaluate(Caller(ops): Caller, Path(key): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let context = match read_context(&body) {
        Ok(context) => context,
        Err(error) => return error.of(&key).into_response(),
    };
    let flags = match ops.experiments().flags().await {
        Ok(flags) => flags,
        Err(error) => return FlagError::from(error).of(&key).into_response(),
    };
    let Some(flag) = flags.by_key(&key) else {
        let details = format!("there is no flag `{key}`: no experiment with this key was started");
        return FlagError::new(FlagErrorCode::FlagNotFound, details).of(&key).into_response();
    };
    match evaluate_flag(&ops, flag, &context).await {
        Ok(value) => answer(&headers, &tag_of(&flags, &context, &value), &value),
        Err(error) => error.of(&key).into_response(),
    }
}

/// One flag, by a key that has slashes.
async fn evaluate_slashed(
    caller: Caller,
    Path((key, rest)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    evaluate(caller, Path(format!("{key}/{rest}")), headers, body).await
}

/// All flags.
#[utoipa::path(post, path = "/ofrep/v1/evaluate/flags", operation_id = "evaluate_flags", tag = "flags",
    params(("If-None-Match" = Option<String>, Header, description = "The ETag that is known")),
    request_body = Option<EvaluationRequest>,
    responses((status = 200, body = BulkAnswer), (status = 304), (status = 400, body = FlagError),
        (status = 500, body = FlagError), (status = 503, body = FlagError)))]
async fn evaluate_all(Caller(ops): Caller, headers: HeaderMap, body: Bytes) -> Response {
    match evaluate_bulk(&ops, &body).await {
        Ok((tag, flags)) => answer(&headers, &tag, &flags),
        Err(error) => error.into_response(),
    }
}

async fn evaluate_bulk(ops: &LlmOps, body: &[u8]) -> Result<(String, BulkAnswer), FlagError> {
    let context = read_context(body)?;
    let flags = ops.experiments().flags().await?;
    let mut answer = BulkAnswer { flags: Vec::with_capacity(flags.all().len()) };
    for flag in flags.all() {
        answer.flags.push(match evaluate_flag(ops, flag, &context).await {
            Ok(value) => BulkFlag::Value(value),
            Err(error) if error.error_code == FlagErrorCode::General => return Err(error),
            Err(error) => BulkFlag::Error(error.of(&flag.experiment.spec.key)),
        });
    }
    // When no flag has a value because nobody is named, the request as a whole is wrong.
    let misses_key = |flag: &BulkFlag| {
        matches!(flag, BulkFlag::Error(FlagError { error_code: FlagErrorCode::TargetingKeyMissing, .. }))
    };
    if !answer.flags.is_empty() && answer.flags.iter().all(misses_key) {
        return Err(FlagError::new(
            FlagErrorCode::TargetingKeyMissing,
            "the context has no `targetingKey`, or an empty one",
        ));
    }
    Ok((tag_of(&flags, &context, &answer), answer))
}
