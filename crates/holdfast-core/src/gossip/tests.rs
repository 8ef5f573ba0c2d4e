//! Whole clusters of gossip without anything else: a network that can cut single directions, and time that leaps from
//! timer to timer. The simulator does the same with real faults; here each test is one story.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::{ProptestConfig, any, proptest};
use std::sync::OnceLock;

use super::{Gossip, MemberState, PERIOD_US, Soundness, Verdict};
use crate::fingerprint::FingerprintKey;
use crate::ids::{ActorId, ChunkId, ClusterId, NodeId, Partition};
use crate::layout::{Layout, Member};
use crate::message::Announcement;
use crate::node::{COMPARE_EVERY_MS, Config, DEAD_WAIT_MS, Effect, LIVES_KEPT, MESSAGE_LIFE_MS, SCRUB_EVERY_MS};
use crate::storage::{Batch, ChunkHeader, ChunkToken, ReadError, Space, Storage, Visit, WriteSeq};
use crate::time::Now;

/// A disk for the few rows that gossip writes.
#[derive(Default)]
struct Rows {
    rows: BTreeMap<Vec<u8>, Bytes>,
    writes: u64,
}

impl Storage for Rows {
    fn get(&self, _: Space, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.rows.get(key).cloned())
    }
    fn scan(&self, _: Space, _: &[u8], _: &[u8], _: &mut dyn FnMut(&[u8], &[u8]) -> Visit) -> Result<(), ReadError> {
        Ok(())
    }
    fn write(&mut self, batch: Batch) -> WriteSeq {
        for (_, key, value) in batch.changes {
            self.rows.insert(key, value.unwrap_or_default());
        }
        self.writes += 1;
        WriteSeq(self.writes)
    }
    fn last_write(&self) -> WriteSeq {
        WriteSeq(self.writes)
    }
    fn is_full(&self) -> bool {
        false
    }
    fn write_chunk(&mut self, _: ChunkToken, _: ChunkHeader, _: Bytes) {}
    fn read_chunk(&mut self, _: ChunkToken, _: Partition, _: ChunkId, _: u32, _: u32) {}
    fn remove_chunks(&mut self, _: ChunkToken, _: Vec<(Partition, ChunkId)>) {}

    fn chunks(&self, _: Partition, _: Option<ChunkId>, _: usize) -> Result<Vec<ChunkHeader>, ReadError> {
        Ok(vec![])
    }
}

struct Cluster {
    now_us: u64,
    layout: Arc<Layout>,
    nodes: Vec<Option<Gossip>>,
    disks: Vec<Rows>,
    boots: Vec<u64>,
    /// Directions that carry nothing.
    cut: BTreeSet<(usize, usize)>,
    /// Every datagram that was ever sent.
    sent: Vec<(usize, usize, Bytes)>,
    /// Verdicts of each node, as they flipped.
    flips: Vec<(usize, NodeId, Verdict)>,
    wakes: u64,
}

const LATENCY_US: u64 = 1_000;

impl Cluster {
    fn new(count: usize) -> Self {
        let members = (1..=count as u64).map(|number| Member {
            id: NodeId(number),
            name: format!("n{number}"),
            zone: String::new(),
            host: String::new(),
            capacity_bytes: 1,
        });
        let mut cluster = Self {
            now_us: 0,
            layout: Arc::new(Layout::found(members.collect(), 0)),
            nodes: (0..count).map(|_| None).collect(),
            disks: (0..count).map(|_| Rows::default()).collect(),
            boots: vec![0; count],
            cut: BTreeSet::new(),
            sent: vec![],
            flips: vec![],
            wakes: 0,
        };
        for node in 0..count {
            cluster.start(node);
        }
        cluster
    }

    fn now(&self) -> Now {
        Now {
            wall_ms: 1_000_000 + self.now_us / 1_000,
            mono_us: self.now_us,
        }
    }

