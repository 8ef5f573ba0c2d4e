//! PutObject, and the browser form that ends in one.
//!
//! Order matters: refuse, take the body in, verify, store, and only then put. A client that goes away drops the future
//! somewhere before the put, and with it the body.

use holdfast_core::content::StoredBody;
use holdfast_core::ids::RequestId;
use holdfast_core::request::{PutOutcome, PutValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{ETag, PutObjectInput, PutObjectOutput, StreamingBlob};
use s3s::{S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use super::checksums::{Declared, set_checksum};
use super::list::checksum_type;
use super::{Front, INVOCATION_ID, errors, gate, principal, refused, write_id};
use crate::checksum::Algorithm;
use crate::intake::{self, Plan};
use crate::limits::BODY_BYTES_MAX;
use crate::object_headers::{self, USER_METADATA_PREFIX};
use crate::objects::{BodyPurpose, BucketRef, PutObject};

/// A version to put, with its body already stored.
pub(super) struct NewObject {
    pub(super) request: RequestId,
    pub(super) etag: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: StoredBody,
}

/// A body to take in for a plain object.
pub(super) struct BodyIn<'a> {
    pub(super) body: Option<StreamingBlob>,
    pub(super) length: Option<u64>,
    pub(super) declared: &'a Declared,
    pub(super) trailers: Option<&'a TrailingHeaders>,
}

pub(super) async fn put_object(
    front: &Front,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let S3Request {
        mut input,
        mut headers,
        credentials,
        trailing_headers,
        method,
        region,
        ..
    } = request;
    refused::conditional(&headers)?;
    // A browser form ends here too, with its fields in the input and nothing of the object in the headers.
    let length = if method == http::Method::POST {
        // Only SigV4 tells a region; `s3s` takes forms signed with SigV2, too.
        if region.is_none() {
            return Err(gate::signature_v2());
        }
        refused::always(&headers)?;
        let invocation = headers.remove(INVOCATION_ID);
        headers = form_headers(&input)?;
        if let Some(invocation) = invocation {
            headers.insert(INVOCATION_ID, invocation);
        }
        None
    } else {
        body_length(&headers, input.content_length)?
    };
    refused::on_write(&headers)?;
    let declared = Declared::from_headers(&headers)?;
    let kept = object_headers::kept(&headers).map_err(|refusal| errors::headers_refused(&refusal))?;
    let bucket = front.bucket(&input.bucket).await?;
    let key = input.key;
    if key.is_empty() {
        return Err(s3_error!(InvalidArgument, "An object key must not be empty."));
    }
    let body = BodyIn {
        body: input.body.take(),
        length,
        declared: &declared,
        trailers: trailing_headers.as_ref(),
    };
    let (mut object, checksum) = take_body(front, &bucket, &key, body, kept).await?;
    object.request = write_id(&headers, principal(credentials.as_ref()), "PutObject", &bucket, &key);
    let outcome = put_version(front, &bucket, &key, object).await?;
    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(outcome.etag)),
        ..PutObjectOutput::default()
    };
    if let Some((algorithm, value)) = checksum {
        output.checksum_type = Some(checksum_type(&value));
        set_checksum!(output, algorithm, value);
    }
    Ok(S3Response::new(output))
}

/// Takes a plain object's body in, verifies and stores it. The request id is the caller's to set.
pub(super) async fn take_body(
    front: &Front,
    bucket: &BucketRef,
    key: &str,
    body: BodyIn<'_>,
    mut headers: Vec<(String, String)>,
) -> S3Result<(NewObject, Option<(Algorithm, String)>)> {
    let writer = front.objects.write_body(bucket, key, BodyPurpose::Object);
    let plan = Plan {
        length: body.length,
        bytes_max: BODY_BYTES_MAX,
        checksum: body.declared.algorithm,
        patience: front.settings.body_patience,
    };
    let source = body.body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    let mut received = intake::take(source, writer, plan)
        .await
        .map_err(|error| errors::intake_error(&error))?;
    body.declared.verify(&received, body.trailers)?;
    let checksum = body.declared.algorithm.zip(received.checksum.take());
    if let Some((algorithm, value)) = &checksum {
        object_headers::set(&mut headers, algorithm.header(), value.clone());
    }
    let etag = received.etag();
    let stored = received.store().await.map_err(|error| errors::write_error(&error))?;
    let object = NewObject {
        request: RequestId(0),
        etag,
        headers,
        body: stored,
    };
    Ok((object, checksum))
}

