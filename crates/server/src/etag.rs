//! ETags: a tag for what an answer shows, so that a reader need not fetch it again and a writer need not overwrite what it
//! has not seen.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The tag of a value.
pub(crate) fn of<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(&text);
    digest.iter().take(16).fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}")) + "\""
}

/// An answer with its tag; without a body, where the reader has it.
pub(crate) fn answer<T: Serialize>(headers: &HeaderMap, value: &T) -> Response {
    let tag = of(value);
    let has_it = is_known(headers, &tag);
    let mut response = if has_it { StatusCode::NOT_MODIFIED.into_response() } else { Json(value).into_response() };
    // Browsers ask each time whether theirs is still it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The condition of a writer: what it saw is still there. None: it sets none.
pub(crate) fn still<T: Serialize>(headers: &HeaderMap, present: &T) -> Option<bool> {
    headers.get(header::IF_MATCH).map(|seen| names(seen, &of(present)))
}

/// Whether a caller that names tags in `If-None-Match` knows this one.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, tag))
}

/// Whether a list of tags (`"a", W/"b"`, or `*` for any) names this one. Weak tags are compared weakly.
fn names(list: &HeaderValue, tag: &str) -> bool {
    let list = list.to_str().unwrap_or_default();
    list.trim() == "*" || list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_read() {
        let check = |list: &'static str, expected: bool| {
            assert_eq!(names(&HeaderValue::from_static(list), "\"a\""), expected, "{list}");
        };
        check("\"a\"", true);
        check("W/\"a\"", true);
        check("\"b\", \"a\"", true);
        check("*", true);
        check("\"b\"", false);
        check("a", false);
        check("", false);
    }

    #[test]
    fn tags_follow_the_value() {
        assert_eq!(of(&1), of(&1));
        assert_ne!(of(&1), of(&2));
        assert_eq!(of(&1).len(), 34);
    }
}
