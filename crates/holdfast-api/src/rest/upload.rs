//! Writing one object: a raw body, or the file of a multipart form.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Path, State};
use futures_util::TryStreamExt;
use holdfast_core::context::Context;
use holdfast_core::ids::RequestId;
use holdfast_core::request::PutValue;
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::buckets::InBucket;
use super::faults::{AnyConflict, BodyFaults, NoSuchBucket, WriteFaults};
use super::object::with_context;
use super::place::{Place, Written};
use super::query::Query;
use super::shape::Told;
use super::{App, CONTEXT, REQUEST_ID, Shared};
use crate::caller::Caller;
use crate::checksum::Algorithm;
use crate::claims::{check_key, declared, verify};
use crate::intake::{self, Plan, Received};
use crate::limits::BODY_BYTES_MAX;
use crate::object_headers;
use crate::objects::{BodyPurpose, BucketRef, PutObject};
use crate::problem::{Answer, Problem};
use crate::request_id;

/// A bucket's name and a key, from the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Target {
    /// Name of the bucket
    #[param(
        min_length = 3,
        max_length = 63,
        pattern = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        example = "photos"
    )]
    pub(super) bucket: String,
    /// The key: 1 to 1024 bytes of UTF-8, which may hold slashes
    #[param(min_length = 1, max_length = 1024, example = "cat.jpg")]
    pub(super) key: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((bucket, key)) =
            path.map_err(|_| Problem::bad_request("the path is not UTF-8", "encode keys as UTF-8, then in percent"))?;
        check_key(&key)?;
        Ok(Self { bucket, key })
    }
}

/// What a write may be asked in its query.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteOptions {
    /// Wait for so many synced copies instead of the bucket's `w`
    #[param(maximum = 255)]
    pub(super) w: Option<u8>,
    /// `all` waits for every home
    #[param(pattern = "^all$")]
    wait: Option<String>,
}

/// What a write may be asked in its headers. Told here for the document; read where they are used.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names headers, which are read from the request's map")]
pub(super) struct WriteHeaders {
    /// What you have seen: exactly that is replaced. Without it, whatever is found
    #[param(rename = "Holdfast-Context", nullable = false)]
    context: Option<String>,
    /// Names the write: a retry with the same id is the same write
    #[param(rename = "Holdfast-Request-Id", nullable = false)]
    request_id: Option<String>,
    /// Verified when given, as are `x-amz-checksum-crc32`, `-crc32c`, `-crc64nvme`, `-sha1` and `-sha256`, of which one may be given
    #[param(rename = "Content-MD5", nullable = false)]
    content_md5: Option<String>,
    /// Kept with the object, as are `Content-Disposition`, `Content-Encoding`, `Content-Language`, `Expires` and `x-amz-meta-*`
    #[param(rename = "Cache-Control", nullable = false)]
    cache_control: Option<String>,
}

/// A form with one file, whose name is the key where the path has none. What the field is called does not matter
pub(super) struct Form;

impl PartialSchema for Form {
    fn schema() -> RefOr<Schema> {
        let file = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        let form = ObjectBuilder::new()
            .description(Some(
                "A form with one file, whose name is the key where the path has none",
            ))
            .additional_properties(Some(Schema::from(file)))
            .min_properties(Some(1))
            .max_properties(Some(1));
        RefOr::T(form.into())
    }
}

impl ToSchema for Form {}

impl WriteOptions {
    pub(super) fn waits_for_all(&self) -> Result<bool, Problem> {
        match self.wait.as_deref() {
            None => Ok(false),
            Some("all") => Ok(true),
            Some(_) => Err(Problem::bad_request(
                "wait can only be `all`",
                "leave it out or say wait=all",
            )),
        }
    }
}

