//! A cluster from start to stop: store, kill a node, read, start it again, stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::scratch::{Scratch, holdfast, port_base, stderr, stdout, text};

/// A cluster of `holdfast dev --detach`, stopped when the test ends, however it ends.
struct Cluster {
    scratch: Scratch,
    nodes: u16,
    environment: BTreeMap<String, String>,
}

impl Cluster {
    fn start(name: &str, nodes: u16, more: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let base = port_base(nodes).to_string();
        let mut cluster = Self {
            scratch,
            nodes,
            environment: BTreeMap::new(),
        };
        let nodes = nodes.to_string();
        let mut arguments = vec!["--nodes", &nodes, "--port-base", &base];
        arguments.extend(more);
        let output = cluster.up(&arguments);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        cluster.read_environment();
        cluster
    }

    /// `dev --detach` on this cluster's directory.
    fn up(&self, more: &[&str]) -> Output {
        let mut command = holdfast();
        command.args([
            "dev",
            "--detach",
            "--data",
            text(&self.data()),
            "--env-file",
            text(&self.scratch.path("env")),
        ]);
        command.args(more).output().expect("starts")
    }

    fn data(&self) -> PathBuf {
        self.scratch.path("cluster")
    }

    /// As a shell reads it.
    fn read_environment(&mut self) {
        let script = format!("set -a; . '{}'; env -0", text(&self.scratch.path("env")));
        let output = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .output()
            .expect("a shell");
        let read = String::from_utf8(output.stdout).expect("UTF-8");
        let pairs = read.split('\0').filter_map(|pair| pair.split_once('='));
        self.environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.environment[name].split(',').map(str::to_owned).collect()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = holdfast();
        command.args(line.split(' ')).envs(&self.environment);
        command
    }

    fn try_run(&self, line: &str) -> Output {
        self.command(line).output().expect("starts")
    }

    fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        assert!(
            output.status.success(),
            "{line}: {}{}",
            stdout(&output),
            stderr(&output)
        );
        stdout(&output)
    }

    fn log(&self, node: u16) -> String {
        std::fs::read_to_string(self.data().join(format!("node-{node}/log"))).unwrap_or_default()
    }

    fn dev(&self, verb: &str) -> Output {
        let mut command = holdfast();
        command
            .arg("dev")
            .args(verb.split(' '))
            .args(["--data", text(&self.data())]);
        command.output().expect("starts")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.dev("stop");
        if std::thread::panicking() {
            for node in 0..self.nodes {
                let log = self.log(node);
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("node-{node}: {}", lines[lines.len().saturating_sub(20)..].join("\n"));
            }
        }
    }
}

/// Bytes that compress badly and differ at every place.
fn body(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// For what happens soon after a signal.
fn wait_until(mut happened: impl FnMut() -> bool) {
    for _ in 0..500 {
        if happened() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it did not happen within 10 s");
}

fn kill_9(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().expect("kill").success());
}

#[test]
fn three_nodes_keep_a_file_while_one_is_killed_and_comes_back() {
    let cluster = Cluster::start("lifecycle", 3, &[]);
    let pids = cluster.list("HOLDFAST_PIDS");
    assert_eq!(pids.len(), 3);
    assert!(cluster.dev("status").status.success());

    // Three parts and a bit, so that it goes as a multipart upload.
    let original = body((3 << 23) + 4711);
    let file = cluster.scratch.path("file");
    std::fs::write(&file, &original).expect("writes");
    cluster.run("mb hf://kelp");
    cluster.run(&format!("cp {} hf://kelp/forest/file", text(&file)));
    let listed = cluster.run("ls -r hf://kelp");
    assert!(listed.contains("forest/file"), "{listed}");

    kill_9(&pids[1]);
    let copy = cluster.scratch.path("copy");
    cluster.run(&format!("cp hf://kelp/forest/file {}", text(&copy)));
    assert!(std::fs::read(&copy).expect("reads") == original, "the copy differs");
    let mut put = cluster
        .command("cp - hf://kelp/note")
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    std::io::Write::write_all(&mut put.stdin.take().expect("a pipe"), b"while one was down").expect("writes");
    assert!(put.wait().expect("ends").success());
    let status = cluster.dev("status");
    assert_eq!(status.status.code(), Some(4), "{}", stdout(&status));

    let output = cluster.dev("start-node 1");
    assert!(output.status.success(), "{}", stderr(&output));
    let back = &cluster.list("HOLDFAST_S3_ENDPOINTS")[1];
    assert_eq!(
        cluster.run(&format!("cat hf://kelp/note --endpoint {back}")),
        "while one was down"
    );
    let again = cluster.dev("start-node 1");
    assert!(stderr(&again).contains("runs already"), "{}", stderr(&again));

    let info = cluster.run("--json bucket info kelp");
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["objects"], 2);
    assert_eq!(info["bytes"], original.len() as u64 + 18);

    let output = cluster.dev("stop");
    assert!(stdout(&output).contains("3 of 3 nodes stopped"), "{}", stdout(&output));
    for node in 0..3 {
        assert!(cluster.log(node).contains("ended cleanly"), "{}", cluster.log(node));
    }
    let output = cluster.try_run("ls");
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));

    // The same cluster again, with the same keys and data.
    assert!(cluster.up(&[]).status.success());
    assert_eq!(cluster.run("cat hf://kelp/note"), "while one was down");
}

