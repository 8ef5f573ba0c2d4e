//! A read hears of what stand-ins hold, though the homes do not know it yet (rule Q3), and says whom it could not hear.
//!
//! By hand, because it takes a node that reaches both the homes and the stand-in while these do not reach each other.

use bytes::Bytes;
use holdfast_core::content::StoredBody;
use holdfast_core::place::Place;
use holdfast_core::request::{Answer, Get, Got, List, PageEntry, Put, PutValue, Request, WantedBodies};

use crate::few::{Few, PARTITION_BITS, key, node_at, settings};

fn put(name: &str) -> Request {
    Request::Put(Put {
        settings: settings(1),
        key: key(name),
        context: None,
        value: PutValue::Object {
            etag: "e".to_owned(),
            headers: Vec::new(),
            body: StoredBody::Inline(Bytes::from_static(b"told")),
        },
        w: None,
        wait_all: false,
    })
}

fn get(few: &mut Few, at: usize, name: &str) -> Got {
    let get = Get {
        settings: settings(1),
        key: key(name),
        r: None,
        bodies: WantedBodies::Newest,
    };
    match few.ask(at, Request::Get(get)) {
        Answer::Got(got) => got,
        other => panic!("{other:?}"),
    }
}

fn listed(few: &mut Few, at: usize) -> Vec<String> {
    let list = List {
        settings: settings(1),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        count_max: 100,
    };
    let Answer::Page(page) = few.ask(at, Request::List(list)) else {
        panic!("not a page");
    };
    let keys = page.entries.into_iter().map(|entry| match entry {
        PageEntry::Object { key, .. } | PageEntry::CommonPrefix(key) => key,
    });
    keys.collect()
}

/// Five nodes, of which the first three named are the homes, and a key that one of the others took alone.
fn with_a_hint() -> (Few, [usize; 5]) {
    let mut few = Few::new(5);
    let place = Place::of_object(&settings(1), &key("k"), PARTITION_BITS);
    let ranked: Vec<usize> = few
        .layout
        .preference_list(place.partition)
        .map(|node| node.0 as usize - 1)
        .collect();
    let ranked: [usize; 5] = ranked.try_into().expect("five members");
    let [.., reader, holder] = ranked;
    for other in (0..5).filter(|other| *other != holder) {
        few.part(holder, other);
    }
    assert!(matches!(few.ask(holder, put("k")), Answer::Put(_)));
    few.join(holder, reader);
    few.pass_ms(3_000);
    (few, ranked)
}

#[test]
fn a_read_through_homes_finds_what_a_stand_in_took() {
    let (mut few, [.., reader, _]) = with_a_hint();
    let got = get(&mut few, reader, "k");
    assert_eq!(got.bodies.len(), 1, "{got:?}");
    assert_eq!(&got.bodies[0].1[..], b"told");
    assert!(got.down.is_empty() && got.stand_ins.is_empty() && got.holders_unheard.is_empty());
    assert_eq!(listed(&mut few, reader), ["k"]);
}

#[test]
fn a_holder_that_cannot_be_heard_is_named() {
    let (mut few, [home, .., holder]) = with_a_hint();
    let got = get(&mut few, home, "k");
    assert!(got.record.visible().is_none());
    assert_eq!(got.holders_unheard, [node_at(holder)]);
    // Once the homes have it, nobody need be heard.
    for other in (0..5).filter(|other| *other != holder) {
        few.join(holder, other);
    }
    few.pass_ms(60_000);
    let got = get(&mut few, home, "k");
    assert!(got.record.visible().is_some() && got.holders_unheard.is_empty());
}
