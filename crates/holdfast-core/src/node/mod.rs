//! One node of the cluster as a state machine: `handle(now, input) → effects`.
//!
//! The shell, or the simulator, owns sockets, disks and clocks; it feeds inputs in any order, any number of times, late
//! or never, and carries out effects. Nothing here waits.

pub(crate) mod asked;
pub(crate) mod clock;
pub(crate) mod dead;
mod entries;
pub(crate) mod fingerprints;
pub(crate) mod handed_over;
pub(crate) mod heard;
pub(crate) mod hints;
pub(crate) mod identity;
mod lives;
mod load;
pub(crate) mod local;
mod membership;
pub(crate) mod ranges;
pub(crate) mod remnants;
pub(crate) mod replaced;
pub(crate) mod replica;
mod ring;
pub(crate) mod side;
pub(crate) mod silent;
pub(crate) mod standing;
mod start;
pub(crate) mod state;
pub(crate) mod stragglers;
pub(crate) mod walk;

pub use load::Load;
pub use ring::Found;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::chord::Table;
use crate::coordinate::claim::ClaimOp;
use crate::coordinate::collect::CollectOp;
use crate::coordinate::mend::MendOp;
use crate::coordinate::repair_all::RepairAllOp;
use crate::coordinate::scrub::ScrubOp;
use crate::coordinate::sweep::SweepOp;
use crate::coordinate::{Coordinate, Origin, Progress};
use crate::dead::{Collected, Forgetting};
use crate::event::ClusterEvent;
use crate::fingerprint::FingerprintKey;
use crate::gossip::Soundness;
use crate::ids::{ActorId, ClusterId, NodeId, Position, Tick};
use crate::layout::Layout;
use crate::message::{Envelope, Message, OpId, Refusal};
use crate::planted::Planted;
use crate::registry::Registry;
use crate::repair::RepairReport;
use crate::request::{Answer, ClientRequest};
use crate::scrub::Checked;
use crate::storage::{Batch, ChunkToken, ChunkWriteError, ReadError, Storage, WriteSeq};
use crate::time::Now;
use crate::wire::ring::RING_DATAGRAM;
use state::{ChunkWaiter, Parked, State, Step, Waiter};

/// Names a client's request; chosen by the shell, unique per process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientToken(pub u64);

/// What can happen to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// A front end asks.
    Client(ClientToken, ClientRequest),
    /// The front end no longer wants the answer; what was begun goes on.
    ClientGone(ClientToken),
    /// A message from a member, authenticated by the shell.
    Peer(NodeId, Envelope),
    /// A datagram of gossip from a member, authenticated by the shell.
    Datagram(NodeId, Bytes),
    /// A front end asks who answers for a position on the ring of Chord, and by which way one comes there.
    Find(ClientToken, Position),
    /// An operator says that a member is down on purpose, or no longer.
    Maintain(NodeId, bool),
    /// An operator wants everything that this node holds checked and repaired now. While that is under way it changes nothing.
    Repair,
    /// Messages to this member can be sent from now on.
    PeerUp(NodeId),
    /// They cannot.
    PeerDown(NodeId),
    /// Every batch up to this one is durable.
    Synced(WriteSeq),
    /// A chunk is durable, or could not be written.
    ChunkWritten(ChunkToken, Result<(), ChunkWriteError>),
    /// A range of a chunk; `Ok(None)` when there is no such chunk.
    ChunkRead(ChunkToken, Result<Option<Bytes>, ReadError>),
    /// Chunks are gone, or could not all be removed.
    ChunksRemoved(ChunkToken, Result<(), ChunkWriteError>),
    /// Time passed: [`Node::next_timer_us`] is reached.
    Timer,
}

/// What a node wants done. Order within one `handle` is kept by the shell where it can; nothing depends on it.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send to a member; may be lost.
    Send(NodeId, Envelope),
    /// Send to a member as a datagram; may be lost, doubled, late.
    Datagram(NodeId, Bytes),
    /// Answer a client.
    Answer(ClientToken, Answer),
    /// Tell a front end what came of a lookup.
    Found(ClientToken, Found),
    /// Buckets or access keys changed.
    RegistryChanged(Arc<Registry>),
    /// Something happened that a person may want to know.
    Event(ClusterEvent),
    /// What lies on this disk is an old copy (rule S1): end this node, put its data aside for a person to look at, and start
    /// anew on an empty disk, as one that was lost.
    PutDataAside,
}

