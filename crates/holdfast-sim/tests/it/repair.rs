//! A repair on demand, by hand: what rotted and what is missing is healed by it alone, before any routine comparison or scrub
//! is due; what cannot be healed, and who could not be asked, is named; and its share of the work never goes back.

use bytes::Bytes;
use holdfast_core::event::ClusterEvent;
use holdfast_core::ids::{ChunkId, NodeId, PartId};
use holdfast_core::place::{Place, chunk_position, partition_of};
use holdfast_core::repair::{RepairOfMemberState, RepairReport, RepairStage};
use holdfast_core::request::{Answer, ReadChunk, Request, WriteChunk};
use holdfast_core::storage::{Space, Storage, Visit};

use crate::few::{COMPARE_EVERY_MS, Few, PARTITION_BITS, SCRUB_EVERY_MS, key, node_at, put, settings};

/// No repair here takes as long: routine work is due later.
const SOON_MS: u64 = 120_000;
const _: () = assert!(SOON_MS < SCRUB_EVERY_MS && SOON_MS < COMPARE_EVERY_MS);

fn three_with_keys(count: u128) -> Few {
    let mut few = Few::new(3);
    for number in 0..count {
        let put = put(settings(2), key(&format!("k{number:03}")));
        assert!(matches!(few.ask_as(number + 1, 0, put), Answer::Put(_)));
    }
    few.settle();
    few
}

const fn chunk(number: u128) -> ChunkId {
    ChunkId {
        part: PartId(number),
        index: 0,
    }
}

fn write_chunk(few: &mut Few, number: u128) {
    let write = WriteChunk {
        settings: settings(2),
        owner: key("large"),
        id: chunk(number),
        commit_deadline_ms: 1_800_000_000_000,
        body: Bytes::from(vec![7; 4_096]),
    };
    assert_eq!(few.ask(0, Request::WriteChunk(write)), Answer::ChunkWritten);
    few.settle();
}

fn damage_chunk(few: &mut Few, at: usize, number: u128) {
    let partition = partition_of(chunk_position(chunk(number)), PARTITION_BITS);
    assert!(few.nodes[at].1.corrupt_chunk(partition, chunk(number)), "it has a copy");
}

fn has_chunk(few: &Few, at: usize, number: u128) -> bool {
    let partition = partition_of(chunk_position(chunk(number)), PARTITION_BITS);
    few.nodes[at].1.has_chunk(partition, chunk(number))
}

/// Rows of a space that a node can read; `None` when it meets one that it cannot.
fn readable(few: &Few, at: usize, space: Space) -> Option<usize> {
    let mut count = 0;
    let read = few.nodes[at].1.scan(space, &[], &[0xff; 64], &mut |_, _| {
        count += 1;
        Visit::Next
    });
    read.ok().map(|()| count)
}

fn first_row(few: &Few, at: usize, space: Space) -> Vec<u8> {
    let (key, _) = few.nodes[at].1.rows(space).next().expect("it has some");
    key.to_vec()
}

/// Asks a node, waits until it is over, and gives what it says in the end.
fn repaired(few: &mut Few, at: usize) -> RepairReport {
    let before = few.nodes[at].0.repair().number;
    few.repair(at);
    assert!(few.nodes[at].0.repair().is_running);
    let mut passed_ms = 0;
    while few.nodes[at].0.repair().is_running {
        few.pass_ms(100);
        passed_ms += 100;
        assert!(passed_ms < SOON_MS, "{:?}", few.nodes[at].0.repair());
    }
    let report = few.nodes[at].0.repair().clone();
    assert_eq!((report.number, report.stage), (before + 1, RepairStage::Over));
    assert!(report.ended_ms >= report.begun_ms);
    report
}

