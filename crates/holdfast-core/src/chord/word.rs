//! What nodes say to each other about the ring. Places are not said: they follow from the ids ([`Peer::of`]).

use alloc::vec::Vec;

use super::{Hop, Neighbours};
use crate::ids::{NodeId, Position};

/// One thing said. Each may be lost, doubled or late; what asks is asked again, and an answer that nobody waits for means nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// What do you know of your neighbourhood?
    Ask {
        /// Of the asker.
        token: u64,
    },
    /// This.
    Say {
        /// Of the asker.
        token: u64,
        /// What is known.
        neighbours: Neighbours,
    },
    /// I take you for my successor.
    Notify,
    /// Which way to a position?
    Find {
        /// Of the asker.
        token: u64,
        /// The position.
        to: Position,
        /// Who did not answer the asker: not to be named again.
        dead: Vec<NodeId>,
    },
    /// That way.
    Way {
        /// Of the asker.
        token: u64,
        /// Who answers for it, or who may know.
        hop: Hop,
    },
}
