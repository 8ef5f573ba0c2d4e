//! Talking to the other nodes: opaque messages over framed TCP under mutual TLS (design §8, "Between nodes").
//!
//! Each node dials every other member and sends everything, requests and replies alike, on what it dialled; on
//! connections it accepted it only receives (and answers pings). So both directions are alike, neither has to agree
//! with the other about whose connection wins, and losing one says at once that sending is over: [`Receiver::down`].
//! Small messages share one connection per peer, in order, many to a write; larger ones travel one at a time on a few
//! connections beside it, where TCP itself is the flow control. There are no windows and no priorities.
//!
//! Invariants: memory is bounded (queues by bytes, frames by [`frame`]'s bounds, connections per peer and strangers by
//! number); [`Peers::send`] never waits; a message is delivered at most once, and within one session small messages in
//! order; nothing outlives its session. What is lost is lost silently for the core, whose timers expect that.
//!
//! Weak: large messages may overtake small ones and each other. A peer that is alive but reads slowly is noticed only
//! by its queue running full. Of two processes with one node id, each throws out the other's sessions for ever.

mod accept;
mod dial;
pub mod frame;
mod guests;
mod handshake;
mod hosts;
mod outbox;
mod record;
mod refusals;
mod tls;
mod wire;

pub use accept::tune;
#[cfg(test)]
pub use handshake::accept as accept_tls;
pub use handshake::{HandshakeError, Secured, dial as dial_tls};
pub use hosts::{HostReceiver, Hosts};
pub use outbox::Sent;
pub use tls::{ALPN_GATEWAY, ALPN_JOIN, Credentials, CredentialsError, any_member, provider, stranger};
pub use wire::{Incoming, Reader, WireError, Writer};

use bytes::Bytes;
use frame::{Hello, Lane};
use holdfast_core::ids::{ActorId, NodeId};
use outbox::{Outbox, Outgoing};
use refusals::Refusals;
use rustls::{ClientConfig, ServerConfig};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Takes what peers say. Called on tokio tasks, so an implementation must not block for long: while it runs, nothing
/// further is read from that connection, which is how a busy node slows its peers.
pub trait Receiver: Send + Sync + 'static {
    /// A message from a member. Small ones of one session arrive in the order they were sent.
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes);
    /// Messages to this member will be sent from now on.
    fn up(&self, peer: &Greeting);
    /// Messages to this member are dropped from now on, and those sent lately may be lost.
    fn down(&self, peer: NodeId);
    /// A message from a gateway, which may ask far less than a member.
    fn guest_message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        let _ = (from, head, payload);
    }
}

/// Serves connections of nodes that have no certificate yet; see `founding`.
pub trait Strangers: Send + Sync + 'static {
    /// Takes over a connection whose TLS handshake is done. Must bound how many it keeps.
    fn serve(&self, reader: Reader, writer: Writer, address: SocketAddr);
}

/// What a peer said of itself when the connection was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Greeting {
    /// The peer.
    pub node: NodeId,
    /// The life of its disk (rule S1).
    pub actor: ActorId,
    /// The number of its start (rule S1).
    pub boot: u64,
    /// The oldest and newest format level it understands (rule L8).
    pub format_levels: (u16, u16),
}

/// A node that may send to us and that we send to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Where its node port is: `host:port`, resolved anew for each dial.
    pub address: String,
}

/// How much may wait for one peer.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Small messages, bytes.
    pub small_queue_bytes_max: usize,
    /// Large messages, bytes. They are shared with the queues of the other replicas, so the real cost is less.
    pub bulk_queue_bytes_max: usize,
    /// Connections for large messages.
    pub bulk_connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        // 16 MiB are some ten thousand small messages or 64 of the largest: more than a second of work. Large messages
        // are chunks of 4 MiB; beyond 16 of them the peer is too slow to be of use to this request. Four connections
        // keep a 10 Gbit/s link busy while one of them waits for the receiver.
        Self {
            small_queue_bytes_max: 16 << 20,
            bulk_queue_bytes_max: 64 << 20,
            bulk_connections: 4,
        }
    }
}

