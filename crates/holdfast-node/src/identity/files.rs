//! Files that are whole or absent: written beside, synced, renamed, and the directory synced.
//!
//! A rename without a sync of the file may survive a power cut as an empty file, one without a sync of the directory
//! may not survive at all (the usual findings of crash-consistency studies, for example Pillai et al., OSDI 2014).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Readable by the owner only.
pub const SECRET: u32 = 0o600;
/// Readable by all.
pub const PUBLIC: u32 = 0o644;

/// Replaces or makes a file, atomically and durably.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path);
    write_synced(&beside, bytes, mode)?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// Makes a directory with all its files appear at once, durably. Fails if it exists.
pub fn publish_directory(path: &Path, files: &[(&str, Vec<u8>, u32)]) -> io::Result<()> {
    if path.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists already"));
    }
    let beside = beside(path);
    match fs::remove_dir_all(&beside) {
        // Left by an attempt that was cut short.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::DirBuilder::new().mode(0o700).create(&beside)?;
    for (name, bytes, mode) in files {
        write_synced(&beside.join(name), bytes, *mode)?;
    }
    File::open(&beside)?.sync_all()?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// Removes a file durably; that it is not there is fine.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The bytes of a file, or `None` if it is not there.
pub fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name of its own for what is being written. Were an ending only replaced, the directory `identity`, cut short, would lie
/// where the file `identity.founding` wants to be written.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Removed first, because the mode of a file that is there would stay what it was.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
