//! Handing a write to a home (rules Q1, D7): the node that took the request is none, or its copy is damaged.
//!
//! Another home is tried only under the same request id and within the deadline, so that a write whose answer was lost
//! recognises itself.

use alloc::collections::VecDeque;

use super::handing::Handing;
use super::stand_ins::may_stand_in;
use super::{Coordinate, Origin, Progress, unchanged, unknown};
use crate::ids::{NodeId, Tick};
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::request::{Answer, ClientRequest, Request, StateChange, WriteError, WriteFault};

/// After so many turns in which all homes were asked, a node that may stands in itself.
const TURNS_BEFORE_STANDING_IN: u32 = 2;

/// A write handed to a home.
pub(crate) struct ForwardOp {
    id: OpId,
    origin: Origin,
    request: ClientRequest,
    /// When the client asked, in Unix milliseconds (rule G2).
    content_ms: u64,
    handing: Handing,
    /// This node can coordinate it, if no home does.
    may_stand_in: bool,
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
        let deadline_us = step.now.after_ms(u64::from(request.deadline_ms));
        Self {
            id: step.state.new_op(),
            origin,
            handing: Handing::new(candidates, deadline_us),
            may_stand_in: may_stand_in(&request),
            request,
            content_ms,
        }
    }

    /// This node's own copy is damaged: it cannot coordinate, and may have begun before it found that out.
    pub(crate) fn of_damaged(mut self, may_have_begun: bool, above: Tick) -> Self {
        self.may_stand_in = false;
        self.handing = self.handing.begun_before(may_have_begun, above);
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
        let is_up = |home| step.state.is_up(home);
        let is_silent = |home| step.state.is_silent(step.now, home);
        let Some(home) = self.handing.next(step.now, is_up, is_silent) else {
            return self.give_up(step);
        };
        // Each attempt has an id of its own, so that a home can tell a second attempt from a message delivered twice.
        if self.handing.asked() > 1 {
            self.id = step.state.new_op();
        }
        let mut request = self.request.clone();
        let left_ms = self.left_ms(step);
        let passed_ms = step.now.wall_ms.saturating_sub(self.content_ms);
        request.deadline_ms = left_ms.saturating_add(u32::try_from(passed_ms).unwrap_or(u32::MAX));
        let about = About {
            request: request.request,
            deadline_ms: left_ms,
            settings_version: 0,
            content_ms: Some(self.content_ms),
        };
        let (op, above) = (self.id, self.handing.above());
        step.send(home, Message::Forward { op, above, request }, about);
        self.wait()
    }

    /// No home can be asked.
    fn give_up(&self, step: &mut Step<'_>) -> Progress {
        let may_have_begun = self.handing.asked() > 0;
        if self.may_stand_in {
            return self.stand_in(step, may_have_begun);
        }
        let fault = WriteFault::Unavailable {
            needed: 1,
            reached: 0,
            down: self.handing.candidates().collect(),
        };
        self.fail(step, may_have_begun, fault)
    }

    fn fail(&self, step: &mut Step<'_>, may_have_begun: bool, fault: WriteFault) -> Progress {
        let answer = if may_have_begun {
            unknown(fault)
        } else {
            unchanged(fault)
        };
        self.origin.answer(step, answer);
        Progress::Done
    }

    const fn wait(&self) -> Progress {
        Progress::Until(self.handing.until_us())
    }

    fn left_ms(&self, step: &Step<'_>) -> u32 {
        (self.handing.deadline_us().saturating_sub(step.now.mono_us) / 1000) as u32
    }

    /// No home answers: this node coordinates, under the same request id.
    fn stand_in(&self, step: &mut Step<'_>, may_have_begun: bool) -> Progress {
        let mut request = self.request.clone();
        request.deadline_ms = self.left_ms(step);
        step.coordinate(
            self.origin,
            request,
            self.content_ms,
            may_have_begun,
            self.handing.above(),
        );
        Progress::Done
    }
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
            return self.wait();
        };
        let Answer::WriteFailed(WriteError {
            state: StateChange::Unchanged,
            fault,
        }) = answer
        else {
            self.origin.answer(step, answer);
            return Progress::Done;
        };
        self.handing.refused();
        if self.handing.has_untried() && self.handing.candidates().any(|home| step.state.is_up(home)) {
            return self.try_next(step);
        }
        // This home changed nothing, but an earlier one may have.
        let may_have_begun = self.handing.asked() > 1;
        if self.may_stand_in && fault.may_be_cured() {
            return self.stand_in(step, may_have_begun);
        }
        self.fail(step, may_have_begun, fault)
    }

    fn claimed(&mut self, step: &mut Step<'_>, by: NodeId, claim: OpId, up_to: Tick) -> Progress {
        if self.handing.claimed(step.now, by, up_to) {
            step.send(by, Message::ClaimReply { op: claim, up_to }, About::default());
        }
        self.wait()
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.handing.deadline_us() {
            return self.fail(step, true, WriteFault::TimedOut { needed: 1, synced: 0 });
        }
        if let Some(home) = self.handing.unclaimed() {
            step.note_unanswered(&[home], self.handing.asked_us());
        }
        if self.handing.went_round(TURNS_BEFORE_STANDING_IN) && self.may_stand_in && !self.leaves_to_others(step) {
            return self.stand_in(step, true);
        }
        self.try_next(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.handing.is_left_by(step.now, node) {
            return self.try_next(step);
        }
        self.wait()
    }
}
