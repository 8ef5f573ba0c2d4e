//! What a member tells whoever looks for a position and does not know the layout.

use alloc::string::String;
use alloc::vec::Vec;

use crate::chord::Hop;
use crate::ids::{NodeId, Partition};

/// Nodes named in a placement: the homes of any bucket but the system's, and some that may stand in for them.
pub const PLACED_MAX: usize = 16;

/// An answer to [`crate::message::Message::Find`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directions {
    /// Who answers for the position on the ring of Chord, or who may know.
    pub hop: Hop,
    /// What the layout says of it; told by whoever knows who answers for it.
    pub placement: Option<Placement>,
    /// Where the nodes named above can be reached, as far as is known.
    pub addresses: Vec<(NodeId, String)>,
}

/// What the layout says of a position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Logarithm of the number of partitions.
    pub partition_bits: u8,
    /// The position's.
    pub partition: Partition,
    /// How many members there are.
    pub members: u32,
    /// The first of its preference list, at most [`PLACED_MAX`].
    pub nodes: Vec<NodeId>,
}
