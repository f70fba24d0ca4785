//! Embedding models: the hub and its cache, and scoring with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use llmops::domain::run::{EvaluationRun, Outcome, RunStatus};
use llmops::domain::scoring::compare::{ItemSimilarity, ListMatchSpec};
use llmops::domain::scoring::{BaselineSpec, BertscoreSpec, Measure, ScorerSpec, ScoringSpec};
use llmops::models::{Found, HubSettings, Layer, Limit, ModelError, ModelOptions, Models, Progress, Quiet};
use llmops::{LlmOps, Options};
use llmops_metrics::bertscore::{BertScore, Idf};
use llmops_metrics::embedding_similarity::embedding_similarity;
use llmops_metrics::encoder::Encoder;
use llmops_storage::{ResultFilter, Store};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::scripted::{Scripted, add_samples, finish, installation, installation_with, run, scoring};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const FILES: [&str; 4] = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];

fn encoders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../metrics/tests/fixtures/encoders")
}

/// What a hub does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Gives half of the weights, the first time.
    BreaksOff,
    /// Gives weights of the right length and another content.
    Damages,
    /// Announces nothing but the files, as a plain file server.
    Plain,
}

/// A hub on loopback with one model, `acme/tiny`, which was called `old/name` before; weights lie on another host.
struct FakeHub {
    address: String,
    fault: Fault,
    weights_at: String,
    /// What was asked for, with token and range.
    asked: Mutex<Vec<String>>,
    weights_given: AtomicU32,
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

impl FakeHub {
    async fn start(fault: Fault) -> Arc<Self> {
        // The two servers know each other's address by a cell that is filled before the first request.
        let hub: Arc<Mutex<Option<Arc<Self>>>> = Arc::default();
        let router = || Router::new().fallback(answer).with_state(hub.clone());
        let (address, weights_at) = (serve(router()).await, serve(router()).await);
        let started =
            Arc::new(Self { address, fault, weights_at, asked: Mutex::default(), weights_given: AtomicU32::new(0) });
        *hub.lock().unwrap() = Some(started.clone());
        started
    }

    fn settings(&self, cache: &TempDir) -> HubSettings {
        let set = BTreeMap::from([
            ("HF_ENDPOINT", self.address.clone()),
            ("HF_HUB_CACHE", cache.path().display().to_string()),
            ("HF_TOKEN", "sesame".to_owned()),
        ]);
        HubSettings::from_env(|name| set.get(name).cloned())
    }

    fn models(&self, cache: &TempDir) -> Models {
        Models::new(ModelOptions { hub: self.settings(cache), folder: cache.path().into(), ..ModelOptions::default() })
    }

    fn asked(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }
}

type Hub = Arc<Mutex<Option<Arc<FakeHub>>>>;

async fn answer(State(hub): State<Hub>, request: Request) -> Response {
    let hub = hub.lock().unwrap().clone().unwrap();
    let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let path = request.uri().path().to_owned();
    let line = format!("{} {path} {} {}", request.method(), header("authorization"), header("range"));
    hub.asked.lock().unwrap().push(line);
    let status = |code: u16| Response::builder().status(code);
    if path == "/weights" {
        return weights(&hub, &header("range"));
    }
    if let Some(rest) = path.strip_prefix("/old/name/") {
        return status(307).header("location", format!("/acme/tiny/{rest}")).body(Body::empty()).unwrap();
    }
    if path.starts_with("/closed/") {
        return status(401).body(Body::empty()).unwrap();
    }
    let file = ["main", COMMIT].iter().find_map(|at| path.strip_prefix(&format!("/acme/tiny/resolve/{at}/")));
    let Some(file) = file.filter(|file| FILES.contains(file)) else {
        return status(404).body(Body::empty()).unwrap();
    };
    let content = std::fs::read(encoders().join("bert").join(file)).unwrap();
    if hub.fault == Fault::Plain {
        let allowed = request.method() == "GET";
        return status(if allowed { 200 } else { 405 })
            .body(if allowed { content.into() } else { Body::empty() })
            .unwrap();
    }
    let response = status(if file == "model.safetensors" { 302 } else { 200 }).header("x-repo-commit", COMMIT);
    if file == "model.safetensors" {
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&content)));
        let response = response.header("x-linked-etag", etag).header("x-linked-size", content.len());
        return response.header("location", format!("{}/weights", hub.weights_at)).body(Body::empty()).unwrap();
    }
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(&content);
    response.header("etag", format!("W/\"{}\"", hex::encode(hash.finalize()))).body(content.into()).unwrap()
}

