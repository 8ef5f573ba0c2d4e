//! Finding a node without knowing them all: Chord (Stoica et al., SIGCOMM 2001, ToN 2003) in the form that Zave proved correct
//! ("Reasoning about identifier spaces", TSE 2017).
//!
//! A node keeps its next few successors on the ring of positions, its predecessor, and fingers: some node about 2, 4, 8 … 2⁶³
//! positions ahead of it. So whoever knows any node finds the one that answers for a position in about ½·log₂ n questions.
//!
//! Chord only *locates*: it decides nothing. Who owns what is said by the layout, and checked by whoever is asked; two nodes that
//! disagree about the ring cost a hop, never a write. Successors keep the ring right, fingers only make it fast.
//!
//! [`Table`] is what a node knows, [`Rounds`] what it asks to keep that right, [`Lookup`] a search. They decide; whoever drives them
//! sends the questions and says what came of them. Everything that a node is told may be out of date by the time it is told.

mod flaw;
mod lookup;
mod rounds;
mod route;
mod stabilize;
mod word;

use alloc::vec::Vec;

pub use flaw::Flaw;
pub use lookup::{DEAD_MAX, Lookup};
pub use rounds::{Rounds, Say};
pub use route::Hop;
pub use word::Word;

use crate::ids::{NodeId, Position};

/// Fingers of a node: one for each power of two of the ring.
pub const FINGERS: usize = 64;

/// Successors that a node of a cluster keeps: more than die between two rounds.
pub const SUCCESSORS: usize = 8;

/// A node and where it is on the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Peer {
    /// Its place: a hash of its id, so that neighbours on the ring have nothing else in common.
    pub at: Position,
    /// Who it is.
    pub node: NodeId,
}

impl Peer {
    /// A node at its place.
    #[must_use]
    pub fn of(node: NodeId) -> Self {
        let hash = blake3::derive_key("holdfast chord position v1", &node.0.to_be_bytes());
        let first = hash.first_chunk().copied().unwrap_or_default();
        Self {
            at: Position(u64::from_be_bytes(first)),
            node,
        }
    }
}

/// What a node says of its neighbourhood when it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbours {
    /// Who says so.
    pub of: Peer,
    /// Whom it takes for its predecessor.
    pub predecessor: Option<Peer>,
    /// Whom it takes for its successors, nearest first.
    pub successors: Vec<Peer>,
}

/// What a node knows of the ring.
#[derive(Clone, Debug)]
pub struct Table {
    me: Peer,
    predecessor: Option<Peer>,
    /// Nearest first. Empty only on a ring of one.
    successors: Vec<Peer>,
    /// Successors kept: more than may fail between two rounds of [`Table::successor`].
    kept: usize,
    /// The first node at or after `me + 2^i`, as far as is known.
    fingers: Vec<Option<Peer>>,
    next_finger: usize,
    flaw: Option<Flaw>,
}

impl Table {
    /// A node of a ring whose members are all known from the beginning. Zave: a ring must begin with more members than a node keeps
    /// successors, or the first joins may tear it apart.
    #[must_use]
    pub fn found(me: Peer, members: &[Peer], kept: usize) -> Self {
        let mut ring = members.to_vec();
        ring.push(me);
        ring.sort_unstable();
        ring.dedup();
        Self::found_in_order(me, &ring, kept)
    }

    /// The same, of members in order of their places, this node among them.
    #[must_use]
    pub fn found_in_order(me: Peer, ring: &[Peer], kept: usize) -> Self {
        let own = ring.partition_point(|peer| *peer < me);
        let others = || ring[own..].iter().chain(&ring[..own]).skip(1);
        let mut table = Self::alone(me, kept);
        table.successors = others().take(table.kept).copied().collect();
        table.predecessor = (ring.len() > 1).then(|| ring[(own + ring.len() - 1) % ring.len()]);
        for (power, finger) in table.fingers.iter_mut().enumerate() {
            let to = Position(me.at.0.wrapping_add(1 << power));
            let first = ring.partition_point(|peer| peer.at < to);
            *finger = ring
                .get(first)
                .or_else(|| ring.first())
                .copied()
                .filter(|peer| *peer != me);
        }
        table
    }

    /// Joins a ring between another node and its successor: the whole list is taken over (Zave), or the first failure would cut this
    /// node off. Whether that is its place; if not, [`Lookup`] finds it.
    pub fn join(&mut self, before: &Neighbours) -> bool {
        let next = before.successors.first().copied().unwrap_or(before.of);
        let is_its_place = self.me.at != before.of.at && is_between(before.of.at, self.me.at, next.at);
        if is_its_place {
            self.predecessor = Some(before.of);
            self.follow(next, before.successors.get(1..).unwrap_or_default());
        }
        is_its_place
    }

    /// A ring of one, which keeps so many successors once there are some.
    #[must_use]
    pub fn alone(me: Peer, kept: usize) -> Self {
        Self {
            me,
            predecessor: None,
            successors: Vec::new(),
            kept: kept.max(1),
            fingers: alloc::vec![None; FINGERS],
            next_finger: 0,
            flaw: None,
        }
    }

