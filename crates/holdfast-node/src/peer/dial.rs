//! Our side of a session: dial, greet, send until it breaks, dial again.
//!
//! A session lives as long as its connection for small messages; the connections for large ones are opened when first
//! needed, kept, and closed with it. Its death is noticed at once when the peer's process dies (the kernel closes its
//! sockets), and within [`PING_EVERY`] + [`PONG_WITHIN`] when the peer is frozen or the network swallows everything.

use super::frame::{Hello, Kind, Lane};
use super::handshake::{self, Secured};
use super::outbox::{Due, Outbox, Outgoing};
use super::tls::server_name;
use super::wire::{Reader, WireError, Writer};
use super::{Greeting, Peer, Shared, random_u128};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// With [`PONG_WITHIN`], a frozen peer is noticed within 9 s. A ping costs some twenty microseconds.
pub const PING_EVERY: Duration = Duration::from_secs(4);
/// A busy node answers pings late: it reads them behind what came before.
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// Connect, TLS and greetings together; a node that needs longer is of no use as a replica.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// One write of at most 16 MiB; slower than that, the transfer would outlive its request's deadline.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// What one TLS write carries at most: beyond this batching gains nothing and delays pings.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// A connection for large messages that was of no use this long is closed, to spare both sides its memory.
const BULK_IDLE: Duration = Duration::from_secs(30);

/// Runs until aborted.
pub async fn keep_dialling(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut backoff = Backoff::default();
    loop {
        let was_up = Instant::now();
        let connects = peer.outbox.counters.connects.load(Ordering::Relaxed);
        let error = session(&shared, &peer).await;
        if peer.outbox.counters.connects.load(Ordering::Relaxed) > connects {
            info!(peer = %peer.id, after_ms = was_up.elapsed().as_millis(), "connection to peer lost: {error}");
            backoff = Backoff::default();
        } else if let Some(left_out) = shared.refusals.tell(&format!("dial {}", peer.id)) {
            let address = peer.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match error {
                WireError::Refused(_) | WireError::Frame(_) | WireError::Unexpected(_) => {
                    warn!(peer = %peer.id, address, left_out, "cannot connect to peer: {error}");
                }
                _ => info!(peer = %peer.id, address, left_out, "cannot connect to peer: {error}"),
            }
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = peer.redial.notified() => {}
        }
    }
}

/// Growing waits between attempts.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF_MIN)
    }
}

impl Backoff {
    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let wait = jittered(self.0);
        self.0 = (self.0 * 2).min(BACKOFF_MAX);
        wait
    }
}

/// Between half and all of a wait, so that nodes that lost a peer together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let random = random_u128().to_le_bytes()[0];
    wait / 2 + wait / 2 * u32::from(random) / 255
}

/// Says `up`, and `down` however the session ends, be it by the abortion of its task.
struct UpGuard<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
}

impl Drop for UpGuard<'_> {
    fn drop(&mut self) {
        self.peer.outbox.close();
        self.shared.receiver.down(self.peer.id);
    }
}

/// One session from dial to death; answers what killed it.
async fn session(shared: &Arc<Shared>, peer: &Arc<Peer>) -> WireError {
    let session = random_u128();
    let (reader, writer, theirs) = match dial(shared, peer, session, Lane::Small).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    peer.outbox.counters.connects.fetch_add(1, Ordering::Relaxed);
    info!(peer = %peer.id, actor = %theirs.actor, boot = theirs.boot, "connected to peer");
    let _up = UpGuard { shared, peer };
    peer.outbox.open();
    shared.receiver.up(&Greeting {
        node: theirs.node,
        actor: theirs.actor,
        boot: theirs.boot,
        format_levels: theirs.format_levels,
    });
    // The set aborts its tasks when it is dropped: the session's other connections die with it.
    let mut beside: JoinSet<WireError> = JoinSet::new();
    for _ in 0..shared.config.bounds.bulk_connections.max(1) {
        beside.spawn(send_bulk(shared.clone(), peer.clone(), session));
    }
    beside.spawn(watch(reader, peer.clone()));
    tokio::select! {
        error = send_small(writer, &peer.outbox) => error,
        ended = beside.join_next() => match ended {
            Some(Ok(error)) => error,
            Some(Err(panic)) => WireError::Io(io::Error::other(panic.to_string())),
            None => WireError::Closed,
        },
    }
}

/// Connects, proves who we are and makes sure who they are.
async fn dial(shared: &Shared, peer: &Peer, session: u128, lane: Lane) -> Result<(Reader, Writer, Hello), WireError> {
    let dialled = async {
        let address = peer.address.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = TcpStream::connect(&address).await?;
        super::accept::tune(&stream)?;
        let name = server_name(peer.id, shared.config.credentials.cluster)
            .ok_or_else(|| io::Error::other("the node's id makes no server name"))?;
        let Secured {
            mut reader, mut writer, ..
        } = handshake::dial(stream, shared.dialling_tls.clone(), name).await?;
        let theirs = reader.hello().await?;
        let objection = shared.objection(&theirs).or_else(|| {
            let other = theirs.node != peer.id;
            other.then(|| format!("wrong node: {} answers at the address of {}", theirs.node, peer.id))
        });
        if let Some(objection) = objection {
            writer.refuse(&objection).await;
            return Err(WireError::Refused(objection));
        }
        writer
            .put(Kind::Hello, &shared.hello(session, lane).encode(), &[])
            .await?;
        writer.flush().await?;
        reader.expect(Kind::Welcome).await?;
        Ok((reader, writer, theirs))
    };
    match timeout(DIAL_WITHIN, dialled).await {
        Ok(result) => result,
        Err(_) => Err(timed_out("no greeting in time")),
    }
}

