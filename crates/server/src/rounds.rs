//! A future that wakes itself while it is polled is polled again at once.
//!
//! The two halves of a connection, the one that reads and writes and the one that answers, wake each other through channels
//! although both are polled in one task. The runtime takes that for a reason to queue the task again and to wake another
//! thread for it, which costs more than the step that was to be done.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Times that it is polled in a row, at most: others want their turn.
const MAX: usize = 8;

/// A future with its own count of who called for it.
pub(crate) struct Rounds<F> {
    inner: Pin<Box<F>>,
    calls: Arc<Calls>,
    waker: Waker,
}

#[derive(Default)]
struct Calls {
    is_polled: AtomicBool,
    was_called: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.was_called.store(true, Ordering::SeqCst);
        if !self.is_polled.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl<F> Rounds<F> {
    pub(crate) fn new(inner: F) -> Self {
        let calls = Arc::new(Calls::default());
        Self { inner: Box::pin(inner), waker: calls.clone().into(), calls }
    }
}

impl<F: Future> Future for Rounds<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { inner, calls, waker } = self.get_mut();
        calls.task.register(cx.waker());
        calls.is_polled.store(true, Ordering::SeqCst);
        for _ in 0..MAX {
            calls.was_called.store(false, Ordering::SeqCst);
            let polled = inner.as_mut().poll(&mut Context::from_waker(waker));
            if polled.is_ready() {
                return polled;
            }
            if !calls.was_called.load(Ordering::SeqCst) {
                break;
            }
        }
        calls.is_polled.store(false, Ordering::SeqCst);
        // Who called until here has left it to this poll.
        if calls.was_called.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls a future once that calls for itself so many times; answers with its polls and with the wakes of the task.
    fn polls_and_wakes(calls: usize) -> (usize, usize) {
        let task = Arc::new(Counted::default());
        let mut polls = 0;
        {
            let mut rounds = Rounds::new(std::future::poll_fn(|cx| {
                polls += 1;
                if polls <= calls {
                    cx.waker().wake_by_ref();
                }
                Poll::<()>::Pending
            }));
            assert!(Pin::new(&mut rounds).poll(&mut Context::from_waker(&task.clone().into())).is_pending());
        }
        (polls, task.0.load(Ordering::SeqCst))
    }

    #[test]
    fn calls_from_within_wake_nobody_else() {
        assert_eq!(polls_and_wakes(0), (1, 0));
        assert_eq!(polls_and_wakes(3), (4, 0));
        assert_eq!(polls_and_wakes(MAX - 1), (MAX, 0));
        assert_eq!(polls_and_wakes(usize::MAX), (MAX, 1), "others have their turn");
    }

    #[tokio::test]
    async fn calls_from_elsewhere_wake_the_task() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let reader = tokio::spawn(Rounds::new(async move {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            sum
        }));
        for number in 1..=100 {
            sender.send(number).await.unwrap();
        }
        drop(sender);
        assert_eq!(reader.await.unwrap(), 5050);
    }
}
