//! `/api/v1/feedback`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use bytes::Bytes;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::feedback::{
    EXPORT_COUNTS, ExportQuery, FeedbackSummary, HardExamples, HardExamplesMade, ReceivedFeedback, ReportQuery,
    SendReport, SubmitFeedback, SummaryQuery,
};
use llmops_domain::feedback::{Feedback, FeedbackFilter, FeedbackReport};

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Caller, Editor, Json, JsonOrList, Operator, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(submit, list))
        .routes(routes!(summary))
        .routes(routes!(export))
        .routes(routes!(hard_examples))
        .routes(routes!(report))
        .routes(routes!(send_report))
        .routes(routes!(get))
}

/// Takes in feedback on answers: one piece, or a list of at most 1,000. It may come before the answer's record is written.
/// The same `idempotency_key` again is the same feedback. Of a list, what is wrong is refused with its position, and the rest
/// is taken. Whoever may call the gateway may say how the answer was.
#[utoipa::path(post, path = "/api/v1/feedback", operation_id = "submit_feedback", tag = "feedback",
    request_body = SubmitFeedback,
    responses((status = 201, body = ReceivedFeedback), (status = 200, body = ReceivedFeedback,
        description = "Everything was there before, or refused"), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn submit(
    Caller(ops): Caller,
    JsonOrList(body): JsonOrList<SubmitFeedback>,
) -> Result<(StatusCode, Answer<ReceivedFeedback>), ApiError> {
    let received = match body {
        SubmitFeedback::Many(list) => ops.feedback().submit_all(&list).await?,
        SubmitFeedback::One(one) => ops.feedback().submit(&one).await?,
    };
    Ok((if received.accepted > 0 { StatusCode::CREATED } else { StatusCode::OK }, Answer(received)))
}

/// Feedback, newest first.
#[utoipa::path(get, path = "/api/v1/feedback", operation_id = "list_feedback", tag = "feedback",
    params(FeedbackFilter), responses((status = 200, body = Page<Feedback>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(filter): Query<FeedbackFilter>) -> Result<Answer<Page<Feedback>>, ApiError> {
    let limit = page_size(filter.limit);
    id_before(filter.cursor.as_deref(), "fb_")?;
    let items = ops.feedback().list(&filter, limit + 1).await?;
    Ok(Answer(page(items, limit, |feedback| feedback.id.to_string())))
}

/// What was said, summed up by prompt version, manifest, variant, day, segment …, with numbers of answers and intervals.
#[utoipa::path(get, path = "/api/v1/feedback/summary", operation_id = "feedback_summary", tag = "feedback",
    params(SummaryQuery), responses((status = 200, body = FeedbackSummary), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn summary(Viewer(ops): Viewer, Query(query): Query<SummaryQuery>) -> Result<Answer<FeedbackSummary>, ApiError> {
    Ok(Answer(ops.feedback().summary(&query).await?))
}

/// Feedback as training data, a JSON object a line. The header `x-llmops-export` says how many examples there are and what was
/// left out: near-duplicates, secrets, what lacks a text.
#[utoipa::path(get, path = "/api/v1/feedback/export", operation_id = "export_feedback", tag = "feedback",
    params(ExportQuery), responses((status = 200, content_type = "application/x-ndjson", body = String),
        (status = 400, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn export(Editor(ops): Editor, Query(query): Query<ExportQuery>) -> Result<Response, ApiError> {
    let (counts, lines) = ops.feedback().export(query).await?;
    let counts = serde_json::to_string(&counts).unwrap_or_default();
    let lines = futures::stream::unfold(lines, |mut lines| async {
        let line = lines.recv().await?;
        let line = line.map(|line| Bytes::from(line + "\n")).map_err(std::io::Error::other);
        Some((line, lines))
    });
    let headers =
        [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (HeaderName::from_static(EXPORT_COUNTS), counts)];
    Ok((AppendHeaders(headers), Body::from_stream(lines)).into_response())
}

/// Adds the questions of negative feedback to a dataset, with the right answers where somebody gave them.
#[utoipa::path(post, path = "/api/v1/feedback/hard-examples", operation_id = "make_hard_examples", tag = "feedback",
    request_body = HardExamples,
    responses((status = 200, body = HardExamplesMade), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn hard_examples(
    Editor(ops): Editor,
    Json(request): Json<HardExamples>,
) -> Result<Answer<HardExamplesMade>, ApiError> {
    Ok(Answer(ops.feedback().hard_examples(request).await?))
}

/// The last days by prompt version, beside as many days before, and what complaints are about.
#[utoipa::path(get, path = "/api/v1/feedback/report", operation_id = "feedback_report", tag = "feedback",
    params(ReportQuery), responses((status = 200, body = FeedbackReport), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn report(Viewer(ops): Viewer, Query(query): Query<ReportQuery>) -> Result<Answer<FeedbackReport>, ApiError> {
    Ok(Answer(ops.feedback().report(&query).await?))
}

/// Sends the report to a channel.
#[utoipa::path(post, path = "/api/v1/feedback/report", operation_id = "send_feedback_report", tag = "feedback",
    request_body = SendReport,
    responses((status = 200, body = FeedbackReport), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn send_report(
    Operator(ops): Operator,
    Json(request): Json<SendReport>,
) -> Result<Answer<FeedbackReport>, ApiError> {
    let feedback = ops.feedback();
    let report = feedback.report(&request.report).await?;
    feedback.send_report(&report, &request.channel).await?;
    Ok(Answer(report))
}

/// One piece of feedback.
#[utoipa::path(get, path = "/api/v1/feedback/{id}", operation_id = "get_feedback", tag = "feedback",
    params(("id" = String, Path)),
    responses((status = 200, body = Feedback), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(id): Path<String>) -> Result<Answer<Feedback>, ApiError> {
    Ok(Answer(ops.feedback().get(&id).await?))
}