    fn start(&mut self, node: usize) {
        self.boots[node] += 1;
        let config = Config {
            cluster: ClusterId(1),
            node: NodeId(node as u64 + 1),
            layout: self.layout.clone(),
            fresh_actor: ActorId(1),
            started_ms: 0,
            is_disk_lost: false,
            gives_up_lost_data: false,
            kernel: [0; 16],
            message_life_ms: MESSAGE_LIFE_MS,
            dead_wait_ms: DEAD_WAIT_MS,
            lives_kept: LIVES_KEPT,
            fingerprint_key: FingerprintKey([7; 32]),
            compare_every_ms: COMPARE_EVERY_MS,
            scrub_every_ms: SCRUB_EVERY_MS,
            addresses: Arc::default(),
            gossip_seed: node as u64,
            planted: None,
        };
        let announcement = Announcement {
            actor: ActorId(node as u64),
            boot: self.boots[node],
            ..Announcement::default()
        };
        let gossip = Gossip::start(&config, &announcement, Soundness::Sound, &self.disks[node]);
        self.nodes[node] = Some(gossip.expect("readable"));
        self.feed(node, |gossip, now, _, effects| gossip.timer(now, effects));
    }

    fn feed(&mut self, node: usize, input: impl FnOnce(&mut Gossip, Now, &mut Rows, &mut Vec<Effect>)) {
        // What is sent arrives after one latency, in this very loop: no test needs datagrams to cross.
        let now = self.now();
        let Some(gossip) = &mut self.nodes[node] else { return };
        let mut effects = vec![];
        input(gossip, now, &mut self.disks[node], &mut effects);
        for (of, verdict) in gossip.take_flips() {
            self.flips.push((node, of, verdict));
        }
        for effect in effects {
            if let Effect::Datagram(to, bytes) = effect {
                assert!(bytes.len() <= crate::wire::datagram::DATAGRAM_BYTES_MAX);
                self.sent.push((node, to.0 as usize - 1, bytes));
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        let ends_us = self.now_us + seconds * 1_000_000;
        let mut carried = self.sent.len();
        loop {
            while carried < self.sent.len() {
                let (from, to, bytes) = self.sent[carried].clone();
                carried += 1;
                if !self.cut.contains(&(from, to)) {
                    self.now_us += LATENCY_US / 100;
                    self.deliver(from, to, &bytes);
                }
            }
            let due = (0..self.nodes.len()).filter_map(|node| Some((self.nodes[node].as_ref()?.next_us()?, node)));
            let Some((at_us, node)) = due.min().filter(|(at_us, _)| *at_us <= ends_us) else {
                break;
            };
            self.now_us = self.now_us.max(at_us);
            self.wakes += 1;
            self.feed(node, |gossip, now, _, effects| gossip.timer(now, effects));
        }
        self.now_us = self.now_us.max(ends_us);
    }

    fn state(&self, observer: usize, of: usize) -> MemberState {
        let gossip = self.nodes[observer].as_ref().expect("runs");
        gossip.state_of(self.now(), NodeId(of as u64 + 1), true)
    }

    fn all_see(&self, of: usize, state: MemberState) -> bool {
        let observers = (0..self.nodes.len()).filter(|observer| *observer != of && self.nodes[*observer].is_some());
        observers.into_iter().all(|observer| self.state(observer, of) == state)
    }

    fn all_up(&self) -> bool {
        (0..self.nodes.len()).all(|of| self.all_see(of, MemberState::Up))
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let from = NodeId(from as u64 + 1);
        self.feed(to, |gossip, now, disk, effects| {
            gossip.datagram(now, from, bytes, disk, effects)
        });
    }

    /// A node ends in order; what it says last arrives, where it is not cut off.
    fn end(&mut self, node: usize) {
        let before = self.sent.len();
        self.feed(node, |gossip, now, _, effects| gossip.say_goodbye(now, effects));
        self.nodes[node] = None;
        let last: Vec<_> = self.sent[before..].to_vec();
        for (from, to, bytes) in last {
            if !self.cut.contains(&(from, to)) {
                self.deliver(from, to, &bytes);
            }
        }
    }

    fn isolate(&mut self, node: usize, hears: bool) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cut.insert((other, node));
            if !hears {
                self.cut.insert((node, other));
            }
        }
    }
}

