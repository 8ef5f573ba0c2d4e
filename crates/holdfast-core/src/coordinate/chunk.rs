//! Chunks: written to the homes of their own position at W synced copies, read from whoever has them (rules D9, Q3).
//!
//! Any node may coordinate: a chunk is immutable and its name says all, so there is nothing to read before writing.

use alloc::vec::Vec;
use bytes::Bytes;

use super::stand_ins::{StandIns, silent_and_needed};
use super::{Coordinate, Origin, Progress, read_fault, timed_out_read, unavailable_write, unchanged, write_fault};
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Message, OpId, Refusal};
use crate::node::ranges::chunk_key;
use crate::node::state::{About, ChunkWaiter, Step, Waiter};
use crate::place::{chunk_position, partition_of};
use crate::quorum::{Tally, Verdict, Vote};
use crate::request::{Answer, ReadChunk, ReadFault, WriteChunk, WriteFault};
use crate::storage::{ChunkHeader, ChunkWriteError, ReadError, WriteSeq};

/// A chunk is sent again after this long: it may be in a long queue, and is dear to send twice.
const RESEND_MS: u64 = 5_000;
/// Whether homes have gone silent meanwhile is looked at this often, in milliseconds.
const LOOK_MS: u64 = 500;
/// Another home is asked for a range after this long (rule Q2).
const HEDGE_MS: u64 = 400;

impl From<ChunkWriteError> for Refusal {
    fn from(error: ChunkWriteError) -> Self {
        match error {
            ChunkWriteError::DiskFull => Self::DiskFull,
            ChunkWriteError::Io => Self::Io,
            ChunkWriteError::Overloaded => Self::Overloaded,
        }
    }
}

/// A chunk on its way to its homes.
pub(crate) struct WriteChunkOp {
    id: OpId,
    origin: Origin,
    header: ChunkHeader,
    body: Bytes,
    sloppy: bool,
    tally: Tally,
    stand_ins: StandIns,
    /// The batch that says whom this node owes the chunk, if it stands in.
    owed: WriteSeq,
    begun_us: u64,
    /// When those who have not answered are sent the chunk again.
    resend_us: u64,
    deadline_us: u64,
    answered: bool,
    refusal: Option<Refusal>,
}

