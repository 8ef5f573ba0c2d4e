//! Large objects in parts: begun, sent part by part in any order and again where one failed, completed or given up.
//!
//! The same uploads as S3's: one begun here can be looked at and given up there. Parts are named in the query, for the path
//! ends in the key: `POST /v1/buckets/{bucket}/uploads/{key}` begins, `PUT …?upload=ID&part=N` sends, `GET …?upload=ID` tells
//! what is there, `POST …?upload=ID` completes, `DELETE …?upload=ID` gives up.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use holdfast_core::content::{Manifest, ManifestPart, StoredBody};
use holdfast_core::ids::{RequestId, UploadId};
use holdfast_core::request::{UploadInfo, UploadPart, UploadState};
use http::header::HeaderMap;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::buckets::document;
use super::object::with_context;
use super::query::Query;
use super::shape::Place;
use super::upload::{Target, content_length, refuse_conditions};
use super::{App, Shared};
use crate::caller::Caller;
use crate::intake::{self, Plan};
use crate::limits::{BODY_BYTES_MAX, OBJECT_BYTES_MAX, PART_BYTES_MIN, PART_NUMBER_MAX};
use crate::object_headers;
use crate::objects::{BodyPurpose, CompleteUpload, NewUpload};
use crate::problem::{Answer, Problem};
use crate::s3::etag_of_parts;

pub(super) fn methods() -> MethodRouter<Arc<Shared>> {
    get(read).post(begin_or_complete).put(put_part).delete(give_up)
}

/// Which upload, and which part of it.
#[derive(Deserialize, Default)]
pub(super) struct Which {
    upload: Option<String>,
    part: Option<u16>,
}

impl Which {
    fn upload(&self) -> Result<UploadId, Problem> {
        let text = self.upload.as_deref().unwrap_or_default();
        // S3 shows ids with the checksum behind them.
        let hex = text.split('-').next().filter(|hex| hex.len() == 32);
        let id = hex.and_then(|hex| u128::from_str_radix(hex, 16).ok());
        id.map(UploadId).ok_or_else(no_such_upload)
    }
}

/// The parts chosen; all that are there when none is named.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Chosen {
    #[serde(default)]
    parts: Vec<ChosenPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChosenPart {
    number: u16,
    etag: String,
}

type By = axum::Extension<Caller>;

async fn begin_or_complete(
    State(app): App,
    axum::Extension(caller): By,
    target: Target,
    Query(which): Query<Which>,
    request: Request<Body>,
) -> Answer {
    if which.upload.is_some() {
        let id = which.upload()?;
        return complete(&app, target, id, document(request.into_body()).await?).await;
    }
    refuse_conditions(request.headers())?;
    let headers = object_headers::kept(request.headers()).map_err(|refused| Problem::headers(&refused))?;
    let bucket = app.bucket(&target.bucket).await?;
    let new = NewUpload {
        headers,
        initiator: caller.principal,
    };
    let id = app.objects.create_upload(&bucket, &target.key, new).await;
    let id = id.map_err(|error| Problem::write(&error))?;
    let told = json!({
        "status": "success",
        "bucket": bucket.name,
        "key": target.key,
        "upload": id.to_string(),
        "part_bytes_min": PART_BYTES_MIN,
        "parts_max": PART_NUMBER_MAX,
    });
    Ok((StatusCode::CREATED, Json(told)).into_response())
}

async fn put_part(
    State(app): App,
    Target { bucket, key }: Target,
    Query(which): Query<Which>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let upload = which.upload()?;
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
    Ok(Json(
        json!({ "status": "success", "number": number, "etag": etag, "size": size }),
    ))
}

async fn read(State(app): App, target: Target, Query(which): Query<Which>) -> Answer<Json<Value>> {
    let bucket = app.bucket(&target.bucket).await?;
    let id = which.upload()?;
    let (info, parts) = app
        .objects
        .upload(&bucket, &target.key, id)
        .await
        .map_err(|fault| Problem::read(&fault))?;
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| json!({ "number": part.number, "etag": part.etag, "size": part.size }))
        .collect();
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "key": target.key,
        "upload": id.to_string(),
        "state": match info.state {
            UploadState::Open => "open",
            UploadState::Completed => "completed",
            UploadState::Aborted => "aborted",
        },
        "parts": parts,
    })))
}

async fn give_up(State(app): App, target: Target, Query(which): Query<Which>) -> Answer<Json<Value>> {
    let bucket = app.bucket(&target.bucket).await?;
    let id = which.upload()?;
    let aborted = app.objects.abort_upload(&bucket, &target.key, id).await;
    aborted.map_err(|error| Problem::write(&error))?;
    Ok(Json(
        json!({ "status": "success", "upload": id.to_string(), "state": "aborted" }),
    ))
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
    let mut answer = with_context(Json(place.outcome(&outcome, &token)), &token);
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
