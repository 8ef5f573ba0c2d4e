//! This node's fingerprints (rules A1, A2): following every change of a row, reading the disk through to know them, and
//! answering for a range what this node and another should both hold there.
//!
//! They live in memory only. After a start they are unknown, and say so, until the disk has been read through once: a
//! fingerprint that is wrong hides a difference for ever. The scrubber reads them anew and compares (`coordinate/scrub.rs`).
//!
//! Chunks come and go on the store's own threads. So of each partition's chunks only the last reading is kept, and it is
//! forgotten when a chunk of that partition is reported written or removed.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

use super::ranges::{CHUNKS_AT_ONCE, after_key, chunk_key};
use super::state::Step;
use crate::fingerprint::{Fingerprint, FingerprintKey, KeyRange, SEGMENT_ROWS, Segments};
use crate::ids::{BucketId, ChunkId, NodeId, Partition};
use crate::message::{Compared, Digest, Refusal};
use crate::place::{after_prefix, bucket_of_row};
use crate::planted::Planted;
use crate::storage::{Batch, ReadError, Space, Visit};
use crate::wire::record::{bytes_digest, decode_row, row_digest};

/// The keyspaces of rows that homes have in common.
pub(crate) const COMPARED_SPACES: [Space; 3] = [Space::Rows, Space::Uploads, Space::Parts];

/// Of everything that homes have in common.
pub(crate) struct Fingerprints {
    key: FingerprintKey,
    rows: [Segments; COMPARED_SPACES.len()],
    /// Of the partitions whose chunks have not changed since they were read, by bucket of their owners: mostly of one, for
    /// which a map would keep half a kilobyte in each partition.
    chunks: BTreeMap<Partition, Box<[(BucketId, Fingerprint)]>>,
    /// When the next scrub begins, in monotonic microseconds; `None` while one is under way, and at first.
    scrub_us: Option<u64>,
    /// A scrub was begun in this run: the first reads the disk through.
    begun: bool,
    /// Segments that turned out to be wrong: should be 0 for ever.
    pub(crate) wrong: u64,
}

/// What was read of a segment: first keys and fingerprints of the pieces it is to be cut into.
type CutSegment = Vec<(Vec<u8>, Fingerprint)>;

/// Rows read one after the other.
struct ReadRows {
    first: Option<Vec<u8>>,
    /// Where they end, exclusive; empty for the end of the space.
    to: Vec<u8>,
    fingerprint: Fingerprint,
}

impl Fingerprints {
    /// Of a disk of which nothing has been read.
    pub(crate) fn unread(key: FingerprintKey) -> Self {
        Self {
            key,
            rows: [Segments::unread(), Segments::unread(), Segments::unread()],
            chunks: BTreeMap::new(),
            scrub_us: None,
            begun: false,
            wrong: 0,
        }
    }

    /// Of a keyspace, if homes have it in common.
    pub(crate) fn of(&mut self, space: Space) -> Option<&mut Segments> {
        let at = COMPARED_SPACES.iter().position(|compared| *compared == space)?;
        self.rows.get_mut(at)
    }

    /// The same, to look at.
    fn segments(&self, space: Space) -> Option<&Segments> {
        let at = COMPARED_SPACES.iter().position(|compared| *compared == space)?;
        self.rows.get(at)
    }

    /// Whether the whole disk has been read.
    pub(crate) fn are_known(&self) -> bool {
        self.rows.iter().all(|segments| segments.read_to().is_none())
    }

    /// Whether a scrub is to begin now: because it is time, or because somebody wants one. It is under way then. The first
    /// input of a run begins the first.
    pub(crate) fn begin_scrub(&mut self, now_us: u64, is_wanted: bool) -> bool {
        let due = !self.begun || self.scrub_us.is_some_and(|at_us| is_wanted || at_us <= now_us);
        if due {
            self.begun = true;
            self.scrub_us = None;
        }
        due
    }

    /// When the next scrub is wanted.
    pub(crate) const fn next_scrub_us(&self) -> Option<u64> {
        self.scrub_us
    }

    /// A scrub is over; the next one is wanted then.
    pub(crate) const fn end_scrub(&mut self, next_us: u64) {
        self.scrub_us = Some(next_us);
    }

    /// Chunks of a partition were written or removed.
    pub(crate) fn forget_chunks(&mut self, partition: Partition) {
        self.chunks.remove(&partition);
    }
}

