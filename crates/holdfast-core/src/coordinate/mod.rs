//! Coordinators: one state machine per request in flight (Dynamo §5: "state machine per request").
//!
//! Each file is one verb. An operation is fed replies, timeouts and failures of members; it answers once, then may live
//! on for stragglers. Losing it loses no promise: what it promised is on disks.

pub(crate) mod announce;
pub(crate) mod begin;
pub(crate) mod chunk;
pub(crate) mod claim;
pub(crate) mod collect;
pub(crate) mod compare;
mod contents;
pub(crate) mod count;
pub(crate) mod forward;
pub(crate) mod get;
pub(crate) mod handing;
mod handoff;
mod hint_holders;
pub(crate) mod list;
pub(crate) mod mend;
pub(crate) mod page;
mod push_chunk;
pub(crate) mod put;
pub(crate) mod repair;
pub(crate) mod repair_all;
pub(crate) mod scrub;
pub(crate) mod stand_ins;
pub(crate) mod sweep;
pub(crate) mod upload;
pub(crate) mod upload_list;

use alloc::vec::Vec;
use bytes::Bytes;

use crate::ids::{NodeId, Tick};
use crate::message::{Message, OpId, Refusal};
use crate::node::state::{About, Step};
use crate::node::{ClientToken, Effect};
use crate::quorum::{Tally, Vote};
use crate::request::{Answer, ReadFault, StateChange, WriteError, WriteFault};
use crate::storage::{ChunkWriteError, ReadError};

/// How an operation stands after an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// It waits; wake it at this monotonic time if nothing else happens.
    Until(u64),
    /// It is over.
    Done,
}

/// An operation in flight. Events that cannot concern it do nothing.
pub(crate) trait Coordinate: Send {
    /// Its present id; a new round takes a new one, so that late replies to the old round find nobody.
    fn id(&self) -> OpId;
    /// Begins.
    fn start(&mut self, step: &mut Step<'_>) -> Progress;
    /// A member replied.
    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress;
    /// The time named is reached.
    fn timer(&mut self, step: &mut Step<'_>) -> Progress;
    /// A node to which it handed a request asks whether that still holds.
    fn claimed(&mut self, step: &mut Step<'_>, by: NodeId, claim: OpId, up_to: Tick) -> Progress {
        let _ = (by, claim, up_to);
        self.timer(step)
    }
    /// Messages can no longer be sent to a member.
    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress;
    /// The batch it waits for is on disk.
    fn own_synced(&mut self, step: &mut Step<'_>) -> Progress {
        self.timer(step)
    }
    /// Its chunk is on this disk, or not.
    fn own_chunk_written(&mut self, step: &mut Step<'_>, result: Result<(), ChunkWriteError>) -> Progress {
        let _ = result;
        self.timer(step)
    }
    /// The chunks it removes are gone from this disk, or not.
    fn own_chunks_removed(&mut self, step: &mut Step<'_>, result: Result<(), ChunkWriteError>) -> Progress {
        let _ = result;
        self.timer(step)
    }
    /// What it holds for members that are slow, in bytes, once whoever asked for it has an answer; `None` before that. Of such
    /// operations the oldest are ended when they hold too much.
    fn straggling_bytes(&self) -> Option<usize> {
        None
    }
    /// Whether it is a write that begins once this node is granted it.
    fn begins_when_granted(&self) -> bool {
        false
    }
    /// Whether nobody waits for it: its pauses grow while clients want the node.
    fn yields(&self) -> bool {
        false
    }
    /// Its chunk was read from this disk, or not.
    fn own_chunk_read(&mut self, step: &mut Step<'_>, result: Result<Option<Bytes>, ReadError>) -> Progress {
        let _ = result;
        self.timer(step)
    }
}

/// Who is told the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A client of this node.
    Client(ClientToken),
    /// A node that handed a client's write over.
    Forwarded {
        /// Which.
        by: NodeId,
        /// Its operation.
        op: OpId,
        /// It may try another node from some time after this monotonic time, in microseconds: nothing is begun then.
        until_us: u64,
        /// And no dot is issued above this tick: the next home covers what this one may have done by its tick.
        up_to: Tick,
        /// Up to this tick other homes may have done it already; zero when none was granted it.
        above: Tick,
    },
    /// Nobody: this node wants it itself.
    Nobody,
}

impl Origin {
    /// Tells the answer.
    pub(crate) fn answer(self, step: &mut Step<'_>, answer: Answer) {
        match self {
            Self::Client(token) => step.effects.push(Effect::Answer(token, answer)),
            Self::Forwarded { by, op, .. } => step.send(by, Message::ForwardReply { op, answer }, About::default()),
            Self::Nobody => {}
        }
    }

