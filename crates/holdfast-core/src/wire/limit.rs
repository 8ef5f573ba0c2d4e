//! The longest strings that a reader accepts. Each is at least what its writers are allowed to write, because bytes that
//! were acknowledged must be readable: the strict limits for clients are checked where clients are served.

use crate::content::{HEADERS_BYTES_MAX, INLINE_BYTES_MAX};
use crate::ids::KEY_BYTES_MAX;

/// One name or value of a header. All of a version together may have [`HEADERS_BYTES_MAX`], so that is enough for one.
pub const HEADER_BYTES_MAX: usize = HEADERS_BYTES_MAX;
/// Quotes, a hash in hex, a number of parts: generous.
pub const ETAG_BYTES_MAX: usize = 1024;
/// An object key.
pub const OBJECT_KEY_BYTES_MAX: usize = KEY_BYTES_MAX;
/// A prefix, delimiter, marker or seek position: made from keys and clients' wishes, so longer than a key.
pub const SEARCH_BYTES_MAX: usize = 4 * KEY_BYTES_MAX;
/// The whole key of a row: an escaped object key doubles at worst.
pub const ROW_KEY_BYTES_MAX: usize = 4 * KEY_BYTES_MAX;
/// A bucket's name, an access key's id, secret or name.
pub const NAME_BYTES_MAX: usize = 1024;
/// The body row of a version: an inline body, or a manifest of 10,000 parts with their checksums.
pub const BODY_ROW_BYTES_MAX: usize = 8 * 1024 * 1024;
/// One upload or part row.
pub const SIDE_ROW_BYTES_MAX: usize = 256 * 1024;
/// The body of a chunk, or of any range of one.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// `host:port` of a node.
pub const ADDRESS_BYTES_MAX: usize = 512;
/// What newer programs added to a registry entry.
pub const EXTENSIONS_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(INLINE_BYTES_MAX <= BODY_ROW_BYTES_MAX);
