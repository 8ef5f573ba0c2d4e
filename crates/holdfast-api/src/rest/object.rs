//! Reading and deleting one object.
//!
//! A bucket that keeps siblings answers 300 with all of them when there are several; each can be read by its dot. Any
//! other read returns the newest, and a header tells how many there are. The context always covers all of them
//! (rule D8), so that a write with it resolves the conflict.

use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use holdfast_core::bucket::Conflict;
use holdfast_core::ids::Dot;
use holdfast_core::record::Version;
use holdfast_core::request::{Got, PutValue, WantedBodies};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::faults::{AnyConflict, BadRequest, NoSuchBucket, NoSuchObject, ReadFaults, WriteFaults};
use super::place::{Known, Place, Written};
use super::query::Query;
use super::shape::{Told, dot_text, parse_dot};
use super::upload::{Target, WriteOptions, context_of, request_of};
use super::{App, CONTEXT, DOT, SIBLINGS};
use crate::answer_body::AnswerBody;
use crate::caller::Caller;
use crate::conditions::{Conditions, TagCondition, Verdict};
use crate::object_headers;
use crate::objects::{GetObject, PutObject};
use crate::problem::{Answer, Problem, ProblemTold};

/// What a read may be asked in its query.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadOptions {
    /// Ask so many copies instead of the bucket's `r`
    #[param(maximum = 255)]
    pub(super) r: Option<u8>,
    /// What is known of the object instead of its body; any value, also none
    #[param(allow_reserved)]
    meta: Option<String>,
    /// Read the version with this dot, one of those that a 300 lists
    #[param(pattern = "^[0-9a-f]{1,16}-[0-9a-f]{1,16}-[0-9a-f]{1,16}$")]
    sibling: Option<String>,
}

/// What a read may be asked in its headers, as in HTTP. Told here for the document; read where they are used.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "names headers, which are read from the request's map")]
pub(super) struct ReadHeaders {
    /// One range of bytes; what is not is ignored
    #[param(rename = "Range", nullable = false, example = "bytes=0-99")]
    range: Option<String>,
    /// Only if the ETag is one of these, else 412
    #[param(rename = "If-Match", nullable = false)]
    if_match: Option<String>,
    /// Only if the ETag is none of these, else 304
    #[param(rename = "If-None-Match", nullable = false)]
    if_none_match: Option<String>,
    /// Only if changed after this date, else 304
    #[param(rename = "If-Modified-Since", nullable = false)]
    if_modified_since: Option<String>,
    /// Only if not changed after this date, else 412
    #[param(rename = "If-Unmodified-Since", nullable = false)]
    if_unmodified_since: Option<String>,
}

/// All that is known of a key that has concurrent versions, and what to do about it
#[derive(Serialize, ToSchema)]
pub(super) struct Siblings {
    #[serde(flatten)]
    known: Known,
    #[schema(example = "siblings")]
    error: &'static str,
    message: &'static str,
    what_to_do: &'static str,
}

impl ReadOptions {
    fn wanted_dot(&self) -> Result<Option<Dot>, Problem> {
        let Some(text) = &self.sibling else { return Ok(None) };
        match parse_dot(text) {
            Some(dot) => Ok(Some(dot)),
            None => Err(Problem::bad_request(
                "sibling is not a dot",
                "use one of the dots that a 300 lists",
            )),
        }
    }
}

/// Read an object
///
/// The body as it was stored, with its headers. In a bucket that keeps siblings, a key with several answers 300 and lists
/// them; each is read by its dot. `?meta` tells what is known of the object instead. Of a key that is not there, the
/// context is in the header all the same.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/objects/{*key}", operation_id = "read_object", tag = "objects",
    params(Target, ReadOptions, ReadHeaders),
    responses(
        (status = 200, description = "The body as it is; with `?meta`, what the resource `meta` tells (`Known`)",
            content(("*/*")),
            headers(
                ("Holdfast-Context" = String, description = "What a write sends back to replace exactly this"),
                ("Holdfast-Siblings" = u32, description = "How many concurrent versions there are"),
                ("Holdfast-Dot" = String, description = "The name of the version"),
                ("ETag" = String), ("Last-Modified" = String), ("Content-Length" = u64), ("Accept-Ranges" = String),
            )),
        (status = 206, description = "The range asked for", content(("*/*")),
            headers(("Content-Range" = String), ("Holdfast-Context" = String), ("Holdfast-Siblings" = u32), ("Holdfast-Dot" = String))),
        (status = 300, description = "There are several versions, and the bucket keeps them", body = Siblings,
            headers(("Holdfast-Context" = String), ("Holdfast-Siblings" = u32))),
        (status = 304, description = "You have it already", headers(("ETag" = String), ("Holdfast-Context" = String))),
        (status = 412, description = "It is not what you expect", body = ProblemTold),
        (status = 416, description = "It has no such bytes", body = ProblemTold),
        BadRequest, NoSuchObject, ReadFaults,
    )
)]
pub(super) async fn read(app: App, target: Target, options: Query<ReadOptions>, headers: HeaderMap) -> Answer {
    look(app, target, options, headers, true).await
}

