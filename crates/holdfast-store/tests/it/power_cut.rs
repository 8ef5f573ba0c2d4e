//! Power cuts: recovery from a copy that holds only what completed syncs covered.
//!
//! A shadow follows every file and directory that the store makes, and every sync it completes. At a random moment what
//! was acknowledged is noted, and then a directory is made of what the shadow knows to be durable: files whose names were
//! synced, with the bytes they had when their last completed sync began. The store must open there and hold everything
//! acknowledged. Then it goes on from there, to the next cut.
//!
//! Some runs end by a `kill -9` instead: what was not synced is then still to be seen, and still not durable.
//!
//! In some of the cuts random pages of what was not synced survive as well, in no order: that is what a disk does.
//!
//! That the test can fail is tested too: with any one sync left out of the store, it must.
//!
//! Weak spot: inside `rows/` only the journal is shadowed; fjall's other files are taken as they are. The workload stays
//! below what makes fjall write tables, which is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::storage::{ChunkToken, ChunkWriteError, ReadError, Storage, WriteSeq};
use holdfast_store::{Completions, Engine, Observer, Options, SharedObserver, StoreFailure, WhichSync};

use crate::subject::{TempDir, chunk};
use crate::workload::{Acknowledged, Dice, batch, chunk_bytes, verify};

const PAGE: usize = 4096;

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    for seed in 1..=4 {
        if let Err(lost) = cuts(seed, 5, None) {
            panic!("seed {seed}: {lost}");
        }
    }
}

/// Each sync is there for a reason: without it, something acknowledged is lost.
#[test]
fn without_any_one_sync_power_cuts_lose_something() {
    for which in WhichSync::ALL {
        // What threads do in between differs from run to run: most need one seed, none a dozen.
        let noticed = (1..=40).any(|seed| cuts(seed, 4, Some(which)).is_err());
        assert!(noticed, "leaving out {which:?} went unnoticed");
    }
}

fn options(skip_sync: Option<WhichSync>) -> Options {
    Options {
        // Small, so that cuts meet new segments and seals.
        segment_bytes_max: 1 << 20,
        // Never, so that fjall writes no tables of its own accord.
        idle_flush_after: Duration::from_secs(3600),
        skip_sync,
        ..Options::default()
    }
}

/// Runs from an empty disk through several cuts, with a `kill -9` before every other one.
fn cuts(seed: u64, count: u64, skip_sync: Option<WhichSync>) -> Result<(), String> {
    let temporary = TempDir::new("cut");
    let mut history = History {
        disk: temporary.path().join("0"),
        shadow: Shadow::default(),
        dice: Dice::new(seed),
        acknowledged: Acknowledged::default(),
        unfinished: Vec::new(),
        skip_sync,
    };
    fs::create_dir(&history.disk).expect("made");
    history.shadow = Shadow::of(&history.disk);
    for cut in 1..=count {
        if cut % 2 == 0 {
            let next = temporary.path().join(format!("{cut}-killed"));
            history.run(cut * 1_000_000 - 500_000, &next, Ending::Kill);
        }
        let next = temporary.path().join(cut.to_string());
        history.run(cut * 1_000_000, &next, Ending::PowerCut { torn: cut % 3 == 0 });
        // What opening changes is for the next run to find: look at a copy.
        let copy = temporary.path().join("looked-at");
        copy_tree(&history.disk, &copy);
        verify(&data(&copy), &options(None), &history.acknowledged).map_err(|lost| format!("cut {cut}: {lost}"))?;
        fs::remove_dir_all(&copy).expect("removed");
    }
    let (keys, chunks) = (history.acknowledged.rows.len(), history.acknowledged.chunks.len());
    assert!(
        skip_sync.is_some() || (keys > 20 && chunks > 20),
        "much was acknowledged: {keys} keys, {chunks} chunks"
    );
    Ok(())
}

/// The store's directory on a disk. It is not made in advance: making it durable is part of the test.
fn data(disk: &Path) -> PathBuf {
    disk.join("data")
}

/// How a run ends.
#[derive(Clone, Copy)]
enum Ending {
    /// The process is gone, the page cache stays: what was not synced is still there, and still not durable.
    Kill,
    /// Both are gone; of what was not synced nothing survives, or any pages.
    PowerCut { torn: bool },
}

