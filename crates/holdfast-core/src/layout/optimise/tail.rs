//! The ranks after the first few: who comes when everyone before is down. They are spread like the first but not
//! balanced; chance decides between equals, which is near enough for members that only stand in. Last come members
//! without capacity, which store nothing unless they must.

use alloc::vec::Vec;

use super::chance::Chance;
use super::topology::Topology;

/// Completes lists, one after the other.
pub(super) struct Tail {
    /// By number of the member in the topology.
    members: Vec<Place>,
    hosts: Vec<Use>,
    zones: Vec<Use>,
    /// The members to be added, first among them what they are sorted by.
    rest: Vec<u64>,
}

/// One member's place.
#[derive(Clone, Copy, Default)]
struct Place {
    zone: u16,
    host: u16,
    /// It has no capacity.
    idle: bool,
    /// The present list has it.
    listed: bool,
}

/// A host or zone in the present list.
#[derive(Clone, Copy, Default)]
struct Use {
    /// Members that were listed.
    listed: u16,
    /// Decides between equals.
    lot: u16,
}

impl Tail {
    /// Completes lists of a topology's members, each named by its number there; `idle` says which have no capacity.
    pub(super) fn new(topology: &Topology, idle: impl Fn(u16) -> bool) -> Self {
        let mut members = Vec::with_capacity(topology.members.len());
        for (zone, hosts) in topology.zones.iter().enumerate() {
            for host in hosts.clone() {
                members.extend(
                    topology.members[topology.hosts[host].clone()]
                        .iter()
                        .map(|member| Place {
                            zone: zone as u16,
                            host: host as u16,
                            idle: idle(*member),
                            listed: false,
                        }),
                );
            }
        }
        Self {
            members,
            hosts: alloc::vec![Use::default(); topology.hosts.len()],
            zones: alloc::vec![Use::default(); topology.zones.len()],
            rest: Vec::new(),
        }
    }

    /// Appends every member that the list does not have yet.
    pub(super) fn complete(&mut self, list: &mut Vec<u16>, chance: &mut Chance) {
        if list.len() == self.members.len() {
            return;
        }
        for member in &mut self.members {
            member.listed = false;
        }
        for used in self.hosts.iter_mut().chain(&mut self.zones) {
            *used = Use {
                listed: 0,
                lot: chance.next() as u16,
            };
        }
        for member in list.iter() {
            self.enter(*member);
        }
        for idle in [false, true] {
            self.order(idle, chance);
            for entry in &self.rest {
                list.push(*entry as u16);
            }
            for at in 0..self.rest.len() {
                self.enter(self.rest[at] as u16);
            }
        }
    }

    /// Notes that the list has a member.
    fn enter(&mut self, member: u16) {
        let place = &mut self.members[usize::from(member)];
        place.listed = true;
        self.hosts[usize::from(place.host)].listed += 1;
        self.zones[usize::from(place.zone)].listed += 1;
    }

    /// Leaves in `rest` the members that are still missing, in the order in which they follow: zones take turns, and
    /// within a zone its hosts, and those who had fewer turns go first.
    fn order(&mut self, idle: bool, chance: &mut Chance) {
        self.rest.clear();
        for (at, member) in self.members.iter().enumerate() {
            if member.idle == idle && !member.listed {
                self.rest.push(key(member.host, chance.next() as u16, 0, at as u16));
            }
        }
        // First each member's number on its host; from that its number in its zone; and from that its turn.
        let (members, hosts, zones) = (&self.members, &self.hosts, &self.zones);
        number(&mut self.rest, |member, on_host, _| {
            let Place { zone, host, .. } = members[usize::from(member)];
            let host = hosts[usize::from(host)];
            key(zone, host.listed + on_host, host.lot, member)
        });
        number(&mut self.rest, |member, in_zone, host_round| {
            let zone = zones[usize::from(members[usize::from(member)].zone)];
            key(zone.listed + in_zone, host_round, zone.lot, member)
        });
        self.rest.sort_unstable();
    }
}

/// What to sort by, most significant first.
const fn key(first: u16, second: u16, third: u16, member: u16) -> u64 {
    (first as u64) << 48 | (second as u64) << 32 | (third as u64) << 16 | member as u64
}

/// Sorts, and gives each member another key. It is made from how many with the same first part come before the member,
/// and from the second part.
fn number(rest: &mut [u64], key: impl Fn(u16, u16, u16) -> u64) {
    rest.sort_unstable();
    let mut group = None;
    let mut earlier = 0;
    for entry in rest {
        let first = *entry >> 48;
        earlier = if group == Some(first) { earlier + 1 } else { 0 };
        group = Some(first);
        *entry = key(*entry as u16, earlier, (*entry >> 32) as u16);
    }
}
