//! Listing (rule Q4): R homes of every index shard, merged into one page.
//!
//! One copy of a shard is walked, this node's own if it has one; the others are told how far it came and what it found,
//! and answer with rows only when theirs differ. Rounds go on until the page is full. Each round has two stages under
//! fresh operation ids, so a late reply to an earlier stage finds nobody.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::hint_holders::{HOLDERS_MAX, holders_of};
use super::page::{CopyWalk, PageMaker, ShardFeed, first_key, merge_walks};
use super::repair::RepairOp;
use super::{Coordinate, Origin, Progress, RESEND_MS, read_fault, timed_out_read};
use crate::ids::{NodeId, Partition};
use crate::message::{Digest, Message, OpId, Refusal, ShardCursor, ShardRows, Walk, WalkEnd};
use crate::node::state::{About, Step};
use crate::node::walk::rows_digest;
use crate::place::{Place, partition_of, shard_position};
use crate::request::{Answer, List, Page, ReadFault};

/// Rows looked at per shard and round at most, so that a reply stays small and a step short even where most rows are
/// deletions.
const ROWS_PER_SHARD_MAX: u32 = 4_000;
/// Differing keys repaired per listing at most.
const REPAIRS_MAX: usize = 16;

/// One shard's walk in the present round.
struct Round {
    /// Index of the shard.
    shard: usize,
    /// Whom to ask, the first of which is walked first.
    copies: Vec<NodeId>,
    /// Of copies that differ from the first, and the first.
    walks: Vec<CopyWalk>,
    /// Copies that have answered.
    heard: usize,
    /// How far the first copy came, and what it found.
    known: Option<(WalkEnd, Digest)>,
}

/// A listing in flight.
pub(crate) struct ListOp {
    id: OpId,
    origin: Origin,
    list: List,
    partitions: Vec<Partition>,
    feeds: Vec<ShardFeed>,
    page: PageMaker,
    round: Vec<Round>,
    /// Who was asked for which of the round's shards.
    asked: BTreeMap<NodeId, Vec<usize>>,
    /// Nodes that proved slow or damaged; asked last.
    avoid: Vec<NodeId>,
    /// Homes that cannot speak for a shard's partition (rule S2): as good as away.
    abstaining: Vec<(Partition, NodeId)>,
    /// Such nodes of whom only hints were wanted; asked no more.
    unheard: Vec<NodeId>,
    repairs: usize,
    /// When they were asked.
    asked_us: u64,
    deadline_us: u64,
}

