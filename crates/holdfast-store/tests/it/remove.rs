//! Removing chunks gives their space back, and a start does not bring them back.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::subject::{OnDisk, Subject, chunk};

/// Bytes that the segments take on the disk.
fn taken_bytes(subject: &OnDisk) -> u64 {
    let segments = fs::read_dir(subject.directory.join("segments")).expect("readable");
    let blocks = segments.flatten().map(|file| file.metadata().expect("there").blocks());
    blocks.sum::<u64>() * 512
}

#[test]
fn the_space_of_removed_chunks_comes_back() {
    const LENGTH: usize = 1 << 20;
    let mut subject = OnDisk::new("remove");
    let chunks: Vec<_> = (1..=8).map(|number| chunk(number, LENGTH)).collect();
    for (header, body) in &chunks {
        assert_eq!(subject.write_chunk(header, body), Ok(()));
    }
    let before = taken_bytes(&subject);
    let gone: Vec<_> = chunks[..6].iter().map(|(header, _)| header.clone()).collect();
    assert_eq!(subject.remove_chunks(&gone), Ok(()));
    let after = taken_bytes(&subject);
    assert!(
        after + 6 * LENGTH as u64 <= before,
        "{before} bytes before, {after} after"
    );
    // The segment has no seal: this start scans it.
    subject.reopen();
    for (header, _) in &chunks[..6] {
        assert_eq!(subject.read_chunk(header, 0, u32::MAX), Ok(None));
    }
    for (header, body) in &chunks[6..] {
        assert_eq!(subject.read_chunk(header, 0, u32::MAX), Ok(Some(body.clone())));
    }
}
