//! What nodes say to each other. Plain values: their bytes are the business of [`crate::wire`].
//!
//! Every message is idempotent, so that loss is answered by sending again and duplication by nothing. A reply names the
//! operation of whoever asked; an operation that is over ignores it.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::context::Context;
use crate::dead::{Collect, Collected};
use crate::fingerprint::Fingerprint;
use crate::gateway::Directions;
use crate::ids::{BucketId, ChunkId, ClusterId, Dot, NodeId, Partition, Position, RequestId, Tick};
pub use crate::node::heard::{Announcement, Known};
use crate::place::Place;
use crate::record::Record;
use crate::request::{Answer, ClientRequest, Count, WantedBodies};
use crate::storage::{ChunkHeader, Space};
use crate::wire::encoded::EncodedRecord;

/// An operation of the node that asks; unique per process, so a reply to an earlier life of a node finds nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct OpId(pub u64);

/// Digest of a record or a range: the first 16 bytes of a BLAKE3 hash over its encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Digest(pub [u8; 16]);

/// What every message carries, whether its present reader uses it or not: room that cannot be added later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Which cluster; a message from another is refused.
    pub cluster: ClusterId,
    /// Of the sender's layout.
    pub era: u32,
    /// Of the sender's layout.
    pub epoch: u64,
    /// Bucket settings the request was judged by (rule B4); 0 when it concerns no bucket.
    pub settings_version: u64,
    /// The client's write, when there is one (rule D7).
    pub request: RequestId,
    /// Unix milliseconds at which its content was read from a disk or client (rule G2).
    pub content_ms: u64,
    /// Milliseconds that the asker will still wait; 0 in replies.
    pub deadline_ms: u32,
}

/// A message with its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// What every message carries.
    pub header: Header,
    /// What it says.
    pub message: Message,
}

/// A record and the body rows of its versions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Copy {
    /// The whole record; what travels is never less (rule D3).
    pub record: Record,
    /// Body rows by dot: all of them where a replica may need them.
    pub bodies: Vec<(Dot, Bytes)>,
}

