//! Fingerprints of sets of rows: what two homes exchange instead of the rows, to find the few that differ (rule A1; the
//! hash trees of Dynamo §4.7).
//!
//! The fingerprint of a set is the sum (XOR) of a keyed hash of each row, so a write changes it without reading anything
//! else. Rows in key order are cut into *segments* of some hundreds, each with its fingerprint in memory: any range of
//! keys is then the sum of whole segments and of at most two that are read in part, and a difference is found by asking
//! about ever smaller ranges (range-based set reconciliation; Meyer, "Range-Based Set Reconciliation", SRDS 2023). Leaves
//! by hash of the key, as in Dynamo, would need all rows of a partition to be read to list those of one leaf.
//!
//! The hash is keyed with a secret of the cluster: sums of known hashes can be forged by whoever may choose keys.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use crate::message::Digest;
use crate::place::{BUCKET_PREFIX_BYTES, after_prefix};

/// Rows of a segment when it is made.
pub(crate) const SEGMENT_ROWS: usize = 512;
/// Rows at which it is cut into several.
const SEGMENT_ROWS_MAX: u64 = 4 * SEGMENT_ROWS as u64;

/// The secret that hashes are keyed with; the same on every member.
#[derive(Clone, Copy)]
pub struct FingerprintKey(pub [u8; 32]);

impl core::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FingerprintKey(secret)")
    }
}

impl FingerprintKey {
    /// What a row adds to the fingerprints of the sets that it is in.
    pub(crate) fn row(&self, key: &[u8], digest: Digest) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The digest has a fixed length, so no two rows are hashed alike.
        hasher.update(&digest.0);
        hasher.update(key);
        let mut sum = [0; 16];
        sum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Fingerprint {
            sum: u128::from_be_bytes(sum),
            count: 1,
        }
    }
}

/// Of a set of rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Fingerprint {
    /// XOR of the rows' hashes.
    pub sum: u128,
    /// How many rows.
    pub count: u64,
}

impl Fingerprint {
    /// Of a set that cannot be read: no set's fingerprint.
    pub(crate) const UNKNOWN: Self = Self {
        sum: u128::MAX,
        count: u64::MAX,
    };

    /// Whether it says nothing.
    pub(crate) const fn is_unknown(&self) -> bool {
        self.count == Self::UNKNOWN.count
    }

    /// Of both sets together, which have no row in common. Unknown if either is.
    pub(crate) const fn add(&mut self, other: Self) {
        if self.is_unknown() || other.is_unknown() {
            *self = Self::UNKNOWN;
        } else {
            self.sum ^= other.sum;
            self.count = self.count.wrapping_add(other.count);
        }
    }

    /// Without a set that is part of it.
    pub(crate) const fn take_away(&mut self, other: Self) {
        self.sum ^= other.sum;
        self.count = self.count.wrapping_sub(other.count);
    }
}

/// Keys from the first, inclusive, to the second, exclusive; an empty end is the end of the space.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct KeyRange {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl KeyRange {
    pub(crate) const fn new(from: Vec<u8>, to: Vec<u8>) -> Self {
        Self { from, to }
    }

    fn holds(&self, other: &Self) -> bool {
        self.from <= other.from && (self.to.is_empty() || !other.to.is_empty() && other.to <= self.to)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && (self.to.is_empty() || key < self.to.as_slice())
    }

    fn meets(&self, other: &Self) -> bool {
        (other.to.is_empty() || self.from < other.to) && (self.to.is_empty() || other.from < self.to)
    }

    /// Whether they have something in common or one begins where the other ends.
    fn touches(&self, other: &Self) -> bool {
        (other.to.is_empty() || self.from <= other.to) && (self.to.is_empty() || other.from <= self.to)
    }

    /// Both together, when they touch.
    fn with(self, other: Self) -> Self {
        let to = if self.to.is_empty() || other.to.is_empty() {
            Vec::new()
        } else {
            self.to.max(other.to)
        };
        Self {
            from: self.from.min(other.from),
            to,
        }
    }

    /// What both have in common.
    pub(crate) fn cut_to(&self, other: &Self) -> Self {
        let to = match (self.to.is_empty(), other.to.is_empty()) {
            (true, _) => other.to.clone(),
            (false, true) => self.to.clone(),
            (false, false) => self.to.clone().min(other.to.clone()),
        };
        Self {
            from: self.from.clone().max(other.from.clone()),
            to,
        }
    }
}

