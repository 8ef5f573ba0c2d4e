//! Whom a write is sent to: the homes, and whoever takes it where a home cannot (rules Q1, Q2, S2).

use alloc::vec::Vec;

use super::PutOp;
use crate::bucket::Settings;
use crate::coordinate::stand_ins::{StandIns, silent_and_needed};
use crate::ids::NodeId;
use crate::message::{Message, SideRow, Write, WritePurpose};
use crate::node::hints::Role;
use crate::node::state::{About, Step};
use crate::quorum::{Tally, Vote};

impl PutOp {
    /// Counts from the beginning: the same homes, and stand-ins as they are needed now.
    pub(super) fn count_anew(&mut self, step: &Step<'_>) {
        self.tally = self.tally.anew();
        self.asked_us = step.now.mono_us;
        self.abstaining.clear();
        self.healing.clear();
        ask_those_up(step, &mut self.tally, is_sloppy(&self.settings, &self.side));
        if is_sloppy(&self.settings, &self.side) {
            let own = match &self.role {
                Role::Home => &[][..],
                Role::StandIn(owes) => owes,
            };
            self.stand_ins = StandIns::of(step, self.place.partition, &mut self.tally, own);
        }
    }

    /// Begins a round. Where a silent home would be waited for, somebody stands in for it from the beginning.
    pub(super) fn ask_first(&mut self, step: &mut Step<'_>) {
        self.ask_all(step);
        if is_sloppy(&self.settings, &self.side) {
            let silent = silent_and_needed(step, &self.tally);
            self.seat_stand_ins(step, &silent);
        }
    }

    pub(super) fn ask_all(&self, step: &mut Step<'_>) {
        let me = step.state.me();
        for node in self.tally.asked().into_iter().filter(|node| *node != me) {
            self.send_to(step, node);
        }
    }

    /// Asks stand-ins for homes with this vote for which nobody stands in yet.
    pub(super) fn ask_stand_ins(&mut self, step: &mut Step<'_>, instead_of: Vote) {
        if !is_sloppy(&self.settings, &self.side) {
            return;
        }
        let vacant = self.tally.vacant(instead_of);
        self.seat_stand_ins(step, &vacant);
    }

    pub(super) fn seat_stand_ins(&mut self, step: &mut Step<'_>, homes: &[NodeId]) {
        let (me, partition) = (step.state.me(), self.place.partition);
        for node in self.stand_ins.seat(step, partition, &mut self.tally, homes) {
            if node == me {
                self.owe_more(step);
            } else {
                self.send_to(step, node);
            }
        }
    }

    /// This node stands in for more homes than before: its hint must say so, on its disk, before that counts (rules Q1, H1).
    pub(super) fn owe_more(&mut self, step: &mut Step<'_>) {
        let me = step.state.me();
        let owes = self.stand_ins.owed_by(me);
        match step.merge_hint(&self.place, &self.copy, &owes) {
            Ok(merged) => self.wait_for_own(step, merged.seq),
            Err(_) => self.tally.set(me, Vote::No),
        }
        self.role = Role::StandIn(owes);
    }

    /// Homes that abstain stand in for themselves, where nobody else can (rule S2): a write is never refused while nodes can be
    /// reached.
    pub(super) fn ask_abstaining(&mut self, step: &mut Step<'_>) {
        let vacant = self.tally.vacant(Vote::No);
        for home in core::mem::take(&mut self.abstaining) {
            if vacant.contains(&home) {
                self.stand_ins.seat_itself(&mut self.tally, home);
                self.send_to(step, home);
            }
        }
    }

    /// Homes that heal their copies are waited for, where nobody else can take the write (rule D2).
    pub(super) fn wait_for_healing(&mut self) {
        for home in core::mem::take(&mut self.healing) {
            self.tally.ask_again(home);
        }
    }

    pub(super) fn send_to(&self, step: &mut Step<'_>, home: NodeId) {
        let write = Write {
            op: self.id,
            place: self.place.clone(),
            own_context: self.own_context.clone(),
            copy: self.copy.clone(),
            side: self.side.clone(),
            purpose: WritePurpose::Commit,
            stands_for: self.stand_ins.owed_by(home),
        };
        let left_ms = (self.deadline_us.saturating_sub(step.now.mono_us) / 1000) as u32;
        let about = About {
            settings_version: self.settings.version,
            request: self.request,
            deadline_ms: left_ms,
            content_ms: Some(self.content_ms),
        };
        step.send(home, Message::Write(write), about);
    }
}

/// Whether stand-ins may take part. Rows of uploads are for homes only.
pub(super) fn is_sloppy(settings: &Settings, side: &[SideRow]) -> bool {
    settings.sloppy && side.is_empty()
}

/// Notes which homes can be asked. This node counts as a stand-in for itself at most, if its disk may have forgotten what it
/// acknowledged (rules S1, S2).
pub(super) fn ask_those_up(step: &Step<'_>, tally: &mut Tally, is_sloppy: bool) {
    let me = step.state.me();
    if step.state.abstains() && tally.get(me).is_some() {
        tally.set(me, Vote::No);
        if is_sloppy {
            tally.seat(me, me);
        }
    }
    for home in tally.homes().collect::<Vec<_>>() {
        let vote = if step.state.is_up(home) {
            Vote::Asked
        } else {
            Vote::Down
        };
        tally.set(home, vote);
    }
}
