//! Small pieces that several requests are made of.

use holdfast_core::bucket::Bucket;
use holdfast_core::ids::ObjectKey;
use holdfast_core::request::{StateChange, Upload, UploadStep, WriteError, WriteFault};

/// A key within a bucket.
pub(super) fn object_key(bucket: &Bucket, key: &str) -> ObjectKey {
    ObjectKey {
        bucket: bucket.settings.id,
        key: key.to_owned(),
    }
}

/// A step of an upload of a key.
pub(super) fn upload(bucket: &Bucket, key: &str, step: UploadStep) -> Upload {
    Upload {
        settings: bucket.settings,
        key: object_key(bucket, key),
        step,
    }
}

/// A random 128-bit name.
pub(super) fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    u128::from_be_bytes(bytes)
}

/// An answer of the wrong kind: a bug, after which nothing can be said of the state.
pub(super) const fn nonsense() -> WriteError {
    WriteError {
        state: StateChange::Unknown,
        fault: WriteFault::Damaged,
    }
}
