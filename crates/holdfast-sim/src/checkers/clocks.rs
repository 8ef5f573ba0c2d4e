//! *A node that says its clock is off begins no write that another home can begin* (S4).
//!
//! Judged by what the node itself says at that moment, of its own clock and of the others: whether that is true is not
//! judged here, so the checker is never wrong about correct nodes. What was begun while nobody else could is carried through: the
//! node's first dot of an attempt that it carries on comes with the second round, and is not the beginning. What a write begun all
//! the same would leave behind is covered by whoever does it next (D7), so no reader shows it.

use holdfast_core::gossip::{CLOCK_OFF_MS, MemberView};
use holdfast_core::ids::NodeId;

/// A home as the node sees it that begins a write.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// Which.
    pub node: NodeId,
    /// Whether it is used.
    pub is_up: bool,
    /// By how much its clock is ahead of the node's own, in milliseconds, if it was heard.
    pub ahead_ms: Option<i64>,
}

impl Other {
    /// Out of what a node sees of a member.
    #[must_use]
    pub const fn new(view: &MemberView, is_up: bool) -> Self {
        Self {
            node: view.node,
            is_up,
            ahead_ms: view.clock_ahead_ms,
        }
    }
}

/// By how much a node's clock is ahead of the median of it and these, which are by so much ahead of it; as the node counts.
fn ahead_of_median_ms(others: &[i64]) -> i64 {
    let mut clocks: Vec<i64> = others.iter().copied().chain([0]).collect();
    clocks.sort_unstable();
    let middle = [clocks[(clocks.len() - 1) / 2], clocks[clocks.len() / 2]];
    let own = middle.map(|median| -median);
    own.into_iter().min_by_key(|ahead| ahead.unsigned_abs()).unwrap_or(0)
}

/// Judges the beginning of a write by a node that says its clock is off. `heard` are the clocks of all members that it has
/// heard, ahead of its own by so much; `others` the other homes but whoever handed the write over.
#[must_use]
pub fn check_begun(name: usize, heard: &[i64], others: &[Other]) -> Option<String> {
    let off_ms = ahead_of_median_ms(heard);
    if off_ms.unsigned_abs() <= CLOCK_OFF_MS {
        // What it has heard since it last judged its clock says otherwise.
        return None;
    }
    let is_right = |ahead_ms: i64| off_ms.saturating_add(ahead_ms).unsigned_abs() <= CLOCK_OFF_MS;
    let better = others
        .iter()
        .find(|other| other.is_up && other.ahead_ms.is_some_and(is_right))?;
    Some(format!(
        "n{name}, whose clock is {off_ms} ms ahead, begins a write that {} could begin",
        better.node
    ))
}
