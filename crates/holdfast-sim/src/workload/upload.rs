//! Multipart uploads from beginning to end: parts in any order, some named twice, then completed or given up, and read
//! again afterwards.

use holdfast_core::content::Manifest;
use holdfast_core::ids::{ObjectKey, RequestId, UploadId};
use holdfast_core::request::{Answer, Request, Upload as UploadRequest, UploadPart, UploadStep};

use super::Context;
use super::chunked::{Chunks, PART_COMMIT_MS};
use super::operation::{Ask, Outcome};
use super::setting::Target;
use crate::rng::Rng;
use crate::truth::{Expected, PartTruth};

/// Where an upload stands.
enum Stage {
    Create,
    Created,
    Chunks(Chunks),
    Part(Chunks),
    Reread,
    Closing,
    Closed,
}

/// One upload.
pub(super) struct Upload {
    target: Target,
    key: String,
    id: UploadId,
    stage: Stage,
    parts_left: u64,
    parts: Vec<Chunks>,
    aborts: bool,
}

impl Upload {
    pub(super) fn new(rng: &mut Rng, target: Target) -> Self {
        let key = rng.pick(&target.keys).clone();
        Self {
            target,
            key,
            id: UploadId(rng.next_u128()),
            stage: Stage::Create,
            parts_left: rng.between(1, 4),
            parts: Vec::new(),
            aborts: rng.per_mille(300),
        }
    }

    fn ask(&self, cx: &mut Context<'_>, step: UploadStep) -> Ask {
        let upload = UploadRequest {
            settings: self.target.settings,
            key: ObjectKey {
                bucket: self.target.settings.id,
                key: self.key.clone(),
            },
            step,
        };
        Ask::read(cx, Request::Upload(upload))
    }

    pub(super) fn next(&mut self, cx: &mut Context<'_>, outcome: Option<Outcome>) -> Option<Ask> {
        let failed = matches!(outcome, Some(Outcome::GaveUp));
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        match stage {
            Stage::Create => {
                let key = cx.key(&self.target, &self.key);
                cx.watch.truth.uploads.begin(self.id, key);
                self.stage = Stage::Created;
                let create = UploadStep::Create {
                    id: self.id,
                    headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
                    initiator: "somebody".to_owned(),
                };
                Some(self.ask(cx, create))
            }
            Stage::Created if failed => None,
            Stage::Created => self.next_part(cx),
            Stage::Chunks(_) if failed => self.next_part(cx),
            Stage::Chunks(chunks) => self.go_on_with(cx, chunks),
            Stage::Part(chunks) => {
                if matches!(
                    outcome,
                    Some(Outcome::Answered {
                        answer: Answer::PartStored,
                        ..
                    })
                ) {
                    self.parts.retain(|part| part.part.number != chunks.part.number);
                    self.parts.push(chunks);
                }
                self.next_part(cx)
            }
            Stage::Reread => self.close(cx),
            Stage::Closing if cx.rng.per_mille(400) => {
                let id = self.id;
                Some(self.ask(cx, UploadStep::Read { id }))
            }
            Stage::Closing | Stage::Closed => None,
        }
    }

    fn next_part(&mut self, cx: &mut Context<'_>) -> Option<Ask> {
        if self.parts_left == 0 {
            if cx.rng.per_mille(500) {
                self.stage = Stage::Reread;
                let id = self.id;
                return Some(self.ask(cx, UploadStep::Read { id }));
            }
            return self.close(cx);
        }
        self.parts_left -= 1;
        let number = cx.rng.between(1, 4) as u16;
        let chunks = Chunks::new(cx.rng, cx.world.now_us, number, PART_COMMIT_MS);
        self.go_on_with(cx, chunks)
    }

    fn go_on_with(&mut self, cx: &mut Context<'_>, mut chunks: Chunks) -> Option<Ask> {
        if let Some(ask) = chunks.next(cx, &self.target, &self.key) {
            self.stage = Stage::Chunks(chunks);
            return Some(ask);
        }
        let part = &chunks.part;
        let named = UploadPart {
            number: part.number,
            part: part.id,
            size: part.size,
            chunk_bytes: part.chunk_bytes,
            etag: format!("{:x}", part.id.0),
            checksums: Vec::new(),
            modified_ms: 0,
        };
        let truth = PartTruth {
            number: part.number,
            part: part.id,
            size: part.size,
            invoked_us: cx.world.now_us,
            acked_us: None,
            abandoned: false,
        };
        if let Some(upload) = cx.watch.truth.uploads.get_mut(self.id) {
            upload.parts.push(truth);
        }
        self.stage = Stage::Part(chunks);
        let id = self.id;
        Some(self.ask(cx, UploadStep::PutPart { id, part: named }))
    }

    fn close(&mut self, cx: &mut Context<'_>) -> Option<Ask> {
        self.stage = Stage::Closing;
        let now_us = cx.world.now_us;
        let id = self.id;
        if let Some(upload) = cx.watch.truth.uploads.get_mut(id) {
            upload.closing_us = Some(now_us);
        }
        if self.aborts || self.parts.is_empty() {
            return Some(self.ask(cx, UploadStep::Abort { id }));
        }
        self.parts.sort_by_key(|part| part.part.number);
        let parts: Vec<_> = self.parts.iter().map(|chunks| chunks.part.clone()).collect();
        let manifest = Manifest { parts };
        let expected = Expected {
            deletion: false,
            size: manifest.parts.iter().map(|part| part.size).sum(),
            etag: format!("{:x}-{}", id.0, manifest.parts.len()),
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            inline: bytes::Bytes::new(),
            manifest: Some(manifest.clone()),
        };
        let complete = UploadStep::Complete {
            id,
            etag: expected.etag.clone(),
            headers: expected.headers.clone(),
            manifest,
        };
        let mut ask = self.ask(cx, complete);
        let key = cx.key(&self.target, &self.key);
        // The write is known by the id of the upload, so that completing twice is one write.
        ask.request = RequestId(id.0);
        let write = cx.watch.truth.begin_write(now_us, ask.request, key, expected, None);
        ask.write = Some((write, self.target.settings.w));
        Some(ask)
    }
}
