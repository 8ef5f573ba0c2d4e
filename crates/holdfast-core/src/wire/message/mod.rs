//! Envelopes as bytes: what crosses the wire between nodes (rule L8).
//!
//! An envelope becomes a *head*, which holds everything but the one big body a message may carry, and a *payload*, which
//! is that body, never copied: a chunk on its way in or out. The head begins with the format level, then the header at
//! fixed offsets, then the tag of the message. Inline bodies stand in the head and come out as slices of it, so they
//! keep the whole head in memory as long as they live.
//!
//! A program writes the level of the layout, which every member can read; it reads that level and the one before.
//! Today there is one. A message that cannot be decoded is dropped by whoever received it: its asker's deadline passes.

mod announce;
mod answer;
mod collect;
mod fault;
mod find;
mod replica;
mod request;
mod side;
mod upload;
mod walk;

use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::message::{Envelope, Header, Message};
use crate::request::{Answer, Request};
use crate::wire::field::{Field, read_all, write_list};
use crate::wire::limit::{PAYLOAD_BYTES_MAX, ROW_KEY_BYTES_MAX};

/// First byte of every head: the only format level there is.
pub const FORMAT_LEVEL: u8 = 1;

/// Level, header and tag: what every head holds at least.
pub const HEAD_BYTES_MIN: usize = 1 + HEADER_BYTES + 1;

const HEADER_BYTES: usize = 16 + 4 + 8 + 8 + 16 + 8 + 4;

/// An envelope as head and payload.
#[must_use]
pub fn encode(envelope: &Envelope) -> (Vec<u8>, Bytes) {
    let mut head = Writer::with_capacity(capacity_of(&envelope.message));
    head.u8(FORMAT_LEVEL);
    write_header(&mut head, &envelope.header);
    head.u8(tag_of(&envelope.message));
    write_message(&mut head, &envelope.message);
    (head.into_vec(), payload_of(&envelope.message))
}

/// Reads what [`encode`] made.
pub fn decode(head: Bytes, payload: Bytes) -> Result<Envelope, DecodeError> {
    let mut reader = Reader::over_frame(&head);
    match reader.u8()? {
        FORMAT_LEVEL => {}
        version => {
            return Err(DecodeError::UnknownVersion {
                what: "message",
                version,
            });
        }
    }
    let header = read_header(&mut reader)?;
    let mut payload = Payload(payload);
    let tag = reader.u8()?;
    let message = match tag {
        WRITE..=READ_CHUNK_REPLY => read_object_message(tag, &mut reader, &mut payload)?,
        _ => read_range_message(tag, &mut reader)?,
    };
    reader.finish()?;
    payload.finish()?;
    Ok(Envelope { header, message })
}

const WRITE: u8 = 1;
const WRITE_REPLY: u8 = 2;
const READ: u8 = 3;
const READ_REPLY: u8 = 4;
const FORWARD: u8 = 5;
const FORWARD_REPLY: u8 = 6;
const WRITE_CHUNK: u8 = 7;
const WRITE_CHUNK_REPLY: u8 = 8;
const READ_CHUNK: u8 = 9;
const READ_CHUNK_REPLY: u8 = 10;
const LIST: u8 = 11;
const LIST_REPLY: u8 = 12;
const WRITE_SIDE: u8 = 13;
const WRITE_SIDE_REPLY: u8 = 14;
const READ_SIDE: u8 = 15;
const READ_SIDE_REPLY: u8 = 16;
const COUNT: u8 = 17;
const COUNT_REPLY: u8 = 18;
const COMPARE: u8 = 19;
const COMPARE_REPLY: u8 = 20;
const COLLECT: u8 = 21;
const COLLECT_REPLY: u8 = 22;
const CLAIM: u8 = 23;
const CLAIM_REPLY: u8 = 24;
const ANNOUNCE: u8 = 25;
const ANNOUNCED: u8 = 26;
const FIND: u8 = 27;
const FIND_REPLY: u8 = 28;

