//! How many of all lists each zone, host and member should have among their first n, for each n.
//!
//! The fair share of a member is proportional to its capacity as far as the spread allows: no list names it twice, and
//! in each list its zone and its host appear as often as [`Topology::turns`] says, give or take one turn that is not
//! over. What that keeps from one member flows to the others in proportion (water-filling). Ideal shares are
//! fractions; counts are whole, sum exactly and differ from the ideal by less than one. Both only grow with n, because
//! the first n of a list stay in it when n grows.
//!
//! Invariant: integers only, so that every machine computes the same.

use alloc::vec::Vec;

use super::topology::{Topology, Turn};

/// A member that stands in every list has this share.
const WHOLE: u64 = 1 << 32;

/// For each n, from 0 to the ranks of interest: how many lists have whom among their first n.
pub(super) struct Counts {
    pub(super) zones: Vec<Vec<u32>>,
    pub(super) hosts: Vec<Vec<u32>>,
    pub(super) members: Vec<Vec<u32>>,
}

/// Shares of the nodes of one level of the tree, and what bounds them.
#[derive(Clone)]
struct Share {
    /// In units of 1 / [`WHOLE`] of all lists.
    ideal: u64,
    /// In how many places of every list it stands at most.
    most: u64,
}

impl Counts {
    /// Counts for `partitions_count` lists.
    pub(super) fn new(topology: &Topology, turns: &[Turn], partitions_count: u32) -> Self {
        let mut counts = Self {
            zones: [alloc::vec![0; topology.zones.len()]].into(),
            hosts: [alloc::vec![0; topology.hosts.len()]].into(),
            members: [alloc::vec![0; topology.members.len()]].into(),
        };
        let mut least = alloc::vec![0; topology.zones.len()];
        for turn in turns {
            let mut most = least.clone();
            for zone in &turn.zones {
                most[*zone] += 1;
            }
            for rank in turn.ranks.clone() {
                counts.push(
                    topology,
                    &fair_shares(topology, &least, &most, rank as u64 + 1),
                    partitions_count,
                );
            }
            least = most;
        }
        counts
    }

    /// Adds the counts of the next n.
    fn push(&mut self, topology: &Topology, shares: &Shares, partitions_count: u32) {
        let n = self.zones.len() as u32;
        let before = self.zones.last().expect("n = 0 is there from the start");
        let zones = apportion(partitions_count * n, before, &shares.zones, partitions_count);
        let before = self.hosts.last().expect("n = 0 is there from the start");
        let hosts = topology.zones.iter().zip(&zones).flat_map(|(hosts, total)| {
            apportion(
                *total,
                &before[hosts.clone()],
                &shares.hosts[hosts.clone()],
                partitions_count,
            )
        });
        let hosts: Vec<u32> = hosts.collect();
        let before = self.members.last().expect("n = 0 is there from the start");
        let members = topology.hosts.iter().zip(&hosts).flat_map(|(members, total)| {
            apportion(
                *total,
                &before[members.clone()],
                &shares.members[members.clone()],
                partitions_count,
            )
        });
        self.members.push(members.collect());
        self.hosts.push(hosts);
        self.zones.push(zones);
    }
}

/// Ideal shares in the first n.
struct Shares {
    zones: Vec<Share>,
    hosts: Vec<Share>,
    members: Vec<Share>,
}

/// Fair shares of n ranks, when every list has each zone `least` to `most` times among them.
fn fair_shares(topology: &Topology, least: &[usize], most: &[usize], n: u64) -> Shares {
    // `level` is the height of the water: what a member of weight 1 would get if nothing bounded it, times 2³².
    let member_at = |member: usize, level: u128| {
        u64::try_from((u128::from(topology.weights[member]) * level) >> 32).map_or(WHOLE, |share| share.min(WHOLE))
    };
    let host_at = |host: usize, round: usize, level: u128| {
        let members = topology.hosts[host].clone();
        let bound = |times: usize| WHOLE * times.min(members.len()) as u64;
        let wanted: u64 = members.clone().map(|member| member_at(member, level)).sum();
        wanted.clamp(bound(round), bound(round + 1))
    };
    let rounds: Vec<usize> = least
        .iter()
        .enumerate()
        .map(|(zone, visit)| topology.host_round(zone, *visit))
        .collect();
    let zone_at = |zone: usize, level: u128| {
        let hosts = topology.zones[zone].clone();
        let wanted: u64 = hosts.map(|host| host_at(host, rounds[zone], level)).sum();
        wanted.clamp(WHOLE * least[zone] as u64, WHOLE * most[zone] as u64)
    };

    let mut shares = Shares {
        zones: Vec::new(),
        hosts: Vec::new(),
        members: Vec::new(),
    };
    let level = lowest_level(WHOLE * n, |level| {
        (0..topology.zones.len()).map(|zone| zone_at(zone, level)).sum()
    });
    for (zone, hosts) in topology.zones.iter().enumerate() {
        let ideal = zone_at(zone, level);
        shares.zones.push(Share {
            ideal,
            most: most[zone] as u64,
        });
        let round = rounds[zone];
        let level = lowest_level(ideal, |level| {
            hosts.clone().map(|host| host_at(host, round, level)).sum()
        });
        for host in hosts.clone() {
            let ideal = host_at(host, round, level);
            let members = topology.hosts[host].clone();
            shares.hosts.push(Share {
                ideal,
                most: members.len().min(round + 1) as u64,
            });
            let level = lowest_level(ideal, |level| {
                members.clone().map(|member| member_at(member, level)).sum()
            });
            shares.members.extend(members.map(|member| Share {
                ideal: member_at(member, level),
                most: 1,
            }));
        }
    }
    shares
}

