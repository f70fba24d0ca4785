//! Writes that go out together at the end of a turn.
//!
//! A thread that serves many connections takes turns: it hears which of them have something, does a step for each, and
//! waits again. A step ends with a write, and a write wakes whoever waits at the other end. On the same machine that one
//! takes the processor away in the middle of the turn, again for the next step, and again. Here the writes of a turn are
//! kept until its end. Whoever hears of one then finds the others, too, and has a turn of its own.
//!
//! A thread takes turns where its runtime calls [`end_turn`] before it waits. On all other threads everything is written at
//! once.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Larger writes are not kept: copying them would cost more than the turn saves.
const LARGE: usize = 16 << 10;
/// A connection that had more to write leaves no room behind for the next time.
const ROOM: usize = 4 << 10;
/// Most connections whose writes are kept. With more of them the first would wait for long.
const MOST_KEPT: usize = 64;
/// Most reads while writes are kept: a thread that always has something to do never waits.
const MOST_READS: u32 = 2048;

/// The turn of a thread.
#[derive(Default)]
struct Turn {
    /// Whether there was a turn before and it had several writes. A lone one gains nothing by being kept.
    is_busy: Cell<bool>,
    writes: Cell<u32>,
    /// Since something is kept.
    reads: Cell<u32>,
    /// Connections that have something to write at its end.
    kept: RefCell<Vec<Arc<Mutex<Stream>>>>,
}

thread_local! {
    static TURN: Turn = Turn::default();
}

/// Writes what is kept, before the thread waits.
pub fn end_turn() {
    write_kept();
    TURN.with(|turn| turn.is_busy.set(turn.writes.take() > 1));
}

/// Writes what is kept, before the thread does something that takes its time.
pub fn write_kept() {
    TURN.with(|turn| {
        turn.reads.set(0);
        let mut kept = turn.kept.take();
        for stream in kept.drain(..) {
            lock(&stream).write_kept();
        }
        // Its room serves the next turn.
        turn.kept.replace(kept);
    });
}

impl Turn {
    /// Whether a write is kept.
    fn keeps_one(&self) -> bool {
        self.writes.set(self.writes.get() + 1);
        self.is_busy.get()
    }

    /// Whether writes have been kept for long enough.
    fn is_long(&self) -> bool {
        let kept = self.kept.borrow().len();
        self.reads.set(self.reads.get() + u32::from(kept > 0));
        kept >= MOST_KEPT || self.reads.get() > MOST_READS
    }
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection whose small writes go out at the end of its thread's turn.
#[derive(Debug)]
pub struct TurnStream(Arc<Mutex<Stream>>);

#[derive(Debug)]
struct Stream {
    tcp: TokioIo<TcpStream>,
    /// What is to be written.
    unsent: Vec<u8>,
    /// Whether the turn's end writes it. If not, and there is something, the other end does not take it yet.
    is_kept: bool,
    /// Whoever wrote last.
    writer: Waker,
    /// Why the last turn could not write.
    error: Option<ErrorKind>,
}

impl TurnStream {
    /// Over a connection.
    pub fn new(tcp: TcpStream) -> Self {
        Self::from(TokioIo::new(tcp))
    }
}

impl From<TokioIo<TcpStream>> for TurnStream {
    fn from(tcp: TokioIo<TcpStream>) -> Self {
        let writer = Waker::noop().clone();
        Self(Arc::new(Mutex::new(Stream { tcp, unsent: Vec::new(), is_kept: false, writer, error: None })))
    }
}

impl Stream {
    /// Writes what it can without waiting; who wrote it sees to the rest.
    fn write_kept(&mut self) {
        self.is_kept = false;
        while !self.unsent.is_empty() {
            match self.tcp.inner().try_write(&self.unsent) {
                Ok(sent) => self.sent(sent),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        self.unsent.clear();
                        self.error = Some(error.kind());
                    }
                    return self.writer.wake_by_ref();
                }
            }
        }
    }

    fn sent(&mut self, count: usize) {
        if count < self.unsent.len() {
            self.unsent.drain(..count);
            return;
        }
        self.unsent.clear();
        if self.unsent.capacity() > ROOM {
            self.unsent = Vec::new();
        }
    }

    /// Writes everything, and has the writer woken where that must wait.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.error {
            return Poll::Ready(Err(kind.into()));
        }
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps a small write; answers whether it did.
    fn keeps(&mut self, pieces: &[IoSlice<'_>], cx: &Context<'_>) -> bool {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.unsent.len() + length > LARGE || !TURN.with(Turn::keeps_one) {
            return false;
        }
        for piece in pieces {
            self.unsent.extend_from_slice(piece);
        }
        self.writer.clone_from(cx.waker());
        true
    }
}

