//! What this node knows of dead bodies: noting those that versions and uploads leave behind here, and answering
//! collectors, this node's own among them (rule D10).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::ranges::chunk_key;
use super::side::upload_key_of;
use super::state::{ChunkWaiter, Step};
use crate::content::{BodyForm, Manifest, ManifestPart};
use crate::coordinate::sweep::Met;
use crate::dead::{ChunkRange, Collect, Collected, DeadBody, HeldWhy, HintsHeld};
use crate::ids::{ChunkId, NodeId, ObjectKey, PartId, Partition, Tick, UploadId};
use crate::message::{Message, OpId, Refusal};
use crate::place::{Place, after_prefix, chunk_position, partition_of};
use crate::record::Record;
use crate::request::UploadState;
use crate::storage::{Batch, ReadError, Space, Storage, Visit, WriteSeq};
use crate::wire::dead::{dead_row, dead_since, decode_dead, encode_dead};
use crate::wire::record::{decode_manifest, decode_row};
use crate::wire::side::{decode_part, decode_upload};

/// Chunks that one message may name: each may be in a segment of its own, which is synced while writes wait.
pub(crate) const CHUNKS_AT_ONCE: usize = 64;

/// Rows looked at in one step.
const ROWS_AT_ONCE: usize = 5_000;

/// What follows the key of a record in the key of a dead body: left behind by a version …
const LEFT_BY_VERSION: u8 = 1;
/// … by an upload …
const LEFT_BY_UPLOAD: u8 = 2;
/// … or by nobody: a part that no version was ever made of.
const ABANDONED: u8 = 3;

/// A dead body, its key in [`Space::Dead`] and the key that it was of.
pub(crate) type KeptBody = (Vec<u8>, Place, DeadBody);

/// How many dead bodies this node accounts for; follows the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeadIndex {
    pub(crate) bodies: u64,
    pub(crate) bytes: u64,
    /// A collection is under way.
    pub(crate) collecting: bool,
    /// When the next look for due bodies is wanted, in monotonic microseconds.
    next_look_us: u64,
    /// Where it begins: many bodies are looked at in several steps.
    pub(crate) look_from: Vec<u8>,
    /// When the next sweep begins, in monotonic microseconds; `None` while one is under way, and at first.
    sweep_us: Option<u64>,
    /// A sweep was planned in this run.
    sweeps: bool,
    /// Who keeps them, and why.
    pub(crate) held: Option<(NodeId, HeldWhy)>,
}

impl DeadIndex {
    /// As the disk says. An unreadable row stays where it is, and its chunks with it.
    pub(crate) fn read(storage: &dyn Storage) -> Self {
        let mut index = Self::default();
        // A disk that cannot be read through keeps what it has: no start fails for that.
        let _ = storage.scan(Space::Dead, &[], &[0xff; 32], &mut |_, row| {
            if let Ok(body) = decode_dead(row) {
                index.add(&body);
            }
            Visit::Next
        });
        index
    }

    /// When a look for due bodies is wanted, in monotonic microseconds: `None` while one is under way, or there are none.
    pub(crate) const fn next_look_us(&self) -> Option<u64> {
        if self.bodies == 0 || self.collecting {
            None
        } else {
            Some(self.next_look_us)
        }
    }

    /// When the next sweep is wanted.
    pub(crate) const fn next_sweep_us(&self) -> Option<u64> {
        self.sweep_us
    }

    /// Whether a sweep is to begin now; it is under way then. The first of a run is planned by its first input.
    pub(crate) fn begin_sweep(&mut self, now_us: u64, first_us: u64) -> bool {
        if !self.sweeps {
            self.sweeps = true;
            self.sweep_us = Some(first_us);
        }
        self.sweep_us.take_if(|at_us| *at_us <= now_us).is_some()
    }

    /// A sweep is over; the next one is wanted then.
    pub(crate) const fn end_sweep(&mut self, next_us: u64) {
        self.sweep_us = Some(next_us);
    }

    /// No collection is under way any more; look again then.
    pub(crate) const fn look_again(&mut self, at_us: u64) {
        self.collecting = false;
        self.next_look_us = at_us;
    }

    fn add(&mut self, body: &DeadBody) {
        self.bodies += 1;
        self.bytes = self.bytes.saturating_add(body.bytes());
    }

