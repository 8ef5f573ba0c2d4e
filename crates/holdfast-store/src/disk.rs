//! The only place where this crate creates files and syncs them.
//!
//! Each sync has a name, because each has a reason (docs/format-store.md tells them) and because the power-cut test
//! leaves them out one at a time and must fail for every one. A sync whose absence no test could notice would be one
//! too many: add none without a name and a failing test.
//!
//! Weak spot: the files inside `rows/` belong to fjall. Of those only the journal is synced from here; fjall syncs its
//! tables and manifests itself, and the test trusts it to.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::options::Options;

/// Every sync that the store asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WhichSync {
    /// The journal of the row store, before batches are reported as durable.
    Journal,
    /// A segment, before the chunks appended to it are reported as durable.
    SegmentData,
    /// A segment in which a start found whole records that nobody was told of, before it makes them findable: whoever
    /// writes such a chunk again is told at once that it is there.
    RecoveredSegment,
    /// Segments with records that became holes, before their index entries go: a start would bring such chunks back.
    DeadRecords,
    /// The directory of the segments, before the first chunk in a new one is reported.
    SegmentDirectory,
    /// The file that tells the format, before it gets its name.
    FormatData,
    /// The data directory, before it is used: format file and subdirectories.
    Root,
    /// The directories above the data directory, before a new one is used.
    Parent,
}

impl WhichSync {
    /// All of them.
    #[cfg(feature = "planted")]
    pub const ALL: [Self; 8] = [
        Self::Journal,
        Self::SegmentData,
        Self::RecoveredSegment,
        Self::DeadRecords,
        Self::SegmentDirectory,
        Self::FormatData,
        Self::Root,
        Self::Parent,
    ];

    /// Those that a running store waits for again and again, and `unsafe_no_sync` leaves out. The others are done once,
    /// at an open: nothing is measured by leaving them out, and a directory that cannot be opened again would be lost.
    fn is_of_writes(self) -> bool {
        match self {
            Self::Journal | Self::SegmentData | Self::DeadRecords | Self::SegmentDirectory => true,
            Self::RecoveredSegment | Self::FormatData | Self::Root | Self::Parent => false,
        }
    }
}

/// Told of every change of names and of every sync, so that a test can keep what a power cut would leave.
#[cfg(feature = "planted")]
pub trait Observer: Send + Sync {
    /// A file or directory was made.
    fn created(&self, path: &Path);
    /// A file got another name.
    fn renamed(&self, from: &Path, to: &Path);
    /// A sync of this file or directory begins: it covers what was written so far.
    fn sync_begins(&self, path: &Path);
    /// That sync has succeeded.
    fn sync_ended(&self, path: &Path);
}

/// An observer that options can carry.
#[cfg(feature = "planted")]
#[derive(Clone)]
pub struct SharedObserver(pub std::sync::Arc<dyn Observer>);

#[cfg(feature = "planted")]
impl std::fmt::Debug for SharedObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedObserver")
    }
}

/// Access to files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk {
    unsafe_no_sync: bool,
    #[cfg(feature = "planted")]
    skip_sync: Option<WhichSync>,
    #[cfg(feature = "planted")]
    observer: Option<SharedObserver>,
}

#[cfg_attr(
    not(feature = "planted"),
    expect(clippy::unused_self, reason = "the tests' build keeps its switches here")
)]
impl Disk {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            unsafe_no_sync: options.unsafe_no_sync,
            #[cfg(feature = "planted")]
            skip_sync: options.skip_sync,
            #[cfg(feature = "planted")]
            observer: options.observer.clone(),
        }
    }

    /// Makes a directory; its parent must exist.
    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        #[cfg(feature = "planted")]
        self.observe(|observer| observer.created(path));
        Ok(())
    }

    /// Makes a new file for reading and writing, which must not exist.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        #[cfg(feature = "planted")]
        self.observe(|observer| observer.created(path));
        Ok(file)
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        #[cfg(feature = "planted")]
        self.observe(|observer| observer.renamed(from, to));
        Ok(())
    }

    /// Makes the bytes of a file durable, and what is needed to find them (fdatasync).
    pub(crate) fn sync_data(&self, which: WhichSync, path: &Path, file: &File) -> io::Result<()> {
        self.sync(which, path, || file.sync_data())
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, which: WhichSync, path: &Path) -> io::Result<()> {
        self.sync(which, path, || File::open(path)?.sync_all())
    }

    #[cfg_attr(not(feature = "planted"), expect(unused_variables, reason = "only tests watch"))]
    fn sync(&self, which: WhichSync, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.unsafe_no_sync && which.is_of_writes() {
            return Ok(());
        }
        #[cfg(feature = "planted")]
        if self.skip_sync == Some(which) {
            return Ok(());
        }
        #[cfg(feature = "planted")]
        self.observe(|observer| observer.sync_begins(path));
        sync()?;
        #[cfg(feature = "planted")]
        self.observe(|observer| observer.sync_ended(path));
        Ok(())
    }

    #[cfg(feature = "planted")]
    fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            tell(observer.0.as_ref());
        }
    }
}
