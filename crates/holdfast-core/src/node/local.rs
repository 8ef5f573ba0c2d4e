//! This node's own copies: reading one, and writing one with everything that must change in the same batch: the row,
//! the body rows of its versions, counts, and the registry when it is a row of the system bucket.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Effect;
use super::start::read_registry;
use super::state::Step;
use crate::content::{BodyForm, Content};
use crate::event::ClusterEvent;
use crate::fingerprint::KeyRange;
use crate::ids::{BucketId, Dot, Partition, SYSTEM_BUCKET};
use crate::message::{Copy, Digest, Refusal};
use crate::place::{Place, after_prefix};
use crate::planted::Planted;
use crate::record::{Record, Version};
use crate::request::{Count, WantedBodies};
use crate::storage::{Batch, ReadError, Space, Visit, WriteSeq};
use crate::wire::record::{RowLocal, decode_row, encode_row, row_digest};
use crate::wire::side::{decode_counts, decode_entry, encode_counts};

/// A copy as it lies on this disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalCopy {
    /// What only this node needs: the life of this copy (rule D2).
    pub(crate) local: RowLocal,
    /// The record.
    pub(crate) record: Record,
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt => Self::Damaged,
            ReadError::Io => Self::Io,
            ReadError::Overloaded => Self::Overloaded,
        }
    }
}

