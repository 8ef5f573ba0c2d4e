//! GetObjectAttributes.

use holdfast_core::content::{Content, Manifest};
use holdfast_core::record::Version;
use holdfast_core::request::WantedBodies;
use s3s::dto::{
    Checksum, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts, ObjectPart,
    StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::set_checksum;
use super::get_object::read;
use super::list::checksum_type;
use super::{Front, refused, timestamp};
use crate::object_headers::{self, checksums_in};

/// Most parts in one page.
const PARTS_MAX: usize = 1_000;

pub(super) async fn get_object_attributes(
    front: &Front,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    if input.version_id.as_deref().is_some_and(|version| version != "null") {
        return Err(s3_error!(NoSuchVersion, "The specified version does not exist."));
    }
    let asked = |name: &str| {
        input
            .object_attributes
            .iter()
            .any(|attribute| attribute.as_str() == name)
    };
    let bucket = front.bucket(&input.bucket).await?;
    let bodies = if asked("ObjectParts") {
        WantedBodies::Newest
    } else {
        WantedBodies::None
    };
    let (Version { content, dot, .. }, row, _) = read(front, &bucket, &input.key, bodies).await?;
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(timestamp(dot.tick.millis())),
        ..GetObjectAttributesOutput::default()
    };
    if asked("ETag") {
        // Without quotes here, unlike everywhere else.
        output.e_tag = Some(ETag::Strong(content.etag.clone()));
    }
    if asked("ObjectSize") {
        output.object_size = i64::try_from(content.size).ok();
    }
    if asked("StorageClass") {
        output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
    }
    if asked("Checksum") {
        output.checksum = checksum(&content);
    }
    if asked("ObjectParts") && content.etag.contains('-') {
        let manifest = front.objects.manifest(content.body, &row).unwrap_or_default();
        output.object_parts = Some(parts(&manifest, input.max_parts, input.part_number_marker));
    }
    Ok(S3Response::new(output))
}

fn checksum(content: &Content) -> Option<Checksum> {
    let (algorithm, value) = object_headers::checksums(content).next()?;
    let mut checksum = Checksum {
        checksum_type: Some(checksum_type(value)),
        ..Checksum::default()
    };
    set_checksum!(checksum, algorithm, value.to_owned());
    Some(checksum)
}

fn parts(manifest: &Manifest, max_parts: Option<i32>, marker: Option<i32>) -> GetObjectAttributesParts {
    let asked = max_parts.and_then(|count| usize::try_from(count).ok());
    let count_max = asked.unwrap_or(PARTS_MAX).min(PARTS_MAX);
    let marker = marker.unwrap_or(0);
    let mut wanted = manifest.parts.iter().filter(|part| i32::from(part.number) > marker);
    let page = wanted.by_ref().take(count_max).map(|part| {
        let mut told = ObjectPart {
            part_number: Some(i32::from(part.number)),
            size: i64::try_from(part.size).ok(),
            ..ObjectPart::default()
        };
        for (algorithm, value) in checksums_in(&part.checksums) {
            set_checksum!(told, algorithm, value.to_owned());
        }
        told
    });
    let page: Vec<ObjectPart> = page.collect();
    let more = wanted.next().is_some();
    GetObjectAttributesParts {
        total_parts_count: i32::try_from(manifest.parts.len()).ok(),
        part_number_marker: Some(marker),
        max_parts: i32::try_from(count_max).ok(),
        is_truncated: Some(more),
        next_part_number_marker: page.last().and_then(|part| part.part_number),
        parts: Some(page),
    }
}