struct History {
    disk: PathBuf,
    shadow: Shadow,
    dice: Dice,
    acknowledged: Acknowledged,
    /// Chunks that were on their way when the last run ended; a client would send them again.
    unfinished: Vec<u32>,
    skip_sync: Option<WhichSync>,
}

impl History {
    /// Runs the store for a while on the present disk and leaves what remains of it at `next`.
    fn run(&mut self, first: u64, next: &Path, ending: Ending) {
        let shadow = Arc::new(std::mem::take(&mut self.shadow));
        let listener = Arc::new(Listener::default());
        let mut options = options(self.skip_sync);
        options.observer = Some(SharedObserver(shadow.clone()));
        let completions: Arc<dyn Completions> = listener.clone();
        // Only a left-out sync can keep it from opening, and then the check that follows says so.
        if let Ok(mut engine) = Engine::open(&data(&self.disk), options, completions) {
            let steps = self.work(&mut engine, &listener, first);
            // First what was acknowledged, then what is durable: the other way round, a sync between the two would look
            // like a loss.
            let synced = listener.synced.load(Ordering::SeqCst);
            self.acknowledged.rows(first + 1, first + synced);
            self.acknowledged
                .chunks
                .extend(listener.chunks.lock().expect("unpoisoned").iter());
            let state = shadow.0.lock().expect("unpoisoned");
            self.leave_unfinished(&mut engine, first, steps);
            self.shadow = self.end(&state, next, ending);
        } else {
            let state = shadow.0.lock().expect("unpoisoned");
            self.shadow = self.end(&state, next, ending);
        }
        fs::remove_dir_all(&self.disk).expect("removed");
        self.disk = next.to_path_buf();
    }

    fn work(&mut self, engine: &mut Engine, listener: &Listener, first: u64) -> u64 {
        let dice = &mut self.dice;
        let again = std::mem::take(&mut self.unfinished);
        for number in &again {
            send_chunk(engine, *number);
        }
        // Sometimes nothing else is appended that would sync these along with itself.
        let quiet = !again.is_empty() && dice.below(2) == 0;
        if quiet {
            listener.wait_chunks(again.len());
        }
        let steps = 20 + dice.below(200);
        for step in 1..=steps {
            engine.write(batch(first + step));
            if !quiet && dice.below(5) == 0 {
                send_chunk(engine, (first / 1000 + step) as u32);
            }
            match dice.below(20) {
                0 => listener.wait_synced(step),
                1..4 => std::thread::sleep(Duration::from_micros(dice.below(900))),
                _ => {}
            }
        }
        let mut steps = steps;
        if dice.below(2) == 0 {
            listener.wait_synced(steps);
            // Not when all is to stay quiet: this syncs the segment as well.
            if !quiet {
                steps += 1;
                self.write_and_remove(engine, listener, first, steps);
            }
        }
        steps
    }

    /// A chunk comes, into the segment that a start would look at, and goes. It is gone for good once a batch that was
    /// written after that is durable.
    fn write_and_remove(&mut self, engine: &mut Engine, listener: &Listener, first: u64, step: u64) {
        let number = (first / 1000 + 400) as u32;
        send_chunk(engine, number);
        listener.wait_chunk(number);
        listener.chunks.lock().expect("unpoisoned").remove(&number);
        let (header, _) = chunk(number, chunk_bytes(number));
        engine.remove_chunks(ChunkToken(number.into()), vec![(header.partition, header.id)]);
        listener.wait_removed(number);
        engine.write(batch(first + step));
        listener.wait_synced(step);
        self.acknowledged.removed.insert(number);
    }

    /// Writes that no sync covers: the caller holds the shadow, so that none can begin.
    fn leave_unfinished(&mut self, engine: &mut Engine, first: u64, steps: u64) {
        for step in steps + 1..=steps + self.dice.below(30) {
            engine.write(batch(first + step));
        }
        for number in 0..3 {
            let number = (first / 1000 + 300 + number) as u32;
            send_chunk(engine, number);
            self.unfinished.push(number);
        }
        std::thread::sleep(Duration::from_millis(5));
    }

    fn end(&mut self, state: &State, next: &Path, ending: Ending) -> Shadow {
        let tables = data(&self.disk).join("rows/keyspaces");
        for keyspace in fs::read_dir(&tables).into_iter().flatten().flatten() {
            let own = keyspace.file_name() == "0";
            let tables = fs::read_dir(keyspace.path().join("tables")).expect("readable").count();
            assert!(
                own || tables == 0,
                "fjall wrote tables, which this test does not follow"
            );
        }
        match ending {
            Ending::Kill => {
                copy_tree(&self.disk, next);
                Shadow(Mutex::new(state.moved_to(next)))
            }
            Ending::PowerCut { torn } => {
                state.cut(next, torn, &mut self.dice);
                Shadow::of(next)
            }
        }
    }
}

