//! What happened to the cluster, for whoever keeps a record of it: logs, metrics, the simulator's checkers.
//!
//! An event is news, not a command: nothing depends on its being taken note of, and the state it tells of can be asked
//! for at any time. That is why losing one costs a line in a log and no promise.

use crate::gossip::MemberState;
use crate::ids::NodeId;

/// Something that a person may want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    /// An operator said of a member that it is down on purpose, or no longer.
    Maintenance {
        /// Which.
        node: NodeId,
        /// Whether it is.
        on: bool,
    },
    /// The others held this node down, or knew a later run of it; it goes on under a higher generation.
    Rejoined,
}
