//! Buckets in memory.

use std::sync::Arc;

use holdfast_core::bucket::{Bucket, BucketState, Settings};
use holdfast_core::ids::BucketId;
use holdfast_core::request::{Count, UploadState, WriteError};

use super::{State, now_ms};
use crate::objects::{BucketCreated, DeleteBucketError, NewBucket};

impl State {
    pub(super) fn create_bucket(&mut self, name: &str, new: NewBucket) -> Result<BucketCreated, WriteError> {
        self.may_write()?;
        if let Some(bucket) = self.buckets.get(name) {
            return Ok(BucketCreated {
                bucket: Arc::clone(bucket),
                created: false,
            });
        }
        let deletions = self.deleted.get(name).copied().unwrap_or(0);
        let hash = blake3::hash(format!("{deletions}/{name}").as_bytes());
        let mut id = [0_u8; 8];
        id.copy_from_slice(&hash.as_bytes()[..8]);
        let bucket = Arc::new(Bucket {
            name: name.to_owned(),
            settings: Settings {
                id: BucketId(u64::from_le_bytes(id)),
                version: 1,
                shards: 1,
                n: new.n.unwrap_or(3),
                r: new.r.unwrap_or(2),
                w: new.w.unwrap_or(2),
                sloppy: new.sloppy.unwrap_or(true),
            },
            owner: new.owner,
            created_ms: now_ms(),
            conflict: new.conflict,
            state: BucketState::Live,
            deletions,
        });
        self.buckets.insert(name.to_owned(), Arc::clone(&bucket));
        Ok(BucketCreated { bucket, created: true })
    }

    pub(super) fn delete_bucket(&mut self, bucket: &Bucket) -> Result<(), DeleteBucketError> {
        self.may_write().map_err(DeleteBucketError::Write)?;
        let id = bucket.settings.id;
        let open_upload = self
            .uploads
            .iter()
            .any(|((in_bucket, ..), upload)| *in_bucket == id && upload.info.state == UploadState::Open);
        if open_upload || self.count(id).objects > 0 {
            return Err(DeleteBucketError::NotEmpty);
        }
        if self.buckets.remove(&bucket.name).is_some() {
            *self.deleted.entry(bucket.name.clone()).or_default() += 1;
        }
        Ok(())
    }

    pub(super) fn count(&self, bucket: BucketId) -> Count {
        let mut count = Count::default();
        let rows = self.objects.range((bucket, String::new())..);
        for (_, stored) in rows.take_while(|((id, _), _)| *id == bucket) {
            if let Some(version) = stored.record.visible() {
                count.objects += 1;
                count.bytes += version.content.size;
            }
        }
        count
    }
}
