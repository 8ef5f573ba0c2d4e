//! Nothing that a checker waits for stays unreached. CI asserts the same over all its seeds; this is the quick look.

use holdfast_sim::coverage::{Coverage, Reached};
use holdfast_sim::run::{FAULTS_MIN, OPERATIONS_MIN, SIMULATED_US_MIN};

use crate::must_hold;

const SEEDS: u64 = 48;
/// Seeds that reach what is rare: the cap on siblings.
const RARE: [u64; 1] = [59];

#[test]
fn some_seeds_hold_and_reach_everything_that_is_common() {
    let mut coverage = Coverage::default();
    for seed in (0..SEEDS).chain(RARE) {
        let report = must_hold(seed);
        assert!(report.simulated_us >= SIMULATED_US_MIN);
        assert!(report.coverage.count(Reached::Operations) >= OPERATIONS_MIN);
        assert!(report.coverage.count(Reached::Faults) >= FAULTS_MIN);
        coverage.merge(&report.coverage);
    }
    let unreached: Vec<Reached> = Reached::ALL
        .into_iter()
        .filter(|what| coverage.count(*what) == 0)
        .collect();
    assert!(
        unreached.is_empty(),
        "never in {SEEDS} seeds and {RARE:?}: {unreached:?}"
    );
}
