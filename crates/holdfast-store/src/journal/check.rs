//! Looks at fjall's journal before fjall does.
//!
//! A power cut leaves in the journal whatever pages the kernel happened to have written since the last sync, in any
//! order: a batch may have its end but not its middle. fjall refuses to open such a journal when the checksum of a batch
//! does not match, and cuts off everything behind other damage without a word, in the middle of the journal as well.
//! So, before it opens:
//!
//! - In the last file the first batch that is not whole, and all behind it, is cut off: none of it had been reported as
//!   durable, unless the damage is of another kind. A tail longer than any sync could have been behind is taken for that.
//! - The files before the last were synced whole before the next was made: damage there is damage.
//!
//! The layout is fjall 3's: start (tag 1, count `u32`, number `u64`), items (tag 2, kind, compression, keyspace `u64`,
//! key length `u16`, value length `u32`, stored length `u32`, key, value), end (tag 3, xxh3 of the items, `FJL` 3).
//!
//! Weak spot: damage within the last [`TORN_BYTES_MAX`] of the journal that is no torn tail cannot be told from one, and
//! then this node forgets what it had acknowledged; its replicas remember. Telling them apart needs a mark in the journal
//! of how far it had been synced.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use tracing::warn;
use xxhash_rust::xxh3::Xxh3;

use super::{file_path, numbers};
use crate::open_error::OpenError;

/// More than can be written during one sync, and less than half of a journal file.
const TORN_BYTES_MAX: u64 = 32 << 20;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TRAILER: &[u8; 4] = b"FJL\x03";
/// Bytes of an item before its key, without the tag.
const ITEM_HEADER_BYTES: u64 = 20;

/// Cuts a torn tail off the journal in fjall's directory, and refuses one that is damaged otherwise.
pub(crate) fn repair(directory: &Path) -> Result<(), OpenError> {
    let mut numbers = numbers(directory).map_err(|error| OpenError::from_io(directory, error))?;
    numbers.sort_unstable();
    let last = numbers.last().copied();
    for number in numbers {
        let path = file_path(directory, number);
        let found = walk(&path).map_err(|error| OpenError::from_io(&path, error))?;
        let torn_bytes = found.used_bytes.saturating_sub(found.whole_bytes);
        if torn_bytes == 0 {
            continue;
        }
        if Some(number) != last || torn_bytes > TORN_BYTES_MAX {
            let what = format!(
                "a batch at byte {} of this journal file is not whole",
                found.whole_bytes
            );
            return Err(OpenError::damaged(&path, what));
        }
        warn!(path = %path.display(), torn_bytes, "a torn tail is cut off the journal");
        // fjall syncs the file when it takes it over.
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(found.whole_bytes))
            .map_err(|error| OpenError::from_io(&path, error))?;
    }
    Ok(())
}

/// What a journal file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Walked {
    /// Up to the end of the last batch before the first that is not whole.
    whole_bytes: u64,
    /// Up to the last byte that is not zero; fjall makes its files long in advance.
    used_bytes: u64,
}

fn walk(path: &Path) -> io::Result<Walked> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = Reader {
        source: BufReader::with_capacity(256 << 10, file),
        at: 0,
        length,
        buffer: Vec::new(),
    };
    let mut whole_bytes = 0;
    while reader.batch()? {
        whole_bytes = reader.at;
    }
    let used_bytes = last_nonzero(&mut reader.source, whole_bytes, length)?;
    Ok(Walked {
        whole_bytes,
        used_bytes,
    })
}

struct Reader {
    source: BufReader<File>,
    at: u64,
    length: u64,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads one batch. False when it is not whole, or there is none.
    fn batch(&mut self) -> io::Result<bool> {
        let mut hasher = Xxh3::default();
        if !self.read(13)? || self.buffer[0] != TAG_START {
            return Ok(false);
        }
        let count = [self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]];
        for _ in 0..u32::from_le_bytes(count) {
            if !self.item(&mut hasher)? {
                return Ok(false);
            }
        }
        if !self.read(13)? || self.buffer[0] != TAG_END {
            return Ok(false);
        }
        let (check, trailer) = self.buffer[1..].split_at(8);
        Ok(check == hasher.digest().to_le_bytes() && trailer == TRAILER)
    }

    fn item(&mut self, hasher: &mut Xxh3) -> io::Result<bool> {
        // Batches of this store never clear a keyspace, and nothing else may stand here.
        if !self.read(1 + ITEM_HEADER_BYTES)? || self.buffer[0] != TAG_ITEM {
            return Ok(false);
        }
        hasher.update(&self.buffer);
        let key_bytes = u16::from_le_bytes([self.buffer[11], self.buffer[12]]);
        let stored = [self.buffer[17], self.buffer[18], self.buffer[19], self.buffer[20]];
        let body_bytes = u64::from(key_bytes) + u64::from(u32::from_le_bytes(stored));
        if !self.read(body_bytes)? {
            return Ok(false);
        }
        hasher.update(&self.buffer);
        Ok(true)
    }

    /// Fills the buffer with so many bytes; false when the file has fewer, so that no damaged length allocates much.
    fn read(&mut self, count: u64) -> io::Result<bool> {
        if count > self.length.saturating_sub(self.at) {
            return Ok(false);
        }
        self.buffer.clear();
        let read = self.source.by_ref().take(count).read_to_end(&mut self.buffer)?;
        self.at += read as u64;
        Ok(read as u64 == count)
    }
}

