//! What a cluster of `dev` is: `DIR/dev.json`, written once, and one lock for whoever starts or stops nodes.
//!
//! ```text
//! DIR/dev.json              nodes, ports, keys (mode 0600)
//! DIR/lock                  held while nodes are being started or stopped
//! DIR/tls/                  certificates, with --tls
//! DIR/node-I/config.toml    configuration of node I (mode 0600: it holds the keys)
//! DIR/node-I/process.json   the process that runs it, see `process.rs`
//! DIR/node-I/log            what it says
//! DIR/node-I/data/          what it keeps
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::dev::node::Node;
use crate::failure::{Exit, Failure, local};

/// Ports of one node, and the distance to those of the next.
const PORTS_PER_NODE: u16 = 10;
/// More nodes than this on one machine try out nothing that fewer do not.
const NODES_MAX: usize = 100;

/// A cluster of `dev`, as `dev.json` keeps it.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Of this file.
    pub version: u32,
    /// How many nodes.
    pub nodes: usize,
    /// Port of node 0's S3.
    pub port_base: u16,
    /// Whether S3 and REST speak TLS.
    pub tls: bool,
    /// Whether writes are acknowledged before they are on disk.
    pub unsafe_no_sync: bool,
    /// Further settings of every node, as lines of its configuration.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Region that S3 requests are signed for.
    pub region: String,
    /// Root access key id.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// Administrator's token.
    pub admin_token: String,
}

/// A cluster of `dev` in its directory.
#[derive(Debug)]
pub struct Cluster {
    /// The directory, absolute: it stands in command lines that are compared later.
    pub dir: PathBuf,
    /// What it is.
    pub state: State,
}

