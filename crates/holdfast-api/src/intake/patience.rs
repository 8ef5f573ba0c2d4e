//! How long a client may send nothing.
//!
//! A timer per piece would cost more than the piece; one timer per body, which looks at the time of the last progress
//! when it fires, costs one reading of the clock per piece, and nothing for a body that is already here.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

/// The client sent nothing for too long.
pub(super) struct OutOfPatience;

pub(super) struct Patience {
    limit: Duration,
    progress: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self {
            limit,
            progress: None,
            timer: None,
        }
    }

    /// The next item, or none at the end.
    pub(super) async fn next<S>(&mut self, source: &mut S) -> Result<Option<S::Item>, OutOfPatience>
    where
        S: Stream + Unpin,
    {
        self.progress = None;
        poll_fn(|cx| {
            if let Poll::Ready(item) = Pin::new(&mut *source).poll_next(cx) {
                return Poll::Ready(Ok(item));
            }
            let waiting_since = *self.progress.get_or_insert_with(Instant::now);
            let deadline = waiting_since + self.limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            while timer.as_mut().poll(cx).is_ready() {
                if timer.deadline() >= deadline {
                    return Poll::Ready(Err(OutOfPatience));
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use futures_core::Stream;
    use tokio::time::{Instant, Sleep, sleep};

    use super::Patience;

    /// Yields a number after each of some waits.
    struct Slow {
        waits_ms: Vec<u64>,
        timer: Option<Pin<Box<Sleep>>>,
    }

    impl Stream for Slow {
        type Item = u64;
        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
            let Some(wait) = self.waits_ms.first().copied() else {
                return Poll::Ready(None);
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(wait))));
            match timer.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    self.timer = None;
                    self.waits_ms.remove(0);
                    Poll::Ready(Some(wait))
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_is_not_stalled() {
        let mut source = Slow {
            waits_ms: vec![80, 80, 80, 150],
            timer: None,
        };
        let mut patience = Patience::new(Duration::from_millis(100));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(matches!(patience.next(&mut source).await, Ok(Some(80))));
        }
        assert!(patience.next(&mut source).await.is_err());
        let waited = start.elapsed().as_millis();
        assert!((340..350).contains(&waited), "gave up after {waited} ms");
    }
}
