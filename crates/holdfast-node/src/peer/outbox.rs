//! What waits to be sent to one peer: two bounded queues, one for each kind of connection.
//!
//! Any thread may push, and never waits: a message that does not fit, or whose peer is not connected, is dropped and
//! counted, and the core's timers deal with the loss as with any lost message. Memory is bounded by bytes, not by
//! messages, because a message may be anything from a hundred bytes to 16 MiB.
//!
//! Invariant: queues are empty whenever the peer is down, so that nothing old is sent on a new connection (rule G2: a
//! message dies with its session).

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

use super::frame::{HEAD_BYTES_MAX, MESSAGE_BYTES_MAX, SMALL_BYTES_MAX};

/// One message on its way.
#[derive(Debug)]
pub struct Outgoing {
    pub head: Vec<u8>,
    pub payload: Bytes,
}

impl Outgoing {
    /// What it costs in memory: its bytes and a little for each message, so that empty ones are bounded too.
    fn cost(&self) -> usize {
        self.head.len() + self.payload.len() + 128
    }
}

/// What became of a message handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It waits for its connection. That it arrives is not promised.
    Queued,
    /// The peer is not connected: dropped.
    Down,
    /// Too much waits already: dropped.
    Full,
    /// Beyond the bounds of a frame: dropped. A bug of the caller.
    TooLong,
    /// Not a member, or this node itself: dropped. A bug of the caller.
    Unknown,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Outgoing>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queues {
    up: bool,
    due: Due,
    small: Queue,
    bulk: Queue,
}

/// What is to be sent ahead of the messages that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Due {
    /// Are you there?
    pub ping: bool,
    /// I am.
    pub pong: bool,
}

/// Counters of one peer since this process started.
#[derive(Debug, Default)]
pub struct Counters {
    pub sent: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub dropped_full: AtomicU64,
    pub dropped_down: AtomicU64,
    pub received: AtomicU64,
    pub received_bytes: AtomicU64,
    pub round_trip_us: AtomicU64,
    pub connects: AtomicU64,
}

/// The two queues of one peer.
#[derive(Debug)]
pub struct Outbox {
    queues: Mutex<Queues>,
    small_bytes_max: usize,
    bulk_bytes_max: usize,
    small_ready: Notify,
    bulk_ready: Notify,
    pub counters: Counters,
}

impl Outbox {
    pub fn new(small_bytes_max: usize, bulk_bytes_max: usize) -> Self {
        Self {
            queues: Mutex::default(),
            small_bytes_max,
            bulk_bytes_max,
            small_ready: Notify::new(),
            bulk_ready: Notify::new(),
            counters: Counters::default(),
        }
    }

    /// The queues hold no invariant that a panic elsewhere could break halfway, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message or drops it; never waits.
    pub fn push(&self, message: Outgoing) -> Sent {
        let bytes = message.head.len() + message.payload.len();
        if message.head.len() > HEAD_BYTES_MAX || bytes > MESSAGE_BYTES_MAX {
            return Sent::TooLong;
        }
        let small = bytes <= SMALL_BYTES_MAX;
        let cost = message.cost();
        let mut queues = self.lock();
        if !queues.up {
            drop(queues);
            self.counters.dropped_down.fetch_add(1, Ordering::Relaxed);
            return Sent::Down;
        }
        let (queue, bytes_max, ready) = if small {
            (&mut queues.small, self.small_bytes_max, &self.small_ready)
        } else {
            (&mut queues.bulk, self.bulk_bytes_max, &self.bulk_ready)
        };
        // An empty queue takes any message, or one larger than the bound could never be sent.
        if queue.bytes + cost > bytes_max && !queue.messages.is_empty() {
            drop(queues);
            self.counters.dropped_full.fetch_add(1, Ordering::Relaxed);
            return Sent::Full;
        }
        let was_empty = queue.messages.is_empty();
        queue.bytes += cost;
        queue.messages.push_back(message);
        drop(queues);
        if !small {
            // The last worker to have gone idle has the warmest connection.
            ready.notify_last();
        } else if was_empty {
            ready.notify_one();
        }
        Sent::Queued
    }

    pub fn is_up(&self) -> bool {
        self.lock().up
    }

    /// Messages are taken from now on.
    pub fn open(&self) {
        self.lock().up = true;
    }

    /// Messages are dropped from now on, and those that wait with them.
    pub fn close(&self) {
        let (small, bulk) = {
            let mut queues = self.lock();
            queues.up = false;
            queues.due = Due::default();
            (std::mem::take(&mut queues.small), std::mem::take(&mut queues.bulk))
        };
        self.dropped(small.messages.len() + bulk.messages.len());
    }

