//! What must hold in every state of lives and hints, and what a search must have met to mean anything.

use super::state::State;
use super::{HOMES, Lives, NODES, Step};
use crate::record::Record;

/// What needs room for two messages, or an unclean start.
pub const CHANGED: &str = "a hint changed while it was handed over";
/// What only a scope with unclean starts can show.
pub const LOST: &str = "a node lost what it had not synced";
pub const LOST_WITH_A_WRITE: &str = "a node lost a write of its own that others have";

pub(super) const SIGHTS: &[&str] = &[
    CHANGED,
    "a stand-in wrote again after it had handed over",
    "homes that both have a copy differ",
    "a stand-in is owed by both homes at once",
    LOST,
    LOST_WITH_A_WRITE,
];

pub(super) fn sights_of(before: &State, step: &Step, after: &State) -> u32 {
    let changed = match step {
        Step::Deliver(message) => message.handed_by.is_some_and(|stand_in| {
            let hint = before.copies[usize::from(stand_in)];
            !hint.is_none() && hint.digest() != message.record.digest()
        }),
        _ => false,
    };
    let again = matches!(step, Step::Put { node, .. } if *node >= HOMES && before.lives[usize::from(*node)] > 1);
    let [one, other, ..] = after.copies;
    let differ = !one.is_none() && !other.is_none() && one.digest() != other.digest();
    let owes_both = after.owed.iter().any(|owed| owed.count_ones() == u32::from(HOMES));
    let lost = match step {
        Step::StartUncleanly { node } => Some(*node),
        _ => None,
    };
    let lost_own = lost.is_some_and(|node| {
        let kept = after.copies[usize::from(node)].grown_from;
        let own = after.history.filter(|write| write.actor == node) & !kept;
        after.copies.iter().any(|copy| copy.grown_from & own != 0)
    });
    let shown = [changed, again, differ, owes_both, lost.is_some(), lost_own];
    let bits = shown.iter().enumerate();
    bits.fold(0, |bits, (bit, shows)| bits | u32::from(*shows) << bit)
}

impl Lives {
    pub(super) fn broken_promise(&self, state: &State) -> Option<&'static str> {
        let dots = |number: u8| {
            let write = &state.history.writes[usize::from(number)];
            (write.actor, write.life, write.tick)
        };
        let count = state.history.count;
        if (0..count).any(|number| (0..number).any(|earlier| dots(earlier) == dots(number))) {
            return Some("no dot names two values");
        }
        if self.copies_looked_at && (0..NODES).any(|node| forgot(state, node)) {
            return Some("a copy covers every dot issued in its life");
        }
        (0..HOMES).find_map(|home| broken_read(state, home))
    }
}

fn forgot(state: &State, node: u8) -> bool {
    let at = usize::from(node);
    let issued = state.history.life(node, state.lives[at]);
    !state.copies[at].is_none() && issued & !state.copies[at].grown_from != 0
}

/// A reader asks one home and whoever holds a hint (rule Q3).
fn broken_read(state: &State, home: u8) -> Option<&'static str> {
    let hints = state.copies[usize::from(HOMES)..].iter();
    let read = hints.fold(state.copies[usize::from(home)], |read: Record, hint| read.merge(*hint));
    if read.versions & state.history.replaced_for_good() != 0 {
        return Some("what an acknowledged write replaced does not come back");
    }
    let missing = state.history.acknowledged() & !read.versions;
    if state
        .history
        .all()
        .any(|(number, _)| missing & 1 << number != 0 && !state.history.is_replaced(number))
    {
        return Some("an acknowledged put is there until it is replaced");
    }
    let strict = state.history.filter(|write| !write.sloppy) & state.history.acknowledged();
    let later = state.history.all().filter(|(number, _)| strict & 1 << number != 0);
    let outdone = later.fold(0, |set, (_, write)| set | write.after & strict);
    let shown = state.history.newest(read.versions);
    if shown.is_some_and(|shown| 1 << shown & outdone != 0) {
        return Some("a later write wins over an earlier one, whatever the clocks");
    }
    None
}
