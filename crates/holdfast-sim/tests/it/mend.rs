//! A chunk that a read found damaged is written again, whoever asked, and nodes whose copies are all damaged do not ask
//! each other for ever. Here by hand: the simulator's disks do not rot.

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, PartId};
use holdfast_core::place::{chunk_position, partition_of};
use holdfast_core::request::{Answer, ReadChunk, ReadFault, Request, WriteChunk};
use holdfast_core::storage::{ChunkToken, Storage};
use holdfast_store::memory::Event;

use crate::few::{Few, PARTITION_BITS, key, settings};

const BODY: &[u8] = b"what was written, and must be read";

/// Nodes, and what is done with the chunk.
struct Three(Few);

impl Three {
    fn ask(&mut self, at: usize, what: Request) -> Answer {
        let answer = self.0.ask(at, what);
        self.0.settle();
        answer
    }

    fn read(&mut self, at: usize) -> Answer {
        self.ask(
            at,
            Request::ReadChunk(ReadChunk {
                settings: settings(2),
                id: chunk(),
                from: 5,
                length: 3,
            }),
        )
    }

    fn damage(&mut self, at: usize) {
        assert!(self.0.nodes[at].1.corrupt_chunk(partition(), chunk()), "it has a copy");
    }

    /// What a node's disk gives back, asked behind the node's back.
    fn on_disk(&mut self, at: usize) -> Option<Bytes> {
        let (_, store) = &mut self.0.nodes[at];
        store.read_chunk(ChunkToken(u64::MAX), partition(), chunk(), 0, u32::MAX);
        match store.take_events().pop() {
            Some(Event::ChunkRead(_, result)) => result.ok().flatten(),
            other => panic!("not a chunk read: {other:?}"),
        }
    }
}

fn chunk() -> ChunkId {
    ChunkId {
        part: PartId(77),
        index: 0,
    }
}

fn partition() -> holdfast_core::ids::Partition {
    partition_of(chunk_position(chunk()), PARTITION_BITS)
}

fn with_a_chunk() -> Three {
    let mut three = Three(Few::new(3));
    let write = WriteChunk {
        settings: settings(2),
        owner: key("k"),
        id: chunk(),
        commit_deadline_ms: 1_800_000_000_000,
        body: Bytes::from_static(BODY),
    };
    assert_eq!(three.ask(0, Request::WriteChunk(write)), Answer::ChunkWritten);
    three
}

#[test]
fn a_read_heals_the_damaged_copy_it_met_first() {
    let mut three = with_a_chunk();
    three.damage(0);
    assert_eq!(three.on_disk(0), None);
    assert_eq!(three.read(0), Answer::ChunkRead(Bytes::from_static(&BODY[5..8])));
    assert_eq!(three.on_disk(0), Some(Bytes::from_static(BODY)));
}

#[test]
fn a_damaged_copy_elsewhere_is_healed_by_its_holder() {
    let mut three = with_a_chunk();
    three.damage(0);
    three.damage(1);
    // The first asks the second or third; whoever else is met on the way mends itself too.
    assert_eq!(three.read(0), Answer::ChunkRead(Bytes::from_static(&BODY[5..8])));
    assert_eq!(three.on_disk(0), Some(Bytes::from_static(BODY)));
    three.read(1);
    assert_eq!(three.on_disk(1), Some(Bytes::from_static(BODY)));
}

/// Each question for a damaged chunk makes its holder ask the others; that must end.
#[test]
fn when_all_copies_are_damaged_nodes_come_to_rest() {
    let mut three = with_a_chunk();
    for at in 0..3 {
        three.damage(at);
    }
    three.0.chunk_questions = 0;
    assert_eq!(three.read(0), Answer::ReadFailed(ReadFault::Damaged));
    // Two of the reader, and two of each node for itself.
    assert!(three.0.chunk_questions <= 2 + 3 * 2, "{}", three.0.chunk_questions);
    let before = three.0.chunk_questions;
    assert_eq!(three.read(0), Answer::ReadFailed(ReadFault::Damaged));
    assert_eq!(three.0.chunk_questions - before, 2, "no further attempt for a while");
}
