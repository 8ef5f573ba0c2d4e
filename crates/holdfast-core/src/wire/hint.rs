//! Hints as rows (rule H1): whom this node owes a record or a chunk, and for a record the row itself.
//!
//! What follows the list of owed homes is exactly a row of `Space::Rows`, so reading, comparing and listing hints costs
//! no second format.

use alloc::vec::Vec;
use bytes::Bytes;

use super::record::{RowLocal, decode_row, encode_row};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::NodeId;
use crate::record::Record;
use crate::wire::field::{Field, write_list};

/// First byte of every row of `Space::Hints` and `Space::ChunkHints`.
pub const HINT_VERSION: u8 = 1;

/// A row of `Space::Hints`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HintRow {
    /// Homes that are owed the record, ascending.
    pub owed: Vec<NodeId>,
    /// What this node knows of its own copy.
    pub local: RowLocal,
    /// The record.
    pub record: Record,
}

/// A row of `Space::Hints`.
#[must_use]
pub fn encode_hint(hint: &HintRow) -> Bytes {
    let row = encode_row(hint.local, &hint.record);
    let mut writer = Writer::with_capacity(8 + hint.owed.len() * 8 + row.len());
    write_owed(&mut writer, &hint.owed);
    writer.raw(&row);
    Bytes::from(writer.into_vec())
}

/// Reads what [`encode_hint`] wrote.
pub fn decode_hint(hint: impl AsRef<[u8]>) -> Result<HintRow, DecodeError> {
    let mut reader = Reader::over_slice(hint.as_ref());
    let owed = read_owed(&mut reader)?;
    let (local, record) = decode_row(reader.take_rest())?;
    Ok(HintRow { owed, local, record })
}

/// The row within a hint, without reading it.
pub fn row_in_hint(hint: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::over_slice(hint);
    read_owed(&mut reader)?;
    Ok(reader.take_rest())
}

/// A row of `Space::ChunkHints`: the homes that are owed the chunk, ascending.
#[must_use]
pub fn encode_chunk_hint(owed: &[NodeId]) -> Bytes {
    let mut writer = Writer::with_capacity(8 + owed.len() * 8);
    write_owed(&mut writer, owed);
    Bytes::from(writer.into_vec())
}

/// Reads what [`encode_chunk_hint`] wrote.
pub fn decode_chunk_hint(row: &[u8]) -> Result<Vec<NodeId>, DecodeError> {
    let mut reader = Reader::over_slice(row);
    let owed = read_owed(&mut reader)?;
    reader.finish()?;
    Ok(owed)
}

/// Whom a row of either space owes something, without reading the rest.
pub fn decode_owed(row: &[u8]) -> Result<Vec<NodeId>, DecodeError> {
    read_owed(&mut Reader::over_slice(row))
}

fn write_owed(to: &mut Writer, owed: &[NodeId]) {
    to.u8(HINT_VERSION);
    write_list(to, owed);
}

fn read_owed(from: &mut Reader<'_>) -> Result<Vec<NodeId>, DecodeError> {
    match from.u8()? {
        HINT_VERSION => {}
        version => return Err(DecodeError::UnknownVersion { what: "hint", version }),
    }
    let owed = Vec::<NodeId>::read(from)?;
    if !owed.is_sorted_by(|a, b| a < b) {
        return Err(DecodeError::NotCanonical { what: "hint" });
    }
    Ok(owed)
}
