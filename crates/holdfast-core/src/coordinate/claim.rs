//! Taking over a write that another node hands over: only while that node still waits for this one (rule D7).
//!
//! A message may lie in a connection for as long as a partition lasts, and a process may stand still: meanwhile whoever
//! handed the write over has given it to another home, answered its client, and the client has written something else.
//! Doing it then would put an old write above an acknowledged newer one. So this node asks back before it begins, and what
//! it was granted lapses by its own clock, before the other gives up on it by its own. No two clocks are compared.

use alloc::boxed::Box;

use super::handing::NEXT_HOME_MS;
use super::put::Incoming;
use super::{Coordinate, Origin, Progress};
use crate::ids::{NodeId, Tick};
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::planted::Planted;
use crate::request::{ClientRequest, Request};

/// What was granted lapses after this time, counted from the question. The rest of the other's patience is for clocks that
/// run at different speeds.
const GRANT_MS: u64 = NEXT_HOME_MS - NEXT_HOME_MS / 8;

/// Where ticks run ahead of the clock, others may take some in between.
const TICKS_ROOM: u64 = 1 << 16;

/// What waits to be granted.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all that is claimed is requests, and the operation around them is in a box already"
)]
enum Claimed {
    /// Nothing of it has been looked at.
    Request(ClientRequest),
    /// The put of an upload that was looked at for longer than the clock's part of the grant.
    Completion(Box<Incoming>),
}

/// A write handed over, which has not begun.
pub(crate) struct ClaimOp {
    id: OpId,
    by: NodeId,
    forward: OpId,
    what: Option<Claimed>,
    /// Up to this tick other homes may have done it already.
    above: Tick,
    /// No tick above this is issued for it, unless that is asked for again.
    up_to: Tick,
    /// When this node asked, in Unix milliseconds: the answer shows that the request is no older, whatever clock the other
    /// has (rule G2).
    asked_ms: u64,
    until_us: u64,
}

/// The highest tick that the clock alone can give while a grant lasts.
pub(super) fn up_to_soon(step: &Step<'_>) -> Tick {
    Tick::from_millis(step.now.wall_ms.saturating_add(GRANT_MS))
}

/// A tick, and room above it.
pub(super) const fn with_room(tick: Tick) -> Tick {
    Tick(tick.0.saturating_add(TICKS_ROOM))
}

impl ClaimOp {
    /// Asks back, then begins.
    pub(crate) fn spawn(step: &mut Step<'_>, by: NodeId, forward: OpId, above: Tick, request: ClientRequest) {
        if step.state.is_planted(Planted::ClaimLeftOut) {
            let origin = Origin::Forwarded {
                by,
                op: forward,
                until_us: u64::MAX,
                up_to: Tick(u64::MAX),
                above,
            };
            return step.begin(origin, request);
        }
        let up_to = up_to_soon(step);
        Self::ask(step, by, forward, above, up_to, Claimed::Request(request));
    }

    /// What the key has seen lies further ahead of this clock than what was granted: asks for more, then begins from the
    /// beginning.
    pub(crate) fn spawn_again(step: &mut Step<'_>, incoming: Incoming, tick: Tick) {
        let Origin::Forwarded {
            by, op: forward, above, ..
        } = incoming.origin
        else {
            return;
        };
        let up_to = up_to_soon(step).max(with_room(tick));
        let what = if incoming.side.is_empty() {
            Claimed::Request(ClientRequest {
                request: incoming.request,
                deadline_ms: incoming.deadline_ms,
                what: Request::Put(incoming.put),
            })
        } else {
            Claimed::Completion(Box::new(incoming))
        };
        Self::ask(step, by, forward, above, up_to, what);
    }

    fn ask(step: &mut Step<'_>, by: NodeId, forward: OpId, above: Tick, up_to: Tick, what: Claimed) {
        let op = Self {
            id: step.state.new_op(),
            by,
            forward,
            what: Some(what),
            above,
            up_to,
            asked_ms: step.now.wall_ms,
            until_us: step.now.after_ms(GRANT_MS),
        };
        step.spawned.push(Box::new(op));
    }

    /// What completes an upload may read ten thousand parts first. It needs no limit of time: a closed upload stays closed.
    fn has_time(&self) -> bool {
        match &self.what {
            Some(Claimed::Request(request)) => matches!(request.what, Request::Upload(_)),
            Some(Claimed::Completion(_)) => true,
            None => false,
        }
    }
}

impl Coordinate for ClaimOp {
    fn id(&self) -> OpId {
        self.id
    }

    /// What completes an upload began before its parts were read.
    fn begins_when_granted(&self) -> bool {
        matches!(self.what, Some(Claimed::Request(_)))
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        let (op, forward, up_to) = (self.id, self.forward, self.up_to);
        step.send(self.by, Message::Claim { op, forward, up_to }, About::default());
        Progress::Until(self.until_us)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if from != self.by || !matches!(message, Message::ClaimReply { .. }) {
            return Progress::Until(self.until_us);
        }
        let origin = Origin::Forwarded {
            by: self.by,
            op: self.forward,
            until_us: if self.has_time() { u64::MAX } else { self.until_us },
            up_to: self.up_to,
            above: self.above,
        };
        if step.now.mono_us < self.until_us {
            match self.what.take() {
                Some(Claimed::Request(request)) => {
                    let content_ms = core::mem::replace(&mut step.content_ms, self.asked_ms);
                    step.begin(origin, request);
                    step.content_ms = content_ms;
                }
                Some(Claimed::Completion(incoming)) => step.begin_put(Incoming { origin, ..*incoming }),
                None => {}
            }
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