const fn tag_of(message: &Message) -> u8 {
    match message {
        Message::Write(_) => WRITE,
        Message::WriteReply { .. } => WRITE_REPLY,
        Message::Read { .. } => READ,
        Message::ReadReply { .. } => READ_REPLY,
        Message::Forward { .. } => FORWARD,
        Message::ForwardReply { .. } => FORWARD_REPLY,
        Message::WriteChunk { .. } => WRITE_CHUNK,
        Message::WriteChunkReply { .. } => WRITE_CHUNK_REPLY,
        Message::ReadChunk { .. } => READ_CHUNK,
        Message::ReadChunkReply { .. } => READ_CHUNK_REPLY,
        Message::List { .. } => LIST,
        Message::ListReply { .. } => LIST_REPLY,
        Message::WriteSide { .. } => WRITE_SIDE,
        Message::WriteSideReply { .. } => WRITE_SIDE_REPLY,
        Message::ReadSide { .. } => READ_SIDE,
        Message::ReadSideReply { .. } => READ_SIDE_REPLY,
        Message::Count { .. } => COUNT,
        Message::CountReply { .. } => COUNT_REPLY,
        Message::Compare { .. } => COMPARE,
        Message::CompareReply { .. } => COMPARE_REPLY,
        Message::Collect { .. } => COLLECT,
        Message::CollectReply { .. } => COLLECT_REPLY,
        Message::Claim { .. } => CLAIM,
        Message::ClaimReply { .. } => CLAIM_REPLY,
        Message::Announce { .. } => ANNOUNCE,
        Message::Announced { .. } => ANNOUNCED,
        Message::Find { .. } => FIND,
        Message::FindReply { .. } => FIND_REPLY,
    }
}

/// The one big body of a message: a chunk, or part of one, also inside a forwarded request or its answer.
fn payload_of(message: &Message) -> Bytes {
    match message {
        Message::WriteChunk { body, .. } | Message::ReadChunkReply { result: Ok(body), .. } => body.clone(),
        Message::Forward { request, .. } => match &request.what {
            Request::WriteChunk(chunk) => chunk.body.clone(),
            _ => Bytes::new(),
        },
        Message::ForwardReply {
            answer: Answer::ChunkRead(body),
            ..
        } => body.clone(),
        _ => Bytes::new(),
    }
}

/// The payload while its message is being read: the head says how long it must be.
struct Payload(Bytes);

impl Payload {
    /// What stands in the head for a body that travels as payload.
    fn write_length(to: &mut Writer, body: &Bytes) {
        to.count(body.len());
    }

    /// The body whose length the head tells next.
    fn take(&mut self, from: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
        let length = from.varint()?;
        if length > PAYLOAD_BYTES_MAX as u64 {
            return Err(DecodeError::TooLong { what: "payload" });
        }
        match length.cmp(&(self.0.len() as u64)) {
            core::cmp::Ordering::Equal => Ok(core::mem::take(&mut self.0)),
            core::cmp::Ordering::Greater => Err(DecodeError::Truncated),
            core::cmp::Ordering::Less => Err(DecodeError::TrailingBytes),
        }
    }

    const fn finish(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }
}

fn write_header(to: &mut Writer, header: &Header) {
    header.cluster.write(to);
    to.u32(header.era);
    to.u64(header.epoch);
    to.u64(header.settings_version);
    header.request.write(to);
    to.u64(header.content_ms);
    to.u32(header.deadline_ms);
}

fn read_header(from: &mut Reader<'_>) -> Result<Header, DecodeError> {
    Ok(Header {
        cluster: Field::read(from)?,
        era: from.u32()?,
        epoch: from.u64()?,
        settings_version: from.u64()?,
        request: Field::read(from)?,
        content_ms: from.u64()?,
        deadline_ms: from.u32()?,
    })
}

