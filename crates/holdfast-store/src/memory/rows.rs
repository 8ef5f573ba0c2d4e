//! Rows of the in-memory store: reading them, writing them with an undo log, damaging them on purpose.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use holdfast_core::storage::{Batch, ReadError, Space, Visit, WriteSeq};

use super::{MemoryStore, Row, Undo};

impl MemoryStore {
    pub(super) fn get_row(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match self.space(space).get(key) {
            None => Ok(None),
            Some(row) if row.corrupt => Err(ReadError::Corrupt),
            Some(row) => Ok(Some(row.value.clone())),
        }
    }

    pub(super) fn scan_rows(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visit,
    ) -> Result<(), ReadError> {
        // `BTreeMap::range` panics on an inverted range, and an empty one has nothing to visit.
        if from >= to {
            return Ok(());
        }
        let space = self.space(space);
        let end = Bound::Excluded(to);
        let mut rows = space.range::<[u8], _>((Bound::Included(from), end));
        while let Some((key, row)) = rows.next() {
            if row.corrupt {
                return Err(ReadError::Corrupt);
            }
            match visit(key, &row.value) {
                Visit::Next => {}
                Visit::Stop => break,
                Visit::SeekTo(target) => {
                    assert!(target.as_slice() > key.as_slice(), "a scan only moves forward");
                    if target.as_slice() >= to {
                        break;
                    }
                    rows = space.range::<[u8], _>((Bound::Included(target.as_slice()), end));
                }
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, batch: Batch) -> WriteSeq {
        let mut replaced = Vec::with_capacity(batch.changes.len());
        for (space, key, value) in batch.changes {
            let rows = self.space_mut(space);
            let old = match value {
                Some(value) => rows.insert(key.clone(), Row { value, corrupt: false }),
                None => rows.remove(&key),
            };
            replaced.push((space, key, old));
        }
        self.undo.push_back(Undo { replaced });
        self.written += 1;
        WriteSeq(self.written)
    }

    /// Makes everything written so far durable. The highest batch, or `None` when nothing was waiting.
    pub fn sync(&mut self) -> Option<WriteSeq> {
        self.sync_up_to(WriteSeq(self.written))
    }

    /// Makes the batches up to `seq` durable: the end of a sync that began when `seq` was the last one written.
    /// The highest batch now durable, or `None` when that had been reached before.
    pub fn sync_up_to(&mut self, seq: WriteSeq) -> Option<WriteSeq> {
        let target = seq.0.min(self.written);
        if target <= self.synced {
            return None;
        }
        while self.synced < target {
            self.undo.pop_front();
            self.synced += 1;
        }
        Some(WriteSeq(self.synced))
    }

    /// The last batch that would survive a crash.
    #[must_use]
    pub fn last_synced(&self) -> WriteSeq {
        WriteSeq(self.synced)
    }

    /// How many batches a crash could lose.
    #[must_use]
    pub fn unsynced_count(&self) -> usize {
        self.undo.len()
    }

    /// Damages a row: it reads as [`ReadError::Corrupt`] until something is written over it. False when there is none.
    pub fn corrupt(&mut self, space: Space, key: &[u8]) -> bool {
        match self.space_mut(space).get_mut(key) {
            None => false,
            Some(row) => {
                row.corrupt = true;
                true
            }
        }
    }

    /// Every row of a space with its value, damaged ones included, for checkers that look from outside.
    pub fn rows(&self, space: Space) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.space(space).iter().map(|(key, row)| (key.as_slice(), &row.value))
    }

    fn space(&self, space: Space) -> &BTreeMap<Vec<u8>, Row> {
        &self.spaces[space as usize]
    }

    pub(super) fn space_mut(&mut self, space: Space) -> &mut BTreeMap<Vec<u8>, Row> {
        &mut self.spaces[space as usize]
    }
}
