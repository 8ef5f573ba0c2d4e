//! How busy the node asked is, since it started, and its connections to the others.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::shape::Names;
use crate::serve::pulse;
use crate::watch::{Lately, own_stats};

pub(super) async fn read(State(app): App) -> Json<Value> {
    let view = app.objects.cluster();
    let names = Names::of(&*app.objects);
    let since_start = pulse();
    let uptime = app.watch.told().uptime();
    let lately = Lately {
        pulse: &since_start,
        over: uptime,
    };
    let links: Vec<Value> = app
        .objects
        .links()
        .iter()
        .map(|link| {
            json!({
                "member": names.node(link.member),
                "up": link.up,
                "round_trip_us": link.round_trip_us,
                "sent_bytes": link.sent_bytes,
                "received_bytes": link.received_bytes,
                "dropped": link.dropped,
            })
        })
        .collect();
    Json(json!({
        "status": "success",
        "node": names.node(view.node),
        "requests": since_start.requests,
        "failed": since_start.failed,
        "bytes_in": since_start.bytes_in,
        "bytes_out": since_start.bytes_out,
        "average": own_stats(&view, &lately, uptime),
        "links": links,
    }))
}
