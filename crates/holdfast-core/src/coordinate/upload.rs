//! Steps of a multipart upload (rule D9): rows beside the key, read from R homes, merged, written to W.
//!
//! Any node may coordinate all steps but completion, which puts a version and therefore runs on a home.

use alloc::string::String;
use alloc::vec::Vec;

use super::claim::up_to_soon;
use super::put::Incoming;
use super::repair::RepairOp;
use super::{
    Coordinate, Origin, Progress, RESEND_MS, timed_out_read, unavailable_write, unchanged, unknown, write_fault,
};
use crate::bucket::Settings;
use crate::content::{Manifest, StoredBody};
use crate::ids::{NodeId, ObjectKey, RequestId, UploadId};
use crate::message::{Message, OpId, Refusal, SideRange, SideRow};
use crate::node::side::{merge_values, ranges_of, upload_row};
use crate::node::state::{About, Parked, Step, Waiter};
use crate::place::Place;
use crate::quorum::{Tally, Verdict, Vote};
use crate::request::{
    Answer, Put, PutValue, ReadFault, Upload, UploadInfo, UploadPart, UploadState, UploadStep, WriteFault,
};
use crate::storage::Space;
use crate::wire::side::{PartRow, decode_part, decode_upload, encode_part};

/// An upload must be completed within this time of its beginning or of its last part, in milliseconds: seven days.
pub const UPLOAD_LIFE_MS: u64 = 7 * 24 * 3600 * 1000;
/// The deadline is put off when a part comes and less than this is left.
const UPLOAD_RENEW_MS: u64 = UPLOAD_LIFE_MS / 2;
/// How long homes are waited for when an upload has expired, in milliseconds.
const EXPIRE_MS: u64 = 10_000;
/// While copies are made equal, their state is looked at this often, in milliseconds.
const LOOK_BACK_MS: u64 = 20;
/// S3 allows 10,000 parts; a range never has more rows.
const PARTS_MAX: u32 = 10_001;

/// What is being done.
enum Goal {
    Create(UploadInfo),
    PutPart(UploadPart),
    Read,
    Complete {
        etag: String,
        headers: Vec<(String, String)>,
        manifest: Manifest,
    },
    Abort,
    /// Abort it, if its commit deadline has passed: nobody can complete it any more.
    Expire,
}

/// A step in flight: first rows are read from R homes, then changed rows are written to W.
pub(crate) struct UploadOp {
    id: OpId,
    origin: Origin,
    place: Place,
    settings: Settings,
    upload: UploadId,
    goal: Goal,
    tally: Tally,
    /// Rows read so far, merged.
    rows: Vec<SideRow>,
    /// Rows being written; empty while reading.
    writing: Vec<SideRow>,
    refusal: Option<Refusal>,
    /// When the client asked, in Unix milliseconds (rule G2).
    content_ms: u64,
    deadline_us: u64,
    answered: bool,
    /// The upload was completed before: the copies of its key are being made equal, and tell what became of it.
    looking_back: bool,
}

impl UploadOp {
    /// An operation for a step; listing is another verb.
    pub(crate) fn new(step: &mut Step<'_>, origin: Origin, deadline_ms: u32, ask: Upload) -> Option<Self> {
        let place = step.state.place(&ask.settings, &ask.key);
        let (upload, goal) = match ask.step {
            UploadStep::Create { id, headers, initiator } => {
                let created_ms = step.now.wall_ms;
                let commit_deadline_ms = created_ms + UPLOAD_LIFE_MS;
                let (key, state) = (place.key.clone(), UploadState::Open);
                let info = UploadInfo {
                    id,
                    key,
                    state,
                    headers,
                    initiator,
                    created_ms,
                    commit_deadline_ms,
                };
                (id, Goal::Create(info))
            }
            UploadStep::PutPart { id, part } => (id, Goal::PutPart(part)),
            UploadStep::Read { id } => (id, Goal::Read),
            UploadStep::Complete {
                id,
                etag,
                headers,
                manifest,
            } => (
                id,
                Goal::Complete {
                    etag,
                    headers,
                    manifest,
                },
            ),
            UploadStep::Abort { id } => (id, Goal::Abort),
            UploadStep::List { .. } => return None,
        };
        let homes: Vec<NodeId> = step.state.layout().homes(place.partition, ask.settings.n).collect();
        Some(Self {
            id: step.state.new_op(),
            origin,
            place,
            settings: ask.settings,
            upload,
            goal,
            tally: Tally::new(homes, usize::from(ask.settings.r)),
            rows: Vec::new(),
            writing: Vec::new(),
            refusal: None,
            content_ms: step.content_ms,
            deadline_us: step.now.after_ms(u64::from(deadline_ms)),
            answered: false,
            looking_back: false,
        })
    }

