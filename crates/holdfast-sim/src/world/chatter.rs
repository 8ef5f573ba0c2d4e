//! Gossip: datagrams and the timers for it, in a queue of their own.
//!
//! Gossip never falls silent, operations must: so what gossip plans does not count when the run waits for silence. Both
//! queues share one clock, and of one instant operations come first. Datagrams draw from a stream of their own, so that
//! what becomes of the messages of a seed does not depend on them.

use bytes::Bytes;

use holdfast_core::event::ClusterEvent;
use holdfast_core::gossip::MemberState;
use holdfast_core::ids::NodeId;
use holdfast_core::node::Input;
use holdfast_core::wire::datagram::DATAGRAM_BYTES_MAX;

use super::{Event, Process, World};
use crate::checkers::Promise;
use crate::checkers::membership::{self, Pair};
use crate::coverage::Reached;
use crate::watch::Watch;

/// How often somebody looks whether members see each other as they are.
const INSPECTION_US: u64 = 1_000_000;

impl World {
    /// When anything is due next, gossip included.
    #[must_use]
    pub fn next_of_all_us(&self) -> Option<u64> {
        [self.queue.next_at_us(), self.chatter.next_at_us()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn plan_inspections(&mut self) {
        if self.members.len() > 1 {
            self.chatter.push(self.now_us + INSPECTION_US, Event::Inspect);
        }
    }

    pub(super) fn plan_gossip(&mut self, member: usize) {
        let of = &mut self.members[member];
        let Process::Up(node) = &of.process else { return };
        let Some(wanted_us) = node.next_gossip_us() else { return };
        let planned_us = of.clock.true_us_of(wanted_us).max(self.now_us + 1);
        if of.gossip_at_us.is_none_or(|at_us| planned_us < at_us) {
            of.gossip_at_us = Some(planned_us);
            let incarnation = of.incarnation;
            let event = Event::GossipTimer {
                member,
                planned_us,
                incarnation,
            };
            self.chatter.push(planned_us, event);
        }
    }

    pub(super) fn gossip_timer(&mut self, watch: &mut Watch, member: usize, planned_us: u64, incarnation: u32) {
        let of = &mut self.members[member];
        if of.incarnation != incarnation || of.gossip_at_us != Some(planned_us) {
            return;
        }
        of.gossip_at_us = None;
        let now = of.clock.read(self.now_us);
        let Process::Up(node) = &of.process else { return };
        if node.next_gossip_us().is_some_and(|wanted_us| wanted_us <= now.mono_us) {
            self.feed(watch, member, Input::Timer);
        } else {
            self.plan_gossip(member);
        }
    }

    pub(super) fn send_datagram(&mut self, watch: &mut Watch, from: usize, to: NodeId, bytes: &Bytes) {
        let Some(to) = self.ids.iter().position(|id| *id == to) else {
            return;
        };
        assert!(bytes.len() <= DATAGRAM_BYTES_MAX, "a datagram of {} bytes", bytes.len());
        let fate = self.network.send_datagram(&mut self.gossip_rng, self.now_us, from, to);
        watch.coverage.reach(Reached::Datagrams);
        for at_us in [fate.arrival_us, fate.again_us].into_iter().flatten() {
            let bytes = bytes.clone();
            self.chatter.push(at_us, Event::Datagram { from, to, bytes });
        }
    }

    /// A datagram belongs to no session: it reaches whatever process runs there when it comes.
    pub(super) fn deliver_datagram(&mut self, watch: &mut Watch, from: usize, to: usize, bytes: Bytes) {
        if self.members[to].is_up() && !self.network.is_cut(from, to) {
            watch
                .trace
                .mix([self.now_us, from as u64, to as u64, bytes.len() as u64]);
            let sender = self.ids[from];
            self.feed(watch, to, Input::Datagram(sender, bytes));
        }
    }

    /// A node says what happened.
    pub(super) fn note_event(&mut self, watch: &mut Watch, member: usize, event: ClusterEvent) {
        watch.trace.line(self.now_us, || format!("n{member} says {event:?}"));
        match event {
            ClusterEvent::MemberSuspect(_) => watch.coverage.reach(Reached::Suspicions),
            ClusterEvent::MemberUp { was, .. } => match was {
                MemberState::Suspect => watch.coverage.reach(Reached::Refutations),
                MemberState::Down | MemberState::Stopped => watch.coverage.reach(Reached::Returns),
                _ => {}
            },
            ClusterEvent::MemberDown(node) => {
                watch.coverage.reach(Reached::Deaths);
                if let Some(of) = self.ids.iter().position(|id| *id == node) {
                    let found = membership::check_verdict(self.now_us, &self.pair(member, of));
                    watch.judge(self.now_us, Promise::LiveHeldUp, found);
                }
            }
            ClusterEvent::ClockOff { .. } => watch.coverage.reach(Reached::ClocksOff),
            ClusterEvent::Filled => watch.coverage.reach(Reached::DisksFilled),
            ClusterEvent::Rejoined => watch.coverage.reach(Reached::Rejoins),
            ClusterEvent::GateHeld { .. } => watch.coverage.reach(Reached::GatesHeld),
            ClusterEvent::Forgotten { .. } => watch.coverage.reach(Reached::GatesOpened),
            // What these tell is looked at where it happens.
            _ => {}
        }
    }

    /// What is true of two members, and what the first takes the second for.
    fn pair(&self, observer: usize, of: usize) -> Pair {
        let [one, other] = [&self.members[observer], &self.members[of]];
        let links_good_us = self
            .network
            .good_since(observer, of)
            .zip(self.network.good_since(of, observer));
        let good_since_us = match (
            one.runs_since(self.now_us),
            other.runs_since(self.now_us),
            links_good_us,
        ) {
            (Some(one_us), Some(other_us), Some((there_us, back_us))) => {
                Some(one_us.max(other_us).max(there_us).max(back_us))
            }
            _ => None,
        };
        let state = match &one.process {
            Process::Up(node) => Some(node.member_state(one.clock.read(self.now_us), other.id)),
            _ => None,
        };
        Pair {
            names: (observer, of),
            state,
            good_since_us,
            observer_runs_since_us: one.runs_since(self.now_us),
            dead_since_us: other.is_down().then_some(other.down_since_us),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        let count = self.members.len();
        let pairs = (0..count).flat_map(move |observer| (0..count).map(move |of| (observer, of)));
        pairs
            .filter(|(observer, of)| observer != of)
            .map(|(observer, of)| self.pair(observer, of))
    }

    pub(super) fn inspect(&mut self, watch: &mut Watch) {
        for pair in self.pairs() {
            let found = membership::check_held_down(self.now_us, &pair);
            watch.judge(self.now_us, Promise::LiveHeldUp, found);
            let found = membership::check_dead(self.now_us, &pair);
            watch.judge(self.now_us, Promise::DeadHeldDown, found);
        }
        self.plan_inspections();
    }

    /// Nothing is wrong any more: everybody must see everybody, as they are now.
    pub fn check_all_up(&mut self, watch: &mut Watch) {
        for pair in self.pairs() {
            let found = membership::check_up(&pair);
            watch.judge(self.now_us, Promise::LiveHeldUp, found);
        }
        for member in 0..self.members.len() {
            let of = &self.members[member];
            let Process::Up(node) = &of.process else { continue };
            for view in node.members(of.clock.read(self.now_us)) {
                let Some(truth) = self.members.iter().find(|other| other.id == view.node) else {
                    continue;
                };
                if let Process::Up(truth) = &truth.process {
                    let found = membership::check_facts(member, &view, truth);
                    watch.judge(self.now_us, Promise::FactsSpread, found);
                }
            }
        }
    }

    /// A member is taken out on purpose, and for longer than it takes the others to notice.
    pub fn absent(&mut self, watch: &mut Watch, member: usize, lasts_us: u64) {
        let id = self.ids[member];
        let told = (member + 1) % self.members.len();
        self.feed(watch, told, Input::Maintain(id, true));
        self.kill(watch, member, false, lasts_us);
    }

    /// What an operator said of a member is known to all.
    pub fn check_maintenance(&mut self, watch: &mut Watch, member: usize) {
        let id = self.ids[member];
        for observer in 0..self.members.len() {
            let of = &self.members[observer];
            let Process::Up(node) = &of.process else { continue };
            let views = node.members(of.clock.read(self.now_us));
            if !views.iter().any(|view| view.node == id && view.maintenance.is_some()) {
                let what = format!("n{observer} does not know that n{member} is in maintenance");
                watch.violated(self.now_us, Promise::FactsSpread, what);
            }
        }
    }
}
