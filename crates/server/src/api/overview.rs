//! `/api/v1/overview`, `/api/v1/quality`, `/api/v1/traffic`: what a person looks at first, in one answer each.

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use hyper::http::Uri;
use llmops_api::error::ErrorResponse;
use llmops_api::overview::{Overview, QualityQuery, QualitySeries};
use llmops_domain::traffic::{Traffic, TrafficFilter};

use crate::ApiError;
use crate::extract::{Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(overview)).routes(routes!(quality)).routes(routes!(traffic))
}

/// The state of the project at a glance, and what changed since yesterday.
#[utoipa::path(get, path = "/api/v1/overview", operation_id = "get_overview", tag = "overview",
    responses((status = 200, body = Overview)))]
async fn overview(Viewer(ops): Viewer) -> Result<Answer<Overview>, ApiError> {
    Ok(Answer(ops.overview().overview().await?))
}

/// Scores of completed runs over time, with what they are the scores of.
#[utoipa::path(get, path = "/api/v1/quality", operation_id = "get_quality", tag = "overview", params(QualityQuery),
    responses((status = 200, body = QualitySeries), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn quality(Viewer(ops): Viewer, Query(query): Query<QualityQuery>) -> Result<Answer<QualitySeries>, ApiError> {
    let series = ops.overview().quality(&query).await?;
    Ok(Answer(QualitySeries {
        mlflow: std::env::var("MLFLOW_TRACKING_URI").ok().and_then(|uri| address(&uri)),
        ..series
    }))
}

/// What a browser can follow: an address of the web, without the credentials that it may have.
fn address(uri: &str) -> Option<String> {
    let uri: Uri = uri.trim().parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let place = uri.authority()?.as_str().rsplit('@').next()?.to_owned();
    Some(format!("{scheme}://{place}{}", uri.path().trim_end_matches('/')))
}

/// Live traffic in sums, hour by hour.
#[utoipa::path(get, path = "/api/v1/traffic", operation_id = "get_traffic", tag = "overview", params(TrafficFilter),
    responses((status = 200, body = Traffic), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn traffic(Viewer(ops): Viewer, Query(filter): Query<TrafficFilter>) -> Result<Answer<Traffic>, ApiError> {
    Ok(Answer(ops.overview().traffic(&filter).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_browsers() {
        let check = |uri: &str, expected: Option<&str>| assert_eq!(address(uri).as_deref(), expected, "{uri}");
        check("http://127.0.0.1:5000", Some("http://127.0.0.1:5000"));
        check("https://me:secret@mlflow.example.com/team/", Some("https://mlflow.example.com/team"));
        for other in ["./mlruns", "file:///mlruns", "databricks", "sqlite:///mlflow.db", ""] {
            check(other, None);
        }
    }
}
