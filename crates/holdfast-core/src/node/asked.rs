//! A repair that somebody asked for, as those operations see it that do its work (docs/protocol.md, "Repair on demand").
//!
//! The scrub, the comparisons, the repairs of single keys and the mends of chunks are the same as ever. While such a repair
//! is under way they tell here what they found and how it ended, so that `coordinate/repair_all.rs` can wait for all of it, try
//! once more what failed, and say what came of it. While none is under way nothing here does anything: no operation
//! behaves otherwise, and no simulated run changes.
//!
//! Bounded: what failed is remembered up to [`FAILED_MAX`] keys, and counted beyond (promise P8).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::fingerprint::KeyRange;
use crate::ids::{ChunkId, NodeId, ObjectKey};
use crate::place::Place;
use crate::repair::{NAMED_MAX, Portion, RepairOfMember, RepairOfMemberState, RepairReport, RepairStage};
use crate::storage::{ChunkHeader, Space};

/// Keys and chunks that failed and are tried once more, and keys that were given up, are each remembered up to so many.
const FAILED_MAX: usize = 1_024;

/// How a repair of one key ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyEnded {
    /// All copies that could be read were equal.
    Equal,
    /// They are now.
    Healed,
    /// Some home could not be asked or did not confirm, or what is damaged here was not had from the others.
    Failed,
}

/// Memory of the repair that is under way, or of the last one.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) report: RepairReport,
    /// A scrub is to begin, or to begin anew.
    is_scrub_wanted: bool,
    is_scrub_over: bool,
    /// Keys that are being repaired, and waited for.
    awaited: BTreeSet<Place>,
    /// Chunks that are being mended.
    mending: BTreeSet<ChunkId>,
    /// Keys that failed, to be tried once more, and those that were.
    failed: BTreeSet<Place>,
    retried: BTreeSet<Place>,
    /// The same of chunks.
    failed_chunks: Vec<ChunkHeader>,
    retried_chunks: BTreeSet<ChunkId>,
    given_up: BTreeSet<Place>,
    /// Where rows could not be read. What lies behind such a place was not looked at, so all of it is read again in the end.
    damaged: Vec<(Space, KeyRange)>,
    /// Rows that can be read again, and whose bodies have not been.
    unread: Vec<KeyRange>,
    /// Whom this node compares itself with for this repair.
    comparing: Option<NodeId>,
    /// How that ended: whether it was complete.
    compared: Option<bool>,
    /// When the comparison got on last, in monotonic microseconds.
    moved_us: u64,
}

impl Asked {
    pub(crate) const fn is_running(&self) -> bool {
        self.report.is_running
    }

    /// Begins with the other members, each compared with in so many parts.
    pub(crate) fn begin(&mut self, now_ms: u64, members: impl Iterator<Item = NodeId>, parts: u64) {
        let members = members.map(|node| RepairOfMember {
            node,
            state: RepairOfMemberState::Waiting,
            parts: Portion::of(parts),
        });
        let report = RepairReport {
            number: self.report.number + 1,
            is_running: true,
            begun_ms: now_ms,
            members: members.collect(),
            ..RepairReport::default()
        };
        *self = Self {
            report,
            ..Self::default()
        };
    }

    pub(crate) const fn end(&mut self, now_ms: u64) {
        self.report.is_running = false;
        self.report.ended_ms = now_ms;
        self.report.stage = RepairStage::Over;
    }
}

/// The scrub.
impl Asked {
    pub(crate) const fn want_scrub(&mut self) {
        self.is_scrub_wanted = true;
    }

    pub(crate) const fn wants_scrub(&self) -> bool {
        self.is_scrub_wanted
    }

    /// Whether the scrub that begins now is the one that is wanted.
    pub(crate) const fn take_scrub(&mut self) -> bool {
        core::mem::replace(&mut self.is_scrub_wanted, false)
    }

    pub(crate) const fn scrub_is_over(&mut self) {
        self.is_scrub_over = true;
    }

    pub(crate) const fn is_scrub_over(&self) -> bool {
        self.is_scrub_over
    }

    /// Rows could not be read in this range.
    pub(crate) fn note_damaged(&mut self, space: Space, range: &KeyRange) {
        self.damaged.push((space, range.clone()));
    }

    /// The next range to be tried again.
    pub(crate) fn take_damaged(&mut self) -> Option<(Space, KeyRange)> {
        self.damaged.pop()
    }

    pub(crate) fn note_unread(&mut self, segments: impl Iterator<Item = KeyRange>) {
        self.unread.extend(segments);
    }

    pub(crate) fn take_unread(&mut self) -> Option<KeyRange> {
        self.unread.pop()
    }
}

/// Keys and chunks.
impl Asked {
    /// A key is to be repaired, and its repair to be waited for.
    pub(crate) fn await_key(&mut self, place: &Place) {
        if self.is_running() {
            self.awaited.insert(place.clone());
        }
    }

    /// A repair of a key has ended, whoever wanted it.
    pub(crate) fn key_ended(&mut self, place: &Place, ended: KeyEnded) {
        if !self.is_running() {
            return;
        }
        self.report.healed.records += u64::from(ended == KeyEnded::Healed);
        if !self.awaited.remove(place) || ended != KeyEnded::Failed {
            return;
        }
        if self.retried.contains(place) || self.failed.len() + self.retried.len() >= FAILED_MAX {
            self.give_up(place);
        } else {
            self.failed.insert(place.clone());
        }
    }

    fn give_up(&mut self, place: &Place) {
        if self.given_up.len() < FAILED_MAX && !self.given_up.insert(place.clone()) {
            return;
        }
        self.count_unhealed(Some(&place.object_key()));
    }

