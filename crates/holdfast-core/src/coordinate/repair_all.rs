//! Checking and repairing everything that this node holds, because somebody asked for it now (docs/protocol.md, "Repair on
//! demand"): counts what there is, has the disk read through by a scrub, compares with one member after the other, waits
//! for all that is being healed on the way, tries once more what failed, and reads again what was damaged.
//!
//! This operation only says what comes next; the work is done by `scrub.rs`, `compare.rs`, `repair.rs` and `mend.rs`, in that
//! order: what a scrub finds damaged among rows is healed by the comparisons that follow. It looks now and then how far they
//! are (`node/asked.rs`), and waits for nobody for ever: a member that is away, or does not get on, is named and passed
//! over.
//!
//! Weak spot: the report lives in memory; a node that is started anew has forgotten that it was asked.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::compare::{CompareOp, STAGES};
use super::mend::MendOp;
use super::repair::REPAIRS_MAX;
use super::scrub::check_bodies;
use super::{Coordinate, Progress};
use crate::event::ClusterEvent;
use crate::fingerprint::KeyRange;
use crate::ids::{ChunkId, NodeId, Partition};
use crate::message::{Message, OpId};
use crate::node::fingerprints::COMPARED_SPACES;
use crate::node::state::Step;
use crate::repair::{Portion, RepairOfMember, RepairOfMemberState as State, RepairStage};
use crate::storage::Space;

/// Between two looks how far the work is, in milliseconds.
const LOOK_MS: u64 = 20;
/// Between two steps of its own work, in milliseconds: others want the node, too.
const PAUSE_MS: u64 = 2;
/// Headers of chunks counted in one step, about.
const COUNTED_AT_ONCE: u64 = 1_024;
/// Partitions looked at in one step at most: even empty ones cost a search.
const PARTITIONS_AT_ONCE: u16 = 128;
/// Headers read at a time.
const HEADERS_AT_ONCE: usize = 256;
/// Members that are away are waited for this long after all others were compared with, in milliseconds.
const AWAY_WAIT_MS: u64 = 5_000;
/// A comparison that does not get on for this long is not waited for, in milliseconds: the member reads its disk after a start,
/// or is much too busy.
const STUCK_MS: u64 = 60_000;
/// Where rows still cannot be read, the members are asked once more after this long, in milliseconds: they may have had damage
/// of their own at the same place, and have healed it by then.
const SECOND_ROUND_MS: u64 = 2_000;
/// A member that could not be compared with wholly is tried so often.
const ATTEMPTS_MAX: usize = 2;

/// The repair in flight.
pub(crate) struct RepairAllOp {
    id: OpId,
    /// Where counting is: a partition, and the chunk counted last in it.
    counted: (Partition, Option<ChunkId>),
    bytes: u64,
    chunks: u64,
    /// With whom comparisons were begun.
    attempts: Vec<NodeId>,
    /// All members were asked a second time.
    is_second_round: bool,
    /// Since when nothing but what is away has been waited for, in monotonic microseconds.
    idle_from_us: Option<u64>,
}

impl RepairAllOp {
    /// Begins, unless a repair is under way: whoever asked is told of that one.
    pub(crate) fn spawn(step: &mut Step<'_>) {
        if step.state.asked.is_running() {
            return;
        }
        let me = step.state.me();
        let layout = step.state.layout();
        let parts = (STAGES.len() * layout.partition_count()) as u64;
        let others = layout.members().iter().map(|member| member.id);
        let others: Vec<NodeId> = others.filter(|node| *node != me).collect();
        step.state.asked.begin(step.now.wall_ms, others.into_iter(), parts);
        step.tell(ClusterEvent::RepairBegun);
        let op = Self {
            id: step.state.new_op(),
            counted: (Partition(0), None),
            bytes: 0,
            chunks: 0,
            attempts: Vec::new(),
            is_second_round: false,
            idle_from_us: None,
        };
        step.spawned.push(Box::new(op));
    }

