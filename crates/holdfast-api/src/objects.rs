//! The port: everything a front end may ask of the cluster, and nothing of how the cluster does it.
//!
//! S3 and REST are written against this trait alone, so they are tested with [`crate::memory`] and run
//! against a node, or a gateway, without knowing which.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use holdfast_core::bucket::{AccessKey, Bucket, Conflict};
use holdfast_core::chord::Table;
use holdfast_core::content::{BodyForm, Manifest, ManifestPart, StoredBody};
use holdfast_core::context::Context;
use holdfast_core::dead::Forgetting;
use holdfast_core::event::ClusterEvent;
use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::{NodeFacts, Soundness};
use holdfast_core::ids::{BucketId, ChunkId, NodeId, Position, RequestId, UploadId};
use holdfast_core::node::{Found, Load};
use holdfast_core::repair::RepairReport;
use holdfast_core::request::{
    Count, Got, Location, Page, PutOutcome, PutValue, ReadFault, UploadInfo, UploadPart, WantedBodies, WriteError,
};
use holdfast_core::scrub::Checked;

/// A bucket as of now, shared by all requests that use it.
pub type BucketRef = Arc<Bucket>;

/// The cluster as the front ends see it.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// The access key with this id, disabled ones included; `None` when there is none.
    async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, ReadFault>;
    /// All access keys that were not deleted.
    async fn access_keys(&self) -> Result<Vec<AccessKey>, ReadFault>;
    /// Writes an access key (created, renamed, enabled, disabled, deleted).
    async fn put_access_key(&self, key: AccessKey) -> Result<(), WriteError>;

    /// The live bucket of this name; `None` when there is none.
    async fn bucket(&self, name: &str) -> Result<Option<BucketRef>, ReadFault>;
    /// All live buckets by name.
    async fn buckets(&self) -> Result<Vec<BucketRef>, ReadFault>;
    /// Creates a bucket. Creating one that exists returns it unchanged with `created: false`.
    async fn create_bucket(&self, name: &str, new: NewBucket) -> Result<BucketCreated, WriteError>;
    /// Deletes a bucket that holds no object.
    async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), DeleteBucketError>;
    /// Objects and bytes of a bucket.
    async fn count(&self, bucket: &Bucket) -> Result<Count, ReadFault>;

    /// Writes or deletes one object.
    async fn put(&self, bucket: &Bucket, key: &str, put: PutObject) -> Result<PutOutcome, WriteError>;
    /// Reads one record. No such key is an outcome whose record has no versions.
    async fn get(&self, bucket: &Bucket, key: &str, get: GetObject) -> Result<Got, ReadFault>;
    /// Reads one page of keys.
    async fn list(&self, bucket: &Bucket, page: ListObjects) -> Result<Page, ReadFault>;

    /// Begins to store a body. Small ones stay in memory until the put; large ones are cut into chunks and written while
    /// they arrive, with at most a few chunks in memory.
    fn write_body(&self, bucket: &Bucket, key: &str, purpose: BodyPurpose) -> Box<dyn BodyWriter>;
    /// Streams `range` of a version's body: `form` as the version tells it, `row` its body row. Every byte has passed
    /// its checksum; an error ends the stream.
    fn read_body(&self, bucket: &Bucket, form: BodyForm, row: Bytes, range: Range<u64>) -> BodyStream;
    /// The parts of a chunked body, from its body row; `None` when the row is damaged or not a manifest.
    fn manifest(&self, form: BodyForm, row: &Bytes) -> Option<Manifest>;

    /// Begins a multipart upload and returns its id.
    async fn create_upload(&self, bucket: &Bucket, key: &str, new: NewUpload) -> Result<UploadId, WriteError>;
    /// Names a part whose body was written with [`BodyPurpose::Part`].
    async fn put_part(&self, bucket: &Bucket, key: &str, upload: UploadId, part: UploadPart) -> Result<(), WriteError>;
    /// The upload, whatever its state, and its parts by number.
    async fn upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: UploadId,
    ) -> Result<(UploadInfo, Vec<UploadPart>), ReadFault>;
    /// Makes the object of the parts chosen.
    async fn complete_upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: UploadId,
        complete: CompleteUpload,
    ) -> Result<PutOutcome, WriteError>;
    /// Gives an upload up.
    async fn abort_upload(&self, bucket: &Bucket, key: &str, upload: UploadId) -> Result<(), WriteError>;
    /// Open uploads in order of (key, id), and whether there are more.
    async fn uploads(&self, bucket: &Bucket, page: ListUploads) -> Result<(Vec<UploadInfo>, bool), ReadFault>;

    /// A context as an opaque token, authenticated and bound to bucket and key (rule D8).
    fn seal_context(&self, bucket: &Bucket, key: &str, context: &Context) -> String;
    /// The context in a token, unless it was forged, damaged or made for another key.
    fn open_context(&self, bucket: &Bucket, key: &str, token: &str) -> Option<Context>;

    /// Streams `range` of one part, from this node's own disk where it holds it: for transfers straight to and from the nodes
    /// that hold the data. A cluster that is only reached through others may leave this out, and
    /// [`Objects::chunk_homes`] and [`Objects::grant_code`] with it: it then grants nothing, and clients send everything through it.
    fn read_part(&self, bucket: &Bucket, part: ManifestPart, range: Range<u64>) -> BodyStream {
        let _ = (bucket, part, range);
        let nobody = ReadFault::Unavailable {
            needed: 1,
            reached: 0,
            down: Vec::new(),
        };
        Box::pin(futures_util::stream::iter([Err(nobody)]))
    }
    /// The homes of a chunk, best first.
    fn chunk_homes(&self, bucket: &Bucket, chunk: ChunkId) -> Vec<NodeId> {
        let _ = (bucket, chunk);
        Vec::new()
    }
    /// A code over a grant that every member computes alike and nobody else can; `None` where none are given.
    fn grant_code(&self, grant: &[u8]) -> Option<[u8; 16]> {
        let _ = grant;
        None
    }

    /// Where a key lives.
    fn locate(&self, bucket: &Bucket, key: &str) -> Location;
    /// This node and the others, as this one sees them.
    fn cluster(&self) -> ClusterView;
    /// Says of a member that it is down on purpose, or no longer; every member will know. False if there is no such member.
    fn maintain(&self, node: NodeId, on: bool) -> bool;
    /// Checks and repairs everything that this node holds, unless it is at that already.
    fn repair(&self);
    /// How far that is, or what came of the last time.
    fn repair_report(&self) -> RepairReport;
    /// What people call the bucket with this id, if this node knows it.
    fn bucket_name(&self, id: BucketId) -> Option<String>;
    /// What happens in the cluster from now on, as this node sees it.
    fn events(&self) -> NewsStream;
    /// Whether this node can serve now; the reason if not.
    fn ready(&self) -> Result<(), String>;

    /// What answers here.
    fn role(&self) -> Role {
        Role::Node
    }
    /// What the node answering knows of the ring of Chord; `None` for who is no node of it.
    fn chord(&self) -> Option<Table> {
        None
    }
    /// Looks for who answers for a position on the ring of Chord, hop by hop. `None`: too much is in flight, or there is no ring.
    async fn find(&self, to: Position) -> Option<Found> {
        let _ = to;
        None
    }
    /// The ring: whom each partition prefers. `None` where nobody here holds the whole layout.
    fn ring(&self) -> Option<Ring> {
        None
    }
    /// Some of the requests that are answered from now on, while somebody listens: at most some tens a second.
    fn samples(&self) -> SampleStream {
        Box::pin(futures_util::stream::pending())
    }
    /// Says something to the front end of a member, or to those of all others. It may be lost, and nothing may depend on it.
    fn whisper(&self, to: Option<NodeId>, words: &[u8]) {
        let _ = (to, words);
    }
    /// What other members' front ends whisper, and who.
    fn whispers(&self) -> WhisperStream {
        Box::pin(futures_util::stream::pending())
    }
    /// This node's connections to the others.
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }
}

