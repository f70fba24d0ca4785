//! One pooled HTTP client for all providers.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::proxy::matcher::Matcher;
use llmops_domain::net::shown_address;
use llmops_domain::redact::names_secret;

use crate::connector::{Connector, ProxySettings};
use crate::excerpt;
use crate::pool::{Pool, SendError};
use crate::provider::ProviderError;
use crate::secrets::Secrets;

pub use crate::pool::AnswerBody;

/// Largest answer that is kept in memory.
pub const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

type TlsPool = Pool<HttpsConnector<Connector>>;

/// A client with a pool of connections that all providers share.
pub struct HttpClient {
    plain: Pool<Connector>,
    /// Made at the first `https:` request: reading the system's certificates takes milliseconds.
    tls: OnceLock<Result<TlsPool, String>>,
    proxies: Arc<Matcher>,
}

/// Where requests of one provider go. Nothing in it is printed but host and port.
#[derive(Clone)]
pub struct Endpoint {
    /// The address.
    pub uri: Uri,
    /// Headers of every request.
    pub headers: HeaderMap,
    /// The one of these headers that nobody chose, where there is one: who calls in the provider's own format may say another.
    pub default_header: Option<HeaderName>,
    /// Texts that must not appear in messages, even if the provider sends them back.
    pub secrets: Secrets,
}

/// A complete answer with a success status.
pub struct Reply {
    /// The body.
    pub body: Bytes,
    /// Milliseconds from sending the request to the last byte.
    pub latency_ms: f64,
}

impl HttpClient {
    /// A client that reaches the world through `proxies`.
    pub fn new(proxies: &ProxySettings) -> Self {
        let proxies = Arc::new(proxies.matcher());
        let plain = Pool::new(Connector::new(Arc::clone(&proxies)));
        Self { plain, tls: OnceLock::new(), proxies }
    }

    /// Sends a JSON body and reads the whole answer.
    ///
    /// # Errors
    /// `Connect`, `Cut`, `TooLarge`, and `Status` for everything but 2xx. There is no timeout here.
    pub async fn post_json(&self, endpoint: &Endpoint, body: Vec<u8>) -> Result<Reply, ProviderError> {
        self.send(Method::POST, endpoint, body).await
    }

    /// Sends a request with any method; `content-type` is JSON where the endpoint's headers name none.
    ///
    /// # Errors
    /// As [`HttpClient::post_json`].
    pub async fn send(&self, method: Method, endpoint: &Endpoint, body: Vec<u8>) -> Result<Reply, ProviderError> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = endpoint.uri.clone();
        request.headers_mut().clone_from(&endpoint.headers);
        request.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let started = Instant::now();
        let response = self.open(endpoint, request).await?;
        let status = response.status();
        let (retry_after, should_retry) = if status.is_success() {
            (None, None)
        } else {
            (retry_after(response.headers(), SystemTime::now()), should_retry(response.headers()))
        };
        let body = read(endpoint, response).await?;
        let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
        if status.is_success() {
            return Ok(Reply { body, latency_ms });
        }
        let message = endpoint.redact(error_message(&body));
        let (endpoint, code) = (endpoint.name(), status.as_u16());
        Err(ProviderError::Status { endpoint, code, message, retry_after, should_retry })
    }

    /// Sends a request and answers as soon as the response's head is there, whatever its status. Its body is the
    /// caller's to read; dropping it cancels the call. `endpoint` names the other side in errors.
    ///
    /// # Errors
    /// `Connect` when there is no connection, `Cut` when it ends before the head.
    pub async fn open(
        &self,
        endpoint: &Endpoint,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<AnswerBody>, ProviderError> {
        let response = if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
            self.tls()?.request(request).await
        } else {
            pin!(self.plain.request(request)).await
        };
        response.map_err(|error| send_error(endpoint, error))
    }

    fn tls(&self) -> Result<&TlsPool, ProviderError> {
        let made = self.tls.get_or_init(|| {
            let provider = rustls::crypto::ring::default_provider();
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(provider)
                .map_err(|error| format!("the system's TLS certificates cannot be read: {error}"))?
                .https_or_http()
                .enable_http1()
                .wrap_connector(Connector::new(Arc::clone(&self.proxies)));
            Ok(Pool::new(connector))
        });
        made.as_ref().map_err(|message| ProviderError::Config(message.clone()))
    }
}

