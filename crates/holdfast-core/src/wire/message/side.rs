//! Rows beside records and comparisons of ranges, as bytes.
//!
//! A side row may name any space that exists: whether a node takes it is for that node to judge, not for its format.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::fingerprint::Fingerprint;
use crate::message::{Compared, Comparison, Digest, RangeRows, SideRange, SideRow};
use crate::storage::Space;
use crate::wire::field::{Field, read_all};
use crate::wire::limit::{ROW_KEY_BYTES_MAX, SIDE_ROW_BYTES_MAX};

/// Says that chunks are compared; every lower number is that of a space.
const CHUNKS: u8 = u8::MAX;

fn space_of(number: u8) -> Option<Space> {
    Space::ALL.into_iter().find(|space| *space as u8 == number)
}

fn read_row_key(from: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(from.slice("key of a row", ROW_KEY_BYTES_MAX)?.to_vec())
}

impl Field for Space {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.u8(*self as u8);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = from.u8()?;
        space_of(tag).ok_or(DecodeError::BadTag { what: "space", tag })
    }
}

impl Field for SideRow {
    const BYTES_MIN: usize = 3;

    fn write(&self, to: &mut Writer) {
        self.space.write(to);
        to.bytes(&self.key);
        to.bytes(&self.value);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            space: Field::read(from)?,
            key: read_row_key(from)?,
            value: from.bytes("side row", SIDE_ROW_BYTES_MAX)?,
        })
    }
}

/// Rows of one range, and whether they were cut short.
impl Field for (Vec<SideRow>, bool) {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        to.flag(self.1);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((Field::read(from)?, from.flag("cut of a range")?))
    }
}

impl Field for SideRange {
    const BYTES_MIN: usize = 3;

    fn write(&self, to: &mut Writer) {
        self.space.write(to);
        to.bytes(&self.from);
        to.bytes(&self.to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            space: Field::read(from)?,
            from: read_row_key(from)?,
            to: read_row_key(from)?,
        })
    }
}

impl Field for Compared {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Rows(space) => space.write(to),
            Self::Chunks => to.u8(CHUNKS),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            CHUNKS => Ok(Self::Chunks),
            tag => space_of(tag).map(Self::Rows).ok_or(DecodeError::BadTag {
                what: "subject of a comparison",
                tag,
            }),
        }
    }
}

impl Field for Fingerprint {
    const BYTES_MIN: usize = 16 + 8;

    fn write(&self, to: &mut Writer) {
        to.u128(self.sum);
        to.u64(self.count);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sum: from.u128()?,
            count: from.u64()?,
        })
    }
}

impl Field for Comparison {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Equal => to.u8(0),
            Self::Rows(rows) => {
                to.u8(1);
                rows.write(to);
            }
            Self::Pieces(pieces) => {
                to.u8(2);
                to.count(pieces.len());
                for (end, fingerprint) in pieces {
                    to.bytes(end);
                    fingerprint.write(to);
                }
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Equal,
            1 => Self::Rows(Field::read(from)?),
            2 => Self::Pieces(read_all(from, 1 + Fingerprint::BYTES_MIN, |from| {
                Ok((read_row_key(from)?, Fingerprint::read(from)?))
            })?),
            tag => {
                return Err(DecodeError::BadTag {
                    what: "comparison",
                    tag,
                });
            }
        })
    }
}

impl Field for RangeRows {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        to.count(self.rows.len());
        for (key, digest) in &self.rows {
            to.bytes(key);
            digest.write(to);
        }
        to.bytes(&self.to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rows: read_all(from, 1 + Digest::BYTES_MIN, |from| {
                Ok((read_row_key(from)?, Digest::read(from)?))
            })?,
            to: read_row_key(from)?,
        })
    }
}
