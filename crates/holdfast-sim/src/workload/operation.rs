//! One request with its retries.

use bytes::Bytes;
use holdfast_core::ids::RequestId;
use holdfast_core::node::ClientToken;
use holdfast_core::request::{Answer, ClientRequest, ReadFault, Request, StateChange, UploadStep, WriteFault};

use super::{Context, WriteOf, fresh_request};
use crate::rng::Rng;
use crate::world::World;

/// For so long after it came up, a node draws most requests.
const FRESH_US: u64 = 500_000;

/// What a task wants asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The question.
    pub what: Request,
    /// Identity of the request, the same in every retry.
    pub request: RequestId,
    /// Which write it is.
    pub write: WriteOf,
    /// How long a node may take.
    pub deadline_ms: u32,
    /// The bytes that a chunk must have.
    pub bytes: Option<Bytes>,
}

impl Ask {
    /// A question that writes no version.
    pub(crate) fn read(cx: &mut Context<'_>, what: Request) -> Self {
        Self {
            what,
            request: fresh_request(cx.rng),
            write: None,
            deadline_ms: cx.rng.spread(800, 5_000) as u32,
            bytes: None,
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, matched through; a box would only be in the way"
)]
pub enum Outcome {
    /// With an answer that is not a failure, to the attempt begun then.
    Answered {
        /// The answer.
        answer: Answer,
        /// When the attempt was begun.
        asked_us: u64,
    },
    /// Without.
    GaveUp,
}

/// What an answer means to an operation.
pub(super) enum Verdict {
    Done,
    Failed { may_have_changed: bool },
}

/// A request under way, or between two attempts.
pub(super) struct Operation {
    pub(super) ask: Ask,
    pub(super) token: Option<ClientToken>,
    pub(super) attempts: u32,
    pub(super) attempts_max: u32,
    pub(super) asked_us: u64,
    /// Some attempt may have taken effect although no answer said so.
    pub(super) may_have_changed: bool,
    /// Failing breaks a promise.
    pub(super) must_succeed: bool,
    member: usize,
}

impl Operation {
    pub(super) fn new(ask: Ask, rng: &mut Rng, must_succeed: bool) -> Self {
        Self {
            ask,
            token: None,
            attempts: 0,
            attempts_max: if must_succeed { 1 } else { rng.between(1, 5) as u32 },
            asked_us: 0,
            may_have_changed: false,
            must_succeed,
            member: 0,
        }
    }

    /// Where the next attempt goes: often to whoever came up last, because it knows least; rarely where the last one went.
    pub(super) fn choose_member(&mut self, rng: &mut Rng, world: &World) -> usize {
        let count = world.members.len() as u64;
        let newest = (0..world.members.len())
            .max_by_key(|member| world.members[*member].up_since_us)
            .unwrap_or(0);
        let is_fresh = world.now_us < world.members[newest].up_since_us + FRESH_US;
        let to_newest = rng.per_mille(if is_fresh { 700 } else { 200 });
        let mut member = if to_newest { newest } else { rng.below(count) as usize };
        if self.attempts > 0 && member == self.member && rng.per_mille(800) {
            member = (member + 1) % world.members.len();
        }
        self.member = member;
        member
    }

    pub(super) fn describe(&self) -> String {
        let request = ClientRequest {
            request: self.ask.request,
            deadline_ms: self.ask.deadline_ms,
            what: self.ask.what.clone(),
        };
        format!("(attempt {}) {}", self.attempts, crate::describe::request(&request))
    }

    pub(super) fn verdict(&self, answer: &Answer) -> Verdict {
        match answer {
            Answer::WriteFailed(error) => Verdict::Failed {
                may_have_changed: error.state == StateChange::Unknown,
            },
            // That an upload is not there is an answer to whoever reads it.
            Answer::ReadFailed(ReadFault::NoSuchUpload) if self.reads_upload() => Verdict::Done,
            Answer::ReadFailed(_) => Verdict::Failed {
                may_have_changed: false,
            },
            _ => Verdict::Done,
        }
    }

    fn reads_upload(&self) -> bool {
        matches!(&self.ask.what, Request::Upload(upload) if matches!(upload.step, UploadStep::Read { .. }))
    }
}

/// Whether trying again would be answered the same.
pub(super) fn is_final(answer: &Answer) -> bool {
    matches!(answer, Answer::WriteFailed(error) if matches!(
        error.fault,
        WriteFault::TooManySiblings
            | WriteFault::RequestIdReused
            | WriteFault::NoSuchUpload
            | WriteFault::CommitDeadlinePassed
    ))
}
