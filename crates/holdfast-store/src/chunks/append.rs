//! The thread that appends chunks to segments: takes whatever waits, writes it all, syncs once, reports it all.
//!
//! One thread and one open segment: the disk is the limit, and a second writer would only make two streams of one.
//! While a sync runs the next group gathers, so groups grow as the disk gets slower.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::storage::{ChunkHeader, ChunkToken, ChunkWriteError};
use tracing::{debug, warn};

use super::direct::{AlignedBuffer, DIRECT_BYTES_MIN, DirectFile};
use super::record::{SEGMENT_HEADER_BYTES, SegmentIdentity, encode_header, encode_segment_header, header_bytes};
use super::remove::RemoveJob;
use super::{ALIGNMENT, BODY_BYTES_MAX, Located, OWNER_KEY_BYTES_MAX, SegmentFiles, SegmentNumber};
use super::{block_checksums, index, read};
use crate::completions::{Completions, StoreFailure};
use crate::disk::{Disk, WhichSync};
use crate::rows::{Change, RowStore, Table};
use crate::space::FreeSpace;
use crate::sync::Syncer;

/// Bodies written before one sync. More would make the first of a group wait for the last for no gain: a disk reaches
/// its speed with far less.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// A chunk on its way to the disk.
#[derive(Debug)]
pub(crate) struct WriteJob {
    pub token: ChunkToken,
    pub header: ChunkHeader,
    pub body: Bytes,
}

/// What the thread is asked for, in the order in which it is done.
#[derive(Debug)]
enum Job {
    Write(WriteJob),
    Remove(RemoveJob),
    /// The engine has come to rest.
    Rest,
}

/// An answer to a chunk that was not taken.
type Refusal = (ChunkToken, ChunkWriteError);

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Refused before they were tried; reported by the thread, because the caller must not be called back.
    refused: Vec<Refusal>,
    /// Bodies that wait, and those that the thread has taken and not written yet: all are in memory.
    bytes: usize,
    sleeping: bool,
    stopping: bool,
    /// Something was done since the engine last came to rest.
    worked: bool,
}

/// The segment that grows.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub identity: SegmentIdentity,
    pub file: Arc<File>,
    /// The same file for large records, where the file system allows it.
    pub direct: Option<DirectFile>,
    /// Where the next record goes.
    pub end: u64,
}

