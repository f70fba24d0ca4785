//! A prompt that became worse: who hears of it, how often, and until when.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use llmops::alerts::AlertOptions;
use llmops::domain::alert::{AlertDraft, AlertFilter, AlertType, DeliveryStatus, Severity, Telling};
use llmops::domain::chat::{ChatRequest, ChatResponse, Usage};
use llmops::domain::config::Config;
use llmops::domain::config::providers::CallLimits;
use llmops::domain::dataset::Sample;
use llmops::domain::id::ProjectId;
use llmops::domain::run::{EvaluationRun, RunStatus};
use llmops::evaluator::RunRef;
use llmops::{AlertWorker, Clock, LlmOps, Options};
use llmops_api::access::CreateProject;
use llmops_api::runs::CreateRun;
use llmops_providers::Providers;
use llmops_providers::provider::{ChatProvider, ProviderError};
use llmops_storage::Store;
use llmops_testing::on_backends;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct ManualClock {
    seconds: AtomicI64,
    drawn: AtomicU64,
}

impl ManualClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { seconds: AtomicI64::new(1_800_000_000), drawn: AtomicU64::new(1) })
    }

    fn pass(&self, minutes: i64) {
        self.seconds.fetch_add(minutes * 60, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        // Every look is a little later, so that ids made in a row sort.
        let nanos = i128::from(self.drawn.fetch_add(1, Ordering::SeqCst)) * 1_000_000;
        let seconds = i128::from(self.seconds.load(Ordering::SeqCst)) * 1_000_000_000;
        Timestamp::from_nanosecond(seconds + nanos).unwrap()
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Answers rightly where the prompt asks for care.
struct Careful;

#[async_trait]
impl ChatProvider for Careful {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let asked = request.last_user_text();
        let text = match asked.strip_prefix("With care: ") {
            Some(question) => question.replace("question", "answer"),
            None => "whatever".to_owned(),
        };
        let model = request.model.clone();
        let usage = Usage::default();
        Ok(ChatResponse { text, tool_calls: Vec::new(), finish_reason: None, model, usage, latency_ms: 1.0 })
    }
}

type Received = (String, HeaderMap, String);

/// A server that takes what channels send.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<Received>>>,
    is_down: Arc<AtomicBool>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let take = |path: &'static str| {
            post(async move |State(receiver): State<Receiver>, headers: HeaderMap, body: String| {
                if receiver.is_down.load(Ordering::SeqCst) {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
                receiver.received.lock().unwrap().push((path.to_owned(), headers, body));
                StatusCode::OK
            })
        };
        let router =
            Router::new().route("/slack", take("slack")).route("/hook", take("hook")).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}"))
    }

    /// What came since the last call, by channel.
    fn take(&self) -> BTreeMap<String, Vec<(HeaderMap, Value)>> {
        let mut taken: BTreeMap<String, Vec<(HeaderMap, Value)>> = BTreeMap::new();
        for (path, headers, body) in self.received.lock().unwrap().drain(..) {
            if path == "hook" {
                verify(&headers, &body);
            }
            taken.entry(path).or_default().push((headers, serde_json::from_str(&body).unwrap()));
        }
        taken
    }
}

