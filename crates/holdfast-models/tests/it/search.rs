//! The search itself: it finds the nearest breach, says when it was cut, and knows a place without a way out.

use holdfast_models::search::{COMES_TO_REST, Model, search};

/// Counts up by one or two, to a wall; rests at its home only.
struct Stairs {
    wall: u8,
    broken_at: u8,
    home: u8,
}

impl Model for Stairs {
    type State = u8;
    type Step = u8;

    fn starts(&self) -> Vec<u8> {
        vec![0]
    }

    fn steps(&self, state: &u8, next: &mut Vec<(u8, u8)>) {
        let ways = [1, 2].into_iter().map(|step| (step, state + step));
        next.extend(ways.filter(|(_, to)| *to <= self.wall));
    }

    fn broken(&self, state: &u8) -> Option<&'static str> {
        (*state == self.broken_at).then_some("not here")
    }

    fn sights(&self) -> &'static [&'static str] {
        &["a step of two", "a step of three"]
    }

    fn seen(&self, _: &u8, step: &u8, _: &u8) -> u32 {
        u32::from(*step == 2)
    }

    fn at_rest(&self, state: &u8) -> bool {
        *state == self.home
    }

    fn can_be_relied_on(&self, step: &u8) -> bool {
        *step == 1
    }
}

const STAIRS: Stairs = Stairs {
    wall: 9,
    broken_at: 255,
    home: 9,
};

#[test]
fn every_state_is_looked_at_and_what_nothing_showed_is_named() {
    let found = search(&STAIRS, 100);
    assert!(found.complete && found.broken.is_none());
    assert_eq!((found.states, found.depth), (10, 5));
    assert_eq!(found.unseen, ["a step of three"]);
}

#[test]
fn the_nearest_breach_is_told_step_by_step() {
    let found = search(&Stairs { broken_at: 5, ..STAIRS }, 100);
    let broken = found.broken.expect("it is there");
    assert!(!found.complete);
    assert_eq!(broken.promise, "not here");
    assert_eq!(broken.trace, ["1", "2", "2", "5"]);
}

#[test]
fn a_search_that_was_cut_does_not_claim_to_be_complete() {
    let found = search(&STAIRS, 5);
    assert!(!found.complete && found.broken.is_none());
}

#[test]
fn a_state_without_a_way_to_rest_is_found() {
    let found = search(&Stairs { home: 8, ..STAIRS }, 100);
    let broken = found.broken.expect("nine is beyond home");
    assert_eq!(broken.promise, COMES_TO_REST);
    assert_eq!(broken.trace.last().map(String::as_str), Some("9"));
}
