//! Connections: accepted until the server is told to stop, ended in order then, and cut when their time is up.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use futures::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use llmops_providers::turns::TurnStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use crate::gateway::{Doors, GatewayService};
use crate::lanes::{self, Connection, Deadline, Entry, Lane};
use crate::rounds::Rounds;

/// Pause after a connection could not be accepted because the process has no more files to open.
const PAUSE: Duration = Duration::from_secs(1);

/// Times of connections.
#[derive(Debug, Clone, Copy)]
pub struct ListenOptions {
    /// Longest that the head of a request may take, and an idle connection may stay.
    pub header_timeout: Duration,
}

/// Connections that are being served. The threads that serve them end when this is dropped.
#[derive(Debug)]
pub struct Listening {
    stop: watch::Sender<Option<Instant>>,
    lanes: Vec<Lane>,
}

/// What everybody meets who connects.
#[derive(Debug)]
struct House {
    doors: Doors,
    router: Router,
    options: ListenOptions,
    /// Where the router's handlers run. They may take their time, which calls of the gateway shall not feel.
    runtime: Handle,
}

/// Begins to serve the gateway's doors, and a router beside them, to everybody who connects.
///
/// # Errors
/// When no thread can be started.
pub fn listen(
    listener: TcpListener,
    gateway: &GatewayService,
    router: &Router,
    options: ListenOptions,
) -> std::io::Result<Listening> {
    let (stop, deadline) = watch::channel(None);
    let runtime = Handle::current();
    let count = available_parallelism().map_or(1, usize::from);
    let (entries, lanes): (Vec<_>, _) = (0..count)
        .map(|number| {
            // Each thread has its own: what all of them count on, all of them wait for.
            let (doors, reading) = gateway.doors();
            let house = Arc::new(House { doors, router: router.clone(), options, runtime: runtime.clone() });
            let stop = deadline.clone();
            let serve = move |connection| Rounds::new(serve(connection, house.clone(), stop.clone()));
            lanes::begin(number, deadline.clone(), serve, reading)
        })
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .unzip();
    tokio::spawn(accept(listener, entries, deadline));
    Ok(Listening { stop, lanes })
}

impl Listening {
    /// Takes no more connections, lets requests under way end, at most so long, and cuts the rest. Answers with the number of
    /// connections that were cut.
    pub async fn stop(&mut self, patience: Duration) -> usize {
        self.stop.send_replace(Some(Instant::now() + patience));
        join_all(self.lanes.iter_mut().map(Lane::ended)).await.into_iter().sum()
    }
}

async fn accept(listener: TcpListener, lanes: Vec<Entry>, mut stopped: Deadline) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))),
            _ = stopped.wait_for(Option::is_some) => return,
        };
        match accepted {
            Ok(connection) => {
                if let Some(lane) = lanes.iter().min_by_key(|lane| lane.open()) {
                    lane.put(connection);
                }
            }
            // A client that left before it was accepted.
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(error.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}

async fn serve((stream, peer): Connection, house: Arc<House>, mut stopped: Deadline) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::error!(%error, "a connection cannot be served"),
    };
    // A small answer must not wait for the next one.
    drop(stream.set_nodelay(true));
    let timeout = house.options.header_timeout;
    let service = service_fn(move |request: Request<Incoming>| {
        let house = house.clone();
        async move {
            match Doors::at(request.uri().path()) {
                Some(door) => Ok(pin!(house.doors.answer(door, request)).await),
                None => house.route(peer, request).await,
            }
        }
    });
    // A client that closes its side has left, and what it asked for is cancelled. To leave connections half open would mean not
    // to hear of it before an answer is written.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .serve_connection(TurnStream::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let stop = async move {
        // The sender is gone only with the whole server.
        drop(stopped.wait_for(Option::is_some).await);
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

impl House {
    /// Answers by the router. A client that leaves ends it; a handler that panics ends the connection.
    async fn route(&self, peer: SocketAddr, request: Request<Incoming>) -> Result<Response, JoinError> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answering = self.runtime.spawn(self.router.clone().oneshot(request));
        let Ok(response) = AbortOnDropHandle::new(answering).await?;
        Ok(response)
    }
}
