//! `/api/v1/experiments/{experiment}/observations`, `…/results` and `…/questions`

use std::io::{self, Read};

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use bytes::{Buf as _, Bytes};
use futures::StreamExt;
use llmops::observation_rows::{BadRow, LineKeys, ReadError, Row, Rows};
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::observations::{ImportObservationsQuery, RecordedObservations, ResultsQuery};
use llmops_api::page::PageQuery;
use llmops_domain::experiment::observation::Observation;
use llmops_domain::experiment::result::ExperimentResult;
use llmops_domain::experiment::{AskedQuestion, Question};
use tokio::sync::mpsc;

use super::{bad_request, id_before, page};
use crate::ApiError;
use crate::extract::{Editor, Json, Path, Query, Viewer};

/// Rows that are handed over together.
const CHUNK: usize = 512;

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(record))
        .routes(routes!(import))
        .routes(routes!(results))
        .routes(routes!(ask, questions))
        .routes(routes!(question))
}

/// Records one value of one metric. When it is answered, it is on disk. The same idempotency key, unit and metric again is the
/// same observation; without a key, the same unit, metric, `at` and value is.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/observations", operation_id = "record_metric",
    tag = "experiments", params(("experiment" = String, Path)), request_body = Observation,
    responses((status = 200, body = RecordedObservations), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn record(
    Editor(ops): Editor,
    Path(experiment): Path<String>,
    Json(observation): Json<Observation>,
) -> Result<Answer<RecordedObservations>, ApiError> {
    Ok(Answer(ops.experiments().record_metric(&experiment, observation).await?))
}

/// Records many: CSV with the header `unit,variant,metric,value[,at][,idempotency_key]`, or a JSON object a line, of any
/// length. A table without the column `unit` is refused, unless `no_units` says so. Lines that are wrong
/// are refused and told; all others are on disk when it is answered.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/observations/import",
    operation_id = "import_observations", tag = "experiments",
    params(("experiment" = String, Path), ImportObservationsQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = RecordedObservations), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn import(
    Editor(ops): Editor,
    Path(experiment): Path<String>,
    Query(query): Query<ImportObservationsQuery>,
    body: Body,
) -> Result<Answer<RecordedObservations>, ApiError> {
    let mut import = ops.experiments().import_observations(&experiment).await?;
    let needed: &[&str] = if query.no_units { &["metric", "value"] } else { &["unit", "metric", "value"] };
    let (mut rows, reader) = read(body.into_data_stream(), needed);
    let mut keys = query.source.map(LineKeys::new);
    while let Some(chunk) = rows.recv().await {
        for row in chunk {
            match row {
                Ok(mut row) => {
                    let key = keys.as_mut().and_then(|keys| keys.key(&row));
                    let is_ours = key.is_some();
                    row.observation.idempotency_key = key.or(row.observation.idempotency_key);
                    import.push(row.line, row.observation, is_ours).await?;
                }
                Err(BadRow { line, problems }) => import.refuse(line, &problems),
            }
        }
    }
    let read = reader.await.map_err(|_| bad_request("the body cannot be read"))?;
    let recorded = import.finish().await?;
    match read {
        Ok(()) => Ok(Answer(recorded)),
        // What came before is recorded, and the same body may be sent again.
        Err(error) => Err(bad_request(format!("{error} ({} observations before it are recorded)", recorded.accepted))),
    }
}

/// What the experiment found so far.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}/results", operation_id = "get_experiment_results",
    tag = "experiments", params(("experiment" = String, Path), ResultsQuery),
    responses((status = 200, body = ExperimentResult), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn results(
    Viewer(ops): Viewer,
    Path(experiment): Path<String>,
    Query(query): Query<ResultsQuery>,
) -> Result<Answer<ExperimentResult>, ApiError> {
    Ok(Answer(ops.experiments().get_results(&experiment, &query).await?))
}

/// Asks what the results cannot tell: another kind or quantile of a metric, a part of the units, a stretch of time. It is answered
/// from the observations in the background; the answer is fetched by the id of the question.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/questions", operation_id = "ask_experiment",
    tag = "experiments", params(("experiment" = String, Path)), request_body = Question,
    responses((status = 202, body = AskedQuestion), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn ask(
    Editor(ops): Editor,
    Path(experiment): Path<String>,
    Json(question): Json<Question>,
) -> Result<(StatusCode, Answer<AskedQuestion>), ApiError> {
    Ok((StatusCode::ACCEPTED, Answer(ops.experiments().ask(&experiment, question).await?)))
}

/// What was asked about an experiment, newest first.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}/questions", operation_id = "list_experiment_questions",
    tag = "experiments", params(("experiment" = String, Path), PageQuery),
    responses((status = 200, body = Page<AskedQuestion>), (status = 400, body = ErrorResponse),
        (status = 404, body = ErrorResponse)))]
async fn questions(
    Viewer(ops): Viewer,
    Path(experiment): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<AskedQuestion>>, ApiError> {
    let limit = query.limit();
    let before = id_before(query.cursor.as_deref(), "question_")?;
    let found = ops.experiments().questions(&experiment, before, limit + 1).await?;
    Ok(Answer(page(found, limit, |asked| asked.id.0.clone())))
}

/// A question, with its answer once there is one.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}/questions/{question}",
    operation_id = "get_experiment_question", tag = "experiments",
    params(("experiment" = String, Path), ("question" = String, Path)),
    responses((status = 200, body = AskedQuestion), (status = 404, body = ErrorResponse)))]
async fn question(
    Viewer(ops): Viewer,
    Path((experiment, question)): Path<(String, String)>,
) -> Result<Answer<AskedQuestion>, ApiError> {
    Ok(Answer(ops.experiments().question(&experiment, &question).await?))
}

type Chunk = Vec<Result<Row, BadRow>>;

/// Reads rows in a thread that may block, while the caller stores what came before.
fn read(
    mut body: BodyDataStream,
    needed: &'static [&'static str],
) -> (mpsc::Receiver<Chunk>, tokio::task::JoinHandle<Result<(), ReadError>>) {
    let (bytes, parts) = mpsc::channel::<io::Result<Bytes>>(16);
    let (chunks, rows) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(part) = body.next().await {
            // The reader has given up: nobody wants the rest.
            if bytes.send(part.map_err(io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    let reader = tokio::task::spawn_blocking(move || {
        let mut rows = Rows::new(Parts { parts, rest: Bytes::new() }, needed)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = loop {
            match rows.next_row() {
                Ok(Some(row)) => chunk.push(row),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if chunk.len() == CHUNK && chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return Ok(());
            }
        };
        // What was read before a fault counts. Who has gone does not want the rest.
        let _ = chunks.blocking_send(chunk);
        read
    });
    (rows, reader)
}

/// A body as it comes, for a reader that may block.
struct Parts {
    parts: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.rest = part?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}
