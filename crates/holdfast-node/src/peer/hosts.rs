//! A gateway's connections to nodes (their side is [`super::guests`]): it dials, and both speak on what it dialled, because nobody can
//! dial a gateway. One connection for small messages is the session; a few beside it carry large ones.

use super::dial::{Backoff, send_small, write_in_time};
use super::frame::{Hello, Kind, Lane};
use super::guests::{send_bulk, within};
use super::handshake::{self, Secured};
use super::outbox::{Outbox, Outgoing, Sent};
use super::tls::server_name;
use super::wire::{Reader, WireError, Writer};
use super::{Bounds, Credentials, CredentialsError, random_u128};
use bytes::Bytes;
use holdfast_core::ids::{ActorId, NodeId};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{debug, info};

/// As between members.
const PING_EVERY: Duration = Duration::from_secs(4);
const PONG_WITHIN: Duration = Duration::from_secs(5);
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// Connections for large messages: one busy with a chunk, one for the next.
const BULK_CONNECTIONS: usize = 2;

/// Takes what nodes say.
pub trait HostReceiver: Send + Sync + 'static {
    /// A message from a node.
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes);
    /// Messages to this node will be sent from now on.
    fn up(&self, node: NodeId);
    /// They are dropped from now on.
    fn down(&self, node: NodeId);
}

/// One node.
struct Host {
    id: NodeId,
    address: Mutex<String>,
    outbox: Outbox,
}

struct Shared {
    credentials: Credentials,
    tls: Arc<ClientConfig>,
    process: u128,
    format_levels: (u16, u16),
    receiver: Arc<dyn HostReceiver>,
}

/// All connections of a gateway to nodes. Dropping it closes them.
pub struct Hosts {
    shared: Arc<Shared>,
    hosts: RwLock<BTreeMap<NodeId, (Arc<Host>, AbortHandle)>>,
}

impl Hosts {
    /// None yet.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(
        credentials: Credentials,
        format_levels: (u16, u16),
        receiver: Arc<dyn HostReceiver>,
    ) -> Result<Self, CredentialsError> {
        let tls = credentials.client()?;
        let shared = Shared {
            credentials,
            tls,
            process: random_u128(),
            format_levels,
            receiver,
        };
        Ok(Self {
            shared: Arc::new(shared),
            hosts: RwLock::default(),
        })
    }

    /// Keeps connections to these nodes and to no others. Must be called within a tokio runtime.
    pub fn connect(&self, nodes: Vec<(NodeId, String)>) {
        let wanted: BTreeMap<NodeId, String> = nodes.into_iter().collect();
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|id, (_, dialling)| {
            let stays = wanted.contains_key(id);
            if !stays {
                dialling.abort();
            }
            stays
        });
        let Bounds {
            small_queue_bytes_max,
            bulk_queue_bytes_max,
            ..
        } = Bounds::default();
        for (id, address) in wanted {
            if let Some((host, _)) = hosts.get(&id) {
                *host.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
                continue;
            }
            let host = Arc::new(Host {
                id,
                address: Mutex::new(address),
                outbox: Outbox::new(small_queue_bytes_max, bulk_queue_bytes_max),
            });
            let dialling = tokio::spawn(keep_dialling(self.shared.clone(), host.clone()));
            hosts.insert(id, (host, dialling.abort_handle()));
        }
    }

    /// Queues a message for a node, or drops it; never waits.
    pub fn send(&self, to: NodeId, head: Vec<u8>, payload: Bytes) -> Sent {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        match hosts.get(&to) {
            Some((host, _)) => host.outbox.push(Outgoing { head, payload }),
            None => Sent::Down,
        }
    }

    /// Every node it keeps connections to, where it is, and whether it is reached.
    pub fn status(&self) -> Vec<(NodeId, String, bool)> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let status = |host: &Host| {
            let address = host.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (host.id, address, host.outbox.is_up())
        };
        hosts.values().map(|(host, _)| status(host)).collect()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.values().for_each(|(_, dialling)| dialling.abort());
    }
}

async fn keep_dialling(shared: Arc<Shared>, host: Arc<Host>) {
    let mut backoff = Backoff::default();
    loop {
        let (was_up, error) = session(&shared, &host).await;
        if was_up {
            info!(node = %host.id, "connection to node lost: {error}");
            backoff = Backoff::default();
        } else {
            debug!(node = %host.id, "cannot connect to node: {error}");
        }
        sleep(backoff.next()).await;
    }
}

