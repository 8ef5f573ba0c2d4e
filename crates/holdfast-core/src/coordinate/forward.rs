//! Handing a write to a home (rules Q1, D7): the node that took the request is none, or its copy is damaged.
//!
//! Another home is tried only under the same request id and within the deadline, so that a write whose answer was lost
//! recognises itself.

use alloc::collections::VecDeque;

use super::stand_ins::may_stand_in;
use super::{Coordinate, Origin, Progress, unchanged, unknown};
use crate::ids::NodeId;
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::request::{Answer, ClientRequest, Request, StateChange, WriteError, WriteFault};

/// A home that has not answered after this long is taken for stuck, and the next one is tried. A write may legitimately
/// take two rounds on slow disks, and trying early costs a second coordinator.
pub(super) const NEXT_HOME_MS: u64 = 2_000;

/// And one that keeps saying that it is at it, after this long, in microseconds: others may be where it cannot reach.
const PATIENCE_US_MAX: u64 = 6_000_000;

/// A write handed to a home.
pub(crate) struct ForwardOp {
    id: OpId,
    origin: Origin,
    request: ClientRequest,
    /// When the client asked, in Unix milliseconds (rule G2).
    content_ms: u64,
    /// Homes not tried yet, best first; then tried ones again.
    candidates: VecDeque<NodeId>,
    current: Option<NodeId>,
    /// Homes not asked yet.
    untried: usize,
    /// How often a home was asked: after the first time, nobody can say that nothing changed.
    asked: usize,
    deadline_us: u64,
    /// This node can coordinate it, if no home does.
    may_stand_in: bool,
    /// Until when the present home may begin, because it asked: nobody else is tried before, in monotonic microseconds.
    granted_until_us: u64,
    /// When it was asked.
    asked_us: u64,
}

impl ForwardOp {
    pub(crate) fn new(
        step: &mut Step<'_>,
        origin: Origin,
        request: ClientRequest,
        content_ms: u64,
        homes: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let me = step.state.me();
        let candidates: VecDeque<NodeId> = homes.into_iter().filter(|home| *home != me).collect();
        Self {
            id: step.state.new_op(),
            origin,
            deadline_us: step.now.after_ms(u64::from(request.deadline_ms)),
            may_stand_in: may_stand_in(&request),
            request,
            content_ms,
            untried: candidates.len(),
            candidates,
            current: None,
            asked: 0,
            granted_until_us: 0,
            asked_us: 0,
        }
    }

    /// This node's own copy is damaged: it cannot coordinate, and may have begun before it found that out.
    pub(crate) fn of_damaged(mut self, may_have_begun: bool) -> Self {
        self.may_stand_in = false;
        self.asked = usize::from(may_have_begun);
        self
    }

    /// Another home can do it better than this node, however slow it is (rule S4).
    fn leaves_to_others(&self, step: &mut Step<'_>) -> bool {
        let Request::Put(put) = &self.request.what else {
            return false;
        };
        let place = step.state.place(&put.settings, &put.key);
        step.leaves_to_others(self.origin, &place, put.settings.n)
    }

