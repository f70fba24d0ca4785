//! Whether the store takes changes. However many ask, one task at a time looks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::StoreError;
use crate::db::Pools;

/// Longest that the answer of before waits for a better one, where that said no.
const SOON: Duration = Duration::from_millis(250);
/// Longest that a look may take: a server that is gone without a word never answers.
const LONGEST: Duration = Duration::from_secs(6);

/// What a look found; nothing while it is under way.
type Found = Option<Result<(), StoreError>>;

/// The last look, or the one that is under way.
#[derive(Default)]
pub(crate) struct WriteCheck(Mutex<Looked>);

#[derive(Default)]
struct Looked {
    found: Option<watch::Receiver<Found>>,
    /// Why the last look that is over said no.
    failed: Option<StoreError>,
}

impl WriteCheck {
    /// Looks, or joins who does. While the store takes no changes, what is known of that is told soon.
    pub(crate) async fn ask(&self, pools: &Pools) -> Result<(), StoreError> {
        let (mut found, failed) = self.join(pools);
        let told = async move {
            match found.wait_for(Option::is_some).await.map(|found| (*found).clone()) {
                Ok(Some(told)) => told,
                // The runtime that the look lives in is gone.
                Ok(None) | Err(_) => Err(sqlx::Error::WorkerCrashed.into()),
            }
        };
        match failed {
            None => told.await,
            Some(error) => tokio::time::timeout(SOON, told).await.unwrap_or(Err(error)),
        }
    }

    /// What the look under way will find, which begins now unless it did before, and what the one before it failed with.
    fn join(&self, pools: &Pools) -> (watch::Receiver<Found>, Option<StoreError>) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &looked.found {
            let done = found.borrow().clone();
            match done {
                Some(done) => looked.failed = done.err(),
                // Its sender is gone with the runtime that it lived in.
                None if found.has_changed().is_err() => {}
                None => return (found.clone(), looked.failed.clone()),
            }
        }
        let (tell, found) = watch::channel(None);
        looked.found = Some(found.clone());
        let pools = pools.clone();
        tokio::spawn(async move {
            let look = tokio::time::timeout(LONGEST, pools.try_write()).await;
            // Who asked may have left, and the next one reads it.
            tell.send_replace(Some(look.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))));
        });
        (found, looked.failed.clone())
    }
}