/// What nodes say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A coordinator asks a home to merge a record.
    Write(Write),
    /// How that went, once synced.
    WriteReply {
        /// Of the coordinator.
        op: OpId,
        /// Merged and synced, or why not.
        result: Result<Written, Refusal>,
    },
    /// A coordinator asks a home for its copy.
    Read {
        /// Of the coordinator.
        op: OpId,
        /// Which key.
        place: Place,
        /// Digest of a copy the coordinator has; an equal one need not be sent.
        known: Option<Digest>,
        /// Which body rows to send along.
        bodies: WantedBodies,
        /// It is to be merged with others. Then a home that fills a lost disk says what it has by now, which need not be all.
        to_merge: bool,
    },
    /// The copy.
    ReadReply {
        /// Of the coordinator.
        op: OpId,
        /// What the home has.
        result: Result<ReadResult, Refusal>,
    },
    /// A node that is no home of the key hands a write to one that is (rule D7: same request id); a gateway, everything.
    Forward {
        /// Of the forwarder.
        op: OpId,
        /// Up to this tick other homes may have done it already; zero when none was granted it.
        above: Tick,
        /// The client's request as it came.
        request: ClientRequest,
    },
    /// What the coordinator would have told the client.
    ForwardReply {
        /// Of the forwarder.
        op: OpId,
        /// The answer.
        answer: Answer,
    },
    /// Store a chunk.
    WriteChunk {
        /// Of the coordinator.
        op: OpId,
        /// What it says of itself.
        header: ChunkHeader,
        /// Its bytes.
        body: Bytes,
        /// Homes for which the receiver is to hold it; none when it is a home itself (rule L6).
        stands_for: Vec<NodeId>,
    },
    /// How that went, once synced.
    WriteChunkReply {
        /// Of the coordinator.
        op: OpId,
        /// Stored, or why not.
        result: Result<(), Refusal>,
    },
    /// Read part of a chunk.
    ReadChunk {
        /// Of the coordinator.
        op: OpId,
        /// Partition of the chunk's position.
        partition: Partition,
        /// Which chunk.
        id: ChunkId,
        /// First byte.
        from: u32,
        /// Bytes wanted.
        length: u32,
    },
    /// The bytes.
    ReadChunkReply {
        /// Of the coordinator.
        op: OpId,
        /// The bytes, or why not; [`Refusal::Absent`] when there is no such chunk here.
        result: Result<Bytes, Refusal>,
    },
    /// Read ranges of several index shards.
    List {
        /// Of the coordinator.
        op: OpId,
        /// The same question for each shard.
        walk: Walk,
        /// Where in each shard, and what the coordinator has of it already.
        shards: Vec<ShardCursor>,
    },
    /// The rows, shard by shard in the order asked.
    ListReply {
        /// Of the coordinator.
        op: OpId,
        /// What each shard holds.
        result: Result<Vec<ShardRows>, Refusal>,
    },
    /// Merge an upload row or a part row.
    WriteSide {
        /// Of the coordinator.
        op: OpId,
        /// Rows to merge; each in [`Space::Uploads`] or [`Space::Parts`].
        rows: Vec<SideRow>,
        /// Refuse part rows whose upload is closed here. Off when replicas are made equal.
        check_open: bool,
    },
    /// How that went, once synced.
    WriteSideReply {
        /// Of the coordinator.
        op: OpId,
        /// Merged, or why not.
        result: Result<(), Refusal>,
    },
    /// Read side rows of a key range.
    ReadSide {
        /// Of the coordinator.
        op: OpId,
        /// Ranges of rows, each `[from, to)` in a space.
        ranges: Vec<SideRange>,
        /// At most so many rows per range.
        count_max: u32,
    },
    /// The rows, range by range in the order asked.
    ReadSideReply {
        /// Of the coordinator.
        op: OpId,
        /// Rows per range, and whether each was cut short.
        result: Result<Vec<(Vec<SideRow>, bool)>, Refusal>,
    },
    /// Objects and bytes of a bucket in some partitions.
    Count {
        /// Of the coordinator.
        op: OpId,
        /// Which bucket.
        bucket: BucketId,
        /// In which partitions.
        partitions: Vec<Partition>,
    },
    /// The sum.
    CountReply {
        /// Of the coordinator.
        op: OpId,
        /// The sum, or why not.
        result: Result<Count, Refusal>,
    },
    /// Is your range equal to mine? (rule A1)
    Compare {
        /// Of the asker.
        op: OpId,
        /// Which rows.
        what: Compared,
        /// First key, inclusive.
        from: Vec<u8>,
        /// Last key, exclusive; empty for the end of the space.
        to: Vec<u8>,
        /// Of the asker's rows in the range that both nodes should hold.
        fingerprint: Fingerprint,
    },
    /// It is, or what I have there.
    CompareReply {
        /// Of the asker.
        op: OpId,
        /// What was found, or why nothing was.
        result: Result<Comparison, Refusal>,
    },
    /// Do you still wait for me to do what you handed over? (rule D7)
    Claim {
        /// Of the node to which it was handed.
        op: OpId,
        /// Under which it was handed over.
        forward: OpId,
        /// No tick above this is issued for it without asking again.
        up_to: Tick,
    },
    /// I do, and will for a while. Who does not, says nothing.
    ClaimReply {
        /// Of the node to which it was handed.
        op: OpId,
        /// Up to which tick.
        up_to: Tick,
    },
    /// I have started (rule S1). Do you know of later starts?
    Announce {
        /// Of the node that started.
        op: OpId,
        /// What it knows of its data.
        said: Announcement,
    },
    /// What is known, once the start is noted on disk.
    Announced {
        /// Of the node that started.
        op: OpId,
        /// What is known.
        known: Known,
        /// The run of whoever says so.
        run: u64,
    },
    /// Which way to a position? Asked by whoever does not know the layout.
    Find {
        /// Of the asker.
        op: OpId,
        /// The position.
        to: Position,
        /// Who did not answer the asker: not to be named again.
        dead: Vec<NodeId>,
    },
    /// That way.
    FindReply {
        /// Of the asker.
        op: OpId,
        /// What this node knows.
        directions: Directions,
    },
    /// A collector of dead bodies asks (rule D10).
    Collect {
        /// Of the collector.
        op: OpId,
        /// What.
        ask: Collect,
    },
    /// The answer.
    CollectReply {
        /// Of the collector.
        op: OpId,
        /// What was asked, or why not.
        result: Result<Collected, Refusal>,
    },
}

impl Message {
    /// Whether it carries records, or rows beside them, that its receiver may write: such a message dies (rule G2). A write
    /// that is handed over does not: whoever takes it asks back first (rule D7).
    #[must_use]
    pub(crate) const fn carries_records(&self) -> bool {
        matches!(
            self,
            Self::Write(_) | Self::WriteSide { .. } | Self::ReadReply { .. } | Self::ReadSideReply { .. }
        )
    }
}

/// A write of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Of the coordinator.
    pub op: OpId,
    /// Which key.
    pub place: Place,
    /// The put's own context, its dot included: what the client or coordinator knew. The record's may have grown by a
    /// merge since (rule D4).
    pub own_context: Context,
    /// The record with its bodies.
    pub copy: Copy,
    /// Upload and part rows that change in the same batch: completing an upload closes its row.
    pub side: Vec<SideRow>,
    /// Whether this commits a new version, or makes a stale copy equal: only a commit is bound by deadlines.
    pub purpose: WritePurpose,
    /// Homes for which the receiver is to hold the record as a hint; none when it is a home itself (rule L6).
    pub stands_for: Vec<NodeId>,
}

