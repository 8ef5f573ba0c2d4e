//! How a write begins: whether this node may coordinate it, the own copy, and whether it was here before.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::PutOp;
use super::ask::{ask_those_up, is_sloppy};
use crate::content::Content;
use crate::context::Context;
use crate::coordinate::contents::content_of;
use crate::coordinate::stand_ins::StandIns;
use crate::coordinate::{Origin, unavailable_write, unchanged, unknown};
use crate::ids::{Dot, NodeId, RequestId, Tick};
use crate::message::{Copy, SideRow};
use crate::node::clock::BoundNotDurable;
use crate::node::hints::Role;
use crate::node::local::LocalCopy;
use crate::node::state::Step;
use crate::planted::Planted;
use crate::quorum::{Tally, Verdict, Vote};
use crate::request::{Put, PutValue, WriteFault};

/// A write as it comes in, before the coordinator has touched its record.
pub(crate) struct Incoming {
    pub(crate) origin: Origin,
    pub(crate) request: RequestId,
    pub(crate) deadline_ms: u32,
    /// When the client asked, in Unix milliseconds: what it sent is that old (rule G2).
    pub(crate) content_ms: u64,
    pub(crate) put: Put,
    /// Rows that change in the same batch, and the commit deadline they imply.
    pub(crate) side: Vec<SideRow>,
    /// Another node may have begun this very write: nobody can say that nothing changed.
    pub(crate) may_have_begun: bool,
    /// Up to this tick other homes may have done it already; zero when none was granted it.
    pub(crate) above: Tick,
}

impl Incoming {
    fn refuse(&self, step: &mut Step<'_>, fault: WriteFault) -> NotBegun {
        let answer = if self.may_have_begun {
            unknown(fault)
        } else {
            unchanged(fault)
        };
        self.origin.answer(step, answer);
        NotBegun::Answered
    }
}

/// Why a coordinator did not begin.
pub(crate) enum NotBegun {
    /// It was answered.
    Answered,
    /// It must wait for the tick bound.
    Bound(BoundNotDurable, Tick),
    /// It must ask whoever handed it over whether it may issue a tick as high as this.
    Unclaimed(Tick),
    /// This node's copy cannot be read: another home must coordinate.
    Damaged,
}

impl PutOp {
    /// Begins a write: writes the own copy. The other homes are asked by [`Coordinate::start`].
    pub(crate) fn begin(step: &mut Step<'_>, incoming: &Incoming) -> Result<Box<Self>, NotBegun> {
        let Incoming {
            origin,
            request,
            deadline_ms,
            content_ms,
            put,
            side,
            ..
        } = incoming;
        let place = step.state.place(&put.settings, &put.key);
        let homes: Vec<NodeId> = step.state.layout().homes(place.partition, put.settings.n).collect();
        let me = step.state.me();
        let mut tally = Tally::new(homes, usize::from(put.w.unwrap_or(put.settings.w)))
            .requiring(me)
            .counting_twice(step.state.is_planted(Planted::StandInCountsBesideHome));
        ask_those_up(step, &mut tally, is_sloppy(&put.settings, side));
        let mut stand_ins = StandIns::default();
        if is_sloppy(&put.settings, side) {
            let own: Vec<NodeId> = home_to_stand_for(step, &tally).into_iter().collect();
            stand_ins = StandIns::of(step, place.partition, &mut tally, &own);
        }
        let role = match stand_ins.owed_by(me) {
            owed if owed.is_empty() => Role::Home,
            owed => Role::StandIn(owed),
        };
        if tally.verdict() == Verdict::Unreachable {
            return Err(incoming.refuse(step, unavailable_write(&tally)));
        }
        if step.state.standing.is_condemned() {
            return Err(NotBegun::Damaged);
        }
        if origin.has_lapsed(step.now.mono_us) {
            // Whoever handed it over has gone on to another home, or is about to.
            return Err(NotBegun::Answered);
        }
        let (content, body) = content_of(&put.value);
        if let Some(fault) = too_late(step, &content, *content_ms) {
            return Err(incoming.refuse(step, fault));
        }
        let is_deletion = matches!(put.value, PutValue::Deletion);
        if step.storage.is_full() && (!is_deletion || step.storage.is_exhausted()) {
            return Err(incoming.refuse(step, WriteFault::DiskFull));
        }
        let before = step.read_held(&place, &role).map_err(|_| NotBegun::Damaged)?;
        let mut op = Box::new(Self {
            id: step.state.new_op(),
            origin: *origin,
            request: *request,
            place,
            settings: put.settings,
            blind: put.context.is_none(),
            wait_all: put.wait_all,
            content,
            body,
            side: side.clone(),
            begun_us: step.now.mono_us,
            asked_us: step.now.mono_us,
            content_ms: *content_ms,
            above: incoming.above,
            deadline_us: step.now.after_ms(u64::from(*deadline_ms)),
            given: put.context.clone().unwrap_or_default(),
            own_context: Context::new(),
            dot: Dot {
                actor: step.state.identity.actor,
                life: Tick(0),
                tick: Tick(0),
            },
            copy: Copy::default(),
            tally,
            role,
            stand_ins,
            own_waits: 0,
            clocks: Vec::new(),
            beyond: None,
            rounds_above: 0,
            is_last_round: false,
            abstaining: Vec::new(),
            healing: Vec::new(),
            settled: false,
            answered: false,
            refusal: None,
        });
        op.write_first(step, before, put.context.as_ref())?;
        Ok(op)
    }

