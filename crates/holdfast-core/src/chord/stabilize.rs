//! Keeping the ring right while nodes come and go (Zave's *stabilize* and *rectify*): each node asks its successor who is
//! between them, takes over its list, and makes itself known to it.
//!
//! A round is: ask [`Table::successor`]; tell the table what it said, or that it is dead; ask the candidate that comes of it, if one
//! does; and in the end, whatever happened, notify [`Table::successor`]. What makes this correct where the published protocol was not:
//! nobody is taken for a successor who was not heard of himself, and a predecessor gives way to a farther one only when it is dead.

use alloc::vec::Vec;

use super::{Flaw, Neighbours, Peer, Table, distance, is_between};

impl Table {
    /// Whom to ask next for its neighbourhood: `None` when this node is alone.
    #[must_use]
    pub fn successor(&self) -> Option<Peer> {
        self.successors.first().copied()
    }

    /// The successor has said what it knows. Returns who claims to be between it and this node: to be asked himself, and
    /// told by [`Self::candidate_said`].
    pub fn successor_said(&mut self, said: &Neighbours) -> Option<Peer> {
        if self.successor() != Some(said.of) {
            // Somebody nearer was found meanwhile, or it was taken for dead.
            return None;
        }
        let claims = said.predecessor;
        let candidate = claims.filter(|peer| is_between(self.me.at, peer.at, said.of.at));
        self.follow(said.of, &said.successors);
        match candidate {
            Some(peer) if Flaw::CandidateUnasked.is(self.flaw) => {
                let rest = self.successors.clone();
                self.follow(peer, &rest);
                None
            }
            _ => candidate,
        }
    }

    /// Somebody between this node and its successor is alive, and has said what it knows: it is the successor from now on.
    pub fn candidate_said(&mut self, said: &Neighbours) {
        if self.is_nearer(said.of) {
            self.follow(said.of, &said.successors);
        }
    }

    /// Whether a node lies nearer than the successor. One that has just joined says so to the node before it: it is asked then like any
    /// candidate, and the ring need not wait for the next round.
    #[must_use]
    pub fn is_nearer(&self, peer: Peer) -> bool {
        let is_nearer = |now: Peer| is_between(self.me.at, peer.at, now.at);
        peer != self.me && self.successor().is_none_or(is_nearer)
    }

    /// A node does not answer, or has said goodbye: the next in the list takes its place. The list is shorter until the next round;
    /// what is not in it skips nobody. The predecessor stays until somebody else claims to be it ([`Self::notified`]).
    pub fn died(&mut self, peer: Peer) {
        self.successors.retain(|own| *own != peer);
        self.fingers
            .iter_mut()
            .filter(|finger| **finger == Some(peer))
            .for_each(|finger| *finger = None);
    }

    /// Somebody takes this node for its successor. Returns the predecessor that must be asked whether it is still there, if it lies
    /// nearer: then [`Self::predecessor_died`] decides.
    pub fn notified(&mut self, by: Peer) -> Option<Peer> {
        if by == self.me {
            return None;
        }
        if self.successors.is_empty() {
            // Whoever was alone has its first neighbour.
            self.successors.push(by);
        }
        match self.predecessor {
            Some(old) if old == by => None,
            Some(old) if !is_between(old.at, by.at, self.me.at) => Some(old),
            _ => {
                self.predecessor = Some(by);
                None
            }
        }
    }

    /// The predecessor does not answer, and somebody farther off had claimed its place.
    pub fn predecessor_died(&mut self, old: Peer, by: Peer) {
        if self.predecessor == Some(old) && !Flaw::DeadPredecessorKept.is(self.flaw) {
            self.predecessor = Some(by);
        }
    }

    /// A successor and what it takes for its own. Where the ring is shorter than the list, it ends before this node.
    pub(super) fn follow(&mut self, next: Peer, rest: &[Peer]) {
        let mut list = Vec::with_capacity(self.kept);
        if Flaw::JoinsWithOneSuccessor.is(self.flaw) && self.successors.is_empty() {
            list.push(next);
        } else {
            let mut last = 0;
            for peer in core::iter::once(&next).chain(rest) {
                // Each lies farther than the one before, and none beyond this node.
                let far = distance(self.me.at, peer.at);
                if far <= last || list.len() == self.kept {
                    break;
                }
                last = far;
                list.push(*peer);
            }
        }
        if Flaw::OldListKept.is(self.flaw) {
            let known = self.successors.iter().filter(|own| **own != next).copied();
            list.truncate(1);
            list.extend(known);
            list.truncate(self.kept);
        }
        self.successors = list;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::peer;
    use super::*;

    fn table(at: u64, members: &[u64], kept: usize) -> Table {
        let members: Vec<Peer> = members.iter().map(|at| peer(*at)).collect();
        Table::found(peer(at), &members, kept)
    }

    #[test]
    fn a_node_in_between_is_asked_before_it_is_believed() {
        let mut ten = table(10, &[20, 30, 40], 3);
        let mut twenty = table(20, &[10, 30, 40], 3);
        assert_eq!(twenty.notified(peer(15)), None, "nearer than ten");
        assert_eq!(ten.successor_said(&twenty.neighbours()), Some(peer(15)));
        assert_eq!(ten.successors(), [peer(20), peer(30), peer(40)], "not yet");
        let mut fifteen = Table::alone(peer(15), 3);
        assert!(fifteen.join(&ten.neighbours()));
        ten.candidate_said(&fifteen.neighbours());
        assert_eq!(ten.successors(), [peer(15), peer(20), peer(30)]);
        ten.candidate_said(&twenty.neighbours());
        assert_eq!(ten.successor(), Some(peer(15)), "what is said late changes nothing");
    }

    #[test]
    fn a_dead_successor_makes_room_for_the_next_and_the_list_grows_again() {
        let mut ten = table(10, &[20, 30, 40, 50], 3);
        ten.died(peer(20));
        assert_eq!(ten.successors(), [peer(30), peer(40)]);
        let mut thirty = table(30, &[10, 20, 40, 50], 3);
        assert_eq!(thirty.notified(peer(10)), Some(peer(20)), "is it still there?");
        thirty.predecessor_died(peer(20), peer(10));
        assert_eq!(thirty.predecessor(), Some(peer(10)));
        assert_eq!(ten.successor_said(&thirty.neighbours()), None);
        assert_eq!(ten.successors(), [peer(30), peer(40), peer(50)]);
        assert_eq!(
            ten.successor_said(&table(40, &[10, 30], 3).neighbours()),
            None,
            "it is not the successor"
        );
    }

    #[test]
    fn a_list_never_goes_around() {
        let mut ten = table(10, &[20, 30], 8);
        ten.successor_said(&table(20, &[10, 30], 8).neighbours());
        assert_eq!(ten.successors(), [peer(20), peer(30)]);
        ten.died(peer(20));
        ten.died(peer(30));
        assert_eq!(ten.successor(), None, "alone");
        assert_eq!(ten.notified(peer(30)), None);
        assert_eq!((ten.successor(), ten.predecessor()), (Some(peer(30)), Some(peer(30))));
    }
}
