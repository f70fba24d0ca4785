//! `/api/v1/events` (server-sent events) and `/api/v1/ws` (WebSocket): the same stream of events.
//!
//! Between the events and a client stands a short queue. A client that does not read for a while is disconnected; it
//! resumes behind the last id it saw, and misses nothing. Nobody else notices.

use std::convert::Infallible;
use std::time::Duration;

use crate::routes::{Routes, routes};
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use llmops::LlmOps;
use llmops::events::Subscription;
use llmops_api::error::ErrorResponse;
use llmops_api::events::EventQuery;
use llmops_domain::event::{EventFilter, StoredEvent};
use tokio::sync::mpsc;

use super::bad_request;
use crate::ApiError;
use crate::extract::{Query, Viewer};

/// Time between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that may wait for a client.
const QUEUE: usize = 64;
/// Longest that a full queue waits for its client.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before events that could not be read are asked for again.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(stream)).routes(routes!(socket))
}

/// Events as they happen, as server-sent events: `id`, `event` (the type) and `data` (the event as JSON). Comments are
/// heartbeats. Resume with the header `Last-Event-ID` or with `after`.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "stream_events", tag = "events",
    params(EventQuery, ("Last-Event-ID" = Option<u64>, Header, description = "Begin behind this event")),
    responses((status = 200, content_type = "text/event-stream", body = StoredEvent),
        (status = 400, body = ErrorResponse)))]
async fn stream(
    Viewer(ops): Viewer,
    headers: HeaderMap,
    Query(query): Query<EventQuery>,
) -> Result<Response, ApiError> {
    let subscription = subscribe(&ops, &query, last_event_id(&headers)?).await?;
    let hello = sse::Event::default().comment("connected").retry(Duration::from_secs(2));
    let events = futures::stream::unfold(pump(subscription, ops), async |mut queue| {
        let event = queue.recv().await?;
        Some((Ok::<_, Infallible>(as_sse(&event)), queue))
    });
    let first = futures::stream::once(std::future::ready(Ok(hello)));
    let stream = Sse::new(futures::StreamExt::chain(first, events))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    // Some proxies collect an answer before they pass it on, unless told not to.
    let unbuffered = [(header::CACHE_CONTROL, "no-cache"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, stream).into_response())
}

/// The same events over a WebSocket: a text message is an event as JSON. Pings are signs of life; resume with `after`.
#[utoipa::path(get, path = "/api/v1/ws", operation_id = "socket_events", tag = "events", params(EventQuery),
    responses((status = 101, description = "The connection is a WebSocket now"), (status = 400, body = ErrorResponse)))]
async fn socket(
    Viewer(ops): Viewer,
    Query(query): Query<EventQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|e| bad_request(format!("this path speaks WebSocket: {}", e.body_text())))?;
    let subscription = subscribe(&ops, &query, None).await?;
    Ok(upgrade.on_upgrade(move |socket| serve(socket, pump(subscription, ops))))
}

async fn subscribe(ops: &LlmOps, query: &EventQuery, resumed: Option<u64>) -> Result<Subscription, ApiError> {
    let types = query.types.as_deref().unwrap_or_default();
    let filter: EventFilter = types.parse().map_err(|e| bad_request(format!("types: {e}")))?;
    Ok(ops.events().subscribe(resumed.or(query.after), filter).await?)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| bad_request("Last-Event-ID is no event's id: expected a whole number"))
}

/// Moves events into a short queue. The task ends, and with it the queue, when the client is gone, does not read for too
/// long, the caller's key is revoked, or the process stops.
fn pump(mut subscription: Subscription, ops: LlmOps) -> mpsc::Receiver<StoredEvent> {
    let (sender, queue) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let meters = ops.meters().clone();
        let _watching = meters.event_clients.enter();
        let mut revoked = std::pin::pin!(ops.until_revoked());
        loop {
            let next = tokio::select! {
                next = subscription.next() => next,
                () = sender.closed() => return,
                () = &mut revoked => return,
            };
            match next {
                Ok(Some(event)) => {
                    if sender.send_timeout(event, PATIENCE).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot read events; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    });
    queue
}

fn as_sse(event: &StoredEvent) -> sse::Event {
    let told = sse::Event::default().id(event.id.to_string()).event(event.event.kind().as_str());
    // Every event has a JSON form: it was read from one.
    told.json_data(event).unwrap_or_default()
}

async fn serve(mut socket: WebSocket, mut queue: mpsc::Receiver<StoredEvent>) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    // Pings that were not answered.
    let mut unanswered = 0;
    loop {
        tokio::select! {
            event = queue.recv() => {
                let Some(event) = event else { return close(socket).await };
                let Ok(text) = serde_json::to_string(&event) else { continue };
                if !send(&mut socket, Message::text(text)).await {
                    return;
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // A pong, or a word of the client's: it lives.
                Some(Ok(_)) => unanswered = 0,
            },
            _ = beat.tick() => {
                unanswered += 1;
                if unanswered > 3 || !send(&mut socket, Message::Ping(bytes::Bytes::new())).await {
                    return;
                }
            }
        }
    }
}

/// Whether the client took the message in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    tokio::time::timeout(PATIENCE, socket.send(message)).await.is_ok_and(|sent| sent.is_ok())
}

async fn close(mut socket: WebSocket) {
    let frame = CloseFrame { code: close_code::AWAY, reason: "resume behind the last id".into() };
    // The client may be gone already.
    send(&mut socket, Message::Close(Some(frame))).await;
}
