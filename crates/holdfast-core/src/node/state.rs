//! What a node remembers between inputs, apart from operations in flight, and the step that may change it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::asked::Asked;
use super::clock::{BoundNotDurable, Clock};
use super::dead::DeadIndex;
use super::fingerprints::Fingerprints;
use super::handed_over::HandedOver;
use super::heard::Heard;
use super::hints::HintIndex;
use super::identity::Identity;
use super::replaced::Replaced;
use super::ring::Ring;
use super::silent::Silent;
use super::standing::Standing;
use super::stragglers::Stragglers;
use super::{Config, Effect};
use crate::coordinate::Coordinate;
use crate::coordinate::mend::Mends;
use crate::coordinate::put::Incoming;
use crate::event::ClusterEvent;
use crate::fingerprint::FingerprintKey;
use crate::gossip::Gossip;
use crate::ids::{BucketId, ChunkId, NodeId, ObjectKey, Partition, RequestId, Tick};
use crate::layout::Layout;
use crate::message::{Envelope, Header, Message, OpId};
use crate::place::Place;
use crate::planted::Planted;
use crate::registry::Registry;
use crate::request::Count;
use crate::scrub::ScrubReport;
use crate::storage::{Batch, ChunkHeader, ChunkToken, Storage, WriteSeq};
use crate::time::Now;

/// Memory of a node.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    /// Whether this node may speak for what its disk holds.
    pub(crate) standing: Standing,
    /// What it heard of the disks of others.
    pub(crate) heard: Heard,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
    /// Rows of the system bucket that were met here and could not be read.
    pub(crate) entries_unreadable: u64,
    /// Those whose place is known: they are had from other members as soon as one is there.
    pub(crate) entries_damaged: Vec<Place>,
    /// When the others are asked for those next, in monotonic microseconds.
    pub(crate) next_entries_us: Option<u64>,
    /// Damage to one of them hides those behind it, until it is healed.
    pub(crate) is_registry_cut: bool,
    /// What is known of the other members.
    pub(crate) gossip: Gossip,
    /// What is known of the ring of Chord.
    pub(crate) ring: Ring,
    /// Members that messages can be sent to.
    pub(crate) up: BTreeSet<NodeId>,
    /// Objects and bytes per partition and bucket, as far as they were needed yet.
    pub(crate) counts: BTreeMap<(Partition, BucketId), Count>,
    /// Keys that are being repaired, so that a hot stale key is repaired once.
    pub(crate) repairing: BTreeSet<Place>,
    /// What this node owes homes that were away.
    pub(crate) hints: HintIndex,
    /// What this node and others should have in common.
    pub(crate) fingerprints: Fingerprints,
    /// What scrubs found.
    pub(crate) scrub: ScrubReport,
    /// The repair that somebody asked for.
    pub(crate) asked: Asked,
    /// Members that this node is comparing itself with.
    pub(crate) comparing: BTreeSet<NodeId>,
    /// When it compares itself with the next of them, in monotonic microseconds.
    pub(crate) next_compare_us: Option<u64>,
    /// With which it did so last.
    pub(crate) compared_last: Option<NodeId>,
    /// Rows and chunks that comparisons found to differ, in this run.
    pub(crate) differences: u64,
    /// Keys whose copies were made equal or written again, in this run.
    pub(crate) records_repaired: u64,
    /// Damaged chunks that were written again, in this run.
    pub(crate) chunks_mended: u64,
    /// Bodies that wait to be forgotten.
    pub(crate) dead: DeadIndex,
    /// Homes to which hints are being handed off.
    pub(crate) handing_off: BTreeSet<NodeId>,
    /// Hints on their way, by home, so that none is sent twice at once.
    pub(crate) delivering: BTreeSet<(NodeId, Place)>,
    /// Writes that other nodes handed over lately.
    pub(crate) handed_over: HandedOver,
    /// Client writes that took effect here and were replaced since (rule D7).
    pub(crate) replaced: Replaced,
    /// Operations that are answered and live on for members that are slow.
    pub(crate) stragglers: Stragglers,
    /// Requests refused in this run because too much was in flight.
    pub(crate) refused: u64,
    /// Smoothed time that members take to answer a read, in microseconds (rule Q2: a short, measured delay).
    pub(crate) read_latency_us: u64,
    /// Who owes an answer and says nothing.
    pub(crate) silent: Silent,
    next_op: u64,
    next_chunk: u64,
    synced: WriteSeq,
    waiting: VecDeque<(WriteSeq, Waiter)>,
    chunk_waiting: BTreeMap<ChunkToken, ChunkWaiter>,
    /// Which chunk is being read under a token.
    chunk_reads: BTreeMap<ChunkToken, (Partition, ChunkId)>,
    /// The partitions whose chunks change under a token.
    chunk_changes: BTreeMap<ChunkToken, Vec<Partition>>,
    /// Damaged chunks that are written again.
    pub(crate) mends: Mends,
}

