//! Segment files: their names, and a bounded set of open ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::SegmentNumber;
use super::record::SEGMENT_HEADER_BYTES;
use super::remove::Dying;

/// Segments kept open: 64 GiB of chunks at the default size, far below the 1,024 descriptors a process usually has.
const OPEN_COUNT_MAX: usize = 256;

/// The segments of a directory.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    directory: PathBuf,
    open: Mutex<BTreeMap<SegmentNumber, Arc<File>>>,
    /// Chunks of whose records nothing is left, though the index may still name them.
    pub(super) dying: Dying,
}

impl SegmentFiles {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            open: Mutex::default(),
            dying: Dying::default(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn path(&self, number: SegmentNumber) -> PathBuf {
        self.directory.join(format!("{:08}.seg", number.0))
    }

    /// Numbers of the files present, ascending. Files of other names are left alone.
    pub(super) fn list(&self) -> io::Result<Vec<SegmentNumber>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                numbers.push(SegmentNumber(number));
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether no segment holds a record.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        for number in self.list()? {
            if fs::metadata(self.path(number))?.len() > SEGMENT_HEADER_BYTES {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A segment for reading.
    pub(super) fn get(&self, number: SegmentNumber) -> io::Result<Arc<File>> {
        if let Some(file) = self.open().get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.path(number))?);
        self.keep(number, &file);
        Ok(file)
    }

    /// Remembers an open segment. The oldest goes when there are too many: new data is read most.
    pub(super) fn keep(&self, number: SegmentNumber, file: &Arc<File>) {
        let mut open = self.open();
        open.insert(number, Arc::clone(file));
        if open.len() > OPEN_COUNT_MAX {
            open.pop_first();
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<SegmentNumber, Arc<File>>> {
        // A map of handles cannot be half changed by a panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
