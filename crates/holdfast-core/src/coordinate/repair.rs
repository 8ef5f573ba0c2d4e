//! Making the copies of one key equal: after a read that found one stale (Dynamo §5, read repair), after a comparison
//! that found a difference, and when this node's own copy is damaged.
//!
//! Reads every home that is up, merges, and writes the result to whoever differs. Never blind: it adds no version and
//! forgets none, so it may run at any time, any number of times, on any node that is a home.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::put::repair_write;
use super::{Coordinate, Progress};
use crate::event::ClusterEvent;
use crate::ids::{Dot, NodeId};
use crate::message::{Copy, Message, OpId, ReadResult, Refusal};
use crate::node::asked::KeyEnded;
use crate::node::state::{About, Step};
use crate::place::Place;
use crate::record::Record;
use crate::request::WantedBodies;
use crate::storage::{Batch, ReadError};

/// How long homes are waited for, in milliseconds; whoever is slower is repaired another time.
const PATIENCE_MS: u64 = 3_000;
/// Repairs in flight at most that comparisons begin, and whoever was asked to repair everything; beyond it they wait.
pub(super) const REPAIRS_MAX: usize = 64;

/// A repair in flight.
pub(crate) struct RepairOp {
    id: OpId,
    place: Place,
    n: u8,
    waiting: Vec<NodeId>,
    held: Vec<(NodeId, Record)>,
    bodies: Vec<(Dot, Bytes)>,
    own_damaged: bool,
    /// Other homes that could say what they hold.
    answered: usize,
    /// Other homes whose copies are damaged, too: nobody can have anything from them.
    damaged: Vec<NodeId>,
    /// Homes that were sent the merged record and have not confirmed it.
    sent: Vec<NodeId>,
    /// Some home was sent what it lacked, or this node's own copy written anew.
    has_written: bool,
    /// Some home that was up did not answer or confirm, or what is damaged here could not be replaced.
    is_partial: bool,
    deadline_us: u64,
    /// When it began, in Unix milliseconds: nothing that it writes was read earlier (rule G2).
    content_ms: u64,
}

impl RepairOp {
    /// Begins a repair unless this key is being repaired already.
    pub(crate) fn spawn(step: &mut Step<'_>, place: &Place, n: u8) -> bool {
        // What an old copy of a disk holds must not reach the others (rule S1).
        if !step.state.standing.is_vouched_for() || !step.state.repairing.insert(place.clone()) {
            return false;
        }
        let op = Self {
            id: step.state.new_op(),
            place: place.clone(),
            n,
            waiting: Vec::new(),
            held: Vec::new(),
            bodies: Vec::new(),
            own_damaged: false,
            answered: 0,
            damaged: Vec::new(),
            sent: Vec::new(),
            has_written: false,
            is_partial: false,
            deadline_us: step.now.after_ms(PATIENCE_MS),
            content_ms: step.now.wall_ms,
        };
        step.spawned.push(Box::new(op));
        true
    }

    fn add(&mut self, node: NodeId, record: Record, bodies: Vec<(Dot, Bytes)>) {
        for (dot, body) in bodies {
            let sound = record.find(dot).is_some_and(|version| version.content.is_body(&body));
            if sound && !self.bodies.iter().any(|(own, _)| *own == dot) {
                self.bodies.push((dot, body));
            }
        }
        self.held.push((node, record));
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        if self.waiting.is_empty() {
            self.equalise(step)
        } else {
            Progress::Until(self.deadline_us)
        }
    }

    /// Writes the merged record to every home that answered and differs.
    fn equalise(&mut self, step: &mut Step<'_>) -> Progress {
        if step.is_outlived(self.content_ms) {
            self.is_partial = true;
            return self.over(step);
        }
        let mut merged = Record::new();
        self.held.iter().for_each(|(_, record)| {
            merged.merge(record);
        });
        let bodies: Vec<(Dot, Bytes)> = self
            .bodies
            .iter()
            .filter(|(dot, _)| merged.find(*dot).is_some())
            .cloned()
            .collect();
        let complete = merged.versions().iter().all(|version| {
            version.content.body_length().is_none() || bodies.iter().any(|(dot, _)| *dot == version.dot)
        });
        if merged.context().is_empty() || !complete {
            self.is_partial |= self.own_damaged || !complete;
            return self.over(step);
        }
        let me = step.state.me();
        let copy = Copy {
            record: merged.clone(),
            bodies,
        };
        if self.own_damaged {
            let is_replaced = self.replace_damaged(step, &copy);
            self.has_written |= is_replaced;
            self.is_partial |= !is_replaced;
        }
        let held = core::mem::take(&mut self.held);
        let stale: Vec<NodeId> = held
            .iter()
            .filter(|(_, record)| *record != merged)
            .map(|(node, _)| *node)
            .collect();
        if !stale.is_empty() {
            self.has_written = true;
            let (of, nodes) = (self.place.object_key(), stale.clone());
            step.tell(ClusterEvent::Repaired { of, nodes });
        }
        for node in &stale {
            if *node == me {
                self.is_partial |= step.merge_copy(&self.place, &copy, Batch::default()).is_err();
            } else {
                let write = repair_write(self.id, self.place.clone(), merged.clone(), copy.bodies.clone());
                step.send(*node, Message::Write(write), About::as_of(self.content_ms));
                self.sent.push(*node);
            }
        }
        if self.sent.is_empty() {
            self.over(step)
        } else {
            Progress::Until(self.deadline_us)
        }
    }

