//! Writing one object from a stream: a header, then its bytes.
//!
//! Everything that the header alone decides is refused before a byte of the body is taken. The stream's end is the body's end,
//! so it must be a real one: see [`crate::serve::RequestBody`] for streams that were cancelled.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use holdfast_core::context::Context;
use holdfast_core::ids::RequestId;
use holdfast_core::request::PutValue;
use holdfast_proto::v1;
use holdfast_proto::v1::put_object_request::Part;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status, Streaming};

use super::shape::Place;
use super::{DATA_BYTES_MAX, Shared, copies};
use crate::caller::Caller;
use crate::checksum::Algorithm;
use crate::claims::{check_key, declared, verify};
use crate::intake::{self, IntakeError, Plan, Received};
use crate::limits::BODY_BYTES_MAX;
use crate::object_headers;
use crate::objects::{BodyPurpose, BucketRef, PutObject};
use crate::problem::{Answer, Problem};
use crate::request_id;

type Parts = Streaming<v1::PutObjectRequest>;

pub(super) async fn put(app: &Shared, caller: &Caller, mut parts: Parts) -> Answer<v1::WriteOutcome> {
    let header = first(&mut parts, app.body_patience).await?;
    check_key(&header.key)?;
    let headers = headers(&header)?;
    let checksum = declared(&headers)?.map(|(algorithm, _)| algorithm);
    let kept = object_headers::kept(&headers).map_err(|refused| Problem::headers(&refused))?;
    let bucket = app.bucket(&header.bucket).await?;
    let put = PutObject {
        request: request_of(
            header.request_id.as_deref(),
            &caller.principal,
            "put",
            &bucket,
            &header.key,
        ),
        context: context_of(&place(app, &bucket, &header), header.context.as_deref())?,
        // The body is not here yet.
        value: PutValue::Deletion,
        w: copies(header.w)?,
        wait_all: header.wait_all,
    };
    let received = take(app, &bucket, &header, checksum, parts).await?;
    commit(
        app,
        &bucket,
        &header,
        Body {
            headers,
            kept,
            received,
        },
        put,
    )
    .await
}

/// A body that is here, with what its client said of it.
struct Body {
    headers: HeaderMap,
    kept: Vec<(String, String)>,
    received: Received,
}

fn place<'a>(app: &'a Shared, bucket: &'a BucketRef, header: &'a v1::PutHeader) -> Place<'a> {
    Place {
        objects: &*app.objects,
        bucket,
        key: &header.key,
    }
}

/// The first message.
async fn first(parts: &mut Parts, patience: Duration) -> Answer<v1::PutHeader> {
    let message = tokio::time::timeout(patience, parts.message()).await;
    let message = message.map_err(|_| Problem::intake::<Broken>(&IntakeError::Stalled))?;
    match message.map_err(|status| Broken::Stream(status).problem())? {
        Some(v1::PutObjectRequest {
            part: Some(Part::Header(header)),
        }) => Ok(header),
        _ => Err(Problem::bad_request(
            "the first message is not a header",
            "send the header first, then the bytes",
        )),
    }
}

async fn take(
    app: &Shared,
    bucket: &BucketRef,
    header: &v1::PutHeader,
    checksum: Option<Algorithm>,
    parts: Parts,
) -> Answer<Received> {
    let plan = Plan {
        length: header.size,
        bytes_max: BODY_BYTES_MAX,
        checksum,
        patience: app.body_patience,
    };
    let writer = app.objects.write_body(bucket, &header.key, BodyPurpose::Object);
    let received = intake::take(Pieces(parts), writer, plan).await;
    received.map_err(|error| match error {
        IntakeError::Source(broken) => broken.problem(),
        IntakeError::TooShort | IntakeError::TooLong => Problem::bad_request(
            "the body is not as long as its header says",
            "send it again; nothing was stored",
        ),
        error => Problem::intake(&error),
    })
}

