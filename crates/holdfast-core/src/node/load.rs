//! How much a node has taken on, and what follows: beyond a bound nothing is begun, and before that what nobody waits for
//! takes longer pauses.
//!
//! The bounds are far above what any disk can work off within a client's patience. They are there for the moment in which
//! one stands still: then everything that clients and members send stays in memory, and to say so at once is better than to
//! take it and answer nobody.
//!
//! Invariant: what is refused here has not begun, so its outcome is *nothing changed*; below [`BUSY`] nothing here has any
//! effect.

use super::state::{State, Step};
use super::{Node, Turn};
use crate::coordinate::{Coordinate, Origin, unchanged};
use crate::message::OpId;
use crate::request::{Answer, ClientRequest, ReadFault, Request, UploadStep, WriteFault};

/// Operations that somebody waits for. Each holds a record and its small bodies, 32 KiB at most: some 270 MiB if all do.
const IN_FLIGHT_MAX: usize = 8_192;
/// Replies that wait for the disk's sync. A working disk has some hundreds; each is some hundred bytes.
const UNSYNCED_MAX: usize = 32_768;
/// Operations in flight from which on the node is busy: as many clients at once, none of whom has an answer.
const BUSY: usize = 256;
/// So much longer is a pause of what yields while the node is busy.
const STRETCH: u64 = 8;
/// But no pause is made longer than this, in microseconds: what yields comes slower, never to a halt.
const STRETCHED_US_MAX: u64 = 1_000_000;

/// What a node has taken on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Operations that somebody waits for.
    pub in_flight: usize,
    /// Operations that are answered and live on for members that are slow.
    pub stragglers: usize,
    /// What those hold, in bytes.
    pub straggling_bytes: usize,
    /// Stragglers ended early in this run, because they were too many.
    pub stragglers_given_up: u64,
    /// Requests of clients and members refused in this run, because too much was in flight.
    pub refused: u64,
}

impl Node {
    /// What this node has taken on.
    #[must_use]
    pub fn load(&self) -> Load {
        let stragglers = &self.state.stragglers;
        Load {
            in_flight: self.ops.len().saturating_sub(stragglers.count()),
            stragglers: stragglers.count(),
            straggling_bytes: stragglers.bytes(),
            stragglers_given_up: stragglers.given_up,
            refused: self.state.refused,
        }
    }
}

impl State {
    /// Whether the disk is so far behind that nothing more may wait for it.
    pub(super) fn is_far_behind(&self) -> bool {
        self.unsynced_count() >= UNSYNCED_MAX
    }
}

impl Step<'_> {
    /// Says of what a member wants written that there is too much already.
    pub(crate) fn refuses_more(&mut self) -> bool {
        let refuses = self.state.is_far_behind();
        self.state.refused += u64::from(refuses);
        refuses
    }
}

impl Turn<'_> {
    /// Begins what a client asks, or what a member hands over, unless there is too much already.
    pub(super) fn begin_within_bounds(&mut self, origin: Origin, request: ClientRequest) {
        if !self.is_overloaded() {
            return self.step.begin(origin, request);
        }
        self.refuse(origin, &request);
    }

    /// Answers that there is too much already.
    pub(super) fn refuse(&mut self, origin: Origin, request: &ClientRequest) {
        self.step.state.refused += 1;
        let answer = if is_read(&request.what) {
            Answer::ReadFailed(ReadFault::Overloaded)
        } else {
            unchanged(WriteFault::Overloaded)
        };
        origin.answer(&mut self.step, answer);
    }

    pub(super) fn is_overloaded(&self) -> bool {
        self.in_flight() >= IN_FLIGHT_MAX || self.step.state.is_far_behind()
    }

    fn in_flight(&self) -> usize {
        self.ops.len().saturating_sub(self.step.state.stragglers.count())
    }

    /// When an operation that wants to be woken at a time is woken.
    pub(super) fn wake_time_us(&self, op: &dyn Coordinate, wanted_us: u64) -> u64 {
        // A time that has passed would be due again within this very turn, for ever.
        let now_us = self.step.now.mono_us;
        let wanted_us = wanted_us.max(now_us + 1);
        if !op.yields() || self.in_flight() < BUSY {
            return wanted_us;
        }
        let pause_us = wanted_us - now_us;
        let stretched_us = pause_us.saturating_mul(STRETCH).min(STRETCHED_US_MAX);
        now_us.saturating_add(stretched_us.max(pause_us))
    }

    /// An operation goes on. If it only does so for members that are slow, and there are too many such, the oldest end.
    pub(super) fn note_straggler(&mut self, id: OpId, bytes: Option<usize>) {
        let Some(bytes) = bytes else { return };
        self.step.state.stragglers.insert(id, bytes);
        while let Some(oldest) = self.step.state.stragglers.pop_excess() {
            if let Some(ended) = self.ops.remove(&oldest) {
                self.timers.remove(&(ended.wake_us, oldest));
            }
        }
    }
}

const fn is_read(what: &Request) -> bool {
    match what {
        Request::Get(_) | Request::List(_) | Request::ReadChunk(_) | Request::Count(_) => true,
        Request::Upload(upload) => matches!(upload.step, UploadStep::Read { .. } | UploadStep::List { .. }),
        Request::Put(_) | Request::WriteChunk(_) => false,
    }
}