#[test]
fn verbs_do_what_they_say() {
    let cluster = Cluster::start("verbs", 1, &[]);
    let tree = cluster.scratch.path("tree");
    for (name, text) in [("a.txt", "a"), ("below/b.txt", "bb"), ("below/c", "")] {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        std::fs::write(path, text).expect("writes");
    }
    cluster.run("mb hf://verbs");
    assert_eq!(cluster.try_run("cat hf://verbs/absent").status.code(), Some(3));
    assert_eq!(cluster.try_run("ls hf://absent").status.code(), Some(3));

    cluster.run(&format!("cp -r {} hf://verbs/t", text(&tree)));
    let listed = cluster.run("ls hf://verbs/t/");
    assert!(
        listed.contains("t/a.txt") && listed.contains("t/below/") && !listed.contains("b.txt"),
        "{listed}"
    );
    let stat = cluster.run("--json stat hf://verbs/t/a.txt");
    let stat: serde_json::Value = serde_json::from_str(&stat).expect("JSON");
    assert_eq!(stat["content-length"], "1");
    assert_eq!(stat["content-type"], "text/plain");
    cluster.run("cp hf://verbs/t/below/b.txt hf://verbs/copied");
    assert_eq!(cluster.run("cat hf://verbs/copied"), "bb");

    let back = cluster.scratch.path("back");
    cluster.run(&format!("cp -r hf://verbs/t {}", text(&back)));
    assert_eq!(std::fs::read_to_string(back.join("below/b.txt")).expect("there"), "bb");
    assert_eq!(std::fs::read(back.join("below/c")).expect("there"), b"");

    assert_eq!(cluster.try_run("rb hf://verbs").status.code(), Some(1));
    // An upload that nobody completes keeps a bucket from being empty, too.
    let mut cut_off = cluster
        .command("cp - hf://verbs/upload")
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut pipe = cut_off.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, &body(9 << 20)).expect("writes");
    wait_until(|| cluster.log(0).contains("CreateMultipartUpload"));
    kill_9(&cut_off.id().to_string());
    cut_off.wait().expect("ends");

    cluster.run("rm -r hf://verbs/t");
    assert_eq!(cluster.run("ls -r hf://verbs").lines().count(), 1);
    cluster.run("rb --force hf://verbs");
    assert_eq!(cluster.run("ls"), "");
}

#[test]
fn keys_are_made_switched_off_and_deleted() {
    let mut cluster = Cluster::start("keys", 1, &[]);
    let made = cluster.run("--json key create visitor");
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let id = made["access_key_id"].as_str().expect("an id").to_owned();
    let secret = made["secret_access_key"].as_str().expect("a secret").to_owned();
    assert!(cluster.run("key list").contains(&id));
    cluster.environment.insert("AWS_ACCESS_KEY_ID".to_owned(), id.clone());
    cluster.environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), secret);
    cluster.run("mb hf://visited");
    cluster.run(&format!("key disable {id}"));
    assert_eq!(cluster.try_run("ls").status.code(), Some(5));
    cluster.run(&format!("key enable {id}"));
    cluster.run("ls");
    cluster.run(&format!("key delete {id}"));
    assert_eq!(cluster.try_run("ls").status.code(), Some(5));
    assert!(!cluster.run("key list").contains(&id));
    cluster
        .environment
        .insert("HOLDFAST_ADMIN_TOKEN".to_owned(), "0123456789abcdef".to_owned());
    assert_eq!(cluster.try_run("key list").status.code(), Some(5));
}

