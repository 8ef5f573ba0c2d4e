//! Flipped bytes and torn tails: damage is reported as damage, never as absence; a torn tail is nobody's loss.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::KeyspaceCreateOptions;
use holdfast_core::storage::{Batch, ReadError, Space, Storage, Visit};
use holdfast_store::Options;

use crate::subject::{OnDisk, Subject, chunk};

/// Files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Where `pattern` stands in a file.
fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn flip(path: &Path, place: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[place] ^= 0x40;
    fs::write(path, bytes).expect("written");
}

fn segment(subject: &OnDisk, number: u32) -> PathBuf {
    subject.directory.join(format!("segments/{number:08}.seg"))
}

/// Writes enough rows for their memtables to be written out when idle, and waits until they are.
fn fill_and_flush(subject: &mut OnDisk, space: Space) {
    for number in 0..2000 {
        let mut batch = Batch::default();
        let value = format!("value-{number:04}-").repeat(30);
        batch.put(space, format!("{number:04}").into(), value.into_bytes());
        subject.storage().write(batch);
    }
    subject.sync();
    let begun = Instant::now();
    let tables = subject.directory.join("rows/keyspaces");
    while !files(&tables)
        .iter()
        .any(|path| find(&fs::read(path).unwrap_or_default(), b"value-0777-value-0777-").is_some())
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "never written out");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn flipped_bytes_in_tables_are_noticed_by_get_and_scan() {
    for space in [Space::Rows, Space::Bodies] {
        let options = Options {
            idle_flush_after: Duration::from_millis(10),
            ..Options::default()
        };
        let mut subject = OnDisk::with_options("table", options);
        fill_and_flush(&mut subject, space);
        subject.close();
        // Bodies above 1 KiB would be in files of their own; these are not, and both kinds are tables.
        let mut flipped = false;
        for path in files(&subject.directory.join("rows/keyspaces")) {
            if let Some(place) = find(&fs::read(&path).expect("readable"), b"value-0777-value-0777-") {
                flip(&path, place + 5);
                flipped = true;
            }
        }
        assert!(flipped);
        subject.open();
        let got = subject.engine().get(space, b"0777");
        assert_eq!(got, Err(ReadError::Corrupt));
        assert!(subject.engine().get(space, b"0001").expect("undamaged").is_some());
        let mut seen = 0;
        let scanned = subject.engine().scan(space, b"", b"z", &mut |_, _| {
            seen += 1;
            Visit::Next
        });
        assert_eq!(scanned, Err(ReadError::Corrupt));
        assert!(seen < 2000, "a damaged row is not skipped");
        // Writing the row anew heals it.
        subject.put(space, "0777", "again");
        assert_eq!(subject.get(space, "0777").as_deref(), Some("again"));
    }
}