    /// An operation that ends an upload whose deadline has passed. This node's row says so; R homes may know better.
    pub(crate) fn expire(step: &mut Step<'_>, settings: Settings, place: Place, upload: UploadId) -> Self {
        let homes: Vec<NodeId> = step.state.layout().homes(place.partition, settings.n).collect();
        Self {
            id: step.state.new_op(),
            origin: Origin::Nobody,
            place,
            settings,
            upload,
            goal: Goal::Expire,
            tally: Tally::new(homes, usize::from(settings.r)),
            rows: Vec::new(),
            writing: Vec::new(),
            refusal: None,
            content_ms: step.now.wall_ms,
            deadline_us: step.now.after_ms(EXPIRE_MS),
            answered: false,
            looking_back: false,
        }
    }

    fn message_for_others(&self) -> Message {
        if self.writing.is_empty() {
            let ranges = self.ranges();
            return Message::ReadSide {
                op: self.id,
                ranges,
                count_max: PARTS_MAX,
            };
        }
        let check_open = matches!(self.goal, Goal::PutPart(_));
        Message::WriteSide {
            op: self.id,
            rows: self.writing.clone(),
            check_open,
        }
    }

    /// What is read: an upload's end does not concern its parts.
    fn ranges(&self) -> Vec<SideRange> {
        let mut ranges = ranges_of(&self.place, self.upload);
        if matches!(self.goal, Goal::Expire) {
            ranges.truncate(1);
        }
        ranges
    }

    /// Asks every home that is up, this node itself without a message.
    fn ask_all(&mut self, step: &mut Step<'_>) {
        let me = step.state.me();
        for home in self.tally.homes().collect::<Vec<_>>() {
            if !step.state.is_up(home) {
                self.tally.set(home, Vote::Down);
                continue;
            }
            self.tally.set(home, Vote::Asked);
            if home != me {
                step.send(home, self.message_for_others(), About::as_of(self.content_ms));
            } else if step.state.abstains() {
                self.refuse(home, Refusal::Abstains);
            } else if self.writing.is_empty() {
                match step.read_side(&self.ranges(), PARTS_MAX) {
                    Ok(ranges) => self.add_read(home, ranges),
                    Err(refusal) => self.refuse(home, refusal),
                }
            } else {
                match step.serve_write_side(&self.writing.clone(), matches!(self.goal, Goal::PutPart(_))) {
                    Ok(seq) => step.wait(seq, Waiter::Own(self.id)),
                    Err(refusal) => self.refuse(home, refusal),
                }
            }
        }
    }

    fn refuse(&mut self, home: NodeId, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
        self.tally.set(home, Vote::No);
    }

    fn add_read(&mut self, home: NodeId, ranges: Vec<(Vec<SideRow>, bool)>) {
        for row in ranges.into_iter().flat_map(|(rows, _)| rows) {
            match self
                .rows
                .iter_mut()
                .find(|own| own.space == row.space && own.key == row.key)
            {
                None => self.rows.push(row),
                Some(own) => {
                    if let Some(merged) = merge_values(row.space, Some(&own.value), &row.value) {
                        own.value = merged;
                    }
                }
            }
        }
        self.tally.set(home, Vote::Yes);
    }

    fn info(&self) -> Option<UploadInfo> {
        let row = self.rows.iter().find(|row| row.space == Space::Uploads)?;
        decode_upload(&row.value).ok().map(|row| row.info)
    }

    fn parts(&self) -> Vec<PartRow> {
        let mut parts: Vec<PartRow> = self
            .rows
            .iter()
            .filter(|row| row.space == Space::Parts)
            .filter_map(|row| decode_part(&row.value).ok())
            .collect();
        parts.sort_by_key(|row| row.part.number);
        parts
    }

    fn judge(&mut self, step: &mut Step<'_>) -> Progress {
        if self.answered {
            let wake = Progress::Until(step.now.after_ms(RESEND_MS).min(self.deadline_us));
            return if self.tally.is_settled() { Progress::Done } else { wake };
        }
        match self.tally.verdict() {
            Verdict::Pending => Progress::Until(step.now.after_ms(RESEND_MS).min(self.deadline_us)),
            Verdict::Unreachable => {
                let fault = self.refusal.map_or_else(|| unavailable_write(&self.tally), write_fault);
                self.fail(step, fault)
            }
            Verdict::Met if self.writing.is_empty() => self.decide(step),
            Verdict::Met => {
                self.answered = true;
                let answer = match self.goal {
                    Goal::Create(_) => Answer::UploadCreated,
                    Goal::PutPart(_) => Answer::PartStored,
                    Goal::Read | Goal::Complete { .. } | Goal::Abort | Goal::Expire => Answer::UploadAborted,
                };
                self.origin.answer(step, answer);
                self.judge(step)
            }
        }
    }

