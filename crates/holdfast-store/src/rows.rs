//! The row store: every keyspace in one fjall database, each row with a checksum of its own.
//!
//! What is used of fjall, and what is avoided because it has failed for others: batches across keyspaces (atomic, one
//! journal), snapshots, range reads. Not used: `clear`, which has corrupted key-value separated keyspaces; values above
//! 32 KiB (chunks hold those); fjall's own `persist`, which would stall writers (see the module `sync`).
//!
//! A write stall (fjall holds writers back while flushes or compactions are behind) is counted and logged: it happens
//! while the node's lock is held, so it is felt by every request.
//!
//! Weak spots: a stall cannot be avoided from outside, only made rare: see [`RowStore::rotate_full`]. A memtable's flush makes fjall sync its journal under the mutex that writers need: about one short wait
//! per memtable.

mod cache;
mod keyspaces;
mod rest;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{AbstractTree, Database, Keyspace, Readable, Slice};
use holdfast_core::storage::{ReadError, Space, Visit};
use tracing::{error, warn};

use crate::completions::StoreFailure;
use crate::journal;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::row;

/// A batch that takes longer was held back. Far above a disk's sync, far below fjall's shortest pause.
const STALL: Duration = Duration::from_millis(50);
/// Memtables below this are not worth a file of their own when the node is quiet.
const IDLE_FLUSH_BYTES_MIN: u64 = 256 << 10;
/// But when another is, those from this size on are written out, too. Their rows lie between those of the others, so that a
/// few hundred kilobytes keep megabytes from being given back (measured: 3 of 27 after 1,000,000 objects).
const IDLE_FLUSH_TOO_BYTES_MIN: u64 = 4 << 10;
/// Memtables of one keyspace that may wait to be written out.
const SEALED_COUNT_MAX: usize = 2;
/// How many times its size a memtable may reach while others wait.
const OVERSIZE_MAX: u64 = 4;
/// Rows that a scan steps over before it seeks: opening an iterator costs about as much as some dozen steps.
const STEPS_BEFORE_SEEK: usize = 8;

/// A keyspace, the core's or our own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Table {
    /// One of the core's.
    Space(Space),
    /// The chunk index.
    Chunks,
    /// One row that says nothing: see [`RowStore::release_idle`].
    Marks,
}

impl Table {
    const COUNT: usize = Space::ALL.len() + 2;

    /// Number in row checksums; part of the disk format. Our own count down from 255, so that the core has room to grow.
    fn number(self) -> u8 {
        match self {
            Self::Space(space) => space as u8,
            Self::Chunks => 255,
            Self::Marks => 254,
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Space(space) => space as usize,
            Self::Chunks => Space::ALL.len(),
            Self::Marks => Space::ALL.len() + 1,
        }
    }

    /// Name of its keyspace; part of the disk format.
    fn name(self) -> &'static str {
        match self {
            Self::Space(Space::Meta) => "meta",
            Self::Space(Space::Rows) => "rows",
            Self::Space(Space::Bodies) => "bodies",
            Self::Space(Space::Uploads) => "uploads",
            Self::Space(Space::Parts) => "parts",
            Self::Space(Space::Counts) => "counts",
            Self::Space(Space::Hints) => "hints",
            Self::Space(Space::HintBodies) => "hint-bodies",
            Self::Space(Space::ChunkHints) => "chunk-hints",
            Self::Space(Space::Dead) => "dead",
            Self::Chunks => "chunks",
            Self::Marks => "marks",
        }
    }

    fn all_sized(options: &Options) -> [u64; Self::COUNT] {
        let mut sizes = [0; Self::COUNT];
        for table in Self::all() {
            sizes[table.place()] = keyspaces::memtable_bytes_max(table, options);
        }
        sizes
    }

    fn all() -> impl Iterator<Item = Self> {
        Space::ALL
            .into_iter()
            .map(Self::Space)
            .chain([Self::Chunks, Self::Marks])
    }
}

/// A row to set, or to remove when the value is `None`.
pub(crate) type Change = (Table, Vec<u8>, Option<Bytes>);

/// All keyspaces of a node.
pub(crate) struct RowStore {
    database: Database,
    keyspaces: [Keyspace; Table::COUNT],
    memtable_bytes_max: [u64; Table::COUNT],
    /// A memtable has reached its size.
    rotation_due: AtomicBool,
    /// Something was read since the cache was emptied, so it may hold blocks again.
    cached: AtomicBool,
    stalls: AtomicU64,
}