/// Says `down` however the session ends, be it by the abortion of its task.
struct UpGuard<'a> {
    shared: &'a Shared,
    host: &'a Host,
}

impl Drop for UpGuard<'_> {
    fn drop(&mut self) {
        self.host.outbox.close();
        self.shared.receiver.down(self.host.id);
    }
}

/// One session from dial to death; whether it stood, and what killed it.
async fn session(shared: &Arc<Shared>, host: &Arc<Host>) -> (bool, WireError) {
    let session = random_u128();
    let (reader, writer) = match dial(shared, host, session, Lane::GatewaySmall).await {
        Ok(connected) => connected,
        Err(error) => return (false, error),
    };
    // The set aborts its tasks when it is dropped: the session's other connections die with it.
    let mut beside: JoinSet<WireError> = JoinSet::new();
    for _ in 0..BULK_CONNECTIONS {
        beside.spawn(carry_bulk(shared.clone(), host.clone(), session));
    }
    let _up = UpGuard { shared, host };
    host.outbox.open();
    info!(node = %host.id, "connected to node");
    shared.receiver.up(host.id);
    let error = tokio::select! {
        error = send_small(writer, &host.outbox) => error,
        error = hear(shared, host, reader) => error,
        ended = beside.join_next() => match ended {
            Some(Ok(error)) => error,
            _ => WireError::Closed,
        },
    };
    (true, error)
}

/// A connection for large messages, made at once because it is the node that sends most of them.
async fn carry_bulk(shared: Arc<Shared>, host: Arc<Host>, session: u128) -> WireError {
    let (mut reader, writer) = match dial(&shared, &host, session, Lane::GatewayBulk).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    tokio::select! {
        error = send_bulk(writer, &host.outbox) => error,
        error = async {
            loop {
                match reader.next().await {
                    Ok(frame) if frame.kind == Kind::Message => shared.receiver.message(host.id, frame.head, frame.payload),
                    Ok(frame) => return WireError::Unexpected(frame.kind),
                    Err(error) => return error,
                }
            }
        } => error,
    }
}

/// Connects, proves who we are and makes sure who they are.
async fn dial(shared: &Shared, host: &Host, session: u128, lane: Lane) -> Result<(Reader, Writer), WireError> {
    let dialled = async {
        let address = host.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = TcpStream::connect(&address).await?;
        super::accept::tune(&stream)?;
        let credentials = &shared.credentials;
        let name = server_name(host.id, credentials.cluster)
            .ok_or_else(|| io::Error::other("the node's id makes no server name"))?;
        let Secured {
            mut reader, mut writer, ..
        } = handshake::dial(stream, shared.tls.clone(), name).await?;
        reader.hello().await?;
        let hello = Hello {
            cluster: credentials.cluster,
            node: credentials.node,
            actor: ActorId(0),
            boot: 0,
            format_levels: shared.format_levels,
            process: shared.process,
            session,
            lane,
        };
        write_in_time(&mut writer, Kind::Hello, &hello.encode(), &[]).await?;
        reader.expect(Kind::Welcome).await?;
        reader.widen();
        Ok((reader, writer))
    };
    within(DIAL_WITHIN, "no greeting in time", dialled).await
}

/// Hands messages over, and notices that the node is gone: the connection ends, or a ping is not answered.
async fn hear(shared: &Shared, host: &Host, mut reader: Reader) -> WireError {
    let due = sleep(PING_EVERY);
    tokio::pin!(due);
    let mut asked: Option<Instant> = None;
    loop {
        tokio::select! {
            frame = reader.next() => match frame {
                Ok(frame) if frame.kind == Kind::Message => {
                    shared.receiver.message(host.id, frame.head, frame.payload);
                }
                Ok(frame) if frame.kind == Kind::Pong => {
                    asked = None;
                    due.as_mut().reset(tokio::time::Instant::now() + PING_EVERY);
                }
                Ok(frame) => return WireError::Unexpected(frame.kind),
                Err(error) => return error,
            },
            () = &mut due => {
                if asked.is_some() {
                    return WireError::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer to a ping"));
                }
                asked = Some(Instant::now());
                host.outbox.request_ping();
                due.as_mut().reset(tokio::time::Instant::now() + PONG_WITHIN);
            }
        }
    }
}
