//! Listening and accepting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Protocol};
use super::tls::{Acceptor, TlsError};
use super::{Limits, io};

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
    permits: Arc<Semaphore>,
    limits: Limits,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
            limits: *limits,
        }
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
                tracing::warn!(front_end, %error, "cannot accept a connection; pausing");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        match Arc::clone(&gate.permits).try_acquire_owned() {
            Ok(permit) => {
                io::tune(&stream);
                let connection = Accepted { stream, remote, permit };
                let (protocol, tls, stopping) = (protocol.clone(), tls.clone(), stopping.clone());
                connections.spawn(connection::serve(connection, protocol, tls, gate.limits, stopping));
            }
            Err(_) => {
                connections.spawn(turn_away(stream, tls.is_some()));
            }
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
    pub(super) permit: OwnedSemaphorePermit,
}

/// Says that there are too many connections, without reading the request or doing a handshake for it.
async fn turn_away(mut stream: TcpStream, tls: bool) {
    const BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce \
                        your request rate: this node has too many connections.</Message></Error>";
    if tls {
        return;
    }
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\nretry-after: 1\r\nconnection: \
         close\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        io::linger(&mut stream).await
    };
    // Whether the client hears it is up to the client.
    let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
}
