//! Handing a write to one home after another (rules Q1, D7), as bookkeeping alone: who is asked next, how long he is waited for, and
//! up to which tick those before him may have done it. Members hand over what they are no home of; gateways, everything.
//!
//! A home asks back before it begins (rule D7) and is granted some time. The next home is told up to which tick the ones before
//! may have done it, so that its version covers what they did: otherwise that would stand beside whatever replaces the write
//! later, and perhaps above it.

use alloc::collections::VecDeque;

use crate::ids::{NodeId, Tick};
use crate::time::Now;

/// A home asks back at once before it begins. One that has not after this long is passed over: nothing was granted to it, so trying
/// another costs no second coordinator. Longer with each time that all have been tried …
const CLAIM_WAIT_MS: u64 = 300;

/// A home that was granted the write and has not answered after this long is taken for stuck, and the next one is tried. A
/// write may legitimately take two rounds on slow disks, and trying early costs a second coordinator.
pub(crate) const NEXT_HOME_MS: u64 = 2_000;

/// And one that keeps saying that it is at it, after this long, in microseconds: others may be where it cannot reach.
const PATIENCE_US_MAX: u64 = 6_000_000;

/// Whom a write was handed to, and who is left.
#[derive(Debug)]
pub(crate) struct Handing {
    /// Homes not tried yet, best first; then tried ones again.
    candidates: VecDeque<NodeId>,
    current: Option<NodeId>,
    /// Homes not asked yet in this turn.
    untried: usize,
    /// How often all of them were asked.
    turns: u32,
    /// How often a home was asked: after the first time, nobody can say that nothing changed.
    asked: usize,
    deadline_us: u64,
    /// Up to this tick homes may have done it, as they were granted it.
    above: Tick,
    /// The same without the present home.
    above_before: Tick,
    /// Until when the present home may begin, because it asked: nobody else is tried before, in monotonic microseconds.
    granted_until_us: u64,
    /// When it was asked.
    asked_us: u64,
    /// When another one is tried.
    until_us: u64,
}

impl Handing {
    /// To these, best first, until then.
    pub(crate) fn new(candidates: VecDeque<NodeId>, deadline_us: u64) -> Self {
        Self {
            untried: candidates.len(),
            turns: 0,
            candidates,
            current: None,
            asked: 0,
            deadline_us,
            above: Tick(0),
            above_before: Tick(0),
            granted_until_us: 0,
            asked_us: 0,
            until_us: 0,
        }
    }

    /// It may have been done already, up to a tick.
    pub(crate) fn begun_before(mut self, may_have_begun: bool, above: Tick) -> Self {
        self.asked = usize::from(may_have_begun);
        self.above = above;
        self
    }

    /// Whom to ask now: the best that is up, and of those who owe an answer already the last. `None` when nobody is.
    pub(crate) fn next(
        &mut self,
        now: Now,
        is_up: impl Fn(NodeId) -> bool,
        is_silent: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        if let Some(tried) = self.current.take() {
            self.candidates.push_back(tried);
        }
        let homes = self.candidates.iter().enumerate();
        let up = homes.filter(|(_, home)| is_up(**home));
        let (at, _) = up.min_by_key(|(_, home)| is_silent(**home))?;
        let home = self.candidates.remove(at)?;
        self.current = Some(home);
        self.granted_until_us = 0;
        self.above_before = self.above;
        self.asked_us = now.mono_us;
        self.asked += 1;
        if self.untried == 0 {
            self.turns += 1;
            self.untried = self.candidates.len() + 1;
        }
        self.untried -= 1;
        let wait_ms = (CLAIM_WAIT_MS << self.turns.min(8)).min(NEXT_HOME_MS);
        self.wait_until(now.after_ms(wait_ms));
        Some(home)
    }

    fn wait_until(&mut self, until_us: u64) {
        self.until_us = until_us.min(self.deadline_us);
    }

    /// Waits for the present one as long as this, since it need not ask back.
    pub(crate) fn wait_ms(&mut self, now: Now, ms: u64) {
        self.wait_until(now.after_ms(ms));
    }

    /// The present one asks whether the write is still wanted, and wants to issue ticks up to this one. Whether that is granted.
    ///
    /// The home that was asked last has the time that it was given from now on; another one comes too late. While it says
    /// that it is still at it, it is not stuck: a second coordinator would cost a second version.
    pub(crate) fn claimed(&mut self, now: Now, by: NodeId, up_to: Tick) -> bool {
        let is_granted = self.current == Some(by) && now.mono_us < self.asked_us.saturating_add(PATIENCE_US_MAX);
        if is_granted {
            self.granted_until_us = now.after_ms(NEXT_HOME_MS);
            self.above = self.above.max(up_to);
            self.wait_until(self.granted_until_us);
        }
        is_granted
    }

    /// The present one changed nothing, and says so.
    pub(crate) fn refused(&mut self) {
        self.above = self.above_before;
    }

    /// Whether messages to a member being lost means that another must be asked: not while it may be doing what it was granted, though
    /// it can no longer say so.
    pub(crate) fn is_left_by(&self, now: Now, node: NodeId) -> bool {
        self.current == Some(node) && self.granted_until_us <= now.mono_us
    }

    /// Whom the write is with.
    pub(crate) const fn current(&self) -> Option<NodeId> {
        self.current
    }

    /// Whom the write is with, if he has not asked back.
    pub(crate) fn unclaimed(&self) -> Option<NodeId> {
        self.current.filter(|_| self.granted_until_us == 0)
    }

    /// Those who are left, tried ones among them.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.candidates.iter().copied()
    }

    /// Whether some were not asked yet in this turn.
    pub(crate) const fn has_untried(&self) -> bool {
        self.untried > 0
    }

    /// Whether all of them were asked so many times.
    pub(crate) const fn went_round(&self, times: u32) -> bool {
        self.untried == 0 && self.turns + 1 >= times
    }

    /// How often somebody was asked.
    pub(crate) const fn asked(&self) -> usize {
        self.asked
    }

    /// When the present one was asked, in monotonic microseconds.
    pub(crate) const fn asked_us(&self) -> u64 {
        self.asked_us
    }

    /// Up to which tick those before the present one may have done it.
    pub(crate) const fn above(&self) -> Tick {
        self.above
    }

    /// When the present one is waited for no longer.
    pub(crate) const fn until_us(&self) -> u64 {
        self.until_us
    }

    /// When nobody is waited for any longer.
    pub(crate) const fn deadline_us(&self) -> u64 {
        self.deadline_us
    }
}
