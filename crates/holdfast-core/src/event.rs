//! What happened to the cluster, for whoever keeps a record of it: logs, metrics, the simulator's checkers.
//!
//! An event is news, not a command: nothing depends on its being taken note of, and the state it tells of can be asked
//! for at any time. That is why losing one costs a line in a log and no promise.

use alloc::vec::Vec;

use crate::dead::HeldWhy;
use crate::gossip::MemberState;
use crate::ids::{NodeId, ObjectKey};
use crate::repair::Healed;

/// Something that a person may want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterEvent {
    /// A member does not answer; it is still used, and has some seconds to refute it.
    MemberSuspect(NodeId),
    /// A member is held down: it did not refute the suspicion in time.
    MemberDown(NodeId),
    /// A member was heard of: for the first time since this start, again, or because it refuted a suspicion.
    MemberUp {
        /// Which.
        node: NodeId,
        /// What it was taken for until now.
        was: MemberState,
    },
    /// A member has ended in order, and said so.
    MemberStopped(NodeId),
    /// An operator said of a member that it is down on purpose, or no longer.
    Maintenance {
        /// Which.
        node: NodeId,
        /// Whether it is.
        on: bool,
    },
    /// The others held this node down, or knew a later run of it; it goes on under a higher generation.
    Rejoined,
    /// This node's clock is too far from what most members' show: it coordinates no writes while another can (rule S4).
    ClockOff {
        /// By how much it is ahead (negative: behind), in milliseconds.
        ahead_ms: i64,
    },
    /// It is near enough again.
    ClockRight,
    /// Somebody knows of later starts, or later writes, of this node's data: they are an old copy, and put aside (rule S1).
    OldCopyFound {
        /// Who knows.
        by: NodeId,
    },
    /// This node's disk was lost or put aside: it answers no reads while it takes back from the others what it should hold
    /// (rule S2).
    Filling,
    /// It holds all again that was acknowledged.
    Filled,
    /// This node holds a key for a home that is away (rule H1).
    HintStored {
        /// The home.
        home: NodeId,
        /// The key.
        of: ObjectKey,
    },
    /// The home has confirmed it (rule H3).
    HintDelivered {
        /// The home.
        home: NodeId,
        /// The key.
        of: ObjectKey,
    },
    /// Copies of a key differed, and these nodes were sent what they lacked.
    Repaired {
        /// The key.
        of: ObjectKey,
        /// Who lacked something.
        nodes: Vec<NodeId>,
    },
    /// A copy of a body that was damaged on this disk has been written again.
    Mended {
        /// The key it belongs to.
        of: ObjectKey,
    },
    /// This node's copy of a key was damaged, and so were others': it holds again what the rest of the homes had. A write that only
    /// the damaged ones had is gone.
    CopiesLost {
        /// The key.
        of: ObjectKey,
        /// The other homes whose copies were damaged at that moment.
        nodes: Vec<NodeId>,
    },
    /// This node checks and repairs everything that it holds, because somebody asked for it.
    RepairBegun,
    /// That is over.
    RepairEnded {
        /// Records and chunks that its disk could not give back as they were written.
        damaged: u64,
        /// Rows and chunks that it and others did not hold alike.
        differences: u64,
        /// What was brought in order.
        healed: Healed,
        /// What could not be.
        unhealed: u64,
    },
    /// This node's copy of a key has concurrent versions now.
    SiblingsMade {
        /// The key.
        of: ObjectKey,
        /// How many.
        count: u32,
    },
    /// It has one again, or none.
    SiblingsResolved {
        /// The key.
        of: ObjectKey,
    },
    /// Dead bodies cannot go because of this member (rule G1).
    GateHeld {
        /// Which.
        by: NodeId,
        /// Why.
        why: HeldWhy,
    },
    /// Nobody needs these bodies, and their chunks are gone from all members (rule D10).
    Forgotten {
        /// How many.
        bodies: u32,
        /// What they took, once.
        bytes: u64,
    },
}