impl RowStore {
    /// Opens or makes the database in `directory`. A directory without one is damaged unless it is new.
    pub(crate) fn open(directory: &Path, is_new: bool, options: &Options) -> Result<Self, OpenError> {
        let has_database = directory
            .join("version")
            .try_exists()
            .map_err(|error| OpenError::from_io(directory, error))?;
        if !has_database && !is_new {
            return Err(OpenError::damaged(directory, "the row store's version file is missing"));
        }
        if has_database {
            journal::repair(directory)?;
        }
        let (database, keyspaces) =
            keyspaces::open(directory, options).map_err(|error| OpenError::from_fjall(directory, error))?;
        Ok(Self {
            database,
            keyspaces,
            memtable_bytes_max: Table::all_sized(options),
            rotation_due: AtomicBool::new(false),
            cached: AtomicBool::new(true),
            stalls: AtomicU64::new(0),
        })
    }

    /// Whether no keyspace holds a row, marks apart, which say nothing.
    pub(crate) fn is_empty(&self) -> fjall::Result<bool> {
        for table in Table::all().filter(|table| *table != Table::Marks) {
            if !self.keyspace(table).is_empty()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.note_read();
        let stored = self
            .keyspace(table)
            .get(key)
            .map_err(|error| read_error(table, &error))?;
        match stored {
            None => Ok(None),
            Some(stored) => match row::decode(table.number(), key, &Bytes::from(stored)) {
                Some(value) => Ok(Some(value)),
                None => Err(corrupt(table, key)),
            },
        }
    }

    /// Visits rows with `from <= key < to` in order, as they were when the scan began.
    pub(crate) fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), ReadError> {
        if from >= to {
            return Ok(());
        }
        self.note_read();
        let keyspace = self.keyspace(table);
        let snapshot = self.database.snapshot();
        let mut rows = snapshot.range(keyspace, from..to);
        // While set, rows below it are stepped over.
        let mut target: Option<Vec<u8>> = None;
        let mut steps = 0;
        while let Some(row) = rows.next() {
            let (key, stored) = row.into_inner().map_err(|error| read_error(table, &error))?;
            if let Some(wanted) = &target
                && *key < **wanted
            {
                steps += 1;
                if steps > STEPS_BEFORE_SEEK {
                    rows = snapshot.range(keyspace, wanted.as_slice()..to);
                    target = None;
                }
                continue;
            }
            target = None;
            let value = row::check(table.number(), &key, &stored).ok_or_else(|| corrupt(table, &key))?;
            match visit(&key, value) {
                Visit::Next => {}
                Visit::Stop => break,
                Visit::SeekTo(wanted) => {
                    assert!(wanted.as_slice() > &*key, "a scan only moves forward");
                    if wanted.as_slice() >= to {
                        break;
                    }
                    steps = 0;
                    target = Some(wanted);
                }
            }
        }
        Ok(())
    }

    /// Makes changes visible together and hands them to the kernel; not synced. Later changes of a key win.
    pub(crate) fn commit(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), StoreFailure> {
        let mut changes: Vec<Change> = changes.into_iter().collect();
        keep_last_of_each_key(&mut changes);
        let mut batch = self.database.batch();
        let mut touched = [false; Table::COUNT];
        for (table, key, value) in changes {
            let keyspace = self.keyspace(table);
            touched[table.place()] = true;
            match value {
                Some(value) => {
                    let stored = row::encode(table.number(), &key, &value);
                    batch.insert(keyspace, key, stored);
                }
                None => batch.remove(keyspace, key),
            }
        }
        let begun = Instant::now();
        let result = batch.commit();
        let took = begun.elapsed();
        if took > STALL {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            warn!(took_ms = took.as_millis(), "the row store held a write back");
        }
        for (place, _) in touched.iter().enumerate().filter(|(_, touched)| **touched) {
            if self.keyspaces[place].tree.active_memtable().size() > self.memtable_bytes_max[place] {
                self.rotation_due.store(true, Ordering::Relaxed);
            }
        }
        result.map_err(|error| StoreFailure {
            doing: "writing the journal",
            cause: error.to_string(),
        })
    }

    /// Begins to write out memtables that have reached their size. Called by the store's own threads, after a commit.
    ///
    /// fjall would do this itself, but it asks for it anew with every batch until it happens, and its queue of a
    /// thousand requests fills up while its worker is busy: the worker then waits for room in the queue that only it
    /// empties, and nothing is ever written out again. So its own limit is out of reach, and each rotation is asked
    /// for once, from here.
    pub(crate) fn rotate_full(&self) {
        if !self.rotation_due.swap(false, Ordering::Relaxed) {
            return;
        }
        for (keyspace, bytes_max) in self.keyspaces.iter().zip(self.memtable_bytes_max) {
            let bytes = keyspace.tree.active_memtable().size();
            // At four waiting memtables fjall makes writers sleep. Better one that is too large; but not without end.
            let waiting = keyspace.tree.sealed_memtable_count() >= SEALED_COUNT_MAX;
            if bytes <= bytes_max || (waiting && bytes < bytes_max.saturating_mul(OVERSIZE_MAX)) {
                continue;
            }
            if let Err(error) = keyspace.rotate_memtable() {
                // Nothing is lost: the rows are in the journal and in memory. A worker that died has poisoned the
                // database, and the next write says so.
                warn!(%error, "a memtable could not be written out");
            }
        }
    }

