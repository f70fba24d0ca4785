//! The gateways of this process: who changes what is live waits until they answer by it, so that what is said to be live now is.
//! Those of other processes find it within a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::{Error, LlmOps};

/// Longest that a change waits for the gateways. Then they find it like those of other processes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most changes that are answered for at once.
const MOST: usize = 64;

/// Told when it is dropped.
type Waiting = oneshot::Sender<()>;

/// The gateways of a process.
#[derive(Debug, Default)]
pub struct Gateways(Mutex<Vec<mpsc::UnboundedSender<Waiting>>>);

/// A gateway's end: the changes that wait for it.
#[derive(Debug)]
pub struct Wanted(mpsc::UnboundedReceiver<Waiting>);

/// Changes that wait for a gateway, until this is dropped.
#[derive(Debug)]
pub struct Changes {
    _waiting: Vec<Waiting>,
}

impl Gateways {
    /// Adds a gateway.
    pub fn join(&self) -> Wanted {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Wanted(receiver)
    }

    /// Waits until every gateway has looked at what is stored by now.
    pub(crate) async fn catch_up(&self) {
        let mut waiting = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|gateway| {
            let (sender, told) = oneshot::channel();
            waiting.push(told);
            gateway.send(sender).is_ok()
        });
        let all = async {
            for told in waiting {
                // A gateway that ends has nothing to catch up with.
                let _dropped = told.await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("the gateway answers by what was live before until it has read the change");
        }
    }
}

impl Wanted {
    /// Until a change waits, and no longer than this.
    pub async fn within(&mut self, longest: Duration) -> Changes {
        let mut waiting = Vec::new();
        let _none_in_time = tokio::time::timeout(longest, self.0.recv_many(&mut waiting, MOST)).await;
        Changes { _waiting: waiting }
    }
}

impl LlmOps {
    /// Changes whenever a deployment or an experiment does, in any project.
    pub async fn gateway_revision(&self) -> Result<(i64, u64), Error> {
        let deployments = self.services.store.deployments_revision().await?;
        let experiments = self.services.store.experiment_changes().await?;
        Ok((deployments, experiments.into_iter().map(|(_, changes)| changes).fold(0, u64::wrapping_add)))
    }

    /// The gateways of this process.
    pub fn gateways(&self) -> &Gateways {
        &self.services.gateways
    }
}
