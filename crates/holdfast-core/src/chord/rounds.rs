//! What a node sends in the course of a round, and what it makes of the answers: the order in which [`Table`] is asked and told.
//! Whoever drives it carries questions and answers, and says when it has waited long enough.

use alloc::collections::BTreeMap;

use super::{Neighbours, Peer, Table};

/// What a node sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    /// Ask a node for its neighbourhood. What it says, or that it said nothing, is told under this token.
    Ask {
        /// Whom.
        whom: Peer,
        /// Which question this is, of this node's.
        token: u64,
    },
    /// Tell a node that this one takes it for its successor.
    Notify {
        /// Whom.
        whom: Peer,
    },
}

/// Why a node was asked.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    Successor(Peer),
    Candidate,
    /// Whether the old predecessor is still there, whose place another has claimed.
    Predecessor {
        old: Peer,
        by: Peer,
    },
}

/// A node's table and the questions that it waits for. At most one of a round at a time, one for each claim to be its predecessor, and
/// one for each node that says it has joined.
#[derive(Clone, Debug)]
pub struct Rounds {
    table: Table,
    awaited: BTreeMap<u64, Awaited>,
    last_token: u64,
}

impl Rounds {
    /// Of a table.
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self {
            table,
            awaited: BTreeMap::new(),
            last_token: 0,
        }
    }

    /// What this node knows of the ring.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The same, to find fingers for it, and to take out who is known to be gone.
    pub const fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// A round is due: the successor is asked, unless the last round goes on.
    pub fn begin(&mut self) -> Option<Say> {
        let mut awaited = self.awaited.values();
        let goes_on = awaited.any(|what| !matches!(what, Awaited::Predecessor { .. }));
        let successor = self.table.successor().filter(|_| !goes_on)?;
        Some(self.ask(successor, Awaited::Successor(successor)))
    }

    /// A question was answered.
    pub fn answered(&mut self, token: u64, said: &Neighbours) -> Option<Say> {
        match self.awaited.remove(&token)? {
            Awaited::Successor(_) => match self.table.successor_said(said) {
                Some(candidate) => Some(self.ask(candidate, Awaited::Candidate)),
                None => self.notify(),
            },
            Awaited::Candidate => {
                self.table.candidate_said(said);
                self.notify()
            }
            // It is still there.
            Awaited::Predecessor { .. } => None,
        }
    }

    /// A question was not answered in time, or whoever was asked is gone.
    pub fn unanswered(&mut self, token: u64) -> Option<Say> {
        match self.awaited.remove(&token)? {
            Awaited::Successor(peer) => {
                self.table.died(peer);
                let next = self.table.successor()?;
                Some(self.ask(next, Awaited::Successor(next)))
            }
            Awaited::Candidate => self.notify(),
            Awaited::Predecessor { old, by } => {
                self.table.predecessor_died(old, by);
                None
            }
        }
    }

    /// A node takes this one for its successor.
    pub fn notified(&mut self, by: Peer) -> Option<Say> {
        let old = self.table.notified(by)?;
        Some(self.ask(old, Awaited::Predecessor { old, by }))
    }

    /// A node says that it has joined behind this one.
    pub fn arrived(&mut self, peer: Peer) -> Option<Say> {
        self.table.is_nearer(peer).then(|| self.ask(peer, Awaited::Candidate))
    }

    fn notify(&self) -> Option<Say> {
        self.table.successor().map(|whom| Say::Notify { whom })
    }

    fn ask(&mut self, whom: Peer, why: Awaited) -> Say {
        self.last_token += 1;
        let token = self.last_token;
        self.awaited.insert(token, why);
        Say::Ask { whom, token }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::peer;
    use super::*;

    fn rounds(at: u64) -> Rounds {
        let members: alloc::vec::Vec<Peer> = [10, 20, 30, 40].map(peer).to_vec();
        Rounds::new(Table::found(peer(at), &members, 2))
    }

    fn ask(say: Option<Say>) -> (Peer, u64) {
        match say {
            Some(Say::Ask { whom, token }) => (whom, token),
            other => panic!("not a question: {other:?}"),
        }
    }

    #[test]
    fn a_round_asks_the_successor_then_who_lies_between_and_ends_with_a_word_to_the_nearest() {
        let (mut ten, mut twenty) = (rounds(10), rounds(20));
        assert_eq!(twenty.notified(peer(15)), None);
        let (whom, token) = ask(ten.begin());
        assert_eq!((whom, ten.begin()), (peer(20), None), "one round at a time");
        let (whom, candidate) = ask(ten.answered(token, &twenty.table().neighbours()));
        assert_eq!(whom, peer(15));
        assert_eq!(
            ten.answered(token, &twenty.table().neighbours()),
            None,
            "answered already"
        );
        let mut fifteen = Table::alone(peer(15), 2);
        assert!(fifteen.join(&ten.table().neighbours()));
        let last = ten.answered(candidate, &fifteen.neighbours());
        assert_eq!(last, Some(Say::Notify { whom: peer(15) }));
        assert_eq!(ten.table().successors(), [peer(15), peer(20)]);
    }

    #[test]
    fn who_does_not_answer_is_passed_over_and_the_next_asked_at_once() {
        let mut ten = rounds(10);
        let (_, token) = ask(ten.begin());
        let (whom, token) = ask(ten.unanswered(token));
        assert_eq!(whom, peer(30));
        assert_eq!(ten.unanswered(token), None, "nobody is left");
        assert_eq!(ten.begin(), None);
    }

    #[test]
    fn a_claim_from_farther_off_is_believed_once_the_old_predecessor_is_silent() {
        let mut forty = rounds(40);
        let (whom, token) = ask(forty.notified(peer(20)));
        assert_eq!(whom, peer(30));
        let thirty = rounds(30);
        assert_eq!(forty.answered(token, &thirty.table().neighbours()), None);
        assert_eq!(forty.table().predecessor(), Some(peer(30)), "it is still there");
        let (_, token) = ask(forty.notified(peer(20)));
        assert_eq!(forty.unanswered(token), None);
        assert_eq!(forty.table().predecessor(), Some(peer(20)));
    }

    #[test]
    fn who_has_just_joined_is_asked_and_who_lies_farther_is_not() {
        let mut ten = rounds(10);
        assert_eq!(ten.arrived(peer(25)), None);
        let (whom, token) = ask(ten.arrived(peer(12)));
        assert_eq!(whom, peer(12));
        assert_eq!(
            ten.unanswered(token),
            Some(Say::Notify { whom: peer(20) }),
            "it was gone again"
        );
    }
}
