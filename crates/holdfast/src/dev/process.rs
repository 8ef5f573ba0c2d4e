//! Which process runs a node, and whether it still is that process.
//!
//! A pid alone names nothing: it is given to another process sooner or later, and `dev stop` must never signal a
//! stranger. So a node's process is written down with its start time (field 22 of `/proc/PID/stat`, unique with the pid
//! within one boot) and the boot's id, and its command line must still name the node's own configuration file. (The
//! executable is not compared: it may have been rebuilt while the node runs.) Between this check and the signal the pid
//! could in theory be reused; the kernel hands out pids in turn, so that would take a whole round of them in
//! microseconds.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::dev::node::Node;
use crate::dev::state::write_secret;
use crate::failure::Failure;

/// A process, named so that it cannot be mistaken for another.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ProcessName {
    /// Its id.
    pub pid: i32,
    /// Clock ticks since boot at which it started.
    pub start_ticks: u64,
    /// Which boot.
    pub boot_id: String,
}

impl ProcessName {
    /// Names a process that runs now.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self {
            pid,
            start_ticks: start_ticks(pid)?,
            boot_id: boot_id(),
        })
    }

    /// Whether the process still runs, and runs the node with this configuration.
    pub fn runs(&self, config: &Path) -> bool {
        self.boot_id == boot_id()
            && start_ticks(self.pid) == Some(self.start_ticks)
            && command_line(self.pid).is_some_and(|line| names_config(&line, config))
    }

    /// Sends a signal. A process that has ended in the meantime is no error.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Node {
    /// The process that runs this node, if one does.
    pub fn process(&self) -> Option<ProcessName> {
        let text = std::fs::read_to_string(self.dir.join("process.json")).ok()?;
        let name: ProcessName = serde_json::from_str(&text).ok()?;
        name.runs(&self.config()).then_some(name)
    }

    /// Writes down which process runs this node.
    pub fn write_process(&self, process: &ProcessName) -> Result<(), Failure> {
        let text = serde_json::to_string(process)
            .map_err(|error| Failure::new(format!("the process cannot be written down: {error}"), "report this"))?;
        write_secret(&self.dir.join("process.json"), &text)
    }
}

fn start_ticks(pid: i32) -> Option<u64> {
    parse_start_ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program stands in parentheses and may itself hold spaces and parentheses; what counts comes after
/// the last one. A zombie has ended, whatever else its line says.
fn parse_start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // `state` is field 3; field 22 is 18 further on from field 4.
    fields.nth(18)?.parse().ok()
}

fn command_line(pid: i32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/cmdline")).ok()
}

fn names_config(command_line: &[u8], config: &Path) -> bool {
    let mut arguments = command_line.split(|byte| *byte == 0).skip(1);
    let config = config.as_os_str().as_encoded_bytes();
    arguments.next() == Some(b"server") && arguments.any(|argument| argument == config)
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_ticks_are_found_behind_odd_names() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(parse_start_ticks(&format!("42 (holdfast) S {tail}")), Some(4711));
        assert_eq!(parse_start_ticks(&format!("42 (a) S (b c) R {tail}")), Some(4711));
        assert_eq!(parse_start_ticks(&format!("42 (holdfast) Z {tail}")), None);
        assert_eq!(parse_start_ticks("42 (holdfast) S 1 2"), None);
        assert_eq!(parse_start_ticks(""), None);
    }

    #[test]
    fn only_a_server_with_this_configuration_is_ours() {
        let config = Path::new("/d/node-0/config.toml");
        assert!(names_config(
            b"/bin/holdfast\0server\0--config\0/d/node-0/config.toml\0",
            config
        ));
        assert!(!names_config(
            b"/bin/holdfast\0server\0--config\0/d/node-1/config.toml\0",
            config
        ));
        assert!(!names_config(b"vim\0/d/node-0/config.toml\0", config));
        assert!(!names_config(b"", config));
    }

    #[test]
    fn this_process_is_itself_but_no_node() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let name = ProcessName::of(pid).expect("it runs");
        assert_eq!(ProcessName::of(pid), Some(name.clone()));
        assert!(!name.runs(Path::new("/d/node-0/config.toml")));
    }

    #[test]
    fn a_process_that_ended_is_not_found() {
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let pid = i32::try_from(child.id()).expect("a pid");
        let name = ProcessName {
            pid,
            start_ticks: 1,
            boot_id: boot_id(),
        };
        child.wait().expect("ends");
        assert_eq!(ProcessName::of(pid), None);
        assert!(!name.runs(Path::new("/x")));
    }
}