fn timed_out(what: &str) -> WireError {
    WireError::Io(io::Error::new(io::ErrorKind::TimedOut, what.to_owned()))
}

/// Writes small messages, as many as wait in one write.
pub(super) async fn send_small(mut writer: Writer, outbox: &Outbox) -> WireError {
    let mut batch: Vec<Outgoing> = Vec::new();
    loop {
        let due = outbox.take_small(BATCH_BYTES_MAX, &mut batch).await;
        let messages = batch.len();
        match in_time(write_batch(&mut writer, due, &mut batch)).await {
            Ok(bytes) => count_sent(outbox, messages, bytes),
            Err(error) => {
                outbox.dropped(messages);
                return error;
            }
        }
    }
}

async fn write_batch(writer: &mut Writer, due: Due, batch: &mut Vec<Outgoing>) -> Result<usize, WireError> {
    if due.pong {
        writer.put(Kind::Pong, &[], &[]).await?;
    }
    if due.ping {
        writer.put(Kind::Ping, &[], &[]).await?;
    }
    let mut bytes = 0;
    for message in batch.drain(..) {
        bytes += message.head.len() + message.payload.len();
        writer.put(Kind::Message, &message.head, &message.payload).await?;
    }
    writer.flush().await?;
    Ok(bytes)
}

async fn in_time<T>(write: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
    match timeout(WRITE_WITHIN, write).await {
        Ok(result) => result,
        Err(_) => Err(timed_out("the peer does not read")),
    }
}

pub(super) fn count_sent(outbox: &Outbox, messages: usize, bytes: usize) {
    outbox.counters.sent.fetch_add(messages as u64, Ordering::Relaxed);
    outbox.counters.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Writes one frame, unless the other side does not read.
pub(super) async fn write_in_time(
    writer: &mut Writer,
    kind: Kind,
    head: &[u8],
    payload: &[u8],
) -> Result<(), WireError> {
    in_time(async {
        writer.put(kind, head, payload).await?;
        writer.flush().await
    })
    .await
}

/// Sends large messages one after the other over a connection of its own, made when first needed. Never ends by itself:
/// a failed transfer loses its message, not the session.
async fn send_bulk(shared: Arc<Shared>, peer: Arc<Peer>, session: u128) -> WireError {
    let mut connection: Option<(Reader, Writer, Hello)> = None;
    let mut backoff = Backoff::default();
    loop {
        let message = if connection.is_some() {
            match timeout(BULK_IDLE, peer.outbox.take_bulk()).await {
                Ok(message) => message,
                Err(_) => {
                    connection = None;
                    continue;
                }
            }
        } else {
            peer.outbox.take_bulk().await
        };
        let bytes = message.head.len() + message.payload.len();
        match transfer(&shared, &peer, session, &mut connection, message).await {
            Ok(()) => {
                backoff = Backoff::default();
                count_sent(&peer.outbox, 1, bytes);
            }
            Err(error) => {
                connection = None;
                peer.outbox.dropped(1);
                debug!(peer = %peer.id, bytes, "large message lost: {error}");
                sleep(backoff.next()).await;
            }
        }
    }
}

async fn transfer(
    shared: &Shared,
    peer: &Peer,
    session: u128,
    connection: &mut Option<(Reader, Writer, Hello)>,
    message: Outgoing,
) -> Result<(), WireError> {
    if connection.is_none() {
        *connection = Some(dial(shared, peer, session, Lane::Bulk).await?);
    }
    let Some((_, writer, _)) = connection else {
        return Err(WireError::Closed);
    };
    write_in_time(writer, Kind::Message, &message.head, &message.payload).await
}

/// Notices that the peer is gone: the connection ends, or a ping is not answered.
async fn watch(mut reader: Reader, peer: Arc<Peer>) -> WireError {
    let due = sleep(PING_EVERY);
    tokio::pin!(due);
    let mut asked: Option<Instant> = None;
    loop {
        tokio::select! {
            frame = reader.next() => match frame {
                Ok(frame) if frame.kind == Kind::Pong => {
                    if let Some(asked) = asked.take() {
                        let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                        peer.outbox.counters.round_trip_us.store(micros, Ordering::Relaxed);
                    }
                    due.as_mut().reset(tokio::time::Instant::now() + PING_EVERY);
                }
                Ok(frame) => return WireError::Unexpected(frame.kind),
                Err(error) => return error,
            },
            () = &mut due => {
                if asked.is_some() {
                    return timed_out("no answer to a ping");
                }
                asked = Some(Instant::now());
                peer.outbox.request_ping();
                due.as_mut().reset(tokio::time::Instant::now() + PONG_WITHIN);
            }
        }
    }
}
