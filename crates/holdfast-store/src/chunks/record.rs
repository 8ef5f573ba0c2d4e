//! Bytes of a segment: the file's own header, and the record of each chunk. See docs/format-store.md.
//!
//! A record tells where it was written (segment, offset) and repeats the segment's random salt. Recovery looks for
//! records at every aligned place; without the salt a client could upload a body that contains a forged record.

use holdfast_core::ids::{BucketId, ChunkId, ObjectKey, PartId, Partition};
use holdfast_core::storage::ChunkHeader;

use super::{BLOCK_BYTES, BODY_BYTES_MAX, Located, OWNER_KEY_BYTES_MAX, SegmentNumber, block_checksum};

const SEGMENT_MAGIC: &[u8; 4] = b"HFSG";
const RECORD_MAGIC: &[u8; 4] = b"HFCK";
const FORMAT: u8 = 1;

/// Bytes of a segment before its first record.
pub(super) const SEGMENT_HEADER_BYTES: u64 = super::ALIGNMENT;
/// Used bytes of that header, checksum included.
const SEGMENT_HEADER_USED_BYTES: usize = 28;
/// Bytes of a record's header before the owner's key.
const FIXED_BYTES: usize = 80;
/// Bytes of the checksum that ends a header.
const CHECK_BYTES: usize = 8;
/// Longest header there can be.
pub(super) const HEADER_BYTES_MAX: usize =
    FIXED_BYTES + OWNER_KEY_BYTES_MAX + BODY_BYTES_MAX.div_ceil(BLOCK_BYTES) * 8 + CHECK_BYTES;

/// What every record of a segment repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentIdentity {
    pub number: SegmentNumber,
    /// Random, so that no body can contain a record of this segment.
    pub salt: u64,
}

