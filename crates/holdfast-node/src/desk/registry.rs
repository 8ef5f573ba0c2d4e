//! The registry as front ends need it (rules B1, B3): buckets and access keys, read from memory, asked of a majority when
//! unknown, written to a majority.
//!
//! Whoever signs a request names an access key, known or not, before anything about him is known. So an unknown name must
//! be cheap: ids that no cluster makes are refused unread, and only a few of the others are looked up at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use holdfast_core::bucket::{AccessKey, Bucket, BucketState, Conflict, KeyState, Settings, is_key_id};
use holdfast_core::content::StoredBody;
use holdfast_core::context::Context;
use holdfast_core::ids::{ObjectKey, RequestId, SYSTEM_BUCKET};
use holdfast_core::registry::{
    Entry, N_DEFAULT, access_key_row_key, bucket_id, bucket_row_key, default_shards, system_settings,
};
use holdfast_core::request::{
    Answer, Get, List, PageEntry, Put, PutValue, ReadFault, StateChange, Upload, UploadStep, WantedBodies, WriteError,
    WriteFault,
};
use holdfast_core::wire::side::{EntryRow, decode_entry_row, encode_entry_with};

use tokio::sync::Semaphore;
use tracing::warn;

use super::{Desk, Sizes};
use crate::shell::random_u128;

/// Access keys looked up at a majority at a time. A key is unknown here only for a moment after it was made elsewhere, so
/// few are needed; strangers can cause no more.
const KEY_LOOKUPS_MAX: usize = 16;
/// Rows read at a time to list the registry: enough to hide the way to other members, few beside all requests.
const ENTRY_READS_MAX: usize = 32;

/// A bucket to be made; `None` takes the default.
#[derive(Clone, Debug, Default)]
pub struct CreateBucket {
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

/// Why a bucket was not deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeleteBucketFault {
    /// It holds at least one object or open upload; nothing changed.
    NotEmpty,
    /// It could not be looked through; nothing changed.
    Read(ReadFault),
    /// The deletion was not confirmed.
    Write(WriteError),
}

impl Desk {
    async fn system(&self) -> Result<Settings, ReadFault> {
        let Sizes { members, .. } = self.inner.asks.sizes().await?;
        Ok(system_settings(members))
    }

    /// The live bucket of this name, from memory or, if unknown here, from a majority.
    pub async fn bucket(&self, name: &str) -> Result<Option<Arc<Bucket>>, ReadFault> {
        if let Some(bucket) = self.registry().bucket(name) {
            return Ok(Some(bucket.clone()));
        }
        match self.read_entry(bucket_row_key(name)).await?.known() {
            Some(Entry::Bucket(bucket)) if bucket.state == BucketState::Live => Ok(Some(Arc::new(bucket))),
            _ => Ok(None),
        }
    }

    /// All live buckets by name, as a majority knows them.
    pub async fn buckets(&self) -> Result<Vec<Arc<Bucket>>, ReadFault> {
        let entries = self.read_entries("b/").await?;
        let buckets = entries.into_iter().filter_map(|entry| match entry {
            Entry::Bucket(bucket) if bucket.state == BucketState::Live => Some(Arc::new(bucket)),
            _ => None,
        });
        Ok(buckets.collect())
    }

    /// The access key with this id, disabled ones included.
    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, ReadFault> {
        if let Some(root) = self.root_key().filter(|root| root.id == id) {
            return Ok(Some(root));
        }
        if let Some(key) = self.registry().access_key(id) {
            return Ok(Some(key.clone()));
        }
        if !is_key_id(id) {
            return Ok(None);
        }
        let read = self.read_entry(access_key_row_key(id));
        match self.inner.key_lookups.run(read).await?.known() {
            Some(Entry::Key(key)) if key.state != KeyState::Deleted => Ok(Some(key)),
            _ => Ok(None),
        }
    }

