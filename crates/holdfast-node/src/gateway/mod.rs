//! A running gateway: the core's state machine between clients and nodes. It has no disk and no port for nodes: it dials them, and what
//! it knows of the cluster it was told when it was admitted, or on its ways.

mod admission;
mod cache;
mod token;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_core::gateway::{Effect, Gateway, Input};
use holdfast_core::ids::{NodeId, Partition, Position, RequestId};
use holdfast_core::node::{ClientToken, Found};
use holdfast_core::registry::{Entry, Registry};
use holdfast_core::request::{Answer, ClientRequest, ReadFault, Request};
use holdfast_core::time::Now;
use holdfast_core::wire::message::{decode, encode};
use tokio::sync::{Notify, oneshot};

pub use admission::{Admission, AdmissionError, Admitted, AtTheDoor, join};
pub use token::GatewayToken;

use crate::desk::{Asks, Desk, DeskConfig, Sizes};
use crate::peer::{Credentials, CredentialsError, HostReceiver, Hosts, Sent};
use crate::shell::random_u64;
use cache::Cache;

/// Requests in flight at most; more are told to slow down.
const REQUESTS_MAX: usize = 8_192;
/// How long a gateway that has just started looks for somebody who knows how large the cluster is.
const SIZES_WITHIN: Duration = Duration::from_secs(10);
/// Between two attempts at that.
const SIZES_AGAIN: Duration = Duration::from_millis(200);

/// A running gateway. Clones share it.
#[derive(Clone)]
pub struct Running {
    inner: Arc<Inner>,
    desk: Desk,
}

struct Inner {
    machine: Mutex<Gateway>,
    hosts: OnceLock<Hosts>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Told>>>,
    next_token: AtomicU64,
    started: Instant,
    /// When the machine wants to be woken has changed.
    replan: Notify,
    cache: Cache,
    me: NodeId,
}

/// What a client is told.
enum Told {
    Answer(Answer),
    Found(Found),
}

impl Running {
    /// Starts one that was admitted. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When its certificate cannot be used.
    pub fn start(admitted: &Admitted, body_bytes_max: u64, commit_within_ms: u64) -> Result<Self, CredentialsError> {
        let started = Instant::now();
        let now = read_clocks(started);
        let run = random_u64() >> 32;
        let machine = Gateway::new(now, admitted.cluster, run, &admitted.contacts, None);
        let inner = Arc::new(Inner {
            machine: Mutex::new(machine),
            hosts: OnceLock::new(),
            waiting: Mutex::new(HashMap::new()),
            next_token: AtomicU64::new(1),
            started,
            replan: Notify::new(),
            cache: Cache::default(),
            me: admitted.gateway,
        });
        let receiver = Arc::new(ToMachine(Arc::downgrade(&inner)));
        let credentials = Credentials {
            cluster: admitted.cluster,
            node: admitted.gateway,
            authority: admitted.authority.clone(),
            certificate: admitted.certificate.clone(),
            key: admitted.key.clone(),
        };
        let hosts = Hosts::new(credentials, (1, 1), receiver)?;
        hosts.connect(admitted.contacts.clone());
        let _ = inner.hosts.set(hosts);
        tokio::spawn(keep_time(Arc::downgrade(&inner)));
        let desk = Desk::new(
            inner.clone(),
            DeskConfig {
                root: admitted.root.clone(),
                context_key: admitted.context_key,
                body_bytes_max,
                commit_within_ms,
            },
        );
        Ok(Self { inner, desk })
    }

    /// Where front ends put their requests.
    #[must_use]
    pub const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// This gateway's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.me
    }

    /// The nodes it keeps connections to: where they are, and whether they are reached.
    #[must_use]
    pub fn hosts(&self) -> Vec<(NodeId, String, bool)> {
        self.inner.hosts.get().map(Hosts::status).unwrap_or_default()
    }

    /// How large the cluster is, once a node has told.
    #[must_use]
    pub fn sizes(&self) -> Option<Sizes> {
        self.inner.known_sizes()
    }

    /// Looks for who answers for a position on the ring of Chord. `None`: too much is in flight.
    pub async fn find(&self, to: Position) -> Option<Found> {
        self.inner.find(to).await
    }

    /// A position's partition, and who holds it, best first, if a node has told lately.
    #[must_use]
    pub fn known(&self, to: Position) -> Option<(Partition, Vec<NodeId>)> {
        self.inner.lock().placement(read_clocks(self.inner.started), to)
    }
}

