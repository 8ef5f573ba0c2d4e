//! Reading the whole disk through. After a start, to know the fingerprints of what is on it (rule A2); from time to time, and
//! when an operator asks, to find what has gone bad while nobody read it.
//!
//! What cannot be read, or is not what it should be, is repaired from other homes: a record with its bodies by
//! `repair.rs`, a chunk by `mend.rs`. A fingerprint that is not that of the rows on disk is replaced, and counted: it
//! would be a fault of this program. Paced: some rows or one chunk at a time, with a pause in between; when somebody waits
//! for it (`repair_all.rs`), with shorter ones, and at least as long as the disk itself took.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::mend::MendOp;
use super::push_chunk::WHOLE_CHUNK;
use super::repair::REPAIRS_MAX;
use super::{Coordinate, Progress};
use crate::fingerprint::KeyRange;
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Message, OpId};
use crate::node::fingerprints::COMPARED_SPACES;
use crate::node::state::{ChunkWaiter, Step};
use crate::place::Place;
use crate::repair::RepairStage;
use crate::storage::{ChunkHeader, ReadError, Space, Visit};

/// Between two segments while the disk is read for the first time, in milliseconds: nothing is compared until that is done.
const FIRST_PAUSE_MS: u64 = 3;
/// The same later.
const PAUSE_MS: u64 = 20;
/// After a chunk, for each MiB of it, in milliseconds: some 20 MiB per second.
const PAUSE_PER_MIB_MS: u64 = 50;
/// Between two segments, and for each MiB of bodies in one, when somebody waits for it, in milliseconds.
const ASKED_PAUSE_MS: u64 = 8;
/// The same after a chunk, for each MiB of it: at most some 200 MiB per second.
const ASKED_PAUSE_PER_MIB_MS: u64 = 5;
/// How long it waits for what it found to be healed, before it goes on to find more, in milliseconds.
const HEAL_WAIT_MS: u64 = 20;
/// Headers read at a time.
const HEADERS_AT_ONCE: usize = 256;
/// A chunk that is not read within this long is passed over.
const READ_WAIT_MS: u64 = 5_000;

/// How far a scrub has come.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Learning the fingerprints of a keyspace.
    Learn(usize),
    /// Reading the rows of a keyspace again, after this segment.
    Rows(usize, Option<Vec<u8>>),
    /// Reading chunks: of a partition, after a chunk.
    Chunks(Partition, Option<ChunkId>),
}

/// A scrub in flight.
pub(crate) struct ScrubOp {
    id: OpId,
    stage: Stage,
    /// Headers of the chunks that come next, the first last.
    headers: Vec<ChunkHeader>,
    /// The chunk that is being read, and since when, in monotonic microseconds.
    reading: Option<(ChunkHeader, u64)>,
    /// Somebody asked for it, and waits for what it finds to be healed.
    is_asked: bool,
    /// A damaged chunk that is to be mended before reading goes on.
    damaged: Option<ChunkHeader>,
}

/// What was found in a segment.
pub(crate) struct Found {
    records: u64,
    bytes: u64,
    pub(crate) damaged: u64,
}

impl Found {
    /// How long to pause after it when somebody waits, in milliseconds.
    pub(crate) const fn pause_ms(&self) -> u64 {
        ASKED_PAUSE_MS + ((self.bytes * ASKED_PAUSE_MS) >> 20)
    }
}

impl ScrubOp {
    /// Begins, if it is time: in the first turn of a run to learn, later to check.
    pub(crate) fn spawn_if_due(step: &mut Step<'_>) {
        let is_wanted = step.state.asked.wants_scrub();
        if !step.state.fingerprints.begin_scrub(step.now.mono_us, is_wanted) {
            return;
        }
        let is_known = step.state.fingerprints.are_known();
        let stage = if is_known {
            step.state.scrub.begin();
            Stage::Rows(0, None)
        } else {
            Stage::Learn(0)
        };
        let op = Self {
            id: step.state.new_op(),
            stage,
            headers: Vec::new(),
            reading: None,
            is_asked: is_known && step.state.asked.take_scrub(),
            damaged: None,
        };
        step.spawned.push(Box::new(op));
    }

