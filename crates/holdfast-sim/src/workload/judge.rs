//! What the client of an operation learned is told to the truth, and what it was shown to the checkers.

use holdfast_core::ids::NodeId;
use holdfast_core::request::{Answer, Got, PageEntry, Request, UploadStep, WantedBodies, WriteFault};

use super::operation::Operation;
use crate::checkers::acked_kept::Counted;
use crate::checkers::{Promise, acked_kept, bodies, dots, listing, replaced, uploads};
use crate::coverage::Reached;
use crate::truth::KeyTruth;
use crate::watch::Watch;

/// An answer that is no failure.
pub(super) fn answer(now_us: u64, watch: &mut Watch, operation: &Operation, answer: &Answer) {
    let asked_us = operation.asked_us;
    match (answer, &operation.ask.what) {
        (Answer::Put(outcome), what) => {
            watch.coverage.reach(Reached::WritesAcked);
            if let Some((write, _)) = operation.ask.write {
                replaced::acknowledged(watch, now_us, write, outcome);
            }
            if let Request::Upload(upload) = what {
                watch.coverage.reach(Reached::UploadsCompleted);
                note_step(now_us, watch, &upload.step);
            }
        }
        (Answer::Got(got), Request::Get(get)) => {
            watch.coverage.reach(Reached::ReadsAnswered);
            if let Some(key) = watch.truth.key_of_name(get.key.bucket, &get.key.key) {
                let r = get.r.unwrap_or(get.settings.r);
                got_record(now_us, watch, key, asked_us, got, get.bodies, r);
            }
        }
        (Answer::Page(page), Request::List(list)) => {
            watch.coverage.reach(Reached::ReadsAnswered);
            let prefixes = page
                .entries
                .iter()
                .filter(|entry| matches!(entry, PageEntry::CommonPrefix(_)));
            watch.coverage.add(Reached::CommonPrefixes, prefixes.count() as u64);
            let found = listing::check_page(&watch.truth, list, page, asked_us);
            watch.judge(now_us, Promise::ListingsMatch, found);
        }
        (Answer::ChunkRead(read), _) => {
            let differs = operation.ask.bytes.as_ref().is_some_and(|expected| expected != read);
            let found =
                differs.then(|| format!("{} is answered with {} other bytes", operation.describe(), read.len()));
            watch.judge(now_us, Promise::BytesMatch, found);
        }
        (Answer::Upload(info, parts), Request::Upload(upload)) => {
            let UploadStep::Read { id } = upload.step else { return };
            let found = uploads::check_read(&watch.truth, id, asked_us, info, parts);
            watch.judge(now_us, Promise::UploadsKept, found);
        }
        (Answer::ReadFailed(_), Request::Upload(upload)) => {
            let UploadStep::Read { id } = upload.step else { return };
            let found = uploads::check_missing(&watch.truth, id, asked_us);
            watch.judge(now_us, Promise::UploadsKept, found);
        }
        (Answer::Uploads(page, more), Request::Upload(upload)) => {
            let UploadStep::List { prefix, after, .. } = &upload.step else {
                return;
            };
            let bucket = upload.settings.id;
            let found = uploads::check_list(&watch.truth, bucket, prefix, after, page, *more, asked_us);
            watch.judge(now_us, Promise::UploadsKept, found);
        }
        (Answer::UploadCreated | Answer::PartStored | Answer::UploadAborted, Request::Upload(upload)) => {
            note_step(now_us, watch, &upload.step);
        }
        _ => {}
    }
}

fn note_step(now_us: u64, watch: &mut Watch, step: &UploadStep) {
    match step {
        UploadStep::Create { id, .. } => {
            if let Some(upload) = watch.truth.uploads.get_mut(*id) {
                upload.created_us = Some(now_us);
            }
        }
        UploadStep::PutPart { id, part } => {
            let named = watch.truth.uploads.get_mut(*id);
            let named = named.and_then(|upload| upload.parts.iter_mut().find(|known| known.part == part.part));
            if let Some(named) = named {
                named.acked_us = Some(now_us);
            }
        }
        UploadStep::Complete { id, .. } | UploadStep::Abort { id } => {
            if matches!(step, UploadStep::Abort { .. }) {
                watch.coverage.reach(Reached::UploadsAborted);
            }
            if let Some(upload) = watch.truth.uploads.get_mut(*id) {
                upload.closed_us = Some(now_us);
            }
        }
        UploadStep::Read { .. } | UploadStep::List { .. } => {}
    }
}

