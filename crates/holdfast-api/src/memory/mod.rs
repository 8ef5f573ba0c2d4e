//! A cluster in a mutex: [`Objects`] with real semantics and no disks, for the tests of the front ends.
//!
//! Contexts, siblings, tombstones, request ids, uploads and listings follow the same rules as a node's, with the
//! core's own [`holdfast_core::record::Record`]; there is one replica, which is always up unless a test says otherwise
//! ([`MemoryObjects::fail_writes`], [`MemoryObjects::fail_reads`]). Nothing here is meant for production: everything is
//! copied under one lock.

mod body;
mod bucket;
mod list;
mod object;
mod upload;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_core::bucket::{AccessKey, Bucket, KeyState};
use holdfast_core::content::{BodyForm, Manifest, ManifestPart};
use holdfast_core::context::Context;
use holdfast_core::event::ClusterEvent;
use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::Soundness;
use holdfast_core::ids::{ActorId, BucketId, ChunkId, Dot, NodeId, PartId, Tick, UploadId};
use holdfast_core::record::Record;
use holdfast_core::repair::{RepairReport, RepairStage};
use holdfast_core::request::{
    Count, Got, Location, Page, PutOutcome, ReadFault, StateChange, UploadInfo, UploadPart, WriteError, WriteFault,
};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::objects::{
    BodyPurpose, BodyStream, BodyWriter, BucketCreated, BucketRef, ClusterView, CompleteUpload, DeleteBucketError,
    GetObject, ListObjects, ListUploads, MemberView, NewBucket, NewUpload, News, NewsStream, Objects, PutObject, Ring,
};

/// The one node there is.
pub const NODE: NodeId = NodeId(1);

/// The one disk life there is.
const ACTOR: ActorId = ActorId(0xA);

/// A body may be committed for this long after it was stored (rule D10).
const COMMIT_MS: u64 = 24 * 3600 * 1000;

/// The cluster.
#[derive(Clone, Default)]
pub struct MemoryObjects {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, AccessKey>,
    buckets: BTreeMap<String, BucketRef>,
    deleted: BTreeMap<String, u32>,
    objects: BTreeMap<(BucketId, String), Stored>,
    parts: BTreeMap<PartId, Vec<Bytes>>,
    uploads: BTreeMap<(BucketId, String, UploadId), OpenUpload>,
    tick: Tick,
    write_fault: Option<WriteFault>,
    read_fault: Option<ReadFault>,
    /// Whether the one node is marked as down on purpose.
    maintenance: bool,
    repair: RepairReport,
    listeners: Vec<UnboundedSender<News>>,
}

/// A record and the body rows beside it.
#[derive(Clone, Default)]
struct Stored {
    record: Record,
    rows: Vec<(Dot, Bytes)>,
}

struct OpenUpload {
    info: UploadInfo,
    parts: BTreeMap<u16, UploadPart>,
}

impl MemoryObjects {
    /// An empty cluster with one enabled access key.
    #[must_use]
    pub fn with_key(id: &str, secret: &str) -> Self {
        let memory = Self::default();
        let key = AccessKey {
            id: id.to_owned(),
            secret: secret.to_owned(),
            name: "root".to_owned(),
            created_ms: now_ms(),
            state: KeyState::Enabled,
        };
        memory.lock().keys.insert(key.id.clone(), key);
        memory
    }

    /// Makes all writes fail so, until told otherwise.
    pub fn fail_writes(&self, fault: Option<WriteFault>) {
        self.lock().write_fault = fault;
    }

    /// Makes all reads of objects fail so, until told otherwise.
    pub fn fail_reads(&self, fault: Option<ReadFault>) {
        self.lock().read_fault = fault;
    }

    /// Tells all listeners that something happened.
    pub fn tell(&self, event: &ClusterEvent) {
        let news = News::Happened {
            at_ms: now_ms(),
            event: event.clone(),
        };
        let mut state = self.lock();
        state.listeners.retain(|listener| listener.send(news.clone()).is_ok());
    }

