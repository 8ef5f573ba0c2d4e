//! *An acknowledged write is present, or causally covered*: whatever a quorum read returns holds the write, or something
//! whose true history, as the simulator knows it, replaced it.
//!
//! While faults last, that is promised of writes which W homes have, to reads which only homes answered: what stand-ins
//! took reaches the homes with the next handoff. Once all is healed it is promised of every write.

use holdfast_core::record::Record;

use super::dots::name;
use crate::truth::{KeyIx, Truth};

/// Which acknowledged writes a reader may count on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Those that W homes had synced.
    ByHomes,
    /// All of them.
    All,
}

/// Judges a record that a read, asked at `asked_us`, returned or would return.
#[must_use]
pub fn check_record(truth: &Truth, key: KeyIx, asked_us: u64, record: &Record, counted: Counted) -> Option<String> {
    let of = truth.of(key);
    let mut seen = truth.seen_in(key, record);
    seen.union(&of.forgotten);
    for write in &of.acked {
        let write = truth.write(*write);
        let Some(acked) = write.acked.as_ref().filter(|acked| acked.at_us < asked_us) else {
            break;
        };
        if !acked.by_homes && counted == Counted::ByHomes {
            continue;
        }
        let kept = seen.contains(acked.dot.0) || write.dots.iter().any(|dot| seen.contains(dot.0));
        if !kept {
            let dot = name(of.dots[acked.dot.0].dot);
            return Some(format!(
                "{:?} lost {dot} of {}, acknowledged at {} us; found are {}",
                of.place.key,
                write.request,
                acked.at_us,
                show(record)
            ));
        }
    }
    None
}

/// The dots of a record, for people.
#[must_use]
pub fn show(record: &Record) -> String {
    let dots: Vec<String> = record.versions().iter().map(|version| name(version.dot)).collect();
    format!("[{}]", dots.join(", "))
}
