//! What an operator or a test may choose about the engine.

use std::time::Duration;

/// Sizes, bounds and waits of an engine. The defaults suit a node with some gigabytes of memory.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the disk that are never filled with new data; `None`: 512 MiB or 1 % of the disk, whichever is more.
    /// Deletes, compaction and repair need room to make room.
    pub reserve_bytes: Option<u64>,
    /// Size at which a segment is sealed. 256 MiB: few files even for a full disk, and a scan after a crash reads at
    /// most one of them.
    pub segment_bytes_max: u64,
    /// Block cache of all keyspaces. Small, because the page cache lies behind it, and because it stays filled when a
    /// node rests: with 8 MiB the store keeps about 11 MiB alive then.
    pub block_cache_bytes: u64,
    /// Size at which the largest keyspaces (rows and bodies) move their newest writes from memory to disk.
    pub memtable_bytes_max: u64,
    /// Bodies of chunk writes that may wait for the disk; what exceeds it is refused with `Overloaded`. The bodies are
    /// held in memory by whoever sent them, so this bounds a pile-up rather than the ordinary case.
    pub chunk_queue_bytes_max: usize,
    /// Chunk reads that may wait for the disk; what exceeds it is refused with `Overloaded`.
    pub read_queue_count_max: usize,
    /// Threads that read chunks. Two keep a disk busy; more help only when it serves many requests at once.
    pub read_threads: usize,
    /// Quiet time after which what is still held in memory is written out and given back.
    pub idle_flush_after: Duration,
    /// Called on the engine's own threads when the engine has come to rest, so that an allocator which keeps memory for each
    /// thread can take theirs back.
    pub on_rest: fn(),
    /// Reports journal and segments as synced without asking the disk for it: a power cut then loses what was
    /// acknowledged. A killed process still loses nothing. For comparisons with stores that do the same, never for data
    /// that matters.
    pub unsafe_no_sync: bool,
    /// Leaves out one sync, to prove that the power-cut test notices.
    #[cfg(feature = "planted")]
    pub skip_sync: Option<crate::disk::WhichSync>,
    /// Watches files being made and synced.
    #[cfg(feature = "planted")]
    pub observer: Option<crate::disk::SharedObserver>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reserve_bytes: None,
            segment_bytes_max: 256 << 20,
            block_cache_bytes: 8 << 20,
            memtable_bytes_max: 16 << 20,
            chunk_queue_bytes_max: 256 << 20,
            read_queue_count_max: 4096,
            read_threads: 2,
            idle_flush_after: Duration::from_secs(5),
            on_rest: || {},
            unsafe_no_sync: false,
            #[cfg(feature = "planted")]
            skip_sync: None,
            #[cfg(feature = "planted")]
            observer: None,
        }
    }
}