impl OpenSegment {
    fn write(&mut self, buffer: &mut AlignedBuffer, located: &Located, body: &[u8]) -> io::Result<()> {
        let header = encode_header(self.identity.salt, located);
        if located.end() - located.offset >= DIRECT_BYTES_MIN
            && let Some(direct) = &self.direct
        {
            match buffer.write_all_at(direct, [&header, body], located.offset) {
                // The file system cannot do it after all.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        self.file.write_all_at(&header, located.offset)?;
        self.file.write_all_at(body, located.body_offset())
    }
}

/// Shared between whoever writes chunks and the thread that appends them.
pub(crate) struct Appender {
    queue: Mutex<Queue>,
    wake: Condvar,
    queue_bytes_max: usize,
    segment_bytes_max: u64,
    pub(super) files: Arc<SegmentFiles>,
    pub(super) rows: Arc<RowStore>,
    space: Arc<FreeSpace>,
    on_rest: fn(),
    pub(super) syncer: Arc<Syncer>,
    pub(super) completions: Arc<dyn Completions>,
    pub(super) disk: Disk,
}

/// Where appending goes on after an open.
#[derive(Debug)]
pub(crate) struct Tail {
    open: Option<OpenSegment>,
    next: SegmentNumber,
    buffer: AlignedBuffer,
}

impl Tail {
    pub(super) fn new(open: Option<OpenSegment>, next: SegmentNumber) -> Self {
        Self {
            open,
            next,
            buffer: AlignedBuffer::new(),
        }
    }
}

/// What a group has written but not yet synced.
#[derive(Default)]
struct Group {
    written: Vec<Located>,
    tokens: Vec<ChunkToken>,
    /// Chunks of this group by place, for a chunk that is written twice at once.
    places: HashMap<(Partition, ChunkId), ()>,
    bytes: usize,
}

impl Appender {
    pub(crate) fn new(
        options: &crate::Options,
        files: Arc<SegmentFiles>,
        rows: Arc<RowStore>,
        space: Arc<FreeSpace>,
        syncer: Arc<Syncer>,
        completions: Arc<dyn Completions>,
        disk: Disk,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            queue_bytes_max: options.chunk_queue_bytes_max,
            segment_bytes_max: options.segment_bytes_max,
            on_rest: options.on_rest,
            files,
            rows,
            space,
            syncer,
            completions,
            disk,
        }
    }

    /// Hands a chunk over. Never blocks for the disk; what cannot be taken is refused through the completions.
    pub(crate) fn push(&self, job: WriteJob) {
        let mut queue = self.queue();
        if queue.bytes.saturating_add(job.body.len()) > self.queue_bytes_max {
            queue.refused.push((job.token, ChunkWriteError::Overloaded));
        } else {
            queue.bytes += job.body.len();
            queue.worked = true;
            queue.jobs.push_back(Job::Write(job));
        }
        self.wake_up(&mut queue);
    }

    /// Hands a removal over. Never blocks for the disk.
    pub(crate) fn push_removal(&self, job: RemoveJob) {
        let mut queue = self.queue();
        queue.worked = true;
        queue.jobs.push_back(Job::Remove(job));
        self.wake_up(&mut queue);
    }

    /// The engine has come to rest: the thread gives back what its allocator kept, if it did anything since the last time.
    pub(crate) fn rest(&self) {
        let mut queue = self.queue();
        if std::mem::take(&mut queue.worked) {
            queue.jobs.push_back(Job::Rest);
            self.wake_up(&mut queue);
        }
    }

    fn wake_up(&self, queue: &mut Queue) {
        if queue.sleeping {
            queue.sleeping = false;
            self.wake.notify_one();
        }
    }

    /// Lets the thread finish what it has and end.
    pub(crate) fn stop(&self) {
        self.queue().stopping = true;
        self.wake.notify_all();
    }

    /// The thread's whole life.
    pub(crate) fn run(&self, mut tail: Tail) {
        while let Some((jobs, refused)) = self.take() {
            if !refused.is_empty() {
                warn!(
                    refused = refused.len(),
                    queue_bytes_max = self.queue_bytes_max,
                    "too many chunk writes wait for the disk: refused"
                );
            }
            for (token, error) in refused {
                self.completions.chunk_written(token, Err(error));
            }
            let mut group = Group::default();
            let done = jobs
                .into_iter()
                .try_for_each(|job| self.do_job(&mut tail, &mut group, job))
                .and_then(|()| self.finish(&mut tail, &mut group));
            if let Err(failure) = done {
                return self.syncer.fail(failure);
            }
        }
    }

    fn do_job(&self, tail: &mut Tail, group: &mut Group, job: Job) -> Result<(), StoreFailure> {
        match job {
            Job::Write(job) => {
                let bytes = job.body.len();
                self.append(tail, group, job)?;
                self.queue().bytes -= bytes;
                if group.bytes >= GROUP_BYTES_MAX {
                    self.finish(tail, group)?;
                }
                Ok(())
            }
            Job::Remove(job) => {
                // What was written before is found by it.
                self.finish(tail, group)?;
                self.remove(job)
            }
            Job::Rest => {
                self.finish(tail, group)?;
                tail.buffer.give_back();
                (self.on_rest)();
                Ok(())
            }
        }
    }

    /// Waits for work; `None` when there is none left and there will be no more.
    fn take(&self) -> Option<(VecDeque<Job>, Vec<Refusal>)> {
        let mut queue = self.queue();
        while queue.jobs.is_empty() && queue.refused.is_empty() {
            if queue.stopping {
                return None;
            }
            queue.sleeping = true;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.sleeping = false;
        Some((std::mem::take(&mut queue.jobs), std::mem::take(&mut queue.refused)))
    }

    /// Writes one record, not yet synced. A chunk that cannot be written is answered here and leaves nothing behind.
    fn append(&self, tail: &mut Tail, group: &mut Group, job: WriteJob) -> Result<(), StoreFailure> {
        let WriteJob { token, header, body } = job;
        if header.length as usize != body.len()
            || body.len() > BODY_BYTES_MAX
            || header.owner.key.len() > OWNER_KEY_BYTES_MAX
        {
            warn!(id = ?header.id, "a chunk whose header does not fit its body: refused");
            self.completions.chunk_written(token, Err(ChunkWriteError::Io));
            return Ok(());
        }
        let place = (header.partition, header.id);
        if group.places.contains_key(&place) {
            group.tokens.push(token);
            return Ok(());
        }
        if read::is_whole(&self.rows, &self.files, header.partition, header.id) {
            self.completions.chunk_written(token, Ok(()));
            return Ok(());
        }
        if self.space.is_full() {
            self.completions.chunk_written(token, Err(ChunkWriteError::DiskFull));
            return Ok(());
        }
        match self.write_record(tail, group, header, &body) {
            Ok(located) => {
                self.space.wrote(body.len() as u64);
                group.bytes += body.len();
                group.places.insert(place, ());
                group.tokens.push(token);
                group.written.push(located);
                Ok(())
            }
            Err(AppendError::Refused(error)) => {
                self.completions.chunk_written(token, Err(error));
                Ok(())
            }
            Err(AppendError::Failed(failure)) => Err(failure),
        }
    }

    fn write_record(
        &self,
        tail: &mut Tail,
        group: &mut Group,
        header: ChunkHeader,
        body: &[u8],
    ) -> Result<Located, AppendError> {
        let header_bytes = header_bytes(&header);
        let record_bytes = (header_bytes + body.len()) as u64;
        if let Some(open) = &tail.open
            && open.end + record_bytes > self.segment_bytes_max
            && open.end > SEGMENT_HEADER_BYTES
        {
            self.finish(tail, group).map_err(AppendError::Failed)?;
            self.seal(tail).map_err(AppendError::Failed)?;
        }
        if tail.open.is_none() {
            self.create(tail).map_err(refused)?;
        }
        let Some(open) = &mut tail.open else {
            return Err(AppendError::Refused(ChunkWriteError::Io));
        };
        let located = Located {
            segment: open.identity.number,
            offset: open.end,
            // At most HEADER_BYTES_MAX.
            header_bytes: u32::try_from(header_bytes).unwrap_or(u32::MAX),
            blocks: block_checksums(body),
            header,
        };
        match open.write(&mut tail.buffer, &located, body) {
            Ok(()) => {
                open.end = located.end();
                Ok(located)
            }
            Err(error) => {
                // Whatever part of the record got there lies behind the end and is overwritten by the next one; cutting
                // it off only gives its space back.
                if let Err(error) = open.file.set_len(open.end) {
                    debug!(%error, "a half-written record stays until it is overwritten");
                }
                Err(refused(error))
            }
        }
    }

    /// Syncs the group, makes it findable, reports it.
    fn finish(&self, tail: &mut Tail, group: &mut Group) -> Result<(), StoreFailure> {
        let group = std::mem::take(group);
        if group.written.is_empty() && group.tokens.is_empty() {
            return Ok(());
        }
        if let Some(open) = &tail.open {
            let path = self.files.path(open.identity.number);
            self.disk
                .sync_data(WhichSync::SegmentData, &path, &open.file)
                .map_err(|error| failure("syncing a segment", &error))?;
        }
        if !group.written.is_empty() {
            self.rows.commit(group.written.iter().map(entry))?;
            self.rows.rotate_full();
            self.syncer.wrote_unsynced();
        }
        for token in group.tokens {
            // After a failure elsewhere nothing may be called durable any more.
            if self.syncer.has_failed() {
                return Ok(());
            }
            self.completions.chunk_written(token, Ok(()));
        }
        Ok(())
    }

    /// Declares the open segment full. All its entries have been written to the row store before.
    fn seal(&self, tail: &mut Tail) -> Result<(), StoreFailure> {
        if let Some(open) = tail.open.take() {
            self.rows.commit([seal(open.identity.number)])?;
        }
        Ok(())
    }

    fn create(&self, tail: &mut Tail) -> io::Result<()> {
        let identity = SegmentIdentity {
            number: tail.next,
            salt: random_salt(),
        };
        let path = self.files.path(identity.number);
        let file = self.disk.create_new(&path)?;
        // Whatever happens below, the number is taken: a file with half a header is cleared away by the next start.
        tail.next = SegmentNumber(identity.number.0 + 1);
        file.write_all_at(&encode_segment_header(identity), 0)?;
        self.disk
            .sync_dir(WhichSync::SegmentDirectory, self.files.directory())?;
        let file = Arc::new(file);
        self.files.keep(identity.number, &file);
        tail.open = Some(OpenSegment {
            identity,
            file,
            direct: DirectFile::open(&path),
            end: SEGMENT_HEADER_BYTES,
        });
        Ok(())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue's parts are changed in steps that leave it usable wherever a panic came between.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum AppendError {
    /// This chunk is not written; the next may be.
    Refused(ChunkWriteError),
    /// The disk broke a promise.
    Failed(StoreFailure),
}

fn refused(error: io::Error) -> AppendError {
    warn!(%error, "a chunk could not be written");
    AppendError::Refused(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ChunkWriteError::DiskFull,
        _ => ChunkWriteError::Io,
    })
}

fn failure(doing: &'static str, error: &io::Error) -> StoreFailure {
    StoreFailure {
        doing,
        cause: error.to_string(),
    }
}

/// The index entry of a record.
pub(super) fn entry(located: &Located) -> Change {
    let key = index::entry_key(located.header.partition, located.header.id);
    (Table::Chunks, key, Some(Bytes::from(index::encode_entry(located))))
}

/// The row that seals a segment.
pub(super) fn seal(number: SegmentNumber) -> Change {
    (Table::Chunks, index::seal_key(number), Some(Bytes::new()))
}

/// Opens a segment that recovery found unfinished.
pub(super) fn reopen(files: &SegmentFiles, identity: SegmentIdentity, end: u64) -> io::Result<OpenSegment> {
    let path = files.path(identity.number);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    // Recovery ends at a record's end, aligned; the file may stop short of it, where nothing but padding is missing.
    if file.metadata()?.len() > end {
        file.set_len(end)?;
    }
    let file = Arc::new(file);
    files.keep(identity.number, &file);
    debug_assert!(end.is_multiple_of(ALIGNMENT), "records begin aligned");
    Ok(OpenSegment {
        identity,
        file,
        direct: DirectFile::open(&path),
        end,
    })
}

/// The standard library seeds its hash maps from the operating system; that is randomness enough for a salt which
/// only has to be unknown to those who upload bodies.
fn random_salt() -> u64 {
    RandomState::new().build_hasher().finish()
}
