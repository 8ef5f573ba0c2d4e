//! Looking for whoever answers for a position, hop by hop: whoever asks goes on himself (iterative), so that it sees the path, and
//! a node that died on the way costs one wait and not the lookup.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Hop, Peer, distance};
use crate::ids::{NodeId, Position};

/// Nodes asked at most: far more than any path, and an end where tables lead in circles.
const ASKED_MAX: usize = 256;

/// Dead nodes named at most in one question.
pub const DEAD_MAX: usize = 64;

/// A search under way.
#[derive(Clone, Debug)]
pub struct Lookup {
    to: Position,
    /// Who may know more, by how far before the position it lies.
    known: BTreeMap<(u64, NodeId), Peer>,
    /// Who answers for it, the likeliest first.
    owners: Vec<Peer>,
    dead: Vec<NodeId>,
    /// Who has answered, and how many were known to be dead when it did: once there are more, it may say something else.
    asked: BTreeMap<NodeId, usize>,
    path: Vec<Peer>,
    found: Option<Peer>,
}

impl Lookup {
    /// A search that begins at any nodes of the ring.
    #[must_use]
    pub fn new(to: Position, from: impl IntoIterator<Item = Peer>) -> Self {
        let mut lookup = Self {
            to,
            known: BTreeMap::new(),
            owners: Vec::new(),
            dead: Vec::new(),
            asked: BTreeMap::new(),
            path: Vec::new(),
            found: None,
        };
        from.into_iter().for_each(|peer| lookup.learn(peer));
        lookup
    }

    /// What is looked for.
    #[must_use]
    pub const fn to(&self) -> Position {
        self.to
    }

    /// Who did not answer, and is to be left out of answers ([`super::Table::hop`]): the latest, so many that a message can name them.
    #[must_use]
    pub fn dead(&self) -> &[NodeId] {
        &self.dead[self.dead.len().saturating_sub(DEAD_MAX)..]
    }

    /// Whom to ask next: an owner, which only has to answer, else whoever lies nearest before the position. `None` when it is found, or
    /// nobody is left who might know.
    #[must_use]
    pub fn next(&self) -> Option<Peer> {
        if self.found.is_some() || self.path.len() + self.dead.len() >= ASKED_MAX {
            return None;
        }
        let owner = self.owners.first().copied();
        let has_said_all = |peer: &&Peer| self.asked.get(&peer.node) == Some(&self.dead.len());
        owner.or_else(|| self.known.values().find(|peer| !has_said_all(peer)).copied())
    }

    /// A node has answered.
    pub fn said(&mut self, by: Peer, hop: Hop) {
        self.path.push(by);
        if self.owners.first() == Some(&by) {
            self.found = Some(by);
            return;
        }
        self.asked.insert(by.node, self.dead.len());
        match hop {
            Hop::Owners(owners) if owners.first() == Some(&by) => self.found = Some(by),
            Hop::Owners(owners) => {
                self.owners = owners;
                self.owners.retain(|peer| !self.dead.contains(&peer.node));
            }
            Hop::Closer(peers) => peers.into_iter().for_each(|peer| self.learn(peer)),
        }
    }

    /// A node does not answer.
    pub fn died(&mut self, peer: Peer) {
        self.dead.push(peer.node);
        self.known.remove(&(distance(peer.at, self.to), peer.node));
        self.owners.retain(|owner| *owner != peer);
    }

    /// Who answers for the position, once that is known and it has answered.
    #[must_use]
    pub const fn found(&self) -> Option<Peer> {
        self.found
    }

    /// Who answered, in this order; the last is who was looked for.
    #[must_use]
    pub fn path(&self) -> &[Peer] {
        &self.path
    }

    /// How many did not.
    #[must_use]
    pub fn timeouts(&self) -> usize {
        self.dead.len()
    }

    fn learn(&mut self, peer: Peer) {
        if !self.dead.contains(&peer.node) {
            self.known.insert((distance(peer.at, self.to), peer.node), peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::super::tests::peer;
    use super::*;

    fn ring(count: u64, kept: usize) -> BTreeMap<NodeId, Table> {
        let members: Vec<Peer> = (1..=count).map(|number| peer(number << 40)).collect();
        let tables = members.iter().map(|me| (me.node, Table::found(*me, &members, kept)));
        tables.collect()
    }

    fn run(ring: &BTreeMap<NodeId, Table>, mut lookup: Lookup) -> Lookup {
        while let Some(asked) = lookup.next() {
            match ring.get(&asked.node) {
                Some(table) => lookup.said(asked, table.hop(lookup.to(), lookup.dead())),
                None => lookup.died(asked),
            }
        }
        lookup
    }

    #[test]
    fn a_lookup_ends_at_the_first_node_behind_the_position() {
        let ring = ring(64, 2);
        for to in [0, 1, 5 << 40, (5 << 40) + 1, 64 << 40, (64 << 40) + 1, u64::MAX] {
            let lookup = run(&ring, Lookup::new(Position(to), [peer(9 << 40)]));
            let expected = ring.keys().find(|node| node.0 >= to).or_else(|| ring.keys().next());
            assert_eq!(lookup.found().map(|found| found.node).as_ref(), expected, "{to:x}");
            assert_eq!(lookup.path().last().copied(), lookup.found());
            assert!(
                lookup.path().len() <= 8 && lookup.timeouts() == 0,
                "{:?}",
                lookup.path()
            );
        }
    }

    #[test]
    fn who_is_dead_is_gone_around_and_the_next_successor_answers() {
        let mut ring = ring(64, 3);
        let to = Position((40 << 40) + 1);
        let whole = run(&ring, Lookup::new(to, [peer(9 << 40)]));
        assert_eq!(whole.found(), Some(peer(41 << 40)));
        let on_the_way = whole.path()[1];
        ring.remove(&on_the_way.node);
        ring.remove(&peer(41 << 40).node);
        let lookup = run(&ring, Lookup::new(to, [peer(9 << 40)]));
        assert_eq!(lookup.found(), Some(peer(42 << 40)));
        assert!(lookup.timeouts() >= 2, "it met both");
    }

    #[test]
    fn it_ends_where_nobody_knows_more_or_answers_lead_in_circles() {
        let mut lookup = Lookup::new(Position(7), [peer(1)]);
        lookup.said(peer(1), Hop::Closer(Vec::new()));
        assert_eq!((lookup.next(), lookup.found()), (None, None));
        let mut lookup = Lookup::new(Position(1 << 60), [peer(1)]);
        let mut asked = 0;
        while let Some(peer_asked) = lookup.next() {
            asked += 1;
            lookup.said(peer_asked, Hop::Closer([peer(asked + 1)].to_vec()));
        }
        assert_eq!(asked as usize, ASKED_MAX);
    }
}
