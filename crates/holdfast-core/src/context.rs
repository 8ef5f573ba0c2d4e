//! The context of a key: what a copy knows, as a version vector per *life* (rule D2).
//!
//! An entry `(actor, life) → tick` claims every dot of that life up to the tick, which is honest only because a node
//! that forgot begins a new life. Dynamo §4.4 truncates its clocks; an entry here leaves only through the gate (G1).
//!
//! A client write that one home may have done already, and another does after it, has an entry of its own: it claims every
//! attempt at this write up to the tick, whoever made it, and nothing else (rule D7).

use alloc::vec::Vec;

use crate::ids::{ActorId, Dot, Life, RequestId, Tick};

/// How one context stands to another. `Before` and `After` are strict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Causality {
    /// Both know the same writes.
    Equal,
    /// Everything known to the left is known to the right.
    Before,
    /// Everything known to the right is known to the left.
    After,
    /// Each knows a write that the other does not.
    Concurrent,
}

/// A version vector, sorted by (actor, life). Small: one entry per disk life that ever coordinated a write of the key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct Context {
    entries: Vec<((ActorId, Life), Tick)>,
}

impl Context {
    /// The context that covers nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Entries in order of (actor, life).
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ActorId, Life, Tick)> + '_ {
        self.entries.iter().map(|((actor, life), tick)| (*actor, *life, *tick))
    }

    /// Those of them that are of lives: what clients are shown. The others stand for attempts at one write (rule D7).
    pub fn lives(&self) -> impl Iterator<Item = (ActorId, Life, Tick)> + '_ {
        self.entries().filter(|(_, life, _)| life.0 < ATTEMPTS)
    }

    /// Number of entries; more than some tens deserve an alarm (rule D3).
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the write named by `dot` is known here.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.tick_of(dot.actor, dot.life).is_some_and(|tick| dot.tick <= tick)
    }

    /// The highest tick known of one life.
    #[must_use]
    pub fn tick_of(&self, actor: ActorId, life: Life) -> Option<Tick> {
        let at = self.entries.binary_search_by_key(&(actor, life), |(k, _)| *k).ok()?;
        Some(self.entries[at].1)
    }

    /// The latest life of an actor that is known. Lives are ticks: a node begins each above those before.
    pub(crate) fn last_life_of(&self, actor: ActorId) -> Option<Life> {
        let of = self.lives().filter(|(own, ..)| *own == actor);
        of.last().map(|(_, life, _)| life)
    }

    /// Forgets entries: nothing that they covered exists anywhere (rule G3).
    pub(crate) fn forget(&mut self, entries: &[(ActorId, Life)]) {
        self.entries.retain(|(entry, _)| !entries.contains(entry));
    }

    /// The highest tick of any life, or zero.
    #[must_use]
    pub fn tick_max(&self) -> Tick {
        self.entries.iter().map(|(_, tick)| *tick).max().unwrap_or_default()
    }

    /// Adds one dot and, with it, every earlier one of its life.
    pub fn add(&mut self, dot: Dot) {
        self.raise(dot.actor, dot.life, dot.tick);
    }

    /// Raises one entry; never lowers it.
    pub fn raise(&mut self, actor: ActorId, life: Life, tick: Tick) {
        match self.entries.binary_search_by_key(&(actor, life), |(k, _)| *k) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(tick),
            Err(at) => self.entries.insert(at, ((actor, life), tick)),
        }
    }

    /// Covers every attempt at a client write up to a tick, whatever its dot (rule D7).
    pub fn cover_attempts(&mut self, request: RequestId, up_to: Tick) {
        if up_to > Tick(0) {
            let (actor, life) = attempts_at(request);
            self.raise(actor, life, up_to);
        }
    }

    /// Whether an attempt at a client write, made at this tick, is known as one that another has made good.
    #[must_use]
    pub fn covers_attempt(&self, request: RequestId, tick: Tick) -> bool {
        let up_to = self.attempts_known(request);
        up_to > Tick(0) && tick <= up_to
    }

    /// Whether attempts at any client write are known.
    pub(crate) fn covers_attempts(&self) -> bool {
        self.entries.iter().any(|((_, life), _)| life.0 & ATTEMPTS != 0)
    }

    /// Up to which tick attempts at a client write are known; zero when none is.
    pub(crate) fn attempts_known(&self, request: RequestId) -> Tick {
        let (actor, life) = attempts_at(request);
        self.tick_of(actor, life).unwrap_or_default()
    }

    /// The least context that covers both: the pointwise maximum.
    pub fn merge(&mut self, other: &Self) {
        for ((actor, life), tick) in &other.entries {
            self.raise(*actor, *life, *tick);
        }
    }

    /// Whether everything `other` covers is covered here.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other
            .entries
            .iter()
            .all(|((actor, life), tick)| self.tick_of(*actor, *life).is_some_and(|own| own >= *tick))
    }

    /// Compares what two contexts know.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        match (self.includes(other), other.includes(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (false, false) => Causality::Concurrent,
        }
    }
}

