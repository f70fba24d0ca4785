//! Work that keeps a processor busy, aside from the threads that answer calls.

use crate::Error;

/// Does such work.
///
/// # Errors
/// [`Error::Internal`] when it breaks off.
pub(crate) async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Internal(format!("a computation broke off: {error}")))
}