    /// All access keys that were not deleted, the root key first.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, ReadFault> {
        let entries = self.read_entries("k/").await?;
        let keys = entries.into_iter().filter_map(|entry| match entry {
            Entry::Key(key) if key.state != KeyState::Deleted => Some(key),
            _ => None,
        });
        Ok(self.root_key().into_iter().chain(keys).collect())
    }

    /// The key that founding made; it is part of the cluster file and cannot be turned off.
    fn root_key(&self) -> Option<AccessKey> {
        let root = &self.inner.root;
        Some(AccessKey {
            id: root.id.clone(),
            secret: root.secret.clone(),
            name: "root".into(),
            created_ms: 0,
            state: KeyState::Enabled,
        })
    }

    /// Writes an access key.
    pub async fn put_access_key(&self, key: AccessKey) -> Result<(), WriteError> {
        let read = self.read_entry(access_key_row_key(&key.id)).await.map_err(unread)?;
        self.write_entry(&Entry::Key(key), read).await
    }

    /// Makes a bucket, or returns the one that exists, and whether it was made.
    pub async fn create_bucket(&self, name: &str, new: CreateBucket) -> Result<(Arc<Bucket>, bool), WriteError> {
        let mut read = self.read_entry(bucket_row_key(name)).await.map_err(unread)?;
        // A bucket made again is another one: what newer programs noted about the deleted one is not about it.
        let deletions = match read.row.take().map(|row| row.entry) {
            Some(Entry::Bucket(bucket)) if bucket.state == BucketState::Live => return Ok((Arc::new(bucket), false)),
            Some(Entry::Bucket(bucket)) => bucket.deletions,
            _ => 0,
        };
        let Sizes { members, partitions } = self.inner.asks.sizes().await.map_err(unread)?;
        let n = new.n.unwrap_or(N_DEFAULT);
        let majority = n / 2 + 1;
        let settings = Settings {
            id: bucket_id(name, deletions),
            version: 1,
            shards: default_shards(members, partitions),
            n,
            r: new.r.unwrap_or(majority),
            w: new.w.unwrap_or(majority),
            sloppy: new.sloppy.unwrap_or(true),
        };
        let bucket = Bucket {
            name: name.to_owned(),
            settings,
            owner: new.owner,
            created_ms: unix_ms(),
            conflict: new.conflict,
            state: BucketState::Live,
            deletions,
        };
        self.write_entry(&Entry::Bucket(bucket.clone()), read).await?;
        Ok((Arc::new(bucket), true))
    }

    /// Deletes a bucket that holds no object and no open upload.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), DeleteBucketFault> {
        if !self.is_empty(bucket).await.map_err(DeleteBucketFault::Read)? {
            return Err(DeleteBucketFault::NotEmpty);
        }
        let read = self.read_entry(bucket_row_key(&bucket.name)).await;
        let read = read.map_err(DeleteBucketFault::Read)?;
        match read.row.as_ref().map(|row| row.entry.clone()) {
            Some(Entry::Bucket(mut current)) if current.settings.id == bucket.settings.id => {
                current.state = BucketState::Deleted;
                current.deletions = bucket.deletions + 1;
                current.settings.version += 1;
                self.write_entry(&Entry::Bucket(current), read)
                    .await
                    .map_err(DeleteBucketFault::Write)
            }
            // Somebody else deleted it meanwhile.
            _ => Ok(()),
        }
    }

    async fn is_empty(&self, bucket: &Bucket) -> Result<bool, ReadFault> {
        let (prefix, delimiter, after) = (String::new(), String::new(), String::new());
        let list = List {
            settings: bucket.settings,
            prefix,
            delimiter,
            after,
            count_max: 1,
        };
        if !self.list(list).await?.entries.is_empty() {
            return Ok(false);
        }
        let key = ObjectKey {
            bucket: bucket.settings.id,
            key: String::new(),
        };
        let step = UploadStep::List {
            prefix: String::new(),
            after: (String::new(), None),
            count_max: 1,
        };
        let uploads = self
            .upload_read(Upload {
                settings: bucket.settings,
                key,
                step,
            })
            .await?;
        Ok(matches!(uploads, Answer::Uploads(uploads, false) if uploads.is_empty()))
    }

    /// A row of the system bucket as a majority knows it.
    async fn read_entry(&self, key: String) -> Result<ReadRow, ReadFault> {
        let got_key = key.clone();
        let key = ObjectKey {
            bucket: SYSTEM_BUCKET,
            key,
        };
        let got = self
            .get(Get {
                settings: self.system().await?,
                key,
                r: None,
                bodies: WantedBodies::Newest,
            })
            .await?;
        let context = got.record.context().clone();
        let Some(visible) = got.record.visible() else {
            return Ok(ReadRow { row: None, context });
        };
        let body = got
            .bodies
            .iter()
            .find(|(dot, _)| *dot == visible.dot)
            .map(|(_, body)| body.clone());
        let row = decode_entry_row(body.unwrap_or_default()).map_err(|error| {
            warn!(
                row = got_key,
                ?error,
                "a row of the registry cannot be read; was it written by a newer version?"
            );
            ReadFault::Damaged
        })?;
        self.inner.asks.learn(&row.entry);
        Ok(ReadRow {
            row: Some(row),
            context,
        })
    }

    /// All rows of the system bucket under a prefix: names from a majority, contents from memory or a majority.
    async fn read_entries(&self, prefix: &str) -> Result<Vec<Entry>, ReadFault> {
        let mut entries = Vec::new();
        let mut after = String::new();
        loop {
            let (prefix, delimiter) = (prefix.to_owned(), String::new());
            let page = self
                .list(List {
                    settings: self.system().await?,
                    prefix,
                    delimiter,
                    after,
                    count_max: 1_000,
                })
                .await?;
            let keys = page.entries.into_iter().filter_map(|entry| match entry {
                PageEntry::Object { key, .. } => Some(key),
                PageEntry::CommonPrefix(_) => None,
            });
            let mut read = stream::iter(keys.map(|key| self.read_entry(key))).buffered(ENTRY_READS_MAX);
            while let Some(read) = read.try_next().await? {
                entries.extend(read.known());
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(entries),
            }
        }
    }

    /// Replaces a row that was read; what a newer program added to it stays.
    async fn write_entry(&self, entry: &Entry, read: ReadRow) -> Result<(), WriteError> {
        let extensions = read.row.map(|row| row.extensions).unwrap_or_default();
        let body = StoredBody::Inline(Bytes::from(encode_entry_with(entry, &extensions)));
        let put = Put {
            settings: self.system().await.map_err(unread)?,
            key: ObjectKey {
                bucket: SYSTEM_BUCKET,
                key: entry.row_key(),
            },
            context: Some(read.context),
            value: PutValue::Object {
                etag: String::new(),
                headers: Vec::new(),
                body,
            },
            w: None,
            wait_all: false,
        };
        self.put(RequestId(random_u128()), put).await.map(|_| ())
    }
}

