//! `/api/v1/datasets`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::BytesMut;
use futures::StreamExt;
use llmops::datasets::{DatasetImport, read_version};
use llmops_api::datasets::{DiffQuery, ImportQuery, ImportedDataset, SampleAt};
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_api::{ErrorBody, ErrorCode, Page};
use llmops_domain::dataset::{Dataset, DatasetDiff, DatasetVersion, Sample};
use llmops_domain::hash::ContentHash;
use llmops_storage::Replaces;

use super::{after, bad_request, name_before, page, value_before};
use crate::ApiError;
use crate::extract::{Editor, NoQuery, Path, Query, Viewer};
use crate::ndjson::ndjson;

/// Longest line of an import.
const MAX_LINE: usize = 8 << 20;
/// Samples read at a time for an export.
const EXPORT_PAGE: u32 = 500;

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(versions, import))
        .routes(routes!(version))
        .routes(routes!(samples))
        .routes(routes!(sample))
        .routes(routes!(export))
        .routes(routes!(diff))
        .routes(routes!(added))
}

/// All datasets, by name.
#[utoipa::path(get, path = "/api/v1/datasets", operation_id = "list_datasets", tag = "datasets", params(PageQuery),
    responses((status = 200, body = Page<Dataset>)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<Dataset>>, ApiError> {
    let datasets = ops.datasets().list(name_before(query.cursor.as_deref())?, query.limit() + 1).await?;
    Ok(Answer(page(datasets, query.limit(), |d| after(&d.name))))
}

/// One dataset.
#[utoipa::path(get, path = "/api/v1/datasets/{name}", operation_id = "get_dataset", tag = "datasets",
    params(("name" = String, Path)), responses((status = 200, body = Dataset), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(name): Path<String>) -> Result<Answer<Dataset>, ApiError> {
    Ok(Answer(ops.datasets().get(&name).await?))
}

/// Versions of a dataset, newest first.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/versions", operation_id = "list_dataset_versions",
    tag = "datasets", params(("name" = String, Path)),
    responses((status = 200, body = Page<DatasetVersion>), (status = 404, body = ErrorResponse)))]
async fn versions(
    Viewer(ops): Viewer,
    _: NoQuery,
    Path(name): Path<String>,
) -> Result<Answer<Page<DatasetVersion>>, ApiError> {
    Ok(Answer(Page { items: ops.datasets().versions(&name).await?, next_cursor: None }))
}

