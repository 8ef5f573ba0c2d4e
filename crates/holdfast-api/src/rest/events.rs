//! What happens in the cluster, as it happens: server-sent events (HTML, §9.2), one JSON object each.
//!
//! Each node tells what it sees itself; who wants everything listens to every node. Nothing depends on an event being
//! read: whatever it tells of can be asked for at any time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast_core::event::ClusterEvent;
use holdfast_core::ids::ObjectKey;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::App;
use super::cluster::{state_name, why_name};
use super::shape::{Names, time};
use crate::objects::{News, Objects};
use crate::problem::{Answer, Problem};

/// After this much silence a line is sent that means nothing, so that a listener who went away is noticed.
const SILENCE: Duration = Duration::from_secs(15);

pub(super) async fn follow(State(app): App) -> Answer {
    Problem::unless_node(app.objects.role(), "events")?;
    let objects = Arc::clone(&app.objects);
    let news = objects.events();
    let names = Arc::new(Names::of(&*objects));
    let teller = names.node(objects.cluster().node);
    let lines = stream::unfold(news, move |mut news| {
        let (objects, names, teller) = (Arc::clone(&objects), Arc::clone(&names), teller.clone());
        async move {
            let line = match tokio::time::timeout(SILENCE, news.next()).await {
                Ok(Some(told)) => format!("data: {}\n\n", shape(&told, &*objects, &names, &teller)),
                Ok(None) => return None,
                Err(_) => ": nothing happens\n\n".to_owned(),
            };
            Some((Ok::<_, Infallible>(Bytes::from(line)), news))
        }
    });
    // Said at once, so that a listener knows that it is heard before anything happens.
    let first = stream::once(async { Ok(Bytes::from_static(b": listening\n\n")) });
    let mut answer = Response::new(Body::from_stream(first.chain(lines)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Tells events in the name of the node that answers. Made once for many of them: names are asked of the whole cluster.
pub(crate) struct Teller {
    names: Names,
    node: Value,
}

impl Teller {
    pub(crate) fn of(objects: &dyn Objects) -> Self {
        let names = Names::of(objects);
        let node = names.node(objects.cluster().node);
        Self { names, node }
    }

    pub(crate) fn shown(&self, objects: &dyn Objects, news: &News) -> Value {
        shape(news, objects, &self.names, &self.node)
    }
}

fn shape(news: &News, objects: &dyn Objects, names: &Names, teller: &Value) -> Value {
    let mut shown = match news {
        News::Missed(count) => json!({ "event": "missed", "count": count }),
        News::Happened { at_ms, event } => {
            let mut shown = told(event, objects, names);
            shown["at"] = Value::from(time(*at_ms));
            shown
        }
    };
    shown["node"] = teller.clone();
    shown
}

fn told(event: &ClusterEvent, objects: &dyn Objects, names: &Names) -> Value {
    let node = |id| names.node(id);
    let about =
        |kind: &str, of: &ObjectKey| json!({ "event": kind, "bucket": objects.bucket_name(of.bucket), "key": of.key });
    let with = |mut value: Value, field: &str, what: Value| {
        value[field] = what;
        value
    };
    match event {
        ClusterEvent::MemberSuspect(id) => json!({ "event": "suspect", "member": node(*id) }),
        ClusterEvent::MemberDown(id) => json!({ "event": "down", "member": node(*id) }),
        ClusterEvent::MemberStopped(id) => json!({ "event": "stopped", "member": node(*id) }),
        ClusterEvent::MemberUp { node: id, was } => {
            json!({ "event": "up", "member": node(*id), "was": state_name(*was) })
        }
        ClusterEvent::Maintenance { node: id, on } => {
            json!({ "event": "maintenance", "member": node(*id), "on": on })
        }
        ClusterEvent::Rejoined => json!({ "event": "rejoined" }),
        ClusterEvent::ClockOff { ahead_ms } => json!({ "event": "clock_off", "ahead_ms": ahead_ms }),
        ClusterEvent::ClockRight => json!({ "event": "clock_right" }),
        ClusterEvent::OldCopyFound { by } => json!({ "event": "old_copy_found", "by": node(*by) }),
        ClusterEvent::Filling => json!({ "event": "filling" }),
        ClusterEvent::Filled => json!({ "event": "filled" }),
        ClusterEvent::HintStored { home, of } => with(about("hint_stored", of), "for", node(*home)),
        ClusterEvent::HintDelivered { home, of } => with(about("hint_delivered", of), "for", node(*home)),
        ClusterEvent::Repaired { of, nodes } => with(about("repaired", of), "nodes", names.nodes(nodes)),
        ClusterEvent::Mended { of } => about("mended", of),
        ClusterEvent::CopiesLost { of, nodes } => with(about("copies_lost", of), "nodes", names.nodes(nodes)),
        ClusterEvent::RepairBegun => json!({ "event": "repair_begun" }),
        ClusterEvent::RepairEnded {
            damaged,
            differences,
            healed,
            unhealed,
        } => json!({
            "event": "repair_ended", "damaged": damaged, "differences": differences,
            "records_healed": healed.records, "chunks_healed": healed.chunks, "sent": healed.sent, "unhealed": unhealed,
        }),
        ClusterEvent::SiblingsMade { of, count } => with(about("siblings_made", of), "count", Value::from(*count)),
        ClusterEvent::SiblingsResolved { of } => about("siblings_resolved", of),
        ClusterEvent::GateHeld { by, why } => {
            json!({ "event": "gate_held", "by": node(*by), "why": why_name(*why) })
        }
        ClusterEvent::Forgotten { bodies, bytes } => {
            json!({ "event": "forgotten", "bodies": bodies, "bytes": bytes })
        }
    }
}
