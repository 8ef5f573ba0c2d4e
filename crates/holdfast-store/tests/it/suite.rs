//! What the `Storage` trait promises, asked of both stores.

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, PartId, Partition};
use holdfast_core::storage::{Batch, ChunkWriteError, Space, Storage, Visit, WriteSeq};

use crate::subject::{InMemory, OnDisk, Subject, chunk};

/// Declares each promise once and tests it of both stores.
macro_rules! both {
    ($($name:ident)*) => {
        mod engine {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut OnDisk::new(stringify!($name))); })*
        }
        mod memory {
            use super::*;
            $(#[test] fn $name() { super::$name(&mut InMemory::default()); })*
        }
    };
}

both! {
    writes_are_visible_at_once_and_numbered_from_one
    a_batch_spans_spaces_and_its_last_change_of_a_key_wins
    spaces_do_not_mix
    scans_go_in_order_within_their_bounds
    scans_seek_forward_and_stop
    empty_keys_values_and_ranges_are_ordinary
    rows_survive_a_reopen
    large_rows_come_back
    chunks_come_back_whole_and_in_ranges
    absent_chunks_are_absent_and_not_errors
    writing_a_chunk_again_changes_nothing
    chunks_are_listed_in_order_of_their_ids
    chunks_survive_a_reopen
    removed_chunks_are_gone_and_may_come_again
    a_chunk_that_contradicts_its_header_is_refused
    many_chunks_at_once_all_end
}

fn writes_are_visible_at_once_and_numbered_from_one(subject: &mut dyn Subject) {
    assert_eq!(subject.storage().last_write(), WriteSeq(0));
    assert_eq!(subject.put(Space::Rows, "a", "1"), WriteSeq(1));
    assert_eq!(subject.get(Space::Rows, "a").as_deref(), Some("1"));
    assert_eq!(subject.put(Space::Rows, "a", "2"), WriteSeq(2));
    assert_eq!(subject.get(Space::Rows, "a").as_deref(), Some("2"));
    let mut batch = Batch::default();
    batch.remove(Space::Rows, "a".into());
    assert_eq!(subject.storage().write(batch), WriteSeq(3));
    assert_eq!(subject.get(Space::Rows, "a"), None);
    assert_eq!(
        subject.storage().write(Batch::default()),
        WriteSeq(4),
        "an empty batch has a place too"
    );
    assert_eq!(subject.storage().last_write(), WriteSeq(4));
    subject.sync();
}

fn a_batch_spans_spaces_and_its_last_change_of_a_key_wins(subject: &mut dyn Subject) {
    subject.put(Space::Rows, "gone", "1");
    let mut batch = Batch::default();
    batch.put(Space::Rows, "a".into(), "1".as_bytes().to_vec());
    batch.put(Space::Bodies, "a".into(), "body".as_bytes().to_vec());
    batch.remove(Space::Rows, "gone".into());
    batch.put(Space::Rows, "a".into(), "2".as_bytes().to_vec());
    batch.put(Space::Counts, "c".into(), "1".as_bytes().to_vec());
    batch.remove(Space::Counts, "c".into());
    subject.storage().write(batch);
    for _ in 0..2 {
        assert_eq!(subject.get(Space::Rows, "a").as_deref(), Some("2"));
        assert_eq!(subject.get(Space::Bodies, "a").as_deref(), Some("body"));
        assert_eq!(subject.get(Space::Rows, "gone"), None);
        assert_eq!(subject.get(Space::Counts, "c"), None);
        subject.reopen();
    }
}

fn spaces_do_not_mix(subject: &mut dyn Subject) {
    for space in Space::ALL {
        subject.put(space, "key", &format!("{space:?}"));
    }
    for space in Space::ALL {
        assert_eq!(subject.get(space, "key"), Some(format!("{space:?}")));
        assert_eq!(subject.keys(space, "", "z"), ["key"]);
    }
}

fn scans_go_in_order_within_their_bounds(subject: &mut dyn Subject) {
    for key in ["b", "a", "aa", "c", "ab", "d"] {
        subject.put(Space::Rows, key, key);
    }
    let mut batch = Batch::default();
    batch.remove(Space::Rows, "ab".into());
    subject.storage().write(batch);
    assert_eq!(subject.keys(Space::Rows, "", "z"), ["a", "aa", "b", "c", "d"]);
    assert_eq!(subject.keys(Space::Rows, "aa", "c"), ["aa", "b"]);
    assert_eq!(subject.keys(Space::Rows, "ab", "c"), ["b"]);
    let mut values = Vec::new();
    subject
        .storage()
        .scan(Space::Rows, b"c", b"e", &mut |key, value| {
            assert_eq!(key, value);
            values.push(value.to_vec());
            Visit::Next
        })
        .expect("undamaged");
    assert_eq!(values, [b"c", b"d"]);
}

