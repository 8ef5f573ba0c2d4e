//! Chunks on disk: appended to segment files, found through an index in the row store.
//!
//! The order of events when a chunk is written, and what each crash leaves (docs/format-store.md, "Chunks"):
//!
//! 1. The record (header, block checksums, body) is appended to the open segment. *Crash: a torn tail, cut off at
//!    the next start; nobody was told of the chunk.*
//! 2. One fdatasync covers every record appended since the last. *Crash: the record is whole; the next start finds it
//!    by scanning the segment and adds the missing index entry. Nobody was told, and a chunk that nobody names is
//!    garbage like any other (rule D10).*
//! 3. Index entries of all those records go to the row store in one batch, **not** synced. *Crash: as above.*
//! 4. The chunks are reported as written.
//! 5. A segment that is full gets a *seal*, a row written after all its entries. Recovery scans only segments without
//!    a seal. The journal survives as a prefix, so a seal that is there proves that the entries before it are, too:
//!    neither needs a sync of its own.
//!
//! A record that a start finds whole but not in the index may be in the page cache only, left by a process that was killed
//! between 1 and 2. The start syncs the segment before it adds the entry: the next who writes this chunk is told at once
//! that it is there.
//!
//! What is removed goes in an order of its own ([`remove`]).
//!
//! A new segment is created, and its directory synced, before the first record in it is reported.

mod append;
mod direct;
mod files;
mod index;
mod read;
mod record;
mod recover;
mod remove;

pub(crate) use append::{Appender, Tail, WriteJob};
pub(crate) use files::SegmentFiles;
pub(crate) use index::{entry_range, header_of};
pub(crate) use read::{ReadJob, Reader};
pub(crate) use recover::recover;
pub(crate) use remove::RemoveJob;

use holdfast_core::storage::ChunkHeader;

/// Bodies are checked in blocks of this many bytes, so that a small range reads little (rule D9).
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// Records begin at multiples of this, the block size of common file systems, so that a dead one can become a hole.
pub(crate) const ALIGNMENT: u64 = 4096;
/// Longest body taken. Far above the 4 MiB that bodies are cut into; it bounds what a damaged length can make us read.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;
/// Longest key of an owner, as in S3.
pub(crate) const OWNER_KEY_BYTES_MAX: usize = holdfast_core::ids::KEY_BYTES_MAX;

/// Number of a segment file; files are numbered from 1 in the order of their creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SegmentNumber(pub u32);

/// Where a chunk lies and what is needed to check it: an index entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    pub segment: SegmentNumber,
    /// Of the record in its segment.
    pub offset: u64,
    /// From the record's beginning to its body.
    pub header_bytes: u32,
    pub header: ChunkHeader,
    /// CRC-64/NVME of each block of the body.
    pub blocks: Vec<u64>,
}

impl Located {
    /// Where the body begins in its segment.
    pub(crate) fn body_offset(&self) -> u64 {
        self.offset + u64::from(self.header_bytes)
    }

    /// Where the next record begins.
    pub(crate) fn end(&self) -> u64 {
        (self.body_offset() + u64::from(self.header.length)).next_multiple_of(ALIGNMENT)
    }
}

/// Checksums of a body's blocks.
pub(crate) fn block_checksums(body: &[u8]) -> Vec<u64> {
    body.chunks(BLOCK_BYTES).map(block_checksum).collect()
}

/// Checksum of one block.
pub(crate) fn block_checksum(block: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, block)
}
