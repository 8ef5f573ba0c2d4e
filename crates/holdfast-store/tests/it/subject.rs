//! The two stores behind one face, with waiting made simple.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::ids::{BucketId, ChunkId, ObjectKey, PartId, Partition};
use holdfast_core::storage::{
    Batch, ChunkHeader, ChunkToken, ChunkWriteError, ReadError, Space, Storage, Visit, WriteSeq,
};
use holdfast_store::memory::Event;
use holdfast_store::{Completions, Engine, MemoryStore, Options, StoreFailure};

/// A directory of this test alone, removed at its end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("holdfast-store-{name}-{}-{unique}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Keeps what the engine reports.
#[derive(Default)]
pub struct Recorder {
    events: Mutex<Vec<Event>>,
    failure: Mutex<Option<StoreFailure>>,
    news: Condvar,
}

impl Recorder {
    fn record(&self, event: Event) {
        self.events.lock().expect("unpoisoned").push(event);
        self.news.notify_all();
    }

    /// Waits for an event that `wanted` makes something of, and takes it out.
    pub fn wait<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let begun = Instant::now();
        let mut events = self.events.lock().expect("unpoisoned");
        loop {
            if let Some((place, found)) = events
                .iter()
                .enumerate()
                .find_map(|(place, event)| wanted(event).map(|found| (place, found)))
            {
                events.remove(place);
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the engine never reported");
            events = self
                .news
                .wait_timeout(events, Duration::from_secs(1))
                .expect("unpoisoned")
                .0;
        }
    }

    pub fn failure(&self) -> Option<StoreFailure> {
        self.failure.lock().expect("unpoisoned").clone()
    }
}

impl Completions for Recorder {
    fn synced(&self, seq: WriteSeq) {
        self.record(Event::Synced(seq));
    }

    fn chunk_written(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        self.record(Event::ChunkWritten(token, result));
    }

    fn chunk_read(&self, token: ChunkToken, result: Result<Option<Bytes>, ReadError>) {
        self.record(Event::ChunkRead(token, result));
    }

    fn chunks_removed(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        self.record(Event::ChunksRemoved(token, result));
    }

    fn failed(&self, failure: StoreFailure) {
        *self.failure.lock().expect("unpoisoned") = Some(failure);
    }
}

/// A store under test.
pub trait Subject {
    fn storage(&mut self) -> &mut dyn Storage;
    /// Waits until everything written is durable.
    fn sync(&mut self);
    /// Ends the store in good order and starts it again.
    fn reopen(&mut self);
    /// Waits for the end of a chunk write.
    fn chunk_written(&mut self, token: ChunkToken) -> Result<(), ChunkWriteError>;
    /// Waits for the end of a removal.
    fn chunks_removed(&mut self, token: ChunkToken) -> Result<(), ChunkWriteError>;
    /// Waits for the end of a chunk read.
    fn chunk_read(&mut self, token: ChunkToken) -> Result<Option<Bytes>, ReadError>;

    fn put(&mut self, space: Space, key: &str, value: &str) -> WriteSeq {
        let mut batch = Batch::default();
        batch.put(space, key.into(), value.as_bytes().to_vec());
        self.storage().write(batch)
    }

    fn get(&mut self, space: Space, key: &str) -> Option<String> {
        let value = self.storage().get(space, key.as_bytes()).expect("undamaged");
        value.map(|value| String::from_utf8(value.to_vec()).expect("text"))
    }

    /// Keys of a range.
    fn keys(&mut self, space: Space, from: &str, to: &str) -> Vec<String> {
        let mut keys = Vec::new();
        self.storage()
            .scan(space, from.as_bytes(), to.as_bytes(), &mut |key, _| {
                keys.push(String::from_utf8(key.to_vec()).expect("text"));
                Visit::Next
            })
            .expect("undamaged");
        keys
    }

    fn write_chunk(&mut self, header: &ChunkHeader, body: &Bytes) -> Result<(), ChunkWriteError> {
        let token = next_token();
        self.storage().write_chunk(token, header.clone(), body.clone());
        self.chunk_written(token)
    }

    fn remove_chunks(&mut self, headers: &[ChunkHeader]) -> Result<(), ChunkWriteError> {
        let token = next_token();
        let chunks = headers.iter().map(|header| (header.partition, header.id));
        self.storage().remove_chunks(token, chunks.collect());
        self.chunks_removed(token)
    }

    fn read_chunk(&mut self, header: &ChunkHeader, from: u32, length: u32) -> Result<Option<Bytes>, ReadError> {
        let token = next_token();
        self.storage()
            .read_chunk(token, header.partition, header.id, from, length);
        self.chunk_read(token)
    }
}

pub fn next_token() -> ChunkToken {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    ChunkToken(NEXT.fetch_add(1, Ordering::Relaxed).into())
}

