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
use holdfast_core::ids::{NodeId, ObjectKey};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::cluster::{member_states, state_name, why_name};
use super::shape::{Names, Node, time};
use crate::objects::{News, Objects};
use crate::problem::{Answer, Problem};

/// After this much silence a line is sent that means nothing, so that a listener who went away is noticed.
const SILENCE: Duration = Duration::from_secs(15);

/// Something that happened, as the telling node saw it
#[derive(Serialize, ToSchema)]
pub(super) struct Event {
    /// When; absent in `missed` of a node's own events
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, required = false, nullable = false)]
    at: Option<String>,
    /// The node that tells
    node: Node,
    #[serde(flatten)]
    what: What,
}

/// A key that an event is about
#[derive(Serialize, ToSchema)]
struct About {
    /// Null when the telling node does not know the bucket
    bucket: Option<String>,
    key: String,
}

/// What happened
#[derive(Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What {
    /// The listener was too slow to be told so many events
    Missed { count: u64 },
    /// A member does not answer at present, and is still used
    Suspect { member: Node },
    /// A member is held down
    Down { member: Node },
    /// A member has ended in order
    Stopped { member: Node },
    /// A member is up again
    Up {
        member: Node,
        #[schema(schema_with = member_states)]
        was: &'static str,
    },
    /// A member is down on purpose, or no longer
    Maintenance { member: Node, on: bool },
    /// Others held the telling node down
    Rejoined,
    /// The telling node's clock is ahead of most others' (negative: behind)
    ClockOff { ahead_ms: i64 },
    /// It no longer is
    ClockRight,
    /// The telling node's data are an old copy, of whose later writes a member knows
    OldCopyFound { by: Node },
    /// A lost disk is filled again
    Filling,
    /// It has been
    Filled,
    /// The telling node holds a key for a home that is away
    HintStored {
        #[serde(flatten)]
        of: About,
        #[serde(rename = "for")]
        home: Node,
    },
    /// The home has it now
    HintDelivered {
        #[serde(flatten)]
        of: About,
        #[serde(rename = "for")]
        home: Node,
    },
    /// Copies of a key differed, and nodes were sent what they lacked
    Repaired {
        #[serde(flatten)]
        of: About,
        nodes: Vec<Node>,
    },
    /// A damaged copy of a body on the telling node's disk was written again
    Mended {
        #[serde(flatten)]
        of: About,
    },
    /// The telling node's copy and those of other nodes were damaged; what only they had is gone
    CopiesLost {
        #[serde(flatten)]
        of: About,
        nodes: Vec<Node>,
    },
    /// Somebody asked the node to repair all that it holds
    RepairBegun,
    /// It has
    RepairEnded {
        damaged: u64,
        differences: u64,
        records_healed: u64,
        chunks_healed: u64,
        sent: u64,
        unhealed: u64,
    },
    /// The telling node's copy of a key has concurrent versions
    SiblingsMade {
        #[serde(flatten)]
        of: About,
        count: u32,
    },
    /// It has no longer
    SiblingsResolved {
        #[serde(flatten)]
        of: About,
    },
    /// Dead bodies stay because of a member
    GateHeld { by: Node, why: &'static str },
    /// So much is gone from all members
    Forgotten { bodies: u32, bytes: u64 },
}