    /// Begins to write out what memtables hold, so that a quiet node gives their memory back. True when there was
    /// enough to be worth it; [`Self::release_idle`] then frees it.
    pub(crate) fn flush_idle(&self) -> Result<bool, StoreFailure> {
        let mut flushing = false;
        let is_worth_it = |keyspace: &Keyspace| keyspace.tree.active_memtable().size() >= IDLE_FLUSH_BYTES_MIN;
        if !self.keyspaces.iter().any(is_worth_it) {
            return Ok(false);
        }
        for keyspace in &self.keyspaces {
            if keyspace.tree.active_memtable().size() < IDLE_FLUSH_TOO_BYTES_MIN {
                continue;
            }
            match keyspace.rotate_memtable() {
                Ok(rotated) => flushing |= rotated,
                // Nothing is lost: the rows are in the journal and in memory.
                Err(error) => warn!(%error, "a memtable could not be written out"),
            }
        }
        if flushing && self.keyspace(Table::Marks).tree.table_count() == 0 {
            // What the first rest of a store will compact its mark with: a table alone is only moved (module `rest`).
            self.release_idle()?;
        }
        Ok(flushing)
    }

    /// Frees memtables that have been written out. fjall keeps each until a later one is rotated in *any* keyspace, so
    /// this rotates one that holds a single row.
    pub(crate) fn release_idle(&self) -> Result<(), StoreFailure> {
        self.commit([(Table::Marks, b"idle".to_vec(), Some(Bytes::new()))])?;
        if let Err(error) = self.keyspace(Table::Marks).rotate_memtable() {
            warn!(%error, "memory could not be given back");
        }
        Ok(())
    }

    /// Gives back what was kept in memory to be read again. Costs some milliseconds, and a node comes to rest after each
    /// comparison with another, of which most read nothing.
    pub(crate) fn empty_cache(&self) {
        if !self.cached.swap(false, Ordering::Relaxed) {
            return;
        }
        cache::empty(&self.keyspace(Table::Marks).tree.tree_config().cache);
    }

    /// Blocks come into the cache when rows are looked for, and in no other way: neither flushes nor compactions use it.
    fn note_read(&self) {
        if !self.cached.load(Ordering::Relaxed) {
            self.cached.store(true, Ordering::Relaxed);
        }
    }

    /// How often a write was held back.
    pub(crate) fn stall_count(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table.place()]
    }
}

/// fjall gives all changes of a batch one sequence number, so two changes of one key in it would be one row written
/// twice, in no defined order.
fn keep_last_of_each_key(changes: &mut Vec<Change>) {
    if changes.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(changes.len());
    let mut keep: Vec<bool> = changes
        .iter()
        .rev()
        .map(|(table, key, _)| seen.insert((*table, key.as_slice())))
        .collect();
    if keep.iter().all(|keep| *keep) {
        return;
    }
    // `keep` was filled from the back, so popping it goes forward.
    changes.retain(|_| keep.pop().unwrap_or(true));
}

fn corrupt(table: Table, key: &[u8]) -> ReadError {
    error!(keyspace = table.name(), key = %key.escape_ascii(), "a row's checksum does not match");
    ReadError::Corrupt
}

fn read_error(table: Table, error: &fjall::Error) -> ReadError {
    error!(keyspace = table.name(), %error, "a row cannot be read");
    match error {
        // A table file that is cut short or gone is damage as well: what it held was there.
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::NotFound => ReadError::Corrupt,
            _ => ReadError::Io,
        },
        fjall::Error::Poisoned => ReadError::Io,
        _ => ReadError::Corrupt,
    }
}

/// A key or value as fjall takes it; without a copy.
const _: fn(Bytes) -> Slice = Slice::from;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_key_wins_and_order_stays() {
        let change = |key: &str, value: u8| {
            (
                Table::Space(Space::Rows),
                key.as_bytes().to_vec(),
                Some(Bytes::copy_from_slice(&[value])),
            )
        };
        let mut changes = vec![
            change("a", 1),
            change("b", 2),
            change("a", 3),
            change("c", 4),
            change("b", 5),
        ];
        keep_last_of_each_key(&mut changes);
        assert_eq!(changes, vec![change("a", 3), change("c", 4), change("b", 5)]);
        keep_last_of_each_key(&mut changes);
        assert_eq!(changes.len(), 3);
        let mut other = change("a", 6);
        other.0 = Table::Space(Space::Bodies);
        changes.push(other);
        keep_last_of_each_key(&mut changes);
        assert_eq!(changes.len(), 4);
    }
}
