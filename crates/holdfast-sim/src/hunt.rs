//! Many seeds on several threads, each seed on one: for soaks, and for planted faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use holdfast_core::planted::Planted;

use crate::checkers::Promise;
use crate::coverage::Coverage;
use crate::run::{Options, Report, run};

/// Violating seeds that are told in full.
const FAILURES_KEPT: usize = 20;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Soak {
    /// Seeds run.
    pub seeds: u64,
    /// Simulated time, summed.
    pub simulated_us: u64,
    /// Events processed, summed.
    pub events: u64,
    /// Time that threads were at it, summed.
    pub busy: Duration,
    /// Seeds that broke a promise.
    pub violations: u64,
    /// The lowest of them.
    pub failures: Vec<Report>,
    /// What was reached.
    pub coverage: Coverage,
}

impl Soak {
    /// How many times faster than real time one core simulates.
    #[must_use]
    pub fn times_real(&self) -> f64 {
        self.simulated_us as f64 / self.busy.as_micros().max(1) as f64
    }

    fn add(&mut self, report: Report, busy: Duration) {
        self.seeds += 1;
        self.simulated_us += report.simulated_us;
        self.events += report.events;
        self.busy += busy;
        self.coverage.merge(&report.coverage);
        if !report.violations.is_empty() {
            self.violations += 1;
            self.failures.push(report);
            self.failures.sort_by_key(|report| report.seed);
            self.failures.truncate(FAILURES_KEPT);
        }
    }
}

/// Runs seeds `from .. from + count`, telling `each` about every report as it comes.
pub fn soak(from: u64, count: u64, jobs: usize, options: Options, each: &(dyn Fn(&Report) + Sync)) -> Soak {
    let next = AtomicU64::new(from);
    let soak = Mutex::new(Soak::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let begun = Stopwatch::start();
                    let report = run(seed, options);
                    let busy = begun.stop();
                    each(&report);
                    let Ok(mut soak) = soak.lock() else { break };
                    soak.add(report, busy);
                }
            });
        }
    });
    soak.into_inner().unwrap_or_default()
}

/// Measures the time that a thread was on a core, where the system tells (Linux), else the time that passed: on a busy
/// machine the speed of one core is what is asked for.
struct Stopwatch {
    on_core: Option<Duration>,
    begun: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            on_core: Self::on_core(),
            begun: Instant::now(),
        }
    }

    fn stop(&self) -> Duration {
        match (self.on_core, Self::on_core()) {
            (Some(begun), Some(ended)) => ended.saturating_sub(begun),
            _ => self.begun.elapsed(),
        }
    }

    fn on_core() -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanos = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    }
}

/// When a planted fault was noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// How many seeds it took.
    pub after: u64,
    /// Which promise was seen broken.
    pub promise: Promise,
}

/// Where a planted fault was noticed: at all, and by what clients can see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caught {
    /// By any checker.
    pub by_any: Option<Catch>,
    /// By a checker that looks only at what clients are told.
    pub by_clients: Option<Catch>,
}

/// Runs seeds with a fault planted until it is noticed by any checker, or by `both` sorts, or `count` seeds have passed.
#[must_use]
pub fn hunt(planted: Planted, from: u64, count: u64, both: bool) -> Caught {
    let mut caught = Caught::default();
    let options = Options {
        planted: Some(planted),
        ..Options::default()
    };
    for seed in from..from + count {
        let report = run(seed, options);
        if report.violations.is_empty() {
            continue;
        }
        // What the nodes break without the fault says nothing about it.
        let innocent = run(seed, Options::default());
        let anyway = |promise| innocent.violations.iter().any(|violation| violation.promise == promise);
        for violation in report.violations.iter().filter(|violation| !anyway(violation.promise)) {
            let catch = Catch {
                seed,
                after: seed - from + 1,
                promise: violation.promise,
            };
            caught.by_any.get_or_insert(catch);
            if violation.promise.is_visible() {
                caught.by_clients.get_or_insert(catch);
            }
        }
        if caught.by_clients.is_some() || !both && caught.by_any.is_some() {
            break;
        }
    }
    caught
}

/// A fault, and from which seed on it is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hunt {
    /// What is planted.
    pub fault: Planted,
    /// The first seed.
    pub from: u64,
}

/// Hunts on several threads, and tells of each in the order given, as soon as it and all before it are over.
pub fn hunt_all(hunts: &[Hunt], count: u64, jobs: usize, both: bool, each: &mut dyn FnMut(Hunt, Caught)) {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = hunts.get(at) else { return };
                    let caught = hunt(one.fault, one.from, count, both);
                    if sender.send((at, caught)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut told = 0;
        for (at, caught) in receiver {
            early.insert(at, caught);
            while let Some(caught) = early.remove(&told) {
                each(hunts[told], caught);
                told += 1;
            }
        }
    });
}
