//! What a node says of itself when it has started, and what it is told, as bytes.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{ActorId, Tick};
use crate::message::{Announcement, Known};
use crate::wire::field::Field;

impl Field for Announcement {
    const BYTES_MIN: usize = 5 * 8;

    fn write(&self, to: &mut Writer) {
        let numbers = [self.actor.0, self.born_ms, self.run, self.boot, self.bound.0];
        numbers.into_iter().for_each(|number| to.u64(number));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            actor: ActorId(from.u64()?),
            born_ms: from.u64()?,
            run: from.u64()?,
            boot: from.u64()?,
            bound: Tick(from.u64()?),
        })
    }
}

impl Field for Known {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.u8(match self {
            Self::Nothing => 0,
            Self::OtherData => 1,
            Self::Later => 2,
        });
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::Nothing),
            1 => Ok(Self::OtherData),
            2 => Ok(Self::Later),
            tag => Err(DecodeError::BadTag {
                what: "what is known of a start",
                tag,
            }),
        }
    }
}
