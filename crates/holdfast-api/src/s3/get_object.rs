//! GetObject and HeadObject: one reading, with or without its body.
//!
//! Headers are written straight from the version into the answer, and the body streams as the bytes the cluster
//! delivers; nothing is copied. The first piece of a chunked body is awaited before the status is sent, so that an
//! object whose chunks cannot be read answers 503 and not a broken 200.

use std::ops::Range;

use bytes::Bytes;
use holdfast_core::content::{BodyForm, Content};
use holdfast_core::record::Version;
use holdfast_core::request::{Got, WantedBodies};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StreamingBlob};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::{Front, errors, refused};
use crate::answer_body::AnswerBody;
use crate::checksum::is_composite;
use crate::conditions::{Conditions, TagCondition, Verdict};
use crate::object_headers;
use crate::objects::{BucketRef, GetObject};

/// Tells how many concurrent versions there are, when there is more than one (rule Q3).
const SIBLINGS: HeaderName = HeaderName::from_static("holdfast-siblings");

/// What both operations ask.
struct Ask {
    key: String,
    conditions: Conditions,
    range: Option<s3s::dto::Range>,
    part_number: Option<i32>,
    with_checksums: bool,
    with_version: Option<String>,
    overrides: Vec<(HeaderName, HeaderValue)>,
}

/// What both operations answer with.
struct Found {
    bucket: BucketRef,
    version: Version,
    row: Bytes,
    range: Range<u64>,
    headers: HeaderMap,
    partial: bool,
}

pub(super) async fn get_object(
    front: &Front,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let ask = Ask {
        conditions: conditions(
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since,
            input.if_unmodified_since,
        ),
        key: input.key,
        range: input.range,
        part_number: input.part_number,
        with_checksums: input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED"),
        with_version: input.version_id,
        overrides: overrides([
            (header::CACHE_CONTROL, input.response_cache_control),
            (header::CONTENT_DISPOSITION, input.response_content_disposition),
            (header::CONTENT_ENCODING, input.response_content_encoding),
            (header::CONTENT_LANGUAGE, input.response_content_language),
            (header::CONTENT_TYPE, input.response_content_type),
            (header::EXPIRES, input.response_expires.map(http_date)),
        ])?,
    };
    let found = find(front, &input.bucket, ask, WantedBodies::Newest).await?;
    let body = front.objects.read_body(
        &found.bucket,
        found.version.content.body,
        found.row,
        found.range.clone(),
    );
    let body = AnswerBody::begin(body, found.range.end - found.range.start)
        .await
        .map_err(|fault| errors::read_fault(&fault))?;
    let mut output = GetObjectOutput {
        body: Some(StreamingBlob::new(body)),
        ..GetObjectOutput::default()
    };
    if found.partial {
        // `s3s` makes the answer 206 when this field is set; the header itself is already among ours.
        output.content_range = Some(String::new());
    }
    Ok(S3Response::with_headers(output, found.headers))
}

pub(super) async fn head_object(
    front: &Front,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let ask = Ask {
        conditions: conditions(
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since,
            input.if_unmodified_since,
        ),
        key: input.key,
        range: input.range,
        part_number: input.part_number,
        with_checksums: input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED"),
        with_version: input.version_id,
        overrides: overrides([
            (header::CACHE_CONTROL, input.response_cache_control),
            (header::CONTENT_DISPOSITION, input.response_content_disposition),
            (header::CONTENT_ENCODING, input.response_content_encoding),
            (header::CONTENT_LANGUAGE, input.response_content_language),
            (header::CONTENT_TYPE, input.response_content_type),
            (header::EXPIRES, input.response_expires.map(http_date)),
        ])?,
    };
    // Only the parts of a manifest are worth reading a row for.
    let bodies = if ask.part_number.is_some() {
        WantedBodies::Newest
    } else {
        WantedBodies::None
    };
    let found = find(front, &input.bucket, ask, bodies).await?;
    // The envelope turns a HEAD with a content range into 206; `s3s` has no word for it.
    Ok(S3Response::with_headers(HeadObjectOutput::default(), found.headers))
}

