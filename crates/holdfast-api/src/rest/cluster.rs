//! Who is there, and where a key lives.

use axum::Json;
use axum::extract::{Path, State};
use holdfast_core::dead::HeldWhy;
use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::{Hinted, NodeFacts, Soundness};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::Query;
use super::shape::{Names, time};
use super::{App, Shared};
use crate::caller::Caller;
use crate::objects::{ClusterView, Objects, Role};
use crate::problem::{Answer, Problem};
use crate::watch::sentence::Sentence;

pub(super) async fn view(State(app): App) -> Json<Value> {
    let view = app.objects.cluster();
    let sentence = app.watch.told().sentence(&view);
    Json(shown(&*app.objects, &view, &sentence))
}

/// The cluster as one node sees it, and the sentence on it.
pub(crate) fn shown(objects: &dyn Objects, view: &ClusterView, sentence: &Sentence) -> Value {
    let names = Names::of(objects);
    let registered_with = view.registered_with.as_ref().map(|(founder, address)| {
        let mut with = names.node(*founder);
        with["address"] = json!(address);
        with
    });
    let members: Vec<Value> = view
        .members
        .iter()
        .map(|member| {
            json!({
                "id": member.id.to_string(),
                "name": member.name,
                "zone": member.zone,
                "address": member.address,
                "s3": member.s3,
                "rest": member.rest,
                "capacity_bytes": member.capacity_bytes,
                "up": member.up,
                "state": state_name(member.state),
                "since": time(member.since_ms),
                "maintenance": member.maintenance,
                "clock_ahead_ms": member.clock_ahead_ms,
                "hints_owed": member.hints_owed,
                "facts": member.facts.as_ref().map(facts),
                "self": member.id == view.node,
                "registered_with": registered_with.as_ref().filter(|_| member.id == view.node),
            })
        })
        .collect();
    let down: Vec<_> = view
        .members
        .iter()
        .filter(|member| !member.up)
        .map(|member| member.id)
        .collect();
    json!({
        "status": "success",
        "role": match objects.role() {
            Role::Node => "node",
            Role::Gateway => "gateway",
        },
        "sentence": sentence.text,
        "level": sentence.level.name(),
        "node": names.node(view.node),
        "cluster": view.cluster,
        "epoch": view.epoch,
        "partitions": view.partitions,
        "members": members,
        "down": names.nodes(&down),
        "unsafe_no_sync": view.unsafe_no_sync,
        "clock_off_ms": view.clock_off_ms,
        "checked": {
            "read_through": view.checked.is_read,
            "differences": view.checked.differences,
            "fingerprints_wrong": view.checked.fingerprints_wrong,
            "scrub": {
                "running": view.checked.scrub.is_running,
                "ended_ms": view.checked.scrub.ended_ms,
                "records": view.checked.scrub.records,
                "chunks": view.checked.scrub.chunks,
                "bytes": view.checked.scrub.bytes,
                "damaged": view.checked.scrub.damaged,
            },
            "records_repaired": view.checked.records_repaired,
            "chunks_repaired": view.checked.chunks_mended,
        },
        "forgetting": {
            "bodies": view.forgetting.bodies,
            "bytes": view.forgetting.bytes,
            "held_by": view.forgetting.held.map(|(node, _)| names.node(node)),
            "held_because": view.forgetting.held.map(|(_, why)| why_name(why)),
        },
    })
}

/// Why the gate is held, in a word or two.
pub(super) const fn why_name(why: HeldWhy) -> &'static str {
    match why {
        HeldWhy::Away => "away",
        HeldWhy::Restarted => "restarted",
        HeldWhy::ClockOff => "clock off",
        HeldWhy::Hints => "holds hints",
        HeldWhy::Filling => "fills its disk",
        HeldWhy::Failed => "failed",
    }
}

/// A state in one word.
pub(super) const fn state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::Up => "up",
        MemberState::Suspect => "suspect",
        MemberState::Unheard => "unheard",
        MemberState::Down => "down",
        MemberState::Stopped => "stopped",
    }
}

/// Whether a node may speak for its disk, in one word.
pub(super) const fn soundness_name(soundness: Soundness) -> &'static str {
    match soundness {
        Soundness::Sound => "sound",
        Soundness::Unvouched => "unvouched",
        Soundness::Filling => "filling",
    }
}

fn facts(facts: &NodeFacts) -> Value {
    let hinted = match &facts.hinted {
        Hinted::Only(partitions) => partitions.iter().map(|partition| partition.0).collect(),
        Hinted::Many => json!("many"),
    };
    json!({
        "actor": facts.actor.to_string(),
        "boot": facts.boot,
        "epoch": facts.epoch,
        "format_level": facts.format_level,
        "disk_used_bytes": facts.disk_used_bytes,
        "disk_total_bytes": facts.disk_total_bytes,
        "hinted_partitions": hinted,
        "soundness": soundness_name(facts.soundness),
    })
}

type By = axum::Extension<Caller>;

pub(super) async fn begin_maintenance(app: App, by: By, member: Path<String>) -> Answer<Json<Value>> {
    maintain(&app, &by, &member, true)
}

pub(super) async fn end_maintenance(app: App, by: By, member: Path<String>) -> Answer<Json<Value>> {
    maintain(&app, &by, &member, false)
}

/// A member is named by its id, or as people call it.
fn maintain(app: &Shared, by: &Caller, member: &str, on: bool) -> Answer<Json<Value>> {
    by.must_manage_keys()?;
    Problem::unless_node(app.objects.role(), "say in who is in maintenance")?;
    let members = app.objects.cluster().members;
    let named = members
        .iter()
        .find(|known| known.name == member || known.id.to_string() == member);
    let known = named.filter(|known| app.objects.maintain(known.id, on));
    let known = known.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_member",
            "the cluster has no such member",
            "GET /v1/cluster names them all",
        )
    })?;
    Ok(Json(json!({
        "status": "success",
        "member": { "id": known.id.to_string(), "name": known.name },
        "maintenance": on,
    })))
}

/// Which key to locate.
#[derive(Deserialize)]
pub(super) struct Located {
    bucket: Option<String>,
    key: Option<String>,
}

pub(super) async fn locate(State(app): App, Query(asked): Query<Located>) -> Answer<Json<Value>> {
    let bucket = asked
        .bucket
        .ok_or_else(|| Problem::bad_request("bucket is missing", "say ?bucket=&key="))?;
    found(&app, &bucket, asked.key.as_deref()).await
}

pub(super) async fn locate_in(
    State(app): App,
    Path(bucket): Path<String>,
    Query(asked): Query<Located>,
) -> Answer<Json<Value>> {
    found(&app, &bucket, asked.key.as_deref()).await
}

async fn found(app: &Shared, bucket: &str, key: Option<&str>) -> Answer<Json<Value>> {
    let key = key.ok_or_else(|| Problem::bad_request("key is missing", "say ?key="))?;
    let bucket = app.bucket(bucket).await?;
    let location = app.objects.locate(&bucket, key);
    let names = Names::of(&*app.objects);
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "key": key,
        "position": location.position.to_string(),
        "partition": location.partition.0,
        "homes": location.homes,
        "preference_list": names.nodes(&location.preference_list),
    })))
}
