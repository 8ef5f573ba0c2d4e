//! REST `/v1`: buckets and objects as resources, with everything a coordinator knows in the answer (rule Q1).
//!
//! Also on this port: `/health/live`, `/health/ready` and `/metrics`, which ask for no token. Every other answer is
//! JSON, failures included ([`crate::problem`]); object bodies alone are raw.
//!
//! Each handler carries what it takes and answers beside it; router and document (`/v1/openapi.json`) are made of the same
//! list, so that neither can say what the other does not.

mod buckets;
mod chord;
mod chunks;
mod cluster;
mod events;
mod faults;
mod gate;
mod health;
mod keys;
mod layout;
mod list;
mod locate;
mod meta;
mod object;
mod openapi;
mod place;
mod query;
mod repair;
mod shape;
mod share;
mod stats;
mod stream;
mod transfers;
mod upload;
mod uploads;
mod verified;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use tower_service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::console::{self, sign_in};
use crate::objects::{BucketRef, Objects};
use crate::problem::{Answer as Wanted, Problem};
use crate::request_id;
use crate::serve::{ApiConfig, Metered, Peer, RequestBody, Ticket};
use crate::signature::Payload;
use crate::watch::Watch;
pub(crate) use buckets::document;
pub(crate) use cluster::view_shown;
pub(crate) use events::Teller;
pub(crate) use gate::Gate;
pub(crate) use shape::{Told, one_of, time as time_shown};
use verified::VerifiedBody;

/// Carries contexts in and out (rule D8).
pub(crate) const CONTEXT: HeaderName = HeaderName::from_static("holdfast-context");

/// Tells how many concurrent versions there are (rule Q3).
pub(crate) const SIBLINGS: HeaderName = HeaderName::from_static("holdfast-siblings");

/// Names the version returned.
pub(crate) const DOT: HeaderName = HeaderName::from_static("holdfast-dot");

/// Names one write of a client, the same on every try of it (rule D7).
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("holdfast-request-id");

/// The REST front end.
pub struct RestApp {
    router: Router<()>,
    gate: Arc<Gate>,
    header_bytes_max: usize,
    body_patience: Duration,
}

type App = axum::extract::State<Arc<Shared>>;

/// What handlers need.
pub(crate) struct Shared {
    objects: Arc<dyn Objects>,
    root_key_id: Option<String>,
    region: String,
    body_patience: Duration,
    watch: Watch,
}

impl Shared {
    async fn bucket(&self, name: &str) -> Wanted<BucketRef> {
        match self.objects.bucket(name).await {
            Ok(Some(bucket)) => Ok(bucket),
            Ok(None) => Err(Problem::no_such_bucket(name)),
            Err(fault) => Err(Problem::read(&fault)),
        }
    }
}

impl RestApp {
    /// Over a cluster. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(config: &ApiConfig, objects: Arc<dyn Objects>) -> Self {
        let gate = Arc::new(Gate::new(config, Arc::clone(&objects)));
        let shared = Arc::new(Shared {
            objects: Arc::clone(&objects),
            root_key_id: config.root_key_id.clone(),
            region: config.region.clone(),
            body_patience: config.limits.body_patience,
            watch: Watch::begin(Arc::clone(&objects), Arc::clone(&gate.sessions)),
        });
        Self {
            router: router(shared).merge(console_router(Arc::clone(&gate))),
            gate,
            header_bytes_max: config.limits.header_bytes_max,
            body_patience: config.limits.body_patience,
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<Metered<Body>> {
        let mut ticket = Ticket::open(
            "rest",
            request_id::shown(),
            request.method().clone(),
            request.uri().clone(),
            peer.remote,
        );
        let preview = console::previewed(request.uri()).map(|(_, how)| how);
        let mut answer = match self.prepare(request, peer, &ticket).await {
            Ok(request) => match self.router.clone().call(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            },
            Err(problem) => problem.into_response(),
        };
        if let Some(how) = preview {
            console::defuse(answer.headers_mut(), how);
        }
        if let Ok(id) = HeaderValue::from_str(ticket.request_id()) {
            answer.headers_mut().insert("x-request-id", id);
        }
        if ticket.note().closes() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(http::header::CONNECTION, close);
        }
        ticket.answered(answer.status());
        answer.map(|body| Metered::new(body, ticket))
    }

