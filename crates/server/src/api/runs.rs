//! `/api/v1/runs`

use std::time::Duration;

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops::Against;
use llmops::evaluator::RunRef;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::runs::{CreateRun, GateRequest, GetRunQuery, ResultQuery, RunQuery};
use llmops_domain::compare::RunComparison;
use llmops_domain::gate::{GateConfig, GateReport};
use llmops_domain::id::RunId;
use llmops_domain::run::{EvaluationFilter, EvaluationRun, SampleResult, ScoreDistribution};
use llmops_storage::{ResultCursor, ResultFilter, ResultOrder};

use super::{id_before, no_cursor, page, page_size, time};
use crate::extract::{Editor, Json, Path, Query, Viewer};
use crate::{ApiError, MAX_WAIT};

/// What a viewer is told of a verdict.
const NOT_KEPT: &str = "this verdict is not kept as the run's: that needs a key with the role editor";

/// What an editor is told of a verdict in a store that may only be read.
const STORE_READ_ONLY: &str =
    "this verdict is not kept as the run's: the store takes no changes, its file may only be read";

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(start))
        .routes(routes!(cancel))
        .routes(routes!(results))
        .routes(routes!(sample))
        .routes(routes!(distribution))
        .routes(routes!(compare))
        .routes(routes!(gate))
        .routes(routes!(rules))
}

/// Runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "list_runs", tag = "runs", params(RunQuery),
    responses((status = 200, body = Page<EvaluationRun>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<RunQuery>) -> Result<Answer<Page<EvaluationRun>>, ApiError> {
    let limit = page_size(query.limit);
    let filter = EvaluationFilter {
        prompt_name: one("prompt", query.prompt, query.prompt_name)?,
        prompt_version: query.prompt_version,
        model_name: one("model", query.model, query.model_name)?,
        dataset: query.dataset,
        suite: query.suite,
        status: query.status,
        tag: query.tag,
        start_time: time("start_time", query.start_time.as_deref())?,
        end_time: time("end_time", query.end_time.as_deref())?,
        before: id_before(query.cursor.as_deref(), "run_")?.map(RunId::from),
        limit: Some(limit + 1),
    };
    let runs = ops.evaluator().list_runs(&filter).await?;
    Ok(Answer(page(runs, limit, |run| run.id.0.clone())))
}

/// What a parameter with two names asks for.
fn one(name: &str, short: Option<String>, long: Option<String>) -> Result<Option<String>, ApiError> {
    match (short, long) {
        (Some(short), Some(long)) if short != long => {
            Err(llmops::Error::invalid(format!("`{name}` and `{name}_name` mean the same, and differ")).into())
        }
        (short, long) => Ok(short.or(long)),
    }
}

/// Creates a run, and starts it unless `start` is false.
#[utoipa::path(post, path = "/api/v1/runs", operation_id = "create_run", tag = "runs", request_body = CreateRun,
    responses((status = 201, body = EvaluationRun), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn create(
    Editor(ops): Editor,
    Json(request): Json<CreateRun>,
) -> Result<(StatusCode, Answer<EvaluationRun>), ApiError> {
    Ok((StatusCode::CREATED, Answer(ops.evaluator().create_run(request).await?)))
}

/// One run: an id, the beginning of one, `latest` or `baseline`.
#[utoipa::path(get, path = "/api/v1/runs/{run}", operation_id = "get_run", tag = "runs",
    params(("run" = String, Path), GetRunQuery),
    responses((status = 200, body = EvaluationRun), (status = 404, body = ErrorResponse)))]
async fn get(
    Viewer(ops): Viewer,
    Path(run): Path<String>,
    Query(query): Query<GetRunQuery>,
) -> Result<Answer<EvaluationRun>, ApiError> {
    let run = RunRef::from(run.as_str());
    Ok(Answer(match query.wait_ms {
        None => ops.evaluator().get_run(&run, query.dataset.as_deref()).await?,
        Some(wait) => ops.evaluator().wait(&run, Duration::from_millis(wait).min(MAX_WAIT)).await?,
    }))
}

/// Starts a pending run, or resumes one that stopped: what has a result is not asked again.
#[utoipa::path(post, path = "/api/v1/runs/{run}/start", operation_id = "start_run", tag = "runs",
    params(("run" = String, Path)),
    responses((status = 200, body = EvaluationRun), (status = 404, body = ErrorResponse)))]
async fn start(Editor(ops): Editor, Path(run): Path<String>) -> Result<Answer<EvaluationRun>, ApiError> {
    Ok(Answer(ops.evaluator().start_run(&run).await?))
}

/// Stops a run. It can be resumed.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", operation_id = "cancel_run", tag = "runs",
    params(("run" = String, Path)),
    responses((status = 200, body = EvaluationRun), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn cancel(Editor(ops): Editor, Path(run): Path<String>) -> Result<Answer<EvaluationRun>, ApiError> {
    Ok(Answer(ops.evaluator().cancel(&RunRef::from(run.as_str())).await?))
}

/// Sample results, worst first, or in the order that is asked for.
#[utoipa::path(get, path = "/api/v1/runs/{run}/results", operation_id = "list_results", tag = "runs",
    params(("run" = String, Path), ResultQuery),
    responses((status = 200, body = Page<SampleResult>), (status = 400, body = ErrorResponse),
        (status = 404, body = ErrorResponse)))]
