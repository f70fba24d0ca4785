//! What keeps the gateway's snapshot true while it runs: changes of deployments, and the verifier's ranking.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use llmops::{LlmOps, Wanted};
use llmops_domain::verifier::rank;
use llmops_gateway::Snapshot;
use llmops_providers::Providers;

/// Longest that a change of another process stays unseen.
const POLL: Duration = Duration::from_millis(250);
/// How often the places that host a model are ranked.
const RANK: Duration = Duration::from_secs(1);

/// What the snapshot was made from: the state of the store, and the providers of the configuration.
pub(super) type Known = ((i64, u64), Arc<Providers>);

/// Makes the snapshot anew after every change, by whatever process it was made, and of the providers.
pub(super) async fn changes(ops: LlmOps, snapshot: Arc<ArcSwap<Snapshot>>, mut known: Known, mut wanted: Wanted) {
    loop {
        // Those of this process wait until they are seen, which is at the end of this turn.
        let _changes = wanted.within(POLL).await;
        // While the store is away, what was live stays live.
        let Ok(revision) = ops.gateway_revision().await else { continue };
        let now = (revision, ops.shared_providers());
        if now.0 == known.0 && Arc::ptr_eq(&now.1, &known.1) {
            ops.readiness().gateway_is_fresh(llmops_domain::clock::now());
            continue;
        }
        match build(&ops, Some(&snapshot.load_full())).await {
            Ok(next) => {
                snapshot.store(Arc::new(next));
                rank_all(&ops, &snapshot).await;
                known = now;
                ops.readiness().gateway_is_fresh(llmops_domain::clock::now());
            }
            Err(error) => tracing::warn!(%error, "deployments changed and cannot be read: the old ones go on"),
        }
    }
}

/// Compiles what is live, in the place of what was before.
pub(super) async fn build(ops: &LlmOps, before: Option<&Snapshot>) -> Result<Snapshot, llmops::Error> {
    let (providers, live) = (ops.shared_providers(), ops.live_deployments().await?);
    let (snapshot, errors) = match before {
        Some(before) => before.next(providers, live),
        None => Snapshot::new(providers, live),
    };
    for error in errors {
        tracing::error!(%error, "a deployment is not served");
    }
    Ok(snapshot)
}

/// Ranks the places of deployments that leave the choice to the verifier, again and again.
pub(super) async fn ranking(ops: LlmOps, snapshot: Arc<ArcSwap<Snapshot>>) {
    loop {
        rank_all(&ops, &snapshot).await;
        tokio::time::sleep(RANK).await;
    }
}

async fn rank_all(ops: &LlmOps, snapshot: &ArcSwap<Snapshot>) {
    for rankable in snapshot.load_full().rankable() {
        let models = rankable.models();
        match ops.for_project(rankable.project().clone()).models().status(&models).await {
            Ok(status) => rankable.rank(rank(&status)),
            Err(error) => tracing::warn!(%error, "the verifier cannot rank: the order stays"),
        }
    }
}
