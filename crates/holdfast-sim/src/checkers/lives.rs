//! *A copy covers every dot issued in its life* (D2), checked at the only moment at which it can begin to be false: when
//! the node issues the next dot of that life. Also D1: a tick lies above everything the copy knew.

use holdfast_core::ids::Dot;
use holdfast_core::record::Record;

use super::dots::name;
use crate::truth::{KeyIx, Truth};

/// Judges a dot that is about to be issued over a copy.
#[must_use]
pub fn check_issue(truth: &Truth, key: KeyIx, before: Option<&Record>, dot: Dot) -> Option<String> {
    let of = truth.of(key);
    if let Some(before) = before
        && before.tick_max() >= dot.tick
    {
        return Some(format!(
            "{} of {:?} is not above what its copy knew",
            name(dot),
            of.place.key
        ));
    }
    let last = *of.issued.get(&(dot.actor, dot.life))?;
    let last = Dot { tick: last, ..dot };
    let covered = before.is_some_and(|before| before.context().covers(last)) && dot.tick > last.tick;
    (!covered).then(|| {
        let key = &of.place.key;
        format!(
            "{} of {key:?} is issued in a life whose {} the copy has forgotten",
            name(dot),
            name(last)
        )
    })
}
