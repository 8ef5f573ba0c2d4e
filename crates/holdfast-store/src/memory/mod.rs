//! The in-memory twin of the engine, for the simulator: same trait, same suite, no thread, no clock, no chance.
//!
//! Nothing happens by itself. Writes are visible at once, as the trait demands; they become durable when the owner calls
//! [`MemoryStore::sync`] or [`MemoryStore::sync_up_to`], and chunk operations wait in a queue until the owner completes
//! them. [`MemoryStore::crash`] throws away whatever was not synced. Invariants:
//!
//! - A crash leaves a *prefix* of the batches of a run, because the engine's journal is written and recovered in order.
//!   At least everything synced survives; how much more is the caller's choice, so that a seed decides it.
//! - A batch survives whole or not at all.
//! - The cost of a write is a map insert and one undo entry; a sync drops undo entries; a crash replays them backwards.
//!   Nothing is ever copied wholesale, so thousands of crashes per second stay affordable.
//!
//! Weak spot: a sync that failed is not modelled here. The engine stops its node then; the simulator does the same by
//! crashing the node.

mod chunks;
mod crash;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::storage::{
    Batch, ChunkHeader, ChunkToken, ChunkWriteError, ReadError, Space, Storage, Visit, WriteSeq,
};

pub use chunks::ChunkFault;

/// Something the engine would have reported from one of its threads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Every batch up to this one is durable.
    Synced(WriteSeq),
    /// A chunk write ended; on `Ok` the chunk is durable.
    ChunkWritten(ChunkToken, Result<(), ChunkWriteError>),
    /// A removal of chunks ended; on `Ok` none of them is there.
    ChunksRemoved(ChunkToken, Result<(), ChunkWriteError>),
    /// A chunk read ended; `None` when there is no such chunk, an empty body when the range lies beyond its end.
    ChunkRead(ChunkToken, Result<Option<Bytes>, ReadError>),
}

/// A row and whether its checksum would still match.
#[derive(Clone, Debug)]
struct Row {
    value: Bytes,
    corrupt: bool,
}

/// What a batch replaced, so that a crash can put it back. In the order of the changes.
#[derive(Clone, Debug)]
struct Undo {
    replaced: Vec<(Space, Vec<u8>, Option<Row>)>,
}

/// A disk that exists only while the simulation runs. See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    spaces: [BTreeMap<Vec<u8>, Row>; Space::ALL.len()],
    /// One entry for each batch that is not synced; the first belongs to batch `synced + 1`.
    undo: VecDeque<Undo>,
    /// The last batch written in this run.
    written: u64,
    /// The last batch known durable in this run; `written - synced` equals `undo.len()`.
    synced: u64,
    chunks: BTreeMap<(Partition, ChunkId), chunks::Chunk>,
    operations: VecDeque<chunks::Operation>,
    full: bool,
}

impl MemoryStore {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the reserve of free space has been reached, or no longer is. Chunk writes completed meanwhile fail
    /// with [`ChunkWriteError::DiskFull`].
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Syncs all batches and completes all chunk operations without faults: what an idle disk would have done by now.
    pub fn take_events(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = self.sync().map(Event::Synced).into_iter().collect();
        events.extend(self.chunk_ops());
        events
    }
}

impl Storage for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.get_row(space, key)
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), ReadError> {
        self.scan_rows(space, from, to, visit)
    }

    fn write(&mut self, batch: Batch) -> WriteSeq {
        self.apply(batch)
    }

    fn last_write(&self) -> WriteSeq {
        WriteSeq(self.written)
    }

    fn is_full(&self) -> bool {
        self.full
    }

    fn write_chunk(&mut self, token: ChunkToken, header: ChunkHeader, body: Bytes) {
        self.queue_write(token, header, body);
    }

    fn read_chunk(&mut self, token: ChunkToken, partition: Partition, id: ChunkId, from: u32, length: u32) {
        self.queue_read(token, partition, id, from, length);
    }

    fn remove_chunks(&mut self, token: ChunkToken, chunks: Vec<(Partition, ChunkId)>) {
        self.queue_removal(token, chunks);
    }

    fn chunks(
        &self,
        partition: Partition,
        after: Option<ChunkId>,
        count_max: usize,
    ) -> Result<Vec<ChunkHeader>, ReadError> {
        Ok(self.chunk_headers(partition, after, count_max))
    }
}