impl ListOp {
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, list: List) -> Box<Self> {
        let bits = step.state.layout().partition_bits();
        let settings = list.settings;
        let partitions = (0..settings.shards)
            .map(|shard| partition_of(shard_position(settings.id, shard, settings.shards), bits))
            .collect();
        let first = first_key(&list.after, &list.prefix, &list.delimiter);
        let feeds = (0..settings.shards).map(|_| {
            let mut feed = ShardFeed::new(first.clone().unwrap_or_default());
            feed.exhausted = first.is_none();
            feed
        });
        Box::new(Self {
            id: step.state.new_op(),
            origin,
            partitions,
            feeds: feeds.collect(),
            page: PageMaker::new(list.prefix.clone(), list.delimiter.clone(), list.count_max as usize),
            list,
            round: Vec::new(),
            asked: BTreeMap::new(),
            avoid: Vec::new(),
            abstaining: Vec::new(),
            unheard: Vec::new(),
            repairs: 0,
            asked_us: step.now.mono_us,
            deadline_us: step.now.after_ms(u64::from(deadline_ms)),
        })
    }

    /// Fills the page from what is known, and begins a round for shards that ran dry.
    fn advance(&mut self, step: &mut Step<'_>) -> Progress {
        loop {
            if let Some(page) = self.page.fill(&mut self.feeds) {
                self.origin.answer(step, Answer::Page(page));
                return Progress::Done;
            }
            let dry: Vec<usize> = (0..self.feeds.len()).filter(|at| self.feeds[*at].is_dry()).collect();
            if let Some(progress) = self.begin_round(step, dry) {
                return progress;
            }
        }
    }

    /// Walks the first copies of some shards. `None` when that was all local and the page can go on.
    fn begin_round(&mut self, step: &mut Step<'_>, shards: Vec<usize>) -> Option<Progress> {
        self.id = step.state.new_op();
        self.asked.clear();
        self.round.clear();
        for shard in shards {
            match self.copies_of(step, shard) {
                Ok(copies) => self.round.push(Round {
                    shard,
                    copies,
                    walks: Vec::new(),
                    heard: 0,
                    known: None,
                }),
                Err(fault) => return Some(self.fail(step, fault)),
            }
        }
        let (me, walk) = (step.state.me(), self.walk());
        for at in 0..self.round.len() {
            let first = self.round[at].copies[0];
            if first != me {
                self.asked.entry(first).or_default().push(at);
                continue;
            }
            match step.walk_rows(&walk, &self.cursor(at), None) {
                Ok(walked) => {
                    self.round[at].known = Some((walked.end.clone(), walked.digest));
                    let by_home = self.is_home(step, at, me);
                    let round = &mut self.round[at];
                    round.walks.push(CopyWalk {
                        rows: walked.rows,
                        end: walked.end,
                        by_home,
                    });
                    round.heard += 1;
                }
                Err(refusal) => return Some(self.refused(step, me, &[at], refusal)),
            }
        }
        self.send_questions(step);
        if self.asked.is_empty() {
            self.ask_others(step)
        } else {
            Some(self.next_wake(step))
        }
    }

    /// Second stage: the other copies compare with the first.
    fn ask_others(&mut self, step: &mut Step<'_>) -> Option<Progress> {
        self.id = step.state.new_op();
        self.asked.clear();
        for at in 0..self.round.len() {
            for copy in self.round[at].copies[1..].iter().copied() {
                self.asked.entry(copy).or_default().push(at);
            }
        }
        let me = step.state.me();
        if let Some(own) = self.asked.remove(&me) {
            let walk = self.walk();
            for at in own {
                match step.walk(&walk, &self.cursor(at)) {
                    Ok(rows) => self.add(step, at, me, rows),
                    Err(refusal) => return Some(self.refused(step, me, &[at], refusal)),
                }
            }
        }
        self.send_questions(step);
        if !self.asked.is_empty() {
            return Some(self.next_wake(step));
        }
        self.end_round(step);
        None
    }

    /// All copies are heard: feeds the shards.
    fn end_round(&mut self, step: &mut Step<'_>) {
        for round in core::mem::take(&mut self.round) {
            let merged = merge_walks(round.walks, &self.list.prefix, &self.list.delimiter);
            for key in &merged.differing {
                if self.repairs < REPAIRS_MAX {
                    let (partition, bucket) = (self.partitions[round.shard], self.list.settings.id);
                    let place = Place {
                        partition,
                        bucket,
                        shard: round.shard as u16,
                        key: key.clone(),
                    };
                    self.repairs += usize::from(RepairOp::spawn(step, &place, self.list.settings.n));
                }
            }
            self.feeds[round.shard].feed(merged);
        }
    }

    fn is_home(&self, step: &Step<'_>, at: usize, node: NodeId) -> bool {
        let partition = self.partitions[self.round[at].shard];
        step.state.layout().is_home(node, partition, self.list.settings.n)
    }

    /// Whom to ask about a shard: R homes that are up, stand-ins where there are too few, and whoever holds hints.
    fn copies_of(&mut self, step: &Step<'_>, shard: usize) -> Result<Vec<NodeId>, ReadFault> {
        let (settings, needed) = (self.list.settings, self.needed(step));
        let layout = step.state.layout();
        let me = step.state.me();
        let (mut copies, down): (Vec<NodeId>, Vec<NodeId>) = layout
            .homes(self.partitions[shard], settings.n)
            .partition(|home| self.is_there(step, shard, *home));
        if settings.sloppy && copies.len() < needed {
            let members = layout.preference_list(self.partitions[shard]);
            let beyond = members.skip(layout.homes_count(settings.n));
            let up = beyond.filter(|node| self.is_there(step, shard, *node));
            copies.extend(up.take(needed - copies.len()));
            self.page.by_stand_ins = true;
        }
        if copies.len() < needed {
            let (needed, reached) = (needed as u8, copies.len() as u8);
            return Err(ReadFault::Unavailable { needed, reached, down });
        }
        copies.sort_by_key(|home| {
            let is_slow = self.avoid.contains(home) || step.state.is_silent(step.now, *home);
            (is_slow, *home != me)
        });
        copies.truncate(needed);
        self.add_holders(step, shard, &mut copies);
        Ok(copies)
    }

    /// Whether a node can be asked about a shard.
    fn is_there(&self, step: &Step<'_>, shard: usize, node: NodeId) -> bool {
        step.state.is_up(node) && !self.abstaining.contains(&(self.partitions[shard], node))
    }

    /// Copies of each shard that count.
    fn needed(&self, step: &Step<'_>) -> usize {
        let homes = step.state.layout().homes_count(self.list.settings.n);
        usize::from(self.list.settings.r).clamp(1, homes)
    }

    /// Nodes that gossip says hold hints for a shard's partition (rule Q3), this one among them. They do not count.
    fn add_holders(&self, step: &Step<'_>, shard: usize, copies: &mut Vec<NodeId>) {
        let (partition, n) = (self.partitions[shard], self.list.settings.n);
        let mut holders = holders_of(step, partition, n);
        holders.truncate(HOLDERS_MAX);
        let me = step.state.me();
        if step.state.hints.are_of(partition) && !step.state.layout().is_home(me, partition, n) {
            holders.push(me);
        }
        for node in holders {
            if self.is_there(step, shard, node) && !self.unheard.contains(&node) && !copies.contains(&node) {
                copies.push(node);
            }
        }
    }

    fn walk(&self) -> Walk {
        let shards = u32::from(self.list.settings.shards).max(1);
        let wanted = self.page.missing() as u32;
        // Keys spread evenly over shards, groups do not; a little more than the even share saves most second rounds.
        let live_max = (wanted / shards + wanted / shards / 8 + 8).min(wanted.max(1));
        Walk {
            bucket: self.list.settings.id,
            prefix: self.list.prefix.clone(),
            delimiter: self.list.delimiter.clone(),
            live_max,
            rows_max: ROWS_PER_SHARD_MAX,
        }
    }

    fn cursor(&self, at: usize) -> ShardCursor {
        let round = &self.round[at];
        ShardCursor {
            shard: round.shard as u16,
            partition: self.partitions[round.shard],
            from: self.feeds[round.shard].from.clone(),
            known: round.known.clone(),
        }
    }

    fn send_questions(&mut self, step: &mut Step<'_>) {
        self.asked_us = step.now.mono_us;
        for (node, rounds) in &self.asked {
            let shards = rounds.iter().map(|at| self.cursor(*at)).collect();
            let message = Message::List {
                op: self.id,
                walk: self.walk(),
                shards,
            };
            let about = About {
                settings_version: self.list.settings.version,
                ..About::default()
            };
            step.send(*node, message, about);
        }
    }

    fn add(&mut self, step: &Step<'_>, at: usize, from: NodeId, rows: ShardRows) {
        let by_home = self.is_home(step, at, from);
        let round = &mut self.round[at];
        round.heard += 1;
        match rows {
            // It holds what the first copy holds; that need not be merged twice.
            ShardRows::Same => {}
            ShardRows::Rows { rows, end } => {
                if round.known.is_none() {
                    round.known = Some((end.clone(), rows_digest(&rows)));
                }
                round.walks.push(CopyWalk { rows, end, by_home });
            }
        }
    }

    fn next_wake(&self, step: &Step<'_>) -> Progress {
        Progress::Until(step.now.after_ms(RESEND_MS).min(self.deadline_us))
    }

    /// Whether one of these shards counts on a node, which was not just asked for hints.
    fn counts(&self, step: &Step<'_>, node: NodeId, rounds: &[usize]) -> bool {
        let needed = self.needed(step);
        let counts = |at: &usize| self.round[*at].copies.iter().take(needed).any(|copy| *copy == node);
        rounds.iter().any(counts)
    }

    /// A node refused to answer about some of the round's shards.
    fn refused(&mut self, step: &mut Step<'_>, node: NodeId, rounds: &[usize], refusal: Refusal) -> Progress {
        if refusal != Refusal::Abstains {
            return self.avoid_and_retry(step, node, rounds);
        }
        let partitions = rounds.iter().map(|at| self.partitions[self.round[*at].shard]);
        self.abstaining.extend(partitions.map(|partition| (partition, node)));
        self.advance(step)
    }

    /// A node that was asked about some of the round's shards proved slow or damaged: others are asked.
    fn avoid_and_retry(&mut self, step: &mut Step<'_>, node: NodeId, rounds: &[usize]) -> Progress {
        if !self.counts(step, node, rounds) {
            self.unheard.push(node);
            return self.advance(step);
        }
        if self.avoid.contains(&node) && node == step.state.me() {
            return self.fail(step, ReadFault::Damaged);
        }
        self.avoid.push(node);
        self.advance(step)
    }

    fn fail(&self, step: &mut Step<'_>, fault: ReadFault) -> Progress {
        self.origin.answer(step, Answer::ReadFailed(fault));
        Progress::Done
    }
}

