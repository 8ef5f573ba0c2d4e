//! What gossip hears. A datagram comes from a member that the shell has authenticated; still it may be old, doubled, cut,
//! or come from a member that is itself mistaken, so what it claims is screened before foca sees it.

use alloc::vec::Vec;
use foca::{Header, Member, Message, State as SwimState};

use super::identity::{Generation, Identity};
use super::{Gossip, PERIOD_US};
use crate::codec::DecodeError;
use crate::ids::NodeId;
use crate::node::Effect;
use crate::planted::Planted;
use crate::storage::Storage;
use crate::time::Now;
use crate::wire::datagram::{Datagram, Regard};
use crate::wire::swim::{header_of, screen, third};

/// A member that is mistaken about this node is set right out of turn at most this often.
const CORRECTION_PAUSE_US: u64 = PERIOD_US / 5;

impl Gossip {
    /// A datagram came.
    pub(crate) fn datagram(
        &mut self,
        now: Now,
        from: NodeId,
        bytes: &[u8],
        storage: &mut dyn Storage,
        effects: &mut Vec<Effect>,
    ) {
        self.begin(now, effects);
        if self.take(now, from, bytes, storage, effects).is_err() {
            self.junk += 1;
        }
        self.plan();
    }

    fn take(
        &mut self,
        now: Now,
        from: NodeId,
        bytes: &[u8],
        storage: &mut dyn Storage,
        effects: &mut Vec<Effect>,
    ) -> Result<(), DecodeError> {
        let datagram = Datagram::decode(bytes)?;
        let header = header_of(datagram.swim)?;
        self.check(from, &header)?;
        let (claims, taken) = self.screened(&datagram)?;
        self.heard_us = now.mono_us;
        if self.clocks.hear(now, from, datagram.wall_ms) {
            self.judge_clock(now, effects);
        }
        for told in datagram.facts {
            // Nobody but this node itself says anything about it.
            if self.peers.contains_key(&told.node) {
                let (node, generation, is_ending) = (told.node, told.generation, told.facts.is_ending);
                self.facts.learn(told);
                if is_ending {
                    self.hear_goodbye(now, node, generation, effects);
                }
            }
        }
        self.learn_marks(&datagram.marks, storage, effects);
        let ignores = Planted::RefutationLeftOut.is(self.planted);
        if ignores && header.message == Message::TurnUndead {
            return Ok(());
        }
        let mistaken = !ignores && self.answer_regard(now, datagram.regard, taken, effects);
        // What foca says of a message that it cannot use is of no interest: it has left its state alone.
        let _ = self.act(now, effects, |swim, outbox| swim.handle_data(&claims, outbox));
        if mistaken || (header.dst.generation < self.swim.identity().generation && header.message != Message::Announce)
        {
            self.correct(now, from, effects);
        }
        Ok(())
    }

    /// A member said that it ends: it is down at once, and nobody need suspect it first. Whatever it says later it says in a
    /// later generation.
    fn hear_goodbye(&mut self, now: Now, node: NodeId, generation: Generation, effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.generation <= generation) else {
            return;
        };
        peer.ended = Some(generation);
        let claim = Member::new(Identity { node, generation }, peer.incarnation, SwimState::Down);
        let _ = self.act(now, effects, |swim, outbox| {
            swim.apply_many(core::iter::once(claim), false, outbox)
        });
    }

    /// Who sent it must be who says so, and everybody named a member.
    fn check(&self, from: NodeId, header: &Header<Identity>) -> Result<(), DecodeError> {
        let is_member = |node: NodeId| node == self.me || self.peers.contains_key(&node);
        let is_plausible = header.src.node == from
            && from != self.me
            && is_member(from)
            && header.dst.node == self.me
            && third(&header.message).is_none_or(|third| is_member(third.node));
        if is_plausible {
            Ok(())
        } else {
            Err(DecodeError::Unsupported { what: "member" })
        }
    }

    /// foca's message with only such claims as this node wants to hear, and the highest generation of this node that
    /// anybody has claimed.
    fn screened(&self, datagram: &Datagram<'_>) -> Result<(Vec<u8>, Generation), DecodeError> {
        let own = self.swim.identity().generation;
        let mut taken = datagram.regard.generation;
        let claims = screen(datagram.swim, |claim| {
            let identity = *claim.id();
            if identity.node == self.me {
                taken = taken.max(identity.generation);
                if identity.generation != own || Planted::RefutationLeftOut.is(self.planted) {
                    return None;
                }
            } else if !self.peers.contains_key(&identity.node) {
                return None;
            }
            let is_hearsay = claim.state() == SwimState::Down && !Planted::HearsayBelieved.is(self.planted);
            Some(if is_hearsay {
                Member::new(identity, claim.incarnation(), SwimState::Suspect)
            } else {
                claim
            })
        })?;
        Ok((claims, taken))
    }

    /// Refutes what the sender holds of this node; says whether it was mistaken.
    fn answer_regard(&mut self, now: Now, regard: Regard, taken: Generation, effects: &mut Vec<Effect>) -> bool {
        let own = *self.swim.identity();
        if taken > own.generation {
            // This node's disk was wiped: it counts its boots anew, and the others remember.
            self.go_above(now, taken, effects);
            return true;
        }
        if regard.generation != own.generation || regard.state == SwimState::Alive {
            return false;
        }
        // foca raises the incarnation against a suspicion, and renews the generation against a death.
        let claim = Member::new(own, regard.incarnation, regard.state);
        let _ = self.act(now, effects, |swim, outbox| {
            swim.apply_many(core::iter::once(claim), false, outbox)
        });
        true
    }

    /// Others remember facts of another disk of this node, perhaps in this very generation.
    pub(crate) fn disown_earlier_facts(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let taken = self.swim.identity().generation;
        self.go_above(now, taken, effects);
        self.plan();
    }

    fn go_above(&mut self, now: Now, taken: Generation, effects: &mut Vec<Effect>) {
        let above = Identity {
            node: self.me,
            generation: taken.above(),
        };
        let _ = self.act(now, effects, |swim, outbox| swim.change_identity(above, outbox));
    }

    /// Tells a member what this node really is.
    fn correct(&mut self, now: Now, node: NodeId, effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let recently = |at_us: u64| now.mono_us < at_us.saturating_add(CORRECTION_PAUSE_US);
        if !peer.corrected_us.is_some_and(recently) {
            peer.corrected_us = Some(now.mono_us);
            self.announce(now, node, effects);
        }
    }
}
