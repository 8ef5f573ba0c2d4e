//! fjall's journal files, synced through a descriptor of our own.
//!
//! The journal is a chain of files `<n>.jnl` in `rows/`; only the one with the highest number grows. fjall syncs a file
//! before it creates the next, and syncs the directory before it lets anyone write to that one. So: whatever was written
//! before [`Journal::sync`] began is durable once the file that is the last one *now* has been synced. If a batch lies
//! in an earlier file, a later one exists because the earlier was synced.
//!
//! An error of a sync is reported by Linux to every descriptor that was open when it happened, so errors that fjall's
//! own syncs meet are also met here, and the reverse.

mod check;

pub(crate) use check::repair;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, WhichSync};

/// The journal's last file.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Disk,
    directory: PathBuf,
    number: u64,
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Finds the last file of the journal in fjall's directory.
    pub(crate) fn open(disk: &Disk, directory: &Path) -> io::Result<Self> {
        let number = numbers(directory)?
            .into_iter()
            .max()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no journal file"))?;
        let path = file_path(directory, number);
        Ok(Self {
            disk: disk.clone(),
            directory: directory.to_path_buf(),
            number,
            file: File::open(&path)?,
            path,
        })
    }

    /// Makes every batch durable that was written before the call.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        loop {
            let path = file_path(&self.directory, self.number + 1);
            match File::open(&path) {
                Ok(file) => {
                    self.number += 1;
                    self.path = path;
                    self.file = file;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        self.disk.sync_data(WhichSync::Journal, &self.path, &self.file)
    }
}

/// Numbers of the journal files in fjall's directory.
pub(crate) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(numbers)
}

/// Where a journal file lies.
pub(crate) fn file_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.jnl"))
}
