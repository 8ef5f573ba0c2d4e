//! What a write stores: metadata that listings and headers need, and where the body is.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::ids::PartId;

/// Bodies up to this many bytes lie in a row beside the record; larger ones are cut into chunks (rule D9).
pub const INLINE_BYTES_MAX: usize = 32 * 1024;

/// Length of every chunk of a part but the last.
pub const CHUNK_BYTES: u32 = 4 * 1024 * 1024;

/// Everything a version says beside its dot. Never changes once written (rule D6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// A value, or the fact that the key was deleted.
    pub kind: Kind,
    /// Logical size of the object in bytes, as clients see it.
    pub size: u64,
    /// As S3 makes it, without quotes; empty for a deletion.
    pub etag: String,
    /// Lower-case header names and their values, sorted by name: the standard ones a GET returns (`content-type`,
    /// `cache-control` …), `x-amz-meta-*`, checksums (`x-amz-checksum-*`). At most [`HEADERS_BYTES_MAX`] in all.
    pub headers: Vec<(String, String)>,
    /// What the body row beside the record holds.
    pub body: BodyForm,
}

/// Metadata of one object may not exceed this, names and values together (S3 allows 2 KiB of user metadata plus the
/// standard headers).
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Whether a version is a value or a deletion (rule D3: a delete is a version too).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An object.
    Value,
    /// The key was deleted.
    Deleted,
}

/// What lies in the body row of a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyForm {
    /// No row: the body is empty, or the version a deletion.
    Empty,
    /// The body itself.
    Inline {
        /// Length of the row in bytes.
        length: u32,
        /// First 16 bytes of the BLAKE3 hash of the row.
        digest: [u8; 16],
    },
    /// A [`Manifest`] in its encoded form: the body lies in chunks elsewhere.
    Manifest {
        /// Length of the row in bytes.
        length: u32,
        /// First 16 bytes of the BLAKE3 hash of the row.
        digest: [u8; 16],
        /// Number of parts, for `GetObjectAttributes` and ETags.
        parts: u32,
        /// Unix milliseconds after which this version may no longer be committed (rule D10).
        commit_deadline_ms: u64,
    },
}

/// The parts of a chunked body, in order. Lists parts, never chunks (rule D9).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// In order of the bytes of the object.
    pub parts: Vec<ManifestPart>,
}

/// One part of a chunked body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestPart {
    /// The attempt whose chunks hold it.
    pub id: PartId,
    /// The number the client gave it (1 to 10,000), or 1 for a plain body.
    pub number: u16,
    /// Its length in bytes.
    pub size: u64,
    /// Length of each of its chunks but the last.
    pub chunk_bytes: u32,
    /// Its checksums as `x-amz-checksum-*` pairs, for `GetObjectAttributes`; often empty.
    pub checksums: Vec<(String, String)>,
}

/// A body that has been stored, or is small enough to travel with its record: what a writer of bodies hands to a put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredBody {
    /// Up to [`INLINE_BYTES_MAX`] bytes, possibly none.
    Inline(Bytes),
    /// Chunks that are already on disks.
    Chunked {
        /// Which parts, in order.
        manifest: Manifest,
        /// Unix milliseconds by which a version that names them must be committed.
        commit_deadline_ms: u64,
    },
}

impl StoredBody {
    /// Logical length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunked { manifest, .. } => manifest.parts.iter().map(|part| part.size).sum(),
        }
    }
}

impl Content {
    /// The content of a deletion.
    #[must_use]
    pub const fn deletion() -> Self {
        Self {
            kind: Kind::Deleted,
            size: 0,
            etag: String::new(),
            headers: Vec::new(),
            body: BodyForm::Empty,
        }
    }

    /// Whether this is a deletion.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.kind == Kind::Deleted
    }

    /// The value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