#[test]
fn rot_on_one_disk_and_what_another_missed_are_healed_by_one_repair() {
    let mut few = three_with_keys(40);
    write_chunk(&mut few, 77);
    few.hold(0, 2);
    assert!(matches!(
        few.ask_as(1_000, 0, put(settings(2), key("missed"))),
        Answer::Put(_)
    ));
    few.settle();
    few.drop_held(0, 2);
    assert_eq!(readable(&few, 2, Space::Rows), Some(40), "the third has missed one");
    let body = first_row(&few, 1, Space::Bodies);
    assert!(few.nodes[1].1.corrupt(Space::Bodies, &body));
    damage_chunk(&mut few, 1, 77);

    let report = repaired(&mut few, 1);
    assert_eq!(readable(&few, 1, Space::Bodies), Some(41));
    assert!(has_chunk(&few, 1, 77));
    assert_eq!(readable(&few, 2, Space::Rows), Some(41));
    assert_eq!((report.damaged, report.differences), (2, 1), "{report:?}");
    assert_eq!((report.healed.records, report.healed.chunks), (2, 1), "{report:?}");
    assert_eq!((report.unhealed, report.left_out().count()), (0, 0), "{report:?}");
    assert_eq!((report.records.done, report.records.all), (41, 41));
    assert_eq!((report.chunks.done, report.bytes.done), (1, 4_096));

    let again = repaired(&mut few, 1);
    assert_eq!(
        (again.damaged, again.differences, again.unhealed),
        (0, 0, 0),
        "{again:?}"
    );
    assert_eq!(few.nodes[1].0.checked().fingerprints_wrong, 0);
}

#[test]
fn a_row_that_cannot_be_read_is_healed_and_what_lies_behind_it_is_read() {
    let mut few = three_with_keys(40);
    let row = first_row(&few, 1, Space::Rows);
    assert!(few.nodes[1].1.corrupt(Space::Rows, &row));
    // Of another key, behind that row, where the scrub cannot come while the row is damaged.
    let bodies: Vec<Vec<u8>> = few.nodes[1]
        .1
        .rows(Space::Bodies)
        .map(|(key, _)| key.to_vec())
        .collect();
    assert!(few.nodes[1].1.corrupt(Space::Bodies, bodies.last().expect("forty")));
    let report = repaired(&mut few, 1);
    assert_eq!(readable(&few, 1, Space::Rows), Some(40));
    assert_eq!(readable(&few, 1, Space::Bodies), Some(40));
    assert_eq!((report.damaged, report.unhealed), (2, 0), "{report:?}");
    assert_eq!(few.wrong_fingerprints(1), 0);
}

/// Nothing can be had from a copy that is damaged itself: two of them would wait for each other for ever, and refuse writes.
#[test]
fn two_damaged_copies_are_healed_from_the_third_and_it_is_told() {
    let mut few = three_with_keys(10);
    let row = first_row(&few, 0, Space::Rows);
    for at in 0..2 {
        assert!(few.nodes[at].1.corrupt(Space::Rows, &row));
    }
    let report = repaired(&mut few, 0);
    assert_eq!((report.damaged, report.unhealed), (1, 0), "{report:?}");
    let lost = |few: &Few, other: usize| {
        let told = few.events.iter().filter_map(|event| match event {
            ClusterEvent::CopiesLost { nodes, .. } => Some(nodes.as_slice()),
            _ => None,
        });
        told.filter(|nodes| *nodes == [node_at(other)]).count()
    };
    assert_eq!(lost(&few, 1), 1, "the second was damaged at that moment");
    let report = repaired(&mut few, 1);
    assert_eq!(report.unhealed, 0, "{report:?}");
    assert_eq!(lost(&few, 0), 0, "the first was healed already");
    for at in 0..3 {
        assert_eq!(readable(&few, at, Space::Rows), Some(10));
    }
    let put = put(settings(3), key("k000"));
    assert!(matches!(few.ask_as(99, 0, put), Answer::Put(_)), "it takes all three");
}

#[test]
fn a_member_that_is_away_is_named_and_not_waited_for() {
    let mut few = three_with_keys(5);
    few.part(0, 2);
    let report = repaired(&mut few, 0);
    assert_eq!(report.left_out().collect::<Vec<_>>(), [node_at(2)]);
    let state_of = |node: NodeId| {
        report
            .members
            .iter()
            .find(|member| member.node == node)
            .map(|member| member.state)
    };
    assert_eq!(state_of(node_at(1)), Some(RepairOfMemberState::Compared));
    assert_eq!(state_of(node_at(2)), Some(RepairOfMemberState::Down));
    assert!(report.ended_ms - report.begun_ms < 20_000, "{report:?}");
}

