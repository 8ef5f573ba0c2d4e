//! Who is used (rule F1): connections say to whom messages can be sent, gossip who is down. Operations are told when
//! either changes what both together say.

use alloc::vec::Vec;

use super::standing::FILL_EVERY_MS;
use super::state::Step;
use super::{Node, Turn};
use crate::coordinate::announce::AnnounceOp;
use crate::coordinate::compare::CompareOp;
use crate::gossip::{MemberState, MemberView, Verdict};
use crate::ids::{NodeId, Partition};
use crate::time::Now;

impl Node {
    /// Whether a member is used: messages can be sent to it, and gossip does not hold it down. Always so for this node.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.state.is_up(node)
    }

    /// Every member of the layout as this node sees it, itself included.
    #[must_use]
    pub fn members(&self, now: Now) -> Vec<MemberView> {
        let members = self.state.layout().members().iter().map(|member| member.id);
        let view = |node| self.state.gossip.view(now, node, self.state.up.contains(&node));
        members.map(view).collect()
    }

    /// By how much this node's clock is ahead of what most members' show (negative: behind), in milliseconds, if that is too
    /// much (rule S4).
    #[must_use]
    pub const fn clock_off_ms(&self) -> Option<i64> {
        self.state.gossip.clock_off_ms()
    }

    /// What a member is taken for at present.
    #[must_use]
    pub fn member_state(&self, now: Now, node: NodeId) -> MemberState {
        self.state.gossip.state_of(now, node, self.state.up.contains(&node))
    }

    /// When gossip, or the ring of Chord, wants [`super::Input::Timer`] next; `None` in a cluster of one.
    #[must_use]
    pub fn next_gossip_us(&self) -> Option<u64> {
        let wishes = [self.state.gossip.next_us(), self.state.ring.next_us()];
        wishes.into_iter().flatten().min()
    }

    /// Datagrams that meant nothing, since the start.
    #[must_use]
    pub const fn junk_datagrams(&self) -> u64 {
        self.state.gossip.junk()
    }

    /// This node's generation in gossip, for those who look on.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.state.gossip.identity().generation.0
    }

    /// Tells the others how full this node's disk is.
    pub fn set_disk(&mut self, used_bytes: u64, total_bytes: u64) {
        self.state.gossip.set_disk(used_bytes, total_bytes);
    }

    /// Tells the others for which partitions this node holds hints.
    pub fn set_hinted_partitions(&mut self, partitions: &[Partition]) {
        self.state.gossip.set_hinted_partitions(partitions);
    }

    /// Other members that may hold hints for a partition, as far as gossip told.
    #[must_use]
    pub fn hint_holders(&self, partition: Partition) -> Vec<NodeId> {
        self.state.gossip.hint_holders(partition).collect()
    }
}

impl Turn<'_> {
    pub(super) fn peer_up(&mut self, node: NodeId) {
        if node == self.step.state.me() {
            return;
        }
        self.step.state.up.insert(node);
        self.step.state.silent.heard(node, self.step.now.mono_us);
        self.step.state.gossip.peer_up(self.step.now, node, self.step.effects);
        self.ring_heeds(node, false);
        AnnounceOp::spawn(&mut self.step, node);
        if self.step.state.is_up(node) {
            self.step.catch_up_with(node);
        }
        self.heed_gossip();
    }

    pub(super) fn peer_down(&mut self, node: NodeId) {
        self.step.state.up.remove(&node);
        self.tell_operations(node);
    }

    pub(super) fn datagram(&mut self, from: NodeId, bytes: &[u8]) {
        let step = &mut self.step;
        step.state.silent.heard(from, step.now.mono_us);
        step.state
            .gossip
            .datagram(step.now, from, bytes, step.storage, step.effects);
        step.note_bounds();
        self.heed_gossip();
    }

    pub(super) fn maintain(&mut self, node: NodeId, on: bool) {
        let step = &mut self.step;
        step.state
            .gossip
            .maintain(step.now, node, on, step.storage, step.effects);
    }

    pub(super) fn gossip_timer(&mut self) {
        self.step.state.gossip.timer(self.step.now, self.step.effects);
        self.heed_gossip();
    }

    /// A verdict matters only for members that messages can be sent to: the others are not used anyway.
    fn heed_gossip(&mut self) {
        for (node, verdict) in self.step.state.gossip.take_flips() {
            self.ring_heeds(node, verdict == Verdict::Down);
            if !self.step.state.up.contains(&node) {
                continue;
            }
            match verdict {
                Verdict::Down => self.tell_operations(node),
                Verdict::NotDown => {
                    AnnounceOp::spawn(&mut self.step, node);
                    self.step.catch_up_with(node);
                }
            }
        }
    }

    /// Operations give up on a member.
    fn tell_operations(&mut self, node: NodeId) {
        for op in self.ops.keys().copied().collect::<Vec<_>>() {
            self.wake(op, &mut |running, step| running.peer_down(step, node));
        }
    }
}

impl Step<'_> {
    /// A member is back, or this node: both sides bring each other up to date, and each gets the hints that it is owed.
    pub(crate) fn catch_up_with(&mut self, node: NodeId) {
        if self.state.standing.is_vouched_for() {
            self.heal_entries();
            CompareOp::spawn(self, node);
            self.begin_handoffs(&[node]);
        }
    }

    /// Compares this node with the next member in turn, if it is time (rule A1).
    pub(crate) fn compare_if_due(&mut self) {
        if !self.state.standing.is_vouched_for() {
            return;
        }
        self.plan_filling();
        let every_us = self.compare_every_us();
        let due_us = *self
            .state
            .next_compare_us
            .get_or_insert(self.now.mono_us.saturating_add(every_us));
        if due_us > self.now.mono_us {
            return;
        }
        self.state.next_compare_us = Some(self.now.mono_us.saturating_add(every_us));
        let members = self.state.layout().members().iter().map(|member| member.id);
        let up: Vec<NodeId> = members
            .filter(|node| *node != self.state.me() && self.state.is_up(*node))
            .collect();
        let wanted: Vec<NodeId> = up
            .iter()
            .copied()
            .filter(|node| self.state.standing.is_to_fill_from(*node))
            .collect();
        let up = if wanted.is_empty() { up } else { wanted };
        let after = self.state.compared_last;
        let next = up.iter().find(|node| Some(**node) > after).or(up.first()).copied();
        if let Some(node) = next {
            self.state.compared_last = Some(node);
            CompareOp::spawn(self, node);
        }
    }

    /// Between two comparisons, in microseconds: shorter while this node waits for them to be whole again (rule S2).
    fn compare_every_us(&self) -> u64 {
        let every_us = self.state.config.compare_every_ms.saturating_mul(1_000);
        let members = self.state.layout().members().iter().map(|member| member.id);
        let mut wanted = members.filter(|node| self.state.is_up(*node) && self.state.standing.is_to_fill_from(*node));
        match self.state.standing.fills_from_us().filter(|_| wanted.next().is_some()) {
            Some(from_us) => every_us
                .min(FILL_EVERY_MS * 1_000)
                .max(from_us.saturating_sub(self.now.mono_us))
                .min(every_us),
            None => every_us,
        }
    }
}
