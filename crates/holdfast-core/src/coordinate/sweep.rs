//! Finding bodies that never became a version, and versions that only stand-ins ever held (rule D10): once a day each node
//! walks the headers of its chunks, and asks the homes of those whose commit deadline has passed whether they name them.
//!
//! What nobody names is filed as a dead body of this node's account, and goes as all others do, through the gate
//! (`collect.rs`): this only finds, it removes nothing. What it cannot ask about now it meets again tomorrow. Uploads that
//! nobody completed in time are aborted on the way, and their parts are dead then.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::collect::homes_of;
use super::upload::UploadOp;
use super::{Coordinate, Progress, RESEND_MS};
use crate::dead::{Collect, Collected};
use crate::ids::{ChunkId, NodeId, PartId, Partition};
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::place::Place;
use crate::planted::Planted;

/// Headers read in one step.
const HEADERS_AT_ONCE: usize = 64;
/// Homes are asked once there are so many parts to ask about: a key may be a kilobyte long.
const ASK_FROM_PARTS: usize = 64;
/// Uploads looked at in one step, all of which may have to be aborted.
const UPLOADS_AT_ONCE: usize = 8;
/// Between two steps of the walk, in milliseconds: a million chunks take some minutes of waiting.
const STEP_MS: u64 = 10;
/// A question unanswered so often leaves its parts for the next sweep.
const ATTEMPTS_MAX: u32 = 5;

/// What was met of a part on this disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    /// One more than the highest index of a chunk.
    pub(crate) chunks: u32,
    /// Bytes of those chunks.
    pub(crate) bytes: u64,
}

/// Begins to abort uploads that nobody can complete any more. Where to go on, if there are more to look at.
fn abort_expired(step: &mut Step<'_>, from: &[u8]) -> Option<Vec<u8>> {
    let (expired, next) = step.expired_uploads(from, UPLOADS_AT_ONCE);
    for (place, upload) in expired {
        let known = step.state.registry.bucket_by_id(place.bucket);
        if let Some(settings) = known.map(|bucket| bucket.settings) {
            let op = UploadOp::expire(step, settings, place, upload);
            step.spawned.push(Box::new(op));
        }
    }
    next
}

/// A sweep in flight.
pub(crate) struct SweepOp {
    id: OpId,
    partition: u16,
    after: Option<ChunkId>,
    /// Where the walk over uploads goes on, after that over chunks; `None` when it is over.
    uploads_from: Option<Vec<u8>>,
    /// Parts whose deadline has passed, and what of each was met.
    parts: BTreeMap<(Place, PartId), Met>,
    /// Whom to ask about them; the first has been asked.
    asks: VecDeque<(NodeId, Vec<(Place, PartId)>)>,
    attempts: u32,
}

impl SweepOp {
    /// Begins, if it is time.
    pub(crate) fn spawn_if_due(step: &mut Step<'_>) {
        let first_us = step.now.after_ms(step.state.config.dead_wait_ms);
        if !step.state.dead.begin_sweep(step.now.mono_us, first_us) {
            return;
        }
        let op = Self {
            id: step.state.new_op(),
            partition: 0,
            after: None,
            uploads_from: Some(Vec::new()),
            parts: BTreeMap::new(),
            asks: VecDeque::new(),
            attempts: 0,
        };
        step.spawned.push(Box::new(op));
    }

    /// Walks on, and asks once there is enough to ask about.
    fn walk(&mut self, step: &mut Step<'_>) -> Progress {
        let is_over = usize::from(self.partition) >= step.state.layout().partition_count();
        if self.parts.len() >= ASK_FROM_PARTS || is_over && !self.parts.is_empty() {
            return self.begin_asking(step);
        }
        if is_over && let Some(from) = self.uploads_from.take() {
            self.uploads_from = abort_expired(step, &from);
            return Progress::Until(step.now.after_ms(STEP_MS));
        }
        if is_over {
            let next_us = step.now.after_ms(step.state.config.sweep_ms());
            step.state.dead.end_sweep(next_us);
            return Progress::Done;
        }
        self.look(step);
        Progress::Until(step.now.after_ms(STEP_MS))
    }

