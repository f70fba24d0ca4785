//! Answers that are too long for a page: rows as NDJSON, written as they are read.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

/// All rows, a page at a time: `page` answers with the rows behind a place and the place behind those; null at the end. What
/// fails cuts the answer off.
pub(crate) fn ndjson<P, T, F, E>(from: P, page: impl Fn(P) -> F + Send + 'static) -> Response
where
    P: Send + 'static,
    T: Serialize,
    F: Future<Output = Result<Option<(Vec<T>, P)>, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let pages = futures::stream::try_unfold((from, page), |(from, page)| async move {
        let Some((rows, next)) = page(from).await.map_err(std::io::Error::other)? else { return Ok(None) };
        let mut text = Vec::new();
        for row in &rows {
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
        }
        Ok::<_, std::io::Error>(Some((Bytes::from(text), (next, page))))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response()
}
