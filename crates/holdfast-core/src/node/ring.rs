//! This node's part in the ring of Chord ([`crate::chord`]): rounds and fingers, kept right for gateways and for whoever asks where
//! something lives and does not know the layout. Members themselves never use it to find each other.
//!
//! It keeps gossip's hours and travels as datagrams beside it, so that a node at rest stays at rest. What gossip knows of who is
//! down saves it the waiting; what it learns itself decides nothing (rule L6: ownership is the layout's).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::state::Step;
use super::{ClientToken, Effect, Turn};
use crate::chord::{Hop, Lookup, Peer, Rounds, SUCCESSORS, Say, Table, Word};
use crate::gateway::{Directions, PLACED_MAX, Placement};
use crate::gossip::Gossip;
use crate::ids::{NodeId, Position};
use crate::message::{Message, OpId};
use crate::place::partition_of;
use crate::time::Now;
use crate::wire::ring;

/// Between two rounds. Whoever dies or comes back is known from gossip at once; a round finds what gossip could not.
const ROUND_US: u64 = 30_000_000;
/// The first one after a start: by then members that start together have found each other.
const FIRST_ROUND_US: u64 = 10_000_000;
/// Spread of rounds over a second, so that members that start together do not speak together.
const SPREAD_US: u64 = 1_000_000;
/// After so long without an answer a question is asked again …
const AGAIN_US: u64 = 500_000;
/// … and after so many times, whoever was asked is taken for dead.
const TRIES: u8 = 3;
/// Lookups at a time that front ends asked for; more find nothing.
const LOOKUPS_MAX: usize = 64;

/// What came of a lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Who answered, this node first; the last is who was looked for, if it was found.
    pub path: Vec<Peer>,
    /// How many did not.
    pub timeouts: usize,
    /// Who answers for the position on the ring of Chord.
    pub owner: Option<Peer>,
}

/// A question under way.
struct Asked {
    whom: Peer,
    what: What,
    tries: u8,
    again_us: u64,
}

/// What it is about.
#[derive(Clone, Copy)]
enum What {
    /// A round; the number is the round's own.
    Neighbours(u64),
    /// A search.
    Way(u64),
}

/// Why something is looked for.
#[derive(Clone, Copy)]
enum Why {
    Finger(usize),
    Client(ClientToken),
}

/// What a node remembers of the ring.
pub(crate) struct Ring {
    rounds: Rounds,
    asked: BTreeMap<u64, Asked>,
    searches: BTreeMap<u64, (Why, Lookup)>,
    last_token: u64,
    /// `None` where there is nobody else.
    next_round_us: Option<u64>,
    /// Whether the first one is planned.
    has_begun: bool,
}

impl Ring {
    /// Of members that are all known.
    pub(crate) fn new(me: NodeId, members: impl Iterator<Item = NodeId>) -> Self {
        let members: Vec<Peer> = members.map(Peer::of).collect();
        Self {
            next_round_us: (members.len() > 1).then_some(0),
            rounds: Rounds::new(Table::found(Peer::of(me), &members, SUCCESSORS)),
            asked: BTreeMap::new(),
            searches: BTreeMap::new(),
            last_token: 0,
            has_begun: false,
        }
    }

    /// What this node knows.
    pub(crate) const fn table(&self) -> &Table {
        self.rounds.table()
    }

    /// When it wants to be woken next.
    pub(crate) fn next_us(&self) -> Option<u64> {
        let again = self.asked.values().map(|asked| asked.again_us);
        again.chain(self.next_round_us).min()
    }

    fn token(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }
}

