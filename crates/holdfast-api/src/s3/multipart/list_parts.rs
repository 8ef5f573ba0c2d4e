//! ListParts.

use holdfast_core::request::{UploadPart, UploadState};
use s3s::dto::{ChecksumAlgorithm, ChecksumType, ETag, Initiator, ListPartsInput, ListPartsOutput, Part, StorageClass};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::super::checksums::set_checksum;
use super::super::{Front, errors, refused, timestamp};
use super::{Chosen, UploadName};
use crate::object_headers::checksums_in;

/// Most parts in one page.
const PARTS_MAX: usize = 1_000;

pub(in crate::s3) async fn list_parts(
    front: &Front,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let upload = UploadName::parse(&input.upload_id)?;
    let count_max = match input.max_parts.map(usize::try_from) {
        None => PARTS_MAX,
        Some(Ok(count)) => count.min(PARTS_MAX),
        Some(Err(_)) => return Err(s3_error!(InvalidArgument, "max-parts must not be negative.")),
    };
    let marker = input.part_number_marker.unwrap_or(0);
    let bucket = front.bucket(&input.bucket).await?;
    let (info, parts) = front
        .objects
        .upload(&bucket, &input.key, upload.id)
        .await
        .map_err(|fault| errors::read_fault(&fault))?;
    if info.state != UploadState::Open {
        return Err(errors::no_such_upload());
    }
    let mut wanted = parts.iter().filter(|part| i32::from(part.number) > marker);
    let page: Vec<Part> = wanted.by_ref().take(count_max).map(told).collect();
    let more = count_max > 0 && wanted.next().is_some();
    let chosen = Chosen::stored(&info.headers);
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: chosen.map(|chosen| ChecksumAlgorithm::from_static(chosen.algorithm.name())),
        checksum_type: chosen.map(|chosen| ChecksumType::from_static(chosen.whole.name())),
        initiator: Some(Initiator {
            display_name: Some(info.initiator.clone()),
            id: Some(info.initiator),
        }),
        owner: Some(front.owner()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        is_truncated: Some(more),
        max_parts: i32::try_from(count_max).ok(),
        part_number_marker: Some(marker),
        next_part_number_marker: page.last().and_then(|part| part.part_number).filter(|_| more),
        parts: Some(page),
        ..ListPartsOutput::default()
    }))
}

fn told(part: &UploadPart) -> Part {
    let mut told = Part {
        part_number: Some(i32::from(part.number)),
        e_tag: Some(ETag::Strong(part.etag.clone())),
        size: i64::try_from(part.size).ok(),
        last_modified: Some(timestamp(part.modified_ms)),
        ..Part::default()
    };
    for (algorithm, value) in checksums_in(&part.checksums) {
        set_checksum!(told, algorithm, value.to_owned());
    }
    told
}
