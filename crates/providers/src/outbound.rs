//! Requests whose address users of the API choose: webhooks, scorers over HTTP, messages to chat rooms.
//!
//! Such a request must not reach what only this machine can reach: its own ports, its network, a cloud's metadata. So the
//! addresses behind a name are checked, and the connection goes to the very address that was checked: a name that
//! resolves to something else a moment later gains nothing. Redirections are not followed, and proxies of the environment
//! are not used, because a proxy would resolve the name anew.

use std::error::Error as StdError;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use llmops_domain::net::{IpRange, is_public, shown_address};
use tower_service::Service;
use url::Host;

use crate::http_client::{Endpoint, Reply, error_message, retry_after, should_retry};
use crate::provider::ProviderError;

/// Largest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Longest that a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The address is none, or not one for requests.
    #[error("`{url}` is no address for requests: {why}")]
    Address {
        /// The address, without password and query.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address is not of the public Internet, and not allowed.
    #[error("`{host}` is a private address, where requests do not go unless `outbound.allow` names it")]
    Private {
        /// The host as it was written, and what it resolved to.
        host: String,
    },
    /// Nothing answered.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("{host} did not answer within {} s", .after.as_secs_f64())]
    Timeout {
        /// The host.
        host: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The answer is too large.
    #[error("the answer of {host} is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge {
        /// The host.
        host: String,
    },
}

impl OutboundError {
    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. })
    }
}

impl From<OutboundError> for ProviderError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Address { .. } | OutboundError::Private { .. } => Self::Config(error.to_string()),
            OutboundError::Unreachable { host, why } => Self::Connect { endpoint: host, cause: why },
            OutboundError::Timeout { after, .. } => Self::Timeout { after },
            OutboundError::TooLarge { host } => Self::TooLarge { endpoint: host, limit: MAX_ANSWER_BYTES },
        }
    }
}

type GuardedClient = Client<HttpsConnector<HttpConnector<Guard>>, Full<Bytes>>;

/// Sends requests to where they may go.
#[derive(Clone)]
pub struct Outbound {
    guard: Guard,
    /// Made at the first request: reading the system's certificates takes milliseconds.
    client: Arc<OnceLock<Result<GuardedClient, String>>>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("allow", &self.guard.allow).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Requests go to the public Internet and to these ranges.
    pub fn new(allow: Vec<IpRange>) -> Self {
        Self { guard: Guard { allow: allow.into() }, client: Arc::default() }
    }

    /// Reads an address, and refuses what can be refused without resolving its name: for the moment when somebody
    /// configures it.
    ///
    /// # Errors
    /// [`OutboundError::Address`], [`OutboundError::Private`].
    pub fn check(&self, address: &str) -> Result<Uri, OutboundError> {
        let wrong = |why: &str| OutboundError::Address {
            url: shown_address(address).chars().take(200).collect(),
            why: why.to_owned(),
        };
        let url = url::Url::parse(address).map_err(|e| wrong(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a name or password before the host is not sent; use a header"));
        }
        let literal = match url.host() {
            None => return Err(wrong("it names no host")),
            Some(Host::Domain("localhost")) => Some(IpAddr::from([127, 0, 0, 1])),
            Some(Host::Domain(name)) if name.ends_with(".localhost") => Some(IpAddr::from([127, 0, 0, 1])),
            Some(Host::Domain(_)) => None,
            // The parser knows all ways to write an IPv4 address: 0x7f.1, 2130706433 …
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
        };
        if literal.is_some_and(|address| !self.guard.allows(address)) {
            return Err(OutboundError::Private { host: url.host_str().unwrap_or_default().to_owned() });
        }
        url.as_str().parse().map_err(|_| wrong("it has characters that no address has"))
    }

    /// Sends a request and reads the answer, whatever its status.
    ///
    /// # Errors
    /// Those of [`Outbound::check`]; [`OutboundError::Private`] when the name leads to a private address;
    /// [`OutboundError::Unreachable`], [`OutboundError::Timeout`], [`OutboundError::TooLarge`].
    pub async fn send(&self, mut request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, OutboundError> {
        let uri = self.check(&request.uri().to_string())?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        *request.uri_mut() = uri;
        let exchange = async {
            let response = self.client(&host)?.request(request.map(Full::new)).await;
            let response = response.map_err(|e| failure(&host, &e))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|e| {
                if e.is::<http_body_util::LengthLimitError>() {
                    return OutboundError::TooLarge { host: host.clone() };
                }
                OutboundError::Unreachable { host: host.clone(), why: format!("the answer broke off: {e}") }
            })?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundError::Timeout { host, after: timeout }),
        }
    }

    /// Sends JSON to an endpoint and reads the answer, like [`HttpClient::post_json`](crate::http_client::HttpClient::post_json).
    ///
    /// # Errors
    /// Those of [`Outbound::send`]; `Status` for everything but 2xx.
    pub async fn post_json(
        &self,
        endpoint: &Endpoint,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Reply, ProviderError> {
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.uri.clone();
        request.headers_mut().clone_from(&endpoint.headers);
        request.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let started = Instant::now();
        let (parts, body) = self.send(request, timeout).await?.into_parts();
        if parts.status.is_success() {
            return Ok(Reply { body, latency_ms: started.elapsed().as_secs_f64() * 1000.0 });
        }
        Err(ProviderError::Status {
            endpoint: endpoint.name(),
            code: parts.status.as_u16(),
            message: endpoint.redact(error_message(&body)),
            retry_after: retry_after(&parts.headers, SystemTime::now()),
            should_retry: should_retry(&parts.headers),
        })
    }

    fn client(&self, host: &str) -> Result<&GuardedClient, OutboundError> {
        let made = self.client.get_or_init(|| {
            let mut connector = HttpConnector::new_with_resolver(self.guard.clone());
            connector.enforce_http(false);
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
                .map_err(|error| format!("the system's TLS certificates cannot be read: {error}"))?
                .https_or_http()
                .enable_http1()
                .wrap_connector(connector);
            Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
        });
        made.as_ref().map_err(|why| OutboundError::Unreachable { host: host.to_owned(), why: why.clone() })
    }
}

/// Finds out whether it was the guard that said no.
fn failure(host: &str, error: &(dyn StdError + 'static)) -> OutboundError {
    let mut why = error.to_string();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return OutboundError::Private { host: format!("{} ({})", refused.name, refused.address) };
        }
        why = error.to_string();
        cause = error.source();
    }
    OutboundError::Unreachable { host: host.to_owned(), why }
}

