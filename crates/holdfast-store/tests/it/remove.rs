//! Removing chunks gives their space back, and a start does not bring them back.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

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

/// A process ended between the hole and the index entry; the next start cut the hole off, and another chunk was written
/// in its place. Asked again to remove the first, the store made a hole of the second.
#[test]
fn a_removal_that_comes_again_spares_what_was_written_in_its_place() {
    let mut subject = OnDisk::new("again");
    let (gone, other) = (chunk(1, 300_000), chunk(2, 40_000));
    assert_eq!(subject.write_chunk(&gone.0, &gone.1), Ok(()));
    subject.sync();
    subject.close();
    let segments = fs::read_dir(subject.directory.join("segments")).expect("readable");
    for segment in segments.flatten() {
        // All but the segment's own header: the record is a hole, and its entry is still there.
        let file = fs::OpenOptions::new().write(true).open(segment.path()).expect("there");
        let length = file.metadata().expect("there").len();
        file.write_all_at(&vec![0; length as usize - 4096], 4096)
            .expect("written");
    }
    subject.open();
    assert_eq!(subject.write_chunk(&other.0, &other.1), Ok(()));
    assert_eq!(subject.remove_chunks(std::slice::from_ref(&gone.0)), Ok(()));
    assert_eq!(subject.read_chunk(&gone.0, 0, 1), Ok(None));
    assert_eq!(subject.read_chunk(&other.0, 0, u32::MAX), Ok(Some(other.1)));
}
