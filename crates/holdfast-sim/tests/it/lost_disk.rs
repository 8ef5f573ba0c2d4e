//! Disks that are lost or put back from an old copy, by hand (rules S1, S2): what the simulator, which strikes one machine of a
//! run and lets it know, does not reach.

use holdfast_core::gossip::Soundness;
use holdfast_core::node::MESSAGE_LIFE_MS;
use holdfast_core::request::{Answer, Get, ReadFault, Request, WantedBodies};

use crate::few::{self, Few, key, settings};

/// Three message lives and time to compare.
const FILLED_MS: u64 = 3 * MESSAGE_LIFE_MS + 30_000;
/// Longer than a tick bound holds, and for gossip to tell of the next one.
const BOUND_MS: u64 = 30_000;

fn put(name: &str) -> Request {
    few::put(settings(2), key(name))
}

fn get(name: &str) -> Request {
    Request::Get(Get {
        settings: settings(2),
        key: key(name),
        r: None,
        bodies: WantedBodies::Newest,
    })
}

fn is_found(answer: &Answer) -> bool {
    matches!(answer, Answer::Got(got) if got.record.visible().is_some())
}

fn soundness(few: &Few, at: usize) -> Soundness {
    few.nodes[at].0.soundness()
}

#[test]
fn a_node_that_lost_its_disk_says_of_nothing_that_it_is_not_there() {
    let mut few = Few::new(3);
    // Written on the first two only.
    few.part(0, 2);
    few.part(1, 2);
    assert!(matches!(few.ask(0, put("photo")), Answer::Put(_)));
    few.join(1, 2);
    few.join(0, 2);
    few.settle();
    few.wipe(1, true);
    assert_eq!(soundness(&few, 1), Soundness::Filling);
    for at in 0..3 {
        assert!(is_found(&few.ask(at, get("photo"))), "through node {at}");
    }
    // With one of the others away, the one that is left is not enough.
    few.part(0, 1);
    few.part(0, 2);
    let answer = few.ask(1, get("photo"));
    assert!(
        matches!(answer, Answer::ReadFailed(ReadFault::Unavailable { .. })),
        "{answer:?}"
    );
    few.join(0, 1);
    few.join(0, 2);
    few.pass_ms(FILLED_MS);
    assert_eq!(soundness(&few, 1), Soundness::Sound);
    few.part(0, 1);
    few.part(0, 2);
    assert!(is_found(&few.ask(1, get("photo"))), "now it is");
}

#[test]
fn writes_go_on_with_a_disk_being_filled_and_another_node_away() {
    let mut few = Few::new(3);
    few.wipe(1, true);
    few.part(0, 1);
    few.part(0, 2);
    for at in [1, 2] {
        let answer = few.ask_as(20 + at as u128, at, put("photo"));
        assert!(matches!(answer, Answer::Put(_)), "through node {at}: {answer:?}");
    }
}

#[test]
fn what_the_note_of_a_lost_disk_would_have_said_the_others_say() {
    let mut few = Few::new(3);
    few.wipe(2, false);
    assert_eq!(soundness(&few, 2), Soundness::Filling);
    // Again, however often it starts before it is whole.
    few.restart(2);
    assert_eq!(soundness(&few, 2), Soundness::Filling);
    few.pass_ms(FILLED_MS);
    few.restart(2);
    assert_eq!(soundness(&few, 2), Soundness::Sound, "once it is whole, it stays so");
}

#[test]
fn two_that_lost_their_disks_do_not_take_each_other_for_whole() {
    let mut few = Few::new(3);
    few.wipe(1, true);
    few.wipe(2, true);
    few.pass_ms(4 * FILLED_MS);
    assert_eq!(
        (soundness(&few, 1), soundness(&few, 2)),
        (Soundness::Filling, Soundness::Filling)
    );
}

#[test]
fn an_old_copy_of_a_disk_is_condemned_and_none_but_that() {
    let mut few = Few::new(3);
    few.ask(1, put("photo"));
    few.settle();
    let copy = few.nodes[1].1.clone();
    few.pass_ms(BOUND_MS);
    assert!(matches!(few.ask_as(8, 1, put("photo")), Answer::Put(_)));
    few.pass_ms(BOUND_MS);
    few.restart(1);
    assert!(few.put_aside.is_empty(), "its own disk");
    assert_eq!(soundness(&few, 1), Soundness::Sound);
    let disk = std::mem::replace(&mut few.nodes[1].1, copy);
    few.restart(1);
    assert!(few.put_aside.contains(&1), "an old copy");
    assert_eq!(soundness(&few, 1), Soundness::Unvouched);
    // Not even by itself, however long.
    few.part(0, 1);
    few.part(1, 2);
    few.pass_ms(BOUND_MS);
    few.restart(1);
    assert_eq!(
        soundness(&few, 1),
        Soundness::Unvouched,
        "it knows without being told again"
    );
    drop(disk);
}
