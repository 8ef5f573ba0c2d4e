//! ListMultipartUploads. The port knows no delimiter here; common prefixes are grouped on the way, seeking past each.

use holdfast_core::ids::UploadId;
use holdfast_core::request::UploadInfo;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, EncodingType, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, MultipartUpload, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::super::list::url_encode;
use super::super::{Front, errors, refused, timestamp};
use super::{Chosen, UploadName};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::objects::{BucketRef, ListUploads};

pub(in crate::s3) async fn list_uploads(
    front: &Front,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let encode = match input.encoding_type.as_ref().map(EncodingType::as_str) {
        None => false,
        Some("url") => true,
        Some(_) => {
            return Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request"
            ));
        }
    };
    let text = |text: String| if encode { url_encode(&text) } else { text };
    let count_max = match input.max_uploads.map(u32::try_from) {
        None => PAGE_ENTRIES_MAX,
        Some(Ok(count)) => count.min(PAGE_ENTRIES_MAX),
        Some(Err(_)) => return Err(s3_error!(InvalidArgument, "max-uploads must not be negative.")),
    };
    let bucket = front.bucket(&input.bucket).await?;
    // An upload id marker without a key marker is ignored, as AWS does.
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let id_marker = match input.upload_id_marker.as_deref().filter(|marker| !marker.is_empty()) {
        Some(marker) if !key_marker.is_empty() => Some(UploadName::parse(marker)?.id),
        _ => None,
    };
    let walk = Walk {
        front,
        bucket: &bucket,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        count_max,
    };
    let found = walk.page((key_marker, id_marker)).await?;
    let uploads = found.uploads.into_iter().map(|info| {
        let mut told = told(front, info);
        told.key = told.key.map(text);
        told
    });
    let prefixes = found.prefixes.into_iter();
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.map(text),
        delimiter: input.delimiter.map(text),
        encoding_type: input.encoding_type,
        key_marker: Some(input.key_marker.map(text).unwrap_or_default()),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        max_uploads: i32::try_from(count_max).ok(),
        is_truncated: Some(found.next.is_some()),
        next_upload_id_marker: found.next.as_ref().and_then(|(_, name)| name.clone()),
        next_key_marker: found.next.map(|(key, _)| text(key)),
        uploads: Some(uploads.collect()),
        common_prefixes: Some(
            prefixes
                .map(|prefix| CommonPrefix {
                    prefix: Some(text(prefix)),
                })
                .collect(),
        ),
        ..ListMultipartUploadsOutput::default()
    }))
}

struct Walk<'a> {
    front: &'a Front,
    bucket: &'a BucketRef,
    prefix: String,
    delimiter: String,
    count_max: u32,
}

#[derive(Default)]
struct Found {
    uploads: Vec<UploadInfo>,
    prefixes: Vec<String>,
    /// Where the next page starts: after this key, and after this upload of it if named.
    next: Option<(String, Option<String>)>,
}

impl Walk<'_> {
    async fn page(&self, mut after: (String, Option<UploadId>)) -> S3Result<Found> {
        let mut found = Found::default();
        let mut last = None;
        let mut left = self.count_max;
        'ask: while left > 0 {
            let ask = ListUploads {
                prefix: self.prefix.clone(),
                after: after.clone(),
                count_max: left.saturating_add(1),
            };
            let (infos, more) = self
                .front
                .objects
                .uploads(self.bucket, ask)
                .await
                .map_err(|fault| errors::read_fault(&fault))?;
            for info in infos {
                let group = self.group(&info.key).filter(|group| *group > after.0.as_str());
                let group = group.map(str::to_owned);
                if group.is_none() && self.group(&info.key).is_some() {
                    // Of a group that an earlier page told.
                    after = (past(self.group(&info.key).unwrap_or_default()), None);
                    continue 'ask;
                }
                if left == 0 {
                    found.next = last;
                    return Ok(found);
                }
                left -= 1;
                if let Some(group) = group {
                    last = Some((group.clone(), None));
                    after = (past(&group), None);
                    found.prefixes.push(group);
                    if left == 0 {
                        break;
                    }
                    continue 'ask;
                }
                after = (info.key.clone(), Some(info.id));
                last = Some((info.key.clone(), Some(name(&info))));
                found.uploads.push(info);
            }
            if !more && left > 0 {
                return Ok(found);
            }
        }
        if self.count_max > 0 && self.more_after(&after).await? {
            found.next = last;
        }
        Ok(found)
    }

    async fn more_after(&self, after: &(String, Option<UploadId>)) -> S3Result<bool> {
        let ask = ListUploads {
            prefix: self.prefix.clone(),
            after: after.clone(),
            count_max: 1,
        };
        let (infos, _) = self
            .front
            .objects
            .uploads(self.bucket, ask)
            .await
            .map_err(|fault| errors::read_fault(&fault))?;
        Ok(!infos.is_empty())
    }

    fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let at = rest.find(&self.delimiter)?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }
}

/// A marker behind every key that begins so.
fn past(group: &str) -> String {
    format!("{group}\u{10FFFF}")
}

fn name(info: &UploadInfo) -> String {
    let chosen = Chosen::stored(&info.headers);
    UploadName { id: info.id, chosen }.to_text()
}

fn told(front: &Front, info: UploadInfo) -> MultipartUpload {
    let chosen = Chosen::stored(&info.headers);
    MultipartUpload {
        upload_id: Some(name(&info)),
        key: Some(info.key),
        initiated: Some(timestamp(info.created_ms)),
        initiator: Some(Initiator {
            display_name: Some(info.initiator.clone()),
            id: Some(info.initiator),
        }),
        owner: Some(front.owner()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: chosen.map(|chosen| ChecksumAlgorithm::from_static(chosen.algorithm.name())),
        checksum_type: chosen.map(|chosen| ChecksumType::from_static(chosen.whole.name())),
    }
}
