//! What happened, line by line, and a hash over all of it: equal hashes are how a run shows that it was the same.
//!
//! The short hash (times, nodes, kinds) is always kept. The full one covers the readable lines, whose making costs more
//! than the simulation itself; it is kept when lines are printed or when determinism is tested.

/// How much of a run is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// Only the short hash.
    #[default]
    Hash,
    /// Lines are made and hashed, not printed.
    HashLines,
    /// Lines are printed.
    Print,
}

/// The trace of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    detail: Detail,
    hash: u64,
}

impl Trace {
    /// A trace with nothing in it.
    #[must_use]
    pub const fn new(detail: Detail) -> Self {
        Self {
            detail,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Whether lines are wanted.
    #[must_use]
    pub fn wants_lines(&self) -> bool {
        self.detail != Detail::Hash
    }

    /// Adds facts to the hash.
    pub fn mix(&mut self, facts: [u64; 4]) {
        for fact in facts {
            self.hash = (self.hash ^ fact).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }

    /// Adds a line, made only if lines are wanted.
    pub fn line(&mut self, now_us: u64, make: impl FnOnce() -> String) {
        if !self.wants_lines() {
            return;
        }
        let line = make();
        if self.detail == Detail::Print {
            println!("{:>10}.{:06} {line}", now_us / 1_000_000, now_us % 1_000_000);
        }
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.hash = self.hash.rotate_left(23);
    }

    /// The hash over everything so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }
}
