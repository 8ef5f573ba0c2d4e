//! Faults that can be planted to prove that the simulator's checkers see them (DESIGN of the proof: the checkers are
//! checked). Each is one line away from a plausible implementation. Without the cargo feature `planted`, which only
//! holdfast-sim enables, [`Planted::is`] is constantly false and the compiler removes the faults.

/// A fault to plant, by the rule it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// D2: every dot of an actor has the same life, whatever was forgotten.
    LivesLeftOut,
    /// D4: a blind put does not write again above what the replicas showed.
    SecondRoundLeftOut,
    /// Q1 with D2: answered before the coordinator's own sync, and an unclean start begins no new life.
    AnswerBeforeOwnSync,
    /// D4: a replica shows the dots it held, but not the context that covers what they had replaced.
    DotsWithoutContexts,
    /// D7: a retry is taken for a new write.
    RequestIdIgnored,
    /// D7: a home does a write that was handed to it without asking whether somebody still waits for it.
    ClaimLeftOut,
    /// D7: a gateway says of a write that it still waits for it, although it has given it to another home.
    GatewayGrantsLate,
    /// H3: a home is struck off by a confirmation of what the hint was, not of what it is.
    HintStruckOffUnseen,
    /// H3: a hint that is not confirmed in time is not tried again.
    HintGivenUp,
    /// D3: of concurrent versions that a merge brings together only the newest is kept.
    SiblingDropped,
    /// Q3: a copy that cannot be read is taken for one that is not there.
    DamagedIsAbsent,
    /// Q1: a stand-in and the home it stands for both count.
    StandInCountsBesideHome,
    /// D10: a body is dead because this home no longer names it; the others are not asked.
    DeadUnasked,
    /// G1: bodies go at once, though somebody may hold hints that name them.
    GateLeftOut,
    /// G3: records of deletions go after their time, whatever the other homes hold.
    TombstonesTimed,
    /// D3: a record forgets lives that go on.
    PresentLifeForgotten,
    /// D10: bodies that never became a version are not looked for.
    AbandonedKept,
    /// A2: what is written while a disk is read through for the first time is not counted.
    WrittenWhileReadUncounted,
    /// A1: the digest that homes compare leaves out all versions but the newest.
    DigestOmitsSiblings,
    /// S4: a node whose clock is off coordinates all the same.
    ClockOffCoordinates,
    /// S1: whoever knows of later starts of a disk does not say so.
    OldCopyUnnoticed,
    /// S2: a node that lost its disk answers for it at once.
    LostDiskAnswers,
    /// F2: a node does not answer what others say of it.
    RefutationLeftOut,
    /// F3: a death is believed because somebody claims it.
    HearsayBelieved,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::LivesLeftOut,
        Self::SecondRoundLeftOut,
        Self::AnswerBeforeOwnSync,
        Self::DotsWithoutContexts,
        Self::RequestIdIgnored,
        Self::ClaimLeftOut,
        Self::GatewayGrantsLate,
        Self::HintStruckOffUnseen,
        Self::HintGivenUp,
        Self::SiblingDropped,
        Self::DamagedIsAbsent,
        Self::StandInCountsBesideHome,
        Self::DeadUnasked,
        Self::GateLeftOut,
        Self::TombstonesTimed,
        Self::PresentLifeForgotten,
        Self::AbandonedKept,
        Self::WrittenWhileReadUncounted,
        Self::DigestOmitsSiblings,
        Self::ClockOffCoordinates,
        Self::OldCopyUnnoticed,
        Self::LostDiskAnswers,
        Self::RefutationLeftOut,
        Self::HearsayBelieved,
    ];

    /// Whether this fault is the one planted.
    #[must_use]
    #[allow(clippy::missing_const_for_fn, reason = "const only when the feature is off")]
    pub fn is(self, planted: Option<Self>) -> bool {
        if cfg!(feature = "planted") {
            planted == Some(self)
        } else {
            false
        }
    }
}