/// Everything after the tag.
fn write_message(to: &mut Writer, message: &Message) {
    match message {
        Message::Write(write) => write.write(to),
        Message::WriteReply { op, result } => write_reply(to, op, result),
        Message::Read {
            op,
            place,
            known,
            bodies,
            to_merge,
        } => {
            op.write(to);
            place.write(to);
            known.write(to);
            bodies.write(to);
            to.flag(*to_merge);
        }
        Message::ReadReply { op, result } => write_reply(to, op, result),
        Message::Forward { op, above, request } => {
            op.write(to);
            above.write(to);
            request::write_client_request(to, request);
        }
        Message::ForwardReply { op, answer } => {
            op.write(to);
            answer::write_answer(to, answer);
        }
        Message::WriteChunk { .. }
        | Message::WriteChunkReply { .. }
        | Message::ReadChunk { .. }
        | Message::ReadChunkReply { .. } => write_chunk_message(to, message),
        Message::List { op, walk, shards } => {
            op.write(to);
            walk.write(to);
            shards.write(to);
        }
        Message::ListReply { op, result } => write_reply(to, op, result),
        Message::WriteSide { op, rows, check_open } => {
            op.write(to);
            rows.write(to);
            to.flag(*check_open);
        }
        Message::WriteSideReply { op, result } => write_reply(to, op, result),
        Message::ReadSide { op, ranges, count_max } => {
            op.write(to);
            ranges.write(to);
            to.u32(*count_max);
        }
        Message::ReadSideReply { op, result } => write_reply(to, op, result),
        Message::Count { op, bucket, partitions } => {
            op.write(to);
            bucket.write(to);
            write_list(to, partitions);
        }
        Message::CountReply { op, result } => write_reply(to, op, result),
        Message::Compare {
            op,
            what,
            from,
            to: end,
            fingerprint,
        } => {
            op.write(to);
            what.write(to);
            to.bytes(from);
            to.bytes(end);
            fingerprint.write(to);
        }
        Message::CompareReply { op, result } => write_reply(to, op, result),
        Message::Collect { .. }
        | Message::CollectReply { .. }
        | Message::Claim { .. }
        | Message::ClaimReply { .. }
        | Message::Announce { .. }
        | Message::Announced { .. }
        | Message::Find { .. }
        | Message::FindReply { .. } => write_message_between_members(to, message),
    }
}

/// The messages that carry chunks.
fn write_chunk_message(to: &mut Writer, message: &Message) {
    match message {
        Message::WriteChunk {
            op,
            header,
            body,
            stands_for,
        } => {
            op.write(to);
            header.write(to);
            stands_for.write(to);
            Payload::write_length(to, body);
        }
        Message::WriteChunkReply { op, result } => write_reply(to, op, result),
        Message::ReadChunk {
            op,
            partition,
            id,
            from,
            length,
        } => {
            op.write(to);
            partition.write(to);
            id.write(to);
            to.u32(*from);
            to.u32(*length);
        }
        Message::ReadChunkReply { op, result } => {
            op.write(to);
            fault::write_refusable(to, result, Payload::write_length);
        }
        _ => unreachable!("written by the caller"),
    }
}

/// The messages that are about no client's request.
fn write_message_between_members(to: &mut Writer, message: &Message) {
    match message {
        Message::Collect { op, ask } => {
            op.write(to);
            ask.write(to);
        }
        Message::CollectReply { op, result } => write_reply(to, op, result),
        Message::Claim { op, forward, up_to } => {
            op.write(to);
            forward.write(to);
            up_to.write(to);
        }
        Message::ClaimReply { op, up_to } => {
            op.write(to);
            up_to.write(to);
        }
        Message::Announce { op, said } => {
            op.write(to);
            said.write(to);
        }
        Message::Find { op, to: position, dead } => {
            op.write(to);
            position.write(to);
            dead.write(to);
        }
        Message::FindReply { op, directions } => {
            op.write(to);
            directions.write(to);
        }
        Message::Announced { op, known, run } => {
            op.write(to);
            known.write(to);
            to.u64(*run);
        }
        _ => unreachable!("written by the caller"),
    }
}

/// The messages about one key or one chunk.
fn read_object_message(tag: u8, from: &mut Reader<'_>, payload: &mut Payload) -> Result<Message, DecodeError> {
    if tag == WRITE {
        return Field::read(from).map(Message::Write);
    }
    let op = Field::read(from)?;
    Ok(match tag {
        WRITE_REPLY => Message::WriteReply {
            op,
            result: Field::read(from)?,
        },
        READ => Message::Read {
            op,
            place: Field::read(from)?,
            known: Field::read(from)?,
            bodies: Field::read(from)?,
            to_merge: from.flag("reading to merge")?,
        },
        READ_REPLY => Message::ReadReply {
            op,
            result: Field::read(from)?,
        },
        FORWARD => Message::Forward {
            op,
            above: Field::read(from)?,
            request: request::read_client_request(from, payload)?,
        },
        FORWARD_REPLY => Message::ForwardReply {
            op,
            answer: answer::read_answer(from, payload)?,
        },
        WRITE_CHUNK => Message::WriteChunk {
            op,
            header: Field::read(from)?,
            stands_for: Field::read(from)?,
            body: payload.take(from)?,
        },
        WRITE_CHUNK_REPLY => Message::WriteChunkReply {
            op,
            result: Field::read(from)?,
        },
        READ_CHUNK => Message::ReadChunk {
            op,
            partition: Field::read(from)?,
            id: Field::read(from)?,
            from: from.u32()?,
            length: from.u32()?,
        },
        READ_CHUNK_REPLY => Message::ReadChunkReply {
            op,
            result: fault::read_refusable(from, |from| payload.take(from))?,
        },
        tag => return Err(DecodeError::BadTag { what: "message", tag }),
    })
}

