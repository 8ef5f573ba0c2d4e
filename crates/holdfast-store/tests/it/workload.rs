//! Writes whose survival can be checked: rows that count up, a body beside each, chunks known by their number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use holdfast_core::storage::{Batch, Space, Storage};
use holdfast_store::{Engine, Options};

use crate::subject::{OnDisk, Subject, chunk};

/// Keys in use; few, so that most writes replace one.
const KEYS: u64 = 50;

/// What the store has acknowledged so far.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged {
    /// The highest counter acknowledged for each key.
    pub rows: BTreeMap<u64, u64>,
    pub chunks: BTreeSet<u32>,
    /// Chunks that were removed for good.
    pub removed: BTreeSet<u32>,
}

impl Acknowledged {
    /// Every counter from `first` to `last` has been acknowledged.
    pub fn rows(&mut self, first: u64, last: u64) {
        for counter in first..=last {
            let highest = self.rows.entry(counter % KEYS).or_default();
            *highest = counter.max(*highest);
        }
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key/{number:03}").into_bytes()
}

fn body(counter: u64) -> Vec<u8> {
    let (_, body) = chunk((counter % 1000) as u32, (counter * 37 % 9000) as usize);
    [&counter.to_le_bytes()[..], &body].concat()
}

/// The batch with this counter: a row and its body, which must never be seen apart.
pub fn batch(counter: u64) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Rows, key(counter % KEYS), counter.to_le_bytes().to_vec());
    batch.put(Space::Bodies, key(counter % KEYS), body(counter));
    batch
}

/// Length of the chunk with this number.
pub fn chunk_bytes(number: u32) -> usize {
    33_000 + (number as usize * 7919) % 200_000
}

/// Opens the directory and looks for everything acknowledged.
pub fn verify(directory: &Path, options: &Options, acknowledged: &Acknowledged) -> Result<(), String> {
    let recorder = std::sync::Arc::default();
    let engine = Engine::open(directory, options.clone(), std::sync::Arc::clone(&recorder) as _);
    let engine = engine.map_err(|error| format!("does not open: {error}"))?;
    let mut subject = OnDisk::around(engine, recorder, directory);
    for (number, counter) in &acknowledged.rows {
        let row = subject.engine().get(Space::Rows, &key(*number));
        let found = match row {
            Ok(Some(row)) => u64::from_le_bytes(row[..].try_into().map_err(|_| "a row of the wrong length")?),
            other => return Err(format!("row {number}: {counter} was acknowledged, found {other:?}")),
        };
        if found < *counter {
            return Err(format!("row {number}: {counter} was acknowledged, found {found}"));
        }
        let beside = subject.engine().get(Space::Bodies, &key(*number));
        if beside.as_ref().map(|body| body.as_deref()) != Ok(Some(&body(found)[..])) {
            return Err(format!("row {number}: counter {found} without its body"));
        }
    }
    for number in &acknowledged.chunks {
        let (header, body) = chunk(*number, chunk_bytes(*number));
        match subject.read_chunk(&header, 0, u32::MAX) {
            Ok(Some(found)) if found == body => {}
            other => {
                let other = other.map(|found| found.map(|found| found.len()));
                return Err(format!("chunk {number} was acknowledged, found {other:?}"));
            }
        }
        let listed = subject.engine().chunks(header.partition, None, usize::MAX);
        if !listed.is_ok_and(|headers| headers.contains(&header)) {
            return Err(format!("chunk {number} is not listed"));
        }
    }
    for number in &acknowledged.removed {
        let (header, _) = chunk(*number, chunk_bytes(*number));
        let found = subject.read_chunk(&header, 0, 1);
        if found != Ok(None) {
            return Err(format!("chunk {number} was removed, found {found:?}"));
        }
    }
    Ok(())
}

/// Numbers that look random and come again with the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}
