//! The checkers are checked: what is planted is noticed, and nothing is noticed where nothing is planted. Here with a
//! few seeds; CI gives every fault up to 1,000. `HearsayBelieved` is left to it: it takes two coincidences to show.

use holdfast_core::planted::Planted;
use holdfast_sim::hunt::hunt;

const SEEDS_MAX: u64 = 200;

fn must_be_caught(fault: Planted) {
    let caught = hunt(fault, 0, SEEDS_MAX, false);
    assert!(caught.by_any.is_some(), "{fault:?} is not noticed in {SEEDS_MAX} seeds");
}

#[test]
fn lives_left_out_is_noticed() {
    must_be_caught(Planted::LivesLeftOut);
}

#[test]
fn the_second_round_left_out_is_noticed() {
    must_be_caught(Planted::SecondRoundLeftOut);
}

#[test]
fn an_answer_before_the_coordinators_own_sync_is_noticed() {
    must_be_caught(Planted::AnswerBeforeOwnSync);
}

#[test]
fn dots_without_their_contexts_are_noticed() {
    must_be_caught(Planted::DotsWithoutContexts);
}

#[test]
fn a_request_id_ignored_is_noticed() {
    must_be_caught(Planted::RequestIdIgnored);
}

#[test]
fn refutation_left_out_is_noticed() {
    must_be_caught(Planted::RefutationLeftOut);
}
