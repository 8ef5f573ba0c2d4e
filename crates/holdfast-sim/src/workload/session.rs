//! A session on one key: puts, deletions and reads one after another, each through any node. Sequential overwrites, reads
//! of one's own writes, writes with fresh and with stale contexts all happen here.

use std::collections::VecDeque;

use bytes::Bytes;
use holdfast_core::content::{Manifest, StoredBody};
use holdfast_core::ids::{ChunkId, ObjectKey};
use holdfast_core::request::{Answer, Get, ReadChunk, Request, WantedBodies};
use holdfast_core::wire::record::decode_manifest;

use super::operation::{Ask, Outcome};
use super::setting::{Target, is_system};
use super::{Context, registry};
use crate::checkers::bodies::bytes_of;
use crate::coverage::Reached;
use crate::plan::Style;
use crate::rng::Rng;
use crate::truth::{Expected, KeyIx, Known};

/// What a session may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Anything,
    /// Nothing that could be refused in good order: blind writes of one key, then a read.
    BlindWrites,
    /// Of any keys.
    Reads,
}

/// A session.
pub(super) struct Session {
    target: Target,
    key: String,
    steps_left: u64,
    mode: Mode,
    chunks: VecDeque<(ReadChunk, Bytes)>,
}

impl Session {
    pub(super) fn new(rng: &mut Rng, target: Target) -> Self {
        // The first keys are hot.
        let number = if target.style == Style::Storm {
            0
        } else if rng.per_mille(500) {
            rng.below(3)
        } else {
            rng.below(target.keys.len() as u64)
        };
        let key = target.keys[number.min(target.keys.len() as u64 - 1) as usize].clone();
        let steps_left = if rng.per_mille(400) { 1 } else { rng.between(2, 8) };
        Self {
            target,
            key,
            steps_left,
            mode: Mode::Anything,
            chunks: VecDeque::new(),
        }
    }

    /// Reads some keys, and what lies in their chunks.
    pub(super) fn reading(rng: &mut Rng, target: Target) -> Self {
        Self {
            steps_left: 3,
            mode: Mode::Reads,
            ..Self::new(rng, target)
        }
    }

    /// Writes some versions of a key, blindly.
    pub(super) fn writing(rng: &mut Rng, target: Target) -> Self {
        Self {
            steps_left: 3,
            mode: Mode::BlindWrites,
            ..Self::new(rng, target)
        }
    }

    pub(super) fn next(&mut self, cx: &mut Context<'_>, outcome: Option<Outcome>) -> Option<Ask> {
        if let Some(Outcome::Answered {
            answer: Answer::Got(got),
            ..
        }) = &outcome
            && let Some(version) = got.record.visible()
            && let Some((_, row)) = got.bodies.iter().find(|(dot, _)| *dot == version.dot)
            && matches!(version.content.body, holdfast_core::content::BodyForm::Manifest { .. })
            && cx.rng.per_mille(600)
            && let Ok(manifest) = decode_manifest(row)
        {
            self.chunks = reads_of(&self.target, &manifest);
            cx.watch.coverage.reach(Reached::ChunkedBodiesRead);
        }
        if let Some((read, bytes)) = self.chunks.pop_front() {
            let mut ask = Ask::read(cx, Request::ReadChunk(read));
            ask.bytes = Some(bytes);
            return Some(ask);
        }
        self.steps_left = self.steps_left.checked_sub(1)?;
        if self.mode == Mode::Reads {
            self.key = cx.rng.pick(&self.target.keys).clone();
        }
        let key = cx.key(&self.target, &self.key);
        let reads = match self.mode {
            Mode::Anything => cx.rng.per_mille(330),
            Mode::BlindWrites => self.steps_left == 0,
            Mode::Reads => true,
        };
        if reads {
            return Some(self.get(cx));
        }
        let known = if self.mode == Mode::BlindWrites {
            None
        } else {
            choose_known(cx, &self.target, key)
        };
        // Rows of the registry are never deleted: what they tell may be that something was.
        if !self.target.is_system && cx.rng.per_mille(200) {
            return Some(cx.put(&self.target, key, Expected::deletion(), known, None));
        }
        let (expected, body) = if is_system(self.target.settings.id) {
            registry::access_key(cx, &self.key)
        } else {
            small_object(cx.rng)
        };
        Some(cx.put(&self.target, key, expected, known, Some(body)))
    }

    fn get(&self, cx: &mut Context<'_>) -> Ask {
        let bodies = *cx.rng.pick(&[
            WantedBodies::Newest,
            WantedBodies::Newest,
            WantedBodies::All,
            WantedBodies::None,
        ]);
        let get = Get {
            settings: self.target.settings,
            key: ObjectKey {
                bucket: self.target.settings.id,
                key: self.key.clone(),
            },
            r: None,
            bodies,
        };
        Ask::read(cx, Request::Get(get))
    }
}

/// With which context to write: none, that of the last read, or an older one, as is the style of the bucket.
pub(super) fn choose_known(cx: &mut Context<'_>, target: &Target, key: KeyIx) -> Option<Known> {
    let chance = match target.style {
        Style::Blind => 80,
        Style::Contexts => 850,
        Style::Mixed => 450,
        Style::Storm => 960,
    };
    if !cx.rng.per_mille(chance) {
        return None;
    }
    if target.style == Style::Storm || cx.rng.per_mille(20) {
        return Some(Known::default());
    }
    let stale = cx.rng.per_mille(350);
    if stale {
        cx.watch.coverage.reach(Reached::StaleContexts);
    }
    cx.memory.recall(key, cx.rng, stale)
}

/// An object whose body lies beside its record.
pub(super) fn small_object(rng: &mut Rng) -> (Expected, StoredBody) {
    let name = rng.next_u128();
    let size = [0, rng.between(1, 300), rng.between(300, 4_000), 32 * 1024][rng.weighted(&[10, 82, 7, 1])];
    let inline = bytes_of(name, 0, size as usize);
    let headers = match rng.below(3) {
        0 => Vec::new(),
        count => (0..count)
            .map(|number| (format!("x-amz-meta-{number}"), format!("{:x}", name >> 100)))
            .collect(),
    };
    let expected = Expected {
        deletion: false,
        size,
        etag: format!("{name:032x}"),
        headers,
        inline: inline.clone(),
        manifest: None,
    };
    (expected, StoredBody::Inline(inline))
}

/// Reads that together cover a chunked body, and what they must bring.
fn reads_of(target: &Target, manifest: &Manifest) -> VecDeque<(ReadChunk, Bytes)> {
    let mut reads = VecDeque::new();
    for part in &manifest.parts {
        let mut left = part.size;
        for index in 0.. {
            if left == 0 {
                break;
            }
            let length = left.min(u64::from(part.chunk_bytes)) as u32;
            left -= u64::from(length);
            let read = ReadChunk {
                settings: target.settings,
                id: ChunkId { part: part.id, index },
                from: length / 3,
                length: length - length / 3,
            };
            reads.push_back((
                read,
                bytes_of(part.id.0, index, length as usize).slice(length as usize / 3..),
            ));
        }
    }
    reads
}
