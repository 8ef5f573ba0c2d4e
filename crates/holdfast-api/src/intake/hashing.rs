//! The digests of a body in transit, taken in place or in batches on a blocking thread.

use bytes::Bytes;
use md5_many::{Digest, Md5};
use tokio::task::JoinHandle;

use super::IntakeError;
use crate::checksum::{Algorithm, Hasher};

/// Bytes handed to the blocking thread at once: about two milliseconds of MD5, against which the hop of some
/// microseconds does not count.
const BATCH_BYTES: usize = 1024 * 1024;

/// Where the hashing is done.
#[expect(
    clippy::large_enum_variant,
    reason = "a box would cost every small body an allocation, to save a large one some bytes on the stack"
)]
pub(super) enum Hashing {
    /// In place.
    Small(InPlace),
    /// On a blocking thread.
    Large(Offloaded),
}

/// Digests being taken.
pub(super) struct InPlace {
    md5: Md5,
    checksum: Option<Hasher>,
}

/// Digests taken.
pub(super) struct Digests {
    pub(super) md5: [u8; 16],
    pub(super) checksum: Option<String>,
}

impl InPlace {
    pub(super) fn new(checksum: Option<Algorithm>) -> Self {
        Self {
            md5: Md5::new(),
            checksum: checksum.map(Hasher::new),
        }
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.md5.update(piece);
        if let Some(hasher) = &mut self.checksum {
            hasher.update(piece);
        }
    }

    pub(super) fn finish(self) -> Digests {
        Digests {
            md5: self.md5.finalize().into(),
            checksum: self.checksum.map(Hasher::finish),
        }
    }
}

/// Digests of a large body: one batch is being hashed while the next one gathers.
pub(super) struct Offloaded {
    worker: Worker,
    batch: Vec<Bytes>,
    batch_bytes: usize,
}

enum Worker {
    Idle(Box<InPlace>),
    Busy(JoinHandle<Box<InPlace>>),
}

impl Worker {
    async fn into_idle<E>(self) -> Result<Box<InPlace>, IntakeError<E>> {
        match self {
            Self::Idle(hashes) => Ok(hashes),
            // A blocking task ends without a result only when the runtime is shutting down.
            Self::Busy(task) => task.await.map_err(|_| IntakeError::Stopping),
        }
    }
}

impl Offloaded {
    pub(super) fn new(hashes: InPlace) -> Self {
        Self {
            worker: Worker::Idle(Box::new(hashes)),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Takes a piece; waits when hashing is slower than the client.
    pub(super) async fn take<E>(mut self, piece: Bytes) -> Result<Self, IntakeError<E>> {
        self.batch_bytes += piece.len();
        self.batch.push(piece);
        if self.batch_bytes < BATCH_BYTES {
            return Ok(self);
        }
        let mut hashes = self.worker.into_idle().await?;
        let batch = std::mem::take(&mut self.batch);
        let task = tokio::task::spawn_blocking(move || {
            for piece in batch {
                hashes.update(&piece);
            }
            hashes
        });
        Ok(Self {
            worker: Worker::Busy(task),
            batch: self.batch,
            batch_bytes: 0,
        })
    }

    /// The digests of all that was taken. The last, incomplete batch is hashed in place if it is small.
    pub(super) async fn finish<E>(self) -> Result<Digests, IntakeError<E>> {
        let mut hashes = self.worker.into_idle().await?;
        let batch = self.batch;
        if self.batch_bytes as u64 <= super::IN_PLACE_BYTES_MAX {
            batch.iter().for_each(|piece| hashes.update(piece));
            return Ok(hashes.finish());
        }
        tokio::task::spawn_blocking(move || {
            batch.iter().for_each(|piece| hashes.update(piece));
            hashes.finish()
        })
        .await
        .map_err(|_| IntakeError::Stopping)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, InPlace};

    /// The library is young and made of assembly; the one it is compared with is neither.
    #[test]
    fn digests_are_those_of_another_implementation_however_the_bytes_come() {
        let body: Vec<u8> = (0..5_000_u32).map(|at| ((at * at) >> 3) as u8).collect();
        for length in (0..300).chain([4_095, 4_096, 4_999]) {
            let expected: [u8; 16] = md5::Md5::digest(&body[..length]).into();
            for step in [1, 63, 64, 65, 1_000, 5_000] {
                let mut hashes = InPlace::new(None);
                body[..length].chunks(step).for_each(|piece| hashes.update(piece));
                assert_eq!(hashes.finish().md5, expected, "{length} bytes by {step}");
            }
        }
    }
}
