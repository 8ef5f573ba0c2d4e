//! The two clocks of a simulated node, as functions of true time: a wall clock that is off, drifts and jumps, and a
//! monotonic one that starts with the process and drifts as the same quartz does.

use holdfast_core::time::Now;

/// Unix milliseconds of true time 0.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

/// The clocks of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeClock {
    /// How far the wall clock is ahead of true time at true time 0.
    pub offset_ms: i64,
    /// How much faster than true time both clocks run, in millionths.
    pub drift_ppm: i64,
    /// True time at which the process started.
    pub started_us: u64,
}

impl NodeClock {
    fn drifted(self, span_us: u64) -> u64 {
        let drift = i128::from(span_us) * i128::from(self.drift_ppm) / 1_000_000;
        (i128::from(span_us) + drift).max(0) as u64
    }

    /// What the clocks say at a true time.
    #[must_use]
    pub fn read(self, true_us: u64) -> Now {
        let run_ms = (self.drifted(true_us) / 1_000) as i64;
        Now {
            wall_ms: EPOCH_MS.saturating_add_signed(self.offset_ms + run_ms),
            mono_us: self.drifted(true_us.saturating_sub(self.started_us)),
        }
    }

    /// The first true time at which the monotonic clock has reached `mono_us`.
    #[must_use]
    pub fn true_us_of(self, mono_us: u64) -> u64 {
        let rate = (1_000_000 + i128::from(self.drift_ppm)).max(1);
        let span = (i128::from(mono_us) * 1_000_000 + rate - 1) / rate;
        let mut at = self
            .started_us
            .saturating_add(u64::try_from(span).unwrap_or(u64::MAX / 2));
        while self.read(at).mono_us < mono_us {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_when_its_time_is_reached_whatever_the_drift() {
        for drift_ppm in [-300, 0, 7, 500] {
            let clock = NodeClock {
                offset_ms: -40,
                drift_ppm,
                started_us: 1_234_567,
            };
            for mono_us in [0, 1, 999, 1_000_001, 61_000_003] {
                let at = clock.true_us_of(mono_us);
                assert!(clock.read(at).mono_us >= mono_us);
                assert!(at == clock.started_us || clock.read(at - 2).mono_us < mono_us.max(1));
            }
        }
    }
}
