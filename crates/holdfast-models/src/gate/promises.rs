//! What must hold in every state of the gate, and what a search must have met to mean anything.

use super::state::{Collector, State};
use super::{Gate, Stage, Step, Verb};
use crate::record::{Progress, Record, Writes};

/// What only a scope with a guest that leaves can show.
pub const AWAY: &str = "the guest was away with a hint of what was deleted";
/// What only a scope with a put after the delete can show.
pub const PUT_BETWEEN: &str = "a put came when one home had removed the tombstone and another had not";

pub const SIGHTS: &[&str] = &[
    PUT_BETWEEN,
    "a hint changed while it was handed over",
    "a hint came within a stretch",
    "a tombstone went from every home",
    AWAY,
    "one home had removed the tombstone and another had not",
];

impl Gate {
    pub(super) fn sights_of(&self, before: &State, step: &Step, after: &State) -> u32 {
        let mut homes = 0..self.scope.homes;
        let guest = usize::from(self.guest());
        let hint = before.copies[guest];
        let is_half = |state: &State| {
            let waits = |home| {
                let versions = state.copies[usize::from(home)].versions;
                versions != 0 && versions & !state.forgotten == 0
            };
            (0..self.scope.homes).any(waits)
        };
        let put_between = matches!(step, Step::Write { verb: Verb::Put, .. }) && is_half(before);
        let changed = match step {
            Step::Deliver(message) => message.hands_over && !hint.is_none() && hint.digest() != message.record.digest(),
            _ => false,
        };
        let waits = |run: &Collector| matches!(run.stage, Stage::Stretch | Stage::Waits);
        let hint_in_stretch = before.collectors.iter().any(waits) && hint.is_none() && !after.copies[guest].is_none();
        let gone = after.forgotten != 0 && homes.all(|home| after.copies[usize::from(home)].is_none());
        let away_with_dead = after.away && after.copies[guest].versions & after.history.replaced_for_good() != 0;
        let shown = [
            put_between,
            changed,
            hint_in_stretch,
            gone,
            away_with_dead,
            is_half(after),
        ];
        let bits = shown.iter().enumerate();
        bits.fold(0, |bits, (bit, shows)| bits | u32::from(*shows) << bit)
    }

    pub(super) fn broken_promise(&self, state: &State) -> Option<&'static str> {
        if self.promises.nothing_left && state.too_early {
            return Some("nothing is removed while somebody holds what it would bring back");
        }
        if self.promises.stays_gone && self.came_back(state) {
            return Some("a tombstone that was removed stays away");
        }
        self.quorums().find_map(|quorum| self.broken_read(state, quorum))
    }

    /// Some home has it unmarked again, after some home had removed it.
    fn came_back(&self, state: &State) -> bool {
        (0..self.scope.homes).any(|home| {
            let versions = self.readable(state, home).versions;
            versions != 0 && versions & !state.forgotten == 0
        })
    }

    fn quorums(&self) -> impl Iterator<Item = u8> + use<> {
        let r = u32::from(self.scope.r);
        (1..1 << self.scope.homes).filter(move |quorum: &u8| quorum.count_ones() == r)
    }

    /// A reader asks R homes and whoever holds a hint (rule Q3).
    fn broken_read(&self, state: &State, quorum: u8) -> Option<&'static str> {
        let asked = (0..self.scope.homes).filter(|home| quorum & 1 << home != 0);
        let hint = state.copies[usize::from(self.guest())];
        let read = asked.fold(hint, |read: Record, home| read.merge(self.readable(state, home)));
        if read.versions & state.history.replaced_for_good() != 0 {
            return Some("what an acknowledged write replaced does not come back");
        }
        let values = state.history.acknowledged() & !state.history.deletions();
        let missing = values & !read.versions;
        if state
            .history
            .all()
            .any(|(number, _)| missing & 1 << number != 0 && !state.history.is_replaced(number))
        {
            return Some("an acknowledged put is there until it is replaced");
        }
        let shown = self
            .promises
            .later_wins
            .then(|| state.history.newest(read.versions))
            .flatten();
        if shown.is_some_and(|shown| 1 << shown & self.outdone(state) != 0) {
            return Some("a later write wins over an earlier one, whatever the clocks");
        }
        None
    }

    /// Writes that were acknowledged before another one began, which is now acknowledged itself.
    fn outdone(&self, state: &State) -> Writes {
        let strict = state
            .history
            .filter(|write| write.state == Progress::Acknowledged && !write.sloppy);
        let later = state.history.all().filter(|(number, _)| strict & 1 << number != 0);
        later.fold(0, |set, (_, write)| set | write.after & strict)
    }
}
