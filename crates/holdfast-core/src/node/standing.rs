//! Whether this node may speak for what its disk holds (rules S1, S2).
//!
//! A disk may have been put back from an old copy, and cannot tell: so every start asks the others whether they have heard
//! of later ones, and until enough of them have answered the node is *unvouched for*. A disk that was lost, or found to be an
//! old copy and put aside, has forgotten what this node acknowledged: the node is *filling up* from the others. In both
//! states it stores what it is sent and takes part in writes as a stand-in would, but answers no read, counts as no home,
//! votes on nothing that is to be forgotten, and leaves the coordinating to others while any of them can.
//!
//! Filling up ends by comparisons: with so many of the other homes of every key, sound themselves, that nothing acknowledged can
//! be missing, and twice each, the second one finding nothing missing that was missing at the first. The first begins three message lives
//! after this node: a write that still counted on the lost disk is then on the disks that are compared with, or nowhere
//! (rule G2).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Effect;
use super::heard::{Announcement, Known};
use super::identity::DiskState;
use super::state::{State, Step};
use crate::event::ClusterEvent;
use crate::gossip::Soundness;
use crate::ids::{BucketId, NodeId, Partition, SYSTEM_BUCKET, Tick};
use crate::message::{Message, OpId, Refusal};
use crate::planted::Planted;
use crate::registry::system_settings;
use crate::storage::{Batch, WriteSeq};

/// Message lives after which no write can be accepted anywhere that was begun while the lost disk still counted: two by which
/// a message dies, and one by which clocks may differ (rule G2).
const LIVES_TO_WAIT: u64 = 3;
/// So long after its start a node waits for members that cannot be reached yet, or do not answer, in milliseconds: one that is
/// well is connected to before.
const PATIENCE_MS: u64 = 5_000;
/// What a comparison found missing is remembered up to so many rows; a comparison that finds more is repeated.
pub(crate) const LACKED_MAX: usize = 4_096;
/// Between two comparisons while this node fills up, in milliseconds.
pub(crate) const FILL_EVERY_MS: u64 = 1_000;

/// A row that a comparison found to differ: the stage of the comparison, and its key.
pub(crate) type Lacked = (usize, Vec<u8>);

/// What this node may say.
#[derive(Debug)]
pub(crate) struct Standing {
    /// What it announces itself as.
    pub(crate) announcement: Announcement,
    /// Who has answered, and in which of its own runs.
    answered: BTreeMap<NodeId, u64>,
    /// Who is being asked.
    pub(crate) announcing: BTreeSet<NodeId>,
    is_vouched_for: bool,
    /// The data proved to be an old copy: nothing of them is used any more.
    is_condemned: bool,
    /// Nobody is waited for after this, in monotonic microseconds.
    patient_until_us: Option<u64>,
    filling: Option<Filling>,
}

/// A node that lost its disk takes it back from the others.
#[derive(Debug, Default)]
struct Filling {
    /// Comparisons that begin from then on count, in monotonic microseconds.
    from_us: Option<u64>,
    /// What the last comparison with a member that counts found missing.
    lacked: BTreeMap<NodeId, BTreeSet<Lacked>>,
    /// Whose rows are all here.
    done: BTreeSet<NodeId>,
}

impl Standing {
    pub(crate) fn new(announcement: Announcement, is_alone: bool, disk: DiskState) -> Self {
        Self {
            announcement,
            answered: BTreeMap::new(),
            announcing: BTreeSet::new(),
            is_vouched_for: is_alone,
            is_condemned: disk == DiskState::Old,
            patient_until_us: None,
            filling: (disk == DiskState::Lost && !is_alone).then(Filling::default),
        }
    }

    /// Whether the data proved to be an old copy.
    pub(crate) const fn is_condemned(&self) -> bool {
        self.is_condemned
    }

    pub(crate) const fn is_vouched_for(&self) -> bool {
        self.is_vouched_for
    }

    /// Whether every other one of so many members has vouched for this node.
    pub(crate) fn has_heard_all(&self, members: usize) -> bool {
        self.answered.len() + 1 >= members
    }

    pub(crate) const fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    pub(crate) const fn soundness(&self) -> Soundness {
        if self.filling.is_some() {
            Soundness::Filling
        } else if self.is_vouched_for {
            Soundness::Sound
        } else {
            Soundness::Unvouched
        }
    }

    /// Whether a comparison with this member is wanted soon.
    pub(crate) fn is_to_fill_from(&self, node: NodeId) -> bool {
        self.filling
            .as_ref()
            .is_some_and(|filling| !filling.done.contains(&node))
    }

