//! Processes begin and end, and learn which peers they can reach.

use holdfast_core::fingerprint::FingerprintKey;
use holdfast_core::ids::ActorId;
use holdfast_core::node::{Config, DEAD_WAIT_MS, Input, Node};
use holdfast_core::storage::{Storage, WriteSeq};

use super::{ClientEvent, ClientIx, Event, Process, World};
use crate::checkers::Promise;
use crate::coverage::Reached;
use crate::watch::{Cause, Watch};

/// A process that stands still for longer than this may be taken for dead by its peers.
const STILL_US_MAX: u64 = 2_000_000;

/// How long dead bodies wait where the cluster forgets within the run, in milliseconds.
const DEAD_WAIT_SHORT_MS: u64 = 2_000;
/// How many lives a record may know of before those that are over are forgotten: few, so that a run gets there.
pub(super) const LIVES_KEPT_FEW: usize = 4;

/// Time between two comparisons of a member with the next one, in milliseconds: rare, or they hide what hints should have done.
const COMPARE_EVERY_SHORT_MS: u64 = 60_000;

/// Time between two scrubs of a disk, in milliseconds.
const SCRUB_EVERY_SHORT_MS: u64 = 120_000;

/// Idle clients come back within this time of a node.
const RUSH_US_MAX: u64 = 400_000;

impl World {
    pub(super) fn start(&mut self, watch: &mut Watch, member: usize) {
        let fresh_actor = ActorId(self.rng.next_u64());
        let addresses = self.addresses();
        let of = &mut self.members[member];
        if !of.is_down() {
            return;
        }
        of.clock.started_us = self.now_us;
        let config = Config {
            cluster: self.cluster,
            node: of.id,
            layout: self.layout.clone(),
            fresh_actor,
            started_ms: of.clock.read(self.now_us).wall_ms,
            is_disk_lost: of.is_disk_lost,
            gives_up_lost_data: false,
            kernel: if self.plan.kernel_unknown { [0; 16] } else { of.kernel },
            message_life_ms: self.plan.message_life_ms,
            dead_wait_ms: if self.plan.forgets() {
                DEAD_WAIT_SHORT_MS
            } else {
                DEAD_WAIT_MS
            },
            lives_kept: LIVES_KEPT_FEW,
            fingerprint_key: FingerprintKey([7; 32]),
            compare_every_ms: COMPARE_EVERY_SHORT_MS,
            scrub_every_ms: SCRUB_EVERY_SHORT_MS,
            addresses,
            gossip_seed: self.gossip_rng.next_u64(),
            planted: self.planted,
        };
        of.incarnation += 1;
        match Node::start(config, &mut of.disk) {
            Ok((node, until)) => {
                of.process = Process::Starting(Box::new(node), until);
                self.after_step(watch, member, Cause::Other, Vec::new());
                let of = &self.members[member];
                if of.disk.store.last_synced() >= until {
                    self.serve(watch, member, until);
                }
            }
            Err(error) => watch.violated(
                self.now_us,
                Promise::Lively,
                format!("n{member} cannot start: {error:?}"),
            ),
        }
    }

    /// The start of a node is on disk: it serves.
    pub(super) fn serve(&mut self, watch: &mut Watch, member: usize, synced: WriteSeq) {
        let of = &mut self.members[member];
        let Process::Starting(node, _) = std::mem::replace(&mut of.process, Process::Down) else {
            return;
        };
        of.process = Process::Up(node);
        of.up_since_us = self.now_us;
        watch
            .trace
            .mix([self.now_us, member as u64, 3, u64::from(of.incarnation)]);
        watch.trace.line(self.now_us, || format!("n{member} serves"));
        self.feed(watch, member, Input::Synced(synced));
        // Clients rush to whoever has just come back: it is now that it knows least.
        for client in 0..self.plan.clients {
            if self.rng.per_mille(500) {
                let at_us = self.now_us + self.rng.below(RUSH_US_MAX);
                self.queue
                    .push(at_us, Event::Client(ClientEvent::Wake(ClientIx(client))));
            }
        }
        for peer in 0..self.members.len() {
            if peer != member {
                self.look(member, peer, 200, 300_000);
                self.look(peer, member, 1_000, 2_000_000);
            }
        }
        self.gate_looks(member, 1_000, 300_000);
    }

