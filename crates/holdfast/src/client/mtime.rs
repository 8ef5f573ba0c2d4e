//! When a file was last changed, kept with its object as rclone keeps it: `x-amz-meta-mtime`, seconds since 1970 with as many
//! decimals as there are. A tool that knows the one knows the other.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The header it is kept in.
pub const HEADER: &str = "x-amz-meta-mtime";

const NANOS: i128 = 1_000_000_000;

/// That of a file; empty where the file system knows none.
pub fn of(metadata: &Metadata) -> String {
    metadata.modified().map(to_text).unwrap_or_default()
}

/// As metadata write it.
pub fn to_text(time: SystemTime) -> String {
    let nanos = nanos_of(time);
    let (sign, nanos) = if nanos < 0 { ("-", -nanos) } else { ("", nanos) };
    let decimals = format!("{:09}", nanos % NANOS);
    let decimals = decimals.trim_end_matches('0');
    let dot = if decimals.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{decimals}", nanos / NANOS)
}

/// What metadata say, if it is a time.
pub fn parse(text: &str) -> Option<SystemTime> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || seconds.len() > 12 || !digits(seconds) || !digits(decimals) {
        return None;
    }
    let decimals: String = decimals.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos: i128 = sign * (seconds.parse::<i128>().ok()? * NANOS + decimals.parse::<i128>().ok()?);
    let part = Duration::from_nanos(u64::try_from(nanos.abs()).ok()?);
    if nanos < 0 {
        UNIX_EPOCH.checked_sub(part)
    } else {
        UNIX_EPOCH.checked_add(part)
    }
}

/// Whether two are the same as far as file systems and tools keep them: to the microsecond.
pub fn are_same(one: SystemTime, other: SystemTime) -> bool {
    (nanos_of(one) - nanos_of(other)).abs() < 1_000
}

fn nanos_of(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lead_back_and_are_written_as_rclone_writes_them() {
        for text in [
            "0",
            "1700000000",
            "1700000000.123456789",
            "1700000000.5",
            "-1.5",
            "1.000000001",
        ] {
            assert_eq!(to_text(parse(text).expect("a time")), text);
        }
        for text in ["", "-", "1.x", "x", "1e9", "+1", " 1", "1234567890123", "."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn microseconds_decide() {
        let time = |text| parse(text).expect("a time");
        assert!(are_same(time("1.000000001"), time("1.000000900")));
        assert!(!are_same(time("1.000001"), time("1.000003")));
    }
}
