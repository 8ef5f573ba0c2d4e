//! Telling a member that this node has started, until it has answered (rule S1): begun whenever messages can be sent to it
//! again, as long as this node runs.

use alloc::boxed::Box;

use super::{Coordinate, Progress, RESEND_MS};
use crate::ids::NodeId;
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};

/// An announcement on its way.
pub(crate) struct AnnounceOp {
    id: OpId,
    to: NodeId,
}

impl AnnounceOp {
    /// Begins, unless the member is being asked. Each connection anew: the member may have forgotten what it heard.
    pub(crate) fn spawn(step: &mut Step<'_>, to: NodeId) {
        if step.state.standing.announcing.insert(to) {
            let id = step.state.new_op();
            step.spawned.push(Box::new(Self { id, to }));
        }
    }

    fn send(&self, step: &mut Step<'_>) -> Progress {
        let said = step.state.standing.announcement;
        step.send(self.to, Message::Announce { op: self.id, said }, About::default());
        Progress::Until(step.now.after_ms(RESEND_MS))
    }

    fn over(&self, step: &mut Step<'_>) -> Progress {
        step.state.standing.announcing.remove(&self.to);
        Progress::Done
    }
}

impl Coordinate for AnnounceOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.send(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        match message {
            Message::Announced { known, run, .. } if from == self.to => {
                step.vouched_by(from, known, run);
                self.over(step)
            }
            _ => Progress::Until(step.now.after_ms(RESEND_MS)),
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        self.send(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if node == self.to {
            self.over(step)
        } else {
            Progress::Until(step.now.after_ms(RESEND_MS))
        }
    }
}
