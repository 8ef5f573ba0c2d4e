//! Anti-entropy (rule A1): one comparison with one member, of everything that both should hold. It begins after messages
//! can be sent to a member again, and with one member after the other as long as a node runs.
//!
//! Ranges of equal fingerprint cost one question. One that differs is asked about in ever smaller pieces, until its rows are
//! listed. Rows that differ are repaired (both ways, by merging); uploads, parts and chunks that only this node has are
//! pushed, since the member compares too and pushes what only it has. Paced: one question in flight, a bounded number of
//! repairs, one chunk at a time.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

use super::push_chunk::PushChunk;
use super::repair::REPAIRS_MAX;
use super::{Coordinate, Progress, RESEND_MS};
use crate::fingerprint::{Fingerprint, KeyRange};
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Compared, Comparison, Digest, Message, OpId, RangeRows, Refusal, SideRange, SideRow};
use crate::node::ranges::{after_key, in_groups, parse_chunk_key};
use crate::node::side::upload_key_of;
use crate::node::standing::{LACKED_MAX, Lacked};
use crate::node::state::{About, Step};
use crate::place::Place;
use crate::storage::{ReadError, Space};

/// How long it waits for repairs to end before it looks again, in milliseconds.
const REPAIR_WAIT_MS: u64 = 20;
/// Upload and part rows pushed at once, before the next wait of the same length.
const SIDE_AT_ONCE: usize = 64;
/// Between two ranges that are looked at without asking, in milliseconds: others want the node, too.
const PAUSE_MS: u64 = 1;
/// A node that has not read its disk yet is asked again after this long, in milliseconds.
const NOT_READ_WAIT_MS: u64 = 500;
/// A question unanswered so often ends the comparison; another begins before long.
const ATTEMPTS_MAX: u32 = 20;
/// Own rows listed in one step at most, unless they cannot be told apart otherwise: a member that lost its disk lacks all.
const OWN_AT_ONCE: u64 = 4_096;
/// Chunks asked about at once, in whole partitions: a member may have to read all their headers.
const CHUNKS_PER_QUESTION: u64 = 4_096;
/// Partitions whose chunks are asked about at once.
const PARTITIONS_PER_QUESTION: u16 = 256;

/// What is compared, in this order: an object's chunks come after the row that names them, since a reader asks along the
/// whole preference list for a chunk, but cannot ask for a key it has not heard of.
pub(super) const STAGES: [Compared; 4] = [
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
    /// The next partition whose chunks have not been asked about.
    partition: u16,
    /// Ranges to be looked at, the next one last, and what the member has there, as far as it told.
    todo: Vec<(KeyRange, Option<Fingerprint>)>,
    /// What was asked last.
    asked: (KeyRange, Fingerprint),
    /// Nobody has answered yet.
    is_asking: bool,
    tasks: VecDeque<Task>,
    /// The chunk being pushed.
    pushing: Option<PushChunk>,
    /// Upload and part rows to be fetched, while this node's disk is being filled up (rule S2).
    wanted: Vec<SideRange>,
    /// How many of them are being fetched: the last ones.
    fetching: usize,
    attempts: u32,
    /// When it began.
    begun_us: u64,
    /// What this node does not hold as the member does; `None` when it is too much, or was not found out (rule S2).
    lacked: Option<BTreeSet<Lacked>>,
    /// Something was not compared, or not brought in order: the member could not tell, or did not take it. What it cannot read
    /// is not meant: it asks us for all that we have there.
    is_partial: bool,
}

impl CompareOp {
    /// Begins, unless a comparison with this member is under way.
    pub(crate) fn spawn(step: &mut Step<'_>, peer: NodeId) {
        if !step.state.comparing.insert(peer) {
            return;
        }
        let op = Self {
            id: step.state.new_op(),
            peer,
            stage: 0,
            partition: 0,
            todo: alloc::vec![(KeyRange::default(), None)],
            asked: Default::default(),
            is_asking: false,
            tasks: VecDeque::new(),
            pushing: None,
            wanted: Vec::new(),
            fetching: 0,
            attempts: 0,
            begun_us: step.now.mono_us,
            lacked: Some(BTreeSet::new()),
            is_partial: false,
        };
        step.spawned.push(Box::new(op));
    }