impl Read for TurnStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if TURN.with(Turn::is_long) {
            write_kept();
        }
        Pin::new(&mut lock(&self.0).tcp).poll_read(cx, buffer)
    }
}

impl Write for TurnStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut stream = lock(&self.0);
        if !stream.is_kept {
            // What the other end does not take goes first, and nothing is kept behind it.
            ready!(stream.poll_unsent(cx))?;
        }
        if !stream.keeps(pieces, cx) {
            ready!(stream.poll_unsent(cx))?;
            return Pin::new(&mut stream.tcp).poll_write_vectored(cx, pieces);
        }
        if !std::mem::replace(&mut stream.is_kept, true) {
            TURN.with(|turn| turn.kept.borrow_mut().push(self.0.clone()));
        }
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = lock(&self.0);
        if stream.is_kept { Poll::Ready(Ok(())) } else { stream.poll_unsent(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = lock(&self.0);
        ready!(stream.poll_unsent(cx))?;
        Pin::new(&mut stream.tcp).poll_shutdown(cx)
    }
}

impl Connection for TurnStream {
    fn connected(&self) -> Connected {
        lock(&self.0).tcp.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Two ends of a connection: one whose thread takes turns, and the other.
    async fn pair() -> (TurnStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        ours.set_nodelay(true).unwrap();
        (TurnStream::new(ours), theirs)
    }

    /// Runs something on a thread of its own, in a busy turn.
    fn in_turns<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
        let thread = std::thread::spawn(|| {
            TURN.with(|turn| turn.is_busy.set(true));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        });
        thread.join().unwrap();
    }

    async fn write(stream: &mut TurnStream, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await
    }

