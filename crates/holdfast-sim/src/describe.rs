//! Messages, inputs and answers in a few words, for traces; and their trip over the wire.

use holdfast_core::context::Context;
use holdfast_core::message::{Envelope, Message, ReadResult, ShardRows, WritePurpose};
use holdfast_core::node::Input;
use holdfast_core::record::Record;
use holdfast_core::request::{Answer, ClientRequest, PageEntry, PutValue, Request, UploadStep};
use holdfast_core::wire::message::{decode, encode};

use crate::checkers::Promise;
use crate::checkers::acked_kept::show;
use crate::checkers::dots::{name, tick};
use crate::coverage::Reached;
use crate::watch::Watch;

/// A context, for people.
#[must_use]
pub fn context(context: &Context) -> String {
    let entries = context.entries().map(|(actor, life, tick)| match life.0 >> 63 {
        0 => name(holdfast_core::ids::Dot { actor, life, tick }),
        // Attempts at a client write.
        _ => format!("(req {:08x} up to {})", actor.0 >> 32, self::tick(tick)),
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
}

fn record(record: &Record) -> String {
    format!("{} knowing {}", show(record), context(record.context()))
}

/// The kind of a message as a number, for the short hash.
#[must_use]
pub fn kind(message: &Message) -> u64 {
    let (tag, op) = match message {
        Message::Write(write) => (1, write.op),
        Message::WriteReply { op, .. } => (2, *op),
        Message::Read { op, .. } => (3, *op),
        Message::ReadReply { op, .. } => (4, *op),
        Message::Forward { op, .. } => (5, *op),
        Message::ForwardReply { op, .. } => (6, *op),
        Message::WriteChunk { op, .. } => (7, *op),
        Message::WriteChunkReply { op, .. } => (8, *op),
        Message::ReadChunk { op, .. } => (9, *op),
        Message::ReadChunkReply { op, .. } => (10, *op),
        Message::List { op, .. } => (11, *op),
        Message::ListReply { op, .. } => (12, *op),
        Message::WriteSide { op, .. } => (13, *op),
        Message::WriteSideReply { op, .. } => (14, *op),
        Message::ReadSide { op, .. } => (15, *op),
        Message::ReadSideReply { op, .. } => (16, *op),
        Message::Count { op, .. } => (17, *op),
        Message::CountReply { op, .. } => (18, *op),
        Message::Compare { op, .. } => (19, *op),
        Message::CompareReply { op, .. } => (20, *op),
        Message::Collect { op, .. } => (21, *op),
        Message::CollectReply { op, .. } => (22, *op),
        Message::Claim { op, .. } => (23, *op),
        Message::ClaimReply { op, .. } => (24, *op),
        Message::Announce { op, .. } => (25, *op),
        Message::Announced { op, .. } => (26, *op),
        Message::Find { op, .. } => (27, *op),
        Message::FindReply { op, .. } => (28, *op),
    };
    op.0 << 5 | tag
}

/// A message.
#[must_use]
pub fn envelope(envelope: &Envelope) -> String {
    let text = match &envelope.message {
        Message::Write(write) => {
            let purpose = match write.purpose {
                WritePurpose::Repair => "repair",
                WritePurpose::Handoff => "handoff",
                WritePurpose::Commit if write.stands_for.is_empty() => "write",
                WritePurpose::Commit => "hint",
            };
            let own = context(&write.own_context);
            format!(
                "{purpose} {:x} {:?} {} own {own}",
                write.op.0,
                write.place.key,
                record(&write.copy.record)
            )
        }
        Message::WriteReply {
            op,
            result: Ok(written),
        } => {
            let beyond = written
                .beyond
                .as_ref()
                .map_or_else(String::new, |beyond| format!(" BEYOND {}", context(beyond)));
            format!("written {:x} {}{beyond}", op.0, context(&written.context))
        }
        Message::Read { op, place, .. } => format!("read {:x} {:?}", op.0, place.key),
        Message::ReadReply {
            op,
            result: Ok(ReadResult::Copy(copy)),
        } => {
            format!("has {:x} {}", op.0, record(&copy.record))
        }
        Message::Forward { op, above, request } => {
            format!("forward {:x} {} above {}", op.0, self::request(request), tick(*above))
        }
        Message::Claim { op, forward, up_to } => {
            format!("claim {:x} of {:x} up to {}", op.0, forward.0, tick(*up_to))
        }
        Message::ClaimReply { op, up_to } => format!("granted {:x} up to {}", op.0, tick(*up_to)),
        Message::ForwardReply { op, answer } => format!("forwarded {:x} {}", op.0, self::answer(answer)),
        Message::ListReply { op, result: Ok(shards) } => {
            let shards = shards.iter().map(|shard| match shard {
                ShardRows::Same => "same".to_owned(),
                ShardRows::Rows { rows, end } => format!("{} rows {end:?}", rows.len()),
            });
            format!("listed {:x} {}", op.0, shards.collect::<Vec<_>>().join(", "))
        }
        other => short(other),
    };
    format!("{text} [req {:08x}]", envelope.header.request.0 >> 96)
}

/// A request.
#[must_use]
pub fn request(request: &ClientRequest) -> String {
    let id = format!("{:08x}", request.request.0 >> 96);
    match &request.what {
        Request::Put(put) => {
            let verb = if put.value == PutValue::Deletion {
                "delete"
            } else {
                "put"
            };
            let context = put.context.as_ref().map_or_else(|| "blind".to_owned(), context);
            format!("{verb} {id} {:?} {context}", put.key.key)
        }
        Request::Get(get) => format!("get {:?}", get.key.key),
        Request::List(list) => {
            format!("list {:?} by {:?} after {:?}", list.prefix, list.delimiter, list.after)
        }
        Request::Upload(upload) => match &upload.step {
            UploadStep::Complete { id: upload_id, .. } => {
                format!("complete {id} upload {upload_id} {:?}", upload.key.key)
            }
            step => format!("upload {:?} {}", upload.key.key, short(step)),
        },
        Request::WriteChunk(chunk) => format!("write chunk {:?}", chunk.id),
        other => short(other),
    }
}

/// An input's kind.
#[must_use]
pub const fn input_kind(input: &Input) -> &'static str {
    match input {
        Input::Client(..) => "client",
        Input::ClientGone(_) => "client gone",
        Input::Peer(..) => "message",
        Input::Datagram(..) => "datagram",
        Input::Find(..) => "find",
        Input::Maintain(..) => "maintain",
        Input::Repair => "repair",
        Input::PeerUp(_) => "peer up",
        Input::PeerDown(_) => "peer down",
        Input::Synced(_) => "synced",
        Input::ChunkWritten(..) => "chunk written",
        Input::ChunkRead(..) => "chunk read",
        Input::ChunksRemoved(..) => "chunks removed",
        Input::Timer => "timer",
    }
}

/// An input.
#[must_use]
pub fn input(input: &Input) -> String {
    match input {
        Input::Client(token, request) => format!("{}: {}", token.0, self::request(request)),
        Input::ChunkRead(token, result) => {
            let length = result.as_ref().map(|bytes| bytes.as_ref().map(bytes::Bytes::len));
            format!("chunk read {} {length:?}", token.0)
        }
        other => short(other),
    }
}

/// An answer.
#[must_use]
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Put(outcome) => format!(
            "put {} knowing {} siblings {} written {:?} pending {:?} down {:?} hinted {:?}",
            name(outcome.dot),
            context(&outcome.context),
            outcome.siblings,
            outcome.written,
            outcome.pending,
            outcome.down,
            outcome.hinted
        ),
        Answer::Got(got) => format!("got {} down {:?} by {:?}", record(&got.record), got.down, got.stand_ins),
        Answer::Page(page) => {
            let names = page.entries.iter().map(|entry| match entry {
                PageEntry::Object { key, .. } => format!("{key:?}"),
                PageEntry::CommonPrefix(prefix) => format!("{prefix:?}*"),
            });
            format!("page {} next {:?}", names.collect::<Vec<_>>().join(" "), page.next)
        }
        Answer::ChunkRead(bytes) => format!("chunk of {} bytes", bytes.len()),
        other => short(other),
    }
}

fn short(value: &impl std::fmt::Debug) -> String {
    let mut text = format!("{value:?}");
    if text.len() > 300 {
        let end = (0..=300).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A message as its reader gets it from the wire.
pub fn through_wire(watch: &mut Watch, now_us: u64, envelope: Envelope) -> Envelope {
    watch.coverage.reach(Reached::WireRoundTrips);
    let (head, payload) = encode(&envelope);
    match decode(head.into(), payload) {
        Ok(read) if read == envelope => read,
        Ok(read) => {
            let what = format!("sent {envelope:?}, read {read:?}");
            watch.violated(now_us, Promise::WireFaithful, what);
            envelope
        }
        Err(error) => {
            watch.violated(now_us, Promise::WireFaithful, format!("{error:?} in {envelope:?}"));
            envelope
        }
    }
}