/// One past the last byte at or behind `from` that is not zero, or `from`.
fn last_nonzero(source: &mut BufReader<File>, from: u64, length: u64) -> io::Result<u64> {
    const PIECE_BYTES: u64 = 1 << 20;
    let mut end = length;
    let mut piece = Vec::new();
    while end > from {
        let begin = end.saturating_sub(PIECE_BYTES).max(from);
        source.seek(SeekFrom::Start(begin))?;
        piece.clear();
        source.by_ref().take(end - begin).read_to_end(&mut piece)?;
        if let Some(place) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + place as u64 + 1);
        }
        end = begin;
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn batch(number: u64, items: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = vec![TAG_START];
        bytes.extend_from_slice(&u32::try_from(items.len()).expect("few").to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        let mut body = Vec::new();
        for (key, value) in items {
            body.extend_from_slice(&[TAG_ITEM, 0, 0]);
            body.extend_from_slice(&7_u64.to_le_bytes());
            body.extend_from_slice(&u16::try_from(key.len()).expect("short").to_le_bytes());
            let length = u32::try_from(value.len()).expect("short").to_le_bytes();
            body.extend_from_slice(&length);
            body.extend_from_slice(&length);
            body.extend_from_slice(key);
            body.extend_from_slice(value);
        }
        let mut hasher = Xxh3::default();
        hasher.update(&body);
        bytes.extend_from_slice(&body);
        bytes.push(TAG_END);
        bytes.extend_from_slice(&hasher.digest().to_le_bytes());
        bytes.extend_from_slice(TRAILER);
        bytes
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("holdfast-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_is_torn() {
        let directory = directory("torn");
        let path = file_path(&directory, 3);
        let whole = [batch(1, &[(b"a", b"1"), (b"b", &[5; 3000])]), batch(2, &[(b"c", b"")])].concat();
        let next = batch(3, &[(b"d", &[6; 120])]);
        for place in 0..next.len() {
            // Every byte in turn was not written; the file is longer than what is in it.
            // fjall's checksum leaves out the batch's number; a tear wide enough to take it takes the items too.
            if next[place] == 0 || (5..13).contains(&place) {
                continue;
            }
            let mut torn = next.clone();
            torn[place] = 0;
            fs::write(
                &path,
                [whole.as_slice(), &torn, &batch(4, &[(b"e", b"2")]), &[0; 5000]].concat(),
            )
            .expect("written");
            repair(&directory).expect("repaired");
            assert!(fs::read(&path).expect("read") == whole, "torn at {place}");
            fs::write(&path, [whole.as_slice(), &next[..place]].concat()).expect("written");
            repair(&directory).expect("repaired");
            assert!(fs::read(&path).expect("read") == whole, "cut at {place}");
        }
        fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn whole_journals_are_left_alone() {
        let directory = directory("whole");
        let whole = [batch(1, &[(b"a", b"1")]), vec![0; 100_000]].concat();
        for (number, bytes) in [(1, whole.clone()), (2, Vec::new()), (3, vec![0; 5000])] {
            fs::write(file_path(&directory, number), bytes).expect("written");
        }
        repair(&directory).expect("nothing to do");
        assert!(fs::read(file_path(&directory, 1)).expect("read") == whole);
        assert_eq!(fs::read(file_path(&directory, 3)).expect("read").len(), 5000);
        fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn damage_before_the_last_file_is_no_torn_tail() {
        let directory = directory("sealed");
        let mut damaged = [batch(1, &[(b"a", b"1")]), batch(2, &[(b"b", b"1")])].concat();
        damaged[14] ^= 1;
        fs::write(file_path(&directory, 1), damaged).expect("written");
        fs::write(file_path(&directory, 2), batch(3, &[(b"c", b"1")])).expect("written");
        assert!(matches!(repair(&directory), Err(OpenError::Damaged { .. })));
        fs::remove_dir_all(&directory).expect("removed");
    }
}
