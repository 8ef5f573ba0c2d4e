//! A gateway as a state machine: it takes clients' requests, finds out hop by hop where they belong ([`crate::chord`]), and hands them
//! to a home there, and to the next one when the first does not answer (rule D7). It holds no data, no layout and no record of
//! who is up: only connections to some nodes, and what it was told lately.
//!
//! It decides nothing about data. To a home a gateway is a node that hands over what it is no home of: the home asks back before it
//! writes, so that one which was frozen meanwhile does not do what another one has done long ago.

mod contacts;
mod directions;
mod errand;
mod placements;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

pub use directions::{Directions, PLACED_MAX, Placement};

use crate::chord::{Lookup, Peer};
use crate::coordinate::handing::Handing;
use crate::ids::{ClusterId, NodeId, Partition, Position, Tick};
use crate::message::{Envelope, Header, Message, OpId};
use crate::node::{ClientToken, Found};
use crate::planted::Planted;
use crate::request::{Answer, ClientRequest};
use crate::time::Now;
use contacts::Contacts;
use errand::{Errand, Stage, Verdict, Wish, destination, failure, homes, in_turn, judge, patience_ms};
use placements::Placements;

/// A node that was asked the way is waited for so long, in milliseconds; then it is gone around.
const WAY_WAIT_MS: u64 = 500;
/// A request waits so long for a connection to somebody it can be handed to, in milliseconds.
const CONNECT_WAIT_MS: u64 = 3_000;
/// How long one that only looks for a way may take, in milliseconds.
const WAY_DEADLINE_MS: u64 = 10_000;

/// What can happen to a gateway.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client asks.
    Client(ClientToken, ClientRequest),
    /// A client asks who answers for a position on the ring of Chord, and by which way one comes there.
    Find(ClientToken, Position),
    /// A message from a node.
    Peer(NodeId, Envelope),
    /// Messages to this node can be sent from now on.
    PeerUp(NodeId),
    /// They cannot.
    PeerDown(NodeId),
    /// [`Gateway::next_timer_us`] is reached.
    Timer,
}

/// What a gateway wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send to a node; may be lost.
    Send(NodeId, Envelope),
    /// Answer a client.
    Answer(ClientToken, Answer),
    /// Tell a client what came of a lookup.
    Found(ClientToken, Found),
    /// Keep connections to these nodes, at these addresses, and to no others.
    Connect(Vec<(NodeId, String)>),
}

/// A gateway.
#[derive(Debug)]
pub struct Gateway {
    cluster: ClusterId,
    planted: Option<Planted>,
    contacts: Contacts,
    placements: Placements,
    errands: BTreeMap<OpId, Errand>,
    timers: BTreeSet<(u64, OpId)>,
    last_op: u64,
}

impl Gateway {
    /// A gateway that knows these nodes of a cluster. `run` is drawn at random for each start: nodes remember what they were asked.
    #[must_use]
    pub fn new(
        now: Now,
        cluster: ClusterId,
        run: u64,
        contacts: &[(NodeId, String)],
        planted: Option<Planted>,
    ) -> Self {
        let mut gateway = Self {
            cluster,
            planted,
            contacts: Contacts::default(),
            placements: Placements::default(),
            errands: BTreeMap::new(),
            timers: BTreeSet::new(),
            last_op: run << 32,
        };
        for (node, address) in contacts {
            gateway.contacts.learn(now, *node, address);
        }
        gateway
    }

    /// Takes one input and appends what is to be done.
    pub fn handle(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let mut act = Act {
            now,
            gateway: self,
            effects,
        };
        match input {
            Input::Client(token, request) => act.begin(token, request),
            Input::Find(token, to) => act.find(token, to),
            Input::Peer(from, envelope) => act.hear(from, envelope),
            Input::PeerUp(node) => act.peer_up(node),
            Input::PeerDown(node) => act.peer_down(node),
            Input::Timer => act.timer(),
        }
        if let Some(list) = self.contacts.take_changed() {
            effects.push(Effect::Connect(list));
        }
    }

    /// When [`Input::Timer`] is wanted next, in monotonic microseconds.
    #[must_use]
    pub fn next_timer_us(&self) -> Option<u64> {
        self.timers.first().map(|(wake_us, _)| *wake_us)
    }

