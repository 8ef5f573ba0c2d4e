//! Gossip as people see it: every member, what it is taken for, since when, and what it told about itself.

use super::facts::NodeFacts;
use super::maintenance::Mark;
use super::{Gossip, Identity};
use crate::ids::NodeId;
use crate::time::Now;

/// What a node takes a member for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MemberState {
    /// It answers, or others say that it does.
    Up,
    /// It does not answer at present; it is still used.
    Suspect,
    /// Nothing was heard of it since this node started, which is not long ago; it is used if it can be reached.
    Unheard,
    /// It is down, or cannot be reached from here.
    Down,
    /// It has ended in order, and said so.
    Stopped,
}

impl MemberState {
    /// Whether nothing can be had from it.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Down | Self::Stopped)
    }
}

/// One member, seen from this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberView {
    /// Which.
    pub node: NodeId,
    /// What it is taken for.
    pub state: MemberState,
    /// Since when, Unix milliseconds of this node's clock.
    pub since_ms: u64,
    /// Whether it is down on purpose: it must not alarm anybody.
    pub maintenance: Option<Mark>,
    /// By how much its clock is ahead of this node's (negative: behind), in milliseconds, if it was heard lately.
    pub clock_ahead_ms: Option<i64>,
    /// What it last told about itself; may be older than its absence.
    pub facts: Option<NodeFacts>,
}

impl Gossip {
    /// What a member is taken for. `has_session` says whether messages can be sent to it.
    pub(crate) fn state_of(&self, now: Now, node: NodeId, has_session: bool) -> MemberState {
        let Some(peer) = self.peers.get(&node) else {
            return MemberState::Up;
        };
        // Who hears nobody judges nobody, so as not to mislead others. But what neither speaks nor can be spoken to is
        // down for this node, whichever of the two is to blame.
        if self.begun.is_some() && self.is_isolated(now) && !has_session {
            return MemberState::Down;
        }
        peer.state()
    }

    /// A member, this node included.
    pub(crate) fn view(&self, now: Now, node: NodeId, has_session: bool) -> MemberView {
        let started_ms = self.begun.map_or(now.wall_ms, |begun| begun.wall_ms);
        MemberView {
            node,
            state: self.state_of(now, node, has_session),
            since_ms: self.peers.get(&node).map_or(started_ms, |peer| peer.since_ms),
            maintenance: self.marks.of(node),
            clock_ahead_ms: self.clocks.ahead_ms(now, node),
            facts: self.facts.of(node).cloned(),
        }
    }

    /// By how much this node's clock is ahead of what most members' show (negative: behind), in milliseconds, if that is too
    /// much (rule S4).
    pub(crate) const fn clock_off_ms(&self) -> Option<i64> {
        self.clocks.off_ms()
    }

    /// Which generation this node is in, for those who look on.
    pub(crate) const fn identity(&self) -> &Identity {
        self.swim.identity()
    }
}