/// Stand-ins may only make up for homes that were said to be down, and for one whose disk rots: a damaged copy is none.
fn homes_first(of: &KeyTruth, got: &Got, r: u8, rotting: Option<NodeId>) -> Option<String> {
    let has_answered = |home: &NodeId| got.clocks.iter().any(|(node, _)| node == home);
    let answered = of.homes.iter().filter(|home| has_answered(home)).count();
    let damaged = rotting.filter(|home| of.homes.contains(home) && !has_answered(home) && !got.down.contains(home));
    let due = usize::from(r).min(of.homes.len() - got.down.len() - usize::from(damaged.is_some()));
    (answered < due).then(|| format!("{:?} was read from {answered} homes, {due} were due", of.place.key))
}

fn got_record(
    now_us: u64,
    watch: &mut Watch,
    key: crate::truth::KeyIx,
    asked_us: u64,
    got: &Got,
    wanted: WantedBodies,
    r: u8,
) {
    for version in got.record.versions() {
        let found = dots::check_version(&watch.truth, key, version);
        watch.judge(now_us, Promise::OneDotOneValue, found);
    }
    if got.stand_ins.is_empty() {
        let found = acked_kept::check_record(&watch.truth, key, asked_us, &got.record, Counted::ByHomes);
        watch.judge(now_us, Promise::AckedKept, found);
        let found = replaced::check_record(&watch.truth, key, asked_us, &got.record);
        watch.judge(now_us, Promise::ReplacedStays, found);
    } else {
        watch.coverage.reach(Reached::SloppyReads);
        // A home that was given up in the middle of the read, or abstained, and for which a stand-in was asked, may answer after all.
        let gave_up_us = watch.gave_up_us.get(&got.coordinator).copied().unwrap_or(0);
        if gave_up_us < asked_us {
            let found = homes_first(watch.truth.of(key), got, r, watch.rotting);
            watch.judge(now_us, Promise::HomesFirst, found);
        }
    }
    let visible = got.record.visible().map(|version| version.dot);
    for version in got.record.versions() {
        let row = got
            .bodies
            .iter()
            .find(|(dot, _)| *dot == version.dot)
            .map(|(_, row)| row);
        let must_come = wanted == WantedBodies::All || wanted == WantedBodies::Newest && visible == Some(version.dot);
        if row.is_some() || must_come {
            let found = bodies::check_body_row(&watch.truth, version, row);
            watch.judge(now_us, Promise::BytesMatch, found);
        }
    }
    if got.record.is_tombstone() {
        watch.coverage.reach(Reached::Tombstones);
    }
}

/// An answer that is a failure.
pub(super) fn failure(watch: &mut Watch, answer: &Answer) {
    if matches!(answer, Answer::WriteFailed(error) if error.fault == WriteFault::TooManySiblings) {
        watch.coverage.reach(Reached::SiblingsCapped);
    }
}

/// An attempt ended without a certain answer: it may take effect late.
pub(super) fn uncertain(watch: &mut Watch, operation: &Operation) {
    if let Some((write, _)) = operation.ask.write {
        watch.truth.abandon(write);
    }
    if let Request::Upload(upload) = &operation.ask.what
        && let UploadStep::PutPart { id, part } = &upload.step
        && let Some(upload) = watch.truth.uploads.get_mut(*id)
    {
        let of_part = upload.parts.iter_mut().filter(|known| known.part == part.part);
        of_part.for_each(|known| known.abandoned = true);
    }
}

/// A client gave up on an operation.
pub(super) fn given_up(now_us: u64, watch: &mut Watch, operation: &Operation) {
    let Some((write, _)) = operation.ask.write else {
        return watch.coverage.reach(Reached::ReadsFailed);
    };
    if operation.may_have_changed {
        return watch.coverage.reach(Reached::WritesUnknown);
    }
    watch.coverage.reach(Reached::WritesRefused);
    watch.truth.refuse(write);
    let of = watch.truth.write(write);
    if let Some(dot) = of.dots.last() {
        let dot = watch.truth.of(of.key).dots[dot.0].dot;
        let what = format!(
            "{} is said to have changed nothing; it made {}",
            operation.describe(),
            dots::name(dot)
        );
        watch.violated(now_us, Promise::HonestAnswers, what);
    }
}
