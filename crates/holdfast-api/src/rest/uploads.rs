//! Large objects in parts: begun, sent part by part in any order and again where one failed, completed or given up.
//!
//! The same uploads as S3's: one begun here can be looked at and given up there. Parts are named in the query, for the path
//! ends in the key: `POST /v1/buckets/{bucket}/uploads/{key}` begins, `PUT …?upload=ID&part=N` sends, `GET …?upload=ID` tells
//! what is there, `POST …?upload=ID` completes, `DELETE …?upload=ID` gives up.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use holdfast_core::content::{Manifest, ManifestPart, StoredBody};
use holdfast_core::ids::{RequestId, UploadId};
use holdfast_core::request::{UploadInfo, UploadPart, UploadState};
use http::header::HeaderMap;
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::buckets::document;
use super::faults::{AnyConflict, BadRequest, BodyFaults, NoSuchUpload, ReadFaults, WriteFaults};
use super::object::with_context;
use super::place::{Place, Written};
use super::query::Query;
use super::shape::{Success, Told, one_of};
use super::upload::{Target, content_length, refuse_conditions};
use super::{App, Shared};
use crate::caller::Caller;
use crate::intake::{self, Plan};
use crate::limits::{BODY_BYTES_MAX, OBJECT_BYTES_MAX, PART_BYTES_MIN, PART_NUMBER_MAX};
use crate::object_headers;
use crate::objects::{BodyPurpose, CompleteUpload, NewUpload};
use crate::problem::{Answer, Problem};
use crate::s3::etag_of_parts;

/// Which upload.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The upload's id
    #[param(
        required,
        nullable = false,
        pattern = "^[0-9a-fA-F]{32}",
        example = "00000195a3f0c1d2e4b5968700000001"
    )]
    upload: Option<String>,
}

/// Which upload, if it has begun.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Begun {
    /// Complete the upload with this id; begin one when left out
    #[param(nullable = false, pattern = "^[0-9a-fA-F]{32}")]
    upload: Option<String>,
}

/// Which part of which upload.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichPart {
    /// The upload's id
    #[param(
        required,
        nullable = false,
        pattern = "^[0-9a-fA-F]{32}",
        example = "00000195a3f0c1d2e4b5968700000001"
    )]
    upload: Option<String>,
    /// The part's number, by which parts are put together
    #[param(required, nullable = false, minimum = 1, maximum = 10000, example = 1)]
    part: Option<u16>,
}

/// What sending a part may be asked in its headers. Told here for the document; read where they are used.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names headers, which are read from the request's map")]
pub(super) struct PartHeaders {
    /// Verified when given
    #[param(rename = "Content-MD5", nullable = false)]
    content_md5: Option<String>,
}

/// The parts chosen; all that are there when none is named
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    #[serde(default)]
    parts: Vec<ChosenPart>,
}

/// A part of an object, as sending it answered
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChosenPart {
    #[schema(maximum = 65535, example = 1)]
    number: u16,
    etag: String,
}

/// An upload that has begun
#[derive(Serialize, ToSchema)]
pub(super) struct UploadBegun {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// Its id
    upload: String,
    /// Each part but the last has so many bytes at least
    part_bytes_min: u64,
    /// The largest number of a part
    parts_max: u16,
}

/// A part that is stored
#[derive(Serialize, ToSchema)]
pub(super) struct PartSent {
    status: Success,
    number: u16,
    etag: String,
    /// Its length
    size: u64,
}

/// A part that is there
#[derive(Serialize, ToSchema)]
struct PartHeld {
    number: u16,
    etag: String,
    /// Its length
    size: u64,
}

/// An upload, and what is there of it
#[derive(Serialize, ToSchema)]
#[schema(as = Upload)]
pub(super) struct UploadTold {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// Its id
    upload: String,
    #[schema(schema_with = states)]
    state: &'static str,
    parts: Vec<PartHeld>,
}