/// What happens in the cluster, as it happens
///
/// Server-sent events without an end: each a line `data: ` with one `Event` as JSON. Lines that begin with `:` mean nothing;
/// one comes at once, another after 15 seconds of silence.
#[utoipa::path(
    get, path = "/v1/cluster/events", operation_id = "follow_events", tag = "cluster",
    responses((status = 200, description = "Lines, of which each `data:` holds one `Event`",
        body = String, content_type = "text/event-stream",
        example = "data: {\"at\":\"2026-01-02T03:04:05.678Z\",\"event\":\"down\",\"member\":{\"id\":\"6f1c2b7a9d3e4f50\",\"name\":\"node-2\"},\"node\":{\"id\":\"1a2b3c4d5e6f7081\",\"name\":\"node-1\"}}\n\n"))
)]
pub(super) async fn follow(State(app): App) -> Answer<Response> {
    Problem::unless_node(app.objects.role(), "events")?;
    let objects = Arc::clone(&app.objects);
    let news = objects.events();
    let teller = Arc::new(Teller::of(&*objects));
    let lines = stream::unfold(news, move |mut news| {
        let (objects, teller) = (Arc::clone(&objects), Arc::clone(&teller));
        async move {
            let line = match tokio::time::timeout(SILENCE, news.next()).await {
                Ok(Some(told)) => line(&teller.shown(&*objects, &told)),
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

/// One event on the wire.
fn line(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// Tells events in the name of the node that answers. Made once for many of them: names are asked of the whole cluster.
pub(crate) struct Teller {
    names: Names,
    node: Node,
}

impl Teller {
    pub(crate) fn of(objects: &dyn Objects) -> Self {
        let names = Names::of(objects);
        let node = names.node(objects.cluster().node);
        Self { names, node }
    }

    /// An [`Event`], its names in alphabetical order.
    pub(crate) fn shown(&self, objects: &dyn Objects, news: &News) -> Value {
        let event = shape(news, objects, &self.names, &self.node);
        serde_json::to_value(event).unwrap_or_default()
    }
}

fn shape(news: &News, objects: &dyn Objects, names: &Names, teller: &Node) -> Event {
    let (at, what) = match news {
        News::Missed(count) => (None, What::Missed { count: *count }),
        News::Happened { at_ms, event } => (Some(time(*at_ms)), told(event, objects, names)),
    };
    Event {
        at,
        node: teller.clone(),
        what,
    }
}

fn told(event: &ClusterEvent, objects: &dyn Objects, names: &Names) -> What {
    let node = |id: &NodeId| names.node(*id);
    let about = |of: &ObjectKey| About {
        bucket: objects.bucket_name(of.bucket),
        key: of.key.clone(),
    };
    match event {
        ClusterEvent::MemberSuspect(id) => What::Suspect { member: node(id) },
        ClusterEvent::MemberDown(id) => What::Down { member: node(id) },
        ClusterEvent::MemberStopped(id) => What::Stopped { member: node(id) },
        ClusterEvent::MemberUp { node: id, was } => What::Up {
            member: node(id),
            was: state_name(*was),
        },
        ClusterEvent::Maintenance { node: id, on } => What::Maintenance {
            member: node(id),
            on: *on,
        },
        ClusterEvent::Rejoined => What::Rejoined,
        ClusterEvent::ClockOff { ahead_ms } => What::ClockOff { ahead_ms: *ahead_ms },
        ClusterEvent::ClockRight => What::ClockRight,
        ClusterEvent::OldCopyFound { by } => What::OldCopyFound { by: node(by) },
        ClusterEvent::Filling => What::Filling,
        ClusterEvent::Filled => What::Filled,
        ClusterEvent::HintStored { home, of } => What::HintStored {
            of: about(of),
            home: node(home),
        },
        ClusterEvent::HintDelivered { home, of } => What::HintDelivered {
            of: about(of),
            home: node(home),
        },
        ClusterEvent::Repaired { of, nodes } => What::Repaired {
            of: about(of),
            nodes: names.nodes(nodes),
        },
        ClusterEvent::Mended { of } => What::Mended { of: about(of) },
        ClusterEvent::CopiesLost { of, nodes } => What::CopiesLost {
            of: about(of),
            nodes: names.nodes(nodes),
        },
        ClusterEvent::RepairBegun => What::RepairBegun,
        ClusterEvent::RepairEnded {
            damaged,
            differences,
            healed,
            unhealed,
        } => What::RepairEnded {
            damaged: *damaged,
            differences: *differences,
            records_healed: healed.records,
            chunks_healed: healed.chunks,
            sent: healed.sent,
            unhealed: *unhealed,
        },
        ClusterEvent::SiblingsMade { of, count } => What::SiblingsMade {
            of: about(of),
            count: *count,
        },
        ClusterEvent::SiblingsResolved { of } => What::SiblingsResolved { of: about(of) },
        ClusterEvent::GateHeld { by, why } => What::GateHeld {
            by: node(by),
            why: why_name(*why),
        },
        ClusterEvent::Forgotten { bodies, bytes } => What::Forgotten {
            bodies: *bodies,
            bytes: *bytes,
        },
    }
}
