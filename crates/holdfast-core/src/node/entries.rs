//! Rows of the registry that are damaged on this disk (rule B3). Until the other members have said what they hold, this node does
//! not know a bucket, or not how many homes its keys have. That needs all of them (rule D2), and some may not speak for
//! their disks yet, so they are asked again and again while one row is damaged; otherwise this costs nothing.

use super::state::{State, Step};
use crate::coordinate::repair::RepairOp;
use crate::ids::SYSTEM_BUCKET;

/// Between two such questions, in milliseconds.
const HEAL_EVERY_MS: u64 = 1_000;

impl State {
    /// Whether there may be buckets that this node does not know because of its disk.
    pub(crate) const fn has_damaged_entries(&self) -> bool {
        !self.entries_damaged.is_empty() || self.is_registry_cut
    }
}

impl Step<'_> {
    pub(crate) fn heal_entries(&mut self) {
        let n = self.state.n_of(SYSTEM_BUCKET);
        for place in self.state.entries_damaged.clone() {
            RepairOp::spawn(self, &place, n);
        }
    }

    pub(crate) fn heal_entries_if_due(&mut self) {
        if self.state.entries_damaged.is_empty() || !self.state.standing.is_vouched_for() {
            self.state.next_entries_us = None;
            return;
        }
        let now_us = self.now.mono_us;
        let is_due = self.state.next_entries_us.is_some_and(|due_us| due_us <= now_us);
        if is_due {
            self.heal_entries();
        }
        if is_due || self.state.next_entries_us.is_none() {
            self.state.next_entries_us = Some(self.now.after_ms(HEAL_EVERY_MS));
        }
    }
}
