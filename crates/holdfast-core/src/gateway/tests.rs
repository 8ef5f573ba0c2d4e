//! A gateway, driven by hand: what it asks whom, how long it waits, and what it tells clients when nobody answers.

use alloc::vec;

use super::*;
use crate::chord::Hop;
use crate::ids::{BucketId, ObjectKey, Partition, RequestId};
use crate::registry::N_DEFAULT;
use crate::request::{Get, Put, PutValue, ReadFault, Request, StateChange, WantedBodies, WriteError, WriteFault};

/// A gateway, the time, and what it wants done that was not looked at yet.
struct Bench {
    gateway: Gateway,
    now: Now,
    effects: Vec<Effect>,
}

const CLUSTER: ClusterId = ClusterId(7);

fn settings() -> crate::bucket::Settings {
    crate::bucket::Settings {
        id: BucketId(5),
        version: 1,
        shards: 1,
        n: N_DEFAULT,
        r: 2,
        w: 2,
        sloppy: true,
    }
}

fn key() -> ObjectKey {
    ObjectKey {
        bucket: BucketId(5),
        key: "k".into(),
    }
}

fn get() -> ClientRequest {
    let get = Get {
        settings: settings(),
        key: key(),
        r: None,
        bodies: WantedBodies::None,
    };
    ClientRequest {
        request: RequestId(1),
        deadline_ms: 20_000,
        what: Request::Get(get),
    }
}

fn put() -> ClientRequest {
    let put = Put {
        settings: settings(),
        key: key(),
        context: None,
        value: PutValue::Deletion,
        w: None,
        wait_all: false,
    };
    ClientRequest {
        request: RequestId(2),
        deadline_ms: 30_000,
        what: Request::Put(put),
    }
}

impl Bench {
    /// One that reaches these nodes.
    fn new(nodes: &[u64]) -> Self {
        let contacts: Vec<_> = nodes.iter().map(|node| (NodeId(*node), "host:1".into())).collect();
        let now = Now {
            wall_ms: 1_000_000,
            mono_us: 5_000_000,
        };
        let gateway = Gateway::new(now, CLUSTER, 3, &contacts, None);
        let effects = Vec::new();
        let mut bench = Self { gateway, now, effects };
        for node in nodes {
            bench.feed(Input::PeerUp(NodeId(*node)));
        }
        bench.effects.clear();
        bench
    }

    fn feed(&mut self, input: Input) {
        self.gateway.handle(self.now, input, &mut self.effects);
    }

    fn hear(&mut self, from: u64, message: Message) {
        let header = Header {
            cluster: CLUSTER,
            ..Header::default()
        };
        self.feed(Input::Peer(NodeId(from), Envelope { header, message }));
    }

    /// The next message sent, and to whom.
    fn sent(&mut self) -> (u64, Message) {
        let at = self
            .effects
            .iter()
            .position(|effect| matches!(effect, Effect::Send(..)));
        match at.map(|at| self.effects.remove(at)) {
            Some(Effect::Send(to, envelope)) => (to.0, envelope.message),
            _ => panic!("nothing was sent: {:?}", self.effects),
        }
    }

    fn sent_way(&mut self) -> (u64, OpId) {
        match self.sent() {
            (to, Message::Find { op, .. }) => (to, op),
            other => panic!("no question: {other:?}"),
        }
    }

    fn sent_request(&mut self) -> (u64, OpId, Tick) {
        match self.sent() {
            (to, Message::Forward { op, above, .. }) => (to, op, above),
            other => panic!("nothing was handed over: {other:?}"),
        }
    }

