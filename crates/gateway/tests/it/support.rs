//! A provider that sends exactly the bytes it is told to, and a gateway in front of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use llmops_domain::chat::Parameters;
use llmops_domain::config::providers::{Price, ProviderConfig};
use llmops_domain::deployment::{Deployment, DeploymentSettings, LiveDeployment};
use llmops_domain::id::ProjectId;
use llmops_domain::manifest::Manifest;
use llmops_domain::prompt::PromptBody;
use llmops_domain::record::RequestRecord;
use llmops_gateway::{Assign, BoxFuture, Caller, Gatekeeper, Gateway, Recorder, Recordings, Snapshot, Subject};
use llmops_providers::Providers;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The only key that is let in.
pub(crate) const KEY: &str = "llmops_test_key_0123456789";
/// The provider's key.
pub(crate) const PROVIDER_KEY: &str = "sk-provider-0123456789";

/// What a scripted provider does with one connection after it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(String),
    /// Sends bytes that are no text.
    SendRaw(Vec<u8>),
    /// Waits until the test says go on.
    Wait,
    /// Closes with a reset where there is something unread, else in order.
    Close,
    /// Waits until the other side closes, and tells the test.
    UntilClosed,
}

/// A provider that answers its connections by scripts, one after the other; the last one serves all further ones.
pub(crate) struct Provider {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    go_on: mpsc::UnboundedSender<()>,
    closed: mpsc::UnboundedReceiver<()>,
}

impl Provider {
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (go_on, gate) = mpsc::unbounded_channel();
        let (tell_closed, closed) = mpsc::unbounded_channel();
        let log = requests.clone();
        tokio::spawn(async move {
            let gate = Arc::new(tokio::sync::Mutex::new(gate));
            let mut served = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let script = scripts[served.min(scripts.len() - 1)].clone();
                served += 1;
                tokio::spawn(play(stream, script, log.clone(), gate.clone(), tell_closed.clone()));
            }
        });
        Self { url, requests, go_on, closed }
    }

    /// Answers every request with one JSON body.
    pub(crate) async fn answering(body: &str) -> Self {
        Self::start(vec![vec![Step::Send(json_response(200, "", body))]]).await
    }

    /// The requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The body of the only request.
    pub(crate) fn body(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    pub(crate) async fn was_closed(&mut self) {
        tokio::time::timeout(Duration::from_secs(10), self.closed.recv()).await.expect("the gateway closes").unwrap();
    }
}

