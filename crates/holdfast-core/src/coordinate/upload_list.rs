//! A page of open uploads of a bucket, in order of (key, id): from every shard, R homes each, merged.
//!
//! Closed uploads travel too, because a copy that missed the closing still calls its row open.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Coordinate, Origin, Progress, RESEND_MS, timed_out_read};
use crate::bucket::Settings;
use crate::ids::{NodeId, UploadId};
use crate::message::{Message, OpId, SideRange, SideRow};
use crate::node::side::merge_values;
use crate::node::state::{About, Step};
use crate::place::{Place, after_prefix, partition_of, seek_key, shard_position};
use crate::quorum::{Tally, Verdict, Vote};
use crate::request::{Answer, ReadFault, UploadInfo, UploadState};
use crate::storage::Space;
use crate::wire::side::decode_upload;

/// Rows asked of each shard for each upload wanted: closed ones take room too.
const ROWS_PER_UPLOAD: u32 = 4;

/// What is wanted.
pub(crate) struct UploadPage {
    pub(crate) settings: Settings,
    pub(crate) prefix: String,
    pub(crate) after: (String, Option<UploadId>),
    pub(crate) count_max: u32,
}

/// One shard's rows so far.
struct Shard {
    range: SideRange,
    tally: Tally,
    rows: BTreeMap<Vec<u8>, Bytes>,
    /// Rows beyond this key (exclusive) are not known from every answer.
    known_to: Option<Vec<u8>>,
}

/// A listing of uploads in flight.
pub(crate) struct UploadListOp {
    id: OpId,
    origin: Origin,
    page: UploadPage,
    shards: Vec<Shard>,
    deadline_us: u64,
}

