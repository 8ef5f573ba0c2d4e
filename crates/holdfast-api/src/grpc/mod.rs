//! gRPC `holdfast.v1`: buckets, objects and the cluster with everything a coordinator knows in the answer (rule Q1), streaming
//! both ways.
//!
//! It shares REST's port: HTTP/2 requests that say `application/grpc` come here ([`is_grpc`]). It shares REST's callers, limits,
//! faults and access log, too; what differs is the language, which is in `holdfast-proto`. tonic frames messages and finds the
//! method, while sockets, patience and deadlines are ours. Health and reflection ask for no token: a load balancer has none,
//! and what reflection tells is in every copy of the source.

mod buckets;
mod cluster;
mod deadline;
mod events;
mod get;
mod health;
mod list;
mod objects;
mod operation;
mod put;
mod shape;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use holdfast_proto::v1::buckets_server::BucketsServer;
use holdfast_proto::v1::cluster_server::ClusterServer;
use holdfast_proto::v1::objects_server::ObjectsServer;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tonic::Status;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

use crate::caller::{Caller, Verifier};
use crate::objects::{BucketRef, Objects};
use crate::problem::{Answer, Problem};
use crate::request_id;
use crate::serve::{ApiConfig, Metered, Peer, RequestBody, Ticket};
use crate::signature::Payload;
use deadline::{Deadline, Deadlined};
use operation::Operation;
pub(crate) use status::in_trailers as status_in_trailers;

/// Bytes of a body that one message may carry. Whoever sends more at once makes the node hold more than HTTP/2's windows allow.
const DATA_BYTES_MAX: usize = 1024 * 1024;
/// The largest message taken: that, and what is around it.
const MESSAGE_BYTES_MAX: usize = DATA_BYTES_MAX + 64 * 1024;
/// The largest message taken from those who need no token.
const OPEN_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The gRPC front end.
pub(crate) struct GrpcApp {
    routes: Routes,
    verifier: Verifier,
    body_patience: Duration,
}

/// What methods need.
pub(crate) struct Shared {
    objects: Arc<dyn Objects>,
    body_patience: Duration,
}

impl Shared {
    async fn bucket(&self, name: &str) -> Answer<BucketRef> {
        match self.objects.bucket(name).await {
            Ok(Some(bucket)) => Ok(bucket),
            Ok(None) => Err(Problem::no_such_bucket(name)),
            Err(fault) => Err(Problem::read(&fault)),
        }
    }
}

/// Whether a request is for gRPC. Other forms of it, such as grpc-web, are not spoken here.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    request.version() == Version::HTTP_2 && rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

