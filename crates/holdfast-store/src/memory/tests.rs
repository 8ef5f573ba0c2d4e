//! What a crash of the in-memory store keeps and loses.

use bytes::Bytes;
use holdfast_core::ids::{BucketId, ChunkId, ObjectKey, PartId, Partition};
use holdfast_core::storage::{Batch, ChunkHeader, ChunkToken, ChunkWriteError, ReadError, Space, Storage, WriteSeq};

use super::{ChunkFault, Event, MemoryStore};

fn put(store: &mut MemoryStore, key: &str, value: &str) -> WriteSeq {
    let mut batch = Batch::default();
    batch.put(Space::Rows, key.into(), value.as_bytes().to_vec());
    store.write(batch)
}

fn value(store: &MemoryStore, key: &str) -> Option<String> {
    let row = store.get(Space::Rows, key.as_bytes()).expect("undamaged");
    row.map(|value| String::from_utf8(value.to_vec()).expect("text"))
}

fn header(part: u128, length: u32) -> ChunkHeader {
    ChunkHeader {
        id: ChunkId {
            part: PartId(part),
            index: 0,
        },
        partition: Partition(7),
        owner: ObjectKey {
            bucket: BucketId(1),
            key: "owner".into(),
        },
        length,
        commit_deadline_ms: 1,
    }
}

#[test]
fn a_crash_loses_exactly_what_was_not_synced() {
    let mut store = MemoryStore::new();
    put(&mut store, "a", "1");
    put(&mut store, "b", "1");
    assert_eq!(store.sync(), Some(WriteSeq(2)));
    assert_eq!(store.sync(), None);
    put(&mut store, "a", "2");
    put(&mut store, "a", "3");
    let mut batch = Batch::default();
    batch.remove(Space::Rows, "b".into());
    batch.put(Space::Rows, "c".into(), "1".as_bytes().to_vec());
    store.write(batch);
    assert_eq!(value(&store, "a").as_deref(), Some("3"));
    store.crash();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    assert_eq!(value(&store, "b").as_deref(), Some("1"));
    assert_eq!(value(&store, "c"), None);
    assert_eq!(store.last_write(), WriteSeq(0));
    assert_eq!(put(&mut store, "d", "1"), WriteSeq(1));
}

#[test]
fn a_crash_keeps_a_prefix_of_unsynced_batches() {
    for kept in 0..5 {
        let mut store = MemoryStore::new();
        put(&mut store, "a", "0");
        store.sync();
        for i in 1..=3 {
            put(&mut store, "a", &i.to_string());
        }
        store.crash_keeping(kept, 0);
        assert_eq!(value(&store, "a"), Some(kept.min(3).to_string()));
        // What survived a crash is on the disk: a second crash keeps it.
        store.crash();
        assert_eq!(value(&store, "a"), Some(kept.min(3).to_string()));
    }
}

#[test]
fn a_sync_covers_what_was_written_when_it_began() {
    let mut store = MemoryStore::new();
    let first = put(&mut store, "a", "1");
    let second = put(&mut store, "a", "2");
    assert_eq!(store.sync_up_to(first), Some(first));
    assert_eq!(store.sync_up_to(first), None);
    assert_eq!((store.last_synced(), store.unsynced_count()), (first, 1));
    store.crash();
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    assert_eq!(second, WriteSeq(2));
}

#[test]
fn one_batch_may_change_a_key_twice_and_is_undone_backwards() {
    let mut store = MemoryStore::new();
    put(&mut store, "a", "0");
    store.sync();
    let mut batch = Batch::default();
    batch.put(Space::Rows, "a".into(), "1".as_bytes().to_vec());
    batch.remove(Space::Rows, "a".into());
    batch.put(Space::Rows, "a".into(), "2".as_bytes().to_vec());
    store.write(batch);
    assert_eq!(value(&store, "a").as_deref(), Some("2"));
    store.crash();
    assert_eq!(value(&store, "a").as_deref(), Some("0"));
}

#[test]
fn damage_is_healed_by_writing_and_comes_back_when_the_write_is_lost() {
    let mut store = MemoryStore::new();
    put(&mut store, "a", "1");
    store.sync();
    assert!(store.corrupt(Space::Rows, b"a"));
    assert!(!store.corrupt(Space::Rows, b"b"));
    assert_eq!(store.get(Space::Rows, b"a"), Err(ReadError::Corrupt));
    put(&mut store, "a", "2");
    assert_eq!(value(&store, "a").as_deref(), Some("2"));
    store.crash();
    assert_eq!(store.get(Space::Rows, b"a"), Err(ReadError::Corrupt));
}

#[test]
fn chunks_appear_when_completed_and_a_crash_drops_those_under_way() {
    let mut store = MemoryStore::new();
    let body = Bytes::from_static(b"body");
    store.write_chunk(ChunkToken(1), header(1, 4), body.clone());
    store.write_chunk(ChunkToken(2), header(2, 4), body.clone());
    store.write_chunk(ChunkToken(3), header(3, 4), body.clone());
    assert_eq!(store.chunk_ops_pending().count(), 3);
    // Completed out of order, one of them refused.
    assert_eq!(
        store.complete_chunk_op(ChunkToken(2), ChunkFault::None),
        Some(Event::ChunkWritten(ChunkToken(2), Ok(())))
    );
    assert_eq!(
        store.complete_chunk_op(ChunkToken(3), ChunkFault::Io),
        Some(Event::ChunkWritten(ChunkToken(3), Err(ChunkWriteError::Io)))
    );
    store.crash();
    let held = store.chunks(Partition(7), None, 10).expect("readable");
    assert_eq!(held, vec![header(2, 4)]);
    store.read_chunk(ChunkToken(4), Partition(7), header(2, 4).id, 1, 2);
    store.read_chunk(ChunkToken(5), Partition(7), header(1, 4).id, 1, 2);
    store.read_chunk(ChunkToken(6), Partition(7), header(2, 4).id, 9, 2);
    assert_eq!(
        store.chunk_ops(),
        vec![
            Event::ChunkRead(ChunkToken(4), Ok(Some(body.slice(1..3)))),
            Event::ChunkRead(ChunkToken(5), Ok(None)),
            Event::ChunkRead(ChunkToken(6), Ok(Some(Bytes::new()))),
        ]
    );
}

#[test]
fn a_full_disk_refuses_chunks_and_says_so() {
    let mut store = MemoryStore::new();
    store.set_full(true);
    assert!(store.is_full());
    store.write_chunk(ChunkToken(1), header(1, 4), Bytes::from_static(b"body"));
    assert_eq!(
        store.chunk_ops(),
        vec![Event::ChunkWritten(ChunkToken(1), Err(ChunkWriteError::DiskFull))]
    );
    store.set_full(false);
    store.write_chunk(ChunkToken(2), header(1, 4), Bytes::from_static(b"body"));
    assert_eq!(store.take_events(), vec![Event::ChunkWritten(ChunkToken(2), Ok(()))]);
}