/// The engine in a directory.
pub struct OnDisk {
    pub directory: PathBuf,
    pub options: Options,
    pub recorder: Arc<Recorder>,
    pub engine: Option<Engine>,
    _temporary: Option<TempDir>,
}

impl OnDisk {
    pub fn new(name: &str) -> Self {
        Self::with_options(name, Options::default())
    }

    pub fn with_options(name: &str, options: Options) -> Self {
        let temporary = TempDir::new(name);
        let mut subject = Self::at(&temporary.path().join("data"), options);
        subject._temporary = Some(temporary);
        subject
    }

    /// In a directory that outlives it.
    pub fn at(directory: &Path, options: Options) -> Self {
        let mut subject = Self {
            directory: directory.to_path_buf(),
            options,
            recorder: Arc::default(),
            engine: None,
            _temporary: None,
        };
        subject.open();
        subject
    }

    /// An engine that was opened elsewhere.
    pub fn around(engine: Engine, recorder: Arc<Recorder>, directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
            options: Options::default(),
            recorder,
            engine: Some(engine),
            _temporary: None,
        }
    }

    pub fn open(&mut self) {
        self.recorder = Arc::default();
        let recorder = Arc::clone(&self.recorder);
        self.engine = Some(Engine::open(&self.directory, self.options.clone(), recorder).expect("opens"));
    }

    pub fn close(&mut self) {
        self.engine = None;
    }

    pub fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("open")
    }
}

impl Subject for OnDisk {
    fn storage(&mut self) -> &mut dyn Storage {
        self.engine()
    }

    fn sync(&mut self) {
        let wanted = self.engine().last_write();
        if wanted > WriteSeq(0) {
            self.recorder.wait(|event| match event {
                Event::Synced(seq) if *seq >= wanted => Some(()),
                _ => None,
            });
            // Seen once, it holds for ever: leave it for the next who asks without writing.
            self.recorder.record(Event::Synced(wanted));
        }
    }

    fn reopen(&mut self) {
        self.close();
        self.open();
    }

    fn chunk_written(&mut self, token: ChunkToken) -> Result<(), ChunkWriteError> {
        self.recorder.wait(|event| match event {
            Event::ChunkWritten(of, result) if *of == token => Some(*result),
            _ => None,
        })
    }

    fn chunks_removed(&mut self, token: ChunkToken) -> Result<(), ChunkWriteError> {
        self.recorder.wait(|event| match event {
            Event::ChunksRemoved(of, result) if *of == token => Some(*result),
            _ => None,
        })
    }

    fn chunk_read(&mut self, token: ChunkToken) -> Result<Option<Bytes>, ReadError> {
        self.recorder.wait(|event| match event {
            Event::ChunkRead(of, result) if *of == token => Some(result.clone()),
            _ => None,
        })
    }
}

/// The in-memory twin.
#[derive(Default)]
pub struct InMemory {
    pub store: MemoryStore,
}

impl Subject for InMemory {
    fn storage(&mut self) -> &mut dyn Storage {
        &mut self.store
    }

    fn sync(&mut self) {
        self.store.sync();
    }

    fn reopen(&mut self) {
        self.store.sync();
        self.store.crash();
    }

    fn chunk_written(&mut self, token: ChunkToken) -> Result<(), ChunkWriteError> {
        match self.store.complete_chunk_op(token, Default::default()) {
            Some(Event::ChunkWritten(_, result)) => result,
            other => panic!("not a chunk write: {other:?}"),
        }
    }

    fn chunks_removed(&mut self, token: ChunkToken) -> Result<(), ChunkWriteError> {
        match self.store.complete_chunk_op(token, Default::default()) {
            Some(Event::ChunksRemoved(_, result)) => result,
            other => panic!("not a removal: {other:?}"),
        }
    }

    fn chunk_read(&mut self, token: ChunkToken) -> Result<Option<Bytes>, ReadError> {
        match self.store.complete_chunk_op(token, Default::default()) {
            Some(Event::ChunkRead(_, result)) => result,
            other => panic!("not a chunk read: {other:?}"),
        }
    }
}

/// A chunk whose bytes follow from its number.
pub fn chunk(number: u32, length: usize) -> (ChunkHeader, Bytes) {
    let header = ChunkHeader {
        id: ChunkId {
            part: PartId(u128::from(number) << 64 | 0xabcd),
            index: number % 7,
        },
        partition: Partition(u16::try_from(number % 5).expect("small")),
        owner: ObjectKey {
            bucket: BucketId(u64::from(number)),
            key: format!("object/{number}"),
        },
        length: u32::try_from(length).expect("small"),
        commit_deadline_ms: 1_700_000_000_000 + u64::from(number),
    };
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let body = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    (header, body.take(length).collect())
}
