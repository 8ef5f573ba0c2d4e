//! A record as its bytes, taken apart only as far as somebody looks.
//!
//! A listing handles some twelve hundred records for a page of a thousand, and needs of each whether it is visible and of
//! those it shows a time, a size and an ETag. Decoding them whole made five allocations each, and was a fifth of a page.
//!
//! Invariant: the bytes are those of one canonical record, which was checked when this was made. So equal records are
//! equal here, and looking closer later cannot fail.

use bytes::Bytes;

use super::content::ContentView;
use super::field::Field;
use super::record::{NOT_SORTED, decode_record, encode_record, read_format, read_value};
use crate::codec::{DecodeError, Reader, Writer};
use crate::content::{Content, Kind};
use crate::ids::{Dot, RequestId};
use crate::record::Record;

/// A record in its canonical encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncodedRecord {
    bytes: Bytes,
    seen: Seen,
}

/// What was seen of a record when it was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// How many bytes before the record's end its visible version begins; 0 when it has none.
    visible_from_end: usize,
}

impl Seen {
    /// Checks a whole record, which must be all there is in `bytes`.
    pub(crate) fn in_record(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::over_slice(bytes);
        let seen = skim(&mut reader)?;
        reader.finish()?;
        Ok(seen)
    }

    /// Whether a plain client sees an object.
    pub(crate) const fn is_visible(self) -> bool {
        self.visible_from_end > 0
    }
}

/// The version that a plain client sees.
#[derive(Clone, Debug)]
pub struct VersionView<'a> {
    /// The write that made it.
    pub dot: Dot,
    /// What was written.
    pub content: ContentView<'a>,
}

impl EncodedRecord {
    /// Encodes a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let bytes = Bytes::from(encode_record(record));
        let seen = Seen::in_record(&bytes);
        debug_assert!(seen.is_ok(), "what is written can be read");
        Self {
            bytes,
            seen: seen.unwrap_or(Seen { visible_from_end: 0 }),
        }
    }

    /// The record that these bytes are.
    ///
    /// # Errors
    /// As [`decode_record`] of them.
    pub fn read_all(bytes: Bytes) -> Result<Self, DecodeError> {
        let seen = Seen::in_record(&bytes)?;
        Ok(Self { bytes, seen })
    }

    /// Bytes in which this was seen.
    pub(crate) const fn seen(bytes: Bytes, seen: Seen) -> Self {
        Self { bytes, seen }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it.
    #[must_use]
    pub fn decode(&self) -> Record {
        let record = decode_record(&self.bytes);
        debug_assert!(record.is_ok(), "checked when it was made");
        record.unwrap_or_default()
    }

    /// Whether a plain client sees an object; as [`Record::visible`].
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.seen.is_visible()
    }

    /// What a plain client sees; as [`Record::visible`].
    #[must_use]
    pub fn visible(&self) -> Option<VersionView<'_>> {
        if !self.is_visible() {
            return None;
        }
        let from = self.bytes.len().checked_sub(self.seen.visible_from_end)?;
        let mut reader = Reader::over_slice(&self.bytes[from..]);
        let dot = Dot::read(&mut reader).ok()?;
        let content = read_value(&mut reader).ok()?;
        Some(VersionView { dot, content })
    }
}

/// Reads a record, checks all that decoding it would check and in the same order, and keeps nothing of it.
fn skim(from: &mut Reader<'_>) -> Result<Seen, DecodeError> {
    read_format(from)?;
    let context = ContextView::read(from)?;
    let count = from.count(Dot::BYTES_MIN + RequestId::BYTES_MIN + Content::BYTES_MIN)?;
    let (mut last, mut visible_from_end) = (None, None);
    for _ in 0..count {
        let from_end = from.remaining();
        let dot = Dot::read(from)?;
        if last >= Some(dot) || !context.covers(dot) {
            return Err(NOT_SORTED);
        }
        last = Some(dot);
        let content = read_value(from)?;
        visible_from_end = (content.kind == Kind::Value).then_some(from_end);
    }
    let after = from.remaining();
    Ok(Seen {
        visible_from_end: visible_from_end.map_or(0, |from_end| from_end - after),
    })
}

/// An encoded context: entries of (actor, life, tick), whose bytes sort as their numbers do.
struct ContextView<'a>(&'a [u8]);

impl<'a> ContextView<'a> {
    const LIFE_BYTES: usize = 16;

    fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = from.count(Dot::BYTES_MIN)?;
        let context = Self(from.raw(count * Dot::BYTES_MIN)?);
        let lives = || context.entries().map(|(life, _)| life);
        if lives().zip(lives().skip(1)).all(|(life, next)| life < next) {
            Ok(context)
        } else {
            Err(DecodeError::NotCanonical { what: "context" })
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.0
            .chunks_exact(Dot::BYTES_MIN)
            .map(|entry| entry.split_at(Self::LIFE_BYTES))
    }

    fn covers(&self, dot: Dot) -> bool {
        let mut life = [0; Self::LIFE_BYTES];
        life[..8].copy_from_slice(&dot.actor.0.to_be_bytes());
        life[8..].copy_from_slice(&dot.life.0.to_be_bytes());
        self.entries()
            .any(|(own, tick)| own == life && tick >= dot.tick.0.to_be_bytes().as_slice())
    }
}

impl Field for EncodedRecord {
    const BYTES_MIN: usize = Record::BYTES_MIN;

    fn write(&self, to: &mut Writer) {
        to.raw(&self.bytes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut whole = from.clone();
        let seen = skim(from)?;
        // A copy, so that one record does not keep the message of a thousand alive.
        let bytes = Bytes::copy_from_slice(whole.raw(whole.remaining() - from.remaining())?);
        Ok(Self { bytes, seen })
    }
}
