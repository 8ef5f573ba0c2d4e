//! Who is up: SWIM (Das, Gupta, Motivala, 2002) with suspicion, by the crate foca, bent to a fixed membership.
//!
//! Each node probes one other per period, asks others to probe it when it stays silent, suspects it if that fails too,
//! and holds it down unless it refutes the suspicion in time. What is ours beside foca, and why:
//!
//! - *Hearsay never takes a member down* (`hear.rs`). In SWIM a death is believed at once and cannot be refuted, so a node
//!   that hears nobody would bury the whole cluster. Here every claim of a death is taken for a suspicion; each node waits
//!   its own time for the refutation and then judges for itself.
//! - *Who hears nobody distrusts itself* (`wait.rs`): a node to which nobody spoke for [`ISOLATED_AFTER_US`], or that has
//!   just stood still, neither suspects nor buries anyone until it has listened again.
//! - *A suspect is told* (Lifeguard's buddy system, Dadgar, Phillips, Currey, 2018): every datagram says how its sender
//!   regards its addressee, and a new suspect is spoken to at once.
//! - *Members are known from the layout*, so one that is down is announced to for ever, with growing pauses.
//! - *Facts and maintenance marks* ride along (`facts.rs`, `maintenance.rs`), and what each clock shows (`clocks.rs`).
//!
//! Nothing here is written to disk but maintenance marks, and nothing decides ownership: a wrong verdict costs a detour,
//! never data. Weak spot: UDP must pass wherever TCP does; a node that no datagram reaches is held down by the others
//! although it could serve.

mod chance;
mod clocks;
pub mod facts;
mod hear;
pub mod identity;
pub mod maintenance;
mod tell;
#[cfg(test)]
mod tests;
mod view;
mod wait;

pub use clocks::CLOCK_OFF_MS;
pub use view::{MemberState, MemberView};

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;
use foca::{Foca, Incarnation, NoCustomBroadcast, PeriodicParams, State as SwimState, TimerToken};

use crate::event::ClusterEvent;
use crate::ids::{NodeId, Partition, Tick};
use crate::message::Announcement;
use crate::node::{Config, Effect};
use crate::planted::Planted;
use crate::storage::{Batch, ReadError, Storage};
use crate::time::Now;
use crate::wire::datagram::SWIM_BYTES_MAX;
use crate::wire::swim::SwimCodec;
use chance::Chance;
use clocks::Clocks;
use facts::{Facts, Told};
pub use facts::{Hinted, NodeFacts, Soundness};
use identity::{Generation, Identity};
use maintenance::Marks;
use wait::Waits;

/// The protocol period: one probe in each.
pub const PERIOD_US: u64 = 1_000_000;
/// How long the direct answer to a probe may take before others are asked; longer than a round trip around the world.
const ANSWER_US: u64 = 400_000;
/// How long a suspect has to refute. With the probe it takes a dead member 7 s to be held down in a cluster of three; a
/// connection that breaks is noticed at once, without gossip, so this is about members that merely seem connected.
pub const SUSPICION_US: u64 = 5_000_000;
/// Members not heard of after a start are held down this long after it.
const START_PATIENCE_US: u64 = 10_000_000;
/// A node to which nobody spoke for so long distrusts itself. In a cluster of three with one member down each of the
/// other two is spoken to every period; a few losses must not make it doubt.
pub const ISOLATED_AFTER_US: u64 = 4_000_000;

type Swim = Foca<Identity, SwimCodec, Chance, NoCustomBroadcast>;

/// One node's part in gossip.
pub(crate) struct Gossip {
    me: NodeId,
    planted: Option<Planted>,
    swim: Swim,
    /// foca's present token: timers that carry an older one mean nothing to it.
    token: TimerToken,
    waits: Waits,
    peers: BTreeMap<NodeId, Peer>,
    facts: Facts,
    marks: Marks,
    clocks: Clocks,
    /// When this node's part began; nothing before the first input.
    begun: Option<Now>,
    /// When a datagram came last, from anybody.
    heard_us: u64,
    /// Until when this node, having stood still, judges nobody.
    doubtful_until_us: u64,
    /// Verdicts that running operations have not been told of.
    flips: Vec<(NodeId, Verdict)>,
    /// Datagrams that meant nothing.
    junk: u64,
}

/// What gossip holds of a member, as far as operations care: whoever is merely suspected is still used (rule Q2 deals
/// with slowness).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Down,
    NotDown,
}