/// Look at an object
///
/// As reading it, without its body.
#[utoipa::path(
    head, path = "/v1/buckets/{bucket}/objects/{*key}", operation_id = "look_at_object", tag = "objects",
    params(Target, ReadOptions, ReadHeaders),
    responses(
        (status = 200, description = "It is there"),
        (status = 206, description = "The range asked for is there"),
        (status = 300, description = "There are several versions, and the bucket keeps them"),
        (status = 304, description = "You have it already"),
        (status = 400, description = "The request is wrong"),
        (status = 401, description = "The request carries no Authorization"),
        (status = 403, description = "The token, key or signature is wrong"),
        (status = 404, description = "There is no such object"),
        (status = 412, description = "It is not what you expect"),
        (status = 416, description = "It has no such bytes"),
        (status = 431, description = "The headers are too large"),
        (status = 500, description = "Every copy that can be reached is damaged"),
        (status = 501, description = "A body signed in chunks"),
        (status = 503, description = "Too few nodes can be reached, or too much is under way"),
    )
)]
pub(super) async fn head(app: App, target: Target, options: Query<ReadOptions>, headers: HeaderMap) -> Answer {
    look(app, target, options, headers, false).await
}

async fn look(
    State(app): App,
    Target { bucket, key }: Target,
    Query(options): Query<ReadOptions>,
    headers: HeaderMap,
    with_body: bool,
) -> Answer {
    let bucket = app.bucket(&bucket).await?;
    let wanted_dot = options.wanted_dot()?;
    let with_body = with_body && options.meta.is_none();
    let bodies = match (with_body, wanted_dot) {
        (false, _) => WantedBodies::None,
        (true, None) => WantedBodies::Newest,
        (true, Some(_)) => WantedBodies::All,
    };
    let get = GetObject { r: options.r, bodies };
    let got = app.objects.get(&bucket, &key, get).await;
    let mut got = got.map_err(|fault| Problem::read(&fault))?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &key,
    };
    let token = place.token(got.record.context());
    if options.meta.is_some() {
        return Ok(with_context(Told(place.found(&got, &token)), &token));
    }
    let siblings = got.record.sibling_count();
    if wanted_dot.is_none() && bucket.conflict == Conflict::Siblings && siblings > 1 {
        let mut answer = with_context(Told(choices(&place, &got, &token)), &token);
        *answer.status_mut() = StatusCode::MULTIPLE_CHOICES;
        answer.headers_mut().insert(SIBLINGS, HeaderValue::from(siblings));
        return Ok(answer);
    }
    let chosen = match wanted_dot {
        None => got.record.visible(),
        Some(dot) => got.record.find(dot).filter(|version| !version.content.is_deletion()),
    };
    let Some(chosen) = chosen.cloned() else {
        // The context of a key that is gone is worth having: a put with it is not concurrent with the deletion.
        return Ok(with_context(Problem::no_such_object(&key), &token));
    };
    let row = take_row(&mut got, chosen.dot);
    let mut answered = headers_of(&chosen, &token, siblings);
    match conditions(&headers).judge(&chosen.content.etag, chosen.dot.tick.millis()) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok((StatusCode::NOT_MODIFIED, answered).into_response()),
        Verdict::Failed => return Err(precondition_failed()),
    }
    let (status, range) = cut(&headers, &mut answered, chosen.content.size)?;
    if !with_body {
        return Ok((status, answered).into_response());
    }
    let length = range.end - range.start;
    let body = app.objects.read_body(&bucket, chosen.content.body, row, range);
    let body = AnswerBody::begin(body, length).await;
    let body = body.map_err(|fault| Problem::read(&fault))?;
    Ok((status, answered, Body::new(body)).into_response())
}

fn precondition_failed() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
        "the object is not the one you expect",
        "read it again",
    )
}

