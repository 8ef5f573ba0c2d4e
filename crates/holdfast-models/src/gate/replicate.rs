//! Writes, hints and repair around the gate: rules D3, D4, H1, H3 and Q1, as far as a tombstone can notice them.

use super::state::{Mark, Message, State};
use super::{Bound, Gate, Step, Verb};
use crate::record::{Progress, Record, Write, Writes};

/// What a write is, wherever it is coordinated.
#[derive(Clone, Copy)]
struct Kind {
    verb: Verb,
    /// Acknowledged before it began.
    after: Writes,
    /// What answers to its first round showed (rule D4).
    learnt: Record,
}

impl Message {
    const fn copy(to: u8, record: Record) -> Self {
        Self {
            to,
            for_home: 0,
            hands_over: false,
            of: None,
            record,
            leftover: 0,
        }
    }
}

impl Gate {
    pub(super) fn replicate(&self, state: &State, next: &mut Vec<(Step, State)>) {
        self.write(state, next);
        self.write_once_more(state, next);
        self.guest_puts(state, next);
        self.deliver(state, next);
        self.repair(state, next);
        self.guest_moves(state, next);
        self.start_uncleanly(state, next);
    }

    /// What a node reads when asked for its copy: not what it has condemned.
    pub(super) fn readable(&self, state: &State, node: u8) -> Record {
        match state.marks[usize::from(node)] {
            Mark::Condemned => Record::NONE,
            Mark::None | Mark::Settled => state.copies[usize::from(node)],
        }
    }

    fn write(&self, state: &State, next: &mut Vec<(Step, State)>) {
        let Some(verb) = self.scope.script.get(usize::from(state.begun)).copied() else {
            return;
        };
        // Homes differ in their number alone, so the first write may as well be the first one's.
        let homes = if state.begun == 0 { 1 } else { self.scope.homes };
        for home in 0..homes {
            // A delete of nothing writes nothing here, to keep the scope small.
            if verb == Verb::Delete && self.readable(state, home).is_none() {
                continue;
            }
            for to_guest in self.ways(home) {
                let mut after = *state;
                after.begun += 1;
                let kind = Kind {
                    verb,
                    after: state.history.acknowledged(),
                    learnt: Record::NONE,
                };
                let step = Step::Write { home, verb, to_guest };
                next.extend(
                    self.put(after, home, kind, to_guest)
                        .into_iter()
                        .map(|after| (step, after)),
                );
            }
        }
    }

    /// Every choice of homes, other than the coordinator, that the guest stands for. It stands for one home of a write (rule Q1).
    fn ways(&self, home: u8) -> impl Iterator<Item = u8> + use<> {
        let others = (0..self.scope.homes).filter(move |other| *other != home);
        std::iter::once(0).chain(others.map(|other| 1 << other))
    }

    /// Writes a new version into the coordinator's copy and sends the record to the other homes.
    fn put(&self, mut state: State, home: u8, kind: Kind, to_guest: u8) -> Vec<State> {
        let at = usize::from(home);
        let own = state.copies[at];
        let learnt = kind.learnt;
        let seen = state.history.tick_max(own.context | learnt.context);
        if state.marks[at] == Mark::Condemned && !self.rules.context_survives {
            state.drop_copy(home);
        }
        let own = state.copies[at];
        let base = Record {
            context: own.context | learnt.context,
            versions: 0,
            grown_from: own.grown_from | learnt.grown_from,
        };
        let write = Write {
            actor: home,
            life: state.lives[at],
            tick: seen.max(state.bounds[at]) + 1,
            deletes: kind.verb == Verb::Delete,
            held: 1 << home,
            after: kind.after,
            ..Write::default()
        };
        let number = state.history.count;
        state.copies[at] = state.history.issue(base, write);
        state.marks[at] = Mark::None;
        state.unsynced[at] = None;
        self.answer_arrived(&mut state, number);
        let mut sent = vec![state];
        for other in (0..self.scope.homes).filter(|other| *other != home) {
            let stands = to_guest & 1 << other != 0;
            let message = Message {
                to: if stands { self.guest() } else { other },
                for_home: if stands { other } else { 0 },
                of: Some(number),
                ..Message::copy(other, state.copies[at])
            };
            sent = sent.iter().flat_map(|state| self.send(state, message)).collect();
        }
        sent
    }

