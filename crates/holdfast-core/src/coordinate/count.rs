//! Objects and bytes of a bucket: a sum over its partitions, each told by one home. Approximate while replicas differ.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Coordinate, Origin, Progress, timed_out_read};
use crate::bucket::Settings;
use crate::ids::{NodeId, Partition};
use crate::message::{Message, OpId};
use crate::node::state::{About, Step};
use crate::place::{partition_of, shard_position};
use crate::request::{Answer, Count, ReadFault};

/// A count in flight.
pub(crate) struct CountOp {
    id: OpId,
    origin: Origin,
    settings: Settings,
    /// Partitions still to be counted.
    partitions: Vec<Partition>,
    /// Who was asked for which of them.
    asked: BTreeMap<NodeId, Vec<Partition>>,
    /// Nodes that did not answer as hoped.
    avoid: Vec<NodeId>,
    sum: Count,
    deadline_us: u64,
}

impl CountOp {
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, settings: Settings) -> Self {
        let bits = step.state.layout().partition_bits();
        let mut partitions: Vec<Partition> = (0..settings.shards)
            .map(|shard| partition_of(shard_position(settings.id, shard, settings.shards), bits))
            .collect();
        partitions.sort_unstable();
        partitions.dedup();
        Self {
            id: step.state.new_op(),
            origin,
            settings,
            partitions,
            asked: BTreeMap::new(),
            avoid: Vec::new(),
            sum: Count::default(),
            deadline_us: step.now.after_ms(u64::from(deadline_ms)),
        }
    }

    /// Counts what this node can, asks others for the rest.
    fn ask(&mut self, step: &mut Step<'_>) -> Progress {
        let me = step.state.me();
        let mut questions: BTreeMap<NodeId, Vec<Partition>> = BTreeMap::new();
        for partition in core::mem::take(&mut self.partitions) {
            let mut homes: Vec<NodeId> = step.state.layout().homes(partition, self.settings.n).collect();
            homes.sort_by_key(|home| *home != me);
            let home = homes
                .into_iter()
                .find(|home| step.state.is_up(*home) && !self.avoid.contains(home));
            let Some(home) = home else {
                let fault = ReadFault::Unavailable {
                    needed: 1,
                    reached: 0,
                    down: self.avoid.clone(),
                };
                self.origin.answer(step, Answer::ReadFailed(fault));
                return Progress::Done;
            };
            questions.entry(home).or_default().push(partition);
        }
        if let Some(own) = questions.remove(&me) {
            match step.serve_count(self.settings.id, &own) {
                Ok(count) => self.sum += count,
                Err(_) => {
                    self.avoid.push(me);
                    self.partitions = own;
                    return self.ask(step);
                }
            }
        }
        for (home, partitions) in questions {
            let bucket = self.settings.id;
            let message = Message::Count {
                op: self.id,
                bucket,
                partitions: partitions.clone(),
            };
            step.send(home, message, About::default());
            self.asked.insert(home, partitions);
        }
        self.judge(step)
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        if self.asked.is_empty() {
            self.origin.answer(step, Answer::Counted(self.sum));
            return Progress::Done;
        }
        Progress::Until(step.now.after_ms(super::RESEND_MS).min(self.deadline_us))
    }

    /// Asks somebody else for what this node was asked.
    fn give_up_on(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        let Some(partitions) = self.asked.remove(&node) else {
            return self.judge(step);
        };
        self.avoid.push(node);
        self.partitions = partitions;
        self.ask(step)
    }
}

impl Coordinate for CountOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        match message {
            Message::CountReply { result: Ok(count), .. } if self.asked.remove(&from).is_some() => {
                self.sum += count;
                self.judge(step)
            }
            Message::CountReply { result: Err(_), .. } => self.give_up_on(step, from),
            _ => self.judge(step),
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            self.origin.answer(step, Answer::ReadFailed(timed_out_read(1, 0)));
            return Progress::Done;
        }
        match self.asked.keys().next().copied() {
            Some(slow) => self.give_up_on(step, slow),
            None => self.judge(step),
        }
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        self.give_up_on(step, node)
    }
}
