//! Gossip between nodes: sealed datagrams over UDP, on the same address and port as the node's TCP port.
//!
//! What they say is the core's business. Here they are sealed (`seal.rs`), sent where the member is known to be
//! (`addresses.rs`), and what comes in is opened, counted and handed on. A datagram that nobody of this cluster made is
//! dropped without a word: an answer, or a line in a log, is what whoever sends junk wants.
//!
//! Invariants: [`Datagrams::send`] never waits, neither for a socket nor for a name; nothing is queued but one datagram
//! for each member whose name is being looked up.

mod addresses;
mod seal;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_core::ids::NodeId;
use holdfast_core::wire::datagram::SEALED_BYTES_MAX;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use addresses::Book;
use seal::{Opener, Sealer};

/// Members that wait for their name to be looked up.
const LOOKUPS_MAX: usize = 64;

/// Takes what members say.
pub trait Receiver: Send + Sync + 'static {
    /// A datagram of a member.
    fn datagram(&self, from: NodeId, bytes: Bytes);
}

/// Who talks, and to whom.
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// The key for gossip that all members share.
    pub key: [u8; 32],
    /// Where to listen: the address of the node port.
    pub address: SocketAddr,
    /// All members and their node ports, `host:port`; this node may be among them.
    pub members: Vec<(NodeId, String)>,
}

/// What happened to datagrams since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Handed to the network.
    pub sent: u64,
    /// Received from members.
    pub received: u64,
    /// Received, but of no member, damaged, or seen before.
    pub junk: u64,
    /// Not sent: no address, or the network took nothing.
    pub unsent: u64,
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    junk: AtomicU64,
    unsent: AtomicU64,
}

struct Shared {
    socket: UdpSocket,
    is_ipv6: bool,
    sealer: Sealer,
    book: Mutex<Book>,
    lookups: mpsc::Sender<NodeId>,
    counters: Counters,
}

/// The socket. Dropping it closes it.
pub struct Datagrams {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams").finish_non_exhaustive()
    }
}

impl Datagrams {
    /// Opens the socket and begins to listen. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn start(config: Config, receiver: Arc<dyn Receiver>) -> io::Result<Self> {
        let socket = UdpSocket::bind(config.address)?;
        socket.set_nonblocking(true)?;
        let listening = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
        let (lookups, wanted) = mpsc::channel(LOOKUPS_MAX);
        let others = config.members.into_iter().filter(|(node, _)| *node != config.node);
        let shared = Arc::new(Shared {
            is_ipv6: socket.local_addr()?.is_ipv6(),
            socket,
            sealer: Sealer::new(&config.key, config.node, process_stamp()),
            book: Mutex::new(Book::new(others)),
            lookups,
            counters: Counters::default(),
        });
        let opener = Opener::new(config.key, config.node);
        let listener = tokio::spawn(listen(shared.clone(), listening, opener, receiver));
        let resolver = tokio::spawn(resolve(shared.clone(), wanted));
        Ok(Self {
            shared,
            tasks: [listener.abort_handle(), resolver.abort_handle()],
        })
    }

    /// Sends to a member, or not; never waits.
    pub fn send(&self, to: NodeId, bytes: Bytes) {
        let shared = &self.shared;
        let aim = shared.book().aim(to, Instant::now());
        if aim.wants_lookup && shared.lookups.try_send(to).is_ok() {
            shared.book().keep(to, bytes.clone());
        }
        match aim.address {
            Some(address) => shared.send_to(to, address, &bytes),
            None => count(&shared.counters.unsent),
        }
    }

    /// What happened since the process started.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let counters = &self.shared.counters;
        Figures {
            sent: counters.sent.load(Ordering::Relaxed),
            received: counters.received.load(Ordering::Relaxed),
            junk: counters.junk.load(Ordering::Relaxed),
            unsent: counters.unsent.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_to(&self, to: NodeId, address: SocketAddr, bytes: &[u8]) {
        let sent = match (self.sealer.seal(to, bytes), self.reachable(address)) {
            (Some(sealed), Some(address)) => self.socket.send_to(&sealed, address).is_ok(),
            _ => false,
        };
        count(if sent {
            &self.counters.sent
        } else {
            &self.counters.unsent
        });
    }

    /// An address as this socket wants it.
    fn reachable(&self, address: SocketAddr) -> Option<SocketAddr> {
        match address.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => Some(SocketAddr::new(ip.to_ipv6_mapped().into(), address.port())),
            IpAddr::V6(_) if !self.is_ipv6 => None,
            _ => Some(address),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

async fn listen(shared: Arc<Shared>, socket: tokio::net::UdpSocket, mut opener: Opener, receiver: Arc<dyn Receiver>) {
    // A longer one is cut by the kernel, and junk.
    let mut buffer = [0; SEALED_BYTES_MAX + 1];
    loop {
        // Errors of a datagram socket are echoes of what was sent ("port unreachable"): they say nothing of the next.
        let Ok((length, source)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let opened = (length <= SEALED_BYTES_MAX)
            .then(|| opener.open(&mut buffer[..length]))
            .flatten();
        let known = opened.filter(|opened| shared.book().knows(opened.from));
        let Some(opened) = known else {
            count(&shared.counters.junk);
            continue;
        };
        if opened.is_newest {
            let source = SocketAddr::new(source.ip().to_canonical(), source.port());
            shared.book().heard(opened.from, source, Instant::now());
        }
        count(&shared.counters.received);
        receiver.datagram(opened.from, opened.bytes);
    }
}

async fn resolve(shared: Arc<Shared>, mut wanted: mpsc::Receiver<NodeId>) {
    while let Some(node) = wanted.recv().await {
        let Some(name) = shared.book().name(node) else { continue };
        let mut found: Vec<SocketAddr> = match tokio::net::lookup_host(&name).await {
            Ok(found) => found.collect(),
            Err(_) => Vec::new(),
        };
        found.retain(|address| shared.reachable(*address).is_some());
        let kept = shared.book().resolved(node, found.first().copied());
        if let Some((address, bytes)) = kept {
            shared.send_to(node, address, &bytes);
        }
    }
}

/// Names this process among all that ran on this node: no two may seal with one key. Later processes have later stamps,
/// unless the clock was set back, which costs no more than that their addresses are not learnt.
fn process_stamp() -> u64 {
    let unix_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64;
    let mut random = [0; 2];
    // Without randomness TLS would not have come up; two starts within a millisecond are then told apart by nothing.
    let _ = getrandom::fill(&mut random);
    (unix_ms << 16) | u64::from(u16::from_be_bytes(random))
}