#[test]
fn members_find_each_other_at_once() {
    for count in [2, 3, 5, 30] {
        let mut cluster = Cluster::new(count);
        cluster.run(1);
        assert!(cluster.all_up(), "{count}");
        cluster.run(60);
        assert!(cluster.all_up(), "{count}");
        assert_eq!(cluster.flips, [], "nobody was ever held down among {count}");
    }
}

#[test]
fn a_dead_member_is_held_down_and_its_return_heard_at_once() {
    for count in [3, 5, 10] {
        let mut cluster = Cluster::new(count);
        cluster.run(5);
        cluster.nodes[1] = None;
        cluster.run(4);
        assert!(!cluster.all_see(1, MemberState::Down), "no hurry");
        cluster.run(16);
        assert!(cluster.all_see(1, MemberState::Down), "{count}");
        cluster.run(600);
        cluster.start(1);
        cluster.run(1);
        assert!(cluster.all_up(), "{count}");
    }
}

#[test]
fn who_says_goodbye_is_down_at_once_and_up_again_when_it_is_back() {
    let mut cluster = Cluster::new(5);
    cluster.run(10);
    cluster.end(3);
    assert!(cluster.all_see(3, MemberState::Stopped), "nobody had to find out");
    assert_eq!(cluster.flips.len(), 4, "each heard it once");
    let goodbyes = cluster.sent.clone();
    cluster.run(30);
    assert!(cluster.all_see(3, MemberState::Stopped));
    cluster.start(3);
    cluster.run(2);
    assert!(cluster.all_up());
    for (from, to, bytes) in goodbyes.into_iter().filter(|(from, ..)| *from == 3) {
        cluster.deliver(from, to, &bytes);
    }
    assert!(cluster.all_up(), "what comes late is of an earlier run");
}

#[test]
fn a_goodbye_reaches_by_others_whom_it_did_not_reach_itself() {
    let mut cluster = Cluster::new(5);
    cluster.run(10);
    cluster.cut.extend([(3, 0), (0, 3)]);
    cluster.end(3);
    assert_eq!(cluster.state(0, 3), MemberState::Up, "it has not heard yet");
    cluster.run(3);
    assert!(cluster.all_see(3, MemberState::Stopped));
}

/// SWIM as published lets a node that hears nobody bury everybody else.
#[test]
fn a_node_that_hears_nobody_takes_nobody_down() {
    let mut cluster = Cluster::new(5);
    cluster.run(5);
    cluster.isolate(0, true);
    cluster.run(120);
    let buried = |observer: usize, of: usize| {
        cluster
            .flips
            .contains(&(observer, NodeId(of as u64 + 1), Verdict::Down))
    };
    for observer in 0..5 {
        for of in 1..5 {
            assert!(!buried(observer, of), "n{observer} held n{of} down");
        }
    }
    assert!(
        cluster.all_see(0, MemberState::Down),
        "the deaf one itself is of no use"
    );
    cluster.cut.clear();
    cluster.run(20);
    assert!(cluster.all_up());
}

#[test]
fn a_cut_between_two_members_takes_neither_down() {
    let mut cluster = Cluster::new(3);
    cluster.run(5);
    cluster.cut.extend([(0, 1), (1, 0)]);
    cluster.run(120);
    assert_eq!(cluster.flips, [], "the third vouches for both");
}

/// Both halves hold the other down, and neither accepts what the other says in its present generation.
#[test]
fn halves_that_were_apart_for_long_find_each_other_again() {
    let mut cluster = Cluster::new(6);
    cluster.run(5);
    let sides = (0..6).flat_map(|from| (0..6).map(move |to| (from, to)));
    cluster.cut.extend(sides.filter(|(from, to)| from % 2 != to % 2));
    cluster.run(300);
    assert!((0..6).all(|from| cluster.state(from, (from + 1) % 6) == MemberState::Down));
    assert!((0..6).all(|from| cluster.state(from, (from + 2) % 6) == MemberState::Up));
    cluster.cut.clear();
    cluster.run(17);
    assert!(cluster.all_up(), "after the longest pause between announcements");
}