/// The segments of one keyspace. None goes beyond the rows of one bucket in one partition, because what two nodes have in
/// common is decided by those.
#[derive(Default)]
pub(crate) struct Segments {
    /// By first key. A segment ends where the next one begins, or with its bucket's rows.
    by_start: BTreeMap<Box<[u8]>, Fingerprint>,
    /// Keys below it have been read from the disk in this run; what lies above is unknown, and changes there are not
    /// noted. `None` once all have.
    read_to: Option<Vec<u8>>,
    grown: BTreeSet<Box<[u8]>>,
    /// Where the disk could not be read, in order and apart: no segment lies there and no change is counted. Whoever compares
    /// asks for every row there, and tries to read it again.
    damaged: Vec<KeyRange>,
}

/// A segment, or as much of one as lies in a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) range: KeyRange,
    /// `None` when only a part of the segment lies in the range: whoever wants to know reads the rows.
    pub(crate) whole: Option<Fingerprint>,
}

impl Segments {
    /// Of a disk of which nothing has been read.
    pub(crate) fn unread() -> Self {
        Self {
            read_to: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// How far the disk was read: `None` when all of it was.
    pub(crate) const fn read_to(&self) -> Option<&Vec<u8>> {
        self.read_to.as_ref()
    }

    /// Whether the fingerprint of a range can be told (rule A2).
    pub(crate) fn knows(&self, range: &KeyRange) -> bool {
        self.read_to
            .as_ref()
            .is_none_or(|read_to| !range.to.is_empty() && range.to <= *read_to)
    }

    /// Takes the next segment as it was read: from where reading had come to, up to `to`; an empty `to` is the end.
    pub(crate) fn push_read(&mut self, first_row: Option<&[u8]>, to: Vec<u8>, fingerprint: Fingerprint) {
        self.insert(first_row, fingerprint);
        self.read_to = if to.is_empty() { None } else { Some(to) };
    }

    /// Reading failed, and goes on beyond.
    pub(crate) fn push_damaged(&mut self, range: KeyRange) {
        self.read_to = if range.to.is_empty() {
            None
        } else {
            Some(range.to.clone())
        };
        self.damage(range);
    }

    /// The row at a key cannot be read, or could not be when it was changed: nothing is known of its segment any more.
    pub(crate) fn mark_damaged(&mut self, key: &[u8]) {
        if self.is_unread(key) || self.is_damaged_at(key) {
            return;
        }
        let start = self.find(key).unwrap_or_else(|| self.first_start(key).into());
        self.by_start.entry(start.clone()).or_default();
        if let Some(range) = self.range_of(&start) {
            self.by_start.remove(&start);
            self.grown.remove(&start);
            self.damage(range);
        }
    }

    /// What could not be read can be, from where the damage begins on, up to `to`; an empty `to` is the end of the space.
    pub(crate) fn push_healed(
        &mut self,
        damage: &KeyRange,
        first_row: Option<&[u8]>,
        to: Vec<u8>,
        fingerprint: Fingerprint,
    ) {
        self.damaged.retain(|damaged| damaged != damage);
        let is_all = to.is_empty() || !damage.to.is_empty() && to >= damage.to;
        if !is_all {
            self.damage(KeyRange::new(to, damage.to.clone()));
        }
        self.insert(first_row, fingerprint);
    }

    /// The first place in a range that cannot be read.
    pub(crate) fn first_damage(&self, range: &KeyRange) -> Option<&KeyRange> {
        self.damaged.iter().find(|damaged| damaged.meets(range))
    }

    /// How many places cannot be read.
    pub(crate) const fn damage_count(&self) -> usize {
        self.damaged.len()
    }

    /// The places that cannot be read, in order.
    pub(crate) fn damages(&self) -> &[KeyRange] {
        &self.damaged
    }

    /// How many rows there are where it can be read.
    pub(crate) fn row_count(&self) -> u64 {
        self.by_start.values().map(|segment| segment.count).sum()
    }

    /// How many there are in the segment that begins with this key.
    pub(crate) fn row_count_at(&self, start: &[u8]) -> u64 {
        self.by_start.get(start).map_or(0, |segment| segment.count)
    }

    /// Whether a range cannot be read, or a part of it.
    pub(crate) fn is_damaged(&self, range: &KeyRange) -> bool {
        self.first_damage(range).is_some()
    }

    /// A range in parts that can be read (true) or cannot, in order.
    pub(crate) fn sound_parts(&self, range: &KeyRange) -> Vec<(KeyRange, bool)> {
        let mut parts = Vec::new();
        let mut from = range.from.clone();
        for damaged in self.damaged.iter().filter(|damaged| damaged.meets(range)) {
            let damaged = damaged.cut_to(range);
            let before = core::mem::replace(&mut from, damaged.to.clone());
            if before < damaged.from {
                parts.push((KeyRange::new(before, damaged.from.clone()), true));
            }
            let is_end = damaged.to == range.to;
            parts.push((damaged, false));
            if is_end {
                return parts;
            }
        }
        parts.push((KeyRange::new(from, range.to.clone()), true));
        parts
    }

    fn insert(&mut self, first_row: Option<&[u8]>, fingerprint: Fingerprint) {
        if let Some(row) = first_row {
            let start = self.find(row).map_or_else(|| self.first_start(row), |_| row);
            self.by_start.insert(start.into(), fingerprint);
        }
    }

    fn damage(&mut self, range: KeyRange) {
        let mut range = range;
        let (apart, touching) = core::mem::take(&mut self.damaged)
            .into_iter()
            .partition(|damaged| !damaged.touches(&range));
        self.damaged = apart;
        for damaged in touching {
            range = range.with(damaged);
        }
        let at = self.damaged.partition_point(|damaged| damaged.from < range.from);
        self.damaged.insert(at, range);
    }

    fn is_damaged_at(&self, key: &[u8]) -> bool {
        self.damaged.iter().any(|damaged| damaged.contains(key))
    }

    fn is_unread(&self, key: &[u8]) -> bool {
        self.read_to.as_ref().is_some_and(|read_to| key >= read_to.as_slice())
    }

    /// A row was added, changed or removed.
    pub(crate) fn note(&mut self, key: &[u8], before: Option<Fingerprint>, after: Option<Fingerprint>) {
        if self.is_unread(key) || self.is_damaged_at(key) {
            return;
        }
        let start = self.find(key).unwrap_or_else(|| self.first_start(key).into());
        let fingerprint = self.by_start.entry(start.clone()).or_default();
        if let Some(before) = before {
            fingerprint.take_away(before);
        }
        if let Some(after) = after {
            fingerprint.add(after);
        }
        if fingerprint.count > SEGMENT_ROWS_MAX {
            self.grown.insert(start);
        }
    }

    /// A segment that has grown too large, to be read and cut.
    pub(crate) fn take_grown(&mut self) -> Option<KeyRange> {
        let start = self.grown.pop_first()?;
        self.range_of(&start)
    }

    /// Puts what was read of a segment in its place, cut anew: first keys and fingerprints, in order. Whether that is what
    /// it was.
    pub(crate) fn replace(&mut self, segment: &KeyRange, cut: &[(Vec<u8>, Fingerprint)]) -> bool {
        let before = self.by_start.remove(segment.from.as_slice()).unwrap_or_default();
        let mut now = Fingerprint::default();
        for (at, (start, fingerprint)) in cut.iter().enumerate() {
            now.add(*fingerprint);
            let start = if at == 0 { &segment.from } else { start };
            self.by_start.insert(start.as_slice().into(), *fingerprint);
        }
        now == before
    }

    /// The segment after a key, or the first.
    pub(crate) fn next_after(&self, key: Option<&[u8]>) -> Option<KeyRange> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        let mut starts = self.by_start.range::<[u8], _>((from, Bound::Unbounded));
        starts.next().and_then(|(start, _)| self.range_of(start))
    }

    /// The segments that have something in a range, in order.
    pub(crate) fn pieces(&self, range: &KeyRange) -> impl Iterator<Item = Piece> {
        let first = self
            .by_start
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(range.from.as_slice())))
            .next_back();
        let after = self
            .by_start
            .range::<[u8], _>((Bound::Excluded(range.from.as_slice()), Bound::Unbounded));
        let mut starts = first.into_iter().chain(after).peekable();
        let mut pieces = Vec::new();
        while let Some((start, fingerprint)) = starts.next() {
            if !range.to.is_empty() && **start >= *range.to {
                break;
            }
            let segment = KeyRange::new(
                start.to_vec(),
                self.end_of(start, starts.peek().map(|(next, _)| &***next)),
            );
            if !segment.to.is_empty() && segment.to <= range.from {
                continue;
            }
            let whole = range.holds(&segment).then_some(*fingerprint);
            let range = if whole.is_some() {
                segment
            } else {
                segment.cut_to(range)
            };
            pieces.push(Piece { range, whole });
        }
        pieces.into_iter()
    }

    /// The segment that a row belongs to.
    fn find(&self, key: &[u8]) -> Option<Box<[u8]>> {
        let (start, _) = self
            .by_start
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
            .next_back()?;
        (&**start >= self.first_start(key)).then(|| start.clone())
    }

    /// Where the first segment begins that a row could belong to: with its bucket, or behind what cannot be read. There, so
    /// that rows that are written below the first one have a segment.
    fn first_start<'a>(&'a self, key: &'a [u8]) -> &'a [u8] {
        let damage = self.damaged.iter().rev().map(|damaged| damaged.to.as_slice());
        let behind = damage
            .filter(|to| !to.is_empty())
            .find(|to| *to <= key)
            .unwrap_or_default();
        prefix_of(key).max(behind)
    }

    /// What a segment covers: not what has not been read yet, which is added when it is.
    fn range_of(&self, start: &[u8]) -> Option<KeyRange> {
        let mut from_it = self
            .by_start
            .range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
        from_it.next().filter(|(found, _)| ***found == *start)?;
        let next = from_it.next().map(|(next, _)| &**next);
        let end = self.end_of(start, next);
        let to = match &self.read_to {
            Some(read_to) if end.is_empty() || *read_to < end => read_to.clone(),
            _ => end,
        };
        Some(KeyRange::new(start.to_vec(), to))
    }

    /// Where a segment ends: where the next begins, with its bucket's rows, or where the disk cannot be read.
    fn end_of(&self, start: &[u8], next: Option<&[u8]>) -> Vec<u8> {
        let end = match next {
            Some(next) if prefix_of(next) == prefix_of(start) => next.to_vec(),
            _ => after_prefix(prefix_of(start).to_vec()),
        };
        let damage = self.damaged.iter().find(|damaged| *damaged.from > *start);
        match damage {
            Some(damage) if end.is_empty() || damage.from < end => damage.from.clone(),
            _ => end,
        }
    }
}