/// An upload that is given up
#[derive(Serialize, ToSchema)]
pub(super) struct UploadGivenUp {
    status: Success,
    /// Its id
    upload: String,
    #[schema(schema_with = aborted)]
    state: &'static str,
}

/// The upload that has begun; or the write that completing one is
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "tells the schema alone: the answers are made of the two types")]
pub(super) enum BegunOrWritten {
    Begun(UploadBegun),
    Written(Box<Written>),
}

const fn state_name(state: UploadState) -> &'static str {
    match state {
        UploadState::Open => "open",
        UploadState::Completed => "completed",
        UploadState::Aborted => "aborted",
    }
}

fn states() -> Object {
    use UploadState::{Aborted, Completed, Open};
    one_of([Open, Completed, Aborted].map(state_name))
}

fn aborted() -> Object {
    one_of([state_name(UploadState::Aborted)])
}

/// The id in a text, if it is one: S3 shows ids with the checksum behind them.
pub(super) fn upload_id(text: &str) -> Option<UploadId> {
    let hex = text
        .get(..32)
        .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let rest = &text[32..];
    let id = u128::from_str_radix(hex, 16).ok()?;
    (rest.is_empty() || rest.starts_with('-')).then_some(UploadId(id))
}

fn wanted(upload: Option<&str>) -> Answer<UploadId> {
    upload.and_then(upload_id).ok_or_else(no_such_upload)
}

type By = axum::Extension<Caller>;

