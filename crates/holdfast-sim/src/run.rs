//! One seed from beginning to end: clients work while faults strike (the safety phase), then everything is healed and
//! must become well by itself (the liveness phase).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use holdfast_core::ids::NodeId;
use holdfast_core::layout::{Layout, Member};
use holdfast_core::planted::Planted;

use crate::checkers::membership::DEAD_WITHIN_US;
use crate::checkers::{Promise, Violation, converged};
use crate::coverage::{Coverage, Reached};
use crate::plan::{FaultKind, Plan};
use crate::trace::{Detail, Trace};
use crate::watch::Watch;
use crate::workload::Workload;
use crate::world::{Step, World};

/// Every seed begins at least so many operations (an idle cluster simulates fast and finds nothing).
pub const OPERATIONS_MIN: u64 = 500;
/// Every seed suffers at least so many faults.
pub const FAULTS_MIN: u64 = 5;
/// Every seed simulates at least so much time.
pub const SIMULATED_US_MIN: u64 = 60_000_000;

/// How long buckets may take to be made before any fault strikes.
const PREPARING_US_MAX: u64 = 20_000_000;
/// How long the safety phase goes on to reach its count of operations. Faults that last may keep most of them from being
/// answered; then the rest is done once all is healed.
const WORKING_US_MAX: u64 = 200_000_000;
/// How long after healing clients may still wait for what they asked before.
const FINISHING_US_MAX: u64 = 60_000_000;
/// How long a node may take to fill a disk again that was lost: three message lives, and some comparisons.
const FILLING_US_MAX: u64 = 120_000_000;
/// How long nodes have to find each other again before everything must succeed.
const SETTLING_US: u64 = 20_000_000;
/// How long a member is away at the end: longer than the others may take to notice.
const ABSENT_US: u64 = DEAD_WITHIN_US + 5_000_000;
/// How long the others may take to notice that it is back, and to believe again what it says.
const BACK_WITHIN_US: u64 = 10_000_000;
/// How long the cluster may take to converge and fall silent.
const CONVERGING_US_MAX: u64 = 180_000_000;
/// How long what has rotted may stay so after that: a scrub, then a comparison with every other member.
const SCRUBBING_US: u64 = 400_000_000;
/// How long what is dead may stay after that, where waits are short: a sweep, and twice the time of three homes' collections.
const FORGETTING_US: u64 = 400_000_000;
/// More events than this in one seed mean that something goes round in circles.
const EVENTS_MAX: u64 = 20_000_000;

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The fault planted in the nodes.
    pub planted: Option<Planted>,
    /// How much is written down.
    pub detail: Detail,
    /// Run to the end of the safety phase only, and only until the first broken promise.
    pub stop_at_violation: bool,
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Simulated time.
    pub simulated_us: u64,
    /// Events processed.
    pub events: u64,
    /// Hash over what happened.
    pub hash: u64,
    /// What was found wrong, in order.
    pub violations: Vec<Violation>,
    /// What was reached.
    pub coverage: Coverage,
}

thread_local! {
    static LAYOUTS: RefCell<BTreeMap<(usize, u8), Arc<Layout>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The layout of so many members; made once, since it is the same for every seed.
fn layout(members: usize, partition_bits: u8) -> Arc<Layout> {
    LAYOUTS.with(|layouts| {
        let mut layouts = layouts.borrow_mut();
        let made = layouts.entry((members, partition_bits)).or_insert_with(|| {
            let members = (1..=members as u64).map(|number| Member {
                id: NodeId(number),
                name: format!("n{number}"),
                zone: format!("zone-{}", number % 3),
                host: format!("host-{number}"),
                capacity_bytes: 1 << 40,
            });
            Arc::new(Layout::found(members.collect(), partition_bits))
        });
        made.clone()
    })
}

/// Runs a seed. A panic anywhere in it is a broken promise like any other.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let result = catch_unwind(AssertUnwindSafe(|| Run::new(seed, options).into_report()));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let what = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without words");
        Report {
            seed,
            simulated_us: 0,
            events: 0,
            hash: 0,
            violations: vec![Violation {
                promise: Promise::NoPanic,
                at_us: 0,
                what: what.to_owned(),
            }],
            coverage: Coverage::default(),
        }
    })
}

