//! How busy the node asked is, since it started, and its connections to the others.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::shape::{Names, Node, Success, Told};
use crate::serve::pulse;
use crate::watch::{Figures, Lately, own_stats};

/// How busy a node is
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    status: Success,
    /// The node that answers
    node: Node,
    /// Requests of all front ends since its start
    requests: u64,
    /// Those of them that were answered 5xx
    failed: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Over the time since its start
    average: Figures,
    links: Vec<LinkOf>,
}

/// A connection to another member
#[derive(Serialize, ToSchema)]
#[schema(as = Link)]
struct LinkOf {
    member: Node,
    /// Whether it stands
    up: bool,
    /// Latest round trip; 0 before the first
    round_trip_us: u64,
    /// Since the start of the asked node
    sent_bytes: u64,
    received_bytes: u64,
    /// Messages that were not sent, because too much waited or the member was down
    dropped: u64,
}

/// See how busy a node is
///
/// The node asked, since it started; and its connections to the others.
#[utoipa::path(
    get, path = "/v1/stats", operation_id = "stats", tag = "cluster",
    responses((status = 200, description = "Its figures", body = Stats))
)]
pub(super) async fn read(State(app): App) -> Told<Stats> {
    let view = app.objects.cluster();
    let names = Names::of(&*app.objects);
    let since_start = pulse();
    let uptime = app.watch.told().uptime();
    let lately = Lately {
        pulse: &since_start,
        over: uptime,
    };
    let links = app.objects.links();
    let links = links.iter().map(|link| LinkOf {
        member: names.node(link.member),
        up: link.up,
        round_trip_us: link.round_trip_us,
        sent_bytes: link.sent_bytes,
        received_bytes: link.received_bytes,
        dropped: link.dropped,
    });
    Told(Stats {
        status: Success::Success,
        node: names.node(view.node),
        requests: since_start.requests,
        failed: since_start.failed,
        bytes_in: since_start.bytes_in,
        bytes_out: since_start.bytes_out,
        average: own_stats(&view, &lately, uptime),
        links: links.collect(),
    })
}
