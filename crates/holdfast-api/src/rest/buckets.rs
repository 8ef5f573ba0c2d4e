//! Buckets as resources.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use holdfast_core::bucket::Conflict;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::query::Query;
use super::shape;
use crate::bucket_wish;
use crate::caller::Caller;
use crate::objects::NewBucket;
use crate::problem::{Answer, Problem};

/// Largest document taken.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// Settings of a new bucket, in the query or in a JSON body.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSettings {
    name: Option<String>,
    n: Option<u8>,
    r: Option<u8>,
    w: Option<u8>,
    conflict: Option<String>,
    sloppy: Option<bool>,
}

pub(super) async fn list(State(app): App) -> Answer<Json<Value>> {
    let buckets = app.objects.buckets().await;
    let buckets = buckets.map_err(|fault| Problem::read(&fault))?;
    let buckets: Vec<Value> = buckets.iter().map(|bucket| shape::bucket(bucket)).collect();
    Ok(Json(json!({ "status": "success", "buckets": buckets })))
}

pub(super) async fn info(State(app): App, Path(name): Path<String>) -> Answer<Json<Value>> {
    let bucket = app.bucket(&name).await?;
    let count = app.objects.count(&bucket).await;
    let count = count.map_err(|fault| Problem::read(&fault))?;
    let mut answer = shape::bucket(&bucket);
    answer["status"] = json!("success");
    answer["objects"] = json!(count.objects);
    answer["bytes"] = json!(count.bytes);
    Ok(Json(answer))
}

pub(super) async fn create(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(name): Path<String>,
    Query(in_query): Query<NewSettings>,
    body: Body,
) -> Answer {
    let in_body: NewSettings = document(body).await?;
    if in_body.name.as_ref().is_some_and(|other| *other != name) {
        return Err(Problem::bad_request(
            "the body names another bucket than the path",
            "name it once",
        ));
    }
    let settings = NewSettings {
        name: Some(name),
        n: in_query.n.or(in_body.n),
        r: in_query.r.or(in_body.r),
        w: in_query.w.or(in_body.w),
        conflict: in_query.conflict.or(in_body.conflict),
        sloppy: in_query.sloppy.or(in_body.sloppy),
    };
    make(&app, &caller, settings).await
}

pub(super) async fn create_named(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    body: Body,
) -> Answer {
    make(&app, &caller, document(body).await?).await
}

async fn make(app: &super::Shared, caller: &Caller, settings: NewSettings) -> Answer {
    let name = settings.name.unwrap_or_default();
    let conflict = match settings.conflict.as_deref() {
        None | Some("newest") => Conflict::Newest,
        Some("siblings") => Conflict::Siblings,
        Some(_) => {
            return Err(Problem::bad_request(
                "conflict is neither `newest` nor `siblings`",
                "choose one of them",
            ));
        }
    };
    let new = NewBucket {
        owner: caller.principal.clone(),
        n: settings.n,
        r: settings.r,
        w: settings.w,
        conflict,
        sloppy: settings.sloppy,
    };
    bucket_wish::check(&name, &new)?;
    let created = app.objects.create_bucket(&name, new).await;
    let created = created.map_err(|error| Problem::write(&error))?;
    let mut answer = shape::bucket(&created.bucket);
    answer["status"] = json!("success");
    answer["created_now"] = json!(created.created);
    let status = if created.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(answer)).into_response())
}

pub(super) async fn delete(State(app): App, Path(name): Path<String>) -> Answer<Json<Value>> {
    let bucket = app.bucket(&name).await?;
    let deleted = app.objects.delete_bucket(&bucket).await;
    deleted.map_err(|error| Problem::delete_bucket(&error))?;
    Ok(Json(json!({ "status": "success", "deleted": name })))
}

/// A small JSON document, or its default when there is none.
pub(crate) async fn document<T: serde::de::DeserializeOwned + Default>(body: Body) -> Answer<T> {
    let bytes = axum::body::to_bytes(body, DOCUMENT_BYTES_MAX).await;
    let bytes = bytes.map_err(|error| {
        Problem::bad_request(
            format!("the body did not arrive whole, or is larger than 64 KiB: {error}"),
            "send a small JSON document",
        )
    })?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(
            format!("the body is not the JSON expected: {error}"),
            "see docs/rest.md",
        )
    })
}
