//! The cluster as a node sees it, and what happens there.

use std::time::{Duration, Instant};

use holdfast_api::memory::NODE;
use holdfast_core::event::ClusterEvent;
use holdfast_core::ids::{BucketId, ObjectKey};
use holdfast_proto::v1::{self, event::What};
use tonic::Code;

use super::{Clients, tell, told};
use crate::server::Server;

#[test]
fn the_cluster_is_told_and_keys_are_located() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Newest).await;
        let view = clients.cluster.view(v1::ViewRequest {}).await.unwrap().into_inner();
        assert_eq!(view.members.len(), 1);
        let member = &view.members[0];
        assert!(member.is_self && member.up && member.state() == v1::MemberState::Up);
        assert_eq!(member.node, view.node);
        assert_ne!(view.soundness(), v1::Soundness::Unspecified);
        let request = v1::LocateRequest {
            bucket: "things".to_owned(),
            key: "k".to_owned(),
        };
        let location = clients.cluster.locate(request).await.unwrap().into_inner();
        assert_eq!(
            (location.homes, location.preference_list),
            (1, vec![view.node.unwrap()])
        );
        assert_eq!(location.position.len(), 16);
    });
}

#[test]
fn events_come_as_they_happen_until_the_node_stops() {
    let mut server = Server::start();
    let memory = server.memory.clone();
    let (heard, hears) = std::sync::mpsc::channel();
    let listener = std::thread::spawn({
        let rest = server.rest;
        move || listen(rest, &heard)
    });
    hears.recv().unwrap();
    memory.tell(&ClusterEvent::MemberDown(NODE));
    let of = ObjectKey {
        bucket: BucketId(1),
        key: "k".to_owned(),
    };
    memory.tell(&ClusterEvent::SiblingsMade { of, count: 2 });
    memory.tell(&ClusterEvent::ClockOff { ahead_ms: -20_000 });
    for _ in 0..3 {
        hears.recv().unwrap();
    }
    let began = Instant::now();
    server.tell_to_stop();
    server.wait_stopped();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "a listener must not hold the node up"
    );
    listener.join().unwrap();
}

/// Hears three events and the end.
fn listen(rest: std::net::SocketAddr, heard: &std::sync::mpsc::Sender<()>) {
    super::tell_at(rest, async |mut clients: Clients| {
        let mut events = clients.cluster.watch(v1::WatchRequest {}).await.unwrap().into_inner();
        heard.send(()).unwrap();
        let mut whats = Vec::new();
        for _ in 0..3 {
            let event = events.message().await.unwrap().unwrap();
            assert!(event.at.is_some() && event.node.is_some());
            whats.push(event.what.unwrap());
            heard.send(()).unwrap();
        }
        assert!(matches!(&whats[0], What::Down(node) if !node.id.is_empty()));
        assert!(matches!(&whats[1], What::SiblingsMade(made) if made.count == 2));
        assert!(matches!(&whats[2], What::ClockOff(off) if off.ahead_ms == -20_000));
        let end = events.message().await.unwrap_err();
        assert_eq!(
            (end.code(), told(&end, "holdfast-error")),
            (Code::Unavailable, "stopping")
        );
    });
}
