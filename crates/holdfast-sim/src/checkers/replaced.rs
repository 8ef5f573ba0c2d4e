//! *A later plain write always replaces an earlier acknowledged one, whatever the clocks* (D4), and what was replaced
//! or deleted is never shown again.

use holdfast_core::ids::Dot;
use holdfast_core::record::Record;
use holdfast_core::request::PutOutcome;

use super::Promise;
use super::dots::name;
use crate::coverage::Reached;
use crate::truth::{DotIx, DotTruth, KeyIx, KeyTruth, Truth, WriteIx};
use crate::watch::Watch;

/// A client learned that its write is done: what it replaced is dead from now on.
pub fn acknowledged(watch: &mut Watch, now_us: u64, write: WriteIx, outcome: &PutOutcome) {
    let truth = &watch.truth;
    let of_write = truth.write(write);
    let (key, of) = (of_write.key, truth.of(of_write.key));
    let Some(dot) = of.by_dot.get(&outcome.dot).copied() else {
        let what = format!(
            "{} is acknowledged under {}, which was never issued",
            of_write.request,
            name(outcome.dot)
        );
        return watch.violated(now_us, Promise::HonestAnswers, what);
    };
    if of.dots[dot.0].write != write {
        let what = format!(
            "{} is acknowledged under {} of another write",
            of_write.request,
            name(outcome.dot)
        );
        return watch.violated(now_us, Promise::HonestAnswers, what);
    }
    let by_homes = outcome.written.len() >= usize::from(of.settings.w).min(of.homes.len());
    if !by_homes {
        // The homes may not have heard of it: it is concurrent with what they do meanwhile.
        watch.coverage.reach(Reached::SloppyAcks);
        return watch.truth.acknowledge(now_us, write, dot, false);
    }
    let mut dead: Vec<DotIx> = Vec::new();
    let mut replaced: Vec<WriteIx> = Vec::new();
    let mut replaced_dots: Vec<DotIx> = Vec::new();
    let mut unreplaced = None;
    for earlier_ix in &of.acked {
        let earlier = truth.write(*earlier_ix);
        let Some(acked) = earlier.acked.as_ref().filter(|acked| acked.at_us < of_write.invoked_us) else {
            break;
        };
        if !acked.by_homes {
            continue;
        }
        let earlier_dot = of.dots[acked.dot.0].dot;
        if of_write.known.is_none() {
            dead.push(acked.dot);
            replaced.push(*earlier_ix);
            let is_forgotten = of.forgotten.contains(acked.dot.0);
            let covers_it = replaces(outcome, earlier_dot);
            if covers_it {
                replaced_dots.push(acked.dot);
            }
            let is_covered = covers_it || is_forgotten || covers_what_replaced(of, acked.dot, outcome);
            if unreplaced.is_none() && !is_covered {
                unreplaced = Some(format!(
                    "blind {} of {:?}, begun at {} us and done as {}, does not cover {}, acknowledged at {} us",
                    of_write.request,
                    of.place.key,
                    of_write.invoked_us,
                    name(outcome.dot),
                    name(earlier_dot),
                    acked.at_us
                ));
            }
        }
    }
    let covers = match &of_write.known {
        Some(known) => Some(&known.context),
        // With siblings beside it, the context covers versions that live on.
        None => (outcome.siblings <= 1).then_some(&outcome.context),
    };
    if let Some(context) = covers {
        // A write that proved to have been replaced already covers what came after it, but did not replace that.
        let covered = |dot: &DotTruth| dot.write != write && context.covers(dot.dot);
        let earlier = of.dots.iter().take(dot.0).enumerate();
        dead.extend(earlier.filter(|(_, dot)| covered(dot)).map(|(index, _)| DotIx(index)));
    }
    watch.coverage.add(Reached::Replaced, dead.len() as u64);
    for dead in dead {
        watch.truth.kill(key, dead, now_us);
    }
    for replaced in replaced {
        watch.truth.replace(replaced, now_us);
    }
    for replaced in replaced_dots {
        watch.truth.note_replaced_by(key, replaced, dot);
    }
    watch.truth.acknowledge(now_us, write, dot, true);
    watch.judge(now_us, Promise::BlindReplaces, unreplaced);
}

/// Whether a write covers one that had been seen to replace a dot: it need not name the dot once more.
fn covers_what_replaced(of: &KeyTruth, dot: DotIx, outcome: &PutOutcome) -> bool {
    let mut by = of.dots[dot.0].replaced_by;
    while let Some(replaced_by) = by {
        let replacer = &of.dots[replaced_by.0];
        if outcome.context.covers(replacer.dot) {
            return true;
        }
        by = replacer.replaced_by;
    }
    false
}

/// Whether the answer to a blind write shows that it replaced a dot: by its own context, or, when a retry only carried
/// its write on, by that of the record which the coordinator sent round.
fn replaces(outcome: &PutOutcome, dot: Dot) -> bool {
    let sent = outcome.clocks.iter().find(|(node, _)| *node == outcome.coordinator);
    outcome.context.covers(dot) || sent.is_some_and(|(_, context)| context.covers(dot))
}

/// Judges a record that a read, asked at `asked_us`, returned or would return.
#[must_use]
pub fn check_record(truth: &Truth, key: KeyIx, asked_us: u64, record: &Record) -> Option<String> {
    let of = truth.of(key);
    record.versions().iter().find_map(|version| {
        let dot = &of.dots[of.by_dot.get(&version.dot)?.0];
        let write = truth.write(dot.write);
        let again = write.replaced_us.filter(|_| !write.abandoned);
        let dead_us = dot.dead_us.or(again).filter(|dead_us| *dead_us < asked_us)?;
        let how = if dot.dead_us.is_some() { "" } else { ", and has come back under a new dot" };
        Some(format!(
            "{:?} shows {} of {} to a read of {asked_us} us; it was replaced for good at {dead_us} us{how}; found are {}",
            of.place.key,
            name(version.dot),
            version.request,
            super::acked_kept::show(record)
        ))
    })
}
