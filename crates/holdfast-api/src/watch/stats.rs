//! What a node tells of itself to those who watch: how busy it is, and what it holds for others.

use std::time::Duration;

use holdfast_core::ids::NodeId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::objects::ClusterView;
use crate::serve::Pulse;

/// Homes named in one telling; a node that holds hints for more names those it holds most for.
const HOMES_MAX: usize = 8;

/// What came within a time.
pub(crate) struct Lately<'a> {
    pub(crate) pulse: &'a Pulse,
    pub(crate) over: Duration,
}

/// A shorter time says nothing of rates.
const OVER_MIN: Duration = Duration::from_millis(250);

/// What a node tells of itself. Rates are null where the time is too short to say
#[derive(Serialize, ToSchema)]
pub(crate) struct Figures {
    requests_per_s: Option<f64>,
    failed_per_s: Option<f64>,
    bytes_in_per_s: Option<f64>,
    bytes_out_per_s: Option<f64>,
    /// Half of the requests took no longer; null when there were none
    p50_ms: Option<f64>,
    /// 99 of 100 took no longer
    p99_ms: Option<f64>,
    /// Requests under way
    in_flight: usize,
    /// Requests that are kept for members that have not answered yet
    for_slow_members: usize,
    /// Requests refused since the start because too many were under way
    refused: u64,
    /// Memory of the process that is in RAM; null where the system does not tell
    memory_bytes: Option<u64>,
    disk_used_bytes: Option<u64>,
    disk_total_bytes: Option<u64>,
    /// For whom it holds most hints
    hints: Vec<Owed>,
    /// By how much its clock is ahead of most others' (negative: behind), if that is too much
    clock_off_ms: Option<i64>,
    /// Since it started to serve
    uptime_s: u64,
}

/// Hints that a node holds for another
#[derive(Serialize, ToSchema)]
struct Owed {
    /// Id of the home that is owed them
    #[serde(rename = "for")]
    home: String,
    count: u64,
}

/// This node's figures.
pub(crate) fn own_stats(view: &ClusterView, lately: &Lately<'_>, uptime: Duration) -> Figures {
    let Lately { pulse: lately, over } = lately;
    let rate = |count: u64| (*over >= OVER_MIN).then(|| (count as f64 / over.as_secs_f64() * 10.0).round() / 10.0);
    let own = view.members.iter().find(|member| member.id == view.node);
    let facts = own.and_then(|member| member.facts.as_ref());
    let mut owed: Vec<_> = view.members.iter().filter(|member| member.hints_owed > 0).collect();
    owed.sort_by_key(|member| std::cmp::Reverse(member.hints_owed));
    let hints = owed.iter().take(HOMES_MAX).map(|member| Owed {
        home: member.id.to_string(),
        count: member.hints_owed,
    });
    Figures {
        requests_per_s: rate(lately.requests),
        failed_per_s: rate(lately.failed),
        bytes_in_per_s: rate(lately.bytes_in),
        bytes_out_per_s: rate(lately.bytes_out),
        p50_ms: lately.quantile_ms(500),
        p99_ms: lately.quantile_ms(990),
        in_flight: view.load.in_flight,
        for_slow_members: view.load.stragglers,
        refused: view.load.refused,
        memory_bytes: memory_bytes(),
        disk_used_bytes: facts.map(|facts| facts.disk_used_bytes),
        disk_total_bytes: facts.map(|facts| facts.disk_total_bytes),
        hints: hints.collect(),
        clock_off_ms: view.clock_off_ms,
        uptime_s: uptime.as_secs(),
    }
}

/// For whom the teller of these figures holds hints, and how many. Members only: it is what another node says.
pub(super) fn hints_in(stats: &Value, view: &ClusterView) -> impl Iterator<Item = (NodeId, u64)> {
    let told = stats["hints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = told.iter().take(HOMES_MAX).filter_map(|hint| {
        let home = hint["for"].as_str()?;
        let member = view.members.iter().find(|member| member.id.to_string() == home)?;
        Some((member.id, hint["count"].as_u64()?))
    });
    found.collect::<Vec<_>>().into_iter()
}

/// Memory of this process that is in RAM; `None` where the system does not tell.
fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::memory_bytes;

    #[test]
    fn a_process_has_some_memory() {
        if cfg!(target_os = "linux") {
            assert!(memory_bytes().is_some_and(|bytes| bytes > 100 * 1024));
        }
    }
}
