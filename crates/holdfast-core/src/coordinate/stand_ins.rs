//! Who stands in for homes that cannot be reached (rules Q1, H1; Dynamo §4.6).
//!
//! The next members of the preference list that are up, one for each home while there are enough, so that readers who
//! see the same nodes up ask the same stand-ins. When there are fewer, the same ones owe several homes: every missing
//! home is owed by somebody, as far as anybody can be reached.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{NodeId, Partition};
use crate::node::state::Step;
use crate::quorum::{Tally, Vote};
use crate::request::{ClientRequest, Request};

/// Whether a node that is no home may coordinate a request in their place (rule Q1): a plain put of a bucket that allows it.
pub(crate) fn may_stand_in(request: &ClientRequest) -> bool {
    matches!(&request.what, Request::Put(put) if put.settings.sloppy)
}

/// The stand-ins of one write, and what each owes by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandIns {
    owes: BTreeMap<NodeId, Vec<NodeId>>,
}

impl StandIns {
    /// Seats this node for the homes it stands for itself, and others for homes that are down.
    pub(crate) fn of(step: &Step<'_>, partition: Partition, tally: &mut Tally, own: &[NodeId]) -> Self {
        let mut stand_ins = Self::default();
        for home in own {
            tally.seat(*home, step.state.me());
            stand_ins.owes.entry(step.state.me()).or_default().push(*home);
        }
        let down = tally.vacant(Vote::Down);
        stand_ins.seat(step, partition, tally, &down);
        stand_ins
    }

    /// Seats a stand-in for each of these homes. Returns who must be asked, for the first time or again.
    pub(crate) fn seat(
        &mut self,
        step: &Step<'_>,
        partition: Partition,
        tally: &mut Tally,
        homes: &[NodeId],
    ) -> Vec<NodeId> {
        let mut changed = Vec::new();
        for home in homes {
            let Some(node) = self.choose(step, partition, tally) else {
                return changed;
            };
            tally.seat(*home, node);
            self.owes.entry(node).or_default().push(*home);
            if !changed.contains(&node) {
                changed.push(node);
            }
        }
        changed
    }

    /// A home that holds a write without counting as a home stands in for itself (rule S2).
    pub(crate) fn seat_itself(&mut self, tally: &mut Tally, home: NodeId) {
        tally.seat(home, home);
        self.owes.insert(home, Vec::from([home]));
    }

    /// What a node owes by this write; empty for a home.
    pub(crate) fn owed_by(&self, node: NodeId) -> Vec<NodeId> {
        self.owes.get(&node).cloned().unwrap_or_default()
    }

    /// The first that is not silent and owes nothing yet, else whoever owes least.
    fn choose(&self, step: &Step<'_>, partition: Partition, tally: &Tally) -> Option<NodeId> {
        let homes: Vec<NodeId> = tally.homes().collect();
        let usable = |node: &NodeId| {
            let failed = matches!(tally.get(*node), Some(Vote::No | Vote::Down));
            !homes.contains(node) && step.state.is_up(*node) && !failed
        };
        let members = step.state.layout().preference_list(partition).filter(usable);
        members.min_by_key(|node| {
            let owes = self.owes.get(node).map_or(0, Vec::len);
            (step.state.is_silent(step.now, *node), owes)
        })
    }
}

/// Silent homes without which a write would be waiting: there are not enough others (rule Q2).
pub(crate) fn silent_and_needed(step: &Step<'_>, tally: &Tally) -> Vec<NodeId> {
    let mut asked = tally.vacant(Vote::Asked);
    asked.retain(|home| step.state.is_silent(step.now, *home));
    if tally.possible() >= tally.needed() + asked.len() {
        asked.clear();
    }
    asked
}
