//! What a node takes on is bounded, whoever stands still: a member that hears and never answers, or the node's own clients.
//!
//! The bug that this came from: one frozen home of three, and the others kept every chunk that was written in the nine
//! seconds until they held it down, beside a minute of chunks for one whose disk was only slow. At the speed of a disk those
//! are gigabytes.

use bytes::Bytes;
use holdfast_core::content::StoredBody;
use holdfast_core::ids::{ChunkId, PartId};
use holdfast_core::request::{
    Answer, Put, PutValue, ReadFault, Request, StateChange, WriteChunk, WriteError, WriteFault,
};
use holdfast_core::request::{Get, WantedBodies};

use crate::few::{Few, key, settings};

const MIB: usize = 1 << 20;
/// What the core holds for members that are slow.
const STRAGGLING_BYTES_MAX: usize = 128 * MIB;
/// Operations that somebody waits for.
const IN_FLIGHT_MAX: usize = 8_192;

fn chunk(index: u32, body: &Bytes) -> Request {
    Request::WriteChunk(WriteChunk {
        settings: settings(2),
        owner: key("large"),
        id: ChunkId { part: PartId(1), index },
        commit_deadline_ms: u64::MAX,
        body: body.clone(),
    })
}

fn small(name: &str) -> Request {
    Request::Put(Put {
        settings: settings(2),
        key: key(name),
        context: None,
        value: PutValue::Object {
            etag: "e".to_owned(),
            headers: Vec::new(),
            body: StoredBody::Inline(Bytes::from_static(b"small")),
        },
        w: None,
        wait_all: false,
    })
}

/// Node 0 of three, all homes; node 2 hears everything and says nothing.
fn with_a_frozen_home() -> Few {
    let mut few = Few::new(3);
    few.hold(0, 2);
    few.forget_held(0, 2);
    few
}

#[test]
fn what_is_kept_for_a_frozen_home_is_bounded_by_bytes() {
    let mut few = with_a_frozen_home();
    let body = Bytes::from(vec![7; 4 * MIB]);
    for index in 0..100 {
        let answer = few.ask_as(u128::from(index) + 1, 0, chunk(index, &body));
        assert_eq!(answer, Answer::ChunkWritten);
        few.forget_held(0, 2);
    }
    let load = few.nodes[0].0.load();
    assert!(load.straggling_bytes <= STRAGGLING_BYTES_MAX, "{load:?}");
    assert_eq!((load.stragglers, load.stragglers_given_up), (32, 68), "{load:?}");
}

#[test]
fn a_home_that_missed_what_was_given_up_gets_it_by_a_comparison() {
    let mut few = with_a_frozen_home();
    let body = Bytes::from(vec![7; 4 * MIB]);
    for index in 0..40 {
        few.ask_as(u128::from(index) + 1, 0, chunk(index, &body));
        few.forget_held(0, 2);
    }
    assert!(few.nodes[0].0.load().stragglers_given_up > 0);
    few.release(0, 2);
    few.part(0, 2);
    few.join(0, 2);
    few.settle();
    assert_eq!(few.nodes[0].0.load().stragglers, 0);
    let held = |few: &Few, at: usize| -> usize {
        use holdfast_core::ids::Partition;
        use holdfast_core::storage::Storage;
        let partitions = 0..1u16 << crate::few::PARTITION_BITS;
        partitions
            .map(|partition| {
                few.nodes[at]
                    .1
                    .chunks(Partition(partition), None, 1_000)
                    .expect("readable")
                    .len()
            })
            .sum()
    };
    assert_eq!((held(&few, 0), held(&few, 2)), (40, 40));
}

/// Both others are frozen, so nothing is answered: what is beyond the bound is refused at once, and nothing of it has begun.
#[test]
fn one_request_too_many_is_refused_before_it_begins() {
    let mut few = Few::new(3);
    for other in [1, 2] {
        few.hold(0, other);
    }
    for id in 0..IN_FLIGHT_MAX as u128 {
        few.begin(id + 1, 0, small(&format!("k{id}")));
        for other in [1, 2] {
            few.forget_held(0, other);
        }
    }
    assert!(few.answers().is_empty(), "all of them wait");
    let load = few.nodes[0].0.load();
    assert_eq!((load.in_flight, load.refused), (IN_FLIGHT_MAX, 0));

    few.begin(1 << 20, 0, small("one too many"));
    let overloaded = WriteError {
        state: StateChange::Unchanged,
        fault: WriteFault::Overloaded,
    };
    assert_eq!(few.answers(), [Answer::WriteFailed(overloaded)]);
    few.begin(
        1 << 21,
        0,
        Request::Get(Get {
            settings: settings(2),
            key: key("k1"),
            r: None,
            bodies: WantedBodies::Newest,
        }),
    );
    assert_eq!(few.answers(), [Answer::ReadFailed(ReadFault::Overloaded)]);
    let load = few.nodes[0].0.load();
    assert_eq!((load.in_flight, load.refused), (IN_FLIGHT_MAX, 2));

    // Once they end, be it by their deadline, there is room again.
    for other in [1, 2] {
        few.release(0, other);
    }
    few.settle();
    few.answers();
    assert_eq!(few.nodes[0].0.load().in_flight, 0);
    let answer = few.ask_as(1 << 22, 0, small("later"));
    assert!(matches!(answer, Answer::Put(_)), "{answer:?}");
}
