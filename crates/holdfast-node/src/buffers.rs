//! Memory for large bodies in transit, used again while it is warm.
//!
//! Every MiB put passes through a buffer of the node that took it and one in each other home. Freed and allocated anew,
//! such buffers wander over the allocator's memory, and the kernel takes back what lies idle for half a second and clears
//! each page that it hands out again: 6 % of a large put's CPU. Here the buffer that was freed last is taken first, so
//! the same few pages serve, and are in the processor's cache besides.
//!
//! All buffers have room for one chunk, so that any of them will do; of a buffer only what is written to costs memory.
//! Bounded in number, and given up when the node comes to rest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holdfast_core::content::CHUNK_BYTES;

/// Room in each buffer.
const BUFFER_BYTES: usize = CHUNK_BYTES as usize;
/// What is shorter than this is left to the allocator, which does well by it.
const POOLED_BYTES_MIN: usize = 256 << 10;
/// Buffers kept. As many bodies as a node takes in and stores at once under the loads measured; more only cost memory.
const KEPT_COUNT_MAX: usize = 8;

static POOL: Pool = Pool::new();

/// An empty buffer with room for so many bytes.
pub fn with_room(bytes: usize) -> Vec<u8> {
    POOL.with_room(bytes)
}

/// A filled buffer as bytes; its memory is used again once nobody holds them any more.
pub fn into_bytes(buffer: Vec<u8>) -> Bytes {
    POOL.lend(buffer)
}

/// Gives up what is kept.
pub fn release() {
    let released = std::mem::take(&mut *POOL.kept());
    drop(released);
}

struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The list is whole wherever a panic came between.
    fn kept(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_room(&self, bytes: usize) -> Vec<u8> {
        if !(POOLED_BYTES_MIN..=BUFFER_BYTES).contains(&bytes) {
            return Vec::with_capacity(bytes);
        }
        let warm = self.kept().pop();
        warm.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// A few bytes are moved out, so that they do not keep a whole buffer from being used.
    fn lend(&'static self, buffer: Vec<u8>) -> Bytes {
        if buffer.capacity() < BUFFER_BYTES {
            return Bytes::from(buffer);
        }
        let buffer = Returning { pool: self, buffer };
        if buffer.buffer.len() < POOLED_BYTES_MIN {
            Bytes::copy_from_slice(&buffer.buffer)
        } else {
            Bytes::from_owner(buffer)
        }
    }
}

/// A buffer that goes back to its pool.
struct Returning {
    pool: &'static Pool,
    buffer: Vec<u8>,
}

impl AsRef<[u8]> for Returning {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut kept = self.pool.kept();
        if kept.len() < KEPT_COUNT_MAX {
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES, KEPT_COUNT_MAX, POOLED_BYTES_MIN, Pool};

    #[test]
    fn memory_comes_back_when_the_last_holder_is_gone_and_is_bounded() {
        static POOL: Pool = Pool::new();
        let mut buffer = POOL.with_room(POOLED_BYTES_MIN);
        assert_eq!(buffer.capacity(), BUFFER_BYTES);
        buffer.resize(POOLED_BYTES_MIN, 7);
        let memory = buffer.as_ptr();
        let bytes = POOL.lend(buffer);
        let slice = bytes.slice(1..3);
        drop(bytes);
        assert_eq!((slice.as_ref(), POOL.kept().len()), (&[7, 7][..], 0));
        drop(slice);
        let mut again = POOL.with_room(BUFFER_BYTES);
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        again.extend_from_slice(b"few");
        assert_eq!((POOL.lend(again).as_ref(), POOL.kept().len()), (&b"few"[..], 1));
        let many: Vec<_> = (0..2 * KEPT_COUNT_MAX).map(|_| POOL.with_room(BUFFER_BYTES)).collect();
        many.into_iter().for_each(|buffer| drop(POOL.lend(buffer)));
        assert_eq!(POOL.kept().len(), KEPT_COUNT_MAX);
    }

    #[test]
    fn what_is_small_or_beyond_a_chunk_is_the_allocators() {
        static POOL: Pool = Pool::new();
        for bytes in [0, POOLED_BYTES_MIN - 1, BUFFER_BYTES + 1] {
            assert_eq!(POOL.with_room(bytes).capacity(), bytes);
        }
    }
}