    fn fail(&mut self, step: &mut Step<'_>, fault: WriteFault) -> Progress {
        self.answered = true;
        let answer = match (&self.goal, fault) {
            (Goal::Read, WriteFault::NoSuchUpload) => Answer::ReadFailed(ReadFault::NoSuchUpload),
            (Goal::Read, WriteFault::Unavailable { needed, reached, down }) => {
                Answer::ReadFailed(ReadFault::Unavailable { needed, reached, down })
            }
            (Goal::Read, WriteFault::TimedOut { needed, synced }) => Answer::ReadFailed(timed_out_read(needed, synced)),
            (Goal::Read, _) => Answer::ReadFailed(ReadFault::Damaged),
            (_, fault) if self.writing.is_empty() || fault == WriteFault::NoSuchUpload => unchanged(fault),
            (_, fault) => unknown(fault),
        };
        self.origin.answer(step, answer);
        Progress::Done
    }

    /// R homes have told what they hold: what follows from it?
    fn decide(&mut self, step: &mut Step<'_>) -> Progress {
        let info = self.info();
        match (&self.goal, info) {
            (Goal::Create(info), _) => {
                let row = upload_row(&self.place, info);
                self.write(step, alloc::vec![row])
            }
            (_, None) => self.fail(step, WriteFault::NoSuchUpload),
            (Goal::Read, Some(info)) => {
                let parts = self.parts().into_iter().map(|row| row.part).collect();
                self.origin.answer(step, Answer::Upload(info, parts));
                Progress::Done
            }
            (Goal::Complete { .. }, Some(info)) if info.state == UploadState::Open => self.complete(step, info),
            (Goal::Complete { .. }, Some(info)) if info.state == UploadState::Completed => self.look_back(step),
            (_, Some(info)) if info.state != UploadState::Open => self.fail(step, WriteFault::NoSuchUpload),
            (Goal::Expire, Some(info)) if info.state != UploadState::Open => {
                // This node, or another home, had not heard of its end.
                let row = upload_row(&self.place, &info);
                self.write(step, alloc::vec![row])
            }
            (Goal::Expire, Some(info)) if !step.has_expired(&info) => Progress::Done,
            (Goal::Abort | Goal::Expire | Goal::Complete { .. }, Some(mut info)) => {
                info.state = UploadState::Aborted;
                let row = upload_row(&self.place, &info);
                self.write(step, alloc::vec![row])
            }
            (Goal::PutPart(part), Some(info)) => {
                let part = part.clone();
                self.put_part(step, part, info)
            }
        }
    }

    /// Stamps the part above every attempt at its number that R homes knew, so that a later one wins whatever the clocks.
    fn put_part(&mut self, step: &mut Step<'_>, mut part: UploadPart, mut info: UploadInfo) -> Progress {
        let earlier = self.parts().into_iter().find(|row| row.part.number == part.number);
        let seen = earlier.map(|row| row.stamp.0).unwrap_or_default();
        let tick = match step.state.clock.tick(step.now.wall_ms, seen) {
            Ok(tick) => tick,
            Err(bound) => {
                let seq = step.await_bound(bound, seen);
                step.wait(seq, Waiter::Unpark(Parked::Operation(self.id)));
                return Progress::Until(self.deadline_us);
            }
        };
        part.modified_ms = step.now.wall_ms;
        let number = part.number;
        let row = PartRow {
            stamp: (tick, step.state.identity.actor),
            part,
        };
        let key = self.place.part_key(self.upload, number);
        let mut rows = alloc::vec![SideRow {
            space: Space::Parts,
            key,
            value: encode_part(&row).into()
        }];
        if info.commit_deadline_ms < step.now.wall_ms + UPLOAD_RENEW_MS {
            info.commit_deadline_ms = step.now.wall_ms + UPLOAD_LIFE_MS;
            rows.push(upload_row(&self.place, &info));
        }
        self.write(step, rows)
    }

