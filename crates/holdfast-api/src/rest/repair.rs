//! Checking and repairing all that this node holds, when an operator wants it now, and how far that is.
//!
//! Each node answers for itself alone: whoever wants the whole cluster repaired asks every member, as `holdfast repair`
//! does. A percentage never goes back while one repair is under way, and is 100 only when it is over.

use axum::Json;
use axum::extract::State;
use holdfast_core::repair::{Portion, RepairOfMemberState, RepairReport, RepairStage};
use http::StatusCode;
use serde_json::{Value, json};

use super::shape::{Names, time};
use super::{App, Shared};
use crate::caller::Caller;
use crate::problem::{Answer, Problem};

type By = axum::Extension<Caller>;

/// Begins. Asking while one is under way is no mistake: two people may have the same thought.
pub(super) async fn begin(State(app): App, by: By) -> Answer<(StatusCode, Json<Value>)> {
    by.must_operate()?;
    Problem::unless_node(app.objects.role(), "data to repair")?;
    let before = app.objects.repair_report();
    app.objects.repair();
    let now = app.objects.repair_report();
    let mut answer = shape(&app, &now);
    answer["joined"] = Value::from(before.is_running && before.number == now.number);
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

pub(super) async fn report(State(app): App, by: By) -> Answer<Json<Value>> {
    by.must_operate()?;
    Problem::unless_node(app.objects.role(), "data to repair")?;
    Ok(Json(shape(&app, &app.objects.repair_report())))
}

fn shape(app: &Shared, report: &RepairReport) -> Value {
    let names = Names::of(&*app.objects);
    json!({
        "status": "success",
        "node": names.node(app.objects.cluster().node),
        "repair": if report.number == 0 { Value::Null } else { told(app, &names, report) },
    })
}

fn told(app: &Shared, names: &Names, report: &RepairReport) -> Value {
    let members = report.members.iter().map(|member| {
        json!({
            "member": names.node(member.node),
            "state": member_state_name(member.state),
            "parts": portion(member.parts),
        })
    });
    let keys = report
        .unhealed_keys
        .iter()
        .map(|of| json!({ "bucket": app.objects.bucket_name(of.bucket), "key": of.key }));
    let left_out: Vec<_> = report.left_out().collect();
    json!({
        "number": report.number,
        "running": report.is_running,
        "stage": stage_name(report.stage),
        "percent": f64::from(report.permille()) / 10.0,
        "begun": time(report.begun_ms),
        "ended": if report.is_running { Value::Null } else { Value::from(time(report.ended_ms)) },
        "records": portion(report.records),
        "chunks": portion(report.chunks),
        "bytes": portion(report.bytes),
        "members": members.collect::<Vec<_>>(),
        "left_out": names.nodes(&left_out),
        "damaged": report.damaged,
        "differences": report.differences,
        "healed": {
            "records": report.healed.records,
            "chunks": report.healed.chunks,
            "sent": report.healed.sent,
        },
        "unhealed": { "count": report.unhealed, "keys": keys.collect::<Vec<_>>() },
    })
}

fn portion(portion: Portion) -> Value {
    json!({ "done": portion.done, "all": portion.all })
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