fn read_clocks(started: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        wall_ms: wall.as_millis() as u64,
        mono_us: started.elapsed().as_micros() as u64,
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Gateway> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_sizes(&self) -> Option<Sizes> {
        let (members, partitions) = self.lock().sizes()?;
        let members = members as usize;
        Some(Sizes { members, partitions })
    }

    /// Gives the machine one input and does what it wants done.
    fn feed(&self, input: Input) {
        let mut effects = Vec::new();
        let (before, after) = {
            let mut machine = self.lock();
            let before = machine.next_timer_us();
            machine.handle(read_clocks(self.started), input, &mut effects);
            (before, machine.next_timer_us())
        };
        if after != before {
            self.replan.notify_one();
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&self, effect: Effect) {
        let Some(hosts) = self.hosts.get() else { return };
        match effect {
            Effect::Send(to, envelope) => {
                let (head, payload) = encode(&envelope);
                if let bug @ (Sent::TooLong | Sent::Unknown) = hosts.send(to, head, payload) {
                    tracing::error!(%to, ?bug, "a message could not be sent; this is a bug");
                }
            }
            Effect::Answer(token, answer) => self.tell(token, Told::Answer(answer)),
            Effect::Found(token, found) => self.tell(token, Told::Found(found)),
            Effect::Connect(nodes) => hosts.connect(nodes),
        }
    }

    fn tell(&self, token: ClientToken, told: Told) {
        let client = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&token.0);
        if let Some(client) = client {
            let _ = client.send(told);
        }
    }

    /// Feeds what a client asks, and waits for what it is told.
    async fn converse(&self, input: impl FnOnce(ClientToken) -> Input) -> Option<Told> {
        let (tell, told) = oneshot::channel();
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= REQUESTS_MAX {
                return None;
            }
            waiting.insert(token, tell);
        }
        let _waiting = Waiting { inner: self, token };
        self.feed(input(ClientToken(token)));
        told.await.ok()
    }

    async fn find(&self, to: Position) -> Option<Found> {
        match self.converse(|token| Input::Find(token, to)).await? {
            Told::Found(found) => Some(found),
            Told::Answer(_) => None,
        }
    }
}

/// Forgets who waits when the waiting ends early.
struct Waiting<'a> {
    inner: &'a Inner,
    token: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&self.token);
    }
}

#[async_trait]
impl Asks for Inner {
    async fn ask(&self, request: RequestId, deadline_ms: u32, what: Request) -> Option<Answer> {
        let request = ClientRequest {
            request,
            deadline_ms,
            what,
        };
        match self.converse(|token| Input::Client(token, request)).await? {
            Told::Answer(answer) => Some(answer),
            Told::Found(_) => None,
        }
    }

    fn registry(&self) -> Arc<Registry> {
        self.cache.registry()
    }

    fn learn(&self, entry: &Entry) {
        self.cache.learn(entry);
    }

    /// Known with the first placement that a node tells; any position will do.
    async fn sizes(&self) -> Result<Sizes, ReadFault> {
        let begun = Instant::now();
        loop {
            if let Some(sizes) = self.known_sizes() {
                return Ok(sizes);
            }
            if begun.elapsed() > SIZES_WITHIN {
                let down = self.hosts.get().map(Hosts::status).unwrap_or_default();
                return Err(ReadFault::Unavailable {
                    needed: 1,
                    reached: 0,
                    down: down.into_iter().map(|(node, ..)| node).collect(),
                });
            }
            self.find(Position(random_u64())).await.ok_or(ReadFault::Overloaded)?;
            if self.known_sizes().is_none() {
                tokio::time::sleep(SIZES_AGAIN).await;
            }
        }
    }
}

/// What nodes say, on its way to the machine.
struct ToMachine(Weak<Inner>);

impl ToMachine {
    fn feed(&self, input: Input) {
        if let Some(inner) = self.0.upgrade() {
            inner.feed(input);
        }
    }
}

impl HostReceiver for ToMachine {
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        match decode(head, payload) {
            Ok(envelope) => self.feed(Input::Peer(from, envelope)),
            Err(error) => tracing::error!(%from, ?error, "a node sent what cannot be read; is its version too new?"),
        }
    }

    fn up(&self, node: NodeId) {
        self.feed(Input::PeerUp(node));
    }

    fn down(&self, node: NodeId) {
        self.feed(Input::PeerDown(node));
    }
}

/// Wakes the machine when it wants to be woken, until it is gone.
async fn keep_time(inner: Weak<Inner>) {
    loop {
        let Some(running) = inner.upgrade() else { return };
        let next_us = running.lock().next_timer_us();
        let now_us = read_clocks(running.started).mono_us;
        if next_us.is_some_and(|at_us| at_us <= now_us) {
            running.feed(Input::Timer);
            continue;
        }
        let changed = running.replan.notified();
        // Woken now and then to see whether the gateway still is.
        let wait = next_us.map_or(Duration::from_secs(5), |at_us| Duration::from_micros(at_us - now_us));
        let _ = tokio::time::timeout(wait, changed).await;
    }
}