#[test]
fn a_connection_that_is_made_ends_the_wait() {
    let mut cluster = Cluster::new(3);
    cluster.run(5);
    cluster.isolate(2, false);
    cluster.run(300);
    cluster.cut.clear();
    let third = NodeId(3);
    cluster.feed(0, |gossip, now, _, effects| gossip.peer_up(now, third, effects));
    cluster.run(1);
    assert_eq!(
        (cluster.state(0, 2), cluster.state(2, 0)),
        (MemberState::Up, MemberState::Up)
    );
}

/// A wiped disk counts boots from one again; every generation it then takes seems to be an old one.
#[test]
fn a_node_on_a_wiped_disk_is_heard() {
    let mut cluster = Cluster::new(3);
    for _ in 0..20 {
        cluster.start(1);
        cluster.run(1);
    }
    cluster.nodes[1] = None;
    cluster.run(30);
    cluster.boots[1] = 0;
    cluster.start(1);
    cluster.run(1);
    assert!(cluster.all_up());
    let facts = cluster.nodes[0]
        .as_ref()
        .and_then(|gossip| gossip.facts.of(NodeId(2)).cloned());
    assert_eq!(
        facts.map(|facts| facts.boot),
        Some(1),
        "what it says now, not what it said before"
    );
}

#[test]
fn old_datagrams_change_nothing() {
    let mut cluster = Cluster::new(4);
    cluster.run(5);
    cluster.isolate(3, true);
    cluster.run(30);
    cluster.cut.clear();
    cluster.run(30);
    cluster.nodes[2] = None;
    cluster.run(30);
    let flips = cluster.flips.len();
    for (from, to, bytes) in cluster.sent.clone() {
        cluster.deliver(from, to, &bytes);
    }
    assert!(
        cluster.all_see(2, MemberState::Down),
        "the dead do not rise because of old letters"
    );
    cluster.run(20);
    assert!(cluster.all_see(3, MemberState::Up));
    assert_eq!(cluster.flips.len(), flips, "{:?}", &cluster.flips[flips..]);
}

/// A process that was frozen finds its timers overdue and its answers unread.
#[test]
fn whoever_stood_still_judges_nobody_before_it_has_listened() {
    let mut cluster = Cluster::new(3);
    cluster.run(5);
    let mut frozen = cluster.nodes[0].take();
    cluster.run(40);
    assert!(cluster.all_see(0, MemberState::Down));
    cluster.flips.clear();
    core::mem::swap(&mut cluster.nodes[0], &mut frozen);
    cluster.run(20);
    assert!(cluster.all_up());
    assert!(
        cluster.flips.iter().all(|(_, _, verdict)| *verdict == Verdict::NotDown),
        "{:?}",
        cluster.flips
    );
}

#[test]
fn facts_and_maintenance_reach_everybody_and_outlive_absence() {
    let mut cluster = Cluster::new(12);
    cluster.run(2);
    let third = NodeId(3);
    cluster.feed(7, |gossip, now, disk, effects| {
        gossip.maintain(now, third, true, disk, effects)
    });
    cluster.feed(4, |gossip, _, _, _| {
        gossip.set_disk(70, 100);
        gossip.set_hinted_partitions(&[Partition(9)]);
    });
    cluster.nodes[2] = None;
    cluster.run(30);
    for node in [0, 5, 11] {
        let gossip = cluster.nodes[node].as_ref().expect("runs");
        assert!(gossip.marks.of(third).is_some_and(|mark| mark.by == NodeId(8)));
        assert_eq!(gossip.facts.of(NodeId(5)).map(|facts| facts.disk_used_bytes), Some(70));
        assert_eq!(gossip.hint_holders(Partition(9)).collect::<Vec<_>>(), [NodeId(5)]);
    }
    for node in 0..12 {
        cluster.start(node);
    }
    cluster.run(1);
    let gossip = cluster.nodes[0].as_ref().expect("runs");
    assert!(gossip.marks.of(third).is_some(), "kept on disk");
    cluster.feed(0, |gossip, now, disk, effects| {
        gossip.maintain(now, third, false, disk, effects)
    });
    cluster.run(30);
    assert!(
        cluster
            .nodes
            .iter()
            .flatten()
            .all(|gossip| gossip.marks.of(third).is_none())
    );
}

