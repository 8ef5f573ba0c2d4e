//! What coordinators and homes say about one key, as bytes: places, copies, writes and their answers.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::context::Context;
use crate::ids::{BucketId, ChunkId, Dot, ObjectKey, Partition};
use crate::message::{Copy, Digest, OpId, ReadResult, Write, WritePurpose, Written};
use crate::place::Place;
use crate::record::Record;
use crate::request::WantedBodies;
use crate::storage::ChunkHeader;
use crate::wire::field::{Field, read_all, write_list};
use crate::wire::limit::{BODY_ROW_BYTES_MAX, OBJECT_KEY_BYTES_MAX};
use crate::wire::record;

/// Bytes of the rows of bodies, each under its dot.
pub fn write_bodies(to: &mut Writer, bodies: &[(Dot, Bytes)]) {
    to.count(bodies.len());
    for (dot, body) in bodies {
        dot.write(to);
        to.bytes(body);
    }
}

/// Reads what [`write_bodies`] wrote; each body is a slice of the head.
pub fn read_bodies(from: &mut Reader<'_>) -> Result<Vec<(Dot, Bytes)>, DecodeError> {
    read_all(from, Dot::BYTES_MIN + 1, |from| {
        Ok((Dot::read(from)?, from.bytes("row of a body", BODY_ROW_BYTES_MAX)?))
    })
}

/// About how long bodies become.
pub fn capacity_of_bodies(bodies: &[(Dot, Bytes)]) -> usize {
    bodies.iter().map(|(_, body)| body.len() + 32).sum()
}

/// About how long a copy becomes.
pub fn capacity_of_copy(copy: &Copy) -> usize {
    record::capacity_of(&copy.record) + capacity_of_bodies(&copy.bodies)
}

/// About how long the answer to a read becomes.
pub fn capacity_of_read(read: &ReadResult) -> usize {
    match read {
        ReadResult::Absent | ReadResult::Same => 0,
        ReadResult::Copy(copy) => capacity_of_copy(copy),
    }
}

impl Field for OpId {
    const BYTES_MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        to.u64(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.u64().map(Self)
    }
}

impl Field for Digest {
    const BYTES_MIN: usize = 16;

    fn write(&self, to: &mut Writer) {
        to.raw(&self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.array().map(Self)
    }
}

impl Field for Place {
    const BYTES_MIN: usize = 2 + 8 + 2 + 1;

    fn write(&self, to: &mut Writer) {
        self.partition.write(to);
        self.bucket.write(to);
        to.u16(self.shard);
        to.str(&self.key);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: Field::read(from)?,
            bucket: Field::read(from)?,
            shard: from.u16()?,
            key: from.str("key", OBJECT_KEY_BYTES_MAX)?,
        })
    }
}

impl Field for ObjectKey {
    const BYTES_MIN: usize = BucketId::BYTES_MIN + 1;

    fn write(&self, to: &mut Writer) {
        self.bucket.write(to);
        to.str(&self.key);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            bucket: Field::read(from)?,
            key: from.str("key", OBJECT_KEY_BYTES_MAX)?,
        })
    }
}

impl Field for ChunkHeader {
    const BYTES_MIN: usize = ChunkId::BYTES_MIN + Partition::BYTES_MIN + ObjectKey::BYTES_MIN + 4 + 8;

    fn write(&self, to: &mut Writer) {
        self.id.write(to);
        self.partition.write(to);
        self.owner.write(to);
        to.u32(self.length);
        to.u64(self.commit_deadline_ms);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: Field::read(from)?,
            partition: Field::read(from)?,
            owner: Field::read(from)?,
            length: from.u32()?,
            commit_deadline_ms: from.u64()?,
        })
    }
}

impl Field for WantedBodies {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.u8(match self {
            Self::None => 0,
            Self::Newest => 1,
            Self::All => 2,
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::None),
            1 => Ok(Self::Newest),
            2 => Ok(Self::All),
            tag => Err(DecodeError::BadTag {
                what: "choice of bodies",
                tag,
            }),
        }
    }
}

impl Field for Copy {
    const BYTES_MIN: usize = Record::BYTES_MIN + 1;

    fn write(&self, to: &mut Writer) {
        self.record.write(to);
        write_bodies(to, &self.bodies);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            record: Field::read(from)?,
            bodies: read_bodies(from)?,
        })
    }
}

impl Field for Write {
    const BYTES_MIN: usize = OpId::BYTES_MIN + Place::BYTES_MIN + Context::BYTES_MIN + Copy::BYTES_MIN + 3;

    fn write(&self, to: &mut Writer) {
        self.op.write(to);
        self.place.write(to);
        self.own_context.write(to);
        self.copy.write(to);
        write_list(to, &self.side);
        to.u8(match self.purpose {
            WritePurpose::Commit => 0,
            WritePurpose::Repair => 1,
            WritePurpose::Handoff => 2,
        });
        self.stands_for.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            op: Field::read(from)?,
            place: Field::read(from)?,
            own_context: Field::read(from)?,
            copy: Field::read(from)?,
            side: Field::read(from)?,
            purpose: match from.u8()? {
                0 => WritePurpose::Commit,
                1 => WritePurpose::Repair,
                2 => WritePurpose::Handoff,
                tag => {
                    return Err(DecodeError::BadTag {
                        what: "purpose of a write",
                        tag,
                    });
                }
            },
            stands_for: Field::read(from)?,
        })
    }
}

impl Field for Written {
    const BYTES_MIN: usize = Context::BYTES_MIN + 1 + 1;

    fn write(&self, to: &mut Writer) {
        self.context.write(to);
        self.beyond.write(to);
        to.u8(self.stands_for);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            context: Field::read(from)?,
            beyond: Field::read(from)?,
            stands_for: from.u8()?,
        })
    }
}

impl Field for ReadResult {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Absent => to.u8(0),
            Self::Same => to.u8(1),
            Self::Copy(copy) => {
                to.u8(2);
                copy.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::Absent),
            1 => Ok(Self::Same),
            2 => Copy::read(from).map(Self::Copy),
            tag => Err(DecodeError::BadTag {
                what: "answer to a read",
                tag,
            }),
        }
    }
}
