//! What the machine must offer before a node may run on it: a clock that is not absurd, and enough open files.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::failure::Failure;

/// 2026-01-01: no Holdfast ran before.
const CLOCK_SECONDS_MIN: u64 = 1_767_225_600;
/// 2100-01-01. A tick written in a far future would outrank every write until then (rule D1).
const CLOCK_SECONDS_MAX: u64 = 4_102_444_800;

/// Connections of clients and peers, segments and rows, many times over.
const OPEN_FILES_WANTED: u64 = 65_536;
/// Below this there are fewer connections than a busy node may want; `bounds.rs` sees to it that they do not take all files.
const OPEN_FILES_MIN: u64 = 8_192;

/// Refuses to run on a clock that can only be wrong.
pub fn check_clock() -> Result<(), Failure> {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    check_seconds(seconds)
}

fn check_seconds(seconds: u64) -> Result<(), Failure> {
    if (CLOCK_SECONDS_MIN..CLOCK_SECONDS_MAX).contains(&seconds) {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "this machine's clock says {} seconds since 1970, which cannot be",
            seconds
        ),
        "set it, and keep it set: timedatectl set-ntp true",
    ))
}

/// Raises the limit of open files to what a busy node needs; the usual 1,024 are fewer than its connections. Returns how many
/// may be open.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(OPEN_FILES_WANTED);
    let wanted = OPEN_FILES_WANTED.min(hard);
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        );
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if now < OPEN_FILES_MIN {
        warn!(
            limit = now,
            "few files may be open at once; raise it (LimitNOFILE in systemd, ulimit -n in a shell)"
        );
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_possible_clocks_are_taken() {
        check_clock().expect("this machine's clock is set");
        assert!(check_seconds(0).is_err());
        assert!(check_seconds(CLOCK_SECONDS_MIN - 1).is_err());
        assert!(check_seconds(CLOCK_SECONDS_MAX).is_err());
    }
}
