//! A few nodes by hand instead of a simulated cluster: for tests that say themselves who hears whom, and what rots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::bucket::Settings;
use holdfast_core::content::StoredBody;
use holdfast_core::event::ClusterEvent;
use holdfast_core::fingerprint::FingerprintKey;
use holdfast_core::ids::{ActorId, BucketId, ClusterId, NodeId, ObjectKey, RequestId};
use holdfast_core::layout::{Layout, Member};
use holdfast_core::message::{Envelope, Message};
use holdfast_core::node::{ClientToken, Config, DEAD_WAIT_MS, Effect, Input, LIVES_KEPT, MESSAGE_LIFE_MS, Node};
use holdfast_core::planted::Planted;
use holdfast_core::request::{Answer, ClientRequest, Put, PutValue, Request};
use holdfast_core::time::Now;
use holdfast_core::wire::message::encode;
use holdfast_store::MemoryStore;
use holdfast_store::memory::Event;

pub(crate) const PARTITION_BITS: u8 = 4;

/// Time between two comparisons of a node that nothing else brings about, in milliseconds.
pub(crate) const COMPARE_EVERY_MS: u64 = 3_600_000;
/// Time between two scrubs of a node, in milliseconds.
pub(crate) const SCRUB_EVERY_MS: u64 = 600_000;

/// A bucket of three homes that takes stand-ins, with as many synced copies wanted as said.
pub(crate) const fn settings(w: u8) -> Settings {
    Settings {
        id: BucketId(5),
        version: 1,
        shards: 1,
        n: 3,
        r: 2,
        w,
        sloppy: true,
    }
}

/// A key in that bucket.
pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey {
        bucket: BucketId(5),
        key: name.to_owned(),
    }
}

/// A plain put of a small object.
pub(crate) fn put(settings: Settings, key: ObjectKey) -> Request {
    Request::Put(Put {
        settings,
        key,
        context: None,
        value: PutValue::Object {
            etag: "e".to_owned(),
            headers: Vec::new(),
            body: StoredBody::Inline(Bytes::from_static(b"what was written")),
        },
        w: None,
        wait_all: false,
    })
}

/// Nodes 1 to n at places 0 to n − 1. Messages between them arrive at once and in order; time passes only when told.
pub(crate) struct Few {
    pub(crate) nodes: Vec<(Node, MemoryStore)>,
    pub(crate) layout: Arc<Layout>,
    now: Now,
    answers: Vec<Answer>,
    /// What they told of.
    pub(crate) events: Vec<ClusterEvent>,
    /// Links that carry nothing, from and to.
    cut: BTreeSet<(usize, usize)>,
    /// Links that hold what they are given, from and to, and what they hold.
    held: BTreeMap<(usize, usize), Vec<(NodeId, Envelope)>>,
    /// Questions for a chunk that were carried.
    pub(crate) chunk_questions: usize,
    /// Bytes of comparisons that were carried, both ways.
    pub(crate) compared_bytes: usize,
    /// Nodes that found their data to be an old copy.
    pub(crate) put_aside: BTreeSet<usize>,
    /// Starts so far: each is a run of its own.
    starts: u64,
}

impl Few {
    pub(crate) fn new(count: u64) -> Self {
        Self::with_fault(count, None)
    }

    /// The same, with a fault planted in each.
    pub(crate) fn with_fault(count: u64, fault: Option<Planted>) -> Self {
        let members = (1..=count).map(|id| Member {
            id: NodeId(id),
            name: format!("n{id}"),
            zone: String::new(),
            host: format!("h{id}"),
            capacity_bytes: 1,
        });
        let layout = Arc::new(Layout::found(members.collect(), PARTITION_BITS));
        let mut few = Self {
            nodes: Vec::new(),
            layout: Arc::clone(&layout),
            now: Now {
                wall_ms: 1_700_000_000_000,
                mono_us: 1_000_000,
            },
            answers: Vec::new(),
            events: Vec::new(),
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            chunk_questions: 0,
            compared_bytes: 0,
            put_aside: BTreeSet::new(),
            starts: 0,
        };
        for id in 1..=count {
            let mut store = MemoryStore::new();
            let config = few.config(id, fault, false);
            let (node, _) = Node::start(config, &mut store).expect("starts");
            few.nodes.push((node, store));
        }
        for at in 0..few.nodes.len() {
            for other in 0..at {
                few.join(at, other);
            }
        }
        few.settle();
        few
    }

