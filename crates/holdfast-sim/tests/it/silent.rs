//! A process stands still, and gossip has not noticed yet (rule Q2): the first request that counts on it waits a little, the
//! next ones do not.

use holdfast_core::place::Place;
use holdfast_core::request::{Answer, Get, Request, WantedBodies};

use crate::few::{Few, PARTITION_BITS, key, put, settings};

/// Gossip needs longer than this to hold a member down, in milliseconds.
const BEFORE_GOSSIP_MS: u64 = 4_000;

/// Five nodes: the homes of the key, then the others.
struct Five {
    few: Few,
    homes: Vec<usize>,
    others: Vec<usize>,
    asked: u128,
}

fn five() -> Five {
    let few = Few::new(5);
    let place = Place::of_object(&settings(2), &key("k"), PARTITION_BITS);
    let homes = few.layout.homes(place.partition, 3);
    let homes: Vec<usize> = homes.map(|home| home.0 as usize - 1).collect();
    let others = (0..5).filter(|at| !homes.contains(at)).collect();
    let asked = 0;
    Five {
        few,
        homes,
        others,
        asked,
    }
}

impl Five {
    /// How long a put of the key takes that must reach so many, in milliseconds.
    fn put_ms(&mut self, at: usize, w: u8) -> u64 {
        let began_ms = self.few.passed_ms();
        self.asked += 1;
        let answer = self.few.ask_as(self.asked, at, put(settings(w), key("k")));
        assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
        self.few.passed_ms() - began_ms
    }

    /// How long a get of the key takes, in milliseconds.
    fn get_ms(&mut self, at: usize) -> u64 {
        let began_ms = self.few.passed_ms();
        let get = Get {
            settings: settings(2),
            key: key("k"),
            r: Some(2),
            bodies: WantedBodies::Newest,
        };
        let answer = self.few.ask(at, Request::Get(get));
        assert!(
            matches!(&answer, Answer::Got(got) if !got.record.versions().is_empty()),
            "{answer:?}"
        );
        self.few.passed_ms() - began_ms
    }
}

#[test]
fn a_write_is_handed_to_a_frozen_home_once_and_then_to_others() {
    let mut five = five();
    let (frozen, other) = (five.homes[0], five.others[0]);
    five.few.freeze(frozen);
    let first_ms = five.put_ms(other, 2);
    assert!((100..1_000).contains(&first_ms), "{first_ms} ms");
    assert_eq!(five.put_ms(other, 2), 0);
    assert!(five.few.passed_ms() < BEFORE_GOSSIP_MS, "it is gossip that noticed");
    // A word of it, and it is as good as the others.
    five.few.thaw(frozen);
    five.few.pass_ms(10_000);
    five.few.freeze(frozen);
    assert_eq!(five.put_ms(other, 2), first_ms);
}

#[test]
fn a_frozen_home_is_read_from_once_and_then_others_are() {
    let mut five = five();
    let reader = five.homes[1];
    assert_eq!(five.put_ms(reader, 3), 0);
    five.few.freeze(five.homes[0]);
    assert!((1..1_000).contains(&five.get_ms(reader)));
    five.few.pass_ms(1_200);
    assert_eq!(five.get_ms(reader), 0);
}

#[test]
fn somebody_stands_in_at_once_for_a_silent_home_that_would_be_waited_for() {
    let mut five = five();
    let writer = five.homes[2];
    five.few.part(five.homes[1], writer);
    five.few.freeze(five.homes[0]);
    let first_ms = five.put_ms(writer, 3);
    assert!((100..2_000).contains(&first_ms), "{first_ms} ms");
    assert_eq!(five.put_ms(writer, 3), 0);
    assert!(five.few.passed_ms() < BEFORE_GOSSIP_MS, "it is gossip that noticed");
}
