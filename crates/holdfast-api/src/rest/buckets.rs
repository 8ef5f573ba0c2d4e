//! Buckets as resources.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use holdfast_core::bucket::{self, Bucket};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::App;
use super::faults::{AnyConflict, BadRequest, NoSuchBucket, ReadFaults, WriteFaults};
use super::query::Query;
use super::shape::{Success, Told, time};
use crate::bucket_wish;
use crate::caller::Caller;
use crate::objects::NewBucket;
use crate::problem::{Answer, Problem};

/// Largest document taken.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// What happens to concurrent versions: the newest is returned, or all of them are
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Conflict {
    Newest,
    Siblings,
}

/// The bucket in a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InBucket {
    /// Name of the bucket
    #[param(
        min_length = 3,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        example = "photos"
    )]
    pub(super) bucket: String,
}

/// Settings of a new bucket, in the query or in a JSON body; those of the query count first
#[derive(Deserialize, Default, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NewSettings {
    /// Its name, where the path has none
    #[schema(
        min_length = 3,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        example = "photos"
    )]
    #[param(min_length = 3, max_length = 63, pattern = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    name: Option<String>,
    /// Replicas of each object; 3 when left out
    #[schema(minimum = 1, maximum = 255, example = 3)]
    #[param(minimum = 1, maximum = 255)]
    n: Option<u8>,
    /// Copies a read asks, at most `n`; 2 when left out
    #[schema(minimum = 1, maximum = 255, example = 2)]
    #[param(minimum = 1, maximum = 255)]
    r: Option<u8>,
    /// Synced copies a write needs, at most `n`; 2 when left out
    #[schema(minimum = 1, maximum = 255, example = 2)]
    #[param(minimum = 1, maximum = 255)]
    w: Option<u8>,
    /// What happens to concurrent versions: `newest` (the default) or `siblings`
    #[param(inline)]
    conflict: Option<Conflict>,
    /// Whether nodes beyond the first N stand in for those that are down; true when left out
    sloppy: Option<bool>,
}

/// The same where nothing else names the bucket.
struct NamedSettings;

impl PartialSchema for NamedSettings {
    fn schema() -> RefOr<Schema> {
        let named = ObjectBuilder::new().required("name");
        let both = AllOfBuilder::new()
            .item(Ref::from_schema_name(NewSettings::name()))
            .item(named);
        RefOr::T(both.into())
    }
}

impl ToSchema for NamedSettings {}

/// A bucket and its settings
#[derive(Serialize, ToSchema)]
#[schema(as = Bucket)]
pub(super) struct BucketTold {
    #[schema(example = "photos")]
    name: String,
    id: String,
    /// Access key id of whoever created it, or `admin`
    owner: String,
    #[schema(format = DateTime)]
    created: String,
    /// Replicas of each object
    n: u8,
    /// Copies a read asks
    r: u8,
    /// Synced copies a write needs
    w: u8,
    /// Slices of its index
    shards: u16,
    /// Whether nodes beyond the first N stand in for those that are down
    sloppy: bool,
    /// What happens to concurrent versions
    conflict: Conflict,
    /// Raised by every change of its settings
    settings_version: u64,
}

/// All buckets
#[derive(Serialize, ToSchema)]
pub(super) struct Buckets {
    status: Success,
    buckets: Vec<BucketTold>,
}

/// A bucket, its settings, and what is in it
#[derive(Serialize, ToSchema)]
pub(super) struct BucketInfo {
    status: Success,
    #[serde(flatten)]
    bucket: BucketTold,
    /// How many objects it has
    objects: u64,
    /// Their bytes, each counted once
    bytes: u64,
}

/// A bucket that exists now
#[derive(Serialize, ToSchema)]
pub(super) struct BucketMade {
    status: Success,
    #[serde(flatten)]
    bucket: BucketTold,
    /// False when it was there before
    created_now: bool,
}

/// A bucket that is gone
#[derive(Serialize, ToSchema)]
pub(super) struct BucketDeleted {
    status: Success,
    /// Its name
    deleted: String,
}

fn told(bucket: &Bucket) -> BucketTold {
    BucketTold {
        name: bucket.name.clone(),
        id: bucket.settings.id.to_string(),
        owner: bucket.owner.clone(),
        created: time(bucket.created_ms),
        n: bucket.settings.n,
        r: bucket.settings.r,
        w: bucket.settings.w,
        shards: bucket.settings.shards,
        sloppy: bucket.settings.sloppy,
        conflict: match bucket.conflict {
            bucket::Conflict::Newest => Conflict::Newest,
            bucket::Conflict::Siblings => Conflict::Siblings,
        },
        settings_version: bucket.settings.version,
    }
}

