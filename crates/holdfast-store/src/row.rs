//! A row at rest: its value behind five bytes that tell the format and prove that nothing was damaged.
//!
//! fjall checks its blocks too, but only when it reads them from disk, and it cannot notice a row that landed under
//! another key. The checksum covers keyspace, key and value, so a row can vouch for itself wherever it comes from.
//! CRC-32C, because rows are at most some tens of KiB and the check runs on every get.
//!
//! Layout (docs/format-store.md): format `u8` = 1, checksum `u32` little-endian, value.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

/// Written before every value; room for another layout.
const FORMAT: u8 = 1;
/// Format byte and checksum.
pub const HEADER_BYTES: usize = 5;

/// The bytes stored for `value` under `key`.
#[must_use]
pub fn encode(space: u8, key: &[u8], value: &[u8]) -> Bytes {
    let mut stored = Vec::with_capacity(HEADER_BYTES + value.len());
    stored.push(FORMAT);
    stored.extend_from_slice(&checksum(space, key, value).to_le_bytes());
    stored.extend_from_slice(value);
    Bytes::from(stored)
}

/// The value in `stored`, or `None` when it is damaged.
#[must_use]
pub fn decode(space: u8, key: &[u8], stored: &Bytes) -> Option<Bytes> {
    check(space, key, stored).map(|_| stored.slice(HEADER_BYTES..))
}

/// As [`decode`], without taking a reference on the bytes: for scans, which look at a value and pass on.
#[must_use]
pub fn check<'a>(space: u8, key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (header, value) = stored.split_first_chunk::<HEADER_BYTES>()?;
    let [format, check @ ..] = header;
    if *format != FORMAT || u32::from_le_bytes(*check) != checksum(space, key, value) {
        return None;
    }
    Some(value)
}

fn checksum(space: u8, key: &[u8], value: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&[space]);
    digest.update(key);
    digest.update(value);
    // A 32-bit algorithm leaves the upper half of the result empty.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::{check, decode, encode};

    #[test]
    fn a_row_comes_back() {
        for value in [&b""[..], b"v", &[7; 40_000]] {
            let stored = encode(1, b"key", value);
            assert_eq!(decode(1, b"key", &stored).as_deref(), Some(value));
        }
    }

    #[test]
    fn any_flipped_bit_another_key_or_another_space_is_noticed() {
        let stored = encode(1, b"key", b"value");
        assert_eq!(check(2, b"key", &stored), None);
        assert_eq!(check(1, b"kez", &stored), None);
        for byte in 0..stored.len() {
            for bit in 0..8 {
                let mut damaged = stored.to_vec();
                damaged[byte] ^= 1 << bit;
                assert_eq!(check(1, b"key", &damaged), None);
            }
        }
        for length in 0..stored.len() {
            assert_eq!(check(1, b"key", &stored[..length]), None);
        }
    }

    #[test]
    fn the_format_is_fixed() {
        assert_eq!(
            encode(1, b"key", b"value").as_ref(),
            [1, 37, 133, 243, 43, b'v', b'a', b'l', b'u', b'e']
        );
    }
}
