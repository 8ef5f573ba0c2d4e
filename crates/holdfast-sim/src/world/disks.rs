//! Disks that are lost, and disks that are put back from an old copy (rules S1, S2). They strike one machine of a run, as rot
//! does: what is acknowledged lies on W disks, and against the loss of W there is no cure but more homes.

use holdfast_core::gossip::{NodeFacts, Soundness};
use holdfast_core::ids::{ActorId, NodeId, Tick};
use holdfast_store::MemoryStore;

use super::{Disk, Event, Process, World};
use crate::coverage::Reached;
use crate::truth::Copies;
use crate::watch::Watch;

/// A copy is put back so long after it was taken, at least and at most, in microseconds.
const COPY_AGE_US: (u64, u64) = (15_000_000, 45_000_000);
/// Where it cannot be put back yet, it is tried again after this long, in microseconds.
const TRY_AGAIN_US: u64 = 3_000_000;

/// A copy of a disk.
#[derive(Debug)]
pub struct OldCopy {
    store: MemoryStore,
    copies: Copies,
    actor: ActorId,
    boot: u64,
    bound: Tick,
}

impl World {
    /// The machine whose disk is in trouble, if any is.
    pub(super) fn victim(&self) -> usize {
        (self.plan.seed % self.members.len() as u64) as usize
    }

    /// The machine comes back with an empty disk.
    pub(super) fn lose_disk(&mut self, watch: &mut Watch, restart_after_us: u64) {
        let victim = self.victim();
        watch.coverage.reach(Reached::DisksLost);
        self.replace_disk(watch, victim, MemoryStore::default(), None, restart_after_us);
    }

    fn replace_disk(
        &mut self,
        watch: &mut Watch,
        member: usize,
        store: MemoryStore,
        copies: Option<&Copies>,
        restart_after_us: u64,
    ) {
        self.kill(watch, member, false, restart_after_us);
        watch.truth.copies[member].replaced(copies);
        let of = &mut self.members[member];
        of.disk = Disk::default();
        of.disk.store = store;
        of.is_disk_lost = true;
        watch.trace.line(self.now_us, || {
            format!("n{member} has another disk (a copy: {})", copies.is_some())
        });
    }

    /// The node found its data to be an old copy: it goes on with an empty disk.
    pub(super) fn put_aside(&mut self, watch: &mut Watch, member: usize, incarnation: u32) {
        if self.members[member].incarnation == incarnation {
            watch.coverage.reach(Reached::CopiesPutAside);
            self.replace_disk(watch, member, MemoryStore::default(), None, 100_000);
        }
    }

    /// A copy is taken, to be put back later. Of what is not synced it has nothing.
    pub(super) fn copy_disk(&mut self, watch: &Watch) {
        let victim = self.victim();
        let of = &self.members[victim];
        let Process::Up(node) = &of.process else { return };
        if self.old_copy.is_some() {
            return;
        }
        let Some(facts) = self.facts_at(victim, of.id) else {
            return;
        };
        let mut store = of.disk.store.clone();
        store.crash_keeping(0, 0);
        self.old_copy = Some(OldCopy {
            store,
            copies: watch.truth.copies[victim].clone(),
            actor: node.actor(),
            boot: node.boot(),
            bound: facts.tick_bound,
        });
        let age_us = self.fault_rng.between(COPY_AGE_US.0, COPY_AGE_US.1);
        self.queue.push(self.now_us + age_us, Event::PutBack);
    }

    /// The copy is put back, if every other member has heard of what came after it: no rule helps where nobody knows.
    pub(super) fn put_back(&mut self, watch: &mut Watch) {
        if self.healed {
            return;
        }
        let victim = self.victim();
        let id = self.members[victim].id;
        let Some(copy) = self.old_copy.take() else { return };
        let is_known = (0..self.members.len()).filter(|other| *other != victim).all(|other| {
            self.facts_at(other, id)
                .is_some_and(|facts| facts.boot > copy.boot || facts.tick_bound > copy.bound)
        });
        let is_same = matches!(&self.members[victim].process, Process::Up(node) if node.actor() == copy.actor);
        if !is_same {
            return;
        }
        if !is_known {
            self.old_copy = Some(copy);
            self.queue.push(self.now_us + TRY_AGAIN_US, Event::PutBack);
            return;
        }
        watch.coverage.reach(Reached::CopiesPutBack);
        let restart_after_us = self.fault_rng.between(1_000, 5_000_000);
        self.replace_disk(watch, victim, copy.store, Some(&copy.copies), restart_after_us);
    }

    /// What a running member knows of one.
    fn facts_at(&self, member: usize, of: NodeId) -> Option<NodeFacts> {
        let Process::Up(node) = &self.members[member].process else {
            return None;
        };
        let now = self.members[member].clock.read(self.now_us);
        let view = node.members(now).into_iter().find(|view| view.node == of);
        view.and_then(|view| view.facts)
    }

    /// Whether every node may speak for its disk.
    #[must_use]
    pub fn are_all_sound(&self) -> bool {
        self.members
            .iter()
            .all(|of| matches!(&of.process, Process::Up(node) if node.soundness() == Soundness::Sound))
    }
}