    fn work(&mut self, step: &mut Step<'_>) -> Progress {
        // Whoever asks now wants everything read from now on.
        if !matches!(self.stage, Stage::Learn(_)) && step.state.asked.take_scrub() {
            step.state.scrub.begin();
            self.is_asked = true;
            self.stage = Stage::Rows(0, None);
            self.headers.clear();
        }
        match self.stage.clone() {
            Stage::Learn(at) => self.learn(step, at),
            Stage::Rows(at, after) => self.check_rows(step, at, after),
            Stage::Chunks(partition, after) => self.check_chunks(step, partition, after),
        }
    }

    fn learn(&mut self, step: &mut Step<'_>, at: usize) -> Progress {
        let Some(space) = COMPARED_SPACES.get(at) else {
            return self.over(step);
        };
        if step.read_next_segment(*space) {
            self.stage = Stage::Learn(at + 1);
        }
        Progress::Until(step.now.after_ms(FIRST_PAUSE_MS))
    }

    fn check_rows(&mut self, step: &mut Step<'_>, at: usize, after: Option<Vec<u8>>) -> Progress {
        if self.is_asked && step.state.repairing.len() >= REPAIRS_MAX {
            return Progress::Until(step.now.after_ms(HEAL_WAIT_MS));
        }
        let Some(space) = COMPARED_SPACES.get(at).copied() else {
            self.stage = Stage::Chunks(Partition(0), None);
            if self.is_asked {
                step.state.asked.report.records.finish();
                step.state.asked.report.stage = RepairStage::Chunks;
            }
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        };
        if after.is_none() {
            // Damage that is known is not among the segments.
            self.count_damaged(step, step.damage_count(space));
            if self.is_asked {
                for range in step.damages(space) {
                    step.state.asked.note_damaged(space, &range);
                }
            }
        }
        let Some(segment) = step.segment_after(space, after.as_deref()) else {
            self.stage = Stage::Rows(at + 1, None);
            return Progress::Until(step.now.after_ms(self.pause_ms()));
        };
        if self.is_asked {
            let rows = step.row_count_at(space, &segment.from);
            step.state.asked.report.records.advance(rows);
        }
        match step.read_again(space, &segment) {
            Some(true) => {}
            Some(false) => step.state.fingerprints.wrong += 1,
            None => {
                self.count_damaged(step, 1);
                if self.is_asked {
                    step.state.asked.note_damaged(space, &segment);
                }
            }
        }
        let mut pause_ms = self.pause_ms();
        match space {
            Space::Rows => {
                let found = check_bodies(step, &segment);
                step.state.scrub.records += found.records;
                self.count_damaged(step, found.damaged);
                if self.is_asked {
                    pause_ms = found.pause_ms();
                }
            }
            Space::Uploads => step.file_closed_uploads(&segment),
            _ => {}
        }
        self.stage = Stage::Rows(at, Some(segment.from));
        Progress::Until(step.now.after_ms(pause_ms))
    }

    /// Between two segments.
    const fn pause_ms(&self) -> u64 {
        if self.is_asked { ASKED_PAUSE_MS } else { PAUSE_MS }
    }

    fn count_damaged(&self, step: &mut Step<'_>, count: u64) {
        step.state.scrub.damaged += count;
        if self.is_asked {
            step.state.asked.report.damaged += count;
        }
    }

    fn check_chunks(&mut self, step: &mut Step<'_>, partition: Partition, after: Option<ChunkId>) -> Progress {
        if let Some(header) = self.damaged.take()
            && !MendOp::spawn_asked(step, &header)
        {
            self.damaged = Some(header);
            return Progress::Until(step.now.after_ms(HEAL_WAIT_MS));
        }
        if let Some(header) = self.headers.pop() {
            self.stage = Stage::Chunks(partition, Some(header.id));
            self.id = step.state.new_op();
            step.state.scrub.chunks += 1;
            step.state.scrub.bytes += u64::from(header.length);
            if self.is_asked {
                step.state.asked.report.chunks.advance(1);
                step.state.asked.report.bytes.advance(u64::from(header.length));
            }
            step.read_own_chunk(ChunkWaiter::Own(self.id), partition, header.id, 0, WHOLE_CHUNK);
            self.reading = Some((header, step.now.mono_us));
            return Progress::Until(step.now.after_ms(READ_WAIT_MS));
        }
        if usize::from(partition.0) >= step.state.layout().partition_count() {
            return self.over(step);
        }
        // Headers that cannot be read are passed over: the chunks differ from other homes', which push them.
        let headers = step.storage.chunks(partition, after, HEADERS_AT_ONCE);
        if headers.is_err() && self.is_asked {
            step.state.asked.report.damaged += 1;
            step.state.asked.count_unhealed(None);
        }
        let mut headers = headers.unwrap_or_default();
        if headers.is_empty() {
            self.stage = Stage::Chunks(Partition(partition.0 + 1), None);
        }
        headers.reverse();
        self.headers = headers;
        Progress::Until(step.now.after_ms(1))
    }