    /// Whether comparisons begun now count, and if not yet, from when on.
    pub(crate) fn fills_from_us(&self) -> Option<u64> {
        self.filling.as_ref().and_then(|filling| filling.from_us)
    }
}

impl State {
    /// Whether this node must not speak for what it holds (rules S1, S2).
    pub(crate) fn abstains(&self) -> bool {
        let may_lack = !self.standing.is_vouched_for || self.standing.is_filling();
        may_lack && !self.is_planted(Planted::LostDiskAnswers)
    }

    /// Whether this node must not speak for its copies of a bucket's keys in a partition. What it holds as a stand-in for others
    /// it has itself been given, unless the disk may be an old one. Of a bucket that it does not know it may be a home.
    pub(crate) fn refuse_if_abstaining(&self, partition: Partition, bucket: BucketId) -> Result<(), Refusal> {
        let may_be_home = || {
            let is_known = bucket == SYSTEM_BUCKET || self.registry.bucket_by_id(bucket).is_some();
            !is_known || self.layout().is_home(self.me(), partition, self.n_of(bucket))
        };
        if self.abstains() && (!self.standing.is_vouched_for || may_be_home()) {
            Err(Refusal::Abstains)
        } else {
            Ok(())
        }
    }

    /// The same for what is only merged with others' copies: it need not be all that this node held once, but nothing of an old disk.
    pub(crate) fn refuse_if_unvouched(&self) -> Result<(), Refusal> {
        if self.abstains() && !self.standing.is_vouched_for {
            Err(Refusal::Abstains)
        } else {
            Ok(())
        }
    }
}

