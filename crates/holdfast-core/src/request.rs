//! What a front end asks of the cluster and what it is told: everything a coordinator knows, nothing hidden (rule Q1).

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::bucket::Settings;
use crate::content::{Manifest, StoredBody};
use crate::context::Context;
use crate::ids::{ChunkId, Dot, NodeId, ObjectKey, PartId, Partition, Position, RequestId, UploadId};
use crate::record::Record;
use crate::wire::encoded::EncodedRecord;

/// A request with what all of them share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientRequest {
    /// Identity of this request; for writes it is kept in the version (rule D7).
    pub request: RequestId,
    /// How long the client will wait, in milliseconds from now.
    pub deadline_ms: u32,
    /// What is asked.
    pub what: Request,
}

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Write a version, a deletion included.
    Put(Put),
    /// Read a record.
    Get(Get),
    /// Read a page of keys.
    List(List),
    /// Store one chunk on its homes.
    WriteChunk(WriteChunk),
    /// Read part of one chunk from whoever has it.
    ReadChunk(ReadChunk),
    /// Begin, extend, read or end a multipart upload.
    Upload(Upload),
    /// Objects and bytes of a bucket.
    Count(Settings),
}

impl Request {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        match self {
            Self::Get(_) | Self::List(_) | Self::ReadChunk(_) | Self::Count(_) => true,
            Self::Upload(upload) => matches!(upload.step, UploadStep::Read { .. } | UploadStep::List { .. }),
            Self::Put(_) | Self::WriteChunk(_) => false,
        }
    }

    /// Whether a node that it was handed to must ask before it begins whether it is still wanted (rule D7): doing it late would undo
    /// what came after. A chunk is what it is, whenever it is written.
    #[must_use]
    pub const fn needs_claim(&self) -> bool {
        !self.is_read() && !matches!(self, Self::WriteChunk(_))
    }
}

/// A write of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// The bucket's settings as the front end knows them.
    pub settings: Settings,
    /// Which key.
    pub key: ObjectKey,
    /// What the client had seen; `None` is a blind write, which replaces what it finds (rule D4).
    pub context: Option<Context>,
    /// The version to write.
    pub value: PutValue,
    /// Synced copies wanted, if other than the bucket's.
    pub w: Option<u8>,
    /// Wait for every home up to the deadline, not just for W.
    pub wait_all: bool,
}

/// What is put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PutValue {
    /// A deletion.
    Deletion,
    /// An object.
    Object {
        /// As S3 makes it, without quotes.
        etag: String,
        /// As in [`crate::content::Content::headers`].
        headers: Vec<(String, String)>,
        /// Its body, already on disks if large.
        body: StoredBody,
    },
}

/// A read of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Get {
    /// The bucket's settings as the front end knows them.
    pub settings: Settings,
    /// Which key.
    pub key: ObjectKey,
    /// Copies to ask, if other than the bucket's.
    pub r: Option<u8>,
    /// Which body rows to bring along.
    pub bodies: WantedBodies,
}

/// Which body rows a read brings along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WantedBodies {
    /// None: a HEAD.
    None,
    /// That of the version a plain client sees.
    Newest,
    /// Those of all siblings.
    All,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// The bucket's settings as the front end knows them.
    pub settings: Settings,
    /// Only keys that begin so.
    pub prefix: String,
    /// Groups keys that contain it after the prefix; empty for none.
    pub delimiter: String,
    /// Only keys, and common prefixes, strictly after this; empty for the start.
    pub after: String,
    /// At most so many keys and common prefixes together.
    pub count_max: u32,
}

/// One chunk of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteChunk {
    /// The bucket's settings as the front end knows them.
    pub settings: Settings,
    /// Which object it is for.
    pub owner: ObjectKey,
    /// Which chunk.
    pub id: ChunkId,
    /// Unix milliseconds by which its version must be committed.
    pub commit_deadline_ms: u64,
    /// Its bytes.
    pub body: Bytes,
}

/// A range of one chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadChunk {
    /// The bucket's settings as the front end knows them.
    pub settings: Settings,
    /// Which chunk.
    pub id: ChunkId,
    /// First byte wanted.
    pub from: u32,
    /// Bytes wanted; cut short at the end of the chunk.
    pub length: u32,
}

/// A step of a multipart upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// The bucket's settings as the front end knows them.
    pub settings: Settings,
    /// The key it will become. For [`UploadStep::List`] only the bucket counts.
    pub key: ObjectKey,
    /// The step.
    pub step: UploadStep,
}

