//! Which way to a position: who answers for it, if that is this node's successor, else whoever is known to lie nearest before it.

use alloc::vec::Vec;

use super::{FINGERS, Peer, Table, distance, is_between};
use crate::ids::{NodeId, Position};

/// Nodes named at most in one answer: the nearest may have died.
const NAMED: usize = 4;

/// What a node says to whoever looks for a position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hop {
    /// The first of these that is there answers for it.
    Owners(Vec<Peer>),
    /// These lie nearer before it, the nearest first. Empty when nobody is known who does.
    Closer(Vec<Peer>),
}

impl Table {
    /// The way to a position, leaving out nodes that whoever asks has found dead. Only the node right before a position says who
    /// answers for it: what others know of successors far off may be many rounds old.
    #[must_use]
    pub fn hop(&self, to: Position, dead: &[NodeId]) -> Hop {
        let is_own = match self.predecessor {
            Some(before) => is_between(before.at, to, self.me.at) || to == self.me.at,
            None => self.successors.is_empty(),
        };
        let is_alive = |peer: &&Peer| !dead.contains(&peer.node);
        let next = self.successors.iter().filter(is_alive);
        if is_own {
            return Hop::Owners(core::iter::once(&self.me).chain(next).copied().collect());
        }
        let is_next = |peer: &Peer| is_between(self.me.at, to, peer.at) || to == peer.at;
        if next.clone().next().is_some_and(is_next) {
            return Hop::Owners(next.copied().collect());
        }
        let known = self.fingers.iter().flatten().chain(&self.successors).filter(is_alive);
        let known = known.filter(|peer| is_between(self.me.at, peer.at, to));
        let mut before: Vec<Peer> = known.copied().collect();
        before.sort_unstable_by_key(|peer| distance(peer.at, to));
        before.dedup();
        before.truncate(NAMED);
        Hop::Closer(before)
    }

    /// The finger that is to be looked for next, and the position that it should be the first node at: one in each round. Those that
    /// a successor answers for need nobody to be asked.
    pub fn next_finger(&mut self) -> (usize, Position) {
        let reach = self.successor().map_or(0, |peer| distance(self.me.at, peer.at));
        let near = FINGERS - reach.leading_zeros() as usize;
        let next = self.successor();
        self.fingers[..near].fill(next);
        if self.next_finger < near || self.next_finger >= FINGERS {
            self.next_finger = near.min(FINGERS - 1);
        }
        let power = self.next_finger;
        self.next_finger = power + 1;
        (power, Position(self.me.at.0.wrapping_add(1 << power)))
    }

    /// A finger was found.
    pub fn set_finger(&mut self, power: usize, peer: Peer) {
        if let Some(finger) = self.fingers.get_mut(power) {
            *finger = Some(peer).filter(|peer| *peer != self.me);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::peer;
    use super::*;

    fn table(kept: usize) -> Table {
        let members: Vec<Peer> = [10, 20, 30, 40, 50, 60, 70].map(peer).to_vec();
        Table::found(peer(10), &members, kept)
    }

    #[test]
    fn only_who_lies_right_before_a_position_says_who_answers_for_it() {
        let hop = |to: u64, dead: &[u64]| {
            let dead: Vec<NodeId> = dead.iter().map(|node| NodeId(*node)).collect();
            table(3).hop(Position(to), &dead)
        };
        let owners = |peers: &[u64]| Hop::Owners(peers.iter().map(|at| peer(*at)).collect());
        assert_eq!(hop(15, &[]), owners(&[20, 30, 40]));
        assert_eq!(hop(20, &[]), owners(&[20, 30, 40]));
        assert_eq!(
            hop(25, &[]),
            Hop::Closer([20].map(peer).to_vec()),
            "it knows thirty, but not all that came since"
        );
        assert_eq!(hop(25, &[20]), owners(&[30, 40]), "until twenty is known to be dead");
        assert_eq!(hop(10, &[]), owners(&[10, 20, 30, 40]));
        assert_eq!(hop(75, &[20]), owners(&[10, 30, 40]), "after the last comes the first");
    }

    #[test]
    fn else_the_nearest_before_it_are_named() {
        // Fingers of ten: 11, 12, 14, 18 -> 20; 26 -> 30; 42 -> 50; 74 and above -> ten itself.
        let closer = |to: u64, dead: &[NodeId]| table(1).hop(Position(to), dead);
        assert_eq!(closer(65, &[]), Hop::Closer([50, 30, 20].map(peer).to_vec()));
        assert_eq!(
            closer(50, &[]),
            Hop::Closer([30, 20].map(peer).to_vec()),
            "before it, not at it"
        );
        assert_eq!(
            closer(65, &[NodeId(50), NodeId(30)]),
            Hop::Closer([20].map(peer).to_vec())
        );
    }

    #[test]
    fn who_is_alone_answers_for_everything() {
        let alone = Table::found(peer(10), &[], 2);
        for to in [0, 10, 11, u64::MAX] {
            assert_eq!(alone.hop(Position(to), &[]), Hop::Owners([10].map(peer).to_vec()));
        }
    }

    #[test]
    fn fingers_are_looked_for_in_turn_and_near_ones_not_at_all() {
        let mut table = table(2);
        assert_eq!(
            table.next_finger(),
            (4, Position(26)),
            "ten positions ahead: 1, 2, 4 and 8 are its successor"
        );
        assert_eq!(table.next_finger(), (5, Position(42)));
        table.set_finger(5, peer(60));
        assert!(table.fingers().any(|finger| finger == (5, peer(60))));
        for power in 6..FINGERS {
            assert_eq!(table.next_finger().0, power);
        }
        assert_eq!(table.next_finger().0, 4, "and again");
        table.set_finger(6, peer(10));
        assert!(
            table.fingers().all(|(_, finger)| finger != peer(10)),
            "nobody routes to himself"
        );
    }
}