async fn find(front: &Front, bucket: &str, ask: Ask, bodies: WantedBodies) -> S3Result<Found> {
    if ask.with_version.as_deref().is_some_and(|version| version != "null") {
        return Err(s3_error!(NoSuchVersion, "The specified version does not exist."));
    }
    let bucket = front.bucket(bucket).await?;
    let (version, row, siblings) = read(front, &bucket, &ask.key, bodies).await?;
    let content = &version.content;
    let modified_ms = version.dot.tick.millis();
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(header::ETAG, quoted(&content.etag));
    headers.insert(header::LAST_MODIFIED, http_date_value(modified_ms));
    match ask.conditions.judge(&content.etag, modified_ms) {
        Verdict::Proceed => {}
        verdict => return Err(condition_error(verdict, headers)),
    }
    let (range, part) = range_of(front, content, &row, ask.range.as_ref(), ask.part_number)?;
    object_headers::answer(content, &mut headers);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    let whole = range.start == 0 && range.end == content.size;
    let partial = ask.range.is_some() || (part.is_some() && !whole);
    if partial {
        let told = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), content.size);
        headers.insert(header::CONTENT_RANGE, ascii(&told));
    }
    if let Some(parts) = part {
        headers.insert(
            HeaderName::from_static("x-amz-mp-parts-count"),
            HeaderValue::from(parts),
        );
    }
    if ask.with_checksums && whole {
        checksum_headers(content, &mut headers);
    }
    if siblings > 1 {
        headers.insert(SIBLINGS, HeaderValue::from(siblings));
    }
    for (name, value) in ask.overrides {
        headers.insert(name, value);
    }
    Ok(Found {
        bucket,
        version,
        row,
        range,
        headers,
        partial,
    })
}

/// The version a plain client sees, its body row if asked for, and how many siblings there are.
pub(super) async fn read(
    front: &Front,
    bucket: &BucketRef,
    key: &str,
    bodies: WantedBodies,
) -> S3Result<(Version, Bytes, usize)> {
    let Got { record, mut bodies, .. } = front
        .objects
        .get(bucket, key, GetObject { r: None, bodies })
        .await
        .map_err(|fault| errors::read_fault(&fault))?;
    let siblings = record.sibling_count();
    let Some(version) = record.visible() else {
        return Err(errors::no_such_key());
    };
    let version = version.clone();
    let row = bodies
        .iter()
        .position(|(dot, _)| *dot == version.dot)
        .map(|at| bodies.swap_remove(at).1);
    Ok((version, row.unwrap_or_default(), siblings))
}

/// The bytes to answer with, and the number of parts if one was asked for.
fn range_of(
    front: &Front,
    content: &Content,
    row: &Bytes,
    range: Option<&s3s::dto::Range>,
    part_number: Option<i32>,
) -> S3Result<(Range<u64>, Option<u32>)> {
    match (range, part_number) {
        (Some(_), Some(_)) => Err(s3_error!(
            InvalidRequest,
            "Cannot specify both Range header and partNumber query parameter."
        )),
        (None, None) => Ok((0..content.size, None)),
        (Some(range), None) => match range.check(content.size) {
            Ok(range) => Ok((range, None)),
            Err(_) => Err(not_satisfiable(content.size)),
        },
        (None, Some(number)) => {
            let (range, parts) = part_range(front, content, row, number)?;
            Ok((range, Some(parts)))
        }
    }
}