    /// Bodies that are stored in chunks, committed or not.
    #[must_use]
    pub fn parts_stored(&self) -> usize {
        self.lock().parts.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A tick above all others and above `seen`.
    fn next_tick(&mut self, seen: Tick) -> Tick {
        self.tick = self.tick.max(seen).next().max(Tick::from_millis(now_ms()));
        self.tick
    }

    fn may_write(&self) -> Result<(), WriteError> {
        match &self.write_fault {
            None => Ok(()),
            Some(fault) => Err(unchanged(fault.clone())),
        }
    }

    fn may_read(&self) -> Result<(), ReadFault> {
        self.read_fault.clone().map_or(Ok(()), Err)
    }
}

const fn unchanged(fault: WriteFault) -> WriteError {
    WriteError {
        state: StateChange::Unchanged,
        fault,
    }
}

fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait::async_trait]
impl Objects for MemoryObjects {
    async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, ReadFault> {
        Ok(self.lock().keys.get(id).cloned())
    }

    async fn access_keys(&self) -> Result<Vec<AccessKey>, ReadFault> {
        let state = self.lock();
        let alive = state.keys.values().filter(|key| key.state != KeyState::Deleted);
        Ok(alive.cloned().collect())
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<(), WriteError> {
        let mut state = self.lock();
        state.may_write()?;
        state.keys.insert(key.id.clone(), key);
        Ok(())
    }

    async fn bucket(&self, name: &str) -> Result<Option<BucketRef>, ReadFault> {
        Ok(self.lock().buckets.get(name).cloned())
    }

    async fn buckets(&self) -> Result<Vec<BucketRef>, ReadFault> {
        Ok(self.lock().buckets.values().cloned().collect())
    }

    async fn create_bucket(&self, name: &str, new: NewBucket) -> Result<BucketCreated, WriteError> {
        self.lock().create_bucket(name, new)
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), DeleteBucketError> {
        self.lock().delete_bucket(bucket)
    }

    async fn count(&self, bucket: &Bucket) -> Result<Count, ReadFault> {
        Ok(self.lock().count(bucket.settings.id))
    }

    async fn put(&self, bucket: &Bucket, key: &str, put: PutObject) -> Result<PutOutcome, WriteError> {
        self.lock().put(bucket.settings.id, key, put)
    }

    async fn get(&self, bucket: &Bucket, key: &str, get: GetObject) -> Result<Got, ReadFault> {
        self.lock().get(bucket.settings.id, key, get)
    }

    async fn list(&self, bucket: &Bucket, page: ListObjects) -> Result<Page, ReadFault> {
        self.lock().list(bucket.settings.id, &page)
    }

    fn write_body(&self, _bucket: &Bucket, _key: &str, purpose: BodyPurpose) -> Box<dyn BodyWriter> {
        Box::new(body::MemoryWriter::new(self.clone(), purpose))
    }

    fn read_body(&self, _bucket: &Bucket, form: BodyForm, row: Bytes, range: Range<u64>) -> BodyStream {
        self.lock().read_body(form, row, range)
    }

    fn manifest(&self, form: BodyForm, row: &Bytes) -> Option<Manifest> {
        match form {
            BodyForm::Manifest { .. } => body::decode_manifest(row),
            BodyForm::Empty | BodyForm::Inline { .. } => None,
        }
    }

    async fn create_upload(&self, bucket: &Bucket, key: &str, new: NewUpload) -> Result<UploadId, WriteError> {
        self.lock().create_upload(bucket.settings.id, key, new)
    }

    async fn put_part(&self, bucket: &Bucket, key: &str, upload: UploadId, part: UploadPart) -> Result<(), WriteError> {
        self.lock().put_part(bucket.settings.id, key, upload, part)
    }

    async fn upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: UploadId,
    ) -> Result<(UploadInfo, Vec<UploadPart>), ReadFault> {
        self.lock().upload(bucket.settings.id, key, upload)
    }