impl Step<'_> {
    /// This node's copy of a key; `None` when it has none.
    pub(crate) fn read_copy(&self, place: &Place) -> Result<Option<LocalCopy>, ReadError> {
        match self.storage.get(Space::Rows, &place.row_key()) {
            Err(ReadError::Corrupt) if self.state.is_planted(Planted::DamagedIsAbsent) => Ok(None),
            Err(error) => Err(error),
            Ok(None) => Ok(None),
            Ok(Some(row)) => {
                let (local, record) = decode_row(row).map_err(|_| ReadError::Corrupt)?;
                Ok(Some(LocalCopy { local, record }))
            }
        }
    }

    /// This node's copy and the digest of its record.
    pub(crate) fn read_copy_and_digest(&self, place: &Place) -> Result<Option<(LocalCopy, Digest)>, ReadError> {
        match self.storage.get(Space::Rows, &place.row_key()) {
            Err(ReadError::Corrupt) if self.state.is_planted(Planted::DamagedIsAbsent) => Ok(None),
            Err(error) => Err(error),
            Ok(None) => Ok(None),
            Ok(Some(row)) => {
                let digest = row_digest(&row).map_err(|_| ReadError::Corrupt)?;
                let (local, record) = decode_row(row).map_err(|_| ReadError::Corrupt)?;
                Ok(Some((LocalCopy { local, record }, digest)))
            }
        }
    }

    /// Body rows of a record's versions. A version whose body row is missing means that the copy is damaged.
    pub(crate) fn read_bodies(
        &self,
        place: &Place,
        record: &Record,
        wanted: WantedBodies,
    ) -> Result<Vec<(Dot, Bytes)>, ReadError> {
        self.read_bodies_in(Space::Bodies, place, wanted_versions(record, wanted))
    }

    /// Body rows of some versions, in the keyspace that goes with their record.
    pub(crate) fn read_bodies_in<'v>(
        &self,
        space: Space,
        place: &Place,
        versions: impl IntoIterator<Item = &'v Version>,
    ) -> Result<Vec<(Dot, Bytes)>, ReadError> {
        let versions = versions.into_iter();
        let mut bodies = Vec::with_capacity(versions.size_hint().0);
        for version in versions.filter(|version| version.content.body_length().is_some()) {
            let body = self
                .storage
                .get(space, &place.body_key(version.dot))?
                .ok_or(ReadError::Corrupt)?;
            bodies.push((version.dot, body));
        }
        Ok(bodies)
    }

    /// Merges a copy that came from elsewhere into this node's own, in one step. Returns the record from before, when
    /// there was one, and the batch to wait for.
    ///
    /// A copy made here by a merge has no life yet: that begins with this node's first own put of the key (rule D2).
    pub(crate) fn merge_copy(&mut self, place: &Place, theirs: &Copy, extra: Batch) -> Result<Merged, Refusal> {
        let before = self.read_copy(place)?;
        let mut after = before.clone().unwrap_or_default();
        let changed = after.record.merge(&theirs.record) || before.is_none();
        if self.state.is_planted(Planted::SiblingDropped)
            && let Some(newest) = after.record.newest().cloned()
        {
            let context = after.record.context().clone();
            after.record.put(&context, newest);
        }
        let before = before.map(|copy| copy.record);
        let seq = if changed {
            self.write_copy(place, before.as_ref(), &after, &theirs.bodies, extra)?
        } else {
            self.write_changes(extra)
        };
        Ok(Merged {
            before,
            context: after.record.context().clone(),
            seq,
        })
    }

    /// Replaces this node's copy. Body rows of new versions must be among `bodies`; those of dropped versions leave.
    pub(crate) fn write_copy(
        &mut self,
        place: &Place,
        before: Option<&Record>,
        after: &LocalCopy,
        bodies: &[(Dot, Bytes)],
        mut batch: Batch,
    ) -> Result<WriteSeq, Refusal> {
        let empty = Record::new();
        let before = before.unwrap_or(&empty);
        change_bodies(Space::Bodies, place, before, &after.record, bodies, &mut batch)?;
        self.note_dead_versions(place, before, &after.record, &mut batch);
        self.note_remnants(place, &after.record, &mut batch);
        self.note_replaced(before, &after.record);
        self.tell_siblings(place, before, &after.record);
        batch.put(Space::Rows, place.row_key(), encode_row(after.local, &after.record));
        self.count_change(place, before, &after.record, &mut batch)?;
        let seq = self.write(batch, after.record.tick_max());
        if place.bucket == SYSTEM_BUCKET {
            self.apply_to_registry(place, &after.record);
        }
        Ok(seq)
    }

    fn tell_siblings(&mut self, place: &Place, before: &Record, after: &Record) {
        let count = after.sibling_count();
        match (before.sibling_count() > 1, count > 1) {
            (false, true) => {
                let (of, count) = (place.object_key(), count as u32);
                self.tell(ClusterEvent::SiblingsMade { of, count });
            }
            (true, false) => {
                let of = place.object_key();
                self.tell(ClusterEvent::SiblingsResolved { of });
            }
            _ => {}
        }
    }

    /// Client writes that took effect here and leave with this change (rule D7).
    pub(crate) fn note_replaced(&mut self, before: &Record, after: &Record) {
        let versions = before.versions().iter();
        for version in versions.filter(|version| after.find_request(version.request).is_none()) {
            self.state.replaced.insert(version.request, version.dot);
        }
    }

    /// Objects and bytes of a bucket in a partition on this node.
    pub(crate) fn count(&mut self, partition: Partition, bucket: BucketId) -> Result<Count, ReadError> {
        if let Some(count) = self.state.counts.get(&(partition, bucket)) {
            return Ok(*count);
        }
        let count = match self.storage.get(Space::Counts, &count_key(partition, bucket)) {
            Ok(None) => Count::default(),
            Ok(Some(row)) => decode_counts(&row).or_else(|_| self.count_anew(partition, bucket))?,
            Err(ReadError::Corrupt) => self.count_anew(partition, bucket)?,
            Err(error) => return Err(error),
        };
        self.state.counts.insert((partition, bucket), count);
        Ok(count)
    }

    /// The same, counted row by row, since what is written down cannot be read. A row that cannot be read either is in the way of every
    /// write to that bucket, so the others are asked for it soon.
    fn count_anew(&mut self, partition: Partition, bucket: BucketId) -> Result<Count, ReadError> {
        let rows = rows_counted(partition, bucket);
        let counted = self.count_between(&rows.from, &rows.to);
        if counted == Err(ReadError::Corrupt) {
            self.find_damage(Space::Rows, &rows);
        }
        counted
    }

    /// The same without one key, whose row may be damaged.
    fn count_others(&self, place: &Place) -> Result<Count, ReadError> {
        let rows = rows_counted(place.partition, place.bucket);
        let row = place.row_key();
        let mut count = self.count_between(&rows.from, &row)?;
        count += self.count_between(&after_prefix(row), &rows.to)?;
        Ok(count)
    }

    fn count_between(&self, from: &[u8], to: &[u8]) -> Result<Count, ReadError> {
        let mut count = Count::default();
        let mut is_sound = true;
        self.storage.scan(Space::Rows, from, to, &mut |_, row| {
            match decode_row(Bytes::copy_from_slice(row)) {
                Ok((_, record)) => count.add(record.visible().map(|version| version.content.size)),
                Err(_) => is_sound = false,
            }
            Visit::Next
        })?;
        if is_sound { Ok(count) } else { Err(ReadError::Corrupt) }
    }

    /// Bodies of a key that a record does not name, as far as they can be found.
    fn other_bodies(&self, place: &Place, record: &Record) -> Vec<Vec<u8>> {
        let named: Vec<Vec<u8>> = record
            .versions()
            .iter()
            .map(|version| place.body_key(version.dot))
            .collect();
        // One that cannot be read ends the search, but the record from before may name it.
        let before = self.read_copy(place).ok().flatten().unwrap_or_default();
        let left = before
            .record
            .versions()
            .iter()
            .map(|version| place.body_key(version.dot));
        let mut others: Vec<Vec<u8>> = left.filter(|key| !named.contains(key)).collect();
        let prefix = place.row_key();
        let _ = self
            .storage
            .scan(Space::Bodies, &prefix, &after_prefix(prefix.clone()), &mut |key, _| {
                if named.iter().all(|named| named != key) {
                    others.push(key.to_vec());
                }
                Visit::Next
            });
        others
    }

    /// Puts a record in the place of one that cannot be read, or bodies in the place of its bodies that cannot. What can be
    /// read may know more than the others by now, and is merged.
    pub(crate) fn write_over_damage(&mut self, place: &Place, copy: &Copy) -> Result<(), Refusal> {
        if let Ok(Some(own)) = self.read_copy(place) {
            let mut batch = Batch::default();
            for (dot, body) in &copy.bodies {
                if own
                    .record
                    .find(*dot)
                    .is_some_and(|version| version.content.is_body(body))
                {
                    batch.put(Space::Bodies, place.body_key(*dot), body.clone());
                }
            }
            self.merge_copy(place, copy, batch)?;
            if place.bucket == SYSTEM_BUCKET
                && let Ok(Some(healed)) = self.read_copy(place)
            {
                self.apply_to_registry(place, &healed.record);
            }
            return Ok(());
        }
        // The new copy has no life yet (rule D2).
        let after = LocalCopy {
            local: RowLocal::default(),
            record: copy.record.clone(),
        };
        let mut batch = Batch::default();
        for key in self.other_bodies(place, &after.record) {
            batch.remove(Space::Bodies, key);
        }
        self.count_as_absent(place, &after.record, &mut batch)?;
        let written = self.write_copy(place, None, &after, &copy.bodies, batch);
        if written.is_err() {
            self.state.counts.remove(&(place.partition, place.bucket));
        }
        written.map(|_| ())
    }

    /// Takes a key whose row cannot be read out of the count, before `after` is written in its place.
    fn count_as_absent(&mut self, place: &Place, after: &Record, batch: &mut Batch) -> Result<(), ReadError> {
        let size = after.visible().map(|version| version.content.size);
        let count = match self.count_others(place) {
            Ok(count) => count,
            Err(_) => self.guess_others(place, size)?,
        };
        self.state.counts.insert((place.partition, place.bucket), count);
        // What is visible changes the count once more, in the same batch.
        if size.is_none() {
            batch.put(
                Space::Counts,
                count_key(place.partition, place.bucket),
                encode_counts(count),
            );
        }
        Ok(())
    }

    /// What the others of a key's bucket count as, when another row cannot be read either. The key was counted, whatever it
    /// was: most likely as what comes now. Whoever heals the last such row counts for certain, so they are looked for at once:
    /// else a wrong guess would stand until the next scrub.
    fn guess_others(&mut self, place: &Place, size: Option<u64>) -> Result<Count, ReadError> {
        self.find_damage(Space::Rows, &rows_counted(place.partition, place.bucket));
        let mut count = self.count(place.partition, place.bucket)?;
        count.remove(size);
        Ok(count)
    }

    fn count_change(
        &mut self,
        place: &Place,
        before: &Record,
        after: &Record,
        batch: &mut Batch,
    ) -> Result<(), ReadError> {
        let size = |record: &Record| record.visible().map(|version| version.content.size);
        let (old, new) = (size(before), size(after));
        if old == new {
            return Ok(());
        }
        let mut count = self.count(place.partition, place.bucket)?;
        count.remove(old);
        count.add(new);
        self.state.counts.insert((place.partition, place.bucket), count);
        batch.put(
            Space::Counts,
            count_key(place.partition, place.bucket),
            encode_counts(count),
        );
        Ok(())
    }

    /// A row of the system bucket changed: the registry in memory follows. What is visible now may have been here before,
    /// beside a newer sibling that left, so its body is read from the disk, where this batch is visible already.
    fn apply_to_registry(&mut self, place: &Place, record: &Record) {
        self.state.entries_damaged.retain(|damaged| damaged != place);
        if self.state.is_registry_cut
            && let Ok(read) = read_registry(&self.state.config, self.storage)
        {
            self.state.is_registry_cut = read.is_cut;
            self.state.registry = Arc::new(read.registry);
        }
        let Some(newest) = record.visible() else { return };
        let body = self.storage.get(Space::Bodies, &place.body_key(newest.dot));
        let mut registry = (*self.state.registry).clone();
        match body.ok().flatten().and_then(|body| decode_entry(body).ok()) {
            Some(entry) => registry.apply(entry),
            None => {
                self.state.entries_unreadable += 1;
                if !registry.forget_key(&place.key) {
                    return;
                }
            }
        }
        self.state.registry = Arc::new(registry);
        self.effects.push(Effect::RegistryChanged(self.state.registry.clone()));
    }
}