#[test]
fn a_cluster_with_tls_is_reached_with_its_own_certificates() {
    let mut cluster = Cluster::start("tls", 1, &["--tls"]);
    assert!(cluster.list("HOLDFAST_S3_ENDPOINTS")[0].starts_with("https://"));
    cluster.run("mb hf://safe");

    // A certificate that cannot be read leaves the old one in use; one that can is taken without a restart.
    let pid = cluster.list("HOLDFAST_PIDS")[0].clone();
    let certificate = cluster.data().join("tls/node.pem");
    let good = std::fs::read(&certificate).expect("reads");
    for (text, said) in [
        (&b"nonsense"[..], "the old certificate stays in use"),
        (&good[..], "read again"),
    ] {
        std::fs::write(&certificate, text).expect("writes");
        assert!(
            Command::new("kill")
                .args(["-HUP", &pid])
                .status()
                .expect("kill")
                .success()
        );
        wait_until(|| cluster.log(0).contains(said));
        cluster.run("ls hf://safe");
    }

    assert!(cluster.run("cluster status").contains("up"));
    cluster.environment.remove("AWS_CA_BUNDLE");
    let output = cluster.try_run("ls");
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("not trusted"), "{}", stderr(&output));
}

#[test]
fn a_cluster_that_runs_is_not_started_twice() {
    let cluster = Cluster::start("twice", 1, &[]);
    let output = cluster.up(&[]);
    assert!(stderr(&output).contains("runs already"), "{}", stderr(&output));
    let output = cluster.up(&["--nodes", "2"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_node_that_does_not_sync_says_so_everywhere() {
    let cluster = Cluster::start("no-sync", 1, &["--unsafe-no-sync"]);
    cluster.run("mb hf://fast");
    assert!(
        cluster.log(0).contains("UNSAFE: --unsafe-no-sync"),
        "{}",
        cluster.log(0)
    );
    let status = cluster.run("cluster status");
    assert!(status.contains("UNSAFE"), "{status}");
    assert!(metrics(&cluster).contains("\nholdfast_unsafe_no_sync 1\n"));

    let synced = Cluster::start("synced", 1, &[]);
    assert!(!synced.run("cluster status").contains("UNSAFE"));
    assert!(metrics(&synced).contains("\nholdfast_unsafe_no_sync 0\n"));
}

/// What Prometheus would read from the first node.
fn metrics(cluster: &Cluster) -> String {
    use std::io::{Read, Write};
    let endpoint = &cluster.list("HOLDFAST_REST_ENDPOINTS")[0];
    let address = endpoint.strip_prefix("http://").expect("plain HTTP");
    let mut connection = std::net::TcpStream::connect(address).expect("connects");
    write!(connection, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("writes");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("reads");
    answer
}

/// Segment files below a directory.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("reads").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(segments(&path));
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            found.push(path);
        }
    }
    found
}

/// Where a node's segments hold these bytes.
fn find(directory: &Path, wanted: &[u8]) -> Option<(PathBuf, u64)> {
    segments(directory).into_iter().find_map(|path| {
        let bytes = std::fs::read(&path).ok()?;
        let at = bytes.windows(wanted.len()).position(|window| window == wanted)?;
        Some((path, at as u64))
    })
}

/// A disk that changed a byte is found out by a read, which is answered from another copy; then the damaged one is
/// written again. It used to stay damaged until its node was compared with another.
#[test]
fn a_damaged_chunk_is_written_again_once_a_read_has_met_it() {
    use std::os::unix::fs::FileExt;
    let cluster = Cluster::start("rot", 3, &[]);
    let original = body(1 << 20);
    let file = cluster.scratch.path("file");
    std::fs::write(&file, &original).expect("writes");
    cluster.run("mb hf://kelp");
    cluster.run(&format!("cp {} hf://kelp/blade", text(&file)));

    let node = cluster.data().join("node-0");
    let sample = &original[300_000..300_064];
    wait_until(|| find(&node, sample).is_some());
    let (segment, at) = find(&node, sample).expect("found a moment ago");
    let damaged = std::fs::File::options().write(true).open(segment).expect("opens");
    damaged.write_all_at(&[!sample[7]], at + 7).expect("writes");
    assert!(find(&node, sample).is_none(), "its only copy is damaged");

    let first = cluster.list("HOLDFAST_S3_ENDPOINTS")[0].clone();
    let copy = cluster.scratch.path("copy");
    cluster.run(&format!("cp hf://kelp/blade {} --endpoint {first}", text(&copy)));
    assert!(std::fs::read(&copy).expect("reads") == original, "the copy differs");
    assert!(cluster.log(0).contains("checksum does not match"), "{}", cluster.log(0));
    wait_until(|| find(&node, sample).is_some());
}
