//! Records and their rows as bytes (rules D2, D3).
//!
//! A record is written the same way on the wire and on every disk, and equal records have equal bytes: entries of the
//! context ascend, versions ascend by dot, every dot is covered by the context, numbers have one form, and what breaks
//! this is refused. So the digest of a copy is the digest of its bytes, and comparing two nodes decodes nothing.
//!
//! A row is what this node alone knows of its copy, then the record as a contiguous suffix.
//!
//! Weak spot: a dot repeats an actor and life that the context names too, 16 bytes per version that could be an index.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::content::Content;
use crate::context::Context;
use crate::ids::{Dot, Life, RequestId};
use crate::message::Digest;
use crate::record::{Record, Version};
use crate::wire::content::ContentView;
use crate::wire::field::Field;
pub use crate::wire::side::{
    EntryRow, PartRow, UploadRow, decode_counts, decode_entry, decode_entry_row, decode_manifest, decode_part,
    decode_upload, encode_counts, encode_entry, encode_entry_with, encode_manifest, encode_part, encode_upload,
};

/// First byte of every record.
pub const RECORD_VERSION: u8 = 1;

/// First byte of every row of `Space::Rows`.
pub const ROW_VERSION: u8 = 1;

/// Version, life, boot number: what stands before the record in a row.
const ROW_LOCAL_BYTES: usize = 1 + 8 + 8;

/// What a node knows of its own copy of a key. Never leaves its disk (rule D2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RowLocal {
    /// Life of this copy; 0 when none was begun yet.
    pub life: Life,
    /// Boot number in which that life began.
    pub life_boot: u64,
}

/// A record as bytes.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    let mut writer = Writer::with_capacity(capacity_of(record));
    record.write(&mut writer);
    writer.into_vec()
}

/// Reads what [`encode_record`] wrote.
pub fn decode_record(bytes: impl AsRef<[u8]>) -> Result<Record, DecodeError> {
    let mut reader = Reader::over_slice(bytes.as_ref());
    let record = Record::read(&mut reader)?;
    reader.finish()?;
    Ok(record)
}

/// A row of `Space::Rows`.
#[must_use]
pub fn encode_row(local: RowLocal, record: &Record) -> Bytes {
    let mut writer = Writer::with_capacity(ROW_LOCAL_BYTES + capacity_of(record));
    writer.u8(ROW_VERSION);
    local.life.write(&mut writer);
    writer.u64(local.life_boot);
    record.write(&mut writer);
    Bytes::from(writer.into_vec())
}

/// Reads what [`encode_row`] wrote.
pub fn decode_row(row: impl AsRef<[u8]>) -> Result<(RowLocal, Record), DecodeError> {
    let mut reader = Reader::over_slice(row.as_ref());
    let local = read_local(&mut reader)?;
    let record = Record::read(&mut reader)?;
    reader.finish()?;
    Ok((local, record))
}

/// What a row says of this node's copy, without reading the record.
pub fn decode_row_local(row: &[u8]) -> Result<RowLocal, DecodeError> {
    read_local(&mut Reader::over_slice(row))
}

/// The encoded record within a row, without reading it.
pub fn record_in_row(row: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::over_slice(row);
    read_local(&mut reader)?;
    Ok(reader.take_rest())
}

/// Digest of a record: equal for equal records.
#[must_use]
pub fn record_digest(record: &Record) -> Digest {
    bytes_digest(&encode_record(record))
}

/// Digest of the record in a row, without decoding it; equal to [`record_digest`] of that record.
pub fn row_digest(row: &[u8]) -> Result<Digest, DecodeError> {
    Ok(bytes_digest(record_in_row(row)?))
}

/// The first 16 bytes of the BLAKE3 hash.
#[must_use]
pub fn bytes_digest(bytes: &[u8]) -> Digest {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    Digest(digest)
}

fn read_local(reader: &mut Reader<'_>) -> Result<RowLocal, DecodeError> {
    match reader.u8()? {
        ROW_VERSION => Ok(RowLocal {
            life: Field::read(reader)?,
            life_boot: reader.u64()?,
        }),
        version => Err(DecodeError::UnknownVersion { what: "row", version }),
    }
}

/// A length that the encoding does not exceed unless its numbers are huge: one allocation is enough.
pub(crate) fn capacity_of(record: &Record) -> usize {
    let versions = record.versions().iter().map(|version| {
        let headers = &version.content.headers;
        let text: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        128 + version.content.etag.len() + text
    });
    16 + record.context().len() * Dot::BYTES_MIN + versions.sum::<usize>()
}

/// What breaks the order or the cover of a record's versions.
pub(super) const NOT_SORTED: DecodeError = DecodeError::NotCanonical { what: "record" };

/// The first byte of a record.
pub(super) fn read_format(from: &mut Reader<'_>) -> Result<(), DecodeError> {
    match from.u8()? {
        RECORD_VERSION => Ok(()),
        version => Err(DecodeError::UnknownVersion {
            what: "record",
            version,
        }),
    }
}

/// What follows the dot of a version: the request, which only the coordinator looks at, and the content, borrowed.
pub(super) fn read_value<'a>(from: &mut Reader<'a>) -> Result<ContentView<'a>, DecodeError> {
    RequestId::read(from)?;
    ContentView::read(from)
}

impl Field for Record {
    const BYTES_MIN: usize = 1 + Context::BYTES_MIN + 1;

    fn write(&self, to: &mut Writer) {
        to.u8(RECORD_VERSION);
        self.context().write(to);
        to.count(self.versions().len());
        for version in self.versions() {
            version.dot.write(to);
            version.request.write(to);
            version.content.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_format(from)?;
        let context = Context::read(from)?;
        let count = from.count(Dot::BYTES_MIN + RequestId::BYTES_MIN + Content::BYTES_MIN)?;
        let mut versions: Vec<Version> = Vec::with_capacity(count);
        for _ in 0..count {
            let dot = Dot::read(from)?;
            let ascends = versions.last().is_none_or(|last| last.dot < dot);
            if !ascends || !context.covers(dot) {
                return Err(NOT_SORTED);
            }
            versions.push(Version {
                dot,
                request: Field::read(from)?,
                content: Field::read(from)?,
            });
        }
        Ok(Self::from_sorted(context, versions))
    }
}
