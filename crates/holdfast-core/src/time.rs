//! Time as the core sees it: two readings, taken by the shell once per input.

/// What the shell's clocks said when an input arrived.
///
/// Wall time names writes and tells users when; monotonic time measures waits. Neither is ever read by the core itself,
/// so the simulator can make clocks differ, jump and drift.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Unix time in milliseconds; may jump either way.
    pub wall_ms: u64,
    /// Microseconds since the process started; never runs backwards.
    pub mono_us: u64,
}

impl Now {
    /// The monotonic time `millis` from now, in microseconds.
    #[must_use]
    pub const fn after_ms(self, millis: u64) -> u64 {
        self.mono_us.saturating_add(millis.saturating_mul(1000))
    }

    /// The monotonic time `micros` from now, in microseconds.
    #[must_use]
    pub const fn after_us(self, micros: u64) -> u64 {
        self.mono_us.saturating_add(micros)
    }
}