struct Run {
    seed: u64,
    plan: Plan,
    world: World,
    workload: Workload,
    watch: Watch,
    stop_at_violation: bool,
}

impl Run {
    fn new(seed: u64, options: Options) -> Self {
        let plan = Plan::draw(seed);
        let layout = layout(plan.members, plan.partition_bits);
        let world = World::new(&plan, layout, options.planted);
        let workload = Workload::new(&plan, &world);
        let mut watch = Watch::new(plan.members, Trace::new(options.detail));
        watch.trace.line(0, || format!("{plan:?}"));
        Self {
            seed,
            plan,
            world,
            workload,
            watch,
            stop_at_violation: options.stop_at_violation,
        }
    }

    fn into_report(mut self) -> Report {
        self.workload.begin(&mut self.world);
        if self.until("make the buckets", PREPARING_US_MAX, |run| run.workload.is_working()) {
            self.workload.begin_all(&mut self.world);
            self.safety();
            if !self.is_over() {
                self.liveness();
            }
        }
        if !self.is_over() {
            self.check_effort();
        }
        Report {
            seed: self.seed,
            simulated_us: self.world.now_us,
            events: self.world.events,
            hash: self.watch.trace.hash(),
            violations: self.watch.violations,
            coverage: self.watch.coverage,
        }
    }

    fn safety(&mut self) {
        let window_us = self.plan.window_us;
        self.world.unleash(window_us);
        let ends_us = self.world.now_us + window_us;
        let latest_us = ends_us + WORKING_US_MAX;
        self.until("work", window_us + WORKING_US_MAX + 1, |run| {
            let now_us = run.world.now_us;
            now_us >= latest_us || now_us >= ends_us && run.has_worked()
        });
    }

    fn has_worked(&self) -> bool {
        self.watch.coverage.count(Reached::Operations) >= OPERATIONS_MIN
    }

    fn liveness(&mut self) {
        let within_us = if self.plan.forgets() {
            CONVERGING_US_MAX + FORGETTING_US
        } else {
            CONVERGING_US_MAX
        };
        self.world.heal(&mut self.watch);
        self.until("work on", WORKING_US_MAX, Self::has_worked);
        self.workload.finish();
        if !self.until("finish what was asked", FINISHING_US_MAX, |run| run.workload.is_idle()) {
            return;
        }
        self.until("fill lost disks", FILLING_US_MAX, |run| run.world.are_all_sound());
        let settled_us = self.world.now_us + SETTLING_US;
        self.until("settle", SETTLING_US + 1, |run| {
            run.world.now_us >= settled_us || run.world.next_of_all_us().is_none()
        });
        self.world.check_all_up(&mut self.watch);
        self.workload.probe_writes(&mut self.world);
        self.until("fall silent", within_us, |run| run.world.next_at_us().is_none());
        self.world.reconnect_all(&mut self.watch);
        self.until("converge", within_us, |run| run.world.next_at_us().is_none());
        self.workload.probe_reads(&mut self.world);
        self.until("read everything", within_us, |run| run.world.next_at_us().is_none());
        if self.is_over() {
            return;
        }
        self.heal_rot();
        self.forget();
        let expected = converged::check(&mut self.world, &mut self.watch);
        for (bucket, counted) in &self.workload.counts {
            let expected = expected.get(bucket).copied().unwrap_or_default();
            if *counted != expected {
                let what = format!("bucket {bucket} is counted as {counted:?}, it holds {expected:?}");
                self.watch.violated(self.world.now_us, Promise::Converged, what);
            }
        }
        self.absence();
        self.write_once_more();
    }