/// What answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A member of the cluster.
    Node,
    /// A gateway, which holds nothing and knows a few members.
    Gateway,
}

/// Words of other members' front ends.
pub type WhisperStream = BoxStream<'static, (NodeId, Bytes)>;

/// Requests that were answered.
pub type SampleStream = BoxStream<'static, Sample>;

/// Whom each partition prefers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    /// Number of the layout.
    pub epoch: u64,
    /// log₂ of the number of partitions.
    pub partition_bits: u8,
    /// All members, by id.
    pub members: Vec<NodeId>,
    /// For each partition the indexes of its first members, best first: as many as a bucket may have homes by default, and
    /// the first that stands in.
    pub lists: Vec<Vec<u16>>,
}

/// Members of each list of a [`Ring`].
pub const RING_DEPTH: usize = 4;

/// What was asked in a request that is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SampledVerb {
    /// An object was written.
    Put,
    /// An object was read.
    Get,
    /// An object was deleted.
    Delete,
}

/// One request, and the way it took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// What was asked.
    pub verb: SampledVerb,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Where the key lives.
    pub partition: u16,
    /// Who coordinated.
    pub coordinator: NodeId,
    /// The key's homes, best first.
    pub homes: Vec<NodeId>,
    /// Those that had written or answered when the client was told.
    pub answered: Vec<NodeId>,
    /// Homes that could not be reached.
    pub down: Vec<NodeId>,
    /// Homes for which another took the write, and who.
    pub hinted: Vec<(NodeId, NodeId)>,
    /// How long it took.
    pub took_us: u64,
}

