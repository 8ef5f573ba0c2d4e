//! A real local cluster for the time of a test or a measurement: started with `holdfast dev`, stopped when dropped.
//!
//! Invariant: whatever way the caller ends short of being killed, the nodes it started are stopped. The data stays
//! when something failed, for whoever wants to read the logs.

use crate::process::{self, command};
use crate::step::{Failure, Outcome};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// Node i listens on base + 10·i, +1 and +2.
const PORTS_PER_NODE: u16 = 10;
/// Below the range that the kernel hands out for outgoing connections, so that nothing takes a port in between.
const PORT_BASES: std::ops::Range<u16> = 18_000..30_000;
/// Seconds for a cluster to be ready; a slow machine that is also compiling needs a while.
const READY_S_MAX: u32 = 120;

pub struct Cluster {
    binary: PathBuf,
    data: PathBuf,
    /// What the environment file says: endpoints, keys, process ids.
    pub environment: BTreeMap<String, String>,
}

impl Cluster {
    /// Starts `nodes` nodes on fresh data below `dir`.
    pub fn start(binary: &Path, dir: &Path, nodes: u16, more: &[String]) -> Outcome<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir).map_err(Failure::because(format!("cannot empty {}", dir.display())))?;
        }
        std::fs::create_dir_all(dir).map_err(Failure::because(format!("cannot make {}", dir.display())))?;
        let (data, env_file, log) = (dir.join("data"), dir.join("cluster.env"), dir.join("dev.log"));
        let output = std::fs::File::create(&log).map_err(Failure::because("cannot make a log"))?;
        let complaints = output.try_clone().map_err(Failure::because("cannot make a log"))?;
        // `timeout` bounds a start that hangs; the nodes are detached and outlive it.
        let mut start = command("timeout");
        start
            .arg(READY_S_MAX.to_string())
            .arg(binary)
            .args(["dev", "--nodes", &nodes.to_string(), "--detach"]);
        start.arg("--data").arg(&data).arg("--env-file").arg(&env_file);
        start
            .args(["--port-base", &free_port_base(nodes)?.to_string()])
            .args(more);
        let status = start
            .stdout(output)
            .stderr(complaints)
            .status()
            .map_err(Failure::because("cannot start a cluster"))?;
        let mut cluster = Self {
            binary: binary.to_owned(),
            data,
            environment: BTreeMap::new(),
        };
        if !status.success() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::new(
                format!("`holdfast dev` ended with {status}:\n{}", said.trim()),
                "",
            ));
        }
        let text = std::fs::read_to_string(&env_file).map_err(Failure::because(
            "`holdfast dev --detach` returned without its --env-file",
        ))?;
        cluster.environment = parse_environment(&text);
        Ok(cluster)
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A value of the environment file, split at its commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let value = self.environment.get(name).map(String::as_str).unwrap_or_default();
        value
            .split(',')
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = process::output(command(&self.binary).args(["dev", "stop", "--data"]).arg(&self.data));
        if let Err(failure) = stopped {
            eprintln!("the cluster in {} was not stopped: {failure}", self.data.display());
        }
    }
}

/// `NAME=value` lines, with or without `export` and quotes.
fn parse_environment(text: &str) -> BTreeMap<String, String> {
    let pairs = text
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("export ").split_once('='));
    pairs
        .map(|(name, value)| {
            (
                name.trim().to_owned(),
                value.trim().trim_matches(['"', '\'']).to_owned(),
            )
        })
        .collect()
}

/// A port from which on all ports that the nodes need are free at this moment.
fn free_port_base(nodes: u16) -> Outcome<u16> {
    let offset = (std::process::id() % 100) as u16 * 100;
    let bases = PORT_BASES.step_by(100);
    let from_ours = bases
        .clone()
        .filter(|base| *base >= PORT_BASES.start + offset)
        .chain(bases);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let all_free = |base: &u16| (0..nodes).all(|i| (0..3).all(|port| is_free(base + PORTS_PER_NODE * i + port)));
    from_ours
        .into_iter()
        .find(all_free)
        .ok_or_else(|| Failure::new("no free range of ports", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_file_is_read_as_a_shell_would() {
        let read = parse_environment("# keys\nexport A='x'\nB=\"y=z\"\n\nC=1,2\n");
        assert_eq!(read.get("A").map(String::as_str), Some("x"));
        assert_eq!(read.get("B").map(String::as_str), Some("y=z"));
        assert_eq!(read.get("C").map(String::as_str), Some("1,2"));
    }

    #[test]
    fn a_taken_range_of_ports_is_passed_over() {
        let base = free_port_base(3).unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, base + PORTS_PER_NODE)).unwrap();
        assert_ne!(free_port_base(3).unwrap(), base);
    }
}