#[test]
fn an_idle_cluster_says_little_and_writes_nothing() {
    let mut cluster = Cluster::new(5);
    cluster.run(20);
    let (sent, wakes) = (cluster.sent.len(), cluster.wakes);
    cluster.run(100);
    let datagrams = cluster.sent.len() - sent;
    let bytes: usize = cluster.sent[sent..].iter().map(|(_, _, bytes)| bytes.len()).sum();
    // A probe and its answer, a second and node; two timers.
    assert!(datagrams <= 2 * 5 * 101, "{datagrams}");
    assert!(cluster.wakes - wakes <= 2 * 5 * 101, "{}", cluster.wakes - wakes);
    assert!(bytes / datagrams <= 250, "{}", bytes / datagrams);
    assert!(cluster.disks.iter().all(|disk| disk.writes == 0));
    // With a member down: an announcement per node now and then beside it.
    cluster.nodes[0] = None;
    cluster.run(100);
    let sent = cluster.sent.len();
    cluster.run(160);
    assert!(
        cluster.sent.len() - sent <= 4 * (2 * 161 + 12),
        "{}",
        cluster.sent.len() - sent
    );
}

#[test]
fn alone_there_is_nothing_to_say() {
    let cluster = Cluster::new(1);
    assert_eq!(cluster.nodes[0].as_ref().and_then(Gossip::next_us), None);
}

/// Without others nobody can tell whether the other one is dead or oneself deaf; the connection decides.
#[test]
fn of_two_neither_is_held_down_by_gossip_alone() {
    let mut cluster = Cluster::new(2);
    cluster.run(5);
    cluster.nodes[1] = None;
    cluster.run(60);
    assert_eq!(cluster.flips, []);
    let gossip = cluster.nodes[0].as_ref().expect("runs");
    assert_eq!(gossip.state_of(cluster.now(), NodeId(2), false), MemberState::Down);
    assert_ne!(gossip.state_of(cluster.now(), NodeId(2), true), MemberState::Down);
    assert_eq!(PERIOD_US, 1_000_000);
}

fn chatter() -> &'static [(usize, usize, Bytes)] {
    static CHATTER: OnceLock<Vec<(usize, usize, Bytes)>> = OnceLock::new();
    CHATTER.get_or_init(listen_in)
}

/// What three nodes say while one of them dies and comes back.
fn listen_in() -> Vec<(usize, usize, Bytes)> {
    let mut cluster = Cluster::new(3);
    cluster.run(3);
    cluster.nodes[1] = None;
    cluster.run(10);
    cluster.start(1);
    cluster.run(3);
    cluster.sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_datagram_makes_a_node_panic_or_hang(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        flips in any::<u8>(),
    ) {
        let letters = chatter();
        let mut cluster = Cluster::new(3);
        cluster.run(1);
        for (from, to, bytes) in letters.iter().skip(which.index(letters.len())).take(40) {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flips;
            let from = NodeId(*from as u64 + 1);
            cluster.feed(*to, |gossip, now, disk, effects| gossip.datagram(now, from, &bytes, disk, effects));
            cluster.feed(*to, |gossip, now, disk, effects| gossip.datagram(now, from, &noise, disk, effects));
            cluster.feed(*to, |gossip, now, disk, effects| gossip.datagram(now, NodeId(77), &bytes, disk, effects));
        }
        let sent = cluster.sent.len();
        cluster.run(20);
        proptest::prop_assert!(cluster.sent.len() - sent < 5_000, "a storm of {}", cluster.sent.len() - sent);
    }
}
