//! The running node: one core, fed by clients, peers, the disk and the clock.
//!
//! The core sits in a mutex and is driven by whichever thread has an input for it: a tokio task with a request or a
//! message, a thread of the store with a finished sync. One input is taken at a time, nothing in it waits, and its
//! effects are carried out after the lock is released. The road not taken is a thread of its own for the core: each
//! request would wake it twice, which costs more than the request.

mod ask;
mod cluster;
mod direct;
mod drive;
mod members;
mod timer;
mod whisper;

pub use cluster::{Addresses, Cluster, RootKey};
pub use whisper::WHISPER_BYTES_MAX;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use holdfast_core::event::ClusterEvent;
use holdfast_core::fingerprint::FingerprintKey;
use holdfast_core::ids::{ActorId, NodeId};
use holdfast_core::node::{
    COMPARE_EVERY_MS, Config, DEAD_WAIT_MS, Found, LIVES_KEPT, Load, MESSAGE_LIFE_MS, Node, SCRUB_EVERY_MS,
};
use holdfast_core::registry::Registry;
use holdfast_core::request::Answer;
use holdfast_core::storage::Storage;
use holdfast_store::{Engine, Options};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};

use crate::desk::{Desk, DeskConfig, context_key};
use crate::gateway::{Admission, AtTheDoor};
use crate::gossip::Datagrams;
use crate::identity::{Identity, IdentityError, Stored, note_stored, stored};
use crate::peer::{self, Peers, Strangers};

/// Requests in flight at most; more are told to slow down (promise P8).
const REQUESTS_MAX: usize = 8_192;

/// Memory that bodies under way may take, unless an operator wants otherwise.
pub const BODY_BYTES_MAX: u64 = 1 << 30;

/// What a running node needs.
pub struct ShellConfig {
    /// The node's data directory; the store lies in `store/` within it.
    pub data: PathBuf,
    /// Who this node is.
    pub identity: Identity,
    /// Sizes and bounds of the store.
    pub store: Options,
    /// When what is dead may go.
    pub forgetting: Forgetting,
    /// How often what lies on the disk is looked after.
    pub upkeep: Upkeep,
    /// Memory that bodies under way may take, half of it those that come in, half those that go out.
    pub body_bytes_max: u64,
    /// What to do about a store that is gone; nothing is done, and nothing started, unless this is said.
    pub disk_lost: Option<DiskLost>,
    /// Answers nodes that register, if anyone does.
    pub strangers: Option<Arc<dyn Strangers>>,
    /// Called when the node must stop.
    pub on_end: Box<dyn Fn(End) + Send + Sync>,
    /// Called each time the node comes to rest: nothing has happened for some seconds, nothing is in flight.
    pub on_rest: Box<dyn Fn() + Send + Sync>,
}

/// What an operator says of a store that is gone (rule S2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskLost {
    /// The node fills up from the others, and answers for nothing until it holds all again.
    Fill,
    /// What the others cannot give is done without: the node answers at once for what it has.
    GiveUp,
}

/// Why a node must stop by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Its disk, or the program, is broken.
    Failed(String),
    /// Its data are an old copy (rule S1): put `store/` aside, and start it anew.
    OldCopy,
}

/// Events kept for a listener that is slow: more than a node makes in a second at its busiest would only be read late.
const NEWS_MAX: usize = 4096;

/// When the bodies of overwritten and deleted objects may go (rules D10, G2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forgetting {
    /// How long they stay at least, in milliseconds, for readers under way.
    pub dead_wait_ms: u64,
    /// How long messages may live, in milliseconds; the same on every node.
    pub message_life_ms: u64,
    /// How long after its first byte the body of a plain object may still become one, in milliseconds.
    pub commit_within_ms: u64,
}

impl Default for Forgetting {
    fn default() -> Self {
        Self {
            dead_wait_ms: DEAD_WAIT_MS,
            message_life_ms: MESSAGE_LIFE_MS,
            commit_within_ms: 24 * 3600 * 1000,
        }
    }
}

/// How often a node looks after what it holds (rules A1, A2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upkeep {
    /// Between two comparisons, each with the next member in turn, in milliseconds.
    pub compare_every_ms: u64,
    /// Between two readings of the whole disk, in milliseconds.
    pub scrub_every_ms: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            compare_every_ms: COMPARE_EVERY_MS,
            scrub_every_ms: SCRUB_EVERY_MS,
        }
    }
}