    pub(super) fn take_away(&mut self, body: &DeadBody) {
        self.bodies = self.bodies.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(body.bytes());
    }
}

/// The key of a dead body: beside the record of its key, by what left it.
pub(super) fn dead_key(place: &Place, left_by: u8, what: &[u8]) -> Vec<u8> {
    let mut key = place.row_key();
    key.push(left_by);
    key.extend_from_slice(what);
    key
}

impl Step<'_> {
    /// Files parts that nobody names as dead bodies.
    pub(crate) fn note_abandoned(&mut self, parts: BTreeMap<(Place, PartId), Met>) {
        let mut batch = Batch::default();
        for ((place, id), met) in parts {
            // Nobody knows how long it was to be. Of what is here as many chunks as there are, or more.
            let size = met.bytes.max(u64::from(met.chunks));
            let part = ManifestPart {
                id,
                number: 1,
                size,
                chunk_bytes: (size / u64::from(met.chunks.max(1))) as u32,
                checksums: Vec::new(),
            };
            let body = DeadBody {
                since_ms: self.now.wall_ms,
                homes: 0,
                manifest: Manifest {
                    parts: alloc::vec![part],
                },
            };
            let key = dead_key(&place, ABANDONED, &id.0.to_be_bytes());
            self.drop_smaller(&key, &body);
            self.put_dead(key, &body, &mut batch);
        }
        self.write_changes(batch);
    }

    /// The place of a chunk's owner, if its bucket is known: how its keys are spread is said there alone.
    pub(crate) fn place_of(&self, owner: &ObjectKey) -> Option<Place> {
        let bucket = self.state.registry.bucket_by_id(owner.bucket)?;
        Some(self.state.place(&bucket.settings, owner))
    }

    /// Adds to a batch the chunked bodies that this home's record no longer names.
    pub(crate) fn note_dead_versions(&mut self, place: &Place, before: &Record, after: &Record, batch: &mut Batch) {
        let gone = before.versions().iter().filter(|version| {
            matches!(version.content.body, BodyForm::Manifest { .. }) && after.find(version.dot).is_none()
        });
        for version in gone {
            let row = self.storage.get(Space::Bodies, &place.body_key(version.dot));
            // A manifest that cannot be read leaves its chunks where they are; the other homes have it.
            let Some(manifest) = row.ok().flatten() else { continue };
            let row = dead_row(self.now.wall_ms, &manifest);
            if let Ok(body) = decode_dead(&row) {
                let body_key = place.body_key(version.dot);
                let dot = &body_key[place.row_key().len()..];
                self.put_dead(dead_key(place, LEFT_BY_VERSION, dot), &body, batch);
            }
        }
    }

    /// Adds to a batch the parts of an upload that is closed by it.
    pub(crate) fn note_dead_upload(
        &mut self,
        place: &Place,
        upload: UploadId,
        batch: &mut Batch,
    ) -> Result<(), ReadError> {
        let prefix = place.upload_key(upload);
        let mut parts = Vec::new();
        self.storage
            .scan(Space::Parts, &prefix, &after_prefix(prefix.clone()), &mut |_, row| {
                if let Ok(row) = decode_part(row) {
                    parts.push(ManifestPart {
                        id: row.part.part,
                        number: row.part.number,
                        size: row.part.size,
                        chunk_bytes: row.part.chunk_bytes,
                        checksums: Vec::new(),
                    });
                }
                Visit::Next
            })?;
        if !parts.is_empty() {
            let body = DeadBody {
                since_ms: self.now.wall_ms,
                homes: 0,
                manifest: Manifest { parts },
            };
            let key = dead_key(place, LEFT_BY_UPLOAD, &upload.0.to_be_bytes());
            self.put_dead(key, &body, batch);
        }
        Ok(())
    }

    /// An earlier look met fewer chunks of this part than there are: what it filed makes room.
    fn drop_smaller(&mut self, key: &[u8], body: &DeadBody) {
        let known = self.storage.get(Space::Dead, key).ok().flatten();
        if let Some(known) = known.and_then(|row| decode_dead(row).ok())
            && known.bytes() < body.bytes()
        {
            let mut batch = Batch::default();
            batch.remove(Space::Dead, key.to_vec());
            self.state.dead.take_away(&known);
            self.write(batch, Tick(0));
        }
    }

    pub(super) fn put_dead(&mut self, key: Vec<u8>, body: &DeadBody, batch: &mut Batch) {
        if self.storage.get(Space::Dead, &key).is_ok_and(|known| known.is_none()) {
            self.state.dead.add(body);
            batch.put(Space::Dead, key, encode_dead(body));
        }
    }

    /// Dead bodies since before `before_ms` with the key of each, from a key on, of at most so many parts; and where to go
    /// on, if that was not all. Looks at a bounded number of rows.
    pub(crate) fn dead_bodies(
        &self,
        from: &[u8],
        before_ms: u64,
        parts_max: usize,
    ) -> (Vec<KeptBody>, Option<Vec<u8>>) {
        let (mut bodies, mut parts, mut rows, mut next) = (Vec::new(), 0, 0, None);
        let mut last = from.to_vec();
        let scanned = self.storage.scan(Space::Dead, from, &[0xff; 32], &mut |key, row| {
            last = key.to_vec();
            if parts >= parts_max || rows >= ROWS_AT_ONCE {
                next = Some(key.to_vec());
                return Visit::Stop;
            }
            rows += 1;
            if dead_since(row).is_some_and(|since_ms| since_ms <= before_ms)
                && let (Some((place, _)), Ok(body)) = (Place::parse(key), decode_dead(row))
            {
                parts += body.manifest.parts.len().max(1);
                bodies.push((key.to_vec(), place, body));
            }
            Visit::Next
        });
        if scanned.is_err() {
            // Beyond a damaged row, which keeps its chunks: at the next partition.
            let partition = last.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
            next = partition.checked_add(1).map(|next| next.to_be_bytes().to_vec());
        }
        (bodies, next)
    }

    /// These dead bodies are done with.
    pub(crate) fn forget_dead(&mut self, keys: &[Vec<u8>]) -> Result<WriteSeq, ReadError> {
        let mut batch = Batch::default();
        for key in keys {
            let filed = match self.storage.get(Space::Dead, key) {
                Ok(None) => continue,
                Ok(Some(row)) => decode_dead(&row).ok(),
                // Whatever it said, it is done with.
                Err(ReadError::Corrupt) => None,
                Err(error) => return Err(error),
            };
            let homes = filed.as_ref().map_or(0, |body| body.homes);
            // The object lived when a collector looked at it, and was deleted again since.
            if let Some((place, _)) = Place::parse(key)
                && self.remnant(key, &place, homes).is_some()
            {
                continue;
            }
            if let Some(body) = filed {
                self.state.dead.take_away(&body);
            }
            batch.remove(Space::Dead, key.clone());
        }
        Ok(self.write_changes(batch))
    }

    /// Answers a collector on another node.
    pub(crate) fn serve_collect(&mut self, from: NodeId, op: OpId, ask: &Collect) {
        if let Collect::Remove(ranges) = ask {
            let count: u64 = ranges
                .iter()
                .map(|range| u64::from(range.to.saturating_sub(range.from)))
                .sum();
            if count > CHUNKS_AT_ONCE as u64 {
                let result = Err(Refusal::Malformed);
                return self.reply(from, Message::CollectReply { op, result });
            }
            return self.remove_chunks(ChunkWaiter::Member(from, op, WriteSeq(0)), ranges);
        }
        match self.answer_collect(ask) {
            Ok((collected, seq)) => {
                let result = Ok(collected);
                self.reply_when_synced(seq, from, Message::CollectReply { op, result });
            }
            Err(refusal) => {
                let result = Err(refusal);
                self.reply(from, Message::CollectReply { op, result });
            }
        }
    }

    /// The answer to anything but [`Collect::Remove`], and the batch that must be on disk before it is given: what is not
    /// named any more might be named again after a power cut.
    pub(crate) fn answer_collect(&mut self, ask: &Collect) -> Result<(Collected, WriteSeq), Refusal> {
        if self.state.abstains() {
            return Err(Refusal::Abstains);
        }
        Ok(match ask {
            Collect::Named(parts) => (Collected::Named(self.named(parts)), self.storage.last_write()),
            Collect::Hints(partitions) => (Collected::Hints(self.hints_held(partitions)), WriteSeq(0)),
            Collect::Remnants(remnants) => (
                Collected::Otherwise(self.otherwise(remnants)),
                self.storage.last_write(),
            ),
            Collect::Erase(remnants) => (Collected::Done, self.erase(remnants)?),
            Collect::Forget(keys) => (Collected::Done, self.forget_dead(keys)?),
            Collect::Remove(_) => (Collected::Done, WriteSeq(0)),
        })
    }

    /// Which of these parts this home's versions and open uploads name.
    fn named(&self, parts: &[(Place, PartId)]) -> Vec<PartId> {
        let mut by_place: BTreeMap<&Place, Vec<PartId>> = BTreeMap::new();
        for (place, part) in parts {
            by_place.entry(place).or_default().push(*part);
        }
        let mut named = Vec::new();
        for (place, asked) in by_place {
            match self.parts_named(place) {
                Ok(names) => named.extend(asked.into_iter().filter(|part| names.contains(part))),
                // What cannot be read may name them.
                Err(_) => named.extend(asked),
            }
        }
        named
    }

    fn parts_named(&self, place: &Place) -> Result<Vec<PartId>, ReadError> {
        let mut names = self.parts_of_versions(place)?;
        names.extend(self.parts_of_open_uploads(place)?);
        Ok(names)
    }

    fn parts_of_versions(&self, place: &Place) -> Result<Vec<PartId>, ReadError> {
        let Some(row) = self.storage.get(Space::Rows, &place.row_key())? else {
            return Ok(Vec::new());
        };
        let (_, record) = decode_row(row).map_err(|_| ReadError::Corrupt)?;
        let mut parts = Vec::new();
        for version in record.versions() {
            if !matches!(version.content.body, BodyForm::Manifest { .. }) {
                continue;
            }
            let row = self.storage.get(Space::Bodies, &place.body_key(version.dot))?;
            let manifest = decode_manifest(row.ok_or(ReadError::Corrupt)?).map_err(|_| ReadError::Corrupt)?;
            parts.extend(manifest.parts.iter().map(|part| part.id));
        }
        Ok(parts)
    }

    fn parts_of_open_uploads(&self, place: &Place) -> Result<Vec<PartId>, ReadError> {
        let (from, to) = (place.row_key(), after_prefix(place.row_key()));
        let (mut closed, mut parts, mut damaged) = (BTreeSet::new(), Vec::new(), false);
        self.storage.scan(Space::Uploads, &from, &to, &mut |key, row| {
            match decode_upload(row) {
                Ok(upload) if upload.info.state != UploadState::Open => {
                    closed.insert(key.to_vec());
                }
                Ok(_) => {}
                Err(_) => damaged = true,
            }
            Visit::Next
        })?;
        self.storage.scan(Space::Parts, &from, &to, &mut |key, row| {
            // A part of an upload that is unknown here may be open elsewhere.
            let upload = upload_key_of(key);
            if closed.contains(upload) {
                return Visit::SeekTo(after_prefix(upload.to_vec()));
            }
            match decode_part(row) {
                Ok(row) => parts.push(row.part.part),
                Err(_) => damaged = true,
            }
            Visit::Next
        })?;
        if damaged { Err(ReadError::Corrupt) } else { Ok(parts) }
    }

    fn hints_held(&self, partitions: &[Partition]) -> HintsHeld {
        let held = partitions.iter().map(|partition| {
            (
                *partition,
                self.state.hints.are_of(*partition),
                self.state.hints.begun(*partition),
            )
        });
        HintsHeld {
            run: self.state.standing.announcement.run,
            wall_ms: self.now.wall_ms,
            partitions: held.collect(),
        }
    }

    /// Removes chunks from this disk, at most [`CHUNKS_AT_ONCE`], and what it owes of them. Whoever waits is told when they
    /// are gone.
    pub(crate) fn remove_chunks(&mut self, waiter: ChunkWaiter, ranges: &[ChunkRange]) {
        let bits = self.state.layout().partition_bits();
        let ids = ranges.iter().flat_map(|range| {
            (range.from..range.to).map(|index| ChunkId {
                part: range.part,
                index,
            })
        });
        let chunks: Vec<(Partition, ChunkId)> = ids.map(|id| (partition_of(chunk_position(id), bits), id)).collect();
        for (partition, id) in &chunks {
            if self.state.hints.are_of(*partition) {
                // One that cannot be read is met again by its handoff, which finds no chunk.
                let _ = self.disown_chunk(&chunk_key(*partition, *id));
            }
        }
        self.remove_own_chunks(waiter, chunks);
    }
}
