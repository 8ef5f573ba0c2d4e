//! Put and delete (rules Q1, D4, D7): one quorum write through a home, two when replicas knew more than the writer.
//!
//! The coordinator is a home, or a stand-in when no home can be reached: it reads and writes its own copy in one step,
//! sends the whole record to the other homes, and to stand-ins for those that are away, and answers at W synced copies,
//! its own among them. A blind write that met versions it did not know takes a tick
//! above them all and writes once more, so that a later plain write always replaces an earlier acknowledged one,
//! whatever the clocks say.

mod again;
mod begin;
mod second_round;

use alloc::vec::Vec;
use bytes::Bytes;

use super::stand_ins::{StandIns, silent_and_needed};
pub(crate) use begin::{Incoming, NotBegun};

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
use crate::request::{Answer, PutOutcome, WriteFault};
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

    /// Counts from the beginning: the same homes, and stand-ins as they are needed now.
    fn count_anew(&mut self, step: &Step<'_>) {
        self.tally = self.tally.anew();
        self.asked_us = step.now.mono_us;
        self.abstaining.clear();
        self.healing.clear();
        ask_those_up(step, &mut self.tally, is_sloppy(&self.settings, &self.side));
        if is_sloppy(&self.settings, &self.side) {
            let own = match &self.role {
                Role::Home => &[][..],
                Role::StandIn(owes) => owes,
            };
            self.stand_ins = StandIns::of(step, self.place.partition, &mut self.tally, own);
        }
    }

    /// Asks stand-ins for homes with this vote for which nobody stands in yet.
    fn ask_stand_ins(&mut self, step: &mut Step<'_>, instead_of: Vote) {
        if !is_sloppy(&self.settings, &self.side) {
            return;
        }
        let vacant = self.tally.vacant(instead_of);
        self.seat_stand_ins(step, &vacant);
    }

    fn seat_stand_ins(&mut self, step: &mut Step<'_>, homes: &[NodeId]) {
        let (me, partition) = (step.state.me(), self.place.partition);
        for node in self.stand_ins.seat(step, partition, &mut self.tally, homes) {
            if node == me {
                self.owe_more(step);
            } else {
                self.send_to(step, node);
            }
        }
    }

    /// This node stands in for more homes than before: its hint must say so, on its disk, before that counts (rules Q1, H1).
    fn owe_more(&mut self, step: &mut Step<'_>) {
        let me = step.state.me();
        let owes = self.stand_ins.owed_by(me);
        match step.merge_hint(&self.place, &self.copy, &owes) {
            Ok(merged) => self.wait_for_own(step, merged.seq),
            Err(_) => self.tally.set(me, Vote::No),
        }
        self.role = Role::StandIn(owes);
    }

    /// This node's own copy counts once this batch, and those it waits for already, are on disk.
    fn wait_for_own(&mut self, step: &mut Step<'_>, seq: WriteSeq) {
        self.own_waits = self.own_waits.saturating_add(1);
        step.wait(seq, Waiter::Own(self.id));
    }

    /// Homes that abstain stand in for themselves, where nobody else can (rule S2): a write is never refused while nodes can be
    /// reached.
    fn ask_abstaining(&mut self, step: &mut Step<'_>) {
        let vacant = self.tally.vacant(Vote::No);
        for home in core::mem::take(&mut self.abstaining) {
            if vacant.contains(&home) {
                self.stand_ins.seat_itself(&mut self.tally, home);
                self.send_to(step, home);
            }
        }
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

    /// Homes that heal their copies are waited for, where nobody else can take the write (rule D2).
    fn wait_for_healing(&mut self) {
        for home in core::mem::take(&mut self.healing) {
            self.tally.ask_again(home);
        }
    }

    fn send_to(&self, step: &mut Step<'_>, home: NodeId) {
        let write = Write {
            op: self.id,
            place: self.place.clone(),
            own_context: self.own_context.clone(),
            copy: self.copy.clone(),
            side: self.side.clone(),
            purpose: WritePurpose::Commit,
            stands_for: self.stand_ins.owed_by(home),
        };
        let left_ms = (self.deadline_us.saturating_sub(step.now.mono_us) / 1000) as u32;
        let about = About {
            settings_version: self.settings.version,
            request: self.request,
            deadline_ms: left_ms,
            content_ms: Some(self.content_ms),
        };
        step.send(home, Message::Write(write), about);
    }

    /// Begins a round. Where a silent home would be waited for, somebody stands in for it from the beginning.
    fn ask_first(&mut self, step: &mut Step<'_>) {
        self.ask_all(step);
        if is_sloppy(&self.settings, &self.side) {
            let silent = silent_and_needed(step, &self.tally);
            self.seat_stand_ins(step, &silent);
        }
    }

    fn ask_all(&self, step: &mut Step<'_>) {
        let me = step.state.me();
        for node in self.tally.asked().into_iter().filter(|node| *node != me) {
            self.send_to(step, node);
        }
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

    fn fail(&mut self, step: &mut Step<'_>, fault: WriteFault) -> Progress {
        if !self.answered {
            self.answered = true;
            self.origin.answer(step, unknown(fault));
        }
        Progress::Done
    }

    fn answer_done(&mut self, step: &mut Step<'_>) {
        self.answered = true;
        let outcome = PutOutcome {
            dot: self.dot,
            context: self.context_to_tell(),
            etag: self.content.etag.clone(),
            siblings: self.copy.record.sibling_count() as u32,
            coordinator: step.state.me(),
            preference_list: self.tally.homes().collect(),
            written: self.tally.with(Vote::Yes).collect(),
            pending: self.tally.with(Vote::Asked).collect(),
            down: self.tally.with(Vote::Down).collect(),
            hinted: self.tally.stand_ins(Vote::Yes).collect(),
            clocks: self.clocks.clone(),
        };
        self.origin.answer(step, Answer::Put(outcome));
    }

    /// What the client has seen by now. Its own dot covers what came before it in its life: of that the client has seen
    /// nothing while it lives on as a sibling, or when it was replaced by another who saw it.
    fn context_to_tell(&self) -> Context {
        let has_seen_all = self.blind || !self.settled && self.copy.record.sibling_count() <= 1;
        if has_seen_all {
            self.own_context.clone()
        } else {
            self.given.clone()
        }
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

/// Whether stand-ins may take part. Rows of uploads are for homes only.
fn is_sloppy(settings: &Settings, side: &[SideRow]) -> bool {
    settings.sloppy && side.is_empty()
}

/// Notes which homes can be asked. This node counts as a stand-in for itself at most, if its disk may have forgotten what it
/// acknowledged (rules S1, S2).
fn ask_those_up(step: &Step<'_>, tally: &mut Tally, is_sloppy: bool) {
    let me = step.state.me();
    if step.state.abstains() && tally.get(me).is_some() {
        tally.set(me, Vote::No);
        if is_sloppy {
            tally.seat(me, me);
        }
    }
    for home in tally.homes().collect::<Vec<_>>() {
        let vote = if step.state.is_up(home) {
            Vote::Asked
        } else {
            Vote::Down
        };
        tally.set(home, vote);
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