/// Commits a version: the one write by which an object comes to be.
pub(super) async fn put_version(
    front: &Front,
    bucket: &BucketRef,
    key: &str,
    object: NewObject,
) -> S3Result<PutOutcome> {
    let put = PutObject {
        request: object.request,
        context: None,
        value: PutValue::Object {
            etag: object.etag,
            headers: object.headers,
            body: object.body,
        },
        w: None,
        wait_all: false,
    };
    let outcome = front.objects.put(bucket, key, put).await;
    outcome.map_err(|error| errors::write_error(&error))
}

/// The length of the body itself: of what aws-chunked framing carries, not of the framing.
pub(super) fn body_length(headers: &HeaderMap, content_length: Option<i64>) -> S3Result<Option<u64>> {
    if let Some(value) = headers.get("x-amz-decoded-content-length") {
        let length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        return match length {
            Some(length) => Ok(Some(length)),
            None => Err(s3_error!(
                InvalidArgument,
                "x-amz-decoded-content-length is not a number."
            )),
        };
    }
    match content_length.map(u64::try_from) {
        Some(Ok(length)) => Ok(Some(length)),
        Some(Err(_)) => Err(s3_error!(InvalidArgument, "Content-Length is negative.")),
        None => Err(s3_error!(
            MissingContentLength,
            "You must provide the Content-Length HTTP header."
        )),
    }
}

/// The fields of a form, as the headers they stand for.
fn form_headers(input: &PutObjectInput) -> S3Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let fields = [
        ("cache-control", input.cache_control.as_deref()),
        ("content-disposition", input.content_disposition.as_deref()),
        ("content-encoding", input.content_encoding.as_deref()),
        ("content-language", input.content_language.as_deref()),
        ("content-type", input.content_type.as_deref()),
        ("content-md5", input.content_md5.as_deref()),
        (
            "x-amz-website-redirect-location",
            input.website_redirect_location.as_deref(),
        ),
        ("x-amz-acl", input.acl.as_ref().map(s3s::dto::ObjectCannedACL::as_str)),
        (
            "x-amz-storage-class",
            input.storage_class.as_ref().map(s3s::dto::StorageClass::as_str),
        ),
        ("x-amz-tagging", input.tagging.as_deref()),
        (Algorithm::Crc32.header(), input.checksum_crc32.as_deref()),
        (Algorithm::Crc32c.header(), input.checksum_crc32c.as_deref()),
        (Algorithm::Crc64Nvme.header(), input.checksum_crc64nvme.as_deref()),
        (Algorithm::Sha1.header(), input.checksum_sha1.as_deref()),
        (Algorithm::Sha256.header(), input.checksum_sha256.as_deref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), field_value(name, value)?);
        }
    }
    for (name, value) in input.metadata.iter().flatten() {
        let name = format!("{USER_METADATA_PREFIX}{}", name.to_ascii_lowercase());
        let value = field_value(&name, value)?;
        let name = HeaderName::try_from(&name)
            .map_err(|_| s3_error!(InvalidArgument, "{name} is not a valid name for metadata."))?;
        headers.insert(name, value);
    }
    if input.server_side_encryption.is_some() || input.object_lock_mode.is_some() {
        return Err(errors::not_implemented("Encryption or locking of a form upload"));
    }
    Ok(headers)
}

fn field_value(name: &str, value: &str) -> S3Result<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| s3_error!(InvalidArgument, "The value of form field {name} is not valid."))
}