/// What waits for a batch to be on disk.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all that waits is replies; a box for each would cost more"
)]
pub(crate) enum Waiter {
    /// A reply that promises it.
    Send(NodeId, Envelope),
    /// An operation that counts its own copy.
    Own(OpId),
    /// A request that needs ticks above the bound that was durable when it came.
    Unpark(Parked),
}

/// What is parked until the tick bound is durable.
pub(crate) enum Parked {
    /// A write that has not begun.
    Put(Box<Incoming>),
    /// An operation that needs a further tick.
    Operation(OpId),
}

/// Who waits for a chunk.
#[derive(Clone, Copy)]
pub(crate) enum ChunkWaiter {
    /// A member, for its operation; it is answered once this batch is on disk, too: whom the chunk is owed to.
    Member(NodeId, OpId, WriteSeq),
    /// An operation here.
    Own(OpId),
}

impl State {
    pub(crate) fn new(
        config: Config,
        identity: Identity,
        standing: Standing,
        clock: Clock,
        registry: Registry,
        gossip: Gossip,
    ) -> Self {
        // Operation ids of different runs do not meet: a late reply to an earlier one finds nobody. Boots are counted anew on a
        // new disk, hence the run.
        let next_op = (identity.boot & 0xff) << 56 | (standing.announcement.run & 0xffff) << 40;
        let fingerprints = Fingerprints::unread(config.fingerprint_key);
        let ring = Ring::new(config.node, config.layout.members().iter().map(|member| member.id));
        Self {
            ring,
            config,
            identity,
            standing,
            heard: Heard::default(),
            clock,
            registry: Arc::new(registry),
            entries_unreadable: 0,
            entries_damaged: Vec::new(),
            next_entries_us: None,
            is_registry_cut: false,
            gossip,
            up: BTreeSet::new(),
            counts: BTreeMap::new(),
            repairing: BTreeSet::new(),
            hints: HintIndex::default(),
            fingerprints,
            scrub: ScrubReport::default(),
            asked: Asked::default(),
            comparing: BTreeSet::new(),
            next_compare_us: None,
            compared_last: None,
            differences: 0,
            records_repaired: 0,
            chunks_mended: 0,
            dead: DeadIndex::default(),
            handing_off: BTreeSet::new(),
            delivering: BTreeSet::new(),
            handed_over: HandedOver::default(),
            replaced: Replaced::default(),
            stragglers: Stragglers::default(),
            refused: 0,
            read_latency_us: 2_000,
            silent: Silent::default(),
            next_op,
            next_chunk: 0,
            synced: WriteSeq(0),
            waiting: VecDeque::new(),
            chunk_waiting: BTreeMap::new(),
            chunk_reads: BTreeMap::new(),
            chunk_changes: BTreeMap::new(),
            mends: Mends::default(),
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.config.layout
    }

    pub(crate) fn me(&self) -> NodeId {
        self.config.node
    }

    pub(crate) fn new_op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op)
    }

    /// Whether a member is to be used: messages can be sent to it, and gossip does not hold it down (rule F1). Always so
    /// for this node itself.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        node == self.config.node || (self.up.contains(&node) && !self.gossip.is_down(node))
    }

    pub(crate) fn place(&self, settings: &crate::bucket::Settings, key: &ObjectKey) -> Place {
        Place::of_object(settings, key, self.layout().partition_bits())
    }

    /// Number of homes that rows of a bucket have.
    pub(crate) fn n_of(&self, bucket: BucketId) -> u8 {
        if bucket == crate::ids::SYSTEM_BUCKET {
            return u8::MAX;
        }
        self.registry
            .bucket_by_id(bucket)
            .map_or(crate::registry::N_DEFAULT, |bucket| bucket.settings.n)
    }

    /// Takes note that everything up to `seq` is on disk, and returns what waited for it.
    pub(crate) fn take_synced(&mut self, seq: WriteSeq) -> Vec<Waiter> {
        self.synced = self.synced.max(seq);
        self.clock.synced(self.synced);
        self.gossip.set_tick_bound(self.clock.durable());
        let ready = self.waiting.partition_point(|(needed, _)| *needed <= self.synced);
        self.waiting.drain(..ready).map(|(_, waiter)| waiter).collect()
    }

    /// How much waits for the disk's next syncs.
    pub(crate) fn unsynced_count(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn take_chunk_waiter(&mut self, token: ChunkToken) -> Option<ChunkWaiter> {
        self.chunk_waiting.remove(&token)
    }

    /// Whether a chunk of a partition is being written or removed.
    pub(crate) fn are_chunks_changing(&self, partition: Partition) -> bool {
        self.chunk_changes
            .values()
            .any(|partitions| partitions.contains(&partition))
    }

    /// Chunks were changed under a token, or it was tried.
    pub(crate) fn chunks_changed(&mut self, token: ChunkToken) {
        for partition in self.chunk_changes.remove(&token).into_iter().flatten() {
            self.fingerprints.forget_chunks(partition);
        }
    }

    pub(crate) const fn fingerprint_key(&self) -> FingerprintKey {
        self.config.fingerprint_key
    }

    pub(crate) fn take_chunk_read(&mut self, token: ChunkToken) -> Option<(Partition, ChunkId)> {
        self.chunk_reads.remove(&token)
    }

    pub(crate) fn is_planted(&self, fault: Planted) -> bool {
        fault.is(self.config.planted)
    }
}

