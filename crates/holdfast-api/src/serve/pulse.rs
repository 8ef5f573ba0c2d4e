//! How busy this process is, for whoever looks now: a few counters and one histogram, cheap enough to be always on.
//!
//! The histogram has four buckets to an octave, so a quantile read from it is at most a fifth too high. Nobody resets it: who
//! wants the last seconds takes two readings and asks for the difference, and two who look do not disturb each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Four to an octave, from a microsecond to beyond a minute.
const BUCKETS: usize = 108;

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static BYTES_IN: AtomicU64 = AtomicU64::new(0);
static BYTES_OUT: AtomicU64 = AtomicU64::new(0);
static TOOK: [AtomicU64; BUCKETS] = [const { AtomicU64::new(0) }; BUCKETS];

/// Operations that last as long as somebody listens, or that nobody waits for: they say nothing of latency.
const UNTIMED: [&str; 4] = ["events", "stream", "console", "-"];

/// One request that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat<'a> {
    pub(crate) operation: &'a str,
    pub(crate) failed: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) took: Duration,
}

/// Counts a request.
pub(super) fn count(beat: Beat<'_>) {
    BYTES_IN.fetch_add(beat.bytes_in, Ordering::Relaxed);
    BYTES_OUT.fetch_add(beat.bytes_out, Ordering::Relaxed);
    if UNTIMED.contains(&beat.operation) {
        return;
    }
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    FAILED.fetch_add(u64::from(beat.failed), Ordering::Relaxed);
    let took_us = u64::try_from(beat.took.as_micros()).unwrap_or(u64::MAX);
    TOOK[bucket_of(took_us)].fetch_add(1, Ordering::Relaxed);
}

/// The octave, and the quarter of it by the next two bits.
fn bucket_of(took_us: u64) -> usize {
    let took_us = took_us.max(4);
    let octave = took_us.ilog2();
    let quarter = (took_us >> (octave - 2)) & 3;
    ((octave as usize - 2) * 4 + quarter as usize).min(BUCKETS - 1)
}

/// The first duration that is beyond a bucket.
fn bound_us(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4 + 2, bucket as u64 % 4);
    (4 + quarter + 1) << (octave - 2)
}

/// A reading, or the difference of two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pulse {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    took: [u64; BUCKETS],
}

/// Everything since the process started.
pub(crate) fn pulse() -> Pulse {
    Pulse {
        requests: REQUESTS.load(Ordering::Relaxed),
        failed: FAILED.load(Ordering::Relaxed),
        bytes_in: BYTES_IN.load(Ordering::Relaxed),
        bytes_out: BYTES_OUT.load(Ordering::Relaxed),
        took: std::array::from_fn(|bucket| TOOK[bucket].load(Ordering::Relaxed)),
    }
}

impl Pulse {
    /// What came between an earlier reading and this one.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failed: self.failed.saturating_sub(earlier.failed),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            took: std::array::from_fn(|bucket| self.took[bucket].saturating_sub(earlier.took[bucket])),
        }
    }

    /// How long all but the slowest took, in milliseconds: `permille` of them at most this. `None` without requests.
    pub(crate) fn quantile_ms(&self, permille: u64) -> Option<f64> {
        let all: u64 = self.took.iter().sum();
        let wanted = (all * permille).div_ceil(1_000).max(1);
        let mut so_far = 0;
        let found = self.took.iter().position(|count| {
            so_far += count;
            so_far >= wanted
        });
        found.map(|bucket| bound_us(bucket) as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Pulse, bound_us, bucket_of};

    #[test]
    fn every_duration_is_below_the_bound_of_its_bucket_and_not_far() {
        for took_us in (4..5_000).chain([1 << 20, (1 << 20) + 1, 59_999_999]) {
            let bound = bound_us(bucket_of(took_us));
            assert!(
                took_us < bound && bound <= took_us + took_us / 4 + 1,
                "{took_us}: {bound}"
            );
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_of_the_difference() {
        let mut earlier = Pulse {
            requests: 1,
            failed: 0,
            bytes_in: 0,
            bytes_out: 0,
            took: [0; BUCKETS],
        };
        earlier.took[bucket_of(1_000_000)] = 50;
        let mut later = earlier.clone();
        later.requests += 100;
        later.took[bucket_of(1_000)] += 98;
        later.took[bucket_of(9_000)] += 2;
        let lately = later.since(&earlier);
        assert_eq!(lately.requests, 100);
        assert_eq!(lately.quantile_ms(500), Some(1.024));
        assert_eq!(lately.quantile_ms(990), Some(10.24));
        assert_eq!(earlier.since(&earlier).quantile_ms(500), None);
    }
}
