//! Anti-entropy by hand (rules A1, A2): what little it costs to find few differences among many keys, and that damage on one
//! disk is found and healed from the others. The simulator's clusters are small.

use holdfast_core::bucket::Settings;
use holdfast_core::place::Place;
use holdfast_core::request::{Answer, Put, Request};
use holdfast_core::storage::{ReadError, Space, Storage, Visit};

use crate::few::{COMPARE_EVERY_MS, Few, PARTITION_BITS, SCRUB_EVERY_MS, key, put, settings};

/// Among so many keys differences are looked for; the published figure is that of 100,000.
fn keys_count() -> u128 {
    std::env::var("HOLDFAST_KEYS").map_or(4_000, |keys| keys.parse().expect("a number"))
}

const fn spread() -> Settings {
    Settings {
        shards: 16,
        ..settings(2)
    }
}

fn put_all(few: &mut Few, keys: impl Iterator<Item = u128>) {
    for number in keys {
        let answer = few.ask_as(
            number + 1,
            0,
            put(spread(), key(&format!("photos/2026/{number:08}.jpeg"))),
        );
        assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
    }
}

/// Everything that a node holds of a space.
fn rows(few: &Few, at: usize, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (_, store) = &few.nodes[at];
    store
        .rows(space)
        .map(|(key, row)| (key.to_vec(), row.to_vec()))
        .collect()
}

fn place_of(name: &str) -> Place {
    Place::of_object(&settings(2), &key(name), PARTITION_BITS)
}

fn has_readable(few: &Few, at: usize, space: Space) -> Result<usize, ReadError> {
    let mut count = 0;
    few.nodes[at].1.scan(space, &[], &[0xff; 64], &mut |_, _| {
        count += 1;
        Visit::Next
    })?;
    Ok(count)
}

#[test]
fn ten_differences_among_many_keys_cost_some_kilobytes() {
    let mut few = Few::new(3);
    put_all(&mut few, 0..keys_count());
    few.settle();
    few.part(0, 2);
    few.part(1, 2);
    put_all(&mut few, keys_count()..keys_count() + 10);
    few.settle();
    few.compared_bytes = 0;
    few.join(0, 2);
    few.join(1, 2);
    few.settle();
    let found = few.compared_bytes;
    let differences: u64 = few.nodes.iter().map(|(node, _)| node.checked().differences).sum();
    println!(
        "{found} bytes of comparisons for 10 differences among {} keys",
        keys_count()
    );
    assert!(differences >= 10, "it was not the comparison that found them");
    assert_eq!(rows(&few, 0, Space::Bodies), rows(&few, 2, Space::Bodies));
    // Both sides of both pairs ask: for each difference a handful of answers of sixteen pieces or thirty-two rows.
    assert!(found < 4 * 10 * 16_384, "{found} bytes");
    few.compared_bytes = 0;
    few.part(0, 2);
    few.join(0, 2);
    few.settle();
    assert!(
        few.compared_bytes < 2_048,
        "{} bytes to find nothing",
        few.compared_bytes
    );
}

#[test]
fn a_node_that_lost_its_disk_gets_everything_back() {
    let mut few = Few::new(3);
    put_all(&mut few, 0..6_000);
    few.settle();
    few.wipe(2, true);
    few.settle();
    assert_eq!(rows(&few, 0, Space::Bodies).len(), 6_000);
    assert_eq!(rows(&few, 0, Space::Bodies), rows(&few, 2, Space::Bodies));
}

#[test]
fn a_scrub_finds_a_body_that_has_rotted_and_heals_it() {
    let mut few = Few::new(3);
    assert!(matches!(few.ask(0, put(settings(2), key("k"))), Answer::Put(_)));
    few.settle();
    let bodies = rows(&few, 1, Space::Bodies);
    assert!(few.nodes[1].1.corrupt(Space::Bodies, &bodies[0].0));
    assert_eq!(has_readable(&few, 1, Space::Bodies), Err(ReadError::Corrupt));
    few.pass_ms(SCRUB_EVERY_MS + 60_000);
    assert_eq!(has_readable(&few, 1, Space::Bodies), Ok(1));
    assert_eq!(few.nodes[1].0.checked().scrub.damaged, 1);
    few.pass_ms(SCRUB_EVERY_MS + 60_000);
    assert_eq!(
        few.nodes[1].0.checked().scrub.damaged,
        0,
        "the last scrub found nothing"
    );
    assert_eq!(few.nodes[1].0.checked().scrub.records, 1);
    assert_eq!(few.nodes[1].0.checked().fingerprints_wrong, 0);
}

#[test]
fn rows_that_rotted_before_a_start_come_from_the_others() {
    let mut few = Few::new(3);
    for number in 0..20_u128 {
        let put = put(settings(2), key(&format!("k{number}")));
        assert!(matches!(few.ask_as(number + 1, 0, put), Answer::Put(_)));
    }
    few.settle();
    let sound = rows(&few, 0, Space::Rows);
    assert!(few.nodes[2].1.corrupt(Space::Rows, &place_of("k3").row_key()));
    assert!(few.nodes[2].1.corrupt(Space::Rows, &place_of("k7").row_key()));
    few.restart(2);
    few.settle();
    assert_eq!(has_readable(&few, 2, Space::Rows), Ok(20));
    assert_eq!(rows(&few, 0, Space::Rows), sound, "the sound copies are as they were");
}

#[test]
fn a_row_that_rots_is_found_by_a_scrub_and_comes_from_the_others() {
    let mut few = Few::new(3);
    put_all(&mut few, 0..40);
    few.settle();
    let sound = rows(&few, 0, Space::Rows);
    assert!(few.nodes[1].1.corrupt(Space::Rows, &sound[7].0));
    few.pass_ms(2 * SCRUB_EVERY_MS + 60_000);
    assert_eq!(few.nodes[1].0.checked().scrub.damaged, 1, "both scrubs found it");
    few.pass_ms(COMPARE_EVERY_MS);
    assert_eq!(has_readable(&few, 1, Space::Rows), Ok(40));
    few.pass_ms(COMPARE_EVERY_MS + SCRUB_EVERY_MS);
    let checked = few.nodes[1].0.checked();
    assert_eq!(
        (checked.scrub.damaged, checked.fingerprints_wrong),
        (0, 0),
        "all is well again"
    );
    assert_eq!(few.wrong_fingerprints(1), 0);
}

/// A node that cannot read one of its rows still gives the others what only it has.
#[test]
fn damage_in_one_place_hides_no_difference_in_another() {
    let mut few = Few::new(3);
    put_all(&mut few, 0..40);
    few.settle();
    few.part(0, 1);
    few.part(0, 2);
    let alone = Put {
        w: Some(1),
        ..match put(spread(), key("alone")) {
            Request::Put(put) => put,
            _ => unreachable!(),
        }
    };
    assert!(matches!(few.ask_as(1_000, 0, Request::Put(alone)), Answer::Put(_)));
    let sound = rows(&few, 0, Space::Rows);
    // What no other node has cannot be healed.
    let only_here = |key: &Vec<u8>| rows(&few, 1, Space::Rows).iter().all(|(other, _)| other != key);
    let rotten = sound
        .iter()
        .map(|(key, _)| key)
        .find(|key| !only_here(key))
        .expect("forty")
        .clone();
    assert!(few.nodes[0].1.corrupt(Space::Rows, &rotten));
    few.restart(0);
    few.join(0, 1);
    few.join(0, 2);
    few.settle();
    for at in 0..3 {
        assert_eq!(has_readable(&few, at, Space::Rows), Ok(41), "node {at}");
    }
}
