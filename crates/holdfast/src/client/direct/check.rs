//! Checksums from end to end: of ranges of a file, of a whole put together from them, and of a whole by its ETag.
//!
//! Pieces come and go in any order, so only a checksum that can be put together from theirs costs nothing more: CRC64-NVME,
//! which `holdfast cp` stores with what it uploads. An object without one is compared with its ETag, which is MD5, of the
//! whole or of its parts; that takes one more pass over the file.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use md5_many::{Digest as _, Md5};

/// Read at once.
const READ_BYTES: usize = 1 << 20;

/// CRC64-NVME of bytes.
pub fn crc_of(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// CRC64-NVME of pieces, put together in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    crc: u64,
    bytes: u64,
}

impl Whole {
    /// With the next piece.
    #[must_use]
    pub fn then(self, crc: u64, bytes: u64) -> Self {
        let crc = match (self.bytes, bytes) {
            (0, _) => crc,
            (_, 0) => self.crc,
            _ => checksum_combine(CrcAlgorithm::Crc64Nvme, self.crc, crc, bytes),
        };
        Self {
            crc,
            bytes: self.bytes + bytes,
        }
    }

    /// The CRC.
    pub fn crc(self) -> u64 {
        self.crc
    }
}

/// CRC64-NVME of a range of a file; an error when the file ends before it.
pub fn crc_of_range(file: &File, offset: u64, length: u64) -> Result<u64> {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    each_piece(file, offset, length, |piece| digest.update(piece))?;
    Ok(digest.finalize())
}

/// Whether a file has this ETag, if that can be told: `parts` are the lengths of which the object was made.
pub fn has_etag(file: &File, etag: &str, parts: &[u64]) -> Result<Option<bool>> {
    let (digest, count) = match etag.split_once('-') {
        None => (etag, None),
        Some((digest, count)) => (digest, count.parse::<usize>().ok()),
    };
    let is_md5 = digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_md5 || etag.contains('-') && count != Some(parts.len()) {
        return Ok(None);
    }
    let found = if count.is_some() {
        let mut whole = Md5::new();
        let mut offset = 0;
        for length in parts {
            whole.update(md5_of_range(file, offset, *length)?);
            offset += length;
        }
        <[u8; 16]>::from(whole.finalize())
    } else {
        md5_of_range(file, 0, parts.iter().sum())?
    };
    let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(found.eq_ignore_ascii_case(digest)))
}

fn md5_of_range(file: &File, offset: u64, length: u64) -> Result<[u8; 16]> {
    let mut md5 = Md5::new();
    each_piece(file, offset, length, |piece| md5.update(piece))?;
    Ok(md5.finalize().into())
}

fn each_piece(file: &File, offset: u64, length: u64, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(length).unwrap_or(READ_BYTES))];
    let mut at = 0;
    while at < length {
        let wanted = buffer.len().min(usize::try_from(length - at).unwrap_or(READ_BYTES));
        file.read_exact_at(&mut buffer[..wanted], offset + at)?;
        take(&buffer[..wanted]);
        at += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut name = [0_u8; 8];
        getrandom::fill(&mut name).expect("random");
        let path = std::env::temp_dir().join(format!("holdfast-check-{:016x}", u64::from_ne_bytes(name)));
        std::fs::write(&path, bytes).expect("writes");
        let file = File::open(&path).expect("opens");
        std::fs::remove_file(&path).expect("removes");
        file
    }

    #[test]
    fn pieces_make_the_whole() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        let mut whole = Whole::default();
        for piece in [&bytes[..1], &[], &bytes[1..200_000], &bytes[200_000..]] {
            whole = whole.then(crc_of(piece), piece.len() as u64);
        }
        assert_eq!(whole.crc(), crc_of(&bytes));
        let file = file(&bytes);
        assert_eq!(
            crc_of_range(&file, 1, 199_999).expect("reads"),
            crc_of(&bytes[1..200_000])
        );
        assert!(crc_of_range(&file, 1, 300_000).is_err(), "it ends before");
    }

    #[test]
    fn etags_are_those_of_s3() {
        // md5("ab"), and md5(md5("a") || md5("b")), computed with another implementation.
        let file = file(b"ab");
        let has = |etag: &str, parts: &[u64]| has_etag(&file, etag, parts).expect("reads");
        assert_eq!(has("187ef4436122d1cc2f40dc2b92f0eba0", &[2]), Some(true));
        assert_eq!(has("187ef4436122d1cc2f40dc2b92f0eba1", &[2]), Some(false));
        assert_eq!(has("96e024ba2074fe77e8e965ba43a704be-2", &[1, 1]), Some(true));
        assert_eq!(has("96e024ba2074fe77e8e965ba43a704be-2", &[2]), None);
        assert_eq!(has("something else", &[2]), None);
    }
}
