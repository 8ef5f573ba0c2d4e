//! `dev stop`: ends the nodes of a cluster gracefully, and only those.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::print::Printer;
use crate::dev::state::{Cluster, Lock};
use crate::failure::Failure;

/// A node drains requests for some seconds and syncs; one that takes longer than this does not end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Runs `dev stop`.
pub async fn run(dir: &Path, json: bool) -> Result<(), Failure> {
    let cluster = Cluster::existing(dir)?;
    let _lock = Lock::take(&cluster.dir)?;
    let stopped = all(&cluster).await;
    let mut out = Printer::new(json);
    out.line(
        format!(
            "{stopped} of {} nodes stopped; data kept in {}",
            cluster.state.nodes,
            dir.display()
        ),
        || json!({ "stopped": stopped, "nodes": cluster.state.nodes }),
    )?;
    out.finish()
}

/// Stops every node that runs and waits for its end; returns how many there were.
pub async fn all(cluster: &Cluster) -> usize {
    let running: Vec<_> = cluster
        .nodes()
        .into_iter()
        .filter_map(|node| node.process().map(|process| (node, process)))
        .collect();
    for (_, process) in &running {
        process.signal(Signal::TERM);
        // A stopped process (SIGSTOP) would never hear it.
        process.signal(Signal::CONT);
    }
    let until = Instant::now() + ENDS_WITHIN;
    for (node, process) in &running {
        while process.runs(&node.config()) {
            if Instant::now() > until {
                process.signal(Signal::KILL);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    running.len()
}
