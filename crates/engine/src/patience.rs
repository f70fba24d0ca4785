//! Waiting for a store that is away for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use llmops_storage::StoreError;

use crate::{Error, Options};

/// First pause; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause: the store is not kept waiting for long when it is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether it was said that the store is away: of the many that wait for it, one says so.
static AWAY: AtomicBool = AtomicBool::new(false);

/// Calls again and again while the store cannot be reached, for as long as the options say and nobody stops it.
pub(crate) async fn with<T, E, F>(options: &Options, stopped: &AtomicBool, call: impl Fn() -> F) -> Result<T, Error>
where
    E: Into<Error>,
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await.map_err(Into::into) {
            Err(error @ Error::Store(StoreError::Unavailable(_)))
                if started.elapsed() < options.patience && !stopped.load(Ordering::Acquire) =>
            {
                if AWAY.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%error, "trying again");
                } else {
                    tracing::warn!(%error, "the store is away: trying again");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => {
                if done.is_ok() && pause > FIRST_PAUSE {
                    AWAY.store(false, Ordering::Relaxed);
                }
                return done;
            }
        }
    }
}