/// One input being taken: the state, the disk, the time, and what is to be done.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    /// When what this input carries was read: now, unless a member sent it (rule G2).
    pub(crate) content_ms: u64,
    pub(crate) state: &'a mut State,
    pub(crate) storage: &'a mut dyn Storage,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// Operations begun in this step.
    pub(crate) spawned: Vec<Box<dyn Coordinate>>,
    /// Operations whose own copy was already on disk when they asked.
    pub(crate) own_synced: Vec<OpId>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        now: Now,
        content_ms: u64,
        state: &'a mut State,
        storage: &'a mut dyn Storage,
        effects: &'a mut Vec<Effect>,
    ) -> Self {
        Self {
            now,
            content_ms,
            state,
            storage,
            effects,
            spawned: Vec::new(),
            own_synced: Vec::new(),
        }
    }
}

impl Step<'_> {
    /// A message about a client's write or read.
    pub(crate) fn envelope(&self, message: Message, about: About) -> Envelope {
        let layout = self.state.layout();
        Envelope {
            header: Header {
                cluster: self.state.config.cluster,
                era: layout.era(),
                epoch: layout.epoch(),
                settings_version: about.settings_version,
                request: about.request,
                content_ms: about.content_ms.unwrap_or(self.now.wall_ms),
                deadline_ms: about.deadline_ms,
            },
            message,
        }
    }

    /// Sends to a member.
    pub(crate) fn send(&mut self, to: NodeId, message: Message, about: About) {
        let envelope = self.envelope(message, about);
        self.effects.push(Effect::Send(to, envelope));
    }

    /// Whether a time, by whichever member's clock, lies two message lives back by this one's: one for the message, and one by
    /// which clocks may differ (rule G2).
    pub(crate) const fn is_outlived(&self, unix_ms: u64) -> bool {
        unix_ms.saturating_add(2 * self.state.config.message_life_ms) < self.now.wall_ms
    }

    /// Tells whoever keeps a record of what happens.
    pub(crate) fn tell(&mut self, event: ClusterEvent) {
        self.effects.push(Effect::Event(event));
    }

    /// Answers a member's question.
    pub(crate) fn reply(&mut self, to: NodeId, message: Message) {
        self.send(to, message, About::default());
    }

    /// Answers a member once everything up to `seq` is on disk.
    pub(crate) fn reply_when_synced(&mut self, seq: WriteSeq, to: NodeId, message: Message) {
        let envelope = self.envelope(message, About::default());
        self.wait(seq, Waiter::Send(to, envelope));
    }

    /// Does something once everything up to `seq` is on disk; at the end of this step if it already is.
    pub(crate) fn wait(&mut self, seq: WriteSeq, waiter: Waiter) {
        if seq <= self.state.synced {
            match waiter {
                Waiter::Send(to, envelope) => return self.effects.push(Effect::Send(to, envelope)),
                Waiter::Own(op) => return self.own_synced.push(op),
                Waiter::Unpark(_) => {}
            }
            self.state.waiting.push_front((seq, waiter));
        } else {
            let at = self.state.waiting.partition_point(|(needed, _)| *needed <= seq);
            self.state.waiting.insert(at, (seq, waiter));
        }
    }

    /// Writes a batch, with a higher tick bound in it if one is due for ticks up to `seen`.
    pub(crate) fn write(&mut self, mut batch: Batch, seen: Tick) -> WriteSeq {
        self.note_in_fingerprints(&batch);
        let bound = self.state.clock.raise(self.now.wall_ms, seen, &mut batch);
        let seq = self.storage.write(batch);
        if let Some(bound) = bound {
            self.state.clock.bound_written(bound, seq);
        }
        seq
    }

    /// Writes what changes, if anything does; the batch to wait for. What changes nothing may rest on what is not on disk yet.
    pub(crate) fn write_changes(&mut self, batch: Batch) -> WriteSeq {
        if batch.changes.is_empty() {
            self.storage.last_write()
        } else {
            self.write(batch, Tick(0))
        }
    }

    /// After [`BoundNotDurable`]: makes sure that the bound is being raised, and says for which batch to wait.
    pub(crate) fn await_bound(&mut self, _: BoundNotDurable, seen: Tick) -> WriteSeq {
        let mut batch = Batch::default();
        if let Some(bound) = self.state.clock.raise(self.now.wall_ms, seen, &mut batch) {
            let seq = self.storage.write(batch);
            self.state.clock.bound_written(bound, seq);
        }
        self.state.clock.written_in()
    }

    /// A token for a chunk operation on this disk.
    pub(crate) fn chunk_token(&mut self, waiter: ChunkWaiter) -> ChunkToken {
        self.state.next_chunk += 1;
        let token = ChunkToken(self.state.next_chunk);
        self.state.chunk_waiting.insert(token, waiter);
        token
    }
}

