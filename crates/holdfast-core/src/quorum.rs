//! Counting answers: *enough? hopeless?* Pure arithmetic, after Riak's put and get cores.
//!
//! A tally counts homes, each once, by name (rule Q1: W acks stand for W different homes).

use alloc::vec::Vec;

use crate::ids::NodeId;

/// What is known of one home's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vote {
    /// Not asked yet: kept in reserve.
    Spare,
    /// Asked, not answered.
    Asked,
    /// Answered as hoped.
    Yes,
    /// Answered, but not as hoped.
    No,
    /// Cannot be reached.
    Down,
}

/// Whether enough homes have answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not yet.
    Pending,
    /// Yes.
    Met,
    /// No, and it cannot become so from the homes that are left.
    Unreachable,
}

/// A home, what it answered, and who stands in for it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seat {
    home: NodeId,
    vote: Vote,
    stand_in: Option<(NodeId, Vote)>,
}

impl Seat {
    /// Who fills this seat if votes like this one count: the home itself, or else its stand-in.
    fn filled_by(&self, counts: impl Fn(Vote) -> bool) -> Option<NodeId> {
        if counts(self.vote) {
            return Some(self.home);
        }
        self.stand_in.filter(|(_, vote)| counts(*vote)).map(|(node, _)| node)
    }
}

/// Answers of the homes of one key or chunk, in order of preference, and of those that stand in for some of them.
///
/// A home and its stand-in count once, and so does a stand-in that stands for several homes (rule Q1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    seats: Vec<Seat>,
    needed: usize,
    /// A node without whose *yes* nothing is met: the coordinator itself, for writes (rule Q1).
    required: Option<NodeId>,
    /// The planted fault: a home and its stand-in count twice.
    counts_twice: bool,
}

impl Tally {
    /// A tally of `needed` answers from these homes; more than there are homes counts as all of them (rule B2).
    #[must_use]
    pub fn new(homes: impl IntoIterator<Item = NodeId>, needed: usize) -> Self {
        let seats: Vec<_> = homes
            .into_iter()
            .map(|home| Seat {
                home,
                vote: Vote::Spare,
                stand_in: None,
            })
            .collect();
        let needed = needed.clamp(1, seats.len().max(1));
        Self {
            seats,
            needed,
            required: None,
            counts_twice: false,
        }
    }

    /// Nothing is met without a *yes* of this node.
    #[must_use]
    pub fn requiring(mut self, node: NodeId) -> Self {
        self.required = Some(node);
        self
    }

    /// Plants the fault that a home and its stand-in count twice.
    #[must_use]
    pub(crate) const fn counting_twice(mut self, planted: bool) -> Self {
        self.counts_twice = planted;
        self
    }

