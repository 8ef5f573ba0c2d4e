//! How a tombstone leaves (rules G1 and G2): homes of one key, a guest (a member that is no home, but may hold a hint and may be
//! away), collectors that may crash at any stage, messages that are lost, late or come twice.
//!
//! Time is told by one thing only: a stretch of at least one message life is over when no message is left that was under
//! way when it began. That is the weakest clock that rule G2 promises.

mod collect;
mod promises;
mod replicate;
mod state;

pub use collect::Stage;
pub use promises::{AWAY, PUT_BETWEEN};
pub use state::{Collector, Mark, Message, State};

use crate::record::{History, Record};
use crate::search::Model;

impl Scope {
    /// A put and a delete by two homes, all of which must have a write.
    pub const SMALL: Self = Self {
        homes: 2,
        w: 2,
        r: 1,
        script: &[Verb::Put, Verb::Delete],
        second_writes: 0,
        messages: 2,
        collectors: 1,
        leaves: 0,
        crashes: 0,
        guest_puts: false,
        sends_at_will: true,
    };

    /// And a put while the tombstone is on its way out.
    pub const WITH_A_LATER_PUT: Self = Self {
        script: &[Verb::Put, Verb::Delete, Verb::Put],
        ..Self::SMALL
    };
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Put,
    Delete,
}

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub homes: u8,
    pub w: u8,
    pub r: u8,
    /// What clients ask for, in this order; they wait for no answers.
    pub script: &'static [Verb],
    /// Second writes of rule D4, over all of the run.
    pub second_writes: u8,
    pub messages: u8,
    pub collectors: u8,
    /// How often the guest goes away.
    pub leaves: u8,
    /// How often a home starts uncleanly, losing what it had not synced.
    pub crashes: u8,
    /// The guest may coordinate a put.
    pub guest_puts: bool,
    /// Homes send their copies at any time: a write is retried, a reader repairs what it read some time ago.
    pub sends_at_will: bool,
}

/// When a node's own ticks rise above those that it was sent. Between these the wall clock does as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    Never,
    /// When it marks a tombstone as condemned, or removes it.
    OnForgetting,
    OnMerge,
}

/// What stands between "nobody reads it any more" and "it is removed".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    Nothing,
    /// A second stretch, like the first.
    Stretch,
}

/// The algorithm, rule by rule: [`Rules::DIRECT`] is what we build, everything else a road not taken or a planted fault.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// After the stretch, homes are asked again and leave the tombstone out of digests, though they still read it.
    pub settles: bool,
    /// Then they leave it out of everything: not read, not sent, not surviving a merge or a put.
    pub condemns: bool,
    pub before_removal: Before,
    /// The context of a condemned tombstone joins the record that replaces it.
    pub context_survives: bool,
    pub bound: Bound,
    /// Whoever finds a condemned tombstone goes on from there: that mark proves that a gate was open for it.
    pub condemned_proves: bool,
    pub all_settled_first: bool,
    pub all_condemned_first: bool,
    pub condemned_for_good: bool,
    pub settled_not_sent: bool,

    /// Every home holds exactly the tombstone before the stretch begins.
    pub all_asked: bool,
    /// What a home says it holds, it has synced.
    pub asked_synced: bool,
    /// Who has nothing does not count like who has the tombstone.
    pub nothing_is_a_no: bool,
    pub stretch: bool,
    pub hints_asked: bool,
    /// Also hints that came and went within the stretch.
    pub between_asked: bool,
    pub away_waited_for: bool,
    /// What was under way when the stretch began is gone at its end (rule G2).
    pub messages_die: bool,
}

impl Rules {
    /// Ask, wait, remove.
    pub const DIRECT: Self = Self {
        settles: false,
        condemns: false,
        before_removal: Before::Nothing,
        context_survives: true,
        bound: Bound::OnForgetting,
        condemned_proves: false,
        all_settled_first: true,
        all_condemned_first: true,
        condemned_for_good: true,
        settled_not_sent: true,
        all_asked: true,
        asked_synced: true,
        nothing_is_a_no: true,
        stretch: true,
        hints_asked: true,
        between_asked: true,
        away_waited_for: true,
        messages_die: true,
    };

