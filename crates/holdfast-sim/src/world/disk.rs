//! A node's disk: the in-memory store, and a record of what each step wrote to it, for the checkers.

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, NodeId, Partition};
use holdfast_core::storage::{Batch, ChunkHeader, ChunkToken, ReadError, Space, Storage, Visit, WriteSeq};
use holdfast_core::wire::hint::{decode_owed, row_in_hint};
use holdfast_store::MemoryStore;

/// A change of a row of `Space::Rows`, `Space::Hints` or `Space::Uploads`.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The batch it was part of.
    pub seq: WriteSeq,
    /// As what the node holds the copy.
    pub space: Space,
    /// Key of the row.
    pub key: Vec<u8>,
    /// What was there.
    pub before: Option<Bytes>,
    /// What is there now.
    pub after: Option<Bytes>,
    /// Homes that a hint is owed to no longer.
    pub struck_off: Vec<NodeId>,
}

/// A disk that remembers what was asked of it since it was last asked.
#[derive(Debug, Default)]
pub struct Disk {
    /// What it holds.
    pub store: MemoryStore,
    changes: Vec<RowChange>,
    chunk_operations: Vec<ChunkToken>,
    removals: Vec<Vec<(Partition, ChunkId)>>,
}

impl Disk {
    /// Rows changed since the last call.
    pub fn take_changes(&mut self) -> Vec<RowChange> {
        std::mem::take(&mut self.changes)
    }

    /// Removals of chunks begun since the last call.
    pub fn take_removals(&mut self) -> Vec<Vec<(Partition, ChunkId)>> {
        std::mem::take(&mut self.removals)
    }

    /// Chunk operations begun since the last call.
    pub fn take_chunk_operations(&mut self) -> Vec<ChunkToken> {
        std::mem::take(&mut self.chunk_operations)
    }
}

fn struck_off(before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<NodeId> {
    let owed = |row: Option<&[u8]>| row.and_then(|row| decode_owed(row).ok()).unwrap_or_default();
    let still = owed(after);
    owed(before).into_iter().filter(|home| !still.contains(home)).collect()
}

impl Storage for Disk {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.store.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), ReadError> {
        self.store.scan(space, from, to, visit)
    }

    fn write(&mut self, batch: Batch) -> WriteSeq {
        let seq = WriteSeq(self.store.last_write().0 + 1);
        for (space, key, value) in &batch.changes {
            if matches!(space, Space::Rows | Space::Hints | Space::Uploads) {
                let row = |value: Bytes| match space {
                    Space::Hints => row_in_hint(&value).ok().map(Bytes::copy_from_slice),
                    _ => Some(value),
                };
                let before = self.store.get(*space, key).ok().flatten();
                let struck_off = match space {
                    Space::Hints => struck_off(before.as_deref(), value.as_deref()),
                    _ => Vec::new(),
                };
                self.changes.push(RowChange {
                    seq,
                    space: *space,
                    key: key.clone(),
                    before: before.and_then(row),
                    after: value.clone().and_then(row),
                    struck_off,
                });
            }
        }
        self.store.write(batch)
    }

    fn last_write(&self) -> WriteSeq {
        self.store.last_write()
    }

    fn is_full(&self) -> bool {
        self.store.is_full()
    }

    fn write_chunk(&mut self, token: ChunkToken, header: ChunkHeader, body: Bytes) {
        self.chunk_operations.push(token);
        self.store.write_chunk(token, header, body);
    }

    fn read_chunk(&mut self, token: ChunkToken, partition: Partition, id: ChunkId, from: u32, length: u32) {
        self.chunk_operations.push(token);
        self.store.read_chunk(token, partition, id, from, length);
    }

    fn remove_chunks(&mut self, token: ChunkToken, chunks: Vec<(Partition, ChunkId)>) {
        self.chunk_operations.push(token);
        self.removals.push(chunks.clone());
        self.store.remove_chunks(token, chunks);
    }

    fn chunks(
        &self,
        partition: Partition,
        after: Option<ChunkId>,
        count_max: usize,
    ) -> Result<Vec<ChunkHeader>, ReadError> {
        self.store.chunks(partition, after, count_max)
    }
}
