//! Where a browser's request comes from: the server's own pages, or those of another site.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// Whether the browser says that one of the server's own pages sent the request. Without a word of the browser: no.
pub(crate) fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    said(headers, uri).unwrap_or(false)
}

/// Whether nothing says that another site's page sent the request: programs say nothing.
pub(crate) fn may_be_own(headers: &HeaderMap, uri: &Uri) -> bool {
    said(headers, uri).unwrap_or(true)
}

fn said(headers: &HeaderMap, uri: &Uri) -> Option<bool> {
    // Pages cannot change this header. `none` is somebody who typed the address.
    if let Some(site) = headers.get("sec-fetch-site") {
        return Some(site == "same-origin" || site == "none");
    }
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    let authority = origin.split_once("://").map(|(_, rest)| rest);
    Some(authority.is_some() && authority == host(headers, uri))
}

/// Whether the request names this machine as loopback does. A name that an attacker's DNS leads here does not.
pub(crate) fn names_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(host) = host(headers, uri) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    uri.authority().map(axum::http::uri::Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_page_of_another_site_is_not_own() {
        let check = |pairs: &[(&'static str, &'static str)], own: bool, may_be: bool| {
            let (headers, uri) = (headers(pairs), Uri::from_static("/api/v1/prompts"));
            assert_eq!((is_own(&headers, &uri), may_be_own(&headers, &uri)), (own, may_be), "{pairs:?}");
        };
        check(&[], false, true);
        check(&[("sec-fetch-site", "same-origin")], true, true);
        check(&[("sec-fetch-site", "same-site")], false, false);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")], false, false);
        check(&[("origin", "http://a:80"), ("host", "a:80")], true, true);
        check(&[("origin", "http://b"), ("host", "a")], false, false);
        check(&[("origin", "null"), ("host", "a")], false, false);
    }

    #[test]
    fn only_names_of_loopback_are_loopback() {
        let check = |host: &'static str, expected: bool| {
            assert_eq!(names_loopback(&headers(&[("host", host)]), &Uri::from_static("/")), expected, "{host}");
        };
        check("127.0.0.1:8080", true);
        check("localhost", true);
        check("LOCALHOST:1", true);
        check("[::1]:8080", true);
        check("[::ffff:127.0.0.1]:8080", true);
        check("evil.example:8080", false);
        check("127.0.0.1.evil.example", false);
        check("192.0.2.1", false);
    }
}
