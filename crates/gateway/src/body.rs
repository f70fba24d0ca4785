//! The answer on its way to the caller: handed on frame by frame as the provider sends it, and watched.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::recorder::{CallWatch, End};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a gateway's answer.
#[derive(Debug)]
pub struct GatewayBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Forwarded(Box<Forwarded>),
}

/// A provider's body, whose first piece was waited for already.
struct Forwarded {
    first: Option<Bytes>,
    upstream: Incoming,
    deadline: Pin<Box<Sleep>>,
    watch: CallWatch,
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forwarded")
    }
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the answer took longer than it may")]
    TooLong,
}

impl GatewayBody {
    /// A body that is there already.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self(Kind::Whole((!body.is_empty()).then_some(body)))
    }

    /// The provider's body, until the deadline.
    pub(crate) fn forwarded(first: Option<Bytes>, upstream: Incoming, deadline: Instant, mut watch: CallWatch) -> Self {
        if first.is_none() {
            watch.end(End::Complete);
        }
        let deadline = Box::pin(tokio::time::sleep_until(deadline));
        Self(Kind::Forwarded(Box::new(Forwarded { first, upstream, deadline, watch })))
    }
}

impl Forwarded {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(self.seen(first)))));
        }
        match Pin::new(&mut self.upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(match frame.into_data() {
                Ok(data) => Some(Ok(Frame::data(self.seen(data)))),
                Err(trailers) => Some(Ok(trailers)),
            }),
            Poll::Ready(Some(Err(error))) => {
                self.watch.end(End::Cut(format!("the provider's answer broke off: {error}")));
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.watch.end(End::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    self.watch.end(End::Cut(Broken::TooLong.to_string()));
                    Poll::Ready(Some(Err(Broken::TooLong.into())))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Notes a piece. Where the length is known the server does not ask again after the last one.
    fn seen(&mut self, data: Bytes) -> Bytes {
        self.watch.capture(&data);
        if self.upstream.is_end_stream() {
            self.watch.end(End::Complete);
        }
        data
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Forwarded(forwarded) => forwarded.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(body) => body.is_none(),
            Kind::Forwarded(forwarded) => forwarded.first.is_none() && forwarded.upstream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Kind::Forwarded(forwarded) => {
                let first = forwarded.first.as_ref().map_or(0, |first| first.len() as u64);
                let rest = forwarded.upstream.size_hint();
                match rest.exact() {
                    Some(rest) => SizeHint::with_exact(rest + first),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
