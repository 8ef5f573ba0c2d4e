//! The front ends' port, before a node or a gateway. Nothing but translation: what a front end asks becomes a request at the desk,
//! and the answer goes back whole. What only a node can tell, or only a gateway, is behind [`Side`].

mod bodies;
mod cluster;
mod gateway;
mod requests;
mod samples;
mod watching;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_api::objects::{
    BodyPurpose, BodyStream, BodyWriter, BucketCreated, BucketRef, ClusterView, CompleteUpload, DeleteBucketError,
    GetObject, Link, ListObjects, ListUploads, NewBucket, NewUpload, NewsStream, Objects, PutObject, Ring, Role,
    SampleStream, SampledVerb, WhisperStream,
};
use holdfast_core::bucket::{AccessKey, Bucket};
use holdfast_core::chord::Table;
use holdfast_core::content::{BodyForm, Manifest, ManifestPart};
use holdfast_core::context::Context;
use holdfast_core::ids::{BucketId, ChunkId, NodeId, Position, UploadId};
use holdfast_core::node::Found;
use holdfast_core::repair::RepairReport;
use holdfast_core::request::{
    Answer, Count, Get, Got, List, Location, Page, Put, PutOutcome, PutValue, ReadFault, UploadInfo, UploadPart,
    UploadStep, WriteError,
};
use holdfast_core::wire::side::decode_manifest;
use holdfast_node::desk::{CreateBucket, DeleteBucketFault, Desk};
use holdfast_node::founding::RegisteredWith;
use holdfast_node::shell::Shell;
use tokio::time::Instant;

pub use gateway::GatewaySide;

/// What is behind the front ends.
pub struct Port {
    desk: Desk,
    side: Side,
}

/// Who takes the requests.
enum Side {
    Node(Box<NodeSide>),
    Gateway(GatewaySide),
}

/// A node's own core.
struct NodeSide {
    shell: Shell,
    /// This node acknowledges writes before they are on disk.
    unsafe_no_sync: bool,
    /// With whom it registered when the cluster was founded, if that is known.
    registered_with: Option<RegisteredWith>,
    samples: samples::Samples,
}

impl Port {
    /// A running node behind the port.
    pub fn over(shell: Shell, unsafe_no_sync: bool, registered_with: Option<RegisteredWith>) -> Arc<dyn Objects> {
        Arc::new(Self {
            desk: shell.desk().clone(),
            side: Side::Node(Box::new(NodeSide {
                shell,
                unsafe_no_sync,
                registered_with,
                samples: samples::Samples::new(),
            })),
        })
    }

    /// A running gateway behind the port.
    pub fn over_gateway(side: GatewaySide) -> Arc<dyn Objects> {
        Arc::new(Self {
            desk: side.desk().clone(),
            side: Side::Gateway(side),
        })
    }

    fn node(&self) -> Option<&NodeSide> {
        match &self.side {
            Side::Node(node) => Some(node),
            Side::Gateway(_) => None,
        }
    }

    /// When a request begins that people who watch may be shown.
    fn watch(&self) -> Option<Watched<'_>> {
        let node = self.node()?;
        let began = node.samples.begin()?;
        Some(Watched { node, began })
    }
}

/// A request that people who watch are shown.
struct Watched<'a> {
    node: &'a NodeSide,
    began: Instant,
}

impl Watched<'_> {
    fn wrote(self, verb: SampledVerb, at: (&Bucket, &str), outcome: &PutOutcome) {
        self.node.samples.wrote(&self.node.shell, self.began, verb, at, outcome);
    }

    fn read(self, at: (&Bucket, &str), got: &Got) {
        self.node.samples.read(&self.node.shell, self.began, at, got);
    }
}

#[async_trait]
impl Objects for Port {
    async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, ReadFault> {
        self.desk.access_key(id).await
    }