/// Write an object
///
/// Creates or replaces it. The body is taken as it is, or as a form with one file. With a context, it replaces what that
/// has seen, and what it has not seen stays beside it.
#[utoipa::path(
    put, path = "/v1/buckets/{bucket}/objects/{*key}", operation_id = "put_object", tag = "objects",
    params(Target, WriteOptions, WriteHeaders),
    request_body(description = "The body, 5 GiB at most", content(("*/*"), (Form = "multipart/form-data"))),
    responses(
        (status = 201, description = "It is synced on as many homes as the bucket or `w` asks", body = Written,
            headers(("Holdfast-Context" = String, description = "What a write sends back to replace exactly this"))),
        BodyFaults, NoSuchBucket, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn put(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(options): Query<WriteOptions>,
    request: Request<Body>,
) -> Answer {
    let bucket = app.bucket(&bucket).await?;
    let write = Write {
        app: &app,
        bucket: &bucket,
        caller: &caller,
        options: &options,
    };
    if is_form(request.headers()) {
        return write.form(request, Some(key)).await;
    }
    let (head, body) = request.into_parts();
    write.raw(&head.headers, key, body).await
}

/// Write an object
///
/// Creates or replaces it. The body is taken as it is, or as a form with one file. With a context, it replaces what that
/// has seen, and what it has not seen stays beside it.
#[utoipa::path(
    post, path = "/v1/buckets/{bucket}/objects/{*key}", operation_id = "post_object", tag = "objects",
    params(Target, WriteOptions, WriteHeaders),
    request_body(description = "The body, 5 GiB at most", content(("*/*"), (Form = "multipart/form-data"))),
    responses(
        (status = 201, description = "It is synced on as many homes as the bucket or `w` asks", body = Written,
            headers(("Holdfast-Context" = String, description = "What a write sends back to replace exactly this"))),
        BodyFaults, NoSuchBucket, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn post(
    app: App,
    caller: axum::Extension<Caller>,
    target: Target,
    options: Query<WriteOptions>,
    request: Request<Body>,
) -> Answer {
    put(app, caller, target, options, request).await
}

/// Write an object from a form
///
/// The form holds one file, and the file's own name is the key.
#[utoipa::path(
    post, path = "/v1/buckets/{bucket}/objects", operation_id = "post_form", tag = "objects",
    params(InBucket, WriteOptions, WriteHeaders),
    request_body(content = Form, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "It is synced on as many homes as the bucket or `w` asks", body = Written,
            headers(("Holdfast-Context" = String, description = "What a write sends back to replace exactly this"))),
        BodyFaults, NoSuchBucket, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn post_form(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(InBucket { bucket }): Path<InBucket>,
    Query(options): Query<WriteOptions>,
    request: Request<Body>,
) -> Answer {
    let bucket = app.bucket(&bucket).await?;
    if !is_form(request.headers()) {
        return Err(Problem::bad_request(
            "a post to a bucket must be multipart/form-data with a file",
            "to put a raw body, PUT it to /v1/buckets/{bucket}/objects/{key}",
        ));
    }
    let write = Write {
        app: &app,
        bucket: &bucket,
        caller: &caller,
        options: &options,
    };
    write.form(request, None).await
}

struct Write<'a> {
    app: &'a Shared,
    bucket: &'a BucketRef,
    caller: &'a Caller,
    options: &'a WriteOptions,
}

impl Write<'_> {
    async fn raw(&self, headers: &HeaderMap, key: String, body: Body) -> Answer {
        let length = content_length(headers)?;
        let plan = self.plan(length, declared(headers)?.map(|(algorithm, _)| algorithm));
        let writer = self.app.objects.write_body(self.bucket, &key, BodyPurpose::Object);
        let stream = body.into_data_stream();
        let received = intake::take(stream, writer, plan).await;
        let received = received.map_err(|error| Problem::intake(&error))?;
        self.commit(headers, key, received).await
    }

    async fn form(&self, request: Request<Body>, key: Option<String>) -> Answer {
        let mut headers = request.headers().clone();
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| Problem::bad_request(error.to_string(), "send multipart/form-data"))?;
        let field = form.next_field().await.map_err(|error| malformed(&error))?;
        let Some(field) = field else {
            return Err(Problem::bad_request("the form is empty", "send one file"));
        };
        let key = match key.or_else(|| field.file_name().map(str::to_owned)) {
            Some(key) => key,
            None => {
                return Err(Problem::bad_request(
                    format!("the field {} is not a file", field.name().unwrap_or_default()),
                    "send one file with a name, and nothing else",
                ));
            }
        };
        check_key(&key)?;
        // What the form says of the request is not what its file is.
        headers.remove(header::CONTENT_TYPE);
        headers.remove(header::CONTENT_LENGTH);
        if let Some(kind) = field.content_type().and_then(|kind| HeaderValue::from_str(kind).ok()) {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        let received = self.take_field(&key, &headers, field).await?;
        if let Some(extra) = form.next_field().await.map_err(|error| malformed(&error))? {
            return Err(Problem::bad_request(
                format!("the form has another field, {}", extra.name().unwrap_or_default()),
                "send one file and nothing else; nothing was stored",
            ));
        }
        self.commit(&headers, key, received).await
    }

    async fn take_field(&self, key: &str, headers: &HeaderMap, field: Field<'_>) -> Result<Received, Problem> {
        let plan = self.plan(None, declared(headers)?.map(|(algorithm, _)| algorithm));
        let writer = self.app.objects.write_body(self.bucket, key, BodyPurpose::Object);
        let received = intake::take(field.into_stream(), writer, plan).await;
        received.map_err(|error| Problem::intake(&error))
    }

    const fn plan(&self, length: Option<u64>, checksum: Option<Algorithm>) -> Plan {
        Plan {
            length,
            bytes_max: BODY_BYTES_MAX,
            checksum,
            patience: self.app.body_patience,
        }
    }

    /// Verifies what came, stores it, and puts the version.
    async fn commit(&self, headers: &HeaderMap, key: String, mut received: Received) -> Answer {
        refuse_conditions(headers)?;
        let place = Place {
            objects: &*self.app.objects,
            bucket: self.bucket,
            key: &key,
        };
        let context = context_of(&place, headers)?;
        let wait_all = self.options.waits_for_all()?;
        let mut kept = object_headers::kept(headers).map_err(|refused| Problem::headers(&refused))?;
        verify(headers, &received)?;
        if let Some((algorithm, _)) = declared(headers)?
            && let Some(value) = received.checksum.take()
        {
            object_headers::set(&mut kept, algorithm.header(), value);
        }
        let etag = received.etag();
        let body = received.store().await.map_err(|error| Problem::write(&error))?;
        let put = PutObject {
            request: request_of(headers, self.caller, "put", self.bucket, &key),
            context,
            value: PutValue::Object {
                etag,
                headers: kept,
                body,
            },
            w: self.options.w,
            wait_all,
        };
        let outcome = self.app.objects.put(self.bucket, &key, put).await;
        let outcome = outcome.map_err(|error| Problem::write(&error))?;
        let token = place.token(&outcome.context);
        let mut answer = with_context(Told(place.outcome(&outcome, &token)), &token);
        *answer.status_mut() = StatusCode::CREATED;
        Ok(answer)
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("multipart/form-data")
    })
}

