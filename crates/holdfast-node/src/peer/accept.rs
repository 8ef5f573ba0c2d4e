//! The other side of a session: accept, make sure who it is, receive until it ends.
//!
//! Whoever has not yet shown a member's certificate may cost little: few handshakes at a time, the oldest giving way
//! to the newest (so that a flood of silent connections delays members by milliseconds, not for ever), each with a
//! deadline, each with the little memory of a TLS handshake. What they send instead of a handshake is never looked at.

use super::frame::{Hello, Kind, Lane};
use super::handshake::{self, HandshakeError, Secured};
use super::tls::{ALPN_GATEWAY, ALPN_JOIN, names_gateway, names_node};
use super::wire::{Reader, WireError, Writer};
use super::{Peer, Shared, guests};
use holdfast_core::ids::NodeId;
use rustls::pki_types::CertificateDer;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// TLS and greetings together.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// Handshakes at a time. A cluster of a hundred nodes that starts at once stays below it for most of the time.
const HANDSHAKES_MAX: usize = 128;
/// Connections of one member: one small, its bulk ones, and as many again of a session that is about to end.
const CONNECTIONS_PER_MEMBER_MAX: usize = 16;
/// A small connection carries a ping every few seconds; this long without any means that the dialling side is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Connections that members made to us, by member.
#[derive(Debug, Default)]
pub struct Accepted {
    sessions: Mutex<BTreeMap<NodeId, Session>>,
}

#[derive(Debug)]
struct Session {
    id: u128,
    connections: Vec<AbortHandle>,
}

impl Session {
    fn end(&self) {
        for connection in &self.connections {
            connection.abort();
        }
    }
}

impl Accepted {
    /// Ends every connection of this member.
    pub fn expel(&self, node: NodeId) {
        let ended = self
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&node);
        if let Some(session) = ended {
            session.end();
        }
    }

    /// Runs `receive` as part of a session. A small connection begins a session and ends the one before, whose
    /// connections carry nothing of worth any more; a bulk connection must belong to the session that stands.
    fn admit(&self, hello: &Hello, receive: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if hello.lane == Lane::Small {
            let task = tokio::spawn(receive).abort_handle();
            let session = Session {
                id: hello.session,
                connections: vec![task],
            };
            if let Some(before) = sessions.insert(hello.node, session) {
                before.end();
            }
            return Ok(());
        }
        let Some(session) = sessions
            .get_mut(&hello.node)
            .filter(|session| session.id == hello.session)
        else {
            return Err("the session of this connection is over".into());
        };
        session.connections.retain(|connection| !connection.is_finished());
        if session.connections.len() >= CONNECTIONS_PER_MEMBER_MAX {
            return Err(format!("more than {CONNECTIONS_PER_MEMBER_MAX} connections"));
        }
        session.connections.push(tokio::spawn(receive).abort_handle());
        Ok(())
    }

    /// The small connection of this session ended: so do the others.
    fn ended(&self, hello: &Hello) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions
            .get(&hello.node)
            .is_some_and(|session| session.id == hello.session)
            && let Some(session) = sessions.remove(&hello.node)
        {
            session.end();
        }
    }
}

/// No delay for small writes; and should the other machine vanish, the kernel finds out by itself, too.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Accepts until aborted.
pub async fn accept(shared: Arc<Shared>, listener: Arc<TcpListener>) {
    let mut handshakes = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely; the next attempt would fail at once as well.
                if let Some(left_out) = shared.refusals.tell("accept") {
                    warn!(left_out, "cannot accept connections on the node port: {error}");
                }
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        oldest_first.retain(|handshake| !handshake.is_finished());
        if oldest_first.len() >= HANDSHAKES_MAX
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
            refused(
                &shared,
                "too many handshakes",
                address,
                "too many connections that do not say who they are",
            );
        }
        oldest_first.push_back(handshakes.spawn(shake_hands(shared.clone(), stream, address)));
    }
}

fn refused(shared: &Shared, cause: &str, address: SocketAddr, why: &str) {
    if let Some(left_out) = shared.refusals.tell(cause) {
        warn!(%address, left_out, "connection to the node port refused: {why}");
    }
}

/// From an accepted socket to a member's session, a stranger's registration, or a refusal.
async fn shake_hands(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr) {
    match timeout(HANDSHAKE_WITHIN, identify(&shared, stream, address)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => refused(&shared, why.0, address, &why.1),
        Err(_) => refused(&shared, "slow", address, "no complete handshake in time"),
    }
}