#[test]
fn what_no_node_has_is_counted_and_named() {
    let mut few = three_with_keys(5);
    write_chunk(&mut few, 77);
    write_chunk(&mut few, 78);
    for at in 0..3 {
        damage_chunk(&mut few, at, 77);
    }
    damage_chunk(&mut few, 0, 78);
    let report = repaired(&mut few, 0);
    assert_eq!(
        (report.damaged, report.unhealed, report.healed.chunks),
        (2, 1, 1),
        "{report:?}"
    );
    assert_eq!(report.unhealed_keys, [key("large")]);
    assert!(has_chunk(&few, 0, 78) && !has_chunk(&few, 0, 77));
}

/// A read meets the damage while nobody can help, and a chunk is then left alone for five minutes. Whoever asks does not wait.
#[test]
fn what_was_tried_in_vain_a_moment_ago_is_tried_again() {
    let mut few = three_with_keys(1);
    write_chunk(&mut few, 77);
    damage_chunk(&mut few, 0, 77);
    few.part(0, 1);
    few.part(0, 2);
    let read = ReadChunk {
        settings: settings(2),
        id: chunk(77),
        from: 0,
        length: 1,
    };
    assert!(matches!(few.ask(0, Request::ReadChunk(read)), Answer::ReadFailed(_)));
    few.settle();
    few.join(0, 1);
    few.join(0, 2);
    few.settle();
    assert!(!has_chunk(&few, 0, 77));
    let report = repaired(&mut few, 0);
    assert_eq!((report.healed.chunks, report.unhealed), (1, 0), "{report:?}");
    assert!(has_chunk(&few, 0, 77));
}

#[test]
fn the_share_that_is_done_never_goes_back_and_asking_twice_joins() {
    let mut few = three_with_keys(60);
    for number in 0..20 {
        write_chunk(&mut few, 100 + number);
    }
    few.repair(0);
    let mut shares = vec![few.nodes[0].0.repair().permille()];
    while few.nodes[0].0.repair().is_running {
        few.pass_to_next_timer();
        shares.push(few.nodes[0].0.repair().permille());
        if shares.len() == 10 {
            few.repair(0);
        }
        assert!(shares.len() < 10_000, "it does not end");
    }
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!((shares.first(), shares.last()), (Some(&0), Some(&1_000)));
    assert!(shares.iter().any(|share| (1..900).contains(share)), "{shares:?}");
    assert_eq!(
        few.nodes[0].0.repair().number,
        1,
        "the second question joined the first"
    );
}

/// A routine scrub that is under way begins anew: what it has read may have rotted since.
#[test]
fn a_scrub_that_is_under_way_begins_anew() {
    let mut few = three_with_keys(40);
    for number in 0..40 {
        write_chunk(&mut few, 100 + number);
    }
    few.pass_ms(SCRUB_EVERY_MS - 60_000);
    while few.nodes[0].0.checked().scrub.chunks < 20 || !few.nodes[0].0.checked().scrub.is_running {
        few.pass_to_next_timer();
    }
    let body = first_row(&few, 0, Space::Bodies);
    assert!(few.nodes[0].1.corrupt(Space::Bodies, &body));
    let report = repaired(&mut few, 0);
    assert_eq!((report.damaged, report.unhealed), (1, 0), "{report:?}");
    assert_eq!(readable(&few, 0, Space::Bodies), Some(40));
}

/// All three at once, as the command line asks them; each has something that another must give.
#[test]
fn all_members_may_repair_at_the_same_time() {
    let mut few = three_with_keys(30);
    for number in 0..3 {
        write_chunk(&mut few, 77 + number as u128);
        damage_chunk(&mut few, number, 77 + number as u128);
        let place = Place::of_object(&settings(2), &key(&format!("k{number:03}")), PARTITION_BITS);
        assert!(few.nodes[number].1.corrupt(Space::Rows, &place.row_key()));
    }
    for at in 0..3 {
        few.repair(at);
    }
    few.pass_ms(SOON_MS);
    for at in 0..3 {
        let report = few.nodes[at].0.repair().clone();
        assert!(!report.is_running, "{report:?}");
        assert_eq!((report.damaged, report.unhealed), (2, 0), "{report:?}");
        assert_eq!(report.left_out().count(), 0, "{report:?}");
        assert_eq!(readable(&few, at, Space::Rows), Some(30), "node {at}");
        assert!(has_chunk(&few, at, 77 + at as u128));
    }
}
