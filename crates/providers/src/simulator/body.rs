//! Bodies of simulated responses: whole, in paced pieces, or cut.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The pace of a dripping body.
const DRIP: Duration = Duration::from_millis(200);
/// Between the last byte that is sent and the cut.
const BEFORE_CUT: Duration = Duration::from_millis(2);

/// A response body.
pub(super) enum SimulatedBody {
    /// Everything at once.
    Whole(Bytes),
    /// Piece by piece.
    Paced(Paced),
}

/// Pieces, each due at its time after the first was asked for.
pub(super) struct Paced {
    pieces: VecDeque<Bytes>,
    /// Between two pieces; zero: no waiting.
    gap: Duration,
    /// When the next piece is due.
    due: Option<Pin<Box<Sleep>>>,
    /// End with an error, which makes the server drop the connection.
    cut: bool,
}

impl SimulatedBody {
    /// Pieces whose last one is sent `total` after the first is asked for.
    pub(super) fn paced(pieces: Vec<Bytes>, total: Duration) -> Self {
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX).max(1);
        Self::Paced(Paced { pieces: pieces.into(), gap: total / count, due: None, cut: false })
    }

    /// The first half of the pieces, and then the end of the connection.
    pub(super) fn cut(mut pieces: Vec<Bytes>) -> Self {
        pieces.truncate(pieces.len().div_ceil(2));
        Self::Paced(Paced { pieces: pieces.into(), gap: Duration::ZERO, due: None, cut: true })
    }

    /// One byte at a time.
    pub(super) fn drip(pieces: &[Bytes]) -> Self {
        let bytes = Bytes::from(pieces.concat());
        let pieces = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
        Self::Paced(Paced { pieces, gap: DRIP, due: None, cut: false })
    }
}

impl Body for SimulatedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Paced(paced) => paced.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Paced(_) => SizeHint::default(),
        }
    }
}

impl Paced {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.pieces.is_empty() {
            if !self.cut {
                return Poll::Ready(None);
            }
            // What came before is sent while this waits; an error at once would take it back.
            let pause = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(BEFORE_CUT)));
            ready!(pause.as_mut().poll(cx));
            self.cut = false;
            return Poll::Ready(Some(Err(io::Error::other("simulated cut"))));
        }
        if !self.gap.is_zero() {
            let gap = self.gap;
            let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(gap)));
            ready!(due.as_mut().poll(cx));
            // Times add up from the first piece, so that late wake-ups do not.
            let next = due.deadline() + gap;
            due.as_mut().reset(next.max(Instant::now()));
        }
        Poll::Ready(self.pieces.pop_front().map(Ok))
    }
}
