//! Put and delete (rules Q1, D4, D7): one quorum write through a home, two when replicas knew more than the writer.
//!
//! The coordinator is a home, or a stand-in when no home can be reached: it reads and writes its own copy in one step,
//! sends the whole record to the other homes, and to stand-ins for those that are away, and answers at W synced copies,
//! its own among them. A blind write that met versions it did not know takes a tick
//! above them all and writes once more, so that a later plain write always replaces an earlier acknowledged one,
//! whatever the clocks say.

mod again;
mod answer;
mod ask;
mod begin;
mod second_round;

use alloc::vec::Vec;
use bytes::Bytes;

use ask::is_sloppy;
pub(crate) use begin::{Incoming, NotBegun};

use super::stand_ins::StandIns;
use super::{Coordinate, Origin, Progress, RESEND_MS, unavailable_write, unchanged, unknown, write_fault};
use crate::bucket::Settings;
use crate::content::Content;
use crate::context::Context;
use crate::ids::{Dot, NodeId, RequestId, Tick};
use crate::message::{Copy, Message, OpId, Refusal, SideRow, Write, WritePurpose, Written};
use crate::node::hints::Role;
use crate::node::local::LocalCopy;
use crate::node::state::{About, Step, Waiter};
use crate::place::Place;
use crate::planted::Planted;
use crate::quorum::{Tally, Verdict, Vote};
use crate::record::{Record, Version};
use crate::request::WriteFault;
use crate::storage::{Batch, WriteSeq};

/// A put with a stale context may leave at most so many siblings (rule D4).
const SIBLINGS_MAX: usize = 100;

/// A write in flight.
pub(crate) struct PutOp {
    id: OpId,
    origin: Origin,
    request: RequestId,
    place: Place,
    settings: Settings,
    blind: bool,
    wait_all: bool,
    content: Content,
    body: Bytes,
    side: Vec<SideRow>,
    begun_us: u64,
    /// When this round's nodes were asked first.
    asked_us: u64,
    deadline_us: u64,
    /// What the client said it had seen.
    given: Context,
    /// What this put knew: of the client or the coordinator, its own dot included.
    own_context: Context,
    dot: Dot,
    copy: Copy,
    /// When the client asked, in Unix milliseconds.
    content_ms: u64,
    /// Up to this tick other homes may have done it already; zero when none was granted it.
    above: Tick,
    tally: Tally,
    /// As what this node holds its own copy.
    role: Role,
    stand_ins: StandIns,
    /// Batches of this round that its own copy waits for.
    own_waits: u8,
    clocks: Vec<(NodeId, Context)>,
    /// What replicas knew beyond `own_context`.
    beyond: Option<Context>,
    /// Rounds that were followed by another, because of what replicas knew beyond.
    rounds_above: u8,
    /// This round is the last: homes alone met the one before it.
    is_last_round: bool,
    /// Homes that hold the write, but do not count as homes (rule S2).
    abstaining: Vec<NodeId>,
    /// Homes whose copy is damaged, and which heal it.
    healing: Vec<NodeId>,
    /// It proved to have been replaced already; nothing more is written for it.
    settled: bool,
    answered: bool,
    refusal: Option<Refusal>,
}

impl PutOp {
    /// A new id: what was asked and what is waited for until now concerns nobody any more.
    fn begin_round(&mut self, step: &mut Step<'_>) {
        self.id = step.state.new_op();
        self.own_waits = 0;
    }

    /// This node's own copy counts once this batch, and those it waits for already, are on disk.
    fn wait_for_own(&mut self, step: &mut Step<'_>, seq: WriteSeq) {
        self.own_waits = self.own_waits.saturating_add(1);
        step.wait(seq, Waiter::Own(self.id));
    }

