//! What the engine reports, and the rules for whoever listens.

use std::fmt;

use bytes::Bytes;
use holdfast_core::storage::{ChunkToken, ChunkWriteError, ReadError, WriteSeq};

/// Receives what the engine's own threads have finished.
///
/// Called from those threads, never from inside a `Storage` method, and with none of the engine's locks held: an
/// implementation may lock the node and call any `Storage` method at once. Calls of one kind come in order; while one
/// lasts, its thread does nothing else, so an implementation hands long work on.
pub trait Completions: Send + Sync {
    /// Every batch up to `seq` is durable. Numbers rise, and most are skipped: one sync covers many batches.
    fn synced(&self, seq: WriteSeq);

    /// A chunk write ended; on `Ok` the chunk is durable, on `Err` nothing is left that a reader could find.
    fn chunk_written(&self, token: ChunkToken, result: Result<(), ChunkWriteError>);

    /// A chunk read ended. `None`: this disk holds no such chunk. Empty: the range lies beyond the chunk's end.
    fn chunk_read(&self, token: ChunkToken, result: Result<Option<Bytes>, ReadError>);

    /// A removal of chunks ended. On `Ok` none of them can be read, and none comes back once a batch that is written
    /// after this is durable; on `Err` some may be left.
    fn chunks_removed(&self, token: ChunkToken, result: Result<(), ChunkWriteError>);

    /// The disk broke a promise (a sync or a journal write failed): the node must stop. Called once; nothing is
    /// reported as durable afterwards, because after a failed sync the kernel may have dropped the very pages that a
    /// second sync would then find clean (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
    fn failed(&self, failure: StoreFailure);
}

/// Why the store gave up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreFailure {
    /// What was being done.
    pub doing: &'static str,
    /// What the operating system or the engine underneath said.
    pub cause: String,
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the disk failed while {}: {}; check the disk and the kernel log, then start this node again",
            self.doing, self.cause
        )
    }
}

impl std::error::Error for StoreFailure {}
