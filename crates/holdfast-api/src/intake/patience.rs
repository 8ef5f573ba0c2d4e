//! How long a client may send nothing; and how slowly it may send while others wait for the memory that its body takes.
//!
//! A timer per piece would cost more than the piece; one timer per body, which looks at the time of the last progress
//! when it fires, costs one reading of the clock per piece, and nothing for a body that is already here.
//!
//! A slow client is welcome as long as there is room: a phone on a train sends some KiB each second, for hours. But a few
//! hundred that send a byte now and then would keep everybody else out, and cost who sends them nothing.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the pace is measured for before it counts.
const PACE_OVER: Duration = Duration::from_secs(5);
/// Bytes that a body must bring within that time while others wait: 64 KiB per second.
const PACE_BYTES_MIN: u64 = 5 * 64 * 1024;

/// Why a body is not waited for any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OutOfPatience {
    /// The client sent nothing for too long.
    Stalled,
    /// Others wait, and it sends too slowly.
    TooSlow,
}

pub(super) struct Patience {
    limit: Duration,
    /// How many others wait.
    others: Option<Arc<AtomicUsize>>,
    progress: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the pace is looked at next.
    pace_due: Option<Instant>,
    /// Bytes since it was last.
    pace_bytes: u64,
}

impl Patience {
    pub(super) const fn new(limit: Duration, others: Option<Arc<AtomicUsize>>) -> Self {
        Self {
            limit,
            others,
            progress: None,
            timer: None,
            pace_due: None,
            pace_bytes: 0,
        }
    }

    /// So many bytes came.
    pub(super) const fn took(&mut self, bytes: u64) {
        self.pace_bytes += bytes;
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
            let pace_due = self.pace_due_after(waiting_since);
            let due = deadline.min(pace_due);
            let mut timer = self.timer.take().unwrap_or_else(|| Box::pin(sleep_until(due)));
            while timer.as_mut().poll(cx).is_ready() {
                let now = timer.deadline();
                if now >= deadline {
                    return Poll::Ready(Err(OutOfPatience::Stalled));
                }
                if self.is_too_slow(now) {
                    return Poll::Ready(Err(OutOfPatience::TooSlow));
                }
                let pace_due = self.pace_due.unwrap_or(deadline);
                timer.as_mut().reset(deadline.min(pace_due));
            }
            self.timer = Some(timer);
            Poll::Pending
        })
        .await
    }

    /// When the pace is looked at next, by a client that is waited for since then. What passed while it was not, because the
    /// disks were slow, is not its fault.
    fn pace_due_after(&mut self, waiting_since: Instant) -> Instant {
        if let Some(due) = self.pace_due.filter(|due| *due > waiting_since) {
            return due;
        }
        let due = waiting_since + PACE_OVER;
        (self.pace_due, self.pace_bytes) = (Some(due), 0);
        due
    }

    /// Looks at the pace, if it is time.
    fn is_too_slow(&mut self, now: Instant) -> bool {
        if self.pace_due.is_some_and(|due| now < due) {
            return false;
        }
        // The next time begins now, not when this one was due: a busy process wakes late.
        self.pace_due = Some(Instant::now().max(now) + PACE_OVER);
        let bytes = std::mem::take(&mut self.pace_bytes);
        let others = self.others.as_ref().map_or(0, |others| others.load(Ordering::Acquire));
        others > 0 && bytes < PACE_BYTES_MIN
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use futures_core::Stream;
    use tokio::time::{Instant, Sleep, sleep};

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{OutOfPatience, Patience};

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
        let mut patience = Patience::new(Duration::from_millis(100), None);
        let start = Instant::now();
        for _ in 0..3 {
            assert!(matches!(patience.next(&mut source).await, Ok(Some(80))));
        }
        assert_eq!(patience.next(&mut source).await, Err(OutOfPatience::Stalled));
        let waited = start.elapsed().as_millis();
        assert!((340..350).contains(&waited), "gave up after {waited} ms");
    }

    /// A byte every two seconds keeps a body alive, but only while nobody waits for its room.
    #[tokio::test(start_paused = true)]
    async fn who_sends_too_slowly_goes_once_others_wait() {
        let others = Arc::new(AtomicUsize::new(0));
        let mut source = Slow {
            waits_ms: vec![2_000; 100],
            timer: None,
        };
        let mut patience = Patience::new(Duration::from_secs(30), Some(Arc::clone(&others)));
        for _ in 0..20 {
            assert_eq!(patience.next(&mut source).await, Ok(Some(2_000)));
            patience.took(1);
        }
        others.store(1, Ordering::Release);
        let start = Instant::now();
        let end = loop {
            match patience.next(&mut source).await {
                Ok(_) => patience.took(1),
                Err(end) => break end,
            }
        };
        assert_eq!(end, OutOfPatience::TooSlow);
        assert!(start.elapsed() <= Duration::from_secs(7), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_up_stays_though_others_wait() {
        let mut source = Slow {
            waits_ms: vec![2_000; 50],
            timer: None,
        };
        let mut patience = Patience::new(Duration::from_secs(30), Some(Arc::new(AtomicUsize::new(9))));
        while patience.next(&mut source).await.expect("it keeps up").is_some() {
            patience.took(256 * 1024);
        }
        assert_eq!(source.waits_ms.len(), 0);
    }
}