    /// Whether a dot with this tick may be issued without asking again.
    pub(crate) fn allows(self, tick: Tick) -> bool {
        !matches!(self, Self::Forwarded { up_to, .. } if up_to < tick)
    }

    /// Whoever handed it over knows that ticks up to this one may be issued.
    pub(crate) fn allow(&mut self, tick: Tick) {
        if let Self::Forwarded { up_to, .. } = self {
            *up_to = tick.max(*up_to);
        }
    }

    /// Up to which tick other homes may have done it already.
    pub(crate) const fn above(self) -> Tick {
        match self {
            Self::Forwarded { above, .. } => above,
            Self::Client(_) | Self::Nobody => Tick(0),
        }
    }

    /// Whether somebody else may be doing the same by now (rule D7).
    pub(crate) const fn has_lapsed(self, now_us: u64) -> bool {
        matches!(self, Self::Forwarded { until_us, .. } if until_us < now_us)
    }
}

/// A write that changed nothing.
pub(crate) const fn unchanged(fault: WriteFault) -> Answer {
    Answer::WriteFailed(WriteError {
        state: StateChange::Unchanged,
        fault,
    })
}

/// A write that may take effect.
pub(crate) const fn unknown(fault: WriteFault) -> Answer {
    Answer::WriteFailed(WriteError {
        state: StateChange::Unknown,
        fault,
    })
}

/// What a client is told when replicas refuse a write.
pub(crate) const fn write_fault(refusal: Refusal) -> WriteFault {
    match refusal {
        Refusal::DiskFull => WriteFault::DiskFull,
        Refusal::ClockRefused => WriteFault::ClockRefused,
        Refusal::UploadClosed => WriteFault::NoSuchUpload,
        Refusal::CommitDeadlinePassed => WriteFault::CommitDeadlinePassed,
        Refusal::Overloaded => WriteFault::Overloaded,
        Refusal::Damaged
        | Refusal::Absent
        | Refusal::Io
        | Refusal::NotHome
        | Refusal::Malformed
        | Refusal::NotReadYet
        | Refusal::Abstains => WriteFault::Damaged,
    }
}

/// What a client is told when replicas refuse a read.
pub(crate) const fn read_fault(refusal: Refusal) -> ReadFault {
    match refusal {
        Refusal::Overloaded => ReadFault::Overloaded,
        _ => ReadFault::Damaged,
    }
}

/// Unanswered messages are sent again after this long: longer than a slow disk's sync, much shorter than a client's
/// patience.
pub(crate) const RESEND_MS: u64 = 700;

/// A write that cannot reach enough homes.
pub(crate) fn unavailable_write(tally: &Tally) -> WriteFault {
    let down: Vec<NodeId> = tally.with(Vote::Down).collect();
    let reached = tally.homes().len() - down.len();
    WriteFault::Unavailable {
        needed: tally.needed() as u8,
        reached: reached as u8,
        down,
    }
}

/// A read that ran out of time.
pub(crate) const fn timed_out_read(needed: u8, answered: u8) -> ReadFault {
    ReadFault::TimedOut { needed, answered }
}
