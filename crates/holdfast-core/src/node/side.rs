//! Side rows: multipart uploads and their parts, beside the key they will become (rule D9).
//!
//! They need no contexts: an upload's state only rises, *open < aborted < completed*, and of two attempts at one part
//! the higher stamp wins. So merging is a maximum, and any node may coordinate.

use alloc::vec::Vec;
use bytes::Bytes;

use super::fingerprints::end_of_scan;
use super::state::Step;
use crate::fingerprint::KeyRange;
use crate::ids::UploadId;
use crate::message::{Refusal, SideRange, SideRow};
use crate::place::{Place, after_prefix};
use crate::request::{UploadInfo, UploadState};
use crate::storage::{Batch, Space, Visit};
use crate::wire::side::{UploadRow, decode_part, decode_upload, encode_upload};

/// The later of two encoded values of one side row; `None` when neither side is readable as what its space holds.
pub(crate) fn merge_values(space: Space, ours: Option<&Bytes>, theirs: &Bytes) -> Option<Bytes> {
    let Some(ours) = ours else {
        let readable = match space {
            Space::Uploads => decode_upload(theirs).is_ok(),
            Space::Parts => decode_part(theirs).is_ok(),
            _ => false,
        };
        return readable.then(|| theirs.clone());
    };
    match space {
        Space::Uploads => {
            let (a, b) = (decode_upload(ours).ok()?.info, decode_upload(theirs).ok()?.info);
            Some(
                encode_upload(&UploadRow {
                    info: merge_uploads(a, b),
                })
                .into(),
            )
        }
        Space::Parts => {
            let (a, b) = (decode_part(ours).ok()?, decode_part(theirs).ok()?);
            Some(if b.stamp > a.stamp {
                theirs.clone()
            } else {
                ours.clone()
            })
        }
        _ => None,
    }
}

/// What two copies of an upload's row amount to. Beginning an upload may have been tried twice, so what was said then
/// may differ, too: the earlier is kept, by a rule that does not depend on who asks.
fn merge_uploads(a: UploadInfo, b: UploadInfo) -> UploadInfo {
    let state = a.state.max(b.state);
    let commit_deadline_ms = a.commit_deadline_ms.max(b.commit_deadline_ms);
    let said = |info: &UploadInfo| (info.created_ms, info.headers.clone(), info.initiator.clone());
    let earlier = if said(&b) < said(&a) { b } else { a };
    UploadInfo {
        state,
        commit_deadline_ms,
        ..earlier
    }
}

/// The key of the upload that a part's key is of: all but the number of two bytes.
pub(crate) fn upload_key_of(part: &[u8]) -> &[u8] {
    part.get(..part.len().saturating_sub(2)).unwrap_or_default()
}

fn parse_upload_key(key: &[u8]) -> Option<(Place, UploadId)> {
    let (place, id) = Place::parse(key)?;
    Some((place, UploadId(u128::from_be_bytes(id.try_into().ok()?))))
}

/// Whether the row of an upload says that it is aborted or completed.
pub(super) fn is_closed(upload: &[u8]) -> bool {
    decode_upload(upload).is_ok_and(|row| row.info.state != UploadState::Open)
}

/// Whether a row only ends an upload, which gives space back.
pub(super) fn closes_upload(row: &SideRow) -> bool {
    row.space == Space::Uploads && is_closed(&row.value)
}