    /// Verifies who asks, and arranges for the body to be verified while it is read.
    async fn prepare(&self, request: Request<Incoming>, peer: &Peer, ticket: &Ticket) -> Wanted<Request<Body>> {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(ticket.note().clone());
        // Only HTTP/1.1 has the custom, and bytes between HTTP/2's frames would break the connection.
        let held_back = head.version == http::Version::HTTP_11 && head.headers.contains_key(http::header::EXPECT);
        let empty = http_body::Body::is_end_stream(&body);
        if empty && held_back {
            peer.continue_first.ask();
        }
        let mut body = RequestBody::new(body, ticket.note().clone(), held_back && !empty, self.body_patience);
        if head.version == http::Version::HTTP_2 {
            body = body.with_flagged_end();
        }
        let sizes = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4);
        let uri = head.uri.path().len() + head.uri.query().map_or(0, str::len);
        if sizes.sum::<usize>() + uri > self.header_bytes_max {
            return Err(Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "the request's headers are too large",
                "send less metadata",
            ));
        }
        if let Some((read, _)) = console::previewed(&head.uri) {
            let caller = self.gate.of_element(&head).await?;
            ticket.note().identify("objects", Some(caller.principal.clone()));
            head.extensions.insert(caller);
            head.uri = read;
            return Ok(Request::from_parts(head, Body::empty()));
        }
        if head.uri.path().starts_with("/console") {
            ticket.note().identify("console", None);
        }
        if !head.uri.path().starts_with("/v1/") || head.uri.path() == openapi::PATH {
            return Ok(Request::from_parts(head, Body::new(body)));
        }
        if head.uri.path().starts_with(transfers::PATH) {
            let grant = transfers::admit(self.gate.objects(), &head)?;
            ticket.note().identify(operation(&head), Some(grant.principal.clone()));
            head.extensions.insert(grant);
            return Ok(Request::from_parts(head, Body::new(body)));
        }
        let (caller, payload) = self.gate.verify(&head).await?;
        ticket.note().identify(operation(&head), Some(caller.principal.clone()));
        head.extensions.insert(caller);
        let body = match payload {
            Payload::Unsigned | Payload::Chunked => Body::new(body),
            Payload::Sha256(hash) => Body::new(VerifiedBody::new(body, hash)),
        };
        Ok(Request::from_parts(head, body))
    }
}

/// What a request is called in log and metrics: the resource's kind, never its name.
fn operation(head: &http::request::Parts) -> &'static str {
    let mut segments = head.uri.path().split('/').skip(2);
    match (segments.next(), segments.nth(1)) {
        (Some("buckets"), Some("objects")) => "objects",
        (Some("buckets"), Some("meta")) => "meta",
        (Some("buckets"), Some("transfers")) => "transfers",
        (Some("transfers"), _) => "transfer",
        (Some("buckets"), Some("uploads")) => "uploads",
        (Some("buckets"), Some("share")) => "share",
        (Some("buckets"), Some("chunks")) => "chunks",
        (Some("buckets"), Some("locate")) | (Some("locate"), _) => "locate",
        (Some("buckets"), _) => "buckets",
        (Some("keys"), _) => "keys",
        (Some("repair"), _) => "repair",
        (Some("layout"), _) => "layout",
        (Some("stats"), _) => "stats",
        (Some("cluster"), _) if head.uri.path() == "/v1/cluster/stream" => "stream",
        (Some("cluster"), _) if head.uri.path() == "/v1/cluster/events" => "events",
        (Some("cluster"), _) => "cluster",
        _ => "-",
    }
}

fn router(shared: Arc<Shared>) -> Router<()> {
    Router::from(resources())
        // A form may be posted to the bucket's objects with the slash that a key would follow.
        .route("/v1/buckets/{bucket}/objects/", get(list::list).post(upload::post_form))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

/// Every resource, once: for the router and for the document.
fn resources() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(openapi::document))
        .routes(routes!(buckets::list, buckets::create_named))
        .routes(routes!(buckets::info, buckets::create, buckets::delete))
        .routes(routes!(list::list, upload::post_form))
        .routes(routes!(
            object::read,
            object::head,
            upload::put,
            upload::post,
            object::delete
        ))
        .routes(routes!(meta::read))
        .routes(routes!(chunks::read))
        .routes(routes!(share::share))
        .routes(routes!(
            uploads::read,
            uploads::begin_or_complete,
            uploads::put_part,
            uploads::give_up
        ))
        .routes(routes!(transfers::plan::read, transfers::plan::write))
        .routes(routes!(transfers::part::read, transfers::part::write))
        .routes(routes!(locate::locate_in))
        .routes(routes!(chord::table))
        .routes(routes!(chord::lookup))
        .routes(routes!(locate::locate))
        .routes(routes!(cluster::view))
        .routes(routes!(events::follow))
        .routes(routes!(stream::follow))
        .routes(routes!(layout::read))
        .routes(routes!(stats::read))
        .routes(routes!(cluster::begin_maintenance, cluster::end_maintenance))
        .routes(routes!(repair::report, repair::begin))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::delete))
        .routes(routes!(keys::disable))
        .routes(routes!(keys::enable))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// Pages for people, and how they sign in: no part of the interface that the document describes.
fn console_router(gate: Arc<Gate>) -> Router<()> {
    let session = get(sign_in::who).post(sign_in::sign_in).delete(sign_in::sign_out);
    Router::new()
        .route("/", get(console::front_door))
        .route("/console", get(console::page))
        .route("/console/", get(console::page))
        .route("/console/{*page}", get(console::page))
        .route("/console/assets/{version}/{*name}", get(console::file))
        .route("/console/session", session)
        .with_state(gate)
}

async fn no_such_resource() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_resource",
        "there is nothing at this path",
        "GET /v1/openapi.json tells what there is under /v1; for people there is /console",
    )
}

async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this resource does not take that method",
        "GET /v1/openapi.json tells what each resource takes",
    )
}
