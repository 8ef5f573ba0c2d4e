//! CopyObject, and the source of a copied part.
//!
//! A copy reads the bytes and writes them again, with chunks of its own (rule D9): chunks are never shared, so that
//! dead ones can be told without counting references. The ETag is the MD5 of the bytes, as S3 makes it, also where the
//! source was made of parts.

use std::ops::Range;

use bytes::Bytes;
use holdfast_core::record::Version;
use holdfast_core::request::WantedBodies;
use http::HeaderMap;
use s3s::dto::{
    ChecksumAlgorithm, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, ETagCondition,
    MetadataDirective, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::checksums::{algorithm_named, set_checksum};
use super::get_object::{self, read};
use super::list::checksum_type;
use super::put_object::{NewObject, put_version};
use super::{Front, errors, principal, refused, timestamp, write_id};
use crate::checksum::{Algorithm, is_composite};
use crate::conditions::Verdict;
use crate::intake::{self, Plan};
use crate::limits::BODY_BYTES_MAX;
use crate::object_headers;
use crate::objects::{BodyPurpose, BodyStream, BucketRef};

/// Conditions on the source of a copy.
pub(super) struct Conditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// An object to copy from.
pub(super) struct Source {
    bucket: BucketRef,
    key: String,
    pub(super) version: Version,
    row: Bytes,
}

impl Source {
    pub(super) async fn find(
        front: &Front,
        source: &CopySource,
        conditions: Conditions,
        bodies: WantedBodies,
    ) -> S3Result<Self> {
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = source
        else {
            return Err(errors::not_implemented("Copying from an access point"));
        };
        if version_id.as_deref().is_some_and(|version| version != "null") {
            return Err(s3_error!(NoSuchVersion, "The specified version does not exist."));
        }
        let bucket = front.bucket(bucket).await?;
        let (version, row, _) = read(front, &bucket, key, bodies).await?;
        let conditions = get_object::conditions(
            conditions.if_match.as_ref(),
            conditions.if_none_match.as_ref(),
            conditions.if_modified_since,
            conditions.if_unmodified_since,
        );
        // A copy has no 304: a source that is not modified is a condition that failed, too.
        match conditions.judge(&version.content.etag, version.dot.tick.millis()) {
            Verdict::Proceed => Ok(Self {
                bucket,
                key: key.to_string(),
                version,
                row,
            }),
            Verdict::Failed | Verdict::NotModified => Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold."
            )),
        }
    }

    pub(super) fn body(&self, front: &Front, range: Range<u64>) -> BodyStream {
        let form = self.version.content.body;
        front.objects.read_body(&self.bucket, form, self.row.clone(), range)
    }
}

pub(super) async fn copy_object(
    front: &Front,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let S3Request {
        input,
        headers,
        credentials,
        ..
    } = request;
    refused::on_write(&headers)?;
    refused::conditional(&headers)?;
    let replace = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        None | Some("COPY") => false,
        Some("REPLACE") => true,
        Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
    };
    let conditions = Conditions {
        if_match: input.copy_source_if_match,
        if_none_match: input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let source = Source::find(front, &input.copy_source, conditions, WantedBodies::Newest).await?;
    let bucket = front.bucket(&input.bucket).await?;
    let onto_itself = source.bucket.settings.id == bucket.settings.id && source.key == input.key;
    if onto_itself && !replace && input.website_redirect_location.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let algorithm = algorithm_of(&source, input.checksum_algorithm.as_ref())?;
    let mut kept = headers_of_copy(&source, &headers, replace)?;
    let copied = copy_bytes(front, &source, &bucket, &input.key, algorithm).await?;
    if let Some((algorithm, value)) = &copied.checksum {
        object_headers::set(&mut kept, algorithm.header(), value.clone());
    }
    let who = principal(credentials.as_ref());
    let object = NewObject {
        request: write_id(&headers, who, "CopyObject", &bucket, &input.key),
        etag: copied.etag,
        headers: kept,
        body: copied.body,
    };
    let outcome = put_version(front, &bucket, &input.key, object).await?;
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(outcome.etag)),
        last_modified: Some(timestamp(outcome.dot.tick.millis())),
        ..CopyObjectResult::default()
    };
    if let Some((algorithm, value)) = copied.checksum {
        result.checksum_type = Some(checksum_type(&value));
        set_checksum!(result, algorithm, value);
    }
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        ..CopyObjectOutput::default()
    }))
}

/// The checksum of the copy: the one asked for, else the source's.
fn algorithm_of(source: &Source, asked: Option<&ChecksumAlgorithm>) -> S3Result<Option<Algorithm>> {
    match asked {
        Some(name) => algorithm_named(name.as_str()).map(Some),
        None => Ok(object_headers::checksums(&source.version.content)
            .next()
            .map(|(algorithm, _)| algorithm)),
    }
}

struct Copied {
    etag: String,
    checksum: Option<(Algorithm, String)>,
    body: holdfast_core::content::StoredBody,
}

async fn copy_bytes(
    front: &Front,
    source: &Source,
    bucket: &BucketRef,
    key: &str,
    algorithm: Option<Algorithm>,
) -> S3Result<Copied> {
    let size = source.version.content.size;
    if size > BODY_BYTES_MAX {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: {BODY_BYTES_MAX}"
        ));
    }
    let plan = Plan {
        length: Some(size),
        bytes_max: BODY_BYTES_MAX,
        checksum: algorithm,
        patience: front.settings.body_patience,
    };
    let writer = front.objects.write_body(bucket, key, BodyPurpose::Object);
    let mut received = intake::take(source.body(front, 0..size), writer, plan)
        .await
        .map_err(|error| errors::copy_error(&error))?;
    let etag = received.etag();
    check_source(source, &etag, received.checksum.as_deref(), algorithm)?;
    let checksum = algorithm.zip(received.checksum.take());
    let body = received.store().await.map_err(|error| errors::write_error(&error))?;
    Ok(Copied { etag, checksum, body })
}

/// What was read must be what was once stored: a free check, since both are hashed anyway.
fn check_source(source: &Source, etag: &str, checksum: Option<&str>, algorithm: Option<Algorithm>) -> S3Result<()> {
    let content = &source.version.content;
    let same_tag = content.etag.contains('-') || content.etag == etag;
    let stored = algorithm.and_then(|algorithm| content.header(algorithm.header()));
    let same_sum = match (stored, checksum) {
        (Some(stored), Some(now)) => is_composite(stored) || stored == now,
        _ => true,
    };
    if same_tag && same_sum {
        Ok(())
    } else {
        Err(errors::read_fault(&holdfast_core::request::ReadFault::Damaged))
    }
}

/// The headers of the copy: the source's, or those of the request; never the source's checksums, which are taken anew.
fn headers_of_copy(source: &Source, headers: &HeaderMap, replace: bool) -> S3Result<Vec<(String, String)>> {
    let given = object_headers::kept(headers).map_err(|refusal| errors::headers_refused(&refusal))?;
    if replace {
        return Ok(given);
    }
    let mut kept = source.version.content.headers.clone();
    kept.retain(|(name, _)| !object_headers::is_internal(name) && name != REDIRECT);
    // A redirect is never copied, but may be given beside the copied metadata.
    if let Some((name, value)) = given.into_iter().find(|(name, _)| name == REDIRECT) {
        object_headers::set(&mut kept, &name, value);
    }
    Ok(kept)
}

const REDIRECT: &str = "x-amz-website-redirect-location";