/// A row of the system bucket as a majority knows it.
struct ReadRow {
    /// What it says, and what newer programs added to it; `None` when there is no such row.
    row: Option<EntryRow>,
    /// What was seen of it, for the write that replaces it.
    context: Context,
}

impl ReadRow {
    /// What this program understands of it.
    fn known(self) -> Option<Entry> {
        self.row.map(|row| row.entry)
    }
}

/// Bounds how many reads are in flight that anybody can cause.
pub(super) struct Lookups(Semaphore);

impl Default for Lookups {
    fn default() -> Self {
        Self(Semaphore::new(KEY_LOOKUPS_MAX))
    }
}

impl Lookups {
    /// Reads, unless too many do: then "overloaded", never "not found".
    async fn run<T>(&self, read: impl Future<Output = Result<T, ReadFault>>) -> Result<T, ReadFault> {
        let Ok(_permit) = self.0.try_acquire() else {
            return Err(ReadFault::Overloaded);
        };
        read.await
    }
}

/// A write that did not begin because what it depends on could not be read.
fn unread(fault: ReadFault) -> WriteError {
    let fault = match fault {
        ReadFault::Unavailable { needed, reached, down } => WriteFault::Unavailable { needed, reached, down },
        ReadFault::TimedOut { needed, answered } => WriteFault::TimedOut {
            needed,
            synced: answered,
        },
        ReadFault::Overloaded => WriteFault::Overloaded,
        ReadFault::Damaged | ReadFault::NoSuchUpload => WriteFault::Damaged,
    };
    WriteError {
        state: StateChange::Unchanged,
        fault,
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flood of made-up key ids must not become a flood of quorum reads, nor a refusal of keys that exist.
    #[tokio::test]
    async fn lookups_beyond_the_bound_are_told_to_slow_down() {
        let lookups = Lookups::default();
        let (end, ended) = tokio::sync::watch::channel(());
        let endless = || {
            let mut ended = ended.clone();
            async move {
                let _ = ended.changed().await;
                Ok("found")
            }
        };
        let mut running: Vec<_> = (0..KEY_LOOKUPS_MAX).map(|_| Box::pin(lookups.run(endless()))).collect();
        for lookup in &mut running {
            let waits = tokio::time::timeout(std::time::Duration::ZERO, lookup.as_mut()).await;
            assert!(waits.is_err(), "it is let in and waits");
        }
        assert_eq!(lookups.run(endless()).await, Err(ReadFault::Overloaded));
        drop(running.pop());
        drop(end);
        assert_eq!(lookups.run(endless()).await, Ok("found"));
    }
}
