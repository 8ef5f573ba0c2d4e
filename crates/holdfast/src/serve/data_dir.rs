//! The data directory: ours, writable, and used by one process only.
//!
//! ```text
//! DIR/lock            held (flock) by the process that runs the node
//! DIR/identity/       who the node is: keys, certificate, layout (mode 0600 where secret)
//! DIR/identity.*      a founding or joining that is not over
//! DIR/store/          objects
//! DIR/store.old-copy-SECONDS/  a store that proved to be an old copy: kept for people to look at, never served
//! DIR/root-key        access key of the cluster, for people (mode 0600)
//! DIR/admin-token     token of the REST interface, for people (mode 0600)
//! DIR/gateway-token   admits gateways, for people (mode 0600)
//! DIR/join-token      on a founder that waits for others (mode 0600)
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, local};
use crate::serve::{GATEWAY_TOKEN_FILE, JOIN_TOKEN_FILE, split_advice};
use holdfast_node::identity::{Stored, note_stored};

/// Everything that belongs there, and what file systems put into their roots.
const KNOWN: [&str; 10] = [
    "lock",
    "identity",
    "identity.founding",
    "identity.joining",
    "store",
    "root-key",
    "admin-token",
    GATEWAY_TOKEN_FILE,
    JOIN_TOKEN_FILE,
    "lost+found",
];

/// How the names of stores begin that were put aside.
const OLD_COPY: &str = "store.old-copy-";

/// A data directory, held.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The lock lives as long as the file is open.
    _lock: File,
}

impl DataDir {
    /// Makes it if need be, and takes hold of it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        make(path)?;
        check_ours(path)?;
        let lock = path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| not_writable(path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    format!("another Holdfast runs on {}", path.display()),
                    "stop that one, or give this one a directory of its own with --data",
                ));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(not_writable(path, &error)),
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: file,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the disk it lies on.
    pub fn disk_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.path).map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize))
    }

    /// Replaces a small file as a whole, for the eyes of this user alone, and makes it durable.
    pub fn write_secret(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        let aside = self.path.join(format!("identity.{name}.new"));
        // A name that `check_ours` knows by its beginning, should a crash leave it.
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&aside, &path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|error| local(format!("{} cannot be written", path.display()), &error))
    }

    /// Moves the store to where nobody serves it, durably. Returns where that is.
    pub fn put_store_aside(&self) -> Result<PathBuf, Failure> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let name = format!("{OLD_COPY}{}", now.unwrap_or_default().as_secs());
        let aside = self.path.join(name);
        note_stored(&self.path, Stored::PutAside).map_err(|error| split_advice(&error.to_string()))?;
        let moved = std::fs::rename(self.path.join("store"), &aside).and_then(|()| File::open(&self.path)?.sync_all());
        moved.map_err(|error| {
            local(
                format!(
                    "the store is an old copy, and cannot be moved to {}; move it away, then start this node",
                    aside.display()
                ),
                &error,
            )
        })?;
        Ok(aside)
    }

    /// Removes a small file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(local(
                format!("{} cannot be removed", self.path.join(name).display()),
                &error,
            )),
            _ => Ok(()),
        }
    }
}

fn make(path: &Path) -> Result<(), Failure> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists || error.kind() == ErrorKind::NotADirectory => {
            Err(Failure::new(
                format!("{} is not a directory", path.display()),
                "choose another one with --data",
            ))
        }
        Err(error) => Err(not_writable(path, &error)),
    }
}

/// A directory that holds other things was not meant for a node; a mistyped --data must not litter it.
fn check_ours(path: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(path).map_err(|error| not_writable(path, &error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = KNOWN.contains(&name.as_ref()) || name.starts_with("identity.") || name.starts_with(OLD_COPY);
        if !is_ours {
            return Err(Failure::new(
                format!("{} holds something that is not Holdfast's: {name}", path.display()),
                "choose an empty or new directory with --data, or move that away",
            ));
        }
    }
    Ok(())
}

fn not_writable(path: &Path, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::ReadOnlyFilesystem => "mount it writable, or choose another directory with --data",
        ErrorKind::StorageFull => "free some space there, or choose another directory with --data",
        _ => "make it writable for this user (chown), or choose another directory with --data",
    };
    Failure::new(
        format!("the data directory {} cannot be used: {error}", path.display()),
        advice,
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fresh(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("holdfast-data-dir-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_directory_is_made_held_and_private() {
        let path = fresh("held");
        let held = DataDir::open(&path).expect("opens");
        assert!(
            DataDir::open(&path)
                .expect_err("held")
                .what
                .contains("another Holdfast")
        );
        held.write_secret("root-key", "secret\n").expect("writes");
        let mode = std::fs::metadata(path.join("root-key"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(held.disk_bytes() > 0);
        held.remove("root-key").expect("removes");
        held.remove("root-key").expect("is not there");
        drop(held);
        DataDir::open(&path).expect("free again");
        std::fs::remove_dir_all(path).expect("cleans up");
    }

    #[test]
    fn foreign_directories_are_left_alone() {
        let path = fresh("foreign");
        std::fs::create_dir_all(&path).expect("makes");
        std::fs::write(path.join("thesis.tex"), "x").expect("writes");
        let failure = DataDir::open(&path).expect_err("foreign");
        assert!(failure.what.contains("thesis.tex"), "{failure}");
        assert!(!path.join("lock").exists());
        let file = path.join("thesis.tex");
        assert!(
            DataDir::open(&file)
                .expect_err("a file")
                .what
                .contains("not a directory")
        );
        std::fs::remove_dir_all(path).expect("cleans up");
    }
}
