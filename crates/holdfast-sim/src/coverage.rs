//! Whether the interesting things happened at all. A checker that finds nothing proves nothing if the second round never
//! ran; so everything worth checking is counted, from what is seen of effects, messages and disks, and a test asserts
//! that no count stays zero.

/// Something worth reaching.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Reached {
    /// Operations that clients began.
    Operations,
    /// Attempts beyond the first of an operation.
    Retries,
    /// Faults that struck.
    Faults,
    /// Writes acknowledged.
    WritesAcked,
    /// Writes whose outcome stayed unknown.
    WritesUnknown,
    /// Writes refused without a change.
    WritesRefused,
    /// Reads answered.
    ReadsAnswered,
    /// Reads that failed.
    ReadsFailed,
    /// A blind put wrote once more above what replicas showed (D4).
    SecondRound,
    /// A node began a new life of a key's copy although it had had one (D2).
    LifeRenewed,
    /// A retry found its request already written (D7).
    RetryRecognised,
    /// A write was handed to a home by a node that is none.
    Forwarded,
    /// A forwarder tried a second home.
    ForwardRetried,
    /// A gateway handed a request on.
    GatewayHandedOn,
    /// A gateway tried another node.
    GatewayTriedAnother,
    /// A gateway died with requests under way.
    GatewayDied,
    /// A copy was written to a stale home after a read.
    RepairSent,
    /// A comparison of two nodes found differences.
    ComparisonDiffered,
    /// A range that differed was cut into pieces.
    ComparisonInPieces,
    /// A comparison found two nodes equal.
    ComparisonEqual,
    /// A listing's reply was cut short.
    ListReplyCut,
    /// A page ended before the listing did, and the next was asked.
    PageContinued,
    /// A page showed a common prefix.
    CommonPrefixes,
    /// A key had concurrent versions.
    Siblings,
    /// A write was refused because it would have left too many siblings.
    SiblingsCapped,
    /// A stale context left siblings on purpose.
    StaleContexts,
    /// A write replaced an acknowledged one.
    Replaced,
    /// An attempt that the client no longer waited for took effect after later writes had been acknowledged: the double
    /// effect that available buckets allow.
    DoubleEffects,
    /// A key was read as deleted.
    Tombstones,
    /// A body was read back from its chunks.
    ChunkedBodiesRead,
    /// An upload was completed.
    UploadsCompleted,
    /// An upload was aborted.
    UploadsAborted,
    /// Messages lost.
    MessagesLost,
    /// Messages delivered twice.
    MessagesDoubled,
    /// Messages delivered more than a second late.
    MessagesLate,
    /// A message waited for a cut to end.
    MessagesHeld,
    /// Processes killed.
    Kills,
    /// Power cuts.
    PowerCuts,
    /// Batches that a power cut lost.
    BatchesLost,
    /// Power cuts that kept some but not all of what was not synced.
    PrefixesKept,
    /// A stand-in took a write for a home that was away (H1).
    HintsStored,
    /// A hint grew while it was held.
    HintsChanged,
    /// A home confirmed a hint that others are still owed.
    HintsStruckOff,
    /// The last home confirmed a hint.
    HintsSettled,
    /// A stand-in coordinated because no home answered (Q1).
    StandInCoordinated,
    /// A write was acknowledged with fewer than W homes among the W.
    SloppyAcks,
    /// A read was answered with the help of stand-ins.
    SloppyReads,
    /// A chunk was handed off.
    ChunksHandedOff,
    /// A node was told to remove chunks of dead bodies, and did.
    ChunksForgotten,
    /// Dead bodies had to stay because of a member.
    GatesHeld,
    /// Dead bodies went through the gate.
    GatesOpened,
    /// A home forgot a record of deletions.
    TombstonesForgotten,
    /// A home forgot the row of a closed upload.
    UploadsForgotten,
    /// A home forgot lives that a record knew of.
    LivesForgotten,
    /// A message was encoded and decoded.
    WireRoundTrips,
    /// Ends of a run compared copy by copy.
    CopiesCompared,
    /// Datagrams of gossip sent.
    Datagrams,
    /// A member was suspected.
    Suspicions,
    /// A member refuted a suspicion.
    Refutations,
    /// A member was held down.
    Deaths,
    /// A member that was held down was heard again.
    Returns,
    /// A node learnt that it was held down, and went on under a higher generation.
    Rejoins,
    /// A node found its clock too far from the others' (S4).
    ClocksOff,
    /// Something rotted that others had.
    Rotted,
    /// A machine lost its disk.
    DisksLost,
    /// A machine's disk was put back from an old copy.
    CopiesPutBack,
    /// A node was told that its data are an old copy.
    CopiesPutAside,
    /// A node that had lost its disk holds all again.
    DisksFilled,
}