#[test]
fn flipped_bytes_in_separated_bodies_are_noticed() {
    let options = Options {
        idle_flush_after: Duration::from_millis(10),
        ..Options::default()
    };
    let mut subject = OnDisk::with_options("blob", options);
    for number in 0..400 {
        let value = format!("value-{number:04}-").repeat(400);
        subject.put(Space::Bodies, &format!("{number:04}"), &value);
    }
    subject.sync();
    let begun = Instant::now();
    let blobs = loop {
        let blobs: Vec<_> = files(&subject.directory.join("rows/keyspaces"))
            .into_iter()
            .filter(|path| path.parent().is_some_and(|parent| parent.ends_with("blobs")))
            .filter(|path| find(&fs::read(path).unwrap_or_default(), b"value-0077-value-0077-").is_some())
            .collect();
        if !blobs.is_empty() {
            break blobs;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never written out");
        std::thread::sleep(Duration::from_millis(20));
    };
    subject.close();
    for path in blobs {
        let place = find(&fs::read(&path).expect("readable"), b"value-0077-value-0077-").expect("found");
        flip(&path, place + 9);
    }
    subject.open();
    assert_eq!(subject.engine().get(Space::Bodies, b"0077"), Err(ReadError::Corrupt));
    assert!(
        subject
            .engine()
            .get(Space::Bodies, b"0078")
            .expect("undamaged")
            .is_some()
    );
}

#[test]
fn a_row_under_anothers_key_is_corrupt_even_when_fjall_is_content() {
    let mut subject = OnDisk::new("misplaced");
    subject.put(Space::Rows, "a", "1");
    subject.put(Space::Rows, "c", "1");
    subject.close();
    {
        let database = fjall::Database::builder(subject.directory.join("rows"))
            .open()
            .expect("opens");
        let rows = database
            .keyspace("rows", KeyspaceCreateOptions::default)
            .expect("there");
        let stored = rows.get("a").expect("readable").expect("there");
        rows.insert("b", stored).expect("written");
        database.persist(fjall::PersistMode::SyncAll).expect("synced");
    }
    subject.open();
    assert_eq!(subject.get(Space::Rows, "a").as_deref(), Some("1"));
    assert_eq!(subject.engine().get(Space::Rows, b"b"), Err(ReadError::Corrupt));
    let mut seen = Vec::new();
    let scanned = subject.engine().scan(Space::Rows, b"a", b"z", &mut |key, _| {
        seen.push(key.to_vec());
        Visit::Next
    });
    assert_eq!((scanned, seen), (Err(ReadError::Corrupt), vec![b"a".to_vec()]));
}

#[test]
fn a_flipped_byte_in_a_chunk_spoils_its_block_and_no_other() {
    const BLOCK: u32 = 64 << 10;
    let mut subject = OnDisk::new("block");
    let (header, body) = chunk(1, 5 * BLOCK as usize);
    assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    subject.close();
    let path = segment(&subject, 1);
    let place = find(&fs::read(&path).expect("readable"), &body[..64]).expect("found");
    flip(&path, place + 2 * BLOCK as usize + 7);
    subject.open();
    assert_eq!(subject.read_chunk(&header, 0, u32::MAX), Err(ReadError::Corrupt));
    assert_eq!(subject.read_chunk(&header, 2 * BLOCK + 9, 1), Err(ReadError::Corrupt));
    assert_eq!(subject.read_chunk(&header, BLOCK, BLOCK + 1), Err(ReadError::Corrupt));
    let whole = body.slice(..2 * BLOCK as usize);
    assert_eq!(subject.read_chunk(&header, 0, 2 * BLOCK), Ok(Some(whole)));
    let whole = body.slice(3 * BLOCK as usize..);
    assert_eq!(subject.read_chunk(&header, 3 * BLOCK, u32::MAX), Ok(Some(whole)));
    // Writing a damaged chunk again repairs it, now and after a start.
    assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    assert_eq!(subject.read_chunk(&header, 0, u32::MAX), Ok(Some(body.clone())));
    subject.reopen();
    assert_eq!(subject.read_chunk(&header, 0, u32::MAX), Ok(Some(body)));
}

#[test]
fn a_lost_or_shortened_segment_is_damage() {
    let mut subject = OnDisk::new("segment");
    let (header, body) = chunk(1, 300_000);
    assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    subject.close();
    let path = segment(&subject, 1);
    let bytes = fs::read(&path).expect("readable");
    fs::write(&path, &bytes[..bytes.len() - 100_000]).expect("written");
    subject.open();
    assert_eq!(subject.read_chunk(&header, 0, 1000), Ok(Some(body.slice(..1000))));
    assert_eq!(subject.read_chunk(&header, 250_000, 10), Err(ReadError::Corrupt));
    subject.close();
    fs::remove_file(&path).expect("removed");
    subject.open();
    assert_eq!(subject.read_chunk(&header, 0, 10), Err(ReadError::Corrupt));
    // The number is taken, though its file is gone.
    let (other, body) = chunk(2, 1000);
    assert_eq!(subject.write_chunk(&other, &body), Ok(()));
    assert_eq!(subject.read_chunk(&header, 0, 10), Err(ReadError::Corrupt));
}

#[test]
fn torn_tails_are_cut_off_and_what_lay_before_stays() {
    let mut subject = OnDisk::new("torn");
    let (kept, kept_body) = chunk(1, 200_000);
    assert_eq!(subject.write_chunk(&kept, &kept_body), Ok(()));
    subject.close();
    let path = segment(&subject, 1);
    let whole = fs::read(&path).expect("readable");
    subject.open();
    let (torn, torn_body) = chunk(2, 150_000);
    assert_eq!(subject.write_chunk(&torn, &torn_body), Ok(()));
    subject.close();
    let longer = fs::read(&path).expect("readable");
    let begin = whole.len().next_multiple_of(4096);
    // The index entry is not lost with a tail that was reported, so these are tails that were not: no entry.
    forget_entries(&subject);
    for keep in [begin + 1, begin + 90, begin + 5000, longer.len() - 1] {
        let mut shortened = longer.clone();
        shortened.truncate(keep);
        shortened.extend_from_slice(&[0; 9000]);
        fs::write(&path, shortened).expect("written");
        subject.open();
        assert_eq!(
            subject.read_chunk(&kept, 0, u32::MAX),
            Ok(Some(kept_body.clone())),
            "kept {keep}"
        );
        assert_eq!(subject.read_chunk(&torn, 0, u32::MAX), Ok(None), "kept {keep}");
        // Its place is used again.
        let (next, next_body) = chunk(3, 70_000);
        assert_eq!(subject.write_chunk(&next, &next_body), Ok(()));
        assert_eq!(subject.read_chunk(&next, 0, u32::MAX), Ok(Some(next_body.clone())));
        subject.reopen();
        assert_eq!(subject.read_chunk(&next, 0, u32::MAX), Ok(Some(next_body)));
        subject.close();
        forget_entries(&subject);
    }
}

#[test]
fn index_entries_that_were_lost_come_back_from_segments() {
    let options = Options {
        segment_bytes_max: 1 << 20,
        ..Options::default()
    };
    let mut subject = OnDisk::with_options("entries", options);
    let chunks: Vec<_> = (0..40).map(|number| chunk(number, 100_000)).collect();
    for (header, body) in &chunks {
        assert_eq!(subject.write_chunk(header, body), Ok(()));
    }
    subject.close();
    assert!(segment(&subject, 4).exists(), "several segments");
    forget_entries(&subject);
    subject.open();
    for (header, body) in &chunks {
        assert_eq!(subject.read_chunk(header, 0, u32::MAX), Ok(Some(body.clone())));
    }
    let listed: usize = (0..5)
        .map(|partition| {
            let partition = holdfast_core::ids::Partition(partition);
            subject.engine().chunks(partition, None, 100).expect("undamaged").len()
        })
        .sum();
    assert_eq!(listed, 40);
}

#[test]
fn a_body_that_imitates_a_record_is_not_taken_for_one() {
    let mut subject = OnDisk::new("forged");
    // Something small first, so that the victim's record lies at 8192.
    let (filler, body) = chunk(5, 100);
    assert_eq!(subject.write_chunk(&filler, &body), Ok(()));
    let (victim, body) = chunk(1, 4096);
    assert_eq!(subject.write_chunk(&victim, &body), Ok(()));
    subject.close();
    // A whole record with its body, as it would stand at this very place, but uploaded in the body of a chunk whose own
    // header is destroyed later. It has the right segment and offset; what it lacks is the segment's salt.
    let record = fs::read(segment(&subject, 1)).expect("readable")[8192..].to_vec();
    let mut other = OnDisk::new("forged-target");
    let mut forged = vec![0; 3 * 4096];
    let header_bytes = 80 + "object/9".len() + 8 + 8;
    let place = 4096 - header_bytes;
    forged[place..place + record.len()].copy_from_slice(&record);
    let (mut carrier, _) = chunk(9, 0);
    carrier.length = u32::try_from(forged.len()).expect("small");
    assert_eq!(other.write_chunk(&carrier, &Bytes::from(forged)), Ok(()));
    other.close();
    forget_entries(&other);
    flip(&segment(&other, 1), 4096);
    other.open();
    assert_eq!(other.read_chunk(&victim, 0, 10), Ok(None));
    assert_eq!(other.read_chunk(&carrier, 0, 10), Ok(None));
}

/// Removes every row of the chunk index, seals included: what a power cut may do to rows that were not synced.
fn forget_entries(subject: &OnDisk) {
    let database = fjall::Database::builder(subject.directory.join("rows"))
        .open()
        .expect("opens");
    let chunks = database
        .keyspace("chunks", KeyspaceCreateOptions::default)
        .expect("there");
    let keys: Vec<_> = chunks.iter().map(|row| row.key().expect("readable")).collect();
    for key in keys {
        chunks.remove(key).expect("removed");
    }
    database.persist(fjall::PersistMode::SyncAll).expect("synced");
}

#[test]
fn a_journal_torn_in_the_middle_of_a_batch_opens_with_all_that_was_before() {
    let mut subject = OnDisk::new("journal");
    subject.put(Space::Rows, "before", "1");
    let body = "torn".repeat(5000);
    subject.put(Space::Bodies, "torn", &body);
    subject.put(Space::Rows, "after", "1");
    subject.close();
    let journal = subject.directory.join("rows/0.jnl");
    let mut bytes = fs::read(&journal).expect("readable");
    let place = find(&bytes, &body.as_bytes()[..1000]).expect("found");
    bytes[place + 5000..place + 9096].fill(0);
    fs::write(&journal, bytes).expect("written");
    // Left to itself, fjall would not open.
    subject.open();
    assert_eq!(subject.get(Space::Rows, "before").as_deref(), Some("1"));
    assert_eq!(subject.get(Space::Bodies, "torn"), None);
    assert_eq!(subject.get(Space::Rows, "after"), None);
    subject.put(Space::Rows, "next", "1");
    subject.reopen();
    assert_eq!(subject.get(Space::Rows, "next").as_deref(), Some("1"));
}
