//! The data directory: who may use it, which format it has, where things lie in it.
//!
//! ```text
//! LOCK        locked (flock) by the process that uses the directory; empty
//! FORMAT      what wrote it, in words; made last, so its presence means that the rest was made
//! rows/       fjall: every keyspace and its journal
//! segments/   chunks
//! ```
//!
//! `FORMAT` is written aside, synced, renamed, and then the directory is synced once for all its names. A crash before
//! that leaves a directory without `FORMAT`; it is finished by the next open provided that nothing was stored, which
//! nothing can have been. A directory without `FORMAT` that does hold data has lost a file: that is damage, and quietly
//! starting over would turn acknowledged writes into absent ones.
//!
//! A process that was killed between a change of names and its sync leaves names that the next process sees and a power
//! cut still takes away. Therefore every open syncs the directory, and one that finds no `FORMAT` syncs those above it
//! too, whoever made them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, WhichSync};
use crate::open_error::OpenError;

/// The format that this version writes, and the newest it reads.
const FORMAT: u32 = 1;
/// First words of the format file.
const FORMAT_PREFIX: &str = "holdfast-store ";

/// Whether anything of a store lies in a directory, whole or damaged.
#[must_use]
pub fn is_there(root: &Path) -> bool {
    root.join("FORMAT").exists() || root.join("rows").exists()
}

/// An exclusively held data directory.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// Whether the format file was missing: only then may the stores inside be empty or half made.
    pub is_new: bool,
    /// Holds the lock for as long as it lives.
    _lock: File,
}

impl DataDir {
    /// Takes the directory, making it when it is missing.
    pub(crate) fn open(disk: &Disk, root: &Path) -> Result<Self, OpenError> {
        make_root(disk, root)
            .and_then(|()| fs::canonicalize(root))
            .and_then(|whole| sync_above(disk, root, &whole))
            .map_err(|error| OpenError::from_io(root, error))?;
        let lock = lock(root)?;
        let format = read_format(root)?;
        if let Some(found) = format
            && found > FORMAT
        {
            return Err(OpenError::NewerFormat {
                path: root.to_path_buf(),
                found,
                supported: FORMAT,
            });
        }
        let data_dir = Self {
            root: root.to_path_buf(),
            is_new: format.is_none(),
            _lock: lock,
        };
        for directory in [data_dir.rows(), data_dir.segments()] {
            match fs::metadata(&directory) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(OpenError::NotADirectory { path: directory }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !data_dir.is_new {
                        let name = directory.file_name().unwrap_or_default().display();
                        return Err(OpenError::damaged(root, format!("its subdirectory {name} is missing")));
                    }
                    disk.create_dir(&directory)
                        .map_err(|error| OpenError::from_io(&directory, error))?;
                }
                Err(error) => return Err(OpenError::from_io(&directory, error)),
            }
        }
        if data_dir.is_new {
            let rows = data_dir.rows();
            remove_empty_journal(&rows).map_err(|error| OpenError::from_io(&rows, error))?;
        }
        Ok(data_dir)
    }

    /// Makes the directory durable, and complete if it is new: then the stores inside have been opened and found empty.
    pub(crate) fn finish(&mut self, disk: &Disk) -> Result<(), OpenError> {
        let written = if self.is_new { self.write_format(disk) } else { Ok(()) };
        written
            .and_then(|()| disk.sync_dir(WhichSync::Root, &self.root))
            .map_err(|error| OpenError::from_io(&self.root, error))?;
        self.is_new = false;
        Ok(())
    }

    fn write_format(&self, disk: &Disk) -> io::Result<()> {
        let aside = self.root.join("FORMAT.new");
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = disk.create_new(&aside)?;
        writeln!(file, "{FORMAT_PREFIX}{FORMAT}")?;
        disk.sync_data(WhichSync::FormatData, &aside, &file)?;
        disk.rename(&aside, &self.root.join("FORMAT"))
    }

    /// Where it lies.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where fjall lives.
    pub(crate) fn rows(&self) -> PathBuf {
        self.root.join("rows")
    }

    /// Where chunks live.
    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }
}

/// fjall makes its journal before it marks its directory as made, and takes it for somebody else's if it finds it without the mark:
/// a process that was killed between the two could not be started again. A journal that holds nothing, where there is neither mark
/// nor table, can only be that; everything else is left for fjall to judge.
fn remove_empty_journal(rows: &Path) -> io::Result<()> {
    let journal = rows.join("0.jnl");
    if rows.join("version").try_exists()? || !journal.try_exists()? {
        return Ok(());
    }
    let has_tables = match fs::read_dir(rows.join("keyspaces")) {
        Ok(mut tables) => tables.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if !has_tables && is_all_zeros(&journal)? {
        fs::remove_file(&journal)?;
    }
    Ok(())
}

fn is_all_zeros(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(true),
            length if block[..length].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// Makes the directory and those above it that are missing.
fn make_root(disk: &Disk, root: &Path) -> io::Result<()> {
    match fs::metadata(root) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let parent = match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_root(disk, parent)?;
    match disk.create_dir(root) {
        // Another process made it meanwhile; the lock decides between the two.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes a directory's own name durable, and the names above it, unless that was done before.
fn sync_above(disk: &Disk, root: &Path, whole: &Path) -> io::Result<()> {
    if root.join("FORMAT").try_exists()? {
        return Ok(());
    }
    for directory in whole.ancestors().skip(1) {
        match disk.sync_dir(WhichSync::Parent, directory) {
            // Not ours to read, so not made by us.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            // File systems that cannot sync a directory keep it elsewhere (proc, some mounts): nothing to do.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            other => other?,
        }
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("LOCK");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| OpenError::from_io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            path: root.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::from_io(&path, error)),
    }
}

/// The format found, or `None` when the file is missing.
fn read_format(root: &Path) -> Result<Option<u32>, OpenError> {
    let path = root.join("FORMAT");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::from_io(&path, error)),
    };
    let number = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_prefix(FORMAT_PREFIX))
        .and_then(|rest| rest.strip_suffix('\n'))
        .and_then(|number| number.parse().ok());
    match number {
        Some(number) if number > 0 => Ok(Some(number)),
        _ => Err(OpenError::damaged(&path, "it does not name a format")),
    }
}
