//! Gateways that have come (their side is [`super::hosts`]): no members, so nobody dials them. What is to be said to one goes out on the
//! connections that it made itself.
//!
//! A guest's small connection is its session; those for large messages belong to one, and end with it. Guests are bounded in number and
//! in what waits for each: a gateway that does not read costs a few MiB, and loses what would not fit.

use super::dial::{count_sent, send_small, write_in_time};
use super::frame::{Hello, Kind, Lane};
use super::outbox::{Outbox, Outgoing, Sent};
use super::wire::{Reader, WireError, Writer};
use super::{Bounds, Shared};
use holdfast_core::ids::NodeId;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::info;

/// Gateways at a time.
const GUESTS_MAX: usize = 256;
/// Connections for large messages of each.
const BULK_MAX: usize = 8;
/// What may wait for one.
const BOUNDS: Bounds = Bounds {
    small_queue_bytes_max: 8 << 20,
    bulk_queue_bytes_max: 32 << 20,
    bulk_connections: BULK_MAX,
};
/// A small connection carries a ping every few seconds; this long without any means that the gateway is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Gateways that are connected.
#[derive(Debug, Default)]
pub struct Guests {
    sessions: Mutex<BTreeMap<NodeId, Session>>,
}

#[derive(Debug)]
struct Session {
    id: u128,
    outbox: Arc<Outbox>,
    connections: Vec<AbortHandle>,
}

impl Session {
    fn end(&self) {
        self.outbox.close();
        self.connections.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.lock().values().for_each(Session::end);
    }
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message for a gateway, or drops it.
    pub fn send(&self, to: NodeId, message: Outgoing) -> Sent {
        let outbox = self.lock().get(&to).map(|session| session.outbox.clone());
        // It may have gone since it asked.
        outbox.map_or(Sent::Down, |outbox| outbox.push(message))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn begin(&self, hello: &Hello) -> Result<Arc<Outbox>, String> {
        let mut sessions = self.lock();
        if sessions.len() >= GUESTS_MAX && !sessions.contains_key(&hello.node) {
            return Err(format!("{GUESTS_MAX} gateways are connected already"));
        }
        let outbox = Arc::new(Outbox::new(BOUNDS.small_queue_bytes_max, BOUNDS.bulk_queue_bytes_max));
        outbox.open();
        let session = Session {
            id: hello.session,
            outbox: outbox.clone(),
            connections: Vec::new(),
        };
        if let Some(before) = sessions.insert(hello.node, session) {
            before.end();
        }
        Ok(outbox)
    }

    fn join(&self, hello: &Hello) -> Result<Arc<Outbox>, String> {
        let mut sessions = self.lock();
        let session = sessions
            .get_mut(&hello.node)
            .filter(|session| session.id == hello.session);
        let session = session.ok_or("the session of this connection is over")?;
        session.connections.retain(|connection| !connection.is_finished());
        if session.connections.len() > BULK_MAX {
            return Err(format!("more than {BULK_MAX} connections for large messages"));
        }
        Ok(session.outbox.clone())
    }

    fn note(&self, hello: &Hello, connection: AbortHandle) {
        match self
            .lock()
            .get_mut(&hello.node)
            .filter(|session| session.id == hello.session)
        {
            Some(session) => session.connections.push(connection),
            None => connection.abort(),
        }
    }

    fn ended(&self, hello: &Hello) {
        let mut sessions = self.lock();
        if sessions
            .get(&hello.node)
            .is_some_and(|session| session.id == hello.session)
            && let Some(session) = sessions.remove(&hello.node)
        {
            session.end();
        }
    }
}

/// Takes in a gateway's connection, whose certificate was checked.
pub fn welcome(shared: &Arc<Shared>, hello: Hello, reader: Reader, writer: Writer) -> Result<(), String> {
    let is_small = hello.lane == Lane::GatewaySmall;
    let outbox = if is_small {
        shared.guests.begin(&hello)?
    } else {
        shared.guests.join(&hello)?
    };
    let sharing = shared.clone();
    let connection = tokio::spawn(async move {
        let error = converse(&sharing, &hello, &outbox, reader, writer).await;
        if is_small {
            info!(gateway = %hello.node, "connection of a gateway ended: {error}");
            sharing.guests.ended(&hello);
        }
    });
    shared.guests.note(&hello, connection.abort_handle());
    if is_small {
        info!(gateway = %hello.node, "a gateway is connected");
    }
    Ok(())
}

/// Hears and speaks until the connection ends; answers what ended it.
async fn converse(
    shared: &Shared,
    hello: &Hello,
    outbox: &Outbox,
    mut reader: Reader,
    mut writer: Writer,
) -> WireError {
    // Welcomed only here, when the session is on record: the connections beside it may follow at once.
    if let Err(error) = write_in_time(&mut writer, Kind::Welcome, &[], &[]).await {
        return error;
    }
    reader.widen();
    if hello.lane == Lane::GatewaySmall {
        tokio::select! {
            error = hear(shared, hello, outbox, reader) => error,
            error = send_small(writer, outbox) => error,
        }
    } else {
        tokio::select! {
            error = hear(shared, hello, outbox, reader) => error,
            error = send_bulk(writer, outbox) => error,
        }
    }
}

/// Hands messages over and has pings answered.
async fn hear(shared: &Shared, hello: &Hello, outbox: &Outbox, mut reader: Reader) -> WireError {
    let silence = sleep(SILENCE_MAX);
    tokio::pin!(silence);
    loop {
        let frame = tokio::select! {
            frame = reader.next() => frame,
            () = &mut silence, if hello.lane == Lane::GatewaySmall => {
                return WireError::Io(io::Error::new(io::ErrorKind::TimedOut, "silence"));
            }
        };
        match frame {
            Ok(frame) if frame.kind == Kind::Message => {
                outbox.counters.received.fetch_add(1, Ordering::Relaxed);
                shared.receiver.guest_message(hello.node, frame.head, frame.payload);
            }
            Ok(frame) if frame.kind == Kind::Ping => {
                silence.as_mut().reset(tokio::time::Instant::now() + SILENCE_MAX);
                outbox.request_pong();
            }
            Ok(frame) => return WireError::Unexpected(frame.kind),
            Err(error) => return error,
        }
    }
}

/// Sends large messages one after the other.
pub(super) async fn send_bulk(mut writer: Writer, outbox: &Outbox) -> WireError {
    loop {
        let message = outbox.take_bulk().await;
        let bytes = message.head.len() + message.payload.len();
        match write_in_time(&mut writer, Kind::Message, &message.head, &message.payload).await {
            Ok(()) => count_sent(outbox, 1, bytes),
            Err(error) => {
                outbox.dropped(1);
                return error;
            }
        }
    }
}

/// Waits at most so long for something.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(WireError::Io(io::Error::new(io::ErrorKind::TimedOut, what.to_owned()))),
    }
}
