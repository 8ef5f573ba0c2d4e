//! The encodings that many formats share: names, dots, contexts, lists, options.
//!
//! Names of fixed length are written big endian in full: they are random, so nothing would be gained by a varint.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::context::Context;
use crate::ids::{
    ActorId, BucketId, ChunkId, ClusterId, Dot, NodeId, PartId, Partition, Position, RequestId, Tick, UploadId,
};

/// A value that has one encoding, whatever message or row it stands in.
pub trait Field: Sized {
    /// Length of the shortest encoding: what a list of them must hold at least per element.
    const BYTES_MIN: usize;

    /// Appends the encoding.
    fn write(&self, to: &mut Writer);

    /// Reads what [`Field::write`] wrote.
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! fixed {
    ($($name:ident: $method:ident, $bytes:literal;)*) => {
        $(impl Field for $name {
            const BYTES_MIN: usize = $bytes;

            fn write(&self, to: &mut Writer) {
                to.$method(self.0);
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                from.$method().map(Self)
            }
        })*
    };
}

fixed! {
    NodeId: u64, 8;
    ActorId: u64, 8;
    BucketId: u64, 8;
    Position: u64, 8;
    Tick: u64, 8;
    ClusterId: u128, 16;
    RequestId: u128, 16;
    PartId: u128, 16;
    UploadId: u128, 16;
    Partition: u16, 2;
}

impl Field for Dot {
    const BYTES_MIN: usize = 24;

    fn write(&self, to: &mut Writer) {
        self.actor.write(to);
        self.life.write(to);
        self.tick.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            actor: Field::read(from)?,
            life: Field::read(from)?,
            tick: Field::read(from)?,
        })
    }
}

impl Field for ChunkId {
    const BYTES_MIN: usize = 20;

    fn write(&self, to: &mut Writer) {
        self.part.write(to);
        to.u32(self.index);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            part: Field::read(from)?,
            index: from.u32()?,
        })
    }
}

impl Field for Context {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.count(self.len());
        for (actor, life, tick) in self.entries() {
            actor.write(to);
            life.write(to);
            tick.write(to);
        }
    }

    /// Entries must ascend: that is what makes the encoding of a context unique.
    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut context = Self::new();
        let mut last = None;
        for _ in 0..from.count(Dot::BYTES_MIN)? {
            let dot = Dot::read(from)?;
            let life = Some((dot.actor, dot.life));
            if life <= last {
                return Err(DecodeError::NotCanonical { what: "context" });
            }
            last = life;
            context.add(dot);
        }
        Ok(context)
    }
}

impl<T: Field> Field for Vec<T> {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        write_list(to, self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_all(from, T::BYTES_MIN, T::read)
    }
}

impl<T: Field> Field for Option<T> {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.flag(self.is_some());
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(if from.flag("option")? {
            Some(T::read(from)?)
        } else {
            None
        })
    }
}

/// A count, then the elements.
pub fn write_list<T: Field>(to: &mut Writer, list: &[T]) {
    to.count(list.len());
    for element in list {
        element.write(to);
    }
}

/// Reads a count, then so many elements of at least `element_bytes_min` bytes.
pub fn read_all<'a, T>(
    from: &mut Reader<'a>,
    element_bytes_min: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = from.count(element_bytes_min)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(read(from)?);
    }
    Ok(list)
}

/// What is written for a success that says nothing more.
impl Field for () {
    const BYTES_MIN: usize = 0;

    fn write(&self, _to: &mut Writer) {}

    fn read(_from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// One after the other.
impl<A: Field, B: Field> Field for (A, B) {
    const BYTES_MIN: usize = A::BYTES_MIN + B::BYTES_MIN;

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((Field::read(from)?, Field::read(from)?))
    }
}
