//! Reading the whole disk through. After a start, to know the fingerprints of what is on it (rule A2); from time to time, and
//! when an operator asks, to find what has gone bad while nobody read it.
//!
//! What cannot be read, or is not what it should be, is repaired from other homes: a record with its bodies by
//! `repair.rs`, a chunk by `mend.rs`. A fingerprint that is not that of the rows on disk is replaced, and counted: it
//! would be a fault of this program. Paced: some rows or one chunk at a time, with a pause in between.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::push_chunk::WHOLE_CHUNK;
use super::repair::RepairOp;
use super::{Coordinate, Progress};
use crate::fingerprint::KeyRange;
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Message, OpId};
use crate::node::fingerprints::COMPARED_SPACES;
use crate::node::state::{ChunkWaiter, Step};
use crate::place::Place;
use crate::storage::{ChunkHeader, ReadError, Space, Visit};

/// Between two segments while the disk is read for the first time, in milliseconds: nothing is compared until that is done.
const FIRST_PAUSE_MS: u64 = 3;
/// The same later.
const PAUSE_MS: u64 = 20;
/// After a chunk, for each MiB of it, in milliseconds: some 20 MiB per second.
const PAUSE_PER_MIB_MS: u64 = 50;
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
    /// A chunk is being read.
    is_reading: bool,
}

impl ScrubOp {
    /// Begins, if it is time: in the first turn of a run to learn, later to check.
    pub(crate) fn spawn_if_due(step: &mut Step<'_>) {
        if !step.state.fingerprints.begin_scrub(step.now.mono_us) {
            return;
        }
        let stage = if step.state.fingerprints.are_known() {
            step.state.scrub.begin();
            Stage::Rows(0, None)
        } else {
            Stage::Learn(0)
        };
        let op = Self {
            id: step.state.new_op(),
            stage,
            headers: Vec::new(),
            is_reading: false,
        };
        step.spawned.push(Box::new(op));
    }

    fn work(&mut self, step: &mut Step<'_>) -> Progress {
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
        let Some(space) = COMPARED_SPACES.get(at).copied() else {
            self.stage = Stage::Chunks(Partition(0), None);
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        };
        if after.is_none() {
            // Damage that is known is not among the segments.
            step.state.scrub.damaged += step.damage_count(space);
        }
        let Some(segment) = step.segment_after(space, after.as_deref()) else {
            self.stage = Stage::Rows(at + 1, None);
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        };
        match step.read_again(space, &segment) {
            Some(true) => {}
            Some(false) => step.state.fingerprints.wrong += 1,
            None => step.state.scrub.damaged += 1,
        }
        match space {
            Space::Rows => check_bodies(step, &segment),
            Space::Uploads => step.file_closed_uploads(&segment),
            _ => {}
        }
        self.stage = Stage::Rows(at, Some(segment.from));
        Progress::Until(step.now.after_ms(PAUSE_MS))
    }

    fn check_chunks(&mut self, step: &mut Step<'_>, partition: Partition, after: Option<ChunkId>) -> Progress {
        if let Some(header) = self.headers.pop() {
            self.stage = Stage::Chunks(partition, Some(header.id));
            self.id = step.state.new_op();
            self.is_reading = true;
            step.state.scrub.chunks += 1;
            step.state.scrub.bytes += u64::from(header.length);
            step.read_own_chunk(ChunkWaiter::Own(self.id), partition, header.id, 0, WHOLE_CHUNK);
            return Progress::Until(step.now.after_ms(READ_WAIT_MS));
        }
        if usize::from(partition.0) >= step.state.layout().partition_count() {
            return self.over(step);
        }
        // Headers that cannot be read are passed over: the chunks differ from other homes', which push them.
        let mut headers = step
            .storage
            .chunks(partition, after, HEADERS_AT_ONCE)
            .unwrap_or_default();
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
        Progress::Done
    }
}

/// Looks whether the bodies of a segment's records can be read; repairs those that cannot, or that cannot be read themselves.
fn check_bodies(step: &mut Step<'_>, segment: &KeyRange) {
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
        step.state.scrub.records += 1;
        let read = step.read_copy(&place).and_then(|copy| {
            let record = copy.map(|copy| copy.record).unwrap_or_default();
            step.file_tombstone(&place, &record);
            step.read_bodies(&place, &record, crate::request::WantedBodies::All)
        });
        if read == Err(ReadError::Corrupt) {
            step.state.scrub.damaged += 1;
            let n = step.state.n_of(place.bucket);
            RepairOp::spawn(step, &place, n);
        }
    }
}

impl Coordinate for ScrubOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.work(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, _: NodeId, _: Message) -> Progress {
        Progress::Until(step.now.after_ms(PAUSE_MS))
    }

    /// A chunk that is damaged is mended by whoever takes the disk's answer.
    fn own_chunk_read(&mut self, step: &mut Step<'_>, result: Result<Option<Bytes>, ReadError>) -> Progress {
        self.is_reading = false;
        let length = match &result {
            Ok(body) => body.as_ref().map_or(0, Bytes::len),
            Err(_) => {
                step.state.scrub.damaged += 1;
                0
            }
        };
        let pause_ms = (length as u64 * PAUSE_PER_MIB_MS) >> 20;
        Progress::Until(step.now.after_ms(pause_ms.max(1)))
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        self.is_reading = false;
        self.work(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, _: NodeId) -> Progress {
        Progress::Until(step.now.after_ms(if self.is_reading { READ_WAIT_MS } else { PAUSE_MS }))
    }
}
