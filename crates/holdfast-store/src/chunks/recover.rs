//! What a start does with segments that may end in a torn tail.
//!
//! Every segment without a seal is scanned at each aligned place. A record counts when its header is whole and either
//! the index knows it, which proves that it was synced, or its whole body passes. Records that the index lost are added
//! to it; what lies behind the last record that counts is cut off, so that the next record never leaves a gap that
//! would have to be explained. Where two records hold one chunk the later one wins: it was written because the earlier
//! was damaged.
//!
//! Removing a chunk destroys its record's header before its index entry goes: no scan brings it back.
//!
//! Weak spot: a record whose header was damaged *and* whose index entry was lost is taken for a torn one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use holdfast_core::storage::ReadError;
use tracing::info;

use super::append::{Tail, entry, reopen, seal};
use super::record::{
    HEADER_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentIdentity, claimed_header_bytes, decode_header, decode_segment_header,
};
use super::{ALIGNMENT, Located, SegmentFiles, SegmentNumber, index, read};
use crate::disk::{Disk, WhichSync};
use crate::open_error::OpenError;
use crate::rows::{Change, RowStore, Table};

/// Puts index and segments back in agreement and says where appending goes on.
pub(crate) fn recover(
    disk: &Disk,
    files: &SegmentFiles,
    rows: &RowStore,
    segment_bytes_max: u64,
) -> Result<Tail, OpenError> {
    let numbers = files
        .list()
        .map_err(|error| OpenError::from_io(files.directory(), error))?;
    let sealed =
        sealed(rows).map_err(|error| OpenError::damaged(files.directory(), format!("{error:?} in the seals")))?;
    let last = numbers.last().max(sealed.last()).map_or(0, |number| number.0);
    let mut open = None;
    for number in numbers {
        if sealed.binary_search(&number).is_ok() {
            continue;
        }
        let Some((identity, end)) = recover_segment(disk, files, rows, number)? else {
            continue;
        };
        let may_grow = number.0 == last && end < segment_bytes_max;
        if let (true, Some(identity)) = (may_grow, identity) {
            let reopened =
                reopen(files, identity, end).map_err(|error| OpenError::from_io(&files.path(number), error))?;
            open = Some(reopened);
        } else {
            commit(files, rows, vec![seal(number)])?;
        }
    }
    Ok(Tail::new(open, SegmentNumber(last + 1)))
}

/// Scans one segment. `None` when it held nothing and was removed; no identity when its header is damaged.
fn recover_segment(
    disk: &Disk,
    files: &SegmentFiles,
    rows: &RowStore,
    number: SegmentNumber,
) -> Result<Option<(Option<SegmentIdentity>, u64)>, OpenError> {
    let path = files.path(number);
    let scanned = (|| {
        let file = files.get(number)?;
        let length = file.metadata()?.len();
        if length <= SEGMENT_HEADER_BYTES {
            // Created, and no record was ever written: there is nothing to lose.
            fs::remove_file(&path)?;
            return Ok(None);
        }
        let identity = segment_identity(&file)?.filter(|identity| identity.number == number);
        match identity {
            None => Ok(Some((None, length, Vec::new()))),
            Some(identity) => {
                let (end, missing) = scan(&file, length, identity, files, rows)?;
                Ok(Some((Some(identity), end, missing)))
            }
        }
    })();
    let Some((identity, end, missing)) = scanned.map_err(|error| OpenError::from_io(&path, error))? else {
        return Ok(None);
    };
    if !missing.is_empty() {
        info!(
            segment = number.0,
            count = missing.len(),
            "index entries restored from a segment"
        );
        // They may only be in the page cache, left there by a process that was killed.
        files
            .get(number)
            .and_then(|file| disk.sync_data(WhichSync::RecoveredSegment, &path, &file))
            .map_err(|error| OpenError::from_io(&path, error))?;
        commit(files, rows, missing.iter().map(entry).collect())?;
    }
    Ok(Some((identity, end)))
}

/// Finds the end of the last record that counts, and the records that the index does not know.
fn scan(
    file: &File,
    length: u64,
    identity: SegmentIdentity,
    files: &SegmentFiles,
    rows: &RowStore,
) -> io::Result<(u64, Vec<Located>)> {
    let mut missing = Vec::new();
    let mut end = SEGMENT_HEADER_BYTES;
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < length {
        let record = read_record(file, offset, identity)?;
        let counts = match &record {
            None => false,
            Some(located) => match read::locate(rows, located.header.partition, located.header.id) {
                Ok(Some(known)) if (known.segment, known.offset) == (located.segment, located.offset) => true,
                Ok(Some(known)) if (known.segment, known.offset) > (located.segment, located.offset) => true,
                _ => {
                    let whole = read::read_range(files, located, 0, located.header.length).is_ok();
                    if whole {
                        missing.push(located.clone());
                    }
                    whole
                }
            },
        };
        offset = match record {
            Some(located) if counts => {
                end = located.end();
                end
            }
            _ => offset + ALIGNMENT,
        };
    }
    Ok((end, missing))
}

/// What a segment says of itself; `None` when its header is damaged.
pub(super) fn segment_identity(file: &File) -> io::Result<Option<SegmentIdentity>> {
    Ok(decode_segment_header(&read_up_to(file, 0, 64)?))
}

/// The record that begins at an offset, by its header alone.
pub(super) fn read_record(file: &File, offset: u64, identity: SegmentIdentity) -> io::Result<Option<Located>> {
    // One read suffices for nearly every header.
    let mut bytes = read_up_to(file, offset, ALIGNMENT as usize)?;
    let Some(claimed) = claimed_header_bytes(&bytes) else {
        return Ok(None);
    };
    debug_assert!(claimed <= HEADER_BYTES_MAX, "claims are bounded where they are parsed");
    if claimed > bytes.len() {
        bytes = read_up_to(file, offset, claimed)?;
    }
    Ok(bytes
        .get(..claimed)
        .and_then(|header| decode_header(identity, offset, header)))
}

/// Reads `length` bytes, or fewer at the end of the file.
fn read_up_to(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Segments that have a seal, ascending.
fn sealed(rows: &RowStore) -> Result<Vec<SegmentNumber>, ReadError> {
    let mut numbers = Vec::new();
    let (from, to) = index::seal_range();
    rows.scan(Table::Chunks, &from, &to, &mut |key, _| {
        numbers.extend(index::sealed_segment(key));
        holdfast_core::storage::Visit::Next
    })?;
    Ok(numbers)
}

fn commit(files: &SegmentFiles, rows: &RowStore, changes: Vec<Change>) -> Result<(), OpenError> {
    rows.commit(changes)
        .map_err(|failure| OpenError::from_io(files.directory(), io::Error::other(failure)))
}