/// The first bytes of a segment file.
pub(super) fn encode_segment_header(identity: SegmentIdentity) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER_USED_BYTES);
    bytes.extend_from_slice(SEGMENT_MAGIC);
    bytes.extend_from_slice(&[FORMAT, 0, 0, 0]);
    bytes.extend_from_slice(&identity.number.0.to_le_bytes());
    bytes.extend_from_slice(&identity.salt.to_le_bytes());
    let check = block_checksum(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

/// Who the segment says it is, or `None` when its header is damaged or was never written.
pub(super) fn decode_segment_header(bytes: &[u8]) -> Option<SegmentIdentity> {
    let bytes = bytes.get(..SEGMENT_HEADER_USED_BYTES)?;
    let (fields, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if block_checksum(fields) != u64::from_le_bytes(*check) {
        return None;
    }
    let mut fields = Fields(fields);
    (fields.take::<4>()? == *SEGMENT_MAGIC && fields.take::<4>()? == [FORMAT, 0, 0, 0]).then_some(())?;
    Some(SegmentIdentity {
        number: SegmentNumber(fields.u32()?),
        salt: fields.u64()?,
    })
}

/// Length of the header of a chunk's record.
pub(super) fn header_bytes(header: &ChunkHeader) -> usize {
    let blocks = (header.length as usize).div_ceil(BLOCK_BYTES);
    FIXED_BYTES + header.owner.key.len() + blocks * 8 + CHECK_BYTES
}

/// The header of a record; the body follows it directly.
pub(super) fn encode_header(salt: u64, located: &Located) -> Vec<u8> {
    let header = &located.header;
    let mut bytes = Vec::with_capacity(located.header_bytes as usize);
    bytes.extend_from_slice(RECORD_MAGIC);
    bytes.extend_from_slice(&[FORMAT, 0]);
    // Callers keep the key below KEY_BYTES_MAX, which fits.
    let key_bytes = u16::try_from(header.owner.key.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&key_bytes.to_le_bytes());
    bytes.extend_from_slice(&salt.to_le_bytes());
    bytes.extend_from_slice(&located.offset.to_le_bytes());
    bytes.extend_from_slice(&located.segment.0.to_le_bytes());
    bytes.extend_from_slice(&located.header_bytes.to_le_bytes());
    bytes.extend_from_slice(&header.id.part.0.to_le_bytes());
    bytes.extend_from_slice(&header.id.index.to_le_bytes());
    bytes.extend_from_slice(&header.length.to_le_bytes());
    bytes.extend_from_slice(&header.commit_deadline_ms.to_le_bytes());
    bytes.extend_from_slice(&header.owner.bucket.0.to_le_bytes());
    bytes.extend_from_slice(&header.partition.0.to_le_bytes());
    bytes.extend_from_slice(&[0; 6]);
    debug_assert_eq!(bytes.len(), FIXED_BYTES, "the fixed part has a fixed length");
    bytes.extend_from_slice(header.owner.key.as_bytes());
    for block in &located.blocks {
        bytes.extend_from_slice(&block.to_le_bytes());
    }
    let check = block_checksum(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

/// The length that the record beginning with `bytes` claims for its header, if it looks like one at all. A claim: the
/// header's checksum has not been seen yet.
pub(super) fn claimed_header_bytes(bytes: &[u8]) -> Option<usize> {
    let mut fields = Fields(bytes);
    (fields.take::<4>()? == *RECORD_MAGIC).then_some(())?;
    fields.take::<24>()?;
    let claimed = fields.u32()? as usize;
    (FIXED_BYTES + CHECK_BYTES..=HEADER_BYTES_MAX)
        .contains(&claimed)
        .then_some(claimed)
}

/// The record whose whole header is `bytes`, found at `offset` of a segment, or `None` when it is none or damaged.
pub(super) fn decode_header(identity: SegmentIdentity, offset: u64, bytes: &[u8]) -> Option<Located> {
    let (checked, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if block_checksum(checked) != u64::from_le_bytes(*check) {
        return None;
    }
    let mut fields = Fields(checked);
    (fields.take::<4>()? == *RECORD_MAGIC && fields.take::<2>()? == [FORMAT, 0]).then_some(())?;
    let key_bytes = usize::from(fields.u16()?);
    let salt = fields.u64()?;
    let own_offset = fields.u64()?;
    let segment = SegmentNumber(fields.u32()?);
    if (salt, own_offset, segment) != (identity.salt, offset, identity.number) {
        return None;
    }
    let header_bytes = fields.u32()?;
    let part = PartId(u128::from_le_bytes(fields.take::<16>()?));
    let index = fields.u32()?;
    let length = fields.u32()?;
    let commit_deadline_ms = fields.u64()?;
    let bucket = BucketId(fields.u64()?);
    let partition = Partition(fields.u16()?);
    fields.take::<6>()?;
    let key = std::str::from_utf8(fields.slice(key_bytes)?).ok()?.to_owned();
    let blocks = fields.u64s((length as usize).div_ceil(BLOCK_BYTES))?;
    if !fields.0.is_empty() || header_bytes as usize != bytes.len() {
        return None;
    }
    Some(Located {
        segment,
        offset,
        header_bytes,
        header: ChunkHeader {
            id: ChunkId { part, index },
            partition,
            owner: ObjectKey { bucket, key },
            length,
            commit_deadline_ms,
        },
        blocks,
    })
}

/// Reads little-endian numbers off the front of a slice.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn u64s(&mut self, count: usize) -> Option<Vec<u64>> {
        let bytes = self.slice(count.checked_mul(8)?)?;
        let (words, _) = bytes.as_chunks::<8>();
        Some(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunks::block_checksums;

    fn located(length: u32, key: &str) -> Located {
        let header = ChunkHeader {
            id: ChunkId {
                part: PartId(0x0102),
                index: 3,
            },
            partition: Partition(4),
            owner: ObjectKey {
                bucket: BucketId(5),
                key: key.into(),
            },
            length,
            commit_deadline_ms: 6,
        };
        Located {
            segment: SegmentNumber(7),
            offset: 4096,
            header_bytes: u32::try_from(header_bytes(&header)).expect("small"),
            blocks: block_checksums(&vec![1; length as usize]),
            header,
        }
    }

    const IDENTITY: SegmentIdentity = SegmentIdentity {
        number: SegmentNumber(7),
        salt: 8,
    };

    #[test]
    fn a_record_comes_back_and_knows_its_place() {
        for located in [located(0, "k"), located(1, "k"), located(200_000, &"k".repeat(1024))] {
            let bytes = encode_header(IDENTITY.salt, &located);
            assert_eq!(bytes.len(), located.header_bytes as usize);
            assert_eq!(claimed_header_bytes(&bytes), Some(bytes.len()));
            assert_eq!(decode_header(IDENTITY, 4096, &bytes), Some(located));
            assert_eq!(decode_header(IDENTITY, 8192, &bytes), None);
            let other = SegmentIdentity { salt: 9, ..IDENTITY };
            assert_eq!(decode_header(other, 4096, &bytes), None);
        }
    }

    #[test]
    fn damage_anywhere_in_a_header_is_noticed() {
        let bytes = encode_header(IDENTITY.salt, &located(100_000, "key"));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert_eq!(decode_header(IDENTITY, 4096, &damaged), None);
            assert_eq!(decode_header(IDENTITY, 4096, &bytes[..place]), None);
        }
    }

    #[test]
    fn a_segment_header_comes_back_and_notices_damage() {
        let bytes = encode_segment_header(IDENTITY);
        assert_eq!(bytes.len(), SEGMENT_HEADER_USED_BYTES);
        assert_eq!(decode_segment_header(&bytes), Some(IDENTITY));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(decode_segment_header(&damaged), None);
        }
    }
}
