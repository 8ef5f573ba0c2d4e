//! Listings, page by page, each page through any node; now and then of open uploads.

use holdfast_core::ids::{ObjectKey, UploadId};
use holdfast_core::request::{Answer, List, Request, Upload, UploadStep};

use super::Context;
use super::operation::{Ask, Outcome};
use super::setting::Target;
use crate::coverage::Reached;
use crate::rng::Rng;

/// A listing under way.
pub(super) struct Listing {
    target: Target,
    list: List,
    of_uploads: bool,
    uploads_after: (String, Option<UploadId>),
    pages_left: u64,
}

impl Listing {
    pub(super) fn new(rng: &mut Rng, target: Target) -> Self {
        let prefix = *rng.pick(&["", "", "", "a", "a/", "a/b", "b/", "k0", "z/z", "ü", "none"]);
        let delimiter = *rng.pick(&["", "", "/", "/", "0", "z/"]);
        let after = if rng.per_mille(150) {
            rng.pick(&target.keys).clone()
        } else {
            String::new()
        };
        let list = List {
            settings: target.settings,
            prefix: prefix.to_owned(),
            delimiter: delimiter.to_owned(),
            after,
            count_max: rng.spread(1, 60) as u32,
        };
        Self {
            target,
            list,
            of_uploads: rng.per_mille(150),
            uploads_after: (String::new(), None),
            pages_left: rng.between(1, 12),
        }
    }

    /// Everything, to the end.
    pub(super) fn in_full(rng: &mut Rng, target: Target) -> Self {
        let mut listing = Self::new(rng, target);
        listing.list.prefix.clear();
        listing.list.after.clear();
        listing.of_uploads = false;
        listing.pages_left = u64::MAX;
        listing
    }

    pub(super) fn next(&mut self, cx: &mut Context<'_>, outcome: Option<Outcome>) -> Option<Ask> {
        match outcome {
            None => {}
            Some(Outcome::Answered {
                answer: Answer::Page(page),
                ..
            }) => {
                self.list.after = page.next?;
                cx.watch.coverage.reach(Reached::PageContinued);
            }
            Some(Outcome::Answered {
                answer: Answer::Uploads(page, true),
                ..
            }) => {
                let last = page.last()?;
                self.uploads_after = (last.key.clone(), Some(last.id));
            }
            Some(_) => return None,
        }
        self.pages_left = self.pages_left.checked_sub(1)?;
        if self.of_uploads {
            let list = UploadStep::List {
                prefix: self.list.prefix.clone(),
                after: self.uploads_after.clone(),
                count_max: self.list.count_max,
            };
            let upload = Upload {
                settings: self.target.settings,
                key: ObjectKey {
                    bucket: self.target.settings.id,
                    key: String::new(),
                },
                step: list,
            };
            return Some(Ask::read(cx, Request::Upload(upload)));
        }
        Some(Ask::read(cx, Request::List(self.list.clone())))
    }
}
