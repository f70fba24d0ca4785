//! The simulator as a server that speaks OpenAI's chat format.
//!
//! `POST /v1/chat/completions` (whole or streamed, with several answers for `n`), `POST /v1/embeddings`, `GET /v1/models`,
//! `GET /healthz`; the prefix `/v1` may be left out. Faults of completions happen on the wire: connections hang, break before or in the middle of an answer, and carry garbage.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming as IncomingBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use llmops_domain::chat::ChatRequest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::body::SimulatedBody;
use super::fault::{GARBAGE, RATE_LIMIT_MESSAGE, SERVER_ERROR_MESSAGE};
use super::request_log::{Entry, RequestLog};
use super::wire::{self, Delivery, Head, Incoming};
use super::{Fault, SimulatedAnswer, Simulator, embeddings};

/// Largest request.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// Most answers to one request, as at OpenAI.
const MOST_CHOICES: u32 = 128;
/// Pause after a connection could not be accepted, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server simulates and where it logs.
pub struct ServerOptions {
    /// The simulator.
    pub simulator: Simulator,
    /// Where to append one JSON line for each request; absent: nowhere.
    pub request_log: Option<PathBuf>,
}

struct Server {
    simulator: Simulator,
    log: Option<RequestLog>,
    /// Completions so far: makes ids unique.
    completions: AtomicU64,
}

/// A connection that is closed on purpose.
#[derive(Debug, thiserror::Error)]
#[error("simulated reset")]
struct Reset;

type Reply = Response<SimulatedBody>;

/// Serves connections of `listener` until `shutdown` is done, then closes them all. The address, also that of a port
/// chosen by the system, is known from the listener.
///
/// # Errors
/// When the request log cannot be opened.
pub async fn serve(
    listener: TcpListener,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let log = options.request_log.map(|path| RequestLog::open(&path)).transpose()?;
    let server = Arc::new(Server { simulator: options.simulator, log, completions: AtomicU64::new(0) });
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&server), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
    // The last owner waits for the log to be written.
    if tokio::task::spawn_blocking(move || drop(server)).await.is_err() {
        tracing::error!("the request log could not be closed");
    }
    Ok(())
}

async fn connection(server: Arc<Server>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let service = service_fn(|request| {
        let server = Arc::clone(&server);
        async move { server.handle(request).await }
    });
    let serving = http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::trace!(%error, "a connection ended early");
    }
}

impl Server {
    async fn handle(&self, request: Request<IncomingBody>) -> Result<Reply, Reset> {
        let path = request.uri().path();
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let (allowed, method) = match path {
            "/chat/completions" | "/embeddings" => ("POST", Method::POST),
            "/models" | "/healthz" => ("GET", Method::GET),
            _ => return Ok(refuse(StatusCode::NOT_FOUND, "there is nothing at this path")),
        };
        if *request.method() != method {
            let mut reply = refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed}"));
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return Ok(reply);
        }
        match path {
            "/models" => {
                let named = self.simulator.models();
                let names = if named.is_empty() { &["simulator"][..] } else { &named };
                Ok(json(StatusCode::OK, wire::models(names)))
            }
            "/healthz" => Ok(json(StatusCode::OK, Bytes::from_static(b"{\"status\":\"ok\"}"))),
            path => {
                let is_chat = path == "/chat/completions";
                let body = match Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect().await {
                    Ok(body) => body.to_bytes(),
                    Err(error) if error.is::<LengthLimitError>() => {
                        return Ok(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 32 MB"));
                    }
                    Err(_) => return Err(Reset),
                };
                if is_chat { self.complete(&body).await } else { Ok(embed(&body)) }
            }
        }
    }

    async fn complete(&self, body: &[u8]) -> Result<Reply, Reset> {
        let incoming: Incoming = match serde_json::from_slice(body) {
            Ok(incoming) => incoming,
            Err(error) => return Ok(refuse(StatusCode::BAD_REQUEST, &format!("the request cannot be read: {error}"))),
        };
        let choices = incoming.choices();
        if !(1..=MOST_CHOICES).contains(&choices) {
            let message = format!("`n` is {choices}; it must lie between 1 and {MOST_CHOICES}");
            return Ok(refuse(StatusCode::BAD_REQUEST, &message));
        }
        let (mut request, delivery) = incoming.into_request();
        let (answer, attempt) = self.simulator.next_answer(&request);
        self.log(&request, &answer, attempt, delivery);
        let mut answers = vec![answer];
        for choice in 1..choices {
            // Another answer to the same, as another trial is.
            request.origin.trial = choice;
            answers.push(self.simulator.answer(&request, attempt));
        }
        self.deliver(&request, &answers, delivery).await
    }

