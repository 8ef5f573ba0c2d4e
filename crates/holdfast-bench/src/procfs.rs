//! What other processes spent, as Linux tells it under `/proc`.

use std::fs;

/// The kernel shows CPU time in hundredths of a second on every architecture, whatever its own tick is.
const CPU_TICKS_PER_S: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    pub cpu_s: f64,
    /// Bytes that the kernel was made to send to the disk.
    pub written_bytes: u64,
    /// The largest resident size of any one of the processes.
    pub resident_bytes_max: u64,
    /// The same at its peak since `forget_peaks`.
    pub peak_bytes_max: u64,
}

/// Sums over the processes; one that has gone counts nothing.
pub fn usage(pids: &[u32]) -> Usage {
    let mut usage = Usage::default();
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        usage.cpu_s += cpu_s(&stat);
        usage.written_bytes += number_after(&io, "write_bytes:");
        usage.resident_bytes_max = usage.resident_bytes_max.max(number_after(&status, "VmRSS:") * 1024);
        usage.peak_bytes_max = usage.peak_bytes_max.max(number_after(&status, "VmHWM:") * 1024);
    }
    usage
}

pub fn own_cpu_s() -> f64 {
    cpu_s(&fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// Starts the peaks anew, so that each step tells its own. Without the right to do so they only grow.
pub fn forget_peaks(pids: &[u32]) {
    for pid in pids {
        // Best effort by design: the figure is then the peak since the process began.
        drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
    }
}

/// User and system time from the fields after the command's name, which may itself hold spaces and brackets.
fn cpu_s(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // utime and stime are fields 14 and 15 of the whole line; the state after the name is field 3.
    let ticks = |field: usize| {
        fields
            .get(field - 3)
            .and_then(|ticks| ticks.parse::<u64>().ok())
            .unwrap_or(0)
    };
    (ticks(14) + ticks(15)) as f64 / CPU_TICKS_PER_S
}

fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_awkward_names() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 1 2 3";
        assert!((cpu_s(stat) - 3.0).abs() < 1e-9);
        assert!(cpu_s("") < 1e-9);
    }

    #[test]
    fn our_own_process_is_seen_and_a_missing_one_counts_nothing() {
        let own = usage(&[std::process::id()]);
        assert!(own.resident_bytes_max > 100_000 && own.peak_bytes_max >= own.resident_bytes_max);
        assert_eq!(usage(&[u32::MAX]), Usage::default());
    }
}