async fn results(
    Viewer(ops): Viewer,
    Path(run): Path<String>,
    Query(query): Query<ResultQuery>,
) -> Result<Answer<Page<SampleResult>>, ApiError> {
    let limit = page_size(query.limit);
    let cursor: Option<ResultCursor> = match &query.cursor {
        None => None,
        Some(text) => Some(serde_json::from_str(text).map_err(|_| no_cursor())?),
    };
    let order = query.order.unwrap_or(ResultOrder::Worst);
    let filter = ResultFilter { category: query.category, status: query.status, order };
    let run = ops.evaluator().get_run(&RunRef::from(run.as_str()), None).await?;
    let (items, next) = ops.evaluator().results(&run.id, &filter, cursor.as_ref(), limit).await?;
    let next_cursor = next.and_then(|cursor| serde_json::to_string(&cursor).ok());
    Ok(Answer(Page { items, next_cursor }))
}

/// Every trial of one sample.
#[utoipa::path(get, path = "/api/v1/runs/{run}/results/{sample}", operation_id = "get_sample_results", tag = "runs",
    params(("run" = String, Path), ("sample" = String, Path)),
    responses((status = 200, body = Page<SampleResult>), (status = 404, body = ErrorResponse)))]
async fn sample(
    Viewer(ops): Viewer,
    Path((run, sample)): Path<(String, String)>,
) -> Result<Answer<Page<SampleResult>>, ApiError> {
    let run = ops.evaluator().get_run(&RunRef::from(run.as_str()), None).await?;
    let items = ops.evaluator().results_of_sample(&run.id, &sample).await?;
    Ok(Answer(Page { items, next_cursor: None }))
}

/// How the composites of a run's trials are spread.
#[utoipa::path(get, path = "/api/v1/runs/{run}/distribution", operation_id = "get_distribution", tag = "runs",
    params(("run" = String, Path)),
    responses((status = 200, body = ScoreDistribution), (status = 404, body = ErrorResponse)))]
async fn distribution(Viewer(ops): Viewer, Path(run): Path<String>) -> Result<Answer<ScoreDistribution>, ApiError> {
    let run = ops.evaluator().get_run(&RunRef::from(run.as_str()), None).await?;
    Ok(Answer(ops.evaluator().distribution(&run.id).await?))
}

/// What changed from one run to another.
#[utoipa::path(get, path = "/api/v1/runs/{run}/compare/{other}", operation_id = "compare_runs", tag = "runs",
    params(("run" = String, Path), ("other" = String, Path)),
    responses((status = 200, body = RunComparison), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn compare(
    Viewer(ops): Viewer,
    Path((run, other)): Path<(String, String)>,
) -> Result<Answer<RunComparison>, ApiError> {
    let (before, after) = (RunRef::from(run.as_str()), RunRef::from(other.as_str()));
    Ok(Answer(ops.evaluator().compare_runs(&before, &after).await?))
}

/// The rules of the gate that the configuration sets: what to ask with for its verdict. Those of a suite may be others.
#[utoipa::path(get, path = "/api/v1/gate", operation_id = "get_gate_rules", tag = "runs",
    responses((status = 200, body = GateConfig)))]
async fn rules(Viewer(ops): Viewer) -> Answer<GateConfig> {
    Answer(ops.evaluator().gate_rules())
}

/// The verdict on a run, with its evidence. Asked for by an editor, it is kept: as the run's tag `gate`, which deployments with
/// `require_gate` go by, and with its rules in the record of changes. A viewer reads it only, and so does everybody where the store
/// may only be read: a notice says so.
#[utoipa::path(post, path = "/api/v1/runs/{run}/gate", operation_id = "gate_run", tag = "runs",
    params(("run" = String, Path)), request_body = GateRequest,
    responses((status = 200, body = GateReport), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn gate(
    Viewer(ops): Viewer,
    editor: Result<Editor, ApiError>,
    Path(run): Path<String>,
    Json(request): Json<GateRequest>,
) -> Result<Answer<GateReport>, ApiError> {
    let against = request.baseline.as_deref().map(RunRef::from);
    let against = match (&against, &request.reference) {
        (Some(run), _) => Against::Run(run),
        (None, Some(scores)) => Against::Scores(scores),
        (None, None) => Against::Baseline,
    };
    let run = RunRef::from(run.as_str());
    let mut report = ops.evaluator().gate_against(&run, against, request.config).await?;
    report.notices.extend(request.notices);
    match editor {
        Ok(Editor(ops)) => match ops.evaluator().keep_verdict(&report).await {
            // What may only be read can be judged all the same.
            Err(error) if error.is_read_only() => report.notices.push(STORE_READ_ONLY.to_owned()),
            kept => kept?,
        },
        Err(_) => report.notices.push(NOT_KEPT.to_owned()),
    }
    Ok(Answer(report))
}