    fn answer(&mut self) -> Answer {
        match self.effects.pop() {
            Some(Effect::Answer(_, answer)) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Waits for whatever it waits for.
    fn wait(&mut self) {
        let until_us = self.gateway.next_timer_us().expect("it waits for something");
        self.now.mono_us = self.now.mono_us.max(until_us);
        self.feed(Input::Timer);
    }

    /// A node tells where the key lives.
    fn tell_placement(&mut self, nodes: &[u64]) {
        let (to, op) = self.sent_way();
        let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
        let directions = Directions {
            hop: Hop::Owners(vec![Peer::of(NodeId(to))]),
            addresses: nodes.iter().map(|node| (*node, "host:1".into())).collect(),
            placement: Some(Placement {
                partition_bits: 0,
                partition: Partition(0),
                members: 5,
                nodes,
            }),
        };
        self.hear(to, Message::FindReply { op, directions });
    }
}

fn gone() -> Answer {
    Answer::ReadFailed(ReadFault::Damaged)
}

#[test]
fn the_way_is_asked_once_and_requests_go_to_one_home_after_the_other() {
    let mut bench = Bench::new(&[1, 2, 3]);
    bench.feed(Input::Client(ClientToken(1), get()));
    bench.tell_placement(&[1, 2, 3]);
    let (first, op, _) = bench.sent_request();
    let answer = Answer::ReadFailed(ReadFault::NoSuchUpload);
    bench.hear(
        first,
        Message::ForwardReply {
            op,
            answer: answer.clone(),
        },
    );
    assert_eq!(bench.answer(), answer);
    bench.feed(Input::Client(ClientToken(2), get()));
    let (second, ..) = bench.sent_request();
    assert_ne!(
        first, second,
        "nobody is asked the way again, and it is another one's turn"
    );
    assert_eq!((bench.gateway.sizes(), bench.gateway.requests()), (Some((5, 1)), 1));
}

#[test]
fn nodes_on_the_way_are_connected_to_and_those_who_are_silent_gone_around() {
    let mut bench = Bench::new(&[1]);
    bench.feed(Input::Client(ClientToken(1), get()));
    let (to, op) = bench.sent_way();
    let directions = Directions {
        hop: Hop::Closer(vec![Peer::of(NodeId(8)), Peer::of(NodeId(9))]),
        placement: None,
        addresses: vec![(NodeId(8), "eight:1".into()), (NodeId(9), "nine:1".into())],
    };
    bench.hear(to, Message::FindReply { op, directions });
    let wanted = |effect: &Effect| matches!(effect, Effect::Connect(list) if list.len() == 3);
    assert!(bench.effects.iter().any(wanted), "{:?}", bench.effects);
    bench.feed(Input::PeerUp(NodeId(8)));
    bench.feed(Input::PeerUp(NodeId(9)));
    let (asked, _) = bench.sent_way();
    bench.wait();
    let (then, op) = bench.sent_way();
    assert!(asked != then && [8, 9].contains(&asked) && [8, 9, 1].contains(&then));
    assert!(op.0 > 0);
}

#[test]
fn a_home_that_asks_back_has_its_time_and_the_next_one_hears_how_far_it_may_have_come() {
    let mut bench = Bench::new(&[1, 2, 3]);
    bench.feed(Input::Client(ClientToken(1), put()));
    bench.tell_placement(&[1, 2, 3]);
    let (first, op, above) = bench.sent_request();
    assert_eq!(above, Tick(0));
    let claim = OpId(77);
    let (forward, up_to) = (op, Tick(500));
    bench.hear(
        first,
        Message::Claim {
            op: claim,
            forward,
            up_to,
        },
    );
    assert_eq!(bench.sent(), (first, Message::ClaimReply { op: claim, up_to }));
    bench.feed(Input::PeerDown(NodeId(first)));
    assert!(bench.effects.is_empty(), "it may be doing it");
    bench.wait();
    let (second, again, above) = bench.sent_request();
    assert!(second != first && again != op);
    assert_eq!(above, Tick(500));
    bench.hear(
        first,
        Message::Claim {
            op: claim,
            forward,
            up_to,
        },
    );
    assert!(bench.effects.is_empty(), "too late");
    let fault = WriteFault::TooManySiblings;
    let state = StateChange::Unchanged;
    let answer = Answer::WriteFailed(WriteError {
        state,
        fault: fault.clone(),
    });
    bench.hear(second, Message::ForwardReply { op: again, answer });
    let state = StateChange::Unknown;
    assert_eq!(
        bench.answer(),
        Answer::WriteFailed(WriteError { state, fault }),
        "the first may have done it"
    );
}

#[test]
fn a_home_that_does_not_ask_back_has_begun_nothing_and_another_is_tried_soon() {
    let mut bench = Bench::new(&[1, 2, 3]);
    bench.feed(Input::Client(ClientToken(1), put()));
    bench.tell_placement(&[1, 2, 3]);
    let (first, ..) = bench.sent_request();
    let asked_us = bench.now.mono_us;
    bench.wait();
    let (second, op, above) = bench.sent_request();
    assert!(second != first && bench.now.mono_us - asked_us <= 300_000);
    assert_eq!(above, Tick(0));
    let fault = WriteFault::DiskFull;
    let state = StateChange::Unchanged;
    bench.hear(
        second,
        Message::ForwardReply {
            op,
            answer: Answer::WriteFailed(WriteError { state, fault }),
        },
    );
    let (third, ..) = bench.sent_request();
    assert!(third != first && third != second);
}

#[test]
fn reads_try_the_other_homes_and_then_say_what_the_last_one_said() {
    let mut bench = Bench::new(&[1, 2, 3]);
    bench.feed(Input::Client(ClientToken(1), get()));
    bench.tell_placement(&[1, 2]);
    for _ in 0..2 {
        let (to, op, _) = bench.sent_request();
        bench.hear(to, Message::ForwardReply { op, answer: gone() });
    }
    assert_eq!(bench.answer(), gone());
    bench.feed(Input::Client(ClientToken(2), get()));
    bench.sent_way();
}

#[test]
fn where_nobody_can_be_reached_that_is_said_and_that_nothing_changed() {
    let mut bench = Bench::new(&[1]);
    bench.feed(Input::PeerDown(NodeId(1)));
    bench.feed(Input::Client(ClientToken(1), put()));
    while bench.effects.is_empty() {
        bench.wait();
    }
    let Answer::WriteFailed(error) = bench.answer() else {
        panic!("not a failed write")
    };
    assert_eq!(error.state, StateChange::Unchanged);
    assert!(matches!(error.fault, WriteFault::Unavailable { .. }));
    assert_eq!((bench.gateway.next_timer_us(), bench.gateway.requests()), (None, 0));
}

#[test]
fn who_was_away_for_a_moment_is_waited_for() {
    let mut bench = Bench::new(&[1]);
    bench.feed(Input::PeerDown(NodeId(1)));
    bench.feed(Input::Client(ClientToken(1), get()));
    bench.wait();
    bench.feed(Input::PeerUp(NodeId(1)));
    bench.tell_placement(&[1]);
    assert_eq!(bench.sent_request().0, 1);
}

#[test]
fn a_client_may_ask_for_the_way_alone() {
    let mut bench = Bench::new(&[1, 2]);
    bench.feed(Input::Find(ClientToken(9), Position(1 << 40)));
    bench.tell_placement(&[1, 2]);
    let Some(Effect::Found(ClientToken(9), found)) = bench.effects.pop() else {
        panic!("not found: {:?}", bench.effects)
    };
    assert_eq!((found.path.len(), found.timeouts), (1, 0));
    assert_eq!(found.owner, found.path.first().copied());
}
