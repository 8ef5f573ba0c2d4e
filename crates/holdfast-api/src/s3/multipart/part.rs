//! UploadPart and UploadPartCopy.

use std::ops::Range;

use holdfast_core::content::StoredBody;
use holdfast_core::ids::UploadId;
use holdfast_core::request::{UploadPart, WantedBodies};
use s3s::dto::{
    CopyPartResult, ETag, StreamingBlob, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::super::checksums::{Declared, set_checksum};
use super::super::copy::{self, Source};
use super::super::put_object::body_length;
use super::super::{Front, errors, refused, timestamp};
use super::{UploadName, part_number};
use crate::checksum::Algorithm;
use crate::intake::{self, Plan, Received};
use crate::limits::BODY_BYTES_MAX;
use crate::objects::{BodyPurpose, BucketRef};

pub(in crate::s3) async fn upload_part(
    front: &Front,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    refused::always(&request.headers)?;
    refused::conditional(&request.headers)?;
    let mut input = request.input;
    let number = part_number(input.part_number)?;
    let upload = UploadName::parse(&input.upload_id)?;
    let mut declared = Declared::from_headers(&request.headers)?;
    match (declared.algorithm, upload.chosen.map(|chosen| chosen.algorithm)) {
        (Some(given), Some(chosen)) if given != chosen => {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                chosen.name().to_lowercase(),
                given.name().to_lowercase()
            ));
        }
        (None, chosen) => declared.algorithm = chosen,
        (Some(_), _) => {}
    }
    let length = body_length(&request.headers, input.content_length)?;
    let bucket = front.bucket(&input.bucket).await?;
    let writer = front
        .objects
        .write_body(&bucket, &input.key, BodyPurpose::Part { upload: upload.id });
    let plan = plan(front, length, declared.algorithm);
    let source = input
        .body
        .take()
        .unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    let received = intake::take(source, writer, plan)
        .await
        .map_err(|error| errors::intake_error(&error))?;
    declared.verify(&received, request.trailing_headers.as_ref())?;
    let place = Place {
        bucket: &bucket,
        key: &input.key,
        upload: upload.id,
        number,
    };
    let part = store(front, place, received, declared.algorithm).await?;
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.etag)),
        ..UploadPartOutput::default()
    };
    if let Some((algorithm, value)) = part.checksum {
        set_checksum!(output, algorithm, value);
    }
    Ok(S3Response::new(output))
}

pub(in crate::s3) async fn upload_part_copy(
    front: &Front,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let number = part_number(input.part_number)?;
    let upload = UploadName::parse(&input.upload_id)?;
    let bucket = front.bucket(&input.bucket).await?;
    let conditions = copy::Conditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let source = Source::find(front, &input.copy_source, conditions, WantedBodies::Newest).await?;
    let range = match input.copy_source_range.as_deref() {
        None => 0..source.version.content.size,
        Some(text) => source_range(text, source.version.content.size)?,
    };
    let algorithm = upload.chosen.map(|chosen| chosen.algorithm);
    let writer = front
        .objects
        .write_body(&bucket, &input.key, BodyPurpose::Part { upload: upload.id });
    let plan = plan(front, Some(range.end - range.start), algorithm);
    let received = intake::take(source.body(front, range), writer, plan)
        .await
        .map_err(|error| errors::copy_error(&error))?;
    let place = Place {
        bucket: &bucket,
        key: &input.key,
        upload: upload.id,
        number,
    };
    let part = store(front, place, received, algorithm).await?;
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(timestamp(now_ms())),
        ..CopyPartResult::default()
    };
    if let Some((algorithm, value)) = part.checksum {
        set_checksum!(result, algorithm, value);
    }
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..UploadPartCopyOutput::default()
    }))
}

/// When a part was copied, as far as its answer tells; the cluster's own time of it is in listings.
fn now_ms() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(elapsed.unwrap_or_default().as_millis()).unwrap_or(0)
}

fn plan(front: &Front, length: Option<u64>, checksum: Option<Algorithm>) -> Plan {
    Plan {
        length,
        bytes_max: BODY_BYTES_MAX,
        checksum,
        patience: front.settings.body_patience,
    }
}

struct Place<'a> {
    bucket: &'a BucketRef,
    key: &'a str,
    upload: UploadId,
    number: u16,
}

struct StoredPart {
    etag: String,
    checksum: Option<(Algorithm, String)>,
}

/// Stores a part's body and names it in its upload.
async fn store(
    front: &Front,
    place: Place<'_>,
    mut received: Received,
    algorithm: Option<Algorithm>,
) -> S3Result<StoredPart> {
    let etag = received.etag();
    let checksum = algorithm.zip(received.checksum.take());
    let size = received.bytes;
    let body = received.store().await.map_err(|error| errors::write_error(&error))?;
    let StoredBody::Chunked { mut manifest, .. } = body else {
        return Err(s3_error!(InternalError, "The body of a part was not stored as one."));
    };
    let (Some(stored), true) = (manifest.parts.pop(), manifest.parts.is_empty()) else {
        return Err(s3_error!(InternalError, "The body of a part was not stored as one."));
    };
    let checksums = checksum.iter();
    let part = UploadPart {
        number: place.number,
        part: stored.id,
        size,
        chunk_bytes: stored.chunk_bytes,
        etag: etag.clone(),
        checksums: checksums
            .map(|(algorithm, value)| (algorithm.header().to_owned(), value.clone()))
            .collect(),
        modified_ms: 0,
    };
    let put = front
        .objects
        .put_part(place.bucket, place.key, place.upload, part)
        .await;
    put.map_err(|error| errors::write_error(&error))?;
    Ok(StoredPart { etag, checksum })
}

/// `bytes=first-last`, both given and both within the source.
fn source_range(text: &str, size: u64) -> S3Result<Range<u64>> {
    let bounds = text.strip_prefix("bytes=").and_then(|bounds| bounds.split_once('-'));
    let bounds = bounds.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    let Some((first, last)) = bounds.filter(|(first, last)| first <= last) else {
        return Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy"
        ));
    };
    if last >= size {
        return Err(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object of size: {size}"
        ));
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::source_range;

    #[test]
    fn source_ranges_are_closed_and_within() {
        assert_eq!(source_range("bytes=0-4", 5).unwrap(), 0..5);
        assert_eq!(source_range("bytes=4-4", 5).unwrap(), 4..5);
        for text in [
            "bytes=0-5",
            "bytes=3-2",
            "bytes=-4",
            "bytes=1-",
            "0-4",
            "bytes=a-b",
            "bytes=0-18446744073709551615",
        ] {
            assert!(source_range(text, 5).is_err(), "{text}");
        }
    }
}