    /// A damaged copy counts for nothing until it was read from all the others (rule D2). Whether it was. From those that are
    /// damaged themselves nothing can be had, however long it waits: then what the rest hold must do, and that is told.
    fn replace_damaged(&mut self, step: &mut Step<'_>, copy: &Copy) -> bool {
        let others = step.state.layout().homes_count(self.n).saturating_sub(1);
        let is_known = self.answered > 0 && self.answered + self.damaged.len() >= others;
        if !is_known || step.write_over_damage(&self.place, copy).is_err() {
            return false;
        }
        if !self.damaged.is_empty() {
            let nodes = core::mem::take(&mut self.damaged);
            let of = self.place.object_key();
            step.tell(ClusterEvent::CopiesLost { of, nodes });
        }
        true
    }

    fn over(&self, step: &mut Step<'_>) -> Progress {
        step.state.repairing.remove(&self.place);
        let ended = match (self.is_partial || !self.sent.is_empty(), self.has_written) {
            (true, _) => KeyEnded::Failed,
            (false, true) => KeyEnded::Healed,
            (false, false) => KeyEnded::Equal,
        };
        step.state.records_repaired += u64::from(ended == KeyEnded::Healed);
        step.state.asked.key_ended(&self.place, ended);
        Progress::Done
    }
}

impl Step<'_> {
    /// Begins a repair of a key; if somebody asked for everything to be repaired, that waits for it.
    pub(crate) fn repair_awaited(&mut self, place: &Place) {
        self.state.asked.await_key(place);
        let n = self.state.n_of(place.bucket);
        if !RepairOp::spawn(self, place, n) && !self.state.repairing.contains(place) {
            self.state.asked.key_ended(place, KeyEnded::Failed);
        }
    }
}

impl Coordinate for RepairOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        let me = step.state.me();
        let homes: Vec<NodeId> = step.state.layout().homes(self.place.partition, self.n).collect();
        for home in homes {
            if home == me {
                let own = step.read_copy(&self.place).and_then(|copy| {
                    let record = copy.map(|copy| copy.record).unwrap_or_default();
                    let bodies = step.read_bodies(&self.place, &record, WantedBodies::All)?;
                    Ok((record, bodies))
                });
                match own {
                    Ok((record, bodies)) => self.add(me, record, bodies),
                    Err(ReadError::Corrupt) => self.own_damaged = true,
                    Err(ReadError::Io | ReadError::Overloaded) => {
                        self.is_partial = true;
                        return self.over(step);
                    }
                }
            } else if step.state.is_up(home) {
                let place = self.place.clone();
                let message = Message::Read {
                    op: self.id,
                    place,
                    known: None,
                    bodies: WantedBodies::All,
                    to_merge: true,
                };
                step.send(home, message, About::default());
                self.waiting.push(home);
            }
        }
        self.judge(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        match message {
            Message::ReadReply { result, .. } if self.waiting.contains(&from) => {
                self.waiting.retain(|node| *node != from);
                match result {
                    Ok(ReadResult::Copy(Copy { record, bodies })) => {
                        self.answered += 1;
                        self.add(from, record, bodies);
                    }
                    Ok(ReadResult::Absent | ReadResult::Same) => {
                        self.answered += 1;
                        self.add(from, Record::new(), Vec::new());
                    }
                    // Its copy is its own to heal: it cannot be had from it, nor compared with.
                    Err(Refusal::Damaged) => self.damaged.push(from),
                    Err(_) => self.is_partial = true,
                }
                self.judge(step)
            }
            Message::WriteReply { result, .. } => {
                self.is_partial |= result.is_err() && self.sent.contains(&from);
                self.sent.retain(|node| *node != from);
                if self.sent.is_empty() {
                    self.over(step)
                } else {
                    Progress::Until(self.deadline_us)
                }
            }
            _ => Progress::Until(self.deadline_us),
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if self.waiting.is_empty() {
            return self.over(step);
        }
        // Some home did not answer: make the others equal, then stop waiting.
        self.waiting.clear();
        self.is_partial = true;
        self.deadline_us = step.now.after_ms(PATIENCE_MS);
        self.equalise(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        let waited = self.waiting.len() + self.sent.len();
        self.waiting.retain(|waiting| *waiting != node);
        self.sent.retain(|sent| *sent != node);
        if waited == self.waiting.len() + self.sent.len() {
            return Progress::Until(self.deadline_us);
        }
        self.is_partial = true;
        if self.held.is_empty() && self.waiting.is_empty() {
            self.over(step)
        } else {
            self.judge(step)
        }
    }
}
