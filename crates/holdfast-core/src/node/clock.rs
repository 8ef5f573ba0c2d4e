//! Issuing ticks (rule D1): a hybrid logical clock under a bound that is on disk before any tick below it is used.
//!
//! The bound is why no tick is ever issued twice, whatever the clock does and whatever was lost: a start begins above
//! the bound that the last run had persisted. It is raised ahead of need, and only while ticks are issued, so an idle
//! node does not write.

use super::identity;
use crate::ids::Tick;
use crate::storage::{Batch, WriteSeq};

/// How far ahead of the clock the bound is set, in milliseconds: one small write per this long while busy.
const BOUND_AHEAD_MS: u64 = 20_000;
/// The bound is raised again when less than this is left, so that nobody waits for it.
const BOUND_REFRESH_MS: u64 = 8_000;
/// How far it is set above ticks that are themselves ahead of the clock: one millisecond's worth of counter. Setting it
/// [`BOUND_AHEAD_MS`] above those would push a node further into the future with every restart, until its peers refuse
/// its ticks (rule S4).
const COUNTER_AHEAD: u64 = 1 << 16;
/// It is raised again when less than this is left above them.
const COUNTER_REFRESH: u64 = 1 << 15;

/// Source of ticks and lives of one node.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Every tick and life of earlier runs lies below this.
    floor: Tick,
    /// Ticks below this may be issued: the bound is on disk.
    durable: Tick,
    /// The bound last written.
    written: Tick,
    /// In which batch.
    written_in: WriteSeq,
    /// The highest life begun in this run.
    life_max: Tick,
}

/// The tick would lie above the durable bound: to be asked again when this batch is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BoundNotDurable;

impl Clock {
    /// A clock that starts above everything earlier runs may have issued.
    pub(crate) const fn start(bound: Tick) -> Self {
        Self {
            floor: bound,
            durable: bound,
            written: bound,
            written_in: WriteSeq(0),
            life_max: bound,
        }
    }

    /// A tick above `seen` and not behind the wall clock.
    pub(crate) fn tick(&self, wall_ms: u64, seen: Tick) -> Result<Tick, BoundNotDurable> {
        let tick = Tick::from_millis(wall_ms).max(seen.next());
        if tick < self.durable {
            Ok(tick)
        } else {
            Err(BoundNotDurable)
        }
    }

    /// A tick that begins a life: above every life and bound of earlier runs as well.
    pub(crate) fn life(&mut self, wall_ms: u64, seen: Tick) -> Result<Tick, BoundNotDurable> {
        let tick = Tick::from_millis(wall_ms)
            .max(seen.next())
            .max(self.life_max.next())
            .max(self.floor);
        if tick < self.durable {
            self.life_max = tick;
            Ok(tick)
        } else {
            Err(BoundNotDurable)
        }
    }

    /// A record with ticks up to this is forgotten here, though others may still hold it: lives that begin from now on lie
    /// above it, whatever the wall clock does.
    pub(crate) fn forgot(&mut self, tick: Tick) {
        self.life_max = self.life_max.max(tick);
    }

    /// Adds a higher bound to `batch` if one is due for ticks up to `needed`; tell [`Clock::bound_written`] then.
    pub(crate) fn raise(&self, wall_ms: u64, needed: Tick, batch: &mut Batch) -> Option<Tick> {
        let base = needed.max(self.floor).max(self.life_max);
        let above = |clock_ms, counter| Tick::from_millis(wall_ms + clock_ms).max(Tick(base.0.saturating_add(counter)));
        if self.written > above(BOUND_REFRESH_MS, COUNTER_REFRESH) {
            return None;
        }
        let bound = above(BOUND_AHEAD_MS, COUNTER_AHEAD);
        identity::write_tick_bound(bound, batch);
        Some(bound)
    }

    /// The bound of [`Clock::raise`] went into this batch.
    pub(crate) fn bound_written(&mut self, bound: Tick, seq: WriteSeq) {
        self.written = self.written.max(bound);
        self.written_in = seq;
    }

    /// The batch in which the bound last written lies.
    pub(crate) const fn written_in(&self) -> WriteSeq {
        self.written_in
    }

    /// No tick of this run or an earlier one lies above this, whatever happens.
    pub(crate) const fn durable(&self) -> Tick {
        self.durable
    }

    /// Everything up to this batch is on disk.
    pub(crate) fn synced(&mut self, seq: WriteSeq) {
        if seq >= self.written_in {
            self.durable = self.written;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_is_issued_before_its_bound_is_durable() {
        let mut clock = Clock::start(Tick(0));
        assert_eq!(clock.tick(1_000, Tick(0)), Err(BoundNotDurable));
        let mut batch = Batch::default();
        let bound = clock.raise(1_000, Tick(0), &mut batch).expect("due");
        clock.bound_written(bound, WriteSeq(4));
        clock.synced(WriteSeq(3));
        assert_eq!(clock.tick(1_000, Tick(0)), Err(BoundNotDurable));
        clock.synced(WriteSeq(4));
        assert_eq!(clock.tick(1_000, Tick(0)), Ok(Tick::from_millis(1_000)));
        assert_eq!(clock.raise(1_000, Tick(0), &mut batch), None, "not due again");
    }

    #[test]
    fn ticks_exceed_what_was_seen_even_when_the_clock_is_behind() {
        let mut clock = Clock::start(Tick(0));
        clock.bound_written(Tick::from_millis(90_000), WriteSeq(1));
        clock.synced(WriteSeq(1));
        let seen = Tick::from_millis(5_000);
        assert_eq!(clock.tick(1_000, seen), Ok(seen.next()));
    }

    #[test]
    fn lives_of_a_later_run_lie_above_those_of_an_earlier_one() {
        let bound = Tick::from_millis(50_000);
        let mut clock = Clock::start(bound);
        clock.bound_written(Tick::from_millis(99_000), WriteSeq(1));
        clock.synced(WriteSeq(1));
        let life = clock.life(1_000, Tick(0)).expect("under the bound");
        assert!(life >= bound, "the wall clock went back, the life did not");
        assert!(clock.life(1_000, Tick(0)).expect("under the bound") > life);
    }

    #[test]
    fn restarting_does_not_run_ahead_of_time() {
        let mut bound = Tick(0);
        for _ in 0..100 {
            let mut clock = Clock::start(bound);
            let raised = clock
                .raise(1_000, Tick(0), &mut Batch::default())
                .expect("due at each start");
            clock.bound_written(raised, WriteSeq(1));
            clock.synced(WriteSeq(1));
            assert!(clock.life(1_000, Tick(0)).expect("under the bound") >= bound);
            bound = raised;
        }
        assert!(bound.millis() < 1_000 + BOUND_AHEAD_MS + 200, "{} ms", bound.millis());
    }
}
