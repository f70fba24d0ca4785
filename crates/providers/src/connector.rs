//! Connections: TCP without delay, through a proxy where one is set.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use tower_service::Service;

use crate::turns::TurnStream;

/// A host that does not take a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Hosts of this machine, which no proxy leads back to: models that are served here are reached directly.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

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
    /// The proxies that an environment names, in capitals or, where those are absent or empty, in small letters. This machine is
    /// reached directly, whatever `NO_PROXY` says.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let read = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase())).unwrap_or_default();
        let no = format!("{THIS_MACHINE},{}", read("NO_PROXY"));
        Self { http: read("HTTP_PROXY"), https: read("HTTPS_PROXY"), all: read("ALL_PROXY"), no }
    }

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
    type Response = TurnStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&destination) else {
            let connecting = self.tcp.call(destination);
            return Box::pin(async { Ok(connecting.await?.into()) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let connecting = tunnel.call(with_port(destination));
        Box::pin(async { Ok(connecting.await?.into()) })
    }
}

/// A tunnel takes 443 for the port of an address without one, which is wrong for `http:`.
fn with_port(uri: Uri) -> Uri {
    let (Some("http"), None, Some(host)) = (uri.scheme_str(), uri.port(), uri.host()) else { return uri };
    let named = Uri::builder().scheme("http").authority(format!("{host}:80")).path_and_query("/").build();
    named.unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_of_the_environment() {
        let check = |environment: &[(&str, &str)], destination: &str, expected: Option<&str>| {
            let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
            let matcher = ProxySettings::from_env(variable).matcher();
            let proxy = matcher.intercept(&destination.parse().unwrap()).map(|proxy| proxy.uri().to_string());
            assert_eq!(proxy.as_deref(), expected, "{environment:?} {destination}");
        };
        let (one, two) = ("http://one:1/", "http://two:2/");
        check(&[], "https://models.example/v1", None);
        check(&[("HTTPS_PROXY", one)], "https://models.example/v1", Some(one));
        check(&[("HTTPS_PROXY", one)], "http://models.example/v1", None);
        check(&[("HTTP_PROXY", ""), ("http_proxy", two)], "http://models.example/v1", Some(two));
        check(&[("HTTPS_PROXY", one), ("https_proxy", two)], "https://models.example/v1", Some(one));
        check(&[("ALL_PROXY", two), ("HTTPS_PROXY", one)], "https://models.example/v1", Some(one));
        check(&[("ALL_PROXY", two)], "http://models.example/v1", Some(two));
        check(&[("ALL_PROXY", two), ("NO_PROXY", "models.example, 10.0.0.0/8")], "https://models.example/v1", None);
        check(&[("ALL_PROXY", two), ("no_proxy", ".example")], "https://models.example/v1", None);
        check(&[("ALL_PROXY", two), ("NO_PROXY", "other.example")], "https://models.example/v1", Some(two));
        for here in ["http://localhost:8000/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"] {
            check(&[("ALL_PROXY", two)], here, None);
        }
    }
}
