//! The collector: asks, waits for a stretch without hints, gives its orders, and may stop anywhere.

use super::state::{Mark, State};
use super::{Before, Bound, Gate, Step};
use crate::record::{Record, Writes};

/// How far a collector has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Stage {
    #[default]
    Idle,
    /// Do you hold exactly this tombstone, synced?
    Asks,
    Stretch,
    Settles,
    Condemns,
    /// The second stretch.
    Waits,
    Removes,
}

/// One run of a collector, for one value of the tombstone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Collector {
    pub stage: Stage,
    pub tombstone: (Writes, Writes),
    /// Homes that confirmed this stage.
    pub confirmed: u8,
}

/// Orders that may still be under way: once given, each may arrive at any time, at any home, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Orders {
    /// Of each tombstone, the last stage whose orders were given.
    given: [((Writes, Writes), Stage); 2],
}

impl Orders {
    fn give(&mut self, tombstone: (Writes, Writes), stage: Stage) {
        let free = |entry: &&mut ((Writes, Writes), Stage)| entry.0 == tombstone || entry.1 == Stage::Idle;
        let entry = self
            .given
            .iter_mut()
            .find(free)
            .expect("room for every tombstone of a scope");
        *entry = (tombstone, entry.1.max(stage));
    }

    fn iter(&self) -> impl Iterator<Item = &((Writes, Writes), Stage)> {
        self.given.iter().filter(|entry| entry.1 != Stage::Idle)
    }
}

impl Gate {
    pub(super) fn collect(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for collector in 0..self.scope.collectors {
            self.ask(state, collector, next);
            self.stretch(state, collector, next);
            self.order(state, collector, next);
            if state.collectors[usize::from(collector)].stage != Stage::Idle {
                let mut after = *state;
                self.give_up(&mut after, collector);
                next.push((Step::CollectorGivesUp { collector }, after));
            }
        }
        self.late_orders(state, next);
        self.resume(state, next);
        if !self.rules.condemned_for_good {
            for home in 0..self.scope.homes {
                if state.marks[usize::from(home)] == Mark::Condemned {
                    let mut after = *state;
                    after.marks[usize::from(home)] = Mark::None;
                    next.push((Step::TakeBack { home }, after));
                }
            }
        }
    }

    fn resume(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for collector in (0..self.scope.collectors).filter(|_| self.rules.condemned_proves) {
            let idle = state.collectors[usize::from(collector)].stage == Stage::Idle;
            for home in (0..self.scope.homes).filter(|_| idle) {
                if state.marks[usize::from(home)] == Mark::Condemned {
                    let mut after = *state;
                    after.collectors[usize::from(collector)] = Collector {
                        stage: Stage::Condemns,
                        tombstone: state.copies[usize::from(home)].digest(),
                        confirmed: 0,
                    };
                    next.push((Step::Resume { collector, home }, after));
                }
            }
        }
    }

    fn give_up(&self, state: &mut State, collector: u8) {
        state.collectors[usize::from(collector)] = Collector::default();
        state.forget_stretch(collector);
    }

    fn all_homes(&self) -> u8 {
        (1 << self.scope.homes) - 1
    }

    fn ask(&self, state: &State, collector: u8, next: &mut Vec<(Step, State)>) {
        let run = state.collectors[usize::from(collector)];
        if run.stage > Stage::Asks {
            return;
        }
        for home in (0..self.scope.homes).filter(|home| run.confirmed & 1 << home == 0) {
            let copy = state.copies[usize::from(home)];
            let same = match run.stage {
                Stage::Idle => Self::is_tombstone(&state.history, copy),
                _ => copy.digest() == run.tombstone || copy.is_none() && !self.rules.nothing_is_a_no,
            };
            if same {
                let mut after = *state;
                if self.rules.asked_synced {
                    after.unsynced[usize::from(home)] = None;
                }
                after.collectors[usize::from(collector)] = Collector {
                    stage: Stage::Asks,
                    tombstone: if run.stage == Stage::Idle {
                        copy.digest()
                    } else {
                        run.tombstone
                    },
                    confirmed: run.confirmed | 1 << home,
                };
                next.push((Step::Ask { collector, home }, after));
            }
        }
    }

    /// No member holds a hint now, as far as the rules let the collector ask.
    fn no_hints(&self, state: &State) -> bool {
        if state.away {
            return !self.rules.away_waited_for;
        }
        !self.rules.hints_asked || state.copies[usize::from(self.guest())].is_none()
    }

    fn stretch(&self, state: &State, collector: u8, next: &mut Vec<(Step, State)>) {
        let run = state.collectors[usize::from(collector)];
        let asked = if self.rules.all_asked {
            run.confirmed == self.all_homes()
        } else {
            run.confirmed != 0
        };
        let begins = run.stage == Stage::Asks && asked;
        if begins && !self.rules.stretch {
            let mut after = *state;
            self.advance(&mut after, collector, Stage::Stretch);
            next.push((Step::EndStretch { collector }, after));
        } else if begins && self.no_hints(state) {
            let mut after = *state;
            self.begin_stretch(&mut after, collector, Stage::Stretch);
            next.push((Step::BeginStretch { collector }, after));
        }
        let is_stretch = matches!(run.stage, Stage::Stretch | Stage::Waits);
        if is_stretch && self.no_hints(state) {
            let mut after = *state;
            self.advance(&mut after, collector, run.stage);
            next.push((Step::EndStretch { collector }, after));
        }
    }

    fn begin_stretch(&self, state: &mut State, collector: u8, stage: Stage) {
        state.collectors[usize::from(collector)].stage = stage;
        state.collectors[usize::from(collector)].confirmed = 0;
        for message in state.messages.iter_mut() {
            message.leftover |= 1 << collector;
        }
    }

