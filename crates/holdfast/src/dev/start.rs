//! Starting nodes: the founder first, since the others need the token it makes; then all the others at once.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::print::Printer;
use crate::config::DiskLost;
use crate::dev::node::{Node, Part};
use crate::dev::process::ProcessName;
use crate::dev::ready::{Health, ended};
use crate::dev::state::{Cluster, Lock};
use crate::failure::{Failure, State, local};

/// A founder writes its token within milliseconds of its start; making keys on a slow machine takes longer.
const TOKEN_WITHIN: Duration = Duration::from_secs(30);

/// A node that was started, and its process.
pub struct Started {
    /// Which.
    pub node: Node,
    /// Its process.
    pub process: ProcessName,
    /// The process as our child; `None` when it ran before.
    pub child: Option<Child>,
}

/// Starts every node that does not run, and waits until all are ready.
pub async fn all(cluster: &Cluster) -> Result<Vec<Started>, Failure> {
    let running: Vec<_> = cluster.nodes().into_iter().map(|node| (node.process(), node)).collect();
    for (_, node) in running.iter().filter(|(process, _)| process.is_none()) {
        check_ports(node)?;
    }
    let mut started = Vec::new();
    let mut token = None;
    for (process, node) in running {
        let entry = match process {
            Some(process) => Started {
                node,
                process,
                child: None,
            },
            None => match begin(cluster, node, &mut token, None).await {
                Ok(entry) => entry,
                Err(failure) => return Err(give_up(started, failure)),
            },
        };
        started.push(entry);
    }
    let health = Health::new(cluster)?;
    for entry in &started {
        if let Err(failure) = health.wait(cluster, &entry.node, &entry.process).await {
            return Err(give_up(started, failure));
        }
    }
    Ok(started)
}

/// `dev start-node`.
pub async fn one(dir: &Path, index: usize, disk_lost: Option<DiskLost>, json: bool) -> Result<(), Failure> {
    let cluster = Cluster::existing(dir)?;
    let _lock = Lock::take(&cluster.dir)?;
    if index >= cluster.state.nodes {
        return Err(Failure::usage(
            format!("there is no node {index}"),
            format!("the nodes are numbered 0 to {}", cluster.state.nodes - 1),
        ));
    }
    let node = cluster.node(index);
    if let Some(process) = node.process() {
        return Err(Failure::new(
            format!("{} runs already, as process {}", node.name(), process.pid),
            format!("see `holdfast dev status --data {}`", dir.display()),
        ));
    }
    check_ports(&node)?;
    let started = begin(&cluster, node, &mut None, disk_lost).await?;
    Health::new(&cluster)?
        .wait(&cluster, &started.node, &started.process)
        .await?;
    let mut out = Printer::new(json);
    let (name, pid) = (started.node.name(), started.process.pid);
    out.line(
        format!("{name} runs as process {pid}"),
        || json!({ "node": index, "pid": pid }),
    )?;
    out.finish()
}

/// Writes a node's configuration and starts it. A founder is waited for until it has made its token.
async fn begin(
    cluster: &Cluster,
    node: Node,
    token: &mut Option<String>,
    disk_lost: Option<DiskLost>,
) -> Result<Started, Failure> {
    let founder = cluster.node(0);
    let founds = node.index == 0 && !node.is_member();
    if node.is_member() {
        node.write_config(cluster, &Part::Member)?;
    } else if founds {
        // One of an earlier start, of a founding that was never completed, is still good; the founder writes it again.
        node.write_config(cluster, &Part::Founder)?;
    } else {
        if token.is_none() {
            *token = std::fs::read_to_string(founder.token_file()).ok();
        }
        let token = token.as_deref().unwrap_or_default().trim();
        node.write_config(
            cluster,
            &Part::Joiner {
                founder: founder.node_port,
                token,
            },
        )?;
    }
    let started = spawn(node, disk_lost)?;
    if founds && cluster.state.nodes > 1 {
        *token = Some(wait_for_token(&started).await?);
    }
    Ok(started)
}

async fn wait_for_token(founder: &Started) -> Result<String, Failure> {
    let until = Instant::now() + TOKEN_WITHIN;
    loop {
        match std::fs::read_to_string(founder.node.token_file()) {
            Ok(token) if token.ends_with('\n') => return Ok(token),
            _ if !founder.process.runs(&founder.node.config()) => return Err(ended(&founder.node)),
            _ if Instant::now() > until => {
                return Err(Failure::new(
                    format!(
                        "{} made no join token within {} s",
                        founder.node.name(),
                        TOKEN_WITHIN.as_secs()
                    ),
                    format!("see its log: {}", founder.node.log().display()),
                ));
            }
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

fn spawn(node: Node, disk_lost: Option<DiskLost>) -> Result<Started, Failure> {
    let executable = std::env::current_exe().map_err(|error| local("this executable cannot be found", &error))?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(node.log())
        .map_err(|error| local(format!("{} cannot be written", node.log().display()), &error))?;
    let also_log = log
        .try_clone()
        .map_err(|error| local("the log cannot be opened twice", &error))?;
    let mut command = Command::new(executable);
    command.arg("server").arg("--config").arg(node.config());
    if let Some(what) = disk_lost.and_then(|what| what.to_possible_value()) {
        command.arg(format!("--disk-lost={}", what.get_name()));
    }
    // The env file of this or another cluster may have been sourced; only the configuration counts.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"HOLDFAST_")) {
        command.env_remove(name);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(also_log)
        // A process group of its own: Ctrl-C in the terminal is for `dev`, which then stops the nodes in order.
        .process_group(0)
        .spawn()
        .map_err(|error| local("a node could not be started", &error))?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let process = ProcessName::of(pid).ok_or_else(|| ended(&node))?;
    // A spawn returns when the new program has taken the old one's place, a moment before the kernel has given it its
    // command line, by which `runs` tells it from a stranger.
    while !process.runs(&node.config()) {
        if !matches!(child.try_wait(), Ok(None)) {
            return Err(ended(&node));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    node.write_process(&process)?;
    Ok(Started {
        node,
        process,
        child: Some(child),
    })
}

/// What was started for nothing is stopped again; its data stays.
fn give_up(started: Vec<Started>, failure: Failure) -> Failure {
    for mut entry in started {
        if let Some(child) = &mut entry.child {
            entry.process.signal(rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
    failure.state(State::Partly(
        "the nodes that had been started were stopped again; their data is kept".to_owned(),
    ))
}

/// A port in use is better told here than found in the log of a node.
fn check_ports(node: &Node) -> Result<(), Failure> {
    for port in [node.s3_port, node.rest_port, node.node_port] {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(|error| {
            Failure::new(
                format!("port {port}, wanted by {}, cannot be used: {error}", node.name()),
                "stop what listens there (see `ss -ltnp`), or start a new cluster with another --port-base",
            )
        })?;
    }
    Ok(())
}