    async fn access_keys(&self) -> Result<Vec<AccessKey>, ReadFault> {
        self.desk.access_keys().await
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<(), WriteError> {
        self.desk.put_access_key(key).await
    }

    async fn bucket(&self, name: &str) -> Result<Option<BucketRef>, ReadFault> {
        self.desk.bucket(name).await
    }

    async fn buckets(&self) -> Result<Vec<BucketRef>, ReadFault> {
        self.desk.buckets().await
    }

    async fn create_bucket(&self, name: &str, new: NewBucket) -> Result<BucketCreated, WriteError> {
        let NewBucket {
            owner,
            n,
            r,
            w,
            conflict,
            sloppy,
        } = new;
        let (bucket, created) = self
            .desk
            .create_bucket(
                name,
                CreateBucket {
                    owner,
                    n,
                    r,
                    w,
                    conflict,
                    sloppy,
                },
            )
            .await?;
        Ok(BucketCreated { bucket, created })
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), DeleteBucketError> {
        self.desk.delete_bucket(bucket).await.map_err(|fault| match fault {
            DeleteBucketFault::NotEmpty => DeleteBucketError::NotEmpty,
            DeleteBucketFault::Read(fault) => DeleteBucketError::Read(fault),
            DeleteBucketFault::Write(error) => DeleteBucketError::Write(error),
        })
    }

    async fn count(&self, bucket: &Bucket) -> Result<Count, ReadFault> {
        self.desk.count(bucket.settings).await
    }

    async fn put(&self, bucket: &Bucket, key: &str, put: PutObject) -> Result<PutOutcome, WriteError> {
        let PutObject {
            request,
            context,
            value,
            w,
            wait_all,
        } = put;
        let watched = self.watch();
        let verb = match value {
            PutValue::Deletion => SampledVerb::Delete,
            PutValue::Object { .. } => SampledVerb::Put,
        };
        let put = Put {
            settings: bucket.settings,
            key: requests::object_key(bucket, key),
            context,
            value,
            w,
            wait_all,
        };
        let outcome = self.desk.put(request, put).await?;
        if let Some(watched) = watched {
            watched.wrote(verb, (bucket, key), &outcome);
        }
        Ok(outcome)
    }

    async fn get(&self, bucket: &Bucket, key: &str, get: GetObject) -> Result<Got, ReadFault> {
        let watched = self.watch();
        let asked = Get {
            settings: bucket.settings,
            key: requests::object_key(bucket, key),
            r: get.r,
            bodies: get.bodies,
        };
        let got = self.desk.get(asked).await?;
        if let Some(watched) = watched {
            watched.read((bucket, key), &got);
        }
        Ok(got)
    }

    async fn list(&self, bucket: &Bucket, page: ListObjects) -> Result<Page, ReadFault> {
        let ListObjects {
            prefix,
            delimiter,
            after,
            count_max,
        } = page;
        self.desk
            .list(List {
                settings: bucket.settings,
                prefix,
                delimiter,
                after,
                count_max,
            })
            .await
    }

    fn write_body(&self, bucket: &Bucket, key: &str, purpose: BodyPurpose) -> Box<dyn BodyWriter> {
        bodies::writer(&self.desk, bucket, key, purpose)
    }

    fn read_body(&self, bucket: &Bucket, form: BodyForm, row: Bytes, range: Range<u64>) -> BodyStream {
        bodies::reader(&self.desk, bucket, form, &row, range)
    }

    fn manifest(&self, form: BodyForm, row: &Bytes) -> Option<Manifest> {
        if matches!(form, BodyForm::Manifest { .. }) {
            decode_manifest(row).ok()
        } else {
            None
        }
    }

    async fn create_upload(&self, bucket: &Bucket, key: &str, new: NewUpload) -> Result<UploadId, WriteError> {
        let id = UploadId(requests::random_u128());
        let step = UploadStep::Create {
            id,
            headers: new.headers,
            initiator: new.initiator,
        };
        self.desk.upload_write(requests::upload(bucket, key, step)).await?;
        Ok(id)
    }

    async fn put_part(&self, bucket: &Bucket, key: &str, upload: UploadId, part: UploadPart) -> Result<(), WriteError> {
        let step = UploadStep::PutPart { id: upload, part };
        self.desk
            .upload_write(requests::upload(bucket, key, step))
            .await
            .map(|_| ())
    }

    async fn upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: UploadId,
    ) -> Result<(UploadInfo, Vec<UploadPart>), ReadFault> {
        let step = UploadStep::Read { id: upload };
        match self.desk.upload_read(requests::upload(bucket, key, step)).await? {
            Answer::Upload(info, parts) => Ok((info, parts)),
            _ => Err(ReadFault::Damaged),
        }
    }

