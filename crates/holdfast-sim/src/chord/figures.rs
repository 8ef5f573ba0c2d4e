//! What the Chord papers measured (SIGCOMM 2001, Figure 10; ToN 2003, Tables II and III), measured here.

use std::collections::BTreeSet;

use holdfast_core::chord::{Lookup, Peer, Table};
use holdfast_core::ids::{NodeId, Position};

use super::ring::{Habits, Ring};
use crate::rng::{Rng, Stream};

/// A row of figures about lookups.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    /// Lookups made.
    pub lookups: u64,
    /// Nodes on the way, summed up ([`Ring::hops`]).
    pub hops: u64,
    /// Nodes on the way that did not answer, summed up.
    pub timeouts: u64,
    /// Lookups that found nobody, or not who should answer.
    pub wrong: u64,
}

impl Row {
    /// The mean path.
    #[must_use]
    pub fn mean_hops(&self) -> f64 {
        self.hops as f64 / self.lookups.max(1) as f64
    }

    /// The mean number of nodes that did not answer.
    #[must_use]
    pub fn mean_timeouts(&self) -> f64 {
        self.timeouts as f64 / self.lookups.max(1) as f64
    }

    fn add(&mut self, lookup: &Lookup, owner: Option<Peer>) {
        self.lookups += 1;
        self.hops += Ring::hops(lookup) as u64;
        self.timeouts += lookup.timeouts() as u64;
        self.wrong += u64::from(lookup.found() != owner);
    }
}

/// A ring at rest, of which some members are dead and nobody knows yet.
pub struct Still {
    tables: Vec<Table>,
    dead: BTreeSet<NodeId>,
    living: Vec<Peer>,
}

impl Still {
    /// So many nodes, each of which knows its successors and fingers.
    #[must_use]
    pub fn new(count: u64, kept: usize) -> Self {
        let mut peers: Vec<Peer> = (0..count).map(|node| Peer::of(NodeId(node))).collect();
        peers.sort_unstable();
        let tables = peers
            .iter()
            .map(|me| Table::found_in_order(*me, &peers, kept))
            .collect();
        Self {
            tables,
            dead: BTreeSet::new(),
            living: peers,
        }
    }

    /// So many in a hundred die at once.
    pub fn kill(&mut self, percent: u64, rng: &mut Rng) {
        let dead = self.tables.len() as u64 * percent / 100;
        while (self.dead.len() as u64) < dead {
            let at = rng.below(self.living.len() as u64) as usize;
            self.dead.insert(self.living.remove(at).node);
        }
    }

    fn table(&self, of: Peer) -> Option<&Table> {
        let at = self.tables.binary_search_by_key(&of, Table::me).ok()?;
        Some(&self.tables[at]).filter(|table| !self.dead.contains(&table.me().node))
    }

    /// Lookups of random positions by random members.
    #[must_use]
    pub fn look_up(&self, lookups: u64, rng: &mut Rng) -> Row {
        let mut row = Row::default();
        for _ in 0..lookups {
            let to = Position(rng.next_u64());
            let mut lookup = Lookup::new(to, [*rng.pick(&self.living)]);
            while let Some(asked) = lookup.next() {
                match self.table(asked) {
                    Some(table) => lookup.said(asked, table.hop(to, lookup.dead())),
                    None => lookup.died(asked),
                }
            }
            let first = self.living.partition_point(|peer| peer.at < to);
            row.add(&lookup, self.living.get(first).or_else(|| self.living.first()).copied());
        }
        row
    }
}

/// The mean path among so many nodes.
#[must_use]
pub fn paths(count: u64, kept: usize, lookups: u64) -> Row {
    let mut rng = Rng::new(count, Stream::World);
    Still::new(count, kept).look_up(lookups, &mut rng)
}

/// Lookups right after so many in a hundred of the nodes died.
#[must_use]
pub fn failures(count: u64, kept: usize, percent: u64, lookups: u64) -> Row {
    let mut rng = Rng::new(percent, Stream::World);
    let mut still = Still::new(count, kept);
    still.kill(percent, &mut rng);
    still.look_up(lookups, &mut rng)
}

