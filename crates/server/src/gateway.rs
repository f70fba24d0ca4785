//! The gateway in the server: its doors on the router, its snapshot kept up to date, its records handed to the writer.

mod trace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::routing::any;
use jiff::Timestamp;
use llmops::telemetry::TraceContext;
use llmops::{Access, LlmOps, RecordWriter};
use llmops_domain::access::Role;
use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use llmops_gateway::{Caller, Gatekeeper, Gateway, Recorder, Snapshot};
use llmops_providers::Providers;
use tokio::task::JoinHandle;

use self::trace::Callers;
use crate::metrics::http::meters;

/// Longest that a change of another process stays unseen.
const POLL: Duration = Duration::from_millis(250);

/// Lets those in who have a key, into its project. It knows the keys by the copy that [`llmops::Access::follow`] keeps.
#[derive(Debug, Clone)]
pub struct KeyGatekeeper {
    access: Arc<Access>,
    /// Whether nobody needs a key: for servers that only this machine reaches.
    dev: bool,
}

impl KeyGatekeeper {
    /// Over the keys of an installation.
    pub fn new(ops: &LlmOps, dev: bool) -> Self {
        Self { access: ops.access().clone(), dev }
    }
}

impl Gatekeeper for KeyGatekeeper {
    fn admit(&self, secret: Option<&str>) -> Option<Caller> {
        // A client that needs no key sends whatever its library insists on.
        if let Some(key) = secret.and_then(|secret| self.access.known(secret)) {
            let may_pass_through = key.role >= Role::Editor;
            return Some(Caller { project: key.project, key: Some(key.id.0), may_pass_through });
        }
        self.dev.then(|| Caller { project: ProjectId::default_project(), key: None, may_pass_through: true })
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct GatewayTasks {
    refresher: JoinHandle<()>,
    drain: JoinHandle<()>,
    writer: RecordWriter,
}

impl GatewayTasks {
    /// Ends the tasks and waits until every record is in the store or in the file. Call it when no call is under way.
    pub async fn shut_down(self) {
        self.refresher.abort();
        // The drain ends by itself when the last gateway is dropped; a call that is still under way keeps it.
        if tokio::time::timeout(Duration::from_secs(5), self.drain).await.is_err() {
            tracing::warn!("calls were still under way when the gateway was shut down");
        }
        self.writer.flush().await;
    }
}

/// Starts a gateway over the installation. Records that the store cannot take spill into `spill_folder`.
///
/// # Errors
/// When the deployments cannot be read.
pub async fn start(
    ops: &LlmOps,
    gatekeeper: Arc<dyn Gatekeeper>,
    spill_folder: Option<PathBuf>,
) -> Result<(Router, GatewayTasks), llmops::Error> {
    let revision = ops.deployments_revision().await?;
    let snapshot = Arc::new(ArcSwap::from_pointee(build(ops).await?));
    let (recorder, mut recordings) = Recorder::channel();
    let writer = ops.record_writer(spill_folder);
    let callers = Arc::new(Callers::default());
    let drain = tokio::spawn({
        let (writer, meters) = (writer.clone(), ops.meters().clone());
        let (callers, telemetry) = (callers.clone(), ops.telemetry().clone());
        async move {
            while let Some(recorded) = recordings.next().await {
                meters.calls.note(&recorded.project, &recorded.record);
                line(&recorded.project, &recorded.record);
                if telemetry.is_on() {
                    callers.tell(&telemetry, &recorded.record);
                }
                writer.submit(recorded.project, recorded.record);
            }
        }
    });
    let known = (revision, ops.shared_providers());
    let refresher = tokio::spawn(refresh(ops.clone(), snapshot.clone(), known));
    let gateway = Gateway::new(snapshot, gatekeeper, recorder);
    // OTLP has a path below /v1, too: only the gateway's own doors are taken.
    let doors = [
        ("/v1/chat/completions", Method::POST),
        ("/v1/embeddings", Method::POST),
        ("/v1/messages", Method::POST),
        ("/v1/models", Method::GET),
        ("/v1/models/{model}", Method::GET),
    ];
    let mut router = Router::new();
    for (path, method) in doors {
        let (gateway, meter) = (gateway.clone(), meters().route(path, &method));
        let callers = ops.telemetry().is_on().then(|| callers.clone());
        let serve = move |request: Request| {
            let (gateway, meter, callers) = (gateway.clone(), meter.clone(), callers.clone());
            async move {
                let started = Instant::now();
                let context = callers.as_ref().and_then(|_| context_of(&request));
                let answer = gateway.handle(request).await;
                meter.note(answer.status(), started.elapsed());
                if let (Some(callers), Some(context)) = (callers, context)
                    && let Some(id) = answer.headers().get("x-llmops-request-id").and_then(|id| id.to_str().ok())
                {
                    callers.remember(id, context);
                }
                answer.map(axum::body::Body::new)
            }
        };
        router = router.route(path, any(serve));
    }
    Ok((router, GatewayTasks { refresher, drain, writer }))
}

/// The trace that the caller names.
fn context_of(request: &Request) -> Option<TraceContext> {
    TraceContext::parse(request.headers().get("traceparent")?.to_str().ok()?)
}

/// The line of a call in the log: what the record says without what was said.
fn line(project: &ProjectId, record: &RequestRecord) {
    let key = record.key.as_deref().unwrap_or_default();
    let deployment = record.deployment.as_deref().unwrap_or_default();
    let RequestRecord { id, status, total_ms: ms, model, .. } = record;
    tracing::info!(target: "llmops::calls", %id, status, ms, key, %project, deployment, model, "answered");
}

/// Makes the snapshot anew after every change of deployments, by whatever process it was made, and of the providers.
async fn refresh(ops: LlmOps, snapshot: Arc<ArcSwap<Snapshot>>, mut known: (i64, Arc<Providers>)) {
    loop {
        tokio::time::sleep(POLL).await;
        // While the store is away, what was live stays live.
        let Ok(revision) = ops.deployments_revision().await else { continue };
        let providers = ops.shared_providers();
        if revision == known.0 && Arc::ptr_eq(&providers, &known.1) {
            ops.readiness().gateway_is_fresh(Timestamp::now());
            continue;
        }
        match build(&ops).await {
            Ok(next) => {
                snapshot.store(Arc::new(next));
                known = (revision, providers);
                ops.readiness().gateway_is_fresh(Timestamp::now());
            }
            Err(error) => tracing::warn!(%error, "deployments changed and cannot be read: the old ones go on"),
        }
    }
}

async fn build(ops: &LlmOps) -> Result<Snapshot, llmops::Error> {
    let (snapshot, errors) = Snapshot::new(ops.shared_providers(), ops.live_deployments().await?);
    for error in errors {
        tracing::error!(%error, "a deployment is not served");
    }
    Ok(snapshot)
}
