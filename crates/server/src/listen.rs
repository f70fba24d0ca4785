//! Connections: accepted until the server is told to stop, ended in order then, and cut when their time is up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::gateway::Doors;
use crate::rounds::Rounds;

/// Pause after a connection could not be accepted because the process has no more files to open.
const PAUSE: Duration = Duration::from_secs(1);

/// Times of connections.
#[derive(Debug, Clone, Copy)]
pub struct ListenOptions {
    /// Longest that the head of a request may take, and an idle connection may stay.
    pub header_timeout: Duration,
}

/// Connections that are being served.
#[derive(Debug)]
pub struct Listening {
    stop: watch::Sender<bool>,
    accepting: tokio::task::JoinHandle<JoinSet<()>>,
}

/// What everybody meets who connects. Clones share it.
#[derive(Debug, Clone)]
struct House {
    doors: Doors,
    router: Router,
    options: ListenOptions,
}

/// Begins to serve the gateway's doors, and a router beside them, to everybody who connects.
pub fn listen(listener: TcpListener, doors: Doors, router: Router, options: ListenOptions) -> Listening {
    let (stop, stopped) = watch::channel(false);
    let house = House { doors, router, options };
    Listening { stop, accepting: tokio::spawn(accept(listener, house, stopped)) }
}

impl Listening {
    /// Takes no more connections, lets requests under way end, at most so long, and cuts the rest. Answers with the number of
    /// connections that were cut.
    pub async fn stop(self, patience: Duration) -> usize {
        self.stop.send_replace(true);
        let Ok(mut connections) = self.accepting.await else { return 0 };
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_ok() {
            return 0;
        }
        let cut = connections.len();
        // What they held is dropped before this answers: calls that are cut have their records then.
        connections.shutdown().await;
        cut
    }
}

async fn accept(listener: TcpListener, house: House, mut stopped: watch::Receiver<bool>) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return connections,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(Rounds::new(serve(stream, peer, house.clone(), stopped.clone())));
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

async fn serve(stream: TcpStream, peer: SocketAddr, house: House, mut stopped: watch::Receiver<bool>) {
    // A small answer must not wait for the next one.
    drop(stream.set_nodelay(true));
    let House { doors, router, options } = house;
    let service = service_fn(move |request: Request<Incoming>| {
        let door = Doors::at(request.uri().path());
        let (doors, router) = (doors.clone(), router.clone());
        async move {
            if let Some(door) = door {
                return Ok(doors.answer(door, request).await);
            }
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answering: Result<_, Infallible> = Box::pin(router.oneshot(request)).await;
            answering
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let stop = async move {
        // The sender is gone only with the whole server.
        drop(stopped.wait_for(|stop| *stop).await);
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
