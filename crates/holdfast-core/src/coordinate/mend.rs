//! A chunk that this node found damaged on its own disk is written again, from the first good copy that another home has
//! (rule Q3: a read seeks along the whole list; what it found broken on the way must not stay so).
//!
//! Whoever holds the damaged copy mends it, not whoever asked for it: only the holder knows the chunk's owner and commit
//! deadline, and so a read through any node heals every damaged copy it touches. The disk writes a chunk again because it
//! finds that the one there is not whole.
//!
//! Invariants: one mend per chunk in flight, few chunks at a time (each holds a body, promise P8); a chunk is not tried
//! again for a while, so that homes whose copies are all damaged do not go on asking each other for ever.
//! Weak spot: a copy whose index entry is damaged too says nothing of itself and is not mended, nor is one that the disk
//! fails to read at all: a disk that is merely overloaded says the same.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;

use super::push_chunk::{WHOLE_CHUNK, chunk_header};
use super::{Coordinate, Progress};
use crate::event::ClusterEvent;
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Message, OpId};
use crate::node::state::{About, ChunkWaiter, Step};
use crate::storage::{ChunkHeader, ChunkWriteError};

/// Mends in flight at most; what is beyond them is found again by its next read.
const MENDS_MAX: usize = 4;
/// Another home is asked after this long.
const ASK_MS: u64 = 5_000;
/// A chunk is not tried again for this long. Much longer than a mend takes, and than the mends that its questions begin
/// at other homes take.
const PAUSE_MS: u64 = 300_000;
/// The same where somebody who may have it could not be asked: before long it may be there.
const AWAY_PAUSE_MS: u64 = 30_000;
/// Chunks of which is remembered when they were tried.
const TRIED_MAX: usize = 1_024;

/// Chunks that are being mended, or were lately to no avail.
#[derive(Default)]
pub(crate) struct Mends {
    in_flight: BTreeSet<ChunkId>,
    /// When each may be tried again, in monotonic microseconds.
    not_before_us: BTreeMap<ChunkId, u64>,
}

impl Mends {
    /// Takes a chunk, unless it is being mended, was tried lately, or too many are.
    fn begin(&mut self, now_us: u64, not_before_us: u64, chunk: ChunkId) -> bool {
        if self.in_flight.len() >= MENDS_MAX || self.not_before_us.get(&chunk).is_some_and(|time| *time > now_us) {
            return false;
        }
        if self.not_before_us.len() >= TRIED_MAX {
            self.not_before_us.retain(|_, time| *time > now_us);
            if self.not_before_us.len() >= TRIED_MAX {
                return false;
            }
        }
        self.not_before_us.insert(chunk, not_before_us);
        self.in_flight.insert(chunk)
    }

    /// The same, however lately it was tried.
    fn begin_asked(&mut self, not_before_us: u64, chunk: ChunkId) -> bool {
        if self.in_flight.len() >= MENDS_MAX || !self.in_flight.insert(chunk) {
            return false;
        }
        if self.not_before_us.len() < TRIED_MAX {
            self.not_before_us.insert(chunk, not_before_us);
        }
        true
    }

    fn end(&mut self, chunk: ChunkId, mended: bool) {
        self.in_flight.remove(&chunk);
        if mended {
            self.not_before_us.remove(&chunk);
        }
    }

    /// It was to no avail, but not all were asked: it may be tried again then.
    fn end_early(&mut self, chunk: ChunkId, not_before_us: u64) {
        self.in_flight.remove(&chunk);
        if let Some(time) = self.not_before_us.get_mut(&chunk) {
            *time = not_before_us.min(*time);
        }
    }
}

/// A damaged chunk being fetched and written again.
pub(crate) struct MendOp {
    id: OpId,
    header: ChunkHeader,
    /// Nodes not asked yet, best last.
    candidates: Vec<NodeId>,
    asked: Option<NodeId>,
    /// Somebody was away, or did not answer.
    missed: bool,
    writing: bool,
}

impl MendOp {
    /// Begins to mend a chunk of this disk, unless that is under way or hopeless.
    pub(crate) fn spawn(step: &mut Step<'_>, partition: Partition, chunk: ChunkId) {
        let (now_us, not_before_us) = (step.now.mono_us, step.now.after_ms(PAUSE_MS));
        if step.storage.is_full() || !step.state.mends.begin(now_us, not_before_us, chunk) {
            return;
        }
        let Ok(Some(header)) = chunk_header(step, partition, chunk) else {
            return step.state.mends.end(chunk, false);
        };
        Self::spawn_of(step, header);
    }

    /// Begins to mend a chunk because somebody asked for it: however lately that was in vain. Only for what this node found
    /// itself: were a member's question enough, nodes whose copies are all damaged would ask each other for ever. False when
    /// too many are being mended, and it is to be tried again.
    pub(crate) fn spawn_asked(step: &mut Step<'_>, header: &ChunkHeader) -> bool {
        if step.state.asked.is_mending(header.id) {
            return true;
        }
        if step.storage.is_full() {
            step.state.asked.mend_failed(header);
            return true;
        }
        let begins = step.state.mends.begin_asked(step.now.after_ms(PAUSE_MS), header.id);
        if begins {
            Self::spawn_of(step, header.clone());
        }
        begins
    }

