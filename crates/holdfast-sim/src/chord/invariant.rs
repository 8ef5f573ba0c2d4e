//! Zave's inductive invariant (TSE 2017, §IV): *every member has a live successor, and there are more principals than successors are
//! kept*. A principal is a member that no two neighbours in anybody's list (who keeps it included) skip. From the invariant follows
//! that there is one ring, in order, and that everybody finds to it; while it holds, whatever is broken heals.

use std::collections::VecDeque;

use holdfast_core::chord::{Flaw, Peer, Table};
use holdfast_core::ids::{NodeId, Position};

use super::ring::{Habits, Ring};

/// How a ring is treated while it is judged.
pub const HABITS: Habits = Habits {
    kept: 3,
    delay_us_max: 400_000,
    round_us: (1_000_000, 3_000_000),
    patience_us: 1_000_000,
    flaw: None,
};

/// Members in the beginning, and at most.
const MEMBERS: (u64, usize) = (8, 24);
/// Nodes join and die for so long, in microseconds, and then are left alone for as long.
const STORM_US: u64 = 120_000_000;
/// Within so long, in microseconds, fewer nodes die than successors are kept: in that time every list is made anew.
const RENEWED_US: u64 = 15_000_000;

/// Nodes come and go as fast as Chord allows. The first thing that does not hold, if anything.
#[must_use]
pub fn storm(seed: u64, flaw: Option<Flaw>) -> Option<String> {
    let habits = Habits { flaw, ..HABITS };
    let mut ring = Ring::found(seed, MEMBERS.0, habits);
    let mut deaths_us: VecDeque<u64> = VecDeque::new();
    while ring.now_us < STORM_US {
        match ring.rng.below(3) {
            0 if ring.len() < MEMBERS.1 => ring.join(),
            1 if ring.len() > MEMBERS.0 as usize => {
                while deaths_us.front().is_some_and(|at_us| at_us + RENEWED_US < ring.now_us) {
                    deaths_us.pop_front();
                }
                if deaths_us.len() + 1 < habits.kept
                    && let Some(peer) = ring.any()
                {
                    deaths_us.push_back(ring.now_us);
                    let says_so = ring.rng.per_mille(300);
                    if says_so {
                        ring.leave(peer.node);
                    } else {
                        ring.fail(peer.node);
                    }
                }
            }
            _ => {}
        }
        let until_us = ring.now_us + ring.rng.below(1_500_000);
        if let Some(found) = quiet(&mut ring, until_us, habits.kept) {
            return Some(found);
        }
    }
    let found = quiet(&mut ring, 2 * STORM_US, habits.kept);
    found.or_else(|| check_ideal(ring.tables(), habits.kept))
}

/// Prints what so many storms showed: of the protocol as it should be, and with every flaw planted. Whether all is as it should be.
pub fn tell(seeds: u64) -> bool {
    let broken = (0..seeds).find_map(|seed| Some((seed, storm(seed, None)?)));
    match &broken {
        None => println!("{seeds} seeds: the invariant held after every step, and every ring healed"),
        Some((seed, found)) => println!("seed {seed}: {found}"),
    }
    let noticed = Flaw::ALL.map(|flaw| {
        let seed = (0..seeds).find(|seed| storm(*seed, Some(flaw)).is_some());
        match seed {
            Some(seed) => println!("{flaw:?}: noticed after {} seeds", seed + 1),
            None => println!("{flaw:?}: NOT NOTICED"),
        }
        seed.is_some()
    });
    broken.is_none() && !noticed.contains(&false)
}

fn quiet(ring: &mut Ring, until_us: u64, kept: usize) -> Option<String> {
    while ring.step(until_us) {
        if let Some(found) = check(ring.tables(), kept) {
            return Some(format!("at {} us: {found}", ring.now_us));
        }
    }
    None
}

/// What does not hold, if anything.
#[must_use]
pub fn check<'t>(tables: impl Iterator<Item = &'t Table> + Clone, kept: usize) -> Option<String> {
    let mut members: Vec<Peer> = tables.clone().map(Table::me).collect();
    members.sort_unstable();
    for table in tables.clone() {
        let is_member = |peer: &Peer| members.binary_search(peer).is_ok();
        if members.len() > 1 && !table.successors().iter().any(is_member) {
            let me = table.me().node;
            return Some(format!("{me} has no live successor: {:?}", table.successors()));
        }
    }
    let mut is_skipped = vec![false; members.len()];
    for table in tables {
        let mut from = table.me().at;
        for peer in table.successors() {
            skip(&members, from, peer.at, &mut is_skipped);
            from = peer.at;
        }
    }
    let principals = is_skipped.iter().filter(|skipped| !**skipped).count();
    (principals <= kept).then(|| format!("{principals} principals of {} members", members.len()))
}

/// Marks those that lie between two neighbours in somebody's list.
fn skip(members: &[Peer], from: Position, to: Position, is_skipped: &mut [bool]) {
    let first = members.partition_point(|peer| peer.at <= from);
    let end = members.partition_point(|peer| peer.at < to);
    if from < to {
        is_skipped[first..end.max(first)].fill(true);
    } else {
        is_skipped[first..].fill(true);
        is_skipped[..end].fill(true);
    }
}

/// What is not as it must be once nobody has come or gone for long: each knows exactly its neighbours.
#[must_use]
pub fn check_ideal<'t>(tables: impl Iterator<Item = &'t Table>, kept: usize) -> Option<String> {
    let tables: Vec<&Table> = tables.collect();
    let members: Vec<Peer> = tables.iter().map(|table| table.me()).collect();
    tables.iter().find_map(|table| {
        let ideal = Table::found(table.me(), &members, kept);
        let is_so = table.successors() == ideal.successors() && table.predecessor() == ideal.predecessor();
        let ids = |peers: &[Peer]| peers.iter().map(|peer| peer.node).collect::<Vec<NodeId>>();
        (!is_so).then(|| {
            format!(
                "{} knows {:?} before it and {:?} behind it, there are {:?} and {:?}",
                table.me().node,
                table.predecessor().map(|peer| peer.node),
                ids(table.successors()),
                ideal.predecessor().map(|peer| peer.node),
                ids(ideal.successors())
            )
        })
    })
}