impl Endpoint {
    /// An endpoint without headers.
    ///
    /// # Errors
    /// `Config` when `url` is no absolute `http:` or `https:` address.
    pub fn new(url: &str) -> Result<Self, ProviderError> {
        let wrong = |why: &str| ProviderError::Config(format!("`{}` is no address: {why}", shown_address(url)));
        let parsed = url::Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(wrong("it must begin with http:// or https:// and name a host"));
        }
        let uri: Uri = parsed.as_str().parse().map_err(|_| wrong("it has characters that no address has"))?;
        Ok(Self { uri, headers: HeaderMap::new(), default_header: None, secrets: Secrets::default() })
    }

    /// The same headers and secrets at another address.
    ///
    /// # Errors
    /// As [`Endpoint::new`].
    pub fn at(&self, url: &str) -> Result<Self, ProviderError> {
        let (headers, secrets) = (self.headers.clone(), self.secrets.clone());
        Ok(Self { headers, secrets, default_header: self.default_header.clone(), ..Self::new(url)? })
    }

    /// Adds a header.
    ///
    /// # Errors
    /// `Config` when name or value cannot stand in a header; the value is not shown.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ProviderError> {
        let parsed_name = HeaderName::try_from(name)
            .map_err(|_| ProviderError::Config(format!("`{name}` cannot be the name of a header")))?;
        let mut parsed = HeaderValue::from_str(value).map_err(|_| {
            ProviderError::Config(format!("the value of the header `{name}` has a line break or a control character"))
        })?;
        parsed.set_sensitive(true);
        self.headers.insert(parsed_name, parsed);
        Ok(self)
    }

    /// Adds a header whose value, or the part `secret` of it, is kept out of messages, and out of answers where it is a key: one
    /// of a header for keys, and no placeholder such as `not-needed`, which answers may well say.
    ///
    /// # Errors
    /// As [`Endpoint::header`].
    pub fn secret_header(mut self, name: &str, value: &str, secret: &str) -> Result<Self, ProviderError> {
        // Short values are not secrets, and replacing them would garble messages.
        if secret.len() >= 8 {
            let is_key = secret.len() >= SHORTEST_KEY && names_secret(name);
            self.secrets.add(secret, is_key);
        }
        self.header(name, value)
    }

    /// Host and port, as messages name the endpoint.
    pub fn name(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        match self.uri.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None if self.uri.scheme_str() == Some("http") => format!("{host}:80"),
            None => host.to_owned(),
        }
    }

    /// `text` without the endpoint's secrets.
    pub fn redact(&self, text: String) -> String {
        self.secrets.redact(text)
    }

    /// A `Format` error about `body`.
    pub fn format_error(&self, message: impl Into<String>, body: &[u8]) -> ProviderError {
        ProviderError::Format {
            endpoint: self.name(),
            message: self.redact(message.into()),
            excerpt: self.redact(excerpt::beginning(body)),
        }
    }

    /// Reads a JSON body.
    ///
    /// # Errors
    /// `Format` when it is not JSON of the shape of `T`.
    pub fn parse<'a, T: serde::Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, ProviderError> {
        serde_json::from_slice(body)
            .map_err(|error| self.format_error(format!("not the expected JSON ({error})"), body))
    }
}

/// No provider gives out shorter keys.
const SHORTEST_KEY: usize = 16;

