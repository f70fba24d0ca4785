//! Who sends a request: looked up once, before any handler, and kept beside the request for the extractors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use llmops::LlmOps;
use llmops_api::{ErrorBody, ErrorCode};
use llmops_domain::access::{Actor, ApiKey, Role};
use llmops_domain::config::server::MetricsAccess;
use llmops_domain::id::{KeyId, ProjectId};
use llmops_domain::net::IpRange;

use crate::api::config::Reload;
use crate::cookie;
use crate::origin;
use crate::throttle::Throttle;

/// How a router treats those who call it.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Requests from this machine need no key.
    pub dev: bool,
    /// Browsers reach the server by https only: cookies are marked so, and browsers told so.
    pub https: bool,
    /// Proxies whose `x-forwarded-for` and `x-forwarded-proto` are believed.
    pub trusted_proxies: Vec<IpRange>,
    /// Who may read the metrics.
    pub metrics: MetricsAccess,
    /// Reads the configuration again, where there is one.
    pub reload: Option<Arc<dyn Reload>>,
}

/// Who calls, and what it may do.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) name: String,
    pub(crate) key: Option<KeyId>,
    pub(crate) project: ProjectId,
    pub(crate) role: Role,
    /// When the session ends, where there is one.
    pub(crate) until: Option<Timestamp>,
}

impl Principal {
    /// Whoever owns the process or the machine.
    fn local() -> Self {
        Self {
            name: Actor::local().name,
            key: None,
            project: ProjectId::default_project(),
            role: Role::Admin,
            until: None,
        }
    }

    fn of_key(key: ApiKey, until: Option<Timestamp>) -> Self {
        Self { name: key.name, key: Some(key.id), project: key.project, role: key.role, until }
    }
}

/// The outcome of the look, for the extractors: routes that are open to everybody do not ask for it.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Result<Principal, ErrorBody>);

/// What the log says of a caller. It travels with the answer, and leaves it before the client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The id of the key, or the name of whoever needs none.
    pub(crate) key: String,
    pub(crate) project: String,
}

/// What the request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// Its address, behind proxies that are believed.
    pub(crate) address: IpAddr,
    /// Whether its way here was encrypted.
    pub(crate) https: bool,
}

/// Finds out who calls: looks at every request of a server.
pub(crate) struct Authenticator {
    pub(crate) ops: LlmOps,
    pub(crate) options: ServerOptions,
    /// Secrets that nobody has.
    pub(crate) guesses: Throttle,
    pub(crate) sign_ins: Throttle,
}

impl Authenticator {
    pub(crate) fn new(ops: LlmOps, options: ServerOptions) -> Self {
        // Secrets cannot be guessed; each guess costs a look into the store, though.
        let guesses = Throttle::new(600, 6_000);
        Self { ops, options, guesses, sign_ins: Throttle::new(10, 200) }
    }

    /// The client, behind proxies that are believed.
    fn client(&self, request: &Parts) -> Client {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip()).to_canonical();
        let trusts = |ip: IpAddr| self.options.trusted_proxies.iter().any(|range| range.contains(ip));
        if !trusts(peer) {
            return Client { address: peer, https: self.options.https };
        }
        let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Lines of one list are one list, read from its end: a proxy may add a line of its own to the client's.
        let lines = request.headers.get_all("x-forwarded-for").iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let hops = hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        let address = hops.map(|ip| ip.to_canonical()).find(|ip| !trusts(*ip)).unwrap_or(peer);
        Client { address, https: self.options.https || text("x-forwarded-proto").eq_ignore_ascii_case("https") }
    }

    async fn caller(&self, request: &Parts, client: Client) -> Result<Principal, ErrorBody> {
        let (headers, method) = (&request.headers, &request.method);
        if let Some(secret) = key_of(headers)? {
            return self.by_key(secret, client).await;
        }
        if let Some(token) = cookie::token(headers) {
            if changes(method, headers) && !origin::is_own(headers, &request.uri) {
                return Err(foreign());
            }
            let session = self.ops.access().session(token).await.map_err(|e| e.to_body())?;
            if let Some((key, until)) = session {
                return Ok(Principal::of_key(key, Some(until)));
            }
        }
        if self.options.dev && client.address.is_loopback() {
            // A page in the developer's browser reaches this machine as well.
            if !origin::names_loopback(headers, &request.uri) || !origin::may_be_own(headers, &request.uri) {
                return Err(foreign());
            }
            return Ok(Principal::local());
        }
        Err(unauthenticated("this needs a key"))
    }

    async fn by_key(&self, secret: &str, client: Client) -> Result<Principal, ErrorBody> {
        // Who guesses must not lock out who knows, from the same address.
        if let Some(key) = self.ops.access().known(secret).map(|key| llmops_domain::access::ApiKey::clone(&key)) {
            return Ok(Principal::of_key(key, None));
        }
        self.guesses.check(client.address).map_err(throttled)?;
        if let Some(key) = self.ops.access().authenticate(secret).await.map_err(|e| e.to_body())? {
            return Ok(Principal::of_key(key, None));
        }
        self.guesses.count(client.address);
        Err(unauthenticated("the key is unknown, expired or revoked"))
    }
}

/// The secret that a request carries.
fn key_of(headers: &HeaderMap) -> Result<Option<&str>, ErrorBody> {
    let malformed = || unauthenticated("the key is not written as `Authorization: Bearer KEY`");
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| malformed())?;
        let (scheme, secret) = value.split_once(' ').ok_or_else(malformed)?;
        let secret = secret.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || secret.is_empty() {
            return Err(malformed());
        }
        return Ok(Some(secret));
    }
    headers.get("x-api-key").map(|value| value.to_str().map_err(|_| malformed())).transpose()
}

/// Whether a request may change something, or opens a channel that can.
fn changes(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || headers.contains_key(header::UPGRADE)
}

fn unauthenticated(message: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::Unauthenticated, message)
        .hint("send `Authorization: Bearer KEY`; an admin makes keys with `llmops key create`")
}

fn foreign() -> ErrorBody {
    ErrorBody::new(ErrorCode::Forbidden, "the request comes from a page of another site")
        .hint("browsers may only change things from the server's own pages; programs send a key")
}

pub(crate) fn throttled(seconds: u64) -> ErrorBody {
    let body = ErrorBody::new(ErrorCode::RateLimited, "too many attempts with wrong keys");
    ErrorBody { retry_after: Some(seconds), ..body }.hint(format!("wait {seconds} s"))
}

/// Looks who calls a server.
pub(crate) async fn look(State(authenticator): State<Arc<Authenticator>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let client = authenticator.client(&parts);
    let caller = authenticator.caller(&parts, client).await;
    parts.extensions.insert(client);
    parts.extensions.insert(authenticator);
    let known = caller.as_ref().ok().map(|principal| Known {
        key: principal.key.as_ref().map_or_else(|| principal.name.clone(), |key| key.0.clone()),
        project: principal.project.to_string(),
    });
    parts.extensions.insert(Caller(caller));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(known) = known {
        response.extensions_mut().insert(known);
    }
    response
}

/// Everybody who can call a router in its own process owns that process.
pub(crate) async fn trust(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller(Ok(Principal::local())));
    next.run(request).await
}
