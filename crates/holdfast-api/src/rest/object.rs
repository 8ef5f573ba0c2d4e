//! Reading and deleting one object.
//!
//! A bucket that keeps siblings answers 300 with all of them when there are several; each can be read by its dot. Any
//! other read returns the newest, and a header tells how many there are. The context always covers all of them
//! (rule D8), so that a write with it resolves the conflict.

use std::ops::Range;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use holdfast_core::bucket::Conflict;
use holdfast_core::ids::Dot;
use holdfast_core::record::Version;
use holdfast_core::request::{Got, PutValue, WantedBodies};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::Query;
use super::shape::{Place, dot_text, parse_dot, version};
use super::upload::{Target, WriteOptions, context_of, request_of};
use super::{App, CONTEXT, DOT, SIBLINGS};
use crate::answer_body::AnswerBody;
use crate::caller::Caller;
use crate::conditions::{Conditions, TagCondition, Verdict};
use crate::object_headers;
use crate::objects::{GetObject, PutObject};
use crate::problem::{Answer, Problem};

/// What a read may be asked in its query.
#[derive(Deserialize, Default)]
pub(super) struct ReadOptions {
    pub(super) r: Option<u8>,
    meta: Option<String>,
    sibling: Option<String>,
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

pub(super) async fn read(
    State(app): App,
    Target { bucket, key }: Target,
    Query(options): Query<ReadOptions>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let bucket = app.bucket(&bucket).await?;
    let wanted_dot = options.wanted_dot()?;
    let with_body = method == Method::GET && options.meta.is_none();
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
        return Ok(with_context(Json(place.found(&got, &token)), &token));
    }
    let siblings = got.record.sibling_count();
    if wanted_dot.is_none() && bucket.conflict == Conflict::Siblings && siblings > 1 {
        let mut answer = with_context(Json(choices(&place, &got, &token)), &token);
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
    let mut answered = head(&chosen, &token, siblings);
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

fn head(chosen: &Version, token: &str, siblings: usize) -> HeaderMap {
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

fn choices(place: &Place<'_>, got: &Got, token: &str) -> Value {
    let mut answer = place.found(got, token);
    answer["error"] = json!("siblings");
    answer["message"] = json!("the key has concurrent versions; read one with ?sibling=<dot>, or all in turn");
    answer["what_to_do"] = json!("write the resolved value with the header Holdfast-Context");
    answer["versions"] = got.record.versions().iter().rev().map(version).collect();
    answer
}

/// Puts the context into an answer's header.
pub(super) fn with_context(answer: impl IntoResponse, token: &str) -> Response {
    let mut answer = answer.into_response();
    answer.headers_mut().insert(CONTEXT, ascii(token));
    answer
}

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
    Ok(with_context(Json(place.outcome(&outcome, &token)), &token))
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
