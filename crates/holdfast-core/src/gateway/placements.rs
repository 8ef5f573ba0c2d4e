//! Where partitions live, as gateways were told lately.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::directions::Placement;
use crate::ids::{NodeId, Partition, Position};
use crate::place::{PARTITION_BITS_MAX, partition_of};
use crate::time::Now;

/// How long what was told is believed. A home that is none any more says so, so this only bounds memory of the past.
const BELIEVED_US: u64 = 60_000_000;
/// Partitions remembered: with those in use at a time, a gateway asks its way once a minute for each.
const REMEMBERED_MAX: usize = 1_024;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Placements {
    /// Logarithm of the number of partitions; 0 as long as nothing is known.
    partition_bits: u8,
    members: u32,
    nodes: BTreeMap<Partition, (u64, Vec<NodeId>)>,
}

impl Placements {
    /// Who holds a position, best first, if that was told lately.
    pub(super) fn of(&self, now: Now, position: Position) -> Option<&[NodeId]> {
        let (until_us, nodes) = self.nodes.get(&partition_of(position, self.partition_bits))?;
        (*until_us > now.mono_us).then_some(nodes)
    }

    /// Its partition.
    pub(super) fn partition_of(&self, position: Position) -> Partition {
        partition_of(position, self.partition_bits)
    }

    /// Takes note of what was told.
    pub(super) fn learn(&mut self, now: Now, placement: Placement) {
        if placement.partition_bits > PARTITION_BITS_MAX || placement.nodes.is_empty() {
            return;
        }
        if placement.partition_bits != self.partition_bits {
            self.nodes.clear();
        }
        (self.partition_bits, self.members) = (placement.partition_bits, placement.members);
        if self.nodes.len() >= REMEMBERED_MAX {
            let oldest = self.nodes.iter().min_by_key(|(_, (until_us, _))| *until_us);
            if let Some(oldest) = oldest.map(|(partition, _)| *partition) {
                self.nodes.remove(&oldest);
            }
        }
        let until_us = now.after_us(BELIEVED_US);
        self.nodes.insert(placement.partition, (until_us, placement.nodes));
    }

    /// It was not so.
    pub(super) fn forget(&mut self, position: Position) {
        self.nodes.remove(&partition_of(position, self.partition_bits));
    }

    /// How many members and partitions the cluster has, once that was told.
    pub(super) fn sizes(&self) -> Option<(u32, usize)> {
        (self.members > 0).then_some((self.members, 1 << self.partition_bits))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const fn at(mono_us: u64) -> Now {
        Now { wall_ms: 0, mono_us }
    }

    fn placement(partition: u16, node: u64) -> Placement {
        Placement {
            partition_bits: 10,
            partition: Partition(partition),
            members: 5,
            nodes: vec![NodeId(node)],
        }
    }

    #[test]
    fn what_was_told_is_believed_for_a_while_and_for_its_partition_alone() {
        let mut placements = Placements::default();
        let position = Position(3 << 54);
        assert_eq!((placements.of(at(0), position), placements.sizes()), (None, None));
        placements.learn(at(0), placement(3, 7));
        assert_eq!(placements.of(at(1), position), Some(&[NodeId(7)][..]));
        assert_eq!(placements.of(at(1), Position(4 << 54)), None);
        assert_eq!(placements.of(at(BELIEVED_US), position), None, "too long ago");
        assert_eq!(placements.sizes(), Some((5, 1024)));
        placements.learn(at(0), placement(3, 7));
        placements.forget(position);
        assert_eq!(placements.of(at(1), position), None);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for_and_nonsense_is_not() {
        let mut placements = Placements::default();
        for partition in 0..=REMEMBERED_MAX as u16 {
            placements.learn(
                at(u64::from(partition)),
                Placement {
                    partition_bits: 16,
                    ..placement(partition, 1)
                },
            );
        }
        assert_eq!(placements.nodes.len(), REMEMBERED_MAX);
        assert!(!placements.nodes.contains_key(&Partition(0)), "the oldest went");
        placements.learn(
            at(0),
            Placement {
                partition_bits: 40,
                ..placement(1, 1)
            },
        );
        assert_eq!(placements.nodes.len(), REMEMBERED_MAX);
    }
}