    /// The same homes, of which nothing is known yet.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self {
            required: self.required,
            counts_twice: self.counts_twice,
            ..Self::new(self.homes(), self.needed)
        }
    }

    /// Answers needed.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// Notes what is known of a home or a stand-in. A *yes* or *no* is final; other nodes are ignored.
    pub fn set(&mut self, node: NodeId, vote: Vote) {
        for seat in &mut self.seats {
            let old = match &mut seat.stand_in {
                Some((stand_in, old)) if *stand_in == node => old,
                _ if seat.home == node => &mut seat.vote,
                _ => continue,
            };
            if !matches!(old, Vote::Yes | Vote::No) {
                *old = vote;
            }
        }
    }

    /// A node is asked in place of a home.
    pub fn seat(&mut self, home: NodeId, stand_in: NodeId) {
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.home == home) {
            seat.stand_in = Some((stand_in, Vote::Asked));
        }
    }

    /// A home that answered *no* may yet say *yes*, and is asked once more.
    pub fn ask_again(&mut self, home: NodeId) {
        let refused = self.seats.iter_mut().filter(|seat| seat.vote == Vote::No);
        for seat in refused.filter(|seat| seat.home == home) {
            seat.vote = Vote::Asked;
        }
    }

    /// What is known of a home or a stand-in.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<Vote> {
        self.seats.iter().find_map(|seat| match seat.stand_in {
            Some((stand_in, vote)) if stand_in == node => Some(vote),
            _ => (seat.home == node).then_some(seat.vote),
        })
    }

    /// Number of homes with this vote.
    #[must_use]
    pub fn count(&self, vote: Vote) -> usize {
        self.with(vote).count()
    }

    /// Homes with this vote, best first.
    pub fn with(&self, vote: Vote) -> impl Iterator<Item = NodeId> + '_ {
        let with = self.seats.iter().filter(move |seat| seat.vote == vote);
        with.map(|seat| seat.home)
    }

    /// Homes that a stand-in with this vote stands for, and which.
    pub fn stand_ins(&self, vote: Vote) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        let seats = self.seats.iter();
        seats.filter_map(move |seat| Some((seat.home, seat.stand_in.filter(|(_, own)| *own == vote)?.0)))
    }

    /// Homes and stand-ins that have been asked and have not answered.
    #[must_use]
    pub fn asked(&self) -> Vec<NodeId> {
        let mut asked: Vec<NodeId> = self.with(Vote::Asked).collect();
        for (_, node) in self.stand_ins(Vote::Asked) {
            if !asked.contains(&node) {
                asked.push(node);
            }
        }
        asked
    }

    /// Homes with this vote for which nobody stands in.
    #[must_use]
    pub fn vacant(&self, vote: Vote) -> Vec<NodeId> {
        let stood_in = |seat: &&Seat| matches!(seat.stand_in, Some((_, Vote::Asked | Vote::Yes)));
        let vacant = self.seats.iter().filter(|seat| seat.vote == vote && !stood_in(seat));
        vacant.map(|seat| seat.home).collect()
    }

    /// All homes, best first.
    pub fn homes(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.seats.iter().map(|seat| seat.home)
    }

    /// Different nodes that fill seats if votes like this one count.
    fn filled(&self, counts: impl Fn(Vote) -> bool) -> usize {
        let by: Vec<NodeId> = self.seats.iter().filter_map(|seat| seat.filled_by(&counts)).collect();
        if self.counts_twice {
            let stand_ins = self.seats.iter().filter_map(|seat| seat.stand_in);
            return by.len()
                + stand_ins
                    .filter(|(node, vote)| counts(*vote) && !by.contains(node))
                    .count();
        }
        by.iter()
            .enumerate()
            .filter(|(at, node)| !by[..*at].contains(node))
            .count()
    }

    /// Copies that are there: homes, and stand-ins for others.
    #[must_use]
    pub fn yes(&self) -> usize {
        self.filled(|vote| vote == Vote::Yes)
    }

    /// Answers that there are, or may still be.
    #[must_use]
    pub fn possible(&self) -> usize {
        self.filled(|vote| matches!(vote, Vote::Yes | Vote::Asked | Vote::Spare))
    }

    /// Whether enough have answered.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let required = self.required.and_then(|node| self.get(node)).unwrap_or(Vote::Yes);
        if self.yes() >= self.needed && required == Vote::Yes {
            return Verdict::Met;
        }
        if self.possible() < self.needed || matches!(required, Vote::No | Vote::Down) {
            Verdict::Unreachable
        } else {
            Verdict::Pending
        }
    }

    /// Whether nobody is still expected to answer.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.asked().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `homes` as letters: s spare, a asked, y yes, n no, d down.
    fn tally(homes: &str, needed: usize) -> Tally {
        let mut tally = Tally::new((0..homes.len() as u64).map(NodeId), needed);
        for (index, letter) in homes.chars().enumerate() {
            let vote = match letter {
                's' => Vote::Spare,
                'a' => Vote::Asked,
                'y' => Vote::Yes,
                'n' => Vote::No,
                _ => Vote::Down,
            };
            tally.set(NodeId(index as u64), vote);
        }
        tally
    }

    #[test]
    fn verdicts_by_table() {
        let table = [
            ("aaa", 2, Verdict::Pending),
            ("yaa", 2, Verdict::Pending),
            ("yya", 2, Verdict::Met),
            ("ynd", 2, Verdict::Unreachable),
            ("ysd", 2, Verdict::Pending),
            ("nnn", 1, Verdict::Unreachable),
            ("y", 3, Verdict::Met),
            ("d", 1, Verdict::Unreachable),
        ];
        for (homes, needed, verdict) in table {
            assert_eq!(tally(homes, needed).verdict(), verdict, "{homes} needing {needed}");
        }
    }

    #[test]
    fn a_required_home_must_say_yes() {
        assert_eq!(tally("ayy", 2).requiring(NodeId(0)).verdict(), Verdict::Pending);
        assert_eq!(tally("nyy", 2).requiring(NodeId(0)).verdict(), Verdict::Unreachable);
        assert_eq!(tally("yya", 2).requiring(NodeId(0)).verdict(), Verdict::Met);
    }

    #[test]
    fn a_stand_in_and_its_home_count_once() {
        let mut tally = tally("dda", 2);
        assert_eq!(tally.verdict(), Verdict::Unreachable);
        tally.seat(NodeId(0), NodeId(7));
        assert_eq!(tally.verdict(), Verdict::Pending);
        tally.set(NodeId(7), Vote::Yes);
        tally.set(NodeId(0), Vote::Yes);
        assert_eq!((tally.yes(), tally.verdict()), (1, Verdict::Pending));
        tally.set(NodeId(2), Vote::Yes);
        assert_eq!((tally.yes(), tally.verdict()), (2, Verdict::Met));
        assert_eq!(tally.vacant(Vote::Down), [NodeId(1)]);
    }

    #[test]
    fn one_stand_in_for_two_homes_is_one_copy() {
        let mut tally = tally("ddy", 3);
        tally.seat(NodeId(0), NodeId(7));
        tally.seat(NodeId(1), NodeId(7));
        tally.set(NodeId(7), Vote::Yes);
        assert_eq!((tally.yes(), tally.verdict()), (2, Verdict::Unreachable));
        assert_eq!(tally.stand_ins(Vote::Yes).count(), 2);
        // One of the homes has it after all: now the stand-in is the copy of the other.
        tally.set(NodeId(0), Vote::Yes);
        assert_eq!(tally.verdict(), Verdict::Met);
    }

    #[test]
    fn an_answer_is_final() {
        let mut tally = tally("y", 1);
        tally.set(NodeId(0), Vote::Down);
        assert_eq!(tally.get(NodeId(0)), Some(Vote::Yes));
    }
}