    /// Something cannot be healed; of which key, if that is known.
    pub(crate) fn count_unhealed(&mut self, of: Option<&ObjectKey>) {
        let RepairReport {
            unhealed,
            unhealed_keys: named,
            ..
        } = &mut self.report;
        *unhealed += 1;
        if let Some(of) = of
            && named.len() < NAMED_MAX
            && !named.contains(of)
        {
            named.push(of.clone());
        }
    }

    /// Whether what cannot be read in a range of rows is known to be so of a key.
    pub(crate) fn has_given_up_in(&self, range: &KeyRange) -> bool {
        self.given_up.iter().any(|place| range.contains(&place.row_key()))
    }

    pub(crate) fn mend_begun(&mut self, chunk: ChunkId) {
        if self.is_running() {
            self.mending.insert(chunk);
        }
    }

    pub(crate) fn is_mending(&self, chunk: ChunkId) -> bool {
        self.mending.contains(&chunk)
    }

    /// A chunk was written again, or cannot be.
    pub(crate) fn mend_ended(&mut self, header: &ChunkHeader, is_mended: bool) {
        if !self.is_running() || !self.mending.remove(&header.id) {
            return;
        }
        if is_mended {
            self.report.healed.chunks += 1;
        } else {
            self.mend_failed(header);
        }
    }

    pub(crate) fn mend_failed(&mut self, header: &ChunkHeader) {
        let remembered = self.failed_chunks.len() + self.retried_chunks.len();
        if self.retried_chunks.contains(&header.id) || remembered >= FAILED_MAX {
            self.count_unhealed(Some(&header.owner));
        } else {
            self.failed_chunks.push(header.clone());
        }
    }

    /// Whether something is being healed that is waited for.
    pub(crate) fn is_healing(&self) -> bool {
        !self.awaited.is_empty() || !self.mending.is_empty()
    }

    /// Whether something failed that is to be tried once more.
    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty() || !self.failed_chunks.is_empty()
    }

    /// A key that failed and is tried again now.
    pub(crate) fn take_failed(&mut self) -> Option<Place> {
        let place = self.failed.pop_first()?;
        self.retried.insert(place.clone());
        Some(place)
    }

    /// The same of chunks.
    pub(crate) fn take_failed_chunk(&mut self) -> Option<ChunkHeader> {
        let header = self.failed_chunks.pop()?;
        self.retried_chunks.insert(header.id);
        Some(header)
    }

    /// It cannot be tried now.
    pub(crate) fn put_back(&mut self, header: ChunkHeader) {
        self.retried_chunks.remove(&header.id);
        self.failed_chunks.push(header);
    }
}

/// Comparisons.
impl Asked {
    pub(crate) fn begin_comparing(&mut self, node: NodeId, now_us: u64) {
        self.comparing = Some(node);
        self.compared = None;
        self.moved_us = now_us;
    }

    pub(crate) const fn comparing(&self) -> Option<NodeId> {
        self.comparing
    }

    /// Whether the comparison with this member is a part of the repair.
    pub(crate) fn is_comparing(&self, node: NodeId) -> bool {
        self.comparing == Some(node) && self.compared.is_none()
    }

    /// The comparison with a member gets on.
    pub(crate) fn comparison_moves(&mut self, node: NodeId, now_us: u64) {
        if self.is_comparing(node) {
            self.moved_us = now_us;
        }
    }

    /// It has come to a key of one of the stages, of which each goes through so many partitions.
    pub(crate) fn compares_at(&mut self, node: NodeId, stage: usize, key: &[u8], partitions: u64) {
        if !self.is_comparing(node) {
            return;
        }
        let partition = key
            .get(..2)
            .map_or(0, |bytes| u64::from(u16::from_be_bytes([bytes[0], bytes[1]])));
        let done = stage as u64 * partitions + partition.min(partitions);
        if let Some(member) = self.member(node) {
            member.parts.reach(done);
        }
    }

    pub(crate) fn comparison_ended(&mut self, node: NodeId, is_complete: bool) {
        if self.is_comparing(node) {
            self.compared = Some(is_complete);
        }
    }

    /// How the comparison ended that this repair waits for, if it has.
    pub(crate) const fn take_compared(&mut self) -> Option<bool> {
        let compared = self.compared.take();
        if compared.is_some() {
            self.comparing = None;
        }
        compared
    }

    /// Nobody waits for that comparison any more.
    pub(crate) const fn give_up_comparing(&mut self) {
        self.comparing = None;
    }

    /// When the comparison got on last.
    pub(crate) const fn moved_us(&self) -> u64 {
        self.moved_us
    }

    /// Those that were compared with are compared with once more.
    pub(crate) fn compare_again(&mut self) {
        self.report.stage = RepairStage::Members;
        for member in &mut self.report.members {
            if member.state == RepairOfMemberState::Compared {
                member.state = RepairOfMemberState::Waiting;
            }
        }
    }

    pub(crate) fn member(&mut self, node: NodeId) -> Option<&mut RepairOfMember> {
        self.report.members.iter_mut().find(|member| member.node == node)
    }

    /// What comparisons found, whoever wanted them.
    pub(crate) const fn note_differences(&mut self, count: u64) {
        if self.is_running() {
            self.report.differences += count;
        }
    }

    /// Rows of uploads were had from another member.
    pub(crate) const fn note_fetched(&mut self, count: u64) {
        if self.is_running() {
            self.report.healed.records += count;
        }
    }

    /// What another member lacked was sent to it.
    pub(crate) const fn note_sent(&mut self) {
        if self.is_running() {
            self.report.healed.sent += 1;
        }
    }
}