impl UploadListOp {
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, page: UploadPage) -> Self {
        let settings = page.settings;
        let bits = step.state.layout().partition_bits();
        let shards = (0..settings.shards).map(|shard| {
            let partition = partition_of(shard_position(settings.id, shard, settings.shards), bits);
            let prefix = seek_key(partition, settings.id, shard, &page.prefix);
            let (key, id) = &page.after;
            let after = Place {
                partition,
                bucket: settings.id,
                shard,
                key: key.clone(),
            };
            let first = match (key.is_empty(), id) {
                (true, _) => prefix.clone(),
                (false, None) => after_prefix(after.row_key()),
                (false, Some(id)) => after_prefix(after.upload_key(*id)),
            };
            let homes: Vec<NodeId> = step.state.layout().homes(partition, settings.n).collect();
            let to = after_prefix(prefix.clone());
            // A page may be asked to start beyond its prefix: an empty range then, not a reversed one.
            let from = first.max(prefix).min(to.clone());
            let range = SideRange {
                space: Space::Uploads,
                from,
                to,
            };
            let tally = Tally::new(homes, usize::from(settings.r));
            Shard {
                range,
                tally,
                rows: BTreeMap::new(),
                known_to: None,
            }
        });
        let shards = shards.collect();
        let deadline_us = step.now.after_ms(u64::from(deadline_ms));
        Self {
            id: step.state.new_op(),
            origin,
            page,
            shards,
            deadline_us,
        }
    }

    fn rows_max(&self) -> u32 {
        self.page.count_max.saturating_mul(ROWS_PER_UPLOAD).clamp(16, 4_000)
    }

    fn ask_all(&mut self, step: &mut Step<'_>) {
        let me = step.state.me();
        let rows_max = self.rows_max();
        let mut nodes: Vec<NodeId> = self.shards.iter().flat_map(|shard| shard.tally.homes()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let vote = if step.state.is_up(node) {
                Vote::Asked
            } else {
                Vote::Down
            };
            self.shards.iter_mut().for_each(|shard| shard.tally.set(node, vote));
            if vote == Vote::Down {
                continue;
            }
            let ranges = self.ranges_of(node);
            if node != me {
                let message = Message::ReadSide {
                    op: self.id,
                    ranges,
                    count_max: rows_max,
                };
                step.send(node, message, About::default());
            } else {
                let read = step.read_side_as_home(&ranges, rows_max).ok();
                self.add(node, read);
            }
        }
    }

    fn ranges_of(&self, node: NodeId) -> Vec<SideRange> {
        let held = self.shards.iter().filter(|shard| shard.tally.get(node).is_some());
        held.map(|shard| shard.range.clone()).collect()
    }

    fn add(&mut self, node: NodeId, read: Option<Vec<(Vec<SideRow>, bool)>>) {
        let mut answers = read.map(Vec::into_iter);
        for shard in self.shards.iter_mut().filter(|shard| shard.tally.get(node).is_some()) {
            let Some((rows, cut)) = answers.as_mut().and_then(Iterator::next) else {
                shard.tally.set(node, Vote::No);
                continue;
            };
            if let (true, Some(last)) = (cut, rows.last()) {
                let end = after_prefix(last.key.clone());
                shard.known_to = Some(shard.known_to.take().map_or(end.clone(), |known| known.min(end)));
            }
            for row in rows {
                let own = shard.rows.get(&row.key);
                if let Some(merged) = merge_values(row.space, own, &row.value) {
                    shard.rows.insert(row.key, merged);
                }
            }
            shard.tally.set(node, Vote::Yes);
        }
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        let verdicts = self.shards.iter().map(|shard| shard.tally.verdict());
        if verdicts.clone().any(|verdict| verdict == Verdict::Unreachable) {
            let down = self
                .shards
                .first()
                .map(|shard| shard.tally.with(Vote::Down).collect())
                .unwrap_or_default();
            let fault = ReadFault::Unavailable {
                needed: self.page.settings.r,
                reached: 0,
                down,
            };
            self.origin.answer(step, Answer::ReadFailed(fault));
            return Progress::Done;
        }
        if verdicts.clone().all(|verdict| verdict == Verdict::Met) {
            let (uploads, more) = self.merged();
            self.origin.answer(step, Answer::Uploads(uploads, more));
            return Progress::Done;
        }
        Progress::Until(step.now.after_ms(RESEND_MS).min(self.deadline_us))
    }

    /// The page: open uploads up to where every shard is known.
    fn merged(&self) -> (Vec<UploadInfo>, bool) {
        let mut more = false;
        let mut uploads = Vec::new();
        let mut horizon: Option<(String, UploadId)> = None;
        for shard in &self.shards {
            let known = |key: &Vec<u8>| shard.known_to.as_ref().is_none_or(|end| key < end);
            let mut last = None;
            for (_, value) in shard.rows.iter().filter(|(key, _)| known(key)) {
                let Ok(row) = decode_upload(value) else { continue };
                last = Some((row.info.key.clone(), row.info.id));
                if row.info.state == UploadState::Open {
                    uploads.push(row.info);
                }
            }
            if let (Some(_), Some(last)) = (&shard.known_to, last) {
                more = true;
                horizon = Some(horizon.map_or(last.clone(), |horizon| horizon.min(last)));
            }
        }
        uploads.sort_by(|a, b| (&a.key, a.id).cmp(&(&b.key, b.id)));
        if let Some((key, id)) = horizon {
            uploads.retain(|upload| (&upload.key, upload.id) <= (&key, id));
        }
        if uploads.len() > self.page.count_max as usize {
            uploads.truncate(self.page.count_max as usize);
            more = true;
        }
        (uploads, more)
    }
}

impl Coordinate for UploadListOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.ask_all(step);
        self.judge(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if let Message::ReadSideReply { result, .. } = message {
            self.add(from, result.ok());
        }
        self.judge(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            self.origin
                .answer(step, Answer::ReadFailed(timed_out_read(self.page.settings.r, 0)));
            return Progress::Done;
        }
        let unanswered = self.shards.iter().flat_map(|shard| shard.tally.with(Vote::Asked));
        let mut nodes: Vec<NodeId> = unanswered.collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let (ranges, count_max) = (self.ranges_of(node), self.rows_max());
            step.send(
                node,
                Message::ReadSide {
                    op: self.id,
                    ranges,
                    count_max,
                },
                About::default(),
            );
        }
        Progress::Until(step.now.after_ms(RESEND_MS).min(self.deadline_us))
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        self.shards
            .iter_mut()
            .for_each(|shard| shard.tally.set(node, Vote::Down));
        self.judge(step)
    }
}
