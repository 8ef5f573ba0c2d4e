//! Listening and accepting.
//!
//! Every open connection is a file, and a process has a bounded number of them, which its store and its peers need, too. So
//! connections are counted from accepting to closing. One too many is answered, briefly, and closed; those that are being
//! answered so are counted in turn, and beyond that bound a connection is closed without a word. S3 leaves a few places to
//! REST: whoever wants to know what is wrong must get in while clients flood the other port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Protocol};
use super::tls::{Acceptor, TlsError};
use super::{Limits, io, meters};

/// Connections that are being told that there are too many.
const TURNED_AWAY_MAX: usize = 256;
/// The same over TLS, whose handshake must come first and costs a millisecond of CPU.
const TURNED_AWAY_TLS_MAX: usize = 32;
/// How long telling them may take.
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(2);
/// Of so many places one is left to REST.
const PLACES_PER_REST_PLACE: usize = 16;
/// Between two lines in the log about connections that cannot be accepted.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Why the front ends could not be opened.
#[derive(Debug)]
pub enum BindError {
    /// An address could not be bound.
    Address {
        /// Which front end.
        front_end: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No address was given.
    NoAddress {
        /// Which front end.
        front_end: &'static str,
    },
    /// Certificate or key could not be used.
    Tls(TlsError),
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address {
                front_end,
                address,
                source,
            } => {
                let advice = match source.kind() {
                    std::io::ErrorKind::AddrInUse => "another process listens there: stop it or choose another port",
                    std::io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one",
                    std::io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
                    _ => "check the address",
                };
                write!(f, "cannot listen for {front_end} on {address}: {source}; {advice}")
            }
            Self::NoAddress { front_end } => write!(f, "no address to listen on for {front_end}: configure one"),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {}

/// Counts connections of all ports.
#[derive(Clone)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    /// Places that S3 leaves free.
    left_to_rest: usize,
    turning_away: Arc<Semaphore>,
    turning_away_tls: Arc<Semaphore>,
    limits: Limits,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Self {
        let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            left_to_rest: places / PLACES_PER_REST_PLACE,
            turning_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
            turning_away_tls: Arc::new(Semaphore::new(TURNED_AWAY_TLS_MAX)),
            limits: *limits,
        }
    }

    /// A place for a connection, if there is one.
    fn enter(&self, protocol: &Protocol) -> Option<OwnedSemaphorePermit> {
        if matches!(protocol, Protocol::S3(_)) && self.places.available_permits() <= self.left_to_rest {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Leave to tell a connection that there is no place, if not too many are being told.
    fn turn_away(&self, tls: bool) -> Option<OwnedSemaphorePermit> {
        let turning_away = if tls {
            &self.turning_away_tls
        } else {
            &self.turning_away
        };
        Arc::clone(turning_away).try_acquire_owned().ok()
    }
}

/// The open sockets of one front end.
pub(super) struct Listener {
    front_end: &'static str,
    sockets: Vec<TcpListener>,
}

impl Listener {
    pub(super) async fn bind(front_end: &'static str, addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            let socket = TcpListener::bind(address).await.map_err(|source| BindError::Address {
                front_end,
                address: *address,
                source,
            })?;
            sockets.push(socket);
        }
        if sockets.is_empty() {
            return Err(BindError::NoAddress { front_end });
        }
        Ok(Self { front_end, sockets })
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Accepts until told to stop, then waits for connections to finish, at most for `drain`.
    pub(super) async fn serve(
        self,
        protocol: Protocol,
        tls: Option<Acceptor>,
        gate: Gate,
        stopping: watch::Receiver<bool>,
        drain: Duration,
    ) {
        let mut accepting = JoinSet::new();
        for socket in self.sockets {
            accepting.spawn(accept(
                self.front_end,
                socket,
                protocol.clone(),
                tls.clone(),
                gate.clone(),
                stopping.clone(),
                drain,
            ));
        }
        while accepting.join_next().await.is_some() {}
    }
}

async fn accept(
    front_end: &'static str,
    socket: TcpListener,
    protocol: Protocol,
    tls: Option<Acceptor>,
    gate: Gate,
    mut stopping: watch::Receiver<bool>,
    drain: Duration,
) {
    let mut connections = JoinSet::new();
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = connection::told_to_stop(&mut stopping) => break,
            // Finished tasks are reaped as they end, or their results would pile up.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would spin.
                failures.tell(front_end, &error);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Some(place) = gate.enter(&protocol) {
            io::tune(&stream);
            let connection = Accepted { stream, remote, place };
            let (protocol, tls, stopping) = (protocol.clone(), tls.clone(), stopping.clone());
            connections.spawn(connection::serve(connection, protocol, tls, gate.limits, stopping));
        } else if let Some(leave) = gate.turn_away(tls.is_some()) {
            meters::turned_away(front_end);
            let words = words_of_refusal(&protocol);
            connections.spawn(turn_away(stream, tls.clone(), words, leave));
        } else {
            meters::turned_away(front_end);
        }
    }
    drop(socket);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, finished).await.is_err() {
        tracing::warn!(front_end, "requests still under way at the drain deadline are cut off");
        connections.shutdown().await;
    }
}

/// A connection within the limit.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
    pub(super) place: OwnedSemaphorePermit,
}

/// What went wrong with accepting, said now and then: it goes wrong ten times a second until somebody closes a file.
#[derive(Default)]
struct Failures {
    told: Option<Instant>,
    left_out: u64,
}

impl Failures {
    fn tell(&mut self, front_end: &str, error: &std::io::Error) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut self.left_out);
        tracing::warn!(front_end, %error, left_out, "cannot accept connections; trying again ten times a second");
        self.told = Some(Instant::now());
    }
}

/// What a connection too many is told, in the words of its port.
fn words_of_refusal(protocol: &Protocol) -> String {
    let (kind, body) = match protocol {
        Protocol::S3(_) => (
            "application/xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request \
             rate: this node has too many connections.</Message></Error>",
        ),
        Protocol::Rest(..) => (
            "application/json",
            "{\"status\":\"failure\",\"error\":\"overloaded\",\"message\":\"this node has too many connections\",\
             \"what_to_do\":\"slow down and try again\",\"state_changed\":false}",
        ),
    };
    format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: {kind}\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: \
         {}\r\n\r\n{body}",
        body.len()
    )
}

/// Says that there are too many connections, without reading the request.
async fn turn_away(stream: TcpStream, tls: Option<Acceptor>, words: String, leave: OwnedSemaphorePermit) {
    let said = async {
        let mut stream = match tls {
            None => io::Stream::Plain(stream),
            Some(acceptor) => io::Stream::Tls(Box::new(acceptor.accept(stream).await?)),
        };
        stream.write_all(words.as_bytes()).await?;
        io::linger(&mut stream).await
    };
    // Whether the client hears it is up to the client.
    let _ = tokio::time::timeout(TURN_AWAY_WITHIN, said).await;
    drop(leave);
}