impl Coordinate for ListOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        if self.list.count_max == 0 {
            self.origin.answer(step, Answer::Page(Page::default()));
            return Progress::Done;
        }
        self.advance(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        let Message::ListReply { result, .. } = message else {
            return self.next_wake(step);
        };
        let Some(rounds) = self.asked.remove(&from) else {
            return self.next_wake(step);
        };
        match result {
            Ok(answers) if answers.len() == rounds.len() => {
                for (at, rows) in rounds.into_iter().zip(answers) {
                    self.add(step, at, from, rows);
                }
            }
            Ok(_) => return self.avoid_and_retry(step, from, &rounds),
            Err(Refusal::Abstains) => return self.refused(step, from, &rounds, Refusal::Abstains),
            Err(refusal) => {
                let homes = step.state.layout().homes_count(self.list.settings.n);
                let counts = self.counts(step, from, &rounds);
                if counts && (self.avoid.contains(&from) || self.avoid.len() + self.needed(step) >= homes) {
                    return self.fail(step, read_fault(refusal));
                }
                return self.avoid_and_retry(step, from, &rounds);
            }
        }
        if !self.asked.is_empty() {
            return self.next_wake(step);
        }
        let first_stage = self.round.iter().any(|round| round.heard < round.copies.len());
        if first_stage {
            return self.ask_others(step).unwrap_or_else(|| self.advance(step));
        }
        self.end_round(step);
        self.advance(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            return self.fail(step, timed_out_read(self.list.settings.r, 0));
        }
        match self.asked.pop_first() {
            Some((slow, rounds)) => {
                step.note_unanswered(&[slow], self.asked_us);
                self.avoid.retain(|node| *node != slow);
                self.avoid_and_retry(step, slow, &rounds)
            }
            None => self.advance(step),
        }
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.asked.contains_key(&node) {
            self.advance(step)
        } else {
            self.next_wake(step)
        }
    }
}
