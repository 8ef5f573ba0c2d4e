//! Hinted handoff (rule H3; Dynamo §4.6): what this node holds for a home goes to it once it can be reached.
//!
//! One walk at a time for each home: first the records, a bounded number of them under way, then the chunks, one by one,
//! since a reader finds a chunk wherever it lies but cannot ask for a key it has not heard of. A home is struck off only
//! by its confirmation of exactly what the hint is at that moment. What fails stays owed and is tried again, later and
//! later, but for ever.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::push_chunk::PushChunk;
use super::put::repair_write;
use super::{Coordinate, Progress, RESEND_MS};
use crate::ids::NodeId;
use crate::message::{Digest, Message, OpId, Write, WritePurpose};
use crate::node::hints::Role;
use crate::node::ranges::parse_chunk_key;
use crate::node::state::{About, Step};
use crate::place::Place;
use crate::planted::Planted;
use crate::request::WantedBodies;
use crate::storage::{ReadError, Space, Visit};
use crate::wire::hint::decode_owed;
use crate::wire::record::record_digest;

/// Hinted records under way to one home at once: enough to share the home's syncs, too few to be in the way of clients.
const UNDER_WAY_MAX: usize = 16;
/// How long the walk waits for hints under way before it looks again, in milliseconds.
const LOOK_MS: u64 = 20;
/// A hint to a home that is up is first handed off after this long, in milliseconds: most such hints were made because
/// the home was slow, and it has the write by then.
const FIRST_MS: u64 = 1_000;
/// The longest wait between two walks, in milliseconds.
const BACKOFF_MS_MAX: u64 = 60_000;
/// A hint that is not confirmed within this time is left for the next walk, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

impl Step<'_> {
    /// Begins to hand off to homes that are up, are owed something, and are not being handed to already.
    pub(crate) fn begin_handoffs(&mut self, homes: &[NodeId]) {
        if !self.state.standing.is_vouched_for() {
            return;
        }
        for home in homes {
            let due = self.state.hints.owed_to(*home) > 0 && self.state.is_up(*home);
            if due && self.state.handing_off.insert(*home) {
                let op = HandoffOp::new(self, *home);
                self.spawned.push(Box::new(op));
            }
        }
    }
}

/// What a walk goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Records,
    Chunks,
}

/// A walk over what one home is owed.
struct HandoffOp {
    id: OpId,
    home: NodeId,
    stage: Stage,
    /// Where the walk goes on.
    from: Vec<u8>,
    /// The walk rests until then.
    rests_until_us: Option<u64>,
    backoff_ms: u64,
    /// The chunk under way.
    chunk: Option<PushChunk>,
    gives_up_us: u64,
}

impl HandoffOp {
    fn new(step: &mut Step<'_>, home: NodeId) -> Self {
        Self {
            id: step.state.new_op(),
            home,
            stage: Stage::Records,
            from: Vec::new(),
            rests_until_us: Some(step.now.after_ms(FIRST_MS)),
            backoff_ms: FIRST_MS,
            chunk: None,
            gives_up_us: 0,
        }
    }

    /// Sends what may be sent now.
    fn walk(&mut self, step: &mut Step<'_>) -> Progress {
        if let Some(until_us) = self.rests_until_us {
            if step.now.mono_us < until_us {
                return Progress::Until(until_us);
            }
            self.rests_until_us = None;
        }
        if self.stage == Stage::Records {
            return self.walk_records(step);
        }
        self.next_chunk(step)
    }

    fn walk_records(&mut self, step: &mut Step<'_>) -> Progress {
        let under_way = step
            .state
            .delivering
            .iter()
            .filter(|(home, _)| *home == self.home)
            .count();
        let room = UNDER_WAY_MAX.saturating_sub(under_way);
        if room > 0 {
            let places = self.next_keys(step, Space::Hints, room);
            for key in &places {
                if let Some((place, _)) = Place::parse(key) {
                    DeliverOp::spawn(step, self.home, place);
                }
            }
            if places.is_empty() && under_way == 0 {
                self.stage = Stage::Chunks;
                self.from = Vec::new();
                return self.next_chunk(step);
            }
        }
        Progress::Until(step.now.after_ms(LOOK_MS))
    }

    /// Keys of the next hints that are owed to the home.
    fn next_keys(&mut self, step: &Step<'_>, space: Space, count_max: usize) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        // An unreadable disk is told by whoever reads next; what is owed stays owed.
        let _ = step.storage.scan(space, &self.from, &[0xff; 32], &mut |key, row| {
            if keys.len() == count_max {
                return Visit::Stop;
            }
            if decode_owed(row).is_ok_and(|owed| owed.contains(&self.home)) {
                keys.push(key.to_vec());
            }
            Visit::Next
        });
        if let Some(last) = keys.last() {
            self.from = [last.as_slice(), &[0]].concat();
        }
        keys
    }

    fn next_chunk(&mut self, step: &mut Step<'_>) -> Progress {
        loop {
            let Some(key) = self.next_keys(step, Space::ChunkHints, 1).pop() else {
                return self.end_walk(step);
            };
            let Some((partition, id)) = parse_chunk_key(&key) else {
                continue;
            };
            let op = step.state.new_op();
            match PushChunk::begin(step, op, partition, id) {
                Ok(Some(chunk)) => self.chunk = Some(chunk),
                // It was never stored: whoever asked for it was not told that it was. But what is owed is noted before
                // the chunk is written, which may be under way.
                Ok(None) if !step.state.are_chunks_changing(partition) => {
                    let _ = step.strike_off_chunk(&key, self.home);
                    continue;
                }
                // The next walk meets it again.
                Ok(None) | Err(_) => continue,
            }
            self.id = op;
            self.gives_up_us = step.now.after_ms(4 * PATIENCE_MS);
            return Progress::Until(self.gives_up_us);
        }
    }