impl WriteChunkOp {
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, write: WriteChunk) -> Self {
        let partition = partition_of(chunk_position(write.id), step.state.layout().partition_bits());
        let homes: Vec<NodeId> = step.state.layout().homes(partition, write.settings.n).collect();
        let header = ChunkHeader {
            id: write.id,
            partition,
            owner: write.owner,
            length: write.body.len() as u32,
            commit_deadline_ms: write.commit_deadline_ms,
        };
        Self {
            id: step.state.new_op(),
            origin,
            header,
            body: write.body,
            sloppy: write.settings.sloppy,
            stand_ins: StandIns::default(),
            owed: WriteSeq(0),
            begun_us: step.now.mono_us,
            resend_us: step.now.after_ms(RESEND_MS),
            tally: Tally::new(homes, usize::from(write.settings.w)),
            deadline_us: step.now.after_ms(u64::from(deadline_ms)),
            answered: false,
            refusal: None,
        }
    }

    fn send_to(&mut self, step: &mut Step<'_>, home: NodeId) {
        if home == step.state.me() {
            let owes = self.stand_ins.owed_by(home);
            if !owes.is_empty() {
                let key = chunk_key(self.header.partition, self.header.id);
                let Ok(owed) = step.owe_chunk(&key, &owes) else {
                    self.tally.set(home, Vote::No);
                    return;
                };
                self.owed = owed;
            }
            step.write_own_chunk(ChunkWaiter::Own(self.id), self.header.clone(), self.body.clone());
        } else {
            let message = Message::WriteChunk {
                op: self.id,
                header: self.header.clone(),
                body: self.body.clone(),
                stands_for: self.stand_ins.owed_by(home),
            };
            step.send(home, message, About::default());
        }
    }

    /// Sends the chunk to stand-ins for homes with this vote for which nobody stands in yet.
    fn ask_stand_ins(&mut self, step: &mut Step<'_>, instead_of: Vote) {
        if !self.sloppy {
            return;
        }
        let vacant = self.tally.vacant(instead_of);
        self.seat_stand_ins(step, &vacant);
    }

    /// Sends the chunk to stand-ins for silent homes that would be waited for.
    fn pass_over_silent(&mut self, step: &mut Step<'_>) {
        if self.sloppy && !self.answered {
            let silent = silent_and_needed(step, &self.tally);
            self.seat_stand_ins(step, &silent);
        }
    }

    fn seat_stand_ins(&mut self, step: &mut Step<'_>, homes: &[NodeId]) {
        let partition = self.header.partition;
        for node in self.stand_ins.seat(step, partition, &mut self.tally, homes) {
            if node == step.state.me() && step.storage.is_full() {
                self.note(node, Err(Refusal::DiskFull));
            } else {
                self.send_to(step, node);
            }
        }
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        if !self.answered {
            match self.tally.verdict() {
                Verdict::Met => {
                    self.answered = true;
                    self.origin.answer(step, Answer::ChunkWritten);
                }
                Verdict::Pending => {}
                Verdict::Unreachable => {
                    let fault = self.refusal.map_or_else(|| unavailable_write(&self.tally), write_fault);
                    // A chunk that no version names is nothing to anyone: the write changed nothing.
                    self.origin.answer(step, unchanged(fault));
                    return Progress::Done;
                }
            }
        }
        if self.answered && self.tally.is_settled() {
            return Progress::Done;
        }
        self.next_wake(step)
    }

    fn next_wake(&self, step: &Step<'_>) -> Progress {
        let look_us = if self.answered {
            u64::MAX
        } else {
            step.now.after_ms(LOOK_MS)
        };
        Progress::Until(look_us.min(self.resend_us).min(self.deadline_us))
    }

    fn note(&mut self, from: NodeId, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.tally.set(from, Vote::Yes),
            Err(refusal) => {
                self.refusal = Some(refusal);
                self.tally.set(from, Vote::No);
            }
        }
    }
}

impl Coordinate for WriteChunkOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn straggling_bytes(&self) -> Option<usize> {
        self.answered.then_some(self.body.len())
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        let homes: Vec<NodeId> = self.tally.homes().collect();
        for home in homes {
            if home == step.state.me() && step.storage.is_full() {
                self.note(home, Err(Refusal::DiskFull));
            } else if step.state.is_up(home) {
                self.tally.set(home, Vote::Asked);
                self.send_to(step, home);
            } else {
                self.tally.set(home, Vote::Down);
            }
        }
        self.ask_stand_ins(step, Vote::Down);
        self.ask_stand_ins(step, Vote::No);
        self.pass_over_silent(step);
        self.judge(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if let Message::WriteChunkReply { result, .. } = message {
            let is_full = matches!(result, Err(Refusal::DiskFull));
            self.note(from, result);
            if is_full {
                self.ask_stand_ins(step, Vote::No);
            }
        }
        self.judge(step)
    }

    fn own_chunk_written(&mut self, step: &mut Step<'_>, result: Result<(), ChunkWriteError>) -> Progress {
        let me = step.state.me();
        if result.is_ok() && !self.stand_ins.owed_by(me).is_empty() {
            // A chunk held for others counts once it is on disk whom it is owed to.
            step.wait(self.owed, Waiter::Own(self.id));
            return self.next_wake(step);
        }
        self.note(me, result.map_err(Refusal::from));
        self.judge(step)
    }