/// One thing happening to the ring: its memory, who is down, and what is to be sent.
struct Act<'a> {
    now: Now,
    ring: &'a mut Ring,
    gossip: &'a Gossip,
    effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    fn ring(&mut self) -> Act<'_> {
        let state = &mut *self.step.state;
        Act {
            now: self.step.now,
            ring: &mut state.ring,
            gossip: &state.gossip,
            effects: &mut *self.step.effects,
        }
    }

    /// Looks for who answers for a position, hop by hop, and tells whoever asked ([`Effect::Found`]).
    pub(super) fn find(&mut self, token: ClientToken, to: Position) {
        let mut act = self.ring();
        if act.ring.searches.len() >= LOOKUPS_MAX {
            let (path, owner) = (Vec::new(), None);
            let found = Found {
                path,
                timeouts: 0,
                owner,
            };
            return act.effects.push(Effect::Found(token, found));
        }
        act.search(Why::Client(token), to);
    }

    pub(super) fn ring_timer(&mut self) {
        self.ring().timer();
    }

    /// Another member speaks of the ring.
    pub(super) fn ring_datagram(&mut self, from: NodeId, bytes: &[u8]) {
        if !self
            .step
            .state
            .layout()
            .members()
            .iter()
            .any(|member| member.id == from)
        {
            return;
        }
        if let Ok(word) = ring::decode(from, bytes) {
            self.ring().hear(Peer::of(from), word);
        }
    }

    /// Gossip holds a member down, or no longer.
    pub(super) fn ring_heeds(&mut self, node: NodeId, is_down: bool) {
        let mut act = self.ring();
        let peer = Peer::of(node);
        if is_down {
            act.ring.rounds.table_mut().died(peer);
            for asked in act.ring.asked.values_mut().filter(|asked| asked.whom == peer) {
                (asked.tries, asked.again_us) = (TRIES, act.now.mono_us);
            }
        } else {
            let say = act.ring.rounds.arrived(peer);
            act.say(say);
        }
    }
}

impl Step<'_> {
    /// Which way to a position, for whoever does not know the layout; and at its end, what the layout says of it. The node right before
    /// the position is that end: whoever answers for it may not be reached from where it is asked.
    pub(crate) fn serve_find(&mut self, from: NodeId, op: OpId, to: Position, dead: &[NodeId]) {
        let hop = self.state.ring.table().hop(to, dead);
        let layout = self.state.layout();
        let is_end = matches!(hop, Hop::Owners(_));
        let placement = is_end.then(|| {
            let partition = partition_of(to, layout.partition_bits());
            Placement {
                partition_bits: layout.partition_bits(),
                partition,
                members: layout.members().len() as u32,
                nodes: layout.preference_list(partition).take(PLACED_MAX).collect(),
            }
        });
        let (Hop::Owners(named) | Hop::Closer(named)) = &hop;
        let placed = placement.iter().flat_map(|placement| placement.nodes.iter().copied());
        let named: BTreeSet<NodeId> = named.iter().map(|peer| peer.node).chain(placed).collect();
        let address = |node: NodeId| Some((node, self.state.config.addresses.get(&node)?.clone()));
        let directions = Directions {
            addresses: named.into_iter().filter_map(address).collect(),
            hop,
            placement,
        };
        self.reply(from, Message::FindReply { op, directions });
    }
}