    fn send_chunk(&self, step: &mut Step<'_>) -> Progress {
        if let Some(chunk) = &self.chunk {
            chunk.send(step, self.id, self.home);
        }
        Progress::Until(step.now.after_ms(4 * RESEND_MS).min(self.gives_up_us))
    }

    /// A walk is over: another one begins later if something is still owed.
    fn end_walk(&mut self, step: &mut Step<'_>) -> Progress {
        if step.state.hints.owed_to(self.home) == 0 {
            return self.over(step);
        }
        (self.stage, self.from, self.chunk) = (Stage::Records, Vec::new(), None);
        self.rests_until_us = Some(step.now.after_ms(self.backoff_ms));
        self.backoff_ms = (self.backoff_ms * 2).min(BACKOFF_MS_MAX);
        Progress::Until(step.now.after_ms(self.backoff_ms))
    }

    fn over(&self, step: &mut Step<'_>) -> Progress {
        step.state.handing_off.remove(&self.home);
        Progress::Done
    }
}

impl Coordinate for HandoffOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn yields(&self) -> bool {
        true
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.walk(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        let Message::WriteChunkReply { result, .. } = message else {
            return self.walk(step);
        };
        if from == self.home
            && let Some(chunk) = self.chunk.take()
            && result.is_ok()
        {
            let _ = step.strike_off_chunk(&chunk.key(), self.home);
        }
        self.walk(step)
    }

    /// A damaged chunk is nothing to hand over, and trying for ever would keep the gate shut for ever: whoever has a good copy
    /// brings it to the home, by a debt of its own or by comparison.
    fn own_chunk_read(&mut self, step: &mut Step<'_>, result: Result<Option<Bytes>, ReadError>) -> Progress {
        if result == Err(ReadError::Corrupt)
            && let Some(chunk) = &self.chunk
        {
            let _ = step.strike_off_chunk(&chunk.key(), self.home);
        }
        if PushChunk::take(&mut self.chunk, result) {
            self.send_chunk(step)
        } else {
            self.walk(step)
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if self.chunk.is_some() && step.now.mono_us < self.gives_up_us {
            return self.send_chunk(step);
        }
        self.chunk = None;
        self.walk(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if node == self.home {
            return self.over(step);
        }
        Progress::Until(step.now.after_ms(LOOK_MS))
    }
}

/// One hinted record on its way to a home.
struct DeliverOp {
    id: OpId,
    home: NodeId,
    place: Place,
    /// The record as it was sent.
    sent: Digest,
    write: Option<Write>,
    /// When it was read, in Unix milliseconds (rule G2).
    content_ms: u64,
    gives_up_us: u64,
}

impl DeliverOp {
    fn spawn(step: &mut Step<'_>, home: NodeId, place: Place) {
        if !step.state.delivering.insert((home, place.clone())) {
            return;
        }
        let op = Self {
            id: step.state.new_op(),
            home,
            place,
            sent: Digest::default(),
            write: None,
            content_ms: step.now.wall_ms,
            gives_up_us: step.now.after_ms(PATIENCE_MS),
        };
        step.spawned.push(Box::new(op));
    }

    fn read(&mut self, step: &Step<'_>) -> Result<(), ReadError> {
        let Some(hint) = step.read_hint(&self.place)? else {
            return Ok(());
        };
        let role = Role::StandIn(hint.owed);
        let bodies = step.read_held_bodies(&self.place, &role, &hint.record, WantedBodies::All)?;
        self.sent = record_digest(&hint.record);
        let write = repair_write(self.id, self.place.clone(), hint.record, bodies);
        self.write = Some(Write {
            purpose: WritePurpose::Handoff,
            ..write
        });
        Ok(())
    }

    fn send(&self, step: &mut Step<'_>) -> Progress {
        if let Some(write) = &self.write {
            step.send(self.home, Message::Write(write.clone()), About::as_of(self.content_ms));
        }
        Progress::Until(step.now.after_ms(RESEND_MS).min(self.gives_up_us))
    }

    fn over(&self, step: &mut Step<'_>) -> Progress {
        step.state.delivering.remove(&(self.home, self.place.clone()));
        Progress::Done
    }
}

impl Coordinate for DeliverOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        match self.read(step) {
            Ok(()) if self.write.is_some() => self.send(step),
            Ok(()) | Err(_) => self.over(step),
        }
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if let Message::WriteReply { result: Ok(_), .. } = message
            && from == self.home
        {
            let _ = step.strike_off(&self.place, self.home, self.sent);
        }
        self.over(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.gives_up_us {
            if step.state.is_planted(Planted::HintGivenUp) {
                let _ = step.strike_off(&self.place, self.home, self.sent);
            }
            return self.over(step);
        }
        self.send(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if node == self.home {
            return self.over(step);
        }
        Progress::Until(step.now.after_ms(RESEND_MS).min(self.gives_up_us))
    }
}
