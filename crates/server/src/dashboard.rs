//! `/`: the dashboard, built from `web/` and part of the binary.
//!
//! Texts are stored compressed. Names below `assets/` carry a hash of their content and never change; every other address
//! that the API does not know is a page of the dashboard, which finds its way by itself.

use std::borrow::Cow;
use std::io::Read as _;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::no_route;
use crate::etag;
use crate::headers::PAGE_POLICY;

#[derive(RustEmbed)]
#[folder = "assets/dashboard"]
struct Assets;

/// First parts of paths that are never pages: what they do not know is missing.
const NOT_PAGES: [&str; 11] =
    ["api", "v1", "ofrep", "docs", "openapi.json", "metrics", "healthz", "readyz", "assets", "mcp", ".well-known"];

/// A file or page of the dashboard; what is neither is missing.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let reads = method == Method::GET || method == Method::HEAD;
    if reads && let Some(file) = find(path, &headers) {
        return file;
    }
    let first = path.split('/').next().unwrap_or_default();
    if !reads || NOT_PAGES.contains(&first) {
        return no_route(&uri, &headers);
    }
    match find("index.html", &headers) {
        Some(page) => page,
        None => no_route(&uri, &headers),
    }
}

/// A file by its name, in the best encoding that the caller takes.
fn find(name: &str, headers: &HeaderMap) -> Option<Response> {
    if name.is_empty() || matches!(name.rsplit_once('.'), Some((_, "br" | "gz"))) {
        return None;
    }
    if let Some(file) = Assets::get(name) {
        return Some(answer(name, &file, None, headers));
    }
    if accepts(headers, "br")
        && let Some(file) = Assets::get(&format!("{name}.br"))
    {
        return Some(answer(name, &file, Some("br"), headers));
    }
    let packed = Assets::get(&format!("{name}.gz"))?;
    if accepts(headers, "gzip") {
        return Some(answer(name, &packed, Some("gzip"), headers));
    }
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed.data.as_ref()).read_to_end(&mut text).ok()?;
    let file = EmbeddedFile { data: Cow::Owned(text), metadata: packed.metadata };
    Some(answer(name, &file, None, headers))
}

/// Whether the caller takes an encoding. A weight of 0 refuses it.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let refused = parts.any(|part| {
            part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
        });
        named && !refused
    })
}

fn answer(name: &str, file: &EmbeddedFile, encoding: Option<&'static str>, asked: &HeaderMap) -> Response {
    let digest: String = file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}{}\"", encoding.map(|e| format!("-{e}")).unwrap_or_default());
    let mut response = if etag::is_known(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Bytes::from(file.data.to_vec()).into_response()
    };
    let cached = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(method: Method, path: &str, pairs: &[(&'static str, &str)]) -> Response {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        serve(method, path.parse().unwrap(), headers).await
    }

    fn header(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn pages_find_their_way_and_the_api_is_not_swallowed() {
        let check = async |method: Method, path: &str, status: u16, kind: &str| {
            let response = ask(method, path, &[]).await;
            assert_eq!((response.status().as_u16(), header(&response, header::CONTENT_TYPE)), (status, kind), "{path}");
        };
        let (page, error) = ("text/html; charset=utf-8", "application/json");
        check(Method::GET, "/", 200, page).await;
        check(Method::HEAD, "/runs", 200, page).await;
        check(Method::GET, "/prompts/support.bot?version=1.0.0", 200, page).await;
        check(Method::GET, "/theme.js", 200, "text/javascript; charset=utf-8").await;
        check(Method::GET, "/favicon.svg", 200, "image/svg+xml").await;
        check(Method::GET, "/api/v1/nothing", 404, error).await;
        check(Method::GET, "/v1/nothing", 404, error).await;
        check(Method::GET, "/docs/nothing", 404, error).await;
        check(Method::GET, "/assets/gone.js", 404, error).await;
        check(Method::GET, "/assets/../index.html.gz", 404, error).await;
        check(Method::POST, "/runs", 404, error).await;
        check(Method::GET, "/index.html.br", 200, page).await;
    }

    #[tokio::test]
    async fn encodings_are_what_the_caller_takes() {
        let check = async |accepts: &str, expected: &str| {
            let response = ask(Method::GET, "/", &[("accept-encoding", accepts)]).await;
            assert_eq!(header(&response, header::CONTENT_ENCODING), expected, "{accepts}");
        };
        check("gzip, deflate, br", "br").await;
        check("gzip", "gzip").await;
        check("GZIP;q=0.5", "gzip").await;
        check("br;q=0, gzip", "gzip").await;
        check("br;q=0, gzip;q=0.0", "").await;
        check("", "").await;
        let plain = axum::body::to_bytes(ask(Method::GET, "/", &[]).await.into_body(), 1 << 20).await.unwrap();
        assert!(plain.starts_with(b"<!doctype html>"));
    }

    #[tokio::test]
    async fn files_are_cached_and_pages_are_asked_for_again() {
        let page = ask(Method::GET, "/", &[]).await;
        assert_eq!(header(&page, header::CACHE_CONTROL), "no-cache");
        assert!(header(&page, header::CONTENT_SECURITY_POLICY).contains("script-src 'self'"));
        let tag = header(&page, header::ETAG).to_owned();
        let again = ask(Method::GET, "/", &[("if-none-match", &tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let script = Assets::iter().find(|name| name.ends_with(".js.gz") && name.starts_with("assets/")).unwrap();
        let script = ask(Method::GET, &format!("/{}", script.trim_end_matches(".gz")), &[]).await;
        assert_eq!(header(&script, header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    }

    #[tokio::test]
    async fn the_page_has_nothing_inline() {
        let page = ask(Method::GET, "/", &[]).await;
        let page = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(!page.contains("<style") && !page.contains("style=\""), "{page}");
        for script in page.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src="), "{page}");
        }
    }
}