    fn what(&self) -> Option<Compared> {
        STAGES.get(self.stage).copied()
    }

    /// Looks at the next range, and asks about it unless it is known to be equal.
    fn next(&mut self, step: &mut Step<'_>) -> Progress {
        let Some(what) = self.what() else {
            return self.over(step);
        };
        let Some((range, theirs)) = self.todo.pop() else {
            return self.next_partitions(step);
        };
        let partitions = step.state.layout().partition_count() as u64;
        step.state
            .asked
            .compares_at(self.peer, self.stage, &range.from, partitions);
        let own = match step.shared_fingerprint(self.peer, what, &range) {
            Ok(own) => own,
            Err(Refusal::NotReadYet) => {
                self.todo.push((range, theirs));
                return Progress::Until(step.now.after_ms(NOT_READ_WAIT_MS));
            }
            Err(_) => Fingerprint::UNKNOWN,
        };
        if own.is_unknown() {
            return self.next_damaged(step, what, range);
        }
        if theirs == Some(own) {
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        }
        self.asked = (range, own);
        self.ask(step)
    }

    /// Looks at a range that this node cannot read, or not all of: first apart from the rest, then once more whether it can;
    /// in the end what is there must be had from others, row by row.
    fn next_damaged(&mut self, step: &mut Step<'_>, what: Compared, range: KeyRange) -> Progress {
        if self.split(step, &range) {
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        }
        if let Compared::Rows(space) = what
            && step.heal_damage(space, &range)
        {
            self.todo.push((range, None));
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        }
        self.asked = (range, Fingerprint::UNKNOWN);
        self.ask(step)
    }

    fn ask(&mut self, step: &mut Step<'_>) -> Progress {
        let Some(what) = self.what() else {
            return self.over(step);
        };
        self.id = step.state.new_op();
        self.attempts = 0;
        self.is_asking = true;
        self.send_question(step, what)
    }

    fn send_question(&self, step: &mut Step<'_>, what: Compared) -> Progress {
        let (KeyRange { from, to }, fingerprint) = self.asked.clone();
        let question = Message::Compare {
            op: self.id,
            what,
            from,
            to,
            fingerprint,
        };
        step.send(self.peer, question, About::default());
        Progress::Until(step.now.after_ms(RESEND_MS))
    }

    /// Chunks are asked about some partitions at a time; rows all at once.
    fn next_partitions(&mut self, step: &mut Step<'_>) -> Progress {
        let partitions = step.state.layout().partition_count() as u16;
        if self.what() != Some(Compared::Chunks) || self.partition >= partitions {
            self.stage += 1;
            if self.what().is_some_and(|what| what != Compared::Chunks) {
                self.todo.push((KeyRange::default(), None));
            }
            return self.next(step);
        }
        let first = self.partition;
        let (mut count, last) = (0, partitions.min(first.saturating_add(PARTITIONS_PER_QUESTION)));
        while count < CHUNKS_PER_QUESTION && self.partition < last {
            count += step.chunk_count(Partition(self.partition));
            self.partition += 1;
        }
        let key = |partition: u16| partition.to_be_bytes().to_vec();
        self.todo.push((KeyRange::new(key(first), key(self.partition)), None));
        self.next(step)
    }

