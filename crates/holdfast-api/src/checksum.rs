//! The five checksums S3 knows, of one body and of bodies made of parts.
//!
//! Invariants: a stored checksum is base64 as S3 writes it; one with a `-` is *composite* (a hash of the parts' hashes,
//! then their number), one without covers the bytes themselves. Base64 has no `-`, so the value alone tells which.
//! Source: "Checking object integrity in Amazon S3", and `crc-fast` for combining CRCs of adjacent pieces.

use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use sha2::Digest;

/// A checksum algorithm of S3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// CRC-32 as in zip and Ethernet.
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// All of them, in the order in which headers are searched.
pub const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::Crc32,
    Algorithm::Crc32c,
    Algorithm::Crc64Nvme,
    Algorithm::Sha1,
    Algorithm::Sha256,
];

impl Algorithm {
    /// The header that carries its value.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Its name in S3's headers and XML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The algorithm of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        ALGORITHMS
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The algorithm whose value this header carries; the name must be in lower case.
    #[must_use]
    pub fn from_header(header: &str) -> Option<Self> {
        let name = header.strip_prefix("x-amz-checksum-")?;
        ALGORITHMS
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Length of its value in bytes, before base64.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Whether the checksum of a whole can be had from those of its parts.
    #[must_use]
    pub const fn combines(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }
}

/// A checksum being taken.
pub struct Hasher(State);

enum State {
    Crc(Algorithm, CrcDigest),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// Begins.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match (algorithm, algorithm.crc()) {
            (_, Some(crc)) => State::Crc(algorithm, CrcDigest::new(crc)),
            (Algorithm::Sha1, None) => State::Sha1(sha1::Sha1::new()),
            (_, None) => State::Sha256(sha2::Sha256::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(_, digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// The value in base64.
    #[must_use]
    pub fn finish(self) -> String {
        match self.0 {
            State::Crc(Algorithm::Crc64Nvme, digest) => base64(&digest.finalize().to_be_bytes()),
            State::Crc(_, digest) => base64(&digest.finalize().to_be_bytes()[4..]),
            State::Sha1(digest) => base64(digest.finalize().as_slice()),
            State::Sha256(digest) => base64(digest.finalize().as_slice()),
        }
    }
}

/// Why checksums of parts do not make one of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CombineError {
    /// A part's value is not what the algorithm makes.
    Malformed,
    /// The algorithm cannot tell the whole from its parts.
    NotCombinable,
}

/// The composite checksum of parts: the hash of their values in order, then `-` and their number.
///
/// # Errors
/// When a part's value is malformed.
pub fn composite<'a>(algorithm: Algorithm, parts: impl Iterator<Item = &'a str>) -> Result<String, CombineError> {
    let mut hasher = Hasher::new(algorithm);
    let mut count = 0_u32;
    for part in parts {
        hasher.update(&decode(algorithm, part).ok_or(CombineError::Malformed)?);
        count += 1;
    }
    Ok(format!("{}-{count}", hasher.finish()))
}

/// The checksum of the bytes of all parts, from the checksum and length of each.
///
/// # Errors
/// When a part's value is malformed, or the algorithm is not a CRC.
pub fn combine<'a>(algorithm: Algorithm, parts: impl Iterator<Item = (&'a str, u64)>) -> Result<String, CombineError> {
    let crc = algorithm.crc().ok_or(CombineError::NotCombinable)?;
    let mut whole: Option<u64> = None;
    for (part, length) in parts {
        let value = decode(algorithm, part).ok_or(CombineError::Malformed)?;
        let value = value.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        whole = Some(match whole {
            None => value,
            Some(before) => crc_fast::checksum_combine(crc, before, value, length),
        });
    }
    let bytes = whole.unwrap_or(0).to_be_bytes();
    Ok(base64(&bytes[8 - algorithm.bytes()..]))
}

/// The bytes of a checksum in base64, if its length is the algorithm's.
#[must_use]
pub fn decode(algorithm: Algorithm, value: &str) -> Option<Vec<u8>> {
    let bytes = base64_simd::STANDARD.decode_to_vec(value).ok()?;
    (bytes.len() == algorithm.bytes()).then_some(bytes)
}

/// Whether a stored value is a composite one.
#[must_use]
pub fn is_composite(value: &str) -> bool {
    value.contains('-')
}

/// Standard base64, as S3 writes every binary value.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::{ALGORITHMS, Algorithm, CombineError, Hasher, combine, composite, decode, is_composite};

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn values_of_known_inputs() {
        // "123456789" is the check input of the CRC catalogue.
        assert_eq!(sum(Algorithm::Crc32, b"123456789"), "y/Q5Jg==");
        assert_eq!(sum(Algorithm::Crc32c, b"123456789"), "4waSgw==");
        assert_eq!(sum(Algorithm::Crc64Nvme, b"123456789"), "rosUhgp5mIg=");
        assert_eq!(sum(Algorithm::Sha1, b"abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        assert_eq!(
            sum(Algorithm::Sha256, b"abc"),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }

    #[test]
    fn parts_combine_to_the_whole() {
        let (left, right) = (vec![7_u8; 100_001], vec![9_u8; 54_321]);
        let whole = [left.as_slice(), right.as_slice()].concat();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts = [(sum(algorithm, &left), 100_001), (sum(algorithm, &right), 54_321)];
            let parts = parts.iter().map(|(value, length)| (value.as_str(), *length));
            assert_eq!(combine(algorithm, parts), Ok(sum(algorithm, &whole)));
        }
        assert_eq!(
            combine(Algorithm::Sha1, std::iter::empty()),
            Err(CombineError::NotCombinable)
        );
    }

    #[test]
    fn composite_hashes_the_hashes() {
        let parts = [sum(Algorithm::Sha256, b"a"), sum(Algorithm::Sha256, b"b")];
        let value = composite(Algorithm::Sha256, parts.iter().map(String::as_str)).unwrap();
        let joined: Vec<u8> = parts
            .iter()
            .flat_map(|part| decode(Algorithm::Sha256, part).unwrap())
            .collect();
        assert_eq!(value, format!("{}-2", sum(Algorithm::Sha256, &joined)));
        assert!(is_composite(&value));
        assert_eq!(
            composite(Algorithm::Crc32, ["nonsense"].into_iter()),
            Err(CombineError::Malformed)
        );
    }

    #[test]
    fn names_and_headers_lead_back() {
        for algorithm in ALGORITHMS {
            assert_eq!(Algorithm::from_name(&algorithm.name().to_lowercase()), Some(algorithm));
            assert_eq!(Algorithm::from_header(algorithm.header()), Some(algorithm));
            assert!(!is_composite(&sum(algorithm, b"x")));
        }
        assert_eq!(Algorithm::from_header("x-amz-checksum-mode"), None);
    }
}
