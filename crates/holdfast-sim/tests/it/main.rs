//! The simulator's own promises: a seed is a run, always the same one; what was once found stays fixed; every checker
//! has something to check; every planted fault is noticed.

mod chord;
mod compare;
mod coverage;
mod determinism;
mod dynamo;
mod few;
mod handed_over;
mod hint_holders;
mod late;
mod lost_disk;
mod mend;
mod overload;
mod planted;
mod regressions;
mod repair;
mod silent;

use holdfast_sim::checkers::Violation;
use holdfast_sim::run::{Options, Report, run};

/// Runs a seed and fails if it broke a promise.
fn must_hold(seed: u64) -> Report {
    let report = run(seed, Options::default());
    let told: Vec<String> = report.violations.iter().map(tell).collect();
    assert!(
        told.is_empty(),
        "replay: cargo xtask sim --seed {seed} --trace\n{}",
        told.join("\n")
    );
    report
}

fn tell(violation: &Violation) -> String {
    format!("{:?} at {} us: {}", violation.promise, violation.at_us, violation.what)
}