fn weights(hub: &FakeHub, range: &str) -> Response {
    let mut content = std::fs::read(encoders().join("bert/model.safetensors")).unwrap();
    let first = hub.weights_given.fetch_add(1, Ordering::SeqCst) == 0;
    let start: usize = range.strip_prefix("bytes=").map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    let total = content.len();
    match hub.fault {
        Fault::Damages => *content.last_mut().unwrap() ^= 1,
        Fault::BreaksOff if first => {
            let half = Bytes::from(content[..total / 2].to_vec());
            // What stands before a pause is sent before the connection is cut.
            let cut = futures::stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            let stream = futures::stream::iter([Ok(half)]).chain(cut);
            return Response::builder().header("content-length", total).body(Body::from_stream(stream)).unwrap();
        }
        _ => {}
    }
    let part = Response::builder().status(if start > 0 { 206 } else { 200 });
    let part = part.header("content-range", format!("bytes {start}-{}/{total}", total - 1));
    part.body(content.split_off(start).into()).unwrap()
}

/// Every file below a folder, by its path.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Adds up what it is told.
#[derive(Default)]
struct Sum(Mutex<(u64, u64)>);

impl Progress for Sum {
    fn file(&self, _: &str, _: &str, size: Option<u64>) {
        self.0.lock().unwrap().0 += size.unwrap_or(0);
    }

    fn advance(&self, bytes: u64) {
        self.0.lock().unwrap().1 += bytes;
    }

    fn end(&self) {}
}

#[tokio::test]
async fn a_model_of_the_hub_is_downloaded_once() {
    let cache = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(Fault::None).await;
    let models = hub.models(&cache);
    assert_eq!(models.find("acme/tiny").await.unwrap(), Found::OnHub);
    let progress = Sum::default();
    let embedder = models.load("acme/tiny", Layer::Recommended, &progress).await.unwrap();
    assert_eq!((embedder.encoder().width(), embedder.encoder().layer()), (24, 2));
    let (announced, came) = *progress.0.lock().unwrap();
    assert!(announced == came && came > 10_000, "{came} of {announced} bytes");
    let snapshot = format!("models--acme--tiny/snapshots/{COMMIT}");
    for file in FILES {
        let expected = std::fs::read(encoders().join("bert").join(file)).unwrap();
        assert!(std::fs::read(cache.path().join(&snapshot).join(file)).unwrap() == expected, "{file}");
    }
    assert_eq!(std::fs::read_to_string(cache.path().join("models--acme--tiny/refs/main")).unwrap(), COMMIT);
    assert_eq!(files(cache.path()).len(), 9, "{:?}", files(cache.path()));
    assert!(hub.asked("Bearer sesame") > 4, "the hub gets the token");
    assert_eq!(hub.asked("/weights Bearer"), 0, "and the other host does not");
    // While it is in use it is in memory once, and the hub is not asked again.
    let before = hub.asked("");
    let again = models.load("acme/tiny", Layer::Last, &Quiet).await.unwrap();
    assert!(Arc::ptr_eq(&embedder, &again));
    let offline = HubSettings { offline: true, ..hub.settings(&cache) };
    let offline = Models::new(ModelOptions { hub: offline, ..ModelOptions::default() });
    assert!(offline.load("acme/tiny", Layer::At(1), &Quiet).await.is_ok());
    assert!(offline.load(&format!("acme/tiny@{COMMIT}"), Layer::At(1), &Quiet).await.is_ok());
    assert_eq!(hub.asked(""), before);
}

#[tokio::test]
async fn layers_of_one_model_share_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("bert");
    std::fs::create_dir(&copy).unwrap();
    for file in FILES {
        std::fs::copy(encoders().join("bert").join(file), copy.join(file)).unwrap();
    }
    let models = Models::new(ModelOptions { folder: folder.path().into(), ..ModelOptions::default() });
    let last = models.load("bert", Layer::Last, &Quiet).await.unwrap();
    // Nothing more can come from the disk.
    std::fs::remove_file(copy.join("model.safetensors")).unwrap();
    let first = models.load("bert", Layer::At(1), &Quiet).await.unwrap();
    assert_eq!((first.encoder().layer(), last.encoder().layer(), first.hash()), (1, 2, last.hash()));
    let alone = Encoder::load(&encoders().join("bert"), Some(1)).unwrap();
    let texts = ["Where is my order?", ""];
    let values =
        |encoder: &Encoder| encoder.embed(&texts).unwrap().iter().map(|e| e.values().to_vec()).collect::<Vec<_>>();
    assert_eq!(values(first.encoder()), values(&alone));
    assert!(Arc::ptr_eq(&models.load("bert", Layer::At(1), &Quiet).await.unwrap(), &first));
    assert!(models.load("bert", Layer::At(3), &Quiet).await.is_err());
    drop(last);
    assert!(models.load("bert", Layer::Last, &Quiet).await.is_ok(), "the first layer keeps the weights of all");
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on() {
    let cache = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(Fault::BreaksOff).await;
    hub.models(&cache).load("old/name", Layer::Last, &Quiet).await.unwrap();
    assert_eq!(hub.asked("/weights"), 2);
    assert_eq!(hub.asked("/weights  bytes="), 1);
}

