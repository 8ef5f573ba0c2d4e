//! What the tests share: a directory that goes away, a range of free ports, the executable.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};

/// A directory for one test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("holdfast-it-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("writes");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The executable, with none of the caller's settings.
pub fn holdfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for (name, _) in std::env::vars() {
        if name.starts_with("HOLDFAST_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    // Without a terminal the server would log JSON, and say its last words in it.
    command.env("HOLDFAST_LOG_FORMAT", "plain");
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    holdfast().args(arguments).output().expect("the executable starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ten free ports for each of so many nodes. The range is below those that the kernel gives to outgoing connections.
pub fn port_base(nodes: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 12_000 + u16::try_from(std::process::id() % 100).expect("small") * 100;
    loop {
        let base = start + NEXT.fetch_add(10 * nodes, Ordering::Relaxed);
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (0..nodes).all(|node| (0..3).all(|port| free(base + 10 * node + port))) {
            return base;
        }
    }
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}