/// The rows that a count is of: what it is written under is what they begin with.
fn rows_counted(partition: Partition, bucket: BucketId) -> KeyRange {
    let prefix = count_key(partition, bucket);
    KeyRange::new(prefix.clone(), after_prefix(prefix))
}

/// The versions whose body rows a read brings along.
pub(crate) fn wanted_versions(record: &Record, wanted: WantedBodies) -> &[Version] {
    match wanted {
        WantedBodies::None => &[],
        WantedBodies::Newest => record.newest().map_or(&[], core::slice::from_ref),
        WantedBodies::All => record.versions(),
    }
}

/// Body rows that come and go when a record changes. Those of new versions must be among `bodies`.
pub(crate) fn change_bodies(
    space: Space,
    place: &Place,
    before: &Record,
    after: &Record,
    bodies: &[(Dot, Bytes)],
    batch: &mut Batch,
) -> Result<(), Refusal> {
    let has_body = |version: &&Version| version.content.body_length().is_some();
    let come = after
        .versions()
        .iter()
        .filter(|version| before.find(version.dot).is_none());
    for version in come.filter(has_body) {
        let body = bodies.iter().find(|(dot, _)| *dot == version.dot).map(|(_, body)| body);
        let body = body
            .filter(|body| version.content.is_body(body))
            .ok_or(Refusal::Malformed)?;
        batch.put(space, place.body_key(version.dot), body.clone());
    }
    let go = before
        .versions()
        .iter()
        .filter(|version| after.find(version.dot).is_none());
    for version in go.filter(has_body) {
        batch.remove(space, place.body_key(version.dot));
    }
    Ok(())
}

