//! Which upload a file was on its way in, so that an upload that was interrupted goes on.
//!
//! The parts themselves are known to the cluster; what it cannot know is that this file here is what they are of. So one
//! small file for each upload under way says which it is, and of which length and time of change the source was. Everything in
//! it is checked before it is believed: the parts are listed, and each is compared by checksum with what lies here. Without a
//! place for that file, uploads work and cannot be resumed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::client::direct::check::crc_of;
use crate::client::place::Remote;
use crate::client::rest::{number, text};

/// What we write is far shorter.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A source as it was when its upload began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub size: u64,
    /// When it was last changed, as the metadata of objects write it.
    pub mtime: String,
}

/// The note on one upload under way, locked for as long as it lives.
pub struct Note {
    path: PathBuf,
    file: File,
    identity: Value,
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its id.
    pub upload: String,
    /// Length of its parts.
    pub part_bytes: u64,
    /// Whether the source is as it was.
    pub is_same_source: bool,
}

impl Note {
    /// The note on uploads of this file to this place; `None` when it cannot be kept, or another process has it.
    pub fn open(source: &SourceState, to: &Remote) -> Option<Self> {
        Self::open_in(&directory()?, source, to)
    }

    fn open_in(directory: &Path, source: &SourceState, to: &Remote) -> Option<Self> {
        std::fs::create_dir_all(directory).ok()?;
        let from = std::path::absolute(&source.path).ok()?;
        let place = format!("{}\0{to}", from.display());
        let path = directory.join(format!("{:016x}.json", crc_of(place.as_bytes())));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .ok()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        let identity = json!({ "version": 1, "from": from.display().to_string(), "to": to.to_string() });
        Some(Self { path, file, identity })
    }

    /// The upload that was begun, if one was.
    pub fn read(&mut self, source: &SourceState) -> Option<Begun> {
        let mut told = String::new();
        self.file.seek(SeekFrom::Start(0)).ok()?;
        (&self.file).take(FILE_BYTES_MAX).read_to_string(&mut told).ok()?;
        let told: Value = serde_json::from_str(&told).ok()?;
        // Two places may share a name of a file; then the later one wins, and the other begins anew.
        let is_ours = ["version", "from", "to"]
            .iter()
            .all(|name| told.get(name) == self.identity.get(name));
        let part_bytes = number(&told, "part_bytes");
        if !is_ours || part_bytes == 0 {
            return None;
        }
        Some(Begun {
            upload: text(&told, "upload")?.to_owned(),
            part_bytes,
            is_same_source: number(&told, "size") == source.size && text(&told, "mtime") == Some(&source.mtime),
        })
    }

    /// Writes down an upload that has begun. What cannot be written is only missed when it is looked for.
    pub fn write(&mut self, source: &SourceState, upload: &str, part_bytes: u64) {
        let mut told = self.identity.clone();
        told["upload"] = json!(upload);
        told["part_bytes"] = json!(part_bytes);
        told["size"] = json!(source.size);
        told["mtime"] = json!(source.mtime);
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{told}")
        };
        let _ = write(&mut self.file);
    }

    /// The upload has ended, or is given up.
    pub fn forget(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where programs keep what they would miss, but not much.
fn directory() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("holdfast/uploads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> PathBuf {
        let mut name = [0_u8; 8];
        getrandom::fill(&mut name).expect("random");
        std::env::temp_dir().join(format!("holdfast-resume-{:016x}", u64::from_ne_bytes(name)))
    }

    #[test]
    fn a_note_is_found_again_for_the_same_file_and_place_only() {
        let dir = scratch();
        let source = SourceState {
            path: "/a/kelp".into(),
            size: 10,
            mtime: "1.5".to_owned(),
        };
        let to = Remote {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
        };
        let mut note = Note::open_in(&dir, &source, &to).expect("opens");
        assert_eq!(note.read(&source), None);
        note.write(&source, "id-1", 8);
        assert!(Note::open_in(&dir, &source, &to).is_none(), "another one has it");
        drop(note);
        let mut note = Note::open_in(&dir, &source, &to).expect("opens");
        let begun = note.read(&source).expect("was begun");
        assert_eq!(
            (begun.upload.as_str(), begun.part_bytes, begun.is_same_source),
            ("id-1", 8, true)
        );
        let changed = SourceState {
            size: 11,
            ..source.clone()
        };
        assert!(!note.read(&changed).expect("was begun").is_same_source);
        let mut other = Note::open_in(&dir, &source, &to.with_key("other")).expect("opens");
        assert_eq!(other.read(&source), None);
        note.forget();
        let mut note = Note::open_in(&dir, &source, &to).expect("opens");
        assert_eq!(note.read(&source), None);
        std::fs::remove_dir_all(dir).expect("removes");
    }
}