/// What [`Peers::start`] needs to know.
pub struct Config {
    /// Certificate, key and authority; they also say which node of which cluster this is.
    pub credentials: Credentials,
    /// The life of this node's disk (rule S1).
    pub actor: ActorId,
    /// The number of this start (rule S1).
    pub boot: u64,
    /// The oldest and newest format level this version understands (rule L8).
    pub format_levels: (u16, u16),
    /// All members; this node itself may be among them and is skipped.
    pub members: Vec<Member>,
    /// How much may wait.
    pub bounds: Bounds,
    /// Who answers nodes that want to register, if anyone does.
    pub strangers: Option<Arc<dyn Strangers>>,
    /// Who answers gateways that want a certificate, if anyone does.
    pub gateways: Option<Arc<dyn Strangers>>,
}

/// Figures of one peer, since this process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// The peer.
    pub id: NodeId,
    /// Whether our connection to it stands.
    pub up: bool,
    /// Messages written to the network.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages dropped because too much waited.
    pub dropped_full: u64,
    /// Messages dropped because the peer was or went down.
    pub dropped_down: u64,
    /// Messages received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Latest round trip of a ping, 0 before the first.
    pub round_trip_us: u64,
    /// How often our connection to it came up.
    pub connects: u64,
}

/// One other member.
struct Peer {
    id: NodeId,
    address: Mutex<String>,
    outbox: Outbox,
    /// Rings when there is reason to dial before the backoff ends.
    redial: Notify,
}

struct Shared {
    config: Config,
    process: u128,
    receiver: Arc<dyn Receiver>,
    accepting_tls: Arc<ServerConfig>,
    dialling_tls: Arc<ClientConfig>,
    peers: RwLock<BTreeMap<NodeId, (Arc<Peer>, AbortHandle)>>,
    accepted: accept::Accepted,
    guests: guests::Guests,
    refusals: Refusals,
}

impl Shared {
    fn hello(&self, session: u128, lane: Lane) -> Hello {
        Hello {
            cluster: self.config.credentials.cluster,
            node: self.config.credentials.node,
            actor: self.config.actor,
            boot: self.config.boot,
            format_levels: self.config.format_levels,
            process: self.process,
            session,
            lane,
        }
    }

    fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&id).map(|(peer, _)| peer.clone())
    }

    /// Why this greeting cannot be accepted, in words for both logs.
    fn objection(&self, theirs: &Hello) -> Option<String> {
        let (ours, levels) = (&self.config.credentials, self.config.format_levels);
        if theirs.cluster != ours.cluster {
            return Some(format!("wrong cluster: {} is not {}", theirs.cluster, ours.cluster));
        }
        if theirs.format_levels.0 > levels.1 || theirs.format_levels.1 < levels.0 {
            return Some(format!(
                "no common format level: one side speaks {} to {}, the other {} to {}; upgrade the older node first",
                theirs.format_levels.0, theirs.format_levels.1, levels.0, levels.1
            ));
        }
        None
    }

    fn set_members(self: &Arc<Self>, members: Vec<Member>) {
        let me = self.config.credentials.node;
        let wanted: BTreeMap<NodeId, String> = members
            .into_iter()
            .filter(|member| member.id != me)
            .map(|member| (member.id, member.address))
            .collect();
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|id, (_, dialling)| {
            let stays = wanted.contains_key(id);
            if !stays {
                dialling.abort();
                self.accepted.expel(*id);
            }
            stays
        });
        for (id, address) in wanted {
            if let Some((peer, _)) = peers.get(&id) {
                let mut known = peer.address.lock().unwrap_or_else(PoisonError::into_inner);
                if *known != address {
                    *known = address;
                    peer.redial.notify_one();
                }
                continue;
            }
            let bounds = &self.config.bounds;
            let peer = Arc::new(Peer {
                id,
                address: Mutex::new(address),
                outbox: Outbox::new(bounds.small_queue_bytes_max, bounds.bulk_queue_bytes_max),
                redial: Notify::new(),
            });
            let dialling = tokio::spawn(dial::keep_dialling(self.clone(), peer.clone())).abort_handle();
            peers.insert(id, (peer, dialling));
        }
    }
}