    /// How many members and partitions the cluster has, once a node has told.
    #[must_use]
    pub fn sizes(&self) -> Option<(u32, usize)> {
        self.placements.sizes()
    }

    /// Where a position lives, if that was told lately: its partition, and who holds it, best first.
    #[must_use]
    pub fn placement(&self, now: Now, position: Position) -> Option<(Partition, Vec<NodeId>)> {
        let nodes = self.placements.of(now, position)?.to_vec();
        Some((self.placements.partition_of(position), nodes))
    }

    /// Requests under way.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.errands.len()
    }
}

/// One input being taken.
struct Act<'a> {
    now: Now,
    gateway: &'a mut Gateway,
    effects: &'a mut Vec<Effect>,
}

impl Act<'_> {
    fn new_op(&mut self) -> OpId {
        self.gateway.last_op += 1;
        OpId(self.gateway.last_op)
    }

    fn begin(&mut self, token: ClientToken, request: ClientRequest) {
        let to = destination(&request.what);
        let deadline_us = self.now.after_ms(u64::from(request.deadline_ms));
        self.set_out(token, Wish::Request(Box::new(request)), to, deadline_us);
    }

    fn find(&mut self, token: ClientToken, to: Position) {
        let deadline_us = self.now.after_ms(WAY_DEADLINE_MS);
        self.set_out(token, Wish::Way, Some(to), deadline_us);
    }

    fn set_out(&mut self, token: ClientToken, wish: Wish, to: Option<Position>, deadline_us: u64) {
        let seeks = to.unwrap_or(Position(0));
        let errand = Errand {
            token,
            wish,
            to,
            asked_ms: self.now.wall_ms,
            deadline_us,
            connect_until_us: self.now.after_ms(CONNECT_WAIT_MS).min(deadline_us),
            stage: Stage::Seeking {
                lookup: Lookup::new(seeks, self.gateway.contacts.peers()),
                asked: None,
            },
            wake_us: 0,
        };
        let op = self.new_op();
        self.choose_way(op, errand);
    }

    /// Hands a request over where it is known where it goes; else asks.
    fn choose_way(&mut self, op: OpId, mut errand: Errand) {
        let Wish::Request(request) = &errand.wish else {
            return self.ask_way(op, errand);
        };
        let contacts = &self.gateway.contacts;
        let candidates = match errand.to {
            None => Some(contacts.from(op.0).into()),
            Some(to) => {
                let nodes = self.gateway.placements.of(self.now, to);
                // Those that were of no use for long are known no more, and have to be found anew.
                let nodes = nodes.filter(|nodes| nodes.iter().any(|node| contacts.knows(*node)));
                nodes.map(|nodes| in_turn(nodes, homes(&request.what), op.0))
            }
        };
        match candidates {
            Some(candidates) => {
                errand.stage = Stage::Handed(Handing::new(candidates, errand.deadline_us));
                self.hand(op, errand);
            }
            None => self.ask_way(op, errand),
        }
    }

    /// Asks the next node on the way, or ends.
    fn ask_way(&mut self, op: OpId, mut errand: Errand) {
        let Stage::Seeking { lookup, asked } = &mut errand.stage else {
            return;
        };
        if let Some(next) = lookup.next() {
            *asked = Some(next.node);
            let wait_ms = if self.gateway.contacts.is_up(next.node) {
                let message = Message::Find {
                    op,
                    to: lookup.to(),
                    dead: lookup.dead().to_vec(),
                };
                self.send(next.node, message, None);
                WAY_WAIT_MS
            } else {
                // It has just been named, and is being connected to.
                2 * WAY_WAIT_MS
            };
            let until_us = self.now.after_ms(wait_ms).min(errand.deadline_us);
            return self.keep(op, errand, until_us);
        }
        if let Wish::Way = errand.wish {
            let found = Found {
                path: lookup.path().to_vec(),
                timeouts: lookup.timeouts(),
                owner: lookup.found(),
            };
            return self.effects.push(Effect::Found(errand.token, found));
        }
        if self.now.mono_us < errand.connect_until_us {
            // Everybody known is away, perhaps for a moment.
            *asked = None;
            *lookup = Lookup::new(lookup.to(), self.gateway.contacts.peers());
            let until_us = self.now.after_ms(WAY_WAIT_MS).min(errand.connect_until_us);
            return self.keep(op, errand, until_us);
        }
        let down = self.gateway.contacts.from(0);
        self.fail(&errand, false, down, false);
    }

    /// Hands a request to the next node, or ends.
    fn hand(&mut self, op: OpId, mut errand: Errand) {
        let (Stage::Handed(handing), Wish::Request(request)) = (&mut errand.stage, &errand.wish) else {
            return;
        };
        let contacts = &self.gateway.contacts;
        let is_silent = |node| contacts.is_silent(self.now, node);
        let Some(node) = handing.next(self.now, |node| contacts.is_up(node), is_silent) else {
            if self.now.mono_us < errand.connect_until_us {
                let until_us = errand.connect_until_us;
                return self.keep(op, errand, until_us);
            }
            let (may_have_begun, down) = (handing.asked() > 0, handing.candidates().collect());
            if let Some(to) = errand.to {
                self.gateway.placements.forget(to);
            }
            return self.fail(&errand, may_have_begun, down, false);
        };
        if !request.what.needs_claim() {
            handing.wait_ms(self.now, patience_ms(&request.what));
        }
        // Each attempt has an id of its own, so that a node can tell a second attempt from a message delivered twice.
        let op = if handing.asked() > 1 { self.new_op() } else { op };
        let mut request = (**request).clone();
        let left_us = errand.deadline_us.saturating_sub(self.now.mono_us);
        request.deadline_ms = u32::try_from(left_us / 1_000).unwrap_or(u32::MAX);
        let above = handing.above();
        let until_us = handing.until_us();
        let about = Some((request.request, request.deadline_ms, errand.asked_ms));
        self.send(node, Message::Forward { op, above, request }, about);
        self.keep(op, errand, until_us);
    }

    fn hear(&mut self, from: NodeId, envelope: Envelope) {
        self.gateway.contacts.heard(self.now, from);
        match envelope.message {
            Message::FindReply { op, directions } => self.told_way(from, op, directions),
            Message::Claim { op, forward, up_to } => self.claimed(from, op, forward, up_to),
            Message::ForwardReply { op, answer } => self.answered(op, answer),
            // Nodes say nothing else to gateways.
            _ => {}
        }
    }

    fn told_way(&mut self, from: NodeId, op: OpId, directions: Directions) {
        for (node, address) in &directions.addresses {
            self.gateway.contacts.learn(self.now, *node, address);
        }
        if let Some(placement) = directions.placement {
            self.gateway.placements.learn(self.now, placement);
        }
        let Some(mut errand) = self.take(op) else { return };
        if let Stage::Seeking { lookup, asked } = &mut errand.stage
            && *asked == Some(from)
        {
            lookup.said(Peer::of(from), directions.hop);
        }
        self.choose_way(op, errand);
    }

    fn claimed(&mut self, from: NodeId, claim: OpId, op: OpId, up_to: Tick) {
        if Planted::GatewayGrantsLate.is(self.gateway.planted) && !self.gateway.errands.contains_key(&op) {
            self.send(from, Message::ClaimReply { op: claim, up_to }, None);
        }
        let Some(mut errand) = self.take(op) else { return };
        let mut until_us = errand.wake_us;
        if let Stage::Handed(handing) = &mut errand.stage
            && handing.claimed(self.now, from, up_to)
        {
            until_us = handing.until_us();
            self.send(from, Message::ClaimReply { op: claim, up_to }, None);
        }
        self.keep(op, errand, until_us);
    }

    fn answered(&mut self, op: OpId, answer: Answer) {
        let Some(mut errand) = self.take(op) else { return };
        let Stage::Handed(handing) = &mut errand.stage else {
            return self.choose_way(op, errand);
        };
        match judge(answer, handing.asked() > 1) {
            Verdict::Tell(answer) => self.effects.push(Effect::Answer(errand.token, answer)),
            Verdict::TryOthers(answer) => {
                handing.refused();
                let contacts = &self.gateway.contacts;
                if handing.has_untried() && handing.candidates().any(|node| contacts.is_up(node)) {
                    return self.hand(op, errand);
                }
                if let Some(to) = errand.to {
                    self.gateway.placements.forget(to);
                }
                self.effects.push(Effect::Answer(errand.token, answer));
            }
        }
    }

    fn timer(&mut self) {
        while let Some((wake_us, op)) = self.gateway.timers.first().copied() {
            if wake_us > self.now.mono_us {
                return;
            }
            match self.take(op) {
                Some(errand) => self.waited(op, errand),
                None => {
                    self.gateway.timers.pop_first();
                }
            }
        }
    }

    /// Whoever was asked has not answered.
    fn waited(&mut self, op: OpId, mut errand: Errand) {
        if self.now.mono_us >= errand.deadline_us {
            let may_have_begun = matches!(&errand.stage, Stage::Handed(handing) if handing.asked() > 0);
            return self.fail(&errand, may_have_begun, Vec::new(), true);
        }
        match &mut errand.stage {
            Stage::Seeking { lookup, asked } => {
                if let Some(node) = asked.take() {
                    self.gateway.contacts.unanswered(self.now, node);
                    lookup.died(Peer::of(node));
                }
                self.choose_way(op, errand);
            }
            Stage::Handed(handing) => {
                if let Some(node) = handing.unclaimed() {
                    self.gateway.contacts.unanswered(self.now, node);
                }
                self.hand(op, errand);
            }
        }
    }

    fn peer_up(&mut self, node: NodeId) {
        self.gateway.contacts.set_up(node, true);
        for op in self.ops() {
            let Some(errand) = self.take(op) else { continue };
            match &errand.stage {
                Stage::Seeking { asked, .. } if asked.is_none_or(|asked| asked == node) => self.choose_way(op, errand),
                Stage::Handed(handing) if handing.current().is_none() => self.hand(op, errand),
                _ => self.put_back(op, errand),
            }
        }
    }

    fn peer_down(&mut self, node: NodeId) {
        self.gateway.contacts.set_up(node, false);
        for op in self.ops() {
            let Some(mut errand) = self.take(op) else { continue };
            match &mut errand.stage {
                Stage::Seeking { lookup, asked } if *asked == Some(node) => {
                    *asked = None;
                    lookup.died(Peer::of(node));
                    self.choose_way(op, errand);
                }
                Stage::Handed(handing) if handing.is_left_by(self.now, node) => self.hand(op, errand),
                _ => self.put_back(op, errand),
            }
        }
    }

    fn ops(&self) -> Vec<OpId> {
        self.gateway.errands.keys().copied().collect()
    }

    fn fail(&mut self, errand: &Errand, may_have_begun: bool, down: Vec<NodeId>, is_late: bool) {
        self.effects.push(match &errand.wish {
            Wish::Request(request) => {
                Effect::Answer(errand.token, failure(&request.what, may_have_begun, down, is_late))
            }
            Wish::Way => {
                let (path, timeouts) = match &errand.stage {
                    Stage::Seeking { lookup, .. } => (lookup.path().to_vec(), lookup.timeouts()),
                    Stage::Handed(_) => (Vec::new(), 0),
                };
                let owner = None;
                Effect::Found(errand.token, Found { path, timeouts, owner })
            }
        });
    }

    fn take(&mut self, op: OpId) -> Option<Errand> {
        let errand = self.gateway.errands.remove(&op)?;
        self.gateway.timers.remove(&(errand.wake_us, op));
        Some(errand)
    }

    fn keep(&mut self, op: OpId, mut errand: Errand, until_us: u64) {
        errand.wake_us = until_us;
        self.put_back(op, errand);
    }

    fn put_back(&mut self, op: OpId, errand: Errand) {
        self.gateway.timers.insert((errand.wake_us, op));
        self.gateway.errands.insert(op, errand);
    }

    fn send(&mut self, to: NodeId, message: Message, about: Option<(crate::ids::RequestId, u32, u64)>) {
        let (request, deadline_ms, content_ms) = about.unwrap_or((Default::default(), 0, self.now.wall_ms));
        let header = Header {
            cluster: self.gateway.cluster,
            request,
            deadline_ms,
            content_ms,
            ..Header::default()
        };
        self.effects.push(Effect::Send(to, Envelope { header, message }));
    }
}
