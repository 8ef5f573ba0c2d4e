//! What rows and messages look like as bytes (rule L8). `docs/format.md` draws every one of them.
//!
//! Domain types know nothing of this: the formats stand here, one small file per group of types, so that a change of a
//! type cannot change a format unnoticed. Every format begins with its version; golden files in `tests/golden` hold
//! each of them still.

pub mod content;
pub mod context;
pub mod datagram;
pub mod dead;
pub mod encoded;
mod field;
pub mod hint;
pub mod limit;
pub mod message;
pub mod record;
pub mod ring;
pub mod side;
pub(crate) mod swim;

pub use crate::codec::DecodeError;

/// The newest format level that this program understands (rule L8).
pub const FORMAT_LEVEL: u16 = 1;