    /// Issues a dot above everything seen and writes this node's copy under it.
    fn write_own(&mut self, step: &mut Step<'_>, before: Option<LocalCopy>, mut own: Context) -> Result<(), NotBegun> {
        let copy = before.clone().unwrap_or_default();
        own.cover_attempts(self.request, self.above);
        let seen = copy.record.tick_max().max(own.tick_max());
        let (local, tick) = step
            .issue(&copy.local, seen)
            .map_err(|bound| NotBegun::Bound(bound, seen))?;
        if !self.origin.allows(tick) {
            return Err(NotBegun::Unclaimed(tick));
        }
        let mut after = LocalCopy {
            local,
            record: copy.record,
        };
        self.dot = Dot {
            actor: step.state.identity.actor,
            life: local.life,
            tick,
        };
        let version = Version {
            dot: self.dot,
            request: self.request,
            content: self.content.clone(),
        };
        after.record.put(&own, version);
        if !self.blind && after.record.sibling_count() > SIBLINGS_MAX {
            self.origin.answer(step, unchanged(WriteFault::TooManySiblings));
            return Err(NotBegun::Answered);
        }
        let before_record = before.map(|copy| copy.record);
        let kept = after.record.versions().iter().filter(|version| version.dot != self.dot);
        let bodies = step.read_bodies_in(self.role.body_space(), &self.place, kept);
        let mut bodies = bodies.map_err(|_| NotBegun::Damaged)?;
        if !self.body.is_empty() {
            bodies.push((self.dot, self.body.clone()));
        }
        let mut batch = Batch::default();
        step.merge_side_rows(&self.side, &mut batch)
            .map_err(|_| NotBegun::Damaged)?;
        let written = step.write_held(&self.place, &self.role, before_record.as_ref(), &after, &bodies, batch);
        let seq = written.map_err(|_| NotBegun::Damaged)?;
        self.own_context = own;
        self.own_context.add(self.dot);
        self.clocks = alloc::vec![(step.state.me(), after.record.context().clone())];
        self.copy = if step.state.standing.is_vouched_for() {
            Copy {
                record: after.record,
                bodies,
            }
        } else {
            self.alone(after.record, bodies)
        };
        if step.state.is_planted(Planted::AnswerBeforeOwnSync) {
            step.own_synced.push(self.id);
        } else {
            self.wait_for_own(step, seq);
        }
        Ok(())
    }

    /// This write without what else the own copy holds: others may have forgotten that, should this disk be an old copy (rule
    /// S1).
    fn alone(&self, record: Record, bodies: Vec<(Dot, Bytes)>) -> Copy {
        let mut alone = Record::new();
        if let Some(version) = record.find(self.dot) {
            alone.put(&self.own_context, version.clone());
        }
        let bodies = bodies.into_iter().filter(|(dot, _)| *dot == self.dot).collect();
        Copy { record: alone, bodies }
    }

    /// Whoever handed this write over gives it to nobody else meanwhile (rule D7).
    fn say_still_at_it(&self, step: &mut Step<'_>) {
        if let Origin::Forwarded { up_to, .. } = self.origin
            && !self.answered
        {
            self.claim(step, up_to);
        }
    }

    /// Asks whoever handed this write over whether it still waits, and whether it may get a tick as high as this.
    fn claim(&self, step: &mut Step<'_>, up_to: Tick) {
        if let Origin::Forwarded { by, op: forward, .. } = self.origin {
            let op = self.id;
            step.send(by, Message::Claim { op, forward, up_to }, About::default());
        }
    }

