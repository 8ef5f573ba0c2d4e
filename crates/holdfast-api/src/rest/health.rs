//! Health for load balancers, and the metrics page. None of them asks for a token.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::Soundness;
use holdfast_core::repair::RepairReport;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::cluster::{soundness_name, state_name};
use super::shape::{Success, Told};
use crate::objects::{ClusterView, MemberView};
use crate::problem::{Answer, Problem, ProblemTold};
use crate::serve::metrics_page;

/// All is well
#[derive(Serialize, ToSchema)]
pub(super) struct Healthy {
    status: Success,
}

const HEALTHY: Told<Healthy> = Told(Healthy {
    status: Success::Success,
});

/// Whether the process runs
#[utoipa::path(
    get, path = "/health/live", operation_id = "live", tag = "health", security(()),
    responses((status = 200, description = "It runs", body = Healthy))
)]
pub(super) async fn live() -> Told<Healthy> {
    HEALTHY
}

/// Whether this node can serve now
#[utoipa::path(
    get, path = "/health/ready", operation_id = "ready", tag = "health", security(()),
    responses(
        (status = 200, description = "It can", body = Healthy),
        (status = 503, description = "It cannot, for the reason in `message`", body = ProblemTold,
            headers(("Retry-After" = String, description = "Seconds to wait before trying again"))),
    )
)]
pub(super) async fn ready(State(app): App) -> Answer<Told<Healthy>> {
    let not_ready = |reason| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason, "ask another node");
    app.objects.ready().map_err(not_ready)?;
    Ok(HEALTHY)
}

/// Figures for Prometheus
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "health", security(()),
    responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(app): App) -> Response {
    let view = app.objects.cluster();
    count_members(&view.members);
    metrics::gauge!("holdfast_clock_off_seconds").set(view.clock_off_ms.unwrap_or(0) as f64 / 1_000.0);
    count_forgetting(&view);
    count_checked(&view);
    count_repair(&app.objects.repair_report());
    count_soundness(view.soundness);
    count_load(&view);
    let mut answer = metrics_page().into_response();
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    answer
}

/// Whoever is not used is down for this node, whatever gossip says: its connection may be gone while datagrams pass.
fn state_for_use(member: &MemberView) -> MemberState {
    match member.state {
        MemberState::Up | MemberState::Suspect if !member.up => MemberState::Down,
        state => state,
    }
}

/// What waits to be forgotten, and for whom.
fn count_forgetting(view: &ClusterView) {
    let forgetting = view.forgetting;
    metrics::gauge!("holdfast_dead_bodies").set(forgetting.bodies as f64);
    metrics::gauge!("holdfast_dead_bytes").set(forgetting.bytes as f64);
    for member in &view.members {
        let holds = forgetting.held.is_some_and(|(by, _)| by == member.id);
        metrics::gauge!("holdfast_gate_held", "member" => member.name.clone()).set(f64::from(u8::from(holds)));
    }
}

/// How this node's disk is looked after.
fn count_checked(view: &ClusterView) {
    let checked = view.checked;
    metrics::gauge!("holdfast_differences_found").set(checked.differences as f64);
    metrics::gauge!("holdfast_fingerprints_wrong").set(checked.fingerprints_wrong as f64);
    metrics::gauge!("holdfast_scrub_running").set(f64::from(u8::from(checked.scrub.is_running)));
    metrics::gauge!("holdfast_scrub_damaged").set(checked.scrub.damaged as f64);
    metrics::gauge!("holdfast_scrub_ended_seconds").set(checked.scrub.ended_ms as f64 / 1_000.0);
    metrics::gauge!("holdfast_records_repaired").set(checked.records_repaired as f64);
    metrics::gauge!("holdfast_chunks_repaired").set(checked.chunks_mended as f64);
}

/// What the repair does that somebody asked for, or what came of the last one.
fn count_repair(report: &RepairReport) {
    metrics::gauge!("holdfast_repair_running").set(f64::from(u8::from(report.is_running)));
    metrics::gauge!("holdfast_repair_done_ratio").set(f64::from(report.permille()) / 1_000.0);
    metrics::gauge!("holdfast_repair_ended_seconds").set(report.ended_ms as f64 / 1_000.0);
    metrics::gauge!("holdfast_repair_unhealed").set(report.unhealed as f64);
}

/// One for the state that this node is in, 0 for the others.
fn count_soundness(soundness: Soundness) {
    for state in [Soundness::Sound, Soundness::Unvouched, Soundness::Filling] {
        metrics::gauge!("holdfast_soundness", "state" => soundness_name(state))
            .set(f64::from(u8::from(state == soundness)));
    }
}

/// What this node has taken on, and what it refused because that was too much.
fn count_load(view: &ClusterView) {
    let load = view.load;
    metrics::gauge!("holdfast_operations_in_flight").set(load.in_flight as f64);
    metrics::gauge!("holdfast_operations_for_slow_members").set(load.stragglers as f64);
    metrics::gauge!("holdfast_bytes_for_slow_members").set(load.straggling_bytes as f64);
    metrics::gauge!("holdfast_given_up_for_slow_members").set(load.stragglers_given_up as f64);
    metrics::gauge!("holdfast_overload_refused").set(load.refused as f64);
}

/// How many members are in each state and what each is owed, as this node sees them. Asked when the page is read, so that a cluster that nobody
/// watches counts nothing. Those in maintenance are counted apart, whatever their state: an alarm is for the others.
fn count_members(members: &[MemberView]) {
    let states = [
        MemberState::Up,
        MemberState::Suspect,
        MemberState::Unheard,
        MemberState::Down,
        MemberState::Stopped,
    ];
    for state in states {
        let is_counted = |member: &&MemberView| !member.maintenance && state_for_use(member) == state;
        let count = members.iter().filter(is_counted).count();
        metrics::gauge!("holdfast_members", "state" => state_name(state)).set(count as f64);
    }
    for member in members {
        metrics::gauge!("holdfast_hints_owed", "member" => member.name.clone()).set(member.hints_owed as f64);
    }
    let in_maintenance = members.iter().filter(|member| member.maintenance).count();
    metrics::gauge!("holdfast_members", "state" => "maintenance").set(in_maintenance as f64);
}
