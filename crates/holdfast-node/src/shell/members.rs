//! Who is there: what gossip tells the rest of the program, and what the program tells gossip.

use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::event::ClusterEvent;
use holdfast_core::gossip::{MemberView, Soundness};
use holdfast_core::ids::NodeId;
use holdfast_core::node::Input;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::whisper::whispered;
use super::{Inner, Shell, StartError};
use crate::gossip::{Config, Datagrams, Figures, Receiver};

/// How often the others are told how full this disk is, in microseconds.
const DISK_EVERY_US: u64 = 60_000_000;

/// Datagrams on their way to the core.
struct ToCore {
    inner: Weak<Inner>,
}

impl Receiver for ToCore {
    fn datagram(&self, from: NodeId, bytes: Bytes) {
        let Some(inner) = self.inner.upgrade() else { return };
        match whispered(&bytes) {
            Some(words) => inner.hear(from, words),
            None => inner.feed(Input::Datagram(from, bytes)),
        }
    }
}

impl Inner {
    /// Opens the socket for gossip, on the address of the node port.
    pub(super) fn gossip(self: &Arc<Self>, address: std::net::SocketAddr) -> Result<(), StartError> {
        let members = self.cluster.addresses.iter();
        let config = Config {
            node: self.identity.node,
            key: self.identity.secret.derive("gossip"),
            address,
            members: members.map(|member| (member.node, member.peer.clone())).collect(),
        };
        let inner = Arc::downgrade(self);
        let datagrams = Datagrams::start(config, Arc::new(ToCore { inner }))
            .map_err(|error| StartError::Gossip { address, error })?;
        let _ = self.datagrams.set(datagrams);
        Ok(())
    }

    /// Tells the others how full this disk is, if that was long ago.
    pub(super) fn tell_disk(&self) {
        use std::sync::atomic::Ordering;
        let now_us = self.mono_us();
        let told_us = self.disk_told_us.load(Ordering::Relaxed);
        if told_us != 0 && now_us < told_us + DISK_EVERY_US {
            return;
        }
        self.disk_told_us.store(now_us.max(1), Ordering::Relaxed);
        let mut core = self.lock_core();
        if let Some(disk) = core.engine.disk_bytes() {
            core.node.set_disk(disk.used, disk.total);
        }
    }

    /// Tells the log, and whoever listens.
    pub(super) fn note_event(&self, event: ClusterEvent) {
        self.log_event(&event);
        // Nobody listens most of the time, and whoever is slow is told how much was missed.
        if let Some(news) = &*self.news() {
            let _ = news.send((self.now().wall_ms, event));
        }
    }

    fn news(&self) -> MutexGuard<'_, Option<broadcast::Sender<(u64, ClusterEvent)>>> {
        // A handle that is there or not: usable wherever a panic came between.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_event(&self, event: &ClusterEvent) {
        let name = |node: NodeId| {
            let members = self.cluster.layout.members();
            let member = members.iter().find(|member| member.id == node);
            member.map_or_else(|| node.to_string(), |member| member.name.clone())
        };
        match event {
            ClusterEvent::MemberSuspect(node) => tracing::info!(member = name(*node), "a member does not answer"),
            ClusterEvent::MemberDown(node) => tracing::warn!(member = name(*node), "a member is held down"),
            ClusterEvent::MemberStopped(node) => tracing::info!(member = name(*node), "a member has ended in order"),
            ClusterEvent::MemberUp { node, was } => {
                tracing::info!(member = name(*node), ?was, "a member is there");
            }
            ClusterEvent::Maintenance { node, on } => {
                tracing::info!(member = name(*node), on, "a member's maintenance mark changed");
            }
            ClusterEvent::Rejoined => tracing::info!("others held this node down; it made itself heard again"),
            ClusterEvent::ClockOff { ahead_ms } => tracing::error!(
                ahead_ms,
                "this node's clock differs from most others': it coordinates no writes while another node can. Set it, \
                 for instance with NTP"
            ),
            ClusterEvent::ClockRight => tracing::info!("this node's clock agrees with the others' again"),
            ClusterEvent::OldCopyFound { by } => tracing::error!(
                by = name(*by),
                "what lies in this data directory is an old copy: another member knows of later writes to it"
            ),
            ClusterEvent::Filling => tracing::warn!(
                "this node's disk was lost: it takes back from the others what it should hold, and answers no reads until then"
            ),
            ClusterEvent::Filled => tracing::info!("this node holds all again that was acknowledged"),
            ClusterEvent::GateHeld { by, why } => {
                tracing::info!(
                    member = name(*by),
                    ?why,
                    "what was overwritten and deleted waits for a member"
                );
            }
            ClusterEvent::Forgotten { bodies, bytes } => {
                tracing::info!(bodies, bytes, "what was overwritten and deleted gave back its space");
            }
            ClusterEvent::CopiesLost { of, nodes } => {
                let nodes: Vec<String> = nodes.iter().map(|node| name(*node)).collect();
                tracing::error!(
                    key = of.key,
                    bucket = %of.bucket,
                    also = nodes.join(", "),
                    "this node's copy of an object was damaged, and so were others: it was had from those that were not. A \
                     write that only the damaged ones had is gone. Check these disks"
                );
            }
            ClusterEvent::RepairBegun => {
                tracing::info!("this node checks and repairs all that it holds, as it was asked to")
            }
            ClusterEvent::RepairEnded {
                damaged,
                differences,
                healed,
                unhealed,
            } => {
                let healed = healed.records + healed.chunks + healed.sent;
                if *unhealed == 0 {
                    tracing::info!(damaged, differences, healed, "the repair is over");
                } else {
                    tracing::error!(
                        damaged,
                        differences,
                        healed,
                        unhealed,
                        "the repair is over, and not everything could be healed: GET /v1/repair names it"
                    );
                }
            }
            // One for each key: who wants them listens.
            ClusterEvent::HintStored { .. }
            | ClusterEvent::HintDelivered { .. }
            | ClusterEvent::Repaired { .. }
            | ClusterEvent::Mended { .. }
            | ClusterEvent::SiblingsMade { .. }
            | ClusterEvent::SiblingsResolved { .. } => {}
        }
    }
}