fn send_error(endpoint: &Endpoint, error: SendError) -> ProviderError {
    match error {
        SendError::Connect(cause) => ProviderError::Connect { endpoint: endpoint.name(), cause: root_cause(&*cause) },
        SendError::Cut(cause) => ProviderError::Cut { endpoint: endpoint.name(), cause: root_cause(&cause) },
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

async fn read(endpoint: &Endpoint, response: Response<AnswerBody>) -> Result<Bytes, ProviderError> {
    let mut body = response.into_body();
    let too_large = || ProviderError::TooLarge { endpoint: endpoint.name(), limit: MAX_RESPONSE_BYTES };
    if body.size_hint().lower() > MAX_RESPONSE_BYTES as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| ProviderError::Cut { endpoint: endpoint.name(), cause: root_cause(&error) })?;
        let Ok(data) = frame.into_data() else { continue };
        // Most answers come in one piece and are used without a copy.
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
        if rest.len() > MAX_RESPONSE_BYTES {
            return Err(too_large());
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// What `retry-after-ms` or `retry-after` (seconds or an HTTP date) asks for; `None` where neither can be read.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| (0.0..1e9).contains(n));
    if let Some(millis) = text("retry-after-ms").and_then(number) {
        return Some(Duration::from_secs_f64(millis / 1000.0));
    }
    let value = text("retry-after")?;
    if let Some(seconds) = number(value) {
        return Some(Duration::from_secs_f64(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What the provider says of asking again with `x-should-retry`, as OpenAI and Anthropic do; `None` where it says nothing.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// The message in an error body, in any of the shapes that providers use, else the beginning of the body.
pub fn error_message(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let found = parsed.as_ref().and_then(|value| {
        // Gemini's compatible endpoint wraps the object in a list.
        let value = value.get(0).unwrap_or(value);
        let paths = ["/error/message", "/error", "/message", "/detail", "/error_message"];
        paths.iter().find_map(|path| value.pointer(path)?.as_str())
    });
    excerpt::beginning(found.map_or(body, str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_retry_after() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let check = |name: &'static str, value: &'static str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers, now).map(|d| d.as_millis()), expected.map(u128::from), "{name}: {value}");
        };
        check("retry-after", "2", Some(2000));
        check("retry-after", " 0.5 ", Some(500));
        check("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000));
        check("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("retry-after", "soon", None);
        check("retry-after", "-1", None);
        check("retry-after", "inf", None);
        check("retry-after-ms", "20", Some(20));
        check("x-other", "20", None);
    }

    #[test]
    fn reads_whether_to_ask_again() {
        for (value, expected) in [("true", Some(true)), ("false", Some(false)), ("maybe", None)] {
            let headers = [("x-should-retry".parse().unwrap(), HeaderValue::from_static(value))].into_iter().collect();
            assert_eq!(should_retry(&headers), expected, "{value}");
        }
        assert_eq!(should_retry(&HeaderMap::new()), None);
    }

    #[test]
    fn finds_the_message_of_an_error() {
        for (body, expected) in [
            (r#"{"error": {"message": "no such model", "type": "x"}}"#, "no such model"),
            (r#"{"error": "model not found"}"#, "model not found"),
            (r#"[{"error": {"message": "in a list"}}]"#, "in a list"),
            (r#"{"message": "cohere"}"#, "cohere"),
            (r#"{"detail": "fastapi"}"#, "fastapi"),
            (r#"{"detail": [{"msg": "x"}]}"#, r#"{"detail": [{"msg": "x"}]}"#),
            ("<html>\n <b>Bad Gateway</b>", "<html> <b>Bad Gateway</b>"),
            ("", "(nothing)"),
        ] {
            assert_eq!(error_message(body.as_bytes()), expected);
        }
    }

    #[test]
    fn addresses() {
        for wrong in ["", "localhost:80", "ftp://x/", "http://", "/v1", "http://a b/"] {
            assert!(Endpoint::new(wrong).is_err(), "{wrong}");
        }
        let error = Endpoint::new("ftp://user:secret@host/?key=secret").err().unwrap().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(Endpoint::new("http://localhost/v1").unwrap().name(), "localhost:80");
        assert_eq!(Endpoint::new("https://[::1]:8443/v1").unwrap().name(), "[::1]:8443");
    }

    #[test]
    fn secrets_stay_out_of_messages() {
        let endpoint = Endpoint::new("http://h/").unwrap();
        let endpoint = endpoint.secret_header("authorization", "Bearer sk-12345678", "sk-12345678").unwrap();
        let error = endpoint.format_error("odd", b"you sent sk-12345678");
        assert!(!format!("{error:?} {error}").contains("sk-12345678"));
        assert!(Endpoint::new("http://h/").unwrap().header("x", "a\nb").is_err());
    }

    #[test]
    fn answers_may_hold_what_is_no_key() {
        let check = |header: &str, secret: &str, expected: &str| {
            let endpoint = Endpoint::new("http://h/").unwrap().secret_header(header, secret, secret).unwrap();
            let answer = bytes::Bytes::from(format!("I am {secret}."));
            assert_eq!(endpoint.secrets.cover(answer), expected, "{header}");
        };
        check("Authorization", "sk-1234567890123", "I am ****************.");
        check("x-api-key", "not-needed", "I am not-needed.");
        check("x-title", "Acme Support Berlin", "I am Acme Support Berlin.");
    }
}