/// Of disjoint sets.
pub(crate) fn together(pieces: impl Iterator<Item = Fingerprint>) -> Fingerprint {
    pieces.fold(Fingerprint::default(), |mut sum, piece| {
        sum.add(piece);
        sum
    })
}

/// Where a scan of a range ends. Every key begins with a partition's number, and none is as high as this.
pub(super) fn end_of_scan(range: &KeyRange) -> &[u8] {
    if range.to.is_empty() { &[0xff; 64] } else { &range.to }
}

/// Where reading goes on after something that cannot be read: with the next partition.
fn after_partition_of(key: &[u8]) -> Vec<u8> {
    match key.get(..2) {
        Some(partition) => after_prefix(partition.to_vec()),
        None => Vec::from([0, 1]),
    }
}

impl Step<'_> {
    /// The digest of a row that two homes compare. One that cannot be read as what it should be differs from all others.
    pub(crate) fn compared_digest(&self, space: Space, value: &[u8]) -> Digest {
        if space != Space::Rows {
            return bytes_digest(value);
        }
        if self.state.is_planted(Planted::DigestOmitsSiblings)
            && let Ok((_, record)) = decode_row(Bytes::copy_from_slice(value))
            && let Some(newest) = record.newest()
        {
            return bytes_digest(&newest.dot.tick.0.to_be_bytes());
        }
        row_digest(value).unwrap_or_else(|_| bytes_digest(value))
    }

    /// Takes note of a batch that is about to be written.
    pub(super) fn note_in_fingerprints(&mut self, batch: &Batch) {
        let is_learning = !self.state.fingerprints.are_known();
        if is_learning && self.state.is_planted(Planted::WrittenWhileReadUncounted) {
            return;
        }
        // Of several changes of one row the last counts.
        let mut last: BTreeMap<(Space, &[u8]), Option<&Bytes>> = BTreeMap::new();
        for (space, key, value) in &batch.changes {
            if COMPARED_SPACES.contains(space) {
                last.insert((*space, key), value.as_ref());
            }
        }
        let hash = self.state.fingerprints.key;
        for ((space, key), value) in last {
            let before = self.storage.get(space, key);
            let of = |value: &[u8]| hash.row(key, self.compared_digest(space, value));
            let after = value.map(|value| of(value));
            let before = before.map(|before| before.as_deref().map(of));
            let Some(segments) = self.state.fingerprints.of(space) else {
                continue;
            };
            match before {
                Ok(before) => segments.note(key, before, after),
                // Whether what was there had been counted cannot be told.
                Err(_) => segments.mark_damaged(key),
            }
        }
    }

    /// Reads the next rows of a keyspace that were not read in this run. Whether that was the end of it.
    pub(crate) fn read_next_segment(&mut self, space: Space) -> bool {
        let Some(from) = self
            .state
            .fingerprints
            .segments(space)
            .and_then(Segments::read_to)
            .cloned()
        else {
            return true;
        };
        // One bad block can stop every search that could come upon it: the next partition's rows are not behind it.
        let to = after_partition_of(&from);
        let read = self
            .read_segment(space, &KeyRange::new(from.clone(), Vec::new()))
            .or_else(|| self.read_segment(space, &KeyRange::new(from.clone(), to.clone())));
        let Some(segments) = self.state.fingerprints.of(space) else {
            return true;
        };
        match read {
            Some(read) => segments.push_read(read.first.as_deref(), read.to, read.fingerprint),
            None => segments.push_damaged(KeyRange::new(from, to)),
        }
        segments.read_to().is_none()
    }

    /// Tries again to read what could not be read in a range. Whether some of it can be now.
    pub(crate) fn heal_damage(&mut self, space: Space, range: &KeyRange) -> bool {
        let segments = self.state.fingerprints.segments(space);
        let damage = segments.and_then(|segments| segments.first_damage(range)).cloned();
        let Some((damage, read)) = damage.and_then(|damage| Some((damage.clone(), self.read_segment(space, &damage)?)))
        else {
            return false;
        };
        if let Some(segments) = self.state.fingerprints.of(space) {
            segments.push_healed(&damage, read.first.as_deref(), read.to, read.fingerprint);
        }
        true
    }

    /// Reads the first rows of a range: of one bucket in one partition, at most as many as a segment has, and up to where the
    /// disk cannot be read. `None` when it cannot be read where the range begins.
    fn read_segment(&self, space: Space, range: &KeyRange) -> Option<ReadRows> {
        let hash = self.state.fingerprints.key;
        let mut rows = ReadRows {
            first: None,
            to: range.to.clone(),
            fingerprint: Fingerprint::default(),
        };
        let mut last: Vec<u8> = Vec::new();
        let read = self
            .storage
            .scan(space, &range.from, end_of_scan(range), &mut |key, value| {
                let first = rows.first.get_or_insert_with(|| key.to_vec());
                if bucket_of_row(first) != bucket_of_row(key) || rows.fingerprint.count >= SEGMENT_ROWS as u64 {
                    rows.to = key.to_vec();
                    return Visit::Stop;
                }
                last = key.to_vec();
                rows.fingerprint.add(hash.row(key, self.compared_digest(space, value)));
                Visit::Next
            });
        if read.is_err() {
            rows.first.as_ref()?;
            rows.to = after_key(&last);
        }
        Some(rows)
    }

    /// Reads a segment anew: as it is, or cut into several if it has grown. Whether it is what it was thought to be;
    /// `None` when it cannot be read, and comparisons will see to it.
    pub(crate) fn read_again(&mut self, space: Space, segment: &KeyRange) -> Option<bool> {
        let cut = self.cut(space, segment, SEGMENT_ROWS);
        let segments = self.state.fingerprints.of(space)?;
        match cut {
            Ok(cut) => Some(segments.replace(segment, &cut)),
            Err(_) => {
                segments.mark_damaged(&segment.from);
                None
            }
        }
    }

    /// Finds where a range cannot be read, and comparisons will see to it.
    pub(crate) fn find_damage(&mut self, space: Space, range: &KeyRange) {
        for segment in self.segments_in(space, range) {
            if self.sum_rows(space, &segment).is_err()
                && let Some(segments) = self.state.fingerprints.of(space)
            {
                segments.mark_damaged(&segment.from);
            }
        }
    }

    /// Cuts a segment that has grown too large, if there is one.
    pub(crate) fn cut_grown(&mut self) {
        for space in COMPARED_SPACES {
            let grown = self.state.fingerprints.of(space).and_then(Segments::take_grown);
            if let Some(segment) = grown {
                let _ = self.read_again(space, &segment);
            }
        }
    }

    /// The segment after a key.
    pub(crate) fn segment_after(&self, space: Space, key: Option<&[u8]>) -> Option<KeyRange> {
        self.state.fingerprints.segments(space)?.next_after(key)
    }

    /// How many places in a keyspace cannot be read, as far as was tried.
    pub(crate) fn damage_count(&self, space: Space) -> u64 {
        let segments = self.state.fingerprints.segments(space);
        segments.map_or(0, |segments| segments.damage_count() as u64)
    }

    /// Which places in a keyspace cannot be read, as far as was tried.
    pub(crate) fn damages(&self, space: Space) -> Vec<KeyRange> {
        let segments = self.state.fingerprints.segments(space);
        segments.map_or_else(Vec::new, |segments| segments.damages().to_vec())
    }

    /// How many rows of a keyspace can be read.
    pub(crate) fn row_count(&self, space: Space) -> u64 {
        let segments = self.state.fingerprints.segments(space);
        segments.map_or(0, Segments::row_count)
    }

    /// How many of them are in the segment that begins with this key.
    pub(crate) fn row_count_at(&self, space: Space, start: &[u8]) -> u64 {
        let segments = self.state.fingerprints.segments(space);
        segments.map_or(0, |segments| segments.row_count_at(start))
    }

    /// The segments that have something in a range.
    pub(crate) fn segments_in(&self, space: Space, range: &KeyRange) -> Vec<KeyRange> {
        let segments = self.state.fingerprints.segments(space);
        let pieces = segments.map(|segments| segments.pieces(range));
        pieces.into_iter().flatten().map(|piece| piece.range).collect()
    }

    /// How many chunks there are in a partition, if their headers can be read.
    pub(crate) fn chunk_count(&mut self, partition: Partition) -> u64 {
        let _ = self.read_chunks_of(partition);
        let by_bucket = self.state.fingerprints.chunks.get(&partition);
        by_bucket.map_or(0, |by_bucket| by_bucket.iter().map(|(_, sum)| sum.count).sum())
    }

    fn read_chunks_of(&mut self, partition: Partition) -> Result<(), Refusal> {
        if !self.state.fingerprints.chunks.contains_key(&partition) {
            let by_bucket = self.sum_chunks(partition, None, &|_| true)?;
            self.state
                .fingerprints
                .chunks
                .insert(partition, by_bucket.into_iter().collect());
        }
        Ok(())
    }

    /// Reads a range and cuts it into pieces of so many rows.
    fn cut(&self, space: Space, range: &KeyRange, rows: usize) -> Result<CutSegment, ReadError> {
        let hash = self.state.fingerprints.key;
        let mut pieces: CutSegment = Vec::new();
        self.storage
            .scan(space, &range.from, end_of_scan(range), &mut |key, value| {
                let row = hash.row(key, self.compared_digest(space, value));
                match pieces.last_mut().filter(|(_, piece)| piece.count < rows as u64) {
                    Some((_, piece)) => piece.add(row),
                    None => pieces.push((key.to_vec(), row)),
                }
                Visit::Next
            })?;
        Ok(pieces)
    }

    /// How many fingerprints in memory are not those of what is on disk: for those who check this program.
    pub(super) fn count_wrong(&self) -> Result<u64, ReadError> {
        let mut wrong = 0;
        for space in COMPARED_SPACES {
            let all = KeyRange::default();
            let Some(segments) = self
                .state
                .fingerprints
                .segments(space)
                .filter(|segments| segments.knows(&all) && !segments.is_damaged(&all))
            else {
                continue;
            };
            let mut sum = Fingerprint::default();
            for piece in segments.pieces(&all) {
                let on_disk = self.sum_rows(space, &piece.range)?;
                sum.add(on_disk);
                wrong += u64::from(piece.whole != Some(on_disk));
            }
            wrong += u64::from(self.sum_rows(space, &all)? != sum);
        }
        for (partition, by_bucket) in &self.state.fingerprints.chunks {
            let on_disk = self
                .sum_chunks(*partition, None, &|_| true)
                .map_err(|_| ReadError::Io)?;
            wrong += u64::from(!on_disk.into_iter().eq(by_bucket.iter().copied()));
        }
        Ok(wrong)
    }

    /// Whether two homes have what belongs to a bucket in a partition in common.
    pub(crate) fn both_hold(&self, peer: NodeId, partition: Partition, bucket: BucketId) -> bool {
        let (layout, n) = (self.state.layout(), self.state.n_of(bucket));
        layout.is_home(self.state.me(), partition, n) && layout.is_home(peer, partition, n)
    }

    /// The fingerprint of what this node and a peer should both hold in a range, in pieces from which ever smaller ranges can
    /// be asked about: each with where it ends. What cannot be read is unknown.
    pub(crate) fn shared_pieces(
        &mut self,
        peer: NodeId,
        what: Compared,
        range: &KeyRange,
    ) -> Result<Vec<(Vec<u8>, Fingerprint)>, Refusal> {
        match what {
            Compared::Rows(space) => self.shared_row_pieces(peer, space, range),
            Compared::Chunks => self.shared_chunk_pieces(peer, range),
        }
    }

    /// The sum of [`Self::shared_pieces`].
    pub(crate) fn shared_fingerprint(
        &mut self,
        peer: NodeId,
        what: Compared,
        range: &KeyRange,
    ) -> Result<Fingerprint, Refusal> {
        let pieces = self.shared_pieces(peer, what, range)?;
        Ok(together(pieces.into_iter().map(|(_, piece)| piece)))
    }

    fn shared_row_pieces(
        &mut self,
        peer: NodeId,
        space: Space,
        range: &KeyRange,
    ) -> Result<Vec<(Vec<u8>, Fingerprint)>, Refusal> {
        let segments = self.state.fingerprints.segments(space).ok_or(Refusal::Malformed)?;
        if !segments.knows(range) {
            return Err(Refusal::NotReadYet);
        }
        let mut pieces = Vec::new();
        let mut unreadable = Vec::new();
        // Of the bucket of the last segment: it may have thousands, and the layout is asked once.
        let mut shared: Option<(Option<(Partition, BucketId)>, bool)> = None;
        for (part, is_sound) in segments.sound_parts(range) {
            if !is_sound {
                pieces.push((part.to, Fingerprint::UNKNOWN));
                continue;
            }
            for piece in segments.pieces(&part) {
                let bucket = bucket_of_row(&piece.range.from);
                if shared.is_none_or(|(of, _)| of != bucket) {
                    let both_hold = bucket.is_some_and(|(partition, id)| self.both_hold(peer, partition, id));
                    shared = Some((bucket, both_hold));
                }
                if !shared.is_some_and(|(_, both_hold)| both_hold) {
                    continue;
                }
                let rows = piece.whole.ok_or(()).or_else(|()| self.sum_rows(space, &piece.range));
                let fingerprint = rows.unwrap_or_else(|_| {
                    unreadable.push(piece.range.from);
                    Fingerprint::UNKNOWN
                });
                if fingerprint.count > 0 {
                    pieces.push((piece.range.to, fingerprint));
                }
            }
        }
        if let Some(segments) = self.state.fingerprints.of(space) {
            unreadable.iter().for_each(|key| segments.mark_damaged(key));
        }
        Ok(pieces)
    }

    /// Reads the fingerprint of a range.
    fn sum_rows(&self, space: Space, range: &KeyRange) -> Result<Fingerprint, ReadError> {
        let rows = self.cut(space, range, usize::MAX)?;
        Ok(rows.first().map(|(_, fingerprint)| *fingerprint).unwrap_or_default())
    }

    fn shared_chunk_pieces(&mut self, peer: NodeId, range: &KeyRange) -> Result<Vec<(Vec<u8>, Fingerprint)>, Refusal> {
        let partitions = self.state.layout().partition_count() as u64;
        let number = |key: &[u8], default: u64| match key {
            [] => default,
            [high, low, ..] => u64::from(u16::from_be_bytes([*high, *low])),
            [high] => u64::from(*high) << 8,
        };
        let (first, last) = (number(&range.from, 0), number(&range.to, partitions));
        let mut pieces = Vec::new();
        for partition in (first..partitions.min(last + 1)).map(|number| Partition(number as u16)) {
            let start = partition.0.to_be_bytes().to_vec();
            let whole = KeyRange::new(start.clone(), after_prefix(start));
            let part = whole.cut_to(range);
            if !part.to.is_empty() && part.from >= part.to {
                continue;
            }
            let read = if part == whole {
                self.chunks_of_partition(peer, partition)
            } else {
                self.sum_chunks(partition, Some(&part), &|bucket| {
                    self.both_hold(peer, partition, bucket)
                })
                .map(|by_bucket| together(by_bucket.into_values()))
            };
            let fingerprint = read.unwrap_or(Fingerprint::UNKNOWN);
            if fingerprint.count > 0 {
                pieces.push((part.to, fingerprint));
            }
        }
        Ok(pieces)
    }

    fn chunks_of_partition(&mut self, peer: NodeId, partition: Partition) -> Result<Fingerprint, Refusal> {
        self.read_chunks_of(partition)?;
        let mut sum = Fingerprint::default();
        for (bucket, fingerprint) in self.state.fingerprints.chunks.get(&partition).into_iter().flatten() {
            if self.both_hold(peer, partition, *bucket) {
                sum.add(*fingerprint);
            }
        }
        Ok(sum)
    }

    /// Reads the headers of a partition's chunks, or of those with keys in a range.
    fn sum_chunks(
        &self,
        partition: Partition,
        within: Option<&KeyRange>,
        wanted: &dyn Fn(BucketId) -> bool,
    ) -> Result<BTreeMap<BucketId, Fingerprint>, Refusal> {
        let hash = self.state.fingerprints.key;
        let mut sums: BTreeMap<BucketId, Fingerprint> = BTreeMap::new();
        let mut after: Option<ChunkId> = None;
        loop {
            let headers = self.storage.chunks(partition, after, CHUNKS_AT_ONCE)?;
            let is_end = headers.len() < CHUNKS_AT_ONCE;
            for header in headers {
                after = Some(header.id);
                let key = chunk_key(partition, header.id);
                let is_within = within.is_none_or(|range| range.contains(&key));
                if is_within && wanted(header.owner.bucket) {
                    let sum = sums.entry(header.owner.bucket).or_default();
                    sum.add(hash.row(&key, Digest::default()));
                }
            }
            if is_end {
                return Ok(sums);
            }
        }
    }
}
