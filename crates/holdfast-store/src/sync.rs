//! Group commit: one thread that syncs the journal whenever something was written since it last did.
//!
//! `write` has handed its batch to the kernel before it returns, so a killed process loses nothing and only a power cut
//! or a kernel crash can. This thread then syncs through a file descriptor of its own. fjall's own `persist` would hold
//! the journal's mutex during the sync, and every writer would queue behind it (about 0.4 ms each time); with a
//! descriptor of our own, writers go on while the disk works, and everything they write meanwhile shares the next sync.
//!
//! The thread sleeps when nothing is unsynced. Its one timer is armed by a write and runs out once or twice: when a node
//! has been quiet for a while, memtables are written out, and a while later their memory is given back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_core::storage::WriteSeq;
use tracing::error;

use crate::completions::{Completions, StoreFailure};
use crate::journal::Journal;
use crate::options::Options;
use crate::rows::RowStore;

#[derive(Debug, Default)]
struct State {
    /// The last batch that the kernel has.
    written: u64,
    /// The last batch that the disk has.
    synced: u64,
    /// What an idle node should do next to give memory back.
    idle: Idle,
    sleeping: bool,
    stopping: bool,
    /// Why the engine must stop; taken by the thread when it reports it.
    failure: Option<StoreFailure>,
}

/// What a quiet spell calls for. One step each, because the second needs the first to have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Idle {
    /// Memtables may hold something, after a start too.
    #[default]
    Flush,
    /// They have been written out.
    Release,
    /// Nothing; no timer runs.
    Rest,
}

/// What still has to be done.
enum Task {
    Sync { up_to: u64 },
    Flush,
    Release,
    Fail(StoreFailure),
    End,
}

/// Shared between writers and the thread that syncs.
pub(crate) struct Syncer {
    state: Mutex<State>,
    wake: Condvar,
    failed: AtomicBool,
    syncs: AtomicU64,
    idle_flush_after: Duration,
    on_rest: fn(),
    completions: Arc<dyn Completions>,
}

impl Syncer {
    pub(crate) fn new(options: &Options, completions: Arc<dyn Completions>) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            failed: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            idle_flush_after: options.idle_flush_after,
            on_rest: options.on_rest,
            completions,
        }
    }

    /// The batch with this number has been handed to the kernel.
    pub(crate) fn wrote(&self, seq: u64) {
        let mut state = self.state();
        state.written = seq;
        state.idle = Idle::Flush;
        self.wake_up(&mut state);
    }

    /// Something was written that needs no sync of its own.
    pub(crate) fn wrote_unsynced(&self) {
        let mut state = self.state();
        if state.idle != Idle::Flush {
            state.idle = Idle::Flush;
            self.wake_up(&mut state);
        }
    }

    /// The disk broke a promise. Nothing is reported as durable from here on; the thread tells the listener.
    pub(crate) fn fail(&self, failure: StoreFailure) {
        if self.failed.swap(true, Ordering::SeqCst) {
            return;
        }
        error!(%failure, "the store stops");
        let mut state = self.state();
        state.failure = Some(failure);
        self.wake_up(&mut state);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// How many syncs there were.
    pub(crate) fn sync_count(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Lets the thread sync what is written and end.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        self.wake_up(&mut state);
    }

    /// The thread's whole life.
    pub(crate) fn run(&self, mut journal: Journal, rows: &RowStore) {
        loop {
            match self.next_task() {
                Task::Sync { up_to } => match journal.sync() {
                    Ok(()) => {
                        self.synced(up_to);
                        rows.rotate_full();
                    }
                    Err(error) => self.fail(StoreFailure {
                        doing: "syncing the journal",
                        cause: error.to_string(),
                    }),
                },
                Task::Flush => match rows.flush_idle() {
                    Ok(true) => self.state().idle = Idle::Release,
                    Ok(false) => {}
                    Err(failure) => self.fail(failure),
                },
                Task::Release => {
                    if let Err(failure) = rows.release_idle() {
                        self.fail(failure);
                    }
                    (self.on_rest)();
                }
                Task::Fail(failure) => return self.completions.failed(failure),
                Task::End => return,
            }
        }
    }

    fn synced(&self, up_to: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.state().synced = up_to;
        if !self.has_failed() {
            self.completions.synced(WriteSeq(up_to));
        }
    }

    fn next_task(&self) -> Task {
        let mut state = self.state();
        loop {
            if self.has_failed() {
                // `fail` sets the flag a moment before it stores the reason.
                if let Some(failure) = state.failure.take() {
                    return Task::Fail(failure);
                }
            } else if state.written > state.synced {
                return Task::Sync { up_to: state.written };
            } else if state.stopping {
                return Task::End;
            }
            state.sleeping = true;
            if state.idle == Idle::Rest {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                let (guard, timeout) = self
                    .wake
                    .wait_timeout(state, self.idle_flush_after)
                    .unwrap_or_else(PoisonError::into_inner);
                state = guard;
                // Still asleep: nobody had a reason to wake the thread for the whole time.
                if timeout.timed_out() && state.sleeping {
                    state.sleeping = false;
                    return match std::mem::replace(&mut state.idle, Idle::Rest) {
                        Idle::Release => Task::Release,
                        Idle::Flush | Idle::Rest => Task::Flush,
                    };
                }
            }
            state.sleeping = false;
        }
    }

    /// Waking a thread costs a system call, so only a sleeping one is woken.
    fn wake_up(&self, state: &mut State) {
        if state.sleeping {
            state.sleeping = false;
            self.wake.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers and flags: usable wherever a panic came between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