    fn take_answer(&mut self, step: &mut Step<'_>, result: Result<Comparison, Refusal>) -> Progress {
        self.is_asking = false;
        if result != Err(Refusal::NotReadYet) {
            step.state.asked.comparison_moves(self.peer, step.now.mono_us);
        }
        // A repeated answer must not settle the range again.
        self.id = step.state.new_op();
        let (range, own) = core::mem::take(&mut self.asked);
        match result {
            Ok(Comparison::Equal) => self.next(step),
            Ok(Comparison::Rows(_)) if own.count > OWN_AT_ONCE && !own.is_unknown() && self.split(step, &range) => {
                self.next(step)
            }
            Ok(Comparison::Rows(rows)) => {
                let to = rows.to.clone();
                let is_cut = to != range.to && to > range.from;
                let listed = KeyRange::new(range.from, if is_cut { to.clone() } else { range.to.clone() });
                if is_cut {
                    self.todo.push((KeyRange::new(to, range.to), None));
                }
                self.note_difference(step, &listed, own, rows);
                self.work(step)
            }
            Ok(Comparison::Pieces(pieces)) => {
                let told = pieces.into_iter().map(|(to, fingerprint)| (to, Some(fingerprint)));
                self.push_pieces(range, told.collect());
                self.next(step)
            }
            Err(Refusal::NotReadYet) => {
                self.todo.push((range, None));
                Progress::Until(step.now.after_ms(NOT_READ_WAIT_MS))
            }
            // Where the member cannot read its disk it asks us for records. What else it lacks we cannot know.
            Err(Refusal::Damaged) if matches!(self.what(), Some(Compared::Rows(space)) if space != Space::Rows) => {
                self.push_all(step, &range, own)
            }
            Err(refusal) => {
                self.lacked = None;
                self.is_partial |= refusal != Refusal::Damaged;
                self.next(step)
            }
        }
    }

    /// Pushes the rows of a range, some at a time, to a member that cannot say which of them it has.
    fn push_all(&mut self, step: &mut Step<'_>, range: &KeyRange, own: Fingerprint) -> Progress {
        if own.is_unknown() || own.count > OWN_AT_ONCE && self.split(step, range) {
            return self.next(step);
        }
        if let Some(what) = self.what()
            && let Ok(own) = step.shared_range(self.peer, what, &range.from, &range.to, usize::MAX)
        {
            let tasks = own.rows.iter().filter_map(|(key, _)| task_for_own(what, key));
            self.tasks.extend(tasks);
        }
        self.work(step)
    }

    /// Cuts a range into smaller ones, to be asked about in turn. Whether it can be cut.
    fn split(&mut self, step: &mut Step<'_>, range: &KeyRange) -> bool {
        let Some(Ok(pieces)) = self.what().map(|what| step.shared_pieces(self.peer, what, range)) else {
            return false;
        };
        let can = pieces.len() > 1;
        if can {
            let ends = in_groups(pieces, range).into_iter().map(|(to, _)| (to, None));
            self.push_pieces(range.clone(), ends.collect());
        }
        can
    }

    /// Pieces that do not lie in order within the range are not looked at: they could go on for ever.
    fn push_pieces(&mut self, range: KeyRange, pieces: Vec<(Vec<u8>, Option<Fingerprint>)>) {
        if pieces.len() < 2 {
            return;
        }
        let mut from = range.from;
        let mut todo = Vec::with_capacity(pieces.len());
        let last = pieces.len() - 1;
        for (at, (to, fingerprint)) in pieces.into_iter().enumerate() {
            let to = if at == last { range.to.clone() } else { to };
            let is_forward = to > from || at == last && to.is_empty();
            if !is_forward || !range.to.is_empty() && to > range.to {
                return;
            }
            todo.push((KeyRange::new(from, to.clone()), fingerprint));
            from = to;
        }
        self.todo.extend(todo.into_iter().rev());
    }

    /// Works out what a difference asks for.
    fn note_difference(&mut self, step: &mut Step<'_>, range: &KeyRange, own: Fingerprint, theirs: RangeRows) {
        let Some(what) = self.what() else { return };
        let theirs: BTreeMap<Vec<u8>, Digest> =
            theirs.rows.into_iter().filter(|(key, _)| range.contains(key)).collect();
        let own: BTreeMap<Vec<u8>, Digest> = if own.is_unknown() {
            readable(step, what, theirs.keys())
        } else {
            let rows = step.shared_range(self.peer, what, &range.from, &range.to, usize::MAX);
            rows.map(|range| range.rows.into_iter().collect()).unwrap_or_default()
        };
        self.note_lacked(step, what, &own, &theirs);
        let tasks = self.tasks.len();
        for (key, _) in own.iter().filter(|(key, digest)| theirs.get(*key) != Some(*digest)) {
            self.tasks.extend(task_for_own(what, key));
        }
        if what == Compared::Rows(Space::Rows) {
            for key in theirs.keys().filter(|key| !own.contains_key(*key)) {
                self.tasks
                    .extend(Place::parse(key).map(|(place, _)| Task::Repair(place)));
            }
        }
        let found = (self.tasks.len() - tasks) as u64;
        let only_there = self.wanted.iter().filter(|wanted| !own.contains_key(&wanted.from));
        step.state.asked.note_differences(found + only_there.count() as u64);
        step.state.differences += found;
    }

