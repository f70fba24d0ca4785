//! Fake servers and short ways to ask them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::config::providers::{CallLimits, ProviderConfig, RemoteConfig, SimulatorConfig};
use llmops_providers::simulator::server::{ServerOptions, serve};
use llmops_providers::simulator::{Script, Simulator};
use llmops_providers::{Answer, ProviderError, Providers};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a fake server does with one request.
#[derive(Clone)]
pub(crate) enum Play {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    Close(Vec<u8>),
    /// Sends one of these bytes every 20 ms.
    Drip(Vec<u8>),
    /// Sends nothing.
    Hang,
}

impl Play {
    /// A 200 with a JSON body.
    pub(crate) fn json(body: &str) -> Self {
        Self::status(200, "", body)
    }

    /// A response; `headers` are whole lines that end in CR LF.
    pub(crate) fn status(code: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Send(format!("HTTP/1.1 {code} Fake\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes())
    }
}

/// A request that a fake server received.
#[derive(Clone)]
pub(crate) struct Received {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Value,
    /// The body as it was written.
    pub(crate) text: String,
}

/// A server that plays a list, one entry a request; the last is played again and again.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl FakeServer {
    pub(crate) async fn start(plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(play(stream, plays.clone(), Arc::clone(&log)));
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn play(mut stream: TcpStream, plays: Vec<Play>, log: Arc<Mutex<Vec<Received>>>) {
    while let Some(received) = read_request(&mut stream).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(received);
            log.len() - 1
        };
        match &plays[number.min(plays.len() - 1)] {
            Play::Send(bytes) => stream.write_all(bytes).await.unwrap(),
            Play::Close(bytes) => {
                stream.write_all(bytes).await.unwrap();
                return;
            }
            Play::Drip(bytes) => {
                for byte in bytes {
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Play::Hang => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            let json = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
            return Some(Received { head: head.to_owned(), body: json, text: body.to_owned() });
        }
    }
}

/// Starts a simulator server and gives its base address, `/v1` included.
pub(crate) async fn simulator_server(config: SimulatorConfig, script: &str, log: Option<&Path>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let simulator = Simulator::new(config, Script::parse("script", script).unwrap()).unwrap();
    let options = ServerOptions { simulator, request_log: log.map(Path::to_owned) };
    tokio::spawn(serve(listener, options, std::future::pending()));
    url
}

/// Limits that fail fast.
pub(crate) fn limits(retries: u32) -> CallLimits {
    CallLimits { max_concurrency: 4, timeout: HumanDuration(Duration::from_secs(5)), retries }
}

/// A configuration with a key that goes to `base_url` and is not retried.
pub(crate) fn remote(base_url: &str) -> RemoteConfig {
    RemoteConfig {
        api_key: Some("sk-very-secret".to_owned()),
        base_url: Some(base_url.to_owned()),
        limits: limits(0),
        ..RemoteConfig::default()
    }
}

/// Providers with one provider, named `p`.
pub(crate) fn providers(config: ProviderConfig) -> Providers {
    Providers::new(&BTreeMap::from([("p".to_owned(), config)]), &BTreeMap::new(), Path::new("/")).unwrap()
}

/// Asks the model `p/m`.
pub(crate) async fn ask(config: ProviderConfig, request: &ChatRequest) -> Result<Answer, ProviderError> {
    let providers = providers(config);
    let target = providers.resolve(&format!("p/{}", request.model)).unwrap();
    providers.chat(&target, request).await
}

/// A request with one user message.
pub(crate) fn user(text: &str) -> ChatRequest {
    request("m", vec![Message::text(Role::User, text)])
}

/// A request.
pub(crate) fn request(model: &str, messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        model: model.to_owned(),
        messages,
        parameters: Parameters::default(),
        tools: Vec::new(),
        response_format: None,
        origin: RequestOrigin::default(),
    }
}
