//! What whoever asked for a write is told.

use super::{Progress, PutOp, unknown};
use crate::context::Context;
use crate::node::state::Step;
use crate::quorum::Vote;
use crate::request::{Answer, PutOutcome, WriteFault};

impl PutOp {
    pub(super) fn fail(&mut self, step: &mut Step<'_>, fault: WriteFault) -> Progress {
        if !self.answered {
            self.answered = true;
            self.origin.answer(step, unknown(fault));
        }
        Progress::Done
    }

    pub(super) fn answer_done(&mut self, step: &mut Step<'_>) {
        self.answered = true;
        let outcome = PutOutcome {
            dot: self.dot,
            context: self.context_to_tell(),
            etag: self.content.etag.clone(),
            siblings: self.copy.record.sibling_count() as u32,
            coordinator: step.state.me(),
            preference_list: self.tally.homes().collect(),
            written: self.tally.with(Vote::Yes).collect(),
            pending: self.tally.with(Vote::Asked).collect(),
            down: self.tally.with(Vote::Down).collect(),
            hinted: self.tally.stand_ins(Vote::Yes).collect(),
            clocks: self.clocks.clone(),
        };
        self.origin.answer(step, Answer::Put(outcome));
    }

    /// What the client has seen by now. Its own dot covers what came before it in its life: of that the client has seen
    /// nothing while it lives on as a sibling, or when it was replaced by another who saw it.
    pub(super) fn context_to_tell(&self) -> Context {
        let has_seen_all = self.blind || !self.settled && self.copy.record.sibling_count() <= 1;
        if has_seen_all {
            self.own_context.clone()
        } else {
            self.given.clone()
        }
    }
}
