//! `llmops worker`: more hands for the runs that a server queued.

use clap::Args;
use llmops::jobs::WorkerOptions;

use super::{Context, serve};
use crate::failure::{Failure, Outcome};
use crate::log::LogArgs;
use crate::project::Project;
use crate::queue::QueueArgs;

/// Work on queued runs. Store, queue and providers are those of the server: the same llmops.yaml, --database and --queue.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the command until Ctrl-C or SIGTERM.
pub(crate) async fn run(context: &Context, args: &WorkerArgs) -> Outcome {
    if context.global.server.is_some() {
        return Err(Failure::usage("a worker works on the store, not through a server")
            .hint("leave --server out and name the server's store: --database postgres://…"));
    }
    let mut project = Project::find(&context.global, &context.ui)?;
    project.confined = true;
    let _log = args.log.begin(&project.config.server);
    let (queue, config) = (&args.queue, &project.config.queue);
    let concurrency = queue.concurrency(config);
    if concurrency == 0 {
        return Err(Failure::usage("a worker with a concurrency of 0 would do nothing").hint("--concurrency 4"));
    }
    let ops = project.open_queued(&context.global, queue).await?;
    let memory = tokio::spawn(crate::memory::give_back());
    let worker = ops.start_worker(WorkerOptions { concurrency, ..WorkerOptions::default() });
    context.note(&format!(
        "llmops worker takes jobs from {} (runs at a time: {concurrency}, lease {}); Ctrl-C stops it",
        queue.place(config),
        queue.lease(config),
    ));
    serve::shutdown().await;
    context.note("stopping: answers on their way are still written …");
    tokio::select! {
        () = worker.stop(project.config.server.shutdown_timeout.0) => {}
        () = serve::shutdown() => {}
    }
    memory.abort();
    ops.telemetry().flush(std::time::Duration::from_secs(2)).await;
    Ok(())
}
