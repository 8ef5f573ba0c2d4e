//! Taking a body in: hashed while it is written, verified before anything is committed.
//!
//! A body goes to a [`BodyWriter`] piece by piece, as the same refcounted bytes that came off the socket. MD5 (the ETag)
//! and the client's checksum are taken beside it: in place while the body is small, because a hop to another thread
//! costs more than hashing 64 KiB; on a blocking thread in batches beyond, while the next batch is being read and
//! written. [`Received`] is what came of it; its owner compares digests, and only then calls [`Received::store`].
//! Dropping it at any point, also when the client goes away, abandons the body: nothing was committed.
//!
//! Memory: the pieces of two batches, and what the writer holds. A writer of a large body makes sure of room for both before
//! the first byte is read, so that a client that hears `503` has sent nothing in vain if it waited for `100 Continue`.

mod hashing;
mod patience;

use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use holdfast_core::content::{INLINE_BYTES_MAX, StoredBody};
use holdfast_core::request::{StateChange, WriteError, WriteFault};

use crate::checksum::Algorithm;
use crate::objects::BodyWriter;

use hashing::{Hashing, InPlace, Offloaded};
use patience::{OutOfPatience, Patience};

/// Bodies up to this many bytes are hashed in place.
const IN_PLACE_BYTES_MAX: u64 = 64 * 1024;

/// What is known of a body before it comes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Its length, if the client said.
    pub length: Option<u64>,
    /// More than this is refused.
    pub bytes_max: u64,
    /// A checksum to take beside MD5.
    pub checksum: Option<Algorithm>,
    /// How long the client may send nothing at all.
    pub patience: Duration,
}

/// A body that arrived whole and is written, but not committed to yet.
pub struct Received {
    writer: Box<dyn BodyWriter>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its MD5.
    pub md5: [u8; 16],
    /// The checksum asked for, in base64.
    pub checksum: Option<String>,
}

/// Why a body was not taken. Nothing of it stays.
#[derive(Debug)]
pub enum IntakeError<E> {
    /// The source failed, for instance because the client went away.
    Source(E),
    /// It ended before the length announced.
    TooShort,
    /// It went on after the length announced.
    TooLong,
    /// It is larger than allowed.
    TooLarge,
    /// The client sent nothing for too long.
    Stalled,
    /// It could not be written.
    Write(WriteError),
    /// The process is stopping.
    Stopping,
}

/// Takes a body from `source` into `writer`.
///
/// # Errors
/// See [`IntakeError`]; the writer is dropped, so nothing of the body stays.
pub async fn take<S, E>(mut source: S, mut writer: Box<dyn BodyWriter>, plan: Plan) -> Result<Received, IntakeError<E>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    if plan.length.is_some_and(|length| length > plan.bytes_max) {
        return Err(IntakeError::TooLarge);
    }
    let mut hashing = Hashing::Small(InPlace::new(plan.checksum));
    if plan.length.is_none_or(|length| length > INLINE_BYTES_MAX as u64) {
        writer.begin(plan.length).await.map_err(IntakeError::Write)?;
    }
    let mut patience = Patience::new(plan.patience, writer.waiting());
    let mut bytes = 0_u64;
    while let Some(piece) = patience.next(&mut source).await? {
        let piece = piece.map_err(IntakeError::Source)?;
        if piece.is_empty() {
            continue;
        }
        bytes += piece.len() as u64;
        patience.took(piece.len() as u64);
        if bytes > plan.bytes_max {
            return Err(IntakeError::TooLarge);
        }
        if plan.length.is_some_and(|length| bytes > length) {
            return Err(IntakeError::TooLong);
        }
        hashing = match hashing {
            Hashing::Small(mut hashes) if bytes <= IN_PLACE_BYTES_MAX => {
                hashes.update(&piece);
                Hashing::Small(hashes)
            }
            Hashing::Small(hashes) => Hashing::Large(Offloaded::new(hashes).take(piece.clone()).await?),
            Hashing::Large(offloaded) => Hashing::Large(offloaded.take(piece.clone()).await?),
        };
        writer.write(piece).await.map_err(IntakeError::Write)?;
    }
    if plan.length.is_some_and(|length| bytes < length) {
        return Err(IntakeError::TooShort);
    }
    let digests = match hashing {
        Hashing::Small(hashes) => hashes.finish(),
        Hashing::Large(offloaded) => offloaded.finish().await?,
    };
    Ok(Received {
        writer,
        bytes,
        md5: digests.md5,
        checksum: digests.checksum,
    })
}

impl Received {
    /// The ETag of a body put in one piece.
    #[must_use]
    pub fn etag(&self) -> String {
        hex(&self.md5)
    }

    /// Waits until the body is on disks and hands it over for the commit.
    ///
    /// # Errors
    /// When too few homes could store it.
    pub async fn store(self) -> Result<StoredBody, WriteError> {
        self.writer.finish().await
    }
}

impl<E> From<OutOfPatience> for IntakeError<E> {
    fn from(why: OutOfPatience) -> Self {
        match why {
            OutOfPatience::Stalled => Self::Stalled,
            OutOfPatience::TooSlow => Self::Write(WriteError {
                state: StateChange::Unchanged,
                fault: WriteFault::Overloaded,
            }),
        }
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    hex_simd::encode_to_string(bytes, hex_simd::AsciiCase::Lower)
}
