//! What this process has of calls and the store has not: for whoever must not overlook it.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;

/// Brings what it holds into the store, and says whether all of it is there; nothing when it is gone.
type Holder = Box<dyn Fn() -> Option<BoxFuture<'static, bool>> + Send + Sync>;

/// Those who hold something for the store.
#[derive(Default)]
pub(crate) struct Unwritten(Mutex<Vec<Holder>>);

impl Unwritten {
    /// Remembers a holder until it says that it is gone. It must not be kept alive by this.
    pub(crate) fn add(&self, holder: impl Fn() -> Option<BoxFuture<'static, bool>> + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(holder));
    }

    /// Waits until everything that was handed over before is in the store. False: it does not take it now.
    pub(crate) async fn settle(&self) -> bool {
        let mut settling = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|holder| {
            let begun = holder();
            let is_there = begun.is_some();
            settling.extend(begun);
            is_there
        });
        let mut settled = true;
        for holder in settling {
            settled &= holder.await;
        }
        settled
    }
}