    /// With marks on disk between the stretch and the removal: as safe, but it can get stuck.
    pub const STAGED: Self = Self {
        settles: true,
        condemns: true,
        ..Self::DIRECT
    };
}

/// Which promises are looked at, beside those of data: what was replaced does not come back, what was acknowledged is there.
#[derive(Clone, Copy, Debug)]
pub struct Promises {
    /// Nothing is removed while anybody holds what it would bring back.
    pub nothing_left: bool,
    /// A tombstone that was removed somewhere does not come back anywhere.
    pub stays_gone: bool,
    /// A later write, through a home, wins over an earlier one.
    pub later_wins: bool,
    /// From everywhere, homes can become equal and rid of the tombstone.
    pub comes_to_rest: bool,
}

impl Promises {
    /// What clients see.
    pub const DATA: Self = Self {
        nothing_left: false,
        stays_gone: false,
        later_wins: true,
        comes_to_rest: false,
    };

    /// What the direct algorithm keeps.
    pub const KEPT: Self = Self {
        nothing_left: true,
        comes_to_rest: true,
        ..Self::DATA
    };
}

#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub scope: Scope,
    pub rules: Rules,
    pub promises: Promises,
}

/// What happens, in one atomic step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A home writes its own copy and sends it; a set bit of `to_guest` says that the guest stands for that home.
    Write {
        home: u8,
        verb: Verb,
        to_guest: u8,
    },
    GuestPuts {
        asks: u8,
    },
    /// The coordinator has answers that showed what it did not know (rule D4).
    WriteOnceMore {
        write: u8,
        to_guest: u8,
    },
    Deliver(Message),
    /// Anti-entropy found different digests, or a read did: one home's copy is sent to another.
    Repair {
        from: u8,
        to: u8,
    },
    HandOver {
        to: u8,
    },
    GuestLeaves,
    GuestReturns,
    Ask {
        collector: u8,
        home: u8,
    },
    BeginStretch {
        collector: u8,
    },
    EndStretch {
        collector: u8,
    },
    Order {
        collector: u8,
        home: u8,
    },
    CollectorGivesUp {
        collector: u8,
    },
    /// An order that was under way for as long as it liked.
    LateOrder {
        stage: Stage,
        home: u8,
    },
    TakeBack {
        home: u8,
    },
    /// What arrived is not on disk yet, and not answered.
    DeliverUnsynced(Message),
    StartUncleanly {
        home: u8,
    },
    /// A collector finds a tombstone that was condemned by another one's order.
    Resume {
        collector: u8,
        home: u8,
    },
}

impl Model for Gate {
    type State = State;
    type Step = Step;

    fn starts(&self) -> Vec<State> {
        vec![State::new(&self.scope)]
    }

    fn steps(&self, state: &State, next: &mut Vec<(Step, State)>) {
        self.replicate(state, next);
        self.collect(state, next);
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
        self.sights_of(before, step, after)
    }

    fn can_be_relied_on(&self, step: &Step) -> bool {
        !matches!(
            step,
            Step::LateOrder { .. } | Step::Write { .. } | Step::GuestPuts { .. } | Step::StartUncleanly { .. }
        )
    }

    fn at_rest(&self, state: &State) -> bool {
        if !self.promises.comes_to_rest {
            return true;
        }
        let homes = &state.copies[..usize::from(self.scope.homes)];
        let equal = homes.iter().all(|copy| copy.digest() == homes[0].digest());
        let collected = homes
            .iter()
            .all(|copy| copy.is_none() || copy.versions & !state.history.deletions() != 0);
        equal && collected && state.copies[usize::from(self.scope.homes)].is_none()
    }
}

impl Gate {
    const fn guest(&self) -> u8 {
        self.scope.homes
    }

    fn is_tombstone(history: &History, record: Record) -> bool {
        record.versions != 0 && record.versions & !history.deletions() == 0
    }
}
