//! Who is there, and how they are.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use holdfast_core::dead::HeldWhy;
use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::{self, NodeFacts, Soundness};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::faults::NoSuchMember;
use super::shape::{Names, Node, Success, Told, one_of, time};
use super::{App, Shared};
use crate::caller::Caller;
use crate::objects::{ClusterView, MemberView, Objects, Role};
use crate::problem::{Answer, Problem};
use crate::watch::Figures;
use crate::watch::sentence::{Level, Sentence};

/// The cluster as the asked node sees it
#[derive(Serialize, ToSchema)]
pub(super) struct Cluster {
    status: Success,
    /// What answers: a node, or a gateway, which knows only the nodes it is connected to
    #[schema(schema_with = roles)]
    role: &'static str,
    /// How the cluster is, as far as this node knows
    #[schema(example = "All 3 nodes up. No write waits for a node, no damage is known.")]
    sentence: String,
    /// How much that matters
    #[schema(schema_with = levels)]
    level: &'static str,
    /// The node that answers
    node: Node,
    /// Identity of the cluster
    cluster: String,
    /// Number of the layout
    epoch: u64,
    /// Equal arcs of the ring
    partitions: u32,
    members: Vec<Member>,
    /// Members that this node does not use
    down: Vec<Node>,
    /// Whether this node acknowledges writes before they are on disk
    unsafe_no_sync: bool,
    /// By how much this node's clock is ahead of most others' (negative: behind), if that is too much
    clock_off_ms: Option<i64>,
    checked: Checked,
    forgetting: Forgetting,
}

/// A member as the asked node sees it
#[derive(Serialize, ToSchema)]
struct Member {
    id: String,
    name: String,
    /// Where it lives, for placement
    zone: String,
    /// Its address for other nodes
    #[schema(example = "10.0.0.1:9002")]
    address: String,
    /// Its S3 endpoint, if it told
    s3: String,
    /// Its REST endpoint, if it told
    rest: String,
    /// Bytes it is willing to store
    capacity_bytes: u64,
    /// Whether the asked node uses it: it has a connection to it, and gossip does not hold it down
    up: bool,
    /// What gossip takes it for
    #[schema(schema_with = member_states)]
    state: &'static str,
    /// Since when
    #[schema(format = DateTime)]
    since: String,
    /// Whether somebody said that it is down on purpose
    maintenance: bool,
    /// By how much its clock is ahead of the asked node's (negative: behind), if it was heard lately
    clock_ahead_ms: Option<i64>,
    /// What the asked node holds for it and has not handed over
    hints_owed: u64,
    /// What it last told of itself; null before the first
    facts: Option<Facts>,
    /// Whether it is the asked node
    #[serde(rename = "self")]
    is_self: bool,
    /// With whom it registered when it came; the asked node knows this of itself alone
    registered_with: Option<RegisteredWith>,
}

/// The founder with whom a member registered: itself, if it founded the cluster
#[derive(Serialize, ToSchema)]
struct RegisteredWith {
    #[serde(flatten)]
    node: Node,
    /// At which address
    address: String,
}

/// The cluster as the asked node sees it, with what members told of themselves lately
#[derive(Serialize, ToSchema)]
pub(super) struct View {
    #[serde(flatten)]
    cluster: Cluster,
    /// Figures by the member's id
    #[schema(value_type = BTreeMap<String, Figures>)]
    stats: BTreeMap<String, Value>,
}

/// What a member tells of itself
#[derive(Serialize, ToSchema)]
struct Facts {
    /// The life of its disk
    actor: String,
    /// The number of its start
    boot: u64,
    /// The number of the layout it works by
    epoch: u64,
    /// The newest format level it understands
    format_level: u16,
    disk_used_bytes: u64,
    disk_total_bytes: u64,
    hinted_partitions: HintedPartitions,
    /// Whether it may speak for its disk
    #[schema(schema_with = soundnesses)]
    soundness: &'static str,
}

/// For which partitions it holds hints; `many` when they are too many to list
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum HintedPartitions {
    Only(Vec<u16>),
    Many(Many),
}

