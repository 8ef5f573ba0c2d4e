//! *One client write makes one version* (D7): a coordinator whose own record holds the request alive must carry it on,
//! not write it again under a new dot. Only the second round of D4, which answers to replies, may give it one.

use holdfast_core::record::{Record, Version};

use super::dots::name;
use crate::truth::{KeyIx, Truth};
use crate::watch::Cause;

/// Judges a dot that is about to be issued over a copy.
#[must_use]
pub fn check_issue(
    truth: &Truth,
    key: KeyIx,
    before: Option<&Record>,
    version: &Version,
    cause: Cause,
) -> Option<String> {
    let before = before?;
    let earlier = before.find_request(version.request)?;
    if before.versions().len() > 1 {
        // Where the node is its own quorum, a sibling demands the second round within the same step.
        return None;
    }
    (cause.request() == Some(version.request)).then(|| {
        let key = &truth.of(key).place.key;
        let (again, first) = (name(version.dot), name(earlier.dot));
        format!(
            "{} of {key:?} was there as {first}; its retry made {again}",
            version.request
        )
    })
}
