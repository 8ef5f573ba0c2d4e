//! A ring of nodes that come and go, and what they send each other. Everything a node is told is as old as the message that tells it.

use std::collections::BTreeMap;

use holdfast_core::chord::{Flaw, Lookup, Neighbours, Peer, Rounds, Say, Table};
use holdfast_core::ids::{NodeId, Position};

use crate::rng::{Rng, Stream};
use crate::world::queue::Queue;

/// How a ring behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Successors that a node keeps.
    pub kept: usize,
    /// A message takes so long at most, one way, in microseconds.
    pub delay_us_max: u64,
    /// Between two rounds of a node, at least and at most, in microseconds.
    pub round_us: (u64, u64),
    /// An answer is waited for so long, in microseconds.
    pub patience_us: u64,
    /// A fault planted in all nodes.
    pub flaw: Option<Flaw>,
}

/// What happens at some time.
#[derive(Clone, Debug)]
enum Event {
    Round(NodeId),
    Asked {
        of: NodeId,
        by: NodeId,
        token: u64,
    },
    Answered {
        to: NodeId,
        token: u64,
        said: Neighbours,
    },
    Impatient {
        node: NodeId,
        token: u64,
    },
    Notified {
        of: NodeId,
        by: Peer,
    },
    /// A node has joined behind another, and says so to it.
    Arrived {
        behind: NodeId,
        peer: Peer,
    },
    /// A node that wants to join asks a member for its neighbourhood; so many more may be asked after it.
    JoinAsks {
        joiner: Peer,
        of: NodeId,
        tries: u32,
    },
    JoinHears {
        joiner: Peer,
        said: Neighbours,
        tries: u32,
    },
}

/// The nodes and what is under way between them.
pub struct Ring {
    /// Microseconds since the beginning.
    pub now_us: u64,
    /// For whoever decides who comes and goes.
    pub rng: Rng,
    habits: Habits,
    members: BTreeMap<NodeId, Rounds>,
    due: Queue<Event>,
    /// The id of the node that joins next.
    next_node: u64,
}

/// Members that a joiner asks before it begins anew.
const JOIN_TRIES: u32 = 12;

impl Ring {
    /// A ring of so many nodes, all of whom know all.
    #[must_use]
    pub fn found(seed: u64, count: u64, habits: Habits) -> Self {
        let peers: Vec<Peer> = (0..count).map(|node| Peer::of(NodeId(node))).collect();
        let mut ring = Self {
            now_us: 0,
            rng: Rng::new(seed, Stream::World),
            habits,
            members: BTreeMap::new(),
            due: Queue::new(),
            next_node: count,
        };
        for peer in &peers {
            let table = Table::found(*peer, &peers, habits.kept).with_flaw(habits.flaw);
            let first_us = ring.rng.below(habits.round_us.1);
            ring.add(table, first_us);
        }
        ring
    }

    fn add(&mut self, table: Table, first_us: u64) {
        let node = table.me().node;
        self.members.insert(node, Rounds::new(table));
        self.after(first_us, Event::Round(node));
    }

