//! Lives and hints (rules D2–D4, H1, H3, Q1): two homes and two stand-ins write one key; any of them may coordinate, start
//! uncleanly and lose what it had not synced. Both homes, or stand-ins for them, must have a write.

mod deliver;
mod promises;
mod state;
mod write;

pub use promises::{CHANGED, LOST, LOST_WITH_A_WRITE};
pub use state::{Message, State};

use crate::search::Model;

pub const HOMES: u8 = 2;
pub const NODES: u8 = 4;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub puts: u8,
    pub second_writes: u8,
    pub messages: u8,
    /// Unclean starts of one node, whichever it is.
    pub crashes: u8,
}

/// What is `true` everywhere in [`Rules::SOUND`]; `false` is a planted fault.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whoever handed its copy over begins a new life with its next one.
    pub new_life_without_copy: bool,
    /// So does, after an unclean start, whoever has a copy from before.
    pub new_life_after_unclean_start: bool,
    /// The bound on ticks and lives is on disk before they are used (rule D1).
    pub bound_kept: bool,
    /// The coordinator's own copy counts once it is synced.
    pub own_synced: bool,
    /// Others answer once theirs is.
    pub answers_synced: bool,
    /// A home is struck off by confirming the hint as it stands now (rule H3).
    pub struck_off_exactly: bool,
    /// A home and its stand-in count once (rule Q1).
    pub stands_for_one: bool,
    /// A hint goes when it owes nobody.
    pub kept_while_owed: bool,
}

impl Rules {
    pub const SOUND: Self = Self {
        new_life_without_copy: true,
        new_life_after_unclean_start: true,
        bound_kept: true,
        own_synced: true,
        answers_synced: true,
        struck_off_exactly: true,
        stands_for_one: true,
        kept_while_owed: true,
    };
}

/// One model: its size, its rules, and whether copies are looked at, or only what clients see.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    pub scope: Scope,
    pub rules: Rules,
    /// A copy covers every dot issued in its life.
    pub copies_looked_at: bool,
}

/// What happens, in one atomic step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A node writes a copy that stands for home `own`; the other home's goes to `to`: itself, or a stand-in for it.
    Put {
        node: u8,
        own: u8,
        to: u8,
    },
    /// Answers showed what it did not know (rule D4).
    WriteOnceMore {
        write: u8,
        to: u8,
    },
    /// Everything that this node has written is on its disk.
    Sync {
        node: u8,
    },
    /// It arrives, is synced and answered.
    Deliver(Message),
    /// It arrives, and is not on disk yet.
    DeliverUnsynced(Message),
    /// Homes compare and differ.
    Repair {
        from: u8,
        to: u8,
    },
    HandOver {
        from: u8,
        to: u8,
    },
    StartUncleanly {
        node: u8,
    },
}

impl Model for Lives {
    type State = State;
    type Step = Step;

    fn starts(&self) -> Vec<State> {
        if self.scope.crashes == 0 {
            return vec![State::new(&self.scope, None)];
        }
        (0..NODES).map(|node| State::new(&self.scope, Some(node))).collect()
    }

    fn steps(&self, state: &State, next: &mut Vec<(Step, State)>) {
        self.write(state, next);
        self.move_copies(state, next);
        for (_, state) in next {
            state.normalise();
        }
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        self.broken_promise(state)
    }

    fn sights(&self) -> &'static [&'static str] {
        promises::SIGHTS
    }

    fn seen(&self, before: &State, step: &Step, after: &State) -> u32 {
        promises::sights_of(before, step, after)
    }

    /// Homes are equal and nobody is owed anything.
    fn at_rest(&self, state: &State) -> bool {
        let [one, other, hints @ ..] = &state.copies;
        one.digest() == other.digest() && hints.iter().all(|hint| hint.is_none())
    }

    fn can_be_relied_on(&self, step: &Step) -> bool {
        !matches!(step, Step::Put { .. } | Step::StartUncleanly { .. })
    }
}
