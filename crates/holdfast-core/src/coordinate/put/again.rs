//! A write that was here before (rule D7): carried on if it is still alive, settled if it has been replaced since, and
//! never written a second time where that could undo what came after it.

use alloc::vec::Vec;
use bytes::Bytes;

use super::{LocalCopy, NotBegun, PutOp};
use crate::context::Context;
use crate::coordinate::{Progress, unchanged};
use crate::ids::Dot;
use crate::message::Copy;
use crate::node::replica::must_be_shown;
use crate::node::state::Step;
use crate::record::{Record, Version};
use crate::request::{WantedBodies, WriteFault};
use crate::storage::Batch;

impl PutOp {
    /// A retry of a write that is here already: same dot, W synced answers and D4 like any other (rule D7).
    ///
    /// What the first attempt knew is not known here. Where its version stands alone, all else that the copy covers is gone
    /// because of it, and a blind retry claims that. Beside others it claims its own dot and the attempts before it only:
    /// whatever else a copy holds, this one included, then asks for the second round. Claiming these others, too, would leave an
    /// earlier acknowledged write beside it, and perhaps above it.
    pub(super) fn carry_on(
        &mut self,
        step: &mut Step<'_>,
        copy: LocalCopy,
        earlier: &Version,
        context: Option<&Context>,
    ) -> Result<(), NotBegun> {
        self.refuse_another(step, earlier)?;
        let bodies = step
            .read_held_bodies(&self.place, &self.role, &copy.record, WantedBodies::All)
            .map_err(|_| NotBegun::Damaged)?;
        self.dot = earlier.dot;
        self.content = earlier.content.clone();
        self.body = bodies
            .iter()
            .find(|(dot, _)| *dot == self.dot)
            .map(|(_, body)| body.clone())
            .unwrap_or_default();
        let replaced = (copy.record.versions().len() == 1).then(|| copy.record.context());
        self.own_context = context.or(replaced).cloned().unwrap_or_default();
        self.own_context.add(self.dot);
        let attempts = copy.record.context().attempts_known(self.request);
        self.own_context.cover_attempts(self.request, attempts);
        if must_be_shown(&copy.record, &self.own_context) {
            self.beyond = Some(copy.record.context().clone());
        }
        self.send_as_it_is(step, copy.record, bodies)
    }

    /// The same, after another home was granted the write and may have made versions of it that nobody here has seen: it gets
    /// a version that covers all of them.
    pub(super) fn write_above(
        &mut self,
        step: &mut Step<'_>,
        before: Option<LocalCopy>,
        earlier: &Version,
        context: Option<&Context>,
    ) -> Result<(), NotBegun> {
        self.refuse_another(step, earlier)?;
        let known = before.as_ref().map(|copy| copy.record.context().clone());
        // Its dot would cover all earlier ones of that life.
        let own = context.cloned().or(known).unwrap_or_default();
        self.write_own(step, before, own)
    }

    /// A request id names one write.
    fn refuse_another(&self, step: &mut Step<'_>, earlier: &Version) -> Result<(), NotBegun> {
        if earlier.content.size == self.content.size && earlier.content.kind == self.content.kind {
            return Ok(());
        }
        self.origin.answer(step, unchanged(WriteFault::RequestIdReused));
        Err(NotBegun::Answered)
    }

    /// The write took effect and was replaced since, by somebody who saw it: writing it again would undo that (rule D7).
    /// W homes must have what replaced it, so that the answer is as durable as any. Its client has seen nothing of what came
    /// after, and is told no context that covers it.
    pub(super) fn settle(
        &mut self,
        step: &mut Step<'_>,
        copy: LocalCopy,
        context: Option<&Context>,
    ) -> Result<(), NotBegun> {
        let bodies = step
            .read_held_bodies(&self.place, &self.role, &copy.record, WantedBodies::All)
            .map_err(|_| NotBegun::Damaged)?;
        self.settled = true;
        self.own_context = context.cloned().unwrap_or_default();
        self.own_context.add(self.dot);
        self.send_as_it_is(step, copy.record, bodies)
    }

    /// This node's copy as it lies is what the others are sent. It may not be on disk yet, and counts once it is. It may have come
    /// without the rows beside it, from a copy that was made equal.
    fn send_as_it_is(
        &mut self,
        step: &mut Step<'_>,
        record: Record,
        bodies: Vec<(Dot, Bytes)>,
    ) -> Result<(), NotBegun> {
        let mut batch = Batch::default();
        step.merge_side_rows(&self.side, &mut batch)
            .map_err(|_| NotBegun::Damaged)?;
        let seq = step.write_changes(batch);
        self.clocks = alloc::vec![(step.state.me(), record.context().clone())];
        self.copy = Copy { record, bodies };
        self.wait_for_own(step, seq);
        Ok(())
    }

    /// [`PutOp::settle`] in the middle of a write: a fresh count, under a fresh id.
    pub(super) fn settle_now(&mut self, step: &mut Step<'_>, before: LocalCopy) -> Progress {
        self.begin_round(step);
        let own = self.own_context.clone();
        if self.settle(step, before, Some(&own)).is_err() {
            return self.fail(step, WriteFault::Damaged);
        }
        self.count_anew(step);
        self.ask_first(step);
        self.judge(step)
    }

    /// Somebody who saw this write replaced it while replicas were asked, so long ago that another attempt at it may have
    /// been answered in between: writing it once more could undo what came after that. If what replaced it also replaced
    /// what it should have, nothing is left to do; else nobody can say what a reader will see.
    pub(super) fn replaced_meanwhile(&mut self, step: &mut Step<'_>) -> Progress {
        let copy = match step.read_held(&self.place, &self.role) {
            Ok(Some(copy)) => copy,
            // A stand-in has handed it over to the homes meanwhile: they know, it does not.
            Ok(None) => {
                let (needed, synced) = (self.tally.needed() as u8, self.tally.yes() as u8);
                return self.fail(step, WriteFault::TimedOut { needed, synced });
            }
            Err(_) => return self.fail(step, WriteFault::Damaged),
        };
        let beyond = self.beyond.clone().unwrap_or_default();
        let alive = copy.record.versions().iter().any(|version| beyond.covers(version.dot));
        if alive || !copy.record.context().includes(&beyond) {
            let (needed, synced) = (self.tally.needed() as u8, self.tally.yes() as u8);
            return self.fail(step, WriteFault::TimedOut { needed, synced });
        }
        self.settle_now(step, copy)
    }

    /// A settled write's replicas hold versions that what replaced it does not know: those should have been replaced by
    /// this write, and whether they will be is not for it to say.
    pub(super) fn replacement_is_behind(&self) -> bool {
        let known = self.copy.record.context();
        self.beyond.as_ref().is_some_and(|beyond| !known.includes(beyond))
    }
}
