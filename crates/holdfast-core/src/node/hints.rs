//! What this node holds for homes that are away (rules H1, H3): reading, merging and striking off hints, and acting on
//! the copy of a key whichever way this node holds it.
//!
//! A hint is a copy like any other, with a life of its own (rule D2), under the same key in another keyspace. A node is
//! a home of a key or a stand-in, never both; what tells is who asked it (rule L6).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

use super::local::{LocalCopy, Merged, change_bodies, wanted_versions};
use super::state::Step;
use crate::event::ClusterEvent;
use crate::ids::{Dot, NodeId, Partition};
use crate::message::{Copy, Digest, Refusal};
use crate::place::Place;
use crate::planted::Planted;
use crate::record::Record;
use crate::request::WantedBodies;
use crate::storage::{Batch, ReadError, Space, Storage, Visit, WriteSeq};
use crate::wire::hint::{HintRow, decode_chunk_hint, decode_hint, decode_owed, encode_chunk_hint, encode_hint};
use crate::wire::record::record_digest;

/// As what this node holds its copy of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// As a home.
    Home,
    /// As a stand-in that owes it to these homes.
    StandIn(Vec<NodeId>),
}

impl Role {
    /// Where the bodies of a copy lie that is held so.
    pub(crate) const fn body_space(&self) -> Space {
        match self {
            Self::Home => Space::Bodies,
            Self::StandIn(_) => Space::HintBodies,
        }
    }
}

/// How many hints this node owes, and where it holds them; follows the disk exactly.
#[derive(Clone, Debug, Default)]
pub(crate) struct HintIndex {
    owed: BTreeMap<NodeId, u64>,
    partitions: BTreeMap<Partition, u64>,
    /// How many hints of each partition began in this run.
    begun: BTreeMap<Partition, u64>,
}

impl HintIndex {
    /// As the disk says. Unreadable rows are left out: delivery meets them again and says so.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self, ReadError> {
        let mut index = Self::default();
        for space in [Space::Hints, Space::ChunkHints] {
            storage.scan(space, &[], &[0xff; 32], &mut |key, row| {
                if let Ok(owed) = decode_owed(row) {
                    index.change(partition_of_key(key), &[], &owed);
                }
                Visit::Next
            })?;
        }
        Ok(index)
    }

    /// Returns whether it changed of which partitions there are hints.
    fn change(&mut self, partition: Partition, before: &[NodeId], after: &[NodeId]) -> bool {
        for home in after.iter().filter(|home| !before.contains(home)) {
            *self.owed.entry(*home).or_default() += 1;
        }
        for home in before.iter().filter(|home| !after.contains(home)) {
            lower(&mut self.owed, *home);
        }
        let known = self.partitions.len();
        match (before.is_empty(), after.is_empty()) {
            (true, false) => {
                *self.partitions.entry(partition).or_default() += 1;
                *self.begun.entry(partition).or_default() += 1;
            }
            (false, true) => lower(&mut self.partitions, partition),
            _ => {}
        }
        known != self.partitions.len()
    }

    /// Partitions of which this node holds hints.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        self.partitions.keys().copied().collect()
    }

    /// Whether this node holds hints of a partition.
    pub(crate) fn are_of(&self, partition: Partition) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// How often this node came to hold a hint of a partition in this run: unchanged between two looks at which it held
    /// none, it held none in between.
    pub(crate) fn begun(&self, partition: Partition) -> u64 {
        self.begun.get(&partition).copied().unwrap_or(0)
    }

    /// Hints owed to a home, records and chunks.
    pub(crate) fn owed_to(&self, home: NodeId) -> u64 {
        self.owed.get(&home).copied().unwrap_or(0)
    }

    /// Homes that are owed something, and how much.
    pub(crate) fn all(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.owed.iter().map(|(home, count)| (*home, *count))
    }
}

