//! Directions as bytes: what a node tells of the ring and the layout to whoever does not know them.

use alloc::string::String;
use alloc::vec::Vec;

use crate::chord::{DEAD_MAX, Hop, Peer, SUCCESSORS};
use crate::codec::{DecodeError, Reader, Writer};
use crate::gateway::{Directions, PLACED_MAX, Placement};
use crate::ids::NodeId;
use crate::wire::field::{Field, read_all};
use crate::wire::limit::ADDRESS_BYTES_MAX;

/// Nodes in one list: those who are dead, a node and its successors, a placement.
const NAMED_MAX: usize = largest([DEAD_MAX, SUCCESSORS + 1, PLACED_MAX]);
const OWNERS: u8 = 0;
const CLOSER: u8 = 1;

const fn largest(of: [usize; 3]) -> usize {
    let first = if of[0] > of[1] { of[0] } else { of[1] };
    if first > of[2] { first } else { of[2] }
}

/// A list of nodes, of bounded length.
pub fn read_nodes(from: &mut Reader<'_>) -> Result<Vec<NodeId>, DecodeError> {
    bounded(read_all(from, NodeId::BYTES_MIN, Field::read)?)
}

fn bounded<T>(list: Vec<T>) -> Result<Vec<T>, DecodeError> {
    if list.len() > 2 * NAMED_MAX {
        return Err(DecodeError::TooLong { what: "list of nodes" });
    }
    Ok(list)
}

impl Field for Hop {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        let (tag, peers) = match self {
            Self::Owners(peers) => (OWNERS, peers),
            Self::Closer(peers) => (CLOSER, peers),
        };
        to.u8(tag);
        to.count(peers.len());
        peers.iter().for_each(|peer| peer.node.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = from.u8()?;
        let peers = read_nodes(from)?.into_iter().map(Peer::of).collect();
        match tag {
            OWNERS => Ok(Self::Owners(peers)),
            CLOSER => Ok(Self::Closer(peers)),
            tag => Err(DecodeError::BadTag { what: "hop", tag }),
        }
    }
}

impl Field for Placement {
    const BYTES_MIN: usize = 1 + 2 + 4 + 1;

    fn write(&self, to: &mut Writer) {
        to.u8(self.partition_bits);
        self.partition.write(to);
        to.u32(self.members);
        self.nodes.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            partition_bits: from.u8()?,
            partition: Field::read(from)?,
            members: from.u32()?,
            nodes: read_nodes(from)?,
        })
    }
}

/// Where a node can be reached.
fn read_address(from: &mut Reader<'_>) -> Result<(NodeId, String), DecodeError> {
    Ok((Field::read(from)?, from.text("address", ADDRESS_BYTES_MAX)?.into()))
}

impl Field for Directions {
    const BYTES_MIN: usize = Hop::BYTES_MIN + 1 + 1;

    fn write(&self, to: &mut Writer) {
        self.hop.write(to);
        self.placement.write(to);
        to.count(self.addresses.len());
        for (node, address) in &self.addresses {
            node.write(to);
            to.bytes(address.as_bytes());
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            hop: Field::read(from)?,
            placement: Field::read(from)?,
            addresses: bounded(read_all(from, NodeId::BYTES_MIN + 1, read_address)?)?,
        })
    }
}