    /// Counts messages that were queued and then lost with their connection.
    pub fn dropped(&self, messages: usize) {
        self.counters.dropped_down.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Asks the writer of small messages to send a ping ahead of what waits.
    pub fn request_ping(&self) {
        self.lock().due.ping = true;
        self.small_ready.notify_one();
    }

    /// Has a ping answered ahead of what waits.
    pub fn request_pong(&self) {
        self.lock().due.pong = true;
        self.small_ready.notify_one();
    }

    /// Waits until small messages are there and moves up to `bytes_max` of them (but at least one) into `batch`.
    /// Answers what is to be sent before them; then the batch may be empty.
    pub async fn take_small(&self, bytes_max: usize, batch: &mut Vec<Outgoing>) -> Due {
        loop {
            {
                let mut queues = self.lock();
                let due = std::mem::take(&mut queues.due);
                let mut taken = 0;
                while let Some(next) = queues.small.messages.front() {
                    let cost = next.cost();
                    if taken > 0 && taken + cost > bytes_max {
                        // `push` only wakes on the step from empty, so the rest must be remembered here.
                        self.small_ready.notify_one();
                        break;
                    }
                    taken += cost;
                    queues.small.bytes -= cost;
                    batch.extend(queues.small.messages.pop_front());
                }
                if taken > 0 || due != Due::default() {
                    return due;
                }
            }
            self.small_ready.notified().await;
        }
    }

    /// Waits for one large message.
    pub async fn take_bulk(&self) -> Outgoing {
        loop {
            {
                let mut queues = self.lock();
                if let Some(next) = queues.bulk.messages.pop_front() {
                    queues.bulk.bytes -= next.cost();
                    if !queues.bulk.messages.is_empty() {
                        self.bulk_ready.notify_last();
                    }
                    return next;
                }
            }
            self.bulk_ready.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbox, Outgoing, Sent};
    use crate::peer::frame::{HEAD_BYTES_MAX, SMALL_BYTES_MAX};
    use bytes::Bytes;
    use std::sync::atomic::Ordering;

    fn message(payload_bytes: usize) -> Outgoing {
        Outgoing {
            head: vec![1],
            payload: Bytes::from(vec![0; payload_bytes]),
        }
    }

    #[test]
    fn a_peer_that_is_down_takes_nothing() {
        let outbox = Outbox::new(1024, 1024);
        assert_eq!(outbox.push(message(1)), Sent::Down);
        outbox.open();
        assert_eq!(outbox.push(message(1)), Sent::Queued);
        outbox.close();
        assert_eq!(outbox.push(message(1)), Sent::Down);
        assert_eq!(outbox.counters.dropped_down.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn queues_are_bounded_each_for_itself_and_count_what_they_drop() {
        let outbox = Outbox::new(1024, 1024);
        outbox.open();
        let queued = (0..100).filter(|_| outbox.push(message(100)) == Sent::Queued).count();
        assert_eq!(queued, 4, "229 bytes each within 1024");
        assert_eq!(outbox.counters.dropped_full.load(Ordering::Relaxed), 96);
        assert_eq!(
            outbox.push(message(SMALL_BYTES_MAX)),
            Sent::Queued,
            "an empty queue takes one of any size"
        );
        assert_eq!(outbox.push(message(SMALL_BYTES_MAX)), Sent::Full);
    }

    #[test]
    fn messages_beyond_the_frame_are_refused() {
        let outbox = Outbox::new(usize::MAX, usize::MAX);
        outbox.open();
        let head = vec![0; HEAD_BYTES_MAX + 1];
        assert_eq!(
            outbox.push(Outgoing {
                head,
                payload: Bytes::new()
            }),
            Sent::TooLong
        );
        assert_eq!(outbox.push(message(super::MESSAGE_BYTES_MAX)), Sent::TooLong);
    }

    #[tokio::test]
    async fn batches_keep_order_and_leave_nothing_behind() {
        let outbox = Outbox::new(1 << 20, 1 << 20);
        outbox.open();
        for i in 0..100_u8 {
            outbox.push(Outgoing {
                head: vec![i],
                payload: Bytes::new(),
            });
        }
        let mut order = Vec::new();
        while order.len() < 100 {
            let mut batch = Vec::new();
            outbox.take_small(1000, &mut batch).await;
            assert!(batch.len() <= 8, "bounded batch");
            order.extend(batch.iter().map(|m| m.head[0]));
        }
        assert_eq!(order, (0..100).collect::<Vec<u8>>());
    }
}
