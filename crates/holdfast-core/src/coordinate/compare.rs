//! A full comparison with one member after messages can be sent to it again: what it missed while it was away, or while
//! a connection was broken, it gets now.
//!
//! Goes through rows, uploads, parts and chunks range by range; equal ranges cost a digest. Rows that differ are repaired
//! (both ways, by merging); uploads, parts and chunks that only this node has are pushed, since the member compares too
//! and pushes what only it has. Paced: one question in flight, a bounded number of repairs, one chunk at a time.
//! Weak spot: it reads every row of both nodes. Incremental hash trees will replace that (rule A1).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

use super::push_chunk::PushChunk;
use super::repair::RepairOp;
use super::{Coordinate, Progress, RESEND_MS};
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Compared, Digest, Message, OpId, RangeRows, SideRow};
use crate::node::ranges::{parse_chunk_key, sum_of};
use crate::node::state::{About, Step};
use crate::place::Place;
use crate::storage::{ReadError, Space};

/// Rows compared by one question.
const ROWS_PER_QUESTION: usize = 1_000;
/// Repairs in flight at most; beyond it the comparison waits.
const REPAIRS_MAX: usize = 64;
/// How long it waits for repairs to end before it looks again, in milliseconds.
const REPAIR_WAIT_MS: u64 = 20;
/// A question unanswered so often ends the comparison; the next reconnect begins another.
const ATTEMPTS_MAX: u32 = 20;

/// What is compared, in this order: an object's chunks come after the row that names them, since a reader asks along the
/// whole preference list for a chunk, but cannot ask for a key it has not heard of.
const STAGES: [Compared; 4] = [
    Compared::Rows(Space::Rows),
    Compared::Rows(Space::Uploads),
    Compared::Rows(Space::Parts),
    Compared::Chunks,
];

/// Work that a range's difference asks for.
enum Task {
    Repair(Place),
    PushSide(Space, Vec<u8>),
    PushChunk(Partition, ChunkId),
}

/// A comparison in flight.
pub(crate) struct CompareOp {
    id: OpId,
    peer: NodeId,
    stage: usize,
    from: Vec<u8>,
    to: Vec<u8>,
    own: Vec<(Vec<u8>, Digest)>,
    tasks: VecDeque<Task>,
    /// The chunk being pushed.
    pushing: Option<PushChunk>,
    attempts: u32,
}

impl CompareOp {
    pub(crate) fn new(step: &mut Step<'_>, peer: NodeId) -> Box<Self> {
        Box::new(Self {
            id: step.state.new_op(),
            peer,
            stage: 0,
            from: Vec::new(),
            to: Vec::new(),
            own: Vec::new(),
            tasks: VecDeque::new(),
            pushing: None,
            attempts: 0,
        })
    }

    /// Asks about the next range.
    fn ask(&mut self, step: &mut Step<'_>) -> Progress {
        let Some(what) = STAGES.get(self.stage).copied() else {
            return Progress::Done;
        };
        match step.shared_range(self.peer, what, &self.from, &[], ROWS_PER_QUESTION) {
            Ok(range) => {
                self.own = range.rows;
                self.to = range.to;
            }
            // A damaged row stops this space; the scrubber's and readers' business, not ours.
            Err(_) => return self.next_stage(step),
        }
        self.id = step.state.new_op();
        self.attempts = 0;
        self.send_question(step, what)
    }

    fn send_question(&self, step: &mut Step<'_>, what: Compared) -> Progress {
        let (from, to, sum) = (self.from.clone(), self.to.clone(), sum_of(&self.own));
        step.send(
            self.peer,
            Message::Compare {
                op: self.id,
                what,
                from,
                to,
                sum,
            },
            About::default(),
        );
        Progress::Until(step.now.after_ms(RESEND_MS))
    }

    fn next_stage(&mut self, step: &mut Step<'_>) -> Progress {
        self.stage += 1;
        self.from.clear();
        self.ask(step)
    }

    fn next_range(&mut self, step: &mut Step<'_>) -> Progress {
        if self.to.is_empty() {
            return self.next_stage(step);
        }
        self.from = core::mem::take(&mut self.to);
        self.ask(step)
    }