    /// What the members know, by their ids.
    pub fn tables(&self) -> impl Iterator<Item = &Table> + Clone {
        self.members.values().map(Rounds::table)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Any member.
    pub fn any(&mut self) -> Option<Peer> {
        let at = self.rng.below(self.members.len().max(1) as u64) as usize;
        self.members.values().nth(at).map(|member| member.table().me())
    }

    /// A new node begins to join.
    pub fn join(&mut self) {
        let joiner = Peer::of(NodeId(self.next_node));
        self.next_node += 1;
        self.find_place(joiner);
    }

    /// A node is gone, without a word.
    pub fn fail(&mut self, node: NodeId) {
        self.members.remove(&node);
    }

    /// A node leaves and says so: to its predecessor and to its successors.
    pub fn leave(&mut self, node: NodeId) {
        let Some(gone) = self.members.remove(&node) else { return };
        let known = gone
            .table()
            .predecessor()
            .into_iter()
            .chain(gone.table().successors().to_vec());
        for peer in known {
            if let Some(member) = self.members.get_mut(&peer.node) {
                member.table_mut().died(gone.table().me());
            }
        }
    }

    /// A lookup by a member, through the tables as they are now.
    #[must_use]
    pub fn look_up(&self, from: NodeId, to: Position) -> Lookup {
        let start = self.members.get(&from).map(|member| member.table().me());
        let mut lookup = Lookup::new(to, start);
        while let Some(asked) = lookup.next() {
            match self.members.get(&asked.node) {
                Some(member) => lookup.said(asked, member.table().hop(to, lookup.dead())),
                None => lookup.died(asked),
            }
        }
        lookup
    }

    /// Who should answer for a position: the first live member at or after it.
    #[must_use]
    pub fn owner_of(&self, to: Position) -> Option<Peer> {
        let distance = |peer: &Peer| peer.at.0.wrapping_sub(to.0);
        self.tables().map(Table::me).min_by_key(distance)
    }

    /// Lets the next thing happen, if it happens by then.
    pub fn step(&mut self, until_us: u64) -> bool {
        if self.due.next_at_us().is_none_or(|at_us| at_us > until_us) {
            self.now_us = self.now_us.max(until_us);
            return false;
        }
        if let Some((at_us, event)) = self.due.pop() {
            self.now_us = at_us;
            self.happen(event);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Round(node) => self.begin_round(node),
            Event::Asked { of, by, token } => {
                if let Some(member) = self.members.get(&of) {
                    let said = member.table().neighbours();
                    self.send(Event::Answered { to: by, token, said });
                }
            }
            Event::Answered { to, token, said } => self.drive(to, |member| member.answered(token, &said)),
            Event::Impatient { node, token } => self.drive(node, |member| member.unanswered(token)),
            Event::Notified { of, by } => self.drive(of, |member| member.notified(by)),
            Event::Arrived { behind, peer } => self.drive(behind, |member| member.arrived(peer)),
            Event::JoinAsks { joiner, of, tries } => match self.members.get(&of) {
                Some(member) => {
                    let said = member.table().neighbours();
                    self.send(Event::JoinHears { joiner, said, tries });
                }
                None => self.find_place(joiner),
            },
            Event::JoinHears { joiner, said, tries } => self.join_hears(joiner, &said, tries),
        }
    }

    fn begin_round(&mut self, node: NodeId) {
        let (least, most) = self.habits.round_us;
        let again_us = self.rng.between(least, most);
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let (power, to) = member.table_mut().next_finger();
        self.after(again_us, Event::Round(node));
        self.drive(node, Rounds::begin);
        if let Some(found) = self.look_up(node, to).found()
            && let Some(member) = self.members.get_mut(&node)
        {
            member.table_mut().set_finger(power, found);
        }
    }

    /// Something happens to a member, and it says something.
    fn drive(&mut self, node: NodeId, what: impl FnOnce(&mut Rounds) -> Option<Say>) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let me = member.table().me();
        match what(member) {
            Some(Say::Ask { whom, token }) => {
                let (of, by) = (whom.node, node);
                self.send(Event::Asked { of, by, token });
                self.after(self.habits.patience_us, Event::Impatient { node, token });
            }
            Some(Say::Notify { whom }) => self.send(Event::Notified { of: whom.node, by: me }),
            None => {}
        }
    }

    /// Whoever wants to join finds the member before its place by a lookup, and asks it.
    fn find_place(&mut self, joiner: Peer) {
        let Some(entry) = self.any() else { return };
        let lookup = self.look_up(entry.node, joiner.at);
        let before = lookup.found().and_then(|owner| self.members.get(&owner.node));
        let before = before.and_then(|owner| owner.table().predecessor()).unwrap_or(entry);
        let of = before.node;
        self.send(Event::JoinAsks {
            joiner,
            of,
            tries: JOIN_TRIES,
        });
    }

    fn join_hears(&mut self, joiner: Peer, said: &Neighbours, tries: u32) {
        let mut table = Table::alone(joiner, self.habits.kept).with_flaw(self.habits.flaw);
        if table.join(said) {
            self.add(table, 0);
            return self.send(Event::Arrived {
                behind: said.of.node,
                peer: joiner,
            });
        }
        if tries == 0 {
            return self.find_place(joiner);
        }
        // Another is nearer before that place, or this one was too near already.
        let far = |peer: &Peer| joiner.at.0.wrapping_sub(peer.at.0);
        let nearer = said.successors.iter().filter(|peer| far(peer) < far(&said.of));
        let next = nearer.min_by_key(|peer| far(peer)).copied().or(said.predecessor);
        let of = next.unwrap_or(said.of).node;
        let tries = tries - 1;
        self.send(Event::JoinAsks { joiner, of, tries });
    }

    fn send(&mut self, event: Event) {
        let delay_us = 1 + self.rng.below(self.habits.delay_us_max);
        self.after(delay_us, event);
    }

    fn after(&mut self, delay_us: u64, event: Event) {
        self.due.push(self.now_us + delay_us, event);
    }

    /// The way as the papers count it: who was asked until somebody named who answers; neither this nor the one that asks.
    #[must_use]
    pub fn hops(lookup: &Lookup) -> usize {
        lookup.path().len().saturating_sub(2)
    }
}
