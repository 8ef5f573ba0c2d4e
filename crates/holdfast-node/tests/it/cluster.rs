//! Nodes for tests: identities founded together in a temporary directory, ports given by the kernel, received messages
//! in a channel.

use bytes::Bytes;
use holdfast_core::ids::{ActorId, NodeId};
use holdfast_node::founding::{About, Founding, found_together};
use holdfast_node::peer::{Bounds, Config, Greeting, Member, Peers, Receiver};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A directory of this test's own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "holdfast-node-it-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("scratch directory");
        Self(path)
    }

    /// A fresh directory within.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).expect("directory");
        path
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn about(name: &str, address: impl ToString) -> About {
    About {
        name: name.into(),
        node_address: address.to_string(),
        s3_address: "127.0.0.1:9000".into(),
        rest_address: "127.0.0.1:9001".into(),
        zone: "z".into(),
        host: name.into(),
        capacity_bytes: 1 << 30,
    }
}

pub async fn listener() -> (Arc<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    (Arc::new(listener), address)
}

#[derive(Debug)]
pub enum Event {
    Message(NodeId, Bytes, Bytes),
    Up(Greeting),
    Down(NodeId),
}

struct Recorder(mpsc::UnboundedSender<Event>);

impl Receiver for Recorder {
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        let _ = self.0.send(Event::Message(from, head, payload));
    }

    fn up(&self, peer: &Greeting) {
        let _ = self.0.send(Event::Up(*peer));
    }

    fn down(&self, peer: NodeId) {
        let _ = self.0.send(Event::Down(peer));
    }
}

/// One node of a cluster under test.
pub struct Node {
    pub founding: Founding,
    pub address: SocketAddr,
    pub listener: Arc<TcpListener>,
    pub peers: Option<Peers>,
    pub events: mpsc::UnboundedReceiver<Event>,
}

impl Node {
    pub fn id(&self) -> NodeId {
        self.founding.identity.node
    }

    pub fn peers(&self) -> &Peers {
        self.peers.as_ref().expect("started")
    }

    /// Ends all connections, as a kill of the process would, but for the listening socket.
    pub fn stop(&mut self) {
        self.peers = None;
    }

    pub fn start(&mut self, boot: u64, bounds: Bounds) {
        self.start_with(boot, bounds, self.founding.peers(), (1, 1));
    }

    pub fn start_with(&mut self, boot: u64, bounds: Bounds, members: Vec<Member>, format_levels: (u16, u16)) {
        let (sender, events) = mpsc::unbounded_channel();
        self.events = events;
        let config = Config {
            credentials: self.founding.identity.credentials(),
            actor: ActorId(self.id().0 ^ 1),
            boot,
            format_levels,
            members,
            bounds,
            strangers: None,
            gateways: None,
        };
        self.peers = Some(Peers::start(config, self.listener.clone(), Arc::new(Recorder(sender))).expect("start"));
    }

    /// The next event, which must come soon.
    pub async fn event(&mut self) -> Event {
        timeout(Duration::from_secs(30), self.events.recv())
            .await
            .expect("in time")
            .expect("open")
    }

    /// Waits until our connections to so many peers stand.
    pub async fn wait_up(&mut self, mut peers: usize) {
        while peers > 0 {
            match self.event().await {
                Event::Up(_) => peers -= 1,
                other => panic!("expected up, got {other:?}"),
            }
        }
    }

    pub async fn message(&mut self) -> (NodeId, Bytes, Bytes) {
        loop {
            match self.event().await {
                Event::Message(from, head, payload) => return (from, head, payload),
                Event::Up(_) | Event::Down(_) => {}
            }
        }
    }

    pub async fn wait_down(&mut self) -> NodeId {
        loop {
            if let Event::Down(id) = self.event().await {
                return id;
            }
        }
    }
}

/// Nodes of one cluster, not started.
pub async fn founded(scratch: &Scratch, count: usize) -> Vec<Node> {
    let mut doors = Vec::new();
    let mut nodes = Vec::new();
    for index in 0..count {
        let (listener, address) = listener().await;
        doors.push((listener, address));
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        nodes.push((
            scratch.directory(&format!("node-{index}-{unique}")),
            about(&format!("n{index}"), address),
        ));
    }
    let founded = found_together(nodes, |_| Ok(b"layout".to_vec())).expect("founding");
    let node = |(founding, (listener, address)): (Founding, _)| Node {
        founding,
        address,
        listener,
        peers: None,
        events: mpsc::unbounded_channel().1,
    };
    founded.into_iter().zip(doors).map(node).collect()
}

/// Nodes of one cluster, all connected.
pub async fn running(scratch: &Scratch, count: usize) -> Vec<Node> {
    let mut nodes = founded(scratch, count).await;
    for node in &mut nodes {
        node.start(1, Bounds::default());
    }
    for node in &mut nodes {
        node.wait_up(count - 1).await;
    }
    nodes
}
