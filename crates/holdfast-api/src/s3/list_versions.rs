//! ListObjectVersions of a bucket that never had versioning: every object is its own latest, with the id `null`.

use holdfast_core::request::PageEntry;
use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::list::url_encode;
use super::{Front, errors, refused, timestamp};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::objects::ListObjects;

pub(super) async fn list_object_versions(
    front: &Front,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let encode = input
        .encoding_type
        .as_ref()
        .is_some_and(|kind| kind.as_str() == EncodingType::URL);
    let text = |text: String| if encode { url_encode(&text) } else { text };
    let count_max = match input.max_keys.map(u32::try_from) {
        None => PAGE_ENTRIES_MAX,
        Some(Ok(count)) => count.min(PAGE_ENTRIES_MAX),
        Some(Err(_)) => return Err(s3_error!(InvalidArgument, "max-keys must not be negative.")),
    };
    let bucket = front.bucket(&input.bucket).await?;
    let page = ListObjects {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.key_marker.clone().unwrap_or_default(),
        count_max,
    };
    let page = if count_max == 0 {
        holdfast_core::request::Page::default()
    } else {
        let page = front.objects.list(&bucket, page).await;
        page.map_err(|fault| errors::read_fault(&fault))?
    };
    let (mut versions, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            PageEntry::CommonPrefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(text(prefix)),
            }),
            PageEntry::Object { key, record } => {
                let Some(version) = record.visible() else { continue };
                versions.push(ObjectVersion {
                    e_tag: Some(ETag::Strong(version.content.etag.to_owned())),
                    is_latest: Some(true),
                    key: Some(text(key)),
                    last_modified: Some(timestamp(version.dot.tick.millis())),
                    owner: Some(front.owner()),
                    size: i64::try_from(version.content.size).ok(),
                    storage_class: Some(ObjectVersionStorageClass::from_static(
                        ObjectVersionStorageClass::STANDARD,
                    )),
                    version_id: Some("null".to_owned()),
                    ..ObjectVersion::default()
                });
            }
        }
    }
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(input.prefix.map(text).unwrap_or_default()),
        delimiter: input.delimiter.map(text),
        encoding_type: input.encoding_type,
        key_marker: Some(input.key_marker.map(text).unwrap_or_default()),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: i32::try_from(count_max).ok(),
        is_truncated: Some(page.next.is_some()),
        next_version_id_marker: page.next.is_some().then(|| "null".to_owned()),
        next_key_marker: page.next.map(text),
        versions: Some(versions),
        common_prefixes: Some(prefixes),
        ..ListObjectVersionsOutput::default()
    }))
}
