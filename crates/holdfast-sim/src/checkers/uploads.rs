//! *Uploads and parts are kept until they are closed, and closed for good then* (D9). One client works on an upload, so
//! what it may see is known exactly.

use holdfast_core::ids::{BucketId, UploadId};
use holdfast_core::request::{UploadInfo, UploadPart, UploadState};

use crate::truth::Truth;

/// Judges an upload and its parts as read at `asked_us`.
#[must_use]
pub fn check_read(
    truth: &Truth,
    id: UploadId,
    asked_us: u64,
    info: &UploadInfo,
    parts: &[UploadPart],
) -> Option<String> {
    let upload = truth.uploads.get(id)?;
    if info.state == UploadState::Open && upload.closed_us.is_some_and(|closed_us| closed_us < asked_us) {
        return Some(format!("upload {id} is open again"));
    }
    if info.state != UploadState::Open {
        return (upload.closing_us.is_none()).then(|| format!("upload {id} is {:?}; nobody closed it", info.state));
    }
    if !parts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        return Some(format!("upload {id} shows parts out of order"));
    }
    for part in parts {
        let named = upload
            .parts
            .iter()
            .any(|known| known.part == part.part && known.number == part.number);
        if !named {
            return Some(format!(
                "upload {id} shows part {} as {}, which nobody named",
                part.number, part.part
            ));
        }
    }
    for known in &upload.parts {
        let kept = known.acked_us.is_some_and(|acked_us| acked_us < asked_us);
        // An attempt without an answer may take effect late, above a later one.
        let superseded = upload.parts.iter().any(|other| {
            let later = other.acked_us.is_none() || other.abandoned || other.invoked_us >= known.invoked_us;
            other.number == known.number && other.part != known.part && later
        });
        let shown = parts.iter().find(|part| part.number == known.number);
        if kept && !superseded && shown.is_none_or(|shown| shown.part != known.part) {
            return Some(format!("upload {id} lost part {}: shows {shown:?}", known.number));
        }
    }
    None
}

/// Judges that an upload was not found by somebody who asked at `asked_us`.
#[must_use]
pub fn check_missing(truth: &Truth, id: UploadId, asked_us: u64) -> Option<String> {
    let upload = truth.uploads.get(id)?;
    let opened = upload.created_us.is_some_and(|created_us| created_us < asked_us);
    (opened && upload.closing_us.is_none()).then(|| format!("upload {id} is lost: nobody closed it"))
}

/// Judges a page of open uploads that was asked for at `asked_us`.
#[must_use]
pub fn check_list(
    truth: &Truth,
    bucket: BucketId,
    prefix: &str,
    after: &(String, Option<UploadId>),
    page: &[UploadInfo],
    more: bool,
    asked_us: u64,
) -> Option<String> {
    let place = |info: &UploadInfo| (info.key.clone(), Some(info.id));
    if !page.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])) {
        return Some("a page of uploads is out of order".to_owned());
    }
    for info in page {
        let closed_us = truth.uploads.get(info.id).and_then(|upload| upload.closed_us);
        if closed_us.is_some_and(|closed_us| closed_us < asked_us) {
            return Some(format!("upload {} is listed after it was closed", info.id));
        }
    }
    let last = page.last().map(place);
    truth.uploads.all().find_map(|(id, upload)| {
        let key = truth.of(upload.key);
        let here = (key.place.key.clone(), Some(id));
        let opened = upload.created_us.is_some_and(|created_us| created_us < asked_us) && upload.closing_us.is_none();
        let in_range = key.place.bucket == bucket
            && here.0.starts_with(prefix)
            && is_after(&here, after)
            && (!more || last.as_ref().is_some_and(|last| here <= *last));
        let missing = opened && in_range && !page.iter().any(|info| info.id == id);
        missing.then(|| format!("open upload {id} of {:?} is not listed", here.0))
    })
}

/// Without an id, *after* excludes every upload of the key.
fn is_after(here: &(String, Option<UploadId>), after: &(String, Option<UploadId>)) -> bool {
    here.0 > after.0 || (here.0 == after.0 && after.1.is_some() && here.1 > after.1)
}