impl Step<'_> {
    /// Answers a member's announcement once what is new of it is on disk.
    pub(crate) fn serve_announce(&mut self, from: NodeId, op: OpId, said: &Announcement) {
        let (known, is_news) = self.state.heard.announced(from, said);
        let known = if self.state.is_planted(Planted::OldCopyUnnoticed) {
            Known::Nothing
        } else {
            known
        };
        let mut seq = self.storage.last_write();
        if is_news {
            seq = self.write_heard();
        }
        let run = self.state.standing.announcement.run;
        let answer = Message::Announced { op, known, run };
        if known == Known::Later {
            // It changes nothing here, and must be said even if this disk hangs.
            self.reply(from, answer);
        } else {
            self.reply_when_synced(seq, from, answer);
        }
    }

    /// Notes how high the bounds of other members are, by what is known of them from gossip.
    pub(crate) fn note_bounds(&mut self) {
        let State {
            config, gossip, heard, ..
        } = &mut *self.state;
        let mut is_news = false;
        for member in config.layout.members().iter().filter(|member| member.id != config.node) {
            is_news |= gossip
                .facts_of(member.id)
                .is_some_and(|facts| heard.told(member.id, facts));
        }
        if is_news {
            self.write_heard();
        }
    }

    fn write_heard(&mut self) -> WriteSeq {
        let mut batch = Batch::default();
        self.state.heard.write(&mut batch);
        self.write(batch, Tick(0))
    }

    /// A member has answered the announcement. What follows from it is judged at the end of the input.
    pub(crate) fn vouched_by(&mut self, node: NodeId, known: Known, run: u64) {
        if known == Known::OtherData && self.state.identity.disk != DiskState::Whole {
            self.state.gossip.disown_earlier_facts(self.now, self.effects);
        }
        match known {
            Known::Nothing => {}
            Known::OtherData if self.state.identity.disk == DiskState::New => self.begin_filling(),
            // It was told of these data before, or is about to be: they are whole, or are being filled up.
            Known::OtherData => {}
            Known::Later => {
                self.tell(ClusterEvent::OldCopyFound { by: node });
                self.state.standing.is_condemned = true;
                self.state.standing.is_vouched_for = false;
                return self.set_disk_state(DiskState::Old);
            }
        }
        self.state.standing.answered.insert(node, run);
    }

    /// Looks whether enough members have vouched for this node: a majority, itself included, and, for a while, all that gossip
    /// does not hold down.
    pub(crate) fn judge_standing(&mut self) {
        if self.state.standing.is_vouched_for {
            return;
        }
        if self.state.standing.is_condemned {
            return self.effects.push(Effect::PutDataAside);
        }
        let patient_until_us = *self
            .state
            .standing
            .patient_until_us
            .get_or_insert(self.now.after_ms(PATIENCE_MS));
        let is_patient = self.now.mono_us < patient_until_us;
        let state = &*self.state;
        let members: Vec<NodeId> = state.layout().members().iter().map(|member| member.id).collect();
        let answered = |node: &NodeId| *node == state.me() || state.standing.answered.contains_key(node);
        let is_majority = 2 * members.iter().filter(|node| answered(node)).count() > members.len();
        let is_awaited = |node: &NodeId| is_patient && !answered(node) && !state.gossip.is_down(*node);
        if !is_majority || members.iter().any(is_awaited) {
            return;
        }
        self.state.standing.is_vouched_for = true;
        if self.state.identity.disk == DiskState::New {
            self.set_disk_state(DiskState::Whole);
        }
        self.tell_soundness();
        let up = members
            .into_iter()
            .filter(|node| *node != self.state.me() && self.state.is_up(*node));
        for node in up.collect::<Vec<_>>() {
            self.catch_up_with(node);
        }
    }

    fn set_disk_state(&mut self, disk: DiskState) {
        self.state.identity.disk = disk;
        let mut batch = Batch::default();
        self.state.identity.write(&mut batch);
        self.write(batch, Tick(0));
    }

    pub(crate) fn tell_soundness(&mut self) {
        let soundness = self.state.standing.soundness();
        self.state.gossip.set_soundness(soundness);
    }

    /// This node's disk is another one than the others remember.
    fn begin_filling(&mut self) {
        self.set_disk_state(DiskState::Lost);
        self.state.standing.filling = Some(Filling::default());
        self.tell_soundness();
    }

    /// Sets the time from which comparisons count, and says so: once, when the node has begun to act.
    pub(crate) fn plan_filling(&mut self) {
        let wait_ms = self.state.config.message_life_ms.saturating_mul(LIVES_TO_WAIT);
        let from_us = self.now.after_ms(wait_ms);
        if let Some(filling) = &mut self.state.standing.filling
            && filling.from_us.is_none()
        {
            filling.from_us = Some(from_us);
            self.tell(ClusterEvent::Filling);
        }
    }

    /// A comparison with a member has ended. `lacked` is what this node did not hold as the member does; `None` if that was too
    /// much to remember, or was not found out.
    pub(crate) fn compared(&mut self, node: NodeId, begun_us: u64, lacked: Option<BTreeSet<Lacked>>) {
        // A member that fills up itself lacks what it should give; which of its runs is meant, its own answer said.
        let facts = self.state.gossip.facts_of(node);
        let is_sound = facts.is_some_and(|facts| {
            facts.soundness == Soundness::Sound && self.state.standing.answered.get(&node) == Some(&facts.run)
        });
        let Some(filling) = &mut self.state.standing.filling else {
            return;
        };
        let counts = is_sound && filling.from_us.is_some_and(|from_us| begun_us >= from_us);
        let (Some(lacked), true) = (lacked, counts) else {
            return;
        };
        let before = filling.lacked.insert(node, lacked);
        let now = &filling.lacked[&node];
        if now.is_empty() || before.is_some_and(|before| before.is_disjoint(now)) {
            filling.done.insert(node);
            self.end_filling_if_full();
        }
    }

    fn end_filling_if_full(&mut self) {
        let state = &*self.state;
        let Some(filling) = &state.standing.filling else {
            return;
        };
        let layout = state.layout();
        let system = system_settings(layout.members().len());
        let settings = state.registry.buckets().map(|bucket| bucket.settings).chain([system]);
        let quorums: BTreeSet<(u8, u8)> = settings.map(|settings| (settings.n, settings.w)).collect();
        let mut partitions = (0..layout.partition_count()).map(|number| Partition(number as u16));
        // W homes acknowledged each write, this one perhaps among them: so many others must be asked that one of the rest is.
        let is_full = |partition: Partition, (n, w): (u8, u8)| {
            let homes: Vec<NodeId> = layout.homes(partition, n).collect();
            let compared = homes.iter().filter(|home| filling.done.contains(home)).count();
            let w = usize::from(w).clamp(1, homes.len());
            let needed = (homes.len() - w + 1).min(homes.len() - 1);
            !homes.contains(&state.me()) || compared >= needed
        };
        if partitions.all(|partition| quorums.iter().all(|quorum| is_full(partition, *quorum))) {
            self.state.standing.filling = None;
            self.set_disk_state(DiskState::Whole);
            self.tell_soundness();
            self.tell(ClusterEvent::Filled);
        }
    }
}