/// How long a start waits to be vouched for: a little longer than the core waits for those that cannot be reached.
const VOUCHED_WITHIN: Duration = Duration::from_secs(6);
/// Between two looks whether it is.
const VOUCHED_LOOK: Duration = Duration::from_millis(10);

impl Shell {
    /// Waits until enough members have vouched for this node's disk (rule S1), or too few can be reached: reads before that would
    /// only be refused.
    pub async fn until_vouched_for(&self) {
        let until = Instant::now() + VOUCHED_WITHIN;
        while self.inner.lock_core().node.soundness() == Soundness::Unvouched && Instant::now() < until {
            tokio::time::sleep(VOUCHED_LOOK).await;
        }
    }

    /// Every member as this node sees it, itself included.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let now = self.inner.now();
        self.inner.lock_core().node.members(now)
    }

    /// By how much this node's clock is ahead of what most members' show (negative: behind), in milliseconds, if that is too
    /// much (rule S4).
    #[must_use]
    pub fn clock_off_ms(&self) -> Option<i64> {
        self.inner.lock_core().node.clock_off_ms()
    }

    /// Homes for which this node holds hints, and how many.
    #[must_use]
    pub fn hints(&self) -> Vec<(NodeId, u64)> {
        self.inner.lock_core().node.hints()
    }

    /// Bodies of overwritten and deleted objects that wait to be forgotten, on this node's account.
    #[must_use]
    pub fn forgetting(&self) -> holdfast_core::dead::Forgetting {
        self.inner.lock_core().node.forgetting()
    }

    /// How this node's disk is looked after.
    #[must_use]
    pub fn checked(&self) -> holdfast_core::scrub::Checked {
        self.inner.lock_core().node.checked()
    }

    /// Checks and repairs everything that this node holds, unless it is at that already.
    pub fn repair(&self) {
        self.inner.feed(Input::Repair);
    }

    /// How far that is, or what came of the last time.
    #[must_use]
    pub fn repair_report(&self) -> holdfast_core::repair::RepairReport {
        self.inner.lock_core().node.repair().clone()
    }

    /// Whether this node may speak for what its disk holds (rules S1, S2).
    #[must_use]
    pub fn soundness(&self) -> Soundness {
        self.inner.lock_core().node.soundness()
    }

    /// What happens from now on, as this node sees it, with the Unix milliseconds at which it did. Who reads too slowly
    /// misses the oldest, and is told how many.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<(u64, ClusterEvent)> {
        let news = self.inner.news();
        match &*news {
            Some(news) => news.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Tells listeners that no more events follow: the node is about to end.
    pub fn end_events(&self) {
        *self.inner.news() = None;
    }

    /// Says of a member that it is down on purpose, or no longer.
    pub fn maintain(&self, node: NodeId, on: bool) {
        self.inner.feed(Input::Maintain(node, on));
    }

    /// What happened to datagrams.
    #[must_use]
    pub fn gossip_figures(&self) -> Figures {
        let mut figures = self.inner.datagrams.get().map(Datagrams::figures).unwrap_or_default();
        figures.junk += self.inner.lock_core().node.junk_datagrams();
        figures
    }
}