/// One other member.
#[derive(Debug)]
struct Peer {
    generation: Generation,
    incarnation: Incarnation,
    state: SwimState,
    /// Since when it is in that state, Unix milliseconds.
    since_ms: u64,
    /// When it is held down unless it refutes.
    judge_us: Option<u64>,
    /// When it is announced to next, because it does not know us or we it.
    announce_us: Option<u64>,
    announce_pause_us: u64,
    /// When it was last told out of turn that it is mistaken about us.
    corrected_us: Option<u64>,
    /// In which of its generations it has said goodbye.
    ended: Option<Generation>,
}

impl Peer {
    const fn unheard() -> Self {
        Self {
            generation: Generation::UNKNOWN,
            incarnation: 0,
            state: SwimState::Alive,
            since_ms: 0,
            judge_us: None,
            announce_us: None,
            announce_pause_us: PERIOD_US,
            corrected_us: None,
            ended: None,
        }
    }

    fn state(&self) -> MemberState {
        match self.state {
            SwimState::Down if self.ended == Some(self.generation) => MemberState::Stopped,
            SwimState::Down => MemberState::Down,
            _ if self.generation == Generation::UNKNOWN => MemberState::Unheard,
            SwimState::Suspect => MemberState::Suspect,
            SwimState::Alive => MemberState::Up,
        }
    }
}

impl Gossip {
    /// Reads what the disk remembers; says nothing yet.
    pub(crate) fn start(
        config: &Config,
        announcement: &Announcement,
        soundness: Soundness,
        storage: &dyn Storage,
    ) -> Result<Self, ReadError> {
        let Announcement {
            actor,
            boot,
            run,
            bound,
            ..
        } = *announcement;
        let me = config.node;
        let generation = Generation::of_boot(boot);
        let chance = Chance::new(config.gossip_seed);
        let swim = Foca::new(Identity { node: me, generation }, swim_config(), chance, SwimCodec);
        let members = config.layout.members().iter().map(|member| member.id);
        let mut facts = Facts::default();
        facts.learn(Told {
            node: me,
            generation,
            version: 1,
            facts: NodeFacts {
                actor,
                boot,
                epoch: config.layout.epoch(),
                format_level: crate::wire::FORMAT_LEVEL,
                disk_used_bytes: 0,
                disk_total_bytes: 0,
                hinted: Hinted::Only(Vec::new()),
                run,
                tick_bound: bound,
                soundness,
                is_ending: false,
            },
        });
        let peers: BTreeMap<NodeId, Peer> = members.filter(|id| *id != me).map(|id| (id, Peer::unheard())).collect();
        Ok(Self {
            me,
            planted: config.planted,
            swim,
            token: 0,
            waits: Waits::new(!peers.is_empty()),
            peers,
            facts,
            marks: Marks::read(storage)?,
            clocks: Clocks::default(),
            begun: None,
            heard_us: 0,
            doubtful_until_us: 0,
            flips: Vec::new(),
            junk: 0,
        })
    }

