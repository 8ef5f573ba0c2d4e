//! Checking and repairing all that this node holds, when an operator wants it now, and how far that is.
//!
//! Each node answers for itself alone: whoever wants the whole cluster repaired asks every member, as `holdfast repair`
//! does. A percentage never goes back while one repair is under way, and is 100 only when it is over.

use axum::extract::State;
use holdfast_core::ids::ObjectKey;
use holdfast_core::repair::{self, RepairOfMember, RepairOfMemberState, RepairReport, RepairStage};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::shape::{Names, Node, Success, Told, one_of, time};
use super::{App, Shared};
use crate::caller::Caller;
use crate::problem::{Answer, Problem};

type By = axum::Extension<Caller>;

/// How far a node's repair is
#[derive(Serialize, ToSchema)]
pub(super) struct RepairTold {
    status: Success,
    /// The node that was asked
    node: Node,
    /// Null when nobody has asked for one since the node started
    repair: Option<Repair>,
}

/// A repair that was asked for
#[derive(Serialize, ToSchema)]
pub(super) struct RepairBegun {
    #[serde(flatten)]
    told: RepairTold,
    /// Whether one was under way already, and was joined
    joined: bool,
}

/// A repair: how far it is, and what it has found
#[derive(Serialize, ToSchema)]
struct Repair {
    /// Which one it is since the node started
    number: u64,
    running: bool,
    /// What it is at
    #[schema(schema_with = stages)]
    stage: &'static str,
    /// Never goes back while it runs, and is 100 only when it is over
    #[schema(minimum = 0, maximum = 100)]
    percent: f64,
    #[schema(format = DateTime)]
    begun: String,
    /// Null while it runs
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Records read
    records: Portion,
    /// Chunks of large bodies read
    chunks: Portion,
    /// Their bytes
    bytes: Portion,
    /// The comparison with each other member
    members: Vec<Compared>,
    /// Members that are down or did not tell or take everything
    left_out: Vec<Node>,
    /// Records, chunks and unreadable places of this node's disk that were damaged
    damaged: u64,
    /// Rows and chunks that this node and another did not hold alike
    differences: u64,
    healed: Healed,
    unhealed: Unhealed,
}

/// So much of so much, as counted at the beginning
#[derive(Serialize, ToSchema)]
struct Portion {
    done: u64,
    all: u64,
}

/// How far the comparison with a member is
#[derive(Serialize, ToSchema)]
struct Compared {
    member: Node,
    #[schema(schema_with = member_states)]
    state: &'static str,
    parts: Portion,
}

/// What was brought in order
#[derive(Serialize, ToSchema)]
struct Healed {
    /// Keys whose copies were made equal, or whose copy was written again
    records: u64,
    /// Damaged chunks of this disk that were written again
    chunks: u64,
    /// What other members lacked and were sent
    sent: u64,
}

/// What could not be healed
#[derive(Serialize, ToSchema)]
struct Unhealed {
    count: u64,
    /// The first hundred, where they are known by name
    keys: Vec<UnhealedKey>,
}

/// A key that could not be healed
#[derive(Serialize, ToSchema)]
struct UnhealedKey {
    /// Null when the node does not know the bucket
    bucket: Option<String>,
    key: String,
}

/// Begin a repair of all that the asked node holds
///
/// The node reads everything it has, compares with each member, and heals what it finds. For the admin token and the root
/// key. Asking while one is under way is no mistake: two people may have the same thought.
#[utoipa::path(
    post, path = "/v1/repair", operation_id = "begin_repair", tag = "cluster",
    responses((status = 202, description = "It is under way", body = RepairBegun))
)]
pub(super) async fn begin(State(app): App, by: By) -> Answer<(StatusCode, Told<RepairBegun>)> {
    by.must_operate()?;
    Problem::unless_node(app.objects.role(), "data to repair")?;
    let before = app.objects.repair_report();
    app.objects.repair();
    let now = app.objects.repair_report();
    let begun = RepairBegun {
        told: told(&app, &now),
        joined: before.is_running && before.number == now.number,
    };
    Ok((StatusCode::ACCEPTED, Told(begun)))
}

/// How far the repair is, or what came of the last one
///
/// For the admin token and the root key.
#[utoipa::path(
    get, path = "/v1/repair", operation_id = "repair_report", tag = "cluster",
    responses((status = 200, description = "The report", body = RepairTold))
)]
pub(super) async fn report(State(app): App, by: By) -> Answer<Told<RepairTold>> {
    by.must_operate()?;
    Problem::unless_node(app.objects.role(), "data to repair")?;
    Ok(Told(told(&app, &app.objects.repair_report())))
}

fn told(app: &Shared, report: &RepairReport) -> RepairTold {
    let names = Names::of(&*app.objects);
    RepairTold {
        status: Success::Success,
        node: names.node(app.objects.cluster().node),
        repair: (report.number != 0).then(|| shape(app, &names, report)),
    }
}

fn shape(app: &Shared, names: &Names, report: &RepairReport) -> Repair {
    let compared = |member: &RepairOfMember| Compared {
        member: names.node(member.node),
        state: member_state_name(member.state),
        parts: portion(member.parts),
    };
    let unhealed = |of: &ObjectKey| UnhealedKey {
        bucket: app.objects.bucket_name(of.bucket),
        key: of.key.clone(),
    };
    let left_out: Vec<_> = report.left_out().collect();
    Repair {
        number: report.number,
        running: report.is_running,
        stage: stage_name(report.stage),
        percent: f64::from(report.permille()) / 10.0,
        begun: time(report.begun_ms),
        ended: (!report.is_running).then(|| time(report.ended_ms)),
        records: portion(report.records),
        chunks: portion(report.chunks),
        bytes: portion(report.bytes),
        members: report.members.iter().map(compared).collect(),
        left_out: names.nodes(&left_out),
        damaged: report.damaged,
        differences: report.differences,
        healed: Healed {
            records: report.healed.records,
            chunks: report.healed.chunks,
            sent: report.healed.sent,
        },
        unhealed: Unhealed {
            count: report.unhealed,
            keys: report.unhealed_keys.iter().map(unhealed).collect(),
        },
    }
}

const fn portion(portion: repair::Portion) -> Portion {
    Portion {
        done: portion.done,
        all: portion.all,
    }
}

fn stages() -> Object {
    use RepairStage::{Chunks, Counting, Healing, Members, Over, Records, Starting};
    one_of([Starting, Counting, Records, Chunks, Members, Healing, Over].map(stage_name))
}

const fn stage_name(stage: RepairStage) -> &'static str {
    match stage {
        RepairStage::Starting => "starting",
        RepairStage::Counting => "counting",
        RepairStage::Records => "records",
        RepairStage::Chunks => "chunks",
        RepairStage::Members => "members",
        RepairStage::Healing => "healing",
        RepairStage::Over => "over",
    }
}

const fn member_state_name(state: RepairOfMemberState) -> &'static str {
    match state {
        RepairOfMemberState::Waiting => "waiting",
        RepairOfMemberState::Down => "down",
        RepairOfMemberState::Comparing => "comparing",
        RepairOfMemberState::Compared => "compared",
        RepairOfMemberState::Incomplete => "incomplete",
    }
}

fn member_states() -> Object {
    use RepairOfMemberState::{Compared, Comparing, Down, Incomplete, Waiting};
    one_of([Waiting, Comparing, Compared, Down, Incomplete].map(member_state_name))
}