/// Too many to list
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Many {
    Many,
}

/// How the asked node's disk is looked after
#[derive(Serialize, ToSchema)]
struct Checked {
    /// Whether it was read through since the start
    read_through: bool,
    /// What comparisons with others found to differ
    differences: u64,
    /// Fingerprints that were wrong: other than 0 is a fault of the program
    fingerprints_wrong: u64,
    scrub: Scrub,
    records_repaired: u64,
    chunks_repaired: u64,
}

/// The scrub under way, or the last one
#[derive(Serialize, ToSchema)]
struct Scrub {
    running: bool,
    /// When it ended, Unix milliseconds
    ended_ms: u64,
    records: u64,
    chunks: u64,
    bytes: u64,
    damaged: u64,
}

/// Overwritten and deleted objects whose space is still to come back
#[derive(Serialize, ToSchema)]
struct Forgetting {
    bodies: u64,
    bytes: u64,
    /// The member they wait for
    held_by: Option<Node>,
    /// Why
    #[schema(example = "away")]
    held_because: Option<&'static str>,
}

/// Look at the cluster
///
/// How it is in one sentence, this node, every member, what waits to be forgotten, and how the disk of the asked node is
/// looked after.
#[utoipa::path(
    get, path = "/v1/cluster", operation_id = "cluster", tag = "cluster",
    responses((status = 200, description = "The cluster as this node sees it", body = Cluster))
)]
pub(super) async fn view(State(app): App) -> Told<Cluster> {
    let view = app.objects.cluster();
    let sentence = app.watch.told().sentence(&view);
    Told(shown(&*app.objects, &view, &sentence))
}

/// The cluster as one node sees it, and the sentence on it.
fn shown(objects: &dyn Objects, view: &ClusterView, sentence: &Sentence) -> Cluster {
    let names = Names::of(objects);
    let down = view.members.iter().filter(|member| !member.up);
    let down: Vec<_> = down.map(|member| member.id).collect();
    Cluster {
        status: Success::Success,
        role: role_name(objects.role()),
        sentence: sentence.text.clone(),
        level: sentence.level.name(),
        node: names.node(view.node),
        cluster: view.cluster.clone(),
        epoch: view.epoch,
        partitions: view.partitions,
        members: view.members.iter().map(|member| shape(member, view, &names)).collect(),
        down: names.nodes(&down),
        unsafe_no_sync: view.unsafe_no_sync,
        clock_off_ms: view.clock_off_ms,
        checked: checked(view),
        forgetting: Forgetting {
            bodies: view.forgetting.bodies,
            bytes: view.forgetting.bytes,
            held_by: view.forgetting.held.map(|(node, _)| names.node(node)),
            held_because: view.forgetting.held.map(|(_, why)| why_name(why)),
        },
    }
}

/// A [`View`], its names in alphabetical order.
pub(crate) fn view_shown(
    objects: &dyn Objects,
    view: &ClusterView,
    sentence: &Sentence,
    stats: BTreeMap<String, Value>,
) -> Value {
    let cluster = shown(objects, view, sentence);
    serde_json::to_value(View { cluster, stats }).unwrap_or_default()
}

fn shape(member: &MemberView, view: &ClusterView, names: &Names) -> Member {
    let is_self = member.id == view.node;
    let registered_with = view.registered_with.as_ref().filter(|_| is_self);
    Member {
        id: member.id.to_string(),
        name: member.name.clone(),
        zone: member.zone.clone(),
        address: member.address.clone(),
        s3: member.s3.clone(),
        rest: member.rest.clone(),
        capacity_bytes: member.capacity_bytes,
        up: member.up,
        state: state_name(member.state),
        since: time(member.since_ms),
        maintenance: member.maintenance,
        clock_ahead_ms: member.clock_ahead_ms,
        hints_owed: member.hints_owed,
        facts: member.facts.as_ref().map(facts),
        is_self,
        registered_with: registered_with.map(|(founder, address)| RegisteredWith {
            node: names.node(*founder),
            address: address.clone(),
        }),
    }
}