/// Why a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WritePurpose {
    /// A client's write.
    Commit,
    /// Repair of a stale or missing copy.
    Repair,
    /// A hint on its way to a home it is owed to (rule H3).
    Handoff,
}

/// A home's answer to a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// What the copy knows now.
    pub context: Context,
    /// Its whole context from before, when it held versions that the put's own context did not cover (rule D4).
    pub beyond: Option<Context>,
    /// For how many homes it stood in, by the message that it answers (rule H1).
    pub stands_for: u8,
}

/// A home's answer to a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadResult {
    /// Nobody ever wrote this key here.
    Absent,
    /// The record equals the one whose digest was named.
    Same,
    /// The copy.
    Copy(Copy),
}

/// Why a replica did not do what was asked. It changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its copy is damaged: not an answer, never *absent* (rule Q3).
    Damaged,
    /// No such chunk here.
    Absent,
    /// The disk refused.
    Io,
    /// The reserve of free space has been reached.
    DiskFull,
    /// A tick more than 60 s ahead of its clock (rule S4).
    ClockRefused,
    /// The upload is closed.
    UploadClosed,
    /// The commit deadline of the body has passed (rule D10).
    CommitDeadlinePassed,
    /// It is no home of this partition (rule L6).
    NotHome,
    /// The message contradicts itself: a body missing or not matching its digest.
    Malformed,
    /// Too much is in flight.
    Overloaded,
    /// Its disk has not been read through since it started (rule A2).
    NotReadYet,
    /// Its disk may have forgotten what it acknowledged (rules S1, S2): no answer, and no vote. What it was sent to store as a
    /// home it may have stored.
    Abstains,
}

/// How index shards are to be walked (rule Q4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// Of the bucket.
    pub bucket: BucketId,
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that contain it after the prefix are grouped: one live key of a group ends it. Empty for none.
    pub delimiter: String,
    /// Live keys and groups wanted per shard.
    pub live_max: u32,
    /// Rows looked at per shard at most, deleted ones included.
    pub rows_max: u32,
}

/// Where a shard's walk starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardCursor {
    /// Which shard.
    pub shard: u16,
    /// Where it lives.
    pub partition: Partition,
    /// First key wanted, inclusive.
    pub from: String,
    /// What the coordinator has of this very walk, up to and including which key; an equal digest need not be answered
    /// with rows.
    pub known: Option<(WalkEnd, Digest)>,
}

/// How far a walk came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WalkEnd {
    /// Up to and including this key; there may be more.
    Cut(String),
    /// To the end of the prefix.
    Exhausted,
}

/// What a walk of one shard found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShardRows {
    /// The digest named in the question is right.
    Same,
    /// The rows.
    Rows {
        /// Every row looked at, deleted ones included, in key order. In a group, nothing after its first live row.
        rows: Vec<(String, EncodedRecord)>,
        /// How far it came.
        end: WalkEnd,
    },
}

/// An encoded row of [`Space::Uploads`] or [`Space::Parts`]; its value merges by the rules of [`crate::upload`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SideRow {
    /// Which space.
    pub space: Space,
    /// Its whole key.
    pub key: Vec<u8>,
    /// Its encoded value.
    pub value: Bytes,
}

/// A range of side rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SideRange {
    /// Which space.
    pub space: Space,
    /// First key, inclusive.
    pub from: Vec<u8>,
    /// Last key, exclusive.
    pub to: Vec<u8>,
}

impl SideRange {
    /// The range, made empty when it runs backwards: a disk may not be asked for that.
    #[must_use]
    pub(crate) fn forward(&self) -> Self {
        Self {
            space: self.space,
            from: self.from.clone().min(self.to.clone()),
            to: self.to.clone(),
        }
    }
}

/// What a comparison is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compared {
    /// Rows of a space.
    Rows(Space),
    /// Chunks; keys are `[partition][part id][index]`, big endian.
    Chunks,
}

/// What comparing a range found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// No difference.
    Equal,
    /// Few rows, or many that the asker lacks: here they are.
    Rows(RangeRows),
    /// The range in pieces, in order: where each ends, exclusive, and its fingerprint. The first begins where the range
    /// does, and the last ends where it does.
    Pieces(Vec<(Vec<u8>, Fingerprint)>),
}

/// What the other side of a comparison holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeRows {
    /// Keys and digests of all its rows from the start of the range.
    pub rows: Vec<(Vec<u8>, Digest)>,
    /// Where the list ends, exclusive; equals the range's end unless it had to be cut.
    pub to: Vec<u8>,
}