/// The messages about ranges of rows.
fn read_range_message(tag: u8, from: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let op = Field::read(from)?;
    Ok(match tag {
        LIST => Message::List {
            op,
            walk: Field::read(from)?,
            shards: Field::read(from)?,
        },
        LIST_REPLY => Message::ListReply {
            op,
            result: Field::read(from)?,
        },
        WRITE_SIDE => Message::WriteSide {
            op,
            rows: Field::read(from)?,
            check_open: from.flag("check of open uploads")?,
        },
        WRITE_SIDE_REPLY => Message::WriteSideReply {
            op,
            result: Field::read(from)?,
        },
        READ_SIDE => Message::ReadSide {
            op,
            ranges: Field::read(from)?,
            count_max: from.u32()?,
        },
        READ_SIDE_REPLY => Message::ReadSideReply {
            op,
            result: Field::read(from)?,
        },
        COUNT => Message::Count {
            op,
            bucket: Field::read(from)?,
            partitions: read_all(from, 2, Field::read)?,
        },
        COUNT_REPLY => Message::CountReply {
            op,
            result: Field::read(from)?,
        },
        COMPARE => Message::Compare {
            op,
            what: Field::read(from)?,
            from: from.slice("key of a row", ROW_KEY_BYTES_MAX)?.to_vec(),
            to: from.slice("key of a row", ROW_KEY_BYTES_MAX)?.to_vec(),
            fingerprint: Field::read(from)?,
        },
        COMPARE_REPLY => Message::CompareReply {
            op,
            result: Field::read(from)?,
        },
        CLAIM => Message::Claim {
            op,
            forward: Field::read(from)?,
            up_to: Field::read(from)?,
        },
        CLAIM_REPLY => Message::ClaimReply {
            op,
            up_to: Field::read(from)?,
        },
        ANNOUNCE => Message::Announce {
            op,
            said: Field::read(from)?,
        },
        ANNOUNCED => Message::Announced {
            op,
            known: Field::read(from)?,
            run: from.u64()?,
        },
        FIND => Message::Find {
            op,
            to: Field::read(from)?,
            dead: find::read_nodes(from)?,
        },
        FIND_REPLY => Message::FindReply {
            op,
            directions: Field::read(from)?,
        },
        COLLECT => Message::Collect {
            op,
            ask: Field::read(from)?,
        },
        COLLECT_REPLY => Message::CollectReply {
            op,
            result: Field::read(from)?,
        },
        tag => return Err(DecodeError::BadTag { what: "message", tag }),
    })
}

fn write_reply(to: &mut Writer, op: &impl Field, result: &impl Field) {
    op.write(to);
    result.write(to);
}

/// About how long the head will be, so that one allocation is enough for the usual messages.
fn capacity_of(message: &Message) -> usize {
    let inner = match message {
        Message::Write(write) => {
            let side: usize = write.side.iter().map(|row| row.key.len() + row.value.len() + 16).sum();
            replica::capacity_of_copy(&write.copy) + write.own_context.len() * 24 + write.place.key.len() + side
        }
        Message::ReadReply { result: Ok(read), .. } => replica::capacity_of_read(read),
        Message::Forward { request, .. } => request::capacity_of(request),
        Message::ForwardReply { answer, .. } => answer::capacity_of(answer),
        Message::ListReply { result: Ok(shards), .. } => walk::capacity_of(shards),
        Message::ReadSideReply { result: Ok(ranges), .. } => ranges
            .iter()
            .flat_map(|(rows, _)| rows)
            .map(|row| row.key.len() + row.value.len() + 16)
            .sum(),
        Message::Read { place, .. } => place.key.len(),
        _ => 64,
    };
    HEAD_BYTES_MIN + 64 + inner
}
