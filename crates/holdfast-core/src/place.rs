//! Where a key lives: position, partition, and the keys of its rows (rule B6).
//!
//! The object row *is* the index row, sorted `[partition][bucket][shard][key]`, so one partition is one contiguous range
//! of every space, and a listing cannot miss what a get would find.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::bucket::Settings;
use crate::ids::{BucketId, ChunkId, Dot, ObjectKey, Partition, Position, UploadId};

/// Highest and default number of bits of Q, the number of partitions (rule L1: at most 65,536, default 1,024).
pub const PARTITION_BITS_MAX: u8 = 16;
/// Default number of bits of Q.
pub const PARTITION_BITS_DEFAULT: u8 = 10;

/// The place of one key: everything needed to find its rows on a node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The arc that holds it.
    pub partition: Partition,
    /// The bucket.
    pub bucket: BucketId,
    /// The slice of the bucket's index.
    pub shard: u16,
    /// The key.
    pub key: String,
}

/// Length of `[partition][bucket][shard]` before the key, in bytes.
pub(crate) const SHARD_PREFIX_BYTES: usize = BUCKET_PREFIX_BYTES + 2;
/// Length of `[partition][bucket]`.
pub(crate) const BUCKET_PREFIX_BYTES: usize = 2 + 8;

impl Place {
    /// The place of a key in a bucket of these settings, on a ring of 2^`partition_bits` partitions.
    #[must_use]
    pub fn of(settings: &Settings, key: &str, partition_bits: u8) -> Self {
        let shard = shard_of(key, settings.shards);
        let partition = partition_of(shard_position(settings.id, shard, settings.shards), partition_bits);
        Self {
            partition,
            bucket: settings.id,
            shard,
            key: key.to_string(),
        }
    }

    /// The place of an object key.
    #[must_use]
    pub fn of_object(settings: &Settings, object: &ObjectKey, partition_bits: u8) -> Self {
        Self::of(settings, &object.key, partition_bits)
    }

    /// The key itself, wherever it lies.
    #[must_use]
    pub fn object_key(&self) -> ObjectKey {
        ObjectKey {
            bucket: self.bucket,
            key: self.key.clone(),
        }
    }

    /// Key of its row in `Rows`, and prefix of all its rows in the other spaces.
    #[must_use]
    pub fn row_key(&self) -> Vec<u8> {
        let mut row = shard_prefix(self.partition, self.bucket, self.shard);
        push_escaped(&mut row, &self.key);
        row.extend_from_slice(&[0, 0]);
        row
    }

    /// Key of the body row of one version.
    #[must_use]
    pub fn body_key(&self, dot: Dot) -> Vec<u8> {
        let mut row = self.row_key();
        row.extend_from_slice(&dot.actor.0.to_be_bytes());
        row.extend_from_slice(&dot.life.0.to_be_bytes());
        row.extend_from_slice(&dot.tick.0.to_be_bytes());
        row
    }

    /// Key of an upload's row.
    #[must_use]
    pub fn upload_key(&self, upload: UploadId) -> Vec<u8> {
        let mut row = self.row_key();
        row.extend_from_slice(&upload.0.to_be_bytes());
        row
    }

    /// Key of the row of one part of an upload.
    #[must_use]
    pub fn part_key(&self, upload: UploadId, number: u16) -> Vec<u8> {
        let mut row = self.upload_key(upload);
        row.extend_from_slice(&number.to_be_bytes());
        row
    }

    /// The place whose `row_key` begins `row`, and what follows it (nothing in `Rows`); `None` if it is no such key.
    #[must_use]
    pub fn parse(row: &[u8]) -> Option<(Self, &[u8])> {
        let partition = Partition(u16::from_be_bytes(row.get(..2)?.try_into().ok()?));
        let bucket = BucketId(u64::from_be_bytes(row.get(2..10)?.try_into().ok()?));
        let shard = u16::from_be_bytes(row.get(10..SHARD_PREFIX_BYTES)?.try_into().ok()?);
        let (key, rest) = take_escaped(&row[SHARD_PREFIX_BYTES..])?;
        Some((
            Self {
                partition,
                bucket,
                shard,
                key,
            },
            rest,
        ))
    }
}

/// The partition and bucket that a row's key begins with.
pub(crate) fn bucket_of_row(row: &[u8]) -> Option<(Partition, BucketId)> {
    let partition = Partition(u16::from_be_bytes(row.get(..2)?.try_into().ok()?));
    let bucket = BucketId(u64::from_be_bytes(row.get(2..BUCKET_PREFIX_BYTES)?.try_into().ok()?));
    Some((partition, bucket))
}