/// Why a node did not start.
#[derive(Debug)]
pub enum StartError {
    /// The data directory cannot be used.
    Store(holdfast_store::OpenError),
    /// The cluster file cannot be used.
    Cluster(String),
    /// This node had a store, and it is not there.
    StoreMissing(PathBuf),
    /// The directory that says who this node is cannot be read or written.
    Identity(IdentityError),
    /// The node's own facts on disk cannot be read.
    Facts,
    /// The disk did not confirm its first write.
    Sync(String),
    /// Certificates cannot be used.
    Credentials(peer::CredentialsError),
    /// The UDP port for gossip cannot be opened.
    Gossip {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Cluster(problem) => {
                write!(f, "{problem}; restore the identity directory from a backup")
            }
            Self::Identity(error) => write!(f, "{error}"),
            Self::StoreMissing(path) => write!(
                f,
                "{} is not there, though this node had a store; if its disk is not mounted, mount it; if it is lost, start \
                 once with --disk-lost=fill, and the node fills again from the others",
                path.display()
            ),
            Self::Facts => write!(
                f,
                "what this node wrote about itself cannot be read; check the disk, then move the store directory away \
                 and start this node once with --disk-lost=fill: it fills again from the others"
            ),
            Self::Sync(problem) => write!(f, "{problem}"),
            Self::Credentials(error) => write!(f, "{error}"),
            Self::Gossip { address, error } => write!(
                f,
                "the UDP port {address} cannot be opened: {error}; stop what listens there (see `ss -lunp`): the node \
                 port is needed for TCP and UDP alike"
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// A running node. Clones share it.
#[derive(Clone)]
pub struct Shell {
    inner: Arc<Inner>,
    desk: Desk,
}

struct Inner {
    /// The core and its disk: locked for one input at a time, never across an await.
    core: Mutex<Core>,
    peers: OnceLock<Peers>,
    datagrams: OnceLock<Datagrams>,
    /// When the others were last told how full the disk is.
    disk_told_us: AtomicU64,
    /// Who waits for which answer.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Who waits for which lookup.
    finding: Mutex<HashMap<u64, oneshot::Sender<Found>>>,
    next_token: AtomicU64,
    registry: RwLock<Arc<Registry>>,
    /// How many rows of the registry the log was told could not be read.
    entries_unreadable: AtomicU64,
    cluster: Cluster,
    identity: Identity,
    timer: timer::Alarm,
    started: Instant,
    /// Members whose messages were dropped because too much waited: to be compared with once that is over.
    missed: Mutex<Vec<NodeId>>,
    stopping: AtomicBool,
    /// Events, and when they happened; `None` once the node is about to end.
    news: Mutex<Option<broadcast::Sender<(u64, ClusterEvent)>>>,
    /// What other members' front ends say.
    whispers: broadcast::Sender<(NodeId, Bytes)>,
    store_events: Arc<drive::StoreEvents>,
    on_end: Box<dyn Fn(End) + Send + Sync>,
    on_rest: Box<dyn Fn() + Send + Sync>,
}

struct Core {
    node: Node,
    engine: Engine,
}

/// Front ends put their requests to a node as to any desk.
impl std::ops::Deref for Shell {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl Shell {
    /// Opens the store, starts the core and talks to the other members. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// With what to do about it; nothing runs then.
    pub async fn start(config: ShellConfig, listener: Arc<TcpListener>) -> Result<Self, StartError> {
        let cluster = Cluster::decode(&config.identity.layout).map_err(StartError::Cluster)?;
        let completions = Arc::new(drive::StoreEvents::default());
        let directory = config.data.join("store");
        let had = stored(&config.data).map_err(StartError::Identity)?;
        if had == Stored::Kept && config.disk_lost.is_none() && !holdfast_store::is_there(&directory) {
            return Err(StartError::StoreMissing(directory));
        }
        let mut engine = Engine::open(&directory, config.store, completions.clone()).map_err(StartError::Store)?;
        let core_config = Config {
            cluster: config.identity.cluster,
            node: config.identity.node,
            layout: Arc::new(cluster.layout.clone()),
            fresh_actor: ActorId(random_u64()),
            started_ms: drive::wall_ms(),
            is_disk_lost: had != Stored::Never,
            gives_up_lost_data: config.disk_lost == Some(DiskLost::GiveUp),
            kernel: kernel_boot_id(),
            message_life_ms: config.forgetting.message_life_ms,
            dead_wait_ms: config.forgetting.dead_wait_ms,
            lives_kept: LIVES_KEPT,
            fingerprint_key: FingerprintKey(config.identity.secret.derive("fingerprints")),
            compare_every_ms: config.upkeep.compare_every_ms,
            scrub_every_ms: config.upkeep.scrub_every_ms,
            addresses: Arc::new(cluster.peer_addresses()),
            gossip_seed: random_u64(),
            planted: None,
        };
        let (node, first_write) = Node::start(core_config, &mut engine).map_err(|_| StartError::Facts)?;
        completions.wait(first_write).await.map_err(StartError::Sync)?;
        note_stored(&config.data, Stored::Kept).map_err(StartError::Identity)?;
        let (actor, boot, entries_unreadable) = (node.actor(), node.boot(), node.entries_unreadable());
        let inner = Arc::new(Inner {
            registry: RwLock::new(node.registry()),
            entries_unreadable: AtomicU64::new(0),
            core: Mutex::new(Core { node, engine }),
            peers: OnceLock::new(),
            datagrams: OnceLock::new(),
            disk_told_us: AtomicU64::new(0),
            waiting: Mutex::new(HashMap::new()),
            finding: Mutex::new(HashMap::new()),
            next_token: AtomicU64::new(1),
            cluster,
            identity: config.identity,
            timer: timer::Alarm::default(),
            started: Instant::now(),
            missed: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
            store_events: completions.clone(),
            news: Mutex::new(Some(broadcast::Sender::new(NEWS_MAX))),
            whispers: broadcast::Sender::new(whisper::WHISPERS_KEPT_MAX),
            on_end: config.on_end,
            on_rest: config.on_rest,
        });
        inner.tell_unreadable(entries_unreadable);
        completions.attach(&inner);
        let address = listener.local_addr();
        let address = address.map_err(|error| StartError::Sync(format!("the node port is gone: {error}")))?;
        inner.gossip(address)?;
        tokio::spawn(timer::run(Arc::downgrade(&inner)));
        inner.connect(actor, boot, listener, config.strangers)?;
        let desk = Desk::new(
            inner.clone(),
            DeskConfig {
                root: inner.cluster.root.clone(),
                context_key: context_key(&inner.identity.secret),
                body_bytes_max: config.body_bytes_max,
                commit_within_ms: config.forgetting.commit_within_ms,
            },
        );
        Ok(Self { inner, desk })
    }

    /// Where front ends put their requests.
    #[must_use]
    pub const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// How often in this run a bucket or access key on this disk could not be read: damaged, or written by a newer
    /// version.
    #[must_use]
    pub fn entries_unreadable(&self) -> u64 {
        self.inner.lock_core().node.entries_unreadable()
    }

    /// This member's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.inner.identity.node
    }

    /// The cluster as founded.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.inner.cluster
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Whether a member is used: messages can be sent to it, and gossip does not hold it down. Always so for this one.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.inner.lock_core().node.is_up(node)
    }

    /// Figures of the connections to the other members.
    #[must_use]
    pub fn peers(&self) -> Vec<peer::PeerStatus> {
        self.inner.peers.get().map(Peers::status).unwrap_or_default()
    }

    /// Figures of the store.
    #[must_use]
    pub fn store_statistics(&self) -> holdfast_store::Statistics {
        self.inner.lock_core().engine.statistics()
    }

    /// What the core has taken on.
    #[must_use]
    pub fn load(&self) -> Load {
        self.inner.lock_core().node.load()
    }

    /// Whether the reserve of free space has been reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inner.lock_core().engine.is_full()
    }

    /// Ends cleanly: no further input is taken, the other members are told, everything written is synced, and the mark of a clean
    /// end is set.
    pub async fn stop(&self) -> Result<(), String> {
        self.inner.stopping.store(true, Ordering::Release);
        let mut goodbyes = Vec::new();
        let seq = {
            let mut core = self.inner.lock_core();
            let Core { node, engine } = &mut *core;
            node.stop(self.inner.now(), engine, &mut goodbyes)
        };
        goodbyes.into_iter().for_each(|effect| self.inner.carry_out(effect));
        self.inner.store_events.wait(seq).await
    }
}

impl Inner {
    fn connect(
        self: &Arc<Self>,
        actor: ActorId,
        boot: u64,
        listener: Arc<TcpListener>,
        strangers: Option<Arc<dyn Strangers>>,
    ) -> Result<(), StartError> {
        let members = self.cluster.addresses.iter();
        let members = members.map(|member| peer::Member {
            id: member.node,
            address: member.peer.clone(),
        });
        let config = peer::Config {
            credentials: self.identity.credentials(),
            actor,
            boot,
            format_levels: (1, 1),
            members: members.collect(),
            bounds: peer::Bounds::default(),
            strangers,
            gateways: Some(self.admission()),
        };
        let receiver = Arc::new(drive::PeerEvents::new(self));
        let peers = Peers::start(config, listener, receiver).map_err(StartError::Credentials)?;
        let _ = self.peers.set(peers);
        Ok(())
    }

    /// Every member admits gateways.
    fn admission(&self) -> Arc<dyn Strangers> {
        let contacts = self.cluster.peer_addresses().into_iter().collect();
        let admission = Admission::new(self.identity.clone(), self.cluster.root.clone(), contacts);
        Arc::new(AtTheDoor(admission))
    }

    fn lock_core(&self) -> std::sync::MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Identity of the running kernel: a process that was killed under it lost nothing it had handed to the kernel (D2).
/// Zero, which never counts as the same, where the system does not tell.
fn kernel_boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16)
        .map(u128::to_be_bytes)
        .unwrap_or([0; 16])
}

/// A random number from the operating system.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    u64::from_be_bytes(bytes)
}

/// A random 128-bit name.
pub(crate) fn random_u128() -> u128 {
    (u128::from(random_u64()) << 64) | u128::from(random_u64())
}
