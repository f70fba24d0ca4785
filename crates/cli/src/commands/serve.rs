//! `llmops serve`: the API on the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use clap::Args;
use llmops::jobs::{Worker, WorkerOptions};
use llmops::{Access, LlmOps};
use llmops_domain::config::providers::{ProviderConfig, SimulatorConfig};
use llmops_server::ServerOptions;
use llmops_server::gateway::KeyGatekeeper;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, STATE_FOLDER};
use crate::queue::QueueArgs;
use crate::suites;

/// How long answers on their way may take to reach the disk when the process is asked to end.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// Serve the API. Requests need a key; the first start on a store without keys prints an admin's, once.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    queue: QueueArgs,
    /// Let requests from this machine do everything without a key
    #[arg(long)]
    dev: bool,
    /// The secret of the first admin key, instead of a new one: at least 16 characters
    #[arg(long, value_name = "SECRET", env = "LLMOPS_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
}

/// Runs the command until Ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: &ServeArgs) -> Outcome {
    if args.dev && !args.listen.ip().is_loopback() {
        return Err(Failure::usage(format!("--dev needs no key, and {} is not a loopback address", args.listen))
            .hint("leave --dev out: then requests need a key, and any address may be listened on"));
    }
    let project = Project::find(&context.global, &context.ui)?;
    let mut project = with_simulator(context, project);
    project.confined = true;
    let ops = project.open_queued(&context.global, &args.queue).await?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| Failure::because(Kind::Undecided, format!("cannot listen on {}", args.listen), &e))?;
    let address = listener.local_addr().map_err(|e| Failure::because(Kind::Undecided, "no address", &e))?;
    if args.dev {
        context.ui.note("WARNING: --dev: every program on this machine may do everything, without a key\n");
    } else {
        first_key(context, &ops, args.admin_key.as_deref()).await?;
    }
    let options = ServerOptions {
        dev: args.dev,
        https: project.config.server.https,
        trusted_proxies: project.config.server.trusted_proxies.clone(),
    };
    let background = Background::start(context, &project, args, &ops).await;
    let (events, experiments) = (ops.events(), ops.experiments());
    let stop = async move {
        shutdown().await;
        // Streams of events would never end by themselves.
        events.close();
    };
    let gatekeeper = Arc::new(KeyGatekeeper::new(&ops, args.dev));
    let spill = project.folder.join(STATE_FOLDER).join("spill");
    let (gateway, tasks) = llmops_server::gateway::start(&ops, gatekeeper, Some(spill))
        .await
        .map_err(|e| Failure::because(Kind::Undecided, "the gateway cannot start", &e))?;
    // A small answer must not wait for the next one.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    context.note(&format!("llmops serves http://{address} (/docs shows what there is); Ctrl-C stops it"));
    let router = llmops_server::server(ops, options).merge(gateway);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stop).await;
    experiments.flush().await;
    background.stop().await;
    tasks.shut_down().await;
    served.map_err(|e| Failure::because(Kind::Undecided, "the server stopped", &e))
}

/// What a server does beside answering.
struct Background {
    worker: Option<Worker>,
    stop_alerts: oneshot::Sender<()>,
    alerts: JoinHandle<()>,
    probes: Option<JoinHandle<()>>,
    access: Arc<Access>,
    following: JoinHandle<()>,
}

impl Background {
    async fn start(context: &Context, project: &Project, args: &ServeArgs, ops: &LlmOps) -> Self {
        if project.has_config {
            let client = crate::local::client(llmops_server::router(ops.clone()));
            if let Err(failure) = suites::keep_schedules(&client, context, project).await {
                let why = failure.chain.join(": ");
                context.note(&format!("warning: the schedules of the suites may be out of date: {why}"));
            }
        }
        let worker = match args.queue.concurrency(&project.config.queue) {
            0 => None,
            concurrency => Some(ops.start_worker(WorkerOptions { concurrency, ..WorkerOptions::default() })),
        };
        let (stop_alerts, stopped) = oneshot::channel::<()>();
        let alerts = tokio::spawn(ops.alert_worker().run(async move {
            // It is told to stop, or its teller is gone: both end it.
            let _ = stopped.await;
        }));
        let probes = project.config.operations.probe_interval.map(|interval| {
            let targets = project.config.targets.values();
            let mut models: Vec<String> = targets.flat_map(|t| t.model.iter().chain(&t.candidates)).cloned().collect();
            models.sort();
            models.dedup();
            let ops = ops.clone();
            tokio::spawn(async move { ops.models().keep_probing(&models, interval.0).await })
        });
        let access = ops.access().clone();
        let following = tokio::spawn(access.clone().follow());
        Self { worker, stop_alerts, alerts, probes, access, following }
    }

    async fn stop(self) {
        if let Some(worker) = self.worker {
            worker.stop(DRAIN).await;
        }
        drop(self.stop_alerts);
        if let Some(probes) = self.probes {
            probes.abort();
        }
        // What is on its way to a channel may take as long as the channel's timeout; what is cut short is sent again later.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.alerts).await;
        self.following.abort();
        if let Err(error) = self.access.note_uses().await {
            tracing::warn!(%error, "the last use of keys could not be written");
        }
    }
}

/// A folder without configuration has the simulator for its model.
fn with_simulator(context: &Context, mut project: Project) -> Project {
    if !project.has_config {
        let simulator = ProviderConfig::Simulator(SimulatorConfig::default());
        project.config.providers.insert("sim".to_owned(), simulator);
        context.note("there is no llmops.yaml: the one model provider is the simulator, `sim/NAME`");
    }
    project
}

/// Makes the first key where there is none, and shows it even to those who want quiet: it is not shown again.
async fn first_key(context: &Context, ops: &LlmOps, secret: Option<&str>) -> Outcome {
    let secret = secret.filter(|secret| !secret.is_empty());
    let created =
        ops.keys().create_first(secret).await.map_err(|e| Failure::because(Kind::Usage, "no admin key", &e))?;
    match (created, secret) {
        (Some(_), Some(_)) => context.note("the admin key is that of LLMOPS_ADMIN_KEY"),
        (Some(created), None) => context.ui.note(&format!(
            "Admin key, shown this once: {}\nRequests send it as `Authorization: Bearer KEY`; \
             `llmops key create NAME --role ROLE` makes others.\n",
            created.secret
        )),
        (None, Some(secret)) => {
            let known = ops.access().authenticate(secret).await;
            if !known.is_ok_and(|key| key.is_some()) {
                context
                    .ui
                    .note("WARNING: LLMOPS_ADMIN_KEY is not used: the store has keys, and this is none of them\n");
            }
        }
        (None, None) => {}
    }
    Ok(())
}

/// Resolves on Ctrl-C or SIGTERM.
pub(crate) async fn shutdown() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // Without a handler the default action ends the process, which is what was asked for.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