/// Begin an upload, or complete it
///
/// Without `upload`, begins to send a large object in parts; the headers to keep with it are those of this request. With it,
/// puts the object together from the parts named, or from all that are there. The same uploads as S3's.
#[utoipa::path(
    post, path = "/v1/buckets/{bucket}/uploads/{*key}", operation_id = "begin_or_complete_upload", tag = "objects",
    params(Target, Begun),
    request_body(content = Option<Chosen>, description = "To complete: the parts chosen. To begin: nothing"),
    responses(
        (status = 201, description = "It has begun; or the object is written", body = BegunOrWritten,
            headers(("Holdfast-Context" = String, description = "Of a write: what the next sends back to replace exactly this"))),
        BodyFaults, NoSuchUpload, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn begin_or_complete(
    State(app): App,
    axum::Extension(caller): By,
    target: Target,
    Query(begun): Query<Begun>,
    request: Request<Body>,
) -> Answer {
    let (head, body) = request.into_parts();
    let chosen: Chosen = document(body).await?;
    if let Some(upload) = begun.upload.as_deref() {
        return complete(&app, target, wanted(Some(upload))?, chosen).await;
    }
    if !chosen.parts.is_empty() {
        return Err(Problem::bad_request(
            "an upload that begins has no parts yet",
            "say which upload to complete with ?upload=, or send no body",
        ));
    }
    refuse_conditions(&head.headers)?;
    let headers = object_headers::kept(&head.headers).map_err(|refused| Problem::headers(&refused))?;
    let bucket = app.bucket(&target.bucket).await?;
    let new = NewUpload {
        headers,
        initiator: caller.principal,
    };
    let id = app.objects.create_upload(&bucket, &target.key, new).await;
    let id = id.map_err(|error| Problem::write(&error))?;
    let told = Told(UploadBegun {
        status: Success::Success,
        bucket: bucket.name.clone(),
        key: target.key,
        upload: id.to_string(),
        part_bytes_min: PART_BYTES_MIN,
        parts_max: PART_NUMBER_MAX,
    });
    Ok((StatusCode::CREATED, told).into_response())
}

/// Send a part
///
/// In any order, and again where one failed: the last with a number counts.
#[utoipa::path(
    put, path = "/v1/buckets/{bucket}/uploads/{*key}", operation_id = "put_part", tag = "objects",
    params(Target, WhichPart, PartHeaders),
    request_body(description = "The part: 5 GiB at most, 5 MiB at least but for the last", content(("*/*"))),
    responses(
        (status = 200, description = "It is stored", body = PartSent),
        BodyFaults, NoSuchUpload, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn put_part(
    State(app): App,
    Target { bucket, key }: Target,
    Query(which): Query<WhichPart>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Told<PartSent>> {
    let upload = wanted(which.upload.as_deref())?;
    let number = which.part.filter(|number| (1..=PART_NUMBER_MAX).contains(number));
    let number = number.ok_or_else(|| Problem::bad_request("part is not a number from 1 to 10000", "say &part=1"))?;
    let bucket = app.bucket(&bucket).await?;
    let writer = app.objects.write_body(&bucket, &key, BodyPurpose::Part { upload });
    let plan = Plan {
        length: content_length(&headers)?,
        bytes_max: BODY_BYTES_MAX,
        checksum: None,
        patience: app.body_patience,
    };
    let received = intake::take(body.into_data_stream(), writer, plan).await;
    let received = received.map_err(|error| Problem::intake(&error))?;
    if let Some(given) = headers.get("content-md5")
        && given.as_bytes() != crate::checksum::base64(&received.md5).as_bytes()
    {
        return Err(Problem::bad_request(
            "the Content-MD5 given is not that of the part that arrived",
            "send it again; nothing was stored",
        ));
    }
    let (etag, size) = (received.etag(), received.bytes);
    let stored = received.store().await.map_err(|error| Problem::write(&error))?;
    let StoredBody::Chunked { manifest, .. } = stored else {
        return Err(not_a_part());
    };
    let [stored] = manifest.parts.as_slice() else {
        return Err(not_a_part());
    };
    let part = UploadPart {
        number,
        part: stored.id,
        size,
        chunk_bytes: stored.chunk_bytes,
        etag: etag.clone(),
        checksums: Vec::new(),
        modified_ms: 0,
    };
    let put = app.objects.put_part(&bucket, &key, upload, part).await;
    put.map_err(|error| Problem::write(&error))?;
    Ok(Told(PartSent {
        status: Success::Success,
        number,
        etag,
        size,
    }))
}

/// Look at an upload
///
/// Whether it is open, and which parts are there.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/uploads/{*key}", operation_id = "upload_info", tag = "objects",
    params(Target, Which),
    responses((status = 200, description = "The upload", body = UploadTold), BadRequest, NoSuchUpload, ReadFaults)
)]
pub(super) async fn read(State(app): App, target: Target, Query(which): Query<Which>) -> Answer<Told<UploadTold>> {
    let bucket = app.bucket(&target.bucket).await?;
    let id = wanted(which.upload.as_deref())?;
    let (info, parts) = app
        .objects
        .upload(&bucket, &target.key, id)
        .await
        .map_err(|fault| Problem::read(&fault))?;
    let parts = parts.into_iter().map(|part| PartHeld {
        number: part.number,
        etag: part.etag,
        size: part.size,
    });
    Ok(Told(UploadTold {
        status: Success::Success,
        bucket: bucket.name.clone(),
        key: target.key,
        upload: id.to_string(),
        state: state_name(info.state),
        parts: parts.collect(),
    }))
}

/// Give up an upload
///
/// Its parts are forgotten.
#[utoipa::path(
    delete, path = "/v1/buckets/{bucket}/uploads/{*key}", operation_id = "give_up_upload", tag = "objects",
    params(Target, Which),
    responses((status = 200, description = "It is given up", body = UploadGivenUp), BadRequest, NoSuchUpload, AnyConflict, WriteFaults)
)]
pub(super) async fn give_up(
    State(app): App,
    target: Target,
    Query(which): Query<Which>,
) -> Answer<Told<UploadGivenUp>> {
    let bucket = app.bucket(&target.bucket).await?;
    let id = wanted(which.upload.as_deref())?;
    let aborted = app.objects.abort_upload(&bucket, &target.key, id).await;
    aborted.map_err(|error| Problem::write(&error))?;
    Ok(Told(UploadGivenUp {
        status: Success::Success,
        upload: id.to_string(),
        state: state_name(UploadState::Aborted),
    }))
}