fn send_chunk(engine: &mut Engine, number: u32) {
    let (header, body) = chunk(number, chunk_bytes(number));
    engine.write_chunk(ChunkToken(number.into()), header, body);
}

#[derive(Default)]
struct Listener {
    synced: AtomicU64,
    chunks: Mutex<BTreeSet<u32>>,
    removed: Mutex<BTreeSet<u32>>,
}

impl Listener {
    fn wait_synced(&self, seq: u64) {
        while self.synced.load(Ordering::SeqCst) < seq {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn wait_chunk(&self, number: u32) {
        while !self.chunks.lock().expect("unpoisoned").contains(&number) {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn wait_removed(&self, number: u32) {
        while !self.removed.lock().expect("unpoisoned").contains(&number) {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn wait_chunks(&self, count: usize) {
        while self.chunks.lock().expect("unpoisoned").len() < count {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Completions for Listener {
    fn synced(&self, seq: WriteSeq) {
        self.synced.store(seq.0, Ordering::SeqCst);
    }

    fn chunk_written(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        result.expect("written");
        self.chunks.lock().expect("unpoisoned").insert(token.0 as u32);
    }

    fn chunk_read(&self, _: ChunkToken, _: Result<Option<Bytes>, ReadError>) {}

    fn chunks_removed(&self, token: ChunkToken, result: Result<(), ChunkWriteError>) {
        result.expect("removed");
        self.removed.lock().expect("unpoisoned").insert(token.0 as u32);
    }

    fn failed(&self, failure: StoreFailure) {
        panic!("{failure}");
    }
}

/// What a power cut would leave.
#[derive(Default)]
struct Shadow(Mutex<State>);

#[derive(Default)]
struct State {
    disk: PathBuf,
    nodes: Vec<Node>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, usize>,
    /// Syncs that have begun: what they will have made durable.
    begun: BTreeMap<PathBuf, Node>,
}

/// A file or directory apart from its name.
#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>),
    Directory(BTreeMap<PathBuf, usize>),
}

impl Shadow {
    /// All that is on the disk now is durable.
    fn of(disk: &Path) -> Self {
        let mut state = State {
            disk: disk.to_path_buf(),
            ..State::default()
        };
        state.adopt(disk);
        Self(Mutex::new(state))
    }
}

impl State {
    /// The same on a disk whose files were copied.
    fn moved_to(&self, disk: &Path) -> Self {
        let moved = |name: &PathBuf| disk.join(name.strip_prefix(&self.disk).expect("on the disk"));
        let nodes = self.nodes.iter().map(|node| match node {
            Node::File(bytes) => Node::File(bytes.clone()),
            Node::Directory(entries) => {
                Node::Directory(entries.iter().map(|(name, node)| (moved(name), *node)).collect())
            }
        });
        Self {
            disk: disk.to_path_buf(),
            nodes: nodes.collect(),
            names: self.names.iter().map(|(name, node)| (moved(name), *node)).collect(),
            begun: BTreeMap::new(),
        }
    }

    /// Makes of `target` what the disk would hold after a power cut now.
    fn cut(&self, target: &Path, torn: bool, dice: &mut Dice) {
        self.lay_down(self.names[&self.disk], target, torn, dice);
        // fjall's own files, as they are.
        let (live, copied) = (data(&self.disk).join("rows"), data(target).join("rows"));
        if !copied.is_dir() {
            return;
        }
        for entry in fs::read_dir(&live).expect("readable").flatten() {
            let to = copied.join(entry.file_name());
            let is_journal = entry.path().extension().is_some_and(|extension| extension == "jnl");
            if is_journal && !to.exists() {
                // Made and synced by fjall, never synced by us.
                fs::write(&to, b"").expect("written");
            } else if !is_journal && entry.path().is_dir() {
                copy_tree(&entry.path(), &to);
            } else if !is_journal {
                fs::copy(entry.path(), &to).expect("copied");
            }
        }
    }

    fn adopt(&mut self, path: &Path) -> usize {
        let node = if path.is_dir() {
            let mut entries = BTreeMap::new();
            // Of fjall's directory only the journal is followed.
            let in_rows = path.ends_with("data/rows");
            for entry in fs::read_dir(path).expect("readable").flatten() {
                let name = entry.path();
                if !in_rows || name.extension().is_some_and(|extension| extension == "jnl") {
                    entries.insert(name.clone(), self.adopt(&name));
                }
            }
            Node::Directory(entries)
        } else {
            Node::File(read_used(path))
        };
        self.nodes.push(node);
        self.names.insert(path.to_path_buf(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn lay_down(&self, node: usize, target: &Path, torn: bool, dice: &mut Dice) {
        match &self.nodes[node] {
            Node::Directory(entries) => {
                fs::create_dir(target).expect("made");
                for (name, node) in entries {
                    self.lay_down(*node, &target.join(name.file_name().expect("named")), torn, dice);
                }
            }
            Node::File(durable) => {
                let live = self.names.iter().find(|(_, of)| **of == node).map(|(name, _)| name);
                let bytes = match live {
                    Some(live) if torn => tear(durable, &read_used(live), dice),
                    _ => durable.clone(),
                };
                fs::write(target, bytes).expect("written");
            }
        }
    }
}

impl Observer for Shadow {
    fn created(&self, path: &Path) {
        let mut state = self.0.lock().expect("unpoisoned");
        let node = if path.is_dir() {
            Node::Directory(BTreeMap::new())
        } else {
            Node::File(Vec::new())
        };
        state.nodes.push(node);
        let number = state.nodes.len() - 1;
        state.names.insert(path.to_path_buf(), number);
    }

    fn renamed(&self, from: &Path, to: &Path) {
        let mut state = self.0.lock().expect("unpoisoned");
        let node = state.names.remove(from).expect("made before");
        state.names.insert(to.to_path_buf(), node);
    }

    fn sync_begins(&self, path: &Path) {
        let mut state = self.0.lock().expect("unpoisoned");
        if !path.starts_with(&state.disk) {
            return;
        }
        if !state.names.contains_key(path) {
            // A journal that fjall made: it has synced the name.
            let parent = state.names[path.parent().expect("in a directory")];
            let node = state.adopt(path);
            state.nodes[node] = Node::File(Vec::new());
            if let Node::Directory(entries) = &mut state.nodes[parent] {
                entries.insert(path.to_path_buf(), node);
            }
        }
        let node = if path.is_dir() {
            let inside = |name: &PathBuf| name.parent() == Some(path);
            let entries = state.names.iter().filter(|(name, _)| inside(name));
            Node::Directory(entries.map(|(name, node)| (name.clone(), *node)).collect())
        } else {
            Node::File(read_used(path))
        };
        state.begun.insert(path.to_path_buf(), node);
    }

    fn sync_ended(&self, path: &Path) {
        let mut state = self.0.lock().expect("unpoisoned");
        let Some(durable) = state.begun.remove(path) else {
            return;
        };
        let node = state.names[path];
        state.nodes[node] = durable;
    }
}

/// A file's bytes; of a journal, which fjall makes long in advance, up to the last that is not zero.
fn read_used(path: &Path) -> Vec<u8> {
    use std::io::Read;
    const PIECE: usize = 256 << 10;
    // A file that has been removed meanwhile has nothing unsynced to add.
    let Ok(mut file) = fs::File::open(path) else {
        return Vec::new();
    };
    let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        let read = file
            .by_ref()
            .take(PIECE as u64)
            .read_to_end(&mut bytes)
            .expect("readable");
        // No batch has so many zeros in it: nothing follows.
        if read < PIECE || (is_journal && bytes[before..].iter().all(|byte| *byte == 0)) {
            break;
        }
    }
    if is_journal {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1);
        bytes.truncate(used);
    }
    bytes
}

/// What is durable, and of the rest any pages.
fn tear(durable: &[u8], live: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = durable.to_vec();
    bytes.resize(durable.len().max(live.len()), 0);
    for (place, page) in live.chunks(PAGE).enumerate() {
        if dice.below(2) == 0 {
            let begin = place * PAGE;
            // Bytes that a sync covered stay as they were then; both are the same, files only grow.
            let from = durable.len().clamp(begin, begin + page.len());
            bytes[from..begin + page.len()].copy_from_slice(&page[from - begin..]);
        }
    }
    bytes
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
