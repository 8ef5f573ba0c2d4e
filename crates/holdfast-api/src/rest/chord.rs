//! The ring of Chord: what the node asked knows of it, and the way to whoever answers for a position.

use axum::extract::State;
use holdfast_core::chord::Peer;
use holdfast_core::ids::Position;
use holdfast_core::request::ReadFault;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::faults::{BadRequest, NoSuchBucket, NotThisNode, ReadFaults};
use super::locate::{Located, located};
use super::query::Query;
use super::shape::{Names, Node, Success, Told};
use crate::problem::{Answer, Problem};

/// What a node knows of the ring of Chord
#[derive(Serialize, ToSchema)]
pub(super) struct Table {
    status: Success,
    /// The node that answers
    node: Node,
    /// Its place on the ring, in hex
    #[schema(example = "8208e2008e2ff716")]
    position: String,
    /// The node before it, as far as it knows
    predecessor: Option<Place>,
    /// The nodes after it, nearest first
    successors: Vec<Place>,
    /// Nodes farther off, by which ways are short
    fingers: Vec<Finger>,
}

/// A node and its place
#[derive(Serialize, ToSchema)]
struct Place {
    node: Node,
    /// Its place on the ring, in hex
    #[schema(example = "8208e2008e2ff716")]
    position: String,
}

/// The first node at or after a position so far ahead
#[derive(Serialize, ToSchema)]
struct Finger {
    /// How far ahead: two to the power of this
    power: u32,
    /// That position, in hex
    start: String,
    node: Node,
    /// The node's place on the ring, in hex
    position: String,
}

/// The way to whoever answers for a position
#[derive(Serialize, ToSchema)]
pub(super) struct Way {
    status: Success,
    /// What was looked for, in hex
    position: String,
    /// Who was asked, one after the other, and answered
    path: Vec<Place>,
    /// How many did not answer
    timeouts: usize,
    /// Who answers for it on the ring of Chord; null if nobody was found
    found: Option<Place>,
    /// Where the key lives, by the layout; null when a position was asked for
    location: Option<Located>,
}

/// What to look for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// A position, 16 digits in hex; or a bucket and a key
    #[param(nullable = false, example = "8208e2008e2ff716")]
    position: Option<String>,
    /// Name of the bucket
    #[param(nullable = false, example = "photos")]
    bucket: Option<String>,
    /// The key
    #[param(nullable = false, example = "cat.jpg")]
    key: Option<String>,
}

fn place(names: &Names, peer: Peer) -> Place {
    Place {
        node: names.node(peer.node),
        position: peer.at.to_string(),
    }
}

/// The asked node's successors and fingers
#[utoipa::path(
    get, path = "/v1/chord", operation_id = "chord", tag = "cluster",
    responses((status = 200, description = "What it knows", body = Table), NotThisNode)
)]
pub(super) async fn table(State(app): App) -> Answer<Told<Table>> {
    Problem::unless_node(app.objects.role(), "place on the ring of Chord")?;
    let table = app.objects.chord();
    let table = table.ok_or_else(|| Problem::not_implemented("a ring of Chord"))?;
    let names = Names::of(&*app.objects);
    let me = table.me();
    let fingers = table.fingers().map(|(power, peer)| Finger {
        power,
        start: Position(me.at.0.wrapping_add(1 << power)).to_string(),
        node: names.node(peer.node),
        position: peer.at.to_string(),
    });
    Ok(Told(Table {
        status: Success::Success,
        node: names.node(me.node),
        position: me.at.to_string(),
        predecessor: table.predecessor().map(|peer| place(&names, peer)),
        successors: table.successors().iter().map(|peer| place(&names, *peer)).collect(),
        fingers: fingers.collect(),
    }))
}

/// Looks for who answers for a position or a key, hop by hop
#[utoipa::path(
    get, path = "/v1/chord/lookup", operation_id = "chord_lookup", tag = "cluster", params(Asked),
    responses((status = 200, description = "What was found", body = Way), BadRequest, NoSuchBucket, ReadFaults)
)]
pub(super) async fn lookup(State(app): App, Query(asked): Query<Asked>) -> Answer<Told<Way>> {
    let (to, location) = match (asked.position, asked.bucket) {
        (Some(position), None) => {
            let digits = (position.len() <= 16).then(|| u64::from_str_radix(&position, 16).ok());
            let to = digits.flatten().ok_or_else(|| {
                Problem::bad_request(
                    "position is no number of 16 hexadecimal digits",
                    "say ?position=8208e2008e2ff716",
                )
            })?;
            (Position(to), None)
        }
        (None, Some(bucket)) => {
            let (to, location) = located(&app, &bucket, asked.key.as_deref()).await?;
            (to, Some(location))
        }
        _ => {
            return Err(Problem::bad_request(
                "neither a position nor a key is named, or both",
                "say ?position= or ?bucket=&key=",
            ));
        }
    };
    let Some(found) = app.objects.find(to).await else {
        return Err(Problem::read(&ReadFault::Overloaded));
    };
    let names = Names::of(&*app.objects);
    Ok(Told(Way {
        status: Success::Success,
        position: to.to_string(),
        path: found.path.iter().map(|peer| place(&names, *peer)).collect(),
        timeouts: found.timeouts,
        found: found.owner.map(|peer| place(&names, peer)),
        location,
    }))
}