    /// Works out what a difference asks for, up to where both lists reach.
    fn note_difference(&mut self, theirs: RangeRows) {
        let shorter = match (self.to.is_empty(), theirs.to.is_empty()) {
            (true, _) => theirs.to,
            (false, true) => self.to.clone(),
            (false, false) => theirs.to.min(self.to.clone()),
        };
        let within = |key: &Vec<u8>| shorter.is_empty() || *key < shorter;
        let theirs: BTreeMap<Vec<u8>, Digest> = theirs.rows.into_iter().filter(|(key, _)| within(key)).collect();
        let own: BTreeMap<Vec<u8>, Digest> = core::mem::take(&mut self.own)
            .into_iter()
            .filter(|(key, _)| within(key))
            .collect();
        for (key, _) in own.iter().filter(|(key, digest)| theirs.get(*key) != Some(*digest)) {
            self.tasks.extend(task_for_own(STAGES[self.stage], key));
        }
        if STAGES[self.stage] == Compared::Rows(Space::Rows) {
            for key in theirs.keys().filter(|key| !own.contains_key(*key)) {
                self.tasks
                    .extend(Place::parse(key).map(|(place, _)| Task::Repair(place)));
            }
        }
        self.to = shorter;
    }

    /// Does the next task, or asks about the next range when none is left.
    fn work(&mut self, step: &mut Step<'_>) -> Progress {
        while let Some(task) = self.tasks.pop_front() {
            match task {
                Task::Repair(place) => {
                    if step.state.repairing.len() >= REPAIRS_MAX {
                        self.tasks.push_front(Task::Repair(place));
                        return Progress::Until(step.now.after_ms(REPAIR_WAIT_MS));
                    }
                    let n = step.state.n_of(place.bucket);
                    RepairOp::spawn(step, &place, n);
                }
                Task::PushSide(space, key) => self.push_side(step, space, key),
                Task::PushChunk(partition, id) => {
                    if let Some(progress) = self.begin_push(step, partition, id) {
                        return progress;
                    }
                }
            }
        }
        self.next_range(step)
    }

    /// Reads a side row and pushes it. Unconfirmed: a lost one differs again at the next comparison.
    fn push_side(&self, step: &mut Step<'_>, space: Space, key: Vec<u8>) {
        let Ok(Some(value)) = step.storage.get(space, &key) else {
            return;
        };
        let message = Message::WriteSide {
            op: step.state.new_op(),
            rows: alloc::vec![SideRow { space, key, value }],
            check_open: false,
        };
        step.send(self.peer, message, About::default());
    }

    /// Reads a chunk to push it. `None` when it is gone.
    fn begin_push(&mut self, step: &mut Step<'_>, partition: Partition, id: ChunkId) -> Option<Progress> {
        let op = step.state.new_op();
        self.pushing = Some(PushChunk::begin(step, op, partition, id)?);
        self.attempts = 0;
        self.id = op;
        Some(Progress::Until(step.now.after_ms(RESEND_MS)))
    }

    fn send_chunk(&self, step: &mut Step<'_>) -> Progress {
        if let Some(push) = &self.pushing {
            push.send(step, self.id, self.peer);
        }
        Progress::Until(step.now.after_ms(4 * RESEND_MS))
    }
}

/// What to do about a row that only this node has, or has otherwise.
fn task_for_own(what: Compared, key: &[u8]) -> Option<Task> {
    match what {
        Compared::Rows(Space::Rows) => Place::parse(key).map(|(place, _)| Task::Repair(place)),
        Compared::Rows(space) => Some(Task::PushSide(space, key.to_vec())),
        Compared::Chunks => parse_chunk_key(key).map(|(partition, id)| Task::PushChunk(partition, id)),
    }
}

impl Coordinate for CompareOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if from != self.peer {
            return Progress::Until(step.now.after_ms(RESEND_MS));
        }
        match message {
            Message::CompareReply { result: Ok(None), .. } => self.next_range(step),
            Message::CompareReply {
                result: Ok(Some(theirs)),
                ..
            } => {
                self.note_difference(theirs);
                // The range is settled but for its tasks; a repeated answer must not settle it again.
                self.id = step.state.new_op();
                self.work(step)
            }
            Message::CompareReply { result: Err(_), .. } => self.next_stage(step),
            Message::WriteChunkReply { .. } => {
                self.pushing = None;
                self.work(step)
            }
            _ => Progress::Until(step.now.after_ms(RESEND_MS)),
        }
    }

    fn own_chunk_read(&mut self, step: &mut Step<'_>, result: Result<Option<Bytes>, ReadError>) -> Progress {
        if PushChunk::take(&mut self.pushing, result) {
            self.send_chunk(step)
        } else {
            self.work(step)
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX && self.tasks.is_empty() {
            return Progress::Done;
        }
        if self.pushing.is_some() {
            return if self.attempts > ATTEMPTS_MAX {
                Progress::Done
            } else {
                self.send_chunk(step)
            };
        }
        if !self.tasks.is_empty() {
            return self.work(step);
        }
        match STAGES.get(self.stage).copied() {
            Some(what) => self.send_question(step, what),
            None => Progress::Done,
        }
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if node == self.peer {
            Progress::Done
        } else {
            Progress::Until(step.now.after_ms(RESEND_MS))
        }
    }
}
