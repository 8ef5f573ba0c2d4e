//! What two nodes should both hold in a range of keys: the answering half of a comparison (rule A1).

use alloc::vec::Vec;

use super::fingerprints::together;
use super::state::Step;
use crate::fingerprint::{Fingerprint, KeyRange};
use crate::ids::{ChunkId, NodeId, PartId, Partition};
use crate::message::{Compared, Comparison, Digest, RangeRows, Refusal};
use crate::place::bucket_of_row;
use crate::storage::{Space, Visit};

/// Rows listed in one answer at most; beyond it the answer says where it was cut.
const ROWS_MAX: usize = 1_000;
/// A range of so few rows is listed; a larger one is cut into pieces.
const LISTED_AT_ONCE: u64 = 32;
/// Pieces in one answer at most.
const PIECES_MAX: usize = 16;
/// Chunk headers read from the store at a time.
pub(super) const CHUNKS_AT_ONCE: usize = 256;
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

impl Step<'_> {
    /// Answers a comparison of what this node and `peer` should both hold in a range (rule A1).
    pub(crate) fn serve_compare(
        &mut self,
        peer: NodeId,
        what: Compared,
        range: &KeyRange,
        theirs: Fingerprint,
    ) -> Result<Comparison, Refusal> {
        if !self.state.standing.is_vouched_for() {
            return Err(Refusal::NotReadYet);
        }
        let pieces = self.shared_pieces(peer, what, range)?;
        let own = together(pieces.iter().map(|(_, piece)| *piece));
        if own.is_unknown() {
            // The asker is told where: it lies elsewhere than the rest.
            return if pieces.len() > 1 {
                Ok(Comparison::Pieces(in_groups(pieces, range)))
            } else {
                Err(Refusal::Damaged)
            };
        }
        if own == theirs {
            return Ok(Comparison::Equal);
        }
        // Pieces would all differ if the asker lacks a good part of the rows.
        let lacks_many = own.count > theirs.count.saturating_add(own.count / 4) || theirs.is_unknown();
        if own.count <= LISTED_AT_ONCE || lacks_many {
            let rows_max = if lacks_many { ROWS_MAX } else { LISTED_AT_ONCE as usize };
            return self
                .shared_range(peer, what, &range.from, &range.to, rows_max)
                .map(Comparison::Rows);
        }
        let pieces = if pieces.len() > 1 {
            pieces
        } else {
            self.shared_rows_in_pieces(peer, what, range, own.count)?
        };
        Ok(Comparison::Pieces(in_groups(pieces, range)))
    }

    /// The rows of a range in about [`PIECES_MAX`] pieces.
    fn shared_rows_in_pieces(
        &self,
        peer: NodeId,
        what: Compared,
        range: &KeyRange,
        count: u64,
    ) -> Result<Vec<(Vec<u8>, Fingerprint)>, Refusal> {
        let rows = self.shared_range(peer, what, &range.from, &range.to, usize::MAX)?.rows;
        let size = (count.div_ceil(PIECES_MAX as u64)).max(LISTED_AT_ONCE / 2) as usize;
        let hash = self.state.fingerprint_key();
        let piece = |rows: &[(Vec<u8>, Digest)]| {
            let sum = together(rows.iter().map(|(key, digest)| hash.row(key, *digest)));
            (rows.last().map(|(key, _)| after_key(key)).unwrap_or_default(), sum)
        };
        Ok(rows.chunks(size).map(piece).collect())
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
        let mut end = to.to_vec();
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
            let common = bucket_of_row(key).is_some_and(|(partition, bucket)| self.both_hold(peer, partition, bucket));
            if common {
                rows.push((key.to_vec(), self.compared_digest(space, value)));
            }
            Visit::Next
        })?;
        Ok(RangeRows { rows, to: end })
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
}

/// Neighbouring pieces put together until there are few; the last ends where the range does.
pub(crate) fn in_groups(pieces: Vec<(Vec<u8>, Fingerprint)>, range: &KeyRange) -> Vec<(Vec<u8>, Fingerprint)> {
    let size = pieces.len().div_ceil(PIECES_MAX).max(1);
    let group = |pieces: &[(Vec<u8>, Fingerprint)]| {
        let sum = together(pieces.iter().map(|(_, piece)| *piece));
        (pieces.last().map(|(end, _)| end.clone()).unwrap_or_default(), sum)
    };
    let mut groups: Vec<_> = pieces.chunks(size).map(group).collect();
    if let Some((end, _)) = groups.last_mut() {
        end.clone_from(&range.to);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_few_and_cover_the_range() {
        let pieces: Vec<_> = (1..=100u8)
            .map(|number| {
                let fingerprint = Fingerprint {
                    sum: u128::from(number),
                    count: 1,
                };
                (alloc::vec![number], fingerprint)
            })
            .collect();
        let range = KeyRange::new(alloc::vec![0], alloc::vec![200]);
        let groups = in_groups(pieces, &range);
        assert!(groups.len() <= PIECES_MAX);
        assert!(groups.is_sorted_by_key(|(end, _)| end.clone()));
        assert_eq!(groups.iter().map(|(_, group)| group.count).sum::<u64>(), 100);
        assert_eq!(groups.last().map(|(end, _)| end.clone()), Some(alloc::vec![200]));
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
