//! Copies on their way: to replicas, to stand-ins, from stand-ins home, between homes; and nodes that lose what they had
//! not synced (rules D2, D3, H1, H3).

use super::state::{Message, State};
use super::{HOMES, Lives, NODES, Step};

impl Lives {
    pub(super) fn move_copies(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for message in state.messages.iter() {
            if state.may_lose(message.to) {
                let mut after = *state;
                self.merge(&mut after, message);
                if !self.rules.answers_synced {
                    self.answer(state, &mut after, message);
                }
                next.push((Step::DeliverUnsynced(*message), after));
            }
            let mut after = *state;
            self.merge(&mut after, message);
            self.sync(&mut after, message.to);
            self.answer(state, &mut after, message);
            next.push((Step::Deliver(*message), after));
        }
        self.repair(state, next);
        self.hand_over(state, next);
        for node in (0..NODES).filter(|node| state.may_lose(*node)) {
            if let Some(disk) = state.on_disk[usize::from(node)] {
                let mut after = *state;
                after.crashes_left -= 1;
                after.start_uncleanly(node, disk, &self.rules);
                next.push((Step::StartUncleanly { node }, after));
            }
        }
    }

    fn merge(&self, state: &mut State, message: &Message) {
        let at = usize::from(message.to);
        state.not_synced_yet(message.to);
        state.copies[at] = state.copies[at].merge(message.record);
        if message.to >= HOMES {
            state.owed[at] |= 1 << message.for_home;
        }
    }

    /// The receiver tells the coordinator what it held beyond the write (rule D4), or the stand-in that it has the hint.
    fn answer(&self, before: &State, after: &mut State, message: &Message) {
        if let Some(of) = message.of {
            let held = before.copies[usize::from(message.to)];
            if held.versions & !message.record.context != 0 {
                let write = &mut after.history.writes[usize::from(of)];
                write.unknown = write.unknown.merge(held);
            }
            self.count(after, of, message.to, message.for_home);
        }
        if let Some(stand_in) = message.handed_by {
            let at = usize::from(stand_in);
            let exactly = after.copies[at].digest() == message.record.digest();
            if exactly || !self.rules.struck_off_exactly {
                after.owed[at] &= !(1 << message.to);
                if after.owed[at] == 0 || !self.rules.kept_while_owed {
                    after.drop_copy(stand_in, &self.rules);
                }
            }
        }
    }

    fn repair(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for from in 0..HOMES {
            let to = 1 - from;
            let record = state.copies[usize::from(from)];
            if !record.is_none() && record.digest() != state.copies[usize::from(to)].digest() {
                let message = Message {
                    to,
                    for_home: to,
                    handed_by: None,
                    of: None,
                    record,
                };
                let sent = self.send(state, message);
                next.extend(sent.into_iter().map(|after| (Step::Repair { from, to }, after)));
            }
        }
    }

    fn hand_over(&self, state: &State, next: &mut Vec<(Step, State)>) {
        for from in HOMES..NODES {
            let at = usize::from(from);
            for to in (0..HOMES).filter(|home| state.owed[at] & 1 << home != 0) {
                let message = Message {
                    to,
                    for_home: to,
                    handed_by: Some(from),
                    of: None,
                    record: state.copies[at],
                };
                let sent = self.send(state, message);
                next.extend(sent.into_iter().map(|after| (Step::HandOver { from, to }, after)));
            }
        }
    }
}