impl State {
    /// A new cluster with fresh keys.
    pub fn new(nodes: usize, port_base: u16, tls: bool, unsafe_no_sync: bool) -> Result<Self, Failure> {
        if !(1..=NODES_MAX).contains(&nodes) {
            return Err(Failure::usage(
                format!("a cluster of {nodes} nodes cannot be started"),
                format!("give --nodes 1 to {NODES_MAX}"),
            ));
        }
        let last = usize::from(port_base) + usize::from(PORTS_PER_NODE) * nodes;
        if port_base == 0 || last > usize::from(u16::MAX) {
            return Err(Failure::usage(
                format!("{nodes} nodes do not fit above port {port_base}"),
                "give a lower --port-base",
            ));
        }
        Ok(Self {
            version: 1,
            nodes,
            port_base,
            tls,
            unsafe_no_sync,
            settings: Vec::new(),
            region: "us-east-1".to_owned(),
            access_key: format!("HFDEV{}", random_text(15, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?),
            secret_key: random_text(40, ALPHANUMERIC)?,
            admin_token: random_text(40, ALPHANUMERIC)?,
        })
    }

    /// With further settings of every node, each `KEY=VALUE`.
    pub fn with_settings(mut self, written: &[String]) -> Result<Self, Failure> {
        for setting in written {
            let line = setting.split_once('=').and_then(|(key, value)| config_line(key, value));
            let line = line.ok_or_else(|| {
                Failure::usage(
                    format!("{setting} is no setting of a node"),
                    "write --set KEY=VALUE; `holdfast server --help` names the settings, with _ for -",
                )
            })?;
            self.settings.push(line);
        }
        Ok(self)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// A line of a configuration file, if the file may hold it. What is no TOML value is taken for text.
fn config_line(key: &str, value: &str) -> Option<String> {
    let line = format!("{key} = {value}");
    let text = format!("{key} = {}", toml::Value::String(value.to_owned()));
    let mut lines = [line, text].into_iter();
    lines.find(|line| toml::from_str::<Settings>(line).is_ok())
}

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Cluster {
    /// The cluster in a directory; `None` when there is none yet.
    pub fn load(dir: &Path) -> Result<Option<Self>, Failure> {
        let path = dir.join("dev.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(local(format!("{} cannot be read", path.display()), &error)),
        };
        let state: State = serde_json::from_str(&text).map_err(|error| {
            Failure::new(
                format!("{} is damaged: {error}", path.display()),
                "choose another --data, or remove this directory to begin anew",
            )
        })?;
        Ok(Some(Self {
            dir: absolute(dir)?,
            state,
        }))
    }

    /// The cluster in a directory, which must have been started before.
    pub fn existing(dir: &Path) -> Result<Self, Failure> {
        Self::load(dir)?.ok_or_else(|| {
            Failure::new(
                format!("{} holds no cluster of `holdfast dev`", dir.display()),
                format!("start one: holdfast dev --data {}", dir.display()),
            )
            .exit(Exit::NotFound)
        })
    }

    /// Makes a new cluster in a directory that holds nothing else.
    pub fn create(dir: &Path, state: State) -> Result<Self, Failure> {
        make_dir(dir)?;
        let foreign = std::fs::read_dir(dir)
            .map_err(|error| local(format!("{} cannot be read", dir.display()), &error))?
            .flatten()
            .map(|entry| entry.file_name())
            .find(|name| name != "lock");
        if let Some(name) = foreign {
            return Err(Failure::new(
                format!("{} holds something else: {}", dir.display(), name.to_string_lossy()),
                "choose an empty or new directory with --data",
            ));
        }
        let cluster = Self {
            dir: absolute(dir)?,
            state,
        };
        let text = serde_json::to_string_pretty(&cluster.state)
            .map_err(|error| Failure::new(format!("the cluster cannot be written down: {error}"), "report this"))?;
        write_secret(&cluster.dir.join("dev.json"), &text)?;
        Ok(cluster)
    }

    /// Node number `index`.
    pub fn node(&self, index: usize) -> Node {
        // Checked when the state was made: all ports fit.
        let first = self.state.port_base + PORTS_PER_NODE * u16::try_from(index).unwrap_or(u16::MAX / PORTS_PER_NODE);
        Node {
            index,
            dir: self.dir.join(format!("node-{index}")),
            s3_port: first,
            rest_port: first + 1,
            node_port: first + 2,
        }
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> Vec<Node> {
        (0..self.state.nodes).map(|index| self.node(index)).collect()
    }

    /// S3 endpoint of a node.
    pub fn s3_endpoint(&self, node: &Node) -> String {
        format!("{}://127.0.0.1:{}", self.state.scheme(), node.s3_port)
    }

    /// REST endpoint of a node.
    pub fn rest_endpoint(&self, node: &Node) -> String {
        format!("{}://127.0.0.1:{}", self.state.scheme(), node.rest_port)
    }

    /// What clients must trust, with TLS.
    pub fn ca_bundle(&self) -> Option<PathBuf> {
        self.state.tls.then(|| self.dir.join("tls").join("ca.pem"))
    }
}

/// Held while nodes are being started or stopped, so that two commands do not start one node twice.
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Lock {
    /// Waits for no one: whoever holds it is done in seconds.
    pub fn take(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| local(format!("{} cannot be opened", path.display()), &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(Failure::new(
                format!(
                    "another `holdfast dev` is starting or stopping nodes of {}",
                    dir.display()
                ),
                "wait until it is done, and try again",
            )),
            Err(std::fs::TryLockError::Error(error)) => {
                Err(local(format!("{} cannot be locked", path.display()), &error))
            }
        }
    }
}

/// Makes a directory for the user alone.
pub fn make_dir(dir: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| local(format!("{} cannot be made", dir.display()), &error))
}

/// Replaces a file as a whole, readable by the user alone.
pub fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |error| local(format!("{} cannot be written", path.display()), &error);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&aside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    written.map_err(cannot)
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(dir).map_err(|error| local(format!("{} cannot be found", dir.display()), &error))
}

/// Random characters of an alphabet of at most 256; bytes that would favour some of them are drawn again.
pub fn random_text(length: usize, alphabet: &[u8]) -> Result<String, Failure> {
    let fair = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::new(format!("the system gives no randomness: {error}"), "check /dev/urandom"))?;
        let drawn = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        text.extend(
            drawn
                .map(|byte| char::from(alphabet[byte % alphabet.len()]))
                .take(length - text.len()),
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_node_number() {
        let cluster = Cluster {
            dir: "/x".into(),
            state: State::new(3, 9000, false, false).expect("valid"),
        };
        let ports: Vec<_> = cluster
            .nodes()
            .iter()
            .map(|n| (n.s3_port, n.rest_port, n.node_port))
            .collect();
        assert_eq!(ports, [(9000, 9001, 9002), (9010, 9011, 9012), (9020, 9021, 9022)]);
        assert_eq!(cluster.s3_endpoint(&cluster.node(1)), "http://127.0.0.1:9010");
    }

    #[test]
    fn clusters_that_do_not_fit_are_refused() {
        assert!(State::new(0, 9000, false, false).is_err());
        assert!(State::new(3, 0, false, false).is_err());
        assert!(State::new(3, 65_510, false, false).is_err());
        assert!(State::new(3, 65_500, false, false).is_ok());
    }

    #[test]
    fn keys_are_fresh_and_of_their_alphabet() {
        let one = State::new(1, 9000, false, false).expect("valid");
        let two = State::new(1, 9000, false, false).expect("valid");
        assert_ne!(one.secret_key, two.secret_key);
        assert_eq!((one.access_key.len(), one.secret_key.len()), (20, 40));
        assert!(one.secret_key.bytes().all(|byte| ALPHANUMERIC.contains(&byte)));
    }
}