    fn spawn_of(step: &mut Step<'_>, header: ChunkHeader) {
        let me = step.state.me();
        let list = step.state.layout().preference_list(header.partition);
        let mut candidates: Vec<NodeId> = list.filter(|node| *node != me).collect();
        candidates.reverse();
        step.state.asked.mend_begun(header.id);
        let id = step.state.new_op();
        step.spawned.push(Box::new(Self {
            id,
            header,
            candidates,
            asked: None,
            missed: false,
            writing: false,
        }));
    }

    fn ask_next(&mut self, step: &mut Step<'_>) -> Progress {
        while let Some(node) = self.candidates.pop() {
            if step.state.is_up(node) {
                self.asked = Some(node);
                let message = Message::ReadChunk {
                    op: self.id,
                    partition: self.header.partition,
                    id: self.header.id,
                    from: 0,
                    length: WHOLE_CHUNK,
                };
                step.send(node, message, About::default());
                return Self::wait(step);
            }
            self.missed = true;
        }
        self.end(step, false)
    }

    fn write(&mut self, step: &mut Step<'_>, body: Bytes) -> Progress {
        self.writing = true;
        step.write_own_chunk(ChunkWaiter::Own(self.id), self.header.clone(), body);
        Self::wait(step)
    }

    fn wait(step: &Step<'_>) -> Progress {
        Progress::Until(step.now.after_ms(ASK_MS))
    }

    fn end(&self, step: &mut Step<'_>, mended: bool) -> Progress {
        if self.missed && !mended {
            let not_before_us = step.now.after_ms(AWAY_PAUSE_MS);
            step.state.mends.end_early(self.header.id, not_before_us);
        } else {
            step.state.mends.end(self.header.id, mended);
        }
        step.state.asked.mend_ended(&self.header, mended);
        Progress::Done
    }
}

impl Coordinate for MendOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask_next(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        match message {
            // A slow answer of one that was given up is as good as any.
            Message::ReadChunkReply { result: Ok(body), .. } if !self.writing => {
                if body.len() == self.header.length as usize {
                    self.write(step, body)
                } else {
                    self.ask_next(step)
                }
            }
            Message::ReadChunkReply { result: Err(_), .. } if self.asked == Some(from) && !self.writing => {
                self.ask_next(step)
            }
            _ => Self::wait(step),
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if self.writing {
            Self::wait(step)
        } else {
            self.missed = true;
            self.ask_next(step)
        }
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.asked == Some(node) && !self.writing {
            self.missed = true;
            self.ask_next(step)
        } else {
            Self::wait(step)
        }
    }

    fn own_chunk_written(&mut self, step: &mut Step<'_>, result: Result<(), ChunkWriteError>) -> Progress {
        if result.is_ok() {
            let of = self.header.owner.clone();
            step.state.chunks_mended += 1;
            step.tell(ClusterEvent::Mended { of });
        }
        self.end(step, result.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartId;

    fn chunk(number: u128) -> ChunkId {
        ChunkId {
            part: PartId(number),
            index: 0,
        }
    }

    #[test]
    fn mends_are_few_and_not_repeated_at_once() {
        let mut mends = Mends::default();
        assert!(mends.begin(0, 100, chunk(1)));
        assert!(!mends.begin(1, 101, chunk(1)), "it is under way");
        for number in 2..=MENDS_MAX as u128 {
            assert!(mends.begin(1, 101, chunk(number)));
        }
        assert!(!mends.begin(1, 101, chunk(99)), "too many");
        mends.end(chunk(1), false);
        mends.end(chunk(2), true);
        assert!(!mends.begin(99, 199, chunk(1)), "it was to no avail a moment ago");
        assert!(mends.begin(99, 199, chunk(2)), "it was mended, and broke again");
        mends.end(chunk(2), true);
        assert!(mends.begin(100, 200, chunk(1)));
        mends.end_early(chunk(1), 110);
        assert!(
            !mends.begin(109, 209, chunk(1)) && mends.begin(110, 210, chunk(1)),
            "who was away may be back"
        );
    }

    #[test]
    fn whoever_asks_need_not_wait_until_a_chunk_may_be_tried_again() {
        let mut mends = Mends::default();
        assert!(mends.begin(0, 100, chunk(1)));
        assert!(!mends.begin_asked(101, chunk(1)), "it is under way");
        mends.end(chunk(1), false);
        assert!(!mends.begin(1, 101, chunk(1)), "it was to no avail a moment ago");
        assert!(mends.begin_asked(101, chunk(1)));
        for number in 2..=MENDS_MAX as u128 {
            assert!(mends.begin_asked(101, chunk(number)));
        }
        assert!(!mends.begin_asked(101, chunk(99)), "too many");
    }

    #[test]
    fn what_was_tried_is_forgotten_in_time() {
        let mut mends = Mends::default();
        for number in 0..TRIED_MAX as u128 {
            assert!(mends.begin(0, 100, chunk(number)));
            mends.end(chunk(number), false);
        }
        assert!(
            !mends.begin(50, 150, chunk(u128::MAX)),
            "full of what may not be tried yet"
        );
        assert!(mends.begin(100, 200, chunk(u128::MAX)));
        assert_eq!(mends.not_before_us.len(), 1);
    }
}
