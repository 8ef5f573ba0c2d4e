//! What messages between nodes cost in CPU, both sides together. Not a test: figures to compare on one machine.
//!
//! `cargo test --release -p holdfast-node --test it cost -- --ignored --nocapture --test-threads 1`

use crate::cluster::{Scratch, founded};
use bytes::Bytes;
use holdfast_core::ids::{ActorId, NodeId};
use holdfast_node::peer::{Bounds, Config, Greeting, Peers, Receiver, Sent};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep;

/// CPU time of this process, in seconds, in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let after_name = stat.rsplit_once(')').expect("name").1;
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|n| n.parse().expect("ticks"))
        .collect();
    (fields[0] + fields[1]) / 100.0
}

/// Answers what it is sent, or counts it.
#[derive(Default)]
struct Echo {
    peers: OnceLock<Arc<Peers>>,
    answers: bool,
    left: AtomicU64,
    done: Notify,
    up: AtomicUsize,
}

impl Receiver for Echo {
    fn message(&self, from: NodeId, head: Bytes, payload: Bytes) {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left == 1 {
            self.done.notify_one();
        }
        if (self.answers || left > 64)
            && let Some(peers) = self.peers.get()
        {
            peers.send(from, head.to_vec(), payload);
        }
    }

    fn up(&self, _: &Greeting) {
        self.up.fetch_add(1, Ordering::Relaxed);
    }

    fn down(&self, _: NodeId) {}
}

async fn pair(scratch: &Scratch) -> Vec<(NodeId, Arc<Peers>, Arc<Echo>)> {
    let mut pair = Vec::new();
    for (index, node) in founded(scratch, 2).await.into_iter().enumerate() {
        let echo = Arc::new(Echo {
            answers: index == 1,
            left: AtomicU64::new(u64::MAX),
            ..Echo::default()
        });
        let config = Config {
            credentials: node.founding.identity.credentials(),
            actor: ActorId(1),
            boot: 1,
            format_levels: (1, 1),
            members: node.founding.peers(),
            bounds: Bounds::default(),
            strangers: None,
            gateways: None,
        };
        let peers = Arc::new(Peers::start(config, node.listener.clone(), echo.clone()).expect("start"));
        pair.push((node.id(), peers, echo));
    }
    while pair.iter().any(|(_, _, echo)| echo.up.load(Ordering::Relaxed) == 0) {
        sleep(Duration::from_millis(1)).await;
    }
    pair
}

/// Calls there and back, so many in flight.
async fn calls(bytes: usize, in_flight: u64, calls: u64) {
    let scratch = Scratch::new();
    let pair = pair(&scratch).await;
    for (_, peers, echo) in &pair {
        let _ = echo.peers.set(peers.clone());
    }
    let caller = &pair[0].2;
    caller.left.store(calls + 64 - in_flight.min(64), Ordering::Relaxed);
    let (cpu, began) = (cpu_seconds(), Instant::now());
    // Each answer sends the next call until the last 64 are under way.
    for _ in 0..in_flight {
        pair[0].1.send(pair[1].0, vec![0; 64], Bytes::from(vec![0; bytes - 64]));
    }
    let wanted = calls - 64;
    while calls + 64 - caller.left.load(Ordering::Relaxed) < wanted {
        sleep(Duration::from_millis(5)).await;
    }
    let (cpu, took) = (cpu_seconds() - cpu, began.elapsed().as_secs_f64());
    let count = wanted as f64;
    println!(
        "{bytes:>6} B calls, {in_flight:>2} in flight: {:>6.2} us CPU per call, {:>8.0} calls/s",
        cpu * 1e6 / count,
        count / took
    );
}

/// Payloads one way, so many queued at a time.
async fn transfers(bytes: usize, total_gib: u64) {
    let scratch = Scratch::new();
    let pair = pair(&scratch).await;
    let receiver = &pair[1].2;
    let count = (total_gib << 30) / bytes as u64;
    receiver.left.store(count, Ordering::Relaxed);
    let payload = Bytes::from(
        (0..bytes)
            .map(|i| u8::try_from(i & 0xff).expect("masked"))
            .collect::<Vec<u8>>(),
    );
    let (cpu, began) = (cpu_seconds(), Instant::now());
    for _ in 0..count {
        while pair[0].1.send(pair[1].0, vec![0; 64], payload.clone()) != Sent::Queued {
            sleep(Duration::from_millis(1)).await;
        }
    }
    receiver.done.notified().await;
    let (cpu, took) = (cpu_seconds() - cpu, began.elapsed().as_secs_f64());
    let gib = total_gib as f64;
    println!(
        "{bytes:>8} B one way: {:.3} s CPU per GiB, {:.2} GiB/s",
        cpu / gib,
        gib / took
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_calls() {
    calls(200, 64, 400_000).await;
    calls(200, 8, 200_000).await;
    calls(200, 1, 40_000).await;
    calls(4300, 64, 100_000).await;
    calls(4300, 8, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_transfers() {
    for bytes in [32 << 10, 256 << 10, 1 << 20, 4 << 20] {
        transfers(bytes, 4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_idling() {
    let scratch = Scratch::new();
    let pair = pair(&scratch).await;
    let cpu = cpu_seconds();
    sleep(Duration::from_secs(60)).await;
    println!(
        "two idle nodes: {:.4} % of a core",
        (cpu_seconds() - cpu) / 60.0 * 100.0
    );
    drop(pair);
}
