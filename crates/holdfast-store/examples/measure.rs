//! Figures of the engine on this disk: `cargo run --release -p holdfast-store --example measure [DIR] [KEYS]`.
//!
//! What the choices in `rows/keyspaces.rs` and `sync.rs` rest on. Processor time is that of the whole process, fjall's
//! threads included, because that is what a node pays. Puts are what a small object costs: a row of 300 bytes and a body
//! of 4 KiB in one batch, each acknowledged when synced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::ids::{BucketId, ChunkId, ObjectKey, PartId, Partition};
use holdfast_core::storage::{
    Batch, ChunkHeader, ChunkToken, ChunkWriteError, ReadError, Space, Storage, Visit, WriteSeq,
};
use holdfast_store::{Completions, Engine, Options, StoreFailure};

/// Wakes those who wait for a batch or a chunk.
#[derive(Default)]
struct Waiters {
    state: Mutex<(u64, BTreeMap<u64, ()>)>,
    news: Condvar,
}

impl Waiters {
    fn wait_synced(&self, seq: WriteSeq) {
        let mut state = self.state.lock().expect("unpoisoned");
        while state.0 < seq.0 {
            state = self.news.wait(state).expect("unpoisoned");
        }
    }

    fn wait_token(&self, token: u64) {
        let mut state = self.state.lock().expect("unpoisoned");
        while state.1.remove(&token).is_none() {
            state = self.news.wait(state).expect("unpoisoned");
        }
    }

    fn token(&self, token: ChunkToken) {
        self.state.lock().expect("unpoisoned").1.insert(token.0, ());
        self.news.notify_all();
    }
}

impl Completions for Waiters {
    fn synced(&self, seq: WriteSeq) {
        self.state.lock().expect("unpoisoned").0 = seq.0;
        self.news.notify_all();
    }

    fn chunk_written(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        result.expect("written");
        self.token(token);
    }

    fn chunk_read(&self, token: ChunkToken, result: Result<Option<Bytes>, ReadError>) {
        result.expect("undamaged").expect("present");
        self.token(token);
    }

    fn chunks_removed(&self, _: ChunkToken, _: Result<(), ChunkWriteError>) {}

    fn failed(&self, failure: StoreFailure) {
        eprintln!("{failure}");
        std::process::exit(1);
    }
}

/// The allocator of the product: with the system's, memory of many threads would never return.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(|| std::env::temp_dir().join("holdfast-measure"), PathBuf::from);
    let keys: u64 = arguments.next().and_then(|keys| keys.parse().ok()).unwrap_or(200_000);
    if keys == 0 {
        return idle(&directory);
    }
    let _ = std::fs::remove_dir_all(&directory);
    let waiters = Arc::new(Waiters::default());
    let listener: Arc<dyn Completions> = waiters.clone();
    let engine = Engine::open(&directory, Options::default(), listener).expect("opens");
    report("open, empty", 1, Usage::now(), &directory);

    load(&engine, &waiters, &directory, keys);
    puts(&engine, &waiters, &directory, keys, 1, 2_000);
    puts(&engine, &waiters, &directory, keys, 64, 40_000);
    puts(&engine, &waiters, &directory, keys, 64, keys / 2);
    gets(&engine, &directory, keys);
    lists(&engine, &directory);
    chunks(&engine, &waiters, &directory);
    println!("{:?}", engine.statistics());
    std::thread::sleep(Duration::from_secs(20));
    report("idle 20 s", 1, Usage::now(), &directory);
    let before = Usage::now();
    std::thread::sleep(Duration::from_secs(10));
    report("idle 10 s more", 1, before, &directory);
    drop(engine);
    let before = Usage::now();
    let reopened = Engine::open(&directory, Options::default(), waiters).expect("opens");
    report("reopen", 1, before, &directory);
    drop(reopened);
}

/// What a node costs that was started on old data and left alone: keys = 0.
fn idle(directory: &Path) {
    let before = Usage::now();
    let engine = Engine::open(directory, Options::default(), Arc::new(Waiters::default())).expect("opens");
    report("open", 1, before, directory);
    for _ in 0..2 {
        let before = Usage::now();
        std::thread::sleep(Duration::from_secs(15));
        report("idle 15 s", 1, before, directory);
    }
    drop(engine);
}

/// Keys in an order that is not theirs.
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn row_key(number: u64) -> Vec<u8> {
    format!("\0\x01bucket00{:016x}/object-{number:012}", scatter(number)).into_bytes()
}

fn put_batch(number: u64, round: u64) -> Batch {
    let key = row_key(number);
    let mut body_key = key.clone();
    body_key.extend_from_slice(&[0; 24]);
    let mut body = vec![0; 4096];
    let mut state = scatter(number) ^ round | 1;
    for word in body.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    let mut batch = Batch::default();
    batch.put(Space::Rows, key, body[..300].to_vec());
    batch.put(Space::Bodies, body_key, body);
    batch
}

fn load(engine: &Engine, waiters: &Waiters, directory: &Path, keys: u64) {
    let mut engine = engine.clone();
    let before = Usage::now();
    let mut seq = WriteSeq(0);
    for number in 0..keys {
        seq = engine.write(put_batch(number, 0));
        if number % 64 == 0 {
            waiters.wait_synced(seq);
        }
    }
    waiters.wait_synced(seq);
    settle();
    report("load, 64 per wait", keys, before, directory);
}

