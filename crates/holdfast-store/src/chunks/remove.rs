//! Removing chunks: their records become holes, their index entries go.
//!
//! The order of events, and what each crash leaves:
//!
//! 1. The record becomes a hole, its header included; where the file system makes no holes, the header is overwritten and
//!    the space stays taken. *Crash: the index entry points to nothing that reads; whoever wanted the chunk removed was
//!    not told, and asks again.*
//! 2. A sync makes that durable. A start scans segments that have no seal: were an entry gone and its record still there,
//!    it would bring the chunk back.
//! 3. Index entries go in one batch, **not** synced, and the removal is reported. The journal survives as a prefix, so
//!    once a later batch is durable this one is.
//!
//! A removal may come twice, and what the index says may be out of date by then: a start cuts off a segment behind its last
//! record, and later records take the place of a hole. So a record is looked at before it becomes one.
//!
//! Between 1 and 3 a read finds an entry without its chunk. That is no damage, which somebody would mend: [`Dying`] tells.
//!
//! Weak spot: a segment of which nothing is left stays as an empty file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::storage::{ChunkToken, ChunkWriteError, ReadError};
use rustix::fs::FallocateFlags;
use tracing::warn;

use super::append::Appender;
use super::recover::{read_record, segment_identity};
use super::{ALIGNMENT, Located, SegmentNumber, index, read};
use crate::completions::StoreFailure;
use crate::disk::WhichSync;
use crate::rows::{Change, Table};

/// Chunks that are to go.
#[derive(Debug)]
pub(crate) struct RemoveJob {
    pub token: ChunkToken,
    pub chunks: Vec<(Partition, ChunkId)>,
}

/// Chunks whose records are gone and whose index entries are about to be.
#[derive(Debug, Default)]
pub(crate) struct Dying {
    chunks: Mutex<BTreeSet<(Partition, ChunkId)>>,
    /// It was said that nothing comes back here.
    warned: AtomicBool,
}

impl Dying {
    pub(super) fn contains(&self, partition: Partition, id: ChunkId) -> bool {
        self.lock().contains(&(partition, id))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Partition, ChunkId)>> {
        // A set of names is usable wherever a panic came between.
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appender {
    /// Removes chunks for good. One that is not there is no error; one that cannot be removed leaves all as they are, or
    /// gone, and is asked for again.
    pub(super) fn remove(&self, job: RemoveJob) -> Result<(), StoreFailure> {
        let RemoveJob { token, chunks } = job;
        self.files.dying.lock().extend(chunks.iter().copied());
        let removed = self.make_holes(&chunks);
        let outcome = match removed {
            Ok(entries) if entries.is_empty() => Ok(()),
            Ok(entries) => self.rows.commit(entries).map(|()| {
                self.rows.rotate_full();
                self.syncer.wrote_unsynced();
            }),
            Err(error) => {
                warn!(%error, "dead chunks could not be removed");
                self.forget_dying(&chunks);
                self.completions.chunks_removed(token, Err(ChunkWriteError::Io));
                return Ok(());
            }
        };
        self.forget_dying(&chunks);
        outcome?;
        if !self.syncer.has_failed() {
            self.completions.chunks_removed(token, Ok(()));
        }
        Ok(())
    }

    /// Steps 1 and 2. Returns the index entries that are to go.
    fn make_holes(&self, chunks: &[(Partition, ChunkId)]) -> io::Result<Vec<Change>> {
        let mut entries = Vec::new();
        let mut touched: BTreeMap<SegmentNumber, File> = BTreeMap::new();
        for (partition, id) in chunks {
            let located = match read::locate(&self.rows, *partition, *id) {
                Ok(None) => continue,
                Ok(Some(located)) => Some(located),
                // Nobody knows any more where the record lies; without its entry it is unreachable.
                Err(ReadError::Corrupt) => None,
                Err(ReadError::Io | ReadError::Overloaded) => {
                    return Err(io::Error::other("the chunk index cannot be read"));
                }
            };
            entries.push((Table::Chunks, index::entry_key(*partition, *id), None));
            let Some(located) = located else { continue };
            let file = match touched.remove(&located.segment) {
                Some(file) => file,
                None => match OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(self.files.path(located.segment))
                {
                    // The whole segment is lost, and this chunk with it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => opened?,
                },
            };
            // What lies there may be another chunk: a hole at the end of a segment is cut off by a start, and written over.
            if is_record_of(&file, &located)? {
                self.make_hole(&file, &located)?;
            }
            touched.insert(located.segment, file);
        }
        for (number, file) in &touched {
            let path = self.files.path(*number);
            self.disk.sync_data(WhichSync::DeadRecords, &path, file)?;
        }
        Ok(entries)
    }

    fn make_hole(&self, file: &File, located: &Located) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let length = located.end() - located.offset;
        let Err(error) = rustix::fs::fallocate(file, flags, located.offset, length) else {
            return Ok(());
        };
        if !self.files.dying.warned.swap(true, Ordering::Relaxed) {
            warn!(
                %error,
                "this file system makes no holes: what is overwritten and deleted keeps its space. Use ext4, XFS or btrfs"
            );
        }
        file.write_all_at(&[0; ALIGNMENT as usize], located.offset)
    }

    fn forget_dying(&self, chunks: &[(Partition, ChunkId)]) {
        let mut dying = self.files.dying.lock();
        for chunk in chunks {
            dying.remove(chunk);
        }
    }
}

/// Whether the record that an index entry points to is there, and that chunk's.
fn is_record_of(file: &File, located: &Located) -> io::Result<bool> {
    let Some(identity) = segment_identity(file)?.filter(|identity| identity.number == located.segment) else {
        return Ok(false);
    };
    let record = read_record(file, located.offset, identity)?;
    Ok(record.is_some_and(|record| {
        record.header.id == located.header.id && record.header.partition == located.header.partition
    }))
}
