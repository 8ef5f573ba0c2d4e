//! What the core says in the messages of `holdfast.v1`: nodes, clocks, versions, outcomes.

use std::collections::BTreeMap;

use holdfast_core::bucket::{Bucket, Conflict};
use holdfast_core::context::Context;
use holdfast_core::ids::NodeId;
use holdfast_core::record::Version;
use holdfast_core::request::{Got, PutOutcome};
use holdfast_proto::v1;
use prost_types::Timestamp;

use crate::dots::dot_text;
use crate::objects::Objects;

/// What people call the nodes.
pub(super) struct Names(BTreeMap<NodeId, String>);

impl Names {
    pub(super) fn of(objects: &dyn Objects) -> Self {
        let members = objects.cluster().members;
        Self(members.into_iter().map(|member| (member.id, member.name)).collect())
    }

    pub(super) fn node(&self, id: NodeId) -> v1::Node {
        v1::Node {
            id: id.to_string(),
            name: self.0.get(&id).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn nodes(&self, ids: &[NodeId]) -> Vec<v1::Node> {
        ids.iter().map(|id| self.node(*id)).collect()
    }

    fn hinted(&self, hinted: &[(NodeId, NodeId)]) -> Vec<v1::Hinted> {
        let hinted = hinted.iter();
        hinted
            .map(|(home, holder)| v1::Hinted {
                home: Some(self.node(*home)),
                holder: Some(self.node(*holder)),
            })
            .collect()
    }

    fn clocks(&self, clocks: &[(NodeId, Context)]) -> Vec<v1::NodeClock> {
        let clocks = clocks.iter();
        clocks
            .map(|(id, context)| v1::NodeClock {
                node: Some(self.node(*id)),
                clock: Some(clock(context)),
            })
            .collect()
    }
}

/// A version vector: the highest tick known of each life of a disk.
pub(super) fn clock(context: &Context) -> v1::Clock {
    let entries = context.lives().map(|(actor, life, tick)| v1::ClockEntry {
        actor: actor.to_string(),
        life: life.to_string(),
        tick: tick.to_string(),
    });
    v1::Clock {
        entries: entries.collect(),
    }
}

/// A point in time.
pub(super) fn time(unix_ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_ms % 1_000 * 1_000_000).unwrap_or(0),
    }
}

/// A version, value or deletion.
pub(super) fn version(version: &Version) -> v1::Version {
    let content = &version.content;
    v1::Version {
        dot: dot_text(version.dot),
        deleted: content.is_deletion(),
        size: content.size,
        etag: content.etag.clone(),
        modified: Some(time(version.dot.tick.millis())),
        headers: content.headers.iter().cloned().collect(),
    }
}

/// How many there are, which is at most some hundreds.
pub(super) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Where an answer belongs.
pub(super) struct Place<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) bucket: &'a Bucket,
    pub(super) key: &'a str,
}

impl Place<'_> {
    pub(super) fn token(&self, context: &Context) -> String {
        self.objects.seal_context(self.bucket, self.key, context)
    }

    /// Everything a put knows.
    pub(super) fn outcome(&self, outcome: &PutOutcome) -> v1::WriteOutcome {
        let names = Names::of(self.objects);
        v1::WriteOutcome {
            bucket: self.bucket.name.clone(),
            key: self.key.to_owned(),
            dot: dot_text(outcome.dot),
            etag: outcome.etag.clone(),
            modified: Some(time(outcome.dot.tick.millis())),
            siblings: outcome.siblings,
            context: self.token(&outcome.context),
            node: Some(names.node(outcome.coordinator)),
            preference_list: names.nodes(&outcome.preference_list),
            replicas_written: names.nodes(&outcome.written),
            pending: names.nodes(&outcome.pending),
            down: names.nodes(&outcome.down),
            hinted: names.hinted(&outcome.hinted),
            clocks: names.clocks(&outcome.clocks),
        }
    }

    /// Everything a get knows but the bodies.
    pub(super) fn found(&self, got: &Got) -> v1::Found {
        let names = Names::of(self.objects);
        v1::Found {
            bucket: self.bucket.name.clone(),
            key: self.key.to_owned(),
            exists: got.record.visible().is_some(),
            siblings: count(got.record.sibling_count()),
            versions: got.record.versions().iter().rev().map(version).collect(),
            context: self.token(got.record.context()),
            node: Some(names.node(got.coordinator)),
            preference_list: names.nodes(&got.preference_list),
            down: names.nodes(&got.down),
            stand_ins: names.nodes(&got.stand_ins),
            holders_unheard: names.nodes(&got.holders_unheard),
            clocks: names.clocks(&got.clocks),
        }
    }
}

/// A bucket and its settings.
pub(super) fn bucket(bucket: &Bucket) -> v1::Bucket {
    let conflict = match bucket.conflict {
        Conflict::Newest => v1::Conflict::Newest,
        Conflict::Siblings => v1::Conflict::Siblings,
    };
    v1::Bucket {
        name: bucket.name.clone(),
        id: bucket.settings.id.to_string(),
        owner: bucket.owner.clone(),
        created: Some(time(bucket.created_ms)),
        n: bucket.settings.n.into(),
        r: bucket.settings.r.into(),
        w: bucket.settings.w.into(),
        shards: bucket.settings.shards.into(),
        sloppy: bucket.settings.sloppy,
        conflict: conflict.into(),
        settings_version: bucket.settings.version,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_have_milliseconds() {
        let time = super::time(1_767_323_045_678);
        assert_eq!((time.seconds, time.nanos), (1_767_323_045, 678_000_000));
    }
}
