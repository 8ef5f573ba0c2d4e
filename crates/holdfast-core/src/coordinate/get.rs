//! Get and head (rule Q3): ask R homes, merge, answer; repair what proved stale.
//!
//! This node's own copy counts when it is a home. The others are told its digest, so that equal copies, the usual case,
//! cost a few dozen bytes. *Not found* is an answer, an error is not, and damage is never *not found*. Nodes that hold
//! hints for the partition are asked, too, and do not count (`hint_holders.rs`).

use alloc::vec::Vec;
use bytes::Bytes;

use super::hint_holders::HintHolders;
use super::repair::RepairOp;
use super::stand_ins::StandIns;
use super::{Coordinate, Origin, Progress, read_fault};
use crate::bucket::Settings;
use crate::context::Context;
use crate::ids::{Dot, NodeId};
use crate::message::{Copy, Digest, Message, OpId, ReadResult, Refusal};
use crate::node::hints::Role;
use crate::node::state::{About, Step};
use crate::place::Place;
use crate::quorum::{Tally, Verdict, Vote};
use crate::record::Record;
use crate::request::{Answer, Get, Got, ReadFault, WantedBodies};
use crate::storage::ReadError;

/// The next home is asked after this multiple of the usual answer time (rule Q2: slow is not dead) …
const HEDGE_FACTOR: u64 = 6;
/// … but not before this, in microseconds: below it, scheduling noise would double the load.
const HEDGE_MIN_US: u64 = 10_000;
/// … and not later than this, in microseconds.
const HEDGE_MAX_US: u64 = 300_000;

/// A read in flight.
pub(crate) struct GetOp {
    id: OpId,
    origin: Origin,
    place: Place,
    settings: Settings,
    wanted: WantedBodies,
    tally: Tally,
    stand_ins: StandIns,
    holders: HintHolders,
    /// What each home holds: `None` for nothing.
    held: Vec<(NodeId, Option<Record>)>,
    bodies: Vec<(Dot, Bytes)>,
    own_digest: Option<Digest>,
    own: Option<Record>,
    asked_us: u64,
    deadline_us: u64,
    refusal: Option<Refusal>,
    /// Bodies of all versions were asked for, because the merged record needs one that nobody sent.
    asked_all: bool,
}

