//! Multipart uploads in memory.

use std::collections::BTreeMap;

use holdfast_core::content::StoredBody;
use holdfast_core::ids::{BucketId, UploadId};
use holdfast_core::request::{
    PutOutcome, PutValue, ReadFault, UploadInfo, UploadPart, UploadState, WriteError, WriteFault,
};

use super::{COMMIT_MS, OpenUpload, State, now_ms, unchanged};
use crate::objects::{CompleteUpload, ListUploads, NewUpload, PutObject};
use crate::request_id;

impl State {
    pub(super) fn create_upload(
        &mut self,
        bucket: BucketId,
        key: &str,
        new: NewUpload,
    ) -> Result<UploadId, WriteError> {
        self.may_write()?;
        let id = UploadId(request_id::secret_u128());
        let info = UploadInfo {
            id,
            key: key.to_owned(),
            state: UploadState::Open,
            headers: new.headers,
            initiator: new.initiator,
            created_ms: now_ms(),
            commit_deadline_ms: now_ms() + COMMIT_MS,
        };
        let upload = OpenUpload {
            info,
            parts: BTreeMap::new(),
        };
        self.uploads.insert((bucket, key.to_owned(), id), upload);
        Ok(id)
    }

    pub(super) fn put_part(
        &mut self,
        bucket: BucketId,
        key: &str,
        upload: UploadId,
        mut part: UploadPart,
    ) -> Result<(), WriteError> {
        self.may_write()?;
        part.modified_ms = now_ms();
        let open = self.open(bucket, key, upload)?;
        let replaced = open.parts.insert(part.number, part);
        if let Some(replaced) = replaced {
            self.parts.remove(&replaced.part);
        }
        Ok(())
    }

    fn open(&mut self, bucket: BucketId, key: &str, upload: UploadId) -> Result<&mut OpenUpload, WriteError> {
        self.uploads
            .get_mut(&(bucket, key.to_owned(), upload))
            .filter(|upload| upload.info.state == UploadState::Open)
            .ok_or(unchanged(WriteFault::NoSuchUpload))
    }

    pub(super) fn upload(
        &self,
        bucket: BucketId,
        key: &str,
        upload: UploadId,
    ) -> Result<(UploadInfo, Vec<UploadPart>), ReadFault> {
        self.may_read()?;
        let upload = self.uploads.get(&(bucket, key.to_owned(), upload));
        let upload = upload.ok_or(ReadFault::NoSuchUpload)?;
        Ok((upload.info.clone(), upload.parts.values().cloned().collect()))
    }

    pub(super) fn complete_upload(
        &mut self,
        bucket: BucketId,
        key: &str,
        upload: UploadId,
        complete: CompleteUpload,
    ) -> Result<PutOutcome, WriteError> {
        self.may_write()?;
        let chosen: Vec<_> = complete.manifest.parts.iter().map(|part| part.id).collect();
        let put = PutObject {
            request: complete.request,
            context: None,
            value: PutValue::Object {
                etag: complete.etag,
                headers: complete.headers,
                body: StoredBody::Chunked {
                    manifest: complete.manifest,
                    commit_deadline_ms: now_ms() + COMMIT_MS,
                },
            },
            w: None,
            wait_all: false,
        };
        self.open(bucket, key, upload)?;
        let outcome = self.put(bucket, key, put)?;
        let closed = self.open(bucket, key, upload)?;
        closed.info.state = UploadState::Completed;
        let parts = std::mem::take(&mut closed.parts);
        for part in parts.values().filter(|part| !chosen.contains(&part.part)) {
            self.parts.remove(&part.part);
        }
        Ok(outcome)
    }

    pub(super) fn abort_upload(&mut self, bucket: BucketId, key: &str, upload: UploadId) -> Result<(), WriteError> {
        self.may_write()?;
        let closed = self.open(bucket, key, upload)?;
        closed.info.state = UploadState::Aborted;
        let parts = std::mem::take(&mut closed.parts);
        for part in parts.values() {
            self.parts.remove(&part.part);
        }
        Ok(())
    }

    pub(super) fn uploads(&self, bucket: BucketId, page: &ListUploads) -> Result<(Vec<UploadInfo>, bool), ReadFault> {
        self.may_read()?;
        let (after_key, after_id) = &page.after;
        let mut wanted = self
            .uploads
            .iter()
            .filter(|((id, key, _), upload)| {
                *id == bucket && key.starts_with(&page.prefix) && upload.info.state == UploadState::Open
            })
            .filter(|((_, key, id), _)| match after_id {
                Some(after_id) => (key, id) > (after_key, after_id),
                None => key > after_key,
            })
            .map(|(_, upload)| upload.info.clone());
        let infos: Vec<UploadInfo> = wanted.by_ref().take(page.count_max as usize).collect();
        Ok((infos, wanted.next().is_some()))
    }
}
