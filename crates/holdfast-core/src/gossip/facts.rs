//! What members tell about themselves, and who still has to be told.
//!
//! Each member writes its own facts and nobody else's; the newest (generation, version) wins everywhere, so a datagram
//! that comes late or twice changes nothing. Every datagram carries its sender's facts and a few others', those first
//! that were passed on least often: news travels fast, and a member that was away is told everything in the end without
//! anybody keeping account of who knows what.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::identity::Generation;
use crate::ids::{ActorId, NodeId, Partition, Tick};

/// Partitions that a list of hints names at most: more would not fit beside the rest, and whoever holds hints for more
/// has to be asked anyway.
pub const HINTED_MAX: usize = 32;

/// For which partitions a node holds hints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hinted {
    /// These and no others, in ascending order; at most [`HINTED_MAX`].
    Only(Vec<Partition>),
    /// More than can be listed: ask the node.
    Many,
}

impl Hinted {
    /// Of any list of partitions.
    #[must_use]
    pub fn of(partitions: &[Partition]) -> Self {
        let mut partitions = partitions.to_vec();
        partitions.sort_unstable();
        partitions.dedup();
        if partitions.len() > HINTED_MAX {
            Self::Many
        } else {
            Self::Only(partitions)
        }
    }

    /// Whether the node may hold hints for a partition.
    #[must_use]
    pub fn may_hold(&self, partition: Partition) -> bool {
        match self {
            Self::Only(partitions) => partitions.binary_search(&partition).is_ok(),
            Self::Many => true,
        }
    }
}

/// What a member tells about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// The life of its disk (rule S1).
    pub actor: ActorId,
    /// The number of its start (rule S1).
    pub boot: u64,
    /// The number of the layout it works by.
    pub epoch: u64,
    /// The newest format level it understands (rule L8).
    pub format_level: u16,
    /// Bytes of its disk that are taken.
    pub disk_used_bytes: u64,
    /// Bytes of its disk.
    pub disk_total_bytes: u64,
    /// For which partitions it holds hints.
    pub hinted: Hinted,
    /// Tells this start from others of the same number (rule S1).
    pub run: u64,
    /// No tick that it has issued lies above this.
    pub tick_bound: Tick,
    /// Whether it may speak for what its disk holds.
    pub soundness: Soundness,
    /// It ends in order: this is the last that it says in this generation.
    pub is_ending: bool,
}

/// Whether a node may speak for what its disk holds (rules S1, S2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Soundness {
    /// It may.
    Sound,
    /// It has started, and not enough others have said yet whether its disk is an old copy.
    Unvouched,
    /// Its disk was lost or put aside, and it takes back from others what it should hold.
    Filling,
}

/// The facts of one member as they travel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Whose.
    pub node: NodeId,
    /// In which of its generations it said so.
    pub generation: Generation,
    /// Raised with each change within a generation.
    pub version: u64,
    /// What it said.
    pub facts: NodeFacts,
}

impl Told {
    const fn age(&self) -> (Generation, u64) {
        (self.generation, self.version)
    }
}

/// What is known of all members.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// With the number of times they were passed on since they changed.
    known: BTreeMap<NodeId, (Told, u32)>,
}

impl Facts {
    /// Takes note, unless something newer is known.
    pub(crate) fn learn(&mut self, told: Told) {
        if self
            .known
            .get(&told.node)
            .is_none_or(|(known, _)| known.age() < told.age())
        {
            self.known.insert(told.node, (told, 0));
        }
    }

    pub(crate) fn of(&self, node: NodeId) -> Option<&NodeFacts> {
        self.known.get(&node).map(|(told, _)| &told.facts)
    }

    /// In which of its generations a member said what is known of it.
    pub(crate) fn generation_of(&self, node: NodeId) -> Option<Generation> {
        self.known.get(&node).map(|(told, _)| told.generation)
    }

