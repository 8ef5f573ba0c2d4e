//! Everything that a run of lives and hints can differ in.

use super::{NODES, Rules, Scope};
use crate::record::{History, Progress, Record};
use crate::under_way::UnderWay;

/// A copy under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Message {
    pub to: u8,
    /// The home that its receiver has it for: itself, or the one it stands for.
    pub for_home: u8,
    /// The stand-in that hands over a hint.
    pub handed_by: Option<u8>,
    /// The write whose coordinator waits for the answer.
    pub of: Option<u8>,
    pub record: Record,
}

/// One node's copy of the key, as it would be after an unclean start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OnDisk {
    pub record: Record,
    pub owed: u8,
    pub life: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub history: History,
    /// Records of the homes, then hints of the stand-ins.
    pub copies: [Record; NODES as usize],
    /// Homes that a stand-in's hint is owed to.
    pub owed: [u8; NODES as usize],
    /// What is on disk, where that is not what the node has.
    pub on_disk: [Option<OnDisk>; NODES as usize],
    /// The number of each node's present life, or of its next one when it has no copy.
    pub lives: [u8; NODES as usize],
    pub puts_left: u8,
    pub second_writes_left: u8,
    pub crashes_left: u8,
    /// The node that may start uncleanly: one for each run, so that only its disk must be told from its memory.
    pub fragile: Option<u8>,
    pub messages: UnderWay<Message>,
}

impl State {
    pub fn new(scope: &Scope, fragile: Option<u8>) -> Self {
        Self {
            history: History::default(),
            copies: [Record::NONE; NODES as usize],
            owed: [0; NODES as usize],
            on_disk: [None; NODES as usize],
            lives: [1; NODES as usize],
            puts_left: scope.puts,
            second_writes_left: scope.second_writes,
            crashes_left: scope.crashes,
            fragile,
            messages: UnderWay::NOTHING,
        }
    }

    pub fn may_lose(&self, node: u8) -> bool {
        self.crashes_left > 0 && self.fragile == Some(node)
    }

    /// To be called before a copy is changed by something that is not synced with it.
    pub fn not_synced_yet(&mut self, node: u8) {
        if !self.may_lose(node) {
            return;
        }
        let at = usize::from(node);
        let now = OnDisk {
            record: self.copies[at],
            owed: self.owed[at],
            life: self.lives[at],
        };
        self.on_disk[at].get_or_insert(now);
    }

    /// Nobody is owed the hint any more: it goes, and its life with it.
    pub fn drop_copy(&mut self, node: u8, rules: &Rules) {
        let at = usize::from(node);
        self.copies[at] = Record::NONE;
        self.owed[at] = 0;
        self.on_disk[at] = None;
        if rules.new_life_without_copy {
            self.end_life(node);
        }
    }

    pub fn start_uncleanly(&mut self, node: u8, disk: OnDisk, rules: &Rules) {
        let at = usize::from(node);
        self.copies[at] = disk.record;
        self.owed[at] = disk.owed;
        self.on_disk[at] = None;
        if !rules.bound_kept {
            self.lives[at] = disk.life;
        } else if rules.new_life_after_unclean_start {
            self.end_life(node);
        }
        let count = usize::from(self.history.count);
        for write in &mut self.history.writes[..count] {
            if write.actor == node && write.state == Progress::Open {
                write.state = Progress::GivenUp;
            }
        }
    }

    /// A life that issued nothing may as well go on.
    fn end_life(&mut self, node: u8) {
        let at = usize::from(node);
        if self.history.life(node, self.lives[at]) != 0 {
            self.lives[at] += 1;
        }
    }

    pub fn normalise(&mut self) {
        if self.crashes_left == 0 {
            self.fragile = None;
        }
        let history = &mut self.history;
        for message in self.messages.iter_mut() {
            let waits = |of: u8| history.writes[usize::from(of)].state == Progress::Open;
            message.of = message.of.filter(|of| waits(*of));
        }
        for write in &mut history.writes[..usize::from(history.count)] {
            if write.state != Progress::Open {
                write.held = 0;
                write.unknown = Record::NONE;
            }
        }
        self.messages.normalise();
    }
}
