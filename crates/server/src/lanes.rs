//! Threads that serve connections, one a core, each with a runtime of its own.
//!
//! A call of the gateway is a chain of short steps on two sockets. Where the threads of one runtime share such work, each
//! step may wake another thread, which costs more than the step. Here a connection stays with the thread that it was given
//! to, and so do the connections to providers that its calls use. What takes longer than a step has the threads of the
//! server's own runtime.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use llmops_providers::turns::end_turn;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// A connection, and who is at its other end.
pub(crate) type Connection = (TcpStream, SocketAddr);

/// When everything must have ended, once that is known.
pub(crate) type Deadline = watch::Receiver<Option<Instant>>;

/// The way to a thread: connections go in. It takes no more when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    connections: mpsc::UnboundedSender<Connection>,
    open: Arc<AtomicUsize>,
}

/// A thread that serves. Its runtime stays until this is dropped: connections to the store that were made in it are used
/// when it has nothing to serve any more.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Tells the number of connections that were cut at the deadline.
    ended: oneshot::Receiver<usize>,
    _stays: oneshot::Sender<()>,
}

/// Begins a thread that serves what comes through its entry by `serve`, and does `beside` meanwhile, which must end when
/// `serve` and all that it began is gone.
///
/// # Errors
/// When there is no thread, or no runtime, to be had.
pub(crate) fn begin<S, F>(
    number: usize,
    deadline: Deadline,
    serve: S,
    beside: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<(Entry, Lane)>
where
    S: Fn(Connection) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (connections, receiver) = mpsc::unbounded_channel();
    let open = Arc::new(AtomicUsize::new(0));
    let (end, ended) = oneshot::channel();
    let (stays, left) = oneshot::channel::<()>();
    let runtime = Builder::new_current_thread().enable_all().on_thread_park(end_turn).build()?;
    let entry = Entry { connections, open: open.clone() };
    thread::Builder::new().name(format!("connections-{number}")).spawn(move || {
        runtime.block_on(async move {
            let beside = tokio::spawn(beside);
            let cut = run(receiver, deadline, &open, serve).await;
            if let Err(error) = beside.await {
                tracing::error!(%error, "what was done beside the connections broke off");
            }
            // Whoever does not listen does not want to know.
            let _ = end.send(cut);
            // An error says that the lane was dropped: that is what is waited for.
            drop(left.await);
        });
    })?;
    Ok((entry, Lane { ended, _stays: stays }))
}

impl Entry {
    /// Connections that the thread has.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Hands over a connection. It is closed when the thread is gone.
    pub(crate) fn put(&self, connection: Connection) {
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(self.connections.send(connection));
    }
}

impl Lane {
    /// Waits until the thread has nothing to serve any more. Answers with the number of connections that were cut.
    pub(crate) async fn ended(&mut self) -> usize {
        (&mut self.ended).await.unwrap_or(0)
    }
}

async fn run<S, F>(
    mut receiver: mpsc::UnboundedReceiver<Connection>,
    mut deadline: Deadline,
    open: &Arc<AtomicUsize>,
    serve: S,
) -> usize
where
    S: Fn(Connection) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut served = JoinSet::new();
    while let Some(connection) = receiver.recv().await {
        while served.try_join_next().is_some() {}
        let serving = serve(connection);
        let one = Open(open.clone());
        served.spawn(async move {
            serving.await;
            drop(one);
        });
    }
    let deadline = match deadline.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // The server is gone.
        Err(_) => Instant::now(),
    };
    let all = async { while served.join_next().await.is_some() {} };
    if timeout_at(deadline, all).await.is_ok() {
        return 0;
    }
    let cut = served.len();
    // What they held is dropped before this answers: calls that are cut have their records then.
    served.shutdown().await;
    cut
}

/// A connection that is counted as long as it is there.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
