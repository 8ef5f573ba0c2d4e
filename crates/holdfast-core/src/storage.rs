//! What the core asks of a disk. `holdfast-store` answers with a real engine and with an in-memory twin that loses what
//! was not synced; both must pass the same suite.
//!
//! Reads of rows are synchronous: a coordinator reads and writes its own record in one step (rule Q1), and a row is
//! small. Writes of rows are visible to later reads at once and durable later: the engine gathers many into one sync
//! and then reports [`crate::node::Input::Synced`]. Chunks are large, so both their directions are asynchronous.
//!
//! Weak spot: a row that is not in any cache blocks its shard for one disk read. Shards are the answer to that, not
//! a callback per row.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::ids::{ChunkId, ObjectKey, Partition};

/// An ordered keyspace. The number is part of the disk format (docs/format.md).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Space {
    /// Facts about this node's data: actor, boot number, tick bound, format.
    Meta = 0,
    /// One row per key: context, and metadata of each version.
    Rows = 1,
    /// One row per small body, keyed by its version's dot.
    Bodies = 2,
    /// One row per multipart upload, beside its key.
    Uploads = 3,
    /// One row per uploaded part, beside its upload.
    Parts = 4,
    /// Objects and bytes per (partition, bucket).
    Counts = 5,
    /// One row per key that this node holds for homes that were away: whom it owes, and the record (rule H1).
    Hints = 6,
    /// Small bodies of hinted records, keyed like [`Space::Bodies`].
    HintBodies = 7,
    /// One row per chunk that this node holds for homes that were away: whom it owes.
    ChunkHints = 8,
    /// One row per body that a version or upload left behind here: its parts, until their chunks are gone (rule D10).
    Dead = 9,
}

impl Space {
    /// Every keyspace, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Meta,
        Self::Rows,
        Self::Bodies,
        Self::Uploads,
        Self::Parts,
        Self::Counts,
        Self::Hints,
        Self::HintBodies,
        Self::ChunkHints,
        Self::Dead,
    ];
}

/// Several changes that become visible together and durable together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `(space, key, value)`; `None` removes. Later entries win over earlier ones of the same key.
    pub changes: Vec<(Space, Vec<u8>, Option<Bytes>)>,
}

impl Batch {
    /// Sets a row.
    pub fn put(&mut self, space: Space, key: Vec<u8>, value: impl Into<Bytes>) {
        self.changes.push((space, key, Some(value.into())));
    }

    /// Removes a row.
    pub fn remove(&mut self, space: Space, key: Vec<u8>) {
        self.changes.push((space, key, None));
    }
}

/// Place of a batch in the order of all batches of this run; the first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WriteSeq(pub u64);

/// Names an asynchronous chunk operation of the core, which chooses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkToken(pub u64);

/// Why a row or chunk could not be read. *Absent* is not among them: absence is an answer, these are not (rule Q3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// It is there, but its checksum does not match: damaged, never to be mistaken for absent.
    Corrupt,
    /// The disk refused.
    Io,
    /// Too much waits for the disk already. Rows never say this.
    Overloaded,
}

/// Why a chunk could not be written; nothing is left that a reader could find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkWriteError {
    /// The reserve of free space has been reached.
    DiskFull,
    /// The disk refused.
    Io,
    /// Too much waits for the disk already.
    Overloaded,
}

/// What a visitor of [`Storage::scan`] wants next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Visit {
    /// The next row.
    Next,
    /// The first row at or after this key, which must lie after the present one.
    SeekTo(Vec<u8>),
    /// Nothing more.
    Stop,
}

/// What a chunk says of itself on disk, so that garbage can be told from data without any other record (rule D9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkHeader {
    /// Which chunk.
    pub id: ChunkId,
    /// Where it lives: partition of the chunk's own position.
    pub partition: Partition,
    /// The object whose version will name the part.
    pub owner: ObjectKey,
    /// Length of the body in bytes.
    pub length: u32,
    /// Unix milliseconds after which no version may be committed that names this part (rule D10).
    pub commit_deadline_ms: u64,
}

/// One node's disk, as the core sees it.
pub trait Storage {
    /// The row at `key`, or `None` when there is none. Includes writes that are not yet synced.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// Visits rows with `from <= key < to` in key order. Includes writes that are not yet synced.
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), ReadError>;

    /// Makes a batch visible now and durable soon; `Input::Synced` with this number or a higher one says when.
    /// A disk that fails to do so stops the node: it never reports success.
    fn write(&mut self, batch: Batch) -> WriteSeq;

    /// The number of the last batch written in this run (0 when none), to wait for everything before it.
    fn last_write(&self) -> WriteSeq;

    /// True when the reserve of free space has been reached: new data is refused, deletes are still taken.
    fn is_full(&self) -> bool;

    /// True when half of that reserve is gone, too: nothing is taken that makes this disk fuller, whoever sends it, since a disk
    /// that cannot take its own journal any more stops the node.
    fn is_exhausted(&self) -> bool {
        false
    }

    /// Writes a chunk in the background; `Input::ChunkWritten` with this token follows once it is durable. Writing a
    /// chunk that is there already succeeds without change.
    fn write_chunk(&mut self, token: ChunkToken, header: ChunkHeader, body: Bytes);

    /// Reads `[from, from + length)` of a chunk in the background; `Input::ChunkRead` with this token follows.
    /// `Ok(None)` means that there is no such chunk; a range beyond the end is cut short. Every byte returned has passed
    /// its checksum.
    fn read_chunk(&mut self, token: ChunkToken, partition: Partition, id: ChunkId, from: u32, length: u32);

    /// Removes chunks in the background and gives their space back; `Input::ChunksRemoved` with this token follows. None of
    /// them can be read from then on, and none comes back once a batch that is written after that is durable. One that is
    /// not there is no error.
    fn remove_chunks(&mut self, token: ChunkToken, chunks: Vec<(Partition, ChunkId)>);

    /// Headers of up to `count_max` chunks of a partition with ids above `after`, in order of their ids.
    fn chunks(
        &self,
        partition: Partition,
        after: Option<ChunkId>,
        count_max: usize,
    ) -> Result<Vec<ChunkHeader>, ReadError>;
}
