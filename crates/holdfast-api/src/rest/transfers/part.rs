//! One part, read from or sent to a node that holds it.
//!
//! Whoever comes here brings a grant and has been let in by it alone. A part is read from this node's disk where it is there,
//! and through the others where not, so a client that asks the wrong node gets its bytes all the same. A part that is sent is
//! taken as S3 takes one, with a checksum that must be there, and named in its upload before the answer.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use holdfast_core::content::StoredBody;
use holdfast_core::request::{StateChange, UploadPart, WriteError, WriteFault};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::super::object::cut;
use super::super::shape::Names;
use super::super::upload::content_length;
use super::super::{App, Shared};
use super::denied;
use super::grant::{Grant, May};
use crate::answer_body::AnswerBody;
use crate::claims::{declared, verify};
use crate::intake::{self, Plan};
use crate::objects::{BodyPurpose, BucketRef};
use crate::problem::{Answer, Problem};

type Granted = axum::Extension<Grant>;

async fn bucket_of(app: &Shared, grant: &Grant) -> Answer<BucketRef> {
    let bucket = app.bucket(&grant.bucket).await?;
    if bucket.settings.id != grant.bucket_id {
        return Err(Problem::no_such_bucket(&grant.bucket));
    }
    Ok(bucket)
}

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

pub(in super::super) async fn write(
    State(app): App,
    axum::Extension(grant): Granted,
    request: Request<Body>,
) -> Answer<Json<Value>> {
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
    Ok(Json(json!({
        "status": "success",
        "part": number,
        "bytes": length,
        "etag": etag,
        "checksum": checksum,
        "node": Names::of(&*app.objects).node(me),
        "chosen": is_chosen,
    })))
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
