//! Whom a read asks beside R homes: nodes that gossip says hold hints for the partition (rule Q3).
//!
//! What they hold was acknowledged, and the homes may not have it yet. They do not count among the R, and a read waits
//! for them no longer than for a home that is slow: who cannot be heard is named in the answer instead. A handoff moves
//! hints within milliseconds of a home's return, so in the usual case there is nobody to ask.

use alloc::vec::Vec;

use crate::ids::{NodeId, Partition};
use crate::node::state::Step;

/// So many are asked at most, those first that stand in first; the others are named as unheard.
pub(crate) const HOLDERS_MAX: usize = 8;

/// Nodes that may hold hints for a partition that they are no home of, this one left out; best first, and those that are
/// down, too.
pub(crate) fn holders_of(step: &Step<'_>, partition: Partition, n: u8) -> Vec<NodeId> {
    let told: Vec<NodeId> = step.state.gossip.hint_holders(partition).collect();
    if told.is_empty() {
        return told;
    }
    let layout = step.state.layout();
    let beyond = layout.preference_list(partition).skip(layout.homes_count(n));
    beyond.filter(|node| told.contains(node)).collect()
}

/// The holders of one read.
#[derive(Clone, Debug, Default)]
pub(crate) struct HintHolders {
    /// Asked, and not answered yet.
    asked: Vec<NodeId>,
    /// Not to be heard.
    unheard: Vec<NodeId>,
}

impl HintHolders {
    /// Those of a partition. Whoever `asked` names is to be asked now.
    pub(crate) fn of(step: &Step<'_>, partition: Partition, n: u8) -> Self {
        let mut holders = Self::default();
        for node in holders_of(step, partition, n) {
            if step.state.is_up(node) && holders.asked.len() < HOLDERS_MAX {
                holders.asked.push(node);
            } else {
                holders.unheard.push(node);
            }
        }
        holders
    }

    /// Who is still waited for.
    pub(crate) fn asked(&self) -> &[NodeId] {
        &self.asked
    }

    /// A node answered, or did so badly.
    pub(crate) fn heard(&mut self, node: NodeId, well: bool) {
        let before = self.asked.len();
        self.asked.retain(|asked| *asked != node);
        if self.asked.len() < before && !well {
            self.unheard.push(node);
        }
    }

    /// Who did not tell what it holds.
    pub(crate) fn unheard(&self) -> Vec<NodeId> {
        [&self.unheard[..], &self.asked].concat()
    }
}