    /// Looks at the tally: answers, begins the second round, or waits.
    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        if !self.answered {
            if self.tally.verdict() == Verdict::Unreachable {
                self.ask_abstaining(step);
            }
            if self.tally.verdict() == Verdict::Unreachable {
                self.wait_for_healing();
            }
            match self.tally.verdict() {
                Verdict::Met if self.wants_second_round(step) => return self.begin_second_round(step),
                Verdict::Met if self.settled && self.replacement_is_behind() => {
                    let (needed, synced) = (self.tally.needed() as u8, self.tally.yes() as u8);
                    return self.fail(step, WriteFault::TimedOut { needed, synced });
                }
                Verdict::Met if !self.wait_all || self.tally.is_settled() => self.answer_done(step),
                Verdict::Met | Verdict::Pending => {}
                Verdict::Unreachable => {
                    let fault = self.refusal.map_or_else(|| unavailable_write(&self.tally), write_fault);
                    self.answered = true;
                    self.origin.answer(step, unknown(fault));
                }
            }
        }
        // Stragglers are sent to again until they have it or the deadline passes.
        if self.answered && self.tally.is_settled() {
            Progress::Done
        } else {
            self.next_wake(step)
        }
    }

    fn next_wake(&self, step: &Step<'_>) -> Progress {
        Progress::Until(step.now.after_ms(RESEND_MS).min(self.deadline_us))
    }

    fn note(&mut self, from: NodeId, result: Result<Written, Refusal>) {
        match result {
            Ok(written) => {
                // It may answer what it was sent before it stood in for more.
                if usize::from(written.stands_for) >= self.stand_ins.owed_by(from).len() {
                    self.tally.set(from, Vote::Yes);
                }
                self.clocks.retain(|(node, _)| *node != from);
                self.clocks.push((from, written.context));
                if let Some(beyond) = written.beyond {
                    self.beyond.get_or_insert_default().merge(&beyond);
                }
            }
            Err(refusal) => {
                self.tally.set(from, Vote::No);
                self.refusal.get_or_insert(refusal);
            }
        }
    }
}

impl Coordinate for PutOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn straggling_bytes(&self) -> Option<usize> {
        let bodies = self.copy.bodies.iter().map(|(_, body)| body.len());
        self.answered.then(|| bodies.sum())
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask_first(step);
        self.judge(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if let Message::ClaimReply { up_to, .. } = message {
            self.origin.allow(up_to);
        }
        if let Message::WriteReply { result, .. } = message {
            let may_help = is_sloppy(&self.settings, &self.side);
            if matches!(result, Err(Refusal::Damaged | Refusal::Abstains)) && !may_help {
                // It heals its copy or its disk, and is asked again before long.
                return self.judge(step);
            }
            let is_like_away = matches!(result, Err(Refusal::DiskFull | Refusal::Damaged | Refusal::Abstains));
            if self.tally.get(from) == Some(Vote::Asked) {
                match result {
                    Err(Refusal::Abstains) => self.abstaining.push(from),
                    Err(Refusal::Damaged) => self.healing.push(from),
                    _ => {}
                }
            }
            self.note(from, result);
            if is_like_away {
                // A home without room, or with a damaged copy, is like one that is away: somebody else takes the write, and owes it.
                self.ask_stand_ins(step, Vote::No);
            }
        }
        self.judge(step)
    }

    fn own_synced(&mut self, step: &mut Step<'_>) -> Progress {
        self.own_waits = self.own_waits.saturating_sub(1);
        if self.own_waits == 0 {
            self.tally.set(step.state.me(), Vote::Yes);
        }
        self.judge(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            if self.answered {
                return Progress::Done;
            }
            let (needed, synced) = (self.tally.needed() as u8, self.tally.yes() as u8);
            if self.tally.verdict() == Verdict::Met && !self.wants_second_round(step) {
                self.answer_done(step);
                return Progress::Done;
            }
            return self.fail(step, WriteFault::TimedOut { needed, synced });
        }
        if !self.answered && self.wants_second_round(step) && self.tally.verdict() == Verdict::Met {
            return self.begin_second_round(step);
        }
        step.note_unanswered(&self.tally.asked(), self.asked_us);
        if !self.answered && self.tally.verdict() == Verdict::Pending {
            // Slow is not dead, but nobody waits for it either (rule Q2).
            self.ask_stand_ins(step, Vote::Asked);
            self.ask_abstaining(step);
        }
        self.ask_all(step);
        self.say_still_at_it(step);
        self.next_wake(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        self.tally.set(node, Vote::Down);
        self.ask_stand_ins(step, Vote::Down);
        self.judge(step)
    }
}

/// The record that a replica must be shown in repair; unused fields of a put are empty there.
pub(crate) fn repair_write(op: OpId, place: Place, record: Record, bodies: Vec<(Dot, Bytes)>) -> Write {
    let own_context = record.context().clone();
    Write {
        op,
        place,
        own_context,
        copy: Copy { record, bodies },
        side: Vec::new(),
        purpose: WritePurpose::Repair,
        stands_for: Vec::new(),
    }
}