/// The steps of a multipart upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UploadStep {
    /// Begin; answers [`Answer::UploadCreated`].
    Create {
        /// Drawn by the front end.
        id: UploadId,
        /// Headers of the object to be, checksum algorithm and type included (`x-amz-checksum-algorithm`, `-type`).
        headers: Vec<(String, String)>,
        /// Who began it.
        initiator: String,
    },
    /// Name a part whose chunks are stored; answers [`Answer::PartStored`].
    PutPart {
        /// Which upload.
        id: UploadId,
        /// The part.
        part: UploadPart,
    },
    /// Read the upload and its parts; answers [`Answer::Upload`].
    Read {
        /// Which upload.
        id: UploadId,
    },
    /// Put the object and close the upload in one write; answers [`Answer::Put`].
    Complete {
        /// Which upload.
        id: UploadId,
        /// ETag of the whole.
        etag: String,
        /// Headers of the object, with checksums of the whole.
        headers: Vec<(String, String)>,
        /// The parts chosen, in order.
        manifest: Manifest,
    },
    /// Close it without an object; answers [`Answer::UploadAborted`].
    Abort {
        /// Which upload.
        id: UploadId,
    },
    /// A page of open uploads; answers [`Answer::Uploads`].
    List {
        /// Only keys that begin so.
        prefix: String,
        /// Only uploads strictly after this (key, id).
        after: (String, Option<UploadId>),
        /// At most so many.
        count_max: u32,
    },
}

/// One uploaded part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadPart {
    /// 1 to 10,000.
    pub number: u16,
    /// The attempt whose chunks hold it.
    pub part: PartId,
    /// Length in bytes.
    pub size: u64,
    /// Length of each of its chunks but the last.
    pub chunk_bytes: u32,
    /// MD5 in hex, without quotes.
    pub etag: String,
    /// `x-amz-checksum-*` pairs.
    pub checksums: Vec<(String, String)>,
    /// Unix milliseconds at which the coordinator took it; 0 when asking.
    pub modified_ms: u64,
}

/// An upload that is, or was, in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadInfo {
    /// Its id.
    pub id: UploadId,
    /// The key it will become.
    pub key: String,
    /// Whether it is still open.
    pub state: UploadState,
    /// Headers of the object to be.
    pub headers: Vec<(String, String)>,
    /// Who began it.
    pub initiator: String,
    /// Unix milliseconds at which it began.
    pub created_ms: u64,
    /// Unix milliseconds after which it can no longer be completed.
    pub commit_deadline_ms: u64,
}

/// State of an upload; it only rises (rule D9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UploadState {
    /// Parts may come.
    Open,
    /// Given up.
    Aborted,
    /// An object was made of it.
    Completed,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To a put, a deletion, a completed upload.
    Put(PutOutcome),
    /// To a get.
    Got(Got),
    /// To a list.
    Page(Page),
    /// The chunk is synced on W homes.
    ChunkWritten,
    /// The bytes asked for.
    ChunkRead(Bytes),
    /// The upload is open on W homes.
    UploadCreated,
    /// The part is named on W homes.
    PartStored,
    /// An upload and its parts, by number.
    Upload(UploadInfo, Vec<UploadPart>),
    /// The upload is closed on W homes.
    UploadAborted,
    /// A page of open uploads in order of (key, id), and whether there are more.
    Uploads(Vec<UploadInfo>, bool),
    /// Objects and bytes.
    Counted(Count),
    /// A write that did not happen, or may have.
    WriteFailed(WriteError),
    /// A read that could not be answered.
    ReadFailed(ReadFault),
}

/// Everything a coordinator knows of a write when it answers (rule Q1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutOutcome {
    /// The write's dot; its tick is the object's modification time.
    pub dot: Dot,
    /// What a later put must show to replace exactly what this one left.
    pub context: Context,
    /// The ETag stored.
    pub etag: String,
    /// Live versions after the write.
    pub siblings: u32,
    /// Who coordinated.
    pub coordinator: NodeId,
    /// The homes of the key, best first.
    pub preference_list: Vec<NodeId>,
    /// Homes that have synced it.
    pub written: Vec<NodeId>,
    /// Homes that were sent it and have not answered yet.
    pub pending: Vec<NodeId>,
    /// Homes that could not be reached.
    pub down: Vec<NodeId>,
    /// Homes for which a stand-in has synced it, and which (rule Q1).
    pub hinted: Vec<(NodeId, NodeId)>,
    /// The context each replica held after writing.
    pub clocks: Vec<(NodeId, Context)>,
}

