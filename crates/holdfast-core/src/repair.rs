//! What a repair that somebody asked for has done so far, for those who look on (docs/protocol.md, "Repair on demand").
//!
//! Figures only rise while it runs, so that a percentage never goes back: what there is in all is counted once, at the
//! beginning. What clients write meanwhile is not in it, and what they delete counts as checked in the end.

use alloc::vec::Vec;

use crate::ids::{NodeId, ObjectKey};

/// Keys that could not be healed are named up to so many; beyond it they are counted.
pub const NAMED_MAX: usize = 100;

/// A record with a small body weighs as much as so many bytes of chunks, in what is left to be read.
const RECORD_BYTES: u64 = 4_096;
/// Of a thousand parts, so many are the reading of this node's own disk; the comparisons with others are the rest.
const READING_PERMILLE: u64 = 900;

/// Of the repair that is under way, or of the last one.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RepairReport {
    /// Which one it is since the process started; 0 when nobody asked for one.
    pub number: u64,
    /// It is under way.
    pub is_running: bool,
    /// When it began, in Unix milliseconds.
    pub begun_ms: u64,
    /// When it ended, in Unix milliseconds; 0 while it is under way.
    pub ended_ms: u64,
    /// What it is at.
    pub stage: RepairStage,
    /// Records that were read, with their small bodies; uploads and their parts among them.
    pub records: Portion,
    /// Chunks of large bodies that were read.
    pub chunks: Portion,
    /// Bytes of these chunks.
    pub bytes: Portion,
    /// The comparisons with each of the other members.
    pub members: Vec<RepairOfMember>,
    /// Records, places among them and chunks that this node's disk could not give back as they were written.
    pub damaged: u64,
    /// Rows and chunks that this node and others did not hold alike.
    pub differences: u64,
    /// What was brought in order.
    pub healed: Healed,
    /// What could not be: no other home that answered has it, or some home did not take it.
    pub unhealed: u64,
    /// The first of them, at most [`NAMED_MAX`]: not everything that is damaged says what it was.
    pub unhealed_keys: Vec<ObjectKey>,
}

/// What a repair is at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum RepairStage {
    /// The disk is being read through after a start, and cannot be compared before that.
    #[default]
    Starting,
    /// Counting what there is.
    Counting,
    /// Reading records.
    Records,
    /// Reading chunks.
    Chunks,
    /// Comparing with the other members.
    Members,
    /// Waiting for what is being healed, and reading damaged places again.
    Healing,
    /// It is over.
    Over,
}

/// So many of so many.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Portion {
    /// Done.
    pub done: u64,
    /// In all, as counted at the beginning.
    pub all: u64,
}

/// What was healed while a repair was under way, by whatever found it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Healed {
    /// Keys whose copies were made equal, or whose copy here was written again.
    pub records: u64,
    /// Damaged chunks of this disk that were written again.
    pub chunks: u64,
    /// Chunks, and rows of uploads, that another member lacked and was sent.
    pub sent: u64,
}

/// How far the comparison with a member is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepairOfMember {
    /// Which.
    pub node: NodeId,
    /// How it stands.
    pub state: RepairOfMemberState,
    /// Parts of the key space that were compared.
    pub parts: Portion,
}

/// How the comparison with a member stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepairOfMemberState {
    /// Its turn has not come.
    Waiting,
    /// It cannot be reached; after a few seconds nobody waits for it any more.
    Down,
    /// It is being compared with.
    Comparing,
    /// It was compared with, wholly.
    Compared,
    /// It was reached, but could not tell everything, or took too long.
    Incomplete,
}

impl Portion {
    pub(crate) const fn of(all: u64) -> Self {
        Self { done: 0, all }
    }

    /// So many more; never beyond what there is in all.
    pub(crate) fn advance(&mut self, count: u64) {
        self.reach(self.done.saturating_add(count));
    }

    /// As far as this, unless it is further.
    pub(crate) fn reach(&mut self, done: u64) {
        self.done = self.done.max(done.min(self.all));
    }

    pub(crate) const fn finish(&mut self) {
        self.done = self.all;
    }
}

impl RepairReport {
    /// How much of it is done, in thousandths. All of it only once it is over.
    #[must_use]
    pub fn permille(&self) -> u16 {
        if self.stage == RepairStage::Over {
            return 1_000;
        }
        let weight = |records: u64, bytes: u64| records.saturating_mul(RECORD_BYTES).saturating_add(bytes);
        let read = weight(self.records.done, self.bytes.done);
        let reading = match self.stage {
            RepairStage::Starting | RepairStage::Counting => 0,
            RepairStage::Records | RepairStage::Chunks => {
                share(READING_PERMILLE, read, weight(self.records.all, self.bytes.all))
            }
            RepairStage::Members | RepairStage::Healing | RepairStage::Over => READING_PERMILLE,
        };
        let parts = |pick: fn(&Portion) -> u64| self.members.iter().map(|member| pick(&member.parts)).sum::<u64>();
        let compared = share(
            999 - READING_PERMILLE,
            parts(|parts| parts.done),
            parts(|parts| parts.all),
        );
        (reading + compared) as u16
    }

    /// Members that it could not compare with, or not wholly.
    pub fn left_out(&self) -> impl Iterator<Item = NodeId> + '_ {
        let is_left_out = |member: &&RepairOfMember| {
            matches!(
                member.state,
                RepairOfMemberState::Down | RepairOfMemberState::Incomplete
            )
        };
        self.members.iter().filter(is_left_out).map(|member| member.node)
    }
}

/// A part of a whole that is itself so large.
const fn share(of: u64, done: u64, all: u64) -> u64 {
    match (of as u128 * done as u128).checked_div(all as u128) {
        Some(share) => share as u64,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_goes_back_and_is_whole_only_at_the_end() {
        let mut report = RepairReport {
            records: Portion::of(10),
            bytes: Portion::of(40_960),
            ..RepairReport::default()
        };
        report.members = alloc::vec![RepairOfMember {
            node: NodeId(2),
            state: RepairOfMemberState::Waiting,
            parts: Portion::of(4),
        }];
        let mut shares = alloc::vec![report.permille()];
        report.stage = RepairStage::Records;
        for _ in 0..12 {
            report.records.advance(1);
            shares.push(report.permille());
        }
        report.stage = RepairStage::Chunks;
        report.bytes.advance(10_000);
        shares.push(report.permille());
        report.bytes.finish();
        shares.push(report.permille());
        report.stage = RepairStage::Members;
        for done in [1, 3, 2, 9] {
            report.members[0].parts.reach(done);
            shares.push(report.permille());
        }
        assert!(shares.is_sorted(), "{shares:?}");
        assert!(shares.iter().all(|share| *share < 1_000), "{shares:?}");
        assert!(shares.contains(&450) && shares.contains(&900), "{shares:?}");
        report.stage = RepairStage::Over;
        assert_eq!(report.permille(), 1_000);
    }

    #[test]
    fn an_empty_disk_has_no_share_to_divide() {
        let report = RepairReport {
            stage: RepairStage::Records,
            ..RepairReport::default()
        };
        assert_eq!(report.permille(), 0);
    }
}
