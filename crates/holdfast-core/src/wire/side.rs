//! What lies beside a record, as bytes: manifests, uploads and their parts, registry entries, counts (rules B3, D9).
//!
//! Registry entries are changed by read, modify, write on any node, old or new. So they alone end in an area of
//! extensions that a program which does not know them keeps and writes back; everything else that grows gets a new
//! version, written once every member can read it.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::bucket::{AccessKey, Bucket, BucketState, Conflict, KeyState, Settings};
use crate::codec::{DecodeError, Reader, Writer};
use crate::content::{Manifest, ManifestPart};
use crate::ids::{ActorId, PartId, Tick, UploadId};
use crate::registry::Entry;
use crate::request::{Count, UploadInfo, UploadPart, UploadState};
use crate::wire::content::{read_headers, write_headers};
use crate::wire::field::Field;
use crate::wire::limit::{ETAG_BYTES_MAX, EXTENSIONS_BYTES_MAX, NAME_BYTES_MAX, OBJECT_KEY_BYTES_MAX};

/// First byte of every manifest, upload, part, entry and counts row.
pub const SIDE_VERSION: u8 = 1;

/// A row of `Space::Uploads`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadRow {
    /// The upload.
    pub info: UploadInfo,
}

/// A row of `Space::Parts`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartRow {
    /// Which of two attempts at one part number is the newer: the higher stamp wins everywhere.
    pub stamp: (Tick, ActorId),
    /// The part.
    pub part: UploadPart,
}

/// A registry entry with what newer programs added to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRow {
    /// What this program knows of it.
    pub entry: Entry,
    /// What it does not know and must write back unchanged.
    pub extensions: Bytes,
}

/// The body row of a version with chunks.
#[must_use]
pub fn encode_manifest(manifest: &Manifest) -> Vec<u8> {
    encode(manifest, 16 + manifest.parts.len() * 64)
}

/// Reads what [`encode_manifest`] wrote.
pub fn decode_manifest(bytes: impl AsRef<[u8]>) -> Result<Manifest, DecodeError> {
    decode("manifest", bytes.as_ref())
}

/// A row of `Space::Uploads`.
#[must_use]
pub fn encode_upload(row: &UploadRow) -> Vec<u8> {
    encode(&row.info, 256)
}

/// Reads what [`encode_upload`] wrote.
pub fn decode_upload(bytes: impl AsRef<[u8]>) -> Result<UploadRow, DecodeError> {
    Ok(UploadRow {
        info: decode("upload", bytes.as_ref())?,
    })
}

/// A row of `Space::Parts`.
#[must_use]
pub fn encode_part(row: &PartRow) -> Vec<u8> {
    encode(row, 160)
}

/// Reads what [`encode_part`] wrote.
pub fn decode_part(bytes: impl AsRef<[u8]>) -> Result<PartRow, DecodeError> {
    decode("part", bytes.as_ref())
}

/// A registry entry that no newer program has added to.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    encode_entry_with(entry, &[])
}

/// A registry entry with the extensions it was read with.
#[must_use]
pub fn encode_entry_with(entry: &Entry, extensions: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(160 + extensions.len());
    writer.u8(SIDE_VERSION);
    match entry {
        Entry::Bucket(bucket) => {
            writer.u8(0);
            write_bucket(&mut writer, bucket);
        }
        Entry::Key(key) => {
            writer.u8(1);
            write_access_key(&mut writer, key);
        }
    }
    writer.bytes(extensions);
    writer.into_vec()
}

/// Reads an entry, leaving out what newer programs added: for those who do not write it back.
pub fn decode_entry(bytes: impl AsRef<[u8]>) -> Result<Entry, DecodeError> {
    Ok(decode_entry_row(bytes)?.entry)
}

