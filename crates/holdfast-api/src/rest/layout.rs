//! The ring: whom each partition prefers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::faults::NotThisNode;
use super::object::ascii;
use super::shape::{Success, Told};
use crate::problem::{Answer, Problem};

/// The ring
#[derive(Serialize, ToSchema)]
pub(super) struct Layout {
    status: Success,
    /// Its number
    epoch: u64,
    /// log₂ of the number of partitions; partition p begins at position p·2^(64 − this)
    partition_bits: u8,
    /// All members, by id
    members: Vec<Placed>,
    /// For each partition the indexes of the first four members of its preference list, best first
    lists: Vec<Vec<u16>>,
}

/// A member of the layout
#[derive(Serialize, ToSchema)]
struct Placed {
    id: String,
    /// Null when the asked node does not know it
    name: Option<String>,
    /// Where it lives, for placement
    zone: Option<String>,
    /// Bytes it is willing to store
    capacity_bytes: Option<u64>,
}

/// Look at the ring
///
/// Which members each partition prefers. It changes only with the epoch: ask with `If-None-Match`.
#[utoipa::path(
    get, path = "/v1/layout", operation_id = "layout", tag = "cluster",
    params(("If-None-Match" = Option<String>, Header, nullable = false, description = "Only if it has another ETag, else 304")),
    responses(
        (status = 200, description = "The ring", body = Layout, headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "You have it already", headers(("ETag" = String))),
        NotThisNode,
    )
)]
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
        Placed {
            id: id.to_string(),
            name: known.map(|member| member.name.clone()),
            zone: known.map(|member| member.zone.clone()),
            capacity_bytes: known.map(|member| member.capacity_bytes),
        }
    });
    let answer = Told(Layout {
        status: Success::Success,
        epoch: ring.epoch,
        partition_bits: ring.partition_bits,
        members: members.collect(),
        lists: ring.lists,
    });
    Ok::<Response, Problem>((cached, answer).into_response())
}
