//! Buckets and access keys (rules B1, B3): rows of the system bucket, kept by every node, read from memory.
//!
//! This is the one small door to the registry. Today a change is a quorum write to a majority of all members; the rows
//! and this interface stay when it becomes a compare-and-set register.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::bucket::{AccessKey, Bucket, BucketState, KeyState, Settings};
use crate::ids::{BucketId, SYSTEM_BUCKET};

/// All buckets and access keys that this node knows, deleted ones included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registry {
    buckets: BTreeMap<String, Arc<Bucket>>,
    /// Name of the bucket with each id.
    names: BTreeMap<BucketId, String>,
    keys: BTreeMap<String, AccessKey>,
}

/// A row of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Under `b/<name>`.
    Bucket(Bucket),
    /// Under `k/<id>`.
    Key(AccessKey),
}

impl Entry {
    /// Key of its row in the system bucket.
    #[must_use]
    pub fn row_key(&self) -> String {
        match self {
            Self::Bucket(bucket) => bucket_row_key(&bucket.name),
            Self::Key(key) => access_key_row_key(&key.id),
        }
    }
}

/// Key of a bucket's row in the system bucket.
#[must_use]
pub fn bucket_row_key(name: &str) -> String {
    format!("b/{name}")
}

/// Key of an access key's row in the system bucket.
#[must_use]
pub fn access_key_row_key(id: &str) -> String {
    format!("k/{id}")
}

/// Settings of the system bucket, the same on every node (rule B3): every member is a home, a majority decides.
#[must_use]
pub const fn system_settings(members: usize) -> Settings {
    let n = if members > 255 { 255 } else { members as u8 };
    let majority = n / 2 + 1;
    Settings {
        id: SYSTEM_BUCKET,
        version: 1,
        shards: 1,
        n,
        r: majority,
        w: majority,
        // Every member is a home: nobody could stand in.
        sloppy: false,
    }
}

/// Default number of homes of a bucket's keys (rule B1).
pub const N_DEFAULT: u8 = 3;

/// Default number of index shards of a new bucket: `min(Q, 16 × ⌈members/8⌉)` (rule B1).
#[must_use]
pub fn default_shards(members: usize, partitions: usize) -> u16 {
    (16 * members.div_ceil(8)).min(partitions).min(usize::from(u16::MAX)) as u16
}

/// Id of a bucket: a hash of its name and of how often a bucket of that name was deleted, so that racing creations agree
/// and a bucket created again is another one (rule B1). Never 0.
#[must_use]
pub fn bucket_id(name: &str, deletions: u32) -> BucketId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[0]);
    hasher.update(&deletions.to_be_bytes());
    let hash = hasher.finalize();
    let id = u64::from_be_bytes(hash.as_bytes()[..8].try_into().unwrap_or([1; 8]));
    BucketId(id.max(1))
}

impl Registry {
    /// The bucket of this name, if it exists.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<&Arc<Bucket>> {
        self.buckets
            .get(name)
            .filter(|bucket| bucket.state == BucketState::Live)
    }

    /// The bucket with this id, live or deleted; `None` for a past one.
    #[must_use]
    pub fn bucket_by_id(&self, id: BucketId) -> Option<&Arc<Bucket>> {
        self.buckets.get(self.names.get(&id)?)
    }

    /// All live buckets by name.
    pub fn buckets(&self) -> impl Iterator<Item = &Arc<Bucket>> {
        self.buckets.values().filter(|bucket| bucket.state == BucketState::Live)
    }

    /// The access key with this id, disabled ones included.
    #[must_use]
    pub fn access_key(&self, id: &str) -> Option<&AccessKey> {
        self.keys.get(id).filter(|key| key.state != KeyState::Deleted)
    }

    /// All access keys that were not deleted.
    pub fn access_keys(&self) -> impl Iterator<Item = &AccessKey> {
        self.keys.values().filter(|key| key.state != KeyState::Deleted)
    }

    /// Forgets an access key whose row can no longer be read: what the row said before may have been taken back since.
    /// True when it was known. (Buckets stay: without their settings nobody finds what is in them.)
    pub fn forget_key(&mut self, row_key: &str) -> bool {
        row_key
            .strip_prefix("k/")
            .is_some_and(|id| self.keys.remove(id).is_some())
    }

    /// Takes over what a row of the system bucket now says.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Bucket(bucket) => {
                let (id, name) = (bucket.settings.id, bucket.name.clone());
                // Only the present id is kept, so that nodes which missed a past one agree with those that did not.
                if let Some(past) = self.buckets.insert(name.clone(), Arc::new(bucket)) {
                    self.names.remove(&past.settings.id);
                }
                self.names.insert(id, name);
            }
            Entry::Key(key) => {
                self.keys.insert(key.id.clone(), key);
            }
        }
    }
}