/// Reads an entry with what newer programs added: for those who write it back.
pub fn decode_entry_row(bytes: impl AsRef<[u8]>) -> Result<EntryRow, DecodeError> {
    let mut reader = Reader::over_slice(bytes.as_ref());
    read_version(&mut reader, "registry entry")?;
    let entry = match reader.u8()? {
        0 => Entry::Bucket(read_bucket(&mut reader)?),
        1 => Entry::Key(read_access_key(&mut reader)?),
        tag => {
            return Err(DecodeError::BadTag {
                what: "kind of registry entry",
                tag,
            });
        }
    };
    let extensions = reader.bytes("extensions", EXTENSIONS_BYTES_MAX)?;
    reader.finish()?;
    Ok(EntryRow { entry, extensions })
}

/// A row of `Space::Counts`.
#[must_use]
pub fn encode_counts(count: Count) -> Vec<u8> {
    encode(&count, 17)
}

/// Reads what [`encode_counts`] wrote.
pub fn decode_counts(bytes: impl AsRef<[u8]>) -> Result<Count, DecodeError> {
    decode("counts", bytes.as_ref())
}

fn encode<T: Field>(value: &T, capacity: usize) -> Vec<u8> {
    let mut writer = Writer::with_capacity(capacity);
    writer.u8(SIDE_VERSION);
    value.write(&mut writer);
    writer.into_vec()
}

fn decode<T: Field>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::over_slice(bytes);
    read_version(&mut reader, what)?;
    let value = T::read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

fn read_version(reader: &mut Reader<'_>, what: &'static str) -> Result<(), DecodeError> {
    match reader.u8()? {
        SIDE_VERSION => Ok(()),
        version => Err(DecodeError::UnknownVersion { what, version }),
    }
}

impl Field for Count {
    const BYTES_MIN: usize = 16;

    fn write(&self, to: &mut Writer) {
        to.u64(self.objects);
        to.u64(self.bytes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            objects: from.u64()?,
            bytes: from.u64()?,
        })
    }
}

impl Field for Manifest {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        self.parts.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            parts: Field::read(from)?,
        })
    }
}

impl Field for ManifestPart {
    const BYTES_MIN: usize = PartId::BYTES_MIN + 1 + 1 + 1 + 1;

    fn write(&self, to: &mut Writer) {
        self.id.write(to);
        to.varint(u64::from(self.number));
        to.varint(self.size);
        to.varint(u64::from(self.chunk_bytes));
        write_headers(to, &self.checksums);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: Field::read(from)?,
            number: from.varint_u16("number of a part")?,
            size: from.varint()?,
            chunk_bytes: from.varint_u32("length of a chunk")?,
            checksums: read_headers(from)?,
        })
    }
}

impl Field for UploadPart {
    const BYTES_MIN: usize = PartId::BYTES_MIN + 6;

    fn write(&self, to: &mut Writer) {
        to.varint(u64::from(self.number));
        self.part.write(to);
        to.varint(self.size);
        to.varint(u64::from(self.chunk_bytes));
        to.str(&self.etag);
        write_headers(to, &self.checksums);
        to.varint(self.modified_ms);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: from.varint_u16("number of a part")?,
            part: Field::read(from)?,
            size: from.varint()?,
            chunk_bytes: from.varint_u32("length of a chunk")?,
            etag: from.str("etag", ETAG_BYTES_MAX)?,
            checksums: read_headers(from)?,
            modified_ms: from.varint()?,
        })
    }
}

impl Field for PartRow {
    const BYTES_MIN: usize = Tick::BYTES_MIN + ActorId::BYTES_MIN + UploadPart::BYTES_MIN;

    fn write(&self, to: &mut Writer) {
        self.stamp.0.write(to);
        self.stamp.1.write(to);
        self.part.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            stamp: (Field::read(from)?, Field::read(from)?),
            part: Field::read(from)?,
        })
    }
}

impl Field for UploadInfo {
    const BYTES_MIN: usize = UploadId::BYTES_MIN + 6;