    /// Looks at some headers: empty partitions cost next to nothing, so several at a time.
    fn look(&mut self, step: &Step<'_>) {
        let mut left = HEADERS_AT_ONCE;
        for _ in 0..HEADERS_AT_ONCE {
            if left == 0 || usize::from(self.partition) >= step.state.layout().partition_count() {
                return;
            }
            // An index that cannot be read is the business of readers and scrubbing; this goes on beyond it.
            let headers = step
                .storage
                .chunks(Partition(self.partition), self.after, left)
                .unwrap_or_default();
            if headers.len() < left {
                self.partition += 1;
                self.after = None;
            } else {
                self.after = headers.last().map(|header| header.id);
            }
            left -= headers.len();
            for header in headers {
                if step.is_outlived(header.commit_deadline_ms)
                    && let Some(place) = step.place_of(&header.owner)
                {
                    let met = self.parts.entry((place, header.id.part)).or_default();
                    met.chunks = met.chunks.max(header.id.index.saturating_add(1));
                    met.bytes += u64::from(header.length);
                }
            }
        }
    }

    fn begin_asking(&mut self, step: &mut Step<'_>) -> Progress {
        let mut asks: BTreeMap<NodeId, Vec<(Place, PartId)>> = BTreeMap::new();
        for (place, part) in self.parts.keys() {
            for home in homes_of(step, place) {
                asks.entry(home).or_default().push((place.clone(), *part));
            }
        }
        self.asks = asks.into_iter().collect();
        self.ask(step)
    }

    fn ask(&mut self, step: &mut Step<'_>) -> Progress {
        self.id = step.state.new_op();
        self.attempts = 0;
        while let Some((node, parts)) = self.asks.front() {
            if *node != step.state.me() {
                return if step.state.is_up(*node) {
                    self.send(step)
                } else {
                    self.give_up(step)
                };
            }
            match step.answer_collect(&Collect::Named(parts.clone())) {
                Ok((Collected::Named(named), _)) => self.spare(&named),
                _ => return self.give_up(step),
            }
            self.asks.pop_front();
        }
        self.file(step)
    }

    fn send(&self, step: &mut Step<'_>) -> Progress {
        let Some((node, parts)) = self.asks.front().cloned() else {
            return Progress::Until(step.now.after_ms(STEP_MS));
        };
        let ask = Collect::Named(parts);
        step.send(node, Message::Collect { op: self.id, ask }, About::default());
        Progress::Until(step.now.after_ms(RESEND_MS))
    }

    /// Parts that are named are no concern of a sweep.
    fn spare(&mut self, named: &[PartId]) {
        if !named.is_empty() {
            self.parts.retain(|(_, part), _| !named.contains(part));
        }
    }

    /// Somebody cannot say: these parts stay until the next sweep.
    fn give_up(&mut self, step: &mut Step<'_>) -> Progress {
        self.parts.clear();
        self.asks.clear();
        self.id = step.state.new_op();
        self.walk(step)
    }

    /// Nobody names what is left. Whether that is so is asked again before anything goes.
    fn file(&mut self, step: &mut Step<'_>) -> Progress {
        let parts = core::mem::take(&mut self.parts);
        if !step.state.is_planted(Planted::AbandonedKept) {
            step.note_abandoned(parts);
        }
        self.walk(step)
    }
}

impl Coordinate for SweepOp {
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
        match (message, self.asks.front()) {
            (Message::CollectReply { result, .. }, Some((asked, _))) if *asked == from => match result {
                Ok(Collected::Named(named)) => {
                    self.spare(&named);
                    self.asks.pop_front();
                    self.ask(step)
                }
                _ => self.give_up(step),
            },
            _ => Progress::Until(step.now.after_ms(RESEND_MS)),
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        let Some((node, _)) = self.asks.front() else {
            return self.walk(step);
        };
        if !step.state.is_up(*node) || self.attempts >= ATTEMPTS_MAX {
            return self.give_up(step);
        }
        self.attempts += 1;
        self.send(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.asks.front().is_some_and(|(asked, _)| *asked == node) {
            return self.give_up(step);
        }
        Progress::Until(step.now.after_ms(STEP_MS))
    }
}