/// What all rows of one bucket in one partition begin with.
fn prefix_of(key: &[u8]) -> &[u8] {
    &key[..key.len().min(BUCKET_PREFIX_BYTES)]
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const KEY: FingerprintKey = FingerprintKey([3; 32]);

    /// Rows of four buckets in two partitions.
    fn key(number: u16) -> Vec<u8> {
        let mut key = alloc::vec![0; BUCKET_PREFIX_BYTES];
        key[1] = (number % 2) as u8;
        key[9] = (number / 2 % 2) as u8;
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    fn of(rows: &BTreeMap<Vec<u8>, u8>, range: &KeyRange) -> Fingerprint {
        let mut sum = Fingerprint::default();
        let within = rows.iter().filter(|(key, _)| range.contains(key));
        within.for_each(|(key, value)| sum.add(KEY.row(key, Digest([*value; 16]))));
        sum
    }

    /// A disk, of which some rows cannot be read.
    #[derive(Default)]
    struct Disk {
        rows: BTreeMap<Vec<u8>, u8>,
        rotten: BTreeSet<Vec<u8>>,
    }

    impl Disk {
        /// As the node does: so many rows of one bucket from a key on, up to what cannot be read.
        fn read(&self, range: &KeyRange, size: usize) -> Option<(Option<Vec<u8>>, Vec<u8>, Fingerprint)> {
            let mut ahead = self
                .rows
                .range(range.from.clone()..)
                .map(|(key, _)| key)
                .take_while(|key| range.contains(key));
            let Some(first) = ahead.next() else {
                return Some((None, range.to.clone(), Fingerprint::default()));
            };
            if self.rotten.contains(first) {
                return None;
            }
            let (mut last, mut to) = (first, range.to.clone());
            for (at, key) in ahead.enumerate() {
                if at + 1 >= size || prefix_of(key) != prefix_of(first) {
                    to.clone_from(key);
                    break;
                }
                if self.rotten.contains(key) {
                    to.clone_from(last);
                    to.push(0);
                    break;
                }
                last = key;
            }
            let fingerprint = of(&self.rows, &KeyRange::new(first.clone(), to.clone()));
            Some((Some(first.clone()), to, fingerprint))
        }

        fn read_next(&self, segments: &mut Segments, size: usize) {
            let Some(from) = segments.read_to().cloned() else {
                return;
            };
            match self.read(&KeyRange::new(from.clone(), Vec::new()), size) {
                Some((first, to, fingerprint)) => segments.push_read(first.as_deref(), to, fingerprint),
                None => {
                    let to = from
                        .get(..2)
                        .map_or(alloc::vec![0, 1], |partition| after_prefix(partition.to_vec()));
                    segments.push_damaged(KeyRange::new(from, to));
                }
            }
        }

        fn heal_next(&self, segments: &mut Segments, size: usize) {
            if let Some(damage) = segments.first_damage(&KeyRange::default()).cloned()
                && let Some((first, to, fingerprint)) = self.read(&damage, size)
            {
                segments.push_healed(&damage, first.as_deref(), to, fingerprint);
            }
        }

        fn write(&mut self, segments: &mut Segments, key: Vec<u8>, value: Option<u8>) {
            let row = |value: &u8| KEY.row(&key, Digest([*value; 16]));
            if self.rotten.remove(&key) {
                segments.mark_damaged(&key);
            } else {
                segments.note(&key, self.rows.get(&key).map(row), value.as_ref().map(row));
            }
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }

        /// What whoever compares would find in a range, where it can be read.
        fn check(&self, segments: &Segments, range: &KeyRange) -> Result<(), proptest::test_runner::TestCaseError> {
            for (part, is_sound) in segments.sound_parts(range) {
                let mut sum = Fingerprint::default();
                for piece in segments.pieces(&part).filter(|_| is_sound) {
                    sum.add(piece.whole.unwrap_or_else(|| of(&self.rows, &piece.range)));
                }
                if is_sound {
                    prop_assert_eq!(sum, of(&self.rows, &part));
                }
            }
            Ok(())
        }
    }

    #[derive(Clone, Debug)]
    enum Happens {
        Write(u16, u8),
        Remove(u16),
        Read(usize),
        Cut(u16),
        Rot(u16),
        Heal(usize),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        proptest::prop_oneof![
            8 => (0..200u16, any::<u8>()).prop_map(|(key, value)| Happens::Write(key, value)),
            2 => (0..200u16).prop_map(Happens::Remove),
            4 => (1..6usize).prop_map(Happens::Read),
            2 => (0..200u16).prop_map(Happens::Cut),
            1 => (0..200u16).prop_map(Happens::Rot),
            2 => (1..6usize).prop_map(Happens::Heal),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_while_and_after_the_disk_is_read_every_range_is_known_rightly(
            before in vec((0..200u16, any::<u8>()), 0..60),
            events in vec(happens(), 0..120),
            (from, to) in (0..220u16, 0..220u16),
        ) {
            let mut disk = Disk::default();
            disk.rows.extend(before.into_iter().map(|(number, value)| (key(number), value)));
            let mut segments = Segments::unread();
            for event in events {
                match event {
                    Happens::Write(number, value) => disk.write(&mut segments, key(number), Some(value)),
                    Happens::Remove(number) => disk.write(&mut segments, key(number), None),
                    Happens::Read(size) => disk.read_next(&mut segments, size),
                    Happens::Heal(size) => disk.heal_next(&mut segments, size),
                    Happens::Rot(number) => {
                        let next = disk.rows.range(key(number)..).next().map(|(key, _)| key.clone());
                        disk.rotten.extend(next);
                    }
                    Happens::Cut(number) => {
                        let Some(segment) = segments.next_after(Some(&key(number))) else { continue };
                        if disk.rotten.iter().any(|key| segment.contains(key)) {
                            segments.mark_damaged(&segment.from);
                            continue;
                        }
                        let rows = disk.rows.iter().filter(|(key, _)| segment.contains(key));
                        let cut: Vec<_> = rows
                            .map(|(key, value)| (key.clone(), KEY.row(key, Digest([*value; 16]))))
                            .collect();
                        prop_assert!(segments.replace(&segment, &cut), "it was right before");
                    }
                }
            }
            let (from, to) = (key(from.min(to)), key(from.max(to)));
            let range = KeyRange::new(from.clone().min(to.clone()), from.max(to));
            if segments.knows(&range) {
                disk.check(&segments, &range)?;
            }
            while segments.read_to().is_some() {
                disk.read_next(&mut segments, 3);
            }
            disk.check(&segments, &KeyRange::default())?;
            for key in disk.rotten.clone() {
                disk.write(&mut segments, key, Some(7));
            }
            while segments.is_damaged(&KeyRange::default()) {
                disk.heal_next(&mut segments, 3);
            }
            for range in [KeyRange::default(), range] {
                disk.check(&segments, &range)?;
            }
        }
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_order_and_sees_every_row() {
        let row = |key: u8, digest: u8| KEY.row(&[key], Digest([digest; 16]));
        let sum = |rows: &[Fingerprint]| {
            let mut sum = Fingerprint::default();
            rows.iter().for_each(|row| sum.add(*row));
            sum
        };
        assert_eq!(sum(&[row(1, 1), row(2, 2)]), sum(&[row(2, 2), row(1, 1)]));
        assert_ne!(sum(&[row(1, 1), row(2, 2)]), sum(&[row(1, 2), row(2, 1)]));
        assert_ne!(sum(&[row(1, 1), row(2, 2)]), sum(&[row(1, 1)]));
        assert_ne!(
            row(1, 1),
            FingerprintKey([4; 32]).row(&[1], Digest([1; 16])),
            "it is keyed"
        );
    }

    #[test]
    fn a_segment_that_grows_is_to_be_cut() {
        let mut segments = Segments::default();
        for number in 0..=SEGMENT_ROWS_MAX {
            assert_eq!(segments.take_grown(), None);
            let mut key = key(0);
            key.extend_from_slice(&number.to_be_bytes());
            segments.note(&key, None, Some(KEY.row(&key, Digest([0; 16]))));
        }
        let grown = segments.take_grown().expect("too large");
        assert_eq!(grown.from, prefix_of(&key(0)));
        assert_eq!(segments.take_grown(), None);
    }
}