    /// Whether gossip holds a member down.
    pub(crate) fn is_down(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.state == SwimState::Down)
    }

    /// Whether this node's clock is too far from what most others' show (rule S4).
    pub(crate) fn is_clock_off(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        if self.clocks.has_jumped(now) {
            self.judge_clock(now, effects);
        }
        self.clocks.off_ms().is_some()
    }

    /// Whether a member's clock is near what most show, as far as is known.
    pub(crate) fn is_clock_right(&self, now: Now, node: NodeId) -> bool {
        self.clocks.is_right(now, node)
    }

    fn judge_clock(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.clocks.judge(now) {
            effects.push(Effect::Event(match self.clocks.off_ms() {
                Some(ahead_ms) => ClusterEvent::ClockOff { ahead_ms },
                None => ClusterEvent::ClockRight,
            }));
        }
    }

    /// Verdicts that flipped since this was last asked.
    pub(crate) fn take_flips(&mut self) -> Vec<(NodeId, Verdict)> {
        core::mem::take(&mut self.flips)
    }

    /// Datagrams that meant nothing, since the start.
    pub(crate) const fn junk(&self) -> u64 {
        self.junk
    }

    /// How full this node's disk is; told to the others.
    pub(crate) fn set_disk(&mut self, used_bytes: u64, total_bytes: u64) {
        self.facts.change(self.me, |facts| {
            facts.disk_used_bytes = used_bytes;
            facts.disk_total_bytes = total_bytes;
        });
    }

    /// Above this lies no tick that this node has issued; told to the others (rule S1).
    pub(crate) fn set_tick_bound(&mut self, bound: Tick) {
        if self.facts.of(self.me).is_some_and(|facts| facts.tick_bound != bound) {
            self.facts.change(self.me, |facts| facts.tick_bound = bound);
        }
    }

    /// Whether this node may speak for what its disk holds; told to the others.
    pub(crate) fn set_soundness(&mut self, soundness: Soundness) {
        self.facts.change(self.me, |facts| facts.soundness = soundness);
    }

    /// What a member last told about itself.
    pub(crate) fn facts_of(&self, node: NodeId) -> Option<&NodeFacts> {
        self.facts.of(node)
    }

    /// For which partitions this node holds hints; told to the others.
    pub(crate) fn set_hinted_partitions(&mut self, partitions: &[Partition]) {
        self.facts
            .change(self.me, |facts| facts.hinted = Hinted::of(partitions));
    }

    /// Other members that may hold hints for a partition.
    pub(crate) fn hint_holders(&self, partition: Partition) -> impl Iterator<Item = NodeId> + '_ {
        self.facts.hint_holders(self.me, partition)
    }

    /// An operator says that a member is down on purpose, or no longer.
    pub(crate) fn maintain(
        &mut self,
        now: Now,
        node: NodeId,
        on: bool,
        storage: &mut dyn Storage,
        effects: &mut Vec<Effect>,
    ) {
        if node == self.me || self.peers.contains_key(&node) {
            let mark = self.marks.say(node, on, now.wall_ms, self.me);
            self.learn_marks(&[mark], storage, effects);
        }
    }

    fn learn_marks(&mut self, marks: &[maintenance::Mark], storage: &mut dyn Storage, effects: &mut Vec<Effect>) {
        let mut is_news = false;
        for mark in marks {
            let is_member = mark.node == self.me || self.peers.contains_key(&mark.node);
            let was_on = self.marks.of(mark.node).is_some();
            if is_member && self.marks.learn(*mark) {
                is_news = true;
                if was_on != mark.on {
                    let (node, on) = (mark.node, mark.on);
                    effects.push(Effect::Event(ClusterEvent::Maintenance { node, on }));
                }
            }
        }
        if is_news {
            let mut batch = Batch::default();
            self.marks.write(&mut batch);
            storage.write(batch);
        }
    }

    /// Takes over what foca has changed its mind about.
    fn review(&mut self, now: Now, effects: &mut Vec<Effect>) -> Vec<NodeId> {
        let mut suspects = Vec::new();
        for member in self.swim.iter_membership_state() {
            let node = member.id().node;
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            let claim = (member.id().generation, member.incarnation(), member.state());
            if claim == (peer.generation, peer.incarnation, peer.state) {
                continue;
            }
            let was = peer.state();
            (peer.generation, peer.incarnation, peer.state) = claim;
            let is = peer.state();
            peer.judge_us = match is {
                // A suspicion of a later incarnation is a new one, with all its time to refute.
                MemberState::Suspect => Some(now.after_us(SUSPICION_US)),
                MemberState::Unheard => peer.judge_us,
                MemberState::Up | MemberState::Down | MemberState::Stopped => None,
            };
            if is == MemberState::Suspect {
                suspects.push(node);
            }
            if was == is {
                continue;
            }
            peer.since_ms = now.wall_ms;
            match is {
                MemberState::Down | MemberState::Stopped => {
                    peer.announce_pause_us = PERIOD_US;
                    peer.announce_us = Some(now.after_us(PERIOD_US));
                    self.flips.push((node, Verdict::Down));
                    effects.push(Effect::Event(match is {
                        MemberState::Stopped => ClusterEvent::MemberStopped(node),
                        _ => ClusterEvent::MemberDown(node),
                    }));
                }
                MemberState::Suspect => effects.push(Effect::Event(ClusterEvent::MemberSuspect(node))),
                MemberState::Up => effects.push(Effect::Event(ClusterEvent::MemberUp { node, was })),
                MemberState::Unheard => {}
            }
            if was.is_down() {
                self.flips.push((node, Verdict::NotDown));
            }
        }
        suspects
    }
}

/// foca's settings. What it would do about members that are down, we do ourselves (`wait.rs`).
const fn swim_config() -> foca::Config {
    foca::Config {
        probe_period: Duration::from_micros(PERIOD_US),
        probe_rtt: Duration::from_micros(ANSWER_US),
        num_indirect_probes: NonZeroUsize::new(3).unwrap(),
        // Claims repeat until they were in so many messages: enough for hundreds of members, for a few bytes each.
        max_transmissions: NonZeroU8::new(10).unwrap(),
        suspect_to_down_after: Duration::from_micros(SUSPICION_US),
        remove_down_after: None,
        max_packet_size: NonZeroUsize::new(SWIM_BYTES_MAX).unwrap(),
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        // Only while there is news; in step with the probes, so that it wakes nobody who sleeps.
        periodic_gossip: Some(PeriodicParams {
            frequency: Duration::from_micros(PERIOD_US),
            num_members: NonZeroUsize::new(3).unwrap(),
        }),
    }
}
