//! Where an answer belongs, and what a write and a read tell of one key (rule Q1).

use holdfast_core::bucket::Bucket;
use holdfast_core::context::Context;
use holdfast_core::ids::NodeId;
use holdfast_core::request::{Got, PutOutcome};
use serde::Serialize;
use utoipa::ToSchema;

use super::shape::{LifeTold, Names, Node, Success, Version, clock, dot_text, time, version};
use crate::objects::Objects;

/// Where an answer belongs.
pub(super) struct Place<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) bucket: &'a Bucket,
    pub(super) key: &'a str,
}

/// The version vector that a replica holds of a key
#[derive(Serialize, ToSchema)]
pub(super) struct Clock {
    /// The replica
    node: Node,
    /// For each life of a disk the highest tick it knows
    clock: Vec<LifeTold>,
}

/// A write that another node keeps for a home that is away
#[derive(Serialize, ToSchema)]
pub(super) struct Hinted {
    /// The home that is owed it
    #[serde(rename = "for")]
    home: Node,
    /// Who has it synced, and hands it over
    at: Node,
}

/// Everything a write knows
#[derive(Serialize, ToSchema)]
pub(super) struct Written {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// The name of the version written
    dot: String,
    etag: String,
    #[schema(format = DateTime)]
    modified: String,
    /// How many concurrent versions there are now
    siblings: u32,
    /// What the next write sends back in `Holdfast-Context` to replace exactly this
    context: String,
    /// The node that coordinated it
    node: Node,
    /// All members, best first
    preference_list: Vec<Node>,
    /// Homes that have it synced
    replicas_written: Vec<Node>,
    /// Homes that were sent it and have not answered yet
    pending: Vec<Node>,
    /// Homes that could not be reached
    down: Vec<Node>,
    /// Stand-ins that have it synced in place of homes
    hinted: Vec<Hinted>,
    /// The version vector each replica held after writing
    clocks: Vec<Clock>,
}

/// Everything a read knows but the bodies
#[derive(Serialize, ToSchema)]
pub(super) struct Known {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// Whether there is an object to read
    exists: bool,
    /// How many concurrent versions there are
    siblings: usize,
    /// All versions, deletions too, newest first
    versions: Vec<Version>,
    /// What the next write sends back in `Holdfast-Context` to replace exactly these
    context: String,
    /// The node that coordinated the read
    node: Node,
    /// All members, best first
    preference_list: Vec<Node>,
    /// Homes that could not be reached
    down: Vec<Node>,
    /// Nodes that answered in place of homes that are down
    stand_ins: Vec<Node>,
    /// Nodes that hold writes for other homes near this key, and could not be asked
    holders_unheard: Vec<Node>,
    /// The version vector of each replica that answered
    clocks: Vec<Clock>,
}

impl Place<'_> {
    pub(super) fn token(&self, context: &Context) -> String {
        self.objects.seal_context(self.bucket, self.key, context)
    }

    /// Everything a put knows.
    pub(super) fn outcome(&self, outcome: &PutOutcome, token: &str) -> Written {
        let names = Names::of(self.objects);
        let hinted = outcome.hinted.iter().map(|(home, stand_in)| Hinted {
            home: names.node(*home),
            at: names.node(*stand_in),
        });
        Written {
            status: Success::Success,
            bucket: self.bucket.name.clone(),
            key: self.key.to_owned(),
            dot: dot_text(outcome.dot),
            etag: outcome.etag.clone(),
            modified: time(outcome.dot.tick.millis()),
            siblings: outcome.siblings,
            context: token.to_owned(),
            node: names.node(outcome.coordinator),
            preference_list: names.nodes(&outcome.preference_list),
            replicas_written: names.nodes(&outcome.written),
            pending: names.nodes(&outcome.pending),
            down: names.nodes(&outcome.down),
            hinted: hinted.collect(),
            clocks: clocks(&names, &outcome.clocks),
        }
    }

    /// Everything a get knows but the bodies.
    pub(super) fn found(&self, got: &Got, token: &str) -> Known {
        let names = Names::of(self.objects);
        Known {
            status: Success::Success,
            bucket: self.bucket.name.clone(),
            key: self.key.to_owned(),
            exists: got.record.visible().is_some(),
            siblings: got.record.sibling_count(),
            versions: got.record.versions().iter().rev().map(version).collect(),
            context: token.to_owned(),
            node: names.node(got.coordinator),
            preference_list: names.nodes(&got.preference_list),
            down: names.nodes(&got.down),
            stand_ins: names.nodes(&got.stand_ins),
            holders_unheard: names.nodes(&got.holders_unheard),
            clocks: clocks(&names, &got.clocks),
        }
    }
}

fn clocks(names: &Names, clocks: &[(NodeId, Context)]) -> Vec<Clock> {
    let clocks = clocks.iter().map(|(id, context)| Clock {
        node: names.node(*id),
        clock: clock(context),
    });
    clocks.collect()
}
