//! A gateway beside the cluster: it is no member, holds nothing, and hands on what some clients ask. Its number follows those of
//! the members. It is killed now and then, and forgets everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_core::gateway::{Effect, Gateway, Input};
use holdfast_core::ids::NodeId;
use holdfast_core::message::{Envelope, Message};
use holdfast_core::time::Now;

use super::{EPOCH_MS, Event, World};
use crate::coverage::Reached;
use crate::plan::Plan;
use crate::rng::{Rng, Stream};
use crate::watch::Watch;

/// Far from every member's id.
const GATE: NodeId = NodeId(0xfade_fade_fade_fade);

/// Between two attempts to connect to a member.
const REDIAL_US: u64 = 1_000_000;

/// It is killed so often at most.
const DEATHS_MAX: u64 = 3;

/// The gateway.
pub(super) struct Gate {
    machine: Gateway,
    pub(super) incarnation: u32,
    timer_at_us: Option<u64>,
    /// For each member, the incarnation that it believes to reach.
    told: Vec<Option<u32>>,
    /// Whom it wants connections to.
    wanted: BTreeSet<NodeId>,
}

impl World {
    /// The number under which clients reach the gateway, if the seed has one.
    #[must_use]
    pub fn gate_number(&self) -> Option<usize> {
        self.gate.is_some().then_some(self.members.len())
    }

    pub(super) fn is_gate(&self, number: usize) -> bool {
        number == self.members.len()
    }

    /// Starts it, and plans its deaths.
    pub(super) fn open_gate(&mut self, plan: &Plan) {
        if !plan.has_gateway {
            return;
        }
        self.start_gate(1);
        let mut rng = Rng::new(plan.seed, Stream::Gateway);
        for _ in 0..rng.below(DEATHS_MAX + 1) {
            self.queue.push(rng.below(plan.window_us), Event::GateDies);
        }
    }

    fn start_gate(&mut self, incarnation: u32) {
        let now = self.gate_clock();
        // It knows one member; whoever else there is, it has to find out.
        let first = self.ids[incarnation as usize % self.ids.len()];
        let contacts = [(first, format!("{first}:9002"))];
        let machine = Gateway::new(now, self.cluster, u64::from(incarnation), &contacts, self.planted);
        self.gate = Some(Gate {
            machine,
            incarnation,
            timer_at_us: None,
            told: vec![None; self.members.len()],
            wanted: BTreeSet::from([first]),
        });
        self.look_for(&BTreeSet::from([first]));
    }

    /// It will find out whether it reaches these, of whom it has not known so far.
    fn look_for(&mut self, wanted: &BTreeSet<NodeId>) {
        for member in 0..self.members.len() {
            if wanted.contains(&self.ids[member]) {
                self.look(self.members.len(), member, 200, 30_000);
            }
        }
    }

    pub(super) fn gate_dies(&mut self, watch: &mut Watch) {
        let Some(gate) = &self.gate else { return };
        let incarnation = gate.incarnation + 1;
        watch
            .trace
            .line(self.now_us, || "the gateway dies, and another one starts".to_owned());
        self.disconnect_clients(self.members.len());
        watch.coverage.reach(Reached::GatewayDied);
        self.start_gate(incarnation);
    }

    /// The gateway will find out whether it reaches a member.
    pub(super) fn gate_looks(&mut self, member: usize, soon_us: u64, late_us: u64) {
        if let Some(gate) = self.gate_number() {
            self.look(gate, member, soon_us, late_us);
        }
    }

    /// Where members can be reached.
    pub(super) fn addresses(&self) -> Arc<BTreeMap<NodeId, String>> {
        Arc::new(self.ids.iter().map(|id| (*id, format!("{id}:9002"))).collect())
    }

    const fn gate_clock(&self) -> Now {
        Now {
            wall_ms: EPOCH_MS + self.now_us / 1_000,
            mono_us: self.now_us,
        }
    }

    pub(super) fn id_of(&self, number: usize) -> NodeId {
        self.ids.get(number).copied().unwrap_or(GATE)
    }

