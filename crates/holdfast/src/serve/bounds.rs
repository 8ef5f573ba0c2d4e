//! How much of the machine clients may take: connections, by the files and the memory that the process has; memory for bodies
//! under way. What is kept from them is for the store, the other nodes and whoever looks what is wrong.
//!
//! Bounds that follow the machine are chosen here, once, at the start; what a client meets at a bound is in
//! docs/operations.md, "Limits".

use std::fs;
use std::path::Path;

use tracing::{info, warn};

use crate::config::Config;

/// Connections of clients, where files and memory are plenty.
const CONNECTIONS_MAX: u64 = 4_096;
/// However small the machine.
const CONNECTIONS_MIN: u64 = 64;
/// What a connection may hold before anything is known of who made it: the largest buffer for a request's head, and its task.
const CONNECTION_BYTES: u64 = 512 << 10;
/// Files of the store (segments and rows that are open), the listeners, handshakes of nodes, connections being turned away.
const FILES_KEPT: u64 = 1_280;
/// Files for each other node: connections both ways, those for large messages, and as many of a session that is about to end.
const FILES_PER_MEMBER: u64 = 24;
/// Members whose files are kept: more than most clusters have. How many there are is not known yet.
const MEMBERS_ASSUMED: u64 = 32;
/// Of the memory so much is for bodies under way, and so much for the connections.
const SHARE: u64 = 4;
/// Memory for bodies where nobody says otherwise.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 64 << 20..=2 << 30;
/// What is assumed of a machine that does not tell how much memory it has.
const MEMORY_BYTES_UNKNOWN: u64 = 4 << 30;

/// What clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Connections at once, both ports together.
    pub connections_max: usize,
    /// Memory for bodies under way, in bytes.
    pub body_bytes_max: u64,
}

/// What the machine lets this process have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Machine {
    files_max: u64,
    memory_bytes: u64,
}

/// Decides, and says so.
pub fn decide(config: &Config, files_max: u64) -> Bounds {
    let machine = Machine {
        files_max,
        memory_bytes: memory_bytes().unwrap_or(MEMORY_BYTES_UNKNOWN),
    };
    let bounds = Bounds {
        connections_max: connections(machine, config.connections_max, FILES_PER_MEMBER * MEMBERS_ASSUMED),
        body_bytes_max: config.body_memory_bytes.unwrap_or_else(|| body_bytes(machine)),
    };
    if config
        .connections_max
        .is_some_and(|wanted| wanted > bounds.connections_max as u64)
    {
        warn!(
            connections_max = bounds.connections_max,
            files_max,
            "more connections were asked for than this process may open files; raise LimitNOFILE or ulimit -n"
        );
    }
    info!(
        connections_max = bounds.connections_max,
        body_mib_max = bounds.body_bytes_max >> 20,
        files_max,
        memory_mib = machine.memory_bytes >> 20,
        "what clients may take"
    );
    bounds
}

fn connections(machine: Machine, wanted: Option<u64>, files_of_members: u64) -> usize {
    // A process that may open few files keeps half of them: it has few segments and members, or will find out.
    let kept = (FILES_KEPT + files_of_members).min(machine.files_max / 2);
    let by_files = machine.files_max.saturating_sub(kept);
    let by_memory = (machine.memory_bytes / SHARE / CONNECTION_BYTES).max(CONNECTIONS_MIN);
    let connections = wanted.unwrap_or(CONNECTIONS_MAX.min(by_memory)).min(by_files).max(1);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

fn body_bytes(machine: Machine) -> u64 {
    (machine.memory_bytes / SHARE).clamp(*BODY_BYTES.start(), *BODY_BYTES.end())
}

/// Memory that this process may use: of the machine, or of the control group that it is in, whichever is less.
fn memory_bytes() -> Option<u64> {
    let of_machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_of(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = group_limits(Path::new("/sys/fs/cgroup"), &groups).into_iter().min();
    of_machine.into_iter().chain(of_groups).min()
}

/// `MemTotal` of `/proc/meminfo`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Limits of the groups that `/proc/self/cgroup` names, and of those above them. Within a container the name may be one of
/// the host's, of which only the root is seen.
fn group_limits(root: &Path, groups: &str) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            "memory" => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut group = Path::new(group.trim_start_matches('/'));
        loop {
            let text = fs::read_to_string(root.join(group).join(file)).unwrap_or_default();
            // `max` is none.
            limits.extend(text.trim().parse::<u64>());
            match group.parent() {
                Some(parent) => group = parent,
                None => break,
            }
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    const fn machine(files_max: u64, memory_bytes: u64) -> Machine {
        Machine {
            files_max,
            memory_bytes,
        }
    }

    #[test]
    fn connections_leave_files_and_memory_to_the_rest() {
        assert_eq!(connections(machine(65_536, 8 * GIB), None, 768), 4_096);
        // A container of half a gigabyte.
        assert_eq!(connections(machine(65_536, GIB / 2), None, 768), 256);
        // A shell that was never told otherwise.
        assert_eq!(connections(machine(1_024, 8 * GIB), None, 768), 512);
        // Who asks for more gets what there are files for.
        assert_eq!(connections(machine(65_536, GIB / 2), Some(10_000), 768), 10_000);
        assert_eq!(connections(machine(4_096, 8 * GIB), Some(10_000), 768), 2_048);
        assert_eq!(connections(machine(65_536, 8 * GIB), Some(0), 768), 1);
    }

    #[test]
    fn bodies_take_a_quarter_of_the_memory_within_reason() {
        assert_eq!(body_bytes(machine(0, 4 * GIB)), GIB);
        assert_eq!(body_bytes(machine(0, GIB / 8)), 64 << 20);
        assert_eq!(body_bytes(machine(0, 512 * GIB)), 2 * GIB);
    }

    #[test]
    fn the_memory_of_this_machine_is_found_where_it_tells() {
        assert_eq!(
            total_of("MemTotal:        8000000 kB\nMemFree: 1 kB\n"),
            Some(8_192_000_000)
        );
        assert_eq!(total_of("nothing"), None);
        if Path::new("/proc/meminfo").exists() {
            assert!(memory_bytes().expect("it tells") > 64 << 20);
        }
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = std::env::temp_dir().join(format!("holdfast-groups-{}", std::process::id()));
        let inner = root.join("outer/inner");
        fs::create_dir_all(&inner).expect("made");
        fs::write(root.join("outer/memory.max"), "1000\n").expect("written");
        fs::write(inner.join("memory.max"), "max\n").expect("written");
        assert_eq!(group_limits(&root, "0::/outer/inner\n"), [1_000]);
        assert_eq!(group_limits(&root, "1:name=systemd:/\n"), [0; 0]);
        fs::remove_dir_all(&root).expect("removed");
    }
}
