//! Identities of requests: the one shown to people, and the one that makes a retried write recognise itself (rule D7).
//!
//! SDKs send `amz-sdk-invocation-id`, the same on every try of one call. Together with who, what and which key it names
//! one write. It is hashed, so that no client can guess or claim another's. Without it an id is drawn, and every try is
//! a write of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_core::ids::{BucketId, RequestId};

/// Random bytes from the operating system.
///
/// Falls back to the address of a local mixed with the clock when the system has none to give, which Linux only does
/// before its pool is seeded: such an id is still unique, merely guessable.
fn random_u128() -> u128 {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_nanos());
        let here = std::ptr::from_ref(&bytes).addr() as u128;
        bytes = (now ^ (here << 64)).to_be_bytes();
    }
    u128::from_be_bytes(bytes)
}

/// An id for a write whose client sent none.
#[must_use]
pub fn drawn() -> RequestId {
    RequestId(random_u128())
}

/// An unguessable 128-bit number: ids of access keys, secrets.
#[must_use]
pub fn secret_u128() -> u128 {
    random_u128()
}

/// The id of a client's write: the same for every try of one call, and for nothing else.
#[must_use]
pub fn of_invocation(principal: &str, operation: &str, bucket: BucketId, key: &str, invocation: &[u8]) -> RequestId {
    let mut hasher = blake3::Hasher::new();
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    for field in [principal.as_bytes(), operation.as_bytes(), key.as_bytes(), invocation] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.update(&bucket.0.to_le_bytes());
    let mut id = [0_u8; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    RequestId(u128::from_le_bytes(id))
}

/// What is shown as `x-amz-request-id` and written to logs: 16 hex digits, upper case as in S3, unique within a node's
/// life and in practice among nodes. Made without a system call, since every request gets one.
#[must_use]
pub fn shown() -> String {
    static BASE: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let base = *BASE.get_or_init(|| u64::try_from(random_u128() >> 64).unwrap_or(0));
    // An odd multiplier permutes all 64-bit numbers, so distinct counts give distinct ids that do not look counted.
    let count = COUNT
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{:016X}", base ^ count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use holdfast_core::ids::BucketId;

    use super::{drawn, of_invocation, shown};

    #[test]
    fn the_same_call_has_the_same_id_and_nothing_else_has() {
        let id = |who, op, bucket, key, what: &str| of_invocation(who, op, BucketId(bucket), key, what.as_bytes());
        let first = id("AK", "PutObject", 1, "k", "i");
        assert_eq!(first, id("AK", "PutObject", 1, "k", "i"));
        let others = [
            id("AL", "PutObject", 1, "k", "i"),
            id("AK", "DeleteObject", 1, "k", "i"),
            id("AK", "PutObject", 2, "k", "i"),
            id("AK", "PutObject", 1, "l", "i"),
            id("AK", "PutObject", 1, "k", "j"),
            id("A", "KPutObject", 1, "k", "i"),
        ];
        assert!(others.iter().all(|other| *other != first));
    }

    #[test]
    fn drawn_and_shown_ids_do_not_repeat() {
        assert_ne!(drawn(), drawn());
        let ids: BTreeSet<String> = (0..10_000).map(|_| shown()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16));
    }
}
