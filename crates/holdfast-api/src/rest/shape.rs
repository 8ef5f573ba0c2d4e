//! The JSON that many answers share: nodes, clocks, versions, times. Names as `docs/rest.md` promises them.
//!
//! What an answer looks like is told once, by its type: `Serialize` makes the bytes, `ToSchema` the schema in
//! `/v1/openapi.json`.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use holdfast_core::context::Context;
use holdfast_core::ids::NodeId;
use holdfast_core::record;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

pub(super) use crate::dots::{dot_text, parse_dot};
use crate::objects::Objects;

/// An answer of this type, its names in alphabetical order at every depth: people compare answers as text, and a type
/// whose fields were reordered must not look like another answer.
pub(crate) struct Told<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        match serde_json::to_value(self.0) {
            Ok(value) => Json(value).into_response(),
            // Only maps with keys that are no text cannot be told, and there are none.
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// It was done.
#[derive(Serialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Success {
    Success,
}

/// A member of the cluster
#[derive(Serialize, ToSchema, Clone)]
pub(super) struct Node {
    /// Its id, for ever
    #[schema(example = "6f1c2b7a9d3e4f50")]
    id: String,
    /// What people call it; empty when the node that answers does not know it
    #[schema(example = "node-1")]
    name: String,
}

/// What people call the nodes.
pub(super) struct Names(BTreeMap<NodeId, String>);

impl Names {
    pub(super) fn of(objects: &dyn Objects) -> Self {
        let members = objects.cluster().members;
        Self(members.into_iter().map(|member| (member.id, member.name)).collect())
    }

    pub(super) fn node(&self, id: NodeId) -> Node {
        Node {
            id: id.to_string(),
            name: self.0.get(&id).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn nodes(&self, ids: &[NodeId]) -> Vec<Node> {
        ids.iter().map(|id| self.node(*id)).collect()
    }
}

/// The highest tick that is known of one life of a disk
#[derive(Serialize, ToSchema)]
#[schema(as = Life)]
pub(super) struct LifeTold {
    /// The disk
    actor: String,
    /// Its life
    life: String,
    /// The tick
    tick: String,
}

/// A version vector: the highest tick known of each life of a disk.
pub(super) fn clock(context: &Context) -> Vec<LifeTold> {
    context
        .lives()
        .map(|(actor, life, tick)| LifeTold {
            actor: actor.to_string(),
            life: life.to_string(),
            tick: tick.to_string(),
        })
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

/// One version of a key
#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    /// Its name, for ever
    #[schema(example = "a3f0c1d2e4b59687-000001959f1c0000-000001959f1c8000")]
    dot: String,
    /// Whether it is a value or a deletion
    #[schema(schema_with = version_kinds)]
    kind: &'static str,
    /// Length of its body
    size: u64,
    /// Its ETag, without quotes
    etag: String,
    #[schema(format = DateTime)]
    modified: String,
    /// The headers kept with it
    headers: BTreeMap<String, String>,
}

const VALUE: &str = "value";
const DELETED: &str = "deleted";

fn version_kinds() -> Object {
    one_of([VALUE, DELETED])
}

/// A version, value or deletion.
pub(super) fn version(version: &record::Version) -> Version {
    let content = &version.content;
    Version {
        dot: dot_text(version.dot),
        kind: if content.is_deletion() { DELETED } else { VALUE },
        size: content.size,
        etag: content.etag.clone(),
        modified: time(version.dot.tick.millis()),
        headers: content.headers.iter().cloned().collect(),
    }
}

/// The schema of a text that is one of these words.
pub(crate) fn one_of<const N: usize>(words: [&str; N]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde::Serialize;

    use super::{Told, time};

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
    }

    #[tokio::test]
    async fn names_are_told_in_alphabetical_order() {
        #[derive(Serialize)]
        struct Shuffled {
            b: u8,
            a: Option<u8>,
        }
        let told = Told([Shuffled { b: 2, a: None }]).into_response();
        let told = axum::body::to_bytes(told.into_body(), 100).await.unwrap();
        assert_eq!(&told[..], br#"[{"a":null,"b":2}]"#);
    }
}