    fn over(&self, step: &mut Step<'_>) -> Progress {
        let next_us = step.now.after_ms(step.state.config.scrub_every_ms);
        step.state.fingerprints.end_scrub(next_us);
        step.state.scrub.end(step.now.wall_ms);
        if self.is_asked {
            step.state.asked.scrub_is_over();
        }
        Progress::Done
    }
}

/// Looks whether the bodies of a segment's records can be read; repairs those that cannot, or that cannot be read themselves.
pub(crate) fn check_bodies(step: &mut Step<'_>, segment: &KeyRange) -> Found {
    let mut found = Found {
        records: 0,
        bytes: 0,
        damaged: 0,
    };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    // What lies beyond a row that cannot be read is not known from here: comparisons ask others for it.
    let _ = step
        .storage
        .scan(Space::Rows, &segment.from, &segment.to, &mut |key, _| {
            keys.push(key.to_vec());
            Visit::Next
        });
    for key in keys {
        let Some((place, _)) = Place::parse(&key) else { continue };
        found.records += 1;
        let read = step.read_copy(&place).and_then(|copy| {
            let record = copy.map(|copy| copy.record).unwrap_or_default();
            step.file_remnants(&place, &record);
            step.read_bodies(&place, &record, crate::request::WantedBodies::All)
        });
        match read {
            Ok(bodies) => found.bytes += bodies.iter().map(|(_, body)| body.len() as u64).sum::<u64>(),
            Err(ReadError::Corrupt) => {
                found.damaged += 1;
                step.repair_awaited(&place);
            }
            Err(ReadError::Io | ReadError::Overloaded) => {
                if step.state.asked.is_running() {
                    step.state.asked.count_unhealed(Some(&place.object_key()));
                }
            }
        }
    }
    found
}

impl Coordinate for ScrubOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn yields(&self) -> bool {
        true
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.work(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, _: NodeId, _: Message) -> Progress {
        Progress::Until(step.now.after_ms(PAUSE_MS))
    }

    /// A chunk that is damaged is mended by whoever takes the disk's answer, unless it was tried in vain lately or too many are
    /// being mended: whoever asked for a repair wants it tried all the same.
    fn own_chunk_read(&mut self, step: &mut Step<'_>, result: Result<Option<Bytes>, ReadError>) -> Progress {
        let reading = self.reading.take();
        let length = match &result {
            Ok(body) => body.as_ref().map_or(0, Bytes::len),
            // The disk has too much to do: the chunk may be sound.
            Err(ReadError::Overloaded) => 0,
            Err(ReadError::Corrupt | ReadError::Io) => {
                self.count_damaged(step, 1);
                0
            }
        };
        let pause_ms = (length as u64 * PAUSE_PER_MIB_MS) >> 20;
        let Some((header, asked_us)) = reading.filter(|_| self.is_asked) else {
            return Progress::Until(step.now.after_ms(pause_ms.max(1)));
        };
        match result {
            Ok(_) => {}
            Err(ReadError::Corrupt) if step.state.asked.is_mending(header.id) => {}
            Err(ReadError::Corrupt) => self.damaged = Some(header),
            // Nothing is written over what may be sound.
            Err(ReadError::Io | ReadError::Overloaded) => step.state.asked.count_unhealed(Some(&header.owner)),
        }
        let pause_us = (length as u64 * ASKED_PAUSE_PER_MIB_MS * 1_000) >> 20;
        let took_us = step.now.mono_us.saturating_sub(asked_us);
        Progress::Until(step.now.after_us(pause_us.max(took_us).max(1_000)))
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if let Some((header, _)) = self.reading.take()
            && self.is_asked
        {
            step.state.asked.count_unhealed(Some(&header.owner));
        }
        self.work(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, _: NodeId) -> Progress {
        let is_reading = self.reading.is_some();
        Progress::Until(step.now.after_ms(if is_reading { READ_WAIT_MS } else { PAUSE_MS }))
    }
}
