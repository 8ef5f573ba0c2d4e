//! Buckets and access keys: rows of the system bucket, changed like any other key (rule B3).

use bytes::Bytes;
use holdfast_core::bucket::{AccessKey, Bucket, BucketState, Conflict, KeyState};
use holdfast_core::content::StoredBody;
use holdfast_core::registry::{Entry, bucket_row_key};
use holdfast_core::request::Answer;
use holdfast_core::wire::record::encode_entry;

use super::Context;
use super::operation::{Ask, Outcome};
use super::session::choose_known;
use super::setting::Target;
use crate::truth::Expected;
use crate::world::EPOCH_MS;

/// A change of the registry.
pub(super) struct RegistryChange {
    bucket: Option<Target>,
    asked: bool,
    /// Whether it was acknowledged.
    pub(super) done: bool,
}

impl RegistryChange {
    pub(super) const fn make_bucket(target: Target) -> Self {
        Self {
            bucket: Some(target),
            asked: false,
            done: false,
        }
    }

    /// A change of some access key.
    pub(super) const fn of_access_key() -> Self {
        Self {
            bucket: None,
            asked: false,
            done: false,
        }
    }

    pub(super) fn next(&mut self, cx: &mut Context<'_>, outcome: Option<Outcome>) -> Option<Ask> {
        if self.asked {
            if let Some(Outcome::Answered {
                answer: Answer::Put(_), ..
            }) = outcome
            {
                self.done = true;
                if let Some(bucket) = &self.bucket {
                    cx.memory.made.insert(bucket.name.clone());
                }
            }
            return None;
        }
        self.asked = true;
        let system = cx.setting.system.clone();
        let Some(bucket) = &self.bucket else {
            let name = cx.rng.pick(&system.keys).clone();
            let key = cx.key(&system, &name);
            let known = choose_known(cx, &system, key);
            let (expected, body) = access_key(cx, &name);
            return Some(cx.put(&system, key, expected, known, Some(body)));
        };
        let entry = Entry::Bucket(Bucket {
            name: bucket.name.clone(),
            settings: bucket.settings,
            owner: "somebody".to_owned(),
            created_ms: EPOCH_MS + cx.world.now_us / 1_000,
            conflict: Conflict::Newest,
            state: BucketState::Live,
            deletions: 0,
        });
        let key = cx.key(&system, &bucket_row_key(&bucket.name));
        let (expected, body) = entry_object(&entry);
        Some(cx.put(&system, key, expected, None, Some(body)))
    }
}

/// An access key's row.
pub(super) fn access_key(cx: &mut Context<'_>, row_key: &str) -> (Expected, StoredBody) {
    let id = row_key.trim_start_matches("k/").to_owned();
    entry_object(&Entry::Key(AccessKey {
        id,
        secret: format!("{:x}", cx.rng.next_u64()),
        name: "a key".to_owned(),
        created_ms: EPOCH_MS + cx.world.now_us / 1_000,
        state: *cx.rng.pick(&[KeyState::Enabled, KeyState::Disabled, KeyState::Deleted]),
    }))
}

fn entry_object(entry: &Entry) -> (Expected, StoredBody) {
    let inline = Bytes::from(encode_entry(entry));
    let expected = Expected {
        deletion: false,
        size: inline.len() as u64,
        etag: String::new(),
        headers: Vec::new(),
        inline: inline.clone(),
        manifest: None,
    };
    (expected, StoredBody::Inline(inline))
}
