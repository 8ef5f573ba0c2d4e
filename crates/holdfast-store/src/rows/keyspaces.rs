//! How each keyspace is tuned, and why. The figures come from `examples/measure.rs`.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, PartitioningPolicy, RestartIntervalPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};
use holdfast_core::storage::Space;

use super::Table;
use super::rest::CallsAtRest;
use crate::options::Options;

/// fjall's own threads, which flush and compact. With two or more, the first one keeps itself free for flushes by putting
/// compactions back in the queue, and while another compacts it does so without pause: a whole core spent on waiting
/// (measured: 20 % of the processor time of a put). One thread flushes between compactions, which are short here because
/// bodies are separated.
const WORKER_THREADS: usize = 1;
/// Memtable of a keyspace that holds little.
const SMALL_MEMTABLE_BYTES: u64 = 2 << 20;
/// Memtable of small bodies held for others.
const HINT_BODIES_MEMTABLE_BYTES: u64 = 8 << 20;
/// Memtable of the chunk index: about a hundred bytes and eight for each 64 KiB of body.
const CHUNKS_MEMTABLE_BYTES: u64 = 4 << 20;
/// Bodies shorter than this stay beside their keys: a pointer costs about a tenth of it.
const SEPARATED_BYTES_MIN: u32 = 1 << 10;
/// Journal files kept because a keyspace that is seldom written has not been written out yet. All of it is read at the
/// next start, twice, so this bounds how long a start takes.
const JOURNALS_BYTES_MAX: u64 = 192 << 20;
/// File descriptors that fjall may keep.
const OPEN_FILES_MAX: usize = 300;

pub(super) fn open(directory: &Path, options: &Options) -> fjall::Result<(Database, [Keyspace; Table::COUNT])> {
    let database = Database::builder(directory)
        .cache_size(options.block_cache_bytes)
        .worker_threads(WORKER_THREADS)
        .max_journaling_size(JOURNALS_BYTES_MAX)
        .max_cached_files(Some(OPEN_FILES_MAX))
        .with_compaction_filter_factories(CallsAtRest::when_marks_are_compacted(options.on_rest))
        .open()?;
    let mut keyspaces = Vec::with_capacity(Table::COUNT);
    for table in Table::all() {
        keyspaces.push(database.keyspace(table.name(), || tuning(table))?);
    }
    match keyspaces.try_into() {
        Ok(keyspaces) => Ok((database, keyspaces)),
        Err(_) => unreachable!("one keyspace was opened for each table"),
    }
}

fn tuning(table: Table) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default()
        // Bodies are often compressed already, and rows are mostly hashes and names.
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_partitioning_policy(in_pieces())
        .filter_block_partitioning_policy(in_pieces())
        // Never: see `RowStore::rotate_full`.
        .max_memtable_size(u64::MAX);
    match table {
        Table::Space(Space::Bodies | Space::HintBodies) => options
            // A body is only asked for when a row has named it, so the last level needs no filter.
            .expect_point_read_hits(true)
            .with_kv_separation(Some(separation())),
        Table::Space(Space::Rows) => options.data_block_restart_interval_policy(whole_keys()),
        // Each flush is compacted, so that what is to be called then is called.
        Table::Marks => options.compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(1))),
        Table::Space(_) | Table::Chunks => options,
    }
}

/// Indexes and filters of all tables lie in pieces of some kilobytes, which come and go with the block cache. fjall's default
/// leaves those of the first three levels whole, keeps some of them in memory for ever, and reads the others anew for each
/// look-up, because one of a full table, a megabyte, is more than a shard of the cache holds. Measured at rest with 1,000,000
/// objects of 4 KiB: 5 of a node's 27 MiB of anonymous memory.
fn in_pieces() -> PartitioningPolicy {
    PartitioningPolicy::all(true)
}

/// Every row's key is stored whole. What rows share with their neighbours' keys is a tenth of a row, and putting keys
/// together again costs an allocation for each row that a listing walks, twice a thousand for a page.
fn whole_keys() -> RestartIntervalPolicy {
    RestartIntervalPolicy::all(1)
}

/// Size at which a keyspace's memtable is written out.
pub(super) fn memtable_bytes_max(table: Table, options: &Options) -> u64 {
    match table {
        Table::Space(Space::Rows | Space::Bodies) => options.memtable_bytes_max,
        Table::Chunks => CHUNKS_MEMTABLE_BYTES,
        Table::Space(Space::HintBodies) => HINT_BODIES_MEMTABLE_BYTES,
        Table::Space(
            Space::Meta
            | Space::Uploads
            | Space::Parts
            | Space::Counts
            | Space::Hints
            | Space::ChunkHints
            | Space::Dead,
        )
        | Table::Marks => SMALL_MEMTABLE_BYTES,
    }
}

/// Bodies are written to files of their own, so that compaction moves only their keys. Measured with bodies of 4 KiB, a
/// third of them overwritten: half of the processor time of a put, a third of the bytes written, a tenth of the time of a
/// get. What fails in fjall with separation is `clear`, which nothing here calls.
fn separation() -> KvSeparationOptions {
    KvSeparationOptions::default()
        .separation_threshold(SEPARATED_BYTES_MIN)
        .compression(CompressionType::None)
}
