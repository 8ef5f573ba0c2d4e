//! `kill -9` at random moments: nothing acknowledged is lost, and of rows not even what `write` had merely returned
//! from, because it hands each batch to the kernel before it returns (the node relies on that to call such a death clean,
//! rule D2).
//!
//! The victim is this very test binary, started again for a test that is ignored otherwise.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::storage::{ChunkToken, ChunkWriteError, ReadError, Storage, WriteSeq};
use holdfast_store::{Completions, Engine, Options, StoreFailure};

use crate::subject::{TempDir, chunk};
use crate::workload::{Acknowledged, Dice, batch, chunk_bytes, verify};

const DIRECTORY: &str = "HOLDFAST_KILL_DIRECTORY";
const FIRST: &str = "HOLDFAST_KILL_FIRST";

#[test]
fn kill_9_loses_nothing_acknowledged() {
    cycles(15, 1);
}

/// The long form: `cargo test -p holdfast-store --test it -- --ignored kill_9_200_times`.
#[test]
#[ignore = "takes minutes"]
fn kill_9_200_times() {
    cycles(200, 2);
}

fn options() -> Options {
    Options {
        // Small, so that kills meet rotations, flushes and seals too.
        segment_bytes_max: 4 << 20,
        memtable_bytes_max: 1 << 20,
        idle_flush_after: Duration::from_millis(30),
        ..Options::default()
    }
}

fn cycles(count: u64, seed: u64) {
    let temporary = TempDir::new("kill");
    let directory = temporary.path().join("data");
    let mut dice = Dice::new(seed);
    let mut acknowledged = Acknowledged::default();
    let mut busy = 0;
    for cycle in 1..=count {
        let first = cycle * 1_000_000;
        let wait = Duration::from_millis(5 + dice.below(250));
        let told = run_and_kill(&directory, first, wait);
        acknowledged.rows(first + 1, told.written);
        acknowledged.chunks.extend(&told.chunks);
        busy += u64::from(told.synced > first && !told.chunks.is_empty());
        // A sync may be told of before the writer has come to tell of what it wrote last.
        assert!(told.synced <= told.written + 1, "synced before it was written");
        if let Err(lost) = verify(&directory, &options(), &acknowledged) {
            panic!("cycle {cycle} (seed {seed}): {lost}");
        }
        // Older chunks have been found often enough; looking at all of them each time would take the most time.
        while acknowledged.chunks.len() > 300 {
            acknowledged.chunks.pop_first();
        }
    }
    assert!(
        busy * 2 > count,
        "most victims were killed while working: {busy} of {count}"
    );
}

#[derive(Default)]
struct Told {
    written: u64,
    synced: u64,
    chunks: Vec<u32>,
}

fn run_and_kill(directory: &Path, first: u64, wait: Duration) -> Told {
    let mut victim = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "kill::victim", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
    let mut told = Told {
        written: first,
        synced: first,
        ..Told::default()
    };
    for line in lines.by_ref() {
        if line.expect("readable").ends_with("ready") {
            break;
        }
    }
    // Reading goes on meanwhile, or the victim would stand still once the pipe is full.
    let reader = std::thread::spawn(move || {
        for line in lines {
            // The last line may be torn.
            let Ok(line) = line else { break };
            let Some((kind, number)) = line.split_once(' ') else {
                continue;
            };
            let Some(number) = number.strip_suffix('.').and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            match kind {
                "w" => told.written = number,
                "s" => told.synced = number,
                "c" => told.chunks.push(u32::try_from(number).expect("small")),
                _ => {}
            }
        }
        told
    });
    std::thread::sleep(wait);
    victim.kill().expect("killed");
    victim.wait().expect("dead");
    reader.join().expect("read")
}

/// Tells the parent what was acknowledged. A full stop ends each number, so that a torn one is noticed.
struct Teller {
    first: u64,
    synced: AtomicU64,
    chunks_done: AtomicU64,
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("told");
}

impl Completions for Teller {
    fn synced(&self, seq: WriteSeq) {
        self.synced.store(seq.0, Ordering::SeqCst);
        tell(&format!("s {}.\n", self.first + seq.0));
    }

    fn chunk_written(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        result.expect("written");
        self.chunks_done.fetch_add(1, Ordering::SeqCst);
        tell(&format!("c {}.\n", token.0));
    }

    fn chunk_read(&self, _: ChunkToken, _: Result<Option<Bytes>, ReadError>) {}

    fn chunks_removed(&self, _: ChunkToken, _: Result<(), ChunkWriteError>) {}

    fn failed(&self, failure: StoreFailure) {
        panic!("{failure}");
    }
}

/// Writes until it is killed.
#[test]
#[ignore = "run by the tests above"]
fn victim() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else {
        return;
    };
    let first: u64 = first.parse().expect("a number");
    let teller = Arc::new(Teller {
        first,
        synced: AtomicU64::new(0),
        chunks_done: AtomicU64::new(0),
    });
    let listener: Arc<dyn Completions> = teller.clone();
    let mut engine = Engine::open(Path::new(&directory), options(), listener).expect("opens");
    tell("\nready\n");
    let mut chunks_begun = 0;
    for counter in 1.. {
        let seq = engine.write(batch(first + counter));
        assert_eq!(seq, WriteSeq(counter));
        tell(&format!("w {}.\n", first + counter));
        // At most a hundred batches and eight chunks under way.
        while counter > teller.synced.load(Ordering::SeqCst) + 100 {
            std::thread::yield_now();
        }
        if counter % 4 == 0 && chunks_begun < teller.chunks_done.load(Ordering::SeqCst) + 8 {
            let number = (first / 1000 + chunks_begun) as u32;
            let (header, body) = chunk(number, chunk_bytes(number));
            engine.write_chunk(ChunkToken(number.into()), header, body);
            chunks_begun += 1;
        }
    }
}
