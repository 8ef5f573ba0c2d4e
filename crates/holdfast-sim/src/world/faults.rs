//! Faults: what strikes, whom, for how long, and how it ends.

use super::{Event, World};
use crate::coverage::Reached;
use crate::plan::FaultKind;
use crate::watch::Watch;

/// How a fault ends.
#[derive(Clone, Debug)]
pub struct Relief {
    kind: FaultKind,
    /// Links it struck.
    links: Vec<(usize, usize)>,
    /// The machine it struck.
    member: usize,
}

impl World {
    /// From now on faults strike until they are used up or the world is healed, spread over so long.
    pub fn unleash(&mut self, over_us: u64) {
        for _ in 0..self.faults_left {
            let at_us = self.now_us + self.fault_rng.below(over_us);
            self.queue.push(at_us, Event::Strike);
        }
    }

    /// A fault strikes.
    pub(super) fn strike(&mut self, watch: &mut Watch) {
        if self.healed {
            return;
        }
        let kind = *self.fault_rng.pick(&self.plan.faults);
        let member = self.fault_rng.below(self.members.len() as u64) as usize;
        let lasts_us = self.fault_rng.spread(300_000, 15_000_000);
        watch.coverage.reach(Reached::Faults);
        watch.trace.mix([self.now_us, 4, kind as u64, member as u64]);
        watch.trace.line(self.now_us, || {
            format!("FAULT {kind:?} n{member} for {} ms", lasts_us / 1_000)
        });
        let mut links = Vec::new();
        match kind {
            FaultKind::Kill => return self.kill(watch, member, false, lasts_us / 2),
            FaultKind::PowerCut => return self.power_cut(watch, member, lasts_us),
            FaultKind::CleanRestart => return self.stop(watch, member, lasts_us / 2),
            FaultKind::ClockJump => return self.clock_jump(watch, member),
            FaultKind::FalseNews => return self.false_news(watch, member),
            FaultKind::Rot => return self.rot(watch),
            FaultKind::DiskLost => return self.lose_disk(watch, lasts_us / 2),
            FaultKind::OldCopy => return self.copy_disk(watch),
            FaultKind::Pause => return self.pause(member, lasts_us),
            FaultKind::SlowDisk => self.members[member].slowness = self.fault_rng.spread(10, 500),
            FaultKind::DiskFull => self.members[member].disk.store.set_full(true),
            FaultKind::ChunkErrors => self.members[member].chunk_errors = self.fault_rng.between(100, 900),
            FaultKind::LostAnswers => self.lost_answers = self.fault_rng.between(50, 600),
            FaultKind::Partition => links = self.two_sides(member),
            FaultKind::Deaf => links = self.links_into(member),
            FaultKind::OneWayCut => {
                let to =
                    (member + 1 + self.fault_rng.below(self.members.len() as u64 - 1) as usize) % self.members.len();
                links = vec![(member, to)];
            }
            FaultKind::Loss | FaultKind::LateDelivery | FaultKind::Duplication | FaultKind::Reorder => {
                links = self.some_links(member);
                self.trouble(kind, &links);
            }
        }
        if matches!(kind, FaultKind::Partition | FaultKind::OneWayCut | FaultKind::Deaf) {
            self.cut(&links, true);
        }
        let relief = Box::new(Relief { kind, links, member });
        self.queue.push(self.now_us + lasts_us, Event::Relent(relief));
    }

    /// A fault ends.
    pub(super) fn relent(&mut self, watch: &mut Watch, relief: &Relief) {
        if self.healed {
            return;
        }
        watch
            .trace
            .line(self.now_us, || format!("RELIEF {:?} n{}", relief.kind, relief.member));
        let member = &mut self.members[relief.member];
        match relief.kind {
            FaultKind::SlowDisk => member.slowness = 1,
            FaultKind::DiskFull => member.disk.store.set_full(false),
            FaultKind::ChunkErrors => member.chunk_errors = 0,
            FaultKind::LostAnswers => self.lost_answers = 0,
            FaultKind::Partition | FaultKind::OneWayCut | FaultKind::Deaf => self.cut(&relief.links, false),
            FaultKind::Loss | FaultKind::LateDelivery | FaultKind::Duplication | FaultKind::Reorder => {
                for (from, to) in &relief.links {
                    self.network
                        .trouble(self.now_us, *from, *to, |trouble| match relief.kind {
                            FaultKind::Loss => trouble.loss = 0,
                            FaultKind::LateDelivery => trouble.late = 0,
                            FaultKind::Duplication => trouble.double = 0,
                            _ => trouble.disorder = 0,
                        });
                }
            }
            _ => {}
        }
    }

    /// Everything works again: the liveness phase begins. Machines that are down come back, clocks agree.
    pub fn heal(&mut self, watch: &mut Watch) {
        watch.trace.line(self.now_us, || "HEALED".to_owned());
        self.healed = true;
        self.network.heal(self.now_us);
        self.lost_answers = 0;
        for member in 0..self.members.len() {
            let at_us = self.now_us + self.rng.below(500_000);
            self.queue.push(at_us, Event::Start { member });
            let offset_ms = self.rng.around_zero(200);
            let of = &mut self.members[member];
            of.paused_until_us = of.paused_until_us.min(self.now_us);
            of.slowness = 1;
            of.doomed_us = None;
            of.chunk_errors = 0;
            of.disk.store.set_full(false);
            of.clock.offset_ms = offset_ms;
            for peer in (0..self.members.len()).filter(|peer| *peer != member) {
                self.look(member, peer, 1_000, 2_000_000);
            }
        }
    }