    /// What this node lacks keeps it from speaking for its disk, while that is being filled up (rule S2). Chunks do not: who reads
    /// one asks all who may have it. Rows of uploads are fetched then, and when somebody asked for a repair: he does not wait
    /// until the member compares, too, and pushes them.
    fn note_lacked(
        &mut self,
        step: &Step<'_>,
        what: Compared,
        own: &BTreeMap<Vec<u8>, Digest>,
        theirs: &BTreeMap<Vec<u8>, Digest>,
    ) {
        let is_filling = step.state.standing.is_filling();
        let is_wanted = is_filling || step.state.asked.is_comparing(self.peer);
        if !is_wanted || what == Compared::Chunks {
            return;
        }
        let differ = theirs.iter().filter(|(key, digest)| own.get(*key) != Some(*digest));
        let differ = differ.map(|(key, _)| key);
        if let Compared::Rows(space) = what
            && space != Space::Rows
        {
            self.wanted.extend(differ.clone().map(|key| SideRange {
                space,
                from: key.clone(),
                to: after_key(key),
            }));
        }
        if let Some(lacked) = self.lacked.as_mut().filter(|_| is_filling) {
            lacked.extend(differ.map(|key| (self.stage, key.clone())));
            if lacked.len() > LACKED_MAX {
                self.lacked = None;
            }
        }
    }

    /// Fetches some of the rows that are wanted.
    fn fetch(&mut self, step: &mut Step<'_>) -> Progress {
        self.fetching = self.wanted.len().min(SIDE_AT_ONCE);
        self.id = step.state.new_op();
        self.attempts = 0;
        self.send_wanted(step)
    }

    fn send_wanted(&self, step: &mut Step<'_>) -> Progress {
        let ranges = self.wanted[self.wanted.len() - self.fetching..].to_vec();
        let message = Message::ReadSide {
            op: self.id,
            ranges,
            count_max: 1,
        };
        step.send(self.peer, message, About::default());
        Progress::Until(step.now.after_ms(RESEND_MS))
    }

    /// Writes rows that were fetched. What cannot be had, or written, differs again at the next comparison.
    fn take_fetched(&mut self, step: &mut Step<'_>, result: Result<Vec<(Vec<SideRow>, bool)>, Refusal>) -> Progress {
        self.wanted.truncate(self.wanted.len() - self.fetching);
        self.fetching = 0;
        self.is_partial |= result.is_err();
        let rows = result.into_iter().flatten().flat_map(|(rows, _)| rows);
        let rows: Vec<SideRow> = rows.collect();
        match step.serve_write_side(&rows, false) {
            Ok(_) => step.state.asked.note_fetched(rows.len() as u64),
            Err(_) => self.is_partial = true,
        }
        self.work(step)
    }

    /// Does the next task, or looks at the next range when none is left.
    fn work(&mut self, step: &mut Step<'_>) -> Progress {
        let mut pushed = 0;
        while let Some(task) = self.tasks.pop_front() {
            step.state.asked.comparison_moves(self.peer, step.now.mono_us);
            match task {
                Task::Repair(place) => {
                    if step.state.repairing.len() >= REPAIRS_MAX {
                        self.tasks.push_front(Task::Repair(place));
                        return Progress::Until(step.now.after_ms(REPAIR_WAIT_MS));
                    }
                    step.repair_awaited(&place);
                }
                Task::PushSide(space, key) => {
                    self.push_side(step, space, key);
                    pushed += 1;
                    if pushed == SIDE_AT_ONCE {
                        return Progress::Until(step.now.after_ms(REPAIR_WAIT_MS));
                    }
                }
                Task::PushChunk(partition, id) => {
                    if let Some(progress) = self.begin_push(step, partition, id) {
                        return progress;
                    }
                }
            }
        }
        if !self.wanted.is_empty() {
            return self.fetch(step);
        }
        self.next(step)
    }