impl Act<'_> {
    fn timer(&mut self) {
        let now_us = self.now.mono_us;
        let due: Vec<u64> = self
            .ring
            .asked
            .iter()
            .filter(|(_, asked)| asked.again_us <= now_us)
            .map(|(token, _)| *token)
            .collect();
        for token in due {
            self.ask_again(token);
        }
        if self.ring.next_round_us.is_some_and(|at_us| at_us <= now_us) {
            let spread_us = self.ring.table().me().at.0 % SPREAD_US;
            if !core::mem::replace(&mut self.ring.has_begun, true) {
                self.ring.next_round_us = Some(self.now.after_us(FIRST_ROUND_US + spread_us));
                return;
            }
            self.ring.next_round_us = Some(self.now.after_us(ROUND_US + spread_us));
            let say = self.ring.rounds.begin();
            self.say(say);
            self.look_for_a_finger();
        }
    }

    /// One finger in each round.
    fn look_for_a_finger(&mut self) {
        let (power, to) = self.ring.rounds.table_mut().next_finger();
        self.search(Why::Finger(power), to);
    }

    fn search(&mut self, why: Why, to: Position) {
        let me = self.ring.table().me();
        let mut lookup = Lookup::new(to, [me]);
        lookup.said(me, self.ring.table().hop(to, &[]));
        let number = self.ring.token();
        self.go_on(number, why, lookup);
    }

    /// Asks whoever is next, or ends.
    fn go_on(&mut self, number: u64, why: Why, lookup: Lookup) {
        if let Some(next) = lookup.next() {
            let (to, dead) = (lookup.to(), lookup.dead().to_vec());
            self.ring.searches.insert(number, (why, lookup));
            let token = self.ask(next, What::Way(number));
            return self.send(next.node, &Word::Find { token, to, dead });
        }
        match why {
            Why::Finger(power) => {
                if let Some(found) = lookup.found() {
                    self.ring.rounds.table_mut().set_finger(power, found);
                }
            }
            Why::Client(token) => self.effects.push(Effect::Found(
                token,
                Found {
                    path: lookup.path().to_vec(),
                    timeouts: lookup.timeouts(),
                    owner: lookup.found(),
                },
            )),
        }
    }

    fn hear(&mut self, from: Peer, word: Word) {
        match word {
            Word::Ask { token } => {
                let neighbours = self.ring.table().neighbours();
                self.send(from.node, &Word::Say { token, neighbours });
            }
            Word::Notify => {
                let say = self.ring.rounds.notified(from);
                self.say(say);
            }
            Word::Find { token, to, dead } => {
                let hop = self.ring.table().hop(to, &dead);
                self.send(from.node, &Word::Way { token, hop });
            }
            Word::Say { token, neighbours } => {
                if let Some(What::Neighbours(question)) = self.take(from, token) {
                    let say = self.ring.rounds.answered(question, &neighbours);
                    self.say(say);
                }
            }
            Word::Way { token, hop } => {
                if let Some(What::Way(number)) = self.take(from, token) {
                    self.told(from, number, hop);
                }
            }
        }
    }

    fn told(&mut self, from: Peer, number: u64, hop: Hop) {
        if let Some((why, mut lookup)) = self.ring.searches.remove(&number) {
            lookup.said(from, hop);
            self.go_on(number, why, lookup);
        }
    }

    /// The question that this answers, if it is still open and was put to this node.
    fn take(&mut self, from: Peer, token: u64) -> Option<What> {
        let asked = self.ring.asked.remove(&token)?;
        if asked.whom != from {
            self.ring.asked.insert(token, asked);
            return None;
        }
        Some(asked.what)
    }

    fn say(&mut self, say: Option<Say>) {
        match say {
            Some(Say::Ask { whom, token: question }) => {
                let token = self.ask(whom, What::Neighbours(question));
                self.send(whom.node, &Word::Ask { token });
            }
            Some(Say::Notify { whom }) => self.send(whom.node, &Word::Notify),
            None => {}
        }
    }

    /// Notes a question. Whoever gossip holds down is asked once, in case gossip is wrong, and not waited for.
    fn ask(&mut self, whom: Peer, what: What) -> u64 {
        let is_down = self.gossip.is_down(whom.node);
        let (tries, wait_us) = if is_down { (TRIES, 0) } else { (1, AGAIN_US) };
        let token = self.ring.token();
        let again_us = self.now.after_us(wait_us);
        self.ring.asked.insert(
            token,
            Asked {
                whom,
                what,
                tries,
                again_us,
            },
        );
        token
    }

    /// A question has waited long enough: it is asked again, or whoever was asked is taken for dead.
    fn ask_again(&mut self, token: u64) {
        let Some(asked) = self.ring.asked.get_mut(&token) else {
            return;
        };
        let (whom, what) = (asked.whom, asked.what);
        if asked.tries < TRIES {
            asked.tries += 1;
            asked.again_us = self.now.after_us(AGAIN_US);
            let word = match what {
                What::Neighbours(_) => Word::Ask { token },
                What::Way(number) => match self.ring.searches.get(&number) {
                    Some((_, lookup)) => Word::Find {
                        token,
                        to: lookup.to(),
                        dead: lookup.dead().to_vec(),
                    },
                    None => return,
                },
            };
            return self.send(whom.node, &word);
        }
        self.ring.asked.remove(&token);
        match what {
            What::Neighbours(question) => {
                let say = self.ring.rounds.unanswered(question);
                self.say(say);
            }
            What::Way(number) => {
                if let Some((why, mut lookup)) = self.ring.searches.remove(&number) {
                    lookup.died(whom);
                    self.go_on(number, why, lookup);
                }
            }
        }
    }

    fn send(&mut self, to: NodeId, word: &Word) {
        self.effects.push(Effect::Datagram(to, ring::encode(word).into()));
    }
}
