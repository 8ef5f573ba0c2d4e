//! What direct transfers need of a node: which nodes hold a chunk, a part that is named so that this node holds all of it,
//! and the code that makes a grant.
//!
//! Where a chunk lives follows from its name, and the name of a part is drawn here. So whoever receives a part can draw until
//! the part's chunks all fall to itself: the bytes then cross the network to a holder once, and from there to the other homes.
//! Nothing in the protocol changes (rule D9): it is one of the names that might have been drawn anyway.

use holdfast_core::ids::{ChunkId, NodeId, PartId};
use holdfast_core::layout::Layout;
use holdfast_core::place::{chunk_position, partition_of};

use super::{Inner, Shell, random_u128};

/// Positions looked at before a part is named as well as could be: about two milliseconds. Enough for two chunks among
/// hundreds of nodes; a part of very many chunks is not held by any one node anyway.
const POSITIONS_MAX: u32 = 16 * 1024;

/// Length of the code of a grant in bytes.
pub const GRANT_CODE_BYTES: usize = 16;

impl Shell {
    /// The homes of a chunk in a bucket of `n` replicas, best first.
    #[must_use]
    pub fn chunk_homes(&self, n: u8, chunk: ChunkId) -> Vec<NodeId> {
        let layout = &self.inner.cluster.layout;
        let partition = partition_of(chunk_position(chunk), layout.partition_bits());
        layout.homes(partition, n).collect()
    }

    /// The code that makes a grant one of this cluster's. Every member computes the same, and nobody else can.
    #[must_use]
    pub fn grant_code(&self, grant: &[u8]) -> [u8; GRANT_CODE_BYTES] {
        let key = self.identity().secret.derive("transfer grants");
        let mut code = [0; GRANT_CODE_BYTES];
        code.copy_from_slice(&blake3::keyed_hash(&key, grant).as_bytes()[..GRANT_CODE_BYTES]);
        code
    }
}

impl Inner {
    /// A new part of so many chunks, of all of which this node is a home if one can be found; else of the first ones.
    pub(super) fn part_held_here(&self, n: u8, chunks: u32) -> PartId {
        part_held_by(&self.cluster.layout, self.identity.node, n, chunks, random_u128)
    }
}

fn part_held_by(layout: &Layout, node: NodeId, n: u8, chunks: u32, mut draw: impl FnMut() -> u128) -> PartId {
    let holds = |part: PartId, index: u32| {
        let partition = partition_of(chunk_position(ChunkId { part, index }), layout.partition_bits());
        layout.is_home(node, partition, n)
    };
    let mut left = POSITIONS_MAX;
    let mut best = (PartId(draw()), 0);
    let mut part = best.0;
    loop {
        let held = (0..chunks).take_while(|index| holds(part, *index)).count() as u32;
        if held > best.1 {
            best = (part, held);
        }
        left = left.saturating_sub(held + 1);
        if best.1 >= chunks || left == 0 {
            return best.0;
        }
        part = PartId(draw());
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::layout::{Layout, Member};

    use super::*;

    fn layout(nodes: u64) -> Layout {
        let member = |id| Member {
            id: NodeId(id),
            name: format!("node-{id}"),
            zone: "z".to_owned(),
            host: format!("host-{id}"),
            capacity_bytes: 1 << 40,
        };
        Layout::found((1..=nodes).map(member).collect(), 10)
    }

    /// A counter that is spread over all bits: enough of a chance for a test that must not change.
    fn drawn() -> impl FnMut() -> u128 {
        let mut count = 0_u128;
        move || {
            count += 1;
            count.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
        }
    }

    #[test]
    fn whoever_receives_a_part_holds_all_its_chunks() {
        for nodes in [1, 3, 5, 40] {
            let layout = layout(nodes);
            for node in layout.members() {
                let part = part_held_by(&layout, node.id, 3, 2, drawn());
                for index in 0..2 {
                    let position = chunk_position(ChunkId { part, index });
                    let partition = partition_of(position, layout.partition_bits());
                    assert!(layout.is_home(node.id, partition, 3), "{nodes} nodes, chunk {index}");
                }
            }
        }
    }

    #[test]
    fn looking_ends_where_nobody_can_hold_everything() {
        let layout = layout(40);
        let mut draws = 0;
        let mut draw = drawn();
        let count = || {
            draws += 1;
            draw()
        };
        part_held_by(&layout, NodeId(1), 3, 1_280, count);
        assert!(draws <= POSITIONS_MAX + 1, "{draws}");
    }
}
