//! Objects whose bodies lie in chunks: chunks first, each on its homes, then the manifest in one put.

use holdfast_core::content::{Manifest, ManifestPart, StoredBody};
use holdfast_core::ids::{ChunkId, ObjectKey, PartId};
use holdfast_core::request::{Answer, Request, WriteChunk};

use super::Context;
use super::operation::{Ask, Outcome};
use super::session::choose_known;
use super::setting::Target;
use crate::checkers::bodies::bytes_of;
use crate::rng::Rng;
use crate::truth::Expected;
use crate::world::EPOCH_MS;

/// A part of an upload may be committed for so long after it was begun (rule D10).
pub(super) const PART_COMMIT_MS: u64 = 24 * 3_600 * 1_000;

/// The chunks of one part, on their way.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    pub(super) part: ManifestPart,
    commit_deadline_ms: u64,
    next: u32,
}

impl Chunks {
    pub(super) fn new(rng: &mut Rng, now_us: u64, number: u16, commit_ms: u64) -> Self {
        let chunk_bytes = rng.between(50, 900) as u32;
        let part = ManifestPart {
            id: PartId(rng.next_u128()),
            number,
            size: rng.between(1, 4 * u64::from(chunk_bytes)),
            chunk_bytes,
            checksums: Vec::new(),
        };
        Self {
            part,
            commit_deadline_ms: EPOCH_MS + now_us / 1_000 + commit_ms,
            next: 0,
        }
    }

    /// The next chunk to write; `None` when all are there.
    pub(super) fn next(&mut self, cx: &mut Context<'_>, target: &Target, key: &str) -> Option<Ask> {
        let from = u64::from(self.next) * u64::from(self.part.chunk_bytes);
        let left = self.part.size.checked_sub(from).filter(|left| *left > 0)?;
        let length = left.min(u64::from(self.part.chunk_bytes)) as usize;
        let index = self.next;
        self.next += 1;
        let write = WriteChunk {
            settings: target.settings,
            owner: ObjectKey {
                bucket: target.settings.id,
                key: key.to_owned(),
            },
            id: ChunkId {
                part: self.part.id,
                index,
            },
            commit_deadline_ms: self.commit_deadline_ms,
            body: bytes_of(self.part.id.0, index, length),
        };
        Some(Ask::read(cx, Request::WriteChunk(write)))
    }
}

/// A put of a chunked body.
pub(super) struct ChunkedPut {
    target: Target,
    key: String,
    chunks: Option<Chunks>,
    put: bool,
}

impl ChunkedPut {
    pub(super) fn new(rng: &mut Rng, target: Target) -> Self {
        let key = rng.pick(&target.keys).clone();
        Self {
            target,
            key,
            chunks: None,
            put: false,
        }
    }

    pub(super) fn next(&mut self, cx: &mut Context<'_>, outcome: Option<Outcome>) -> Option<Ask> {
        match outcome {
            None
            | Some(Outcome::Answered {
                answer: Answer::ChunkWritten,
                ..
            }) if !self.put => {}
            _ => return None,
        }
        let (now_us, commit_ms) = (cx.world.now_us, cx.world.plain_commit_ms());
        let chunks = self
            .chunks
            .get_or_insert_with(|| Chunks::new(cx.rng, now_us, 1, commit_ms));
        if let Some(ask) = chunks.next(cx, &self.target, &self.key) {
            return Some(ask);
        }
        self.put = true;
        let manifest = Manifest {
            parts: vec![chunks.part.clone()],
        };
        let commit_deadline_ms = chunks.commit_deadline_ms;
        let expected = Expected {
            deletion: false,
            size: chunks.part.size,
            etag: format!("{:x}", chunks.part.id.0),
            headers: Vec::new(),
            inline: bytes::Bytes::new(),
            manifest: Some(manifest.clone()),
        };
        let key = cx.key(&self.target, &self.key);
        let known = choose_known(cx, &self.target, key);
        let body = StoredBody::Chunked {
            manifest,
            commit_deadline_ms,
        };
        Some(cx.put(&self.target, key, expected, known, Some(body)))
    }
}