impl GetOp {
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, get: &Get) -> Self {
        let place = step.state.place(&get.settings, &get.key);
        let homes: Vec<NodeId> = step.state.layout().homes(place.partition, get.settings.n).collect();
        Self {
            id: step.state.new_op(),
            origin,
            place,
            settings: get.settings,
            wanted: get.bodies,
            tally: Tally::new(homes, usize::from(get.r.unwrap_or(get.settings.r))),
            stand_ins: StandIns::default(),
            holders: HintHolders::default(),
            held: Vec::new(),
            bodies: Vec::new(),
            own_digest: None,
            own: None,
            asked_us: step.now.mono_us,
            deadline_us: step.now.after_ms(u64::from(deadline_ms)),
            refusal: None,
            asked_all: false,
        }
    }

    /// Begins, or begins anew.
    fn begin(&mut self, step: &mut Step<'_>) -> Progress {
        self.asked_us = step.now.mono_us;
        self.read_own(step);
        self.holders = HintHolders::of(step, self.place.partition, self.settings.n);
        for node in self.holders.asked() {
            self.ask(step, *node);
        }
        self.judge(step)
    }

    fn read_own(&mut self, step: &mut Step<'_>) {
        let me = step.state.me();
        if self.tally.get(me).is_none() {
            if step.state.hints.are_of(self.place.partition) {
                self.read_own_hint(step);
            }
            return;
        }
        if step
            .state
            .refuse_if_abstaining(self.place.partition, self.place.bucket)
            .is_err()
        {
            return self.tally.set(me, Vote::Down);
        }
        let read = step.read_copy_and_digest(&self.place).and_then(|own| match own {
            None => Ok(None),
            Some((copy, digest)) => {
                let bodies = step.read_bodies(&self.place, &copy.record, self.wanted)?;
                Ok(Some((copy.record, digest, bodies)))
            }
        });
        let own = read.map(|own| {
            own.map(|(record, digest, bodies)| {
                self.own_digest = Some(digest);
                self.bodies = bodies;
                self.own = Some(record.clone());
                record
            })
        });
        self.note_own(me, own);
    }

    /// This node is no home: its hint answers, and counts if it stands in for a home that is away.
    fn read_own_hint(&mut self, step: &mut Step<'_>) {
        let me = step.state.me();
        if !step.state.standing.is_vouched_for() {
            return self.tally.set(me, Vote::Down);
        }
        let read = step.read_hint(&self.place).and_then(|hint| match hint {
            None => Ok(None),
            Some(hint) => {
                let role = Role::StandIn(hint.owed);
                let bodies = step.read_held_bodies(&self.place, &role, &hint.record, self.wanted)?;
                Ok(Some((hint.record, bodies)))
            }
        });
        let own = read.map(|own| {
            own.map(|(record, bodies)| {
                self.add_bodies(&record, bodies);
                record
            })
        });
        self.note_own(me, own);
    }

    fn note_own(&mut self, me: NodeId, own: Result<Option<Record>, ReadError>) {
        match own {
            Ok(own) => {
                self.hold(me, own);
                self.tally.set(me, Vote::Yes);
            }
            Err(error) => {
                self.refusal = Some(error.into());
                self.tally.set(me, Vote::No);
            }
        }
    }

    fn hold(&mut self, node: NodeId, record: Option<Record>) {
        let counts = self.tally.get(node).is_some();
        if (counts || record.is_some()) && self.held.iter().all(|(held, _)| *held != node) {
            self.held.push((node, record));
        }
    }

    fn add_bodies(&mut self, record: &Record, bodies: Vec<(Dot, Bytes)>) {
        for (dot, body) in bodies {
            let sound = record.find(dot).is_some_and(|version| version.content.is_body(&body));
            if sound && !self.bodies.iter().any(|(own, _)| *own == dot) {
                self.bodies.push((dot, body));
            }
        }
    }

    /// Stand-ins answer for homes that cannot be reached, as many as are missing and no more: a home that can be reached is
    /// always waited for, however fast stand-ins are that know nothing (rule Q3).
    fn ask_stand_ins(&mut self, step: &mut Step<'_>) {
        if !self.settings.sloppy || self.tally.verdict() != Verdict::Unreachable {
            return;
        }
        let missing = self.tally.needed().saturating_sub(self.tally.possible());
        let mut vacant = self.tally.vacant(Vote::Down);
        vacant.truncate(missing);
        let me = step.state.me();
        let partition = self.place.partition;
        for node in self.stand_ins.seat(step, partition, &mut self.tally, &vacant) {
            if node == me {
                self.read_own_hint(step);
            } else {
                self.ask(step, node);
            }
        }
    }

    /// Asks as many further homes as are needed for R answers, those that are up, and who is silent last.
    fn ask_needed(&mut self, step: &mut Step<'_>, beyond: usize) {
        let mut spares: Vec<NodeId> = self.tally.with(Vote::Spare).collect();
        spares.sort_by_key(|home| step.state.is_silent(step.now, *home));
        let mut missing =
            (self.tally.needed() + beyond).saturating_sub(self.tally.count(Vote::Yes) + self.tally.count(Vote::Asked));
        for home in spares {
            if missing == 0 {
                break;
            }
            if step.state.is_up(home) {
                self.tally.set(home, Vote::Asked);
                self.ask(step, home);
                missing -= 1;
            } else {
                self.tally.set(home, Vote::Down);
            }
        }
    }

    fn ask(&self, step: &mut Step<'_>, home: NodeId) {
        // Only one body is wanted; when this node has a copy, its own. A hint that there is has likely what nobody else has.
        let first = self.held.is_empty() && self.tally.count(Vote::Asked) <= 1;
        let holds_hints = self.tally.get(home).is_none();
        let bodies = if self.asked_all {
            WantedBodies::All
        } else if first || holds_hints || self.own_digest.is_some() {
            self.wanted
        } else {
            WantedBodies::None
        };
        let known = if self.asked_all { None } else { self.own_digest };
        let message = Message::Read {
            op: self.id,
            place: self.place.clone(),
            known,
            bodies,
            to_merge: false,
        };
        let about = About {
            settings_version: self.settings.version,
            ..About::default()
        };
        step.send(home, message, about);
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask_needed(step, 0);
        self.ask_stand_ins(step);
        match self.tally.verdict() {
            Verdict::Pending => self.next_wake(step),
            Verdict::Met if self.waits_for_holders(step) => self.next_wake(step),
            Verdict::Met => self.finish(step),
            Verdict::Unreachable => {
                let down: Vec<NodeId> = self.tally.with(Vote::Down).collect();
                let reached = (self.tally.homes().len() - down.len()) as u8;
                let needed = self.tally.needed() as u8;
                let fault = self
                    .refusal
                    .map_or(ReadFault::Unavailable { needed, reached, down }, read_fault);
                self.origin.answer(step, Answer::ReadFailed(fault));
                Progress::Done
            }
        }
    }

    fn next_wake(&self, step: &Step<'_>) -> Progress {
        Progress::Until((step.now.mono_us + hedge_us(step)).min(self.deadline_us))
    }

    /// Whether somebody who may hold a hint has not answered, and is not later yet than a slow home may be.
    fn waits_for_holders(&self, step: &Step<'_>) -> bool {
        !self.holders.asked().is_empty() && step.now.mono_us < self.asked_us + hedge_us(step)
    }

    /// Merges what R homes hold and answers; asks again when the merged record needs a body that nobody sent.
    fn finish(&mut self, step: &mut Step<'_>) -> Progress {
        let mut merged = Record::new();
        for record in self.held.iter().filter_map(|(_, record)| record.as_ref()) {
            merged.merge(record);
        }
        if self.lacks_a_body(&merged) {
            if self.asked_all {
                self.origin.answer(step, Answer::ReadFailed(ReadFault::Damaged));
                return Progress::Done;
            }
            return self.ask_everything(step);
        }
        if self.homes_differ() || matches!(self.refusal, Some(Refusal::Damaged)) {
            RepairOp::spawn(step, &self.place, self.settings.n);
        }
        let clocks = self.held.iter().map(|(home, record)| {
            (
                *home,
                record
                    .as_ref()
                    .map_or_else(Context::new, |record| record.context().clone()),
            )
        });
        let got = Got {
            clocks: clocks.collect(),
            record: merged,
            bodies: core::mem::take(&mut self.bodies),
            coordinator: step.state.me(),
            preference_list: self.tally.homes().collect(),
            down: self.tally.with(Vote::Down).collect(),
            stand_ins: self.tally.stand_ins(Vote::Yes).map(|(_, node)| node).collect(),
            holders_unheard: self.holders.unheard(),
        };
        self.origin.answer(step, Answer::Got(got));
        Progress::Done
    }

    /// Whether homes disagree. What only a hint knows reaches them by its handoff.
    fn homes_differ(&self) -> bool {
        let is_home = |node: NodeId| self.tally.homes().any(|home| home == node);
        let mut homes = self.held.iter().filter(|(node, _)| is_home(*node));
        let Some((_, first)) = homes.next() else { return false };
        homes.any(|(_, record)| record != first)
    }

    fn lacks_a_body(&self, merged: &Record) -> bool {
        let needed = match self.wanted {
            WantedBodies::None => &[][..],
            WantedBodies::Newest => merged.newest().map_or(&[][..], core::slice::from_ref),
            WantedBodies::All => merged.versions(),
        };
        needed.iter().any(|version| {
            version.content.body_length().is_some() && !self.bodies.iter().any(|(dot, _)| *dot == version.dot)
        })
    }

    /// Starts over, asking for everything: rare, when siblings are spread over copies.
    fn ask_everything(&mut self, step: &mut Step<'_>) -> Progress {
        self.asked_all = true;
        self.wanted = if self.wanted == WantedBodies::None {
            WantedBodies::None
        } else {
            WantedBodies::All
        };
        self.id = step.state.new_op();
        self.tally = self.tally.anew();
        self.stand_ins = StandIns::default();
        self.held.clear();
        self.bodies.clear();
        self.begin(step)
    }

    fn note(&mut self, step: &mut Step<'_>, from: NodeId, result: Result<ReadResult, Refusal>) {
        let held = match result {
            Ok(ReadResult::Absent) => None,
            Ok(ReadResult::Same) => self.own.clone(),
            Ok(ReadResult::Copy(Copy { record, bodies })) => {
                self.add_bodies(&record, bodies);
                Some(record)
            }
            // A home that has forgotten what it knew is as good as away (rule S2).
            Err(Refusal::Abstains) => {
                self.tally.set(from, Vote::Down);
                return self.holders.heard(from, false);
            }
            Err(refusal) => {
                if self.tally.get(from).is_some() {
                    self.refusal = Some(refusal);
                }
                self.tally.set(from, Vote::No);
                return self.holders.heard(from, false);
            }
        };
        self.hold(from, held);
        self.holders.heard(from, true);
        self.tally.set(from, Vote::Yes);
        let took_us = step.now.mono_us.saturating_sub(self.asked_us);
        step.state.read_latency_us = (step.state.read_latency_us * 15 + took_us) / 16;
    }
}

