//! The gateway in the server: its doors, its snapshot kept up to date, its records handed to the writer.

mod doors;
mod drain;
mod experiments;
mod faces;
mod follow;
mod streaks;
mod trace;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use llmops::{Access, LlmOps};
use llmops_domain::access::Role;
use llmops_domain::id::ProjectId;
use llmops_gateway::{Caller, Gatekeeper, Gateway, Limiter, Recorder, Snapshot};
use tokio::task::JoinHandle;

pub(crate) use self::doors::Doors;
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

/// A running gateway. Every thread that serves connections gets doors of its own.
pub struct GatewayService {
    snapshot: Arc<ArcSwap<Snapshot>>,
    gatekeeper: Arc<dyn Gatekeeper>,
    limiter: Limiter,
    experiments: Arc<Experiments>,
    drain: Arc<Drain>,
}

impl std::fmt::Debug for GatewayService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayService").finish_non_exhaustive()
    }
}

impl GatewayService {
    /// Doors, and what reads the calls that came through them. It ends when the doors are gone and all their calls have ended,
    /// and belongs into the runtime that serves them.
    pub(crate) fn doors(&self) -> (Doors, impl Future<Output = ()> + Send + use<>) {
        let (recorder, recordings) = Recorder::channel();
        let gateway = Gateway::new(self.snapshot.clone(), self.gatekeeper.clone(), recorder)
            .with_limiter(self.limiter.clone())
            .with_experiments(self.experiments.clone());
        (Doors::new(gateway), self.drain.clone().run(recordings))
    }
}

/// What a running gateway does beside answering.
#[derive(Debug)]
pub struct GatewayTasks {
    followers: Vec<JoinHandle<()>>,
    drain: Arc<Drain>,
}

impl GatewayTasks {
    /// Ends the tasks and waits until every record is in the store or in the file. Call it when no call is under way.
    pub async fn shut_down(self) {
        self.followers.iter().for_each(JoinHandle::abort);
        self.drain.finish().await;
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
) -> Result<(GatewayService, GatewayTasks), llmops::Error> {
    let wanted = ops.gateways().join();
    let revision = ops.gateway_revision().await?;
    let snapshot = Arc::new(ArcSwap::from_pointee(follow::build(ops, None).await?));
    let writer = ops.record_writer(spill_folder);
    let limiter = Limiter::new(Arc::new(Book(ops.spending())));
    let guards = ops.guards();
    let drain = Arc::new(Drain::new(ops.clone(), writer, limiter.clone(), guards.clone()));
    let known = (revision, ops.shared_providers());
    let followers = vec![
        tokio::spawn(follow::changes(ops.clone(), snapshot.clone(), known, wanted)),
        tokio::spawn(follow::ranking(ops.clone(), snapshot.clone())),
        tokio::spawn(guards.watch()),
    ];
    let experiments = Arc::new(Experiments(ops.clone()));
    let service = GatewayService { snapshot, gatekeeper, limiter, experiments, drain: drain.clone() };
    Ok((service, GatewayTasks { followers, drain }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::http::{Request, StatusCode};
    use llmops_api::deployments::{Deploy, Rollback, SwitchSafeMode};

    use super::*;

    #[tokio::test]
    async fn what_is_said_to_be_live_is() {
        let ops = LlmOps::in_memory().await.unwrap();
        let gatekeeper = Arc::new(KeyGatekeeper::new(&ops, true));
        let (service, tasks) = start(&ops, gatekeeper.clone(), None).await.unwrap();
        let gateway = Gateway::new(service.snapshot.clone(), gatekeeper, Recorder::channel().0);
        let manifest = async || {
            let call = r#"{"model": "bot", "messages": [{"role": "user", "content": "hi"}]}"#;
            let answer = gateway.handle(Request::post("/v1/chat/completions").body(Body::from(call)).unwrap()).await;
            assert_eq!(answer.status(), StatusCode::OK);
            answer.headers().get("x-llmops-manifest").map(|hash| hash.to_str().unwrap().to_owned())
        };
        let deployments = ops.deployments();
        for model in ["sim/one", "sim/two", "sim/three"] {
            let deploy = Deploy { model: Some(model.to_owned()), ..Deploy::default() };
            let deployed = deployments.deploy("bot", deploy).await.unwrap().deployment.manifest;
            assert_eq!(manifest().await.as_deref(), Some(deployed.as_str()), "{model}");
        }
        let back = deployments.rollback("bot", Rollback::default()).await.unwrap().deployment.manifest;
        assert_eq!(manifest().await.as_deref(), Some(back.as_str()));
        let answer = Some("Later.".to_owned());
        let on = SwitchSafeMode { environment: None, on: true, answer, reason: None };
        deployments.safe_mode("bot", on).await.unwrap();
        assert_eq!(manifest().await, None, "a fixed answer is no manifest's");
        tasks.shut_down().await;
        // Nobody waits for a gateway that is gone.
        deployments.deploy("bot", Deploy { model: Some("sim/four".to_owned()), ..Deploy::default() }).await.unwrap();
    }
}