    fn work(&mut self, step: &mut Step<'_>) -> Progress {
        match step.state.asked.report.stage {
            RepairStage::Starting => {
                if step.state.fingerprints.are_known() {
                    step.state.asked.report.stage = RepairStage::Counting;
                }
                look_later(step)
            }
            RepairStage::Counting => self.count(step),
            RepairStage::Records | RepairStage::Chunks => {
                if step.state.asked.is_scrub_over() {
                    let report = &mut step.state.asked.report;
                    report.records.finish();
                    report.chunks.finish();
                    report.bytes.finish();
                    report.stage = RepairStage::Members;
                }
                look_later(step)
            }
            RepairStage::Members => self.compare(step),
            RepairStage::Healing => self.heal(step),
            RepairStage::Over => Progress::Done,
        }
    }

    /// Counts what there is, some headers at a time. What cannot be read is not counted.
    fn count(&mut self, step: &mut Step<'_>) -> Progress {
        let mut counted = 0;
        let (mut partition, mut after) = self.counted;
        let partitions = step.state.layout().partition_count();
        let last = partition.0.saturating_add(PARTITIONS_AT_ONCE);
        while usize::from(partition.0) < partitions && partition.0 < last && counted < COUNTED_AT_ONCE {
            let headers = step.storage.chunks(partition, after, HEADERS_AT_ONCE);
            let headers = headers.unwrap_or_default();
            counted += headers.len() as u64;
            self.bytes += headers.iter().map(|header| u64::from(header.length)).sum::<u64>();
            after = headers.last().map(|header| header.id);
            if headers.len() < HEADERS_AT_ONCE {
                (partition, after) = (Partition(partition.0 + 1), None);
            }
        }
        self.counted = (partition, after);
        self.chunks += counted;
        if usize::from(partition.0) >= partitions {
            let rows = COMPARED_SPACES.map(|space| step.row_count(space));
            let report = &mut step.state.asked.report;
            report.records = Portion::of(rows.iter().sum());
            report.chunks = Portion::of(self.chunks);
            report.bytes = Portion::of(self.bytes);
            report.stage = RepairStage::Records;
            step.state.asked.want_scrub();
        }
        Progress::Until(step.now.after_ms(PAUSE_MS))
    }

    /// Compares with one member after the other.
    fn compare(&mut self, step: &mut Step<'_>) -> Progress {
        if let Some(node) = step.state.asked.comparing() {
            match step.state.asked.take_compared() {
                Some(is_complete) => self.compared(step, node, is_complete),
                None if is_long_ago(step, step.state.asked.moved_us(), STUCK_MS) => {
                    step.state.asked.give_up_comparing();
                    set(step, node, State::Incomplete);
                }
                None => return look_later(step),
            }
        }
        let wanted: Vec<NodeId> = step
            .state
            .asked
            .report
            .members
            .iter()
            .filter(|member| matches!(member.state, State::Waiting | State::Down))
            .map(|member| member.node)
            .collect();
        for node in &wanted {
            // Before others have vouched for this node it may compare with nobody (rule S1).
            let can_be_asked = step.state.is_up(*node) && step.state.standing.is_vouched_for();
            set(step, *node, if can_be_asked { State::Waiting } else { State::Down });
            // One that is under way for another reason began before the scrub had ended.
            if can_be_asked && !step.state.comparing.contains(node) {
                self.attempts.push(*node);
                self.idle_from_us = None;
                step.state.asked.begin_comparing(*node, step.now.mono_us);
                set(step, *node, State::Comparing);
                CompareOp::spawn(step, *node);
                return look_later(step);
            }
        }
        let is_away = |member: &RepairOfMember| member.state != State::Waiting;
        let are_all_away = step.state.asked.report.members.iter().all(is_away);
        let patience_ms = if are_all_away { AWAY_WAIT_MS } else { STUCK_MS };
        let idle_from_us = *self.idle_from_us.get_or_insert(step.now.mono_us);
        if !wanted.is_empty() && !is_long_ago(step, idle_from_us, patience_ms) {
            return look_later(step);
        }
        for node in wanted {
            if step.state.is_up(node) {
                set(step, node, State::Incomplete);
            }
        }
        step.state.asked.report.stage = RepairStage::Healing;
        look_later(step)
    }