/// What a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    /// The merged record; without versions when there is no such key.
    pub record: Record,
    /// Body rows asked for, by dot.
    pub bodies: Vec<(Dot, Bytes)>,
    /// Who coordinated.
    pub coordinator: NodeId,
    /// The homes of the key, best first.
    pub preference_list: Vec<NodeId>,
    /// The context each asked replica held; empty for one that had nothing.
    pub clocks: Vec<(NodeId, Context)>,
    /// Homes that could not be reached.
    pub down: Vec<NodeId>,
    /// Nodes that answered in place of homes that could not be reached: what only those homes know may be missing (Q3).
    pub stand_ins: Vec<NodeId>,
    /// Nodes that hold hints for other homes of the partition, as gossip says, and did not tell: what only they know is
    /// missing (rule Q3).
    pub holders_unheard: Vec<NodeId>,
}

/// One page of keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// Keys and common prefixes in order.
    pub entries: Vec<PageEntry>,
    /// Where the next page starts (`after`), when there is one.
    pub next: Option<String>,
    /// Some shard was answered for by stand-ins: what only its homes know may be missing (rule Q4).
    pub by_stand_ins: bool,
}

/// One line of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PageEntry {
    /// An object.
    Object {
        /// Its key.
        key: String,
        /// The merged record; its [`EncodedRecord::visible`] is the object.
        record: EncodedRecord,
    },
    /// All keys that begin so.
    CommonPrefix(String),
}

/// Objects and bytes of a bucket; approximate while replicas differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Keys with a visible object.
    pub objects: u64,
    /// Their logical bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts a visible object of so many bytes, if there is one.
    pub(crate) const fn add(&mut self, size: Option<u64>) {
        if let Some(bytes) = size {
            self.objects += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// Counts it no more.
    pub(crate) const fn remove(&mut self, size: Option<u64>) {
        if let Some(bytes) = size {
            self.objects = self.objects.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

impl core::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.objects = self.objects.saturating_add(other.objects);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Where a key or chunk lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// Place on the ring.
    pub position: Position,
    /// The arc that holds it.
    pub partition: Partition,
    /// All members, best first.
    pub preference_list: Vec<NodeId>,
    /// How many of them are homes.
    pub homes: u8,
}

/// A write that failed, and whether anything may have changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteError {
    /// Whether state changed.
    pub state: StateChange,
    /// Why.
    pub fault: WriteFault,
}

/// Whether a failed write left anything behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// Nothing changed anywhere.
    Unchanged,
    /// The write may take effect, now or later; a retry with the same request id is safe.
    Unknown,
}

/// Why a write failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteFault {
    /// Fewer homes can be reached than copies are needed.
    Unavailable {
        /// Copies needed.
        needed: u8,
        /// Homes that could be reached.
        reached: u8,
        /// Homes that could not.
        down: Vec<NodeId>,
    },
    /// The deadline passed with too few answers.
    TimedOut {
        /// Copies needed.
        needed: u8,
        /// Copies synced.
        synced: u8,
    },
    /// The stale context of this put would leave more than 100 siblings (rule D4).
    TooManySiblings,
    /// The request id was used before for another key or length (rule D7).
    RequestIdReused,
    /// A tick more than 60 s ahead of a replica's clock (rule S4).
    ClockRefused,
    /// The reserve of free space has been reached.
    DiskFull,
    /// This node's copy of the key is damaged and no other copy could be read.
    Damaged,
    /// No open upload has this id.
    NoSuchUpload,
    /// The commit deadline of the body has passed (rule D10).
    CommitDeadlinePassed,
    /// Too many requests are in flight.
    Overloaded,
}

impl WriteFault {
    /// Whether another node may do better.
    #[must_use]
    pub const fn may_be_cured(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::DiskFull | Self::Damaged | Self::Overloaded | Self::ClockRefused
        )
    }
}

/// Why a read failed; nothing ever changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadFault {
    /// Fewer homes can be reached than answers are needed.
    Unavailable {
        /// Answers needed.
        needed: u8,
        /// Homes that could be reached.
        reached: u8,
        /// Homes that could not.
        down: Vec<NodeId>,
    },
    /// The deadline passed with too few answers.
    TimedOut {
        /// Answers needed.
        needed: u8,
        /// Answers received.
        answered: u8,
    },
    /// Every copy that could be reached is damaged: not the same as absent (rule Q3).
    Damaged,
    /// No upload has this id.
    NoSuchUpload,
    /// Too many requests are in flight.
    Overloaded,
}
