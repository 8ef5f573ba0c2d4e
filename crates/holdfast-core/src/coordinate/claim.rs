//! Taking over a write that another node hands over: only while that node still waits for this one (rule D7).
//!
//! A message may lie in a connection for as long as a partition lasts, and a process may stand still: meanwhile whoever
//! handed the write over has given it to another home, answered its client, and the client has written something else.
//! Doing it then would put an old write above an acknowledged newer one. So this node asks back before it begins, and what
//! it was granted lapses by its own clock, before the other gives up on it by its own. No two clocks are compared.

use alloc::boxed::Box;

use super::forward::NEXT_HOME_MS;
use super::{Coordinate, Origin, Progress};
use crate::ids::NodeId;
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::planted::Planted;
use crate::request::{ClientRequest, Request};

/// What was granted lapses after this time, counted from the question. The rest of the other's patience is for clocks that
/// run at different speeds.
const GRANT_MS: u64 = NEXT_HOME_MS - NEXT_HOME_MS / 8;

/// A write handed over, which has not begun.
pub(crate) struct ClaimOp {
    id: OpId,
    by: NodeId,
    forward: OpId,
    request: Option<ClientRequest>,
    /// When this node asked, in Unix milliseconds: the answer shows that the request is no older, whatever clock the other
    /// has (rule G2).
    asked_ms: u64,
    until_us: u64,
}

impl ClaimOp {
    /// Asks back, then begins.
    pub(crate) fn spawn(step: &mut Step<'_>, by: NodeId, forward: OpId, request: ClientRequest) {
        let until_us = step.now.after_ms(GRANT_MS);
        if step.state.is_planted(Planted::ClaimLeftOut) {
            let origin = Origin::Forwarded {
                by,
                op: forward,
                until_us: u64::MAX,
            };
            return step.begin(origin, request);
        }
        let op = Self {
            id: step.state.new_op(),
            by,
            forward,
            request: Some(request),
            asked_ms: step.now.wall_ms,
            until_us,
        };
        step.spawned.push(Box::new(op));
    }
}

impl Coordinate for ClaimOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        let (op, forward) = (self.id, self.forward);
        step.send(self.by, Message::Claim { op, forward }, About::default());
        Progress::Until(self.until_us)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if from != self.by || !matches!(message, Message::ClaimReply { .. }) {
            return Progress::Until(self.until_us);
        }
        // What completes an upload may read ten thousand parts first. It needs no limit: a closed upload stays closed.
        let is_upload = matches!(&self.request, Some(request) if matches!(request.what, Request::Upload(_)));
        let origin = Origin::Forwarded {
            by: self.by,
            op: self.forward,
            until_us: if is_upload { u64::MAX } else { self.until_us },
        };
        if let Some(request) = self.request.take()
            && step.now.mono_us < self.until_us
        {
            let content_ms = core::mem::replace(&mut step.content_ms, self.asked_ms);
            step.begin(origin, request);
            step.content_ms = content_ms;
        }
        Progress::Done
    }

    /// Nobody waits any more: nothing was begun, and nothing is answered.
    fn timer(&mut self, _: &mut Step<'_>) -> Progress {
        Progress::Done
    }

    fn peer_down(&mut self, _: &mut Step<'_>, node: NodeId) -> Progress {
        if node == self.by {
            Progress::Done
        } else {
            Progress::Until(self.until_us)
        }
    }
}