fn part_range(front: &Front, content: &Content, row: &Bytes, number: i32) -> S3Result<(Range<u64>, u32)> {
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let Some(index) = index.filter(|index| *index < usize::from(crate::limits::PART_NUMBER_MAX)) else {
        return Err(s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive."
        ));
    };
    let multipart = content.etag.contains('-');
    let manifest = match content.body {
        BodyForm::Manifest { .. } if multipart => front.objects.manifest(content.body, row),
        _ => None,
    };
    let Some(manifest) = manifest else {
        // An object put in one piece has one part.
        return if index == 0 {
            Ok((0..content.size, 1))
        } else {
            Err(no_such_part())
        };
    };
    let before: u64 = manifest.parts.iter().take(index).map(|part| part.size).sum();
    let Some(part) = manifest.parts.get(index) else {
        return Err(no_such_part());
    };
    let parts = u32::try_from(manifest.parts.len()).unwrap_or(u32::MAX);
    Ok((before..before + part.size, parts))
}

fn no_such_part() -> S3Error {
    errors::custom(
        "InvalidPartNumber",
        http::StatusCode::RANGE_NOT_SATISFIABLE,
        "The requested partnumber is not satisfiable.",
    )
}

fn not_satisfiable(size: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable.");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_RANGE, ascii(&format!("bytes */{size}")));
    error.set_headers(headers);
    error
}

fn condition_error(verdict: Verdict, headers: HeaderMap) -> S3Error {
    match verdict {
        Verdict::Failed => s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold."
        ),
        Verdict::NotModified | Verdict::Proceed => {
            let mut error = s3_error!(NotModified, "Not Modified");
            error.set_headers(headers);
            error
        }
    }
}

fn checksum_headers(content: &Content, headers: &mut HeaderMap) {
    for (algorithm, value) in object_headers::checksums(content) {
        let kind = if is_composite(value) {
            "COMPOSITE"
        } else {
            "FULL_OBJECT"
        };
        headers.insert(HeaderName::from_static(algorithm.header()), ascii(value));
        headers.insert(
            HeaderName::from_static("x-amz-checksum-type"),
            HeaderValue::from_static(kind),
        );
    }
}

/// The conditions of a read, or of the source of a copy, from what `s3s` parsed.
pub(super) fn conditions(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<s3s::dto::Timestamp>,
    if_unmodified_since: Option<s3s::dto::Timestamp>,
) -> Conditions {
    let tag = |condition: &ETagCondition| match condition {
        ETagCondition::Any => TagCondition::Any,
        ETagCondition::ETag(tag) => TagCondition::OneOf(vec![tag.value().to_owned()]),
    };
    Conditions {
        if_match: if_match.map(tag),
        if_none_match: if_none_match.map(tag),
        if_modified_since_s: if_modified_since.map(unix_s),
        if_unmodified_since_s: if_unmodified_since.map(unix_s),
    }
}

fn unix_s(time: s3s::dto::Timestamp) -> i64 {
    let mut text = Vec::with_capacity(20);
    let formatted = time.format(s3s::dto::TimestampFormat::EpochSeconds, &mut text);
    let whole = text.split(|byte| *byte == b'.').next().unwrap_or_default();
    match formatted {
        Ok(()) => std::str::from_utf8(whole)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        Err(_) => 0,
    }
}

fn http_date(time: s3s::dto::Timestamp) -> String {
    let mut text = Vec::with_capacity(32);
    match time.format(s3s::dto::TimestampFormat::HttpDate, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

fn overrides(asked: [(HeaderName, Option<String>); 6]) -> S3Result<Vec<(HeaderName, HeaderValue)>> {
    let mut overrides = Vec::new();
    for (name, value) in asked {
        if let Some(value) = value {
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| s3_error!(InvalidArgument, "The override of {name} is not a valid header value."))?;
            overrides.push((name, value));
        }
    }
    Ok(overrides)
}

/// An ETag between quotes.
pub(super) fn quoted(etag: &str) -> HeaderValue {
    ascii(&format!("\"{etag}\""))
}

pub(super) fn http_date_value(unix_ms: u64) -> HeaderValue {
    ascii(&super::http_date(unix_ms))
}

/// A header value of text that this program made; what it could not be is replaced by nothing rather than by a panic.
fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
