//! Members that owe an answer and have said nothing since (rule Q2).
//!
//! Gossip takes seconds to hold a member down, and must: what is held down is written for by others, and handed off to. This
//! is the quick guess for the time before, and nothing more than an order of preference: who is silent is asked last, and
//! still sent whatever homes must have. A word of it, whatever it says, ends that.

use alloc::collections::BTreeMap;

use super::state::{State, Step};
use crate::ids::NodeId;
use crate::time::Now;

/// Who owes an answer for this long, in microseconds, and is not heard, is silent: longer than members are apart, and than
/// a busy one takes to say anything at all.
const SILENT_US: u64 = 150_000;

/// What is known of when members spoke.
#[derive(Debug, Default)]
pub(crate) struct Silent {
    /// When each was last heard, in monotonic microseconds.
    heard_us: BTreeMap<NodeId, u64>,
    /// Since when each owes an answer, of those that were not heard since.
    owing_us: BTreeMap<NodeId, u64>,
}

impl Silent {
    /// A member said something.
    pub(crate) fn heard(&mut self, node: NodeId, now_us: u64) {
        self.heard_us.insert(node, now_us);
        self.owing_us.remove(&node);
    }

    /// A member has not answered what it was asked then, in the time that it usually takes.
    pub(crate) fn owes_since(&mut self, node: NodeId, asked_us: u64) {
        if self.heard_us.get(&node).is_none_or(|heard_us| *heard_us <= asked_us) {
            self.owing_us.entry(node).or_insert(asked_us);
        }
    }

    /// Whether a member is better asked last.
    pub(crate) fn is_silent(&self, node: NodeId, now_us: u64) -> bool {
        let owing_us = self.owing_us.get(&node);
        owing_us.is_some_and(|since_us| now_us >= since_us + SILENT_US)
    }
}

impl State {
    /// Whether a member owes an answer and says nothing: it is asked last.
    pub(crate) fn is_silent(&self, now: Now, node: NodeId) -> bool {
        self.silent.is_silent(node, now.mono_us)
    }
}

impl Step<'_> {
    /// Notes that nodes have not answered what they were asked then. This one waits for its disk, not for itself.
    pub(crate) fn note_unanswered(&mut self, nodes: &[NodeId], asked_us: u64) {
        let me = self.state.me();
        for node in nodes.iter().filter(|node| **node != me) {
            self.state.silent.owes_since(*node, asked_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    #[test]
    fn who_owes_an_answer_is_silent_after_a_while_until_it_speaks() {
        let mut silent = Silent::default();
        silent.heard(NODE, 1_000);
        silent.owes_since(NODE, 2_000);
        silent.owes_since(NODE, 50_000);
        assert!(!silent.is_silent(NODE, SILENT_US + 1_999));
        assert!(silent.is_silent(NODE, SILENT_US + 2_000));
        assert!(!silent.is_silent(NodeId(2), SILENT_US + 2_000));
        silent.heard(NODE, SILENT_US + 3_000);
        assert!(!silent.is_silent(NODE, 10 * SILENT_US));
    }

    #[test]
    fn who_spoke_since_it_was_asked_is_slow_but_not_silent() {
        let mut silent = Silent::default();
        silent.heard(NODE, 3_000);
        silent.owes_since(NODE, 2_000);
        assert!(!silent.is_silent(NODE, 10 * SILENT_US));
    }
}
