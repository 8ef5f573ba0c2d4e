//! What a download has brought already: a file beside the target, and a journal of the ranges in it that are whole.
//!
//! The journal names the version, so that two versions are never mixed, and each range with its CRC64-NVME. When a download
//! goes on, each range is read again from the file and compared: the journal need not be synced, and a power cut costs what
//! had not reached the disk and nothing else. A lock keeps two downloads from one file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::client::direct::check::crc_of_range;
use crate::failure::{Failure, local};

/// How the names of both files end.
const ENDING: &str = "hfpart";
const JOURNAL_ENDING: &str = "hfpart.journal";
/// A line that is longer was not written by us.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Bytes of a name that may be longer than a file system takes with what is put around it.
const NAME_BYTES_MAX: usize = 200;

/// A download under way.
pub struct Journal {
    target: PathBuf,
    partial: PathBuf,
    lines: PathBuf,
    file: File,
    log: File,
    /// Ranges that were there and whole: offset to length and CRC.
    done: BTreeMap<u64, (u64, u64)>,
}

impl Journal {
    /// Begins, or goes on with, a download of `size` bytes of the version `dot` of `from` into `target`.
    pub fn open(target: &Path, from: &str, dot: &str, size: u64) -> Result<Self, Failure> {
        let partial = beside(target, ENDING);
        let lines = beside(target, JOURNAL_ENDING);
        let cannot =
            |path: &Path, error: &std::io::Error| local(format!("{} cannot be written", path.display()), error);
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|error| cannot(path, &error))
        };
        let file = open(&partial)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Failure::new(
                format!("another copy to {} is under way", target.display()),
                "wait until it has ended",
            ));
        }
        let log = open(&lines)?;
        let head = json!({ "version": 1, "from": from, "dot": dot, "size": size });
        let mut journal = Self {
            target: target.to_owned(),
            file,
            log,
            done: BTreeMap::new(),
            partial,
            lines,
        };
        let begun = if journal.read(&head, size) {
            journal.log.seek(SeekFrom::End(0)).map(|_| ())
        } else {
            journal.begin(&head)
        };
        begun.map_err(|error| cannot(&journal.lines, &error))?;
        journal
            .file
            .set_len(size)
            .map_err(|error| cannot(&journal.partial, &error))?;
        Ok(journal)
    }

    fn begin(&mut self, head: &Value) -> std::io::Result<()> {
        self.done.clear();
        self.file.set_len(0)?;
        self.log.set_len(0)?;
        self.log.seek(SeekFrom::Start(0))?;
        writeln!(self.log, "{head}")
    }

    /// Reads what is there; false when it is of another version, or nothing.
    fn read(&mut self, head: &Value, size: u64) -> bool {
        let mut lines = BufReader::new(&self.log).lines();
        let first = lines
            .next()
            .and_then(Result::ok)
            .filter(|line| line.len() <= LINE_BYTES_MAX);
        let told = first.and_then(|line| serde_json::from_str::<Value>(&line).ok());
        if told.as_ref() != Some(head) {
            return false;
        }
        for line in lines.map_while(Result::ok) {
            // The last line may be cut short: its range is then brought once more.
            if let Some((offset, length, crc)) = parse(&line)
                && offset.checked_add(length).is_some_and(|end| end <= size)
            {
                self.done.insert(offset, (length, crc));
            }
        }
        let file = &self.file;
        self.done
            .retain(|offset, (length, crc)| crc_of_range(file, *offset, *length).is_ok_and(|found| found == *crc));
        true
    }

    /// The CRC of a range, if it is there already.
    pub fn has(&self, offset: u64, length: u64) -> Option<u64> {
        let (known, crc) = self.done.get(&offset)?;
        (*known == length).then_some(*crc)
    }

    /// Another handle on the file, to write ranges into.
    pub fn file(&self) -> Result<File, Failure> {
        let again = self.file.try_clone();
        again.map_err(|error| local(format!("{} cannot be written", self.partial.display()), &error))
    }

    /// Notes a range that was written.
    pub fn note(&mut self, offset: u64, length: u64, crc: u64) -> Result<(), Failure> {
        // One write, so that a kill leaves whole lines, or one that is cut short at the end.
        let line = format!("{offset} {length} {crc:016x}\n");
        self.log
            .write_all(line.as_bytes())
            .map_err(|error| local(format!("{} cannot be written", self.lines.display()), &error))
    }

    /// Gives the file its name. Everything in it has been checked.
    pub fn finish(self) -> Result<(), Failure> {
        let cannot = |error: &std::io::Error| local(format!("{} cannot be written", self.target.display()), error);
        self.file.sync_all().map_err(|error| cannot(&error))?;
        std::fs::rename(&self.partial, &self.target).map_err(|error| cannot(&error))?;
        // Without the file it is worth nothing, and would be overwritten.
        let _ = std::fs::remove_file(&self.lines);
        Ok(())
    }

    /// Gives up what was brought: it is not what it should be.
    pub fn discard(self) {
        let _ = std::fs::remove_file(&self.lines);
        let _ = std::fs::remove_file(&self.partial);
    }
}