/// A connection to another member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The member.
    pub member: NodeId,
    /// Whether the connection stands.
    pub up: bool,
    /// Latest round trip, 0 before the first.
    pub round_trip_us: u64,
    /// Bytes sent since the start.
    pub sent_bytes: u64,
    /// Bytes received since the start.
    pub received_bytes: u64,
    /// Messages that were not sent, because too much waited or the member was down.
    pub dropped: u64,
}

/// A body on its way to disks. Dropping it without [`BodyWriter::finish`] abandons what was written.
#[async_trait]
pub trait BodyWriter: Send {
    /// Places the chunks of a body of this length so that this node is a home of all of them, if it can: the client has come
    /// here for that. To be called first.
    fn hold_here(&mut self, length: u64) {
        let _ = length;
    }
    /// Makes sure of room for a body of this length, if it is known, before any of it is read; waits for it a moment. An error
    /// says that there is none, and that nothing was begun. Small bodies need none.
    async fn begin(&mut self, length: Option<u64>) -> Result<(), WriteError> {
        let _ = length;
        Ok(())
    }
    /// How many other bodies wait for room, as it changes: while any does, a client that sends too slowly has to go.
    fn waiting(&self) -> Option<Arc<AtomicUsize>> {
        None
    }
    /// Takes the next bytes; waits when the disks are slower than the client.
    async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError>;
    /// Waits until all chunks are synced on W homes, and hands the body over.
    async fn finish(self: Box<Self>) -> Result<StoredBody, WriteError>;
}

/// Bytes of a body, in order.
pub type BodyStream = BoxStream<'static, Result<Bytes, ReadFault>>;

/// Something that happened, or that was missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It happened.
    Happened {
        /// When, in Unix milliseconds.
        at_ms: u64,
        /// What.
        event: ClusterEvent,
    },
    /// So much happened while the listener was too slow, and is not told.
    Missed(u64),
}

/// What happens, in order, without an end.
pub type NewsStream = BoxStream<'static, News>;

/// What a body is written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyPurpose {
    /// A plain object; small ones become rows.
    Object,
    /// A part of a multipart upload; always chunks (a [`StoredBody::Chunked`] of one manifest part), even when empty,
    /// because its object is not known yet.
    Part {
        /// The upload; its commit deadline is the body's.
        upload: UploadId,
    },
}

/// Options of a new bucket; `None` takes the cluster's default (rule B1).
#[derive(Clone, Debug, Default)]
pub struct NewBucket {
    /// Access key id of the creator.
    pub owner: String,
    /// Replicas.
    pub n: Option<u8>,
    /// Copies a read asks.
    pub r: Option<u8>,
    /// Synced copies a write needs.
    pub w: Option<u8>,
    /// What happens to concurrent versions.
    pub conflict: Conflict,
    /// Whether stand-ins may take the place of homes that are down; on by default.
    pub sloppy: Option<bool>,
}

/// What creating a bucket did.
#[derive(Clone, Debug)]
pub struct BucketCreated {
    /// The bucket.
    pub bucket: BucketRef,
    /// False when it existed before.
    pub created: bool,
}

/// Why a bucket was not deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeleteBucketError {
    /// It holds at least one object or open upload; nothing changed.
    NotEmpty,
    /// It could not be looked through; nothing changed.
    Read(ReadFault),
    /// The deletion was not confirmed.
    Write(WriteError),
}