    /// Reads a side row and pushes it. Unconfirmed: a lost one differs again at the next comparison. A part never goes without
    /// its upload: a member that has forgotten the two would take it for one of an upload that is open elsewhere.
    fn push_side(&self, step: &mut Step<'_>, space: Space, key: Vec<u8>) {
        let upload = (space == Space::Parts).then(|| (Space::Uploads, upload_key_of(&key).to_vec()));
        let rows: Vec<SideRow> = upload
            .into_iter()
            .chain([(space, key)])
            .filter_map(|(space, key)| {
                let value = step.storage.get(space, &key).ok()??;
                Some(SideRow { space, key, value })
            })
            .collect();
        if rows.last().is_none_or(|row| row.space != space) {
            return;
        }
        let message = Message::WriteSide {
            op: step.state.new_op(),
            rows,
            check_open: false,
        };
        step.send(self.peer, message, About::default());
        step.state.asked.note_sent();
    }

    /// Reads a chunk to push it. `None` when it is gone.
    fn begin_push(&mut self, step: &mut Step<'_>, partition: Partition, id: ChunkId) -> Option<Progress> {
        let op = step.state.new_op();
        // One that cannot be read differs again at the next comparison.
        self.pushing = Some(PushChunk::begin(step, op, partition, id).ok()??);
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

    fn over(&mut self, step: &mut Step<'_>) -> Progress {
        step.state.comparing.remove(&self.peer);
        let are_rows_compared = !matches!(self.what(), Some(Compared::Rows(_)));
        let lacked = self.lacked.take().filter(|_| are_rows_compared);
        step.compared(self.peer, self.begun_us, lacked);
        let is_complete = self.what().is_none() && !self.is_partial;
        step.state.asked.comparison_ended(self.peer, is_complete);
        Progress::Done
    }
}

/// What this node can read of some rows, one by one, where they cannot be read in order.
fn readable<'k>(step: &Step<'_>, what: Compared, keys: impl Iterator<Item = &'k Vec<u8>>) -> BTreeMap<Vec<u8>, Digest> {
    let Compared::Rows(space) = what else {
        return BTreeMap::new();
    };
    let read = |key: &Vec<u8>| {
        let value = step.storage.get(space, key).ok()??;
        Some((key.clone(), step.compared_digest(space, &value)))
    };
    keys.filter_map(read).collect()
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

    fn yields(&self) -> bool {
        true
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.next(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        match message {
            Message::CompareReply { result, .. } if from == self.peer && self.is_asking => {
                self.take_answer(step, result)
            }
            Message::ReadSideReply { result, .. } if from == self.peer && self.fetching > 0 => {
                self.take_fetched(step, result)
            }
            Message::WriteChunkReply { result, .. } if from == self.peer && self.pushing.is_some() => {
                self.pushing = None;
                match &result {
                    Ok(()) => step.state.asked.note_sent(),
                    Err(_) => self.is_partial = true,
                }
                if result == Err(Refusal::DiskFull) {
                    // It would be sent body after body, and refuse each.
                    return self.over(step);
                }
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
        let gives_up = self.attempts > ATTEMPTS_MAX;
        if self.pushing.is_some() {
            return if gives_up {
                self.over(step)
            } else {
                self.send_chunk(step)
            };
        }
        if self.fetching > 0 {
            return if gives_up {
                self.over(step)
            } else {
                self.send_wanted(step)
            };
        }
        match self.what() {
            Some(what) if self.is_asking => {
                if gives_up {
                    self.over(step)
                } else {
                    self.send_question(step, what)
                }
            }
            _ => self.work(step),
        }
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if node == self.peer {
            self.over(step)
        } else {
            Progress::Until(step.now.after_ms(RESEND_MS))
        }
    }
}