const fn checked(view: &ClusterView) -> Checked {
    let checked = &view.checked;
    Checked {
        read_through: checked.is_read,
        differences: checked.differences,
        fingerprints_wrong: checked.fingerprints_wrong,
        scrub: Scrub {
            running: checked.scrub.is_running,
            ended_ms: checked.scrub.ended_ms,
            records: checked.scrub.records,
            chunks: checked.scrub.chunks,
            bytes: checked.scrub.bytes,
            damaged: checked.scrub.damaged,
        },
        records_repaired: checked.records_repaired,
        chunks_repaired: checked.chunks_mended,
    }
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

pub(super) fn member_states() -> Object {
    use MemberState::{Down, Stopped, Suspect, Unheard, Up};
    one_of([Up, Suspect, Unheard, Down, Stopped].map(state_name))
}

fn roles() -> Object {
    one_of([Role::Node, Role::Gateway].map(role_name))
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Node => "node",
        Role::Gateway => "gateway",
    }
}

fn levels() -> Object {
    use Level::{Alarm, Good, Watch};
    one_of([Good, Watch, Alarm].map(Level::name))
}

fn soundnesses() -> Object {
    use Soundness::{Filling, Sound, Unvouched};
    one_of([Sound, Unvouched, Filling].map(soundness_name))
}

fn facts(facts: &NodeFacts) -> Facts {
    Facts {
        actor: facts.actor.to_string(),
        boot: facts.boot,
        epoch: facts.epoch,
        format_level: facts.format_level,
        disk_used_bytes: facts.disk_used_bytes,
        disk_total_bytes: facts.disk_total_bytes,
        hinted_partitions: match &facts.hinted {
            facts::Hinted::Only(partitions) => {
                HintedPartitions::Only(partitions.iter().map(|partition| partition.0).collect())
            }
            facts::Hinted::Many => HintedPartitions::Many(Many::Many),
        },
        soundness: soundness_name(facts.soundness),
    }
}

type By = axum::Extension<Caller>;

/// The member in a path.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct WhichMember {
    /// Its name or its id
    #[param(example = "node-2")]
    member: String,
}

/// A member that is down on purpose, or no longer
#[derive(Serialize, ToSchema)]
pub(super) struct Maintained {
    status: Success,
    member: Node,
    /// Whether it is
    maintenance: bool,
}

/// Say that a member is down on purpose
///
/// Everybody will know, until somebody takes it back. For the admin token and the root key.
#[utoipa::path(
    post, path = "/v1/cluster/members/{member}/maintenance", operation_id = "begin_maintenance", tag = "cluster",
    params(WhichMember),
    responses((status = 200, description = "It is in maintenance", body = Maintained), NoSuchMember)
)]
pub(super) async fn begin_maintenance(
    State(app): App,
    by: By,
    Path(WhichMember { member }): Path<WhichMember>,
) -> Answer<Told<Maintained>> {
    maintain(&app, &by, &member, true)
}

/// Say that a member is no longer down on purpose
#[utoipa::path(
    delete, path = "/v1/cluster/members/{member}/maintenance", operation_id = "end_maintenance", tag = "cluster",
    params(WhichMember),
    responses((status = 200, description = "It is not in maintenance", body = Maintained), NoSuchMember)
)]
pub(super) async fn end_maintenance(
    State(app): App,
    by: By,
    Path(WhichMember { member }): Path<WhichMember>,
) -> Answer<Told<Maintained>> {
    maintain(&app, &by, &member, false)
}

/// A member is named by its id, or as people call it.
fn maintain(app: &Shared, by: &Caller, member: &str, on: bool) -> Answer<Told<Maintained>> {
    by.must_manage_keys()?;
    Problem::unless_node(app.objects.role(), "say in who is in maintenance")?;
    let view = app.objects.cluster();
    let named = view
        .members
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
    Ok(Told(Maintained {
        status: Success::Success,
        member: Names::of(&*app.objects).node(known.id),
        maintenance: on,
    }))
}
