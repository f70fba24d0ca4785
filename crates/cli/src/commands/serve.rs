//! `llmops serve`: the API on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use clap::Args;
use llmops::LlmOps;
use llmops::jobs::{Worker, WorkerOptions};
use llmops_server::gateway::OpenGatekeeper;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::{Project, STATE_FOLDER};
use crate::queue::QueueArgs;
use crate::suites;

/// How long answers on their way may take to reach the disk when the process is asked to end.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// Serve the API. There is no authentication yet, so only loopback addresses are accepted.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    queue: QueueArgs,
}

/// Runs the command until Ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: &ServeArgs) -> Outcome {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::usage(format!("{} is not a loopback address", args.listen))
            .hint("without authentication everybody who reaches the port could change everything"));
    }
    let mut project = Project::find(&context.global, &context.ui)?;
    project.confined = true;
    let ops = project.open_queued(&context.global, &args.queue).await?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| Failure::because(Kind::Undecided, format!("cannot listen on {}", args.listen), &e))?;
    let address = listener.local_addr().map_err(|e| Failure::because(Kind::Undecided, "no address", &e))?;
    context.note(&format!("llmops serves http://{address} (GET /openapi.json lists what there is); Ctrl-C stops it"));
    let background = Background::start(context, &project, args, &ops).await;
    let (events, experiments) = (ops.events(), ops.experiments());
    let stop = async move {
        shutdown().await;
        // Streams of events would never end by themselves.
        events.close();
    };
    let spill = project.folder.join(STATE_FOLDER).join("spill");
    let (gateway, tasks) = llmops_server::gateway::start(&ops, Arc::new(OpenGatekeeper), Some(spill))
        .await
        .map_err(|e| Failure::because(Kind::Undecided, "the gateway cannot start", &e))?;
    // A small answer must not wait for the next one.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let served = axum::serve(listener, llmops_server::router(ops).merge(gateway)).with_graceful_shutdown(stop).await;
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
        Self { worker, stop_alerts, alerts, probes }
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
    }
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
