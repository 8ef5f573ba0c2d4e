//! Operations as they were published first, each of which breaks rings (Zave, "Using lightweight modeling to understand Chord",
//! CCR 2012). Planted to prove that the checkers see it.

/// A fault to plant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Whoever joins knows one successor until its first round.
    JoinsWithOneSuccessor,
    /// A successor's predecessor is believed to be there without being asked.
    CandidateUnasked,
    /// A predecessor that has died is kept while nobody nearer comes.
    DeadPredecessorKept,
    /// The rest of a successor's list is appended to the own one instead of taking its place.
    OldListKept,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::JoinsWithOneSuccessor,
        Self::CandidateUnasked,
        Self::DeadPredecessorKept,
        Self::OldListKept,
    ];

    /// Whether it is planted here; never in the product.
    pub(super) fn is(self, planted: Option<Self>) -> bool {
        cfg!(feature = "planted") && planted == Some(self)
    }
}
