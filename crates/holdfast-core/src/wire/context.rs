//! A context on its own: what a context token holds (rule D8).

use alloc::vec::Vec;

use super::field::Field;
use crate::codec::{DecodeError, Reader, Writer};
use crate::context::Context;

/// First byte of a context on its own.
pub const CONTEXT_VERSION: u8 = 1;

/// A context as bytes.
#[must_use]
pub fn encode_context(context: &Context) -> Vec<u8> {
    let mut writer = Writer::with_capacity(2 + context.len() * 24);
    writer.u8(CONTEXT_VERSION);
    context.write(&mut writer);
    writer.into_vec()
}

/// Undoes [`encode_context`].
///
/// # Errors
/// When the bytes are not the encoding of a context.
pub fn decode_context(bytes: &[u8]) -> Result<Context, DecodeError> {
    let mut reader = Reader::over_slice(bytes);
    let version = reader.u8()?;
    if version != CONTEXT_VERSION {
        return Err(DecodeError::UnknownVersion {
            what: "context",
            version,
        });
    }
    let context = Context::read(&mut reader)?;
    reader.finish()?;
    Ok(context)
}
