//! Walks of index shards, as bytes (rule Q4).

use alloc::string::String;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::Partition;
use crate::message::{Digest, ShardCursor, ShardRows, Walk, WalkEnd};
use crate::wire::encoded::EncodedRecord;
use crate::wire::field::{Field, read_all};
use crate::wire::limit::{OBJECT_KEY_BYTES_MAX, SEARCH_BYTES_MAX};

/// About how long the rows of walks become.
pub fn capacity_of(shards: &[ShardRows]) -> usize {
    let capacity_of_row = |(key, row): &(String, EncodedRecord)| key.len() + row.as_bytes().len() + 4;
    let capacity_of_shard = |shard: &ShardRows| match shard {
        ShardRows::Same => 1,
        ShardRows::Rows { rows, end } => {
            let end = match end {
                WalkEnd::Cut(key) => key.len(),
                WalkEnd::Exhausted => 0,
            };
            rows.iter().map(capacity_of_row).sum::<usize>() + end + 16
        }
    };
    shards.iter().map(capacity_of_shard).sum()
}

impl Field for Walk {
    const BYTES_MIN: usize = 8 + 1 + 1 + 4 + 4;

    fn write(&self, to: &mut Writer) {
        self.bucket.write(to);
        to.str(&self.prefix);
        to.str(&self.delimiter);
        to.u32(self.live_max);
        to.u32(self.rows_max);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            bucket: Field::read(from)?,
            prefix: from.str("prefix", SEARCH_BYTES_MAX)?,
            delimiter: from.str("delimiter", SEARCH_BYTES_MAX)?,
            live_max: from.u32()?,
            rows_max: from.u32()?,
        })
    }
}

impl Field for ShardCursor {
    const BYTES_MIN: usize = 2 + Partition::BYTES_MIN + 1 + 1;

    fn write(&self, to: &mut Writer) {
        to.u16(self.shard);
        self.partition.write(to);
        to.str(&self.from);
        to.flag(self.known.is_some());
        if let Some((end, digest)) = &self.known {
            end.write(to);
            digest.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            shard: from.u16()?,
            partition: Field::read(from)?,
            from: from.str("start of a walk", SEARCH_BYTES_MAX)?,
            known: if from.flag("known rows")? {
                Some((WalkEnd::read(from)?, Digest::read(from)?))
            } else {
                None
            },
        })
    }
}

impl Field for WalkEnd {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Cut(key) => {
                to.u8(0);
                to.str(key);
            }
            Self::Exhausted => to.u8(1),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => from.str("end of a walk", SEARCH_BYTES_MAX).map(Self::Cut),
            1 => Ok(Self::Exhausted),
            tag => Err(DecodeError::BadTag {
                what: "end of a walk",
                tag,
            }),
        }
    }
}

impl Field for ShardRows {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Same => to.u8(0),
            Self::Rows { rows, end } => {
                to.u8(1);
                to.count(rows.len());
                for (key, row) in rows {
                    to.str(key);
                    row.write(to);
                }
                end.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::Same),
            1 => Ok(Self::Rows {
                rows: read_all(from, 1 + EncodedRecord::BYTES_MIN, |from| {
                    Ok((from.str("key", OBJECT_KEY_BYTES_MAX)?, EncodedRecord::read(from)?))
                })?,
                end: Field::read(from)?,
            }),
            tag => Err(DecodeError::BadTag {
                what: "rows of a shard",
                tag,
            }),
        }
    }
}