fn scans_seek_forward_and_stop(subject: &mut dyn Subject) {
    for folder in 0..10 {
        for file in 0..20 {
            subject.put(Space::Rows, &format!("{folder}/{file:02}"), "");
        }
    }
    // A listing by folders: after the first row of each, on to the next.
    let mut seen = Vec::new();
    subject
        .storage()
        .scan(Space::Rows, b"2", b"8", &mut |key, _| {
            seen.push(String::from_utf8(key.to_vec()).expect("text"));
            Visit::SeekTo(vec![key[0], b'/' + 1])
        })
        .expect("undamaged");
    assert_eq!(seen, ["2/00", "3/00", "4/00", "5/00", "6/00", "7/00"]);
    // Short seeks, seeks between rows, a seek to the very next row, a seek beyond the end.
    for (seek, expected) in [
        ("0/03", vec!["0/00", "0/03"]),
        ("0/030", vec!["0/00", "0/04"]),
        ("0/01", vec!["0/00", "0/01"]),
        ("0/00\0", vec!["0/00", "0/01"]),
        ("9/99", vec!["0/00"]),
        ("z", vec!["0/00"]),
    ] {
        let mut seen = Vec::new();
        subject
            .storage()
            .scan(Space::Rows, b"0", b"z", &mut |key, _| {
                seen.push(String::from_utf8(key.to_vec()).expect("text"));
                if seen.len() == 1 {
                    Visit::SeekTo(seek.into())
                } else {
                    Visit::Stop
                }
            })
            .expect("undamaged");
        assert_eq!(seen, expected, "after a seek to {seek:?}");
    }
}

fn empty_keys_values_and_ranges_are_ordinary(subject: &mut dyn Subject) {
    subject.put(Space::Rows, "k", "");
    assert_eq!(subject.get(Space::Rows, "k").as_deref(), Some(""));
    assert_eq!(subject.keys(Space::Rows, "", "z"), ["k"]);
    assert!(subject.keys(Space::Rows, "k", "k").is_empty());
    assert!(subject.keys(Space::Rows, "z", "a").is_empty());
    assert!(subject.keys(Space::Meta, "", "z").is_empty());
}

fn rows_survive_a_reopen(subject: &mut dyn Subject) {
    for run in 0..3 {
        for number in 0..100 {
            subject.put(Space::Rows, &format!("{number:03}"), &format!("{run}"));
        }
        subject.sync();
        subject.reopen();
        assert_eq!(subject.storage().last_write(), WriteSeq(0), "numbers begin again");
        assert_eq!(subject.keys(Space::Rows, "", "z").len(), 100);
        assert_eq!(subject.get(Space::Rows, "042"), Some(format!("{run}")));
    }
}

fn large_rows_come_back(subject: &mut dyn Subject) {
    let value = "v".repeat(33 << 10);
    let key = "k".repeat(1100);
    subject.put(Space::Bodies, &key, &value);
    subject.reopen();
    assert_eq!(subject.get(Space::Bodies, &key), Some(value));
}

fn chunks_come_back_whole_and_in_ranges(subject: &mut dyn Subject) {
    const BLOCK: usize = 64 << 10;
    for (number, length) in [
        (1, 0),
        (2, 1),
        (3, BLOCK),
        (4, BLOCK + 1),
        (5, 3 * BLOCK - 1),
        (6, 4 << 20),
    ] {
        let (header, body) = chunk(number, length);
        assert_eq!(subject.write_chunk(&header, &body), Ok(()));
        assert_eq!(subject.read_chunk(&header, 0, u32::MAX), Ok(Some(body.clone())));
        let marks = [
            0,
            1,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            length / 2,
            length.saturating_sub(1),
            length,
            length + 5,
        ];
        for from in marks {
            for count in [0, 1, 100, BLOCK, BLOCK + 1, length] {
                let (begin, end) = (from.min(length), (from + count).min(length));
                let expected = body.slice(begin.min(end)..end);
                let got = subject.read_chunk(&header, from as u32, count as u32);
                assert_eq!(got, Ok(Some(expected)), "{count} bytes from {from} of {length}");
            }
        }
    }
}

fn absent_chunks_are_absent_and_not_errors(subject: &mut dyn Subject) {
    let (header, body) = chunk(1, 100);
    assert_eq!(subject.read_chunk(&header, 0, 10), Ok(None));
    assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    let mut other = header.clone();
    other.id.index += 1;
    assert_eq!(subject.read_chunk(&other, 0, 10), Ok(None));
    let mut other = header;
    other.partition = Partition(99);
    assert_eq!(subject.read_chunk(&other, 0, 10), Ok(None));
}

fn writing_a_chunk_again_changes_nothing(subject: &mut dyn Subject) {
    let (header, body) = chunk(1, 100_000);
    assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    let (_, other) = chunk(2, 100_000);
    assert_eq!(subject.write_chunk(&header, &other), Ok(()));
    assert_eq!(subject.read_chunk(&header, 0, u32::MAX), Ok(Some(body)));
    assert_eq!(subject.storage().chunks(header.partition, None, 10), Ok(vec![header]));
}

