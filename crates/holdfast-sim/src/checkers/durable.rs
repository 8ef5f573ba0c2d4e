//! *What a node was trusted with lies on its disk.*
//!
//! *Acknowledged means synced on W nodes that are homes or stand in for different ones, the coordinator's among them*
//! (Q1): judged when the answer leaves the node,
//! by what a power cut of the whole cluster at that instant would leave.
//!
//! *A hint is kept until its home has it* (H3): a home is struck off the list only once it has had on its disk all that the
//! hint holds.

use holdfast_core::ids::NodeId;
use holdfast_core::record::Record;
use holdfast_core::request::PutOutcome;

use super::dots::name;
use crate::truth::{KeyIx, NodeIx, Truth};

/// Judges the answer to a put; `nodes` are the members in the order of their numbers.
#[must_use]
pub fn check_ack(truth: &Truth, key: KeyIx, outcome: &PutOutcome, w: u8, nodes: &[NodeId]) -> Option<String> {
    let of = truth.of(key);
    let holds = |home: &NodeId| {
        let number = nodes.iter().position(|node| node == home);
        number.is_some_and(|number| truth.copies[number].held(key, outcome.dot))
    };
    let mut synced: Vec<NodeId> = of.homes.iter().copied().filter(holds).collect();
    for (home, stand_in) in &outcome.hinted {
        if !synced.contains(home) && !synced.contains(stand_in) && holds(stand_in) {
            synced.push(*stand_in);
        }
    }
    let needed = usize::from(w).min(of.homes.len());
    let dot = name(outcome.dot);
    if synced.len() < needed {
        return Some(format!(
            "{dot} of {:?} is acknowledged, synced on {synced:?} only",
            of.place.key
        ));
    }
    // A stand-in that coordinated may have handed its hint over by now.
    let coordinator = nodes.iter().position(|node| *node == outcome.coordinator);
    let has_synced = coordinator.is_some_and(|number| truth.copies[number].once_covered(key, outcome.dot));
    (!has_synced).then(|| {
        format!(
            "{dot} of {:?} is acknowledged, its coordinator {} has not synced it",
            of.place.key, outcome.coordinator
        )
    })
}

/// Judges that a hint is owed to a home no longer.
#[must_use]
pub fn check_struck_off(truth: &Truth, key: KeyIx, hint: &Record, home: NodeIx) -> Option<String> {
    (!truth.copies[home.0].once_held(key, hint.context())).then(|| {
        let key = &truth.of(key).place.key;
        format!(
            "n{} is owed a hint of {key:?} no longer, and never had all of it",
            home.0
        )
    })
}