/// What a node is told about itself when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which member.
    pub node: NodeId,
    /// Members and preference lists.
    pub layout: Arc<Layout>,
    /// Drawn by the shell for every start; names the actor if the data directory names none yet, and always the run (rule S1).
    pub fresh_actor: ActorId,
    /// What the wall clock shows at the start, in Unix milliseconds.
    pub started_ms: u64,
    /// The shell knows that this node had a disk which is not there any more (rule S2).
    pub is_disk_lost: bool,
    /// An operator says that what a lost disk held and no other node can give is to be done without (rule S2).
    pub gives_up_lost_data: bool,
    /// Identity of the running kernel (all zero when unknown): a start under the same kernel as the last one, on a store
    /// that hands writes to the kernel before it returns, has lost nothing (rule D2).
    pub kernel: [u8; 16],
    /// How long a message that carries records may live after they were read, in milliseconds: D of rule G2. The same on
    /// every member; [`MESSAGE_LIFE_MS`] but in tests.
    pub message_life_ms: u64,
    /// How long a body stays after it died, in milliseconds, for readers that are under way; no promise rests on it.
    pub dead_wait_ms: u64,
    /// A record that knows of more lives than this forgets those that are over; [`LIVES_KEPT`] but in tests.
    pub lives_kept: usize,
    /// What fingerprints are keyed with; the same on every member, and secret (rule A1).
    pub fingerprint_key: FingerprintKey,
    /// Time between two comparisons with some member, in milliseconds; each in turn is compared with.
    pub compare_every_ms: u64,
    /// Time between two scrubs, in milliseconds.
    pub scrub_every_ms: u64,
    /// Where members can be reached, for those who ask their way.
    pub addresses: Arc<BTreeMap<NodeId, String>>,
    /// Seed of the random choices of gossip; drawn by the shell.
    pub gossip_seed: u64,
    /// The fault to plant; ignored without the cargo feature.
    pub planted: Option<Planted>,
}

/// How long a dead body stays for readers under way, in milliseconds, unless an operator wants otherwise.
pub const DEAD_WAIT_MS: u64 = 3_600_000;

/// D of rule G2, in milliseconds.
pub const MESSAGE_LIFE_MS: u64 = 60_000;

/// A record that knows of more lives than this forgets those that are over (rule G3): a key has one for each of its homes, and
/// one more for each unclean end of a node that wrote it.
pub const LIVES_KEPT: usize = 16;

/// Time between two comparisons, unless an operator wants otherwise, in milliseconds.
pub const COMPARE_EVERY_MS: u64 = 60_000;

/// Time between two scrubs, unless an operator wants otherwise, in milliseconds: 30 days.
pub const SCRUB_EVERY_MS: u64 = 30 * 24 * 3_600_000;

/// Sweeps for bodies that nobody names come so much more rarely than dead bodies wait: once a day.
const SWEEP_WAITS: u64 = 24;

impl Config {
    /// Time between two sweeps, in milliseconds.
    pub(crate) const fn sweep_ms(&self) -> u64 {
        self.dead_wait_ms.saturating_mul(SWEEP_WAITS)
    }
}

/// One node.
pub struct Node {
    state: State,
    ops: BTreeMap<OpId, Running>,
    timers: BTreeSet<(u64, OpId)>,
}

/// An operation in flight and when it wants to be woken.
struct Running {
    op: Box<dyn Coordinate>,
    wake_us: u64,
}