impl Coordinate for GetOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.begin(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if let Message::ReadReply { result, .. } = message {
            self.note(step, from, result);
        }
        self.judge(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            let (needed, answered) = (self.tally.needed() as u8, self.tally.count(Vote::Yes) as u8);
            self.origin
                .answer(step, Answer::ReadFailed(ReadFault::TimedOut { needed, answered }));
            return Progress::Done;
        }
        if self.tally.verdict() == Verdict::Met {
            step.note_unanswered(self.holders.asked(), self.asked_us);
            // All that was waited for is somebody who may hold a hint.
            return self.finish(step);
        }
        // Whoever was asked may be slow, or the message lost: ask one more, and the same ones again.
        let asked = self.tally.asked();
        step.note_unanswered(&asked, self.asked_us);
        let beyond = asked.len();
        for home in asked {
            self.ask(step, home);
        }
        self.ask_needed(step, beyond.min(1));
        self.next_wake(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        self.tally.set(node, Vote::Down);
        self.holders.heard(node, false);
        self.judge(step)
    }
}

/// How long an answer may take before the next node is asked, in microseconds.
fn hedge_us(step: &Step<'_>) -> u64 {
    (step.state.read_latency_us * HEDGE_FACTOR).clamp(HEDGE_MIN_US, HEDGE_MAX_US)
}
