//! What a collector of dead bodies asks and is answered, as bytes.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::dead::{ChunkRange, Collect, Collected, HintsHeld, Over, Remnant};
use crate::ids::{PartId, Partition};
use crate::message::Digest;
use crate::place::Place;
use crate::wire::field::{Field, read_all, write_list};
use crate::wire::limit::ROW_KEY_BYTES_MAX;

impl Field for Over {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Record => to.u8(0),
            Self::Upload(upload) => {
                to.u8(1);
                upload.write(to);
            }
            Self::Lives(lives) => {
                to.u8(2);
                write_list(to, lives);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Record,
            1 => Self::Upload(Field::read(from)?),
            2 => Self::Lives(Field::read(from)?),
            tag => {
                let what = "what is over";
                return Err(DecodeError::BadTag { what, tag });
            }
        })
    }
}

impl Field for Remnant {
    const BYTES_MIN: usize = Place::BYTES_MIN + Over::BYTES_MIN + Digest::BYTES_MIN + 1;

    fn write(&self, to: &mut Writer) {
        self.place.write(to);
        self.over.write(to);
        self.digest.write(to);
        to.u8(self.homes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            place: Field::read(from)?,
            over: Field::read(from)?,
            digest: Field::read(from)?,
            homes: from.u8()?,
        })
    }
}

impl Field for ChunkRange {
    const BYTES_MIN: usize = PartId::BYTES_MIN + 8;

    fn write(&self, to: &mut Writer) {
        self.part.write(to);
        to.u32(self.from);
        to.u32(self.to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            part: Field::read(from)?,
            from: from.u32()?,
            to: from.u32()?,
        })
    }
}

impl Field for (Partition, bool, u64) {
    const BYTES_MIN: usize = Partition::BYTES_MIN + 1 + 8;

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        to.flag(self.1);
        to.u64(self.2);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((Field::read(from)?, from.flag("holding of hints")?, from.u64()?))
    }
}

impl Field for HintsHeld {
    const BYTES_MIN: usize = 8 + 8 + 1;

    fn write(&self, to: &mut Writer) {
        to.u64(self.run);
        to.u64(self.wall_ms);
        write_list(to, &self.partitions);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            run: from.u64()?,
            wall_ms: from.u64()?,
            partitions: Field::read(from)?,
        })
    }
}

impl Field for Collect {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Named(parts) => {
                to.u8(0);
                write_list(to, parts);
            }
            Self::Hints(partitions) => {
                to.u8(1);
                write_list(to, partitions);
            }
            Self::Remove(chunks) => {
                to.u8(2);
                write_list(to, chunks);
            }
            Self::Remnants(remnants) => {
                to.u8(6);
                write_list(to, remnants);
            }
            Self::Erase(remnants) => {
                to.u8(7);
                write_list(to, remnants);
            }
            Self::Forget(keys) => {
                to.u8(3);
                to.count(keys.len());
                for key in keys {
                    to.bytes(key);
                }
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Named(Field::read(from)?),
            1 => Self::Hints(Field::read(from)?),
            2 => Self::Remove(Field::read(from)?),
            3 => Self::Forget(read_all(from, 1, |from| {
                Ok(from.slice("key of a row", ROW_KEY_BYTES_MAX)?.to_vec())
            })?),
            6 => Self::Remnants(Field::read(from)?),
            7 => Self::Erase(Field::read(from)?),
            tag => {
                return Err(DecodeError::BadTag {
                    what: "question of a collector",
                    tag,
                });
            }
        })
    }
}

impl Field for Collected {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Named(parts) => {
                to.u8(0);
                write_list(to, parts);
            }
            Self::Hints(held) => {
                to.u8(1);
                held.write(to);
            }
            Self::Done => to.u8(2),
            Self::Otherwise(records) => {
                to.u8(3);
                to.count(records.len());
                records.iter().for_each(|at| to.u32(*at));
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Named(Vec::read(from)?),
            1 => Self::Hints(Field::read(from)?),
            2 => Self::Done,
            3 => Self::Otherwise(read_all(from, 4, Reader::u32)?),
            tag => {
                return Err(DecodeError::BadTag {
                    what: "answer to a collector",
                    tag,
                });
            }
        })
    }
}