    /// Every way in which this may be under way, too.
    fn send(&self, state: &State, message: Message) -> Vec<State> {
        let mut ways = Vec::new();
        for messages in state.messages.with(message, self.scope.messages) {
            let mut after = *state;
            after.messages = messages;
            ways.push(after);
        }
        ways
    }

    /// Enough homes have it: answered, unless an answer showed what it did not know.
    fn answer_arrived(&self, state: &mut State, number: u8) {
        let write = &mut state.history.writes[usize::from(number)];
        let enough = write.held.count_ones() >= u32::from(self.scope.w);
        if write.state == Progress::Open && enough && write.unknown.is_none() {
            write.state = Progress::Acknowledged;
        }
    }

    fn write_once_more(&self, state: &State, next: &mut Vec<(Step, State)>) {
        if state.second_writes_left == 0 {
            return;
        }
        for (number, write) in state.history.all() {
            let enough = write.held.count_ones() >= u32::from(self.scope.w);
            if write.state != Progress::Open || !enough || write.unknown.is_none() {
                continue;
            }
            for to_guest in self.ways(write.actor) {
                let mut after = *state;
                after.second_writes_left -= 1;
                after.history.writes[usize::from(number)].state = Progress::GivenUp;
                let kind = Kind {
                    verb: if write.deletes { Verb::Delete } else { Verb::Put },
                    after: write.after,
                    learnt: write.unknown,
                };
                let step = Step::WriteOnceMore {
                    write: number,
                    to_guest,
                };
                next.extend(
                    self.put(after, write.actor, kind, to_guest)
                        .into_iter()
                        .map(|after| (step, after)),
                );
            }
        }
    }

    /// The guest takes a put for homes that it cannot reach: its hint is owed to all of them, and counts for one.
    fn guest_puts(&self, state: &State, next: &mut Vec<(Step, State)>) {
        let verb = self.scope.script.get(usize::from(state.begun));
        if !self.scope.guest_puts || state.begun == 0 || verb != Some(&Verb::Put) || state.away {
            return;
        }
        let guest = usize::from(self.guest());
        for asks in 0..self.scope.homes {
            let mut after = *state;
            after.begun += 1;
            let own = state.copies[guest];
            let write = Write {
                actor: self.guest(),
                life: state.lives[guest],
                tick: state.history.tick_max(own.context).max(state.bounds[guest]) + 1,
                held: 1 << ((asks + 1) % self.scope.homes),
                sloppy: true,
                ..Write::default()
            };
            let number = state.history.count;
            after.copies[guest] = after.history.issue(own, write);
            after.owed = (1 << self.scope.homes) - 1;
            self.guest_got_a_hint(&mut after);
            let message = Message {
                of: Some(number),
                ..Message::copy(asks, after.copies[guest])
            };
            next.extend(
                self.send(&after, message)
                    .into_iter()
                    .map(|after| (Step::GuestPuts { asks }, after)),
            );
        }
    }

    fn deliver(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for message in state.messages.iter() {
            let to_guest = message.to == self.guest();
            if to_guest && state.away {
                continue;
            }
            if !to_guest && state.crashes_left > 0 {
                let mut after = *state;
                let before = (
                    state.copies[usize::from(message.to)],
                    state.marks[usize::from(message.to)],
                );
                self.merge_at(&mut after, message.to, message.record);
                after.unsynced[usize::from(message.to)].get_or_insert(before);
                next.push((Step::DeliverUnsynced(*message), after));
            }
            let mut after = *state;
            after.unsynced[usize::from(message.to)] = None;
            let held = self.readable(state, message.to);
            if to_guest {
                after.copies[usize::from(message.to)] = held.merge(message.record);
                after.owed |= 1 << message.for_home;
                self.guest_got_a_hint(&mut after);
            } else {
                self.merge_at(&mut after, message.to, message.record);
            }
            if let Some(of) = message.of {
                let write = &mut after.history.writes[usize::from(of)];
                write.held |= 1 << if to_guest { message.for_home } else { message.to };
                write.sloppy |= to_guest;
                if held.versions & !message.record.context != 0 {
                    write.unknown = write.unknown.merge(held);
                }
                self.answer_arrived(&mut after, of);
            }
            if message.hands_over && !state.away {
                self.strike_off(&mut after, message);
            }
            next.push((Step::Deliver(*message), after));
        }
    }

