//! Messages between members: all sizes, both ways, in order, through restarts.

use crate::cluster::{Event, Node, Scratch, founded, running};
use bytes::Bytes;
use holdfast_core::ids::NodeId;
use holdfast_node::peer::frame::{HEAD_BYTES_MAX, MESSAGE_BYTES_MAX, SMALL_BYTES_MAX};
use holdfast_node::peer::{Bounds, PeerStatus, Sent};
use std::time::{Duration, Instant};

/// Bytes that differ from place to place, so that a piece out of place shows.
fn body(bytes: usize) -> Bytes {
    (0..bytes)
        .map(|i| u8::try_from((i ^ (i >> 8) ^ (i >> 16)) & 0xff).expect("masked"))
        .collect::<Vec<u8>>()
        .into()
}

/// Waits until so many messages are counted as sent: they are once the write is done, which may be after they arrived.
async fn sent(node: &Node, messages: u64) -> PeerStatus {
    loop {
        let status = node.peers().status()[0];
        assert!(status.sent <= messages);
        if status.sent == messages {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_exchange_messages_of_all_sizes_both_ways() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 3).await;
    let ids: Vec<NodeId> = nodes.iter().map(Node::id).collect();
    let sizes = [
        0,
        1,
        100,
        16_384,
        16_385,
        70_000,
        SMALL_BYTES_MAX - 4,
        SMALL_BYTES_MAX,
        1 << 20,
        MESSAGE_BYTES_MAX - 4,
    ];
    for size in sizes {
        let payload = body(size);
        for (from, node) in nodes.iter().enumerate() {
            for to in (0..3).filter(|to| *to != from) {
                let head = u32::try_from(size).expect("small").to_le_bytes().to_vec();
                assert_eq!(node.peers().send(ids[to], head, payload.clone()), Sent::Queued);
            }
        }
        for (at, node) in nodes.iter_mut().enumerate() {
            let mut senders = Vec::new();
            for _ in 0..2 {
                let (from, head, received) = node.message().await;
                assert_eq!(head[..], u32::try_from(size).expect("small").to_le_bytes());
                assert_eq!(received.len(), size);
                assert!(received == payload, "payload of {size} bytes arrived damaged");
                senders.push(from);
            }
            senders.sort_unstable();
            let mut others: Vec<NodeId> = ids.iter().copied().filter(|id| *id != ids[at]).collect();
            others.sort_unstable();
            assert_eq!(senders, others);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_of_a_session_arrive_in_order_large_ones_all() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let to = nodes[1].id();
    for number in 0..3000_u32 {
        let size = usize::try_from(number).expect("small") * 7 % 2000;
        assert_eq!(
            nodes[0].peers().send(to, number.to_le_bytes().to_vec(), body(size)),
            Sent::Queued
        );
    }
    for number in 0..40_u32 {
        let head = (1_000_000 + number).to_le_bytes().to_vec();
        assert_eq!(nodes[0].peers().send(to, head, body(300_000)), Sent::Queued);
    }
    let (mut next, mut large) = (0_u32, Vec::new());
    for _ in 0..3040 {
        let (_, head, payload) = nodes[1].message().await;
        let number = u32::from_le_bytes(head[..].try_into().expect("four bytes"));
        if number >= 1_000_000 {
            assert_eq!(payload, body(300_000));
            large.push(number - 1_000_000);
        } else {
            assert_eq!(number, next);
            assert_eq!(payload.len(), usize::try_from(number).expect("small") * 7 % 2000);
            next += 1;
        }
    }
    large.sort_unstable();
    assert_eq!(large, (0..40).collect::<Vec<u32>>());
    let status = sent(&nodes[0], 3040).await;
    assert_eq!((status.dropped_full, status.dropped_down), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_is_noticed_at_once_and_welcomed_back() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 3).await;
    let dead = nodes[2].id();
    for round in 0..3 {
        let killed = Instant::now();
        nodes[2].stop();
        for node in &mut nodes[..2] {
            assert_eq!(node.wait_down().await, dead);
        }
        assert!(
            killed.elapsed() < Duration::from_secs(3),
            "noticed after {:?}",
            killed.elapsed()
        );
        assert_eq!(nodes[0].peers().send(dead, vec![1], Bytes::new()), Sent::Down);
        nodes[2].start(2 + round, Bounds::default());
        nodes[2].wait_up(2).await;
        for node in &mut nodes[..2] {
            let Event::Up(greeting) = node.event().await else {
                panic!("expected up")
            };
            assert_eq!((greeting.node, greeting.boot), (dead, 2 + round));
        }
        assert_eq!(nodes[0].peers().send(dead, vec![7], body(500_000)), Sent::Queued);
        let (from, head, payload) = nodes[2].message().await;
        assert_eq!((from, &head[..], payload.len()), (nodes[0].id(), &[7][..], 500_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_bounded_and_what_they_drop_is_counted() {
    let scratch = Scratch::new();
    let mut nodes = founded(&scratch, 2).await;
    let bounds = Bounds {
        small_queue_bytes_max: 64 << 10,
        bulk_queue_bytes_max: 1 << 20,
        ..Bounds::default()
    };
    for node in &mut nodes {
        node.start(1, bounds);
    }
    nodes[0].wait_up(1).await;
    let to = nodes[1].id();
    // One worker thread at most can drain while this one fills: far less than is offered.
    let payload = body(16 << 10);
    let outcomes: Vec<Sent> = (0..20_000)
        .map(|_| nodes[0].peers().send(to, vec![0; 64], payload.clone()))
        .collect();
    let full = outcomes.iter().filter(|outcome| **outcome == Sent::Full).count();
    let queued = outcomes.iter().filter(|outcome| **outcome == Sent::Queued).count();
    assert_eq!(full + queued, 20_000);
    assert!(full > 0, "320 MiB went through a queue of 64 KiB without loss");
    for _ in 0..queued {
        assert_eq!(nodes[1].message().await.2.len(), 16 << 10);
    }
    assert_eq!(sent(&nodes[0], queued as u64).await.dropped_full, full as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_beyond_the_bounds_and_to_strangers_are_dropped() {
    let scratch = Scratch::new();
    let nodes = running(&scratch, 2).await;
    let to = nodes[1].id();
    assert_eq!(
        nodes[0].peers().send(to, vec![0; HEAD_BYTES_MAX + 1], Bytes::new()),
        Sent::TooLong
    );
    assert_eq!(
        nodes[0].peers().send(to, vec![0], body(MESSAGE_BYTES_MAX)),
        Sent::TooLong
    );
    // It might be a gateway that has gone.
    assert_eq!(nodes[0].peers().send(NodeId(12345), vec![0], Bytes::new()), Sent::Down);
    assert_eq!(
        nodes[0].peers().send(nodes[0].id(), vec![0], Bytes::new()),
        Sent::Unknown
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_may_move_and_may_leave() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let moved = nodes[1].id();
    nodes[1].stop();
    nodes[0].wait_down().await;
    let (listener, address) = crate::cluster::listener().await;
    nodes[1].listener = listener;
    let mut members = nodes[0].founding.peers();
    members[1].address = address.to_string();
    nodes[1].start_with(2, Bounds::default(), members.clone(), (1, 1));
    nodes[0].peers().set_members(members.clone());
    nodes[0].wait_up(1).await;
    nodes[1].wait_up(1).await;
    assert!(nodes[0].peers().is_up(moved));
    members.pop();
    nodes[0].peers().set_members(members);
    assert_eq!(nodes[0].wait_down().await, moved);
    assert_eq!(nodes[0].peers().send(moved, vec![1], Bytes::new()), Sent::Down);
    assert_eq!(nodes[1].wait_down().await, nodes[0].id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_peer_is_noticed_within_ten_seconds() {
    let scratch = Scratch::new();
    let mut nodes = founded(&scratch, 2).await;
    // Between the two a relay that can stop to pass bytes on without closing anything, as a cut cable does.
    let (relay, address) = crate::cluster::listener().await;
    let (cut, frozen) = tokio::sync::watch::channel(false);
    let target = nodes[1].address;
    let relaying = tokio::spawn(async move {
        let mut pipes = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = relay.accept().await {
            let mut frozen = frozen.clone();
            pipes.spawn(async move {
                let Ok(mut far) = tokio::net::TcpStream::connect(target).await else {
                    return;
                };
                let is_frozen = async { frozen.wait_for(|frozen| *frozen).await.is_ok() };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    _ = is_frozen => {}
                }
                std::future::pending::<()>().await;
            });
        }
    });
    let mut members = nodes[0].founding.peers();
    members[1].address = address.to_string();
    nodes[0].start_with(1, Bounds::default(), members, (1, 1));
    nodes[1].start(1, Bounds::default());
    nodes[0].wait_up(1).await;
    cut.send_replace(true);
    let began = Instant::now();
    nodes[0].wait_down().await;
    assert!(
        began.elapsed() < Duration::from_millis(10_500),
        "noticed after {:?}",
        began.elapsed()
    );
    relaying.abort();
}