    async fn flush(stream: &mut TurnStream) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
    }

    async fn shut_down(stream: &mut TurnStream) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await
    }

    fn unsent(stream: &TurnStream) -> usize {
        lock(&stream.0).unsent.len()
    }

    async fn expect(theirs: &mut TcpStream, expected: &[u8]) {
        let mut read = vec![0; expected.len()];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(read, expected);
    }

    #[test]
    fn small_writes_wait_for_the_end_of_the_turn() {
        in_turns(|| async {
            let ((mut one, mut theirs), (mut two, mut others)) = (pair().await, pair().await);
            assert_eq!(write(&mut one, b"ab").await.unwrap(), 2);
            assert_eq!(write(&mut one, b"c").await.unwrap(), 1);
            assert_eq!(write(&mut two, b"d").await.unwrap(), 1);
            flush(&mut one).await.unwrap();
            assert_eq!((unsent(&one), unsent(&two)), (3, 1));
            end_turn();
            assert_eq!((unsent(&one), unsent(&two)), (0, 0));
            expect(&mut theirs, b"abc").await;
            expect(&mut others, b"d").await;
        });
    }

    #[test]
    fn lone_writes_are_not_kept() {
        in_turns(|| async {
            let (mut stream, mut theirs) = pair().await;
            end_turn();
            for _ in 0..3 {
                write(&mut stream, b"a").await.unwrap();
                assert_eq!(unsent(&stream), 0);
                expect(&mut theirs, b"a").await;
                end_turn();
            }
            // Two of them make the next turn a busy one.
            write(&mut stream, b"a").await.unwrap();
            write(&mut stream, b"a").await.unwrap();
            end_turn();
            write(&mut stream, b"a").await.unwrap();
            assert_eq!(unsent(&stream), 1);
        });
    }

    #[tokio::test]
    async fn threads_without_turns_write_at_once() {
        let (mut stream, mut theirs) = pair().await;
        for _ in 0..3 {
            write(&mut stream, b"a").await.unwrap();
            assert_eq!(unsent(&stream), 0);
        }
        expect(&mut theirs, b"aaa").await;
    }

    #[test]
    fn a_turn_without_end_writes_nevertheless() {
        in_turns(|| async {
            let mut all = Vec::new();
            for _ in 0..=MOST_KEPT {
                all.push(pair().await);
            }
            for (stream, _) in &mut all {
                write(stream, b"a").await.unwrap();
            }
            let read = |stream: &mut TurnStream| {
                let mut room = [0; 8];
                let mut room = hyper::rt::ReadBuf::new(&mut room);
                let mut cx = Context::from_waker(Waker::noop());
                assert!(Pin::new(stream).poll_read(&mut cx, room.unfilled()).is_pending());
            };
            read(&mut all[0].0);
            assert!(all.iter().all(|(stream, _)| unsent(stream) == 0), "many are kept");
            write(&mut all[0].0, b"b").await.unwrap();
            for _ in 0..=MOST_READS {
                assert_eq!(unsent(&all[0].0), 1);
                read(&mut all[1].0);
            }
            assert_eq!(unsent(&all[0].0), 0, "it has taken long");
        });
    }

    #[test]
    fn the_last_words_are_said() {
        in_turns(|| async {
            let (mut stream, mut theirs) = pair().await;
            write(&mut stream, b"bye").await.unwrap();
            shut_down(&mut stream).await.unwrap();
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"bye");
            // Who is dropped meanwhile has said it, too.
            let (mut stream, mut theirs) = pair().await;
            write(&mut stream, b"bye").await.unwrap();
            drop(stream);
            end_turn();
            read.clear();
            theirs.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"bye");
        });
    }

    #[test]
    fn what_the_other_end_does_not_take_yet_follows_in_order() {
        in_turns(|| async {
            let (mut stream, mut theirs) = pair().await;
            let sizes = (0..400).map(|i| [1, 700, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE][i % 6]);
            let bytes: Vec<u8> = (0..=250).cycle().take(sizes.clone().sum()).collect();
            let expected = bytes.clone();
            let reading = async {
                let mut read = vec![0; expected.len()];
                // The socket is full by then.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                theirs.read_exact(&mut read).await.unwrap();
                assert!(read == expected);
                theirs.write_all(b"x").await.unwrap();
            };
            let writing = async {
                let mut at = 0;
                for size in sizes {
                    let end = at + size;
                    while at < end {
                        at += write(&mut stream, &bytes[at..end]).await.unwrap();
                    }
                    if size == LARGE {
                        end_turn();
                        TURN.with(|turn| turn.is_busy.set(true));
                        flush(&mut stream).await.unwrap();
                        assert_eq!(unsent(&stream), 0);
                    }
                }
                end_turn();
                flush(&mut stream).await.unwrap();
            };
            tokio::join!(reading, writing);
        });
    }

    #[test]
    fn a_connection_that_is_gone_is_told_to_who_writes() {
        in_turns(|| async {
            let (mut stream, theirs) = pair().await;
            drop(theirs);
            let gone = async {
                loop {
                    write(&mut stream, b"a").await?;
                    end_turn();
                    TURN.with(|turn| turn.is_busy.set(true));
                    flush(&mut stream).await?;
                }
            };
            let error: io::Result<()> = gone.await;
            assert!(matches!(error.unwrap_err().kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        });
    }
}