async fn complete(app: &Shared, target: Target, id: UploadId, chosen: Chosen) -> Answer {
    let bucket = app.bucket(&target.bucket).await?;
    let (info, parts) = app
        .objects
        .upload(&bucket, &target.key, id)
        .await
        .map_err(|fault| Problem::read(&fault))?;
    if info.state != UploadState::Open {
        return Err(no_such_upload());
    }
    let complete = assembled(info, parts, &chosen.parts, id)?;
    let outcome = app.objects.complete_upload(&bucket, &target.key, id, complete).await;
    let outcome = outcome.map_err(|error| Problem::write(&error))?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &target.key,
    };
    let token = place.token(&outcome.context);
    let mut answer = with_context(Told(place.outcome(&outcome, &token)), &token);
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

/// The object that the parts chosen make.
fn assembled(info: UploadInfo, parts: Vec<UploadPart>, chosen: &[ChosenPart], id: UploadId) -> Answer<CompleteUpload> {
    let mut by_number: BTreeMap<u16, UploadPart> = parts.into_iter().map(|part| (part.number, part)).collect();
    if !chosen.is_empty() {
        let mut named = BTreeMap::new();
        for wanted in chosen {
            let part = by_number.remove(&wanted.number).filter(|part| part.etag == wanted.etag);
            let part =
                part.ok_or_else(|| wrong_parts(format!("part {} is not there as it is named", wanted.number)))?;
            named.insert(wanted.number, part);
        }
        by_number = named;
    }
    let parts: Vec<UploadPart> = by_number.into_values().collect();
    let all_but_last = parts.len().saturating_sub(1);
    if let Some(small) = parts.iter().take(all_but_last).find(|part| part.size < PART_BYTES_MIN) {
        return Err(wrong_parts(format!(
            "part {} is smaller than {PART_BYTES_MIN} bytes, which only the last may be",
            small.number
        )));
    }
    if parts.iter().map(|part| part.size).sum::<u64>() > OBJECT_BYTES_MAX {
        return Err(wrong_parts("the object would be larger than 5 TiB".to_owned()));
    }
    let tags: Vec<&str> = parts.iter().map(|part| part.etag.as_str()).collect();
    let etag = etag_of_parts(&tags).filter(|_| !tags.is_empty());
    let etag = etag.ok_or_else(|| wrong_parts("no part is there".to_owned()))?;
    let mut headers = info.headers;
    // Of an upload begun through S3: how its checksums are made, which is no header of the object.
    headers.retain(|(name, _)| name != "x-amz-checksum-algorithm" && name != "x-amz-checksum-type");
    let parts = parts.into_iter().map(|part| ManifestPart {
        id: part.part,
        number: part.number,
        size: part.size,
        chunk_bytes: part.chunk_bytes,
        checksums: part.checksums,
    });
    Ok(CompleteUpload {
        request: RequestId(id.0),
        etag,
        headers,
        manifest: Manifest { parts: parts.collect() },
    })
}

fn wrong_parts(message: String) -> Problem {
    Problem::bad_request(
        message,
        "see which parts are there with GET, send what is missing, and complete again",
    )
}

fn no_such_upload() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_upload",
        "no open upload has this id",
        "begin a new one",
    )
}

fn not_a_part() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the body of a part was not stored as one",
        "send it again, and report this with the node's log",
    )
}

#[cfg(test)]
mod tests {
    use holdfast_core::ids::UploadId;

    use super::upload_id;

    #[test]
    fn ids_of_uploads_are_read_alone_and_with_a_checksum_behind_them() {
        let hex = "0000000000000000000000000000002a";
        for text in [hex.to_owned(), format!("{hex}-CRC32"), hex.to_uppercase()] {
            assert_eq!(upload_id(&text), Some(UploadId(42)), "{text}");
        }
        for text in [
            "",
            "2a",
            &hex[1..],
            &format!("{hex}0"),
            &hex.replacen('0', "+", 1),
            &hex.replacen("00", "é", 1),
        ] {
            assert_eq!(upload_id(text), None, "{text}");
        }
    }
}
