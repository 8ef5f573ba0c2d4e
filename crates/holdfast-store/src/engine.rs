//! The engine: rows in fjall, chunks in segments, and the threads that make both durable.
//!
//! Threads, all of them asleep when there is nothing to do: one syncs the journal, one appends chunks, a few read
//! chunks, and fjall keeps two for flushes and compactions. `Storage` methods are called by whoever holds the node; none
//! of them waits for a sync, and none calls back.
//!
//! Stopping: when the last clone is dropped, what was written is synced, chunk writes that wait are finished and
//! reported, reads that wait are forgotten. A killed process skips all that and loses nothing acknowledged.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::storage::{Batch, ChunkHeader, ChunkToken, ReadError, Space, Storage, Visit, WriteSeq};

use crate::chunks::{Appender, ReadJob, Reader, RemoveJob, SegmentFiles, WriteJob};
use crate::chunks::{entry_range, header_of, recover};
use crate::completions::Completions;
use crate::data_dir::DataDir;
use crate::disk::Disk;
use crate::journal::Journal;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::rows::{RowStore, Table};
use crate::space::{DiskBytes, FreeSpace};
use crate::sync::Syncer;

/// A node's durable state. Clones share it.
#[derive(Clone)]
pub struct Engine {
    // Dropped in this order: the threads end while what they use is still there.
    threads: Arc<Threads>,
    shared: Arc<Shared>,
}

struct Shared {
    rows: Arc<RowStore>,
    space: Arc<FreeSpace>,
    syncer: Arc<Syncer>,
    appender: Arc<Appender>,
    reader: Arc<Reader>,
    /// The last batch's number. Held while a batch is written, so that numbers follow the journal's order.
    last_write: Mutex<u64>,
    /// Holds the directory's lock until everything else is closed.
    _data_dir: DataDir,
}

/// What an operator wants to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Syncs of the journal; batches per sync tell how well commits are grouped.
    pub journal_syncs: u64,
    /// Batches written in this run.
    pub batches: u64,
    /// Writes held back because flushes or compactions were behind. Should be 0; alarm when it rises.
    pub write_stalls: u64,
}

impl Engine {
    /// Opens the data directory, making it when it is missing, and recovers what a crash left.
    pub fn open(directory: &Path, options: Options, completions: Arc<dyn Completions>) -> Result<Self, OpenError> {
        let disk = Disk::new(&options);
        let mut data_dir = DataDir::open(&disk, directory)?;
        let rows = Arc::new(RowStore::open(&data_dir.rows(), data_dir.is_new, &options)?);
        let files = Arc::new(SegmentFiles::new(data_dir.segments()));
        if data_dir.is_new {
            require_empty(&data_dir, &rows, &files)?;
        }
        data_dir.finish(&disk)?;
        let tail = recover(&disk, &files, &rows, options.segment_bytes_max)?;
        let journal =
            Journal::open(&disk, &data_dir.rows()).map_err(|error| OpenError::from_io(&data_dir.rows(), error))?;

        let space = Arc::new(FreeSpace::new(data_dir.segments(), options.reserve_bytes));
        let syncer = Arc::new(Syncer::new(&options, Arc::clone(&completions)));
        let appender = Arc::new(Appender::new(
            &options,
            Arc::clone(&files),
            Arc::clone(&rows),
            Arc::clone(&space),
            Arc::clone(&syncer),
            Arc::clone(&completions),
            disk,
        ));
        let reader = Arc::new(Reader::new(&options, files, Arc::clone(&rows), completions));
        let shared = Arc::new(Shared {
            rows,
            space,
            syncer,
            appender,
            reader,
            last_write: Mutex::new(0),
            _data_dir: data_dir,
        });
        let mut threads = Threads {
            shared: Arc::clone(&shared),
            handles: Vec::new(),
        };
        threads
            .start(journal, tail, options.read_threads.max(1))
            .map_err(|error| OpenError::from_io(directory, error))?;
        Ok(Self {
            threads: Arc::new(threads),
            shared,
        })
    }