fn lower<K: Ord + core::marker::Copy>(counts: &mut BTreeMap<K, u64>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Both keyspaces begin their keys with the partition.
fn partition_of_key(key: &[u8]) -> Partition {
    Partition(key.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes)))
}

fn united(a: &[NodeId], b: &[NodeId]) -> Vec<NodeId> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

impl Step<'_> {
    /// This node's hint for a key.
    pub(crate) fn read_hint(&self, place: &Place) -> Result<Option<HintRow>, ReadError> {
        let row = self.storage.get(Space::Hints, &place.row_key())?;
        row.map(|row| decode_hint(row).map_err(|_| ReadError::Corrupt))
            .transpose()
    }

    /// This node's copy, held as a home or as a stand-in.
    pub(crate) fn read_held(&self, place: &Place, role: &Role) -> Result<Option<LocalCopy>, ReadError> {
        match role {
            Role::Home => self.read_copy(place),
            Role::StandIn(_) => Ok(self.read_hint(place)?.map(|hint| LocalCopy {
                local: hint.local,
                record: hint.record,
            })),
        }
    }

    /// Body rows of a record that this node holds as a home or as a stand-in.
    pub(crate) fn read_held_bodies(
        &self,
        place: &Place,
        role: &Role,
        record: &Record,
        wanted: WantedBodies,
    ) -> Result<Vec<(Dot, Bytes)>, ReadError> {
        self.read_bodies_in(role.body_space(), place, wanted_versions(record, wanted))
    }

    /// Replaces this node's copy, held as a home or as a stand-in; a stand-in owes it to its homes from then on.
    pub(crate) fn write_held(
        &mut self,
        place: &Place,
        role: &Role,
        before: Option<&Record>,
        after: &LocalCopy,
        bodies: &[(Dot, Bytes)],
        batch: Batch,
    ) -> Result<WriteSeq, Refusal> {
        match role {
            Role::Home => self.write_copy(place, before, after, bodies, batch),
            Role::StandIn(owes) => {
                let before = self.read_hint(place)?;
                let after = HintRow {
                    owed: united(before.as_ref().map_or(&[], |hint| &hint.owed), owes),
                    local: after.local,
                    record: after.record.clone(),
                };
                self.write_hint(place, before.as_ref(), &after, bodies, batch)
            }
        }
    }

    /// Merges a copy into this node's hint for a key, which it owes to these homes from now on.
    pub(crate) fn merge_hint(&mut self, place: &Place, theirs: &Copy, owes: &[NodeId]) -> Result<Merged, Refusal> {
        let before = self.read_hint(place)?;
        let mut after = before.clone().unwrap_or_default();
        after.owed = united(&after.owed, owes);
        after.record.merge(&theirs.record);
        let seq = if before.as_ref() == Some(&after) {
            // Nothing new, but it may not be on disk yet: what follows may promise it.
            self.storage.last_write()
        } else {
            self.write_hint(place, before.as_ref(), &after, &theirs.bodies, Batch::default())?
        };
        Ok(Merged {
            context: after.record.context().clone(),
            before: before.map(|hint| hint.record),
            seq,
        })
    }

    fn write_hint(
        &mut self,
        place: &Place,
        before: Option<&HintRow>,
        after: &HintRow,
        bodies: &[(Dot, Bytes)],
        mut batch: Batch,
    ) -> Result<WriteSeq, Refusal> {
        let empty = Record::new();
        let record_before = before.map_or(&empty, |hint| &hint.record);
        change_bodies(
            Space::HintBodies,
            place,
            record_before,
            &after.record,
            bodies,
            &mut batch,
        )?;
        self.note_replaced(record_before, &after.record);
        if after.owed.is_empty() {
            batch.remove(Space::Hints, place.row_key());
        } else {
            batch.put(Space::Hints, place.row_key(), encode_hint(after));
        }
        let owed_before = before.map_or(&[][..], |hint| &hint.owed);
        self.count_hint(place.partition, owed_before, &after.owed);
        self.tell_hint(place, owed_before, &after.owed);
        let seq = self.write(batch, after.record.tick_max());
        self.begin_handoffs(&after.owed);
        Ok(seq)
    }

    /// A home has confirmed the hint with this digest: it is owed no longer, if the hint is still that one (rule H3).
    pub(crate) fn strike_off(&mut self, place: &Place, home: NodeId, confirmed: Digest) -> Result<(), Refusal> {
        let Some(before) = self.read_hint(place)? else {
            return Ok(());
        };
        let unchanged = record_digest(&before.record) == confirmed;
        if !before.owed.contains(&home) || !unchanged && !self.state.is_planted(Planted::HintStruckOffUnseen) {
            return Ok(());
        }
        let mut after = before.clone();
        after.owed.retain(|owed| *owed != home);
        if after.owed.is_empty() {
            after.record = Record::new();
        }
        self.write_hint(place, Some(&before), &after, &[], Batch::default())?;
        Ok(())
    }

    fn tell_hint(&mut self, place: &Place, before: &[NodeId], after: &[NodeId]) {
        for home in after.iter().filter(|home| !before.contains(home)) {
            let (home, of) = (*home, place.object_key());
            self.tell(ClusterEvent::HintStored { home, of });
        }
        for home in before.iter().filter(|home| !after.contains(home)) {
            let (home, of) = (*home, place.object_key());
            self.tell(ClusterEvent::HintDelivered { home, of });
        }
    }

    fn count_hint(&mut self, partition: Partition, before: &[NodeId], after: &[NodeId]) {
        if self.state.hints.change(partition, before, after) {
            let partitions = self.state.hints.partitions();
            self.state.gossip.set_hinted_partitions(&partitions);
        }
    }

    /// Whom this node owes a chunk.
    pub(crate) fn read_chunk_hint(&self, key: &[u8]) -> Result<Vec<NodeId>, ReadError> {
        let row = self.storage.get(Space::ChunkHints, key)?;
        row.map_or(Ok(Vec::new()), |row| {
            decode_chunk_hint(&row).map_err(|_| ReadError::Corrupt)
        })
    }

    /// This node owes a chunk to these homes, too, from now on.
    pub(crate) fn owe_chunk(&mut self, key: &[u8], owes: &[NodeId]) -> Result<WriteSeq, Refusal> {
        let before = self.read_chunk_hint(key)?;
        let after = united(&before, owes);
        Ok(self.write_chunk_hint(key, &before, &after))
    }

    /// A home has the chunk: it is owed no longer. Chunks never change, so any confirmation is one of this very chunk.
    pub(crate) fn strike_off_chunk(&mut self, key: &[u8], home: NodeId) -> Result<(), Refusal> {
        let before = self.read_chunk_hint(key)?;
        let after: Vec<NodeId> = before.iter().copied().filter(|owed| *owed != home).collect();
        self.write_chunk_hint(key, &before, &after);
        Ok(())
    }

    /// A chunk is owed to nobody any more: it is dead.
    pub(crate) fn disown_chunk(&mut self, key: &[u8]) -> Result<WriteSeq, Refusal> {
        let before = self.read_chunk_hint(key)?;
        Ok(self.write_chunk_hint(key, &before, &[]))
    }

    fn write_chunk_hint(&mut self, key: &[u8], before: &[NodeId], after: &[NodeId]) -> WriteSeq {
        if before == after {
            return self.storage.last_write();
        }
        let mut batch = Batch::default();
        if after.is_empty() {
            batch.remove(Space::ChunkHints, key.to_vec());
        } else {
            batch.put(Space::ChunkHints, key.to_vec(), encode_chunk_hint(after));
        }
        self.count_hint(partition_of_key(key), before, after);
        let seq = self.write(batch, crate::ids::Tick(0));
        self.begin_handoffs(after);
        seq
    }
}