    /// Fingerprints of a node that are not those of its disk.
    pub(crate) fn wrong_fingerprints(&mut self, at: usize) -> u64 {
        let (node, store) = &mut self.nodes[at];
        node.count_wrong_fingerprints(self.now, store).expect("readable")
    }

    /// Nothing passes between two nodes any more, and both know it.
    pub(crate) fn part(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.cut.insert((from, to));
            self.feed(from, Input::PeerDown(node_at(to)));
        }
    }

    /// Two nodes can talk.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.cut.remove(&(from, to));
        }
        for (from, to) in [(a, b), (b, a)] {
            self.feed(from, Input::PeerUp(node_at(to)));
        }
    }

    /// A process stands still, which nobody is told: what it is sent is lost, and it says nothing.
    pub(crate) fn freeze(&mut self, at: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            self.cut.extend([(at, other), (other, at)]);
        }
    }

    /// It goes on.
    pub(crate) fn thaw(&mut self, at: usize) {
        self.cut.retain(|(from, to)| *from != at && *to != at);
    }

    /// Time since the beginning, in milliseconds.
    pub(crate) const fn passed_ms(&self) -> u64 {
        self.now.mono_us / 1_000
    }

    /// What one node sends to another waits, and neither knows.
    pub(crate) fn hold(&mut self, from: usize, to: usize) {
        self.held.insert((from, to), Vec::new());
    }

    /// What waits there is lost.
    pub(crate) fn forget_held(&mut self, from: usize, to: usize) {
        if let Some(held) = self.held.get_mut(&(from, to)) {
            held.clear();
        }
    }

    /// It comes.
    pub(crate) fn release(&mut self, from: usize, to: usize) {
        for (sender, envelope) in self.held.remove(&(from, to)).unwrap_or_default() {
            self.feed(to, Input::Peer(sender, envelope));
        }
    }

    /// It is lost.
    pub(crate) fn drop_held(&mut self, from: usize, to: usize) {
        self.held.remove(&(from, to));
    }

    /// An operator asks a node to check and repair all that it holds.
    pub(crate) fn repair(&mut self, at: usize) {
        self.feed(at, Input::Repair);
    }

    /// A node finds that it cannot reach another any more.
    pub(crate) fn lose(&mut self, at: usize, other: usize) {
        self.feed(at, Input::PeerDown(node_at(other)));
    }

    /// A node's disk is lost, and it starts on an empty one, knowing of that or not.
    pub(crate) fn wipe(&mut self, at: usize, is_known: bool) {
        self.nodes[at].1 = MemoryStore::new();
        self.restart_as(at, is_known);
    }

    /// A node's process ends and another starts on its disk, which the others notice.
    pub(crate) fn restart(&mut self, at: usize) {
        self.restart_as(at, false);
    }

    fn restart_as(&mut self, at: usize, is_disk_lost: bool) {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != at).collect();
        others.iter().for_each(|other| self.part(at, *other));
        let config = self.config(at as u64 + 1, None, is_disk_lost);
        let (_, store) = &mut self.nodes[at];
        store.sync();
        store.take_events();
        let (node, _) = Node::start(config, store).expect("starts");
        self.nodes[at].0 = node;
        others.iter().for_each(|other| self.join(at, *other));
    }

    fn config(&mut self, id: u64, planted: Option<Planted>, is_disk_lost: bool) -> Config {
        self.starts += 1;
        Config {
            cluster: ClusterId(9),
            node: NodeId(id),
            layout: Arc::clone(&self.layout),
            fresh_actor: ActorId(1_000 * self.starts + id),
            started_ms: self.now.wall_ms,
            is_disk_lost,
            gives_up_lost_data: false,
            kernel: [1; 16],
            planted,
            message_life_ms: MESSAGE_LIFE_MS,
            dead_wait_ms: DEAD_WAIT_MS,
            lives_kept: LIVES_KEPT,
            fingerprint_key: FingerprintKey([7; 32]),
            compare_every_ms: COMPARE_EVERY_MS,
            scrub_every_ms: SCRUB_EVERY_MS,
            addresses: Arc::default(),
            gossip_seed: id,
        }
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
                let (to, carried) = match effect {
                    Effect::Send(to, envelope) => {
                        if let Some(held) = self.held.get_mut(&(at, to.0 as usize - 1)) {
                            held.push((node_at(at), envelope));
                            continue;
                        }
                        if matches!(envelope.message, Message::Compare { .. } | Message::CompareReply { .. }) {
                            self.compared_bytes += encode(&envelope).0.len();
                        }
                        self.chunk_questions += usize::from(matches!(envelope.message, Message::ReadChunk { .. }));
                        (to, Input::Peer(node_at(at), envelope))
                    }
                    Effect::Datagram(to, bytes) => (to, Input::Datagram(node_at(at), bytes)),
                    Effect::Answer(_, answer) => {
                        self.answers.push(answer);
                        continue;
                    }
                    Effect::PutDataAside => {
                        self.put_aside.insert(at);
                        continue;
                    }
                    Effect::Event(event) => {
                        self.events.push(event);
                        continue;
                    }
                    Effect::RegistryChanged(_) | Effect::Found(..) => continue,
                };
                let to = to.0 as usize - 1;
                if !self.cut.contains(&(at, to)) {
                    inputs.insert(0, (to, carried));
                }
            }
        }
    }

    /// The next timer that a node waits for, if it is due by then.
    fn step_until(&mut self, until_us: u64, wake_us: impl Fn(&Node) -> Option<u64>) -> bool {
        let due = (0..self.nodes.len()).filter_map(|at| Some((wake_us(&self.nodes[at].0)?, at)));
        let Some((due_us, at)) = due.min().filter(|(due_us, _)| *due_us <= until_us) else {
            return false;
        };
        let passed_us = due_us.saturating_sub(self.now.mono_us);
        self.now.mono_us += passed_us;
        self.now.wall_ms += passed_us / 1_000;
        self.feed(at, Input::Timer);
        true
    }

    /// Lets time pass until no operation waits for any.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.step_until(u64::MAX, Node::next_operation_us) {
                return;
            }
        }
        panic!("a timer stays");
    }

    /// Lets time pass until the next timer that any node waits for.
    pub(crate) fn pass_to_next_timer(&mut self) {
        self.step_until(u64::MAX, Node::next_timer_us);
    }

    /// Lets time pass, gossip included.
    pub(crate) fn pass_ms(&mut self, time_ms: u64) {
        let until_us = self.now.after_ms(time_ms);
        while self.step_until(until_us, Node::next_timer_us) {}
    }

    /// A client's request, to the end.
    pub(crate) fn ask(&mut self, at: usize, what: Request) -> Answer {
        self.ask_as(7, at, what)
    }

    /// The same, with an id of its own for a write.
    pub(crate) fn ask_as(&mut self, id: u128, at: usize, what: Request) -> Answer {
        self.begin(id, at, what);
        self.answer()
    }

    /// A client's request, as far as it comes without time passing.
    pub(crate) fn begin(&mut self, id: u128, at: usize, what: Request) {
        let request = ClientRequest {
            request: RequestId(id),
            deadline_ms: 10_000,
            what,
        };
        self.feed(at, Input::Client(ClientToken(1), request));
    }

    /// The answers given since this was last asked.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// The answer to what was begun.
    pub(crate) fn answer(&mut self) -> Answer {
        for _ in 0..10_000 {
            if let Some(answer) = self.answers.pop() {
                return answer;
            }
            self.step_until(u64::MAX, Node::next_timer_us);
        }
        panic!("never answered");
    }
}

pub(crate) const fn node_at(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

fn reported(event: Event) -> Input {
    match event {
        Event::Synced(seq) => Input::Synced(seq),
        Event::ChunkWritten(token, result) => Input::ChunkWritten(token, result),
        Event::ChunkRead(token, result) => Input::ChunkRead(token, result),
        Event::ChunksRemoved(token, result) => Input::ChunksRemoved(token, result),
    }
}
