//! The gateway in the server: its doors on the router, its snapshot kept up to date, its records handed to the writer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use llmops::{Access, LlmOps, RecordWriter};
use llmops_domain::access::Role;
use llmops_domain::id::ProjectId;
use llmops_gateway::{Caller, Gatekeeper, Gateway, Recorder, Snapshot};
use tokio::task::JoinHandle;

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
    let drain = tokio::spawn({
        let writer = writer.clone();
        async move {
            while let Some(recorded) = recordings.next().await {
                writer.submit(recorded.project, recorded.record);
            }
        }
    });
    let refresher = tokio::spawn(refresh(ops.clone(), snapshot.clone(), revision));
    let gateway = Gateway::new(snapshot, gatekeeper, recorder);
    let serve = move |request: Request| {
        let gateway = gateway.clone();
        async move { gateway.handle(request).await.map(axum::body::Body::new) }
    };
    // OTLP has a path below /v1, too: only the gateway's own doors are taken.
    let mut router = Router::new();
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v1/models", "/v1/models/{model}"] {
        router = router.route(path, any(serve.clone()));
    }
    Ok((router, GatewayTasks { refresher, drain, writer }))
}

/// Makes the snapshot anew after every change, by whatever process it was made.
async fn refresh(ops: LlmOps, snapshot: Arc<ArcSwap<Snapshot>>, mut known: i64) {
    loop {
        tokio::time::sleep(POLL).await;
        // While the store is away, what was live stays live.
        let Ok(revision) = ops.deployments_revision().await else { continue };
        if revision == known {
            continue;
        }
        match build(&ops).await {
            Ok(next) => {
                snapshot.store(Arc::new(next));
                known = revision;
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