fn parse(line: &str) -> Option<(u64, u64, u64)> {
    let mut fields = line.split(' ');
    let (offset, length) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let crc = fields.next().filter(|crc| crc.len() == 16)?;
    let crc = u64::from_str_radix(crc, 16).ok()?;
    fields.next().is_none().then_some((offset, length, crc))
}

/// Hidden, beside the target, and found again by whoever goes on.
fn beside(target: &Path, ending: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if name.len() <= NAME_BYTES_MAX {
        name
    } else {
        let crc = crate::client::direct::check::crc_of(name.as_bytes());
        let short: String = name.chars().take(NAME_BYTES_MAX / 8).collect();
        format!("{short}-{crc:016x}")
    };
    target.with_file_name(format!(".{name}.{ending}"))
}

/// Whether a file is what a download left, or is at work on: not something of the user's.
pub fn is_left_over(name: &str) -> bool {
    let endings = [ENDING, JOURNAL_ENDING];
    name.starts_with('.') && endings.iter().any(|ending| name.ends_with(&format!(".{ending}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::client::direct::check::crc_of;

    fn scratch() -> PathBuf {
        let mut name = [0_u8; 8];
        getrandom::fill(&mut name).expect("random");
        let path = std::env::temp_dir().join(format!("holdfast-journal-{:016x}", u64::from_ne_bytes(name)));
        std::fs::create_dir(&path).expect("makes");
        path
    }

    fn bring(journal: &mut Journal, offset: u64, bytes: &[u8]) {
        journal
            .file()
            .expect("opens")
            .write_all_at(bytes, offset)
            .expect("writes");
        journal.note(offset, bytes.len() as u64, crc_of(bytes)).expect("notes");
    }

    #[test]
    fn what_was_brought_is_there_when_going_on() {
        let dir = scratch();
        let target = dir.join("kelp");
        let mut journal = Journal::open(&target, "hf://b/k", "1-2-3", 10).expect("opens");
        bring(&mut journal, 0, b"01234");
        bring(&mut journal, 5, b"56");
        drop(journal);
        let mut journal = Journal::open(&target, "hf://b/k", "1-2-3", 10).expect("opens");
        assert_eq!(journal.has(0, 5), Some(crc_of(b"01234")));
        assert_eq!((journal.has(0, 4), journal.has(7, 3)), (None, None));
        bring(&mut journal, 7, b"789");
        journal.finish().expect("finishes");
        assert_eq!(std::fs::read(&target).expect("reads"), b"0123456789");
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 1, "nothing is left");
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn what_is_damaged_or_of_another_version_is_brought_again() {
        let dir = scratch();
        let target = dir.join("kelp");
        let mut journal = Journal::open(&target, "hf://b/k", "1-2-3", 10).expect("opens");
        bring(&mut journal, 0, b"01234");
        bring(&mut journal, 5, b"56");
        journal.file().expect("opens").write_all_at(b"x", 1).expect("writes");
        journal
            .log
            .write_all(b"7 3 00")
            .expect("writes a line that is cut short");
        drop(journal);
        let journal = Journal::open(&target, "hf://b/k", "1-2-3", 10).expect("opens");
        assert_eq!((journal.has(0, 5), journal.has(5, 2)), (None, Some(crc_of(b"56"))));
        drop(journal);
        let journal = Journal::open(&target, "hf://b/k", "1-2-4", 10).expect("opens");
        assert_eq!(journal.has(5, 2), None);
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn two_downloads_of_one_file_do_not_mix() {
        let dir = scratch();
        let target = dir.join("kelp");
        let first = Journal::open(&target, "hf://b/k", "1-2-3", 10).expect("opens");
        assert!(Journal::open(&target, "hf://b/k", "1-2-3", 10).is_err());
        drop(first);
        assert!(Journal::open(&target, "hf://b/k", "1-2-3", 10).is_ok());
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn names_are_hidden_and_short_enough() {
        let long = "k".repeat(255);
        for name in ["kelp.jpg", long.as_str()] {
            let path = beside(Path::new("/a").join(name).as_path(), JOURNAL_ENDING);
            let name = path.file_name().expect("has one").to_string_lossy().into_owned();
            assert!(is_left_over(&name) && name.len() <= 255, "{name}");
            assert_eq!(path.parent(), Some(Path::new("/a")));
        }
        assert!(!is_left_over(".kelp.part"));
    }
}