    /// Rule H3: only what confirms exactly the hint as it stands now.
    fn strike_off(&self, state: &mut State, message: &Message) {
        let hint = state.copies[usize::from(self.guest())];
        if hint.digest() == message.record.digest() {
            state.owed &= !(1 << message.to);
            if state.owed == 0 {
                state.drop_copy(self.guest());
            }
        }
    }

    /// Rule D2: what it issues from now on belongs to a new life.
    fn start_uncleanly(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for home in (0..self.scope.homes).filter(|_| state.crashes_left > 0) {
            if let Some((record, mark)) = state.unsynced[usize::from(home)] {
                let mut after = *state;
                after.crashes_left -= 1;
                after.copies[usize::from(home)] = record;
                after.marks[usize::from(home)] = mark;
                after.unsynced[usize::from(home)] = None;
                after.end_life(home);
                next.push((Step::StartUncleanly { home }, after));
            }
        }
    }

    pub(super) fn merge_at(&self, state: &mut State, home: u8, record: Record) {
        let at = usize::from(home);
        let own = state.copies[at];
        if self.rules.bound == Bound::OnMerge {
            state.bounds[at] = state.bounds[at].max(state.history.tick_max(record.context));
        }
        if state.marks[at] == Mark::Condemned && self.rules.condemned_for_good {
            let rest = Record {
                versions: record.versions & !own.versions,
                ..record
            };
            let merged = own.merge(record);
            let versions = merged.versions & !own.versions;
            if versions == 0 {
                return; // nothing but what is condemned: it stays so
            }
            if self.rules.context_survives {
                state.copies[at] = Record { versions, ..merged };
            } else {
                state.drop_copy(home);
                state.copies[at] = rest;
            }
            state.marks[at] = Mark::None;
            return;
        }
        let merged = own.merge(record);
        if merged.digest() != own.digest() {
            state.marks[at] = Mark::None;
        }
        state.copies[at] = merged;
    }

    /// What anti-entropy compares.
    pub(super) fn compared(&self, state: &State, home: u8) -> (u8, u8) {
        match state.marks[usize::from(home)] {
            Mark::None => state.copies[usize::from(home)].digest(),
            Mark::Settled | Mark::Condemned => Record::NONE.digest(),
        }
    }

    fn repair(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for from in 0..self.scope.homes {
            let record = self.readable(state, from);
            let settled = state.marks[usize::from(from)] == Mark::Settled;
            if record.is_none() || (settled && self.rules.settled_not_sent) {
                continue;
            }
            for to in (0..self.scope.homes).filter(|to| *to != from) {
                let differs = self.compared(state, from) != self.compared(state, to);
                if differs || settled || self.scope.sends_at_will {
                    let sent = self.send(state, Message::copy(to, record));
                    next.extend(sent.into_iter().map(|after| (Step::Repair { from, to }, after)));
                }
            }
        }
    }

    fn guest_moves(&self, state: &State, next: &mut Vec<(Step, State)>) {
        if state.away {
            let mut after = *state;
            after.away = false;
            next.push((Step::GuestReturns, after));
            return;
        }
        if state.leaves_left > 0 {
            let mut after = *state;
            after.leaves_left -= 1;
            after.away = true;
            next.push((Step::GuestLeaves, after));
        }
        for to in (0..self.scope.homes).filter(|to| state.owed & 1 << to != 0) {
            let message = Message {
                hands_over: true,
                ..Message::copy(to, state.copies[usize::from(self.guest())])
            };
            next.extend(
                self.send(state, message)
                    .into_iter()
                    .map(|after| (Step::HandOver { to }, after)),
            );
        }
    }
}