/// A write of one object.
#[derive(Clone, Debug)]
pub struct PutObject {
    /// Identity of the client's write (rule D7): its own id if it sent one (`amz-sdk-invocation-id`), else drawn.
    pub request: RequestId,
    /// What the client had seen; `None` writes blind.
    pub context: Option<Context>,
    /// What to write.
    pub value: PutValue,
    /// Synced copies wanted, if other than the bucket's.
    pub w: Option<u8>,
    /// Wait for every home, not just for W.
    pub wait_all: bool,
}

/// A read of one object.
#[derive(Clone, Copy, Debug)]
pub struct GetObject {
    /// Copies to ask, if other than the bucket's.
    pub r: Option<u8>,
    /// Which body rows to bring along.
    pub bodies: WantedBodies,
}

/// A page of keys.
#[derive(Clone, Debug, Default)]
pub struct ListObjects {
    /// Only keys that begin so.
    pub prefix: String,
    /// Groups keys; empty for none.
    pub delimiter: String,
    /// Only what is strictly after this; empty for the start. A page's `next` goes here.
    pub after: String,
    /// At most so many entries.
    pub count_max: u32,
}

/// A page of open uploads.
#[derive(Clone, Debug, Default)]
pub struct ListUploads {
    /// Only keys that begin so.
    pub prefix: String,
    /// Only uploads strictly after this (key, id); with `None` all uploads of that key are passed over.
    pub after: (String, Option<UploadId>),
    /// At most so many.
    pub count_max: u32,
}

/// A multipart upload to begin.
#[derive(Clone, Debug, Default)]
pub struct NewUpload {
    /// Headers of the object to be, with `x-amz-checksum-algorithm` and `x-amz-checksum-type` if chosen.
    pub headers: Vec<(String, String)>,
    /// Access key id of whoever began it.
    pub initiator: String,
}

/// A multipart upload to complete.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    /// Identity of the client's write.
    pub request: RequestId,
    /// ETag of the whole.
    pub etag: String,
    /// Headers of the object, with checksums of the whole.
    pub headers: Vec<(String, String)>,
    /// The parts chosen, in order.
    pub manifest: Manifest,
}

/// The cluster as one node sees it.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// The node answering.
    pub node: NodeId,
    /// Identity of the cluster, printable.
    pub cluster: String,
    /// Number of the layout.
    pub epoch: u64,
    /// Equal arcs of the ring.
    pub partitions: u32,
    /// Every member of the layout, this node included.
    pub members: Vec<MemberView>,
    /// With whom the node answering registered when the cluster was founded, and at which address; itself if it is the founder. It
    /// knows this of itself alone.
    pub registered_with: Option<(NodeId, String)>,
    /// Whether the node answering acknowledges writes before they are on disk: a power cut loses them. It knows this of
    /// itself alone.
    pub unsafe_no_sync: bool,
    /// By how much the clock of the node answering is ahead of what most members' show (negative: behind), in milliseconds, if
    /// that is too much (rule S4).
    pub clock_off_ms: Option<i64>,
    /// Bodies of overwritten and deleted objects that wait to be forgotten, on this node's account.
    pub forgetting: Forgetting,
    /// How the disk of the node answering is looked after.
    pub checked: Checked,
    /// Whether the node answering may speak for what its disk holds.
    pub soundness: Soundness,
    /// What this node has taken on.
    pub load: Load,
}

/// One member as another sees it.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Its id.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where it lives, for placement.
    pub zone: String,
    /// Its node-to-node address.
    pub address: String,
    /// Its S3 endpoint, if it told.
    pub s3: String,
    /// Its REST endpoint, if it told.
    pub rest: String,
    /// Bytes it is willing to store.
    pub capacity_bytes: u64,
    /// Whether this node uses it: it has a connection to it, and gossip does not hold it down.
    pub up: bool,
    /// What gossip takes it for.
    pub state: MemberState,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// Whether an operator said that it is down on purpose.
    pub maintenance: bool,
    /// By how much its clock is ahead of this node's (negative: behind), in milliseconds, if it was heard lately.
    pub clock_ahead_ms: Option<i64>,
    /// What it last told about itself.
    pub facts: Option<NodeFacts>,
    /// Hints that this node holds for it, records and chunks together.
    pub hints_owed: u64,
}