    /// What has rotted must be found and healed, whether or not somebody reads it.
    fn heal_rot(&mut self) {
        if !self.plan.has(FaultKind::Rot) {
            return;
        }
        self.world.await_scrubs(true);
        let ends_us = self.world.now_us + SCRUBBING_US;
        self.until("heal what has rotted", SCRUBBING_US + 1, |run| {
            run.world.now_us >= ends_us
        });
        self.world.await_scrubs(false);
        self.until("fall silent again", CONVERGING_US_MAX, |run| {
            run.world.next_at_us().is_none()
        });
        let found = self.world.rotten();
        self.watch.judge(self.world.now_us, Promise::RotHealed, found);
    }

    /// What is dead must go, once nothing else happens.
    fn forget(&mut self) {
        if !self.plan.forgets() {
            return;
        }
        self.world.await_sweeps();
        // Lives that ended with the last disk of their node are met by a scrub.
        self.world.await_scrubs(true);
        let ends_us = self.world.now_us + FORGETTING_US;
        self.until("forget what is dead", FORGETTING_US + 1, |run| {
            run.world.now_us >= ends_us
        });
        self.world.await_scrubs(false);
        let found = self.world.dead_chunk();
        self.watch.judge(self.world.now_us, Promise::DeadGo, found);
    }

    /// One member is taken away for long and comes back. That it is noticed is what inspections see to.
    fn absence(&mut self) {
        if self.is_over() || self.plan.members < 2 {
            return;
        }
        let member = (self.seed % self.plan.members as u64) as usize;
        self.world.absent(&mut self.watch, member, ABSENT_US);
        let back_us = self.world.now_us + ABSENT_US + BACK_WITHIN_US;
        self.until("miss a member", ABSENT_US + BACK_WITHIN_US + 1, |run| {
            run.world.now_us >= back_us
        });
        self.world.check_all_up(&mut self.watch);
        self.world.check_maintenance(&mut self.watch, member);
    }

    /// What was forgotten must not be missed by whoever writes next.
    fn write_once_more(&mut self) {
        if self.is_over() || !self.plan.forgets() {
            return;
        }
        self.workload.probe_writes(&mut self.world);
        self.until("write once more", FINISHING_US_MAX, |run| run.workload.has_probed());
    }

    fn is_over(&self) -> bool {
        self.stop_at_violation && !self.watch.violations.is_empty()
    }

    /// Lets things happen until a condition holds; taking longer than it may breaks a promise.
    fn until(&mut self, what: &str, within_us: u64, done: impl Fn(&Self) -> bool) -> bool {
        let deadline_us = self.world.now_us + within_us;
        self.watch.trace.line(self.world.now_us, || format!("PHASE {what}"));
        while !done(self) {
            if self.is_over() {
                return false;
            }
            let late = self.world.now_us > deadline_us || self.world.events > EVENTS_MAX;
            match if late {
                Step::Quiet
            } else {
                self.world.step(&mut self.watch)
            } {
                Step::Inside => {}
                Step::Client(event) => self.workload.on(event, &mut self.world, &mut self.watch),
                Step::Quiet => {
                    let (events, awaited) = (self.world.events, self.world.awaited());
                    let what = format!("did not {what} within {within_us} us ({events} events){awaited}");
                    self.watch.violated(self.world.now_us, Promise::Lively, what);
                    return false;
                }
            }
        }
        true
    }

    fn check_effort(&mut self) {
        let reached = |what| self.watch.coverage.count(what);
        let (operations, faults) = (reached(Reached::Operations), reached(Reached::Faults));
        let simulated_us = self.world.now_us;
        assert!(
            operations >= OPERATIONS_MIN && faults >= FAULTS_MIN && simulated_us >= SIMULATED_US_MIN,
            "a seed must try harder: {operations} operations, {faults} faults, {simulated_us} us"
        );
    }
}