/// Which index shard holds a key.
#[must_use]
pub fn shard_of(key: &str, shards: u16) -> u16 {
    let hash = blake3::hash(key.as_bytes());
    (first_u64(&hash) % u64::from(shards.max(1))) as u16
}

/// Position of an index shard: `hash(bucket id) + i · 2⁶⁴/shards`, wrapping.
#[must_use]
pub fn shard_position(bucket: BucketId, shard: u16, shards: u16) -> Position {
    let base = first_u64(&blake3::hash(&bucket.0.to_be_bytes()));
    let step = ((1u128 << 64) / u128::from(shards.max(1))) as u64;
    Position(base.wrapping_add(step.wrapping_mul(u64::from(shard))))
}

/// Position of a chunk: chunks spread over the whole ring, so one big object uses the whole cluster.
#[must_use]
pub fn chunk_position(chunk: ChunkId) -> Position {
    let mut name = [0; 20];
    name[..16].copy_from_slice(&chunk.part.0.to_be_bytes());
    name[16..].copy_from_slice(&chunk.index.to_be_bytes());
    Position(first_u64(&blake3::hash(&name)))
}

/// The partition of a position: its top bits.
#[must_use]
pub fn partition_of(position: Position, partition_bits: u8) -> Partition {
    if partition_bits == 0 {
        return Partition(0);
    }
    Partition((position.0 >> (64 - u32::from(partition_bits))) as u16)
}

/// `[partition][bucket][shard]`: what all rows of one index shard begin with.
#[must_use]
pub fn shard_prefix(partition: Partition, bucket: BucketId, shard: u16) -> Vec<u8> {
    let mut row = Vec::with_capacity(64);
    row.extend_from_slice(&partition.0.to_be_bytes());
    row.extend_from_slice(&bucket.0.to_be_bytes());
    row.extend_from_slice(&shard.to_be_bytes());
    row
}

/// First row key at or after `key` within a shard; `key` may be any prefix of keys.
#[must_use]
pub fn seek_key(partition: Partition, bucket: BucketId, shard: u16, key: &str) -> Vec<u8> {
    let mut row = shard_prefix(partition, bucket, shard);
    push_escaped(&mut row, key);
    row
}

/// What follows the shard's prefix in the row key of a key.
#[must_use]
pub(crate) fn escaped(key: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(key.len() + 2);
    push_escaped(&mut row, key);
    row.extend_from_slice(&[0, 0]);
    row
}

/// The least byte string above every one that begins with `prefix`; empty when there is none.
#[must_use]
pub fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return prefix;
        }
    }
    prefix
}

/// Appends a key so that byte order is kept and no key's bytes begin another's row: 00 becomes 00 FF, and 00 00 ends it.
fn push_escaped(row: &mut Vec<u8>, key: &str) {
    for byte in key.bytes() {
        row.push(byte);
        if byte == 0 {
            row.push(0xff);
        }
    }
}

/// Undoes [`push_escaped`] up to the ending 00 00.
fn take_escaped(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut key = Vec::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(0)) => return Some((String::from_utf8(key).ok()?, &bytes[at + 2..])),
            (0, Some(0xff)) => {
                key.push(0);
                at += 2;
            }
            (0, _) => return None,
            (byte, _) => {
                key.push(byte);
                at += 1;
            }
        }
    }
}

/// The first eight bytes of a hash as a number.
fn first_u64(hash: &blake3::Hash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_be_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn place(key: &str) -> Place {
        Place {
            partition: Partition(3),
            bucket: BucketId(9),
            shard: 1,
            key: key.to_string(),
        }
    }

    proptest! {
        #[test]
        fn row_keys_keep_the_order_of_keys(a in ".{0,12}", b in ".{0,12}") {
            prop_assert_eq!(place(&a).row_key().cmp(&place(&b).row_key()), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn row_keys_can_be_read_back(key in ".{0,40}", id in any::<u128>()) {
            let place = place(&key);
            let row = place.upload_key(UploadId(id));
            let (read, rest) = Place::parse(&row).expect("own key");
            prop_assert_eq!(&read, &place);
            prop_assert_eq!(rest, &id.to_be_bytes()[..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Place::parse(&bytes);
        }

        #[test]
        fn after_prefix_is_above_all_that_begin_so(prefix in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let mut extended = prefix.clone();
            extended.extend(rest);
            let after = after_prefix(prefix);
            prop_assert!(after.is_empty() || extended < after);
        }
    }

    #[test]
    fn shards_of_a_bucket_are_spread_over_the_ring() {
        let mut partitions: Vec<u16> = (0..16)
            .map(|shard| partition_of(shard_position(BucketId(7), shard, 16), 10).0)
            .collect();
        partitions.sort_unstable();
        let gaps: Vec<u16> = partitions.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap == 64), "{gaps:?}");
    }
}
