//! What two nodes should both hold in a range of keys, and its digests: the answering half of the comparison that
//! follows a reconnect.

use alloc::vec::Vec;

use super::state::Step;
use crate::ids::{BucketId, ChunkId, NodeId, PartId, Partition};
use crate::message::{Compared, Digest, RangeRows, Refusal};
use crate::place::Place;
use crate::storage::{Space, Visit};
use crate::wire::record::{bytes_digest, row_digest};

/// Rows listed in one answer at most; beyond it the answer says where it was cut.
const ROWS_MAX: usize = 4_000;
/// Chunk headers read from the store at a time.
const CHUNKS_AT_ONCE: usize = 256;
/// Length of `[partition][part id][index]`.
const CHUNK_KEY_BYTES: usize = 2 + 16 + 4;

/// Key of a chunk in a comparison.
pub(crate) fn chunk_key(partition: Partition, id: ChunkId) -> Vec<u8> {
    let mut key = Vec::with_capacity(CHUNK_KEY_BYTES);
    key.extend_from_slice(&partition.0.to_be_bytes());
    key.extend_from_slice(&id.part.0.to_be_bytes());
    key.extend_from_slice(&id.index.to_be_bytes());
    key
}

/// Undoes [`chunk_key`].
pub(crate) fn parse_chunk_key(key: &[u8]) -> Option<(Partition, ChunkId)> {
    if key.len() != CHUNK_KEY_BYTES {
        return None;
    }
    let partition = Partition(u16::from_be_bytes(key[..2].try_into().ok()?));
    let part = PartId(u128::from_be_bytes(key[2..18].try_into().ok()?));
    Some((
        partition,
        ChunkId {
            part,
            index: u32::from_be_bytes(key[18..].try_into().ok()?),
        },
    ))
}

/// The least key above another.
pub(crate) fn after_key(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// Sum of a range: XOR of a hash of each row's key and digest, so that a row counts once wherever it stands.
pub(crate) fn sum_of(rows: &[(Vec<u8>, Digest)]) -> Digest {
    let mut sum = Digest::default();
    for (key, digest) in rows {
        let mut hasher = blake3::Hasher::new();
        hasher.update(key);
        hasher.update(&digest.0);
        for (byte, hashed) in sum.0.iter_mut().zip(hasher.finalize().as_bytes()) {
            *byte ^= hashed;
        }
    }
    sum
}

impl Step<'_> {
    /// Answers a comparison: `None` when the ranges are equal.
    pub(crate) fn serve_compare(
        &self,
        peer: NodeId,
        what: Compared,
        from: &[u8],
        to: &[u8],
        sum: Digest,
    ) -> Result<Option<RangeRows>, Refusal> {
        let range = self.shared_range(peer, what, from, to, ROWS_MAX)?;
        let equal = range.to == to && sum_of(&range.rows) == sum;
        Ok(if equal { None } else { Some(range) })
    }

    /// Keys and digests of up to `rows_max` rows in `[from, to)` that this node and `peer` should both hold, and where
    /// the list ends, exclusive; an empty `to` is the end of the space.
    pub(crate) fn shared_range(
        &self,
        peer: NodeId,
        what: Compared,
        from: &[u8],
        to: &[u8],
        rows_max: usize,
    ) -> Result<RangeRows, Refusal> {
        match what {
            Compared::Rows(space) => self.shared_rows(peer, space, from, to, rows_max),
            Compared::Chunks => self.shared_chunks(peer, from, to, rows_max),
        }
    }

    fn shared_rows(
        &self,
        peer: NodeId,
        space: Space,
        from: &[u8],
        to: &[u8],
        rows_max: usize,
    ) -> Result<RangeRows, Refusal> {
        let mut rows: Vec<(Vec<u8>, Digest)> = Vec::new();
        let (mut end, mut damaged) = (to.to_vec(), false);
        // Every key is shorter than this and begins with a partition number.
        let last = if to.is_empty() {
            alloc::vec![0xff; 64]
        } else {
            to.to_vec()
        };
        let from = from.min(&last);
        self.storage.scan(space, from, &last, &mut |key, value| {
            if rows.len() >= rows_max {
                end = rows.last().map(|(key, _)| after_key(key)).unwrap_or_default();
                return Visit::Stop;
            }
            let digest = if space == Space::Rows {
                row_digest(value).ok()
            } else {
                Some(bytes_digest(value))
            };
            let place = Place::parse(key).map(|(place, _)| (place.partition, place.bucket));
            let (Some(digest), Some((partition, bucket))) = (digest, place) else {
                damaged = true;
                return Visit::Stop;
            };
            if self.both_hold(peer, partition, bucket) {
                rows.push((key.to_vec(), digest));
            }
            Visit::Next
        })?;
        if damaged {
            Err(Refusal::Damaged)
        } else {
            Ok(RangeRows { rows, to: end })
        }
    }

    fn shared_chunks(&self, peer: NodeId, from: &[u8], to: &[u8], rows_max: usize) -> Result<RangeRows, Refusal> {
        let mut rows: Vec<(Vec<u8>, Digest)> = Vec::new();
        let first = from
            .get(..2)
            .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        for partition in (first..=u16::MAX)
            .take(self.state.layout().partition_count())
            .map(Partition)
        {
            if usize::from(partition.0) >= self.state.layout().partition_count() {
                break;
            }
            let mut after = None;
            loop {
                let headers = self.storage.chunks(partition, after, CHUNKS_AT_ONCE)?;
                let complete = headers.len() < CHUNKS_AT_ONCE;
                for header in headers {
                    after = Some(header.id);
                    let key = chunk_key(partition, header.id);
                    if !to.is_empty() && key.as_slice() >= to {
                        return Ok(RangeRows { rows, to: to.to_vec() });
                    }
                    if key.as_slice() < from || !self.both_hold(peer, partition, header.owner.bucket) {
                        continue;
                    }
                    if rows.len() >= rows_max {
                        let end = rows.last().map(|(key, _)| after_key(key)).unwrap_or_default();
                        return Ok(RangeRows { rows, to: end });
                    }
                    rows.push((key, Digest::default()));
                }
                if complete {
                    break;
                }
            }
        }
        Ok(RangeRows { rows, to: to.to_vec() })
    }

    fn both_hold(&self, peer: NodeId, partition: Partition, bucket: BucketId) -> bool {
        let (layout, n) = (self.state.layout(), self.state.n_of(bucket));
        layout.is_home(self.state.me(), partition, n) && layout.is_home(peer, partition, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_does_not_depend_on_order_and_sees_every_row() {
        let row = |key: u8, digest: u8| (alloc::vec![key], Digest([digest; 16]));
        let sum = sum_of(&[row(1, 1), row(2, 2)]);
        assert_eq!(sum, sum_of(&[row(2, 2), row(1, 1)]));
        assert_ne!(sum, sum_of(&[row(1, 2), row(2, 1)]));
        assert_ne!(sum, sum_of(&[row(1, 1)]));
    }

    #[test]
    fn chunk_keys_can_be_read_back() {
        let id = ChunkId {
            part: PartId(7),
            index: 9,
        };
        assert_eq!(parse_chunk_key(&chunk_key(Partition(3), id)), Some((Partition(3), id)));
        assert_eq!(parse_chunk_key(b"short"), None);
    }
}