    async fn complete_upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: UploadId,
        complete: CompleteUpload,
    ) -> Result<PutOutcome, WriteError> {
        let CompleteUpload {
            etag,
            headers,
            manifest,
            ..
        } = complete;
        let step = UploadStep::Complete {
            id: upload,
            etag,
            headers,
            manifest,
        };
        let watched = self.watch();
        let outcome = self.desk.upload_write(requests::upload(bucket, key, step)).await?;
        let outcome = outcome.ok_or_else(requests::nonsense)?;
        if let Some(watched) = watched {
            watched.wrote(SampledVerb::Put, (bucket, key), &outcome);
        }
        Ok(outcome)
    }

    async fn abort_upload(&self, bucket: &Bucket, key: &str, upload: UploadId) -> Result<(), WriteError> {
        let step = UploadStep::Abort { id: upload };
        self.desk
            .upload_write(requests::upload(bucket, key, step))
            .await
            .map(|_| ())
    }

    async fn uploads(&self, bucket: &Bucket, page: ListUploads) -> Result<(Vec<UploadInfo>, bool), ReadFault> {
        let step = UploadStep::List {
            prefix: page.prefix,
            after: page.after,
            count_max: page.count_max,
        };
        match self.desk.upload_read(requests::upload(bucket, "", step)).await? {
            Answer::Uploads(uploads, more) => Ok((uploads, more)),
            _ => Err(ReadFault::Damaged),
        }
    }

    fn seal_context(&self, bucket: &Bucket, key: &str, context: &Context) -> String {
        self.desk.seal_context(bucket.settings.id, key, context)
    }

    fn open_context(&self, bucket: &Bucket, key: &str, token: &str) -> Option<Context> {
        self.desk.open_context(bucket.settings.id, key, token)
    }

    fn read_part(&self, bucket: &Bucket, part: ManifestPart, range: Range<u64>) -> BodyStream {
        bodies::part_reader(&self.desk, bucket, part, range)
    }

    fn chunk_homes(&self, bucket: &Bucket, chunk: ChunkId) -> Vec<NodeId> {
        let homes = |node: &NodeSide| node.shell.chunk_homes(bucket.settings.n, chunk);
        self.node().map(homes).unwrap_or_default()
    }

    fn grant_code(&self, grant: &[u8]) -> Option<[u8; 16]> {
        self.node().map(|node| node.shell.grant_code(grant))
    }

    fn locate(&self, bucket: &Bucket, key: &str) -> Location {
        match &self.side {
            Side::Node(node) => node.shell.locate(&bucket.settings, key),
            Side::Gateway(gateway) => gateway.locate(&bucket.settings, key),
        }
    }

    fn role(&self) -> Role {
        match &self.side {
            Side::Node(_) => Role::Node,
            Side::Gateway(_) => Role::Gateway,
        }
    }

    fn chord(&self) -> Option<Table> {
        self.node().map(|node| node.shell.chord())
    }

    async fn find(&self, to: Position) -> Option<Found> {
        match &self.side {
            Side::Node(node) => node.shell.find(to).await,
            Side::Gateway(gateway) => gateway.find(to).await,
        }
    }

    fn bucket_name(&self, id: BucketId) -> Option<String> {
        let registry = self.desk.registry();
        registry.bucket_by_id(id).map(|bucket| bucket.name.clone())
    }

    fn events(&self) -> NewsStream {
        match &self.side {
            Side::Node(node) => cluster::events(&node.shell),
            Side::Gateway(gateway) => gateway.events(),
        }
    }

    fn cluster(&self) -> ClusterView {
        match &self.side {
            Side::Node(node) => cluster::view(&node.shell, node.unsafe_no_sync, node.registered_with.as_ref()),
            Side::Gateway(gateway) => gateway.view(),
        }
    }

    fn maintain(&self, node: NodeId, on: bool) -> bool {
        self.node().is_some_and(|own| cluster::maintain(&own.shell, node, on))
    }

    fn repair(&self) {
        if let Some(node) = self.node() {
            node.shell.repair();
        }
    }

    fn repair_report(&self) -> RepairReport {
        self.node().map(|node| node.shell.repair_report()).unwrap_or_default()
    }

    fn ready(&self) -> Result<(), String> {
        match &self.side {
            Side::Node(node) => cluster::ready(&node.shell),
            Side::Gateway(gateway) => gateway.ready(),
        }
    }

    fn ring(&self) -> Option<Ring> {
        self.node().map(|node| watching::ring(&node.shell))
    }

    fn samples(&self) -> SampleStream {
        match self.node() {
            Some(node) => node.samples.stream(),
            None => Box::pin(futures_util::stream::pending()),
        }
    }

    fn whisper(&self, to: Option<NodeId>, words: &[u8]) {
        if let Some(node) = self.node() {
            watching::whisper(&node.shell, to, words);
        }
    }

    fn whispers(&self) -> WhisperStream {
        match self.node() {
            Some(node) => watching::whispers(&node.shell),
            None => Box::pin(futures_util::stream::pending()),
        }
    }

    fn links(&self) -> Vec<Link> {
        self.node().map(|node| watching::links(&node.shell)).unwrap_or_default()
    }
}
