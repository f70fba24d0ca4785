//! `llmops serve`: the API on the network.

mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use llmops::jobs::{Worker, WorkerOptions};
use llmops::{Access, LlmOps, Phase};
use llmops_domain::config::providers::{ProviderConfig, SimulatorConfig};
use llmops_server::api::config::Reload;
use llmops_server::gateway::{GatewayTasks, KeyGatekeeper};
use llmops_server::{ListenOptions, Listening, ServerOptions};
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::reload::Reloader;
use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::log::LogArgs;
use crate::project::{Project, STATE_FOLDER};
use crate::queue::QueueArgs;

/// What the last writes have, even where everything before them took all the time.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Serve the API. Requests need a key; the first start on a store without keys prints an admin's, once.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    log: LogArgs,
    /// Let requests from this machine do everything without a key
    #[arg(long)]
    dev: bool,
    /// The secret of the first admin key, instead of a new one: at least 16 characters
    #[arg(long, value_name = "SECRET", env = "LLMOPS_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// Go by a clock that begins at this time, in the past or the future: to rehearse a schedule, or to make a history
    #[arg(long, value_name = "TIME", requires = "dev")]
    clock: Option<jiff::Timestamp>,
}

/// Runs the command until Ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: &ServeArgs) -> Outcome {
    if args.dev && !args.listen.ip().is_loopback() {
        return Err(Failure::usage(format!("--dev needs no key, and {} is not a loopback address", args.listen))
            .hint("leave --dev out: then requests need a key, and any address may be listened on"));
    }
    if let Some(time) = args.clock {
        llmops_domain::clock::begin_at(time);
        context.ui.note(&format!("WARNING: --clock: for this server it is {time}\n"));
    }
    let project = Arc::new(load(context)?);
    if !project.has_config {
        context.note("there is no llmops.yaml: the one model provider is the simulator, `sim/NAME`");
    }
    let _log = args.log.begin(&project.config.server);
    llmops_server::metrics::begin();
    let ops = project.open_queued(&context.global, &args.queue).await?;
    ops.readiness().enter(Phase::Starting);
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| Failure::because(Kind::Undecided, format!("cannot listen on {}", args.listen), &e))?;
    let address = listener.local_addr().map_err(|e| Failure::because(Kind::Undecided, "no address", &e))?;
    if args.dev {
        context.ui.note("WARNING: --dev: every program on this machine may do everything, without a key\n");
    } else {
        first_key(context, &ops, args.admin_key.as_deref()).await?;
    }
    let reloader = Reloader::new(context, ops.clone(), project.clone());
    let config = &project.config.server;
    let options = ServerOptions {
        dev: args.dev,
        https: config.https,
        trusted_proxies: config.trusted_proxies.clone(),
        metrics: config.metrics,
        reload: project.has_config.then(|| reloader.clone() as Arc<dyn Reload>),
    };
    let gatekeeper = Arc::new(KeyGatekeeper::new(&ops, args.dev));
    let spill = project.folder.join(STATE_FOLDER).join("spill");
    let (gateway, tasks) = llmops_server::gateway::start(&ops, gatekeeper, Some(spill))
        .await
        .map_err(|e| Failure::because(Kind::Undecided, "the gateway cannot start", &e))?;
    let router = llmops_server::server(ops.clone(), options);
    let options = ListenOptions { header_timeout: config.header_timeout.0 };
    let listening = llmops_server::listen(listener, &gateway, &router, options)
        .map_err(|e| Failure::because(Kind::Undecided, "no connection can be served", &e))?;
    // It answers from here on; what follows may take a while where datasets are large.
    let told_to_stop = tokio::spawn(shutdown());
    let background = Background::start(&project, args, &ops, reloader).await;
    ops.readiness().enter(Phase::Running);
    context.note(&format!("llmops serves http://{address} (/docs shows what there is); Ctrl-C stops it"));
    // The task ends with the signal only.
    let _ = told_to_stop.await;
    end(context, &project, Running { ops, listening, background, tasks }).await;
    Ok(())
}

/// A server at work.
struct Running {
    ops: LlmOps,
    listening: Listening,
    background: Background,
    tasks: GatewayTasks,
}