fn malformed(error: &axum::extract::multipart::MultipartError) -> Problem {
    Problem::bad_request(
        format!("the form is malformed or did not arrive whole: {error}"),
        "send it again; nothing was stored",
    )
}

pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(Problem::bad_request("Content-Length is not a number", "send a number")),
    }
}

/// Refuses conditional writes: silently ignored they would be a promise broken.
pub(super) fn refuse_conditions(headers: &HeaderMap) -> Result<(), Problem> {
    let conditions = [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    if conditions.iter().any(|name| headers.contains_key(name)) {
        return Err(Problem::not_implemented("a conditional write"));
    }
    Ok(())
}

/// The context the client had seen.
pub(super) fn context_of(place: &Place<'_>, headers: &HeaderMap) -> Result<Option<Context>, Problem> {
    let Some(token) = headers.get(CONTEXT) else {
        return Ok(None);
    };
    let context = token
        .to_str()
        .ok()
        .and_then(|token| place.objects.open_context(place.bucket, place.key, token));
    match context {
        Some(context) => Ok(Some(context)),
        None => Err(Problem::bad_request(
            "Holdfast-Context was not made for this key by this cluster",
            "send the context of a read or write of the same key, unchanged",
        )),
    }
}

/// The identity of a write (rule D7).
pub(super) fn request_of(
    headers: &HeaderMap,
    caller: &Caller,
    operation: &str,
    bucket: &BucketRef,
    key: &str,
) -> RequestId {
    match headers.get(REQUEST_ID) {
        Some(id) => request_id::of_invocation(&caller.principal, operation, bucket.settings.id, key, id.as_bytes()),
        None => request_id::drawn(),
    }
}

/// What never fails to be read.
impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
