//! The second round of a blind write (rule D4): replicas showed versions that it did not know, so it takes a tick above them
//! all, merges their contexts into its own, and writes once more. So a later plain write always replaces an earlier
//! acknowledged one.

use super::begin::too_late;
use super::{NotBegun, PutOp};
use crate::coordinate::Progress;
use crate::coordinate::claim::with_room;
use crate::coordinate::handing::NEXT_HOME_MS;
use crate::node::state::{Parked, Step, Waiter};
use crate::planted::Planted;
use crate::quorum::Vote;
use crate::request::WriteFault;

/// A blind write that stand-ins help is written above what it finds so often at most.
const ROUNDS_ABOVE_MAX: u8 = 2;

/// A write younger than this has had no second attempt that was answered, because nobody hands it to another home so
/// soon: what replaced it is concurrent with it, and either order is right. A thawed node's writes are older.
const YOUNG_MS: u64 = NEXT_HOME_MS / 2;

impl PutOp {
    pub(super) fn wants_second_round(&self, step: &Step<'_>) -> bool {
        let due = self.blind && !self.is_last_round && !self.settled && self.beyond.is_some();
        due && !step.state.is_planted(Planted::SecondRoundLeftOut)
    }

    /// Replicas held versions that this blind write did not know: it takes a tick above them all, merges their contexts
    /// into its own and writes once more (rule D4). Once: two blind writers must not chase each other.
    pub(super) fn begin_second_round(&mut self, step: &mut Step<'_>) -> Progress {
        let mut own = self.own_context.clone();
        if let Some(beyond) = &self.beyond {
            own.merge(beyond);
        }
        let before = match step.read_held(&self.place, &self.role) {
            Ok(before) => before,
            Err(_) => return self.fail(step, WriteFault::Damaged),
        };
        let alive = before.as_ref().is_some_and(|copy| copy.record.find(self.dot).is_some());
        let young = step.now.mono_us < self.begun_us + YOUNG_MS * 1000;
        if !alive && !young {
            return self.replaced_meanwhile(step);
        }
        if let Some(fault) = too_late(step, &self.content, self.content_ms) {
            return self.fail(step, fault);
        }
        if self.origin.has_lapsed(step.now.mono_us) {
            // The next home finds what this one wrote, and carries it on.
            self.answered = true;
            return Progress::Done;
        }
        let by_homes = self.tally.count(Vote::Yes) >= self.tally.needed();
        self.begin_round(step);
        match self.write_own(step, before, own) {
            Ok(()) => {}
            Err(NotBegun::Bound(bound, seen)) => {
                let seq = step.await_bound(bound, seen);
                step.wait(seq, Waiter::Unpark(Parked::Operation(self.id)));
                return self.next_wake(step);
            }
            Err(NotBegun::Unclaimed(tick)) => {
                self.claim(step, with_room(tick));
                return self.next_wake(step);
            }
            Err(NotBegun::Answered) => {
                self.answered = true;
                return Progress::Done;
            }
            Err(NotBegun::Damaged) => return self.fail(step, WriteFault::Damaged),
        }
        // What W homes did not know was not acknowledged by homes before this write began. Stand-ins that helped to meet the
        // round say nothing of that sort, so it does not count as the one.
        self.rounds_above += 1;
        self.is_last_round = by_homes || self.rounds_above >= ROUNDS_ABOVE_MAX;
        self.beyond = None;
        self.count_anew(step);
        self.ask_first(step);
        self.judge(step)
    }
}