impl Step<'_> {
    /// Writes a chunk to this disk.
    pub(crate) fn write_own_chunk(&mut self, waiter: ChunkWaiter, header: ChunkHeader, body: Bytes) {
        let token = self.chunk_token(waiter);
        self.state.chunk_changes.insert(token, Vec::from([header.partition]));
        self.storage.write_chunk(token, header, body);
    }

    /// Removes chunks from this disk.
    pub(crate) fn remove_own_chunks(&mut self, waiter: ChunkWaiter, chunks: Vec<(Partition, ChunkId)>) {
        let token = self.chunk_token(waiter);
        let mut partitions: Vec<Partition> = chunks.iter().map(|(partition, _)| *partition).collect();
        partitions.dedup();
        self.state.chunk_changes.insert(token, partitions);
        self.storage.remove_chunks(token, chunks);
    }

    /// Reads a range of a chunk on this disk; should it turn out to be damaged, it is mended.
    pub(crate) fn read_own_chunk(
        &mut self,
        waiter: ChunkWaiter,
        partition: Partition,
        id: ChunkId,
        from: u32,
        length: u32,
    ) {
        let token = self.chunk_token(waiter);
        self.state.chunk_reads.insert(token, (partition, id));
        self.storage.read_chunk(token, partition, id, from, length);
    }
}

/// What a message is about, for its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct About {
    pub(crate) settings_version: u64,
    pub(crate) request: RequestId,
    pub(crate) deadline_ms: u32,
    /// When the records in it were read, in Unix milliseconds; now, if not said (rule G2).
    pub(crate) content_ms: Option<u64>,
}

impl About {
    /// About nothing but when its records were read.
    pub(crate) fn as_of(content_ms: u64) -> Self {
        Self {
            content_ms: Some(content_ms),
            ..Self::default()
        }
    }
}