async fn play(
    mut stream: TcpStream,
    script: Vec<Step>,
    log: Arc<Mutex<Vec<String>>>,
    gate: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>>,
    closed: mpsc::UnboundedSender<()>,
) {
    while let Some(request) = read_message(&mut stream).await {
        log.lock().unwrap().push(request);
        for step in &script {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(bytes.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Step::SendRaw(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Step::Wait => {
                    gate.lock().await.recv().await;
                }
                Step::Close => return,
                Step::UntilClosed => {
                    let mut rest = [0; 16];
                    while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
                    let _ = closed.send(());
                    return;
                }
            }
        }
    }
}

/// A head and a body of the announced length.
async fn read_message(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(n) if n > 0 => read.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
}

/// The value of a header in the text of a head.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let head = head.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// A response with a length.
pub(crate) fn json_response(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of a streamed response, and one piece of it.
pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

pub(crate) fn piece(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

struct OneKey;

impl Gatekeeper for OneKey {
    fn admit(&self, secret: Option<&str>) -> Option<Caller> {
        (secret == Some(KEY)).then(|| Caller {
            project: ProjectId::default_project(),
            key: Some("key_1".to_owned()),
            limits: None,
            may_pass_through: true,
        })
    }
}

/// The users `v0`, `v1` … get the variants of these numbers.
struct ByUser;

impl Assign for ByUser {
    fn assign<'a>(&'a self, subject: Subject<'a>) -> BoxFuture<'a, Option<usize>> {
        let number = subject.attributes.get("user").and_then(|user| user.as_str()?.strip_prefix('v')?.parse().ok());
        Box::pin(std::future::ready(number))
    }
}

/// A gateway on a socket.
pub(crate) struct Fixture {
    address: std::net::SocketAddr,
    snapshot: Arc<arc_swap::ArcSwap<Snapshot>>,
    recordings: Recordings,
}

/// A deployment `bot` of a model, with a prompt and settings.
pub(crate) fn deployment(model: &str, prompt: Value, settings: DeploymentSettings) -> LiveDeployment {
    let prompt: PromptBody = serde_json::from_value(prompt).unwrap();
    let mut manifest = Manifest::resolve(None, model, &Parameters::default());
    manifest.parameters = prompt.parameters.clone();
    manifest.system.clone_from(&prompt.system);
    manifest.examples.clone_from(&prompt.examples);
    manifest.tools.clone_from(&prompt.tools);
    manifest.post_processing.clone_from(&prompt.post_processing);
    let manifest_id = manifest.id().unwrap();
    let deployment = Deployment {
        name: "bot".to_owned(),
        environment: "production".to_owned(),
        manifest: manifest_id.clone(),
        revision: 1,
        safe_mode: false,
        settings,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        updated_by: None,
    };
    let project = ProjectId::default_project();
    LiveDeployment {
        project,
        deployment,
        manifest,
        manifest_id,
        prompt: Some(prompt),
        fixed_answer: None,
        variants: Vec::new(),
        canary: None,
    }
}

impl Fixture {
    /// Providers by name and address; deployments.
    pub(crate) async fn start(providers: &[(&str, &str)], deployments: Vec<LiveDeployment>) -> Self {
        Self::start_with_prices(providers, &[], deployments).await
    }

    /// The same with prices of models: USD for a million tokens of prompts, and of answers.
    pub(crate) async fn start_with_prices(
        providers: &[(&str, &str)],
        prices: &[(&str, f64, f64)],
        deployments: Vec<LiveDeployment>,
    ) -> Self {
        let price = |(model, input, output): &(&str, f64, f64)| {
            ((*model).to_owned(), Price { input: *input, output: *output, ..Price::default() })
        };
        let prices = prices.iter().map(price).collect();
        let config = |(name, url): &(&str, &str)| {
            let kind = ["anthropic", "gemini"].into_iter().find(|kind| name.starts_with(kind)).unwrap_or("openai");
            let config = match *name {
                "simulator" => json!({"kind": "simulator"}),
                _ => json!({"kind": kind, "base_url": url, "api_key": PROVIDER_KEY, "retries": 0}),
            };
            ((*name).to_owned(), serde_json::from_value::<ProviderConfig>(config).unwrap())
        };
        let configs: BTreeMap<_, _> = providers.iter().map(config).collect();
        let providers = Providers::new(&configs, &prices, Path::new(".")).unwrap();
        let (snapshot, errors) = Snapshot::new(Arc::new(providers), deployments);
        assert_eq!(errors, []);
        let (recorder, recordings) = Recorder::channel();
        let snapshot = Arc::new(arc_swap::ArcSwap::from_pointee(snapshot));
        let gateway = Gateway::new(snapshot.clone(), Arc::new(OneKey), recorder).with_experiments(Arc::new(ByUser));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let gateway = gateway.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let gateway = gateway.clone();
                        async move { Ok::<_, std::convert::Infallible>(gateway.handle(request).await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, snapshot, recordings }
    }

    /// Answers from these deployments from now on.
    pub(crate) fn deploy(&self, deployments: Vec<LiveDeployment>) {
        let before = self.snapshot.load_full();
        let (next, errors) = before.next(before.providers().clone(), deployments);
        assert_eq!(errors, []);
        self.snapshot.store(Arc::new(next));
    }

    /// Opens a connection and posts a request.
    pub(crate) async fn open(&self, path: &str, headers: &str, body: &str) -> TcpStream {
        self.open_with("POST", path, headers, body).await
    }

    async fn open_with(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {KEY}\r\ncontent-type: \
             application/json\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request and reads the whole answer, as it came.
    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        self.send("POST", path, headers, body).await
    }

    /// The same with any method.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = self.open_with(method, path, headers, body).await;
        let mut answer = Vec::new();
        // A connection that breaks ends the answer, too.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    pub(crate) async fn chat(&self, body: &Value) -> String {
        self.post("/v1/chat/completions", "", &body.to_string()).await
    }

    /// The record of the next call that has ended.
    pub(crate) async fn record(&mut self) -> RequestRecord {
        let next = tokio::time::timeout(Duration::from_secs(10), self.recordings.next());
        next.await.expect("a record").expect("a gateway").into_recorded().record
    }
}

/// Status and body of an answer.
pub(crate) fn split(answer: &str) -> (u16, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// A small answer.
pub(crate) const ANSWER: &str = r#"{"id":"chatcmpl-7","object":"chat.completion","created":1,"model":"m-2026","system_fingerprint":"fp_1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4}},"x_extra":1.0}"#;
