//! How much memory the bodies under way may take, all of them together: those that come in, and those that go out.
//!
//! Each connection may carry a body, and each body needs some MiB: a chunk that fills up, one on its way to the disks, a
//! range that is read ahead. Thousands of connections are cheap while they are idle; thousands of bodies at once, or of
//! clients that send a body and stop in the middle, are not. So a body takes its room before its first byte is read. When
//! there is none it waits a moment, in the order in which they came, and is then told to come back later; nothing of it was
//! taken by then. What is under way is never refused room: it goes on with what it has, only without doing two things at
//! once.
//!
//! In and out are apart, so that clients that read slowly do not keep others from writing. Small bodies, which become rows,
//! need no room: the number of connections bounds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a body waits for room. A burst is over by then; a client should hear of anything longer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What room is counted in.
const UNIT_BYTES: usize = 64 << 10;
/// Room that is always there for each direction: with less, no large body could pass at all.
const BYTES_MIN: u64 = 16 << 20;

/// Room for bodies.
pub(super) struct BodyMemory {
    /// For those that clients send.
    pub(super) incoming: Pool,
    /// For those that they read.
    pub(super) outgoing: Pool,
}

impl BodyMemory {
    /// Room for so many bytes together.
    pub(super) fn new(bytes_max: u64) -> Self {
        let half = (bytes_max / 2).max(BYTES_MIN);
        Self {
            incoming: Pool::new(half),
            outgoing: Pool::new(half),
        }
    }
}

/// Room for bodies of one direction.
pub(super) struct Pool {
    free: Arc<Semaphore>,
    units_max: u32,
    waiting: Arc<AtomicUsize>,
}

/// Room that was taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room(#[expect(dead_code, reason = "dropping it is its use")] OwnedSemaphorePermit);

/// One that waits, counted until it does so no more.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pool {
    fn new(bytes_max: u64) -> Self {
        let units = usize::try_from(bytes_max).unwrap_or(usize::MAX) / UNIT_BYTES;
        let units_max = u32::try_from(units.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            free: Arc::new(Semaphore::new(units_max as usize)),
            units_max,
            waiting: Arc::default(),
        }
    }

    /// What more than all room is asked for is all of it: one body at a time then.
    fn units(&self, bytes: usize) -> u32 {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        units.min(self.units_max)
    }

    /// Room at once, or not at all.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Room> {
        let taken = Arc::clone(&self.free).try_acquire_many_owned(self.units(bytes));
        taken.ok().map(Room)
    }

    /// Room, after a wait if need be; `None` when there was none for too long.
    pub(super) async fn take(&self, bytes: usize) -> Option<Room> {
        if let Some(room) = self.try_take(bytes) {
            return Some(room);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waits = Waits(&self.waiting);
        let taken = Arc::clone(&self.free).acquire_many_owned(self.units(bytes));
        match tokio::time::timeout(WAIT_MAX, taken).await {
            Ok(taken) => taken.ok().map(Room),
            Err(_) => None,
        }
    }

    /// How many wait for room, as it changes.
    pub(super) fn waiting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn room_is_bounded_given_back_and_waited_for_in_turn() {
        let pool = Pool::new(16 << 20);
        let held: Vec<Room> = (0..4).filter_map(|_| pool.try_take(4 * MIB)).collect();
        assert_eq!(held.len(), 4);
        assert!(pool.try_take(1).is_none());
        let (waiting, mut held) = (pool.waiting(), held);
        let (first, second, ()) = tokio::join!(pool.take(4 * MIB), pool.take(MIB), async {
            tokio::task::yield_now().await;
            assert_eq!(waiting.load(Ordering::Acquire), 2);
            held.truncate(2);
        });
        assert!(first.is_some() && second.is_some());
        assert_eq!(waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let pool = Pool::new(16 << 20);
        let held = pool.take(usize::MAX).await.expect("all of it");
        let began = tokio::time::Instant::now();
        assert!(pool.take(1).await.is_none());
        assert_eq!(began.elapsed(), WAIT_MAX);
        assert_eq!(pool.waiting().load(Ordering::Acquire), 0);
        drop(held);
        assert!(pool.take(16 * MIB).await.is_some());
    }
}
