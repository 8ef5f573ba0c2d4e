//! A write that was handed to a home comes there late, from a connection that held it: by then another home has done it, its
//! client has its answer and has written something else. The late home must not write the old over the new (rule D7).
//!
//! Found on real hosts: a partition of five seconds lost three acknowledged writes of a hundred.

use bytes::Bytes;
use holdfast_core::content::StoredBody;
use holdfast_core::place::Place;
use holdfast_core::planted::Planted;
use holdfast_core::request::{Answer, Get, Put, PutValue, Request, WantedBodies};

use crate::few::{Few, PARTITION_BITS, key, settings};

fn put(body: &'static [u8]) -> Request {
    Request::Put(Put {
        settings: settings(2),
        key: key("k"),
        context: None,
        value: PutValue::Object {
            etag: "e".to_owned(),
            headers: Vec::new(),
            body: StoredBody::Inline(Bytes::from_static(body)),
        },
        w: None,
        wait_all: false,
    })
}

/// Five nodes, and of those the homes of the key and one that is none.
struct Five {
    few: Few,
    homes: Vec<usize>,
    other: usize,
}

fn five(fault: Option<Planted>) -> Five {
    let few = Few::with_fault(5, fault);
    let place = Place::of_object(&settings(2), &key("k"), PARTITION_BITS);
    let homes: Vec<usize> = few
        .layout
        .homes(place.partition, 3)
        .map(|home| home.0 as usize - 1)
        .collect();
    let other = (0..5)
        .find(|at| !homes.contains(at))
        .expect("five nodes and three homes");
    Five { few, homes, other }
}

impl Five {
    fn shown(&mut self, r: u8) -> Vec<Bytes> {
        let get = Get {
            settings: settings(2),
            key: key("k"),
            r: Some(r),
            bodies: WantedBodies::Newest,
        };
        match self.few.ask(self.homes[1], Request::Get(get)) {
            Answer::Got(got) => got.bodies.into_iter().map(|(_, body)| body).collect(),
            other => panic!("not read: {other:?}"),
        }
    }

    /// How many versions all homes hold together.
    fn versions(&mut self) -> usize {
        let get = Get {
            settings: settings(2),
            key: key("k"),
            r: Some(3),
            bodies: WantedBodies::None,
        };
        match self.few.ask(self.homes[1], Request::Get(get)) {
            Answer::Got(got) => got.record.versions().len(),
            other => panic!("not read: {other:?}"),
        }
    }

    /// Hands a write to a home that does not hear of it; the next home does it, and a second write follows.
    fn write_twice_while_one_is_cut_off(&mut self) {
        let late = self.homes[0];
        self.few.hold(self.other, late);
        let answer = self.few.ask_as(1, self.other, put(b"old"));
        assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
        let answer = self.few.ask_as(2, self.homes[1], put(b"new"));
        assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
        assert_eq!(self.shown(2), [&b"new"[..]]);
    }
}

/// A home that knows neither write: it would recognise them.
fn late_home_that_knows_nothing(fault: Option<Planted>) -> Five {
    let mut five = five(fault);
    let late = five.homes[0];
    for at in (0..5).filter(|at| *at != late) {
        five.few.hold(at, late);
    }
    five.write_twice_while_one_is_cut_off();
    // The connection of the node that handed the first write over is the first to come back.
    five.few.release(five.other, late);
    for at in (0..5).filter(|at| *at != late) {
        five.few.release(at, late);
    }
    five.few.settle();
    five
}

#[test]
fn a_write_that_comes_late_is_not_done_again() {
    let mut five = late_home_that_knows_nothing(None);
    assert_eq!(five.shown(3), [&b"new"[..]]);
}

#[test]
fn without_asking_back_it_would_be() {
    let mut five = late_home_that_knows_nothing(Some(Planted::ClaimLeftOut));
    assert_eq!(
        five.shown(3),
        [&b"old"[..]],
        "the fault is not planted where it matters"
    );
}

#[test]
fn what_was_granted_lapses() {
    let mut five = five(None);
    let (late, other) = (five.homes[0], five.other);
    five.few.hold(late, other);
    five.few.begin(1, other, put(b"old"));
    // The home has asked back. It is granted, and hears so when nobody waits for it any more.
    five.few.hold(other, late);
    five.few.release(late, other);
    let answer = five.few.answer();
    assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
    let answer = five.few.ask_as(2, five.homes[1], put(b"new"));
    assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
    five.few.release(other, late);
    five.few.settle();
    assert_eq!(five.shown(3), [&b"new"[..]]);
}

/// The first home is granted a write, makes a version of it and is cut off with it; the next home does the write, and a later one
/// replaces that. What the first home comes back with stands beside nothing.
#[test]
fn what_a_home_left_behind_is_covered_by_whoever_did_it_next() {
    let mut five = five(None);
    let (late, other) = (five.homes[0], five.other);
    for at in (0..5).filter(|at| *at != late) {
        five.few.hold(late, at);
    }
    five.few.begin(1, other, put(b"old"));
    five.few.release(late, other);
    five.few.hold(late, other);
    let answer = five.few.answer();
    assert!(
        matches!(&answer, Answer::Put(outcome) if outcome.coordinator.0 != late as u64 + 1),
        "{answer:?}"
    );
    for at in (0..5).filter(|at| *at != late) {
        five.few.hold(at, late);
    }
    let answer = five.few.ask_as(2, five.homes[1], put(b"new"));
    assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
    for at in (0..5).filter(|at| *at != late) {
        five.few.release(late, at);
        five.few.release(at, late);
    }
    five.few.settle();
    assert_eq!(five.shown(3), [&b"new"[..]]);
    assert_eq!(five.versions(), 1);
}

#[test]
fn whom_it_was_granted_is_waited_for_though_it_cannot_be_reached() {
    let mut five = five(None);
    let (late, other) = (five.homes[0], five.other);
    for at in (0..5).filter(|at| *at != late && *at != other) {
        five.few.hold(at, late);
    }
    five.few.hold(late, other);
    five.few.begin(1, other, put(b"old"));
    five.few.hold(other, late);
    five.few.release(late, other);
    // It is granted, and the connection breaks with the grant on its way.
    five.few.lose(other, late);
    let answer = five.few.answer();
    assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
    let answer = five.few.ask_as(2, five.homes[1], put(b"new"));
    assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
    for at in (0..5).filter(|at| *at != late) {
        five.few.release(at, late);
    }
    five.few.settle();
    assert_eq!(five.shown(3), [&b"new"[..]]);
}
