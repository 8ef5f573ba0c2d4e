//! Bodies in memory: small ones in their row, large ones as the pieces in which they came.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use holdfast_core::content::{BodyForm, CHUNK_BYTES, INLINE_BYTES_MAX, Manifest, ManifestPart, StoredBody};
use holdfast_core::ids::PartId;
use holdfast_core::request::{ReadFault, WriteError};

use super::{COMMIT_MS, MemoryObjects, State, now_ms};
use crate::objects::{BodyPurpose, BodyStream, BodyWriter};
use crate::request_id;

pub(super) struct MemoryWriter {
    memory: MemoryObjects,
    purpose: BodyPurpose,
    pieces: Vec<Bytes>,
    bytes: u64,
}

impl MemoryWriter {
    pub(super) const fn new(memory: MemoryObjects, purpose: BodyPurpose) -> Self {
        Self {
            memory,
            purpose,
            pieces: Vec::new(),
            bytes: 0,
        }
    }
}

#[async_trait::async_trait]
impl BodyWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.memory.lock().may_write()?;
        self.bytes += bytes.len() as u64;
        self.pieces.push(bytes);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<StoredBody, WriteError> {
        let mut state = self.memory.lock();
        state.may_write()?;
        let commit_deadline_ms = now_ms() + COMMIT_MS;
        if self.purpose == BodyPurpose::Object && self.bytes <= INLINE_BYTES_MAX as u64 {
            return Ok(StoredBody::Inline(joined(std::mem::take(&mut self.pieces))));
        }
        let id = PartId(request_id::secret_u128());
        state.parts.insert(id, std::mem::take(&mut self.pieces));
        let part = ManifestPart {
            id,
            number: 1,
            size: self.bytes,
            chunk_bytes: CHUNK_BYTES,
            checksums: Vec::new(),
        };
        Ok(StoredBody::Chunked {
            manifest: Manifest { parts: vec![part] },
            commit_deadline_ms,
        })
    }
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.remove(0);
    }
    let mut whole = BytesMut::new();
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

impl State {
    pub(super) fn read_body(&self, form: BodyForm, row: Bytes, range: Range<u64>) -> BodyStream {
        let pieces = match form {
            BodyForm::Empty => Ok(Vec::new()),
            BodyForm::Inline { digest: expected, .. } if digest(&row) == expected => Ok(vec![row]),
            BodyForm::Manifest { digest: expected, .. } if digest(&row) == expected => self.pieces_of(&row),
            BodyForm::Inline { .. } | BodyForm::Manifest { .. } => Err(ReadFault::Damaged),
        };
        let pieces = self.may_read().and(pieces);
        match pieces {
            Err(fault) => stream::iter([Err(fault)]).boxed(),
            Ok(pieces) => stream::iter(cut(pieces, range).into_iter().map(Ok)).boxed(),
        }
    }

    pub(super) fn read_part(&self, part: PartId, range: Range<u64>) -> BodyStream {
        let pieces = self.parts.get(&part).cloned().ok_or(ReadFault::Damaged);
        match self.may_read().and(pieces) {
            Err(fault) => stream::iter([Err(fault)]).boxed(),
            Ok(pieces) => stream::iter(cut(pieces, range).into_iter().map(Ok)).boxed(),
        }
    }

    fn pieces_of(&self, row: &Bytes) -> Result<Vec<Bytes>, ReadFault> {
        let manifest = decode_manifest(row).ok_or(ReadFault::Damaged)?;
        let mut pieces = Vec::new();
        for part in manifest.parts {
            pieces.extend(self.parts.get(&part.id).ok_or(ReadFault::Damaged)?.iter().cloned());
        }
        Ok(pieces)
    }
}

/// The bytes of `range`, still in pieces.
fn cut(pieces: Vec<Bytes>, range: Range<u64>) -> Vec<Bytes> {
    let mut at = 0_u64;
    let mut wanted = Vec::new();
    for piece in pieces {
        let end = at + piece.len() as u64;
        let from = range.start.clamp(at, end) - at;
        let to = range.end.clamp(at, end) - at;
        at = end;
        if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to))
            && from < to
        {
            wanted.push(piece.slice(from..to));
        }
    }
    wanted
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0_u8; 16];
    digest.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    digest
}

/// A form of its own, since nobody else reads it: number of parts, then each with its checksums.
pub(super) fn encode_manifest(manifest: &Manifest) -> Bytes {
    let mut row = BytesMut::new();
    row.put_u32(u32::try_from(manifest.parts.len()).unwrap_or(u32::MAX));
    for part in &manifest.parts {
        row.put_u128(part.id.0);
        row.put_u16(part.number);
        row.put_u64(part.size);
        row.put_u32(part.chunk_bytes);
        row.put_u8(u8::try_from(part.checksums.len()).unwrap_or(u8::MAX));
        for (name, value) in &part.checksums {
            for text in [name, value] {
                row.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
                row.put_slice(text.as_bytes());
            }
        }
    }
    row.freeze()
}

pub(super) fn decode_manifest(row: &Bytes) -> Option<Manifest> {
    use bytes::Buf;
    let mut row = row.clone();
    let text = |row: &mut Bytes| {
        let length = usize::from(row.try_get_u8().ok()?);
        if row.len() < length {
            return None;
        }
        String::from_utf8(row.split_to(length).to_vec()).ok()
    };
    let mut parts = Vec::new();
    for _ in 0..row.try_get_u32().ok()? {
        let id = PartId(row.try_get_u128().ok()?);
        let number = row.try_get_u16().ok()?;
        let size = row.try_get_u64().ok()?;
        let chunk_bytes = row.try_get_u32().ok()?;
        let mut checksums = Vec::new();
        for _ in 0..row.try_get_u8().ok()? {
            checksums.push((text(&mut row)?, text(&mut row)?));
        }
        parts.push(ManifestPart {
            id,
            number,
            size,
            chunk_bytes,
            checksums,
        });
    }
    Some(Manifest { parts })
}