    /// A hint within a stretch: the guest will say so at its end, so that one is in vain.
    pub(super) fn guest_got_a_hint(&self, state: &mut State) {
        for collector in 0..self.scope.collectors {
            let stage = state.collectors[usize::from(collector)].stage;
            let waits = matches!(stage, Stage::Stretch | Stage::Waits);
            if waits && self.rules.between_asked && self.rules.hints_asked {
                self.give_up(state, collector);
            }
        }
    }

    /// On to what follows `stage` in these rules, with the orders that belong to it.
    fn advance(&self, state: &mut State, collector: u8, stage: Stage) {
        if self.rules.messages_die {
            state.messages.retain(|message| message.leftover & 1 << collector == 0);
        }
        state.forget_stretch(collector);
        let following = match stage {
            Stage::Idle | Stage::Asks => Stage::Stretch,
            Stage::Stretch if self.rules.settles => Stage::Settles,
            Stage::Stretch | Stage::Settles if self.rules.condemns => Stage::Condemns,
            Stage::Stretch | Stage::Settles | Stage::Condemns if self.rules.before_removal == Before::Stretch => {
                Stage::Waits
            }
            Stage::Stretch | Stage::Settles | Stage::Condemns | Stage::Waits => Stage::Removes,
            Stage::Removes => Stage::Idle,
        };
        let tombstone = state.collectors[usize::from(collector)].tombstone;
        match following {
            Stage::Idle => self.give_up(state, collector),
            Stage::Waits => {
                state.collectors[usize::from(collector)].confirmed = 0;
                state.collectors[usize::from(collector)].stage = Stage::Asks;
                // Begun at once if it can be; a collector that cannot gives up and comes back.
                if self.no_hints(state) {
                    self.begin_stretch(state, collector, Stage::Waits);
                } else {
                    self.give_up(state, collector);
                }
            }
            _ => {
                state.collectors[usize::from(collector)].stage = following;
                state.collectors[usize::from(collector)].confirmed = 0;
                state.orders.give(tombstone, following);
            }
        }
    }

    fn order(&self, state: &State, collector: u8, next: &mut Vec<(Step, State)>) {
        let run = state.collectors[usize::from(collector)];
        let all_first = match run.stage {
            Stage::Settles => self.rules.all_settled_first,
            Stage::Condemns => self.rules.all_condemned_first,
            Stage::Removes => true,
            Stage::Idle | Stage::Asks | Stage::Stretch | Stage::Waits => return,
        };
        for home in (0..self.scope.homes).filter(|home| run.confirmed & 1 << home == 0) {
            let mut after = *state;
            if !self.obey(&mut after, home, run.tombstone, run.stage) {
                continue;
            }
            let run = &mut after.collectors[usize::from(collector)];
            run.confirmed |= 1 << home;
            let stage = run.stage;
            if run.confirmed == self.all_homes() || !all_first {
                self.advance(&mut after, collector, stage);
            }
            next.push((Step::Order { collector, home }, after));
        }
    }

    fn late_orders(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for (tombstone, last) in state.orders.iter() {
            for stage in [Stage::Settles, Stage::Condemns, Stage::Removes] {
                let given = stage <= *last
                    && (stage != Stage::Settles || self.rules.settles)
                    && (stage != Stage::Condemns || self.rules.condemns);
                for home in (0..self.scope.homes).filter(|_| given) {
                    let mut after = *state;
                    if self.obey(&mut after, home, *tombstone, stage) && after != *state {
                        next.push((Step::LateOrder { stage, home }, after));
                    }
                }
            }
        }
    }

    /// One home does as it is told, if it still holds exactly that tombstone; whether it confirms.
    fn obey(&self, state: &mut State, home: u8, tombstone: (Writes, Writes), stage: Stage) -> bool {
        let at = usize::from(home);
        let copy = state.copies[at];
        let may_have_none = match stage {
            Stage::Removes => true,
            Stage::Condemns => self.rules.condemned_proves || !self.rules.nothing_is_a_no,
            _ => !self.rules.nothing_is_a_no,
        };
        if may_have_none && copy.is_none() {
            return true;
        }
        if copy.digest() != tombstone {
            return false;
        }
        state.unsynced[at] = None;
        match stage {
            Stage::Settles => state.marks[at] = state.marks[at].max(Mark::Settled),
            Stage::Condemns => {
                state.marks[at] = Mark::Condemned;
                self.rise(state, home, copy);
            }
            Stage::Removes if self.rules.condemns && state.marks[at] != Mark::Condemned => return false,
            Stage::Removes => self.remove(state, home),
            Stage::Idle | Stage::Asks | Stage::Stretch | Stage::Waits => {}
        }
        true
    }

    fn rise(&self, state: &mut State, home: u8, copy: Record) {
        if self.rules.bound == Bound::OnForgetting {
            let bound = &mut state.bounds[usize::from(home)];
            *bound = (*bound).max(state.history.tick_max(copy.context));
        }
    }

    fn remove(&self, state: &mut State, home: u8) {
        let copy = state.copies[usize::from(home)];
        self.rise(state, home, copy);
        let replaced = state
            .history
            .all()
            .filter(|(number, _)| copy.versions & 1 << number != 0);
        let dead = replaced.fold(0, |set, (_, write)| set | write.replaced);
        let held = state.copies.iter().fold(0, |set, copy| set | copy.versions);
        let under_way = state
            .messages
            .iter()
            .fold(0, |set, message| set | message.record.versions);
        state.too_early |= (held | under_way) & dead != 0;
        state.forgotten |= copy.versions;
        state.drop_copy(home);
    }
}