    fn own_synced(&mut self, step: &mut Step<'_>) -> Progress {
        self.note(step.state.me(), Ok(()));
        self.judge(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            if !self.answered {
                let (needed, synced) = (self.tally.needed() as u8, self.tally.yes() as u8);
                self.origin
                    .answer(step, unchanged(WriteFault::TimedOut { needed, synced }));
            }
            return Progress::Done;
        }
        let asked = self.tally.asked();
        step.note_unanswered(&asked, self.begun_us);
        self.pass_over_silent(step);
        if step.now.mono_us < self.resend_us {
            return self.next_wake(step);
        }
        self.resend_us = step.now.after_ms(RESEND_MS);
        if !self.answered {
            self.ask_stand_ins(step, Vote::Asked);
        }
        let me = step.state.me();
        for home in asked.into_iter().filter(|home| *home != me) {
            self.send_to(step, home);
        }
        self.next_wake(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        self.tally.set(node, Vote::Down);
        self.ask_stand_ins(step, Vote::Down);
        self.judge(step)
    }
}

/// A range of a chunk being looked for: along the whole preference list, this node first, then homes that are up.
pub(crate) struct ReadChunkOp {
    id: OpId,
    origin: Origin,
    partition: Partition,
    chunk: ChunkId,
    from: u32,
    length: u32,
    /// Nodes not asked yet, best last.
    candidates: Vec<NodeId>,
    asked: Vec<NodeId>,
    refusal: Option<Refusal>,
    begun_us: u64,
    deadline_us: u64,
}

impl ReadChunkOp {
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, read: &ReadChunk) -> Self {
        let partition = partition_of(chunk_position(read.id), step.state.layout().partition_bits());
        let me = step.state.me();
        let mut candidates: Vec<NodeId> = step.state.layout().preference_list(partition).collect();
        // A stable sort: this node's own disk is nearest, then the order of the list, who is silent last.
        candidates.sort_by_key(|node| (*node != me, step.state.is_silent(step.now, *node)));
        candidates.reverse();
        Self {
            id: step.state.new_op(),
            origin,
            partition,
            chunk: read.id,
            from: read.from,
            length: read.length,
            candidates,
            asked: Vec::new(),
            refusal: None,
            begun_us: step.now.mono_us,
            deadline_us: step.now.after_ms(u64::from(deadline_ms)),
        }
    }

    fn ask_next(&mut self, step: &mut Step<'_>) -> Progress {
        while let Some(node) = self.candidates.pop() {
            if !step.state.is_up(node) {
                continue;
            }
            self.asked.push(node);
            if node == step.state.me() {
                let waiter = ChunkWaiter::Own(self.id);
                step.read_own_chunk(waiter, self.partition, self.chunk, self.from, self.length);
            } else {
                let (partition, id) = (self.partition, self.chunk);
                let message = Message::ReadChunk {
                    op: self.id,
                    partition,
                    id,
                    from: self.from,
                    length: self.length,
                };
                step.send(node, message, About::default());
            }
            return Progress::Until(step.now.after_ms(HEDGE_MS).min(self.deadline_us));
        }
        if !self.asked.is_empty() {
            return Progress::Until(self.deadline_us);
        }
        let fault = self.refusal.map_or(
            ReadFault::Unavailable {
                needed: 1,
                reached: 0,
                down: Vec::new(),
            },
            read_fault,
        );
        self.origin.answer(step, Answer::ReadFailed(fault));
        Progress::Done
    }

    fn note(&mut self, step: &mut Step<'_>, from: NodeId, result: Result<Bytes, Refusal>) -> Progress {
        self.asked.retain(|node| *node != from);
        match result {
            Ok(bytes) => {
                self.origin.answer(step, Answer::ChunkRead(bytes));
                Progress::Done
            }
            Err(refusal) => {
                self.refusal.get_or_insert(refusal);
                self.ask_next(step)
            }
        }
    }
}

impl Coordinate for ReadChunkOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask_next(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        match message {
            Message::ReadChunkReply { result, .. } => self.note(step, from, result),
            _ => Progress::Until(self.deadline_us),
        }
    }

    fn own_chunk_read(&mut self, step: &mut Step<'_>, result: Result<Option<Bytes>, ReadError>) -> Progress {
        let result = match result {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Refusal::Absent),
            Err(error) => Err(error.into()),
        };
        self.note(step, step.state.me(), result)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            self.origin.answer(step, Answer::ReadFailed(timed_out_read(1, 0)));
            return Progress::Done;
        }
        step.note_unanswered(&self.asked, self.begun_us);
        self.ask_next(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.asked.contains(&node) {
            self.asked.retain(|asked| *asked != node);
            return self.ask_next(step);
        }
        Progress::Until(step.now.after_ms(HEDGE_MS).min(self.deadline_us))
    }
}