#[tokio::test]
async fn a_plain_file_server_will_do() {
    let cache = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(Fault::Plain).await;
    let models = hub.models(&cache);
    models.load("acme/tiny", Layer::Last, &Quiet).await.unwrap();
    assert!(matches!(models.find("acme/tiny").await, Ok(Found::Here(_))));
}

#[tokio::test]
async fn nothing_damaged_gets_into_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(Fault::Damages).await;
    let models = hub.models(&cache);
    let error = models.load("acme/tiny", Layer::Last, &Quiet).await.unwrap_err();
    assert!(matches!(&error, ModelError::Damaged { file, .. } if file == "model.safetensors"), "{error}");
    assert!(error.is_temporary());
    let found = files(cache.path());
    assert!(!found.iter().any(|file| file.contains("safetensors") || file.contains("incomplete")), "{found:?}");
    assert_eq!(models.find("acme/tiny").await.unwrap(), Found::OnHub, "half a model is none");
}

#[tokio::test]
async fn what_is_not_to_be_had_says_why() {
    let cache = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(Fault::None).await;
    let models = hub.models(&cache);
    let check = async |models: &Models, name: &str, expected: &str| {
        let (found, loaded) = (models.find(name).await, models.load(name, Layer::Last, &Quiet).await.map(|_| ()));
        let error = loaded.unwrap_err().to_string().replace(&hub.address, "HUB");
        let error = error.replace(&cache.path().display().to_string(), "CACHE");
        assert_eq!(error, expected);
        assert!(found.is_err());
    };
    check(&models, "acme/huge", "HUB has no config.json of the model `acme/huge`").await;
    check(&models, "acme/tiny@v9", "HUB has no config.json of the model `acme/tiny`").await;
    check(&models, "closed/model", "HUB does not give out the model `closed/model` (HTTP 401)").await;
    check(
        &models,
        "models/of/mine",
        "there is no folder `models/of/mine` in CACHE, and a model of the hub is named NAME, OWNER/NAME or OWNER/NAME@REVISION",
    )
    .await;
    let down = HubSettings { endpoint: "http://127.0.0.1:1".to_owned(), ..hub.settings(&cache) };
    let down = Models::new(ModelOptions { hub: down, ..ModelOptions::default() });
    let error = down.find("acme/tiny").await.unwrap_err();
    assert!(
        error.is_temporary()
            && error.to_string().starts_with("cannot get config.json of `acme/tiny` from http://127.0.0.1:1")
    );
    let offline = Models::new(ModelOptions::default());
    assert!(matches!(offline.find("acme/tiny").await, Err(ModelError::Offline { .. })));
}

#[tokio::test]
async fn a_server_opens_models_of_its_project_only() {
    let outside = encoders().join("bert").display().to_string();
    let project = tempfile::tempdir().unwrap();
    let options = ModelOptions { folder: project.path().into(), confined: true, ..ModelOptions::default() };
    let models = Models::new(options.clone());
    assert!(matches!(models.find(&outside).await, Err(ModelError::Outside(_))));
    let named = Models::new(ModelOptions { named: vec![outside.clone()], ..options.clone() });
    assert!(matches!(named.find(&outside).await, Ok(Found::Here(_))));
    let inside = Models::new(ModelOptions { folder: encoders(), ..options });
    assert!(inside.find("bert").await.is_ok());
    assert!(inside.find("bert/../../..").await.is_err());
}

/// A run of 40 samples.
async fn evaluate(spec: ScoringSpec, options: ModelOptions) -> (LlmOps, EvaluationRun) {
    let store = Store::in_memory().await.unwrap();
    let provider = Scripted::new(|request| format!("the answer to {}", request.last_user_text().trim_end_matches('?')));
    let ops = installation_with(&store, &provider, Options { models: options, ..Options::default() });
    add_samples(&ops, 40).await;
    let done = finish(&ops, run("m", spec)).await;
    (ops, done)
}

fn at_fixtures() -> ModelOptions {
    ModelOptions { folder: encoders(), ..ModelOptions::default() }
}

