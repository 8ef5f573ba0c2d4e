//! One client's request on its way through a gateway: its way is looked for, then it is handed to one home after another until one
//! answers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chord::Lookup;
use crate::coordinate::handing::Handing;
use crate::ids::{NodeId, Position};
use crate::node::ClientToken;
use crate::place::{chunk_position, shard_of, shard_position};
use crate::request::{Answer, ClientRequest, ReadFault, Request, StateChange, UploadStep, WriteError, WriteFault};

/// What a client wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// Something done.
    Request(Box<ClientRequest>),
    /// The way to a position alone.
    Way,
}

/// A request, and how far it has come.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) token: ClientToken,
    pub(super) wish: Wish,
    /// Where it goes; anywhere if nowhere.
    pub(super) to: Option<Position>,
    /// When the client asked, in Unix milliseconds.
    pub(super) asked_ms: u64,
    pub(super) deadline_us: u64,
    /// Until when it waits for a connection.
    pub(super) connect_until_us: u64,
    pub(super) stage: Stage,
    pub(super) wake_us: u64,
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its way is looked for; whom it has asked, and until when it waits for his answer.
    Seeking { lookup: Lookup, asked: Option<NodeId> },
    /// It is with a node.
    Handed(Handing),
}

/// Where a request goes; `None` when every node can take it as well as any other.
pub(super) fn destination(request: &Request) -> Option<Position> {
    let of_key = |settings: &crate::bucket::Settings, key: &str| {
        shard_position(settings.id, shard_of(key, settings.shards), settings.shards)
    };
    match request {
        Request::Put(put) => Some(of_key(&put.settings, &put.key.key)),
        Request::Get(get) => Some(of_key(&get.settings, &get.key.key)),
        Request::Upload(upload) if matches!(upload.step, UploadStep::List { .. }) => None,
        Request::Upload(upload) => Some(of_key(&upload.settings, &upload.key.key)),
        Request::WriteChunk(write) => Some(chunk_position(write.id)),
        Request::ReadChunk(read) => Some(chunk_position(read.id)),
        Request::List(_) | Request::Count(_) => None,
    }
}

/// How many homes it has.
pub(super) const fn homes(request: &Request) -> u8 {
    match request {
        Request::Put(put) => put.settings.n,
        Request::Get(get) => get.settings.n,
        Request::Upload(upload) => upload.settings.n,
        Request::WriteChunk(write) => write.settings.n,
        Request::ReadChunk(read) => read.settings.n,
        Request::List(list) => list.settings.n,
        Request::Count(settings) => settings.n,
    }
}

/// How long whoever need not ask back ([`Request::needs_claim`]) is waited for before another is asked too, in milliseconds. Doing any
/// of these twice does no harm; doing them too often costs.
pub(super) const fn patience_ms(request: &Request) -> u64 {
    match request {
        Request::Get(_) | Request::ReadChunk(_) => 2_000,
        Request::List(_) | Request::Upload(_) => 4_000,
        Request::Count(_) | Request::Put(_) | Request::WriteChunk(_) => 10_000,
    }
}

/// Those to whom a request may be handed: its homes, beginning with another one each time, then those that may stand in.
pub(super) fn in_turn(nodes: &[NodeId], homes: u8, turn: u64) -> VecDeque<NodeId> {
    let count = usize::from(homes).min(nodes.len());
    let (homes, others) = nodes.split_at(count);
    let mut homes: Vec<NodeId> = homes.to_vec();
    let first = turn.checked_rem(count as u64).unwrap_or(0);
    homes.rotate_left(first as usize);
    homes.into_iter().chain(others.iter().copied()).collect()
}

/// What is to be made of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The client gets it.
    Tell(Answer),
    /// Another node may do better; if there is none, the client gets this.
    TryOthers(Answer),
}

/// Judges what a node answered. Nothing is told to be unchanged that an earlier node may have changed.
pub(super) fn judge(answer: Answer, asked_before: bool) -> Verdict {
    match answer {
        Answer::WriteFailed(WriteError {
            state: StateChange::Unchanged,
            fault,
        }) => {
            let state = if asked_before {
                StateChange::Unknown
            } else {
                StateChange::Unchanged
            };
            let may_be_cured = fault.may_be_cured();
            let answer = Answer::WriteFailed(WriteError { state, fault });
            if may_be_cured {
                Verdict::TryOthers(answer)
            } else {
                Verdict::Tell(answer)
            }
        }
        Answer::ReadFailed(fault) if fault != ReadFault::NoSuchUpload => Verdict::TryOthers(Answer::ReadFailed(fault)),
        answer => Verdict::Tell(answer),
    }
}

/// What a client is told when nobody can be asked, or nobody has answered in time.
pub(super) fn failure(request: &Request, may_have_begun: bool, down: Vec<NodeId>, is_late: bool) -> Answer {
    if request.is_read() {
        return Answer::ReadFailed(if is_late {
            ReadFault::TimedOut { needed: 1, answered: 0 }
        } else {
            ReadFault::Unavailable {
                needed: 1,
                reached: 0,
                down,
            }
        });
    }
    Answer::WriteFailed(WriteError {
        state: if may_have_begun {
            StateChange::Unknown
        } else {
            StateChange::Unchanged
        },
        fault: if is_late {
            WriteFault::TimedOut { needed: 1, synced: 0 }
        } else {
            WriteFault::Unavailable {
                needed: 1,
                reached: 0,
                down,
            }
        },
    })
}
