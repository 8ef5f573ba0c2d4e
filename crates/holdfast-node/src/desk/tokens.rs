//! Context tokens (rule D8): what a client is shown of a context, authenticated and bound to bucket and key, so that one
//! cannot be forged, nor used to delete what its holder never saw.

use holdfast_core::context::Context;
use holdfast_core::ids::BucketId;
use holdfast_core::wire::context::{decode_context, encode_context};

use super::Desk;

/// Length of the authentication code in bytes.
const CODE_BYTES: usize = 16;
/// A context of the most lives anyone should have, in hex; longer tokens are not looked at.
const TOKEN_CHARS_MAX: usize = 16 * 1024;

impl Desk {
    /// A context as a token for one key.
    #[must_use]
    pub fn seal_context(&self, bucket: BucketId, key: &str, context: &Context) -> String {
        let mut bytes = encode_context(context);
        let code = self.code(bucket, key, &bytes);
        bytes.extend_from_slice(&code);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The context in a token; `None` if it was forged, damaged or made for another key.
    #[must_use]
    pub fn open_context(&self, bucket: BucketId, key: &str, token: &str) -> Option<Context> {
        if token.len() > TOKEN_CHARS_MAX || !token.len().is_multiple_of(2) || !token.is_ascii() {
            return None;
        }
        let pairs = (0..token.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&token[at..at + 2], 16).ok());
        let bytes = pairs.collect::<Option<Vec<u8>>>()?;
        let (context, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE_BYTES)?)?;
        let expected = self.code(bucket, key, context);
        // Compared as BLAKE3 hashes, whose equality takes the same time wherever they differ.
        if blake3::hash(code) != blake3::hash(&expected) {
            return None;
        }
        decode_context(context).ok()
    }

    fn code(&self, bucket: BucketId, key: &str, context: &[u8]) -> [u8; CODE_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.inner.context_key);
        hasher.update(&bucket.0.to_be_bytes());
        hasher.update(&(key.len() as u64).to_be_bytes());
        hasher.update(key.as_bytes());
        hasher.update(context);
        let mut code = [0; CODE_BYTES];
        code.copy_from_slice(&hasher.finalize().as_bytes()[..CODE_BYTES]);
        code
    }
}
