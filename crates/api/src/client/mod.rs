//! The typed client. It speaks HTTP to a server, or calls a router in the same process: one code path for its users.

mod access;
mod alerts;
mod canaries;
mod datasets;
mod deployments;
mod experiments;
mod feedback;
mod incidents;
mod judges;
mod models;
mod observations;
mod operations;
mod prompts;
mod releases;
mod runs;
mod schedules;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use llmops_domain::net::shown_address;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::error::{ErrorBody, ErrorCode, ErrorResponse};

/// Body of requests and answers.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;
/// A router in the same process.
pub type LocalService = BoxCloneSyncService<Request<Body>, Response<Body>, std::convert::Infallible>;

/// Largest answer that is read whole.
const MAX_ANSWER: usize = 256 << 20;

/// What can go wrong when calling the API.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The API answered with an error.
    #[error("{}", .0.message)]
    Api(ErrorBody),
    /// The server cannot be reached.
    #[error("cannot reach the llmops server at {url}")]
    Unreachable {
        /// Where it was expected, without the credentials of its address.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing can be asked for by this name.
    #[error("nothing has the name `{0}`: in an address it means the folder or the one above it")]
    Name(String),
    /// What answered is not the llmops API.
    #[error("the answer to {path} is not the llmops API's: {detail}")]
    Protocol {
        /// What was asked.
        path: String,
        /// What came.
        detail: String,
    },
    /// Reading or writing a stream failed.
    #[error("the transfer broke off")]
    Transfer(#[from] std::io::Error),
}

impl ClientError {
    /// The error code, where the API answered.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api(body) => Some(body.code),
            _ => None,
        }
    }
}

#[derive(Clone)]
enum Transport {
    Http { client: reqwest::Client, base: String, key: Option<String> },
    Local(LocalService),
}

/// A client of the llmops API.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.transport {
            Transport::Http { base, .. } => {
                f.debug_struct("Client").field("base", &shown_address(base)).finish_non_exhaustive()
            }
            Transport::Local(_) => f.write_str("Client(in process)"),
        }
    }
}

/// Escapes one segment of a path, or a value of a query.
pub fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Client {
    /// A client of the server at `base` (`https://llmops.example.com`).
    pub fn http(client: reqwest::Client, base: &str, key: Option<String>) -> Self {
        Self { transport: Transport::Http { client, base: base.trim_end_matches('/').to_owned(), key } }
    }

    /// A client of a router in this process.
    pub fn local(service: LocalService) -> Self {
        Self { transport: Transport::Local(service) }
    }

    /// Whether it calls a router in this process.
    pub fn is_local(&self) -> bool {
        matches!(self.transport, Transport::Local(_))
    }

    /// Any request of the API, as JSON. `path` begins with `/api/v1/`, its segments escaped by [`segment`].
    ///
    /// # Errors
    /// What the API answers, or that nobody does.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, ClientError> {
        match body {
            Some(body) => self.send(method, path, body).await,
            None => self.call(method, path, Vec::new()).await,
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    async fn get_with<Q: Serialize, T: DeserializeOwned>(&self, path: &str, query: &Q) -> Result<T, ClientError> {
        self.get(&with_query(path, query)?).await
    }

    async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body =
            serde_json::to_vec(body).map_err(|e| protocol(path, format!("the request has no JSON form: {e}")))?;
        self.call(method, path, body).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, ClientError> {
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
        let response = self.exchange(method, path, "application/json", body).await?;
        decode(path, response).await
    }

    async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> Result<T, ClientError> {
        let body = StreamBody::new(body.map_ok(http_body::Frame::data)).boxed_unsync();
        let response = self.exchange(Method::POST, path, content_type, body).await?;
        decode(path, response).await
    }

    async fn download(&self, path: &str) -> Result<BoxStream<'static, Result<Bytes, std::io::Error>>, ClientError> {
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let response = self.exchange(Method::GET, path, "application/json", body).await?;
        if response.status().is_success() {
            return Ok(response.into_body().into_data_stream().boxed());
        }
        decode::<serde_json::Value>(path, response).await?;
        Err(protocol(path, "an error without a body".to_owned()))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<Response<Body>, ClientError> {
        // An address is shortened by them on its way, escaped or not, and would lead to something else.
        if let Some(name) =
            path.split('?').next().and_then(|path| path.split('/').find(|one| matches!(*one, "." | "..")))
        {
            return Err(ClientError::Name(name.to_owned()));
        }
        match &self.transport {
            Transport::Local(service) => {
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(header::CONTENT_TYPE, content_type)
                    .body(body)
                    .map_err(|e| protocol(path, e.to_string()))?;
                match service.clone().oneshot(request).await {
                    Ok(response) => Ok(response),
                    Err(never) => match never {},
                }
            }
            Transport::Http { client, base, key } => {
                let mut request = client
                    .request(method, format!("{base}{path}"))
                    .header(header::CONTENT_TYPE, content_type)
                    .body(reqwest::Body::wrap_stream(body.into_data_stream()));
                if let Some(key) = key {
                    request = request.bearer_auth(key);
                }
                let response = request.send().await.map_err(|e| ClientError::Unreachable {
                    url: shown_address(base),
                    source: e.without_url().into(),
                })?;
                let (parts, body) = http::Response::from(response).into_parts();
                Ok(Response::from_parts(parts, body.map_err(std::io::Error::other).boxed_unsync()))
            }
        }
    }
}

fn protocol(path: &str, detail: String) -> ClientError {
    ClientError::Protocol { path: path.to_owned(), detail }
}

fn with_query<Q: Serialize>(path: &str, query: &Q) -> Result<String, ClientError> {
    let query = serde_urlencoded::to_string(query).map_err(|e| protocol(path, e.to_string()))?;
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

async fn decode<T: DeserializeOwned>(path: &str, response: Response<Body>) -> Result<T, ClientError> {
    let status = response.status();
    let bytes = http_body_util::Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|e| ClientError::Transfer(std::io::Error::other(e.to_string())))?
        .to_bytes();
    if status.is_success() {
        let bytes: &[u8] = if status == StatusCode::NO_CONTENT { b"null" } else { &bytes };
        return serde_json::from_slice(bytes).map_err(|e| protocol(path, e.to_string()));
    }
    if let Ok(error) = serde_json::from_slice::<ErrorResponse>(&bytes) {
        return Err(ClientError::Api(error.error));
    }
    let excerpt: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
    Err(protocol(path, format!("{status} {excerpt}")))
}
