//! One sleeping task that wakes the core when it wants to be woken: for operations in flight, and about twice a second for
//! gossip. Once nothing but gossip has happened for some seconds, it tells the program, once, that the node has come to
//! rest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::Inner;
use crate::buffers;

/// Without any input but gossip for this long a node is at rest. Longer than the store takes to write out and give back what it
/// holds in memory (twice its `idle_flush_after`), which is what there is to tell.
const REST_AFTER_US: u64 = 12_000_000;
/// No time.
const NEVER: u64 = u64::MAX;

/// When the core wants to be woken, in its monotonic microseconds.
pub(super) struct Alarm {
    /// Of the core.
    core_us: AtomicU64,
    /// Of the shell itself.
    own_us: AtomicU64,
    /// What the task sleeps until; a later wish need not wake it.
    sleeping_us: AtomicU64,
    /// Something has happened since the task last looked.
    stirred: AtomicBool,
    /// The core waits for more than gossip.
    busy: AtomicBool,
    changed: Arc<Notify>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            core_us: AtomicU64::new(NEVER),
            own_us: AtomicU64::new(NEVER),
            sleeping_us: AtomicU64::new(NEVER),
            stirred: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            changed: Arc::new(Notify::new()),
        }
    }
}

impl Alarm {
    /// The core's present wish, and whether it is about more than gossip.
    pub(super) fn set(&self, core_us: Option<u64>, busy: bool) {
        self.busy.store(busy, Ordering::Release);
        let core_us = core_us.unwrap_or(NEVER);
        self.core_us.store(core_us, Ordering::Release);
        if core_us < self.sleeping_us.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
    }

    /// The shell wants to look at what it owes at this time, too.
    pub(super) fn also_after(&self, at_us: u64) {
        self.own_us.fetch_min(at_us, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Something happens: the node is not at rest.
    pub(super) fn stir(&self) {
        if !self.stirred.load(Ordering::Relaxed) && !self.stirred.swap(true, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    fn due_us(&self) -> u64 {
        self.core_us
            .load(Ordering::Acquire)
            .min(self.own_us.load(Ordering::Acquire))
    }
}

/// Sleeps and wakes until the node stops or is gone.
pub(super) async fn run(inner: Weak<Inner>) {
    let mut rests = false;
    // When to look whether anything has stirred.
    let mut look_us = None;
    loop {
        let Some(node) = inner.upgrade() else { return };
        if node.stopping.load(Ordering::Acquire) {
            // The core takes nothing any more, so what is due would stay due for ever.
            return;
        }
        let due_us = node.timer.due_us();
        node.timer.sleeping_us.store(due_us, Ordering::Release);
        let changed = node.timer.changed.clone();
        let now_us = node.mono_us();
        // A wish that came between reading and storing would be slept through.
        if node.timer.due_us() < due_us {
            continue;
        }
        if due_us <= now_us {
            node.timer.own_us.store(NEVER, Ordering::Release);
            node.alarm();
            continue;
        }
        rests &= !node.timer.stirred.load(Ordering::Acquire);
        if rests || node.timer.busy.load(Ordering::Acquire) {
            look_us = None;
        } else if *look_us.get_or_insert(now_us + REST_AFTER_US) <= now_us {
            look_us = None;
            rests = !node.timer.stirred.swap(false, Ordering::AcqRel);
            if rests {
                buffers::release();
                node.lock_core().engine.rest();
                (node.on_rest)();
            }
            continue;
        }
        drop(node);
        let until_us = due_us.min(look_us.unwrap_or(NEVER));
        if until_us == NEVER {
            changed.notified().await;
        } else {
            let sleep = Duration::from_micros(until_us - now_us);
            let _ = tokio::time::timeout(sleep, changed.notified()).await;
        }
    }
}