fn chunks_are_listed_in_order_of_their_ids(subject: &mut dyn Subject) {
    let mut headers = Vec::new();
    for (part, index) in [(5, 0), (1, 2), (1, 10), (1, 1), (u128::MAX, u32::MAX), (0, 0)] {
        let (mut header, body) = chunk(1, 10);
        header.id = ChunkId {
            part: PartId(part),
            index,
        };
        assert_eq!(subject.write_chunk(&header, &body), Ok(()));
        headers.push(header.clone());
        header.partition = Partition(header.partition.0 + 1);
        assert_eq!(subject.write_chunk(&header, &body), Ok(()));
    }
    headers.sort_by_key(|header| header.id);
    let partition = headers[0].partition;
    let storage = subject.storage();
    assert_eq!(storage.chunks(partition, None, 100), Ok(headers.clone()));
    assert_eq!(storage.chunks(partition, None, 2), Ok(headers[..2].to_vec()));
    assert_eq!(storage.chunks(partition, None, 0), Ok(Vec::new()));
    for place in 0..headers.len() {
        let after = Some(headers[place].id);
        assert_eq!(storage.chunks(partition, after, 100), Ok(headers[place + 1..].to_vec()));
    }
    assert_eq!(storage.chunks(Partition(u16::MAX), None, 100), Ok(Vec::new()));
}

fn chunks_survive_a_reopen(subject: &mut dyn Subject) {
    for number in 0..20 {
        let (header, body) = chunk(number, 50_000);
        assert_eq!(subject.write_chunk(&header, &body), Ok(()));
        if number % 7 == 0 {
            subject.reopen();
        }
    }
    subject.reopen();
    for number in 0..20 {
        let (header, body) = chunk(number, 50_000);
        assert_eq!(subject.read_chunk(&header, 0, u32::MAX), Ok(Some(body)));
    }
}

fn removed_chunks_are_gone_and_may_come_again(subject: &mut dyn Subject) {
    let chunks: Vec<_> = [1, 6, 11, 16].map(|number| chunk(number, 70_000)).into();
    for (header, body) in &chunks {
        assert_eq!(subject.write_chunk(header, body), Ok(()));
    }
    let (kept, gone) = (&chunks[1], [chunks[0].0.clone(), chunks[3].0.clone()]);
    assert_eq!(subject.remove_chunks(&gone), Ok(()));
    assert_eq!(subject.remove_chunks(&gone), Ok(()), "what is not there is no error");
    for _ in 0..2 {
        for header in &gone {
            assert_eq!(subject.read_chunk(header, 0, 10), Ok(None));
        }
        let listed = subject.storage().chunks(kept.0.partition, None, 9).expect("undamaged");
        assert_eq!(listed.len(), 2, "{listed:?}");
        assert_eq!(subject.read_chunk(&kept.0, 0, u32::MAX), Ok(Some(kept.1.clone())));
        subject.sync();
        subject.reopen();
    }
    let (header, body) = &chunks[0];
    assert_eq!(subject.write_chunk(header, body), Ok(()));
    subject.reopen();
    assert_eq!(subject.read_chunk(header, 0, u32::MAX), Ok(Some(body.clone())));
}

fn a_chunk_that_contradicts_its_header_is_refused(subject: &mut dyn Subject) {
    let (header, _) = chunk(1, 100);
    let short = Bytes::from_static(b"short");
    assert_eq!(subject.write_chunk(&header, &short), Err(ChunkWriteError::Io));
    assert_eq!(subject.read_chunk(&header, 0, 10), Ok(None));
}

fn many_chunks_at_once_all_end(subject: &mut dyn Subject) {
    let chunks: Vec<_> = (0..60).map(|number| chunk(number, 40_000 + number as usize)).collect();
    let mut tokens = Vec::new();
    for (header, body) in chunks.iter().chain(&chunks[..10]) {
        let token = crate::subject::next_token();
        subject.storage().write_chunk(token, header.clone(), body.clone());
        tokens.push(token);
    }
    for token in tokens {
        assert_eq!(subject.chunk_written(token), Ok(()));
    }
    let mut tokens = Vec::new();
    for (header, _) in &chunks {
        let token = crate::subject::next_token();
        subject
            .storage()
            .read_chunk(token, header.partition, header.id, 1, 1000);
        tokens.push(token);
    }
    for (token, (_, body)) in tokens.into_iter().zip(&chunks) {
        assert_eq!(subject.chunk_read(token), Ok(Some(body.slice(1..1001))));
    }
}

/// The trait can be used as an object, which the simulator and these tests rely on.
const _: fn(&dyn Storage) = |_| {};
