//! The cookie of a session of the dashboard.

use axum::http::{HeaderMap, HeaderValue, header};

/// Where cookies travel encrypted; browsers accept the prefix only then.
const SECURE_NAME: &str = "__Host-llmops_session";
/// On loopback.
const PLAIN_NAME: &str = "llmops_session";

/// The token of the session, where the request has one.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SECURE_NAME || *name == PLAIN_NAME)
        .map(|(_, token)| token)
}

/// Makes browsers send the token: to this server only, never from other sites' pages, and never show it to scripts.
pub(crate) fn set(token: &str, seconds: i64, https: bool) -> Option<HeaderValue> {
    let (name, secure) = if https { (SECURE_NAME, "; Secure") } else { (PLAIN_NAME, "") };
    let text = format!("{name}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", seconds.max(0));
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_token_among_cookies() {
        let check = |cookies: &[&'static str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, HeaderValue::from_static(cookie));
            }
            assert_eq!(token(&headers), expected, "{cookies:?}");
        };
        check(&[], None);
        check(&["llmops_session=abc"], Some("abc"));
        check(&["theme=dark; llmops_session=abc ; x=y"], Some("abc"));
        check(&["theme=dark", "__Host-llmops_session=abc"], Some("abc"));
        check(&["not_llmops_session=abc", "llmops_session"], None);
    }

    #[test]
    fn cookies_are_marked_as_the_way_is() {
        let https = set("t", 60, true).unwrap();
        assert_eq!(https, "__Host-llmops_session=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        let plain = set("", -1, false).unwrap();
        assert_eq!(plain, "llmops_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }
}