/// A lookup a second while so many nodes join, and as many die, in a thousand seconds (ToN 2003, §V-E): rounds every 15 to 45 s, an answer
/// after 50 ms each way in the mean, and 500 ms of patience.
#[must_use]
pub fn churn(count: u64, kept: usize, per_1000_s: u64, seconds: u64) -> Row {
    let habits = Habits {
        kept,
        delay_us_max: 100_000,
        round_us: (15_000_000, 45_000_000),
        patience_us: 500_000,
        flaw: None,
    };
    let mut ring = Ring::found(per_1000_s, count, habits);
    let mut row = Row::default();
    let (mut next_join_us, mut next_death_us) = (0, 0);
    for second in 1..=seconds {
        let until_us = second * 1_000_000;
        while next_join_us < until_us {
            ring.join();
            next_join_us += exponential(&mut ring.rng, 1_000_000_000 / per_1000_s);
        }
        while next_death_us < until_us {
            if let Some(peer) = ring.any() {
                ring.fail(peer.node);
            }
            next_death_us += exponential(&mut ring.rng, 1_000_000_000 / per_1000_s);
        }
        while ring.step(until_us) {}
        let to = Position(ring.rng.next_u64());
        if let Some(from) = ring.any() {
            let lookup = ring.look_up(from.node, to);
            row.add(&lookup, ring.owner_of(to));
        }
    }
    row
}

/// A waiting time of this mean, in microseconds.
fn exponential(rng: &mut Rng, mean_us: u64) -> u64 {
    let uniform = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    (-(1.0 - uniform).ln() * mean_us as f64) as u64
}

/// Prints all tables, the papers' figures beside them.
pub fn tell(sizes: u32) {
    println!("mean path, fingers and one successor (SIGCOMM 2001: ½·log₂ n)");
    println!("{:>8} {:>8} {:>10} {:>7}", "nodes", "hops", "½·log₂ n", "ratio");
    for power in 6..=sizes {
        let (row, half) = (paths(1 << power, 1, 20_000), f64::from(power) / 2.0);
        println!(
            "{:>8} {:>8.2} {half:>10.1} {:>7.3}",
            1 << power,
            row.mean_hops(),
            row.mean_hops() / half
        );
    }
    println!("\n1,000 nodes, lists of 20, so many dead at once (in brackets: ToN 2003, Table II)");
    println!("{:>8} {:>16} {:>16} {:>8}", "dead", "hops", "timeouts", "wrong");
    let paper = [
        (0, 3.84, 0.0),
        (10, 4.03, 0.60),
        (20, 4.22, 1.17),
        (30, 4.44, 2.02),
        (40, 4.69, 3.23),
        (50, 5.09, 5.10),
    ];
    for (percent, hops, timeouts) in paper {
        let row = failures(1_000, 20, percent, 10_000);
        println!(
            "{percent:>7}% {:>8.2} ({hops:.2}) {:>8.2} ({timeouts:.2}) {:>8}",
            row.mean_hops(),
            row.mean_timeouts(),
            row.wrong
        );
    }
    println!(
        "\n1,000 nodes, lists of 20, so many joins and deaths a second, 10,000 lookups (in brackets: ToN 2003, Table III)"
    );
    println!("{:>8} {:>16} {:>16} {:>12}", "rate", "hops", "timeouts", "wrong");
    let paper = [
        (50, 3.90, 0.05, 0),
        (100, 3.83, 0.11, 0),
        (150, 3.84, 0.16, 2),
        (200, 3.81, 0.23, 5),
        (250, 3.83, 0.30, 6),
        (300, 3.91, 0.34, 8),
        (350, 3.94, 0.42, 16),
        (400, 4.06, 0.46, 15),
    ];
    for (rate, hops, timeouts, wrong) in paper {
        let row = churn(1_000, 20, rate, 10_000);
        println!(
            "{:>8.2} {:>8.2} ({hops:.2}) {:>8.2} ({timeouts:.2}) {:>7} ({wrong})",
            rate as f64 / 1_000.0,
            row.mean_hops(),
            row.mean_timeouts(),
            row.wrong
        );
    }
}