/// List all buckets
#[utoipa::path(
    get, path = "/v1/buckets", operation_id = "list_buckets", tag = "buckets",
    responses((status = 200, description = "All buckets, by name", body = Buckets), ReadFaults)
)]
pub(super) async fn list(State(app): App) -> Answer<Told<Buckets>> {
    let buckets = app.objects.buckets().await;
    let buckets = buckets.map_err(|fault| Problem::read(&fault))?;
    Ok(Told(Buckets {
        status: Success::Success,
        buckets: buckets.iter().map(|bucket| told(bucket)).collect(),
    }))
}

/// Look at a bucket
///
/// Its settings, and how many objects and bytes it has.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}", operation_id = "bucket_info", tag = "buckets", params(InBucket),
    responses((status = 200, description = "The bucket", body = BucketInfo), NoSuchBucket, ReadFaults)
)]
pub(super) async fn info(State(app): App, Path(InBucket { bucket }): Path<InBucket>) -> Answer<Told<BucketInfo>> {
    let bucket = app.bucket(&bucket).await?;
    let count = app.objects.count(&bucket).await;
    let count = count.map_err(|fault| Problem::read(&fault))?;
    Ok(Told(BucketInfo {
        status: Success::Success,
        bucket: told(&bucket),
        objects: count.objects,
        bytes: count.bytes,
    }))
}

/// Create a bucket
///
/// Settings come in the query or as JSON. A bucket that exists stays as it is.
#[utoipa::path(
    put, path = "/v1/buckets/{bucket}", operation_id = "create_bucket", tag = "buckets",
    params(InBucket, NewSettings),
    request_body(content = Option<NewSettings>, description = "Settings, unless they are in the query"),
    responses(
        (status = 201, description = "It is new", body = BucketMade),
        (status = 200, description = "It was there before, perhaps with other settings", body = BucketMade),
        BadRequest, WriteFaults,
    )
)]
pub(super) async fn create(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(InBucket { bucket: name }): Path<InBucket>,
    Query(in_query): Query<NewSettings>,
    body: Body,
) -> Answer {
    let in_body: NewSettings = document(body).await?;
    let named = [&in_body.name, &in_query.name];
    if named.into_iter().flatten().any(|other| *other != name) {
        return Err(Problem::bad_request(
            "the request names another bucket than the path",
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

/// Create a bucket that the body names
#[utoipa::path(
    post, path = "/v1/buckets", operation_id = "create_named_bucket", tag = "buckets",
    request_body(content = NamedSettings, example = json!({"name": "photos", "conflict": "siblings"})),
    responses(
        (status = 201, description = "It is new", body = BucketMade),
        (status = 200, description = "It was there before, perhaps with other settings", body = BucketMade),
        BadRequest, WriteFaults,
    )
)]
pub(super) async fn create_named(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    body: Body,
) -> Answer {
    make(&app, &caller, document(body).await?).await
}

async fn make(app: &super::Shared, caller: &Caller, settings: NewSettings) -> Answer {
    let name = settings.name.unwrap_or_default();
    let conflict = match settings.conflict {
        None | Some(Conflict::Newest) => bucket::Conflict::Newest,
        Some(Conflict::Siblings) => bucket::Conflict::Siblings,
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
    let answer = Told(BucketMade {
        status: Success::Success,
        bucket: told(&created.bucket),
        created_now: created.created,
    });
    let status = if created.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, answer).into_response())
}

/// Delete an empty bucket
#[utoipa::path(
    delete, path = "/v1/buckets/{bucket}", operation_id = "delete_bucket", tag = "buckets", params(InBucket),
    responses(
        (status = 200, description = "It is gone", body = BucketDeleted),
        NoSuchBucket, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn delete(
    State(app): App,
    Path(InBucket { bucket: name }): Path<InBucket>,
) -> Answer<Told<BucketDeleted>> {
    let bucket = app.bucket(&name).await?;
    let deleted = app.objects.delete_bucket(&bucket).await;
    deleted.map_err(|error| Problem::delete_bucket(&error))?;
    Ok(Told(BucketDeleted {
        status: Success::Success,
        deleted: name,
    }))
}

/// A small JSON document, or its default when there is none, or `null`.
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
    // Serde would take a list for an object, its values in the order of the fields.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::bad_request(
            "the body is a JSON array, and an object is expected",
            "see docs/rest.md",
        ));
    }
    let document: Result<Option<T>, _> = serde_json::from_slice(&bytes);
    document.map(Option::unwrap_or_default).map_err(|error| {
        Problem::bad_request(
            format!("the body is not the JSON expected: {error}"),
            "see docs/rest.md",
        )
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::{NewSettings, document};

    #[tokio::test]
    async fn a_document_is_an_object_or_nothing() {
        for text in ["", " \n", "null", "{}", "{\"n\": 1}"] {
            assert!(document::<NewSettings>(Body::from(text)).await.is_ok(), "{text}");
        }
        for text in ["[]", " [\"photos\"]", "1", "{\"m\": 1}", "{"] {
            assert!(document::<NewSettings>(Body::from(text)).await.is_err(), "{text}");
        }
    }
}