    /// Counters since the open.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            journal_syncs: self.shared.syncer.sync_count(),
            batches: self.last_write().0,
            write_stalls: self.shared.rows.stall_count(),
        }
    }

    /// The node rests: gives back the memory that is kept to answer sooner. The allocator must give it back in turn.
    pub fn rest(&self) {
        self.shared.rows.empty_cache();
        self.shared.appender.rest();
        self.shared.reader.rest();
    }

    /// How full the disk is; `None` when the system does not tell.
    #[must_use]
    pub fn disk_bytes(&self) -> Option<DiskBytes> {
        self.shared.space.disk_bytes()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("threads", &self.threads.handles.len())
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

impl Storage for Engine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.shared.rows.get(Table::Space(space), key)
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), ReadError> {
        self.shared.rows.scan(Table::Space(space), from, to, visit)
    }

    fn write(&mut self, batch: Batch) -> WriteSeq {
        let changes = batch
            .changes
            .into_iter()
            .map(|(space, key, value)| (Table::Space(space), key, value));
        let mut last_write = self.shared.last_write.lock().unwrap_or_else(PoisonError::into_inner);
        *last_write += 1;
        if !self.shared.syncer.has_failed() {
            match self.shared.rows.commit(changes) {
                Ok(()) => self.shared.syncer.wrote(*last_write),
                Err(failure) => self.shared.syncer.fail(failure),
            }
        }
        WriteSeq(*last_write)
    }

    fn last_write(&self) -> WriteSeq {
        let last_write = self.shared.last_write.lock().unwrap_or_else(PoisonError::into_inner);
        WriteSeq(*last_write)
    }

    fn is_full(&self) -> bool {
        self.shared.space.is_full()
    }

    fn is_exhausted(&self) -> bool {
        self.shared.space.is_exhausted()
    }

    fn write_chunk(&mut self, token: ChunkToken, header: ChunkHeader, body: Bytes) {
        self.shared.appender.push(WriteJob { token, header, body });
    }

    fn read_chunk(&mut self, token: ChunkToken, partition: Partition, id: ChunkId, from: u32, length: u32) {
        self.shared.reader.push(ReadJob {
            token,
            partition,
            id,
            from,
            length,
        });
    }

    fn remove_chunks(&mut self, token: ChunkToken, chunks: Vec<(Partition, ChunkId)>) {
        self.shared.appender.push_removal(RemoveJob { token, chunks });
    }

    fn chunks(
        &self,
        partition: Partition,
        after: Option<ChunkId>,
        count_max: usize,
    ) -> Result<Vec<ChunkHeader>, ReadError> {
        let mut headers = Vec::new();
        if count_max == 0 {
            return Ok(headers);
        }
        let mut damaged = false;
        let (from, to) = entry_range(partition, after);
        self.shared.rows.scan(Table::Chunks, &from, &to, &mut |key, value| {
            let Some(header) = header_of(key, value) else {
                damaged = true;
                return Visit::Stop;
            };
            headers.push(header);
            if headers.len() < count_max {
                Visit::Next
            } else {
                Visit::Stop
            }
        })?;
        if damaged { Err(ReadError::Corrupt) } else { Ok(headers) }
    }
}

/// A directory without a format file may only be one whose making was interrupted.
fn require_empty(data_dir: &DataDir, rows: &RowStore, files: &SegmentFiles) -> Result<(), OpenError> {
    let empty = rows
        .is_empty()
        .map_err(|error| OpenError::from_fjall(&data_dir.rows(), error))?
        && files
            .is_empty()
            .map_err(|error| OpenError::from_io(&data_dir.segments(), error))?;
    if empty {
        return Ok(());
    }
    Err(OpenError::damaged(
        data_dir.root(),
        "it holds data but its FORMAT file is missing",
    ))
}

/// The engine's threads; they end when this is dropped.
struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(&mut self, journal: Journal, tail: crate::chunks::Tail, read_threads: usize) -> std::io::Result<()> {
        let (syncer, rows) = (Arc::clone(&self.shared.syncer), Arc::clone(&self.shared.rows));
        self.spawn("store-sync", move || syncer.run(journal, &rows))?;
        let appender = Arc::clone(&self.shared.appender);
        self.spawn("store-append", move || appender.run(tail))?;
        for _ in 0..read_threads {
            let reader = Arc::clone(&self.shared.reader);
            self.spawn("store-read", move || reader.run())?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.handles.push(thread::Builder::new().name(name.into()).spawn(body)?);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.appender.stop();
        self.shared.reader.stop();
        self.shared.syncer.stop();
        let own = thread::current().id();
        for handle in self.handles.drain(..) {
            // The last clone may have been dropped by a callback: that thread ends by itself, once it returns.
            if handle.thread().id() == own {
                continue;
            }
            // A thread that panicked has nothing left to report.
            let _ = handle.join();
        }
    }
}
