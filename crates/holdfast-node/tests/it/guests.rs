//! Gateways as guests of nodes, on the level of connections: messages both ways, sessions that are replaced, nodes that restart; and what
//! a gateway's certificate is not good for.

use crate::cluster::{Event, Node, Scratch, running};
use crate::refusals::assert_undisturbed;
use bytes::Bytes;
use holdfast_core::ids::{ActorId, NodeId};
use holdfast_node::identity::authority::{Authority, generate_key, node_name, public_key};
use holdfast_node::peer::frame::{Hello, Kind, Lane, MESSAGE_BYTES_MAX, SMALL_BYTES_MAX};
use holdfast_node::peer::{Bounds, Credentials, HostReceiver, Hosts, Secured, Sent, WireError, dial_tls};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const GATEWAY: NodeId = NodeId(0x1234_5678);
/// Nothing here takes a tenth of it on an idle machine.
const SOON: Duration = Duration::from_secs(30);

/// What a gateway hears.
#[derive(Debug)]
enum Heard {
    Message(NodeId, Bytes, Bytes),
    Up(NodeId),
    Down(NodeId),
}

struct Recorder(mpsc::UnboundedSender<Heard>);

impl HostReceiver for Recorder {
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        let _ = self.0.send(Heard::Message(from, head, payload));
    }

    fn up(&self, node: NodeId) {
        let _ = self.0.send(Heard::Up(node));
    }

    fn down(&self, node: NodeId) {
        let _ = self.0.send(Heard::Down(node));
    }
}

/// A gateway's connections, and what comes over them.
struct Gateway {
    hosts: Hosts,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Gateway {
    fn start(credentials: Credentials, nodes: &[Node]) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let hosts = Hosts::new(credentials, (1, 1), Arc::new(Recorder(sender))).expect("usable");
        hosts.connect(nodes.iter().map(|node| (node.id(), node.address.to_string())).collect());
        Self { hosts, heard }
    }

    async fn next(&mut self) -> Heard {
        timeout(SOON, self.heard.recv()).await.expect("in time").expect("open")
    }

    async fn wait_up(&mut self, node: NodeId) {
        while !matches!(self.next().await, Heard::Up(up) if up == node) {}
    }

    async fn wait_down(&mut self, node: NodeId) {
        while !matches!(self.next().await, Heard::Down(down) if down == node) {}
    }

    async fn message(&mut self) -> (NodeId, Bytes, Bytes) {
        loop {
            if let Heard::Message(from, head, payload) = self.next().await {
                return (from, head, payload);
            }
        }
    }
}

/// What nodes of this cluster give to a gateway.
fn credentials(nodes: &[Node], gateway: NodeId) -> Credentials {
    let identity = &nodes[0].founding.identity;
    let authority_key = identity.authority_key.as_ref().expect("a founding member has it");
    let authority = Authority::load(identity.cluster, identity.authority.clone(), authority_key).expect("authority");
    let key = generate_key().expect("key");
    let public = public_key(&key).expect("public key");
    Credentials {
        cluster: identity.cluster,
        node: gateway,
        authority: identity.authority.clone(),
        certificate: authority.admit_gateway(gateway, &public).expect("certificate"),
        key,
    }
}

async fn guest_message(node: &mut Node) -> (NodeId, Bytes, Bytes) {
    loop {
        if let Event::Guest(from, head, payload) = node.event().await {
            return (from, head, payload);
        }
    }
}

/// Waits until a node counts so many gateways.
async fn wait_for_gateways(node: &Node, count: usize) {
    let counted = async {
        while node.peers().gateways() != count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, counted).await.expect("in time");
}