/// What a receiver of webhooks does, as the guide shows it.
fn verify(headers: &HeaderMap, body: &str) {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(signed.as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
}

struct House {
    ops: LlmOps,
    clock: Arc<ManualClock>,
    worker: AlertWorker,
    receiver: Receiver,
}

impl House {
    async fn new(store: &Store) -> Self {
        Self::with(store, "").await
    }

    /// With more said of the channel `quiet`.
    async fn with(store: &Store, quiet: &str) -> Self {
        let (receiver, url) = Receiver::start().await;
        let yaml = format!(
            "version: 1\nproject: p\noutbound: {{allow: [127.0.0.1]}}\nchannels:\n  \
             team: {{kind: slack, url: '{url}/slack'}}\n  pager: {{kind: webhook, url: '{url}/hook', secret: '{SECRET}'}}\n  \
             quiet: {{kind: webhook, url: '{url}/hook', secret: '{SECRET}', types: [experiment]{quiet}}}\n"
        );
        let (config, warnings) = Config::parse(&yaml, "llmops.yaml", |_| None).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let limits = CallLimits { retries: 0, ..CallLimits::default() };
        let providers = Providers::new(&BTreeMap::new(), &BTreeMap::new(), Path::new(".")).unwrap();
        let providers = providers.with_provider("test", Arc::new(Careful), &limits);
        let options = Options {
            outbound: config.outbound.clone(),
            alerts: AlertOptions::new(&config, "."),
            ..Options::default()
        };
        let clock = ManualClock::new();
        let ops = LlmOps::with_clock(store.clone(), providers, options, clock.clone());
        let samples = (0..20).map(|i| Sample {
            id: format!("s{i:02}"),
            input: format!("question {i}"),
            expected_output: vec![format!("answer {i}")],
            category: Some("facts".to_owned()),
            ..Sample::default()
        });
        ops.datasets().add_samples("golden", samples.collect()).await.unwrap();
        Self { worker: ops.alert_worker(), ops, clock, receiver }
    }

    /// Runs the suite with this prompt and delivers what there is to deliver.
    async fn run(&mut self, content: &str) -> EvaluationRun {
        let prompt = serde_json::from_value(json!({"name": "bot", "content": content})).unwrap();
        let prompts = self.ops.prompts();
        let pushed = prompts.create(llmops_api::prompts::PushPrompt {
            prompt,
            bump: llmops_api::prompts::BumpMode::Auto,
            activate: false,
        });
        let hash = pushed.await.unwrap().prompt.hash;
        let request: CreateRun = serde_json::from_value(json!({
            "suite": "default", "dataset": "golden", "cache": false,
            "target": {"name": "bot", "prompt": format!("bot@{hash}"), "model": "test/m"},
            "scoring": {"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}},
                "pass_threshold": 0.7, "max_error_rate": 0.02},
        }))
        .unwrap();
        let run = self.ops.evaluator().create_run(request).await.unwrap();
        let done = self.ops.evaluator().wait(&RunRef::Id(run.id.0), Duration::from_mins(1)).await.unwrap();
        assert_eq!(done.status, RunStatus::Completed, "{:?}", done.error);
        self.worker.run_once().await.unwrap();
        done
    }

    async fn deliver(&mut self) -> BTreeMap<String, Vec<(HeaderMap, Value)>> {
        self.worker.run_once().await.unwrap();
        self.receiver.take()
    }

    fn router(&self) -> Router {
        llmops_server::router(self.ops.clone())
    }

    async fn post(&self, path: &str) -> Value {
        let request = Request::post(path).body(Body::empty()).unwrap();
        let response = self.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

/// A client of server-sent events.
struct EventSource {
    body: axum::body::BodyDataStream,
    text: String,
}

impl EventSource {
    async fn open(router: Router, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event: its id, its type and its data. Comments are passed over.
    async fn next(&mut self) -> (String, String, Value) {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                if let (Some(id), Some(event), Some(data)) = (field("id"), field("event"), field("data")) {
                    return (id, event, serde_json::from_str(&data).unwrap());
                }
            }
            let more = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("an event comes");
            self.text.push_str(std::str::from_utf8(&more.unwrap().unwrap()).unwrap());
        }
    }

    /// The next event about the pass rate: its action, severity and count.
    async fn next_about_pass_rate(&mut self) -> (String, String, u64) {
        loop {
            let (_, event, data) = self.next().await;
            assert_eq!((event.as_str(), &data["type"]), ("alert", &json!("alert")));
            if data["alert"]["metric"] == "pass_rate" {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let count = data["alert"]["count"].as_u64().unwrap();
                return (text(&data["action"]), text(&data["alert"]["severity"]), count);
            }
        }
    }
}

const GOOD: &str = "With care: {{input}}";
const BAD: &str = "Quickly: {{input}}";

#[tokio::test]
async fn a_prompt_made_worse_is_told_once_acknowledged_and_resolved() {
    on_backends(async |store| {
        let mut house = House::new(store).await;
        let mut live = EventSource::open(house.router(), "/api/v1/events?types=alert", None).await;
        house.run(GOOD).await;
        assert_eq!(house.receiver.take().len(), 0, "all is well");

        // Worse: everybody hears of it, once.
        house.clock.pass(10);
        let worse = house.run(BAD).await;
        let told = house.receiver.take();
        let ([slack], [hook]) = (&told["slack"][..], &told["hook"][..]) else { panic!("{told:#?}") };
        assert!(slack.1["text"].as_str().unwrap().contains("critical"), "{:#}", slack.1);
        assert_eq!(slack.1["blocks"][0]["type"], "header");
        let (_, notice) = hook;
        assert_eq!(notice["type"], "alert.raised");
        let regression = &notice["alerts"][0];
        assert_eq!(
            (&regression["type"], &regression["severity"], &regression["metric"], &regression["source_id"]),
            (&json!("regression"), &json!("critical"), &json!("pass_rate"), &json!(worse.id.0))
        );
        let id = regression["id"].as_str().unwrap().to_owned();
        assert_eq!(live.next_about_pass_rate().await, ("raised".to_owned(), "critical".to_owned(), 1));

        // Again within the hour: nobody.
        house.clock.pass(30);
        house.run(BAD).await;
        house.clock.pass(5);
        assert_eq!(house.deliver().await.len(), 0, "again within the hour");

        // Acknowledged: nobody either, however much later.
        let acked = house.post(&format!("/api/v1/alerts/{id}/acknowledge")).await;
        assert_eq!(acked["count"], 2, "it is counted all the same");
        assert_eq!(live.next_about_pass_rate().await, ("acknowledged".to_owned(), "critical".to_owned(), 2));
        house.clock.pass(300);
        house.run(BAD).await;
        let told = house.deliver().await;
        assert!(!format!("{told:?}").contains(&id), "acknowledged: {told:#?}");

        // Recovered: resolved.
        house.clock.pass(10);
        house.run(GOOD).await;
        let told = house.deliver().await;
        let (_, notice) = &told["hook"][0];
        let about = |alert: &&Value| alert["id"] == id;
        let alerts = notice["alerts"].as_array().unwrap();
        assert_eq!(alerts.iter().find(about).unwrap()["action"], "resolved", "{notice:#}");
        assert!(house.ops.alerts().get(&id).await.unwrap().resolved_at.is_some());
        assert_eq!(live.next_about_pass_rate().await.0, "resolved");
        // The mean of the last three runs takes longer to recover.
        let open = AlertFilter { open: Some(true), ..AlertFilter::default() };
        let open = house.ops.alerts().list(&open).await.unwrap();
        assert!(open.iter().all(|alert| alert.metadata["rule"] == "rolling_mean"), "{open:#?}");
    })
    .await;
}

#[tokio::test]
async fn channels_hear_of_every_project_unless_they_name_some() {
    on_backends(async |store| {
        let mut house = House::with(store, ", projects: [shop]").await;
        for id in ["shop", "cafe"] {
            house.ops.projects().create(CreateProject { id: ProjectId::from(id), name: None }).await.unwrap();
        }
        let raise = async |project: &str| {
            let ops = house.ops.for_project(ProjectId::from(project));
            let draft = AlertDraft::new(AlertType::Experiment, Severity::Critical, "test", "split is wrong");
            ops.alerts().create(draft).await.unwrap();
            let mut tested: Vec<_> = ops.alerts().channels().iter().map(|(name, ..)| (*name).to_owned()).collect();
            tested.sort();
            tested
        };
        assert_eq!(raise("shop").await, ["pager", "quiet", "team"]);
        assert_eq!(raise("cafe").await, ["pager", "team"]);
        let told = house.deliver().await;
        let projects = |channel: &str| {
            let mut of: Vec<_> =
                told[channel].iter().map(|(_, notice)| notice["project"].as_str().unwrap().to_owned()).collect();
            of.sort();
            of
        };
        assert_eq!(projects("hook"), ["cafe", "shop", "shop"], "`quiet` hears of shop alone");
        let mut titles: Vec<_> = told["slack"].iter().map(|(_, body)| body["text"].to_string()).collect();
        titles.sort();
        assert!(titles[0].contains("in cafe") && titles[1].contains("in shop"), "{titles:?}");
        let shop = house.ops.for_project(ProjectId::from("shop"));
        assert!(shop.alerts().test(None).await.unwrap().iter().all(|tested| tested.error.is_none()));
        let cafe = house.ops.for_project(ProjectId::from("cafe"));
        assert!(cafe.alerts().test(Some("quiet")).await.is_err());
        assert_eq!(cafe.alerts().deliveries(None, None, (None, 10)).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_down_is_tried_again_for_a_day_then_replayed() {
    on_backends(async |store| {
        let mut house = House::new(store).await;
        house.receiver.is_down.store(true, Ordering::SeqCst);
        let draft = AlertDraft::new(AlertType::Experiment, Severity::Warning, "test", "split is wrong");
        let raised = house.ops.alerts().create(draft).await.unwrap();
        assert_eq!(raised.telling, Telling::Told);
        house.deliver().await;
        let all = async |house: &House| house.ops.alerts().deliveries(None, None, (None, 100)).await.unwrap();
        let pending = all(&house).await;
        assert_eq!(pending.len(), 3, "one for each channel");
        for delivery in &pending {
            assert_eq!((delivery.status, delivery.attempt), (DeliveryStatus::Pending, 1), "{delivery:?}");
            assert!(delivery.error.as_ref().unwrap().contains("503"), "{delivery:?}");
        }
        // A process that died left no trace but the rows: another one goes on.
        let ops = house.ops.clone();
        house.worker = ops.alert_worker();
        for _ in 0..26 {
            house.clock.pass(60);
            house.deliver().await;
        }
        let dead = all(&house).await;
        assert!(dead.iter().all(|d| d.status == DeliveryStatus::Dead && d.attempt > 10), "{dead:#?}");
        house.receiver.is_down.store(false, Ordering::SeqCst);
        for delivery in &dead {
            house.post(&format!("/api/v1/deliveries/{}/replay", delivery.id)).await;
        }
        let told = house.deliver().await;
        assert_eq!((told["slack"].len(), told["hook"].len()), (1, 2));
        let ids: Vec<&str> = told["hook"].iter().map(|(headers, _)| headers["webhook-id"].to_str().unwrap()).collect();
        assert!(ids.iter().all(|id| dead.iter().any(|d| d.id == **id)), "the id stays the same: {ids:?}");
        assert!(all(&house).await.iter().all(|d| d.status == DeliveryStatus::Delivered));
    })
    .await;
}

#[tokio::test]
async fn a_storm_neither_floods_nor_loses() {
    on_backends(async |store| {
        let mut house = House::new(store).await;
        let alerts = house.ops.alerts();
        let draft = |i: usize| AlertDraft::new(AlertType::Threshold, Severity::Warning, "storm", format!("alert {i}"));
        alerts.create(draft(0)).await.unwrap();
        assert_eq!(house.deliver().await["slack"].len(), 1, "the first is told at once");
        for piece in (1..2_000).collect::<Vec<_>>().chunks(500) {
            alerts.create_all(piece.iter().map(|i| draft(*i)).collect()).await.unwrap();
            assert_eq!(house.deliver().await.len(), 0, "what follows waits");
        }
        for _ in 0..100 {
            alerts.create(draft(7)).await.unwrap();
        }
        house.clock.pass(1);
        let told = house.deliver().await;
        let ([(_, slack)], [(_, hook)]) = (&told["slack"][..], &told["hook"][..]) else { panic!("{told:#?}") };
        assert_eq!((hook["count"].as_u64(), hook["severities"]["warning"].as_u64()), (Some(1_999), Some(1_999)));
        assert_eq!(hook["alerts"].as_array().unwrap().len(), 100);
        assert!(slack["text"].as_str().unwrap().starts_with("1999 alerts"), "{slack}");
        let mut filter = AlertFilter { source: Some("storm".to_owned()), limit: Some(1000), ..AlertFilter::default() };
        let mut seen = 0;
        while let Some(last) = {
            let page = alerts.list(&filter).await.unwrap();
            seen += page.iter().map(|alert| alert.count).sum::<u64>();
            page.last().map(|alert| alert.id.clone())
        } {
            filter.before = Some(last);
        }
        assert_eq!(seen, 2_100, "every one is counted");
    })
    .await;
}

#[tokio::test]
async fn silenced_alerts_are_kept_and_told_to_nobody() {
    on_backends(async |store| {
        let mut house = House::new(store).await;
        let alerts = house.ops.alerts();
        let matcher = serde_json::from_value(json!({"source": "noisy"})).unwrap();
        let in_an_hour = house.clock.now() + jiff::SignedDuration::from_hours(1);
        alerts.silence(matcher, in_an_hour, "maintenance").await.unwrap();
        let draft = || AlertDraft::new(AlertType::Threshold, Severity::Critical, "noisy", "too loud");
        assert_eq!(alerts.create(draft()).await.unwrap().telling, Telling::Silenced);
        assert_eq!(house.deliver().await.len(), 0);
        assert_eq!(alerts.list(&AlertFilter::default()).await.unwrap().len(), 1);
        house.clock.pass(61);
        assert_eq!(alerts.silences().await.unwrap(), []);
        assert_eq!(alerts.create(draft()).await.unwrap().telling, Telling::Told);
        assert_eq!(house.deliver().await["slack"].len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_browser_resumes_behind_its_last_event() {
    on_backends(async |store| {
        let house = House::new(store).await;
        let alerts = house.ops.alerts();
        for i in 0..3 {
            let message = format!("alert {i}");
            alerts.create(AlertDraft::new(AlertType::Threshold, Severity::Info, "t", message)).await.unwrap();
        }
        let mut first = EventSource::open(house.router(), "/api/v1/events?after=0&types=alert", None).await;
        let (id, _, _) = first.next().await;
        // The header counts, not the address that the browser opened at first.
        let mut again = EventSource::open(house.router(), "/api/v1/events?after=0&types=alert", Some(&id)).await;
        assert_eq!(again.next().await.2["alert"]["message"], "alert 1");
        for (path, expected) in [
            ("/api/v1/events?types=alarm", "`alarm` is no type of event"),
            ("/api/v1/events?after=x", "after"),
            ("/api/v1/ws", "WebSocket"),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = house.router().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            assert!(String::from_utf8_lossy(&bytes).contains(expected), "{path}: {bytes:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_web_socket_ends_with_its_key() {
    use llmops_api::access::CreateKey;
    use llmops_domain::access::Role;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

    on_backends(async |store| {
        let house = House::new(store).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = llmops_server::server(house.ops.clone(), llmops_server::ServerOptions::default());
        let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let key = CreateKey {
            name: "watcher".to_owned(),
            role: Role::Viewer,
            project: None,
            expires_at: None,
            limits: llmops::domain::limits::Limits::default(),
        };
        let made = house.ops.keys().create(key).await.unwrap();
        let mut request = format!("ws://{address}/api/v1/ws").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", made.secret).parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request.clone()).await.unwrap();
        // The first sign of life: the stream is open.
        assert!(matches!(socket.next().await, Some(Ok(Message::Ping(_)))));
        house.ops.keys().revoke(None, made.key.id.as_str()).await.unwrap();
        let goodbye = async {
            while let Some(Ok(message)) = socket.next().await {
                if matches!(message, Message::Close(_)) {
                    return true;
                }
            }
            false
        };
        let ended = tokio::time::timeout(Duration::from_secs(5), goodbye).await;
        assert_eq!(ended, Ok(true), "the socket outlives its key");
        assert!(tokio_tungstenite::connect_async(request).await.is_err(), "and nobody comes in with it again");
    })
    .await;
}

#[tokio::test]
async fn a_web_socket_tells_the_same_and_says_goodbye() {
    use tokio_tungstenite::tungstenite::Message;

    on_backends(async |store| {
        let house = House::new(store).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = house.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let alerts = house.ops.alerts();
        let draft = |i: u32| AlertDraft::new(AlertType::Threshold, Severity::Info, "t", format!("alert {i}"));
        alerts.create(draft(0)).await.unwrap();
        let url = format!("ws://{address}/api/v1/ws?after=0&types=alert");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        alerts.create(draft(1)).await.unwrap();
        let mut seen = Vec::new();
        let mut goodbye = false;
        while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_secs(20), socket.next()).await {
            match message {
                Message::Text(text) => {
                    let event: Value = serde_json::from_str(text.as_str()).unwrap();
                    seen.push(event["alert"]["message"].as_str().unwrap().to_owned());
                    if seen.len() == 2 {
                        house.ops.events().close();
                    }
                }
                Message::Close(frame) => {
                    goodbye = frame.is_some_and(|frame| frame.reason.as_str().contains("resume"));
                    break;
                }
                _ => {}
            }
        }
        assert_eq!((seen, goodbye), (vec!["alert 0".to_owned(), "alert 1".to_owned()], true));
    })
    .await;
}