/// What wakes an operation.
type Event<'e> = &'e mut dyn FnMut(&mut dyn Coordinate, &mut Step<'_>) -> Progress;

impl Node {
    /// Takes one input and appends what is to be done.
    pub fn handle(&mut self, now: Now, input: Input, storage: &mut dyn Storage, effects: &mut Vec<Effect>) {
        let Self { state, ops, timers } = self;
        let content_ms = match &input {
            Input::Peer(_, envelope) => envelope.header.content_ms.min(now.wall_ms),
            _ => now.wall_ms,
        };
        let step = Step::new(now, content_ms, state, storage, effects);
        let mut turn = Turn { step, ops, timers };
        match input {
            Input::Client(token, request) => turn.begin_within_bounds(Origin::Client(token), request),
            Input::ClientGone(_) => {}
            Input::Peer(from, envelope) => turn.peer(from, envelope),
            Input::Datagram(from, bytes) if bytes.first() == Some(&RING_DATAGRAM) => turn.ring_datagram(from, &bytes),
            Input::Datagram(from, bytes) => turn.datagram(from, &bytes),
            Input::Find(token, to) => turn.find(token, to),
            Input::Maintain(node, on) => turn.maintain(node, on),
            Input::Repair => RepairAllOp::spawn(&mut turn.step),
            Input::PeerUp(node) => turn.peer_up(node),
            Input::PeerDown(node) => turn.peer_down(node),
            Input::Synced(seq) => turn.synced(seq),
            Input::ChunkWritten(token, result) => turn.chunk_written(token, result),
            Input::ChunkRead(token, result) => turn.chunk_read(token, result),
            Input::ChunksRemoved(token, result) => turn.chunks_removed(token, result),
            Input::Timer => {
                turn.timer();
                turn.gossip_timer();
                turn.ring_timer();
            }
        }
        turn.step.judge_standing();
        turn.settle();
    }

    /// When [`Input::Timer`] is wanted next, in monotonic microseconds; `None` while there is nothing to wait for.
    #[must_use]
    pub fn next_timer_us(&self) -> Option<u64> {
        let rare = [
            self.next_look_us(),
            self.next_sweep_us(),
            self.next_scrub_us(),
            self.next_compare_us(),
            self.state.next_entries_us,
        ];
        let frequent = [self.next_operation_us(), self.next_gossip_us()];
        frequent.into_iter().chain(rare).flatten().min()
    }

    /// The same for the next look for dead bodies that are due. Neither this nor a sweep disturbs a node's rest.
    #[must_use]
    pub fn next_look_us(&self) -> Option<u64> {
        self.state.dead.next_look_us()
    }

    /// The same for the next sweep for bodies that nobody names.
    #[must_use]
    pub fn next_sweep_us(&self) -> Option<u64> {
        self.state.dead.next_sweep_us()
    }

    /// The same for the next scrub.
    #[must_use]
    pub fn next_scrub_us(&self) -> Option<u64> {
        self.state.fingerprints.next_scrub_us()
    }

    /// The same for the next comparison with a member.
    #[must_use]
    pub fn next_compare_us(&self) -> Option<u64> {
        self.state.next_compare_us
    }

    /// The same for operations alone: `None` when the node is at rest, gossip apart.
    #[must_use]
    pub fn next_operation_us(&self) -> Option<u64> {
        self.timers.first().map(|(wake_us, _)| *wake_us)
    }

    /// Marks a clean end: everything sent has reached this disk; and says goodbye. The caller must see it synced, and feed nothing
    /// after.
    pub fn stop(&mut self, now: Now, storage: &mut dyn Storage, effects: &mut Vec<Effect>) -> WriteSeq {
        self.state.gossip.say_goodbye(now, effects);
        let mut batch = Batch::default();
        self.state.identity.stop(&mut batch);
        storage.write(batch)
    }

    /// The actor of this life of the disk.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.state.identity.actor
    }

    /// Number of this start of the data directory.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.state.identity.boot
    }

    /// Buckets and access keys as this node knows them.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.state.registry.clone()
    }

    /// How often in this run a bucket or access key on this disk could not be read: damaged, or written by a newer
    /// program. The registry goes on without it, so somebody should look.
    #[must_use]
    pub fn entries_unreadable(&self) -> u64 {
        self.state.entries_unreadable
    }

    /// Operations in flight, for metrics and for the simulator's wait for quiet.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.ops.len()
    }

    /// Whether what waits for a grant under this id begins with it, for the simulator: other grants let a write go on that had begun
    /// before.
    #[must_use]
    pub fn begins_when_granted(&self, claim: OpId) -> bool {
        self.ops
            .get(&claim)
            .is_some_and(|running| running.op.begins_when_granted())
    }

    /// Bodies that wait to be forgotten, on this node's account.
    #[must_use]
    pub fn forgetting(&self) -> Forgetting {
        let dead = &self.state.dead;
        Forgetting {
            bodies: dead.bodies,
            bytes: dead.bytes,
            held: dead.held.filter(|_| dead.bodies > 0),
        }
    }

    /// Whether this node may speak for what its disk holds (rules S1, S2).
    #[must_use]
    pub const fn soundness(&self) -> Soundness {
        self.state.standing.soundness()
    }

    /// How the disk is looked after.
    #[must_use]
    pub fn checked(&self) -> Checked {
        let state = &self.state;
        Checked {
            is_read: state.fingerprints.are_known(),
            differences: state.differences,
            fingerprints_wrong: state.fingerprints.wrong,
            scrub: state.scrub,
            records_repaired: state.records_repaired,
            chunks_mended: state.chunks_mended,
        }
    }

    /// How far the repair is that somebody asked for, or what the last one found.
    #[must_use]
    pub const fn repair(&self) -> &RepairReport {
        &self.state.asked.report
    }

    /// Reads the whole disk, and counts the fingerprints in memory that are not those of what is on it: for those who
    /// check this program.
    ///
    /// # Errors
    /// When the disk cannot be read through.
    pub fn count_wrong_fingerprints(&mut self, now: Now, storage: &mut dyn Storage) -> Result<u64, ReadError> {
        let mut effects = Vec::new();
        Step::new(now, now.wall_ms, &mut self.state, storage, &mut effects).count_wrong()
    }

    /// What this node knows of the ring of Chord.
    #[must_use]
    pub const fn chord(&self) -> &Table {
        self.state.ring.table()
    }

    /// Homes to which this node owes hints, and how many, records and chunks together.
    #[must_use]
    pub fn hints(&self) -> Vec<(NodeId, u64)> {
        self.state.hints.all().collect()
    }
}

