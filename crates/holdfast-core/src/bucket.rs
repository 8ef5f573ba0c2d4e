//! Buckets and access keys as the registry keeps them (rules B1–B3).

use alloc::string::String;

use crate::ids::BucketId;

/// What the coordinators need to know of a bucket; travels with every request (rule B4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Which bucket.
    pub id: BucketId,
    /// Raised by every change of the bucket's settings.
    pub version: u64,
    /// Slices of its index, each a contiguous range of rows in one partition; never changes.
    pub shards: u16,
    /// Replicas wanted; the effective number is `min(n, members)` (rule B2).
    pub n: u8,
    /// Copies a read asks.
    pub r: u8,
    /// Synced copies a write needs.
    pub w: u8,
    /// Whether stand-ins may take the place of homes that are down (Dynamo §4.6: sloppy quorum).
    pub sloppy: bool,
}

/// What happens to concurrent versions when a key is read (rule B1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Conflict {
    /// The one with the highest (tick, actor) is returned.
    #[default]
    Newest,
    /// All are returned to clients that can take them.
    Siblings,
}

/// One bucket, live or deleted, as its registry row tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Its name, valid by S3's rules.
    pub name: String,
    /// What coordinators need.
    pub settings: Settings,
    /// Access key id of whoever created it.
    pub owner: String,
    /// Unix milliseconds of its creation.
    pub created_ms: u64,
    /// What happens to concurrent versions.
    pub conflict: Conflict,
    /// Whether it exists; a deleted one keeps its row, because its next id depends on how often the name was deleted.
    pub state: BucketState,
    /// How often a bucket of this name was deleted.
    pub deletions: u32,
}

/// Whether a bucket exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BucketState {
    /// It does.
    Live,
    /// It did.
    Deleted,
}

/// Length of the id of an access key that a cluster made: what SDKs expect.
const KEY_ID_LENGTH: usize = 20;
/// Begins the id of every access key that a cluster made.
const KEY_ID_PREFIX: &str = "HF";
/// The other characters of an id: 32 of them, so five bits each.
const KEY_ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The id of a new access key, from at least 90 random bits.
#[must_use]
pub fn key_id(random: u128) -> String {
    let mut id = String::from(KEY_ID_PREFIX);
    while id.len() < KEY_ID_LENGTH {
        let bits = (random >> ((id.len() - KEY_ID_PREFIX.len()) * 5)) & 31;
        id.push(char::from(KEY_ID_ALPHABET[bits as usize]));
    }
    id
}

/// Whether [`key_id`] can have made this id. The root key's is chosen by its owner and need not look so.
///
/// Whoever asks for another one is told "no such key" without a look at any disk, so a program that makes ids of another
/// shape must know that all members accept them.
#[must_use]
pub fn is_key_id(id: &str) -> bool {
    id.len() == KEY_ID_LENGTH
        && id
            .strip_prefix(KEY_ID_PREFIX)
            .is_some_and(|rest| rest.bytes().all(|byte| KEY_ID_ALPHABET.contains(&byte)))
}

/// A pair of access key and secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The public half: 20 characters by custom.
    pub id: String,
    /// The secret half. Never logged.
    pub secret: String,
    /// What people call it.
    pub name: String,
    /// Unix milliseconds of its creation; 0 for the root key, which is as old as the cluster.
    pub created_ms: u64,
    /// Whether it works, was turned off, or was deleted.
    pub state: KeyState,
}

/// Whether an access key works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It signs requests.
    Enabled,
    /// Turned off; may be turned on again.
    Disabled,
    /// Gone; its row stays so that a late copy does not bring it back.
    Deleted,
}

impl core::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_keys_have_one_shape() {
        for random in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let id = key_id(random);
            assert!(id.len() == 20 && is_key_id(&id), "{id}");
        }
        assert_ne!(key_id(1), key_id(1 << 89));
        for strange in [
            "",
            "HF",
            "AKIAIOSFODNN7EXAMPLE",
            "HFaaaaaaaaaaaaaaaaaa",
            "HFAAAAAAAAAAAAAAAAAA2",
            "HF\u{e4}AAAAAAAAAAAAAAAA",
        ] {
            assert!(!is_key_id(strange), "{strange}");
        }
    }
}