    async fn complete_upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: UploadId,
        complete: CompleteUpload,
    ) -> Result<PutOutcome, WriteError> {
        self.lock().complete_upload(bucket.settings.id, key, upload, complete)
    }

    async fn abort_upload(&self, bucket: &Bucket, key: &str, upload: UploadId) -> Result<(), WriteError> {
        self.lock().abort_upload(bucket.settings.id, key, upload)
    }

    async fn uploads(&self, bucket: &Bucket, page: ListUploads) -> Result<(Vec<UploadInfo>, bool), ReadFault> {
        self.lock().uploads(bucket.settings.id, &page)
    }

    fn seal_context(&self, bucket: &Bucket, key: &str, context: &Context) -> String {
        object::seal(bucket.settings.id, key, context)
    }

    fn open_context(&self, bucket: &Bucket, key: &str, token: &str) -> Option<Context> {
        object::open(bucket.settings.id, key, token)
    }

    fn read_part(&self, _bucket: &Bucket, part: ManifestPart, range: Range<u64>) -> BodyStream {
        self.lock().read_part(part.id, range)
    }

    fn chunk_homes(&self, _bucket: &Bucket, _chunk: ChunkId) -> Vec<NodeId> {
        vec![NODE]
    }

    fn grant_code(&self, grant: &[u8]) -> Option<[u8; 16]> {
        Some(body::digest(&[b"grants of the one in memory", grant].concat()))
    }

    async fn locate(&self, _bucket: &Bucket, key: &str) -> Result<Location, ReadFault> {
        Ok(object::locate(key))
    }

    fn bucket_name(&self, _id: BucketId) -> Option<String> {
        None
    }

    fn events(&self) -> NewsStream {
        let (listener, mut news) = unbounded_channel();
        self.lock().listeners.push(listener);
        Box::pin(futures_util::stream::poll_fn(move |cx| news.poll_recv(cx)))
    }

    fn cluster(&self) -> ClusterView {
        ClusterView {
            node: NODE,
            cluster: "memory".to_owned(),
            epoch: 1,
            partitions: 1024,
            members: vec![MemberView {
                id: NODE,
                name: "memory-1".to_owned(),
                zone: "zone-1".to_owned(),
                address: "127.0.0.1:9002".to_owned(),
                s3: "http://127.0.0.1:9000".to_owned(),
                rest: "http://127.0.0.1:9001".to_owned(),
                capacity_bytes: 1 << 40,
                up: true,
                state: MemberState::Up,
                since_ms: 0,
                hints_owed: 0,
                maintenance: self.lock().maintenance,
                clock_ahead_ms: None,
                facts: None,
            }],
            registered_with: None,
            // There is no disk at all.
            unsafe_no_sync: true,
            clock_off_ms: None,
            forgetting: Default::default(),
            checked: Default::default(),
            soundness: Soundness::Sound,
            load: Default::default(),
        }
    }

    fn maintain(&self, node: NodeId, on: bool) -> bool {
        if node == NODE {
            self.lock().maintenance = on;
        }
        node == NODE
    }

    /// There is nothing that could differ or rot: it is over as soon as it has begun.
    fn repair(&self) {
        let mut state = self.lock();
        state.repair = RepairReport {
            number: state.repair.number + 1,
            begun_ms: now_ms(),
            ended_ms: now_ms(),
            stage: RepairStage::Over,
            ..RepairReport::default()
        };
    }

    fn repair_report(&self) -> RepairReport {
        self.lock().repair.clone()
    }

    fn ring(&self) -> Option<Ring> {
        Some(Ring {
            epoch: 1,
            partition_bits: 10,
            members: vec![NODE],
            lists: vec![vec![0]; 1024],
        })
    }

    fn ready(&self) -> Result<(), String> {
        match &self.lock().read_fault {
            None => Ok(()),
            Some(fault) => Err(format!("reads fail: {fault:?}")),
        }
    }
}
