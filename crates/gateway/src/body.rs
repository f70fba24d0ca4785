//! The answer on its way to the caller: handed on frame by frame as the provider sends it, or translated piece by piece, and
//! watched.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use llmops_providers::stream::{Events, Piece, SentEvent, StreamReader};

use crate::incoming::{Incoming, Unreadable};
use crate::recorder::{CUT, CallWatch, End};
use crate::write::EventWriter;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a provider that said that this is all may take to end its body: its connection can be used again then.
const LAST_MOMENT: Duration = Duration::from_millis(500);

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
    translation: Option<Box<Translation>>,
    /// What ended the provider's body before its time, until the caller has what came before it.
    broken: Option<Unreadable>,
}

/// From the provider's format of a stream to the caller's.
#[derive(Debug)]
pub(crate) struct Translation {
    events: Events,
    reader: StreamReader,
    writer: EventWriter,
    has_ended: bool,
    /// Whether nothing more is to be read.
    is_broken: bool,
}

impl Translation {
    pub(crate) fn new(reader: StreamReader, writer: EventWriter) -> Self {
        Self { events: Events::default(), reader, writer, has_ended: false, is_broken: false }
    }

    /// What the caller gets for these bytes; nothing while an event is incomplete.
    fn push(&mut self, bytes: &[u8], watch: &mut CallWatch) -> Bytes {
        let mut out = Vec::new();
        for event in self.events.push(bytes) {
            self.translate(&event, watch, &mut out);
        }
        if let Some(failure) = self.events.failure() {
            self.writer.write(Piece::Error(failure), &mut out);
        }
        if self.writer.has_ended() && !self.has_ended {
            self.end(watch, &mut out);
        }
        Bytes::from(out)
    }

    /// The rest of the caller's stream, when the provider's bytes have ended.
    fn finish(&mut self, watch: &mut CallWatch) -> Bytes {
        let mut out = Vec::new();
        if let Some(event) = self.events.finish() {
            self.translate(&event, watch, &mut out);
        }
        self.end(watch, &mut out);
        Bytes::from(out)
    }

    /// Ends the caller's stream: with its last event, or the word that the provider's broke off.
    fn end(&mut self, watch: &mut CallWatch, out: &mut Vec<u8>) {
        self.has_ended = true;
        let end = if self.writer.is_cut() { End::Cut(CUT.to_owned()) } else { End::Complete };
        self.writer.finish(out);
        watch.end(end);
    }

    /// Ends the caller's stream where the provider's came to no end of its own: with the word that it did. `why`: for the record.
    fn break_off(&mut self, message: &str, why: String, watch: &mut CallWatch) -> Bytes {
        let mut out = Vec::new();
        self.has_ended = true;
        self.is_broken = true;
        self.writer.write(Piece::Error(message.to_owned()), &mut out);
        watch.end(End::Cut(why));
        Bytes::from(out)
    }

    fn translate(&mut self, event: &SentEvent, watch: &mut CallWatch, out: &mut Vec<u8>) {
        // What follows the end is nobody's any more.
        if self.writer.has_ended() {
            return;
        }
        for piece in self.reader.read_event(event) {
            watch.hear(&piece);
            self.writer.write(piece, out);
        }
    }
}

impl std::fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forwarded")
    }
}

/// What the record says of a provider's body that broke off.
fn broke_off(error: &Unreadable) -> String {
    format!("the provider's answer broke off: {error}")
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
        Self::stream(first, upstream, deadline, watch, None)
    }

    /// The provider's stream, translated, until the deadline.
    pub(crate) fn translated(
        first: Option<Bytes>,
        upstream: Incoming,
        deadline: Instant,
        watch: CallWatch,
        translation: Box<Translation>,
    ) -> Self {
        Self::stream(first, upstream, deadline, watch, Some(translation))
    }

    fn stream(
        first: Option<Bytes>,
        upstream: Incoming,
        deadline: Instant,
        watch: CallWatch,
        translation: Option<Box<Translation>>,
    ) -> Self {
        let deadline = Box::pin(tokio::time::sleep_until(deadline));
        Self(Kind::Forwarded(Box::new(Forwarded { first, upstream, deadline, watch, translation, broken: None })))
    }
}

impl Forwarded {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error.into())));
        }
        let Some(mut translation) = self.translation.take() else { return self.poll_bytes(cx) };
        let polled = self.poll_translated(&mut translation, cx);
        self.translation = Some(translation);
        polled
    }

    fn poll_translated(
        &mut self,
        translation: &mut Translation,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let data = if let Some(first) = self.first.take() {
                translation.push(&first, &mut self.watch)
            } else if translation.is_broken {
                return Poll::Ready(None);
            } else {
                match Pin::new(&mut self.upstream).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => translation.push(&data, &mut self.watch),
                        Err(_trailers) => continue,
                    },
                    // Whatever becomes of the provider's connection then, the caller has all.
                    Poll::Ready(None | Some(Err(_))) if translation.has_ended => return Poll::Ready(None),
                    Poll::Ready(None) => translation.finish(&mut self.watch),
                    Poll::Ready(Some(Err(error))) => translation.break_off(CUT, broke_off(&error), &mut self.watch),
                    Poll::Pending if translation.has_ended => return self.deadline.as_mut().poll(cx).map(|()| None),
                    Poll::Pending => {
                        ready!(self.deadline.as_mut().poll(cx));
                        let why = Broken::TooLong.to_string();
                        translation.break_off(&Broken::TooLong.to_string(), why, &mut self.watch)
                    }
                }
            };
            if translation.has_ended && !translation.is_broken {
                let soon = (Instant::now() + LAST_MOMENT).min(self.deadline.deadline());
                self.deadline.as_mut().reset(soon);
            }
            if !data.is_empty() {
                self.watch.capture(&data);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    /// A connection that has nothing to write now writes what it holds back; one whose body fails is closed without. So the
    /// failure comes a poll later than the last piece.
    fn breaks(&mut self, error: Unreadable, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.watch.end(End::Cut(broke_off(&error)));
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.watch.end(End::Cut(Broken::TooLong.to_string()));
                Poll::Ready(Some(Err(Broken::TooLong.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(self.seen(first)))));
        }
        match Pin::new(&mut self.upstream).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(match frame.into_data() {
                Ok(data) => Some(Ok(Frame::data(self.seen(data)))),
                Err(trailers) => {
                    // They are the last that comes, and the server does not ask again after them.
                    self.watch.end(End::Complete);
                    Some(Ok(trailers))
                }
            }),
            Poll::Ready(Some(Err(error))) => self.breaks(error, cx),
            Poll::Ready(None) => {
                self.watch.end(End::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_deadline(cx),
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
            Kind::Forwarded(forwarded) => {
                let bytes_ended = forwarded.first.is_none() && forwarded.upstream.is_end_stream();
                bytes_ended && forwarded.translation.as_ref().is_none_or(|translation| translation.has_ended)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Kind::Forwarded(forwarded) if forwarded.translation.is_some() => SizeHint::default(),
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
