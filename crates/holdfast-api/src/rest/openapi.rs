//! The OpenAPI document of REST, made from the handlers: `GET /v1/openapi.json`.
//!
//! Paths, parameters and answers stand beside their handlers; here is what all of them have in common: how to ask, what any
//! of them may refuse, the id that every answer carries. `tests/clients/test_openapi.py` holds a running server to it.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, RefOr, SecurityRequirement};
use utoipa::{IntoResponses, OpenApi};

use super::cluster::View;
use super::events::Event;
use super::faults::{Denied, text};
use crate::problem::ProblemTold;
use crate::watch::Request;

/// Where the document is.
pub(super) const PATH: &str = "/v1/openapi.json";

const BEARER: &str = "admin_token";
const SIGNED: &str = "sigv4";
const GRANT: &str = "grant";

/// What the document says of itself; paths come from the router.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast REST",
        description = "Buckets and objects as resources, with everything that the coordinating node knows in the answer. \
            Answers are JSON, problems too; bodies of objects alone are raw. HEAD works wherever GET does.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "buckets", description = "Buckets and their settings"),
        (name = "objects", description = "Objects, what is known of them, and lists of them"),
        (name = "transfers", description = "Bytes straight from and to the nodes that hold them"),
        (name = "cluster", description = "Members, the ring, where keys live, events, figures, repair"),
        (name = "keys", description = "Access keys, for the admin token and the root key"),
        (name = "health", description = "For load balancers and Prometheus; they ask for no token"),
    ),
    components(schemas(ProblemTold, Event, View, Request)),
)]
struct Frame;

/// The document without its paths.
pub(super) fn frame() -> openapi::OpenApi {
    Frame::openapi()
}

/// This document
#[utoipa::path(
    get, path = PATH, operation_id = "openapi", tag = "health", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object))
)]
pub(super) async fn document() -> Response {
    static WHOLE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(whole().to_json().unwrap_or_default()));
    let mut answer = WHOLE.clone().into_response();
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// Frame, paths, and what they have in common.
fn whole() -> openapi::OpenApi {
    let mut document = super::resources().into_openapi();
    add_security_schemes(&mut document);
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths = Paths::new();
    for (path, mut item) in paths {
        for operation in operations(&mut item) {
            complete(operation);
        }
        // The router marks a parameter that may hold slashes; OpenAPI has no word for it.
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    document
}

fn add_security_schemes(document: &mut openapi::OpenApi) {
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The admin token of the cluster, which may do everything."))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let signed = ApiKeyValue::with_description(
        "Authorization",
        "AWS Signature Version 4 with an access key: `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, service `s3`, \
         any region, with `x-amz-date` and `x-amz-content-sha256`: the hash of the body, which is verified, or \
         `UNSIGNED-PAYLOAD`. Only the root key manages keys, marks members and repairs.",
    );
    components.add_security_scheme(SIGNED, SecurityScheme::ApiKey(ApiKey::Header(signed)));
    let grant = ApiKeyValue::with_description(
        "Authorization",
        "`Grant <grant>`: leave to move the bytes of one part, which `/v1/buckets/{bucket}/transfers/{key}` gives. It is bound to what it \
         was given for, is over after ten minutes at most, and any node knows it.",
    );
    components.add_security_scheme(GRANT, SecurityScheme::ApiKey(ApiKey::Header(grant)));
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        head,
        ..
    } = item;
    [get, put, post, delete, head].into_iter().flatten()
}