    /// Latency and faults are those of the first answer.
    async fn deliver(
        &self,
        request: &ChatRequest,
        answers: &[SimulatedAnswer],
        delivery: Delivery,
    ) -> Result<Reply, Reset> {
        let Some(answer) = answers.first() else { return Err(Reset) };
        let streams =
            delivery != Delivery::Whole && !matches!(answer.fault, Some(Fault::RateLimit | Fault::ServerError));
        // A stream spreads its latency over its pieces; everything else waits for it.
        if !answer.latency.is_zero() && !streams {
            tokio::time::sleep(answer.latency).await;
        }
        let number = self.completions.fetch_add(1, Ordering::Relaxed);
        let id = format!("chatcmpl-{}-{number}", answer.key.hex());
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let head = Head { id: &id, created, model: &request.model };
        match answer.fault {
            Some(Fault::RateLimit) => return Ok(rate_limited(self.simulator.retry_after())),
            Some(Fault::ServerError) => {
                let body = wire::error(SERVER_ERROR_MESSAGE, "server_error");
                return Ok(json(StatusCode::INTERNAL_SERVER_ERROR, body));
            }
            Some(Fault::Hang) => return std::future::pending().await,
            Some(Fault::Reset) => return Err(Reset),
            _ => {}
        }
        Ok(match delivery {
            Delivery::Whole => whole(head, answer.fault, answers),
            Delivery::Stream { include_usage } => {
                let pieces = wire::stream(head, answers, include_usage);
                streamed(pieces, answer)
            }
        })
    }

    fn log(&self, request: &ChatRequest, answer: &SimulatedAnswer, attempt: u32, delivery: Delivery) {
        let Some(log) = &self.log else { return };
        let status = match answer.fault {
            Some(Fault::RateLimit) => 429,
            Some(Fault::ServerError) => 500,
            Some(Fault::Hang | Fault::Reset) => 0,
            _ => 200,
        };
        log.append(&Entry {
            at: llmops_domain::clock::now(),
            model: &request.model,
            input: &request.last_user_text(),
            status,
            fault: answer.fault,
            attempt,
            stream: delivery != Delivery::Whole,
            judge: answer.judgement,
        });
    }
}

fn embed(body: &[u8]) -> Reply {
    match embeddings::answer(body) {
        Ok(answer) => json(StatusCode::OK, answer),
        Err(why) => refuse(StatusCode::BAD_REQUEST, &why),
    }
}

fn whole(head: Head<'_>, fault: Option<Fault>, answers: &[SimulatedAnswer]) -> Reply {
    if fault == Some(Fault::Garbage) {
        return json(StatusCode::OK, Bytes::from_static(GARBAGE.as_bytes()));
    }
    let body = wire::completion(head, answers);
    let length = HeaderValue::from(body.len());
    let paced = match fault {
        Some(Fault::Cut) => {
            let middle = body.len() / 2;
            SimulatedBody::cut(vec![body.slice(..middle), body.slice(middle..)])
        }
        Some(Fault::Drip) => SimulatedBody::drip(&[body]),
        _ => return json(StatusCode::OK, body),
    };
    // With the length announced, a client can see that something is missing.
    let mut reply = typed(StatusCode::OK, paced, "application/json");
    reply.headers_mut().insert(CONTENT_LENGTH, length);
    reply
}

fn streamed(pieces: Vec<Bytes>, answer: &SimulatedAnswer) -> Reply {
    let body = match answer.fault {
        Some(Fault::Cut) => SimulatedBody::cut(pieces),
        Some(Fault::Drip) => SimulatedBody::drip(&pieces),
        Some(Fault::Garbage) => SimulatedBody::Whole(Bytes::from(format!("data: {GARBAGE}\n\n"))),
        _ => SimulatedBody::paced(pieces, answer.latency),
    };
    let mut reply = typed(StatusCode::OK, body, "text/event-stream");
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// `retry-after` has whole seconds, rounded up; `retry-after-ms` says it exactly.
fn rate_limited(retry_after: Duration) -> Reply {
    let mut reply = json(StatusCode::TOO_MANY_REQUESTS, wire::error(RATE_LIMIT_MESSAGE, "rate_limit_error"));
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply.headers_mut().insert("retry-after-ms", HeaderValue::from(millis));
    reply
}

fn refuse(status: StatusCode, message: &str) -> Reply {
    json(status, wire::error(message, "invalid_request_error"))
}

fn json(status: StatusCode, body: Bytes) -> Reply {
    typed(status, SimulatedBody::Whole(body), "application/json")
}

fn typed(status: StatusCode, body: SimulatedBody, content_type: &'static str) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}
