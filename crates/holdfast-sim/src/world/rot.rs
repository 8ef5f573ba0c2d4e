//! Bytes that change on a disk while nobody looks (bit rot). It strikes one machine of a run, and there only what another
//! home has as well: against more there is no cure but more homes. In the end all of it must have been found and healed.

use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::place::{Place, after_prefix};
use holdfast_core::storage::{ReadError, Space, Storage, Visit};
use holdfast_core::wire::record::decode_row;
use holdfast_store::MemoryStore;

use super::World;
use crate::coverage::Reached;
use crate::watch::Watch;

/// What rots in one strike.
const AT_ONCE: u64 = 4;

/// Whether nothing of a key has rotted: of one whose record and body have, nobody could tell which bodies there were.
fn is_sound(store: &MemoryStore, key: &[u8]) -> bool {
    let Some((place, _)) = Place::parse(key) else {
        return false;
    };
    let row = place.row_key();
    store.get(Space::Rows, &row).is_ok()
        && store
            .scan(Space::Bodies, &row, &after_prefix(row.clone()), &mut |_, _| Visit::Next)
            .is_ok()
}

/// A thing on a disk.
#[derive(Clone, Debug)]
enum Thing {
    Row(Space, Vec<u8>),
    Chunk(Partition, ChunkId),
}

impl World {
    /// Some of what the victim has, others having it too, cannot be read any more.
    pub(super) fn rot(&mut self, watch: &mut Watch) {
        let victim = self.victim();
        for _ in 0..AT_ONCE {
            let mut things = self.things_others_have(victim);
            if things.is_empty() {
                return;
            }
            let thing = things.swap_remove(self.fault_rng.below(things.len() as u64) as usize);
            let store = &mut self.members[victim].disk.store;
            let rots = match &thing {
                Thing::Row(space, key) => store.corrupt(*space, key),
                Thing::Chunk(partition, id) => store.corrupt_chunk(*partition, *id),
            };
            if rots {
                watch.rotting = Some(self.ids[victim]);
                watch.coverage.reach(Reached::Rotted);
                watch
                    .trace
                    .line(self.now_us, || format!("n{victim} cannot read {thing:?} any more"));
            }
        }
    }

    /// What has rotted and was not healed, if anything.
    #[must_use]
    pub fn rotten(&self) -> Option<String> {
        let victim = self.victim();
        let store = &self.members[victim].disk.store;
        for space in [Space::Rows, Space::Bodies] {
            for (key, _) in store.rows(space) {
                if store.get(space, key) == Err(ReadError::Corrupt) {
                    let place = Place::parse(key).map(|(place, _)| place.key);
                    return Some(format!("n{victim} still cannot read its row of {space:?} of {place:?}"));
                }
            }
        }
        let mut chunks = self.chunks_of(store);
        let unreadable = chunks.find(|(partition, id)| !store.has_chunk(*partition, *id));
        unreadable.map(|(_, id)| format!("n{victim} still cannot read chunk {} of {:?}", id.index, id.part))
    }

    fn chunks_of<'s>(&self, store: &'s MemoryStore) -> impl Iterator<Item = (Partition, ChunkId)> + use<'s> {
        let partitions = (0..self.layout.partition_count()).map(|number| Partition(number as u16));
        partitions.flat_map(|partition| {
            let headers = store.chunks(partition, None, usize::MAX).unwrap_or_default();
            headers.into_iter().map(move |header| (partition, header.id))
        })
    }

    /// What is on a disk and, synced, on another.
    fn things_others_have(&self, victim: usize) -> Vec<Thing> {
        let store = &self.members[victim].disk.store;
        let others: Vec<&MemoryStore> = (0..self.members.len())
            .filter(|other| *other != victim)
            .map(|other| &self.members[other].disk.store)
            .filter(|other| other.unsynced_count() == 0)
            .collect();
        let mut things = Vec::new();
        for space in [Space::Rows, Space::Bodies] {
            for (key, value) in store.rows(space) {
                let is_same = |other: &&MemoryStore| match (space, other.get(space, key)) {
                    // Each has a life of its own.
                    (Space::Rows, Ok(Some(row))) => {
                        let record = |row| decode_row(row).ok().map(|(_, record)| record);
                        record(row) == record(value.clone())
                    }
                    (_, Ok(Some(row))) => row == *value,
                    _ => false,
                };
                if is_sound(store, key) && others.iter().any(is_same) {
                    things.push(Thing::Row(space, key.to_vec()));
                }
            }
        }
        for (partition, id) in self.chunks_of(store) {
            if store.has_chunk(partition, id) && others.iter().any(|other| other.has_chunk(partition, id)) {
                things.push(Thing::Chunk(partition, id));
            }
        }
        things
    }
}
