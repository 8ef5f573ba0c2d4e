//! The layout: which nodes are members and in which order they serve each partition (rules L1, L7).
//!
//! Membership is fixed at founding; the lists are a deterministic function of it, so every node that knows the members
//! knows the lists.

mod encode;
mod optimise;

pub use encode::{LayoutDecodeError, MEMBERS_MAX, PARTITION_BITS_MAX, PLACE_NAME_BYTES_MAX, PLACES_MAX};

use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{NodeId, Partition};

/// A member of the cluster, as the layout knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id, from its certificate.
    pub id: NodeId,
    /// What people call it; unique.
    pub name: String,
    /// Where it stands: copies are spread over zones first.
    pub zone: String,
    /// The machine it runs on: copies are spread over hosts second.
    pub host: String,
    /// Bytes it is willing to store: partitions are shared out in proportion.
    pub capacity_bytes: u64,
}

/// Members and preference lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Raised by a forced layout; 1 at founding.
    era: u32,
    /// Number of this layout; 1 at founding.
    epoch: u64,
    /// log₂ of the number of partitions.
    partition_bits: u8,
    /// Sorted by id.
    members: Vec<Member>,
    /// For each partition, indexes of all members, best first.
    lists: Vec<Vec<u16>>,
}

impl Layout {
    /// The layout of a new cluster (rule L7).
    ///
    /// # Panics
    /// When there are no members, two with one id, or more than 65,536: the founder checks before it founds.
    #[must_use]
    pub fn found(mut members: Vec<Member>, partition_bits: u8) -> Self {
        members.sort_by_key(|member| member.id);
        assert!(!members.is_empty(), "a cluster has at least one member");
        assert!(members.len() <= usize::from(u16::MAX), "too many members");
        assert!(
            members.windows(2).all(|pair| pair[0].id != pair[1].id),
            "two members with one id"
        );
        let lists = optimise::preference_lists(&members, partition_bits);
        Self {
            era: 1,
            epoch: 1,
            partition_bits,
            members,
            lists,
        }
    }

    /// Raised by a forced layout.
    #[must_use]
    pub const fn era(&self) -> u32 {
        self.era
    }

    /// Number of this layout.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// log₂ of the number of partitions.
    #[must_use]
    pub const fn partition_bits(&self) -> u8 {
        self.partition_bits
    }

    /// Number of partitions.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.lists.len()
    }

    /// All members, by id.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Effective number of homes for a bucket's `n` (rule B2).
    #[must_use]
    pub fn homes_count(&self, n: u8) -> usize {
        usize::from(n.max(1)).min(self.members.len())
    }

    /// All members in order of preference for a partition.
    pub fn preference_list(&self, partition: Partition) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        let list = &self.lists[usize::from(partition.0) % self.lists.len()];
        list.iter().map(|index| self.members[usize::from(*index)].id)
    }

    /// The homes of a partition for a bucket's `n`, best first.
    pub fn homes(&self, partition: Partition, n: u8) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.preference_list(partition).take(self.homes_count(n))
    }

    /// Whether a node is a home of a partition for a bucket's `n`.
    #[must_use]
    pub fn is_home(&self, node: NodeId, partition: Partition, n: u8) -> bool {
        self.homes(partition, n).any(|home| home == node)
    }
}
