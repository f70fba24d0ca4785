//! Connections that stay open between requests. Each is driven by the request that uses it.
//!
//! A pool that gives every connection a task of its own wakes that task, and is woken by it, several times for one answer.
//! Where an answer costs its provider little, that is a good part of what a call through here costs. Here whoever waits for
//! an answer moves the bytes of its connection: one task from the request to the last byte. A connection that waits for its
//! next request is looked at when it is taken.
//!
//! A connection is used by the runtime that made it, whose threads are the ones that hear of its bytes. Servers have several.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;
use tower_service::Service;

use crate::connector::BoxError;

/// Shorter than what servers and balancers usually allow, so that few requests meet a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// There is no connection.
    Connect(BoxError),
    /// It ended before the head of an answer.
    Cut(hyper::Error),
}

/// Connections, by host and port.
pub(crate) struct Pool<C> {
    connector: C,
    idle: Arc<Idle>,
    reaper: Once,
}

/// Connections that wait for a request.
#[derive(Default)]
struct Idle(Mutex<Vec<Places>>);

/// Those of a runtime, by host and port. Runtimes and places are few: looking through them is quicker than hashing.
struct Places {
    runtime: Id,
    places: Vec<(Authority, Vec<Waiting>)>,
}

struct Waiting {
    link: Link,
    since: Instant,
}

/// A connection.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// What moves bytes between the socket and the sender's channels; absent once the connection has ended.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    /// The runtime that it belongs to.
    runtime: Id,
    /// What its requests say in the header `host`.
    host: HeaderValue,
}

/// The body of an answer. Polling it drives its connection, which returns to its pool with the last byte; one that is dropped
/// before is closed.
pub struct AnswerBody {
    body: Incoming,
    has_ended: bool,
    link: Option<Link>,
    home: Arc<Idle>,
    place: Authority,
}

impl<C> Pool<C>
where
    C: Service<Uri> + Clone,
    C::Response: Read + Write + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
{
    pub(crate) fn new(connector: C) -> Self {
        Self { connector, idle: Arc::default(), reaper: Once::new() }
    }

    /// Sends a request to the host of its address and answers when the head of the response is there.
    ///
    /// # Errors
    /// See [`SendError`]. A request of which nothing was sent is sent again on another connection.
    pub(crate) async fn request(&self, mut request: Request<Full<Bytes>>) -> Result<Response<AnswerBody>, SendError> {
        let uri = std::mem::replace(request.uri_mut(), Uri::from_static("/"));
        let Some(place) = uri.authority().cloned() else {
            return Err(SendError::Connect("the address names no host".into()));
        };
        *request.uri_mut() = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")).into();
        let has_host = request.headers().contains_key(HOST);
        let runtime = Handle::current().id();
        loop {
            let kept = self.idle.take(runtime, &place);
            let is_new = kept.is_none();
            let mut link = match kept {
                Some(link) => link,
                // It is rare, and large: boxed, it is no part of what every call is moved with.
                None => Box::pin(self.connect(runtime, uri.clone())).await?,
            };
            if !has_host {
                request.headers_mut().insert(HOST, link.host.clone());
            }
            match link.ask(request).await {
                Ok(response) => {
                    let home = self.idle.clone();
                    return Ok(response.map(|body| AnswerBody {
                        body,
                        has_ended: false,
                        link: Some(link),
                        home,
                        place,
                    }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(SendError::Cut(error.into_error())),
                },
            }
        }
    }

    async fn connect(&self, runtime: Id, uri: Uri) -> Result<Link, SendError> {
        self.reaper.call_once(|| {
            tokio::spawn(reap(Arc::downgrade(&self.idle)));
        });
        let host = host(&uri).map_err(|error| SendError::Connect(error.into()))?;
        let mut connector = self.connector.clone();
        let failed = |error: C::Error| SendError::Connect(error.into());
        std::future::poll_fn(|cx| connector.poll_ready(cx)).await.map_err(failed)?;
        let stream = connector.call(uri).await.map_err(failed)?;
        // An answer may have hyper's hundred headers: with another number it would put those of every answer on the heap.
        let built = http1::handshake(stream).await;
        let (sender, connection) = built.map_err(SendError::Cut)?;
        Ok(Link { sender, driver: Some(Box::pin(connection)), runtime, host })
    }
}

/// The value of the header that names the host; a port that the scheme implies is left out.
fn host(uri: &Uri) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let implied = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = uri.host().unwrap_or_default();
    match uri.port_u16() {
        Some(port) if port != implied => HeaderValue::try_from(format!("{host}:{port}")),
        _ => HeaderValue::from_str(host),
    }
}

impl Link {
    /// Lets the connection work on. What goes wrong with it is told to whoever waits for its answer.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Whether it is open and done with its last request. From here on nobody is woken for it.
    fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut asking = pin!(self.sender.try_send_request(request));
        std::future::poll_fn(|cx| {
            self.drive(cx);
            asking.as_mut().poll(cx)
        })
        .await
    }
}

impl Idle {
    /// The connection of a runtime to a place that was used last.
    fn take(&self, runtime: Id, place: &Authority) -> Option<Link> {
        loop {
            let Waiting { mut link, since } = here(&mut self.all(), runtime, place)?.pop()?;
            if since.elapsed() < IDLE_TIMEOUT && link.is_idle() {
                return Some(link);
            }
        }
    }

    fn put(&self, place: &Authority, link: Link) {
        let runtime = link.runtime;
        let waiting = Waiting { link, since: Instant::now() };
        let mut all = self.all();
        if let Some(here) = here(&mut all, runtime, place) {
            return here.push(waiting);
        }
        let new = (place.clone(), vec![waiting]);
        match all.iter_mut().find(|places| places.runtime == runtime) {
            Some(places) => places.places.push(new),
            None => all.push(Places { runtime, places: vec![new] }),
        }
    }

    /// Closes those that wait for too long.
    fn close_old(&self) {
        self.all().retain_mut(|all| {
            all.places.retain_mut(|(_, here)| {
                here.retain(|waiting| waiting.since.elapsed() < IDLE_TIMEOUT);
                !here.is_empty()
            });
            !all.places.is_empty()
        });
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Places>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a runtime has for a place.
fn here<'a>(all: &'a mut [Places], runtime: Id, place: &Authority) -> Option<&'a mut Vec<Waiting>> {
    let places = &mut all.iter_mut().find(|places| places.runtime == runtime)?.places;
    places.iter_mut().find(|(known, _)| known == place).map(|(_, here)| here)
}

/// Closes connections that nobody asks for, until the pool is gone.
async fn reap(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        match idle.upgrade() {
            Some(idle) => idle.close_old(),
            None => return,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            // Asking for a piece lets the connection read it.
            this.link.iter_mut().for_each(|link| link.drive(cx));
            polled = Pin::new(&mut this.body).poll_frame(cx);
        }
        if let Poll::Ready(None) = polled {
            this.has_ended = true;
            this.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AnswerBody {
    fn give_back(&mut self) {
        if let Some(mut link) = self.link.take()
            && self.is_end_stream()
            && link.is_idle()
        {
            self.home.put(&self.place, link);
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody").field("body", &self.body).finish_non_exhaustive()
    }
}
