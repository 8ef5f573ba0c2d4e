//! Answers to clients as bytes, for nodes that handed the request on (`ForwardReply`).

use crate::codec::{DecodeError, Reader, Writer};
use crate::context::Context;
use crate::ids::{Dot, NodeId};
use crate::record::Record;
use crate::request::{Answer, Got, Page, PageEntry, PutOutcome};
use crate::wire::field::Field;
use crate::wire::limit::{ETAG_BYTES_MAX, OBJECT_KEY_BYTES_MAX, SEARCH_BYTES_MAX};
use crate::wire::message::{Payload, replica};
use crate::wire::record;

/// An answer; the bytes of a chunk are left to the payload.
pub fn write_answer(to: &mut Writer, answer: &Answer) {
    match answer {
        Answer::Put(outcome) => {
            to.u8(0);
            outcome.write(to);
        }
        Answer::Got(got) => {
            to.u8(1);
            got.write(to);
        }
        Answer::Page(page) => {
            to.u8(2);
            page.write(to);
        }
        Answer::ChunkWritten => to.u8(3),
        Answer::ChunkRead(body) => {
            to.u8(4);
            Payload::write_length(to, body);
        }
        Answer::UploadCreated => to.u8(5),
        Answer::PartStored => to.u8(6),
        Answer::Upload(info, parts) => {
            to.u8(7);
            info.write(to);
            parts.write(to);
        }
        Answer::UploadAborted => to.u8(8),
        Answer::Uploads(uploads, more) => {
            to.u8(9);
            uploads.write(to);
            to.flag(*more);
        }
        Answer::Counted(count) => {
            to.u8(10);
            count.write(to);
        }
        Answer::WriteFailed(error) => {
            to.u8(11);
            error.write(to);
        }
        Answer::ReadFailed(fault) => {
            to.u8(12);
            fault.write(to);
        }
    }
}

/// Reads what [`write_answer`] wrote.
pub fn read_answer(from: &mut Reader<'_>, payload: &mut Payload) -> Result<Answer, DecodeError> {
    Ok(match from.u8()? {
        0 => Answer::Put(Field::read(from)?),
        1 => Answer::Got(Field::read(from)?),
        2 => Answer::Page(Field::read(from)?),
        3 => Answer::ChunkWritten,
        4 => Answer::ChunkRead(payload.take(from)?),
        5 => Answer::UploadCreated,
        6 => Answer::PartStored,
        7 => Answer::Upload(Field::read(from)?, Field::read(from)?),
        8 => Answer::UploadAborted,
        9 => Answer::Uploads(Field::read(from)?, from.flag("more uploads")?),
        10 => Answer::Counted(Field::read(from)?),
        11 => Answer::WriteFailed(Field::read(from)?),
        12 => Answer::ReadFailed(Field::read(from)?),
        tag => return Err(DecodeError::BadTag { what: "answer", tag }),
    })
}

/// About how long an answer becomes.
pub fn capacity_of(answer: &Answer) -> usize {
    match answer {
        Answer::Put(_) => 512,
        Answer::Got(got) => 512 + record::capacity_of(&got.record) + replica::capacity_of_bodies(&got.bodies),
        Answer::Page(page) => page.entries.iter().map(capacity_of_entry).sum(),
        Answer::Upload(_, parts) => 512 + parts.len() * 128,
        Answer::Uploads(uploads, _) => uploads.len() * 192,
        _ => 64,
    }
}

fn capacity_of_entry(entry: &PageEntry) -> usize {
    match entry {
        PageEntry::Object { key, record } => key.len() + record.as_bytes().len() + 4,
        PageEntry::CommonPrefix(prefix) => prefix.len() + 4,
    }
}

impl Field for PutOutcome {
    const BYTES_MIN: usize = Dot::BYTES_MIN + Context::BYTES_MIN + 1 + 1 + NodeId::BYTES_MIN + 6;

    fn write(&self, to: &mut Writer) {
        self.dot.write(to);
        self.context.write(to);
        to.str(&self.etag);
        to.varint(u64::from(self.siblings));
        self.coordinator.write(to);
        self.preference_list.write(to);
        self.written.write(to);
        self.pending.write(to);
        self.down.write(to);
        self.hinted.write(to);
        self.clocks.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            dot: Field::read(from)?,
            context: Field::read(from)?,
            etag: from.str("etag", ETAG_BYTES_MAX)?,
            siblings: from.varint_u32("number of siblings")?,
            coordinator: Field::read(from)?,
            preference_list: Field::read(from)?,
            written: Field::read(from)?,
            pending: Field::read(from)?,
            down: Field::read(from)?,
            hinted: Field::read(from)?,
            clocks: Field::read(from)?,
        })
    }
}

impl Field for Got {
    const BYTES_MIN: usize = Record::BYTES_MIN + 1 + NodeId::BYTES_MIN + 5;

    fn write(&self, to: &mut Writer) {
        self.record.write(to);
        replica::write_bodies(to, &self.bodies);
        self.coordinator.write(to);
        self.preference_list.write(to);
        self.clocks.write(to);
        self.down.write(to);
        self.stand_ins.write(to);
        self.holders_unheard.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            record: Field::read(from)?,
            bodies: replica::read_bodies(from)?,
            coordinator: Field::read(from)?,
            preference_list: Field::read(from)?,
            clocks: Field::read(from)?,
            down: Field::read(from)?,
            stand_ins: Field::read(from)?,
            holders_unheard: Field::read(from)?,
        })
    }
}

impl Field for Page {
    const BYTES_MIN: usize = 3;

    fn write(&self, to: &mut Writer) {
        self.entries.write(to);
        to.flag(self.by_stand_ins);
        to.flag(self.next.is_some());
        if let Some(next) = &self.next {
            to.str(next);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            entries: Field::read(from)?,
            by_stand_ins: from.flag("answered by stand-ins")?,
            next: if from.flag("next page")? {
                Some(from.str("start of a page", SEARCH_BYTES_MAX)?)
            } else {
                None
            },
        })
    }
}

impl Field for PageEntry {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Object { key, record } => {
                to.u8(0);
                to.str(key);
                record.write(to);
            }
            Self::CommonPrefix(prefix) => {
                to.u8(1);
                to.str(prefix);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::Object {
                key: from.str("key", OBJECT_KEY_BYTES_MAX)?,
                record: Field::read(from)?,
            }),
            1 => from.str("common prefix", SEARCH_BYTES_MAX).map(Self::CommonPrefix),
            tag => Err(DecodeError::BadTag {
                what: "line of a page",
                tag,
            }),
        }
    }
}