    /// The put that makes the object closes the upload in the same write. Its request id is the upload's, so that
    /// completing twice is one write (rule D7).
    fn complete(&mut self, step: &mut Step<'_>, mut info: UploadInfo) -> Progress {
        let Goal::Complete {
            etag,
            headers,
            manifest,
        } = &self.goal
        else {
            return Progress::Done;
        };
        info.state = UploadState::Completed;
        let body = StoredBody::Chunked {
            manifest: manifest.clone(),
            commit_deadline_ms: info.commit_deadline_ms,
        };
        let value = PutValue::Object {
            etag: etag.clone(),
            headers: headers.clone(),
            body,
        };
        let key = ObjectKey {
            bucket: self.place.bucket,
            key: self.place.key.clone(),
        };
        let put = Put {
            settings: self.settings,
            key,
            context: None,
            value,
            w: None,
            wait_all: false,
        };
        let incoming = Incoming {
            origin: self.origin,
            request: RequestId(self.upload.0),
            deadline_ms: (self.deadline_us.saturating_sub(step.now.mono_us) / 1000) as u32,
            content_ms: self.content_ms,
            put,
            side: alloc::vec![upload_row(&self.place, &info)],
            may_have_begun: false,
            above: self.origin.above(),
        };
        step.begin_put(incoming);
        Progress::Done
    }

    /// Completed before. If its object is still there, that write is carried on; if not, it was replaced since, and its parts
    /// may be gone: no version may name them again (rule D10). The homes that told of it have one or the other.
    fn look_back(&mut self, step: &mut Step<'_>) -> Progress {
        self.looking_back = true;
        RepairOp::spawn(step, &self.place, self.settings.n);
        Progress::Until(step.now.after_ms(LOOK_BACK_MS).min(self.deadline_us))
    }

    fn look_again(&mut self, step: &mut Step<'_>) -> Progress {
        if step.state.repairing.contains(&self.place) {
            return Progress::Until(step.now.after_ms(LOOK_BACK_MS).min(self.deadline_us));
        }
        let request = RequestId(self.upload.0);
        let own = step.read_copy(&self.place);
        let is_there = own.is_ok_and(|copy| copy.is_some_and(|copy| copy.record.find_request(request).is_some()));
        match self.info() {
            Some(info) if is_there => self.complete(step, info),
            _ => self.fail(step, WriteFault::NoSuchUpload),
        }
    }

    /// Goes on to write rows to W homes.
    fn write(&mut self, step: &mut Step<'_>, rows: Vec<SideRow>) -> Progress {
        self.writing = rows;
        self.id = step.state.new_op();
        self.tally = Tally::new(self.tally.homes(), usize::from(self.settings.w));
        self.refusal = None;
        self.ask_all(step);
        self.judge(step)
    }
}

impl Coordinate for UploadOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn straggling_bytes(&self) -> Option<usize> {
        self.answered
            .then(|| self.writing.iter().map(|row| row.value.len()).sum())
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        if let Goal::Create(info) = &self.goal {
            let row = upload_row(&self.place, info);
            return self.write(step, alloc::vec![row]);
        }
        self.ask_all(step);
        self.judge(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        if let Message::ClaimReply { up_to, .. } = message {
            self.origin.allow(up_to);
        }
        if self.looking_back {
            return Progress::Until(step.now.after_ms(LOOK_BACK_MS).min(self.deadline_us));
        }
        match message {
            Message::ReadSideReply { result: Ok(ranges), .. } => self.add_read(from, ranges),
            Message::WriteSideReply { result: Ok(()), .. } => self.tally.set(from, Vote::Yes),
            Message::ReadSideReply {
                result: Err(refusal), ..
            }
            | Message::WriteSideReply {
                result: Err(refusal), ..
            } => self.refuse(from, refusal),
            _ => {}
        }
        self.judge(step)
    }

    fn own_synced(&mut self, step: &mut Step<'_>) -> Progress {
        self.tally.set(step.state.me(), Vote::Yes);
        self.judge(step)
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        if step.now.mono_us >= self.deadline_us {
            if self.answered {
                return Progress::Done;
            }
            let (needed, synced) = (self.tally.needed() as u8, self.tally.count(Vote::Yes) as u8);
            return self.fail(step, WriteFault::TimedOut { needed, synced });
        }
        if self.looking_back {
            return self.look_again(step);
        }
        if let Origin::Forwarded { by, op: forward, .. } = self.origin
            && !self.answered
        {
            // Whoever handed it over gives it to nobody else meanwhile (rule D7).
            let (op, up_to) = (self.id, up_to_soon(step));
            step.send(by, Message::Claim { op, forward, up_to }, About::default());
        }
        let me = step.state.me();
        let asked: Vec<NodeId> = self.tally.with(Vote::Asked).filter(|home| *home != me).collect();
        for home in asked {
            step.send(home, self.message_for_others(), About::as_of(self.content_ms));
        }
        self.judge(step)
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        if self.looking_back {
            return Progress::Until(step.now.after_ms(LOOK_BACK_MS).min(self.deadline_us));
        }
        self.tally.set(node, Vote::Down);
        self.judge(step)
    }
}