/// Lives are times and never have this bit: what has it stands for attempts at a client write.
const ATTEMPTS: u64 = 1 << 63;

/// Under which entry the attempts at a client write stand.
pub(crate) const fn attempts_at(request: RequestId) -> (ActorId, Life) {
    (ActorId((request.0 >> 64) as u64), Tick(request.0 as u64 | ATTEMPTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(actor: u64, life: u64, tick: u64) -> Dot {
        Dot {
            actor: ActorId(actor),
            life: Tick(life),
            tick: Tick(tick),
        }
    }

    fn context(dots: &[Dot]) -> Context {
        let mut context = Context::new();
        dots.iter().for_each(|dot| context.add(*dot));
        context
    }

    #[test]
    fn an_entry_covers_its_own_life_only() {
        let context = context(&[dot(1, 10, 15)]);
        assert!(context.covers(dot(1, 10, 12)));
        assert!(!context.covers(dot(1, 10, 16)));
        assert!(
            !context.covers(dot(1, 5, 7)),
            "a node that forgot must not claim what it forgot"
        );
        assert!(!context.covers(dot(2, 10, 12)));
    }

    #[test]
    fn attempts_at_one_write_are_covered_and_nothing_else() {
        let mut context = context(&[dot(1, 10, 15)]);
        context.cover_attempts(RequestId(7 << 64 | 8), Tick(20));
        context.cover_attempts(RequestId(9), Tick(0));
        assert_eq!(context.len(), 2);
        assert!(context.covers_attempt(RequestId(7 << 64 | 8), Tick(20)));
        assert!(!context.covers_attempt(RequestId(7 << 64 | 8), Tick(21)));
        assert!(!context.covers_attempt(RequestId(8), Tick(1)));
        assert!(!context.covers(dot(1, 10, 16)) && !context.covers(dot(7, 8, 1)));
        assert_eq!(context.tick_max(), Tick(20), "what comes after lies above them");
    }

    #[test]
    fn the_last_life_of_an_actor_is_the_latest_that_is_known() {
        let mut context = context(&[dot(1, 10, 15), dot(1, 20, 21), dot(2, 30, 31)]);
        context.cover_attempts(RequestId(1 << 64 | 8), Tick(20));
        assert_eq!(context.last_life_of(ActorId(1)), Some(Tick(20)), "attempts are no life");
        assert_eq!(context.last_life_of(ActorId(3)), None);
        context.forget(&[(ActorId(1), Tick(10)), (ActorId(9), Tick(9))]);
        assert_eq!(context.len(), 3);
    }

    #[test]
    fn comparison_tells_concurrent_from_ordered() {
        let (a, b) = (context(&[dot(1, 1, 3)]), context(&[dot(1, 1, 2), dot(2, 1, 1)]));
        assert_eq!(a.compare(&b), Causality::Concurrent);
        let mut both = a.clone();
        both.merge(&b);
        assert_eq!(both.compare(&a), Causality::After);
        assert_eq!(a.compare(&both), Causality::Before);
        assert_eq!(both.compare(&both.clone()), Causality::Equal);
    }
}