    fn try_next(&mut self, step: &mut Step<'_>) -> Progress {
        if let Some(tried) = self.current.take() {
            self.candidates.push_back(tried);
        }
        let Some(at) = self.candidates.iter().position(|home| step.state.is_up(*home)) else {
            if self.may_stand_in {
                return self.stand_in(step, self.asked > 0);
            }
            let down = self.candidates.iter().copied().collect();
            let fault = WriteFault::Unavailable {
                needed: 1,
                reached: 0,
                down,
            };
            self.origin.answer(
                step,
                if self.asked > 0 {
                    unknown(fault)
                } else {
                    unchanged(fault)
                },
            );
            return Progress::Done;
        };
        let Some(home) = self.candidates.remove(at) else {
            return Progress::Done;
        };
        self.current = Some(home);
        self.granted_until_us = 0;
        self.asked_us = step.now.mono_us;
        // Each attempt has an id of its own, so that a home can tell a second attempt from a message delivered twice.
        if self.asked > 0 {
            self.id = step.state.new_op();
        }
        self.asked += 1;
        self.untried = self.untried.saturating_sub(1);
        let mut request = self.request.clone();
        let left_ms = (self.deadline_us.saturating_sub(step.now.mono_us) / 1000) as u32;
        let passed_ms = step.now.wall_ms.saturating_sub(self.content_ms);
        request.deadline_ms = left_ms.saturating_add(u32::try_from(passed_ms).unwrap_or(u32::MAX));
        let about = About {
            request: request.request,
            deadline_ms: left_ms,
            settings_version: 0,
            content_ms: Some(self.content_ms),
        };
        step.send(home, Message::Forward { op: self.id, request }, about);
        Progress::Until(step.now.after_ms(NEXT_HOME_MS).min(self.deadline_us))
    }

    /// No home answers: this node coordinates, under the same request id.
    fn stand_in(&self, step: &mut Step<'_>, may_have_begun: bool) -> Progress {
        let mut request = self.request.clone();
        request.deadline_ms = (self.deadline_us.saturating_sub(step.now.mono_us) / 1000) as u32;
        step.coordinate(self.origin, request, self.content_ms, may_have_begun);
        Progress::Done
    }
}

/// Whether other nodes than this home may do better.
const fn may_be_cured(fault: &WriteFault) -> bool {
    matches!(
        fault,
        WriteFault::Unavailable { .. }
            | WriteFault::DiskFull
            | WriteFault::Damaged
            | WriteFault::Overloaded
            | WriteFault::ClockRefused
    )
}

impl Coordinate for ForwardOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.try_next(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, _from: NodeId, message: Message) -> Progress {
        let Message::ForwardReply { answer, .. } = message else {
            return Progress::Until(self.deadline_us);
        };
        let Answer::WriteFailed(WriteError {
            state: StateChange::Unchanged,
            fault,
        }) = answer
        else {
            self.origin.answer(step, answer);
            return Progress::Done;
        };
        if self.untried > 0 && self.candidates.iter().any(|home| step.state.is_up(*home)) {
            return self.try_next(step);
        }
        if self.may_stand_in && may_be_cured(&fault) {
            return self.stand_in(step, self.asked > 1);
        }
        // This home changed nothing, but an earlier one may have.
        self.origin.answer(
            step,
            if self.asked > 1 {
                unknown(fault)
            } else {
                unchanged(fault)
            },
        );
        Progress::Done
    }

    /// The home that was asked last has the time that it was given from now on; another one comes too late. While it says
    /// that it is still at it, it is not stuck: a second coordinator would cost a second version.
    fn claimed(&mut self, step: &mut Step<'_>, by: NodeId, claim: OpId) -> Progress {
        if self.current == Some(by) && step.now.mono_us < self.asked_us.saturating_add(PATIENCE_US_MAX) {
            self.granted_until_us = step.now.after_ms(NEXT_HOME_MS);
            step.send(by, Message::ClaimReply { op: claim }, About::default());
        }
        let until_us = if self.current == Some(by) {
            self.granted_until_us
        } else {
            step.now.after_ms(NEXT_HOME_MS)
        };
        Progress::Until(until_us.min(self.deadline_us))
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            self.origin
                .answer(step, unknown(WriteFault::TimedOut { needed: 1, synced: 0 }));
            return Progress::Done;
        }
        if self.untried == 0 && self.may_stand_in && !self.leaves_to_others(step) {
            return self.stand_in(step, true);
        }
        self.try_next(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.current == Some(node) && self.granted_until_us > step.now.mono_us {
            // It may be doing it, though it can no longer say so.
            return Progress::Until(self.granted_until_us.min(self.deadline_us));
        }
        if self.current == Some(node) {
            return self.try_next(step);
        }
        Progress::Until(step.now.after_ms(NEXT_HOME_MS).min(self.deadline_us))
    }
}
