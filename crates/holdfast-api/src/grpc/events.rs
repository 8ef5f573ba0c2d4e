//! What happens in the cluster, as it happens, until the client goes or the node stops.
//!
//! A client that has vanished is noticed by HTTP/2's pings, so silence needs no messages of its own.

use std::future;
use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, stream};
use holdfast_core::event::ClusterEvent;
use holdfast_core::ids::ObjectKey;
use holdfast_proto::v1::{self, event::What};
use http::StatusCode;
use tonic::Status;

use super::cluster::{held_why, member_state};
use super::shape::{Names, time};
use crate::objects::{News, Objects};
use crate::problem::Problem;
use crate::serve::Stopping;

pub(super) fn watch(
    objects: Arc<dyn Objects>,
    stopping: Option<Stopping>,
) -> BoxStream<'static, Result<v1::Event, Status>> {
    let news = objects.events();
    let names = Names::of(&*objects);
    let teller = names.node(objects.cluster().node);
    let told = news.map(move |news| Ok(event(&news, &*objects, &names, &teller)));
    let stopped = match stopping {
        Some(stopping) => stopping.told().boxed(),
        None => future::pending().boxed(),
    };
    let farewell = stream::once(async { Err(Status::from(stops())) });
    told.take_until(stopped).chain(farewell).boxed()
}

/// What is told to whom would listen for ever.
fn stops() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "stopping",
        "this node is shutting down",
        "listen to another node",
    )
}

fn event(news: &News, objects: &dyn Objects, names: &Names, teller: &v1::Node) -> v1::Event {
    let (at, what) = match news {
        News::Missed(count) => (None, What::Missed(*count)),
        News::Happened { at_ms, event } => (Some(time(*at_ms)), happened(event, objects, names)),
    };
    v1::Event {
        at,
        node: Some(teller.clone()),
        what: Some(what),
    }
}

fn happened(event: &ClusterEvent, objects: &dyn Objects, names: &Names) -> What {
    let node = |id| names.node(id);
    let key_name = |of: &ObjectKey| v1::KeyName {
        bucket: objects.bucket_name(of.bucket),
        key: of.key.clone(),
    };
    let hint = |of, home| v1::Hint {
        of: Some(key_name(of)),
        home: Some(node(home)),
    };
    let key_and_nodes = |of, nodes| v1::KeyAndNodes {
        of: Some(key_name(of)),
        nodes: names.nodes(nodes),
    };
    match event {
        ClusterEvent::MemberSuspect(id) => What::Suspect(node(*id)),
        ClusterEvent::MemberDown(id) => What::Down(node(*id)),
        ClusterEvent::MemberStopped(id) => What::Stopped(node(*id)),
        ClusterEvent::MemberUp { node: id, was } => What::Up(v1::MemberUp {
            member: Some(node(*id)),
            was: member_state(*was).into(),
        }),
        ClusterEvent::Maintenance { node: id, on } => What::Maintenance(v1::Maintenance {
            member: Some(node(*id)),
            on: *on,
        }),
        ClusterEvent::Rejoined => What::Rejoined(v1::Rejoined {}),
        ClusterEvent::ClockOff { ahead_ms } => What::ClockOff(v1::ClockOff { ahead_ms: *ahead_ms }),
        ClusterEvent::ClockRight => What::ClockRight(v1::ClockRight {}),
        ClusterEvent::OldCopyFound { by } => What::OldCopyFound(node(*by)),
        ClusterEvent::Filling => What::Filling(v1::Filling {}),
        ClusterEvent::Filled => What::Filled(v1::Filled {}),
        ClusterEvent::HintStored { home, of } => What::HintStored(hint(of, *home)),
        ClusterEvent::HintDelivered { home, of } => What::HintDelivered(hint(of, *home)),
        ClusterEvent::Repaired { of, nodes } => What::Repaired(key_and_nodes(of, nodes)),
        ClusterEvent::Mended { of } => What::Mended(key_name(of)),
        ClusterEvent::CopiesLost { of, nodes } => What::CopiesLost(key_and_nodes(of, nodes)),
        ClusterEvent::RepairBegun => What::RepairBegun(v1::RepairBegun {}),
        ClusterEvent::RepairEnded {
            damaged,
            differences,
            healed,
            unhealed,
        } => What::RepairEnded(v1::RepairEnded {
            damaged: *damaged,
            differences: *differences,
            records_healed: healed.records,
            chunks_healed: healed.chunks,
            sent: healed.sent,
            unhealed: *unhealed,
        }),
        ClusterEvent::SiblingsMade { of, count } => What::SiblingsMade(v1::SiblingsMade {
            of: Some(key_name(of)),
            count: *count,
        }),
        ClusterEvent::SiblingsResolved { of } => What::SiblingsResolved(key_name(of)),
        ClusterEvent::GateHeld { by, why } => What::GateHeld(v1::GateHeld {
            by: Some(node(*by)),
            why: held_why(*why).into(),
        }),
        ClusterEvent::Forgotten { bodies, bytes } => What::Forgotten(v1::Forgotten {
            bodies: u64::from(*bodies),
            bytes: *bytes,
        }),
    }
}
