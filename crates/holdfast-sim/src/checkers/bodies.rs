//! *Every byte read is a byte written* (P7): bodies are compared with what the client of that request sent.

use bytes::Bytes;
use holdfast_core::content::Manifest;
use holdfast_core::record::Version;
use holdfast_core::wire::record::decode_manifest;

use crate::truth::Truth;

/// Judges the body row of a version.
#[must_use]
pub fn check_body_row(truth: &Truth, version: &Version, row: Option<&Bytes>) -> Option<String> {
    let write = truth.write_of(version.request)?;
    let expected = &truth.write(write).expected;
    match (&expected.manifest, row) {
        (Some(manifest), Some(row)) => {
            let read: Option<Manifest> = decode_manifest(row).ok();
            (read.as_ref() != Some(manifest))
                .then(|| format!("{} has manifest {read:?}, written was {manifest:?}", version.request))
        }
        (None, Some(row)) => (*row != expected.inline)
            .then(|| format!("{} has {} other bytes than were written", version.request, row.len())),
        (Some(_), None) => Some(format!("{} has no manifest", version.request)),
        (None, None) => (!expected.inline.is_empty()).then(|| format!("{} has no body", version.request)),
    }
}

/// The bytes of a chunk or body of this name: whoever knows the name knows what must be there.
#[must_use]
pub fn bytes_of(name: u128, index: u32, length: usize) -> Bytes {
    let mut word = (name as u64) ^ ((name >> 64) as u64) ^ u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        word = word.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        bytes.extend_from_slice(&(word ^ (word >> 29)).to_be_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}
