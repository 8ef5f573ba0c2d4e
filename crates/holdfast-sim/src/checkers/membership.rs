//! Failure detection tells the truth, within bounds (rules F1–F4): who is well is not held down, who is dead is, and what
//! members say of themselves reaches everybody.
//!
//! Judged pair by pair, by what is true of the two machines and the two directions between them. A pair is *good* while
//! both processes run and are not frozen, and both directions carry everything in order. A good pair must get along
//! whatever the others do or claim: that is stronger than asking what a majority thinks, and needs no majority. What
//! happens between pairs that are not good is not judged, so the checker is never wrong about correct nodes.

use holdfast_core::gossip::{ISOLATED_AFTER_US, MemberState, MemberView, PERIOD_US, SUSPICION_US};
use holdfast_core::node::Node;

/// A pair that has been good for so long must not part: the time to refute, and a few periods to be told of the suspicion.
const VERDICT_AFTER_US: u64 = SUSPICION_US + 3 * PERIOD_US;
/// A pair that has been good for so long must have found back: the longest pause between announcements, and a few periods.
const FOUND_WITHIN_US: u64 = 20 * PERIOD_US;
/// Whoever is dead for so long must be held down: to be probed takes up to seven periods among five, then comes the time to
/// refute; loss and doubt take what is left.
pub const DEAD_WITHIN_US: u64 = 8 * PERIOD_US + SUSPICION_US + 2 * ISOLATED_AFTER_US + 4 * PERIOD_US;

/// Two members.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Numbers of observer and observed.
    pub names: (usize, usize),
    /// What the observer takes the other for, if it runs.
    pub state: Option<MemberState>,
    /// Since when the pair is good, if it is.
    pub good_since_us: Option<u64>,
    /// Since when the observer runs without having stood still, if it does.
    pub observer_runs_since_us: Option<u64>,
    /// Since when nothing runs on the observed machine, if so.
    pub dead_since_us: Option<u64>,
}

fn lasts(since_us: Option<u64>, now_us: u64, at_least_us: u64) -> bool {
    since_us.is_some_and(|since_us| since_us + at_least_us <= now_us)
}

/// The observer has just begun to hold the other down.
#[must_use]
pub fn check_verdict(now_us: u64, pair: &Pair) -> Option<String> {
    let (observer, of) = pair.names;
    lasts(pair.good_since_us, now_us, VERDICT_AFTER_US)
        .then(|| format!("n{observer} begins to hold n{of} down, which is well and can be talked to"))
}

/// The observer holds the other down.
#[must_use]
pub fn check_held_down(now_us: u64, pair: &Pair) -> Option<String> {
    let (observer, of) = pair.names;
    let held_down = pair.state.is_some_and(MemberState::is_down);
    (held_down && lasts(pair.good_since_us, now_us, FOUND_WITHIN_US))
        .then(|| format!("n{observer} still holds n{of} down, which has long been well"))
}

/// The observed is dead.
#[must_use]
pub fn check_dead(now_us: u64, pair: &Pair) -> Option<String> {
    let (observer, of) = pair.names;
    let noticed = pair.state.is_none_or(MemberState::is_down);
    let is_long = lasts(pair.dead_since_us, now_us, DEAD_WITHIN_US);
    (!noticed && is_long && lasts(pair.observer_runs_since_us, now_us, DEAD_WITHIN_US))
        .then(|| format!("n{observer} takes n{of} for {:?}, which has long been dead", pair.state))
}

/// Everything has been well for long.
#[must_use]
pub fn check_up(pair: &Pair) -> Option<String> {
    let (observer, of) = pair.names;
    let sees = pair.state.is_some_and(|state| state == MemberState::Up);
    (!sees).then(|| format!("n{observer} takes n{of} for {:?} although all is well", pair.state))
}

/// What an observer knows of a member, against what that member is.
#[must_use]
pub fn check_facts(observer: usize, view: &MemberView, truth: &Node) -> Option<String> {
    let told = view.facts.as_ref().map(|facts| (facts.boot, facts.actor));
    let true_facts = (truth.boot(), truth.actor());
    (told != Some(true_facts)).then(|| {
        format!(
            "n{observer} believes boot and actor of {} to be {told:?}, they are {true_facts:?}",
            view.node
        )
    })
}
