//! Everything that a run of the gate can differ in. Two states that differ in nothing that matters are made the same one.

use super::Scope;
use super::collect::{Collector as Run, Orders};
use crate::record::{History, Progress, Record, Writes};
use crate::under_way::UnderWay;

pub use super::collect::Collector;

/// Homes and the guest.
pub const NODES_MAX: usize = 4;
pub const COLLECTORS_MAX: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Mark {
    #[default]
    None,
    Settled,
    Condemned,
}

/// A copy under way. It is delivered any number of times, or never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Message {
    pub to: u8,
    /// The home that the receiver is to hold it for, when that is the guest.
    pub for_home: u8,
    /// Sent by the guest, which may strike the receiver off.
    pub hands_over: bool,
    /// The write whose coordinator waits for the answer.
    pub of: Option<u8>,
    pub record: Record,
    /// A bit for each collector in whose stretch it is a leftover.
    pub leftover: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub history: History,
    /// Of the homes, then the guest's hint.
    pub copies: [Record; NODES_MAX],
    pub marks: [Mark; NODES_MAX],
    /// What a home goes back to if it starts uncleanly now.
    pub unsynced: [Option<(Record, Mark)>; NODES_MAX],
    pub crashes_left: u8,
    /// The number of each node's present life, or of its next one when it has no copy (rule D2).
    pub lives: [u8; NODES_MAX],
    /// Each node's own ticks are above this.
    pub bounds: [u8; NODES_MAX],
    /// Homes that the guest's hint is owed to.
    pub owed: u8,
    pub away: bool,
    pub leaves_left: u8,
    /// How many writes of the script were begun.
    pub begun: u8,
    pub second_writes_left: u8,
    pub messages: UnderWay<Message>,
    pub collectors: [Run; COLLECTORS_MAX],
    pub orders: Orders,
    /// Deletions of the tombstones that were removed somewhere.
    pub forgotten: Writes,
    /// A tombstone was removed while somebody held what it would bring back.
    pub too_early: bool,
}

impl State {
    pub fn new(scope: &Scope) -> Self {
        Self {
            history: History::default(),
            copies: [Record::NONE; NODES_MAX],
            marks: [Mark::None; NODES_MAX],
            unsynced: [None; NODES_MAX],
            crashes_left: scope.crashes,
            lives: [1; NODES_MAX],
            bounds: [0; NODES_MAX],
            owed: 0,
            away: false,
            leaves_left: scope.leaves,
            begun: 0,
            second_writes_left: scope.second_writes,
            messages: UnderWay::NOTHING,
            collectors: [Run::default(); COLLECTORS_MAX],
            orders: Orders::default(),
            forgotten: 0,
            too_early: false,
        }
    }

    /// A node's copy goes: its life is over, and the next one must not bear the same number.
    pub fn drop_copy(&mut self, node: u8) {
        let at = usize::from(node);
        self.copies[at] = Record::NONE;
        self.marks[at] = Mark::None;
        self.unsynced[at] = None;
        self.end_life(node);
    }

    pub fn end_life(&mut self, node: u8) {
        let at = usize::from(node);
        if self.history.life(node, self.lives[at]) != 0 {
            self.lives[at] += 1;
        }
    }

    /// This collector waits for no stretch any more.
    pub fn forget_stretch(&mut self, collector: u8) {
        for message in self.messages.iter_mut() {
            message.leftover &= !(1 << collector);
        }
    }

    pub fn normalise(&mut self) {
        if self.crashes_left == 0 {
            self.unsynced = [None; NODES_MAX];
        }
        for message in self.messages.iter_mut() {
            let waits = |of: u8| self.history.writes[usize::from(of)].state == Progress::Open;
            message.of = message.of.filter(|of| waits(*of));
        }
        for write in &mut self.history.writes[..usize::from(self.history.count)] {
            if write.state != Progress::Open {
                write.held = 0;
                write.unknown = Record::NONE;
            }
        }
        self.messages.normalise();
    }
}
