//! Writes that other nodes handed over lately (rule D7): a message delivered twice must not be done twice. A refusal is as
//! final as an answer: whoever handed it over has told the client.

use alloc::collections::{BTreeSet, VecDeque};

use crate::ids::NodeId;
use crate::message::OpId;

/// Remembered at most. The network between nodes is TCP, so a repetition would follow soon.
const REMEMBERED_MAX: usize = 1_024;

/// The last writes handed over.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    seen: BTreeSet<(NodeId, OpId)>,
    order: VecDeque<(NodeId, OpId)>,
}

impl HandedOver {
    /// Whether this attempt comes for the first time.
    pub(crate) fn is_new(&mut self, from: NodeId, op: OpId) -> bool {
        if !self.seen.insert((from, op)) {
            return false;
        }
        self.order.push_back((from, op));
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_recognised_until_it_is_long_ago() {
        let mut handed_over = HandedOver::default();
        assert!(handed_over.is_new(NodeId(1), OpId(7)));
        assert!(!handed_over.is_new(NodeId(1), OpId(7)));
        assert!(handed_over.is_new(NodeId(2), OpId(7)));
        for op in 0..REMEMBERED_MAX as u64 {
            handed_over.is_new(NodeId(3), OpId(op));
        }
        assert!(handed_over.is_new(NodeId(1), OpId(7)));
    }
}
