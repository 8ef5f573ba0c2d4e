//! Dead bodies as rows (rule D10).

use alloc::vec::Vec;

use super::side::{decode_manifest, encode_manifest};
use crate::codec::{DecodeError, Reader, Writer};
use crate::dead::DeadBody;

/// First byte of every row of `Space::Dead`.
pub const DEAD_VERSION: u8 = 1;

/// A row of `Space::Dead`.
#[must_use]
pub fn encode_dead(body: &DeadBody) -> Vec<u8> {
    row(body.since_ms, body.homes, &encode_manifest(&body.manifest))
}

/// The same of a body whose manifest is encoded already.
#[must_use]
pub fn dead_row(since_ms: u64, manifest: &[u8]) -> Vec<u8> {
    row(since_ms, 0, manifest)
}

fn row(since_ms: u64, homes: u8, manifest: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(10 + manifest.len());
    writer.u8(DEAD_VERSION);
    writer.u64(since_ms);
    writer.u8(homes);
    writer.raw(manifest);
    writer.into_vec()
}

/// Since when a body is dead, without reading the rest of its row.
#[must_use]
pub fn dead_since(row: &[u8]) -> Option<u64> {
    let mut reader = Reader::over_slice(row);
    (reader.u8().ok()? == DEAD_VERSION).then_some(())?;
    reader.u64().ok()
}

/// Reads what [`encode_dead`] wrote.
pub fn decode_dead(row: impl AsRef<[u8]>) -> Result<DeadBody, DecodeError> {
    let mut reader = Reader::over_slice(row.as_ref());
    match reader.u8()? {
        DEAD_VERSION => Ok(DeadBody {
            since_ms: reader.u64()?,
            homes: reader.u8()?,
            manifest: decode_manifest(reader.take_rest())?,
        }),
        version => Err(DecodeError::UnknownVersion {
            what: "dead body",
            version,
        }),
    }
}