/// Adds a version, and the dataset if it is new. The body is NDJSON, one sample a line, of any length. Everything that
/// is wrong is told with its line, and then nothing is written. The same samples again are the version that exists.
#[utoipa::path(post, path = "/api/v1/datasets/{name}/versions", operation_id = "import_dataset", tag = "datasets",
    params(("name" = String, Path), ImportQuery),
    request_body(content((String = "application/x-ndjson"), (String = "text/plain"))),
    responses((status = 201, body = ImportedDataset), (status = 200, body = ImportedDataset),
        (status = 409, body = ErrorResponse), (status = 413, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn import(
    Editor(ops): Editor,
    Path(name): Path<String>,
    Query(query): Query<ImportQuery>,
    body: Body,
) -> Result<(StatusCode, Answer<ImportedDataset>), ApiError> {
    let replaces = query.replaces.as_deref().map(|hash| {
        let hash = ContentHash::parse(hash);
        hash.ok_or_else(|| bad_request("replaces: expected the 64 hex digits of a version"))
    });
    let import = ops.datasets().create(&name, query.kind, query.description.as_deref()).await?;
    let mut import = import.replacing(replaces.transpose()?.map_or(Replaces::Any, Replaces::Version));
    read_lines(body, &mut import).await?;
    let imported = import.finish().await?;
    Ok((if imported.created { StatusCode::CREATED } else { StatusCode::OK }, Answer(imported)))
}

/// Feeds a body to an import line by line, in memory for one line.
async fn read_lines(body: Body, import: &mut DatasetImport) -> Result<(), ApiError> {
    let mut chunks = body.into_data_stream();
    let mut rest = BytesMut::new();
    let mut number = 0;
    while let Some(chunk) = chunks.next().await {
        // What is left of the chunks before has no end of a line: a long line is not searched again with every chunk.
        let mut searched = rest.len();
        rest.extend_from_slice(&chunk.map_err(|e| bad_request(format!("the body broke off: {e}")))?);
        let mut start = 0;
        while let Some(length) = rest[searched..].iter().position(|&b| b == b'\n') {
            number += 1;
            add_line(import, number, &rest[start..searched + length]).await?;
            searched += length + 1;
            start = searched;
        }
        let _ = rest.split_to(start);
        if rest.len() > MAX_LINE {
            let message = format!("line {} is longer than {MAX_LINE} bytes", number + 1);
            return Err(ErrorBody::new(ErrorCode::TooLarge, message).into());
        }
    }
    if !rest.is_empty() {
        add_line(import, number + 1, &rest).await?;
    }
    Ok(())
}

async fn add_line(import: &mut DatasetImport, number: u64, line: &[u8]) -> Result<(), ApiError> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    match serde_json::from_slice::<Sample>(line) {
        Ok(sample) => import.push(Some(number), sample).await?,
        // The line of the file is told; that of the JSON is always the first.
        Err(error) => import.refuse(number, "", error.to_string().replace(" at line 1 column ", ", at column ")),
    }
    Ok(())
}

/// One version: `latest`, a hash, or at least 4 hex digits of one.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/versions/{version}", operation_id = "get_dataset_version",
    tag = "datasets", params(("name" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = DatasetVersion), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn version(
    Viewer(ops): Viewer,
    Path((name, version)): Path<(String, String)>,
) -> Result<Answer<DatasetVersion>, ApiError> {
    Ok(Answer(ops.datasets().version(&name, &read_version(&version)?).await?.version))
}

/// Samples of a version, in order.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/versions/{version}/samples", operation_id = "list_samples",
    tag = "datasets", params(("name" = String, Path), ("version" = String, Path), PageQuery),
    responses((status = 200, body = Page<SampleAt>), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn samples(
    Viewer(ops): Viewer,
    Path((name, version)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<SampleAt>>, ApiError> {
    let from = value_before::<u64>(query.cursor.as_deref())?.map_or(0, |last| last.saturating_add(1));
    let version = ops.datasets().version(&name, &read_version(&version)?).await?;
    let samples = ops.datasets().get_samples(&version, from, query.limit() + 1).await?;
    let items = samples.into_iter().map(|(ordinal, sample)| SampleAt { ordinal, sample }).collect();
    Ok(Answer(page(items, query.limit(), |s: &SampleAt| s.ordinal.to_string())))
}

/// One sample of a version.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/versions/{version}/samples/{sample}", operation_id = "get_sample",
    tag = "datasets", params(("name" = String, Path), ("version" = String, Path), ("sample" = String, Path)),
    responses((status = 200, body = SampleAt), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn sample(
    Viewer(ops): Viewer,
    Path((name, version, sample)): Path<(String, String, String)>,
) -> Result<Answer<SampleAt>, ApiError> {
    let version = ops.datasets().version(&name, &read_version(&version)?).await?;
    let (ordinal, sample) = ops.datasets().get_sample(&version, &sample).await?;
    Ok(Answer(SampleAt { ordinal, sample }))
}

/// All samples of a version as NDJSON.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/versions/{version}/export", operation_id = "export_dataset",
    tag = "datasets", params(("name" = String, Path), ("version" = String, Path)),
    responses((status = 200, content_type = "application/x-ndjson", body = String),
        (status = 404, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn export(Viewer(ops): Viewer, Path((name, version)): Path<(String, String)>) -> Result<Response, ApiError> {
    let datasets = ops.datasets();
    let version = datasets.version(&name, &read_version(&version)?).await?;
    Ok(ndjson(0, move |from| {
        let (datasets, version) = (datasets.clone(), version.clone());
        async move {
            let samples = datasets.get_samples(&version, from, EXPORT_PAGE).await?;
            let Some(next) = samples.last().map(|(last, _)| last + 1) else { return Ok::<_, llmops::Error>(None) };
            Ok(Some((samples.into_iter().map(|(_, sample)| sample).collect::<Vec<_>>(), next)))
        }
    }))
}

/// Samples that llmops added to a dataset by itself, by id: what a canary lost, inputs of an incident, hard questions. A version
/// that is built from a file may lack them; `llmops dataset pull` brings them into it. None where there is no such dataset.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/added", operation_id = "list_added_samples", tag = "datasets",
    params(("name" = String, Path), PageQuery), responses((status = 200, body = Page<Sample>)))]
async fn added(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Sample>>, ApiError> {
    let samples = ops.datasets().added(&name, name_before(query.cursor.as_deref())?, query.limit() + 1).await?;
    Ok(Answer(page(samples, query.limit(), |sample| after(&sample.id))))
}

/// What differs between two versions: ids added, removed, changed.
#[utoipa::path(get, path = "/api/v1/datasets/{name}/diff", operation_id = "diff_datasets", tag = "datasets",
    params(("name" = String, Path), DiffQuery),
    responses((status = 200, body = DatasetDiff), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn diff(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Answer<DatasetDiff>, ApiError> {
    let to = read_version(query.to.as_deref().unwrap_or("latest"))?;
    Ok(Answer(ops.datasets().diff(&name, &read_version(&query.from)?, &to).await?))
}
