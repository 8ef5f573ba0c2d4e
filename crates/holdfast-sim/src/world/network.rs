//! Links between members: how long a message takes, whether it comes at all, or twice, or a minute late.
//!
//! Each ordered pair of members is a link of its own, so that one direction can fail alone. What a link does to a message
//! is decided when the message is sent; whether the link is cut is asked again when it would arrive. A message never
//! reaches a later process than it was sent to: a connection dies with its session (rule G2).

use crate::rng::Rng;

/// The longest that a late message takes: below the longest message life D of rule G2.
const LATE_US_MAX: u64 = 55_000_000;

/// What is wrong with a link at present; all chances are per mille.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// Chance of loss.
    pub loss: u64,
    /// Chance of a second delivery.
    pub double: u64,
    /// Chance of coming late.
    pub late: u64,
    /// Latency varies by up to this factor, and messages may overtake each other.
    pub disorder: u64,
}

/// One direction of one pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Link {
    trouble: Trouble,
    cuts: u32,
    last_arrival_us: u64,
    /// When it last changed whether it is cut or troubled.
    changed_us: u64,
}

/// All links.
#[derive(Debug)]
pub struct Network {
    members: usize,
    latency_us: u64,
    links: Vec<Link>,
}

/// When a message arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fate {
    /// First arrival; `None` when it is lost.
    pub arrival_us: Option<u64>,
    /// Second arrival.
    pub again_us: Option<u64>,
    /// Whether the first is seconds late.
    pub late: bool,
}

impl Network {
    /// Links that all work.
    #[must_use]
    pub fn new(members: usize, latency_us: u64) -> Self {
        Self {
            members,
            latency_us,
            links: vec![Link::default(); members * members],
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.members + to]
    }

    /// Whether one direction is cut.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links[from * self.members + to].cuts > 0
    }

    /// Since when one direction carries everything in order, if it does.
    #[must_use]
    pub fn good_since(&self, from: usize, to: usize) -> Option<u64> {
        let link = &self.links[from * self.members + to];
        (link.cuts == 0 && link.trouble == Trouble::default()).then_some(link.changed_us)
    }

    /// Cuts one direction, or takes one cut back. Cuts of several faults add up.
    pub fn cut(&mut self, now_us: u64, from: usize, to: usize, on: bool) {
        let link = self.link(from, to);
        link.changed_us = now_us;
        link.cuts = if on { link.cuts + 1 } else { link.cuts.saturating_sub(1) };
    }

    /// Changes what is wrong with one direction.
    pub fn trouble(&mut self, now_us: u64, from: usize, to: usize, change: impl FnOnce(&mut Trouble)) {
        let link = self.link(from, to);
        link.changed_us = now_us;
        change(&mut link.trouble);
    }

    /// Everything works again.
    pub fn heal(&mut self, now_us: u64) {
        for link in &mut self.links {
            if link.cuts > 0 || link.trouble != Trouble::default() {
                link.changed_us = now_us;
            }
            link.cuts = 0;
            link.trouble = Trouble::default();
        }
    }

    /// Decides what becomes of a message of a session. A connection that holds what it cannot deliver tries again when the
    /// link works, as TCP does.
    pub fn send(&mut self, rng: &mut Rng, now_us: u64, from: usize, to: usize, holds: bool) -> Fate {
        self.decide(rng, now_us, from, to, true, holds)
    }

    /// Decides what becomes of a datagram, which keeps no order.
    pub fn send_datagram(&mut self, rng: &mut Rng, now_us: u64, from: usize, to: usize) -> Fate {
        self.decide(rng, now_us, from, to, false, false)
    }

    fn decide(&mut self, rng: &mut Rng, now_us: u64, from: usize, to: usize, ordered: bool, holds: bool) -> Fate {
        let latency_us = self.latency_us;
        let link = self.link(from, to);
        let trouble = link.trouble;
        let lost = link.cuts > 0 && !holds || rng.per_mille(trouble.loss);
        let mut arrival_us = now_us + latency_us + rng.below(latency_us);
        if trouble.disorder > 0 {
            arrival_us += rng.below(latency_us * trouble.disorder);
        } else if ordered {
            // A working link keeps its order, as TCP does.
            arrival_us = arrival_us.max(link.last_arrival_us + 1);
            link.last_arrival_us = arrival_us;
        }
        let late = rng.per_mille(trouble.late);
        if late {
            arrival_us = now_us + rng.spread(1_000_000, LATE_US_MAX);
        }
        let again_us = rng
            .per_mille(trouble.double)
            .then(|| arrival_us + rng.spread(100, 20_000_000));
        Fate {
            arrival_us: (!lost).then_some(arrival_us),
            again_us: again_us.filter(|_| !lost),
            late,
        }
    }
}
