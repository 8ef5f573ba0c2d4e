//! What gossip does when time passes: foca's timers, judging suspects, announcing to those who are away.
//!
//! All judging happens here, and here is where a node that has reason to doubt itself puts it off.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use foca::{Member, Timer};

use super::identity::{Generation, Identity};
use super::{Gossip, ISOLATED_AFTER_US, MemberState, PERIOD_US, START_PATIENCE_US};
use crate::ids::NodeId;
use crate::node::Effect;
use crate::time::Now;

/// The longest pause between two announcements to a member that is away: its return is noticed at once when it announces
/// itself or a connection to it is made, so this only matters for a network that heals in silence.
const ANNOUNCE_PAUSE_US_MAX: u64 = 16 * PERIOD_US;
/// A timer that is so late tells that this process stood still: answers to its probes wait unread behind the timer.
const STOOD_STILL_US: u64 = PERIOD_US / 2;

/// foca's timers, and the next time at which anything is to be done.
#[derive(Debug)]
pub(super) struct Waits {
    timers: BTreeMap<(u64, u64), Timer<Identity>>,
    count: u64,
    next_us: Option<u64>,
}

impl Waits {
    /// With peers there is something to do at once.
    pub(super) const fn new(has_peers: bool) -> Self {
        Self {
            timers: BTreeMap::new(),
            count: 0,
            next_us: if has_peers { Some(0) } else { None },
        }
    }

    pub(super) fn add(&mut self, at_us: u64, timer: Timer<Identity>) {
        self.count += 1;
        self.timers.insert((at_us, self.count), timer);
    }

    fn take_due(&mut self, now_us: u64) -> Option<Timer<Identity>> {
        let first = self.timers.first_entry()?;
        (first.key().0 <= now_us).then(|| first.remove())
    }
}

impl Gossip {
    /// When [`Gossip::timer`] is wanted next.
    pub(crate) const fn next_us(&self) -> Option<u64> {
        self.waits.next_us
    }

    /// Makes itself heard, once: this node's start is news to everybody.
    pub(super) fn begin(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.begun.is_some() {
            return;
        }
        self.begun = Some(now);
        self.heard_us = now.mono_us;
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        let unheard = nodes.iter().map(|node| {
            Member::alive(Identity {
                node: *node,
                generation: Generation::UNKNOWN,
            })
        });
        let _ = self.act(now, effects, |swim, outbox| swim.apply_many(unheard, false, outbox));
        for node in nodes {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.since_ms = now.wall_ms;
                peer.judge_us = Some(now.after_us(START_PATIENCE_US));
                peer.announce_us = Some(now.after_us(PERIOD_US));
            }
            self.announce(now, node, effects);
        }
        self.plan();
    }

    /// Time passed.
    pub(crate) fn timer(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(due_us) = self.waits.next_us.filter(|due_us| *due_us <= now.mono_us) else {
            return;
        };
        if self.begun.is_none() {
            return self.begin(now, effects);
        }
        if now.mono_us - due_us > STOOD_STILL_US {
            self.doubtful_until_us = now.after_us(PERIOD_US);
        }
        while let Some(timer) = self.waits.take_due(now.mono_us) {
            let is_probe = matches!(timer, Timer::ProbeRandomMember(_));
            if is_probe {
                self.remind(now, effects);
                // After standing still it hears old datagrams first.
                if !self.doubts_itself(now) {
                    self.judge_clock(now, effects);
                }
            }
            // foca judges the last probe when it begins the next.
            if is_probe && self.doubts_itself(now) {
                self.waits.add(now.after_us(PERIOD_US), timer);
            } else {
                let _ = self.act(now, effects, |swim, outbox| swim.handle_timer(timer, outbox));
            }
        }
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            self.judge(now, node, effects);
            self.announce_if_due(now, node, effects);
        }
        self.plan();
    }

    /// Messages can be sent to a member over a connection: so it is there, whatever it thinks of us.
    pub(crate) fn peer_up(&mut self, now: Now, node: NodeId, effects: &mut Vec<Effect>) {
        self.begin(now, effects);
        let isolated = self.is_isolated(now);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if isolated || peer.state() != MemberState::Up {
            peer.announce_pause_us = PERIOD_US;
            peer.announce_us = Some(now.after_us(PERIOD_US));
            self.announce(now, node, effects);
            self.plan();
        }
    }

    /// Whether nobody has spoken to this node for so long that it must be the one who is deaf.
    pub(super) const fn is_isolated(&self, now: Now) -> bool {
        now.mono_us.saturating_sub(self.heard_us) > ISOLATED_AFTER_US
    }

    const fn doubts_itself(&self, now: Now) -> bool {
        self.is_isolated(now) || now.mono_us < self.doubtful_until_us
    }

    /// Once per period: suspects are told again that they are suspected, and whoever hears nobody calls everybody.
    fn remind(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let isolated = self.is_isolated(now);
        let mut suspects = Vec::new();
        for (node, peer) in &mut self.peers {
            if peer.state() == MemberState::Suspect {
                suspects.push(*node);
            } else if isolated && peer.announce_us.is_none() {
                peer.announce_pause_us = PERIOD_US;
                peer.announce_us = Some(now.mono_us);
            }
        }
        for node in suspects {
            self.announce(now, node, effects);
        }
    }

    /// Holds a member down if its time to refute is over.
    fn judge(&mut self, now: Now, node: NodeId, effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get(&node) else { return };
        if peer.judge_us.is_none_or(|judge_us| judge_us > now.mono_us) {
            return;
        }
        if matches!(peer.state(), MemberState::Suspect | MemberState::Unheard) && !self.doubts_itself(now) {
            let verdict = Timer::ChangeSuspectToDown {
                member_id: Identity {
                    node,
                    generation: peer.generation,
                },
                incarnation: peer.incarnation,
                token: self.token,
            };
            let _ = self.act(now, effects, |swim, outbox| swim.handle_timer(verdict, outbox));
        }
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.judge_us.is_some()
        {
            let is_open = matches!(peer.state(), MemberState::Suspect | MemberState::Unheard);
            peer.judge_us = is_open.then(|| now.after_us(PERIOD_US));
        }
    }

    fn announce_if_due(&mut self, now: Now, node: NodeId, effects: &mut Vec<Effect>) {
        let isolated = self.is_isolated(now);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.announce_us.is_none_or(|announce_us| announce_us > now.mono_us) {
            return;
        }
        if !isolated && matches!(peer.state(), MemberState::Up | MemberState::Suspect) {
            peer.announce_us = None;
            return;
        }
        peer.announce_us = Some(now.after_us(peer.announce_pause_us));
        peer.announce_pause_us = (peer.announce_pause_us * 2).min(ANNOUNCE_PAUSE_US_MAX);
        self.announce(now, node, effects);
    }

    /// Finds the next time at which something is to be done. Asked for after every input of the node, so it is kept.
    pub(super) fn plan(&mut self) {
        let first_timer = self.waits.timers.first_key_value().map(|((at_us, _), _)| *at_us);
        let waits = self.peers.values().flat_map(|peer| [peer.judge_us, peer.announce_us]);
        self.waits.next_us = waits.chain([first_timer]).flatten().min();
    }
}
