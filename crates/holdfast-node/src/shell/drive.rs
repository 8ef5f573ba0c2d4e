//! Feeding the core and carrying out what it wants done.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_core::ids::NodeId;
use holdfast_core::message::Message;
use holdfast_core::node::{Effect, Input};
use holdfast_core::storage::{ChunkToken, ChunkWriteError, ReadError, WriteSeq};
use holdfast_core::time::Now;
use holdfast_core::wire::message::{decode, encode};
use holdfast_store::{Completions, StoreFailure};
use tokio::sync::watch;

use super::{Core, End, Inner};
use crate::peer::{Greeting, Receiver, Sent};

/// After messages to a member were dropped because too much waited, this node compares with it, but not before this.
const COMPARE_AFTER_DROPS: Duration = Duration::from_secs(10);

/// What the wall clock shows, in Unix milliseconds.
pub(super) fn wall_ms() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    wall.as_millis() as u64
}

impl Inner {
    /// What the clocks say.
    pub(super) fn now(&self) -> Now {
        Now {
            wall_ms: wall_ms(),
            mono_us: self.started.elapsed().as_micros() as u64,
        }
    }

    /// Gives the core one input and carries out its effects.
    pub(super) fn feed(&self, input: Input) {
        // Gossip goes on while a node rests: it is no reason to think that anything is wanted of it.
        let mut is_gossip = matches!(input, Input::Datagram(..));
        let is_timer = matches!(input, Input::Timer);
        let mut effects = Vec::new();
        let (next_us, next_operation_us, entries_unreadable) = {
            let mut core = match self.core.lock() {
                Ok(core) => core,
                // A panic in the core is a bug: its memory may contradict its disk, so it must not go on.
                Err(_) => return (self.on_end)(End::Failed("the core panicked; please report it with the log".into())),
            };
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            let Core { node, engine } = &mut *core;
            is_gossip |= is_timer && node.next_operation_us().is_none();
            node.handle(self.now(), input, engine, &mut effects);
            (
                node.next_timer_us(),
                node.next_operation_us(),
                node.entries_unreadable(),
            )
        };
        if !is_gossip {
            self.timer.stir();
        }
        self.timer.set(next_us, next_operation_us.is_some());
        self.tell_unreadable(entries_unreadable);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    pub(super) fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Send(to, envelope) => {
                let Some(peers) = self.peers.get() else { return };
                let (head, payload) = encode(&envelope);
                match peers.send(to, head, payload) {
                    Sent::Queued | Sent::Down => {}
                    Sent::Full => self.note_missed(to),
                    bug @ (Sent::TooLong | Sent::Unknown) => {
                        tracing::error!(%to, ?bug, "a message could not be sent; this is a bug");
                    }
                }
            }
            Effect::Datagram(to, bytes) => {
                if let Some(datagrams) = self.datagrams.get() {
                    datagrams.send(to, bytes);
                }
            }
            Effect::Event(event) => self.note_event(event),
            Effect::PutDataAside => (self.on_end)(End::OldCopy),
            Effect::Answer(token, answer) => {
                let waiting = self
                    .waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&token.0);
                if let Some(client) = waiting {
                    let _ = client.send(answer);
                }
            }
            Effect::Found(token, found) => {
                let finding = self
                    .finding
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&token.0);
                if let Some(client) = finding {
                    let _ = client.send(found);
                }
            }
            Effect::RegistryChanged(registry) => {
                let mut current = self.registry.write().unwrap_or_else(PoisonError::into_inner);
                *current = registry;
            }
        }
    }

    /// The core has no log: it counts what it cannot read of the registry, and what is new of that is said here.
    pub(super) fn tell_unreadable(&self, count: u64) {
        if count > self.entries_unreadable.load(Ordering::Relaxed)
            && count > self.entries_unreadable.fetch_max(count, Ordering::Relaxed)
        {
            tracing::warn!(
                count,
                "buckets or access keys on this disk cannot be read, and are not known here until they can: they are \
                 damaged, or were written by a newer version"
            );
        }
    }

    /// What a member missed, it gets by a comparison once its queue has had time to empty.
    fn note_missed(&self, member: NodeId) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if !missed.contains(&member) {
            tracing::warn!(%member, "too much waits for this member; it will be compared with when that is over");
            missed.push(member);
            self.timer
                .also_after(self.now().mono_us + COMPARE_AFTER_DROPS.as_micros() as u64);
        }
    }

    /// The time the alarm was set for is reached.
    pub(super) fn alarm(&self) {
        let missed = std::mem::take(&mut *self.missed.lock().unwrap_or_else(PoisonError::into_inner));
        for member in missed {
            if self.peers.get().is_some_and(|peers| peers.is_up(member)) {
                self.feed(Input::PeerUp(member));
            }
        }
        self.tell_disk();
        self.feed(Input::Timer);
    }

    pub(super) fn mono_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// What peers say, on its way to the core.
