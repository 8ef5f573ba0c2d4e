//! Datagrams on real sockets: they arrive, junk does not, and a member that moved is found.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::ids::NodeId;
use holdfast_node::gossip::{Config, Datagrams, Receiver};
use tokio::sync::mpsc;
use tokio::time::timeout;

const KEY: [u8; 32] = [9; 32];

struct Recorder(mpsc::UnboundedSender<(NodeId, Bytes)>);

impl Receiver for Recorder {
    fn datagram(&self, from: NodeId, bytes: Bytes) {
        let _ = self.0.send((from, bytes));
    }
}

struct Talker {
    datagrams: Datagrams,
    heard: mpsc::UnboundedReceiver<(NodeId, Bytes)>,
}

/// A port that is free at this moment.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

fn talker(node: u64, address: SocketAddr, others: &[(u64, String)]) -> Talker {
    let (sender, heard) = mpsc::unbounded_channel();
    let config = Config {
        node: NodeId(node),
        key: KEY,
        address,
        members: others.iter().map(|(id, name)| (NodeId(*id), name.clone())).collect(),
    };
    Talker {
        datagrams: Datagrams::start(config, Arc::new(Recorder(sender))).expect("a socket"),
        heard,
    }
}

async fn next(talker: &mut Talker) -> (NodeId, Bytes) {
    let heard = timeout(Duration::from_secs(20), talker.heard.recv()).await;
    heard.expect("in time").expect("open")
}

#[tokio::test]
async fn datagrams_arrive_and_junk_is_dropped_silently() {
    let (one, two) = (free_address(), free_address());
    // A name, not an address: it is looked up, and what was sent meanwhile follows.
    let alice = talker(1, one, &[(2, format!("localhost:{}", two.port()))]);
    let mut bob = talker(2, two, &[(1, one.to_string())]);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for junk in [&b"hello"[..], &[1; 60], &[1; 1_500]] {
        stranger.send_to(junk, two).expect("sent");
    }
    alice.datagrams.send(NodeId(2), Bytes::from_static(b"one"));
    assert_eq!(next(&mut bob).await, (NodeId(1), Bytes::from_static(b"one")));
    while bob.datagrams.figures().junk < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bob.datagrams.figures().received, 1);
}

#[tokio::test]
async fn a_member_that_moved_is_answered_where_it_is_now() {
    let (listed, actual, other) = (free_address(), free_address(), free_address());
    let mut alice = talker(1, actual, &[(2, other.to_string())]);
    let mut bob = talker(2, other, &[(1, listed.to_string())]);
    alice.datagrams.send(NodeId(2), Bytes::from_static(b"I moved"));
    assert_eq!(next(&mut bob).await.0, NodeId(1));
    bob.datagrams.send(NodeId(1), Bytes::from_static(b"found you"));
    assert_eq!(next(&mut alice).await, (NodeId(2), Bytes::from_static(b"found you")));
}