    pub(super) fn number_of(&self, id: NodeId) -> Option<usize> {
        let member = self.ids.iter().position(|member| *member == id);
        member.or_else(|| self.gate_number().filter(|_| id == GATE))
    }

    pub(super) fn incarnation_of(&self, number: usize) -> u32 {
        match self.members.get(number) {
            Some(member) => member.incarnation,
            None => self.gate.as_ref().map_or(0, |gate| gate.incarnation),
        }
    }

    /// Whether a process of this incarnation takes messages.
    pub(super) fn takes(&self, number: usize, incarnation: u32) -> bool {
        self.incarnation_of(number) == incarnation && self.members.get(number).is_none_or(super::Member::is_up)
    }

    /// The gateway finds out whether it reaches a member.
    pub(super) fn gate_detects(&mut self, watch: &mut Watch, to: usize) {
        let reaches = self.reaches(self.members.len(), to);
        let node = self.ids[to];
        if !reaches {
            // It tries again, as long as it wants to; nothing waits for that.
            let at_us = self.now_us + REDIAL_US;
            let from = self.members.len();
            self.chatter.push(at_us, Event::Detect { from, to });
        }
        let Some(gate) = &mut self.gate else { return };
        let reached = (reaches && gate.wanted.contains(&node)).then(|| self.members[to].incarnation);
        let told = std::mem::replace(&mut gate.told[to], reached);
        if told == reached {
            return;
        }
        if told.is_some() {
            self.feed_gate(watch, Input::PeerDown(node));
        }
        if reached.is_some() {
            self.feed_gate(watch, Input::PeerUp(node));
        }
    }

    pub(super) fn gate_timer(&mut self, watch: &mut Watch, planned_us: u64, incarnation: u32) {
        let Some(gate) = &mut self.gate else { return };
        if gate.incarnation == incarnation && gate.timer_at_us == Some(planned_us) {
            gate.timer_at_us = None;
            self.feed_gate(watch, Input::Timer);
        }
    }

    /// Gives the gateway an input and does what it wants done.
    pub(super) fn feed_gate(&mut self, watch: &mut Watch, input: Input) {
        let now = self.gate_clock();
        let Some(gate) = &mut self.gate else { return };
        let is_new = matches!(&input, Input::Client(..) | Input::Find(..));
        let is_way =
            matches!(&input, Input::Peer(_, envelope) if matches!(envelope.message, Message::FindReply { .. }));
        let mut effects = Vec::new();
        gate.machine.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(to, envelope) => {
                    if matches!(envelope.message, Message::Forward { .. }) {
                        watch.coverage.reach(if is_new || is_way {
                            Reached::GatewayHandedOn
                        } else {
                            Reached::GatewayTriedAnother
                        });
                    }
                    self.send(watch, self.members.len(), to, envelope);
                }
                Effect::Answer(token, answer) => self.answer(watch, self.members.len(), token, answer),
                Effect::Connect(list) => {
                    let wanted = list.into_iter().map(|(node, _)| node).collect();
                    self.look_for(&wanted);
                    self.gate.iter_mut().for_each(|gate| gate.wanted.clone_from(&wanted));
                }
                Effect::Found(..) => {}
            }
        }
        let Some(gate) = &mut self.gate else { return };
        if let Some(wanted_us) = gate.machine.next_timer_us() {
            let planned_us = wanted_us.max(self.now_us + 1);
            if gate.timer_at_us.is_none_or(|at_us| planned_us < at_us) {
                gate.timer_at_us = Some(planned_us);
                let incarnation = gate.incarnation;
                self.queue.push(
                    planned_us,
                    Event::GateTimer {
                        planned_us,
                        incarnation,
                    },
                );
            }
        }
    }

    /// A message for the gateway arrives.
    pub(super) fn gate_hears(&mut self, watch: &mut Watch, from: usize, envelope: Envelope) {
        self.feed_gate(watch, Input::Peer(self.ids[from], envelope));
    }
}