fn puts(engine: &Engine, waiters: &Arc<Waiters>, directory: &Path, keys: u64, writers: u64, count: u64) {
    // The node's lock, as the shell has it.
    let node = Arc::new(Mutex::new(engine.clone()));
    let before = Usage::now();
    let longest = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (node, waiters, longest) = (Arc::clone(&node), Arc::clone(waiters), Arc::clone(&longest));
            std::thread::spawn(move || {
                let mut took = Vec::new();
                for turn in 0..count / writers {
                    // Half of the puts overwrite.
                    let choice = scatter(turn * writers + writer + count);
                    let number = if choice & 1 == 0 {
                        choice % keys
                    } else {
                        keys + choice % (1 << 40)
                    };
                    let batch = put_batch(number, turn + 1);
                    let mut node = node.lock().expect("unpoisoned");
                    let begun = Instant::now();
                    let seq = node.write(batch);
                    took.push(begun.elapsed());
                    drop(node);
                    waiters.wait_synced(seq);
                }
                longest.lock().expect("unpoisoned").extend(took);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a writer");
    }
    let wall = before.at.elapsed();
    settle();
    report(&format!("put 4 KiB, {writers} writers"), count, before, directory);
    println!(
        "    {:.0}/s until the last was acknowledged",
        count as f64 / wall.as_secs_f64()
    );
    let mut took = std::mem::take(&mut *longest.lock().expect("unpoisoned"));
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "    write() itself: p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn gets(engine: &Engine, directory: &Path, keys: u64) {
    let before = Usage::now();
    let count = 100_000;
    for turn in 0..count {
        let key = row_key(scatter(turn) % keys);
        assert!(engine.get(Space::Rows, &key).expect("undamaged").is_some());
    }
    report("get a row", count, before, directory);
    let before = Usage::now();
    for turn in 0..count {
        let mut key = row_key(scatter(turn) % keys);
        key.extend_from_slice(&[0; 24]);
        assert!(engine.get(Space::Bodies, &key).expect("undamaged").is_some());
    }
    report("get a body of 4 KiB", count, before, directory);
    let before = Usage::now();
    for turn in 0..count {
        let key = row_key(1 << 50 | turn);
        assert!(engine.get(Space::Rows, &key).expect("undamaged").is_none());
    }
    report("get an absent row", count, before, directory);
}

fn lists(engine: &Engine, directory: &Path) {
    let before = Usage::now();
    let count = 300;
    for turn in 0..count {
        let mut left = 1000;
        engine
            .scan(Space::Rows, &row_key(turn), &[255], &mut |_, _| {
                left -= 1;
                if left == 0 { Visit::Stop } else { Visit::Next }
            })
            .expect("undamaged");
    }
    report("scan 1,000 rows", count, before, directory);
}

fn chunks(engine: &Engine, waiters: &Waiters, directory: &Path) {
    for (bytes, count) in [(256 << 10, 1000_u64), (4 << 20, 128)] {
        let mut engine = engine.clone();
        let body = Bytes::from(vec![7; bytes]);
        let id = |number| ChunkId {
            part: PartId(u128::from(scatter(number)) + bytes as u128),
            index: 0,
        };
        let before = Usage::now();
        for number in 0..count {
            let header = ChunkHeader {
                id: id(number),
                partition: Partition(1),
                owner: ObjectKey {
                    bucket: BucketId(1),
                    key: "object".into(),
                },
                length: u32::try_from(bytes).expect("small"),
                commit_deadline_ms: 0,
            };
            engine.write_chunk(ChunkToken(number), header, body.clone());
            if number >= 8 {
                waiters.wait_token(number - 8);
            }
        }
        (count - 8..count).for_each(|number| waiters.wait_token(number));
        report(
            &format!("write chunks of {} KiB", bytes >> 10),
            count,
            before,
            directory,
        );
        let before = Usage::now();
        for number in 0..count {
            engine.read_chunk(ChunkToken(number), Partition(1), id(number), 0, u32::MAX);
            waiters.wait_token(number);
        }
        report(&format!("read chunks of {} KiB", bytes >> 10), count, before, directory);
    }
}

/// Waits until compactions have ended, so that each step pays for its own and for no other's.
fn settle() {
    loop {
        let before = Usage::now().cpu;
        std::thread::sleep(Duration::from_millis(700));
        if Usage::now().cpu.saturating_sub(before) < Duration::from_millis(20) {
            return;
        }
    }
}

/// What the process has used so far.
struct Usage {
    at: Instant,
    cpu: Duration,
    written_bytes: u64,
}

impl Usage {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        // Fields 14 and 15 of proc(5): user and system time in hundredths of a second.
        let ticks: u64 = [11, 12]
            .iter()
            .filter_map(|place| fields.get(*place)?.parse::<u64>().ok())
            .sum();
        Self {
            at: Instant::now(),
            cpu: Duration::from_millis(ticks * 10),
            written_bytes: field("/proc/self/io", "write_bytes:"),
        }
    }
}

fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn report(what: &str, count: u64, before: Usage, directory: &Path) {
    let now = Usage::now();
    let (wall, cpu) = (now.at - before.at, now.cpu.saturating_sub(before.cpu));
    println!(
        "{what:26} {:>9.0}/s  cpu {:>8.1} us each  wrote {:>6} MiB  resident {:>3} MiB (peak {}), disk {} MiB",
        count as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count as f64,
        (now.written_bytes - before.written_bytes) >> 20,
        field("/proc/self/status", "VmRSS:") >> 10,
        field("/proc/self/status", "VmHWM:") >> 10,
        size(directory) >> 20,
    );
}

/// Bytes that the files of a directory take on disk.
fn size(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