/// Bytes that differ from place to place.
fn body(bytes: usize) -> Bytes {
    let byte = |i: usize| u8::try_from((i ^ (i >> 8) ^ (i >> 16)) & 0xff).expect("masked");
    (0..bytes).map(byte).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_go_both_ways_beside_those_of_members() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let mut gateway = Gateway::start(credentials(&nodes, GATEWAY), &nodes);
    for _ in 0..2 {
        assert!(matches!(gateway.next().await, Heard::Up(_)));
    }
    let sizes = [
        0,
        1,
        16_385,
        SMALL_BYTES_MAX,
        SMALL_BYTES_MAX + 1,
        1 << 20,
        MESSAGE_BYTES_MAX - 4,
    ];
    for size in sizes {
        let head = u32::try_from(size).expect("small").to_le_bytes().to_vec();
        for node in &mut nodes {
            assert_eq!(gateway.hosts.send(node.id(), head.clone(), body(size)), Sent::Queued);
            let (from, told, payload) = guest_message(node).await;
            assert_eq!(
                (from, &told[..], payload == body(size)),
                (GATEWAY, &head[..], true),
                "{size} bytes"
            );
            assert_eq!(node.peers().send(GATEWAY, head.clone(), body(size)), Sent::Queued);
            let (from, told, payload) = gateway.message().await;
            assert_eq!(
                (from, &told[..], payload == body(size)),
                (node.id(), &head[..], true),
                "{size} bytes"
            );
        }
    }
    assert!(gateway.hosts.status().iter().all(|(.., up)| *up));
    assert_eq!(gateway.hosts.send(NodeId(9), vec![1], Bytes::new()), Sent::Down);
    assert!(!nodes[0].peers().is_up(GATEWAY), "it is a guest, not a member");
    assert_undisturbed(&mut nodes).await;
    drop(gateway);
    for node in &nodes {
        wait_for_gateways(node, 0).await;
        assert_eq!(node.peers().send(GATEWAY, vec![1], Bytes::new()), Sent::Down);
    }
    assert_undisturbed(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_is_connected_to_again() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 1).await;
    let mut gateway = Gateway::start(credentials(&nodes, GATEWAY), &nodes);
    let id = nodes[0].id();
    for boot in 2..5 {
        gateway.wait_up(id).await;
        assert_eq!(gateway.hosts.send(id, vec![7], body(500_000)), Sent::Queued);
        assert_eq!(guest_message(&mut nodes[0]).await.2, body(500_000));
        nodes[0].stop();
        gateway.wait_down(id).await;
        assert_eq!(gateway.hosts.send(id, vec![7], Bytes::new()), Sent::Down);
        nodes[0].start(boot, Bounds::default());
    }
    gateway.wait_up(id).await;
    assert_eq!(nodes[0].peers().send(GATEWAY, vec![8], body(600_000)), Sent::Queued);
    assert_eq!(gateway.message().await.2, body(600_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_session_of_a_gateway_replaces_the_one_before() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 1).await;
    let (id, credentials) = (nodes[0].id(), credentials(&nodes, GATEWAY));
    let mut before = Gateway::start(credentials.clone(), &nodes);
    before.wait_up(id).await;
    let mut after = Gateway::start(credentials, &nodes);
    after.wait_up(id).await;
    before.wait_down(id).await;
    // It would come back, as the later one will when it is thrown out by that.
    drop(before);
    let arrives = async {
        loop {
            let _ = nodes[0].peers().send(GATEWAY, vec![1], body(300_000));
            let _ = timeout(Duration::from_millis(200), async {
                while !matches!(after.next().await, Heard::Message(..)) {}
            })
            .await
            .map(|()| after.heard.close());
            if after.heard.is_closed() {
                return;
            }
        }
    };
    timeout(SOON, arrives).await.expect("in time");
    assert_eq!(nodes[0].peers().gateways(), 1);
    assert_eq!(after.hosts.send(id, vec![2], Bytes::new()), Sent::Queued);
    assert_eq!(&guest_message(&mut nodes[0]).await.1[..], [2]);
}

/// What a node answers to a greeting that this certificate is shown with.
async fn greeted(node: &Node, credentials: &Credentials, hello: Hello) -> Result<Kind, WireError> {
    let stream = TcpStream::connect(node.address).await.expect("connect");
    let name = rustls::pki_types::ServerName::try_from(node_name(node.id(), credentials.cluster)).expect("name");
    let secured = dial_tls(stream, credentials.client().expect("usable"), name).await;
    let Secured {
        mut reader, mut writer, ..
    } = secured.expect("of the cluster's authority");
    reader.hello().await?;
    writer.put(Kind::Hello, &hello.encode(), &[]).await?;
    writer.flush().await?;
    Ok(timeout(SOON, reader.next()).await.expect("in time")?.kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_certificate_makes_no_member_and_no_other_gateway() {
    let scratch = Scratch::new();
    let mut nodes = running(&scratch, 2).await;
    let credentials = credentials(&nodes, GATEWAY);
    let hello = |node: NodeId, lane: Lane| Hello {
        cluster: credentials.cluster,
        node,
        actor: ActorId(1),
        boot: 1,
        format_levels: (1, 1),
        process: 1,
        session: 1,
        lane,
    };
    let refused = [
        // As a member, under its own id, and under that of one.
        hello(GATEWAY, Lane::Small),
        hello(GATEWAY, Lane::Bulk),
        hello(nodes[1].id(), Lane::Small),
        hello(nodes[1].id(), Lane::Bulk),
        // As a gateway with a member's id, so that it would be sent what is for the member; and as another gateway.
        hello(nodes[1].id(), Lane::GatewaySmall),
        hello(NodeId(GATEWAY.0 + 1), Lane::GatewaySmall),
        // Beside a session that there is not.
        hello(GATEWAY, Lane::GatewayBulk),
    ];
    for hello in refused {
        let answer = greeted(&nodes[0], &credentials, hello).await;
        assert!(!matches!(answer, Ok(Kind::Welcome)), "{hello:?}: {answer:?}");
    }
    assert_eq!(nodes[0].peers().gateways(), 0);
    let welcome = greeted(&nodes[0], &credentials, hello(GATEWAY, Lane::GatewaySmall)).await;
    assert!(matches!(welcome, Ok(Kind::Welcome)), "the same in order: {welcome:?}");
    // Nor does a member's certificate make a gateway.
    let member = nodes[1].founding.identity.credentials();
    let answer = greeted(&nodes[0], &member, hello(nodes[1].id(), Lane::GatewaySmall)).await;
    assert!(!matches!(answer, Ok(Kind::Welcome)), "{answer:?}");
    assert_undisturbed(&mut nodes).await;
}