#[tokio::test]
async fn a_run_scores_by_embeddings() {
    let model = Some("bert".to_owned());
    let spec = BertscoreSpec { model: model.clone(), idf: true, ..BertscoreSpec::default() };
    let recall = BertscoreSpec { measure: Measure::Recall, layer: Some(1), idf: false, ..spec.clone() };
    let similarity = ItemSimilarity::Embeddings;
    let items = ListMatchSpec { similarity, model: model.clone(), item_threshold: 0.95, ..ListMatchSpec::default() };
    let spec = scoring([
        ("f1", 0.25, ScorerSpec::Bertscore(spec)),
        ("items", 0.25, ScorerSpec::ListMatch(items)),
        ("recall", 0.25, ScorerSpec::Bertscore(recall)),
        ("similarity", 0.25, ScorerSpec::EmbeddingSimilarity { model }),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let embeddings = Some(Limit { folder: cache.path().join("e"), bytes: 1 << 20 });
    let (ops, done) = evaluate(spec, ModelOptions { embeddings, ..at_fixtures() }).await;
    assert_eq!(done.status, RunStatus::Completed, "{:?}", done.error);
    assert!(!files(cache.path()).is_empty(), "references are kept");
    let encoder = |layer| Encoder::load(&encoders().join("bert"), layer).unwrap();
    let (last, first) = (encoder(None), encoder(Some(1)));
    let references: Vec<String> = (0..40).map(|i| format!("answer {i}")).collect();
    let weighted = BertScore { idf: Some(Idf::new(&last, &references).unwrap()), baseline: None };
    let (results, _) = ops.evaluator().results(&done.id, &ResultFilter::default(), None, 100).await.unwrap();
    assert_eq!(results.len(), 40);
    for result in results {
        let Outcome::Scored { scores, .. } = &result.outcome else { panic!("{result:?}") };
        let reference = [&references[usize::try_from(result.ordinal).unwrap()]];
        let similarity = embedding_similarity(&last, &result.output, &reference).unwrap().unwrap();
        let expected = [
            // Both are lists of one item.
            ("items", if similarity >= 0.95 { 1.0 } else { 0.0 }),
            ("f1", weighted.score(&last, &result.output, &reference).unwrap().unwrap().f1),
            ("recall", BertScore::default().score(&first, &result.output, &reference).unwrap().unwrap().recall),
            ("similarity", similarity),
        ];
        for (name, expected) in expected {
            assert!((scores[name].score - expected).abs() < 1e-6, "{name} of {}", result.sample_id);
        }
        let detail = scores["f1"].detail.as_ref().unwrap();
        assert_eq!(detail["model"]["layer"], 2);
        assert_eq!(detail["model"]["hash"].as_str().unwrap().len(), 64);
        assert!(detail["precision"].is_f64() && detail["recall"].is_f64());
    }
}

#[tokio::test]
async fn rescaled_scores_stay_in_range() {
    let rows = vec![[0.9, 0.9, 0.9]; 3];
    let spec = BertscoreSpec {
        model: Some("bert".to_owned()),
        baseline: Some(BaselineSpec::Layers(rows)),
        ..BertscoreSpec::default()
    };
    let (ops, done) = evaluate(scoring([("bertscore", 1.0, ScorerSpec::Bertscore(spec))]), at_fixtures()).await;
    let (results, _) = ops.evaluator().results(&done.id, &ResultFilter::default(), None, 100).await.unwrap();
    for result in results {
        let Outcome::Scored { scores, .. } = &result.outcome else { panic!("{result:?}") };
        assert!((0.0..=1.0).contains(&scores["bertscore"].score));
        assert!(scores["bertscore"].detail.as_ref().unwrap()["f1"].as_f64().unwrap() < 1.0);
    }
}

#[tokio::test]
async fn a_metric_without_model_is_left_out_where_the_default_one_is_not_to_be_had() {
    let spec = scoring([
        ("bertscore", 0.6, ScorerSpec::Bertscore(BertscoreSpec::default())),
        ("token_f1", 0.4, ScorerSpec::TokenF1 {}),
    ]);
    let (_, done) = evaluate(spec, ModelOptions::default()).await;
    assert_eq!(done.metrics, ["token_f1"]);
    assert_eq!(done.spec.scoring.metrics["token_f1"].weight, Some(1.0));
    let notices = done.spec.notices.join("\n");
    assert!(notices.contains("`bertscore` is left out") && notices.contains("all-MiniLM-L6-v2"), "{notices}");
    assert!(!notices.contains("config.json"), "the system's own words: {notices}");
    assert!(notices.contains("scaled to sum to 1: token_f1 1.000"), "{notices}");
}

#[tokio::test]
async fn a_model_that_is_named_must_be_there() {
    let store = Store::in_memory().await.unwrap();
    let ops = installation(&store, &Scripted::new(|_| String::new()));
    add_samples(&ops, 1).await;
    let spec = BertscoreSpec { model: Some("models/minilm".to_owned()), ..BertscoreSpec::default() };
    let spec = scoring([("bertscore", 1.0, ScorerSpec::Bertscore(spec))]);
    let error = ops.evaluator().create_run(run("m", spec)).await.unwrap_err();
    assert!(error.to_string().contains("`models/minilm` is no folder"), "{error}");
}
