//! Why a data directory could not be opened, in words that say what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Opening failed; nothing that was stored has been changed.
#[derive(Debug)]
pub enum OpenError {
    /// The operating system does not let this process read or write there.
    PermissionDenied {
        /// What could not be touched.
        path: PathBuf,
    },
    /// The path, or something on the way to it, is no directory.
    NotADirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// Another process has it open.
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It was written by a later version of Holdfast.
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format found there.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// Something is missing or wrong that no crash explains.
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No room for the few files that an open needs.
    DiskFull {
        /// Where.
        path: PathBuf,
    },
    /// The operating system refused otherwise.
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl OpenError {
    /// Sorts an error of the operating system by what its reader can do about it.
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::PermissionDenied { path },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Self::NotADirectory { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, error },
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_path_buf(),
            what: what.into(),
        }
    }

    pub(crate) fn from_fjall(path: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                // A file that should be there is damage, not a wrong path: the directory itself was checked before.
                if error.kind() == io::ErrorKind::NotFound {
                    return Self::damaged(path, format!("a file of the row store is missing ({error})"));
                }
                Self::from_io(path, error)
            }
            fjall::Error::Locked => Self::Locked {
                path: path.to_path_buf(),
            },
            other => Self::damaged(path, format!("the row store cannot be read ({other})")),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermissionDenied { path } => write!(
                f,
                "no permission to read and write {}: make it writable for the user that runs Holdfast, or choose another data directory",
                path.display()
            ),
            Self::NotADirectory { path } => write!(
                f,
                "{} is not a directory: choose a data directory that exists or can be created",
                path.display()
            ),
            Self::Locked { path } => write!(
                f,
                "{} is in use by another Holdfast process: stop that one first, or give this one its own data directory",
                path.display()
            ),
            Self::NewerFormat { path, found, supported } => write!(
                f,
                "{} was written by a newer Holdfast (format {found}, this version reads up to {supported}): run that version or a later one",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                f,
                "{} is damaged: {what}. Keep a copy for inspection, check the disk, and start this node on an empty directory; the other replicas hold its data",
                path.display()
            ),
            Self::DiskFull { path } => write!(f, "the disk of {} is full: free some space", path.display()),
            Self::Io { path, error } => write!(f, "cannot use {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
