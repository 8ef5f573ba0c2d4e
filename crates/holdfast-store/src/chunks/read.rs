//! Threads that read chunks: look the chunk up, read the blocks that the range touches, check them, hand them over.
//!
//! A lookup may wait for the disk as well, so it happens here and not in the caller, who holds the node's lock.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::storage::{ChunkToken, ReadError};
use tracing::{error, warn};

use super::{BLOCK_BYTES, Located, SegmentFiles, block_checksum, index};
use crate::completions::Completions;
use crate::rows::{RowStore, Table};

/// A read that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadJob {
    pub token: ChunkToken,
    pub partition: Partition,
    pub id: ChunkId,
    pub from: u32,
    pub length: u32,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<ReadJob>,
    /// Refused before they were tried; reported by a thread, because the caller must not be called back.
    refused: VecDeque<ChunkToken>,
    sleeping: usize,
    stopping: bool,
    /// Something was read since the engine last came to rest.
    worked: bool,
    /// How often it came to rest after that.
    rests: u64,
}

/// What a thread does next.
enum Task {
    Read(ReadJob),
    Refuse(ChunkToken),
    Rest,
}

/// Shared between whoever reads chunks and the threads that do it.
pub(crate) struct Reader {
    queue: Mutex<Queue>,
    wake: Condvar,
    queue_count_max: usize,
    /// Reads refused so far.
    refused: AtomicU64,
    on_rest: fn(),
    files: Arc<SegmentFiles>,
    rows: Arc<RowStore>,
    completions: Arc<dyn Completions>,
}

impl Reader {
    pub(crate) fn new(
        options: &crate::Options,
        files: Arc<SegmentFiles>,
        rows: Arc<RowStore>,
        completions: Arc<dyn Completions>,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            queue_count_max: options.read_queue_count_max,
            refused: AtomicU64::new(0),
            on_rest: options.on_rest,
            files,
            rows,
            completions,
        }
    }

    /// Hands a read over. Never blocks for the disk.
    pub(crate) fn push(&self, job: ReadJob) {
        let mut queue = self.queue();
        queue.worked = true;
        if queue.jobs.len() >= self.queue_count_max {
            queue.refused.push_back(job.token);
        } else {
            queue.jobs.push_back(job);
        }
        if queue.sleeping > 0 {
            self.wake.notify_one();
        }
    }

    /// The engine has come to rest: each thread that reads gives back what its allocator kept. What it allocated and others
    /// have freed, nobody else can: after 1,000,000 small objects and some large ones up to 4 MB of a node at rest.
    pub(crate) fn rest(&self) {
        let mut queue = self.queue();
        if std::mem::take(&mut queue.worked) {
            queue.rests += 1;
            self.wake.notify_all();
        }
    }

    /// Lets the threads end; reads that have not begun are forgotten, as by a crash.
    pub(crate) fn stop(&self) {
        let mut queue = self.queue();
        queue.stopping = true;
        queue.jobs.clear();
        self.wake.notify_all();
    }

    /// A thread's whole life.
    pub(crate) fn run(&self) {
        let mut rests = 0;
        while let Some(task) = self.take(&mut rests) {
            match task {
                Task::Read(job) => {
                    let result = self.read(&job);
                    self.completions.chunk_read(job.token, result);
                }
                Task::Rest => (self.on_rest)(),
                Task::Refuse(refused) => {
                    self.say_refused();
                    self.completions.chunk_read(refused, Err(ReadError::Overloaded));
                }
            }
        }
    }

    /// Says it the first time, and then each time that there are twice as many: a line for each would be one more thing that
    /// grows with what clients send.
    fn say_refused(&self) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused.is_power_of_two() {
            warn!(
                refused,
                queue_count_max = self.queue_count_max,
                "too many chunk reads wait for the disk: refused, so far"
            );
        }
    }

    /// Waits for something to do, given how many rests this thread has seen; `None` when there will be no more.
    fn take(&self, rests: &mut u64) -> Option<Task> {
        let mut queue = self.queue();
        loop {
            if queue.stopping {
                return None;
            }
            if let Some(token) = queue.refused.pop_front() {
                return Some(Task::Refuse(token));
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(Task::Read(job));
            }
            if *rests < queue.rests {
                *rests = queue.rests;
                return Some(Task::Rest);
            }
            queue.sleeping += 1;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.sleeping -= 1;
        }
    }

    fn read(&self, job: &ReadJob) -> Result<Option<Bytes>, ReadError> {
        let (partition, id) = (job.partition, job.id);
        let Some(located) = locate(&self.rows, partition, id)? else {
            return Ok(None);
        };
        match read_range(&self.files, &located, job.from, job.length) {
            // It is being removed, or has been meanwhile: not damaged, gone.
            Err(_) if self.files.dying.contains(partition, id) || locate(&self.rows, partition, id) == Ok(None) => {
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Two queues, counts and flags: usable wherever a panic came between.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a chunk is there and undamaged, all of it. Reads it: only asked when a chunk is written again, which is rare
/// and then worth knowing, because writing it again is how a damaged chunk is repaired.
pub(super) fn is_whole(rows: &RowStore, files: &SegmentFiles, partition: Partition, id: ChunkId) -> bool {
    match locate(rows, partition, id) {
        Ok(Some(located)) => read_range(files, &located, 0, located.header.length).is_ok(),
        Ok(None) | Err(_) => false,
    }
}

/// The index entry of a chunk.
pub(super) fn locate(rows: &RowStore, partition: Partition, id: ChunkId) -> Result<Option<Located>, ReadError> {
    let key = index::entry_key(partition, id);
    let Some(value) = rows.get(Table::Chunks, &key)? else {
        return Ok(None);
    };
    index::decode_entry(&key, &value).map(Some).ok_or(ReadError::Corrupt)
}

/// Reads and checks a range of a chunk, cut short at its end.
pub(super) fn read_range(files: &SegmentFiles, located: &Located, from: u32, length: u32) -> Result<Bytes, ReadError> {
    let end = located.header.length as usize;
    let from = (from as usize).min(end);
    let to = from.saturating_add(length as usize).min(end);
    if from == to {
        return Ok(Bytes::new());
    }
    let first_block = from / BLOCK_BYTES;
    let read_from = first_block * BLOCK_BYTES;
    let read_to = to.next_multiple_of(BLOCK_BYTES).min(end);
    let mut bytes = vec![0; read_to - read_from];
    let place = located.body_offset() + read_from as u64;
    let result = files
        .get(located.segment)
        .and_then(|file| file.read_exact_at(&mut bytes, place));
    if let Err(error) = result {
        error!(segment = located.segment.0, place, %error, "a chunk cannot be read");
        return Err(match error.kind() {
            // The index says that these bytes were durable: a file that is missing or too short has been damaged.
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadError::Corrupt,
            _ => ReadError::Io,
        });
    }
    for (block, expected) in bytes.chunks(BLOCK_BYTES).zip(located.blocks.iter().skip(first_block)) {
        if block_checksum(block) != *expected {
            error!(segment = located.segment.0, place, id = ?located.header.id, "a chunk's checksum does not match");
            return Err(ReadError::Corrupt);
        }
    }
    Ok(Bytes::from(bytes).slice(from - read_from..to - read_from))
}
