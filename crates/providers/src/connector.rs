//! Connections: TCP without delay, through a proxy where one is set.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// A host that does not take a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Proxies as the environment names them. The caller reads the environment; every value may be empty.
#[derive(Clone, Default)]
pub struct ProxySettings {
    /// `HTTP_PROXY`: for `http:` addresses.
    pub http: String,
    /// `HTTPS_PROXY`: for `https:` addresses.
    pub https: String,
    /// `ALL_PROXY`: where the two above are empty.
    pub all: String,
    /// `NO_PROXY`: hosts, domains and networks that are reached directly, separated by commas.
    pub no: String,
}

impl ProxySettings {
    pub(crate) fn matcher(&self) -> Matcher {
        Matcher::builder()
            .all(self.all.clone())
            .http(self.http.clone())
            .https(self.https.clone())
            .no(self.no.clone())
            .build()
    }
}

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes TCP connections. Behind a proxy every connection is a `CONNECT` tunnel, whatever its scheme.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Connector {
    pub(crate) fn new(proxies: Arc<Matcher>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        Self { tcp, proxies }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&destination) else {
            let connecting = self.tcp.call(destination);
            return Box::pin(async { Ok(connecting.await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let connecting = tunnel.call(with_port(destination));
        Box::pin(async { Ok(connecting.await?) })
    }
}

/// A tunnel takes 443 for the port of an address without one, which is wrong for `http:`.
fn with_port(uri: Uri) -> Uri {
    let (Some("http"), None, Some(host)) = (uri.scheme_str(), uri.port(), uri.host()) else { return uri };
    let named = Uri::builder().scheme("http").authority(format!("{host}:80")).path_and_query("/").build();
    named.unwrap_or(uri)
}