    /// A comparison has ended. One that was cut short is made once more.
    fn compared(&self, step: &mut Step<'_>, node: NodeId, is_complete: bool) {
        let attempts = self.attempts.iter().filter(|tried| **tried == node).count();
        let state = match (is_complete, step.state.is_up(node)) {
            (true, _) => State::Compared,
            (false, false) => State::Down,
            (false, true) if attempts < ATTEMPTS_MAX => State::Waiting,
            (false, true) => State::Incomplete,
        };
        set(step, node, state);
    }

    /// Waits for what is being healed, tries again what failed, reads again what was damaged, and ends when nothing is left to
    /// do.
    fn heal(&mut self, step: &mut Step<'_>) -> Progress {
        if try_again(step) || step.state.asked.is_healing() {
            return look_later(step);
        }
        if let Some((space, range)) = step.state.asked.take_damaged() {
            if step.heal_damage(space, &range) {
                // It may be more than is read at once.
                step.state.asked.note_damaged(space, &range);
            } else if space == Space::Rows {
                let segments = step.segments_in(space, &range);
                step.state.asked.note_unread(segments.into_iter());
            }
            return Progress::Until(step.now.after_ms(PAUSE_MS));
        }
        if let Some(segment) = step.state.asked.take_unread() {
            let found = check_bodies(step, &segment);
            step.state.asked.report.damaged += found.damaged;
            return Progress::Until(step.now.after_ms(found.pause_ms()));
        }
        let unreadable = unreadable(step);
        if !unreadable.is_empty() && !core::mem::replace(&mut self.is_second_round, true) {
            for (space, range) in &unreadable {
                step.state.asked.note_damaged(*space, range);
            }
            step.state.asked.compare_again();
            return Progress::Until(step.now.after_ms(SECOND_ROUND_MS));
        }
        unreadable.iter().for_each(|_| step.state.asked.count_unhealed(None));
        step.state.asked.end(step.now.wall_ms);
        let report = &step.state.asked.report;
        let ended = ClusterEvent::RepairEnded {
            damaged: report.damaged,
            differences: report.differences,
            healed: report.healed,
            unhealed: report.unhealed,
        };
        step.tell(ended);
        Progress::Done
    }
}

/// Places that still cannot be read; those of keys that were given up have been counted.
fn unreadable(step: &Step<'_>) -> Vec<(Space, KeyRange)> {
    let places = COMPARED_SPACES.map(|space| step.damages(space).into_iter().map(move |range| (space, range)));
    let is_new = |(space, range): &(Space, KeyRange)| *space != Space::Rows || !step.state.asked.has_given_up_in(range);
    places.into_iter().flatten().filter(is_new).collect()
}

fn set(step: &mut Step<'_>, node: NodeId, state: State) {
    if let Some(member) = step.state.asked.member(node) {
        member.state = state;
        if state == State::Compared {
            member.parts.finish();
        }
    }
}

const fn is_long_ago(step: &Step<'_>, from_us: u64, patience_ms: u64) -> bool {
    step.now.mono_us > from_us.saturating_add(patience_ms * 1_000)
}

fn look_later(step: &Step<'_>) -> Progress {
    Progress::Until(step.now.after_ms(LOOK_MS))
}

/// Begins again what failed, as much as may be under way at once. Whether there was something.
fn try_again(step: &mut Step<'_>) -> bool {
    let has_failed = step.state.asked.has_failed();
    while step.state.repairing.len() < REPAIRS_MAX
        && let Some(place) = step.state.asked.take_failed()
    {
        step.repair_awaited(&place);
    }
    while let Some(header) = step.state.asked.take_failed_chunk() {
        if !MendOp::spawn_asked(step, &header) {
            step.state.asked.put_back(header);
            break;
        }
    }
    has_failed
}

impl Coordinate for RepairAllOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.work(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, _: NodeId, _: Message) -> Progress {
        look_later(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        self.work(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, _: NodeId) -> Progress {
        look_later(step)
    }
}