    /// The same with a fault planted.
    #[must_use]
    pub const fn with_flaw(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    /// This node.
    #[must_use]
    pub const fn me(&self) -> Peer {
        self.me
    }

    /// Whom it takes for its predecessor.
    #[must_use]
    pub const fn predecessor(&self) -> Option<Peer> {
        self.predecessor
    }

    /// Whom it takes for its successors, nearest first.
    #[must_use]
    pub fn successors(&self) -> &[Peer] {
        &self.successors
    }

    /// Its fingers, those that are known: the power of two, and who.
    pub fn fingers(&self) -> impl Iterator<Item = (u32, Peer)> + '_ {
        (0..)
            .zip(&self.fingers)
            .filter_map(|(power, peer)| Some((power, (*peer)?)))
    }

    /// What it says when it is asked for its neighbourhood.
    #[must_use]
    pub fn neighbours(&self) -> Neighbours {
        Neighbours {
            of: self.me,
            predecessor: self.predecessor,
            successors: self.successors.clone(),
        }
    }
}

/// How far it is from one position up to another, around the ring.
pub(crate) const fn distance(from: Position, to: Position) -> u64 {
    to.0.wrapping_sub(from.0)
}

/// Whether a position lies after one and before another, going up and around. From a position to itself lies the whole ring.
pub(crate) const fn is_between(after: Position, at: Position, before: Position) -> bool {
    let whole = distance(after, before).wrapping_sub(1);
    let part = distance(after, at).wrapping_sub(1);
    // Both wrapped where the ends are the same position: then everything but that lies between.
    part < whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// A node at a place, of that number.
    pub(super) fn peer(at: u64) -> Peer {
        Peer {
            at: Position(at),
            node: NodeId(at),
        }
    }

    fn between(after: u64, at: u64, before: u64) -> bool {
        is_between(Position(after), Position(at), Position(before))
    }

    #[test]
    fn an_arc_goes_up_and_around_and_leaves_out_its_ends() {
        assert!(between(10, 15, 20) && !between(10, 10, 20) && !between(10, 20, 20) && !between(10, 25, 20));
        assert!(between(20, 25, 10) && between(20, 5, 10) && !between(20, 15, 10));
        assert!(
            between(10, 11, 10) && between(10, 9, 10) && !between(10, 10, 10),
            "the whole ring"
        );
        assert!(!between(10, 10, 11) && !between(10, 11, 11), "nothing lies there");
    }

    proptest! {
        #[test]
        fn every_position_lies_on_exactly_one_of_two_arcs(a in any::<u64>(), b in any::<u64>(), x in any::<u64>()) {
            if a != b && x != a && x != b {
                prop_assert!(between(a, x, b) != between(b, x, a));
            }
            prop_assert_eq!(between(a, x, a), x != a);
        }
    }

    #[test]
    fn a_ring_that_is_founded_is_known_to_all() {
        let members: Vec<Peer> = [10, 40, 20, 30].map(peer).to_vec();
        let table = Table::found(peer(30), &members, 2);
        assert_eq!(table.successors(), [peer(40), peer(10)]);
        assert_eq!(table.predecessor(), Some(peer(20)));
        let fingers: Vec<(u32, Peer)> = table.fingers().collect();
        assert_eq!((fingers[0], fingers[3]), ((0, peer(40)), (3, peer(40))));
        assert_eq!(fingers[4], (4, peer(10)), "16 positions ahead lies beyond the last");
        let alone = Table::found(peer(30), &[], 2);
        assert_eq!((alone.successors(), alone.predecessor()), (&[][..], None));
    }

    #[test]
    fn who_joins_takes_the_whole_list_and_only_in_its_place() {
        let members: Vec<Peer> = [10, 20, 30, 40].map(peer).to_vec();
        let before = Table::found(peer(20), &members, 3).neighbours();
        let mut joined = Table::alone(peer(25), 3);
        assert!(joined.join(&before));
        assert_eq!(joined.successors(), [peer(30), peer(40), peer(10)]);
        assert_eq!(joined.predecessor(), Some(peer(20)));
        assert!(!Table::alone(peer(35), 3).join(&before));
        assert!(!Table::alone(peer(20), 3).join(&before), "somebody has it already");
        let mut second = Table::alone(peer(7), 3);
        assert!(second.join(&Table::alone(peer(20), 3).neighbours()), "anywhere");
        assert_eq!(
            (second.successors(), second.predecessor()),
            (&[peer(20)][..], Some(peer(20)))
        );
    }

    #[test]
    fn places_do_not_depend_on_who_asks_and_differ() {
        let mut places: Vec<Peer> = (0..100).map(|node| Peer::of(NodeId(node))).collect();
        assert_eq!(places[7], Peer::of(NodeId(7)));
        places.sort_unstable();
        places.dedup_by_key(|peer| peer.at);
        assert_eq!(places.len(), 100);
    }
}