    /// Changes this node's own facts; a change makes a new version.
    pub(crate) fn change(&mut self, me: NodeId, change: impl FnOnce(&mut NodeFacts)) {
        if let Some((told, passed_on)) = self.known.get_mut(&me) {
            let before = told.facts.clone();
            change(&mut told.facts);
            if told.facts != before {
                told.version += 1;
                *passed_on = 0;
            }
        }
    }

    /// This node has a new generation: its facts are said again in it.
    pub(crate) fn renew(&mut self, me: NodeId, generation: Generation) {
        if let Some((told, passed_on)) = self.known.get_mut(&me) {
            told.generation = generation;
            *passed_on = 0;
        }
    }

    /// What a datagram to `to` carries: this node's own facts, and those of others that were passed on least often.
    pub(crate) fn pass_on(&mut self, me: NodeId, to: NodeId, count_max: usize) -> Vec<Told> {
        let mut chosen: Vec<Told> = self.known.get(&me).map(|(told, _)| told.clone()).into_iter().collect();
        while chosen.len() < count_max {
            let next = self
                .known
                .values_mut()
                .filter(|(told, _)| told.node != to && !chosen.iter().any(|other| other.node == told.node))
                .min_by_key(|(_, passed_on)| *passed_on);
            let Some((told, passed_on)) = next else { break };
            *passed_on = passed_on.saturating_add(1);
            chosen.push(told.clone());
        }
        chosen
    }

    /// Members other than `me` that may hold hints for a partition.
    pub(crate) fn hint_holders(&self, me: NodeId, partition: Partition) -> impl Iterator<Item = NodeId> + '_ {
        let may_hold = move |(told, _): &&(Told, u32)| told.node != me && told.facts.hinted.may_hold(partition);
        self.known.values().filter(may_hold).map(|(told, _)| told.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(node: u64, boot: u64, version: u64, used: u64) -> Told {
        Told {
            node: NodeId(node),
            generation: Generation::of_boot(boot),
            version,
            facts: NodeFacts {
                actor: ActorId(node),
                boot,
                epoch: 1,
                format_level: 1,
                disk_used_bytes: used,
                disk_total_bytes: 100,
                hinted: Hinted::Only(Vec::new()),
                run: boot,
                tick_bound: Tick(0),
                soundness: Soundness::Sound,
                is_ending: false,
            },
        }
    }

    #[test]
    fn the_newest_facts_win_in_whatever_order_they_come() {
        let sayings = [told(1, 1, 9, 10), told(1, 2, 1, 20), told(1, 2, 2, 30)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut facts = Facts::default();
            for at in order {
                facts.learn(sayings[at].clone());
            }
            assert_eq!(facts.of(NodeId(1)).map(|facts| facts.disk_used_bytes), Some(30));
        }
    }

    #[test]
    fn everything_is_passed_on_in_turn_and_news_first() {
        let mut facts = Facts::default();
        for node in 1..=9 {
            facts.learn(told(node, 1, 1, 0));
        }
        for _ in 0..20 {
            facts.pass_on(NodeId(1), NodeId(2), 3);
        }
        facts.learn(told(7, 1, 2, 50));
        let chosen = facts.pass_on(NodeId(1), NodeId(2), 3);
        assert_eq!((chosen[0].node, chosen[1].node), (NodeId(1), NodeId(7)));
        assert!(
            chosen.iter().all(|told| told.node != NodeId(2)),
            "nobody is told about itself"
        );
    }

    #[test]
    fn a_long_list_of_hints_becomes_a_request_to_ask() {
        let partitions: Vec<Partition> = (0..40).map(Partition).collect();
        assert!(Hinted::of(&partitions).may_hold(Partition(99)));
        let few = Hinted::of(&[Partition(9), Partition(3), Partition(9)]);
        assert_eq!(few, Hinted::Only(Vec::from([Partition(3), Partition(9)])));
        assert!(few.may_hold(Partition(9)) && !few.may_hold(Partition(4)));
    }
}