/// Adds what an operation shares with the others.
fn complete(operation: &mut Operation) {
    let asks_for_a_token = operation.security.is_none();
    let responses = &mut operation.responses.responses;
    if asks_for_a_token {
        operation.security = Some(
            [BEARER, SIGNED]
                .map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()))
                .into(),
        );
        for (status, refusal) in Denied::responses() {
            responses.entry(status).or_insert(refusal);
        }
    }
    for response in responses.values_mut() {
        if let RefOr::T(response) = response {
            let id = text("Names this request in the node's log").into();
            response.headers.insert("x-request-id".to_owned(), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::Body;
    use http::StatusCode;
    use tower_service::Service;

    use super::{PATH, whole};
    use crate::console::Sessions;
    use crate::memory::MemoryObjects;
    use crate::objects::Objects;
    use crate::rest::{Shared, router, transfers};
    use crate::watch::Watch;

    /// Paths that the document leaves out: one that means the same as another, and axum's own for what is not found.
    const UNTOLD: [&str; 3] = ["/v1/buckets/{bucket}/objects/", "/", "/{*__private__axum_fallback}"];

    /// What the router itself says that it serves. It has no list of its routes but the one it prints.
    fn paths_of(router: &axum::Router) -> BTreeSet<String> {
        let printed = format!("{router:?}");
        let texts = printed.split('"').skip(1).step_by(2);
        texts.filter(|text| text.starts_with('/')).map(str::to_owned).collect()
    }

    fn serving() -> axum::Router {
        let objects: Arc<dyn Objects> = Arc::new(MemoryObjects::default());
        let sessions = Arc::new(Sessions::new(None));
        router(Arc::new(Shared {
            objects: Arc::clone(&objects),
            root_key_id: None,
            region: "here-1".to_owned(),
            body_patience: Duration::from_secs(1),
            watch: Watch::begin(objects, sessions),
        }))
    }

    #[tokio::test]
    async fn the_document_and_the_router_agree() {
        let document = serde_json::to_value(whole()).unwrap();
        let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let mut router = serving();
        let routed: BTreeSet<String> = paths_of(&router)
            .into_iter()
            .filter(|path| !UNTOLD.contains(&path.as_str()))
            .map(|path| path.replace("{*", "{"))
            .collect();
        assert!(routed.contains("/v1/buckets"), "{routed:?}");
        assert_eq!(routed, documented);
        for path in &routed {
            let at = ["{bucket}", "{key}", "{id}", "{member}"]
                .iter()
                .fold(path.clone(), |at, parameter| at.replace(parameter, "none"));
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
                let request = http::Request::builder()
                    .method(method)
                    .uri(&at)
                    .body(Body::empty())
                    .unwrap();
                let answer = router.call(request).await.unwrap();
                let item = &document["paths"][path];
                // HEAD is told apart only where it is not what GET answers anyway.
                let told = !item[method.to_lowercase()].is_null() || (method == "HEAD" && !item["get"].is_null());
                let served = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
                assert_eq!(served, told, "{method} {path}");
            }
        }
    }

    #[test]
    fn every_operation_is_told_whole() {
        let document = serde_json::to_value(whole()).unwrap();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let at = format!("{method} {path}");
                assert!(
                    operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                    "{at}"
                );
                assert!(
                    ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{at}: its id is taken"
                );
                let open = path.starts_with("/health/") || path == "/metrics" || path == PATH;
                let asks_for = |scheme: &str| {
                    let security = operation["security"].as_array();
                    security.is_some_and(|of| of.iter().any(|one| one.get(scheme).is_some()))
                };
                let granted = path.starts_with(transfers::PATH);
                assert_eq!(asks_for("admin_token"), !open && !granted, "{at}");
                assert_eq!(asks_for("grant"), granted, "{at}");
                assert_eq!(operation["responses"].get("401").is_some(), !open, "{at}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let in_path = parameter["in"] == "path";
                    let name = parameter["name"].as_str().unwrap();
                    assert!(!in_path || path.contains(&format!("{{{name}}}")), "{at}: {name}");
                }
                let in_path = path.matches('{').count();
                let told = operation["parameters"]
                    .as_array()
                    .map_or(0, |all| all.iter().filter(|one| one["in"] == "path").count());
                assert_eq!(in_path, told, "{at}");
            }
        }
    }

    /// A reference that leads nowhere breaks every generator of clients.
    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &serde_json::Value, found: &mut BTreeSet<String>) {
            match value {
                serde_json::Value::Object(fields) => {
                    for (name, value) in fields {
                        match (name.as_str(), value.as_str()) {
                            ("$ref", Some(to)) => drop(found.insert(to.to_owned())),
                            _ => references(value, found),
                        }
                    }
                }
                serde_json::Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = serde_json::to_value(whole()).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/Problem"), "{found:?}");
        for to in found {
            assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
        }
    }
}
