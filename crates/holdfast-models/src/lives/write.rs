//! Puts, by homes and by stand-ins (rules D1, D2, D4, Q1).

use super::state::{Message, State};
use super::{HOMES, Lives, NODES, Step};
use crate::record::{Progress, Record, Write, Writes};

/// Where a write is coordinated, and who has it for the other home.
#[derive(Clone, Copy)]
struct Way {
    node: u8,
    own: u8,
    to: u8,
}

impl Lives {
    pub(super) fn write(&self, state: &State, next: &mut Vec<(Step, State)>) {
        if state.puts_left > 0 {
            for way in self.ways(state.history.count == 0) {
                let Way { node, own, to } = way;
                let mut after = *state;
                after.puts_left -= 1;
                let known_before = state.history.acknowledged();
                let sent = self.put(after, way, Record::NONE, known_before);
                next.extend(sent.into_iter().map(|after| (Step::Put { node, own, to }, after)));
            }
        }
        if state.second_writes_left > 0 {
            self.write_once_more(state, next);
        }
        for node in (0..NODES).filter(|node| state.on_disk[usize::from(*node)].is_some()) {
            let mut after = *state;
            self.sync(&mut after, node);
            next.push((Step::Sync { node }, after));
        }
    }

    fn write_once_more(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for (number, write) in state.history.all() {
            if write.state != Progress::Open || !is_held(write) || write.unknown.is_none() {
                continue;
            }
            let same = |way: &Way| way.node == write.actor && way.own == write.own;
            for way in self.ways(false).into_iter().filter(same) {
                let mut after = *state;
                after.second_writes_left -= 1;
                after.history.writes[usize::from(number)].state = Progress::GivenUp;
                let step = Step::WriteOnceMore {
                    write: number,
                    to: way.to,
                };
                let sent = self.put(after, way, write.unknown, write.after);
                next.extend(sent.into_iter().map(|after| (step, after)));
            }
        }
    }

    fn put(&self, mut state: State, way: Way, learnt: Record, after: Writes) -> Vec<State> {
        let Way { node, own, to } = way;
        let at = usize::from(node);
        state.not_synced_yet(node);
        let base = Record {
            context: state.copies[at].context | learnt.context,
            versions: 0,
            grown_from: state.copies[at].grown_from | learnt.grown_from,
        };
        let issued = state.history.filter(|write| write.actor == node);
        let bound = if self.rules.bound_kept { issued } else { 0 };
        let write = Write {
            actor: node,
            life: state.lives[at],
            tick: state.history.tick_max(base.context | bound) + 1,
            own,
            sloppy: node >= HOMES,
            after,
            ..Write::default()
        };
        let number = state.history.count;
        state.copies[at] = state.history.issue(base, write);
        if node >= HOMES {
            state.owed[at] |= 1 << own;
        }
        if !state.may_lose(node) {
            self.sync(&mut state, node);
        } else if !self.rules.own_synced {
            self.count(&mut state, number, node, own);
        }
        let message = Message {
            to,
            for_home: if to < HOMES { to } else { 1 - own },
            handed_by: None,
            of: Some(number),
            record: state.copies[at],
        };
        self.send(&state, message)
    }

    /// Every way in which this may be under way, too.
    pub(super) fn send(&self, state: &State, message: Message) -> Vec<State> {
        let mut ways = Vec::new();
        for messages in state.messages.with(message, self.scope.messages) {
            let mut after = *state;
            after.messages = messages;
            ways.push(after);
        }
        ways
    }

    /// All that the node has written is on its disk: so are its own copies of what it coordinates.
    pub(super) fn sync(&self, state: &mut State, node: u8) {
        state.on_disk[usize::from(node)] = None;
        for number in 0..state.history.count {
            let write = state.history.writes[usize::from(number)];
            if write.actor == node && write.state == Progress::Open {
                self.count(state, number, node, write.own);
            }
        }
    }

    /// This node has the write for that home, synced; with both homes' it is acknowledged, if no answer showed more.
    pub(super) fn count(&self, state: &mut State, number: u8, node: u8, for_home: u8) {
        let write = &mut state.history.writes[usize::from(number)];
        write.held |= 1 << if self.rules.stands_for_one { for_home } else { node };
        write.sloppy |= node >= HOMES;
        if write.state == Progress::Open && is_held(write) && write.unknown.is_none() {
            write.state = Progress::Acknowledged;
        }
    }

    /// Nodes of a kind differ in their number alone, so the first write may as well be the first home's, or the first stand-in's
    /// for it. Who asks a home beside its own stand-in asks in vain, unless that is the planted fault.
    fn ways(&self, is_first: bool) -> Vec<Way> {
        let mut ways = Vec::new();
        for node in (0..NODES).filter(|node| !is_first || node % HOMES == 0) {
            for own in 0..HOMES {
                let is_own = if node < HOMES {
                    own == node
                } else {
                    !is_first || own == 0
                };
                let is_other = |to: u8| to != node && (to >= HOMES || to == 1 - own || !self.rules.stands_for_one);
                if is_own {
                    ways.extend((0..NODES).filter(|to| is_other(*to)).map(|to| Way { node, own, to }));
                }
            }
        }
        ways
    }
}

/// Two for two: both homes have it, or stand-ins for them.
fn is_held(write: &Write) -> bool {
    write.held.count_ones() >= u32::from(HOMES)
}
