//! What gossip says: foca's messages, each in a datagram with how this node regards the addressee, facts and marks.

use alloc::vec::Vec;
use foca::{Notification, Runtime, State as SwimState, Timer, TimerToken};

use super::identity::Identity;
use super::wait::Waits;
use super::{Gossip, Swim};
use crate::event::ClusterEvent;
use crate::ids::NodeId;
use crate::node::Effect;
use crate::time::Now;
use crate::wire::datagram::{Datagram, FACTS_MAX, MARKS_MAX, Regard};

/// Gathers what foca wants done while it is at it.
pub(super) struct Outbox<'a> {
    now: Now,
    waits: &'a mut Waits,
    token: &'a mut TimerToken,
    messages: Vec<(NodeId, Vec<u8>)>,
}

impl Runtime<Identity> for Outbox<'_> {
    fn notify(&mut self, _: Notification<'_, Identity>) {
        // Changes are read from foca's members afterwards: it does not notify of suspicions.
    }

    fn send_to(&mut self, to: Identity, message: &[u8]) {
        self.messages.push((to.node, message.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: core::time::Duration) {
        let token = match &timer {
            Timer::ProbeRandomMember(token) | Timer::PeriodicGossip(token) | Timer::SendIndirectProbe { token, .. } => {
                *token
            }
            // Each node judges suspects by its own timer, whoever suspected them first; and nobody is forgotten.
            _ => return,
        };
        *self.token = token;
        self.waits.add(self.now.after_us(after.as_micros() as u64), timer);
    }
}

impl Gossip {
    /// Lets foca act, then does what follows from it.
    pub(super) fn act(
        &mut self,
        now: Now,
        effects: &mut Vec<Effect>,
        action: impl FnOnce(&mut Swim, &mut Outbox<'_>) -> Result<(), foca::Error>,
    ) -> Result<(), foca::Error> {
        let identity = *self.swim.identity();
        let mut outbox = Outbox {
            now,
            waits: &mut self.waits,
            token: &mut self.token,
            messages: Vec::new(),
        };
        let result = action(&mut self.swim, &mut outbox);
        // foca lays its timers down when it changes its identity and takes them up with the next claims it hears of.
        let _ = self.swim.apply_many(core::iter::empty(), false, &mut outbox);
        let messages = outbox.messages;
        let suspects = self.review(now, effects);
        let rejoined = identity != *self.swim.identity();
        if rejoined {
            self.facts.renew(self.me, self.swim.identity().generation);
            effects.push(Effect::Event(ClusterEvent::Rejoined));
        }
        for (to, message) in messages {
            self.send(now, to, &message, effects);
        }
        for suspect in suspects {
            self.announce(now, suspect, effects);
        }
        if rejoined {
            // Probes to the old generation are lost until everybody knows the new one.
            for node in self.peers.keys().copied().collect::<Vec<_>>() {
                self.announce(now, node, effects);
            }
        }
        result
    }

    /// Says "here I am" to a member, which answers with whom it knows. It is the one message that is taken whatever
    /// generation it was meant for.
    pub(super) fn announce(&mut self, now: Now, node: NodeId, effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get(&node) else { return };
        let to = Identity {
            node,
            generation: peer.generation,
        };
        let _ = self.act(now, effects, |swim, outbox| swim.announce(to, outbox));
    }

    /// This node ends in order, and tells everybody: nobody need wait to find out.
    pub(crate) fn say_goodbye(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.begun.is_none() {
            return;
        }
        self.facts.change(self.me, |facts| facts.is_ending = true);
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.announce(now, node, effects);
        }
    }

    fn send(&mut self, now: Now, to: NodeId, message: &[u8], effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get(&to) else { return };
        let mut regard = Regard {
            generation: peer.generation,
            incarnation: peer.incarnation,
            state: peer.state,
        };
        // Facts travel further than claims: those of a disk that was lost since may come back by a third member.
        if let Some(generation) = self.facts.generation_of(to).filter(|of| *of > peer.generation) {
            regard = Regard {
                generation,
                incarnation: 0,
                state: SwimState::Alive,
            };
        }
        let datagram = Datagram {
            regard,
            wall_ms: now.wall_ms,
            swim: message,
            facts: self.facts.pass_on(self.me, to, FACTS_MAX),
            marks: self.marks.pass_on(MARKS_MAX),
        };
        effects.push(Effect::Datagram(to, datagram.encode().into()));
    }
}
