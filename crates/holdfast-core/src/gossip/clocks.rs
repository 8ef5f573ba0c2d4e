//! Whose clock is wrong (rule S4). Every datagram says what its sender's wall clock showed; a node whose own is far from
//! the median of what it hears does not coordinate while another can: its dots would lie where they should not, and what it
//! sends may be taken for a message from long ago (rule G2).
//!
//! A datagram that took long makes its sender's clock look slow and never fast, so of several the highest reading counts.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::NodeId;
use crate::time::Now;

/// Further from the median than this, a clock is wrong, in milliseconds.
pub const CLOCK_OFF_MS: u64 = 10_000;
/// And right again when it is this much closer, so that one at the edge is not both every second.
const CLOCK_MARGIN_MS: u64 = 1_000;
/// A reading counts until a later one exceeds it, and no longer than this.
const READING_US_MAX: u64 = 10_000_000;
/// What was not heard for so long is not counted. Long: a clock that was right is so still, and who is off must not believe
/// itself again because a third member is down.
const HEARD_US_MAX: u64 = 24 * 3_600_000_000;
/// One's own clock and one other: nobody can say which is wrong.
const CLOCKS_MIN: usize = 3;

/// The clocks of the other members.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    heard: BTreeMap<NodeId, Reading>,
    /// By how much this node's clock is ahead of the median, if that is too much; as last judged.
    off_ms: Option<i64>,
    /// This node's wall clock above its monotonic one when it was last judged.
    judged: i64,
}

/// A member's wall clock, above this node's monotonic clock: that one does not jump, so a jump of this node's own wall clock
/// shows at once. In milliseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    above: i64,
    read_us: u64,
    heard_us: u64,
}

impl Clocks {
    /// A member said what its clock showed. Whether it was the first time.
    pub(super) fn hear(&mut self, now: Now, from: NodeId, wall_ms: u64) -> bool {
        let new = Reading {
            above: above(wall_ms, now),
            read_us: now.mono_us,
            heard_us: now.mono_us,
        };
        let is_first = !self.heard.contains_key(&from);
        let reading = self.heard.entry(from).or_insert(new);
        reading.heard_us = now.mono_us;
        if new.above >= reading.above || now.mono_us.saturating_sub(reading.read_us) > READING_US_MAX {
            *reading = new;
        }
        is_first
    }

    /// By how much a member's clock is ahead of this node's, in milliseconds.
    pub(super) fn ahead_ms(&self, now: Now, node: NodeId) -> Option<i64> {
        let reading = self.heard.get(&node)?;
        reading.is_fresh(now).then(|| reading.above - above(now.wall_ms, now))
    }

    /// Compares this node's clock with the median; says whether the verdict is another than before.
    pub(super) fn judge(&mut self, now: Now) -> bool {
        let was_off = self.off_ms.is_some();
        self.judged = above(now.wall_ms, now);
        let limit_ms = if was_off {
            CLOCK_OFF_MS - CLOCK_MARGIN_MS
        } else {
            CLOCK_OFF_MS
        };
        self.off_ms = self
            .ahead_of_median_ms(now)
            .filter(|ahead| ahead.unsigned_abs() > limit_ms);
        was_off != self.off_ms.is_some()
    }

    /// Whether a member's clock is near the median, as far as is known.
    pub(super) fn is_right(&self, now: Now, node: NodeId) -> bool {
        match (self.ahead_ms(now, node), self.ahead_of_median_ms(now)) {
            (Some(ahead_ms), Some(own_ms)) => own_ms.saturating_add(ahead_ms).unsigned_abs() <= CLOCK_OFF_MS,
            _ => true,
        }
    }

    /// Whether this node's clock jumped since it was judged.
    pub(super) fn has_jumped(&self, now: Now) -> bool {
        self.judged.abs_diff(above(now.wall_ms, now)) > CLOCK_MARGIN_MS
    }

    /// By how much this node's clock is ahead of the median (negative: behind), if that is too much.
    pub(super) const fn off_ms(&self) -> Option<i64> {
        self.off_ms
    }

    fn ahead_of_median_ms(&self, now: Now) -> Option<i64> {
        let own = above(now.wall_ms, now);
        let heard = self.heard.values().filter(|reading| reading.is_fresh(now));
        let mut clocks: Vec<i64> = heard.map(|reading| reading.above).chain([own]).collect();
        clocks.sort_unstable();
        if clocks.len() < CLOCKS_MIN {
            return None;
        }
        // Of an even number the middle one that speaks for this node.
        let middle = [clocks[(clocks.len() - 1) / 2], clocks[clocks.len() / 2]];
        middle
            .into_iter()
            .map(|median| own - median)
            .min_by_key(|ahead| ahead.unsigned_abs())
    }
}

impl Reading {
    const fn is_fresh(&self, now: Now) -> bool {
        now.mono_us.saturating_sub(self.heard_us) <= HEARD_US_MAX
    }
}

