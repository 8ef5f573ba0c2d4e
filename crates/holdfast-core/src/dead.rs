//! Bodies that versions left behind, remnants that say what is over, and what members ask each other before either goes
//! (rules D10, G1, G3).
//!
//! A body is dead when no home's version or open upload names its parts, nobody can commit them any more, and no hint or
//! message that may name them is left anywhere. Only then do its chunks go. Nothing here rests on a time alone: a member
//! that cannot be asked keeps everything.

use alloc::vec::Vec;

use crate::content::Manifest;
use crate::ids::{ActorId, Life, NodeId, PartId, Partition, UploadId};
use crate::message::Digest;
use crate::place::Place;

/// A row of [`crate::storage::Space::Dead`]: a body that a version, or a closed upload, left behind on this home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadBody {
    /// Unix milliseconds since when.
    pub since_ms: u64,
    /// Of a remnant: how many homes its key has, which nobody knows any more once the bucket is deleted. 0 for a body.
    pub homes: u8,
    /// Its parts.
    pub manifest: Manifest,
}

/// Chunks of one part: indices `from` up to, not including, `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkRange {
    /// Of which part.
    pub part: PartId,
    /// The first.
    pub from: u32,
    /// The one behind the last.
    pub to: u32,
}

/// What of a key is over.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Over {
    /// All of it: its record tells of deletions only.
    Record,
    /// An upload of it, which was completed or aborted.
    Upload(UploadId),
    /// Lives that its record knows of: their nodes hold no copy in them any more, and no version bears their dots (rule D3).
    Lives(Vec<(ActorId, Life)>),
}

/// What says only that something is over, and may go once nobody can bring back what that was (rule G3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remnant {
    /// Of which key.
    pub place: Place,
    /// What is over.
    pub over: Over,
    /// The record or row that says so, exactly.
    pub digest: Digest,
    /// How many homes its key has: a node that is none of these, but could have been taken for one, may also hold nothing.
    pub homes: u8,
}

/// What a collector asks a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Collect {
    /// Which of these parts does a version or an open upload of their key name, on your disk?
    Named(Vec<(Place, PartId)>),
    /// Do you hold hints of these partitions?
    Hints(Vec<Partition>),
    /// Do you hold these remnants, exactly so?
    Remnants(Vec<Remnant>),
    /// Remove these chunks.
    Remove(Vec<ChunkRange>),
    /// Remove these remnants, those that are still exactly so.
    Erase(Vec<Remnant>),
    /// These rows of [`crate::storage::Space::Dead`] are done with.
    Forget(Vec<Vec<u8>>),
}

/// What it answers, once synced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Collected {
    /// The parts that are named.
    Named(Vec<PartId>),
    /// What it holds of hints.
    Hints(HintsHeld),
    /// The remnants that are not so here, by their places in the question.
    Otherwise(Vec<u32>),
    /// Done.
    Done,
}

/// A member's hints of some partitions, at one instant of one of its runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HintsHeld {
    /// Which of its runs this is: what it counts begins anew with each.
    pub run: u64,
    /// Its wall clock, in Unix milliseconds.
    pub wall_ms: u64,
    /// For each partition asked: whether it holds a hint, and how many hints of it began in this run.
    pub partitions: Vec<(Partition, bool, u64)>,
}

/// What still waits to be forgotten, for whoever wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Forgetting {
    /// Dead bodies on this node's account; each home of a key has its own.
    pub bodies: u64,
    /// Their bytes, counted once and not for each copy.
    pub bytes: u64,
    /// The member for which they wait, and why.
    pub held: Option<(NodeId, HeldWhy)>,
}

/// Why a member keeps the gate shut (rule G1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldWhy {
    /// It does not answer.
    Away,
    /// It was started anew while the others waited for messages to die.
    Restarted,
    /// Its clock is more than a message life from the collector's.
    ClockOff,
    /// It holds hints, which may name what is dead.
    Hints,
    /// Its disk was lost, or may be an old copy: what it knows is not all (rules S1, S2).
    Filling,
    /// Its disk did not do what it was asked.
    Failed,
}

impl DeadBody {
    /// Bytes of the body.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.manifest.parts.iter().map(|part| part.size).sum()
    }
}