/// What merging did.
pub(crate) struct Merged {
    /// The record from before.
    pub(crate) before: Option<Record>,
    /// What the copy knows now.
    pub(crate) context: crate::context::Context,
    /// The batch to wait for.
    pub(crate) seq: WriteSeq,
}

/// Key of a row in [`Space::Counts`].
fn count_key(partition: Partition, bucket: BucketId) -> Vec<u8> {
    let mut key = Vec::with_capacity(10);
    key.extend_from_slice(&partition.0.to_be_bytes());
    key.extend_from_slice(&bucket.0.to_be_bytes());
    key
}

impl Content {
    /// Length of the body row, when there is one.
    pub(crate) const fn body_length(&self) -> Option<u32> {
        match self.body {
            BodyForm::Empty => None,
            BodyForm::Inline { length, .. } | BodyForm::Manifest { length, .. } => Some(length),
        }
    }

    /// Whether no version with this body may be committed any more (rule D10).
    pub(crate) const fn is_past_commit(&self, now_ms: u64) -> bool {
        matches!(self.body, BodyForm::Manifest { commit_deadline_ms, .. } if commit_deadline_ms < now_ms)
    }

    /// Whether these bytes are this version's body row.
    pub(crate) fn is_body(&self, row: &[u8]) -> bool {
        match &self.body {
            BodyForm::Empty => row.is_empty(),
            BodyForm::Inline { length, digest } | BodyForm::Manifest { length, digest, .. } => {
                row.len() == *length as usize && body_digest(row) == *digest
            }
        }
    }
}

/// Digest of a body row: the first 16 bytes of its BLAKE3 hash.
pub(crate) fn body_digest(row: &[u8]) -> [u8; 16] {
    let hash = blake3::hash(row);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.as_bytes()[..16]);
    digest
}
