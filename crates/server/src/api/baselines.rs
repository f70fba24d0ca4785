//! `/api/v1/baselines`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops::evaluator::RunRef;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::page::MAX_PAGE;
use llmops_api::runs::{Baseline, PromoteBaseline};

use crate::ApiError;
use crate::extract::{Editor, Json, NoQuery, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list, promote))
}

/// The baseline of every dataset that has one.
#[utoipa::path(get, path = "/api/v1/baselines", operation_id = "list_baselines", tag = "baselines",
    responses((status = 200, body = Page<Baseline>)))]
async fn list(Viewer(ops): Viewer, _: NoQuery) -> Result<Answer<Page<Baseline>>, ApiError> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let datasets = ops.datasets().list(after.as_deref(), MAX_PAGE).await?;
        after = datasets.last().filter(|_| datasets.len() == MAX_PAGE as usize).map(|dataset| dataset.name.clone());
        for dataset in datasets {
            if let Some(run) = ops.evaluator().baseline(&dataset.name).await? {
                items.push(Baseline { dataset: dataset.name, run });
            }
        }
        if after.is_none() {
            break;
        }
    }
    Ok(Answer(Page { items, next_cursor: None }))
}

/// Makes a run the baseline of its dataset: tags it `env=production`.
#[utoipa::path(post, path = "/api/v1/baselines", operation_id = "promote_baseline", tag = "baselines",
    request_body = PromoteBaseline,
    responses((status = 200, body = Baseline), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn promote(Editor(ops): Editor, Json(request): Json<PromoteBaseline>) -> Result<Answer<Baseline>, ApiError> {
    let run = ops.evaluator().promote(&RunRef::from(request.run.as_str()), request.force).await?;
    Ok(Answer(Baseline { dataset: run.dataset.clone(), run }))
}