impl Step<'_> {
    /// Merges side rows into a batch; rows that would not change are left out.
    pub(crate) fn merge_side_rows(&mut self, rows: &[SideRow], batch: &mut Batch) -> Result<(), Refusal> {
        for row in rows {
            let ours = self.storage.get(row.space, &row.key)?;
            let merged = merge_values(row.space, ours.as_ref(), &row.value).ok_or(Refusal::Malformed)?;
            if ours.as_ref() != Some(&merged) {
                if row.space == Space::Uploads
                    && is_closed(&merged)
                    && !ours.as_ref().is_some_and(|ours| is_closed(ours))
                {
                    self.note_closed(&row.key, batch)?;
                }
                batch.put(row.space, row.key.clone(), merged);
            }
        }
        Ok(())
    }

    /// Whether nobody can complete an upload any more, whatever clock says so: every home refuses a commit after the deadline.
    pub(crate) const fn has_expired(&self, upload: &UploadInfo) -> bool {
        matches!(upload.state, UploadState::Open) && self.is_outlived(upload.commit_deadline_ms)
    }

    /// Uploads on this disk whose deadline has passed, from a key on, and where to go on, if that was not all.
    pub(crate) fn expired_uploads(&self, from: &[u8], rows_max: usize) -> (Vec<(Place, UploadId)>, Option<Vec<u8>>) {
        let (mut expired, mut rows, mut next) = (Vec::new(), 0, None);
        // A disk that cannot be read is told of by whoever must read it.
        let _ = self.storage.scan(Space::Uploads, from, &[0xff; 32], &mut |key, row| {
            if rows == rows_max {
                next = Some(key.to_vec());
                return Visit::Stop;
            }
            rows += 1;
            if let (Some(named), Ok(row)) = (parse_upload_key(key), decode_upload(row))
                && self.has_expired(&row.info)
            {
                expired.push(named);
            }
            Visit::Next
        });
        (expired, next)
    }

    /// An upload is closed here: unless a version names its parts, they are dead; and its row is to go.
    fn note_closed(&mut self, key: &[u8], batch: &mut Batch) -> Result<(), Refusal> {
        if let Some((place, upload)) = parse_upload_key(key) {
            self.note_dead_upload(&place, upload, batch)?;
            self.file_closed_upload(&place, upload, batch);
        }
        Ok(())
    }

    /// Files the rows of closed uploads in a range that are not filed: those of a bucket that was not known when they came.
    pub(crate) fn file_closed_uploads(&mut self, range: &KeyRange) {
        let mut closed = Vec::new();
        // What lies beyond a row that cannot be read is not known from here: comparisons ask others for it.
        let _ = self
            .storage
            .scan(Space::Uploads, &range.from, end_of_scan(range), &mut |key, row| {
                if is_closed(row) {
                    closed.extend(parse_upload_key(key));
                }
                Visit::Next
            });
        let mut batch = Batch::default();
        for (place, upload) in closed {
            self.file_closed_upload(&place, upload, &mut batch);
        }
        self.write_changes(batch);
    }

    /// Refuses part rows whose upload is closed here. An upload this node has not heard of may be open elsewhere.
    pub(crate) fn refuse_if_closed(&self, rows: &[SideRow]) -> Result<(), Refusal> {
        for row in rows.iter().filter(|row| row.space == Space::Parts) {
            let Some(upload) = self.storage.get(Space::Uploads, upload_key_of(&row.key))? else {
                continue;
            };
            let upload = decode_upload(&upload).map_err(|_| Refusal::Damaged)?;
            if upload.info.state != UploadState::Open {
                return Err(Refusal::UploadClosed);
            }
        }
        Ok(())
    }

    /// Side rows of some ranges, at most `count_max` of each, and whether each was cut short.
    pub(crate) fn read_side(&self, ranges: &[SideRange], count_max: u32) -> Result<Vec<(Vec<SideRow>, bool)>, Refusal> {
        let mut answer = Vec::with_capacity(ranges.len());
        for range in ranges.iter().map(SideRange::forward) {
            let (mut rows, mut cut) = (Vec::new(), false);
            self.storage
                .scan(range.space, &range.from, &range.to, &mut |key, value| {
                    if rows.len() >= count_max as usize {
                        cut = true;
                        return Visit::Stop;
                    }
                    let (key, value) = (key.to_vec(), Bytes::copy_from_slice(value));
                    rows.push(SideRow {
                        space: range.space,
                        key,
                        value,
                    });
                    Visit::Next
                })?;
            answer.push((rows, cut));
        }
        Ok(answer)
    }
}

/// The row of an upload.
pub(crate) fn upload_row(place: &Place, info: &UploadInfo) -> SideRow {
    let value = encode_upload(&UploadRow { info: info.clone() });
    SideRow {
        space: Space::Uploads,
        key: place.upload_key(info.id),
        value: value.into(),
    }
}

/// The ranges that hold an upload's own row and all its parts.
pub(crate) fn ranges_of(place: &Place, upload: UploadId) -> Vec<SideRange> {
    let key = place.upload_key(upload);
    let to = after_prefix(key.clone());
    alloc::vec![
        SideRange {
            space: Space::Uploads,
            from: key.clone(),
            to: to.clone()
        },
        SideRange {
            space: Space::Parts,
            from: key,
            to
        },
    ]
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::*;
    use crate::ids::{ActorId, PartId, Tick};
    use crate::request::UploadPart;
    use crate::wire::side::{PartRow, encode_part};

    fn upload() -> impl Strategy<Value = Bytes> {
        (0..3u8, 0..3u64, 0..3u64, any::<bool>()).prop_map(|(state, created_ms, commit_deadline_ms, header)| {
            let state = [UploadState::Open, UploadState::Aborted, UploadState::Completed][usize::from(state)];
            let headers = if header {
                alloc::vec![("a".to_string(), "b".to_string())]
            } else {
                Vec::new()
            };
            let (id, key, initiator) = (UploadId(1), "k".to_string(), String::new());
            let info = UploadInfo {
                id,
                key,
                state,
                headers,
                initiator,
                created_ms,
                commit_deadline_ms,
            };
            Bytes::from(encode_upload(&UploadRow { info }))
        })
    }

    fn part() -> impl Strategy<Value = Bytes> {
        (0..3u64, 0..3u64).prop_map(|(tick, actor)| {
            // A stamp names one attempt, so its content follows from it.
            let part = UploadPart {
                number: 1,
                part: PartId(u128::from(tick * 3 + actor)),
                size: tick,
                chunk_bytes: 4,
                etag: String::new(),
                checksums: Vec::new(),
                modified_ms: 0,
            };
            Bytes::from(encode_part(&PartRow {
                stamp: (Tick(tick), ActorId(actor)),
                part,
            }))
        })
    }

    fn merged(space: Space, a: &Bytes, b: &Bytes) -> Bytes {
        merge_values(space, Some(a), b).expect("readable")
    }

    proptest! {
        #[test]
        fn uploads_merge_by_a_law((a, b, c) in (upload(), upload(), upload())) {
            let merged = |a: &Bytes, b: &Bytes| merged(Space::Uploads, a, b);
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }

        #[test]
        fn parts_merge_by_a_law((a, b, c) in (part(), part(), part())) {
            let merged = |a: &Bytes, b: &Bytes| merged(Space::Parts, a, b);
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }
    }
}