/// The bytes to answer with, and how to say so.
pub(super) fn cut(
    headers: &HeaderMap,
    answered: &mut HeaderMap,
    size: u64,
) -> Result<(StatusCode, Range<u64>), Problem> {
    let (status, range) = match range(headers, size)? {
        None => (StatusCode::OK, 0..size),
        Some(range) => {
            let told = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            answered.insert(header::CONTENT_RANGE, ascii(&told));
            (StatusCode::PARTIAL_CONTENT, range)
        }
    };
    answered.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    Ok((status, range))
}

fn take_row(got: &mut Got, dot: Dot) -> Bytes {
    let at = got.bodies.iter().position(|(of, _)| *of == dot);
    at.map(|at| got.bodies.swap_remove(at).1).unwrap_or_default()
}

fn headers_of(chosen: &Version, token: &str, siblings: usize) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    object_headers::answer(&chosen.content, &mut headers);
    headers.insert(header::ETAG, ascii(&format!("\"{}\"", chosen.content.etag)));
    headers.insert(
        header::LAST_MODIFIED,
        ascii(&crate::s3::http_date(chosen.dot.tick.millis())),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTEXT, ascii(token));
    headers.insert(SIBLINGS, HeaderValue::from(siblings));
    headers.insert(DOT, ascii(&dot_text(chosen.dot)));
    for (algorithm, value) in object_headers::checksums(&chosen.content) {
        headers.insert(HeaderName::from_static(algorithm.header()), ascii(value));
    }
    headers
}

fn choices(place: &Place<'_>, got: &Got, token: &str) -> Siblings {
    Siblings {
        known: place.found(got, token),
        error: "siblings",
        message: "the key has concurrent versions; read one with ?sibling=<dot>, or all in turn",
        what_to_do: "write the resolved value with the header Holdfast-Context",
    }
}

/// Puts the context into an answer's header.
pub(super) fn with_context(answer: impl IntoResponse, token: &str) -> Response {
    let mut answer = answer.into_response();
    answer.headers_mut().insert(CONTEXT, ascii(token));
    answer
}

/// Delete an object
///
/// The deletion is a version like any other: with a context it deletes exactly what that has seen.
#[utoipa::path(
    delete, path = "/v1/buckets/{bucket}/objects/{*key}", operation_id = "delete_object", tag = "objects",
    params(
        Target, WriteOptions,
        ("Holdfast-Context" = Option<String>, Header, nullable = false, description = "What you have seen: exactly that is deleted"),
        ("Holdfast-Request-Id" = Option<String>, Header, nullable = false, description = "Names the deletion: a retry with the same id is the same one"),
    ),
    responses(
        (status = 200, description = "The key is deleted, whether or not it was there", body = Written,
            headers(("Holdfast-Context" = String, description = "What a write sends back to replace exactly this"))),
        BadRequest, NoSuchBucket, AnyConflict, WriteFaults,
    )
)]
pub(super) async fn delete(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(options): Query<WriteOptions>,
    headers: HeaderMap,
) -> Answer {
    super::upload::refuse_conditions(&headers)?;
    let bucket = app.bucket(&bucket).await?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &key,
    };
    let put = PutObject {
        request: request_of(&headers, &caller, "delete", &bucket, &key),
        context: context_of(&place, &headers)?,
        value: PutValue::Deletion,
        w: options.w,
        wait_all: options.waits_for_all()?,
    };
    let outcome = app.objects.put(&bucket, &key, put).await;
    let outcome = outcome.map_err(|error| Problem::write(&error))?;
    let token = place.token(&outcome.context);
    Ok(with_context(Told(place.outcome(&outcome, &token)), &token))
}

fn conditions(headers: &HeaderMap) -> Conditions {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |name: HeaderName| {
        let time = httpdate::parse_http_date(text(name)?).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    };
    Conditions {
        if_match: text(header::IF_MATCH).map(TagCondition::parse),
        if_none_match: text(header::IF_NONE_MATCH).map(TagCondition::parse),
        if_modified_since_s: date(header::IF_MODIFIED_SINCE),
        if_unmodified_since_s: date(header::IF_UNMODIFIED_SINCE),
    }
}

/// The range asked for. What is not a single range of bytes is ignored, as RFC 9110 allows.
fn range(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, Problem> {
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some(asked) = text.and_then(|text| s3s::dto::Range::parse(text).ok()) else {
        return Ok(None);
    };
    match asked.check(size) {
        Ok(range) => Ok(Some(range)),
        Err(_) => Err(Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            format!("the object has {size} bytes"),
            "ask for bytes it has",
        )),
    }
}

/// A header value of text that this program made.
pub(super) fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
