//! `llmops serve`: the API on loopback.

use std::net::SocketAddr;

use clap::Args;

use super::Context;
use crate::failure::{Failure, Kind, Outcome};
use crate::project::Project;

/// Serve the API. There is no authentication yet, so only loopback addresses are accepted.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Runs the command until Ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: &ServeArgs) -> Outcome {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::usage(format!("{} is not a loopback address", args.listen))
            .hint("without authentication everybody who reaches the port could change everything"));
    }
    let project = Project::find(&context.global, &context.ui)?;
    let ops = project.open(&context.global).await?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|e| Failure::because(Kind::Undecided, format!("cannot listen on {}", args.listen), &e))?;
    let address = listener.local_addr().map_err(|e| Failure::because(Kind::Undecided, "no address", &e))?;
    context.note(&format!("llmops serves http://{address} (GET /openapi.json lists what there is); Ctrl-C stops it"));
    let (stop_alerts, stopped) = tokio::sync::oneshot::channel::<()>();
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
    let events = ops.events();
    let stop = async move {
        shutdown().await;
        // Streams of events would never end by themselves.
        events.close();
    };
    let served = axum::serve(listener, llmops_server::router(ops)).with_graceful_shutdown(stop).await;
    drop(stop_alerts);
    if let Some(probes) = probes {
        probes.abort();
    }
    // What is on its way to a channel may take as long as the channel's timeout; what is cut short is sent again later.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(10), alerts).await;
    served.map_err(|e| Failure::because(Kind::Undecided, "the server stopped", &e))
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