pub(super) struct PeerEvents {
    inner: Weak<Inner>,
}

impl PeerEvents {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self {
            inner: Arc::downgrade(inner),
        }
    }

    fn feed(&self, input: Input) {
        if let Some(inner) = self.inner.upgrade() {
            inner.feed(input);
        }
    }
}

impl Receiver for PeerEvents {
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        match decode(head, payload) {
            Ok(envelope) => self.feed(Input::Peer(from, envelope)),
            Err(error) => tracing::error!(%from, ?error, "a member sent what cannot be read; is its version too new?"),
        }
    }

    fn guest_message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        match decode(head, payload) {
            // A gateway hands over what clients ask, answers homes that ask back, and asks its way; no more.
            Ok(envelope)
                if matches!(
                    envelope.message,
                    Message::Forward { .. } | Message::ClaimReply { .. } | Message::Find { .. }
                ) =>
            {
                self.feed(Input::Peer(from, envelope));
            }
            Ok(_) => {
                tracing::warn!(gateway = %from, "a gateway sent what is not for gateways to send; it is not heard")
            }
            Err(error) => {
                tracing::warn!(gateway = %from, ?error, "a gateway sent what cannot be read; is its version too new?");
            }
        }
    }

    fn up(&self, peer: &Greeting) {
        tracing::info!(member = %peer.node, boot = peer.boot, "member up");
        self.feed(Input::PeerUp(peer.node));
    }

    fn down(&self, peer: NodeId) {
        let Some(inner) = self.inner.upgrade() else { return };
        if inner.stopping.load(Ordering::Acquire) {
            // It is this node that goes.
            tracing::debug!(member = %peer, "connection closed");
            return;
        }
        tracing::warn!(member = %peer, "member down");
        inner.feed(Input::PeerDown(peer));
    }
}

/// What the store reports, on its way to the core; before the core exists, only how far it has synced.
pub(super) struct StoreEvents {
    inner: OnceLock<Weak<Inner>>,
    synced: watch::Sender<Result<WriteSeq, String>>,
    /// Held while the highest number is raised, since reports come from several threads.
    highest: Mutex<WriteSeq>,
}

impl Default for StoreEvents {
    fn default() -> Self {
        Self {
            inner: OnceLock::new(),
            synced: watch::Sender::new(Ok(WriteSeq(0))),
            highest: Mutex::new(WriteSeq(0)),
        }
    }
}

impl StoreEvents {
    pub(super) fn attach(&self, inner: &Arc<Inner>) {
        let _ = self.inner.set(Arc::downgrade(inner));
        // What was synced in between must reach the core too.
        let highest = *self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        inner.feed(Input::Synced(highest));
    }

    /// Waits until a batch is on disk.
    pub(super) async fn wait(&self, seq: WriteSeq) -> Result<(), String> {
        let mut synced = self.synced.subscribe();
        let reached = synced
            .wait_for(|state| !matches!(state, Ok(reached) if *reached < seq))
            .await;
        match reached {
            Ok(state) => state.clone().map(|_| ()),
            Err(_) => Err("the store ended".into()),
        }
    }

    fn feed(&self, input: Input) {
        if let Some(inner) = self.inner.get().and_then(Weak::upgrade) {
            inner.feed(input);
        }
    }
}

impl Completions for StoreEvents {
    fn synced(&self, seq: WriteSeq) {
        {
            let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
            *highest = (*highest).max(seq);
        }
        self.synced.send_modify(|state| {
            if let Ok(reached) = state {
                *reached = (*reached).max(seq);
            }
        });
        self.feed(Input::Synced(seq));
    }

    fn chunk_written(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        self.feed(Input::ChunkWritten(token, result));
    }

    fn chunk_read(&self, token: ChunkToken, result: Result<Option<Bytes>, ReadError>) {
        self.feed(Input::ChunkRead(token, result));
    }

    fn chunks_removed(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        self.feed(Input::ChunksRemoved(token, result));
    }

    fn failed(&self, failure: StoreFailure) {
        let _ = self.synced.send_replace(Err(failure.to_string()));
        if let Some(inner) = self.inner.get().and_then(Weak::upgrade) {
            (inner.on_end)(End::Failed(failure.to_string()));
        }
    }
}