impl GrpcApp {
    /// Over a cluster.
    pub(crate) fn new(config: &ApiConfig, objects: Arc<dyn Objects>) -> Self {
        let shared = Arc::new(Shared {
            objects: Arc::clone(&objects),
            body_patience: config.limits.body_patience,
        });
        Self {
            routes: routes(shared),
            verifier: Verifier::new(config, objects),
            body_patience: config.limits.body_patience,
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Metered<Body>> {
        let mut ticket = Ticket::open(
            "grpc",
            request_id::shown(),
            request.method().clone(),
            request.uri().clone(),
            peer.remote,
        );
        let operation = Operation::at(request.uri().path());
        ticket.note().identify(operation.name, None);
        let (mut answer, deadline) = match Deadline::of(request.headers()) {
            Err(problem) => (Status::from(problem).into_http(), None),
            Ok(None) => (self.call(request, operation, peer, &ticket).await, None),
            Ok(Some(deadline)) => {
                let call = self.call(request, operation, peer, &ticket);
                match tokio::time::timeout_at(deadline.at, call).await {
                    Ok(answer) => (answer, Some(deadline)),
                    Err(_) => (deadline::passed(operation.writes).into_http(), None),
                }
            }
        };
        if let Ok(id) = HeaderValue::from_str(ticket.request_id()) {
            answer.headers_mut().insert("x-request-id", id);
        }
        ticket.answered(status::as_http(answer.headers()));
        answer.map(|body| {
            let body = match deadline {
                None => Body::new(body),
                Some(deadline) => Body::new(Deadlined::new(body, deadline)),
            };
            Metered::new(body, ticket)
        })
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        operation: Operation,
        peer: &Peer,
        ticket: &Ticket,
    ) -> Response<tonic::body::Body> {
        let request = match self.prepare(request, operation, peer, ticket).await {
            Ok(request) => request,
            Err(problem) => return status::unverified(problem).into_http(),
        };
        match self.routes.clone().call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }

    /// Verifies who asks, and bounds how long the request may take to come.
    async fn prepare(
        &self,
        request: Request<Incoming>,
        operation: Operation,
        peer: &Peer,
        ticket: &Ticket,
    ) -> Answer<Request<RequestBody>> {
        let (mut head, body) = request.into_parts();
        let mut body = RequestBody::new(body, ticket.note().clone(), false, self.body_patience).with_flagged_end();
        if !operation.streams_in {
            body.must_end_within(self.body_patience);
        }
        if !operation.is_open {
            let (caller, payload) = self.verifier.verify(&head).await?;
            if payload != Payload::Unsigned {
                return Err(Problem::bad_request(
                    "what a gRPC call sends cannot be signed",
                    "sign with `x-amz-content-sha256: UNSIGNED-PAYLOAD`, and use TLS",
                ));
            }
            ticket.note().identify(operation.name, Some(caller.principal.clone()));
            head.extensions.insert(caller);
        }
        head.extensions.insert(peer.stopping.clone());
        Ok(Request::from_parts(head, body))
    }
}

fn routes(shared: Arc<Shared>) -> Routes {
    let buckets = BucketsServer::new(buckets::Service(Arc::clone(&shared)));
    let objects = ObjectsServer::new(objects::Service(Arc::clone(&shared)));
    let cluster = ClusterServer::new(cluster::Service(Arc::clone(&shared)));
    let health = HealthServer::new(health::Service(shared));
    let routes = Routes::new(buckets.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(objects.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(cluster.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(health.max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX));
    // Descriptions made by our own build can be read; were one not, the rest would still be served.
    let routes = match descriptions().build_v1() {
        Ok(reflection) => routes.add_service(reflection.max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX)),
        Err(_) => routes,
    };
    let routes = match descriptions().build_v1alpha() {
        Ok(reflection) => routes.add_service(reflection.max_decoding_message_size(OPEN_MESSAGE_BYTES_MAX)),
        Err(_) => routes,
    };
    routes.prepare()
}

fn descriptions() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(holdfast_proto::DESCRIPTION)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Who asks, as [`GrpcApp::prepare`] has verified.
fn caller_of<T>(request: &tonic::Request<T>) -> Answer<Caller> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Problem::not_implemented("this method for callers without a name"))
}

/// A number of copies.
fn copies(number: Option<u32>) -> Answer<Option<u8>> {
    let copies = number.map(u8::try_from).transpose();
    copies.map_err(|_| Problem::bad_request("n, r and w are at most 255", "choose smaller ones"))
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    use super::is_grpc;

    #[test]
    fn grpc_is_told_from_everything_else() {
        let request = |version, kind| {
            Request::builder()
                .version(version)
                .header("content-type", kind)
                .body(())
                .unwrap()
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert!(is_grpc(&request(Version::HTTP_2, kind)), "{kind}");
            assert!(!is_grpc(&request(Version::HTTP_11, kind)), "{kind}");
        }
        for kind in ["application/grpc-web", "application/json", "text/application/grpc"] {
            assert!(!is_grpc(&request(Version::HTTP_2, kind)), "{kind}");
        }
        assert!(!is_grpc(&Request::builder().version(Version::HTTP_2).body(()).unwrap()));
    }
}