impl Reached {
    /// Everything that is counted.
    pub const ALL: [Self; 68] = [
        Self::Operations,
        Self::Retries,
        Self::Faults,
        Self::WritesAcked,
        Self::WritesUnknown,
        Self::WritesRefused,
        Self::ReadsAnswered,
        Self::ReadsFailed,
        Self::SecondRound,
        Self::LifeRenewed,
        Self::RetryRecognised,
        Self::Forwarded,
        Self::ForwardRetried,
        Self::GatewayHandedOn,
        Self::GatewayTriedAnother,
        Self::GatewayDied,
        Self::RepairSent,
        Self::ComparisonDiffered,
        Self::ComparisonInPieces,
        Self::ComparisonEqual,
        Self::ListReplyCut,
        Self::PageContinued,
        Self::CommonPrefixes,
        Self::Siblings,
        Self::SiblingsCapped,
        Self::StaleContexts,
        Self::Replaced,
        Self::DoubleEffects,
        Self::Tombstones,
        Self::ChunkedBodiesRead,
        Self::UploadsCompleted,
        Self::UploadsAborted,
        Self::MessagesLost,
        Self::MessagesDoubled,
        Self::MessagesLate,
        Self::MessagesHeld,
        Self::Kills,
        Self::PowerCuts,
        Self::BatchesLost,
        Self::PrefixesKept,
        Self::HintsStored,
        Self::HintsChanged,
        Self::HintsStruckOff,
        Self::HintsSettled,
        Self::StandInCoordinated,
        Self::SloppyAcks,
        Self::SloppyReads,
        Self::ChunksHandedOff,
        Self::ChunksForgotten,
        Self::GatesHeld,
        Self::GatesOpened,
        Self::TombstonesForgotten,
        Self::UploadsForgotten,
        Self::LivesForgotten,
        Self::WireRoundTrips,
        Self::CopiesCompared,
        Self::Datagrams,
        Self::Suspicions,
        Self::Refutations,
        Self::Deaths,
        Self::Returns,
        Self::Rejoins,
        Self::ClocksOff,
        Self::Rotted,
        Self::DisksLost,
        Self::CopiesPutBack,
        Self::CopiesPutAside,
        Self::DisksFilled,
    ];
}

/// How often each was reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coverage {
    counts: [u64; Reached::ALL.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            counts: [0; Reached::ALL.len()],
        }
    }
}

impl Coverage {
    /// Counts one.
    pub fn reach(&mut self, what: Reached) {
        self.counts[what as usize] += 1;
    }

    /// Counts several.
    pub fn add(&mut self, what: Reached, count: u64) {
        self.counts[what as usize] += count;
    }

    /// How often it was reached.
    #[must_use]
    pub fn count(&self, what: Reached) -> u64 {
        self.counts[what as usize]
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *own += theirs;
        }
    }

    /// One line for each count.
    #[must_use]
    pub fn table(&self) -> String {
        let lines = Reached::ALL
            .iter()
            .map(|what| format!("  {:<22} {:>12}\n", format!("{what:?}"), self.count(*what)));
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_is_in_the_order_of_their_numbers() {
        for (number, what) in Reached::ALL.iter().enumerate() {
            assert_eq!(*what as usize, number);
        }
    }
}