/// A wall clock above this node's monotonic clock. What somebody else's shows may be any number.
fn above(wall_ms: u64, now: Now) -> i64 {
    let wall_ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    wall_ms.saturating_sub_unsigned(now.mono_us / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_800_000_000_000;

    fn at(mono_ms: u64, wall_ms: u64) -> Now {
        Now {
            wall_ms,
            mono_us: mono_ms * 1_000,
        }
    }

    /// A node that hears clocks which are ahead of its own by so much.
    fn hearing(ahead_ms: &[i64]) -> (Clocks, Now) {
        let now = at(5_000, START_MS);
        let mut clocks = Clocks::default();
        for (node, ahead) in ahead_ms.iter().enumerate() {
            clocks.hear(now, NodeId(node as u64), START_MS.saturating_add_signed(*ahead));
        }
        clocks.judge(now);
        (clocks, now)
    }

    #[test]
    fn the_median_says_who_is_wrong() {
        for (heard, off_ms) in [
            (&[][..], None),
            (&[90_000], None),
            (&[90_000, 90_000], Some(-90_000)),
            (&[-90_000, -90_500], Some(90_000)),
            (&[90_000, 0], None),
            (&[90_000, 9_000], None),
            (&[90_000, 50_000, 0], None),
            (&[90_000, 50_000, 40_000], Some(-40_000)),
            (&[10_000, 10_000], None),
            (&[10_001, 10_001], Some(-10_001)),
        ] {
            assert_eq!(hearing(heard).0.off_ms(), off_ms, "{heard:?}");
        }
    }

    #[test]
    fn of_the_others_those_near_the_median_are_right() {
        let (clocks, now) = hearing(&[0, 20_000, -90_000, 1_000]);
        let right = [0, 1, 2, 3, 9].map(|node| clocks.is_right(now, NodeId(node)));
        assert_eq!(right, [true, false, false, true, true]);
        let (clocks, now) = hearing(&[90_000, 90_500]);
        assert!(clocks.is_right(now, NodeId(0)) && clocks.off_ms().is_some());
    }

    #[test]
    fn a_jump_of_ones_own_clock_is_seen_at_once() {
        let (mut clocks, now) = hearing(&[0, 0, 0]);
        let jumped = at(now.mono_us / 1_000, START_MS - 70_000);
        assert!(!clocks.has_jumped(now) && clocks.has_jumped(jumped));
        assert!(clocks.judge(jumped));
        assert_eq!(clocks.off_ms(), Some(-70_000));
        assert!(clocks.judge(now), "and back");
        assert_eq!(clocks.off_ms(), None);
    }

    #[test]
    fn late_datagrams_make_nobody_slow_and_clocks_that_were_set_back_are_believed_in_time() {
        let (mut clocks, now) = hearing(&[0, 0]);
        for node in [0, 1] {
            clocks.hear(now, NodeId(node), START_MS - 30_000);
        }
        assert!(!clocks.judge(now));
        let later = at(5_000 + 10_001, START_MS + 10_001);
        for node in [0, 1] {
            clocks.hear(later, NodeId(node), START_MS + 10_001 - 30_000);
        }
        assert!(clocks.judge(later));
        assert_eq!(clocks.off_ms(), Some(30_000));
    }

    #[test]
    fn who_fell_silent_is_not_counted() {
        let (mut clocks, now) = hearing(&[90_000, 90_000]);
        assert_eq!(clocks.ahead_ms(now, NodeId(1)), Some(90_000));
        let later = at(now.mono_us / 1_000 + 3_600_000, START_MS + 3_600_000);
        assert!(!clocks.judge(later), "an hour is not too long");
        assert!(clocks.off_ms().is_some());
        let later = at(now.mono_us / 1_000 + 86_400_001, START_MS + 86_400_001);
        assert!(clocks.judge(later));
        assert_eq!((clocks.off_ms(), clocks.ahead_ms(later, NodeId(1))), (None, None));
    }

    #[test]
    fn a_clock_at_the_edge_is_not_both_every_second() {
        let (mut clocks, now) = hearing(&[10_500, 10_500]);
        assert!(clocks.off_ms().is_some());
        let nearer = at(now.mono_us / 1_000, START_MS + 1_000);
        assert!(!clocks.judge(nearer) && clocks.off_ms() == Some(-9_500));
        let near = at(now.mono_us / 1_000, START_MS + 1_600);
        assert!(clocks.judge(near) && clocks.off_ms().is_none());
    }

    #[test]
    fn no_number_that_somebody_sends_breaks_it() {
        let (mut clocks, now) = hearing(&[0]);
        for wall_ms in [0, 1, u64::MAX, i64::MAX as u64] {
            clocks.hear(now, NodeId(0), wall_ms);
            clocks.hear(now, NodeId(1), u64::MAX - wall_ms);
            clocks.judge(now);
            clocks.judge(at(u64::MAX / 1_000, u64::MAX));
        }
    }
}
