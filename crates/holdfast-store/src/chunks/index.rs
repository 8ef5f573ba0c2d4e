//! The chunk index: rows that say where a chunk lies, in the row store's keyspace `chunks`.
//!
//! Keys sort as `[kind][partition][part id][index]`, big-endian, so that the chunks of one partition are one range.
//! An entry repeats the chunk's header and block checksums: listing chunks and checking a range need no further read.

use holdfast_core::ids::{BucketId, ChunkId, ObjectKey, PartId, Partition};
use holdfast_core::storage::ChunkHeader;

use super::record::Fields;
use super::{BLOCK_BYTES, Located, SegmentNumber};

/// Kind of a row that says that a segment is full and all its entries were written before.
const KIND_SEAL: u8 = 0;
/// Kind of a row that locates a chunk.
const KIND_ENTRY: u8 = 1;

/// The first id of all.
const ID_MIN: ChunkId = ChunkId {
    part: PartId(0),
    index: 0,
};

/// Key of the entry of a chunk.
pub(crate) fn entry_key(partition: Partition, id: ChunkId) -> Vec<u8> {
    let mut key = Vec::with_capacity(23);
    key.push(KIND_ENTRY);
    key.extend_from_slice(&partition.0.to_be_bytes());
    key.extend_from_slice(&id.part.0.to_be_bytes());
    key.extend_from_slice(&id.index.to_be_bytes());
    key
}

/// Keys of a partition's entries with ids above `after`: `from <= key < to`.
pub(crate) fn entry_range(partition: Partition, after: Option<ChunkId>) -> (Vec<u8>, Vec<u8>) {
    let from = match after {
        None => entry_key(partition, ID_MIN),
        Some(id) => {
            // The least key above another is that key with a zero byte behind it.
            let mut key = entry_key(partition, id);
            key.push(0);
            key
        }
    };
    let to = match partition.0.checked_add(1) {
        Some(next) => entry_key(Partition(next), ID_MIN),
        None => vec![KIND_ENTRY + 1],
    };
    (from, to)
}

/// Key of a segment's seal.
pub(super) fn seal_key(segment: SegmentNumber) -> Vec<u8> {
    let mut key = Vec::with_capacity(5);
    key.push(KIND_SEAL);
    key.extend_from_slice(&segment.0.to_be_bytes());
    key
}

/// Keys of all seals: `from <= key < to`.
pub(super) fn seal_range() -> (Vec<u8>, Vec<u8>) {
    (vec![KIND_SEAL], vec![KIND_SEAL + 1])
}

/// The segment that the seal at `key` belongs to.
pub(super) fn sealed_segment(key: &[u8]) -> Option<SegmentNumber> {
    match key {
        [KIND_SEAL, number @ ..] => Some(SegmentNumber(u32::from_be_bytes(number.try_into().ok()?))),
        _ => None,
    }
}

/// Value of an entry.
pub(super) fn encode_entry(located: &Located) -> Vec<u8> {
    let header = &located.header;
    let mut bytes = Vec::with_capacity(46 + header.owner.key.len() + located.blocks.len() * 8);
    bytes.extend_from_slice(&located.segment.0.to_le_bytes());
    bytes.extend_from_slice(&located.offset.to_le_bytes());
    bytes.extend_from_slice(&located.header_bytes.to_le_bytes());
    bytes.extend_from_slice(&header.length.to_le_bytes());
    bytes.extend_from_slice(&header.commit_deadline_ms.to_le_bytes());
    bytes.extend_from_slice(&header.owner.bucket.0.to_le_bytes());
    // Keys above KEY_BYTES_MAX are refused before they get here.
    let key_bytes = u16::try_from(header.owner.key.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&key_bytes.to_le_bytes());
    bytes.extend_from_slice(header.owner.key.as_bytes());
    for block in &located.blocks {
        bytes.extend_from_slice(&block.to_le_bytes());
    }
    bytes
}

/// The entry at `key`, or `None` when it is damaged.
pub(super) fn decode_entry(key: &[u8], value: &[u8]) -> Option<Located> {
    let (header, place, rest) = decode_fields(key, value)?;
    let (segment, offset, header_bytes) = place;
    let mut fields = Fields(rest);
    let blocks = fields.u64s((header.length as usize).div_ceil(BLOCK_BYTES))?;
    fields.0.is_empty().then_some(())?;
    Some(Located {
        segment,
        offset,
        header_bytes,
        header,
        blocks,
    })
}

/// The chunk header told by the entry at `key`, or `None` when the entry is damaged.
pub(crate) fn header_of(key: &[u8], value: &[u8]) -> Option<ChunkHeader> {
    decode_fields(key, value).map(|(header, _, _)| header)
}

type Place = (SegmentNumber, u64, u32);

fn decode_fields<'a>(key: &[u8], value: &'a [u8]) -> Option<(ChunkHeader, Place, &'a [u8])> {
    let (kind, key) = key.split_first()?;
    (*kind == KIND_ENTRY).then_some(())?;
    let mut key = Fields(key);
    let partition = Partition(u16::from_be_bytes(key.take()?));
    let part = PartId(u128::from_be_bytes(key.take()?));
    let index = u32::from_be_bytes(key.take()?);
    key.0.is_empty().then_some(())?;

    let mut fields = Fields(value);
    let place = (SegmentNumber(fields.u32()?), fields.u64()?, fields.u32()?);
    let length = fields.u32()?;
    let commit_deadline_ms = fields.u64()?;
    let bucket = BucketId(fields.u64()?);
    let key_bytes = usize::from(fields.u16()?);
    let key = std::str::from_utf8(fields.slice(key_bytes)?).ok()?.to_owned();
    let header = ChunkHeader {
        id: ChunkId { part, index },
        partition,
        owner: ObjectKey { bucket, key },
        length,
        commit_deadline_ms,
    };
    Some((header, place, fields.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(part: u128, index: u32) -> ChunkId {
        ChunkId {
            part: PartId(part),
            index,
        }
    }

    #[test]
    fn an_entry_comes_back() {
        let located = Located {
            segment: SegmentNumber(1),
            offset: 4096,
            header_bytes: 99,
            header: ChunkHeader {
                id: id(5, 6),
                partition: Partition(7),
                owner: ObjectKey {
                    bucket: BucketId(8),
                    key: "ключ".into(),
                },
                length: 70_000,
                commit_deadline_ms: 9,
            },
            blocks: vec![10, 11],
        };
        let key = entry_key(Partition(7), id(5, 6));
        let value = encode_entry(&located);
        assert_eq!(decode_entry(&key, &value).as_ref(), Some(&located));
        assert_eq!(header_of(&key, &value), Some(located.header));
        assert_eq!(decode_entry(&key, &value[..value.len() - 1]), None);
        assert_eq!(decode_entry(&key[..22], &value), None);
    }

    #[test]
    fn a_range_holds_exactly_the_ids_above() {
        for partition in [Partition(0), Partition(7), Partition(u16::MAX)] {
            let (from, to) = entry_range(partition, None);
            for id in [id(0, 0), id(u128::MAX, u32::MAX)] {
                let key = entry_key(partition, id);
                assert!(from <= key && key < to);
                let (above, _) = entry_range(partition, Some(id));
                assert!(key < above);
            }
            let (above, _) = entry_range(partition, Some(id(1, 1)));
            assert!(above < entry_key(partition, id(1, 2)) && above < entry_key(partition, id(2, 0)));
        }
        assert!(seal_key(SegmentNumber(u32::MAX)) < entry_range(Partition(0), None).0);
    }
}
