//! One part, read from or sent to a node that holds it.
//!
//! Whoever comes here brings a grant and has been let in by it alone. A part is read from this node's disk where it is there,
//! and through the others where not, so a client that asks the wrong node gets its bytes all the same. A part that is sent is
//! taken as S3 takes one, with a checksum that must be there, and named in its upload before the answer.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use holdfast_core::content::StoredBody;
use holdfast_core::request::{StateChange, UploadPart, WriteError, WriteFault};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::super::faults::{AnyConflict, BadRequest, BodyFaults, NoSuchPart, NotGranted, ReadFaults, WriteFaults};
use super::super::object::cut;
use super::super::shape::{Names, Node, Success, Told};
use super::super::upload::content_length;
use super::super::{App, Shared};
use super::denied;
use super::grant::{Grant, May};
use crate::answer_body::AnswerBody;
use crate::claims::{declared, verify};
use crate::intake::{self, Plan};
use crate::objects::{BodyPurpose, BucketRef};
use crate::problem::{Answer, Problem, ProblemTold};

type Granted = axum::Extension<Grant>;

/// What sending a part must say in its headers. Told here for the document; read where they are used.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names headers, which are read from the request's map")]
pub(in super::super) struct PartHeaders {
    /// Checksum of the part; or another of S3's, of which one must be given: `x-amz-checksum-crc32`, `-crc32c`, `-sha1`, `-sha256`
    #[param(rename = "x-amz-checksum-crc64nvme", nullable = false)]
    crc64nvme: Option<String>,
}

/// A part that is stored, and named in its upload
#[derive(Serialize, ToSchema)]
pub(in super::super) struct PartTaken {
    status: Success,
    /// The part's number
    part: u16,
    /// Its length
    bytes: u64,
    etag: String,
    /// As it was sent, and found right
    checksum: String,
    /// The node that took it
    node: Node,
    /// Whether that is the one that the grant named
    chosen: bool,
}

async fn bucket_of(app: &Shared, grant: &Grant) -> Answer<BucketRef> {
    let bucket = app.bucket(&grant.bucket).await?;
    if bucket.settings.id != grant.bucket_id {
        return Err(Problem::no_such_bucket(&grant.bucket));
    }
    Ok(bucket)
}

/// Read a part
///
/// With a grant, and nothing else. A node that does not hold the part reads it from those that do.
#[utoipa::path(
    get, path = "/v1/transfers/part", operation_id = "read_part", tag = "transfers", security(("grant" = [])),
    params(("Range" = Option<String>, Header, nullable = false, description = "One range of the part's bytes; what is not is ignored", example = "bytes=0-4194303")),
    responses(
        (status = 200, description = "The part", content(("application/octet-stream")), headers(("Content-Length" = u64))),
        (status = 206, description = "The range asked for", content(("application/octet-stream")),
            headers(("Content-Range" = String), ("Content-Length" = u64))),
        (status = 416, description = "It has no such bytes", body = ProblemTold),
        BadRequest, NotGranted, NoSuchPart, ReadFaults,
    )
)]
pub(in super::super) async fn read(
    State(app): App,
    axum::Extension(grant): Granted,
    headers: HeaderMap,
) -> Answer<Response> {
    let bucket = bucket_of(&app, &grant).await?;
    let May::Read { part, .. } = grant.may else {
        return Err(denied("the grant is for sending a part, not for reading one"));
    };
    let mut answered = HeaderMap::with_capacity(4);
    let kind = HeaderValue::from_static("application/octet-stream");
    answered.insert(header::CONTENT_TYPE, kind);
    let (status, range) = cut(&headers, &mut answered, part.size)?;
    let length = range.end - range.start;
    let body = app.objects.read_part(&bucket, part, range);
    let body = AnswerBody::begin(body, length).await;
    let body = body.map_err(|fault| Problem::read(&fault))?;
    Ok((status, answered, Body::new(body)).into_response())
}

/// Send a part
///
/// With a grant, and nothing else; with a checksum, and with its length, which is at most that of the grant. It is named in its
/// upload before the answer, so that the upload can be completed over REST or S3.
#[utoipa::path(
    put, path = "/v1/transfers/part", operation_id = "write_part", tag = "transfers", security(("grant" = [])),
    params(PartHeaders),
    request_body(description = "The part", content(("*/*"))),
    responses(
        (status = 200, description = "It is stored", body = PartTaken),
        (status = 411, description = "It comes without its length", body = ProblemTold),
        BodyFaults, NotGranted, NoSuchPart, AnyConflict, WriteFaults,
    )
)]
pub(in super::super) async fn write(
    State(app): App,
    axum::Extension(grant): Granted,
    request: Request<Body>,
) -> Answer<Told<PartTaken>> {
    let bucket = bucket_of(&app, &grant).await?;
    let May::Write {
        upload,
        number,
        receiver,
        bytes_max,
    } = grant.may
    else {
        return Err(denied("the grant is for reading a part, not for sending one"));
    };
    let (head, body) = request.into_parts();
    let length = content_length(&head.headers)?.ok_or_else(no_length)?;
    if length > bytes_max {
        return Err(denied("the grant is for fewer bytes"));
    }
    let Some((algorithm, _)) = declared(&head.headers)? else {
        return Err(Problem::bad_request(
            "the part has no checksum",
            "send it with x-amz-checksum-crc64nvme, or another of S3's",
        ));
    };
    let me = app.objects.cluster().node;
    let is_chosen = receiver == me;
    let mut writer = app
        .objects
        .write_body(&bucket, &grant.key, BodyPurpose::Part { upload });
    if is_chosen {
        writer.hold_here(length);
    }
    let plan = Plan {
        length: Some(length),
        bytes_max,
        checksum: Some(algorithm),
        patience: app.body_patience,
    };
    let received = intake::take(body.into_data_stream(), writer, plan).await;
    let mut received = received.map_err(|error| Problem::intake(&error))?;
    verify(&head.headers, &received)?;
    let (etag, checksum) = (received.etag(), received.checksum.take().unwrap_or_default());
    let body = received.store().await.map_err(|error| Problem::write(&error))?;
    let part = UploadPart {
        checksums: vec![(algorithm.header().to_owned(), checksum.clone())],
        ..named(number, &etag, body).ok_or_else(|| Problem::write(&NOT_A_PART))?
    };
    let put = app.objects.put_part(&bucket, &grant.key, upload, part).await;
    put.map_err(|error| Problem::write(&error))?;
    Ok(Told(PartTaken {
        status: Success::Success,
        part: number,
        bytes: length,
        etag,
        checksum,
        node: Names::of(&*app.objects).node(me),
        chosen: is_chosen,
    }))
}

/// What a writer of parts never hands over.
const NOT_A_PART: WriteError = WriteError {
    state: StateChange::Unchanged,
    fault: WriteFault::Damaged,
};

/// The part as its upload names it.
fn named(number: u16, etag: &str, body: StoredBody) -> Option<UploadPart> {
    let StoredBody::Chunked { mut manifest, .. } = body else {
        return None;
    };
    let stored = manifest.parts.pop().filter(|_| manifest.parts.is_empty())?;
    Some(UploadPart {
        number,
        part: stored.id,
        size: stored.size,
        chunk_bytes: stored.chunk_bytes,
        etag: etag.to_owned(),
        checksums: Vec::new(),
        modified_ms: 0,
    })
}

fn no_length() -> Problem {
    Problem::new(
        StatusCode::LENGTH_REQUIRED,
        "no_length",
        "the part comes without a Content-Length",
        "send its length",
    )
}
