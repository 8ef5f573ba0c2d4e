//! A chunk that a read found damaged is written again, whoever asked, and nodes whose copies are all damaged do not ask
//! each other for ever.
//!
//! Three nodes by hand instead of a simulated cluster, in which disks do not rot.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::bucket::Settings;
use holdfast_core::ids::{ActorId, BucketId, ChunkId, ClusterId, NodeId, ObjectKey, PartId, RequestId};
use holdfast_core::layout::{Layout, Member};
use holdfast_core::message::Message;
use holdfast_core::node::{ClientToken, Config, Effect, Input, Node};
use holdfast_core::place::{chunk_position, partition_of};
use holdfast_core::request::{Answer, ClientRequest, ReadChunk, ReadFault, Request, WriteChunk};
use holdfast_core::storage::{ChunkToken, Storage};
use holdfast_core::time::Now;
use holdfast_store::MemoryStore;
use holdfast_store::memory::Event;

const PARTITION_BITS: u8 = 4;
const BODY: &[u8] = b"what was written, and must be read";

struct Three {
    nodes: Vec<(Node, MemoryStore)>,
    now: Now,
    answers: Vec<Answer>,
    /// Questions for a chunk that were carried.
    chunk_questions: usize,
}

impl Three {
    fn new() -> Self {
        let members = (1..=3).map(|id| Member {
            id: NodeId(id),
            name: format!("n{id}"),
            zone: String::new(),
            host: format!("h{id}"),
            capacity_bytes: 1,
        });
        let layout = Arc::new(Layout::found(members.collect(), PARTITION_BITS));
        let mut three = Self {
            nodes: Vec::new(),
            now: Now {
                wall_ms: 1_700_000_000_000,
                mono_us: 1_000_000,
            },
            answers: Vec::new(),
            chunk_questions: 0,
        };
        for id in 1..=3 {
            let mut store = MemoryStore::new();
            let config = Config {
                cluster: ClusterId(9),
                node: NodeId(id),
                layout: Arc::clone(&layout),
                fresh_actor: ActorId(100 + id),
                kernel: [1; 16],
                planted: None,
                gossip_seed: id,
            };
            let (node, _) = Node::start(config, &mut store).expect("starts");
            three.nodes.push((node, store));
        }
        for at in 0..3 {
            for other in (0..3).filter(|other| *other != at) {
                three.feed(at, Input::PeerUp(NodeId(other as u64 + 1)));
            }
        }
        three.settle();
        three
    }

    /// Gives a node one input, and all nodes what follows from it until nothing does.
    fn feed(&mut self, at: usize, input: Input) {
        let mut inputs = vec![(at, input)];
        let mut steps = 0;
        while let Some((at, input)) = inputs.pop() {
            steps += 1;
            assert!(steps < 100_000, "they never come to rest");
            let (node, store) = &mut self.nodes[at];
            let mut effects = Vec::new();
            node.handle(self.now, input, store, &mut effects);
            inputs.extend(store.take_events().into_iter().map(|event| (at, reported(event))));
            for effect in effects {
                match effect {
                    Effect::Send(to, envelope) => {
                        self.chunk_questions += usize::from(matches!(envelope.message, Message::ReadChunk { .. }));
                        inputs.insert(0, (to.0 as usize - 1, Input::Peer(NodeId(at as u64 + 1), envelope)));
                    }
                    Effect::Answer(_, answer) => self.answers.push(answer),
                    // Nobody gossips here: the members are connected, which is enough.
                    Effect::RegistryChanged(_) | Effect::Datagram(..) | Effect::Event(_) => {}
                }
            }
        }
    }

    /// Lets time pass until no node waits for any.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let due = (0..3)
                .filter_map(|at| Some((self.nodes[at].0.next_operation_us()?, at)))
                .min();
            let Some((due_us, at)) = due else { return };
            let passed_us = due_us.saturating_sub(self.now.mono_us);
            self.now.mono_us += passed_us;
            self.now.wall_ms += passed_us / 1_000;
            self.feed(at, Input::Timer);
        }
        panic!("a timer stays");
    }

    fn ask(&mut self, at: usize, what: Request) -> Answer {
        let request = ClientRequest {
            request: RequestId(7),
            deadline_ms: 10_000,
            what,
        };
        self.feed(at, Input::Client(ClientToken(1), request));
        self.settle();
        self.answers.pop().expect("answered")
    }

    fn read(&mut self, at: usize) -> Answer {
        self.ask(
            at,
            Request::ReadChunk(ReadChunk {
                settings: settings(),
                id: chunk(),
                from: 5,
                length: 3,
            }),
        )
    }

    fn damage(&mut self, at: usize) {
        assert!(self.nodes[at].1.corrupt_chunk(partition(), chunk()), "it has a copy");
    }

    /// What a node's disk gives back, asked behind the node's back.
    fn on_disk(&mut self, at: usize) -> Option<Bytes> {
        let (_, store) = &mut self.nodes[at];
        store.read_chunk(ChunkToken(u64::MAX), partition(), chunk(), 0, u32::MAX);
        match store.take_events().pop() {
            Some(Event::ChunkRead(_, result)) => result.ok().flatten(),
            other => panic!("not a chunk read: {other:?}"),
        }
    }
}

fn reported(event: Event) -> Input {
    match event {
        Event::Synced(seq) => Input::Synced(seq),
        Event::ChunkWritten(token, result) => Input::ChunkWritten(token, result),
        Event::ChunkRead(token, result) => Input::ChunkRead(token, result),
    }
}

fn settings() -> Settings {
    Settings {
        id: BucketId(5),
        version: 1,
        shards: 1,
        n: 3,
        r: 2,
        w: 2,
        sloppy: true,
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
    let mut three = Three::new();
    let write = WriteChunk {
        settings: settings(),
        owner: ObjectKey {
            bucket: BucketId(5),
            key: "k".to_owned(),
        },
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
    three.chunk_questions = 0;
    assert_eq!(three.read(0), Answer::ReadFailed(ReadFault::Damaged));
    // Two of the reader, and two of each node for itself.
    assert!(three.chunk_questions <= 2 + 3 * 2, "{}", three.chunk_questions);
    let before = three.chunk_questions;
    assert_eq!(three.read(0), Answer::ReadFailed(ReadFault::Damaged));
    assert_eq!(three.chunk_questions - before, 2, "no further attempt for a while");
}
