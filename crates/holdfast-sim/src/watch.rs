//! The one who watches: sees every step of every node and every answer to every client, and asks the checkers.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::context::Context;
use holdfast_core::ids::{ActorId, Dot, NodeId, RequestId};
use holdfast_core::message::Message;
use holdfast_core::node::{Input, Node};
use holdfast_core::record::Record;
use holdfast_core::record::Version;
use holdfast_core::request::{ClientRequest, Request};
use holdfast_core::storage::Space;
use holdfast_core::wire::record::decode_row;

use crate::checkers::{Promise, Violation, contexts, dots, durable, forgotten, lives, retries};
use crate::coverage::{Coverage, Reached};
use crate::trace::Trace;
use crate::truth::{KeyIx, NodeIx, Truth, WriteIx};
use crate::world::RowChange;

/// More than this many violations of one seed are not told apart; the first ones matter.
const VIOLATIONS_MAX: usize = 24;

/// What made a node take a step, as far as checkers care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A client asked for this write.
    Asked(RequestId),
    /// A node handed it over.
    Handed(RequestId, NodeId),
    /// A node that handed a write over still waits for it, and so it begins.
    Granted(NodeId),
    /// Anything else.
    Other,
}

impl Cause {
    /// Of an input that a node is about to take.
    #[must_use]
    pub fn of(input: &Input, node: &Node) -> Self {
        match input {
            Input::Client(_, request) if is_write(request) => Self::Asked(request.request),
            Input::Peer(by, envelope) => match &envelope.message {
                Message::Forward { request, .. } if is_write(request) => Self::Handed(request.request, *by),
                Message::ClaimReply { op, .. } if node.begins_when_granted(*op) => Self::Granted(*by),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    /// The write that was asked for.
    #[must_use]
    pub const fn request(self) -> Option<RequestId> {
        match self {
            Self::Asked(request) | Self::Handed(request, _) => Some(request),
            Self::Granted(_) | Self::Other => None,
        }
    }
}

const fn is_write(request: &ClientRequest) -> bool {
    matches!(request.what, Request::Put(_) | Request::Upload(_))
}

/// Truth, counts, trace, and what was found wrong.
#[derive(Debug)]
pub struct Watch {
    /// What really happened.
    pub truth: Truth,
    /// What was reached.
    pub coverage: Coverage,
    /// What happened, in lines.
    pub trace: Trace,
    /// What was found wrong.
    pub violations: Vec<Violation>,
    /// Hand-overs of writes that were seen, to tell the second from the first.
    pub forwards: BTreeSet<(usize, RequestId)>,
    /// Whose disk has rotted.
    pub rotting: Option<NodeId>,
    /// When each node was last told that some other cannot be reached, or cannot speak for its disk.
    pub gave_up_us: BTreeMap<NodeId, u64>,
}

impl Watch {
    /// Watches so many nodes.
    #[must_use]
    pub fn new(nodes: usize, trace: Trace) -> Self {
        Self {
            truth: Truth::new(nodes),
            coverage: Coverage::default(),
            trace,
            violations: Vec::new(),
            forwards: BTreeSet::new(),
            rotting: None,
            gave_up_us: BTreeMap::new(),
        }
    }

    /// Notes a broken promise.
    pub fn violated(&mut self, now_us: u64, promise: Promise, what: String) {
        self.trace.line(now_us, || format!("VIOLATION {promise:?}: {what}"));
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation {
                promise,
                at_us: now_us,
                what,
            });
        }
    }

    /// Notes what a checker found, if anything.
    pub fn judge(&mut self, now_us: u64, promise: Promise, found: Option<String>) {
        if let Some(what) = found {
            self.violated(now_us, promise, what);
        }
    }

    /// A node wrote the row of an upload, or forgot it.
    fn upload_written(&mut self, now_us: u64, node: NodeIx, change: &RowChange) {
        if change.after.is_none() {
            self.coverage.reach(Reached::UploadsForgotten);
        }
        let found = forgotten::check_upload(&mut self.truth.uploads_forgotten, node, change);
        self.judge(now_us, Promise::ForgottenStays, found);
    }

    /// A node's copy knows less than it knew. A home forgets lives that are over, and changes nothing else with it.
    fn lives_forgotten(
        &mut self,
        now_us: u64,
        node: NodeIx,
        key: KeyIx,
        (before, after): (&Record, &Record),
        space: Space,
    ) {
        if space != Space::Rows || before.versions() != after.versions() {
            let place = &self.truth.of(key).place;
            let what = format!("n{} forgot what it knew of {:?} with a write", node.0, place.key);
            return self.violated(now_us, Promise::HonestContexts, what);
        }
        self.coverage.reach(Reached::LivesForgotten);
        self.truth.forget_lives(key, before, after);
    }

    /// A node wrote a row.
    pub fn row_written(&mut self, now_us: u64, node: NodeIx, actor: ActorId, cause: Cause, change: &RowChange) {
        if change.space == Space::Uploads {
            return self.upload_written(now_us, node, change);
        }
        let Some(key) = self.truth.key_of_row(&change.key) else {
            let what = format!("n{} wrote a row that no client asked for: {:02x?}", node.0, change.key);
            return self.violated(now_us, Promise::OneDotOneValue, what);
        };
        let before = change.before.as_ref().and_then(|row| decode_row(row).ok());
        if change.space == Space::Hints && change.after.is_none() {
            // All homes it was owed to have confirmed it.
            self.coverage.reach(Reached::HintsSettled);
            return self.truth.copies[node.0].written(change.seq, key, Context::new());
        }
        if let (None, Some((_, before))) = (&change.after, &before)
            && before.is_tombstone()
        {
            self.coverage.reach(Reached::TombstonesForgotten);
            self.truth.forget(key, before);
            return self.truth.copies[node.0].written(change.seq, key, Context::new());
        }
        let Some(Ok((local, after))) = change.after.as_ref().map(decode_row) else {
            let what = format!(
                "n{} removed or garbled its row of {:?}",
                node.0,
                self.truth.of(key).place.key
            );
            return self.violated(now_us, Promise::AckedKept, what);
        };
        let before = before.map(|(_, record)| record);
        if change.space == Space::Hints {
            let what = match &before {
                None => Reached::HintsStored,
                Some(before) if *before == after => Reached::HintsStruckOff,
                Some(_) => Reached::HintsChanged,
            };
            self.coverage.reach(what);
        }
        for version in after.versions() {
            if before.as_ref().is_some_and(|before| before.find(version.dot).is_some()) {
                continue;
            }
            if self.truth.of(key).by_dot.contains_key(&version.dot) {
                let found = dots::check_version(&self.truth, key, version);
                self.judge(now_us, Promise::OneDotOneValue, found);
                continue;
            }
            let found = dots::check_new(&mut self.truth, key, version, actor, node);
            self.judge(now_us, Promise::OneDotOneValue, found);
            let found = lives::check_issue(&self.truth, key, before.as_ref(), version.dot);
            self.judge(now_us, Promise::LifeCovers, found);
            let Some(write) = self.truth.write_of(version.request) else {
                continue;
            };
            let found = retries::check_issue(&self.truth, key, before.as_ref(), version, cause);
            self.judge(now_us, Promise::OneWriteOneVersion, found);
            if change.space == Space::Hints {
                self.coverage.reach(Reached::StandInCoordinated);
            }
            self.count_issue(now_us, key, write, version.dot, cause);
            self.truth.issue(key, write, version.dot, version.content.clone());
            self.trace.line(now_us, || {
                format!(
                    "n{} issues {} of {:?} for {} (life {})",
                    node.0,
                    dots::name(version.dot),
                    cause,
                    version.request,
                    local.life
                )
            });
        }
        if let Some(before) = &before
            && !after.context().includes(before.context())
        {
            self.lives_forgotten(now_us, node, key, (before, &after), change.space);
        }
        let found = forgotten::check_copy(&self.truth, key, before.as_ref(), &after);
        self.judge(now_us, Promise::ForgottenStays, found);
        let found = contexts::check_copy(&self.truth, key, &after);
        self.judge(now_us, Promise::HonestContexts, found);
        if after.sibling_count() > 1 {
            self.coverage.reach(Reached::Siblings);
        }
        self.truth.copies[node.0].written(change.seq, key, after.context().clone());
    }

    /// The homes of a key of which a node has just made the first dot of a write, if it has.
    #[must_use]
    pub fn begun(&self, actor: ActorId, change: &RowChange) -> Option<&[NodeId]> {
        if change.space != Space::Rows {
            return None;
        }
        let key = self.truth.key_of_row(&change.key)?;
        let (_, after) = decode_row(change.after.as_ref()?).ok()?;
        let of = self.truth.of(key);
        let is_first = |version: &Version| {
            let write = self
                .truth
                .write_of(version.request)
                .map(|write| self.truth.write(write));
            let earlier = write.is_some_and(|write| write.dots.iter().any(|dot| of.dots[dot.0].dot.actor == actor));
            version.dot.actor == actor && !of.by_dot.contains_key(&version.dot) && !earlier
        };
        after.versions().iter().any(is_first).then_some(&of.homes)
    }

    /// The hint that a change found there is owed to a home no longer.
    pub fn hint_struck_off(&mut self, now_us: u64, change: &RowChange, home: NodeIx) {
        let hint = change.before.as_ref().and_then(|row| decode_row(row).ok());
        let key = self.truth.key_of_row(&change.key);
        if let (Some((_, hint)), Some(key)) = (hint, key) {
            let found = durable::check_struck_off(&self.truth, key, &hint, home);
            self.judge(now_us, Promise::HintsKept, found);
        }
    }

    fn count_issue(&mut self, now_us: u64, key: KeyIx, write: WriteIx, dot: Dot, cause: Cause) {
        let truth = self.truth.of(key);
        let earlier = self.truth.write(write).dots.last().map(|index| truth.dots[index.0].dot);
        if cause.request().is_none() && earlier.is_some_and(|earlier| earlier.actor == dot.actor) {
            self.coverage.reach(Reached::SecondRound);
        }
        let of_write = self.truth.write(write);
        let acked_us = of_write.acked.as_ref().map(|acked| acked.at_us);
        let is_later = |other: &WriteIx| Some(self.truth.write(*other).invoked_us) > acked_us;
        if acked_us.is_some() && truth.acked.iter().any(is_later) {
            self.coverage.reach(Reached::DoubleEffects);
            let request = of_write.request;
            self.trace.line(now_us, || {
                format!("DOUBLE EFFECT of {request} by {cause:?}, acknowledged at {acked_us:?}")
            });
        }
        let mut lives = truth.issued.keys().filter(|(actor, _)| *actor == dot.actor);
        if !truth.issued.contains_key(&(dot.actor, dot.life)) && lives.next().is_some() {
            self.coverage.reach(Reached::LifeRenewed);
        }
    }
}