/// Ends a server in order: no new work, what is under way ends, what is in memory reaches the disk. A second signal ends it at
/// once.
async fn end(context: &Context, project: &Project, mut running: Running) {
    let config = &project.config.server;
    running.ops.readiness().enter(Phase::Stopping);
    context.note("stopping: what is under way still ends …");
    let timeout = config.shutdown_timeout.0;
    let in_order = async {
        tokio::time::sleep(config.shutdown_delay.0).await;
        let deadline = tokio::time::Instant::now() + timeout;
        // Streams of events would never end by themselves.
        running.ops.events().close();
        let (cut, ()) = tokio::join!(running.listening.stop(timeout), running.background.stop(timeout));
        if cut > 0 {
            tracing::warn!(connections = cut, "connections were cut when their time was up");
        }
        let store = running.ops.store().clone();
        // What was cut is recorded as cut: this is quick, unless the store is away.
        let last = async {
            running.ops.experiments().flush().await;
            running.tasks.shut_down().await;
            running.ops.telemetry().flush(LAST_WRITES).await;
        };
        let left = deadline.saturating_duration_since(tokio::time::Instant::now()).max(LAST_WRITES);
        if tokio::time::timeout(left, last).await.is_err() {
            tracing::error!("the store did not take the last records in time");
        }
        // SQLite merges its log into the file when the last connection ends. Whoever still reads is not waited for.
        if store.is_sqlite() {
            drop(tokio::time::timeout(LAST_WRITES, store.close()).await);
        }
    };
    tokio::select! {
        () = in_order => {}
        () = shutdown() => tracing::warn!("told twice to stop: ending at once"),
    }
}

/// What a server does beside answering.
struct Background {
    worker: Option<Worker>,
    stop_alerts: oneshot::Sender<()>,
    alerts: JoinHandle<()>,
    reloader: Arc<Reloader>,
    access: Arc<Access>,
    tasks: [JoinHandle<()>; 4],
}

impl Background {
    async fn start(project: &Project, args: &ServeArgs, ops: &LlmOps, reloader: Arc<Reloader>) -> Self {
        let access = ops.access().clone();
        let following = tokio::spawn(access.clone().follow());
        let signals = tokio::spawn(reloader.clone().follow_signals());
        reloader.keep_schedules().await;
        let worker = match args.queue.concurrency(&project.config.queue) {
            0 => None,
            concurrency => Some(ops.start_worker(WorkerOptions { concurrency, ..WorkerOptions::default() })),
        };
        let (stop_alerts, stopped) = oneshot::channel::<()>();
        let alerts = tokio::spawn(ops.alert_worker().run(async move {
            // It is told to stop, or its teller is gone: both end it.
            let _ = stopped.await;
        }));
        let pruning = tokio::spawn({
            let reloader = reloader.clone();
            ops.clone().keep_pruning(move || reloader.retention())
        });
        let memory = tokio::spawn(crate::memory::give_back());
        Self { worker, stop_alerts, alerts, reloader, access, tasks: [following, signals, pruning, memory] }
    }

    async fn stop(self, patience: Duration) {
        if let Some(worker) = self.worker {
            worker.stop(patience).await;
        }
        drop(self.stop_alerts);
        self.reloader.stop();
        // What is on its way to a channel may take as long as the channel's timeout; what is cut short is sent again later.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.alerts).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.access.note_uses().await {
            tracing::warn!(%error, "the last use of keys could not be written");
        }
    }
}

/// The project as a server sees it: a folder without configuration has the simulator for its model.
fn load(context: &Context) -> Outcome<Project> {
    let mut project = Project::find(&context.global, &context.ui)?;
    if !project.has_config {
        let simulator = ProviderConfig::Simulator(SimulatorConfig::default());
        project.config.providers.insert("sim".to_owned(), simulator);
    }
    project.confined = true;
    Ok(project)
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
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = signalled(SignalKind::terminate()) => {}
    }
}

/// Resolves on Ctrl-C, on SIGTERM, and when the terminal goes away.
pub(crate) async fn interrupted() {
    tokio::select! {
        () = shutdown() => {}
        () = signalled(SignalKind::hangup()) => {}
    }
}

async fn signalled(kind: SignalKind) {
    match tokio::signal::unix::signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Without a handler the default action ends the process, which is what was asked for.
        Err(_) => std::future::pending().await,
    }
}
