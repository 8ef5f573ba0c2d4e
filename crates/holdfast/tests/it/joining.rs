//! Servers that are all started at the same moment with the same words, as containers of one image are.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::scratch::{Scratch, holdfast, port_base, stderr, stdout, text};

const NODES: u16 = 3;
const SOON: Duration = Duration::from_secs(60);

/// Three nodes on one machine: of their settings only addresses, names and directories differ.
struct Cluster {
    scratch: Scratch,
    base: u16,
    alike: Vec<String>,
    running: Vec<Option<Child>>,
}

impl Cluster {
    fn new(name: &str, alike: impl FnOnce(&Scratch, u16) -> Vec<String>) -> Self {
        let scratch = Scratch::new(name);
        let base = port_base(NODES);
        Self {
            alike: alike(&scratch, base),
            scratch,
            base,
            running: (0..NODES).map(|_| None).collect(),
        }
    }

    fn data(&self, node: u16) -> PathBuf {
        self.scratch.path(&format!("node-{node}"))
    }

    fn log(&self, node: u16) -> String {
        std::fs::read_to_string(self.scratch.path(&format!("log-{node}"))).unwrap_or_default()
    }

    fn logs(&self) -> String {
        (0..NODES)
            .map(|node| format!("--- {node}\n{}", self.log(node)))
            .collect()
    }

    /// A command with the environment of this node.
    fn beside(&self, node: u16, line: &str) -> Command {
        let port = |offset: u16| format!("127.0.0.1:{}", self.base + 10 * node + offset);
        let mut command = holdfast();
        command
            .args(line.split(' '))
            .env("HOLDFAST_DATA", self.data(node))
            .env("HOLDFAST_NAME", format!("node-{node}"))
            .env("HOLDFAST_S3_BIND", port(0))
            .env("HOLDFAST_REST_BIND", port(1))
            .env("HOLDFAST_NODE_BIND", port(2));
        command
    }

    fn start(&mut self, node: u16) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.scratch.path(&format!("log-{node}")))
            .expect("a log");
        let mut server = self.beside(node, "server");
        server.args(&self.alike).stdout(Stdio::null()).stderr(log);
        self.running[usize::from(node)] = Some(server.spawn().expect("starts"));
    }

    fn kill(&mut self, node: u16) {
        if let Some(mut child) = self.running[usize::from(node)].take() {
            child.kill().expect("killed");
            child.wait().expect("waited for");
        }
    }

    fn await_that(&self, what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < SOON, "{what}: {}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_healthy(&self, node: u16, line: &str) -> bool {
        let asked = self.beside(node, line).output().expect("starts");
        assert!(matches!(asked.status.code(), Some(0 | 1)), "{}", stderr(&asked));
        asked.status.success()
    }

    fn await_all_healthy(&self) {
        for node in 0..NODES {
            self.await_that("all are healthy", || self.is_healthy(node, "health"));
        }
    }

    fn members(&self, asked: u16) -> Vec<serde_json::Value> {
        let output = self.beside(asked, "cluster members --json").output().expect("starts");
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = stdout(&output);
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..NODES {
            self.kill(node);
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn nodes_with_the_same_words_and_secret_become_one_cluster_in_any_order() {
    let mut cluster = Cluster::new("alike", |scratch, base| {
        let secret = scratch.path("secret");
        words(&format!(
            "--cluster-of {NODES} --join 127.0.0.1:{},127.0.0.1:{} --cluster-secret-file {}",
            base + 2,
            base + 12,
            text(&secret)
        ))
    });
    for node in [1, 2, 0] {
        cluster.start(node);
    }
    cluster.await_that("the founder says what it waits for", || {
        cluster.log(0).contains("waiting for the cluster secret")
    });
    assert!(!cluster.is_healthy(0, "health") && !cluster.is_healthy(0, "health --live"));
    // Somebody mounts the secret at last, and the founder is killed in the middle.
    cluster.scratch.write("secret", "a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3\n");
    cluster.await_that("a node registers", || cluster.log(0).contains("node registered"));
    cluster.kill(0);
    cluster.start(0);
    cluster.await_all_healthy();
    let seen = cluster.members(1);
    assert_eq!(seen.len(), usize::from(NODES), "{seen:?}");
    for member in &seen {
        assert_eq!(member["seen_from"], "node-1");
        assert_eq!(member["state"], "up");
        let own = member["name"] == "node-1";
        assert_eq!(
            member["registered_with"].is_object(),
            own,
            "it knows this of itself alone"
        );
        if own {
            assert_eq!(member["registered_with"]["name"], "node-0");
            assert_eq!(
                member["registered_with"]["address"],
                format!("127.0.0.1:{}", cluster.base + 2)
            );
        }
    }
    let table = stdout(&cluster.beside(2, "cluster members").output().expect("starts"));
    assert!(
        table.contains("HINTS") && table.contains("As seen from node-2, which registered with node-0 at "),
        "{table}"
    );
    // Members just start: the words are not looked at any more, nor is the secret needed.
    std::fs::remove_file(cluster.scratch.path("secret")).expect("removed");
    for node in 0..NODES {
        cluster.kill(node);
    }
    for node in 0..NODES {
        cluster.start(node);
    }
    cluster.await_all_healthy();
}

#[test]
fn a_token_in_a_shared_file_needs_no_secret_and_env_tells_the_rest() {
    let mut cluster = Cluster::new("token-file", |scratch, base| {
        let token = scratch.path("token");
        words(&format!(
            "--cluster-of {NODES} --join localhost:{},127.0.0.1:{} --token-file {} --node-advertise NODE",
            base + 2,
            base + 2,
            text(&token)
        ))
    });
    // Bound to an address, advertised by a name: what is compared is what is advertised.
    for node in 0..NODES {
        let at = cluster.alike.len() - 1;
        cluster.alike[at] = format!("localhost:{}", cluster.base + 10 * node + 2);
        cluster.start(node);
    }
    cluster.await_all_healthy();
    let mode = std::fs::metadata(cluster.scratch.path("token"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(cluster.is_healthy(1, "health --live"));
    assert!(!cluster.log(1).contains("hf1-"), "the token is not logged");
    // Whoever is on the machine needs to be told nothing.
    let stored = cluster.beside(2, "mb hf://first").output().expect("starts");
    assert!(stored.status.success(), "{}", stderr(&stored));
    let exports = stdout(&cluster.beside(0, "env").output().expect("starts"));
    let script = format!("{exports}\nexec \"$0\" ls --json");
    let listed = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_holdfast")])
        .env_clear()
        .output()
        .expect("a shell");
    assert!(stdout(&listed).contains("first"), "{exports}{}", stderr(&listed));
    cluster.kill(1);
    assert!(!cluster.is_healthy(1, "health"), "nobody answers");
}