/// The lowest level at which at least `wanted` is filled.
fn lowest_level(wanted: u64, filled: impl Fn(u128) -> u64) -> u128 {
    // At the highest level even a weight of 1 gets everything.
    let (mut low, mut high) = (0_u128, u128::from(WHOLE) << 32);
    while low < high {
        let middle = u128::midpoint(low, high);
        if filled(middle) < wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Whole numbers that sum to `total`, are nowhere below those `before`, and are otherwise as near to the ideal as whole
/// numbers can be (largest remainders).
fn apportion(total: u32, before: &[u32], shares: &[Share], partitions_count: u32) -> Vec<u32> {
    let ideal = |at: usize| i128::from(shares[at].ideal) * i128::from(partitions_count);
    let excess = |at: usize, count: u32| i128::from(count) * i128::from(WHOLE) - ideal(at);
    let floor = |at: usize| u32::try_from(ideal(at) / i128::from(WHOLE)).unwrap_or(u32::MAX);
    let mut counts: Vec<u32> = (0..shares.len()).map(|at| floor(at).max(before[at])).collect();
    let mut sum: u32 = counts.iter().sum();
    while sum != total {
        let places = 0..counts.len();
        if sum < total {
            let able = places.filter(|at| u64::from(counts[*at]) < shares[*at].most * u64::from(partitions_count));
            let Some(poorest) = able.min_by_key(|at| excess(*at, counts[*at])) else {
                break;
            };
            counts[poorest] += 1;
            sum += 1;
        } else {
            let able = places.filter(|at| counts[*at] > before[*at]);
            let Some(richest) = able.max_by_key(|at| excess(*at, counts[*at])) else {
                break;
            };
            counts[richest] -= 1;
            sum -= 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::tests::{cluster, table};
    use super::super::topology::Topology;
    use super::{Counts, Share, WHOLE, fair_shares};

    /// Ideal shares of the members of a cluster among the first n.
    fn members_at(topology: &Topology, n: usize) -> Vec<Share> {
        let mut least = alloc::vec![0; topology.zones.len()];
        for turn in topology.turns(n) {
            let mut most = least.clone();
            turn.zones.iter().for_each(|zone| most[*zone] += 1);
            if turn.ranks.contains(&(n - 1)) {
                return fair_shares(topology, &least, &most, n as u64).members;
            }
            least = most;
        }
        unreachable!("the last turn contains the last rank")
    }

    #[test]
    fn shares_sum_to_n_and_grow_with_it() {
        for (name, members) in table() {
            let topology = Topology::new(&members, (0..members.len() as u16).collect());
            let mut before = alloc::vec![0; members.len()];
            for n in 1..=members.len().min(8) {
                let shares: Vec<u64> = members_at(&topology, n).iter().map(|share| share.ideal).collect();
                let error = shares.iter().sum::<u64>().abs_diff(WHOLE * n as u64);
                assert!(error < 10_000, "{name}, n = {n}: off by {error} of 2^32");
                let grown = shares
                    .iter()
                    .zip(&before)
                    .all(|(share, before)| share + 10_000 > *before);
                assert!(grown, "{name}, n = {n}");
                before = shares;
            }
        }
    }

    #[test]
    fn what_one_member_may_not_have_flows_to_the_others_in_proportion() {
        let share = |members: &[crate::layout::Member], n: usize| -> Vec<u64> {
            let topology = Topology::new(members, (0..members.len() as u16).collect());
            let shares = members_at(&topology, n);
            let per_mille = |share: &Share| (share.ideal * 1_000 + WHOLE / 2) / WHOLE;
            shares.iter().map(per_mille).collect()
        };
        // Of three copies a tenfold member can hold one; the others share two.
        let tenfold = cluster(5, |_| 0, |at| at, |at| [1, 1, 1, 1, 10][at]);
        assert_eq!(share(&tenfold, 1), [71, 71, 71, 71, 714]);
        assert_eq!(share(&tenfold, 3), [500, 500, 500, 500, 1_000]);
        // A zone of one small member must hold one of two copies, whatever its capacity.
        let small_zone = cluster(4, |at| at.min(1), |at| at, |at| [1, 8, 8, 16][at]);
        assert_eq!(share(&small_zone, 2), [1_000, 250, 250, 500]);
        // With two zones and three copies, one zone has two; the tenfold member is in all lists, so all others are equal.
        let odd = cluster(6, |at| at % 2, |at| at, |at| [10, 1, 1, 1, 1, 1][at]);
        assert_eq!(share(&odd, 3), [1_000, 400, 400, 400, 400, 400]);
    }

    #[test]
    fn counts_are_the_shares_rounded_and_sum_exactly() {
        for (name, members) in table() {
            let topology = Topology::new(&members, (0..members.len() as u16).collect());
            let ranks_count = members.len().min(8);
            let counts = Counts::new(&topology, &topology.turns(ranks_count), 1_024);
            for n in 1..=ranks_count {
                assert_eq!(
                    counts.members[n].iter().sum::<u32>(),
                    1_024 * n as u32,
                    "{name}, n = {n}"
                );
                for (share, count) in members_at(&topology, n).iter().zip(&counts.members[n]) {
                    let error = (i128::from(*count) << 32) - i128::from(share.ideal) * 1_024;
                    assert!(error.unsigned_abs() <= u128::from(WHOLE), "{name}, n = {n}: {count}");
                }
            }
        }
    }
}
