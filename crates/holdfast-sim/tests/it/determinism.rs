//! The same seed twice gives the same trace, to the last byte of its readable lines; another seed gives another.

use holdfast_sim::run::{Options, run};
use holdfast_sim::trace::Detail;

fn hash(seed: u64, detail: Detail) -> u64 {
    let options = Options {
        detail,
        ..Options::default()
    };
    run(seed, options).hash
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 11, 42] {
        assert_eq!(
            hash(seed, Detail::HashLines),
            hash(seed, Detail::HashLines),
            "seed {seed} differs from itself"
        );
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(hash(1, Detail::Hash), hash(2, Detail::Hash));
}

/// Writing the trace down must not change what happens.
#[test]
fn a_seed_does_the_same_whether_it_is_traced_or_not() {
    let options = |detail| Options {
        detail,
        ..Options::default()
    };
    let (quiet, traced) = (run(5, options(Detail::Hash)), run(5, options(Detail::HashLines)));
    assert_eq!((quiet.events, quiet.simulated_us), (traced.events, traced.simulated_us));
    assert_eq!(quiet.coverage, traced.coverage);
}
