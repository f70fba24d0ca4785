//! The gateway in the server: its doors, its snapshot kept up to date, its records handed to the writer.

mod doors;
mod drain;
mod experiments;
mod faces;
mod follow;
mod trace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use llmops::{Access, CanarySampler, LlmOps, RecordWriter};
use llmops_domain::access::Role;
use llmops_domain::id::ProjectId;
use llmops_gateway::{Caller, Gatekeeper, Gateway, Limiter, Recorder};
use tokio::task::JoinHandle;

pub use self::doors::Doors;
use self::drain::Drain;
use self::experiments::{Book, Experiments};

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
            let limits = (!key.limits.is_empty()).then(|| Arc::new(key.limits.clone()));
            return Some(Caller {
                project: key.project.clone(),
                key: Some(key.id.0.clone()),
                limits,
                may_pass_through,
            });
        }
        let project = ProjectId::default_project();
        self.dev.then_some(Caller { project, key: None, limits: None, may_pass_through: true })
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct GatewayTasks {
    followers: Vec<JoinHandle<()>>,
    drain: JoinHandle<()>,
    writer: RecordWriter,
    sampler: CanarySampler,
}

impl GatewayTasks {
    /// Ends the tasks and waits until every record is in the store or in the file. Call it when no call is under way.
    pub async fn shut_down(self) {
        self.followers.iter().for_each(JoinHandle::abort);
        // The drain ends by itself when the last gateway is dropped; a call that is still under way keeps it.
        if tokio::time::timeout(Duration::from_secs(5), self.drain).await.is_err() {
            tracing::warn!("calls were still under way when the gateway was shut down");
        }
        self.writer.flush().await;
        self.sampler.flush().await;
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
) -> Result<(Doors, GatewayTasks), llmops::Error> {
    let revision = ops.gateway_revision().await?;
    let snapshot = Arc::new(ArcSwap::from_pointee(follow::build(ops).await?));
    let (recorder, recordings) = Recorder::channel();
    let writer = ops.record_writer(spill_folder);
    let limiter = Limiter::new(Arc::new(Book(ops.spending())));
    let guards = ops.guards();
    let sampler = ops.canary_sampler();
    let drain = Drain::new(ops.clone(), writer.clone(), limiter.clone(), guards.clone());
    let drain = drain.with_sampler(sampler.clone());
    let drain = tokio::task::spawn_blocking(move || drain.run(recordings));
    let known = (revision, ops.shared_providers());
    let followers = vec![
        tokio::spawn(follow::changes(ops.clone(), snapshot.clone(), known)),
        tokio::spawn(follow::ranking(ops.clone(), snapshot.clone())),
        tokio::spawn(guards.watch()),
    ];
    let gateway = Gateway::new(snapshot, gatekeeper, recorder)
        .with_limiter(limiter)
        .with_experiments(Arc::new(Experiments(ops.clone())));
    Ok((Doors::new(gateway), GatewayTasks { followers, drain, writer, sampler }))
}