/// A name that leads to a private address.
#[derive(Debug, thiserror::Error)]
#[error("{name} is {address}, a private address")]
struct Refused {
    name: String,
    address: IpAddr,
}

/// Resolves names, and hands on only addresses that may be connected to.
#[derive(Clone)]
struct Guard {
    allow: Arc<[IpRange]>,
}

impl Guard {
    fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.allow.iter().any(|range| range.contains(address))
    }

    /// One private address among several is enough to refuse the name: the others may be there to get by.
    fn filter(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<std::vec::IntoIter<SocketAddr>, Refused> {
        match addresses.iter().find(|address| !self.allows(address.ip())) {
            Some(address) => Err(Refused { name: name.to_owned(), address: address.ip() }),
            None => Ok(addresses.into_iter()),
        }
    }
}

impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(guard.filter(name.as_str(), addresses)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn outbound(allow: &[&str]) -> Outbound {
        Outbound::new(allow.iter().map(|range| range.parse().unwrap()).collect())
    }

    #[test]
    fn addresses_that_are_private_as_written_are_refused() {
        let check = |expected: &str, urls: &[&str]| {
            for url in urls {
                let said = outbound(&[]).check(url).map_or_else(|e| e.to_string(), |_| "allowed".to_owned());
                assert!(said.contains(expected), "{url}: {said}");
            }
        };
        check(
            "allowed",
            &["https://hooks.slack.com/services/T/B/x", "http://1.1.1.1:8080/", "http://[2606:4700::1]/x?y"],
        );
        let private = "is a private address";
        check(
            private,
            &["http://127.0.0.1/", "http://localhost:1/", "http://x.localhost/", "http://10.1.2.3", "http://[::1]"],
        );
        check(private, &["http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/", "http://0/"]);
        check(
            private,
            &["http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/", "http://[fd00::1]/"],
        );
        check(
            private,
            &["http://[64:ff9b::7f00:1]/", "http://[::ffff:7f00:1]/", "http://１２７.0.0.1/", "http://LOCALHOST/"],
        );
        let malformed = "is no address for requests";
        check(
            malformed,
            &["", "ftp://1.1.1.1/", "file:///etc/passwd", "http://", "hooks", "http://u:p@1.1.1.1/", "gopher://x"],
        );
    }

    #[test]
    fn an_allowed_range_is_allowed() {
        let outbound = outbound(&["127.0.0.0/8", "fd00::/8"]);
        assert!(outbound.check("http://127.0.0.1:9/").is_ok());
        assert!(outbound.check("http://[fd00::1]/").is_ok());
        assert!(outbound.check("http://10.0.0.1/").is_err());
    }

    #[test]
    fn passwords_and_queries_are_not_shown() {
        let said = outbound(&[]).check("http://user:secret@1.1.1.1/?token=secret").unwrap_err().to_string();
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn a_name_with_one_private_address_is_refused() {
        let guard = outbound(&[]).guard;
        let addresses = |list: &[&str]| list.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 0)).collect::<Vec<_>>();
        assert!(guard.filter("a", addresses(&["1.1.1.1", "8.8.8.8"])).is_ok());
        let refused = guard.filter("a", addresses(&["1.1.1.1", "192.168.0.1"])).unwrap_err();
        assert_eq!(refused.to_string(), "a is 192.168.0.1, a private address");
    }

    /// A name that the machine itself resolves to loopback, and that is not `localhost`: the check of the written address
    /// lets it pass, and the guard must not.
    #[tokio::test]
    async fn what_a_name_resolves_to_is_checked() {
        let name = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let name = name.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let private = words.next()?.parse::<IpAddr>().is_ok_and(|ip| !is_public(ip));
            words.find(|name| private && !name.ends_with("localhost")).map(str::to_owned)
        });
        let Some(name) = name else { return };
        let request = Request::get(format!("http://{name}:1/")).body(Bytes::new()).unwrap();
        let refused = outbound(&[]).send(request, Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(&refused, OutboundError::Private { host } if host.starts_with(&name)), "{refused}");
    }

    /// Answers one request with this text.
    async fn server(answer: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await.unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        format!("http://{address}/")
    }

    #[tokio::test]
    async fn redirections_are_answers_and_are_not_followed() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
        let request = Request::get(server(answer.to_owned()).await).body(Bytes::new()).unwrap();
        let answer = outbound(&["127.0.0.1"]).send(request, Duration::from_secs(5)).await.unwrap();
        assert_eq!(answer.status(), 302);
    }

    #[tokio::test]
    async fn a_large_answer_is_not_read() {
        let large = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(MAX_ANSWER_BYTES + 1));
        let request = Request::get(server(large).await).body(Bytes::new()).unwrap();
        let refused = outbound(&["127.0.0.1"]).send(request, Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(refused, OutboundError::TooLarge { .. }), "{refused}");
    }
}