    /// A process is killed. `power` says that its machine loses power, and with it what was not synced.
    pub(super) fn kill(&mut self, watch: &mut Watch, member: usize, power: bool, restart_after_us: u64) {
        let of = &mut self.members[member];
        if !of.is_down() {
            let unsynced = of.disk.store.unsynced_count() as u64;
            let keeps_some = !power || self.fault_rng.per_mille(500);
            let kept = if !power {
                unsynced
            } else if keeps_some {
                self.fault_rng.below(unsynced + 1)
            } else {
                0
            };
            if power && kept > 0 && kept < unsynced {
                watch.coverage.reach(Reached::PrefixesKept);
            }
            watch.coverage.add(Reached::BatchesLost, unsynced - kept);
            let last_kept = WriteSeq(of.disk.store.last_synced().0 + kept);
            watch.truth.copies[member].crashed(last_kept);
            let chunks_kept = self.fault_rng.below(4) as usize;
            of.disk.store.crash_keeping(kept as usize, chunks_kept);
            watch.trace.line(self.now_us, || {
                format!("n{member} dies (power {power}): {kept} of {unsynced} unsynced batches kept")
            });
            of.end_process(self.now_us);
        }
        if power {
            of.kernel = self.fault_rng.next_u128().to_be_bytes();
        } else {
            self.disconnect_clients(member);
        }
        self.in_flight.retain(|_, at| at.member != member);
        watch
            .coverage
            .reach(if power { Reached::PowerCuts } else { Reached::Kills });
        let (soon_us, late_us) = if power { (500_000, 10_000_000) } else { (200, 50_000) };
        for peer in (0..self.members.len()).filter(|peer| *peer != member) {
            self.look(peer, member, soon_us, late_us);
        }
        self.gate_looks(member, soon_us, late_us);
        self.queue.push(self.now_us + restart_after_us, Event::Start { member });
    }

    /// A process is asked to end in order.
    pub(super) fn stop(&mut self, watch: &mut Watch, member: usize, restart_after_us: u64) {
        let of = &mut self.members[member];
        if !of.is_up() {
            return;
        }
        let Process::Up(mut node) = std::mem::replace(&mut of.process, Process::Down) else {
            return;
        };
        let mut goodbyes = Vec::new();
        let until = node.stop(of.clock.read(self.now_us), &mut of.disk, &mut goodbyes);
        of.restart_after_us = restart_after_us;
        of.process = Process::Stopping(node, until);
        watch.trace.line(self.now_us, || format!("n{member} stops"));
        self.after_step(watch, member, Cause::Other, goodbyes);
        if self.members[member].disk.store.last_synced() >= until {
            self.stopped(watch, member);
        }
        self.disconnect_clients(member);
        for peer in (0..self.members.len()).filter(|peer| *peer != member) {
            self.look(peer, member, 200, 50_000);
        }
        self.gate_looks(member, 200, 50_000);
    }

    pub(super) fn stopped(&mut self, watch: &mut Watch, member: usize) {
        let of = &mut self.members[member];
        let last = of.disk.last_write();
        watch.truth.copies[member].crashed(last);
        of.disk.store.crash_keeping(usize::MAX, usize::MAX);
        of.end_process(self.now_us);
        let at_us = self.now_us + of.restart_after_us;
        self.queue.push(at_us, Event::Start { member });
        watch.trace.line(self.now_us, || format!("n{member} has stopped"));
    }

    /// Plans that `from` finds out whether it reaches `to`.
    pub(super) fn look(&mut self, from: usize, to: usize, soon_us: u64, late_us: u64) {
        let at_us = self.now_us + self.rng.spread(soon_us, late_us);
        self.queue.push(at_us, Event::Detect { from, to });
    }

    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        let peer = &self.members[to];
        let still = peer.is_paused(self.now_us) && self.now_us - peer.paused_since_us > STILL_US_MAX;
        peer.is_up() && !still && !self.network.is_cut(from, to) && !self.network.is_cut(to, from)
    }

    pub(super) fn detect(&mut self, watch: &mut Watch, from: usize, to: usize) {
        if self.is_gate(from) {
            return self.gate_detects(watch, to);
        }
        if !self.members[from].is_up() {
            return;
        }
        let reached = self.reaches(from, to).then(|| self.members[to].incarnation);
        let told = self.members[from].told[to];
        match (told, reached) {
            (Some(told), Some(reached)) if told == reached => {}
            (None, None) => {}
            (None, Some(reached)) => {
                self.members[from].told[to] = Some(reached);
                self.feed(watch, from, Input::PeerUp(self.ids[to]));
            }
            (Some(_), _) => {
                self.members[from].told[to] = None;
                self.feed(watch, from, Input::PeerDown(self.ids[to]));
                if reached.is_some() {
                    self.look(from, to, 1_000, 1_000_000);
                }
            }
        }
    }

    /// Every connection is made anew: what a lossy link has swallowed, its reconnection makes good (rule Q1).
    pub fn reconnect_all(&mut self, watch: &mut Watch) {
        for from in 0..self.members.len() {
            for to in (0..self.members.len()).filter(|to| *to != from) {
                if self.members[from].is_up() && self.members[from].told[to].take().is_some() {
                    self.feed(watch, from, Input::PeerDown(self.ids[to]));
                }
                self.look(from, to, 1_000, 3_000_000);
            }
            self.gate_looks(from, 1_000, 3_000_000);
        }
    }
}
