//! `dev status`: which nodes run, and which answer.

use std::path::Path;

use serde_json::json;

use crate::client::print::{Printer, table};
use crate::dev::ready::Health;
use crate::dev::state::Cluster;
use crate::failure::{Exit, Failure};

/// Runs `dev status`. Exit code 4 when a node is not ready.
pub async fn run(dir: &Path, json: bool) -> Result<(), Failure> {
    let cluster = Cluster::existing(dir)?;
    let health = Health::new(&cluster)?;
    let mut out = Printer::new(json);
    let mut rows = table(&["node", "pid", "state", "s3", "rest"]);
    let mut not_ready = Vec::new();
    for node in cluster.nodes() {
        let pid = node.process().map(|process| process.pid);
        let state = match pid {
            None => "stopped".to_owned(),
            Some(_) => health
                .ask(&cluster, &node)
                .await
                .err()
                .unwrap_or_else(|| "ready".to_owned()),
        };
        if state != "ready" {
            not_ready.push(node.index);
        }
        let (s3, rest) = (cluster.s3_endpoint(&node), cluster.rest_endpoint(&node));
        if json {
            out.line(
                "",
                || json!({ "node": node.index, "pid": pid, "state": state, "s3": s3, "rest": rest }),
            )?;
        } else {
            rows.add([
                node.name(),
                pid.map_or_else(String::new, |pid| pid.to_string()),
                state,
                s3,
                rest,
            ]);
        }
    }
    if !json {
        out.line(rows, || json!(null))?;
    }
    out.finish()?;
    match not_ready.first() {
        None => Ok(()),
        Some(index) => Err(Failure::new(
            format!("{} of {} nodes are not ready", not_ready.len(), cluster.state.nodes),
            format!(
                "start them, for example: holdfast dev start-node {index} --data {}",
                dir.display()
            ),
        )
        .exit(Exit::Unavailable)),
    }
}
