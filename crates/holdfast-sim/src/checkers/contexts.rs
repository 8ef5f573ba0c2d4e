//! *A context claims nothing that its holder did not see or replace* (D2, D3): every dot that a copy's context covers is
//! alive in the copy, or was truly replaced by something in the history of what is alive. A context that claims more
//! makes acknowledged writes vanish at the next merge.

use holdfast_core::record::Record;

use super::dots::name;
use crate::truth::{KeyIx, Truth};

/// Judges a copy.
#[must_use]
pub fn check_copy(truth: &Truth, key: KeyIx, record: &Record) -> Option<String> {
    let of = truth.of(key);
    let seen = truth.seen_in(key, record);
    let claimed = |dot: &crate::truth::DotTruth| record.context().covers(dot.dot);
    let (_, dot) = of.dots.iter().enumerate().find(|(index, dot)| {
        // Siblings with one request id count as one, so either may stand for both.
        let twin_is_seen = || truth.write(dot.write).dots.iter().any(|twin| seen.contains(twin.0));
        !seen.contains(*index) && claimed(dot) && !twin_is_seen()
    })?;
    Some(format!(
        "a copy of {:?} claims {}, which nothing in it replaced",
        of.place.key,
        name(dot.dot)
    ))
}