    fn power_cut(&mut self, watch: &mut Watch, member: usize, lasts_us: u64) {
        // Now and then the whole room goes dark.
        let everywhere = self.fault_rng.per_mille(80);
        let members = if everywhere {
            0..self.members.len()
        } else {
            member..member + 1
        };
        for member in members {
            let restart_after_us = lasts_us + self.fault_rng.below(500_000);
            let of = &mut self.members[member];
            if of.is_up() && self.fault_rng.per_mille(700) {
                of.doomed_us = Some(restart_after_us);
                let incarnation = of.incarnation;
                let latest_us = self.now_us + self.fault_rng.below(3_000_000);
                self.queue.push(latest_us, Event::PowerFails { member, incarnation });
            } else {
                self.kill(watch, member, true, restart_after_us);
            }
        }
    }

    /// Power fails as planned.
    pub(super) fn power_fails(&mut self, watch: &mut Watch, member: usize, incarnation: u32) {
        let of = &self.members[member];
        if of.incarnation == incarnation
            && !self.healed
            && let Some(restart_after_us) = of.doomed_us
        {
            self.kill(watch, member, true, restart_after_us);
        }
    }

    fn clock_jump(&mut self, watch: &mut Watch, member: usize) {
        // Clocks stay within what rule S4 lets pass: a node that is further off is refused, which tests nothing else.
        let offset_ms = self.fault_rng.around_zero(20_000);
        watch
            .trace
            .line(self.now_us, || format!("n{member} is now {offset_ms} ms off"));
        self.members[member].clock.offset_ms = offset_ms;
    }

    fn pause(&mut self, member: usize, lasts_us: u64) {
        let of = &mut self.members[member];
        if of.is_paused(self.now_us) || of.is_down() {
            return;
        }
        of.paused_since_us = self.now_us;
        of.paused_until_us = self.now_us + lasts_us;
        for peer in (0..self.members.len()).filter(|peer| *peer != member) {
            self.look(peer, member, 3_000_000, 10_000_000);
            let after_us = self.now_us + lasts_us + self.rng.spread(1_000, 2_000_000);
            self.queue.push(after_us, Event::Detect { from: peer, to: member });
        }
    }

    fn false_news(&mut self, watch: &mut Watch, member: usize) {
        use holdfast_core::node::Input;
        let peers = self.members.len() as u64;
        let peer = (member + 1 + self.fault_rng.below(peers - 1) as usize) % self.members.len();
        let id = self.ids[peer];
        if self.fault_rng.per_mille(700) {
            self.members[member].told[peer] = None;
            self.feed(watch, member, Input::PeerDown(id));
        } else {
            self.feed(watch, member, Input::PeerUp(id));
            self.members[member].told[peer].get_or_insert(u32::MAX);
        }
        self.look(member, peer, 10_000, 5_000_000);
    }

    fn cut(&mut self, links: &[(usize, usize)], on: bool) {
        for (from, to) in links {
            self.network.cut(self.now_us, *from, *to, on);
            for (from, to) in [(*from, *to), (*to, *from)] {
                self.look(from, to, 100_000, 8_000_000);
            }
        }
    }

    /// Both directions of every link between two groups, one of which holds `member`.
    fn two_sides(&mut self, member: usize) -> Vec<(usize, usize)> {
        let count = self.members.len();
        let mut side: Vec<bool> = (0..count).map(|_| self.fault_rng.per_mille(400)).collect();
        side[member] = true;
        if side.iter().all(|side| *side) {
            side[(member + 1) % count] = false;
        }
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        pairs.filter(|(from, to)| side[*from] != side[*to]).collect()
    }

    /// Every direction that ends at a machine.
    fn links_into(&self, member: usize) -> Vec<(usize, usize)> {
        let others = (0..self.members.len()).filter(|from| *from != member);
        others.map(|from| (from, member)).collect()
    }

    /// All links, or those of one machine.
    fn some_links(&mut self, member: usize) -> Vec<(usize, usize)> {
        let all = self.fault_rng.per_mille(500);
        let count = self.members.len();
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        pairs
            .filter(|(from, to)| from != to && (all || *from == member || *to == member))
            .collect()
    }

    fn trouble(&mut self, kind: FaultKind, links: &[(usize, usize)]) {
        let chance = self.fault_rng.spread(10, 500);
        let late = self.fault_rng.spread(2, 100);
        let disorder = self.fault_rng.spread(10, 400);
        for (from, to) in links {
            self.network.trouble(self.now_us, *from, *to, |trouble| match kind {
                FaultKind::Loss => trouble.loss = chance,
                FaultKind::LateDelivery => trouble.late = late,
                FaultKind::Duplication => trouble.double = chance,
                _ => trouble.disorder = disorder,
            });
        }
    }
}