/// All connections of this node to others. Dropping it closes them.
pub struct Peers {
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers")
            .field("node", &self.shared.config.credentials.node)
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// Begins to accept on `listener` and to dial the members. Must be called within a tokio runtime.
    pub fn start(
        mut config: Config,
        listener: Arc<TcpListener>,
        receiver: Arc<dyn Receiver>,
    ) -> Result<Self, CredentialsError> {
        let accepting_tls = config.credentials.server()?;
        let dialling_tls = config.credentials.client()?;
        let members = std::mem::take(&mut config.members);
        let shared = Arc::new(Shared {
            config,
            process: random_u128(),
            receiver,
            accepting_tls,
            dialling_tls,
            peers: RwLock::default(),
            accepted: accept::Accepted::default(),
            guests: guests::Guests::default(),
            refusals: Refusals::default(),
        });
        // First who they are, then the door: a member that has been waiting at it would be refused as a stranger.
        shared.set_members(members);
        let accepting = tokio::spawn(accept::accept(shared.clone(), listener)).abort_handle();
        Ok(Self { shared, accepting })
    }

    /// Queues a message for a member, or drops it; never waits, and may be called from any thread. The outcome is for
    /// counting, not for correctness: even a queued message may be lost.
    pub fn send(&self, to: NodeId, head: Vec<u8>, payload: Bytes) -> Sent {
        let peers = self.shared.peers.read().unwrap_or_else(PoisonError::into_inner);
        match peers.get(&to) {
            Some((peer, _)) => peer.outbox.push(Outgoing { head, payload }),
            None if to == self.shared.config.credentials.node => Sent::Unknown,
            // Whoever is no member is a gateway, which may have gone.
            None => self.shared.guests.send(to, Outgoing { head, payload }),
        }
    }

    /// Makes these the members: dials new ones, drops those gone, takes over changed addresses (a standing connection
    /// stays until it breaks). Must be called within a tokio runtime.
    pub fn set_members(&self, members: Vec<Member>) {
        self.shared.set_members(members);
    }

    /// How many gateways are connected.
    #[must_use]
    pub fn gateways(&self) -> usize {
        self.shared.guests.count()
    }

    /// Whether messages to this member are sent at present.
    #[must_use]
    pub fn is_up(&self, id: NodeId) -> bool {
        self.shared.peer(id).is_some_and(|peer| peer.outbox.is_up())
    }

    /// Figures of every peer, for metrics and the status page.
    #[must_use]
    pub fn status(&self) -> Vec<PeerStatus> {
        let peers = self.shared.peers.read().unwrap_or_else(PoisonError::into_inner);
        let status = |peer: &Peer| {
            let count = &peer.outbox.counters;
            PeerStatus {
                id: peer.id,
                up: peer.outbox.is_up(),
                sent: count.sent.load(Ordering::Relaxed),
                sent_bytes: count.sent_bytes.load(Ordering::Relaxed),
                dropped_full: count.dropped_full.load(Ordering::Relaxed),
                dropped_down: count.dropped_down.load(Ordering::Relaxed),
                received: count.received.load(Ordering::Relaxed),
                received_bytes: count.received_bytes.load(Ordering::Relaxed),
                round_trip_us: count.round_trip_us.load(Ordering::Relaxed),
                connects: count.connects.load(Ordering::Relaxed),
            }
        };
        peers.values().map(|(peer, _)| status(peer)).collect()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.accepting.abort();
        let peers = self.shared.peers.read().unwrap_or_else(PoisonError::into_inner);
        for (id, (_, dialling)) in peers.iter() {
            dialling.abort();
            self.shared.accepted.expel(*id);
        }
    }
}

/// Randomness for session ids and jitter. Should the operating system have none, the process cannot have come this far
/// (TLS needs it too); zero then only costs distinct names in logs.
fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_le_bytes(bytes),
        Err(_) => 0,
    }
}