/// Verifies what came, stores it, and puts the version.
async fn commit(
    app: &Shared,
    bucket: &BucketRef,
    header: &v1::PutHeader,
    body: Body,
    mut put: PutObject,
) -> Answer<v1::WriteOutcome> {
    let Body {
        headers,
        mut kept,
        mut received,
    } = body;
    verify(&headers, &received)?;
    if let Some((algorithm, _)) = declared(&headers)?
        && let Some(value) = received.checksum.take()
    {
        object_headers::set(&mut kept, algorithm.header(), value);
    }
    let etag = received.etag();
    let body = received.store().await.map_err(|error| Problem::write(&error))?;
    put.value = PutValue::Object {
        etag,
        headers: kept,
        body,
    };
    let outcome = app.objects.put(bucket, &header.key, put).await;
    let outcome = outcome.map_err(|error| Problem::write(&error))?;
    Ok(place(app, bucket, header).outcome(&outcome))
}

/// The bytes of the messages that follow the header.
struct Pieces(Parts);

/// Why the bytes broke off.
#[derive(Debug)]
enum Broken {
    /// The stream did, or a message could not be read.
    Stream(Status),
    /// A message holds something else.
    NotBytes,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(status) => f.write_str(status.message()),
            Self::NotBytes => f.write_str("a message behind the first holds no bytes"),
        }
    }
}

impl Broken {
    fn problem(self) -> Problem {
        match self {
            // tonic's code for a message beyond the limit.
            Self::Stream(status) if status.code() == Code::OutOfRange => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "message_too_large",
                format!("a message holds more than {DATA_BYTES_MAX} bytes; nothing was stored"),
                "cut the body into messages of 1 MiB at most",
            ),
            broken => Problem::intake(&IntakeError::Source(broken)),
        }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let message = std::task::ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(message.map(|message| match message {
            Ok(v1::PutObjectRequest {
                part: Some(Part::Data(bytes)),
            }) => Ok(bytes),
            Ok(_) => Err(Broken::NotBytes),
            Err(status) => Err(Broken::Stream(status)),
        }))
    }
}

/// What the header says, as HTTP would. What an object cannot keep is refused: ignored, it would be missed later.
fn headers(header: &v1::PutHeader) -> Answer<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(header.headers.len());
    for (name, value) in &header.headers {
        let is_digest = name == "content-md5" || Algorithm::from_header(name).is_some();
        if !is_digest && !object_headers::is_kept(name) {
            return Err(Problem::bad_request(
                format!("`{name}` is not a header that an object keeps"),
                "send lower-case names: content-type, cache-control, content-disposition, content-encoding, \
                 content-language, expires, x-amz-meta-*, content-md5, x-amz-checksum-*",
            ));
        }
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            // Comparing catches upper case.
            (Ok(known), Ok(value)) if known.as_str() == name => headers.insert(known, value),
            _ => {
                return Err(Problem::bad_request(
                    format!("the header `{name}` is malformed"),
                    "send a lower-case name, and a value without control characters",
                ));
            }
        };
    }
    Ok(headers)
}

/// The context the client had seen.
pub(super) fn context_of(place: &Place<'_>, token: Option<&str>) -> Answer<Option<Context>> {
    let Some(token) = token else {
        return Ok(None);
    };
    match place.objects.open_context(place.bucket, place.key, token) {
        Some(context) => Ok(Some(context)),
        None => Err(Problem::bad_request(
            "the context was not made for this key by this cluster",
            "send the context of a read or write of the same key, unchanged",
        )),
    }
}

/// The identity of a write (rule D7), the same that REST gives it: a retry may take either way.
pub(super) fn request_of(
    id: Option<&str>,
    principal: &str,
    operation: &str,
    bucket: &BucketRef,
    key: &str,
) -> RequestId {
    match id {
        Some(id) => request_id::of_invocation(principal, operation, bucket.settings.id, key, id.as_bytes()),
        None => request_id::drawn(),
    }
}
