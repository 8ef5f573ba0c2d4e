//! The ring: whom each partition prefers.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{HeaderName, StatusCode};
use serde_json::json;

use super::App;
use super::object::ascii;
use crate::problem::{Answer, Problem};

pub(super) async fn read(State(app): App, headers: HeaderMap) -> Answer {
    Problem::unless_node(app.objects.role(), "layout")?;
    let Some(ring) = app.objects.ring() else {
        return Err(Problem::not_implemented("the layout on a node that does not hold it"));
    };
    let view = app.objects.cluster();
    let tag = ascii(&format!("\"{}-{}\"", view.cluster, ring.epoch));
    let cached: [(HeaderName, HeaderValue); 2] = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if headers.get(IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, cached).into_response());
    }
    let members = ring.members.iter().map(|id| {
        let known = view.members.iter().find(|member| member.id == *id);
        json!({
            "id": id.to_string(),
            "name": known.map(|member| &member.name),
            "zone": known.map(|member| &member.zone),
            "capacity_bytes": known.map(|member| member.capacity_bytes),
        })
    });
    let answer = Json(json!({
        "status": "success",
        "epoch": ring.epoch,
        "partition_bits": ring.partition_bits,
        "members": members.collect::<Vec<_>>(),
        "lists": ring.lists,
    }));
    Ok::<Response, Problem>((cached, answer).into_response())
}