    fn write(&self, to: &mut Writer) {
        self.id.write(to);
        to.str(&self.key);
        to.u8(match self.state {
            UploadState::Open => 0,
            UploadState::Aborted => 1,
            UploadState::Completed => 2,
        });
        write_headers(to, &self.headers);
        to.str(&self.initiator);
        to.varint(self.created_ms);
        to.varint(self.commit_deadline_ms);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: Field::read(from)?,
            key: from.str("key", OBJECT_KEY_BYTES_MAX)?,
            state: match from.u8()? {
                0 => UploadState::Open,
                1 => UploadState::Aborted,
                2 => UploadState::Completed,
                tag => {
                    return Err(DecodeError::BadTag {
                        what: "state of an upload",
                        tag,
                    });
                }
            },
            headers: read_headers(from)?,
            initiator: from.str("initiator", NAME_BYTES_MAX)?,
            created_ms: from.varint()?,
            commit_deadline_ms: from.varint()?,
        })
    }
}

impl Field for Settings {
    const BYTES_MIN: usize = 8 + 1 + 1 + 4;

    fn write(&self, to: &mut Writer) {
        self.id.write(to);
        to.varint(self.version);
        to.varint(u64::from(self.shards));
        to.raw(&[self.n, self.r, self.w]);
        to.flag(self.sloppy);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: Field::read(from)?,
            version: from.varint()?,
            shards: from.varint_u16("number of index shards")?,
            n: from.u8()?,
            r: from.u8()?,
            w: from.u8()?,
            sloppy: from.flag("sloppy quorum")?,
        })
    }
}

fn write_bucket(to: &mut Writer, bucket: &Bucket) {
    to.str(&bucket.name);
    bucket.settings.write(to);
    to.str(&bucket.owner);
    to.varint(bucket.created_ms);
    to.u8(match bucket.conflict {
        Conflict::Newest => 0,
        Conflict::Siblings => 1,
    });
    to.u8(match bucket.state {
        BucketState::Live => 0,
        BucketState::Deleted => 1,
    });
    to.varint(u64::from(bucket.deletions));
}

fn read_bucket(from: &mut Reader<'_>) -> Result<Bucket, DecodeError> {
    Ok(Bucket {
        name: from.str("name of a bucket", NAME_BYTES_MAX)?,
        settings: Field::read(from)?,
        owner: from.str("owner of a bucket", NAME_BYTES_MAX)?,
        created_ms: from.varint()?,
        conflict: match from.u8()? {
            0 => Conflict::Newest,
            1 => Conflict::Siblings,
            tag => {
                return Err(DecodeError::BadTag {
                    what: "conflict setting",
                    tag,
                });
            }
        },
        state: match from.u8()? {
            0 => BucketState::Live,
            1 => BucketState::Deleted,
            tag => {
                return Err(DecodeError::BadTag {
                    what: "state of a bucket",
                    tag,
                });
            }
        },
        deletions: from.varint_u32("number of deletions")?,
    })
}

fn write_access_key(to: &mut Writer, key: &AccessKey) {
    to.str(&key.id);
    to.str(&key.secret);
    to.str(&key.name);
    to.varint(key.created_ms);
    to.u8(match key.state {
        KeyState::Enabled => 0,
        KeyState::Disabled => 1,
        KeyState::Deleted => 2,
    });
}

fn read_access_key(from: &mut Reader<'_>) -> Result<AccessKey, DecodeError> {
    Ok(AccessKey {
        id: from.str("id of an access key", NAME_BYTES_MAX)?,
        secret: from.str("secret of an access key", NAME_BYTES_MAX)?,
        name: from.str("name of an access key", NAME_BYTES_MAX)?,
        created_ms: from.varint()?,
        state: match from.u8()? {
            0 => KeyState::Enabled,
            1 => KeyState::Disabled,
            2 => KeyState::Deleted,
            tag => {
                return Err(DecodeError::BadTag {
                    what: "state of an access key",
                    tag,
                });
            }
        },
    })
}