    /// The first round's own copy, or an earlier attempt of the same request carried on (rule D7).
    fn write_first(
        &mut self,
        step: &mut Step<'_>,
        before: Option<LocalCopy>,
        context: Option<&Context>,
    ) -> Result<(), NotBegun> {
        let earlier = before
            .as_ref()
            .and_then(|copy| copy.record.find_request(self.request))
            .cloned();
        let is_known = earlier.is_some() || step.state.replaced.find(self.request).is_some();
        if is_known && !step.state.standing.is_vouched_for() {
            // Others know what became of it, and are asked when the client tries again.
            self.fail(step, WriteFault::TimedOut { needed: 1, synced: 0 });
            return Err(NotBegun::Answered);
        }
        if !step.state.is_planted(Planted::RequestIdIgnored) {
            if let Some(earlier) = earlier {
                if self.above == Tick(0) {
                    return self.carry_on(step, before.unwrap_or_default(), &earlier, context);
                }
                return self.write_above(step, before, &earlier, context);
            }
            if let Some(dot) = step.state.replaced.find(self.request) {
                let is_told =
                    |copy: &LocalCopy| self.above == Tick(0) && !(self.blind && copy.record.sibling_count() > 1);
                let Some(before) = before.filter(is_told) else {
                    // It was forgotten since, or handed over: there is nothing here that others could be sent. Or another
                    // home may have made versions of it that what replaced it did not see. Or what it should have
                    // replaced itself may stand beside what replaced it.
                    self.fail(step, WriteFault::TimedOut { needed: 1, synced: 0 });
                    return Err(NotBegun::Answered);
                };
                self.dot = dot;
                return self.settle(step, before, context);
            }
        }
        let own = match (context, &before) {
            (Some(context), _) => context.clone(),
            (None, Some(copy)) => copy.record.context().clone(),
            (None, None) => Context::new(),
        };
        self.write_own(step, before, own)
    }
}

/// A coordinator that is no home stands in for the first home that is away, or else for the first one.
fn home_to_stand_for(step: &Step<'_>, tally: &Tally) -> Option<NodeId> {
    if tally.get(step.state.me()).is_some() {
        return None;
    }
    tally.with(Vote::Down).next().or_else(|| tally.homes().next())
}

/// Whether this node may no longer write a version itself, as every replica would refuse it: after the commit deadline of
/// its body, whose chunks may be gone (rule D10), or when what the client sent is older than a message may be (rule G2).
pub(super) fn too_late(step: &Step<'_>, content: &Content, content_ms: u64) -> Option<WriteFault> {
    if content.is_past_commit(step.now.wall_ms) {
        return Some(WriteFault::CommitDeadlinePassed);
    }
    let timed_out = WriteFault::TimedOut { needed: 1, synced: 0 };
    step.is_outlived(content_ms).then_some(timed_out)
}
