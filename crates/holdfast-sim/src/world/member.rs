//! One simulated machine: its clocks, its disk, the process that runs on it or does not, and what that process has been
//! told about its peers.

use holdfast_core::ids::NodeId;
use holdfast_core::node::Node;
use holdfast_core::storage::WriteSeq;

use super::clock::NodeClock;
use super::disk::Disk;

/// What runs on a machine.
pub enum Process {
    /// Nothing.
    Down,
    /// A node that waits for its first write to be synced.
    Starting(Box<Node>, WriteSeq),
    /// A node.
    Up(Box<Node>),
    /// A node that waits for its last write to be synced.
    Stopping(Box<Node>, WriteSeq),
}

/// One machine.
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Its clocks.
    pub clock: NodeClock,
    /// Its disk.
    pub disk: Disk,
    /// Whether it had another disk before.
    pub is_disk_lost: bool,
    /// What runs on it.
    pub process: Process,
    /// Raised by every start and every end, so that what was meant for an earlier process finds nobody.
    pub incarnation: u32,
    /// Identity of its kernel; drawn anew by a power cut.
    pub kernel: [u8; 16],
    /// Until when the process stands still.
    pub paused_until_us: u64,
    /// Since when it stands still.
    pub paused_since_us: u64,
    /// When it last came up.
    pub up_since_us: u64,
    /// When the next `Timer` is planned.
    pub timer_at_us: Option<u64>,
    /// When the next `Timer` for gossip is planned.
    pub gossip_at_us: Option<u64>,
    /// When the last process ended.
    pub down_since_us: u64,
    /// Power fails while the next sync is under way; the number is how long the machine stays off.
    pub doomed_us: Option<u64>,
    /// How long after an orderly end it is started again.
    pub restart_after_us: u64,
    /// Whether a sync is under way.
    pub syncing: bool,
    /// Syncs and chunk operations take this many times as long.
    pub slowness: u64,
    /// Of a thousand chunk operations so many fail.
    pub chunk_errors: u64,
    /// For each member, the incarnation that this process believes to reach.
    pub told: Vec<Option<u32>>,
}

impl Member {
    /// A machine that was never switched on.
    #[must_use]
    pub fn new(id: NodeId, members: usize) -> Self {
        Self {
            id,
            clock: NodeClock::default(),
            disk: Disk::default(),
            is_disk_lost: false,
            process: Process::Down,
            incarnation: 0,
            kernel: [0; 16],
            paused_until_us: 0,
            paused_since_us: 0,
            up_since_us: 0,
            timer_at_us: None,
            gossip_at_us: None,
            down_since_us: 0,
            doomed_us: None,
            restart_after_us: 0,
            syncing: false,
            slowness: 1,
            chunk_errors: 0,
            told: vec![None; members],
        }
    }

    /// Whether it serves.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.process, Process::Up(_))
    }

    /// Whether nothing runs on it.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        matches!(self.process, Process::Down)
    }

    /// Whether its process stands still.
    #[must_use]
    pub const fn is_paused(&self, now_us: u64) -> bool {
        self.paused_until_us > now_us
    }

    /// Since when it serves without having stood still, if it does.
    #[must_use]
    pub fn runs_since(&self, now_us: u64) -> Option<u64> {
        (self.is_up() && !self.is_paused(now_us)).then(|| self.up_since_us.max(self.paused_until_us))
    }

    /// The process ends, whatever it was doing.
    pub fn end_process(&mut self, now_us: u64) {
        self.down_since_us = now_us;
        self.gossip_at_us = None;
        self.process = Process::Down;
        self.incarnation += 1;
        self.timer_at_us = None;
        self.doomed_us = None;
        self.syncing = false;
        self.paused_until_us = 0;
        self.told.fill(None);
    }
}
