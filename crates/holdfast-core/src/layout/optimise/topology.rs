//! Zones, their hosts, their members: the tree that copies are spread over, and the order in which zones take turns.
//!
//! Invariant: everything here follows from places and capacities. Ids order only members that nothing else tells apart,
//! so the id that a member drew neither helps nor harms it.
//!
//! Weak spot: a host belongs to its zone. Two members that name one host in different zones count as two hosts; the
//! spread over zones keeps them apart only as far as there are zones.

use alloc::vec::Vec;
use core::ops::Range;

use crate::layout::Member;

/// The members that compete for the first ranks, as a tree.
pub(super) struct Topology {
    /// Each zone's hosts, as indexes into `hosts`.
    pub(super) zones: Vec<Range<usize>>,
    /// Each host's members, as indexes into `members`.
    pub(super) hosts: Vec<Range<usize>>,
    /// Where each member stands among all that were given.
    pub(super) members: Vec<u16>,
    /// What each member should hold, relative to the others: 1 to 2³².
    pub(super) weights: Vec<u64>,
}

/// A run of ranks in which each of some zones gets its next member once: in every list at the same ranks, in every list
/// in another order.
pub(super) struct Turn {
    /// The ranks, from 0; fewer than there are zones where the ranks of interest end.
    pub(super) ranks: Range<usize>,
    /// The zones, ascending.
    pub(super) zones: Vec<usize>,
    /// How many members of each of them stand before these ranks.
    pub(super) visit: usize,
}

impl Topology {
    /// The tree of some of `all` members, named by where they stand in it.
    pub(super) fn new(all: &[Member], mut members: Vec<u16>) -> Self {
        let member = |index: u16| &all[usize::from(index)];
        members.sort_by(|a, b| {
            let (a, b) = (member(*a), member(*b));
            (&a.zone, &a.host, a.capacity_bytes, a.id).cmp(&(&b.zone, &b.host, b.capacity_bytes, b.id))
        });
        let mut zones: Vec<Range<usize>> = Vec::new();
        let mut hosts: Vec<Range<usize>> = Vec::new();
        let mut before: Option<&Member> = None;
        for (at, index) in members.iter().enumerate() {
            let this = member(*index);
            let same_zone = before.is_some_and(|before| before.zone == this.zone);
            let same_host = same_zone && before.is_some_and(|before| before.host == this.host);
            before = Some(this);
            if !same_zone {
                zones.push(hosts.len()..hosts.len());
            }
            if !same_host {
                hosts.push(at..at);
                zones.last_mut().expect("pushed above").end += 1;
            }
            hosts.last_mut().expect("pushed above").end += 1;
        }
        let weights = weights(members.iter().map(|index| member(*index).capacity_bytes).collect());
        Self {
            zones,
            hosts,
            members,
            weights,
        }
    }

    /// How many members a zone has.
    pub(super) fn zone_size(&self, zone: usize) -> usize {
        let hosts = &self.hosts[self.zones[zone].clone()];
        hosts.iter().map(ExactSizeIterator::len).sum()
    }

    /// How often every host that can has been used when a zone's `visit`-th member (from 0) is chosen. Its host is one
    /// of those used exactly so often.
    pub(super) fn host_round(&self, zone: usize, visit: usize) -> usize {
        let hosts = &self.hosts[self.zones[zone].clone()];
        let mut chosen = 0;
        let mut round = 0;
        loop {
            let able = hosts.iter().filter(|host| host.len() > round).count();
            chosen += able;
            if visit < chosen || able == 0 {
                return round;
            }
            round += 1;
        }
    }

    /// Who takes which of the first `ranks_count` ranks.
    ///
    /// No zone gets its next member before every zone that still has some got as many; among those whose turn it is,
    /// the ones that can offer an unused host come first. So each prefix spans as many zones as it can, holds as evenly
    /// much of each as it can, and then spans as many hosts as it can.
    pub(super) fn turns(&self, ranks_count: usize) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut rank = 0;
        for visit in 0..self.members.len() {
            let able = (0..self.zones.len()).filter(|zone| self.zone_size(*zone) > visit);
            let mut able: Vec<(usize, usize)> = able.map(|zone| (self.host_round(zone, visit), zone)).collect();
            able.sort_unstable();
            for group in able.chunk_by(|a, b| a.0 == b.0) {
                let ranks = rank..ranks_count.min(rank + group.len());
                if ranks.is_empty() {
                    return turns;
                }
                rank = ranks.end;
                let zones = group.iter().map(|(_, zone)| *zone).collect();
                turns.push(Turn { ranks, zones, visit });
            }
        }
        turns
    }
}

/// Capacities, brought below 2³² so that sums and products of them stay exact. Nothing becomes 0: who offers anything
/// takes part.
fn weights(mut capacities: Vec<u64>) -> Vec<u64> {
    let largest = capacities.iter().copied().max().unwrap_or(0);
    let shift = 32_u32.saturating_sub(largest.leading_zeros());
    for capacity in &mut capacities {
        *capacity = (*capacity >> shift).max(1);
    }
    capacities
}
