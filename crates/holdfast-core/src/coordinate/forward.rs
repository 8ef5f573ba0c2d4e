//! Handing a write to a home (rules Q1, D7): the node that took the request is none, or its copy is damaged.
//!
//! Another home is tried only under the same request id and within the deadline, so that a write whose answer was lost
//! recognises itself.

use alloc::collections::VecDeque;

use super::stand_ins::may_stand_in;
use super::{Coordinate, Origin, Progress, unchanged, unknown};
use crate::ids::{NodeId, Tick};
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::request::{Answer, ClientRequest, Request, StateChange, WriteError, WriteFault};

/// A home asks back at once before it begins (rule D7). One that has not after this long is passed over: nothing was granted
/// to it, so trying another costs no second coordinator. Longer with each time that all have been tried …
const CLAIM_WAIT_MS: u64 = 300;
/// … but not longer than this; after two such turns a node that may stands in itself.
const TURNS_BEFORE_STANDING_IN: u32 = 2;

/// A home that was granted the write and has not answered after this long is taken for stuck, and the next one is tried. A
/// write may legitimately take two rounds on slow disks, and trying early costs a second coordinator.
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
    /// Homes not asked yet in this turn.
    untried: usize,
    /// How often all of them were asked.
    turns: u32,
    /// How often a home was asked: after the first time, nobody can say that nothing changed.
    asked: usize,
    deadline_us: u64,
    /// Up to this tick homes may have done it, as they were granted it.
    above: Tick,
    /// The same without the present home.
    above_before: Tick,
    /// This node can coordinate it, if no home does.
    may_stand_in: bool,
    /// Until when the present home may begin, because it asked: nobody else is tried before, in monotonic microseconds.
    granted_until_us: u64,
    /// When it was asked.
    asked_us: u64,
    /// When another one is tried.
    until_us: u64,
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
            turns: 0,
            candidates,
            current: None,
            asked: 0,
            above: Tick(0),
            above_before: Tick(0),
            granted_until_us: 0,
            asked_us: 0,
            until_us: 0,
        }
    }

    /// This node's own copy is damaged: it cannot coordinate, and may have begun before it found that out.
    pub(crate) fn of_damaged(mut self, may_have_begun: bool, above: Tick) -> Self {
        self.may_stand_in = false;
        self.asked = usize::from(may_have_begun);
        self.above = above;
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
        let Some(at) = self.best(step) else {
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
        self.above_before = self.above;
        self.asked_us = step.now.mono_us;
        // Each attempt has an id of its own, so that a home can tell a second attempt from a message delivered twice.
        if self.asked > 0 {
            self.id = step.state.new_op();
        }
        self.asked += 1;
        if self.untried == 0 {
            self.turns += 1;
            self.untried = self.candidates.len() + 1;
        }
        self.untried -= 1;
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
        let (op, above) = (self.id, self.above);
        step.send(home, Message::Forward { op, above, request }, about);
        let wait_ms = (CLAIM_WAIT_MS << self.turns.min(8)).min(NEXT_HOME_MS);
        self.wait_until(step.now.after_ms(wait_ms))
    }

    fn wait_until(&mut self, until_us: u64) -> Progress {
        self.until_us = until_us.min(self.deadline_us);
        Progress::Until(self.until_us)
    }

    /// The next home that can be asked; who owes an answer already comes last.
    fn best(&self, step: &Step<'_>) -> Option<usize> {
        let homes = self.candidates.iter().enumerate();
        let up = homes.filter(|(_, home)| step.state.is_up(**home));
        up.min_by_key(|(_, home)| step.state.is_silent(step.now, **home))
            .map(|(at, _)| at)
    }

    /// No home answers: this node coordinates, under the same request id.
    fn stand_in(&self, step: &mut Step<'_>, may_have_begun: bool) -> Progress {
        let mut request = self.request.clone();
        request.deadline_ms = (self.deadline_us.saturating_sub(step.now.mono_us) / 1000) as u32;
        step.coordinate(self.origin, request, self.content_ms, may_have_begun, self.above);
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
            return Progress::Until(self.until_us);
        };
        let Answer::WriteFailed(WriteError {
            state: StateChange::Unchanged,
            fault,
        }) = answer
        else {
            self.origin.answer(step, answer);
            return Progress::Done;
        };
        self.above = self.above_before;
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
    ///
    /// The next home is told up to which tick this one may have done it, so that its version covers what this one did:
    /// otherwise that would stand beside whatever replaces the write later, and perhaps above it.
    fn claimed(&mut self, step: &mut Step<'_>, by: NodeId, claim: OpId, up_to: Tick) -> Progress {
        if self.current == Some(by) && step.now.mono_us < self.asked_us.saturating_add(PATIENCE_US_MAX) {
            self.granted_until_us = step.now.after_ms(NEXT_HOME_MS);
            self.above = self.above.max(up_to);
            step.send(by, Message::ClaimReply { op: claim, up_to }, About::default());
            return self.wait_until(self.granted_until_us);
        }
        Progress::Until(self.until_us)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            self.origin
                .answer(step, unknown(WriteFault::TimedOut { needed: 1, synced: 0 }));
            return Progress::Done;
        }
        if let Some(home) = self.current.filter(|_| self.granted_until_us == 0) {
            step.note_unanswered(&[home], self.asked_us);
        }
        let were_all_asked = self.untried == 0 && self.turns + 1 >= TURNS_BEFORE_STANDING_IN;
        if were_all_asked && self.may_stand_in && !self.leaves_to_others(step) {
            return self.stand_in(step, true);
        }
        self.try_next(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        // One that was granted the write may be doing it, though it can no longer say so.
        if self.current == Some(node) && self.granted_until_us <= step.now.mono_us {
            return self.try_next(step);
        }
        Progress::Until(self.until_us)
    }
}
