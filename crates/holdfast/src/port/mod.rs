//! The front ends' port, implemented by the node's shell. Nothing but translation: what a front end asks becomes a
//! request to the core, and the core's answer goes back whole.

mod bodies;
mod cluster;
mod requests;
mod samples;
mod watching;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_api::objects::{
    BodyPurpose, BodyStream, BodyWriter, BucketCreated, BucketRef, ClusterView, CompleteUpload, DeleteBucketError,
    GetObject, Link, ListObjects, ListUploads, NewBucket, NewUpload, NewsStream, Objects, PutObject, Ring,
    SampleStream, SampledVerb, WhisperStream,
};
use holdfast_core::bucket::{AccessKey, Bucket};
use holdfast_core::content::{BodyForm, Manifest, ManifestPart};
use holdfast_core::context::Context;
use holdfast_core::ids::{BucketId, ChunkId, NodeId, UploadId};
use holdfast_core::repair::RepairReport;
use holdfast_core::request::{
    Answer, Count, Get, Got, List, Location, Page, Put, PutOutcome, PutValue, ReadFault, UploadInfo, UploadPart,
    UploadStep, WriteError,
};
use holdfast_core::wire::side::decode_manifest;
use holdfast_node::desk::{CreateBucket, DeleteBucketFault};
use holdfast_node::founding::RegisteredWith;
use holdfast_node::shell::Shell;

/// A node's shell behind the port.
pub struct Port {
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
            shell,
            unsafe_no_sync,
            registered_with,
            samples: samples::Samples::new(),
        })
    }
}

#[async_trait]
impl Objects for Port {
    async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, ReadFault> {
        self.shell.access_key(id).await
    }

    async fn access_keys(&self) -> Result<Vec<AccessKey>, ReadFault> {
        self.shell.access_keys().await
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<(), WriteError> {
        self.shell.put_access_key(key).await
    }

    async fn bucket(&self, name: &str) -> Result<Option<BucketRef>, ReadFault> {
        self.shell.bucket(name).await
    }

    async fn buckets(&self) -> Result<Vec<BucketRef>, ReadFault> {
        self.shell.buckets().await
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
            .shell
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
        self.shell.delete_bucket(bucket).await.map_err(|fault| match fault {
            DeleteBucketFault::NotEmpty => DeleteBucketError::NotEmpty,
            DeleteBucketFault::Read(fault) => DeleteBucketError::Read(fault),
            DeleteBucketFault::Write(error) => DeleteBucketError::Write(error),
        })
    }

    async fn count(&self, bucket: &Bucket) -> Result<Count, ReadFault> {
        self.shell.count(bucket.settings).await
    }

    async fn put(&self, bucket: &Bucket, key: &str, put: PutObject) -> Result<PutOutcome, WriteError> {
        let PutObject {
            request,
            context,
            value,
            w,
            wait_all,
        } = put;
        let began = self.samples.begin();
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
        let outcome = self.shell.put(request, put).await?;
        if let Some(began) = began {
            self.samples.wrote(&self.shell, began, verb, (bucket, key), &outcome);
        }
        Ok(outcome)
    }

    async fn get(&self, bucket: &Bucket, key: &str, get: GetObject) -> Result<Got, ReadFault> {
        let began = self.samples.begin();
        let asked = Get {
            settings: bucket.settings,
            key: requests::object_key(bucket, key),
            r: get.r,
            bodies: get.bodies,
        };
        let got = self.shell.get(asked).await?;
        if let Some(began) = began {
            self.samples.read(&self.shell, began, (bucket, key), &got);
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
        self.shell
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
        bodies::writer(&self.shell, bucket, key, purpose)
    }

    fn read_body(&self, bucket: &Bucket, form: BodyForm, row: Bytes, range: Range<u64>) -> BodyStream {
        bodies::reader(&self.shell, bucket, form, &row, range)
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
        self.shell.upload_write(requests::upload(bucket, key, step)).await?;
        Ok(id)
    }

    async fn put_part(&self, bucket: &Bucket, key: &str, upload: UploadId, part: UploadPart) -> Result<(), WriteError> {
        let step = UploadStep::PutPart { id: upload, part };
        self.shell
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
        match self.shell.upload_read(requests::upload(bucket, key, step)).await? {
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
        let began = self.samples.begin();
        let outcome = self.shell.upload_write(requests::upload(bucket, key, step)).await?;
        let outcome = outcome.ok_or_else(requests::nonsense)?;
        if let Some(began) = began {
            let at = (bucket, key);
            self.samples.wrote(&self.shell, began, SampledVerb::Put, at, &outcome);
        }
        Ok(outcome)
    }

    async fn abort_upload(&self, bucket: &Bucket, key: &str, upload: UploadId) -> Result<(), WriteError> {
        let step = UploadStep::Abort { id: upload };
        self.shell
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
        match self.shell.upload_read(requests::upload(bucket, "", step)).await? {
            Answer::Uploads(uploads, more) => Ok((uploads, more)),
            _ => Err(ReadFault::Damaged),
        }
    }

    fn seal_context(&self, bucket: &Bucket, key: &str, context: &Context) -> String {
        self.shell.seal_context(bucket.settings.id, key, context)
    }

    fn open_context(&self, bucket: &Bucket, key: &str, token: &str) -> Option<Context> {
        self.shell.open_context(bucket.settings.id, key, token)
    }

    fn read_part(&self, bucket: &Bucket, part: ManifestPart, range: Range<u64>) -> BodyStream {
        bodies::part_reader(&self.shell, bucket, part, range)
    }

    fn chunk_homes(&self, bucket: &Bucket, chunk: ChunkId) -> Vec<NodeId> {
        self.shell.chunk_homes(bucket.settings.n, chunk)
    }

    fn grant_code(&self, grant: &[u8]) -> Option<[u8; 16]> {
        Some(self.shell.grant_code(grant))
    }

    fn locate(&self, bucket: &Bucket, key: &str) -> Location {
        self.shell.locate(&bucket.settings, key)
    }

    fn bucket_name(&self, id: BucketId) -> Option<String> {
        let registry = self.shell.registry();
        registry.bucket_by_id(id).map(|bucket| bucket.name.clone())
    }

    fn events(&self) -> NewsStream {
        cluster::events(&self.shell)
    }

    fn cluster(&self) -> ClusterView {
        cluster::view(&self.shell, self.unsafe_no_sync, self.registered_with.as_ref())
    }

    fn maintain(&self, node: NodeId, on: bool) -> bool {
        cluster::maintain(&self.shell, node, on)
    }

    fn repair(&self) {
        self.shell.repair();
    }

    fn repair_report(&self) -> RepairReport {
        self.shell.repair_report()
    }

    fn ready(&self) -> Result<(), String> {
        cluster::ready(&self.shell)
    }

    fn ring(&self) -> Option<Ring> {
        Some(watching::ring(&self.shell))
    }

    fn samples(&self) -> SampleStream {
        self.samples.stream()
    }

    fn whisper(&self, to: Option<NodeId>, words: &[u8]) {
        watching::whisper(&self.shell, to, words);
    }

    fn whispers(&self) -> WhisperStream {
        watching::whispers(&self.shell)
    }

    fn links(&self) -> Vec<Link> {
        watching::links(&self.shell)
    }
}
