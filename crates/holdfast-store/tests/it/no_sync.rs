//! `unsafe_no_sync`: nobody waits for the disk, and nothing else is different.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use holdfast_core::storage::Space;
use holdfast_store::{Observer, Options, SharedObserver};

use crate::subject::{OnDisk, Subject, chunk};

/// Every path that a sync was asked for.
#[derive(Default)]
struct Syncs(Mutex<Vec<PathBuf>>);

impl Syncs {
    /// Those since the last call.
    fn take(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.0.lock().expect("unpoisoned"))
    }
}

impl Observer for Syncs {
    fn created(&self, _: &Path) {}
    fn renamed(&self, _: &Path, _: &Path) {}
    fn sync_begins(&self, path: &Path) {
        self.0.lock().expect("unpoisoned").push(path.to_path_buf());
    }
    fn sync_ended(&self, _: &Path) {}
}

/// Writes a row and chunks for two segments, and tells what was synced for it.
fn syncs_of_writes(unsafe_no_sync: bool) -> Vec<PathBuf> {
    let syncs = Arc::new(Syncs::default());
    let mut store = OnDisk::with_options(
        "no-sync",
        Options {
            segment_bytes_max: 64 << 10,
            unsafe_no_sync,
            observer: Some(SharedObserver(syncs.clone())),
            ..Options::default()
        },
    );
    assert!(!syncs.take().is_empty(), "a new directory is made durable all the same");
    store.put(Space::Rows, "row", "value");
    store.sync();
    for number in 0..3 {
        let (header, body) = chunk(number, 40_000);
        assert_eq!(store.write_chunk(&header, &body), Ok(()));
    }
    let seen = syncs.take();
    store.reopen();
    assert_eq!(store.get(Space::Rows, "row").as_deref(), Some("value"));
    let (header, body) = chunk(2, 40_000);
    assert_eq!(store.read_chunk(&header, 0, 40_000), Ok(Some(body)));
    seen
}

#[test]
fn writes_are_acknowledged_without_a_sync_and_kept_without_a_power_cut() {
    assert_eq!(syncs_of_writes(true), Vec::<PathBuf>::new());
}

/// The test above would pass if the observer saw nothing.
#[test]
fn without_the_flag_they_are_synced() {
    let synced = syncs_of_writes(false);
    for name in [".jnl", ".seg", "segments"] {
        assert!(
            synced.iter().any(|path| path.to_string_lossy().ends_with(name)),
            "{name}: {synced:?}"
        );
    }
}
