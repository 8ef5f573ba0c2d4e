//! The answering half: what a home does with a coordinator's message.
//!
//! A write is answered when it is on disk, never before (rule Q1). What a replica refuses it has not changed.

use alloc::vec::Vec;
use bytes::Bytes;

use super::hints::Role;
use super::ranges::chunk_key;
use super::side::closes_upload;
use super::state::{ChunkWaiter, Step};
use crate::context::Context;
use crate::coordinate::repair::RepairOp;
use crate::fingerprint::KeyRange;
use crate::ids::{BucketId, NodeId, Partition, Tick};
use crate::message::{
    Copy, Digest, Envelope, Message, OpId, ReadResult, Refusal, SideRange, SideRow, Write, WritePurpose, Written,
};
use crate::place::Place;
use crate::planted::Planted;
use crate::record::Record;
use crate::request::{Count, WantedBodies};
use crate::storage::{Batch, ChunkHeader, WriteSeq};
use crate::wire::record::record_digest;

/// Ticks further ahead of the wall clock than this are refused (rule S4), in milliseconds.
const TICK_AHEAD_MAX_MS: u64 = 60_000;

impl Step<'_> {
    /// Takes a question of a member. Replies to operations of this node do not come here.
    pub(crate) fn serve(&mut self, from: NodeId, envelope: Envelope) {
        match envelope.message {
            Message::Announce { op, said } => self.serve_announce(from, op, &said),
            Message::Write(write) => self.serve_write(from, &write),
            Message::Read {
                op,
                place,
                known,
                bodies,
                to_merge,
            } => {
                let may_speak = if to_merge {
                    self.state.refuse_if_unvouched()
                } else {
                    self.state.refuse_if_abstaining(place.partition, place.bucket)
                };
                let result = may_speak.and_then(|()| self.serve_read(&place, known, bodies));
                self.reply(from, Message::ReadReply { op, result });
            }
            Message::WriteChunk {
                op,
                header,
                body,
                stands_for,
            } => {
                if let Err(refusal) = self.serve_write_chunk(from, op, header, body, &stands_for) {
                    let result = Err(refusal);
                    self.reply(from, Message::WriteChunkReply { op, result });
                }
            }
            Message::ReadChunk {
                op,
                partition,
                id,
                from: first,
                length,
            } => {
                self.read_own_chunk(ChunkWaiter::Member(from, op, WriteSeq(0)), partition, id, first, length);
            }
            Message::List { op, walk, shards } => {
                let result = shards.iter().map(|cursor| self.walk(&walk, cursor)).collect();
                self.reply(from, Message::ListReply { op, result });
            }
            Message::WriteSide { op, .. } if self.refuses_more() => {
                let result = Err(Refusal::Overloaded);
                self.reply(from, Message::WriteSideReply { op, result });
            }
            Message::WriteSide { op, rows, check_open } => match self.serve_write_side(&rows, check_open) {
                Ok(_) if self.state.abstains() => {
                    let result = Err(Refusal::Abstains);
                    self.reply(from, Message::WriteSideReply { op, result });
                }
                Ok(seq) => self.reply_when_synced(seq, from, Message::WriteSideReply { op, result: Ok(()) }),
                Err(refusal) => self.reply(
                    from,
                    Message::WriteSideReply {
                        op,
                        result: Err(refusal),
                    },
                ),
            },
            Message::ReadSide { op, ranges, count_max } => {
                let result = self.read_side_as_home(&ranges, count_max);
                self.reply(from, Message::ReadSideReply { op, result });
            }
            Message::Count { op, bucket, partitions } => {
                let result = self.serve_count(bucket, &partitions);
                self.reply(from, Message::CountReply { op, result });
            }
            Message::Compare {
                op,
                what,
                from: first,
                to,
                fingerprint,
            } => {
                let result = self.serve_compare(from, what, &KeyRange::new(first, to), fingerprint);
                self.reply(from, Message::CompareReply { op, result });
            }
            Message::Collect { op, ask } => self.serve_collect(from, op, &ask),
            Message::Find { op, to, dead } => self.serve_find(from, op, to, &dead),
            // Forwarded writes and replies are operations; the node takes them before this.
            _ => {}
        }
    }

    fn serve_write(&mut self, from: NodeId, write: &Write) {
        let op = write.op;
        if self.refuses_more() {
            let result = Err(Refusal::Overloaded);
            return self.reply(from, Message::WriteReply { op, result });
        }
        match self.merge_write(write) {
            // Stored, but not as a home would (rule S2). Who needs it all the same asks for that.
            Ok(_) if self.state.abstains() && write.purpose == WritePurpose::Commit && write.stands_for.is_empty() => {
                let result = Err(Refusal::Abstains);
                self.reply(from, Message::WriteReply { op, result });
            }
            Ok((written, seq)) => {
                self.reply_when_synced(
                    seq,
                    from,
                    Message::WriteReply {
                        op,
                        result: Ok(written),
                    },
                );
            }
            Err(refusal) => {
                if refusal == Refusal::Damaged {
                    let n = self.state.n_of(write.place.bucket);
                    RepairOp::spawn(self, &write.place, n);
                }
                self.reply(
                    from,
                    Message::WriteReply {
                        op,
                        result: Err(refusal),
                    },
                );
            }
        }
    }

    /// Merges a write into this node's copy.
    pub(crate) fn merge_write(&mut self, write: &Write) -> Result<(Written, WriteSeq), Refusal> {
        let Write {
            place,
            own_context,
            copy,
            side,
            purpose,
            stands_for,
            ..
        } = write;
        if self.state.standing.is_condemned() {
            return Err(Refusal::Abstains);
        }
        let role = self.role_of(place, stands_for)?;
        self.refuse_future_ticks(place, copy)?;
        if *purpose == WritePurpose::Commit {
            self.refuse_late_commit(copy)?;
        }
        self.refuse_if_full(copy, *purpose)?;
        let merged = match role {
            Role::Home => {
                let mut batch = Batch::default();
                self.merge_side_rows(side, &mut batch)?;
                self.merge_copy(place, copy, batch)?
            }
            Role::StandIn(owes) => self.merge_hint(place, copy, &owes)?,
        };
        let before = merged
            .before
            .filter(|before| *purpose == WritePurpose::Commit && must_be_shown(before, own_context));
        let beyond = before.map(|before| self.shown(&before));
        Ok((
            Written {
                context: merged.context,
                beyond,
                stands_for: stands_for.len() as u8,
            },
            merged.seq,
        ))
    }

    /// What a client writes is refused once the reserve of free space is reached, but for deletions; what makes copies equal, once
    /// half of the reserve is gone: it stays owed, and comes again.
    fn refuse_if_full(&self, copy: &Copy, purpose: WritePurpose) -> Result<(), Refusal> {
        if !self.storage.is_full() {
            return Ok(());
        }
        let mut versions = copy.record.versions().iter();
        let adds_data = versions.any(|version| !version.content.is_deletion());
        if purpose == WritePurpose::Commit && adds_data || self.storage.is_exhausted() {
            return Err(Refusal::DiskFull);
        }
        Ok(())
    }

    /// What a writer is shown of versions it did not know: the whole context, because the dots alone would leave what they
    /// had replaced as false siblings on copies that still hold it (rule D4).
    fn shown(&self, before: &Record) -> Context {
        if self.state.is_planted(Planted::DotsWithoutContexts) {
            let mut dots = Context::new();
            before.versions().iter().for_each(|version| dots.add(version.dot));
            return dots;
        }
        before.context().clone()
    }

    /// As what this node is asked to hold a key (rule L6). Whoever asks may know the bucket better than this node.
    fn role_of(&self, place: &Place, stands_for: &[NodeId]) -> Result<Role, Refusal> {
        let is_home = self.is_home_of(self.state.me(), place);
        let knows_bucket = self.state.registry.bucket_by_id(place.bucket).is_some();
        match (stands_for.is_empty(), is_home) {
            (true, true) => Ok(Role::Home),
            (false, true) if knows_bucket => Ok(Role::Home),
            // A home that abstains, standing in for itself.
            (false, _) if stands_for == [self.state.me()] => Ok(Role::Home),
            // What would say that it is one is damaged here, and being healed.
            (true, false) if !knows_bucket && self.state.has_damaged_entries() => Err(Refusal::Damaged),
            (true, false) => Err(Refusal::NotHome),
            (false, _) => Ok(Role::StandIn(stands_for.to_vec())),
        }
    }

    /// Stores a chunk, and for a stand-in whom it owes it to, before it answers.
    fn serve_write_chunk(
        &mut self,
        from: NodeId,
        op: OpId,
        header: ChunkHeader,
        body: Bytes,
        stands_for: &[NodeId],
    ) -> Result<(), Refusal> {
        if self.storage.is_full() {
            return Err(Refusal::DiskFull);
        }
        if self.state.standing.is_condemned() {
            return Err(Refusal::Abstains);
        }
        let owed = if stands_for.is_empty() {
            WriteSeq(0)
        } else {
            self.owe_chunk(&chunk_key(header.partition, header.id), stands_for)?
        };
        self.write_own_chunk(ChunkWaiter::Member(from, op, owed), header, body);
        Ok(())
    }

    /// Whether a node is a home of a key, as far as this one knows its bucket.
    pub(crate) fn is_home_of(&self, node: NodeId, place: &Place) -> bool {
        self.state
            .layout()
            .is_home(node, place.partition, self.state.n_of(place.bucket))
    }

    /// Rule S4: a tick far ahead of this clock is refused, unless the key already holds such a tick.
    fn refuse_future_ticks(&self, place: &Place, copy: &Copy) -> Result<(), Refusal> {
        let limit = Tick::from_millis(self.now.wall_ms.saturating_add(TICK_AHEAD_MAX_MS));
        let highest = copy.record.tick_max();
        if highest <= limit {
            return Ok(());
        }
        let as_home = self.read_copy(place)?.map(|copy| copy.record.tick_max());
        let as_stand_in = self.read_hint(place)?.map(|hint| hint.record.tick_max());
        if as_home.max(as_stand_in).unwrap_or_default() > limit {
            Ok(())
        } else {
            Err(Refusal::ClockRefused)
        }
    }

    /// Rule D10: no version may be committed after the commit deadline of its body.
    fn refuse_late_commit(&self, copy: &Copy) -> Result<(), Refusal> {
        let newest = copy.record.newest();
        if newest.is_some_and(|version| version.content.is_past_commit(self.now.wall_ms)) {
            Err(Refusal::CommitDeadlinePassed)
        } else {
            Ok(())
        }
    }

    fn serve_read(&self, place: &Place, known: Option<Digest>, wanted: WantedBodies) -> Result<ReadResult, Refusal> {
        let (role, copy, digest) = match self.read_copy_and_digest(place)? {
            Some((copy, digest)) => (Role::Home, copy.record, digest),
            // What a stand-in holds answers like a copy (rule Q3).
            None => match self.read_hint(place)? {
                Some(hint) => {
                    let digest = record_digest(&hint.record);
                    (Role::StandIn(hint.owed), hint.record, digest)
                }
                None => return Ok(ReadResult::Absent),
            },
        };
        if known == Some(digest) {
            return Ok(ReadResult::Same);
        }
        // A coordinator whose own copy differs will merge, and may need any body.
        let wanted = if known.is_some() && wanted != WantedBodies::None {
            WantedBodies::All
        } else {
            wanted
        };
        let bodies = self.read_held_bodies(place, &role, &copy, wanted)?;
        Ok(ReadResult::Copy(Copy { record: copy, bodies }))
    }

    /// Side rows as a home reads them (rules S1, S2).
    pub(crate) fn read_side_as_home(
        &self,
        ranges: &[SideRange],
        count_max: u32,
    ) -> Result<Vec<(Vec<SideRow>, bool)>, Refusal> {
        if self.state.abstains() {
            return Err(Refusal::Abstains);
        }
        self.read_side(ranges, count_max)
    }

    /// Merges side rows; the batch to wait for.
    pub(crate) fn serve_write_side(&mut self, rows: &[SideRow], check_open: bool) -> Result<WriteSeq, Refusal> {
        if self.state.standing.is_condemned() {
            return Err(Refusal::Abstains);
        }
        if self.storage.is_exhausted() && !rows.iter().all(closes_upload) {
            return Err(Refusal::DiskFull);
        }
        if check_open {
            self.refuse_if_closed(rows)?;
        }
        let mut batch = Batch::default();
        self.merge_side_rows(rows, &mut batch)?;
        Ok(self.write_changes(batch))
    }

    pub(crate) fn serve_count(&mut self, bucket: BucketId, partitions: &[Partition]) -> Result<Count, Refusal> {
        let mut sum = Count::default();
        for partition in partitions {
            self.state.refuse_if_abstaining(*partition, bucket)?;
            sum += self.count(*partition, bucket)?;
        }
        Ok(sum)
    }
}

/// Whether a writer must be told what a copy knew before its write was merged: when versions lived there that it did not know
/// (rule D4), and, when it covers attempts at this write or at one that it builds on, always. One of these may have lived there until
/// a repair or the write that made it good came, and what it had replaced may live elsewhere (rule D7).
pub(crate) fn must_be_shown(before: &Record, own_context: &Context) -> bool {
    before.holds_beyond(own_context) || own_context.covers_attempts() && !own_context.includes(before.context())
}