/// A cause to count by and the story for the log.
struct Refused(&'static str, String);

async fn identify(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr) -> Result<(), Refused> {
    tune(&stream).map_err(|error| Refused("socket", error.to_string()))?;
    let secured = handshake::accept(stream, shared.accepting_tls.clone()).await;
    let Secured {
        mut reader,
        mut writer,
        certificate,
        alpn,
        ..
    } = secured.map_err(|error| cause(&error))?;
    let stranger = match alpn.as_deref() {
        Some(ALPN_JOIN) => Some((
            &shared.config.strangers,
            "it wants to register, but this node takes no registrations",
        )),
        Some(ALPN_GATEWAY) => Some((
            &shared.config.gateways,
            "it wants to be a gateway, but this node admits none",
        )),
        _ => None,
    };
    if let Some((served_by, otherwise)) = stranger {
        let Some(strangers) = served_by else {
            return Err(Refused("join", otherwise.into()));
        };
        // Also here the side that accepts speaks first; see `handshake`.
        answer(&mut writer, Kind::Welcome)
            .await
            .map_err(|error| Refused("join", error.to_string()))?;
        strangers.serve(reader, writer, address);
        return Ok(());
    }
    let Some(certificate) = certificate else {
        return Err(Refused(
            "no certificate",
            "it shows no certificate of this cluster".into(),
        ));
    };
    let greeting = |error: WireError| Refused("greeting", error.to_string());
    // The side that accepts greets first; see `handshake`.
    writer
        .put(Kind::Hello, &shared.hello(0, Lane::Small).encode(), &[])
        .await
        .map_err(greeting)?;
    writer.flush().await.map_err(greeting)?;
    let hello = reader.hello().await.map_err(greeting)?;
    if matches!(hello.lane, Lane::GatewaySmall | Lane::GatewayBulk) {
        return identify_gateway(shared, &certificate, hello, reader, writer).await;
    }
    let peer = shared.peer(hello.node);
    let objection = shared.objection(&hello).or_else(|| {
        if !names_node(&certificate, hello.node, hello.cluster) {
            Some(format!(
                "it says it is node {}, which its certificate does not say",
                hello.node
            ))
        } else if peer.is_none() {
            Some(format!("node {} is not a member of this cluster's layout", hello.node))
        } else {
            None
        }
    });
    let (Some(peer), None) = (peer, &objection) else {
        let objection = objection.unwrap_or_default();
        writer.refuse(&objection).await;
        return Err(Refused("greeting", objection));
    };
    welcome(shared, peer, hello, reader, writer)
}

async fn identify_gateway(
    shared: &Arc<Shared>,
    certificate: &CertificateDer<'_>,
    hello: Hello,
    reader: Reader,
    mut writer: Writer,
) -> Result<(), Refused> {
    let objection = shared.objection(&hello).or_else(|| {
        let is_named = names_gateway(certificate, hello.node, hello.cluster);
        let otherwise = || {
            format!(
                "it says it is gateway {}, which its certificate does not say",
                hello.node
            )
        };
        (!is_named).then(otherwise)
    });
    if let Some(objection) = objection {
        writer.refuse(&objection).await;
        return Err(Refused("greeting", objection));
    }
    guests::welcome(shared, hello, reader, writer).map_err(|why| Refused("gateway", why))
}

fn welcome(shared: &Arc<Shared>, peer: Arc<Peer>, hello: Hello, reader: Reader, writer: Writer) -> Result<(), Refused> {
    let sharing = shared.clone();
    let receiving = async move {
        let error = receive(&sharing, &peer, hello.lane, reader, writer).await;
        if hello.lane == Lane::Small {
            match error {
                WireError::Closed => info!(peer = %hello.node, "peer closed its connection to us"),
                error => info!(peer = %hello.node, "connection from peer ended: {error}"),
            }
            sharing.accepted.ended(&hello);
        }
    };
    shared
        .accepted
        .admit(&hello, receiving)
        .map_err(|why| Refused("session", why))?;
    if hello.lane == Lane::Small
        && let Some(peer) = shared.peer(hello.node)
        && !peer.outbox.is_up()
    {
        // It is there: no need to wait for the backoff.
        peer.redial.notify_one();
    }
    Ok(())
}

/// Hands messages over and answers pings until the connection ends; answers what ended it.
async fn receive(shared: &Shared, peer: &Peer, lane: Lane, mut reader: Reader, mut writer: Writer) -> WireError {
    let silence = sleep(SILENCE_MAX);
    tokio::pin!(silence);
    // Welcomed only here, when the session is on record: a bulk connection may follow at once.
    if let Err(error) = answer(&mut writer, Kind::Welcome).await {
        return error;
    }
    reader.widen();
    loop {
        let frame = tokio::select! {
            frame = reader.next() => frame,
            () = &mut silence, if lane == Lane::Small => {
                return WireError::Io(io::Error::new(io::ErrorKind::TimedOut, "silence"));
            }
        };
        match frame {
            Ok(frame) if frame.kind == Kind::Message => {
                let bytes = frame.head.len() + frame.payload.len();
                peer.outbox.counters.received.fetch_add(1, Ordering::Relaxed);
                peer.outbox
                    .counters
                    .received_bytes
                    .fetch_add(bytes as u64, Ordering::Relaxed);
                shared.receiver.message(peer.id, frame.head, frame.payload);
            }
            Ok(frame) if frame.kind == Kind::Ping => {
                silence.as_mut().reset(tokio::time::Instant::now() + SILENCE_MAX);
                if let Err(error) = answer(&mut writer, Kind::Pong).await {
                    return error;
                }
            }
            Ok(frame) => return WireError::Unexpected(frame.kind),
            Err(error) => return error,
        }
    }
}

async fn answer(writer: &mut Writer, kind: Kind) -> Result<(), WireError> {
    writer.put(kind, &[], &[]).await?;
    writer.flush().await
}

/// What to count a failed handshake by.
fn cause(error: &HandshakeError) -> Refused {
    let cause = match error {
        HandshakeError::Tls(rustls::Error::InvalidMessage(_)) => "not tls",
        HandshakeError::Tls(rustls::Error::InvalidCertificate(_)) => "certificate",
        _ => "handshake",
    };
    Refused(cause, error.to_string())
}
