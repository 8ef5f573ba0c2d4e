//! S3 as HTTP sees it: gate, `s3s`, envelope.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use md5_many::{Digest, Md5};
use s3s::service::S3Service;
use s3s::{Body, S3Result, s3_error};

use super::checksums::content_md5;
use super::reframe::Reframed;
use super::{S3Settings, XML_BYTES_MAX, documents, envelope, errors, gate, service};
use crate::checksum::{ALGORITHMS, Hasher};
use crate::objects::Objects;
use crate::request_id;
use crate::serve::{ApiConfig, Metered, Peer, RequestBody, Ticket};
use crate::signature::{Payload, Signed};

/// The S3 front end.
pub struct S3App {
    service: S3Service,
    gate: gate::Gate,
    documents: documents::Documents,
    body_patience: Duration,
    objects: Arc<dyn Objects>,
    region: String,
}

impl S3App {
    /// Over a cluster.
    #[must_use]
    pub fn new(config: &ApiConfig, objects: Arc<dyn Objects>) -> Self {
        let settings = S3Settings {
            region: config.region.clone(),
            base_domains: config.base_domains.clone(),
            body_patience: config.limits.body_patience,
        };
        Self {
            service: service(Arc::clone(&objects), Arc::new(settings)),
            objects,
            region: config.region.clone(),
            documents: documents::Documents::default(),
            body_patience: config.limits.body_patience,
            gate: gate::Gate {
                header_bytes_max: config.limits.header_bytes_max,
                presigned_v2: config.presigned_v2,
            },
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Metered<Body>> {
        let method = request.method().clone();
        let mut ticket = Ticket::open(
            "s3",
            request_id::shown(),
            method.clone(),
            request.uri().clone(),
            peer.remote,
        );
        let answer = match self.prepare(request, peer, &ticket).await {
            Ok(request) => match self.service.call(request).await {
                Ok(answer) => answer,
                Err(_) => envelope::internal(),
            },
            Err(error) => envelope::refusal(error),
        };
        let mut answer = envelope::complete(answer, &method, ticket.path(), ticket.request_id());
        if ticket.note().closes() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(http::header::CONNECTION, close);
        }
        ticket.answered(answer.status());
        answer.map(|body| Metered::new(body, ticket))
    }

    /// The request as `s3s` shall see it.
    async fn prepare(&self, request: Request<Incoming>, peer: &Peer, ticket: &Ticket) -> S3Result<Request<Body>> {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(ticket.note().clone());
        let held_back = head.version == http::Version::HTTP_11 && head.headers.contains_key(http::header::EXPECT);
        if body.is_end_stream() {
            // hyper says `100 Continue` when a body is first read, and never where there is none; the aws cli then
            // waits a second for it with each empty file.
            if held_back {
                peer.continue_first.ask();
            }
            gate::check(&mut head, self.gate)?;
            self.translate_region(&mut head).await?;
            return Ok(Request::from_parts(head, Body::empty()));
        }
        // A refusal from here on leaves the unread body to its drop, which knows what to do with it.
        let mut body = RequestBody::new(body, ticket.note().clone(), held_back, self.body_patience);
        gate::check(&mut head, self.gate)?;
        if let Some(room) = self.documents.room(&head).await? {
            body.must_end_within(documents::WITHIN);
            head.extensions.insert(room);
        }
        self.translate_region(&mut head).await?;
        let body = match head.headers.get("x-amz-content-sha256").map(HeaderValue::as_bytes) {
            Some(b"STREAMING-UNSIGNED-PAYLOAD-TRAILER") => Body::http_body(Reframed::new(body, false)),
            Some(kind) if kind.starts_with(b"STREAMING-") => Body::http_body(Reframed::new(body, true)),
            _ => Body::http_body(body),
        };
        let body = if head.method == Method::POST && is_multi_delete(head.uri.query()) {
            checked_document(&head.headers, body).await?
        } else {
            body
        };
        Ok(Request::from_parts(head, body))
    }
}

impl S3App {
    /// s3cmd signs for the region `US` unless told otherwise, which `s3s` takes for malformed. Such a request, once
    /// its signature is verified, is signed again for this cluster's region; any other is left for `s3s` to judge.
    async fn translate_region(&self, head: &mut Parts) -> S3Result<()> {
        let Some(value) = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return Ok(());
        };
        // Key ids have no slashes, so the region is the third field; looking there first keeps this free for most.
        if value.split('/').nth(2).is_none_or(is_region) {
            return Ok(());
        }
        let Some(signed) = Signed::parse(value) else {
            return Ok(());
        };
        // A key that could not be looked up is not an unknown one: `s3s` would answer as if the request were malformed.
        let key = self.objects.access_key(signed.key_id).await;
        let Some(key) = key.map_err(|fault| errors::read_fault(&fault))? else {
            return Ok(());
        };
        // Signatures of chunks go on from that of the head, which must then stay.
        let Ok(Payload::Unsigned | Payload::Sha256(_)) = signed.verify(head, &key.secret) else {
            return Ok(());
        };
        let translated = signed.signed_for(head, &key.secret, &self.region);
        if let Some(value) = translated.ok().and_then(|value| HeaderValue::from_str(&value).ok()) {
            head.headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }
}

/// What `s3s` takes for a region.
fn is_region(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(allowed)
}

fn is_multi_delete(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "delete" || pair == "delete="))
}

/// A document whose digests are compared with those given, which `s3s` leaves out: a damaged list of keys to delete
/// would delete others.
async fn checked_document(headers: &HeaderMap, body: Body) -> S3Result<Body> {
    let md5 = content_md5(headers)?;
    let checksum = ALGORITHMS
        .into_iter()
        .find_map(|algorithm| Some((algorithm, headers.get(algorithm.header())?)));
    if md5.is_none() && checksum.is_none() {
        return Ok(body);
    }
    let collected = Limited::new(body, XML_BYTES_MAX).collect().await;
    let document = collected.map_err(|_| {
        s3_error!(
            IncompleteBody,
            "The body ended before all of it had arrived, or is too large; nothing was changed."
        )
    })?;
    let document = document.to_bytes();
    let md5_differs = md5.is_some_and(|md5| {
        let ours: [u8; 16] = Md5::digest(&document).into();
        md5 != ours
    });
    let checksum_differs = checksum.is_some_and(|(algorithm, given)| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&document);
        hasher.finish().as_bytes() != given.as_bytes()
    });
    if md5_differs || checksum_differs {
        return Err(s3_error!(
            BadDigest,
            "The digest you specified did not match what we received; nothing was changed."
        ));
    }
    Ok(Body::from(document))
}
