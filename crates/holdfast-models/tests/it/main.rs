//! The models, each over all of its states: the rules as they are keep their promises, and each planted fault breaks one.
//! The second half is what gives the first its meaning.

mod gate;
mod lives;
mod search;

use holdfast_models::search::{Found, Model, search as look};

/// Above every scope of these tests: whoever meets it has made a scope too large.
const STATES_MAX: usize = 2_000_000;

/// Every state was looked at, nothing is broken, and all was met but `unseen`.
#[track_caller]
fn assert_kept<M: Model>(model: &M, unseen: &[&str]) -> Found {
    let found = look(model, STATES_MAX);
    assert!(found.broken.is_none(), "{:#?}", found.broken);
    assert!(found.complete, "more than {STATES_MAX} states");
    assert_eq!(found.unseen, unseen);
    println!("{} states, {} steps deep", found.states, found.depth);
    found
}

/// The shortest way to break this promise has so many steps.
#[track_caller]
fn assert_broken<M: Model>(model: &M, promise: &str, steps: usize) {
    let broken = look(model, STATES_MAX).broken.expect("a counter-example");
    println!("{:#?}", &broken.trace[..broken.trace.len() - 1]);
    assert_eq!((broken.promise, broken.trace.len() - 1), (promise, steps));
}