/// One input being taken, with the operations it may wake.
struct Turn<'a> {
    step: Step<'a>,
    ops: &'a mut BTreeMap<OpId, Running>,
    timers: &'a mut BTreeSet<(u64, OpId)>,
}

impl Turn<'_> {
    fn peer(&mut self, from: NodeId, envelope: Envelope) {
        if envelope.header.cluster != self.step.state.config.cluster {
            return;
        }
        self.step.state.silent.heard(from, self.step.now.mono_us);
        if self.is_dead(&envelope) {
            return;
        }
        match envelope.message {
            Message::Forward { op, above, mut request } => {
                request.deadline_ms = request.deadline_ms.min(envelope.header.deadline_ms);
                if self.step.state.handed_over.is_new(from, op) {
                    self.claim(from, op, above, request);
                }
            }
            Message::Claim {
                op: claim,
                forward,
                up_to,
            } => {
                self.wake(forward, &mut |running, step| running.claimed(step, from, claim, up_to));
            }
            Message::WriteReply { op, .. }
            | Message::ReadReply { op, .. }
            | Message::ForwardReply { op, .. }
            | Message::WriteChunkReply { op, .. }
            | Message::ReadChunkReply { op, .. }
            | Message::ListReply { op, .. }
            | Message::WriteSideReply { op, .. }
            | Message::ReadSideReply { op, .. }
            | Message::CountReply { op, .. }
            | Message::CompareReply { op, .. }
            | Message::ClaimReply { op, .. }
            | Message::Announced { op, .. }
            | Message::CollectReply { op, .. } => {
                let mut message = Some(envelope.message);
                self.wake(op, &mut |running, step| match message.take() {
                    Some(message) => running.reply(step, from, message),
                    None => Progress::Done,
                });
            }
            _ => self.step.serve(from, envelope),
        }
    }

    /// Asks whether a write that another node hands over is still wanted, unless there is too much already: the member then gives it
    /// to another home.
    fn claim(&mut self, from: NodeId, op: OpId, above: Tick, request: ClientRequest) {
        if !request.what.needs_claim() {
            let origin = Origin::Forwarded {
                by: from,
                op,
                until_us: u64::MAX,
                up_to: Tick(u64::MAX),
                above,
            };
            return self.begin_within_bounds(origin, request);
        }
        if self.is_overloaded() {
            // Nothing is granted, and nothing will be done.
            let origin = Origin::Forwarded {
                by: from,
                op,
                until_us: 0,
                up_to: Tick(0),
                above,
            };
            return self.refuse(origin, &request);
        }
        ClaimOp::spawn(&mut self.step, from, op, above, request);
    }

    /// Rule G2: what carries records dies, or one that everybody had forgotten could come back with it.
    fn is_dead(&self, envelope: &Envelope) -> bool {
        envelope.message.carries_records() && self.step.is_outlived(envelope.header.content_ms)
    }

    fn synced(&mut self, seq: WriteSeq) {
        for waiter in self.step.state.take_synced(seq) {
            match waiter {
                Waiter::Send(to, envelope) => self.step.effects.push(Effect::Send(to, envelope)),
                Waiter::Own(op) => self.wake(op, &mut |running, step| running.own_synced(step)),
                Waiter::Unpark(Parked::Put(incoming)) => self.step.begin_put(*incoming),
                Waiter::Unpark(Parked::Operation(op)) => self.wake(op, &mut |running, step| running.timer(step)),
            }
        }
    }

    fn chunk_written(&mut self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        self.step.state.chunks_changed(token);
        match self.step.state.take_chunk_waiter(token) {
            Some(ChunkWaiter::Own(op)) => {
                self.wake(op, &mut |running, step| running.own_chunk_written(step, result));
            }
            Some(ChunkWaiter::Member(node, op, owed)) => {
                let result = result.map_err(Refusal::from);
                self.step
                    .reply_when_synced(owed, node, Message::WriteChunkReply { op, result });
            }
            None => {}
        }
    }

    fn chunk_read(&mut self, token: ChunkToken, result: Result<Option<Bytes>, ReadError>) {
        if let (Some((partition, chunk)), Err(ReadError::Corrupt)) = (self.step.state.take_chunk_read(token), &result) {
            MendOp::spawn(&mut self.step, partition, chunk);
        }
        match self.step.state.take_chunk_waiter(token) {
            Some(ChunkWaiter::Own(op)) => {
                self.wake(op, &mut |running, step| running.own_chunk_read(step, result.clone()));
            }
            Some(ChunkWaiter::Member(node, op, _)) => {
                let result = match result {
                    Ok(body) => body.ok_or(Refusal::Absent),
                    Err(error) => Err(error.into()),
                };
                self.step.reply(node, Message::ReadChunkReply { op, result });
            }
            None => {}
        }
    }

    /// Chunks are gone. That they are not indexed any more is not on disk yet; once anything later is, it is.
    fn chunks_removed(&mut self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        self.step.state.chunks_changed(token);
        match self.step.state.take_chunk_waiter(token) {
            Some(ChunkWaiter::Own(op)) => {
                self.wake(op, &mut |running, step| running.own_chunks_removed(step, result));
            }
            Some(ChunkWaiter::Member(node, op, _)) => {
                let result = result.map(|()| Collected::Done).map_err(Refusal::from);
                let seq = self.step.write(Batch::default(), Tick(0));
                self.step
                    .reply_when_synced(seq, node, Message::CollectReply { op, result });
            }
            None => {}
        }
    }

    fn timer(&mut self) {
        let now_us = self.step.now.mono_us;
        while let Some((wake_us, op)) = self.timers.first().copied() {
            if wake_us > now_us {
                break;
            }
            self.timers.pop_first();
            self.wake(op, &mut |running, step| running.timer(step));
        }
    }

    /// Lets an operation act; it goes on under the id it then has, or ends.
    fn wake(&mut self, op: OpId, event: Event<'_>) {
        let Some(mut running) = self.ops.remove(&op) else {
            return;
        };
        self.timers.remove(&(running.wake_us, op));
        self.step.state.stragglers.remove(op);
        let progress = event(running.op.as_mut(), &mut self.step);
        self.keep(running.op, progress);
    }

    fn keep(&mut self, op: Box<dyn Coordinate>, progress: Progress) {
        if let Progress::Until(wake_us) = progress {
            let wake_us = self.wake_time_us(op.as_ref(), wake_us);
            let (id, straggling_bytes) = (op.id(), op.straggling_bytes());
            self.timers.insert((wake_us, id));
            self.ops.insert(id, Running { op, wake_us });
            self.note_straggler(id, straggling_bytes);
        }
    }

    /// Starts what this turn began and wakes what it made ready, until nothing is left.
    fn settle(&mut self) {
        CollectOp::spawn_if_wanted(&mut self.step);
        SweepOp::spawn_if_due(&mut self.step);
        ScrubOp::spawn_if_due(&mut self.step);
        self.step.compare_if_due();
        self.step.heal_entries_if_due();
        self.step.cut_grown();
        loop {
            if let Some(mut op) = self.step.spawned.pop() {
                let progress = op.start(&mut self.step);
                self.keep(op, progress);
            } else if let Some(op) = self.step.own_synced.pop() {
                self.wake(op, &mut |running, step| running.own_synced(step));
            } else {
                return;
            }
        }
    }
}
