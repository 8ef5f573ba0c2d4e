//! The order of members for each partition (rule L1).
//!
//! For every n, the first n of a list span as many zones as they can, as evenly as they can, then as many hosts as they
//! can; within that each member stands in a share of the lists proportional to its capacity. The first
//! [`BALANCED_RANKS`] ranks are balanced exactly, for every n up to there at once, rank 1 (the usual coordinator)
//! included; the tail is only spread.
//!
//! How: [`shares`] decides how often each zone, host and member stands at each rank, [`deal`] hands these quotas to the
//! lists, zones first, then the hosts of each zone, then the members of each host, [`tail`] appends the rest. Each step
//! is a few lines of arithmetic, no search over whole layouts; `docs/decisions/0002-layout.md` says why, and what it costs.
//!
//! Invariants: integers only and no hash map, so every machine computes the same lists; the order in which members are
//! given, and their ids, influence only which of two equal members is which. [`VERSION`] changes whenever the lists of
//! any cluster change, because nodes that disagree about lists disagree about who owns what.
//!
//! Weak spots: a change of members computes new lists without regard for the old ones, so it may be used only at
//! founding; changes of layout will start from the present lists and move the least. With fewer zones than n, or fewer
//! hosts than a zone's members among n, balance is near but not always exact (see [`deal`]).

use alloc::vec::Vec;

use super::Member;
use chance::Chance;
use deal::{Hand, NONE, RANKS_MAX, Slot, deal, ranks_of};
use shares::Counts;
use tail::Tail;
use topology::{Topology, Turn};

mod chance;
mod deal;
mod mend;
mod shares;
mod tail;
#[cfg(test)]
mod tests;
mod topology;

/// Number of this optimiser: raise it when it computes other lists than before.
pub(super) const VERSION: u8 = 1;

/// Ranks that are balanced: more homes than any bucket has reason to ask for.
const BALANCED_RANKS: usize = RANKS_MAX;

/// For each partition, indexes of all members, best first.
pub(super) fn preference_lists(members: &[Member], partition_bits: u8) -> Vec<Vec<u16>> {
    let partitions_count = 1_u32 << partition_bits;
    let all: Vec<u16> = (0..members.len() as u16).collect();
    let offers = |member: &u16| members[usize::from(*member)].capacity_bytes > 0;
    let nobody_offers = !all.iter().any(offers);
    let working: Vec<u16> = all
        .iter()
        .copied()
        .filter(|member| nobody_offers || offers(member))
        .collect();

    let first = Topology::new(members, working);
    let whole = Topology::new(members, all);
    let mut numbers = alloc::vec![0; members.len()];
    for (number, member) in (0..).zip(&whole.members) {
        numbers[usize::from(*member)] = number;
    }
    let mut chance = Chance::new(0);
    let hands = first_ranks(&first, partitions_count, &mut chance);
    let mut tail = Tail::new(&whole, |member| !nobody_offers && !offers(&member));
    let lists = hands.into_iter().map(|hand| {
        let mut list = Vec::with_capacity(members.len());
        let dealt = hand.iter().take_while(|member| **member != NONE);
        list.extend(dealt.map(|member| numbers[usize::from(first.members[usize::from(*member)])]));
        tail.complete(&mut list, &mut chance);
        for number in &mut list {
            *number = whole.members[usize::from(*number)];
        }
        list
    });
    lists.collect()
}

/// The members at the first ranks of each partition, as the topology counts them.
fn first_ranks(topology: &Topology, partitions_count: u32, chance: &mut Chance) -> Vec<Hand> {
    let turns = topology.turns(topology.members.len().min(BALANCED_RANKS));
    let counts = Counts::new(topology, &turns, partitions_count);
    let nobody = || alloc::vec![[NONE; RANKS_MAX]; partitions_count as usize];

    let mut zones = nobody();
    for turn in &turns {
        let ranks = turn.ranks.clone().fold(0, |set, rank| set | 1 << rank);
        let slots = (0..partitions_count).map(|partition| Slot { partition, ranks });
        hand_out(
            &slots.collect::<Vec<_>>(),
            &turn.zones,
            &counts.zones,
            chance,
            &mut zones,
        );
    }
    let mut hosts = nobody();
    for (zone, candidates) in topology.zones.iter().enumerate() {
        for (round, ranks) in host_rounds(topology, &turns, zone) {
            let able = candidates.clone().filter(|host| topology.hosts[*host].len() > round);
            let slots = slots_of(&zones, zone, ranks);
            hand_out(&slots, &able.collect::<Vec<_>>(), &counts.hosts, chance, &mut hosts);
        }
    }
    let mut members = nobody();
    for (host, candidates) in topology.hosts.iter().enumerate() {
        let slots = slots_of(&hosts, host, u8::MAX);
        let candidates: Vec<usize> = candidates.clone().collect();
        hand_out(&slots, &candidates, &counts.members, chance, &mut members);
    }
    members
}

/// The ranks at which a zone has its turns, by how often its hosts have been used then: within one such round no host
/// comes twice.
fn host_rounds(topology: &Topology, turns: &[Turn], zone: usize) -> Vec<(usize, u8)> {
    let mut rounds: Vec<(usize, u8)> = Vec::new();
    for turn in turns.iter().filter(|turn| turn.zones.contains(&zone)) {
        let round = topology.host_round(zone, turn.visit);
        let ranks = turn.ranks.clone().fold(0, |set, rank| set | 1 << rank);
        match rounds.last_mut() {
            Some((last, set)) if *last == round => *set |= ranks,
            _ => rounds.push((round, ranks)),
        }
    }
    rounds
}

/// The lists that have an owner at some of the given ranks, and which.
fn slots_of(owners: &[Hand], owner: usize, ranks: u8) -> Vec<Slot> {
    let owned = |hand: &Hand| {
        let at = (0..RANKS_MAX).filter(|rank| usize::from(hand[*rank]) == owner);
        at.fold(0, |set, rank| set | 1 << rank) & ranks
    };
    let slots = (0..).zip(owners).map(|(partition, hand)| Slot {
        partition,
        ranks: owned(hand),
    });
    slots.filter(|slot| slot.ranks != 0).collect()
}

/// Deals candidates to slots as often as `counts` (by n, then candidate) say, and writes them where they belong.
fn hand_out(slots: &[Slot], candidates: &[usize], counts: &[Vec<u32>], chance: &mut Chance, to: &mut [Hand]) {
    let ranks = slots.iter().fold(0, |set, slot| set | slot.ranks);
    let quotas = candidates.iter().map(|candidate| {
        let mut quota = [0; RANKS_MAX];
        for rank in ranks_of(ranks) {
            quota[rank] = counts[rank + 1][*candidate] - counts[rank][*candidate];
        }
        quota
    });
    for (slot, hand) in slots.iter().zip(deal(slots, quotas.collect(), chance)) {
        for rank in ranks_of(slot.ranks) {
            if hand[rank] != NONE {
                to[slot.partition as usize][rank] = candidates[usize::from(hand[rank])] as u16;
            }
        }
    }
}
