//! The JSON of answers: nodes, clocks, versions, outcomes. Names as `docs/rest.md` promises them.

use std::collections::BTreeMap;

use holdfast_core::bucket::{Bucket, Conflict};
use holdfast_core::context::Context;
use holdfast_core::ids::NodeId;
use holdfast_core::record::Version;
use holdfast_core::request::{Got, PutOutcome};
use serde_json::{Map, Value, json};

pub(super) use crate::dots::{dot_text, parse_dot};
use crate::objects::Objects;

/// What people call the nodes.
pub(super) struct Names(BTreeMap<NodeId, String>);

impl Names {
    pub(super) fn of(objects: &dyn Objects) -> Self {
        let members = objects.cluster().members;
        Self(members.into_iter().map(|member| (member.id, member.name)).collect())
    }

    pub(super) fn node(&self, id: NodeId) -> Value {
        json!({ "id": id.to_string(), "name": self.0.get(&id).map_or("", String::as_str) })
    }

    pub(super) fn nodes(&self, ids: &[NodeId]) -> Value {
        ids.iter().map(|id| self.node(*id)).collect()
    }

    /// Homes that are owed a write, and who holds it for them.
    fn hinted(&self, hinted: &[(NodeId, NodeId)]) -> Value {
        let hinted = hinted.iter();
        hinted
            .map(|(home, stand_in)| json!({ "for": self.node(*home), "at": self.node(*stand_in) }))
            .collect()
    }

    fn clocks(&self, clocks: &[(NodeId, Context)]) -> Value {
        let clocks = clocks.iter();
        clocks
            .map(|(id, context)| json!({ "node": self.node(*id), "clock": clock(context) }))
            .collect()
    }
}

/// A version vector: the highest tick known of each life of a disk.
pub(super) fn clock(context: &Context) -> Value {
    context
        .lives()
        .map(|(actor, life, tick)| json!({ "actor": actor.to_string(), "life": life.to_string(), "tick": tick.to_string() }))
        .collect()
}

/// A time for people and programs: `2026-01-02T03:04:05.678Z`.
pub(crate) fn time(unix_ms: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(unix_ms));
    let time: s3s::dto::Timestamp = time.unwrap_or(std::time::UNIX_EPOCH).into();
    let mut text = Vec::with_capacity(24);
    match time.format(s3s::dto::TimestampFormat::DateTime, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// A version, value or deletion.
pub(super) fn version(version: &Version) -> Value {
    let content = &version.content;
    let headers: Map<String, Value> = content
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    json!({
        "dot": dot_text(version.dot),
        "kind": if content.is_deletion() { "deleted" } else { "value" },
        "size": content.size,
        "etag": content.etag,
        "modified": time(version.dot.tick.millis()),
        "headers": headers,
    })
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
    pub(super) fn outcome(&self, outcome: &PutOutcome, token: &str) -> Value {
        let names = Names::of(self.objects);
        json!({
            "status": "success",
            "bucket": self.bucket.name,
            "key": self.key,
            "dot": dot_text(outcome.dot),
            "etag": outcome.etag,
            "modified": time(outcome.dot.tick.millis()),
            "siblings": outcome.siblings,
            "context": token,
            "node": names.node(outcome.coordinator),
            "preference_list": names.nodes(&outcome.preference_list),
            "replicas_written": names.nodes(&outcome.written),
            "pending": names.nodes(&outcome.pending),
            "down": names.nodes(&outcome.down),
            "hinted": names.hinted(&outcome.hinted),
            "clocks": names.clocks(&outcome.clocks),
        })
    }

    /// Everything a get knows but the bodies.
    pub(super) fn found(&self, got: &Got, token: &str) -> Value {
        let names = Names::of(self.objects);
        let versions: Vec<Value> = got.record.versions().iter().rev().map(version).collect();
        json!({
            "status": "success",
            "bucket": self.bucket.name,
            "key": self.key,
            "exists": got.record.visible().is_some(),
            "siblings": got.record.sibling_count(),
            "versions": versions,
            "context": token,
            "node": names.node(got.coordinator),
            "preference_list": names.nodes(&got.preference_list),
            "down": names.nodes(&got.down),
            "stand_ins": names.nodes(&got.stand_ins),
            "holders_unheard": names.nodes(&got.holders_unheard),
            "clocks": names.clocks(&got.clocks),
        })
    }
}

/// A bucket and its settings.
pub(super) fn bucket(bucket: &Bucket) -> Value {
    json!({
        "name": bucket.name,
        "id": bucket.settings.id.to_string(),
        "owner": bucket.owner,
        "created": time(bucket.created_ms),
        "n": bucket.settings.n,
        "r": bucket.settings.r,
        "w": bucket.settings.w,
        "shards": bucket.settings.shards,
        "sloppy": bucket.settings.sloppy,
        "conflict": conflict(bucket.conflict),
        "settings_version": bucket.settings.version,
    })
}

pub(super) const fn conflict(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Newest => "newest",
        Conflict::Siblings => "siblings",
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
    }
}
