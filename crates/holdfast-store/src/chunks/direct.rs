//! Writing large records past the page cache.
//!
//! A page cache that takes a chunk costs five times as much CPU as the disk that does (0.5 against 0.1 s/GiB measured,
//! three times per object), and throws out what others read. So large records go straight to the disk, through one
//! buffer aligned as the kernel wants it. Small ones do not: each direct write waits for the disk, where many cached ones
//! are waited for together by the group's sync.
//!
//! A direct write is no promise of its own: the disk may still hold it in its cache, and the file's length may not be
//! durable. The group's fdatasync makes it one, as for any other record.
//!
//! File systems that refuse direct writes (some network and memory ones) get cached ones.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tracing::debug;

use super::ALIGNMENT;

/// Records from this length on are written directly. Below it, the wait for the disk outweighs the copy.
pub(super) const DIRECT_BYTES_MIN: u64 = 256 << 10;
/// Bytes of one write: a body of 1 MiB and its header. Each write is a request of its own to the disk, which in a virtual
/// machine leaves the machine: a header that spills over into a second one cost 2 % of a put of 1 MiB.
const PIECE_BYTES: usize = (1 << 20) + (64 << 10);
const ALIGNMENT_BYTES: usize = ALIGNMENT as usize;

/// A segment opened for direct writes.
#[derive(Debug)]
pub(super) struct DirectFile(File);

impl DirectFile {
    /// Opens a segment once more; `None` where the file system cannot write directly.
    pub(super) fn open(path: &Path) -> Option<Self> {
        // The flag's bits fit an int on every platform that has it.
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let opened = OpenOptions::new().write(true).custom_flags(flags).open(path);
        opened
            .inspect_err(|error| debug!(%error, "no direct writes here: segments are written through the page cache"))
            .ok()
            .map(Self)
    }
}

/// Memory that the kernel can write from directly. Kept by its owner: making it anew would cost what it saves.
#[derive(Debug)]
pub(super) struct AlignedBuffer {
    memory: Vec<u8>,
    /// Where the aligned part begins.
    start: usize,
    /// Bytes of the aligned part that are in use.
    used: usize,
}

impl AlignedBuffer {
    pub(super) fn new() -> Self {
        let memory = vec![0; PIECE_BYTES + ALIGNMENT_BYTES];
        let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Self { memory, start, used: 0 }
    }

    /// Gives its memory back, until there is something to write again.
    pub(super) fn give_back(&mut self) {
        (self.memory, self.start, self.used) = (Vec::new(), 0, 0);
    }

    /// Writes the parts one after the other from `offset` on, which must be aligned, and zeros up to the next aligned
    /// place. Returns an error of kind `InvalidInput` where the file system does not take direct writes after all.
    pub(super) fn write_all_at(&mut self, file: &DirectFile, parts: [&[u8]; 2], mut offset: u64) -> io::Result<()> {
        debug_assert!(offset.is_multiple_of(ALIGNMENT), "records begin aligned");
        if self.memory.is_empty() {
            *self = Self::new();
        }
        self.used = 0;
        for mut part in parts {
            while !part.is_empty() {
                let (now, later) = part.split_at(part.len().min(PIECE_BYTES - self.used));
                let from = self.start + self.used;
                self.memory[from..from + now.len()].copy_from_slice(now);
                self.used += now.len();
                part = later;
                if self.used == PIECE_BYTES {
                    offset = self.flush(file, offset)?;
                }
            }
        }
        let padded = self.used.next_multiple_of(ALIGNMENT_BYTES);
        self.memory[self.start + self.used..self.start + padded].fill(0);
        self.used = padded;
        self.flush(file, offset).map(|_| ())
    }

    fn flush(&mut self, file: &DirectFile, offset: u64) -> io::Result<u64> {
        file.0
            .write_all_at(&self.memory[self.start..self.start + self.used], offset)?;
        let next = offset + self.used as u64;
        self.used = 0;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around the edges of pieces and pages: what was written is read back, with zeros up to the next page.
    #[test]
    fn parts_are_joined_and_padded() {
        let directory = std::env::temp_dir().join(format!("holdfast-direct-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("segment");
        File::create(&path).expect("a file");
        let Some(file) = DirectFile::open(&path) else {
            std::fs::remove_dir_all(&directory).expect("removed");
            return;
        };
        let mut buffer = AlignedBuffer::new();
        for length in [
            0,
            1,
            4095,
            4096,
            4097,
            PIECE_BYTES - 100,
            PIECE_BYTES,
            3 * PIECE_BYTES + 5,
        ] {
            let body: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let (offset, header) = (8192, [7; 100]);
            File::create(&path).expect("emptied");
            buffer.write_all_at(&file, [&header, &body], offset).expect("written");
            let read = std::fs::read(&path).expect("read");
            let expected_length = (8192 + 100 + length).next_multiple_of(4096);
            assert_eq!(read.len(), expected_length, "length {length}");
            assert_eq!(read[8192..8292], header);
            assert!(read[8292..8292 + length] == body[..], "length {length}");
            assert!(read[8292 + length..].iter().all(|byte| *byte == 0));
        }
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
